"""What is remembered of the images in a viewer while a project is open, for their records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from napari.layers import Image

from napari_sam_adapter.widgets.record.pixel_keeping import path_of

if TYPE_CHECKING:
    import napari

    from napari_sam_adapter.project.image_identity import ImageIdentity
    from napari_sam_adapter.project.image_record import ImageRecord


class ImageNotes:
    """Which images are known by what, and which records are not to be opened for them.

    Parameters
    ----------
    layers : LayerList
        Of the viewer.
    """

    def __init__(self, layers: napari.components.LayerList) -> None:
        self._layers = layers
        # Whoever deletes a masks layer wants to be rid of it, until the image is opened again.
        self._dismissed: WeakKeyDictionary[Image, set[Path]] = WeakKeyDictionary()
        # Images that were opened for the sake of one record.
        self._expected: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
        self._identities: WeakKeyDictionary[Image, ImageIdentity] = WeakKeyDictionary()
        # As what their masks were recorded last.
        self._recorded_as: WeakKeyDictionary[Image, ImageIdentity] = WeakKeyDictionary()
        # Images that are not any more what their file holds.
        self._replaced: WeakSet[Image] = WeakSet()

    def forget_records(self) -> None:
        """Begin anew for another project; images stay what they are."""
        self._dismissed.clear()
        self._expected.clear()

    def expect(self, image: Image, folder: Path) -> None:
        """Let an image without masks get those of this record next."""
        self._expected[image] = folder
        self._dismissed.get(image, set()).discard(folder)

    def take_expected(self, image: Image) -> Path | None:
        """Return what was expected of an image, once."""
        return self._expected.pop(image, None)

    def dismiss(self, image: Image, folder: Path) -> None:
        """Do not open this record for the image again."""
        self._dismissed.setdefault(image, set()).add(folder)

    def dismissed(self, image: Image) -> set[Path]:
        """Return the records whose masks layers were deleted."""
        return self._dismissed.get(image, set())

    def replaced(self, image: Image) -> None:
        """Take note that other pixels were put into an image layer."""
        self._replaced.add(image)
        self._identities.pop(image, None)

    def identified(self, image: Image, identity: ImageIdentity) -> None:
        """Take note by what an image is known."""
        self._identities[image] = identity

    def identity_of(self, image: Image) -> ImageIdentity | None:
        """Return by what an image is known; None where that was not looked for, or not yet."""
        return self._identities.get(image)

    def path_of(self, image: Image) -> str | None:
        """Return the file or folder that holds an image, if any does."""
        return None if image in self._replaced else path_of(image)

    def opened(self, image: Image, record: ImageRecord) -> str:
        """Take note of an image's record; return a sentence where it was another image before."""
        identity = record.identity
        before, self._recorded_as[image] = self._recorded_as.get(image, identity), identity
        if before.is_same(identity):
            return ""
        return (
            f"Other pixels were put into {image.name!r}: its masks are recorded anew, in "
            f"{record.folder.name}. What was recorded before stays as it was."
        )

    def known_as(self, identity: ImageIdentity) -> Image | None:
        """Return the layer of an image that is known so; None where there is none."""
        for image, known in self._identities.items():
            if known.is_same(identity) and image in self._layers:
                return image
        return None
