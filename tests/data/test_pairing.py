"""Folders of images, paired with folders of masks."""

import errno
import unicodedata
from pathlib import Path

import pytest

from napari_sam_adapter.data.files import list_images, pair_by_stem
from napari_sam_adapter.errors import ImageError


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_images_are_paired_with_masks_by_stem(tmp_path):
    images = touched(tmp_path / "images", "b.jpg", "a.png", "notes.txt")
    masks = touched(tmp_path / "masks", "a.tif", "b.PNG")
    found = [(image.name, mask.name) for image, mask in pair_by_stem(images, masks)]
    assert found == [("a.png", "a.tif"), ("b.jpg", "b.PNG")]


def test_letters_with_accents_are_the_same_however_a_system_writes_them(tmp_path):
    names = [unicodedata.normalize(form, "Müller.png") for form in ("NFD", "NFC")]
    images = touched(tmp_path / "images", names[0])
    masks = touched(tmp_path / "masks", names[1])
    assert pair_by_stem(images, masks) == [(images / names[0], masks / names[1])]


@pytest.mark.parametrize(
    ("image_names", "mask_names", "message"),
    [
        (["a.png", "b.png"], ["a.png"], "no mask for b"),
        (["a.png"], ["a.png", "c.png"], "no image for c"),
        (["a.png", "b.png"], ["a.png", "c.png"], "no mask for b and no image for c"),
        (["a.png", "a.jpg"], ["a.png"], r"a\.jpg and a\.png have the same file stem"),
        ([f"{i}.png" for i in range(9)], ["1.png"], "no mask for 0, 2, 3, 4, 5 and 3 more"),
    ],
)
def test_files_that_cannot_be_paired_are_named(tmp_path, image_names, mask_names, message):
    images = touched(tmp_path / "images", *image_names)
    masks = touched(tmp_path / "masks", *mask_names)
    with pytest.raises(ImageError, match=message):
        pair_by_stem(images, masks)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no folder .*nowhere"):
        list_images(tmp_path / "nowhere")


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ImageError, match="holds no image"):
        list_images(touched(tmp_path / "texts", "notes.txt"))


def test_folders_and_hidden_files_are_no_images(tmp_path):
    folder = touched(tmp_path / "images", "a.png", "._a.png")
    (folder / "old.png").mkdir()
    assert [path.name for path in list_images(folder)] == ["a.png"]


def test_an_image_that_is_a_link_to_nothing_is_not_left_out_without_a_word(tmp_path, caplog):
    folder = touched(tmp_path / "images", "a.png")
    (folder / "case").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in list_images(folder)] == ["a.png"]
    assert f"case in {folder} is a link that leads to nothing: left out." in caplog.messages
    (folder / "b.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match=r"b\.png in .*images is a link that leads to nothing"):
        list_images(folder)


def close(monkeypatch, closed: Path) -> None:
    """Refuse looks into a folder, as the system does to all but root."""
    look, stat = Path.iterdir, Path.stat

    def checked_look(folder):
        if folder == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return look(folder)

    def checked_stat(path, **options):
        if path.parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "iterdir", checked_look)
    monkeypatch.setattr(Path, "stat", checked_stat)


def test_a_closed_folder_beside_images_is_left_out_and_named(tmp_path, monkeypatch, caplog):
    folder = touched(tmp_path / "images", "a.png")
    (folder / "lost+found").mkdir()
    close(monkeypatch, folder / "lost+found")
    assert list_images(folder) == [folder / "a.png"]
    assert caplog.messages == [f"{folder / 'lost+found'} may not be looked into: left out."]


@pytest.mark.parametrize("name", [".", "images"])
def test_a_folder_that_may_not_be_read_is_told_in_a_sentence(tmp_path, monkeypatch, name):
    folder = touched(tmp_path / "images", "a.png")
    close(monkeypatch, tmp_path / name)
    with pytest.raises(ImageError, match=r"images.* could not be read \(Permission denied\)\."):
        list_images(folder)
