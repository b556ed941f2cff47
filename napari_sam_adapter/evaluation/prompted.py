"""How well prompts work: boxes and clicks derived from the truth, for evaluation only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from napari_sam_adapter.errors import EvaluationError
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.training.simulated_prompts import object_boxes

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam
    from napari_sam_adapter.sam.encode import ImageEmbedding
    from napari_sam_adapter.sam.predict import MaskPrediction

MAX_CLICKS = 20


@dataclass(frozen=True, slots=True)
class PromptProtocol:
    """Which prompts a simulated person gives.

    Attributes
    ----------
    kind : {"boxes", "clicks"}
        ``boxes``: the exact bounding box of each object. ``clicks``: one after another, each in the
        middle of the largest error that is left.
    n_clicks : int
    """

    kind: Literal["boxes", "clicks"]
    n_clicks: int = 0

    @classmethod
    def parse(cls, text: str) -> PromptProtocol:
        """Read ``boxes`` or ``clicks:N``.

        Raises
        ------
        EvaluationError
            If it is neither.
        """
        kind, _, number = text.partition(":")
        if kind == "boxes" and not number:
            return cls("boxes")
        if kind == "clicks" and number.isdecimal() and 1 <= int(number) <= MAX_CLICKS:
            return cls("clicks", int(number))
        raise EvaluationError(
            f"--prompts must be boxes, or clicks:N with N from 1 to {MAX_CLICKS}, got {text!r}."
        )


def decode_prompted(
    model: AdaptedSam,
    image: np.ndarray,
    embedding: ImageEmbedding,
    truth: np.ndarray,
    protocol: PromptProtocol,
) -> MaskPrediction:
    """Predict a slice as somebody would who knows the truth and gives prompts.

    Parameters
    ----------
    model : AdaptedSam
        Of a single class.
    image : ndarray, shape (Y, X) or (Y, X, 3)
    embedding : ImageEmbedding
        Of that image.
    truth : ndarray of bool, shape (Y, X)
    protocol : PromptProtocol

    Raises
    ------
    EvaluationError
        If the model knows several classes.
    """
    from napari_sam_adapter.sam.encode import for_prompts
    from napari_sam_adapter.sam.predict import decode_masks

    if model.settings.n_classes > 1:
        raise EvaluationError("Prompts are scored for adapters of one class only.")
    truth = truth != 0
    if protocol.kind == "boxes" and truth.any():
        boxes = boxes_of(truth)
        return decode_masks(model, for_prompts(model, image, embedding, boxes), boxes)
    *_, last = click_through(model, embedding, truth, protocol.n_clicks)
    return last


def click_through(
    model: AdaptedSam, embedding: ImageEmbedding, truth: np.ndarray, n_clicks: int
) -> Iterator[MaskPrediction]:
    """Predict, click into the middle of the largest error, predict again, and so on.

    Yields
    ------
    MaskPrediction
        Without clicks, with the first, with the first two ...; ends early where nothing is wrong.
    """
    from napari_sam_adapter.sam.predict import decode_masks

    prediction = decode_masks(model, embedding)
    yield prediction
    points: list[tuple[int, int]] = []
    is_object: list[bool] = []
    for _ in range(n_clicks):
        click = next_click(truth, prediction.mask)
        if click is None:
            return
        points.append(click)
        is_object.append(bool(truth[click[1], click[0]]))
        prompts = Prompts(points=np.array(points, np.float32), is_object=np.array(is_object))
        prediction = decode_masks(model, embedding, prompts)
        yield prediction


def boxes_of(mask: np.ndarray) -> Prompts:
    """Return the exact bounding box of each connected object of a mask."""
    return Prompts(object_boxes(mask))


def next_click(truth: np.ndarray, predicted: np.ndarray) -> tuple[int, int] | None:
    """Return x, y of the middle of the largest connected error; None where nothing is wrong.

    Missed and invented parts are told apart: they are clicked as object and as background.
    """
    best: tuple[int, np.ndarray] | None = None
    for error in (truth & ~predicted, predicted & ~truth):
        components, count = ndimage.label(error)
        if count:
            sizes = np.bincount(components.ravel())[1:]
            largest = int(sizes.argmax())
            if best is None or sizes[largest] > best[0]:
                best = int(sizes[largest]), components == largest + 1
    if best is None:
        return None
    depth = ndimage.distance_transform_edt(np.pad(best[1], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)
