"""Real child processes: what they answer, how they end, and that none is left behind."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from napari_sam_adapter.adapter.config import AdapterConfig, Condition
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predict_slices import predict_slices
from napari_sam_adapter.engine.predictor import ModelReference, Predictor
from napari_sam_adapter.engine.process import EngineProcess
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.engine.training_process import TrainingProcess
from napari_sam_adapter.errors import EngineError, ImageError
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.feature_files import FOLDER_VARIABLE
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport, TrainingFinished, TrainingStarted
from napari_sam_adapter.training.job import AdapterSaved, TrainingJob
from napari_sam_adapter.training.samples import TrainingSample
from napari_sam_adapter.volumes.slice_source import SliceSource

BASE = ModelReference("lite_medsam", device="cpu")


@pytest.fixture(scope="module")
def stack():
    return synthetic_polyps(4, (96, 96), seed=5)


@pytest.fixture(scope="module")
def predictor():
    one = Predictor()
    yield one
    one.close()


@pytest.fixture
def job(stack, tmp_path):
    samples = [
        TrainingSample(frame, mask > 0, f"frame {i}")
        for i, (frame, mask) in enumerate(zip(stack.frames, stack.masks, strict=True))
    ]
    config = TrainingConfig(gear="quick", max_seconds=600)
    return TrainingJob(samples, tmp_path / "a.safetensors", config, "lite_medsam", device="cpu")


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def is_gone_soon(pid):
    deadline = time.monotonic() + 60
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_gone(pid)


@pytest.fixture
def trainer():
    one = Trainer()
    yield one
    one.close()


def saved_by(trainer, job):
    *_, saved = trainer.run(lambda: job)
    assert isinstance(saved, AdapterSaved)
    return saved


def test_the_process_predicts_what_the_library_predicts(predictor, stack):
    found = predictor.predict((0,), stack.frames[0], BASE)
    labels, adapter_id = found.labels, found.adapter_id
    here = predict_masks(build_adapted_sam(ModelSettings.default("lite_medsam")), stack.frames[0])
    # Equal but for pixels on the threshold: the probe for bf16 may decide otherwise there.
    assert np.mean(labels != here.labels) < 0.02
    assert adapter_id == ""


def test_an_error_is_a_sentence_and_the_process_goes_on(predictor, stack):
    with pytest.raises(EngineError, match="no base model named 'nope'"):
        predictor.predict((0,), stack.frames[0], ModelReference("nope"))
    assert predictor.predict((0,), stack.frames[0], BASE).labels.shape == (96, 96)


def test_what_the_process_is_ready_on_is_the_device_that_was_asked_for(predictor):
    assert predictor.start("cpu")["device"] == "cpu"
    missing = "cuda:99"
    with pytest.raises(EngineError, match=f"'{missing}' is not available"):
        predictor.start(missing)
    assert predictor.start("cpu")["device"] == "cpu"


def test_a_slice_encoded_ahead_gives_way_to_a_prediction(predictor, stack):
    predictor.predict((0,), stack.frames[0], BASE)
    large = np.tile(stack.frames[1], (3, 3, 1))
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(predictor.encode_ahead, large, replace(BASE, views=4))
        while not predictor._turns.is_working_ahead and not ahead.done():
            time.sleep(0.001)
        found = predictor.predict((2,), stack.frames[2], BASE)
        assert ahead.result() is False
    assert not found.cached
    assert found.labels.shape == (96, 96)
    assert predictor.encode_ahead(stack.frames[3], BASE)
    assert predictor.predict((3,), stack.frames[3], BASE).cached


def test_nothing_is_encoded_ahead_while_a_prediction_is_waited_for(predictor, stack):
    predictor.start("cpu")
    with predictor._turns.asking():
        assert predictor.encode_ahead(stack.frames[3], BASE) is False


def test_a_prediction_process_that_was_killed_is_replaced(predictor, stack):
    predictor.predict((0,), stack.frames[0], BASE)
    os.kill(predictor._process.pid, signal.SIGKILL)
    predictor._process._process.wait()
    assert predictor.predict((0,), stack.frames[0], BASE).labels.shape == (96, 96)


def test_slices_are_predicted_in_order_and_stop_when_asked(predictor, stack):
    source = SliceSource(stack.frames, is_colour=True)
    seen = []
    for event in predict_slices(
        predictor, source, [(2,), (0,), (1,)], BASE, lambda: len(seen) == 2
    ):
        seen.append(event.index)
    assert seen == [(2,), (0,)]


def test_a_slice_without_contrast_is_skipped_among_several_and_refused_alone(predictor, stack):
    frames = stack.frames.copy()
    frames[1] = 0
    source = SliceSource(frames, is_colour=True)
    events = list(predict_slices(predictor, source, [(0,), (1,)], BASE, lambda: False))
    assert "same value" in events[1].reason
    with pytest.raises(ImageError, match="same value"):
        list(predict_slices(predictor, source, [(1,)], BASE, lambda: False))


def test_what_went_wrong_at_a_slice_is_told_with_the_place_and_the_details(stack):
    class Failing:
        def predict(self, *given):
            error = EngineError("An unexpected error happened: X")
            error.details = "Traceback: X"
            raise error

    source = SliceSource(stack.frames, is_colour=True)
    with pytest.raises(EngineError, match=r"^slice 1: An unexpected error happened: X") as raised:
        list(predict_slices(Failing(), source, [(1,)], BASE, lambda: False))
    assert raised.value.details == "Traceback: X"


def test_a_process_that_cannot_hold_what_it_is_sent_ends_and_says_so():
    process = EngineProcess("training")
    try:
        header = json.dumps(
            {"kind": "train", "values": {}, "arrays": [["image0", "<f4", [2**43]]]}
        ).encode()
        process._stdin.write(struct.pack("<I", len(header)) + header)
        process._stdin.flush()
        with pytest.raises(EngineError, match=r"ended with code 1.*Unable to allocate"):
            process.receive()
    finally:
        process.kill()


def test_a_training_process_reports_stops_and_saves(job):
    process = TrainingProcess(job)
    kinds = []
    for event in process.events():
        kinds.append(type(event))
        if isinstance(event, StepReport) and event.step == 3:
            process.stop()
    assert kinds[0] is TrainingStarted
    assert kinds[-2:] == [TrainingFinished, AdapterSaved]
    assert job.out.is_file()
    process.left.close()
    assert is_gone(process.pid)


def test_the_next_gear_finds_the_process_of_the_one_before_and_learns_as_in_a_new_one(
    trainer, job, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # By steps alone: else what is learned would follow the clock.
    steps = TrainingConfig(max_seconds=math.inf, max_steps=4)
    quick = replace(job, input_size=112, config=replace(steps, gear="quick"))
    saved_by(trainer, quick)
    for gear in ("late", "full"):
        out = tmp_path / f"{gear}.safetensors"
        follows = replace(quick, config=replace(steps, gear=gear), init=quick.out, out=out)
        alone = replace(follows, out=tmp_path / f"{gear}-alone.safetensors")
        left = trainer._waiting.pid
        saved = saved_by(trainer, follows)
        assert trainer._waiting.pid == left
        # Not in this process: where its memory lies decides the last bits.
        other = Trainer()
        expected = saved_by(other, alone)
        other.close()
        assert saved.card.training["earlier_scores"] == expected.card.training["earlier_scores"]
        found, wanted = load_file(saved.path), load_file(expected.path)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("end", [Trainer.release, Trainer.stop, Trainer.kill, Trainer.close])
def test_no_process_waits_for_a_run_that_will_not_come(trainer, job, end):
    saved_by(trainer, replace(job, config=TrainingConfig(gear="quick", max_steps=1)))
    pid = trainer._waiting.pid
    assert trainer.pid is None, "nothing goes on"
    assert not is_gone(pid)
    end(trainer)
    assert is_gone_soon(pid)


@pytest.mark.parametrize("end", [Trainer.release, Trainer.kill, Trainer.close])
def test_nor_one_that_is_preparing(trainer, job, end):
    with ThreadPoolExecutor(1) as pool:
        preparing = pool.submit(trainer.prepare, lambda: job, 8)
        while not trainer._turns.is_working_ahead:
            time.sleep(0.005)
        pid = trainer._waiting.pid
        end(trainer)
        assert isinstance(preparing.exception(), EngineError)
    assert is_gone_soon(pid)


def test_a_run_that_is_stopped_leaves_no_process_since_none_follows(trainer, job):
    for event in trainer.run(lambda: job):
        if isinstance(event, StepReport) and event.step == 2:
            pid = trainer.pid
            trainer.stop()
    assert is_gone_soon(pid)
    trainer.allow()
    saved_by(trainer, replace(job, config=TrainingConfig(gear="quick", max_steps=1)))


def test_a_prepared_run_finds_its_process_and_does_not_wait_for_what_is_prepared(trainer, job):
    job = replace(job, config=TrainingConfig(gear="quick", max_steps=2))
    assert trainer.prepare(lambda: job, n_views=2)
    pid = trainer._waiting.pid
    frames = synthetic_polyps(20, (96, 96), seed=6)
    many = [
        TrainingSample(frame, mask > 0, f"other {i}")
        for i, (frame, mask) in enumerate(zip(frames.frames, frames.masks, strict=True))
    ]
    with ThreadPoolExecutor(1) as pool:
        preparing = pool.submit(trainer.prepare, lambda: replace(job, samples=many), 8)
        while not trainer._turns.is_working_ahead and not preparing.done():
            time.sleep(0.005)
        saved_by(trainer, job)
        assert preparing.result() is False
    assert trainer._waiting.pid == pid


def test_nothing_is_prepared_while_a_run_goes_on(trainer, job):
    for event in trainer.run(lambda: replace(job, config=TrainingConfig("quick", max_steps=2))):
        if isinstance(event, StepReport):
            assert trainer.prepare(lambda: job, 1) is False
    assert trainer._waiting is not None


def test_what_cannot_be_prepared_is_an_error_and_the_process_stays(trainer, job):
    damaged = job.out.with_name("damaged.safetensors")
    damaged.write_bytes(b"no adapter")
    with pytest.raises(EngineError, match="damaged"):
        trainer.prepare(lambda: replace(job, init=damaged), 1)
    pid = trainer._waiting.pid
    assert trainer.prepare(lambda: job, 1)
    assert trainer._waiting.pid == pid


def test_a_process_that_died_between_two_runs_is_replaced(trainer, job):
    job = replace(job, config=TrainingConfig(gear="quick", max_steps=1))
    saved_by(trainer, job)
    pid = trainer._waiting.pid
    os.kill(pid, signal.SIGKILL)
    trainer._waiting._process.wait()
    saved_by(trainer, job)
    assert trainer._waiting.pid != pid


def test_the_training_process_reads_what_the_prediction_process_wrote(
    stack, job, trainer, tmp_path, monkeypatch
):
    folder = tmp_path / "features"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = replace(job, input_size=112, config=TrainingConfig(gear="quick", max_steps=4))
    trainer.disk_bytes = 1024**3
    predictor = Predictor()
    predictor.disk_bytes = 1024**3
    for position, frame in enumerate(stack.frames):
        predictor.predict((position,), frame, replace(BASE, input_size=112))
    predictor.close()
    written = set(folder.iterdir())
    assert len(written) == 2 * len(stack.frames), "embeddings, and what enters the late part"
    for path in written:
        os.utime(path, (1000, 1000))
    saved_by(trainer, job)
    # The first four steps show the four slices as they are.
    assert set(folder.iterdir()) == written, "nothing was encoded"
    read = [path for path in written if path.stat().st_mtime > 1000]
    assert len(read) == len(stack.frames)


def test_a_killed_training_process_is_an_error_and_leaves_no_file(job):
    process = TrainingProcess(job)

    def run():
        for event in process.events():
            if isinstance(event, StepReport):
                os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(EngineError, match="killed by signal 9"):
        run()
    assert not job.out.exists()
    assert list(job.out.parent.iterdir()) == []


def test_closing_the_event_generator_ends_the_process(job):
    process = TrainingProcess(job)
    events = process.events()
    next(events)
    events.close()
    assert is_gone(process.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX signals")
def test_no_process_survives_a_parent_that_is_killed(tmp_path):
    script = textwrap.dedent("""
        import numpy as np, sys, time
        from pathlib import Path
        from napari_sam_adapter.engine.training_process import TrainingProcess
        from napari_sam_adapter.training.config import TrainingConfig
        from napari_sam_adapter.training.job import TrainingJob
        from napari_sam_adapter.training.samples import TrainingSample
        image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
        mask = np.zeros((64, 64), bool); mask[20:40, 20:40] = True
        config = TrainingConfig(gear="quick", max_seconds=600)
        out = Path(sys.argv[1])
        process = TrainingProcess(
            TrainingJob([TrainingSample(image, mask, "x")], out, config, "lite_medsam")
        )
        for event in process.events():
            print(process.pid, flush=True)
    """)
    command = [sys.executable, "-c", script, str(tmp_path / "a.safetensors")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 600
    while not is_gone(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert is_gone(child)


def test_classes_colours_and_the_shape_of_the_adapter_reach_the_file(trainer, job):
    shape = AdapterConfig(conditions=(Condition("gradient", 0.5),))
    job = replace(
        job,
        config=TrainingConfig(gear="quick", max_steps=2),
        adapter=shape,
        class_names=("polyp", "tool"),
        class_colors=("#010203", "#040506"),
    )
    saved = saved_by(trainer, job)
    assert saved.card.class_names == ("polyp", "tool")
    assert saved.card.class_colors == ("#010203", "#040506")
    assert saved.card.adapter == shape
