"""Windows of a TIFF page: only the tiles or strips that a window touches are read and decoded."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sam_adapter.data.lazy import Window


def read_window(page: Any, window: Window) -> np.ndarray:
    """Read a part of a page.

    Parameters
    ----------
    page : tifffile.TiffPage or TiffFrame
        Of a file that is open, and of shape (Y, X), or (Y, X, S) with the samples of a pixel beside
        each other.
    window : Window
        Rows and columns, inside of the page.

    Returns
    -------
    ndarray, shape (h, w) or (h, w, S)
    """
    rows, columns = window
    keyframe = page.keyframe
    if keyframe.is_tiled:
        height, width = keyframe.tilelength, keyframe.tilewidth
    else:
        height, width = keyframe.rowsperstrip, keyframe.imagewidth
    n_across = -(-keyframe.imagewidth // width)
    touched = [
        down * n_across + across
        for down in range(rows.start // height, -(-rows.stop // height))
        for across in range(columns.start // width, -(-columns.stop // width))
    ]
    offsets = [page.dataoffsets[number] for number in touched]
    sizes = [page.databytecounts[number] for number in touched]
    *_, n_samples = keyframe.shaped
    size = rows.stop - rows.start, columns.stop - columns.start
    # What a file leaves out has the value that it says stands for nothing.
    found = np.full((*size, n_samples), keyframe.nodata, keyframe.dtype)
    for packed, number in page.parent.filehandle.read_segments(offsets, sizes, touched):
        segment, (_, _, top, left, _), _ = keyframe.decode(
            packed, number, jpegtables=page.jpegtables, jpegheader=keyframe.jpegheader
        )
        if segment is None:
            continue
        pixels = segment[0, : rows.stop - top, : columns.stop - left]
        pixels = pixels[max(0, rows.start - top) :, max(0, columns.start - left) :]
        y, x = max(0, top - rows.start), max(0, left - columns.start)
        found[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return found.reshape(*size, *page.shape[2:])
