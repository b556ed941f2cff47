"""Links that lead to nothing: what git-annex has not fetched, or lies on a drive that is not there.

They look like no files at all, so what they stand for would be missing without a word.
"""

from __future__ import annotations

from pathlib import Path

from napari_sam_adapter.errors import ImageError


def check_links(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Refuse a folder with an image that is a link to nothing; return the other such links.

    Parameters
    ----------
    folder : Path
    endings : tuple of str
        Of the names of images, in small letters.

    Raises
    ------
    ImageError
        With the link's name and what to do.
    """
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    dead = [path for path in inside if path.is_symlink() and not path.exists()]
    for path in dead:
        if path.name.lower().endswith(endings):
            raise ImageError(
                f"{path.name} in {folder} is a link that leads to nothing. Fetch the file, connect "
                "the drive that it is on, or take the link out of the folder."
            )
    return dead
