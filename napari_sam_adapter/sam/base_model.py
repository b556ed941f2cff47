"""What a base model is: how it takes slices, where its weights are, how it is built. No torch.

Building a model imports torch; asking it anything else does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam_adapter.adapter.card import AdapterCard
from napari_sam_adapter.adapter.config import AdapterConfig
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.input_format import Fit, Normalisation
from napari_sam_adapter.sam.weight_files import WeightFile

if TYPE_CHECKING:
    from napari_sam_adapter.sam.base import BaseSam

SMALLEST_SIZE, LARGEST_SIZE = 64, 2048


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A frozen base model.

    Attributes
    ----------
    name : str
        ``sam_vit_b``; with a file of the person's own, ``sam_vit_b@/path/to/file.pth``.
    architecture : str
        Key of `build.ARCHITECTURES`.
    weights : WeightFile
        Its hash names the model in adapter files.
    input_sizes : tuple of int
        Sides S of the square encoder input that are offered, in pixels.
    size_step : int
        Other sizes are possible if this divides them; 0 where there are none.
    standing_prompt : str
        What the mask decoder is asked when the person gives no prompt: ``"whole_image_box"`` for
        models that answer only to boxes, ``"none"`` for SAM's no-mask embedding alone.
    normalisation, fit : str
        How slices are brought into the input, see `InputFormat`.
    adapter : AdapterConfig
        The adapter it gets unless another is asked for.
    answers_points : bool
        Whether points mean something to it before an adapter is trained with prompts.
    views : int
        How many views of a slice its adapters average, unless told otherwise; see `views_for`.
    mask_stride : int
        Input pixels per pixel of the low-res masks along each side.
    """

    name: str
    title: str
    licence: str
    source: str
    citation: str
    architecture: str
    weights: WeightFile
    input_sizes: tuple[int, ...]
    default_input_size: int
    standing_prompt: str
    normalisation: Normalisation
    fit: Fit
    adapter: AdapterConfig
    size_step: int = 0
    answers_points: bool = True
    views: int = 1
    mask_stride: int = 4

    @property
    def short_name(self) -> str:
        """The name without the file."""
        return self.name.partition("@")[0]

    def views_for(self, card: AdapterCard | None) -> int:
        """Return how many views to predict from: several only where mirror images were trained on.

        Parameters
        ----------
        card : AdapterCard or None
            The adapter's; None for the base model alone.
        """
        return self.views if card is not None and card.knows_mirror_images else 1

    def input_size_for(self, slice_shape: tuple[int, int]) -> int:
        """Return the input size at which slices are best trained on.

        The smallest one whose masks are as fine as the slices, at most the usual one: enlarging
        small slices costs time and shows nothing new (docs/recipe.md).

        Parameters
        ----------
        slice_shape : tuple of int
            (Y, X) of the largest slice.
        """
        needed = max(slice_shape) * self.mask_stride
        fine = [size for size in self.input_sizes if needed <= size < self.default_input_size]
        return min(fine, default=self.default_input_size)

    def check_weights_are_here(self) -> None:
        """Refuse a model whose weights were not downloaded yet.

        Raises
        ------
        WeightsError
            With where to get them, and where to put them.
        """
        if not self.weights.locate().is_file() and self.weights.url:
            raise WeightsError(
                f"The weights of {self.name} are not on this machine yet. Download them with "
                f"'napari-sam-adapter models fetch {self.name}' (or in the dock), or copy "
                f"{self.weights.name} to {self.weights.locate().parent}."
            )

    def check_weights(self) -> None:
        """Refuse weights that cannot be built from, by the names and shapes in their file.

        Raises
        ------
        WeightsError
            As `build`, which takes longer.
        """
        from napari_sam_adapter.sam.build import check_weights

        self.check_weights_are_here()
        file, sha256, size = self.weights.locate(), self.weights.sha256, self.default_input_size
        check_weights(self.architecture, file, sha256, size, asked=self.short_name)

    def build(self, input_size: int) -> BaseSam:
        """Build the model with its weights.

        Raises
        ------
        WeightsError
            If the weights are missing, altered, or do not fit the architecture.
        """
        from napari_sam_adapter.sam.build import build_base

        self.check_weights_are_here()
        file, sha256 = self.weights.locate(), self.weights.sha256
        return build_base(self.architecture, file, sha256, input_size, asked=self.short_name)


def check_input_size(model: BaseModel, input_size: int) -> None:
    """Refuse an input size that a base model does not offer.

    Raises
    ------
    WeightsError
        With the sizes that are offered.
    """
    if input_size in model.input_sizes:
        return
    step = model.size_step
    if step and input_size % step == 0 and SMALLEST_SIZE <= input_size <= LARGEST_SIZE:
        return
    offered = ", ".join(str(size) for size in model.input_sizes)
    others = f" (or another multiple of {step} up to {LARGEST_SIZE})" if step else ""
    raise WeightsError(f"{model.name} takes input sizes {offered}{others}, not {input_size}.")
