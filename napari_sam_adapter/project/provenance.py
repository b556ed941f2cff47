"""Where every mask and every adapter of a project comes from: plain data, for print and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from napari_sam_adapter.project.effort import Ledger
from napari_sam_adapter.project.journal import JOURNAL, read_journal
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.round_ends import round_ends
from napari_sam_adapter.versions.adapter_store import maker_names
from napari_sam_adapter.versions.adapter_version import AdapterVersion


def provenance_of(project: Project) -> dict[str, Any]:
    """Return all that a project knows of its masks and adapters.

    Returns
    -------
    dict
        ``adapters``: a list, oldest first, each with ``version``, ``name``, ``note``, ``held_back``
        (see `promotion`), ``id``, ``parent``, ``base``,
        ``base_sha256``, ``created`` and ``training`` (settings, scores, digests of the slices it
        learned from). ``images``: a list, each with ``name``, ``source``, ``folder``, ``slices``
        (see `effort.SliceStory`; ``adapter`` is a version's name where the project has it, or
        ``interpolation``),
        ``rounds`` (see `effort.Ledger`) and ``troubles`` (damage of the journal, or that a newer
        version has written it). ``troubles``: adapters and images that cannot be read.

    Raises
    ------
    StorageError
        If a journal cannot be read.
    """
    versions, deleted = project.adapters.versions(), project.adapters.deleted()
    names = maker_names(versions, deleted)
    active, ends = project.adapters.active, round_ends(project.folder / "images")
    images = []
    for folder, identity in project.records():
        contents = read_journal(folder / JOURNAL)
        ledger = Ledger(contents.events, ends.get(folder.name, ()))
        slices = [asdict(story) for story in ledger.stories]
        for one in slices:
            one["adapter"] = _name(one["adapter"], names)
        images.append(
            {
                "name": identity.name,
                "source": identity.source,
                "folder": folder.name,
                "shape": list(identity.shape),
                "slices": slices,
                "rounds": [
                    {"slices": len(one.slices), **asdict(one.effort)}
                    for one in ledger.worked_rounds
                ],
                "troubles": [*contents.damaged, *filter(None, [contents.newer])],
            }
        )
    return {
        "project": str(project.folder),
        "active": None if active is None else f"v{active.number}",
        "adapters": [
            _adapter(version, names)
            for version in sorted([*versions, *deleted], key=lambda one: one.number)
        ],
        "images": images,
        "troubles": project.adapters.unreadable + project.unreadable(),
    }


def _adapter(version: AdapterVersion, names: dict[str, str]) -> dict[str, Any]:
    card = version.card
    return {
        "version": names[card.adapter_id],
        "name": version.name,
        "note": version.note,
        "held_back": not version.verdict.promoted,
        "id": card.adapter_id,
        "parent": _name(card.parent_id, names),
        "base": card.base_model,
        "base_sha256": card.base_sha256,
        "created": card.created,
        "classes": list(card.class_names),
        "training": dict(card.training),
    }


def _name(adapter: str | None, names: dict[str, str]) -> str | None:
    if adapter is None:
        return None
    return names.get(adapter, f"adapter {adapter[:8]}")
