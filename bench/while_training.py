"""Seconds until a new slice is predicted, alone and while a training runs beside it.

Both processes are those the dock starts. The training is stopped and let go on in turns, so that
whatever else the machine does disturbs both alike.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import psutil

from bench.measuring import CannotRunError, FailedError, say
from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.engine.predictor import ModelReference, Predictor
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.training.config import TrainingConfig
from napari_sam_adapter.training.events import StepReport
from napari_sam_adapter.training.job import TrainingJob
from napari_sam_adapter.training.samples import TrainingSample

ROUNDS, N_TRAINED, SIDE = 24, 6, 256
SETTLE_S = 0.25
MOST_WHEN_PAUSED, LEAST_SHARE = 0.05, 0.1


def main() -> dict[str, list[float]]:
    """Return the seconds of each slice, ``alone`` and ``meanwhile``.

    And ``cores``: how many the training took meanwhile, one unless other programs are in its way.
    """
    if not hasattr(signal, "SIGSTOP"):
        raise CannotRunError("this system cannot pause a process")
    stack = synthetic_polyps(N_TRAINED + 2 * ROUNDS + 2, (SIDE, SIDE), seed=7)
    samples = [
        TrainingSample(stack.frames[i], stack.masks[i].astype(bool), f"frame {i}")
        for i in range(N_TRAINED)
    ]
    new = iter(stack.frames[N_TRAINED:])
    predictor, model = Predictor(), ModelReference("lite_medsam", device="cpu")
    for _ in range(2):  # loads the model
        predictor.predict((0,), next(new), model)
    trainer, steps = Trainer(), Steps()
    found: dict[str, list[float]] = {"alone": [], "meanwhile": []}
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            samples,
            Path(folder) / "adapter.safetensors",
            TrainingConfig(gear="full", max_seconds=600.0),
            "lite_medsam",
            device="cpu",
        )
        thread = threading.Thread(target=steps.listen, args=(trainer, job), daemon=True)
        thread.start()
        steps.wait_for(3)
        pid = trainer.pid
        assert pid is not None
        training = psutil.Process(pid)
        trained = dict.fromkeys(found, 0.0)
        for _ in range(ROUNDS):
            for what, order in (("alone", signal.SIGSTOP), ("meanwhile", signal.SIGCONT)):
                os.kill(pid, order)
                time.sleep(SETTLE_S)
                start, before = time.perf_counter(), computed(training)
                predictor.predict((0,), next(new), model)
                found[what].append(time.perf_counter() - start)
                trained[what] += computed(training) - before
        say(f"  {steps.count} training steps")
        trainer.kill()
        thread.join(timeout=20)
    predictor.close()
    cores = {what: trained[what] / sum(seconds) for what, seconds in found.items()}
    check_trained(**cores)
    return {**found, "cores": [cores["meanwhile"]]}


def computed(process: psutil.Process) -> float:
    """Return the computing time of a process so far, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def check_trained(alone: float, meanwhile: float) -> None:
    """Check how many cores a training took beside predictions: none, and a part of one.

    Raises
    ------
    FailedError
    """
    if alone > MOST_WHEN_PAUSED or meanwhile < LEAST_SHARE:
        raise FailedError(
            f"the training took {alone:.2f} cores while it was to rest, and {meanwhile:.2f} while "
            f"it was to go on; expected at most {MOST_WHEN_PAUSED} and at least {LEAST_SHARE}"
        )


class Steps:
    """Counts the steps of a training run."""

    def __init__(self) -> None:
        self.count = 0
        self._trouble = ""

    def listen(self, trainer: Trainer, job: TrainingJob) -> None:
        """Run the job to its end, in a thread."""
        try:
            for event in trainer.run(lambda: job):
                self.count += isinstance(event, StepReport)
        except Exception as error:  # noqa: BLE001 - told to who waits
            self._trouble = str(error)

    def wait_for(self, count: int) -> None:
        """Wait until so many steps are done."""
        while self.count < count:
            if self._trouble:
                raise RuntimeError(self._trouble)
            time.sleep(0.05)


if __name__ == "__main__":
    print(json.dumps(main()))
