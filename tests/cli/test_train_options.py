"""The options of train: recipe, classes, conditions, base model; what the file keeps of them."""

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.cli import main
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE
from napari_sam_adapter.training.presets import PRESETS
from napari_sam_adapter.training.run_checkpoint import RunCheckpoint
from napari_sam_adapter.versions.promotion import LEAKS


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return ended.code or 0
    return 0


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Return images and masks of two classes: 1 is the object, 2 what lies right of the middle."""
    stack = synthetic_polyps(2, (60, 80), seed=6)
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for index, (frame, mask) in enumerate(zip(stack.frames, stack.masks, strict=True)):
        labels = mask.astype(np.uint8)
        labels[:, 60:] = 2
        Image.fromarray(frame).save(images / f"frame{index}.png")
        Image.fromarray(labels).save(masks / f"frame{index}.png")
    return images, masks


@pytest.fixture
def train(folders, tmp_path):
    """Return a function that trains one quick step with options and returns the card."""

    def train_one(*options: object, name: str = "a") -> AdapterCard:
        out = tmp_path / f"{name}.safetensors"
        where = ("--images", folders[0], "--masks", folders[1], "--out", out)
        assert run("train", *where, *options) == 0
        return read_card(out)

    return train_one


def test_classes_are_named_in_the_file_and_predicted_by_number(train, folders, tmp_path):
    card = train("--classes", "polyp, right side", "--gear", "quick", "--steps", 1)
    assert card.class_names == ("polyp", "right side")
    adapter = tmp_path / "a.safetensors"
    assert run("predict", folders[0], "--out", tmp_path / "out", "--adapter", adapter) == 0
    assert set(np.unique(tifffile.imread(tmp_path / "out" / "frame0.tif"))) <= {0, 1, 2}


def test_numbered_objects_of_several_classes_come_with_a_table(train, folders, tmp_path):
    train("--classes", "polyp,right side", "--gear", "quick", "--steps", 40)
    what = ("predict", folders[0] / "frame0.png", "--adapter", tmp_path / "a.safetensors")
    assert run(*what, "--out", tmp_path / "plain") == 0
    assert run(*what, "--out", tmp_path / "numbered", "--instances") == 0
    classes, objects = (
        tifffile.imread(tmp_path / part / "frame0.tif") for part in ("plain", "numbered")
    )
    with (tmp_path / "numbered" / "frame0.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == objects.max() > 0
    for row in rows:
        here = objects == int(row["object"])
        assert row["slice"] == "0"
        assert here.sum() == int(row["pixels"])
        names = ("background", "polyp", "right side")
        assert {names[value] for value in np.unique(classes[here])} == {row["class"]}


def test_training_on_keeps_the_classes(train, tmp_path):
    train("--classes", "polyp,right side", "--gear", "quick", "--steps", 1)
    first = tmp_path / "a.safetensors"
    card = train("--init", first, "--gear", "quick", "--steps", 1, name="b")
    assert card.class_names == ("polyp", "right side")
    assert card.parent_id == read_card(first).adapter_id


def test_classes_in_another_order_than_the_adapters_are_refused(train, tmp_path, capsys):
    first = tmp_path / "a.safetensors"
    train("--classes", "polyp,right side", "--gear", "quick", "--steps", 1)
    options = ("--images", "i", "--masks", "m", "--out", "b", "--init", first, "--classes")
    for order in ("right side,polyp", "new,polyp,right side"):
        assert run("train", *options, order) == 2
        message = " ".join(capsys.readouterr().err.split())
        assert "polyp, right side" in message
        assert order.replace(",", ", ") in message
        assert "without --init" in message


def test_another_name_for_a_class_is_said(train, tmp_path, capsys):
    first = tmp_path / "a.safetensors"
    train("--gear", "quick", "--steps", 1)
    capsys.readouterr()
    card = train("--init", first, "--classes", "polyp,[wall]", "--steps", 1, name="b")
    assert card.class_names == ("polyp", "[wall]")
    said = " ".join(capsys.readouterr().err.split())
    assert "Class 1 was called object and is called polyp from now on." in said
    assert "[wall]" not in said, "a new class takes no other's name"


def test_another_name_for_a_class_is_not_said_where_nothing_is_trained(
    train, folders, tmp_path, capsys
):
    first, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    train("--gear", "quick", "--steps", 1)
    for mask in folders[1].iterdir():
        Image.fromarray(np.full((60, 80), 3, np.uint8)).save(mask)
    capsys.readouterr()
    where = ("--images", folders[0], "--masks", folders[1], "--out", out)
    assert run("train", *where, "--init", first, "--classes", "polyp,wall", "--steps", 1) == 2
    assert "is called" not in capsys.readouterr().err


def test_conditions_and_their_weights_are_kept_in_the_file(train):
    card = train("--conditions", "patch_embedding, gradient=0.5", "--gear", "quick", "--steps", 1)
    assert [(c.name, c.weight) for c in card.adapter.conditions] == [
        ("patch_embedding", 1.0),
        ("gradient", 0.5),
    ]


def test_the_bottleneck_is_as_wide_as_asked_for(train):
    card = train("--reduction", 4, "--steps", 1)
    assert card.adapter.reduction == 4
    assert card.adapter.conditions == LITE_MEDSAM.adapter.conditions


def test_another_shape_than_the_adapters_is_told_by_what_differs(train, tmp_path, capsys):
    first = tmp_path / "a.safetensors"
    train("--steps", 1)
    out = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--out", tmp_path / "b")
    options = ("--reduction", 4, "--conditions", "gradient=0.5", "--steps", 1)
    assert run("train", *out, "--init", first, *options) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "reduction: 8 there, 4 asked for" in said
    assert "conditions: patch_embedding, high_frequency there, gradient=0.5 asked for" in said
    assert "AdapterConfig" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--reduction", 4), "reduction: 8 there"), (("--classes", "a"), "more than are asked for")],
)
def test_what_cannot_be_continued_is_refused_before_any_image_is_read(
    train, folders, tmp_path, capsys, options, words
):
    train("--steps", 1, "--gear", "quick", "--classes", "polyp,right side")
    (folders[0] / "frame0.png").write_bytes(b"no picture")
    where = ("--images", folders[0], "--masks", folders[1], "--out", tmp_path / "b.safetensors")
    init = ("--init", tmp_path / "a.safetensors", "--steps", 1)
    assert run("train", *where, *init, *options) == 2
    assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model sam9", "no base model named 'sam9'"),
        ("--model sam_vit_b", "models fetch sam_vit_b"),
        ("--conditions depth", "no condition named 'depth'"),
        ("--input-size 100", "takes input sizes"),
        ("--device gpu", "no device 'gpu'"),
        ("--group-by (", "--group-by '(' is no regular expression"),
        ("--out images", "is a folder"),
        ("--out notes.txt", "notes.txt is there already and is not an adapter"),
        ("--out images/frame1.png", "frame1.png is there already and is not an adapter"),
    ],
)
def test_what_cannot_start_is_refused_before_any_image_is_looked_for(
    tmp_path, monkeypatch, folders, capsys, options, words
):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    where = ("--images", "nowhere", "--masks", folders[1], "--out", "a.safetensors")
    assert run("train", *where, "--steps", 1, *options.split()) == 2
    assert words in said(capsys)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_an_adapter_is_replaced_by_the_next_of_its_name(train):
    first, second = (train("--steps", 1, "--gear", "quick", name="same") for _ in range(2))
    assert first.adapter_id != second.adapter_id


def test_a_preset_is_the_published_recipe_unless_an_option_says_otherwise(train):
    config = train("--preset", "shadow", "--epochs", 1).training["config"]
    published = PRESETS["shadow"].config.to_dict()
    assert config == {**published, "max_epochs": 1}
    assert config["loss"] == "balanced_bce"
    assert config["decoder_learning_rate"] == 2e-4


def test_an_epoch_is_one_pass_over_the_images(train):
    assert train("--preset", "polyp", "--epochs", 3).training["steps"] == 3  # two images a step


def test_weights_of_ones_own_are_named_once_and_found_by_their_hash(
    train, folders, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    own = tmp_path / "my_medsam.pth"
    own.write_bytes(LITE_MEDSAM.weights.locate().read_bytes() + b" ")
    base, first = f"lite_medsam@{own}", tmp_path / "a.safetensors"
    card = train("--model", base, "--gear", "quick", "--steps", 1)
    assert card.base_sha256 != LITE_MEDSAM.weights.sha256
    train("--init", first, "--gear", "quick", "--steps", 1, name="b")
    adapter = ("--adapter", first, "--out", tmp_path / "out")
    assert run("predict", folders[0], *adapter) == 0
    moved = own.rename(tmp_path / "elsewhere.pth")
    assert run("predict", folders[0], *adapter) == 2
    assert "--model lite_medsam@/path/to/file.pth" in " ".join(capsys.readouterr().err.split())
    assert run("predict", folders[0], *adapter, "--model", f"lite_medsam@{moved}") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--preset nodules", "no preset 'nodules'; known are: interactive, polyp"),
        ("--classes polyp,polyp", "--classes 'polyp,polyp': each class needs a name of its own"),
        ("--classes polyp,,", "--classes 'polyp,,': "),
        ("--seed 18446744073709551616", "--seed must lie in 0 to 2**64 - 1, got 1844674407370955"),
        ("--minutes nan", "--minutes must be a number above 0, got nan"),
        ("--minutes -1", "--minutes must be a number above 0, got -1"),
        ("--reduction 0", "Error: --reduction must be at least 1, got 0."),
        ("--reduction 0 --conditions gradient", "Error: --reduction must be at least 1, got 0."),
        ("--classes polyp", ""),
        ("--classes polyp,a,b --conditions depth", "no condition named 'depth'"),
        ("--conditions gradient=much", "weight of gradient must be a number, as in gradient=0.5"),
        (
            "--conditions gradient,patch_embedding,gradient",
            "--conditions 'gradient,patch_embedding,gradient': the condition gradient is named tw",
        ),
        ("--conditions=", "--conditions '': a condition has no name"),
        ("--conditions gradient,", "a condition has no name"),
        ("--model sam9", "no base model named 'sam9'"),
        ("--model sam_vit_b@nowhere.pth", "no file of weights at"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--input-size 100", "takes input sizes"),
    ],
)
def test_options_that_cannot_be_used_end_in_one_sentence(folders, tmp_path, capsys, options, words):
    where = ("--images", folders[0], "--masks", folders[1], "--out", tmp_path / "a.safetensors")
    code = run("train", *where, *options.split(), *("--steps", 1) * ("--epochs" not in options))
    assert code == (2 if words else 0)
    assert words in " ".join(capsys.readouterr().err.split())


def test_mask_values_outside_the_classes_are_named(folders, tmp_path, capsys):
    Image.fromarray(np.full((60, 80), 7, np.uint8)).save(folders[1] / "frame1.png")
    where = ("--images", folders[0], "--masks", folders[1], "--out", tmp_path / "a.safetensors")
    assert run("train", *where, "--classes", "polyp,right side", "--steps", 1) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "frame1.png holds the value 7; with the classes polyp, right side the values 0" in said


def test_values_that_become_one_class_without_classes_are_said_once(folders, tmp_path, capsys):
    where = ("--images", folders[0], "--masks", folders[1])
    train = ("train", *where, "--out", tmp_path / "a.safetensors", "--gear", "quick", "--steps", 1)
    for command in (train, ("evaluate", *where)):
        assert run(*command) == 0
        said = capsys.readouterr().err
        assert said.count("frame0.png holds the values 1, 2: all that is not 0 counts as one") == 1
        assert "frame1.png" not in said
    assert run(*train, "--classes", "polyp,right side") == 0
    assert "counts as one class" not in capsys.readouterr().err


def test_resuming_where_no_checkpoint_is_begins_anew_and_says_so(train, tmp_path, capsys):
    train("--steps", 1, "--gear", "quick", "--resume")
    said = f"no checkpoint {tmp_path / 'a.safetensors'}.checkpoint to go on from: the run begins"
    assert said in capsys.readouterr().err
    train("--steps", 1, "--gear", "quick", name="b")
    assert "begins anew" not in capsys.readouterr().err


def test_two_runs_do_not_write_the_same_adapter(folders, train, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    command = ("train", "--images", folders[0], "--masks", folders[1], "--gear", "quick")
    with RunCheckpoint(Path(f"{out}.checkpoint")).held():  # as the first of two commands does
        assert run(*command, "--out", out, "--steps", 1) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"Another run writes {out}.checkpoint, and the adapter beside it." in said
        assert not out.exists()
        train("--steps", 1, "--gear", "quick", name="another")
    train("--steps", 1, "--gear", "quick")
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_run_starts_where_the_file_system_knows_no_locks(train, tmp_path, monkeypatch, number):
    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    lock = tmp_path / "a.safetensors.checkpoint.lock"
    lock.write_text("of a run that was killed")
    assert train("--steps", 1, "--gear", "quick").training["steps"] == 1


def test_masks_without_an_image_are_left_out_and_said(folders, train, capsys):
    for name in ("extra0", "extra1"):
        Image.fromarray(np.ones((60, 80), np.uint8)).save(folders[1] / f"{name}.png")
    train("--steps", 1, "--gear", "quick", "--json")
    err = capsys.readouterr().err
    assert f"no image in {folders[0]} for the masks extra0, extra1 in {folders[1]}: left" in err


def test_an_image_without_a_mask_is_named_with_what_to_do(folders, tmp_path, capsys):
    (folders[1] / "frame1.png").unlink()
    where = ("--images", folders[0], "--masks", folders[1])
    for command in (("train", *where, "--out", tmp_path / "a.safetensors"), ("evaluate", *where)):
        assert run(*command) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert "there is no mask for frame1. Give both files of a pair the same name, add" in err


def test_masks_without_an_image_are_no_truth_to_score_by(folders, capsys):
    (folders[0] / "frame1.png").unlink()
    assert run("evaluate", "--images", folders[0], "--masks", folders[1]) == 2
    assert "no image for frame1" in capsys.readouterr().err


def test_images_of_many_kinds_train_together(folders, tmp_path):
    """Grey, RGBA, 16-bit and float images in one folder."""
    images, masks = folders
    frame = np.asarray(Image.open(images / "frame0.png"))
    mask = np.asarray(Image.open(masks / "frame0.png"))
    grey = frame.mean(-1)
    Image.fromarray(grey.astype(np.uint8)).save(images / "grey.png")
    alpha = np.full((*frame.shape[:2], 1), 255, np.uint8)
    Image.fromarray(np.concatenate([frame, alpha], -1)).save(images / "rgba.png")
    tifffile.imwrite(images / "sixteen.tif", (grey * 200).astype(np.uint16))
    tifffile.imwrite(images / "float.tif", (grey / 255 - 3).astype(np.float32))
    for name in ("grey", "rgba", "sixteen", "float"):
        Image.fromarray(mask).save(masks / f"{name}.png")
    out = tmp_path / "a.safetensors"
    options = ("--gear", "quick", "--steps", 7, "--classes", "polyp,right side")
    assert run("train", "--images", images, "--masks", masks, "--out", out, *options) == 0


def test_a_foreign_checkpoint_is_not_imported_and_said_what_it_is(tmp_path, capsys):
    weights = LITE_MEDSAM.weights.locate()
    assert run("adapters", "import", weights, "--out", tmp_path / "a.safetensors") == 2
    assert "plain SAM checkpoint without an adapter" in " ".join(capsys.readouterr().err.split())


def test_stacks_are_trained_on_slice_by_slice(tmp_path):
    stack = synthetic_polyps(4, (48, 48), seed=2)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    frames = stack.frames[..., 0].copy()
    frames[3] = 0  # no contrast: nothing to learn from
    tifffile.imwrite(tmp_path / "images" / "volume.tif", frames, photometric="minisblack")
    masks = stack.masks.astype(np.uint8)
    tifffile.imwrite(tmp_path / "masks" / "volume.tif", masks, photometric="minisblack")
    out = tmp_path / "a.safetensors"
    where = ("--images", tmp_path / "images", "--masks", tmp_path / "masks", "--out", out)
    assert run("train", *where, "--gear", "quick", "--steps", 1) == 0
    assert read_card(out).training["slices"] == [f"volume.tif, slice {i}" for i in range(3)]


@pytest.fixture
def patients(tmp_path) -> tuple[Path, Path]:
    """Return images and masks of four patients, two pictures each."""
    stack = synthetic_polyps(8, (60, 80), seed=6)
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder, pictures in ((images, stack.frames), (masks, stack.masks.astype(np.uint8))):
        folder.mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"patient{number // 2}_{number}.png")
    return images, masks


def test_whole_patients_are_held_out_where_their_names_tell_them_apart(patients, tmp_path, capsys):
    where = ("--images", patients[0], "--masks", patients[1], "--out", tmp_path / "a.safetensors")
    what = ("train", *where, "--gear", "quick", "--steps", 2)
    assert run(*what, "--group-by", r"(patient\d)_") == 0
    summary = read_card(tmp_path / "a.safetensors").training
    held_out = [name for name, *_ in summary["held_out_scores"]]
    assert len(held_out) == 2
    assert len({name[:8] for name in held_out}) == 1
    assert not summary["held_out_leaks"]
    assert run(*what, "--group-by", r"case\d") == 2
    assert "finds no patient or video in the name patient0_0.png" in said(capsys)
    assert run(*what, "--group-by", "(") == 2
    assert "is no regular expression" in said(capsys)


def test_slices_of_one_stack_are_known_to_flatter(patients, tmp_path, capsys):
    stack = synthetic_polyps(8, (60, 80), seed=6)
    images, masks = tmp_path / "stack", tmp_path / "stack-masks"
    for folder, pictures in ((images, stack.frames[..., 0]), (masks, stack.masks)):
        folder.mkdir()
        tifffile.imwrite(folder / "a.tif", pictures.astype(np.uint8))
    out = tmp_path / "a.safetensors"
    where = ("--images", images, "--masks", masks, "--out", out)
    assert run("train", *where, "--gear", "quick", "--steps", 30) == 0
    assert read_card(out).training["held_out_leaks"]
    assert LEAKS in capsys.readouterr().err.splitlines(), "one line in a log file"


def said(capsys) -> str:
    """All that was printed since, in one line."""
    printed = capsys.readouterr()
    return " ".join((printed.out + printed.err).split())
