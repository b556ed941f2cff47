"""Bad input ends with exit code 2 and one clear line, never with a traceback."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.cli import main
from napari_sam_adapter.cli.console import print_json
from napari_sam_adapter.data.synthetic import synthetic_polyps


@pytest.fixture
def where(tmp_path, monkeypatch) -> Path:
    """Work in a folder with good and bad input."""
    stack = synthetic_polyps(2, (40, 48), seed=6)
    for name in ("images", "masks", "one_mask", "texts", "blank"):
        (tmp_path / name).mkdir()
    for index, (frame, mask) in enumerate(zip(stack.frames, stack.masks, strict=True)):
        Image.fromarray(frame).save(tmp_path / "images" / f"frame{index}.png")
        Image.fromarray(255 * mask).save(tmp_path / "masks" / f"frame{index}.png")
        Image.fromarray(0 * mask).save(tmp_path / "blank" / f"frame{index}.png")
    Image.fromarray(mask).save(tmp_path / "one_mask" / "frame0.png")
    for index in range(2):
        (tmp_path / "texts" / f"frame{index}.png").write_text("no image")
    (tmp_path / "broken.safetensors").write_text("no adapter")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAIN = "train --images images --masks masks --out a.safetensors --steps 1"
EVALUATE = "evaluate --images images --masks masks"


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("predict nowhere.png --out out", "There is no file nowhere.png"),
        ("predict texts --out out", "frame0.png could not be read as an image"),
        ("predict images --out out --model sam3", "no base model named 'sam3'"),
        ("predict images --out out --adapter broken.safetensors", "broken.safetensors is not a"),
        ("predict images --out out --adapter gone.safetensors", "no adapter file at gone"),
        ("predict images --out out --device gpu", "no device 'gpu'"),
        ("predict images masks --out out", "would both write"),
        (
            "predict blank/frame0.png --out out",
            "frame0.png: Every pixel of this slice has the same value",
        ),
        ("predict images --out broken.safetensors", "broken.safetensors"),
        ("evaluate --images nowhere --masks masks", "There is no folder nowhere"),
        ("evaluate --images images --masks one_mask", "no mask for frame1"),
        ("evaluate --images one_mask --masks masks", "no image for frame1"),
        ("evaluate --images images --masks texts", "frame0.png could not be read"),
        (f"{EVALUATE} --adapter broken.safetensors", "broken.safetensors is not a readable"),
        (f"{EVALUATE} --protocol both", "must be one of original, paper, got 'both'"),
        (f"{EVALUATE} --spacing 1;2", "numbers with commas between, like 3,0.5,0.5, got '1;2'"),
        (f"{EVALUATE} --spacing 1,0", "must be a positive number, got 1,0"),
        (f"{EVALUATE} --surface-tolerance -1", "must be a distance of 0 or more, got -1"),
        (f"{EVALUATE} --surface --protocol paper", "distances mean nothing"),
        (f"{TRAIN} --gear turbo", "gear must be one of quick, late, full, got 'turbo'"),
        (f"{TRAIN} --model sam3", "no base model named 'sam3'"),
        (f"{TRAIN} --init broken.safetensors", "broken.safetensors is not a readable"),
        (f"{TRAIN} --input-size 100", "192, 224, 256, not 100"),
        (f"{TRAIN} --max-images 0", "--max-images must be at least 1"),
        (f"{TRAIN} --seed -1", "seed"),
        (f"{TRAIN} --max-images 1 --seed -1", "seed"),
        ("train --images images --masks masks --out a --steps 0", "--steps must be at least 1"),
        ("train --images images --masks masks --out a --gear fast", "--gear must be one of quick"),
        ("train --images images --masks masks --out a --minutes 0", "must be a number above 0"),
        (
            "train --images images --masks blank --out a --steps 1",
            "Every mask to train on is empty",
        ),
        ("train --images images --masks one_mask --out a --steps 1", "no mask for frame1"),
        ("adapters show broken.safetensors", "broken.safetensors is not a readable"),
        ("demo --headless --images images", "--images and --masks go together"),
        ("demo --headless --images images --masks masks", "at least 8 slices"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(command, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    assert message in lines[0]


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_masks_never_replace_the_images_they_are_predicted_from(where, capsys, folder):
    picture = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    source = where / folder / "scan.tif"
    tifffile.imwrite(source, picture)
    with pytest.raises(SystemExit):
        main(["predict", str(source), "--out", folder])
    assert "would be overwritten by the masks" in capsys.readouterr().err
    np.testing.assert_array_equal(tifffile.imread(source), picture)


def test_a_file_in_a_closed_folder_is_told_in_one_line(where, capsys, monkeypatch):
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(SystemExit) as ended:
        main(["predict", "images/frame0.png", "--out", "out"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == "Error: images/frame0.png may not be read or written (Permission denied).\n"


def test_corrected_masks_are_never_replaced_by_those_that_heed_them(where, capsys):
    volume = np.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=np.uint8)
    corrected = np.zeros(volume.shape, np.uint8)
    corrected[1, 10:20, 10:20] = 1
    (where / "out").mkdir()
    tifffile.imwrite(where / "scan.tif", volume)
    tifffile.imwrite(where / "out" / "scan.tif", corrected)
    with pytest.raises(SystemExit):
        main(["predict", "scan.tif", "--out", "out", "--corrected", "out/scan.tif"])
    assert "scan.tif would be overwritten by the masks" in capsys.readouterr().err
    np.testing.assert_array_equal(tifffile.imread(where / "out" / "scan.tif"), corrected)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("out", ["images", "broken.safetensors/a.safetensors"])
def test_a_file_that_cannot_be_written_is_told_before_training(monkeypatch, capsys, out):
    def train(*_: object, **__: object) -> None:
        pytest.fail("minutes of training would have been lost")

    monkeypatch.setattr("napari_sam_adapter.training.loop.train_adapter", train)
    with pytest.raises(SystemExit) as ended:
        main(f"train --images images --masks masks --out {out}".split())
    assert ended.value.code == 2
    assert out.partition("/")[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["[bold]a[/].png", "scan:dog:1.png", "ü\\.png", "a\tb"])
def test_json_keeps_every_name_as_it_is(name, capsys):
    print_json({"name": name})
    assert json.loads(capsys.readouterr().out) == {"name": name}


def test_an_error_keeps_every_name_as_it_is(tmp_path, capsys):
    name = "[bold]scan:dog:1.png"
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path / name), "--out", str(tmp_path)])
    assert name in capsys.readouterr().err


def test_a_page_that_cannot_be_read_is_named_and_leaves_no_mask(where, capsys):
    pages = np.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=np.uint8)
    tifffile.imwrite(where / "scan.tif", pages, compression="zlib")
    with tifffile.TiffFile(where / "scan.tif") as file:
        start = file.pages[3].dataoffsets[0]
    with (where / "scan.tif").open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(16))
    with pytest.raises(SystemExit) as ended:
        main(["predict", "scan.tif", "--out", "out"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "scan.tif, slice 3, could not be read" in line
    assert list((where / "out").iterdir()) == []
