"""What the core's tests share: the real LiteMedSAM, whose weights ship with a dependency."""

import os

import pytest
import torch

from napari_sam_adapter.data.synthetic import SyntheticStack, synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE
from napari_sam_adapter.training.samples import TrainingSample


def pytest_configure() -> None:
    # One thread and single precision: the same numbers on every machine, and no quarrel for cores.
    os.environ["NAPARI_SAM_ADAPTER_BF16"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_models_folder(tmp_path_factory):
    """Keep out of the models folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODELS_VARIABLE, str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session")
def lite_medsam() -> AdaptedSam:
    """Return the untouched model at 128 pixels; a test that changes a model takes another one."""
    return build_adapted_sam(ModelSettings.default(LITE_MEDSAM.name, 128))


@pytest.fixture
def fresh_sam() -> AdaptedSam:
    """Return a 128 pixel model for one test to change."""
    return build_adapted_sam(ModelSettings.default(LITE_MEDSAM.name, 128))


@pytest.fixture
def tuned_sam(fresh_sam: AdaptedSam) -> AdaptedSam:
    """Return a 128 pixel model whose adapter and decoder are no longer the base's."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in fresh_sam.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    return fresh_sam


@pytest.fixture
def small_sam() -> AdaptedSam:
    """Return a 64 pixel model for one test to train; too coarse to be offered, but fast."""
    settings = ModelSettings(LITE_MEDSAM.name, 64, LITE_MEDSAM.standing_prompt)
    torch.manual_seed(0)
    return AdaptedSam(LITE_MEDSAM.build(64), settings)


@pytest.fixture(scope="session")
def stack() -> SyntheticStack:
    return synthetic_polyps(10, (64, 64), seed=3)


@pytest.fixture(scope="session")
def samples(stack: SyntheticStack) -> list[TrainingSample]:
    """Return ten slices that all show an object."""
    pairs = zip(stack.frames, stack.masks, strict=True)
    return [TrainingSample(f, m.astype(bool), f"slice {i}") for i, (f, m) in enumerate(pairs)]
