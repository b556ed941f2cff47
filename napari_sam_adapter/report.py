"""A contact sheet of results: something to look at, not to read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_sam_adapter.storage import write_atomically

TILE = 224
MARGIN = 12
HEADER = 34
CAPTION = 20
BACKGROUND = (250, 250, 250)
INK = (30, 30, 30)
MASK_COLOUR = (0, 200, 255)
TRUTH_COLOUR = (80, 220, 60)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One line of the sheet.

    Attributes
    ----------
    name : str
    image : ndarray, shape (Y, X) or (Y, X, 3)
    masks : sequence of (caption, mask)
        Masks are bool, (Y, X); each becomes a tile with its outline.
    truth : ndarray of bool, shape (Y, X)
    """

    name: str
    image: np.ndarray
    masks: Sequence[tuple[str, np.ndarray]]
    truth: np.ndarray


def write_contact_sheet(
    path: Path, title: str, columns: Sequence[str], rows: Sequence[SheetRow]
) -> None:
    """Draw rows of image, masks and truth, and write them as a PNG.

    Parameters
    ----------
    path : Path
    title : str
    columns : sequence of str
        Headings: one for the image, one per mask, one for the truth.
    rows : sequence of SheetRow

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    n_columns = 2 + max(len(row.masks) for row in rows)
    width = MARGIN + n_columns * (TILE + MARGIN)
    height = 2 * HEADER + len(rows) * (TILE + CAPTION + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 8), title, INK, ImageFont.load_default(18))
    for index, heading in enumerate(columns):
        x = MARGIN + index * (TILE + MARGIN)
        draw.text((x, HEADER + 8), heading, INK, ImageFont.load_default(15))
    for number, row in enumerate(rows):
        _draw_row(sheet, 2 * HEADER + number * (TILE + CAPTION + MARGIN), row)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def _draw_row(sheet: Image.Image, top: int, row: SheetRow) -> None:
    draw = ImageDraw.Draw(sheet)
    picture = as_rgb(row.image)
    tiles = [(row.name, picture)]
    tiles += [(caption, outlined(picture, mask, MASK_COLOUR)) for caption, mask in row.masks]
    tiles.append(("", outlined(picture, row.truth, TRUTH_COLOUR)))
    for index, (caption, tile) in enumerate(tiles):
        x = MARGIN + index * (TILE + MARGIN)
        image = Image.fromarray(tile)
        image.thumbnail((TILE, TILE))
        sheet.paste(image, (x, top))
        draw.text((x, top + TILE + 2), caption, INK, ImageFont.load_default(13))


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return any slice as uint8 (Y, X, 3), stretched from its minimum to its maximum."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    low, high = float(values.min()), float(values.max())
    if image.dtype != np.uint8:
        values = (values - low) / max(high - low, 1e-12) * 255
    rgb = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=-1)
    return np.ascontiguousarray(rgb[..., :3].astype(np.uint8))


def outlined(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Draw the outline of a mask on a uint8 (Y, X, 3) picture, with a light fill."""
    result = picture.copy()
    thickness = max(1, round(max(mask.shape) / 128))
    inner = ndimage.binary_erosion(mask, iterations=thickness)
    result[mask] = (0.8 * picture[mask] + 0.2 * np.array(colour)).astype(np.uint8)
    result[mask & ~inner] = colour
    return result
