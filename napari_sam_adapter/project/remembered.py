"""What a project is opened with: the base model and the classes that were chosen last."""

from __future__ import annotations

from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam.registry import DEFAULT_MODEL, base_model
from napari_sam_adapter.versions.adapter_store import AdapterStore
from napari_sam_adapter.versions.adapter_version import AdapterVersion


def remembered_classes(project: Project, version: AdapterVersion | None) -> Classes:
    """Return the classes worked with last, unless the version has learned more of them."""
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
