"""A child process that computes, seen from the window's side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from napari_sam_adapter.engine.protocol import Message, read_message, write_message
from napari_sam_adapter.errors import EngineError

LOG_LINES = 60


class EngineProcess:
    """One ``python -m napari_sam_adapter.engine``.

    `send` and `receive` block: call them from a worker thread. `kill` may be called from anywhere.

    Parameters
    ----------
    purpose : str
        For messages, e.g. ``"prediction"``.
    low_priority : bool
        Let everything else on the machine go first.
    """

    def __init__(self, purpose: str, *, low_priority: bool = False) -> None:
        self.purpose = purpose
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._send_lock = threading.Lock()
        self._killed = False
        try:
            self._process = subprocess.Popen(
                # -P: files in the folder napari was started from must not shadow modules.
                [sys.executable, "-P", "-m", "napari_sam_adapter.engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(low_priority),
                creationflags=_creation_flags(low_priority),
            )
        except OSError as error:
            raise EngineError(f"The {purpose} process could not be started: {error}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._log_thread = threading.Thread(
            target=self._collect_log, args=(self._process.stderr,), daemon=True
        )
        self._log_thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines the process wrote for people."""
        return "\n".join(self._log)

    def forget_log(self) -> None:
        """Begin the log anew."""
        self._log.clear()

    def send(
        self,
        kind: str,
        values: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Send one message.

        Raises
        ------
        EngineError
            If the process has ended.
        """
        try:
            with self._send_lock:
                write_message(self._stdin, Message(kind, values or {}, arrays or {}))
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def receive(self) -> Message:
        """Wait for the next message.

        Raises
        ------
        EngineError
            If the process has ended, or its answer is an error; the message is for the person.
        """
        try:
            message = read_message(self._stdout)
        except (OSError, ValueError) as error:
            raise self._ended() from error
        if message is None:
            raise self._ended()
        if message.kind == "error":
            failure = EngineError(str(message.values["message"]))
            failure.details = str(message.values["details"])
            raise failure
        return message

    def kill(self) -> None:
        """End the process now and wait until it is gone."""
        self._killed = True
        if self.is_running:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)

    def close(self) -> None:
        """Release pipes; call it from the thread that receives, after the last message."""
        self.kill()
        self._log_thread.join(timeout=2)
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _ended(self) -> EngineError:
        if self._killed:
            return EngineError(f"The {self.purpose} process was stopped.")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._log_thread.join(timeout=2)
        code = self._process.returncode
        reason = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        hint = " (the system may have run out of memory)" if code == -9 else ""
        last = self._log[-1] if self._log else ""
        detail = f" Its last words: {last}" if last else ""
        error = EngineError(
            f"The {self.purpose} process {reason}{hint}. Nothing of your work is lost; try again."
            f"{detail}"
        )
        error.details = self.log or reason
        return error

    def _collect_log(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._log.append(line.decode(errors="replace").rstrip())


def _environment(low_priority: bool) -> dict[str, str]:
    environment = dict(os.environ)
    environment["NAPARI_SAM_ADAPTER_ENGINE_NICE"] = "5" if low_priority else "0"
    # The child has no display to care about, and must not buffer what it says.
    environment["PYTHONUNBUFFERED"] = "1"
    # Apple's GPUs lack a few operations; those run on the CPU instead of ending in an error.
    environment.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    return environment


def _creation_flags(low_priority: bool) -> int:
    """Return Windows' flags for no console window and a lower priority; elsewhere both are 0."""
    flags: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    below_normal: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    return flags | below_normal if low_priority else flags
