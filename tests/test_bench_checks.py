"""What `make bench` sees to so that nothing wins by doing less, besides comparing numbers."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import import_time, walk
from bench.measuring import FailedError, NotEqualError
from bench.volumes import check_all_predicted
from bench.while_training import check_trained

ROOT = Path(__file__).parents[1]


def test_an_import_is_timed_where_nothing_of_the_package_is_loaded():
    command = [sys.executable, "-m", "bench.import_time"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) >= 0


def test_an_import_that_is_no_longer_one_is_not_timed():
    with pytest.raises(RuntimeError, match="imported before"):
        import_time.main()


def volume(n_slices, marked):
    return {"slices": n_slices, "marked": marked}


def test_memory_counts_only_for_volumes_of_which_each_slice_is_predicted():
    short = volume(2, [7, 9])
    check_all_predicted(short, volume(4, [7, 9, 5, 6]))
    for long, said in (
        (volume(4, [7, 9]), "2 of 4 slices"),
        (volume(4, [7, 8, 5, 6]), "otherwise than a short one's"),
        (volume(4, [7, 9, 5, 0]), "otherwise than a short one's"),
    ):
        with pytest.raises(NotEqualError, match=said):
            check_all_predicted(short, long)


@pytest.mark.parametrize(("alone", "meanwhile"), [(0.0, 0.0), (0.9, 0.9)])
def test_a_training_that_does_not_go_on_and_rest_in_turn_is_not_beside_anything(alone, meanwhile):
    check_trained(0.0, 0.9)
    with pytest.raises(FailedError, match=f"took {alone:.2f} cores while it was to rest"):
        check_trained(alone, meanwhile)


@pytest.mark.parametrize(("steps", "seconds"), [(3, 5.0), (0, 66.0)])
def test_pauses_beside_a_training_that_broke_off_are_none(steps, seconds):
    pytest.importorskip("napari")
    from bench.window_gaps import check_whole

    check_whole({"gaps_ms": [1000.0] * 66}, 170, "")
    with pytest.raises(FailedError, match="of 60 s: Training failed"):
        check_whole({"gaps_ms": [1000.0 * seconds]}, steps, "Training failed.")


def test_a_dice_of_some_of_the_held_out_images_is_none(monkeypatch, tmp_path):
    (tmp_path / "val" / "images").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "val" / "images" / f"{name}.png").touch()

    def scored(n):
        told = SimpleNamespace(returncode=0, stdout=json.dumps({"n": n, "dice": 0.9}))
        monkeypatch.setattr(walk.subprocess, "run", lambda *given, **options: told)
        return walk.score(tmp_path, tmp_path / "a.safetensors")

    assert scored(2) == 0.9
    with pytest.raises(FailedError, match="1 of 2 images"):
        scored(1)
