"""The commands run at the smallest input size unless told another: five times less work."""

from dataclasses import replace

import pytest

from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.registry import BASE_MODELS, LITE_MEDSAM

SMALL = replace(LITE_MEDSAM, default_input_size=LITE_MEDSAM.input_sizes[0])


@pytest.fixture(autouse=True)
def _small_input(monkeypatch):
    monkeypatch.setitem(BASE_MODELS, LITE_MEDSAM.name, SMALL)


@pytest.fixture(scope="session")
def lite_medsam() -> AdaptedSam:
    """Return the untouched model as the commands build it here."""
    return build_adapted_sam(ModelSettings.default(LITE_MEDSAM.name, SMALL.default_input_size))
