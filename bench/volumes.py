"""Rows of volumes: slices a second against a plain loop over stock, and memory of a long one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch.nn import functional

from bench.encoders import stock_lite_medsam
from bench.measuring import (
    NO_BF16,
    FailedError,
    NotEqualError,
    Row,
    as_in_the_product,
    as_published,
    interleaved,
    say,
)
from bench.table import Line, lines_of
from napari_sam_adapter.ahead import ahead
from napari_sam_adapter.cli.predicted_stack import PredictedStack
from napari_sam_adapter.data.export import export_masks
from napari_sam_adapter.data.opening import open_image
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.file_prediction import predict_files
from napari_sam_adapter.sam.adapted import AdaptedSam, ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.devices import decide_bfloat16, uses_bfloat16
from napari_sam_adapter.sam.preprocess import encoder_input, logits_at_original_size
from napari_sam_adapter.volumes.slice_source import SliceSource
from napari_sam_adapter.volumes.volume_help import VolumeHelp

N_SLICES, SIDE, INPUT_SIZE = 6, 512, 256
# Five would not fit into the ten minutes of a part with the long volume, beside other work.
ROUNDS = 4
LEAST_IOU = {"fp32": 0.9999, "bf16": 0.99}
SHORT, LONG, WAY = 64, 1024, "predict"


def rows() -> Iterator[Row]:
    """Measure both."""
    throughput, memory = lines_of("volume")
    say(f"Volume of {N_SLICES} slices of {SIDE} px from disk to disk, {INPUT_SIZE} px input")
    yield _throughput(throughput)
    say(f"Peak memory of `{WAY}`, {SHORT} and {LONG} slices of {SIDE} px, 128 px input")
    short, long = _peaks()
    yield memory.row(long / short, f"`{WAY}`: {short:.0f} MiB and {long:.0f} MiB")


def _throughput(line: Line) -> Row:
    if not uses_bfloat16(torch.device("cpu")):
        return line.row(None, NO_BF16)
    settings = ModelSettings.default("lite_medsam", INPUT_SIZE)
    stock, ours = stock_lite_medsam(), build_adapted_sam(settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume, plain, fast = (folder / f"{x}.nii.gz" for x in ("volume", "plain", "fast"))
        write_volume(volume)
        predict_stock(stock, ours.settings, volume, plain)
        for precision in ("fp32", "bf16"):
            run(ours, volume, fast, precision)
            check_masks(f"ours, {precision}", masks_in(fast), masks_in(plain), precision)
        took = interleaved(
            {
                "plain loop over stock, fp32": as_published(
                    partial(predict_stock, stock, ours.settings, volume, plain)
                ),
                "ours, fp32": as_in_the_product(partial(run, ours, volume, fast, "fp32")),
                "ours, bf16": as_in_the_product(partial(run, ours, volume, fast, "bf16")),
            },
            ROUNDS,
            twice=False,
        )
    decide_bfloat16(None)
    base, fp32, bf16 = took.values()
    note = (
        f"{N_SLICES / base.wall:.1f} and {N_SLICES / bf16.wall:.1f} slices/s; "
        f"wall {base.wall / bf16.wall:.2f}x; in fp32 {base.cpu / fp32.cpu:.2f}x"
    )
    return line.row(base.cpu / bf16.cpu, note)


def write_volume(path: Path) -> None:
    """Write grey synthetic frames as one volume."""
    frames = synthetic_polyps(N_SLICES, (SIDE, SIDE), seed=5).frames
    grey = frames.mean(-1).round().astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(grey.transpose(2, 1, 0), np.eye(4)), path)


def run(model: AdaptedSam, volume: Path, out: Path, precision: str) -> None:
    """Predict a volume as the command does, with the base model."""
    decide_bfloat16(precision == "bf16")

    def stream_of(should_stop: Any) -> Any:
        return predict_files(
            model, [volume], 1, lambda image: VolumeHelp(), should_stop=should_stop
        )

    with ahead(stream_of) as stream:
        stack = PredictedStack(stream, model.settings.class_names, instances=False)
        export_masks(out, stack.masks, stack.geometry, model.settings.class_names)


def predict_stock(stock: Any, settings: ModelSettings, volume: Path, out: Path) -> None:
    """Predict a volume slice by slice with the published model, as one would write it down."""
    image = open_image(volume)
    source = SliceSource(image.data, is_colour=False)
    masks = np.zeros(source.shape, np.uint8)
    with torch.inference_mode():
        for index in source.indices():
            x, geometry = encoder_input(source.read(index), settings.input_format)
            height, width = geometry.content_hw
            low_res = stock(x, torch.tensor([[0.0, 0.0, width - 1.0, height - 1.0]]))
            logits = functional.interpolate(low_res, x.shape[-2:], mode="bilinear")
            logits = logits_at_original_size(logits, geometry)
            masks[index] = (logits[0, 0] > 0).numpy()
    export_masks(out, masks, image.geometry)


def masks_in(path: Path) -> np.ndarray:
    """Read masks back."""
    return np.asarray(nibabel.load(path).dataobj) > 0


def check_masks(name: str, found: np.ndarray, expected: np.ndarray, precision: str) -> None:
    """Compare masks of a volume with those of the plain loop.

    Raises
    ------
    NotEqualError
        If their intersection over union is below what the precision allows.
    """
    together = (found | expected).sum()
    iou = float((found & expected).sum() / together) if together else 0.0
    say(
        f"  {name}: mask IoU {iou:.5f} (at least {LEAST_IOU[precision]}), {found.mean():.1%} marked"
    )
    if iou < LEAST_IOU[precision]:
        raise NotEqualError(f"the masks of {name} have an IoU of {iou:.5f} with stock's")


def _peaks() -> tuple[float, float]:
    short, long = predicted(SHORT, LONG)
    check_all_predicted(short, long)
    return short["mib"], long["mib"]


def check_all_predicted(short: Mapping[str, Any], long: Mapping[str, Any]) -> None:
    """Check that volumes have a mask for each slice; the long one begins as the short one does.

    Raises
    ------
    NotEqualError
    """
    for one in (short, long):
        if len(one["marked"]) != one["slices"]:
            raise NotEqualError(f"{len(one['marked'])} of {one['slices']} slices were predicted")
    same = long["marked"][: short["slices"]] == short["marked"]
    if not same or not all(long["marked"]):
        raise NotEqualError("a long volume's slices are predicted otherwise than a short one's")


def predicted(*counts: int) -> list[dict[str, Any]]:
    """Ask docs/measure_memory.py, which predicts volumes of so many slices in fresh processes.

    Returns
    -------
    list of dict
        ``slices``, ``mib``, ``cpu_s`` and ``marked`` of each.

    Raises
    ------
    FailedError
        With what it said.
    """
    script = Path(__file__).parents[1] / "docs" / "measure_memory.py"
    asked = ["--slices", ",".join(map(str, counts)), "--side", str(SIDE), "--ways", WAY, "--json"]
    done = subprocess.run([sys.executable, str(script), *asked], capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"docs/measure_memory.py failed:\n{done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)[WAY]
    return found
