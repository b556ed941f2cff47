"""What the core's tests share: the real LiteMedSAM, whose weights ship with a dependency."""

import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_adapter import storage
from napari_sam_adapter.data.synthetic import SyntheticStack, synthetic_polyps
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.feature_files import FOLDER_VARIABLE
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE
from napari_sam_adapter.training.samples import TrainingSample


def pytest_configure() -> None:
    # One thread and single precision: the same numbers on every machine, and no quarrel for cores.
    os.environ["NAPARI_SAM_ADAPTER_BF16"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    # A suite that a shell runs in the background is deaf to Ctrl+C, and so would be the commands
    # it starts, whose answer to Ctrl+C is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory):
    """Keep out of the folders of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODELS_VARIABLE, str(tmp_path_factory.mktemp("models")))
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("features")))
        yield


@pytest.fixture(scope="session")
def lite_medsam() -> AdaptedSam:
    """Return the untouched model at 128 pixels; a test that changes a model takes another one."""
    return build_adapted_sam(ModelSettings.default(LITE_MEDSAM.name, 128))


@pytest.fixture
def fresh_sam() -> AdaptedSam:
    """Return a model of the smallest size there is, for one test to change."""
    return build_adapted_sam(ModelSettings.default(LITE_MEDSAM.name, LITE_MEDSAM.input_sizes[0]))


@pytest.fixture
def tuned_sam(fresh_sam: AdaptedSam) -> AdaptedSam:
    """Return a small model whose adapter and decoder are no longer the base's."""
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


@pytest.fixture
def write_dicom(tmp_path) -> Callable[..., Path]:
    """Return a function that writes slices as DICOM files, and returns their folder."""
    pydicom = pytest.importorskip("pydicom")

    def write(
        slices: np.ndarray,
        positions: Sequence[Sequence[float]] | None = None,
        *,
        folder: str = "series",
        uid: str = "1.2.3",
        first: int = 0,
        orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
        **header: object,
    ) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for number, one in enumerate(slices, start=first):
            file = pydicom.Dataset()
            file.file_meta = pydicom.dataset.FileMetaDataset()
            file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            file.SOPInstanceUID = f"{uid}.{number + 1}"
            file.SeriesInstanceUID, file.SeriesDescription = uid, f"series {uid}"
            file.Modality, file.InstanceNumber = "CT", number + 1
            file.Rows, file.Columns = one.shape[:2]
            file.SamplesPerPixel = 3 if one.ndim == 3 else 1
            file.PhotometricInterpretation = "RGB" if one.ndim == 3 else "MONOCHROME2"
            file.PlanarConfiguration = 0
            file.BitsAllocated = 8 * one.dtype.itemsize
            if one.dtype.kind == "f":
                pixels = "FloatPixelData" if one.dtype.itemsize == 4 else "DoubleFloatPixelData"
            else:
                pixels, file.BitsStored = "PixelData", file.BitsAllocated
                file.HighBit = file.BitsStored - 1
                file.PixelRepresentation = int(one.dtype.kind == "i")
            if positions is not None:
                file.ImagePositionPatient = list(positions[number - first])
                file.ImageOrientationPatient = list(orientation)
                file.PixelSpacing = [0.5, 0.25]
            for name, value in header.items():
                setattr(file, name, value)
            setattr(file, pixels, one.tobytes())
            path = tmp_path / folder / f"{uid}_{number}.dcm"
            file.save_as(path, enforce_file_format=True)
        return tmp_path / folder

    return write


class FullDisk(set[Path]):
    """The folders into which nothing fits any more: add one, and clear to make room."""

    def replace(self, source: Path, target: Path) -> None:
        if Path(target).parent in self:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.replaced(source, target)

    replaced = staticmethod(os.replace)


@pytest.fixture
def full_disk(monkeypatch) -> FullDisk:
    full = FullDisk()
    monkeypatch.setattr(storage.os, "replace", full.replace)
    return full


class SilentDrive(set[Path]):
    """Folders on a network drive that does not answer: add one, and clear when it does again."""

    def refusing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any, *others: Any, **named: Any) -> Any:
            if isinstance(path, str | Path) and self & {Path(path), *Path(path).parents}:
                raise OSError(errno.EHOSTDOWN, os.strerror(errno.EHOSTDOWN), str(path))
            return act(path, *others, **named)

        return refuse


@pytest.fixture
def silent_drive(monkeypatch) -> SilentDrive:
    drive = SilentDrive()
    for name in ("stat", "lstat", "open", "listdir", "scandir", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, drive.refusing(getattr(os, name)))
    return drive
