"""The commands as a person types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam_adapter import __version__
from napari_sam_adapter.cli import main
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.evaluation.evaluate import evaluate_image
from napari_sam_adapter.metrics import saliency, surface
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.sam.devices import bfloat16_decided
from napari_sam_adapter.sam.predict import predict_masks

COMMANDS = [
    "demo",
    "predict",
    "train",
    "evaluate",
    "models fetch",
    "adapters show",
    "adapters import",
    "project show",
    "project replay",
]


def run(*arguments: object) -> int:
    """Run the command line; returns its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return ended.code or 0
    return 0


def json_from(capsys) -> dict:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Return a folder of three images and one of their masks."""
    stack = synthetic_polyps(3, (60, 80), seed=6)
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder in (images, masks):
        folder.mkdir()
    for index, (frame, mask) in enumerate(zip(stack.frames, stack.masks, strict=True)):
        Image.fromarray(frame).save(images / f"frame{index}.png")
        Image.fromarray(255 * mask).save(masks / f"frame{index}.png")
    return images, masks


@pytest.fixture
def adapter(tmp_path, tuned_sam) -> Path:
    path = tmp_path / "tuned.safetensors"
    save_adapter(path, tuned_sam, gear="full", training={"n_slices": 5})
    return path


def test_predict_writes_one_mask_per_image_at_its_own_size(folders, tmp_path, lite_medsam):
    assert run("predict", folders[0], "--out", tmp_path / "out") == 0
    found = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in found] == ["frame0.tif", "frame1.tif", "frame2.tif"]
    for path in found:
        frame = np.asarray(Image.open(folders[0] / f"{path.stem}.png"))
        labels = tifffile.imread(path)
        np.testing.assert_array_equal(labels, predict_masks(lite_medsam, frame).mask)


def test_instances_are_the_connected_objects_of_each_slice(folders, tmp_path):
    plain, numbered = tmp_path / "plain", tmp_path / "numbered"
    assert run("predict", folders[0], "--out", plain) == 0
    assert run("predict", folders[0], "--out", numbered, "--instances") == 0
    for path in sorted(plain.iterdir()):
        labels, objects = tifffile.imread(path), tifffile.imread(numbered / path.name)
        np.testing.assert_array_equal(objects != 0, labels != 0)
        assert set(np.unique(objects)) == set(range(objects.max() + 1))


def test_predict_uses_the_adapter(folders, tmp_path, adapter, tuned_sam):
    image = folders[0] / "frame1.png"
    assert run("predict", image, "--out", tmp_path / "out", "--adapter", adapter) == 0
    expected = predict_masks(tuned_sam, np.asarray(Image.open(image))).mask
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "frame1.tif"), expected)


def test_predict_turns_a_stack_into_a_stack_and_leaves_blank_pages_empty(tmp_path, capsys):
    pages = synthetic_polyps(3, (50, 70), seed=1).frames[..., 0].copy()
    pages[1] = 40
    tifffile.imwrite(tmp_path / "stack.tif", pages)
    assert run("predict", tmp_path / "stack.tif", "--out", tmp_path / "out") == 0
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    assert labels.shape == (3, 50, 70)
    assert not labels[1].any()
    assert "1 slice" in capsys.readouterr().err


def test_predict_averages_views_on_request(folders, tmp_path, adapter, tuned_sam):
    image, out = folders[0] / "frame1.png", tmp_path / "out"
    assert run("predict", image, "--out", out, "--adapter", adapter, "--views", 2) == 0
    expected = predict_masks(tuned_sam, np.asarray(Image.open(image)), views=2).mask
    np.testing.assert_array_equal(tifffile.imread(out / "frame1.tif"), expected)


def test_confidences_are_written_the_least_first(folders, tmp_path, adapter, capsys):
    table = tmp_path / "sure.csv"
    where = (folders[0], "--out", tmp_path / "out")
    assert run("predict", *where, "--adapter", adapter, "--confidence", table) == 0
    rows = list(csv.DictReader(table.open()))
    assert sorted(row["file"] for row in rows) == ["frame0.png", "frame1.png", "frame2.png"]
    found = [float(row["confidence"]) for row in rows]
    assert found == sorted(found)
    assert run("predict", *where, "--confidence", table) == 2
    assert "needs --adapter" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["frame0.png", "masks.csv/table.csv", "folder.csv"])
def test_a_table_of_confidences_replaces_nothing_but_a_table(folders, tmp_path, adapter, name):
    """A shell gives the first image to the option where its name is forgotten."""
    (tmp_path / "masks.csv").write_text("no folder")
    (tmp_path / "folder.csv").mkdir()
    table = folders[0] / name if name == "frame0.png" else tmp_path / name
    before = table.read_bytes() if table.is_file() else None
    where = (folders[0], "--out", tmp_path / "out", "--adapter", adapter)
    assert run("predict", *where, "--confidence", table) == 2
    assert not (tmp_path / "out").exists(), "it is told before anything is predicted"
    assert before is None or table.read_bytes() == before


def test_a_table_of_confidences_is_no_table_of_objects(folders, tmp_path, adapter, capsys):
    out = tmp_path / "out"
    where = (folders[0], "--out", out, "--adapter", adapter, "--instances")
    assert run("predict", *where, "--confidence", out / "frame1.csv") == 2
    assert "--confidence takes the table" in capsys.readouterr().err


def test_confidences_of_a_run_that_ends_early_are_kept(folders, tmp_path, adapter):
    (folders[0] / "frame1.png").write_text("no picture")
    table = tmp_path / "sure.csv"
    where = (folders[0], "--out", tmp_path / "out", "--adapter", adapter)
    assert run("predict", *where, "--confidence", table) == 2
    assert [row["file"] for row in csv.DictReader(table.open())] == ["frame0.png"]


def test_a_picture_without_contrast_is_passed_by_among_others(folders, tmp_path, capsys):
    Image.fromarray(np.full((40, 48), 7, np.uint8)).save(folders[0] / "frame1.png")
    assert run("predict", folders[0], "--out", tmp_path / "out") == 0
    assert "1 slice has no contrast; nothing was marked there." in capsys.readouterr().err
    assert not tifffile.imread(tmp_path / "out" / "frame1.tif").any()
    assert tifffile.imread(tmp_path / "out" / "frame2.tif").any()


def test_evaluate_tells_how_sure_the_adapter_was_of_each_image(evaluate, adapter, capsys):
    assert run(*evaluate, "--adapter", adapter, "--json") == 0
    found = [one["confidence"] for one in json_from(capsys)["per_image"]]
    assert len(found) == 3
    assert all(0 < value < 1 for value in found)
    assert run(*evaluate, "--json") == 0
    assert [one["confidence"] for one in json_from(capsys)["per_image"]] == [None] * 3


@pytest.mark.parametrize("prompts", ["boxes", "clicks:1"])
def test_with_prompts_no_confidence_is_told_as_it_was_measured_without(
    evaluate, adapter, capsys, prompts
):
    what = (*evaluate, "--adapter", adapter, "--prompts", prompts)
    assert run(*what, "--json") == 0
    assert [one["confidence"] for one in json_from(capsys)["per_image"]] == [None] * 3
    assert run(*what) == 0
    assert "confidence" not in capsys.readouterr().out


def test_train_writes_an_adapter_that_the_other_commands_read(folders, tmp_path, capsys):
    out = tmp_path / "new.safetensors"
    where = ("--images", folders[0], "--masks", folders[1])
    assert run("train", *where, "--out", out, "--steps", 2, "--json") == 0
    summary = json_from(capsys)
    assert (summary["adapter"], summary["steps"], summary["n_slices"]) == (str(out), 2, 3)
    assert run("adapters", "show", out, "--json") == 0
    card = json_from(capsys)
    assert card["adapter_id"] == summary["adapter_id"]
    assert (card["gear"], card["base_model"]) == ("full", "lite_medsam")
    assert run("evaluate", *where, "--adapter", out, "--json") == 0
    assert json_from(capsys)["n"] == 3


def test_train_takes_a_random_choice_of_the_images(folders, tmp_path, capsys):
    chosen = set()
    for seed in range(4):
        arguments = ["--images", folders[0], "--masks", folders[1], "--out", tmp_path / "a"]
        arguments += ["--gear", "quick", "--steps", 1, "--max-images", 1, "--seed", seed, "--json"]
        assert run("train", *arguments) == 0
        chosen.add(tuple(json_from(capsys)["slices"]))
    assert len(chosen) > 1
    assert all(len(names) == 1 for names in chosen)


def test_train_without_json_shows_a_table(folders, tmp_path, capsys):
    arguments = ["--images", folders[0], "--masks", folders[1], "--out", tmp_path / "a"]
    assert run("train", *arguments, "--gear", "quick", "--steps", 1) == 0
    assert "completed" in capsys.readouterr().out


MEASURES = {"dice", "iou", "s_measure", "e_measure", "weighted_f", "mae", "balanced_error_rate"}
SURFACE_MEASURES = {"hausdorff95", "surface_dice"}
needs_library = pytest.mark.skipif(
    not (saliency.is_installed() and surface.is_installed()), reason="needs the extra 'metrics'"
)


@pytest.fixture
def evaluate(folders) -> list[object]:
    return ["evaluate", "--images", folders[0], "--masks", folders[1]]


@needs_library
def test_evaluate_prints_exactly_the_promised_keys(evaluate, capsys):
    assert run(*evaluate, "--json") == 0
    result = json_from(capsys)
    assert set(result) == {
        *("n", "dice", "iou", "seconds_per_image", "protocol", "spacing", "surface_tolerance"),
        *("overall", "classes", "per_image", "prompts", "views", "spacing_unit"),
        *("device", "precision"),
    }
    assert result["n"] == len(result["per_image"]) == 3
    assert [one["name"] for one in result["per_image"]] == [f"frame{i}.png" for i in range(3)]
    assert set(result["per_image"][0]) == {"name", "seconds", "classes", "confidence", *MEASURES}
    assert set(result["per_image"][0]["classes"]["object"]) == MEASURES
    assert set(result["overall"]) == set(result["classes"]["object"]) == MEASURES
    for key in ("dice", "iou"):
        assert result[key] == result["overall"][key]["mean"]
    for key in MEASURES:
        found = result["overall"][key]
        assert found["mean"] == pytest.approx(np.mean([one[key] for one in result["per_image"]]))
        assert found["low"] <= found["mean"] <= found["high"]
        assert found["n"] == 3


@needs_library
def test_evaluate_without_json_shows_the_same_means_with_their_intervals(evaluate, capsys):
    assert run(*evaluate, "--json") == 0
    overall = json_from(capsys)["overall"]
    assert run(*evaluate) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("S-measure", "weighted F", "balanced error rate"))
    assert "Hausdorff" not in shown
    for key in ("dice", "iou", "s_measure", "e_measure", "weighted_f", "mae"):
        found = overall[key]
        assert f"{found['mean']:.4f}" in shown
        assert f"{found['low']:.4f} to {found['high']:.4f}" in shown


def test_evaluate_shows_each_class_with_its_interval_however_many_there_are(
    folders, tmp_path, capsys, monkeypatch
):
    names = [f"structure [{number}]" for number in range(1, 33)]
    out = tmp_path / "many.safetensors"
    where = ("--images", folders[0], "--masks", folders[1])
    for path in folders[1].iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    assert run("train", *where, "--out", out, "--steps", 1, "--classes", ",".join(names)) == 0
    capsys.readouterr()
    assert run("evaluate", *where, "--adapter", out, "--json") == 0
    found = json_from(capsys)["classes"]["structure [1]"]["dice"]
    monkeypatch.setattr("napari_sam_adapter.cli.console._WIDEST", 80)  # as in a usual terminal
    assert run("evaluate", *where, "--adapter", out) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "structure [1]" in line)
    assert f"{found['mean']:.4f}" in row
    assert f"{found['low']:.4f} to {found['high']:.4f}" in row
    assert "in no image: " in words(shown)
    assert all(name in words(shown) for name in names)


def test_evaluate_by_the_papers_protocol_scores_other_pixels(evaluate, capsys):
    found = {}
    for protocol in ("original", "paper"):
        assert run(*evaluate, "--protocol", protocol, "--json") == 0
        found[protocol] = json_from(capsys)
        assert found[protocol]["protocol"] == protocol
    assert found["paper"]["dice"] != found["original"]["dice"]
    assert found["paper"]["dice"] == pytest.approx(found["original"]["dice"], abs=0.05)


def test_by_the_papers_protocol_a_prediction_is_one_view_unless_more_are_asked_for(
    evaluate, capsys, tmp_path, tuned_sam
):
    adapter = tmp_path / "knows-mirror-images.safetensors"
    save_adapter(adapter, tuned_sam, gear="full", training={"config": {"augmentation": "views"}})
    usual, papers = (*evaluate, "--adapter", adapter), ("--protocol", "paper")
    for options, views in (((), 2), (papers, 1), ((*papers, "--views", 2), 2)):
        assert run(*usual, *options, "--json") == 0
        assert json_from(capsys)["views"] == views


@needs_library
@pytest.mark.parametrize(
    ("asked", "spacing", "tolerance"),
    [
        (["--surface"], None, 1.0),
        (["--spacing", "0.5,0.25"], [0.5, 0.25], 0.25),
        (["--surface-tolerance", "3"], None, 3.0),
    ],
)
def test_evaluate_measures_surfaces_where_asked(evaluate, capsys, asked, spacing, tolerance):
    assert run(*evaluate, *asked, "--json") == 0
    result = json_from(capsys)
    assert (result["spacing"], result["surface_tolerance"]) == (spacing, tolerance)
    assert set(result["overall"]) == MEASURES | SURFACE_MEASURES


@needs_library
def test_evaluate_scores_a_volume_with_its_spacing(tmp_path, capsys):
    scene = synthetic_polyps(3, (50, 70), seed=1)
    for name, pages in (("images", scene.frames[..., 0]), ("masks", scene.masks)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "ct.tif", pages)
    where = ("--images", tmp_path / "images", "--masks", tmp_path / "masks")
    distances = []
    for scale in (1, 10):
        spacing = f"{3 * scale},{scale},{scale}"
        assert run("evaluate", *where, "--spacing", spacing, "--json") == 0
        result = json_from(capsys)
        assert result["n"] == 1
        distances.append(result["per_image"][0]["hausdorff95"])
    assert distances[1] == pytest.approx(10 * distances[0])
    assert run("evaluate", *where, "--spacing", "3,1,1") == 0
    shown = capsys.readouterr().out
    assert f"{distances[0]:.2f}" in shown


@needs_library
def test_evaluate_refuses_the_spacing_of_a_volume_for_a_picture(evaluate, capsys):
    assert run(*evaluate, "--spacing", "3,1,1") == 2
    assert "frame0.png: The spacing 3,1,1 has 3 values" in capsys.readouterr().err


@pytest.fixture
def predicted(monkeypatch) -> list[str]:
    """Return the names of the images that `evaluate` predicts."""
    names: list[str] = []

    def predict_and_score(model, image, truth, name, scoring):
        names.append(name)
        if len(names) == 3:
            raise KeyboardInterrupt
        return evaluate_image(model, image, truth, name, scoring)

    monkeypatch.setattr("napari_sam_adapter.evaluation.evaluate.evaluate_image", predict_and_score)
    return names


@pytest.mark.parametrize("what", ["mask", "image"])
def test_evaluate_tells_what_is_wrong_with_the_last_pair_before_it_predicts_the_first(
    evaluate, folders, capsys, predicted, what
):
    wrong = {"mask": np.ones((60, 79), np.uint8), "image": np.zeros((60, 80), np.uint8)}
    Image.fromarray(wrong[what]).save(folders[what == "mask"] / "frame2.png")
    assert run(*evaluate) == 2
    assert "frame2.png" in capsys.readouterr().err
    assert predicted == []


def test_ctrl_c_while_evaluating_shows_the_scores_so_far_and_says_so(evaluate, capsys, predicted):
    assert run(*evaluate) == 130
    shown = capsys.readouterr()
    assert "Dice" in shown.out
    assert "the scores of 2 of 3 images" in shown.err
    assert predicted == [f"frame{i}.png" for i in range(3)]


@pytest.mark.usefixtures("predicted")
def test_ctrl_c_while_evaluating_prints_no_json_of_some_images(evaluate, capsys):
    assert run(*evaluate, "--json") == 130
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_evaluate_tells_how_its_scores_came_about(evaluate, capsys, precision):
    with bfloat16_decided(precision == "bf16"):
        assert run(*evaluate, "--views", 2, "--device", "cpu") == 0
        assert f"2 views, on cpu in {precision}, " in words(capsys.readouterr().out)
        assert run(*evaluate, "--device", "cpu", "--json") == 0
    result = json_from(capsys)
    assert (result["device"], result["precision"]) == ("cpu", precision)


@needs_library
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--surface"], "distances in pixels, surface Dice forgives 1"),
        (
            ["--spacing", "0.5,0.25"],
            "distances in the unit of --spacing, surface Dice forgives 0.25",
        ),
        (["--surface-tolerance", "3"], "distances in pixels, surface Dice forgives 3"),
    ],
)
def test_evaluate_tells_in_what_distances_are_and_what_the_surface_dice_forgives(
    evaluate, capsys, asked, told
):
    assert run(*evaluate, *asked) == 0
    assert told in words(capsys.readouterr().out)


def words(shown: str) -> str:
    return " ".join(shown.split())


def test_a_measure_that_is_not_defined_is_null_and_told_by_the_number_of_images(
    evaluate, folders, capsys
):
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(folders[1] / "frame1.png")
    assert run(*evaluate, "--json") == 0
    result = json_from(capsys)
    assert result["per_image"][1]["balanced_error_rate"] is None
    assert result["overall"]["balanced_error_rate"]["n"] == 2
    assert run(*evaluate) == 0
    assert "2 of 3" in capsys.readouterr().out


def test_evaluate_without_pysodmetrics_scores_masks_and_tells_how_to_get_the_rest(
    evaluate, capsys, monkeypatch
):
    monkeypatch.setattr(saliency, "is_installed", lambda: False)
    assert run(*evaluate, "--json") == 0
    printed = capsys.readouterr()
    assert set(json.loads(printed.out)["overall"]) == {"dice", "iou", "balanced_error_rate"}
    assert "pip install 'napari-sam-adapter[metrics]'" in printed.err


def test_evaluate_without_monai_refuses_to_measure_surfaces(evaluate, capsys, monkeypatch):
    monkeypatch.setattr(surface, "is_installed", lambda: False)
    assert run(*evaluate, "--surface") == 2
    assert "pip install 'napari-sam-adapter[metrics]'" in capsys.readouterr().err


def test_adapters_show_tells_where_an_adapter_comes_from(adapter, capsys):
    assert run("adapters", "show", adapter) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("lite_medsam", "full", "training.n_slices"))


def test_models_lists_the_base_model_with_its_licence(capsys):
    assert run("models") == 0
    shown = capsys.readouterr().out
    assert "lite_medsam" in shown
    assert "Apache-2.0" in shown


def test_models_as_json_has_source_hash_and_whether_it_is_here(capsys):
    assert run("models", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lite_medsam"]["here"] is True
    assert len(found["sam_vit_b"]["sha256"]) == 64
    assert found["sam_vit_b"]["url"].startswith("https://")


def test_fetching_a_model_that_is_here_says_where(capsys):
    assert run("models", "fetch", "lite_medsam") == 0
    assert "lite_medsam.pth" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(command, capsys):
    assert run(*command.split(), "--help") == 0
    help_text = capsys.readouterr().out
    assert "Example" in help_text
    assert f"napari-sam-adapter {command}" in help_text


def test_no_command_is_missing_from_the_list_above():
    import typer

    from napari_sam_adapter.cli.app import app

    def names(group, prefix: str = ""):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from names(command, f"{prefix}{name} ")
            else:
                yield prefix + name

    assert sorted(names(typer.main.get_command(app))) == sorted(COMMANDS)


def test_the_help_names_defaults_that_depend_on_something(capsys):
    assert run("predict", "--help") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "default: (2 for adapters of lite_medsam that know mirror images, else 1)" in said
    assert "default: (that of the adapter, or lite_medsam)" in said
