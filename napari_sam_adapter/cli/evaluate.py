"""``napari-sam-adapter evaluate``."""

from __future__ import annotations

from rich.table import Table

from napari_sam_adapter.cli import options
from napari_sam_adapter.cli.console import output, print_json, progress_bar
from napari_sam_adapter.data.files import pair_by_stem
from napari_sam_adapter.evaluation import Evaluation, evaluate_pairs


def evaluate(
    images: options.Images,
    masks: options.Masks,
    adapter: options.Adapter = None,
    model: options.Model = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Score predictions against masks: mean Dice and IoU per image, at original size.

    Example: [bold]napari-sam-adapter evaluate --images val/images --masks val/masks
    --adapter polyps.safetensors[/]
    """
    pairs = pair_by_stem(images, masks)
    sam = options.load_model(adapter, model, device)
    scores = []
    with progress_bar() as progress:
        task = progress.add_task("Evaluating", total=len(pairs))
        for score in evaluate_pairs(sam, pairs):
            scores.append(score)
            progress.advance(task)
    result = Evaluation(tuple(scores))
    if as_json:
        print_json(
            {
                "n": result.n,
                "dice": result.dice,
                "iou": result.iou,
                "seconds_per_image": result.seconds_per_image,
                "per_image": [
                    {"name": s.name, "dice": s.dice, "iou": s.iou, "seconds": s.seconds}
                    for s in result.per_image
                ],
            }
        )
        return
    table = Table("images", "mean Dice", "mean IoU", "seconds per image")
    table.add_row(
        str(result.n), f"{result.dice:.4f}", f"{result.iou:.4f}", f"{result.seconds_per_image:.3f}"
    )
    output.print(table)
