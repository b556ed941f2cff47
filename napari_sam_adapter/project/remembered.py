"""What a project is opened with: base model, version and classes that were chosen last."""

from __future__ import annotations

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam.registry import BASE_MODELS, DEFAULT_MODEL, base_model
from napari_sam_adapter.versions.adapter_store import AdapterStore
from napari_sam_adapter.versions.adapter_version import AdapterVersion


def remembered_classes(project: Project, version: AdapterVersion | None) -> Classes:
    """Return the classes worked with last, where none that the version has learned is missing.

    They may have other names than it has learned: the person has renamed them since.
    """
    kept = project.classes
    if version is None:
        return kept or Classes()
    learned = Classes.of(version.card)
    return learned if kept is None or len(kept) < len(learned) else kept


def remembered_base(store: AdapterStore) -> str:
    """Return the base model chosen last; the default where its file is gone."""
    try:
        return base_model(store.base or DEFAULT_MODEL).name
    except WeightsError:
        return DEFAULT_MODEL


def remembered_version(store: AdapterStore) -> tuple[AdapterVersion | None, str]:
    """Return the version in use, or none and why, where this program lacks its base model.

    Weights that are not here are no reason: whoever predicts is told how to get them.
    """
    version = store.active
    if version is None or version.card.base_model in BASE_MODELS:
        return version, ""
    return None, (
        f"v{version.number} was trained on the base model {version.card.base_model!r}, which this "
        "program does not know: update napari-sam-adapter to use it. Until then the base model "
        "alone predicts, or another version, if you choose one."
    )
