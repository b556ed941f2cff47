"""Measure peak memory and computing time of predicting a volume, each in a fresh process.

    python docs/measure_memory.py [--slices 64,1024] [--side 512] [--json]

The volume is a NIfTI file of noise that is read slice by slice; the base model predicts it. Ways:
the command `predict`, the same with smoothing, and the process that computes for the dock.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WAYS = {
    "predict": [],
    "predict --smooth 1": ["--smooth", "1"],
    "the dock's process": [],
}
HEADER = 352


def main() -> None:
    """Measure, and print a table of peak memory, or all as JSON, by way and number of slices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", default="64,1024")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help="For the script itself: a way, and a volume.")
    given = parser.parse_args()
    if given.child:
        predict(given.child[0], Path(given.child[1]))
        return
    counts = [int(count) for count in given.slices.split(",")]
    found = {
        way: [in_fresh_process(way, count, given.side) for count in counts]
        for way in given.ways.split(",")
    }
    if given.json:
        print(json.dumps(found))
        return
    print("| |", *(f"{count} slices |" for count in counts))
    print("|---|" + "---|" * len(counts))
    for way, measured in found.items():
        print(f"| {way} |", *(f"{one['mib']:.0f} MiB |" for one in measured), flush=True)


def in_fresh_process(way: str, count: int, side: int) -> dict[str, Any]:
    """Write a volume, and predict it in a process that tells what it took.

    Returns
    -------
    dict
        ``slices``, ``mib`` (peak memory), ``cpu_s`` (user and system, all threads, the start
        included), ``marked`` (how many pixels the mask of each slice has).
    """
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.nii"
        write_volume(volume, count, side)
        command = [sys.executable, __file__, "--child", way, str(volume)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"slices": count, **json.loads(done.stdout.splitlines()[-1])}


def write_volume(path: Path, count: int, side: int) -> None:
    """Write slices of noise one by one."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((side, side, count))
    rng = np.random.default_rng(0)
    with path.open("wb") as stream:
        header["vox_offset"] = HEADER
        header["magic"] = header.single_magic
        header.write_to(stream)
        stream.write(bytes(HEADER - stream.tell()))
        for _ in range(count):
            stream.write(rng.integers(0, 255, side * side, dtype=np.uint8).tobytes())


def predict(way: str, volume: Path) -> None:
    """Predict all slices in this process (or its child); print what it took, and what it made."""
    if way == "the dock's process":
        masks: Any = through_the_engine(volume)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    else:
        from napari_sam_adapter.cli import main as command_line

        options = ["--device", "cpu", *WAYS[way]]
        try:
            command_line(["predict", str(volume), "--out", str(volume.parent / "out"), *options])
        except SystemExit as ended:
            if ended.code:
                raise
        used = resource.getrusage(resource.RUSAGE_SELF)
        masks = written_masks(volume.parent / "out")
    marked = [int(np.count_nonzero(mask)) for mask in masks]
    cpu_s = used.ru_utime + used.ru_stime
    print(json.dumps({"mib": used.ru_maxrss / 1024, "cpu_s": cpu_s, "marked": marked}))


def written_masks(folder: Path) -> Iterator[np.ndarray]:
    """Read the only file of a folder, slice by slice."""
    import nibabel

    (path,) = folder.iterdir()
    masks = nibabel.load(path).dataobj
    for number in range(masks.shape[2]):
        yield np.asarray(masks[:, :, number])


def through_the_engine(volume: Path) -> np.ndarray:
    """Predict as the dock does: slices to another process, masks into one array."""
    from napari_sam_adapter.data.opening import open_image
    from napari_sam_adapter.engine.predict_slices import predict_slices
    from napari_sam_adapter.engine.predictor import ModelReference, Predictor
    from napari_sam_adapter.volumes.slice_source import SliceSource

    source = SliceSource(open_image(volume).data, is_colour=False)
    masks = np.zeros(source.shape, np.uint8)
    predictor = Predictor()
    model = ModelReference("lite_medsam", device="cpu")
    for found in predict_slices(predictor, source, list(source.indices()), model, lambda: False):
        masks[found.index] = found.labels
    predictor.close()
    return masks


if __name__ == "__main__":
    main()
