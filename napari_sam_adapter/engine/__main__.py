"""Entry of a computing process: read requests from standard input until it closes."""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from typing import IO

from napari_sam_adapter.engine.protocol import Message, read_message, write_message
from napari_sam_adapter.errors import SamAdapterError, sentence_of
from napari_sam_adapter.openmp import wait_briefly


def main() -> None:
    """Serve requests one after the other; end at once when the other side closes its pipe."""
    _lower_priority()
    wait_briefly()
    # Keep the pipe for messages: whatever a library prints goes to standard error.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    requests: queue.Queue[Message] = queue.Queue()
    stop, give_way = threading.Event(), threading.Event()
    reader = threading.Thread(
        target=_read_requests, args=(sys.stdin.buffer, requests, stop, give_way), daemon=True
    )
    reader.start()
    from napari_sam_adapter.engine.worker import Worker
    from napari_sam_adapter.sam.allocator import keep_freed_memory

    keep_freed_memory()
    worker = Worker(lambda message: write_message(output, message), stop, give_way)
    while True:
        message = requests.get()
        try:
            worker.handle(message)
        except BrokenPipeError:
            return
        except SamAdapterError as error:
            write_message(output, _error(str(error)))
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes a message
            traceback.print_exc()
            write_message(output, _error(describe(error), traceback.format_exc()))


def describe(error: Exception) -> str:
    """Turn an unexpected error into a sentence; the traceback goes to the log."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return (
            "The memory is full. Close other programs, choose a smaller input size, or compute "
            "on the CPU."
        )
    return sentence_of(error)


def _error(message: str, details: str = "") -> Message:
    return Message("error", {"message": message, "details": details})


def _read_requests(
    stream: IO[bytes],
    requests: queue.Queue[Message],
    stop: threading.Event,
    give_way: threading.Event,
) -> None:
    """Read ahead, so that ``stop`` is heard while training runs, ``give_way`` while encoding."""
    code = 1
    try:
        while (message := read_message(stream)) is not None:
            if message.kind == "stop":
                stop.set()
            elif message.kind == "give_way":
                give_way.set()
            else:
                if message.kind in {"encode", "prepare"}:
                    give_way.clear()  # what was said before was meant for earlier work
                requests.put(message)
        code = 0
    except Exception:  # noqa: BLE001 - what was sent may not fit into memory: nobody reads on
        traceback.print_exc()
    finally:
        # The window is gone or wants us gone, or is to be told: nothing we compute has a reader.
        os._exit(code)


def _lower_priority() -> None:
    step = int(os.environ.get("NAPARI_SAM_ADAPTER_ENGINE_NICE", "0"))
    if step and hasattr(os, "nice"):
        os.nice(step)


if __name__ == "__main__":
    main()
