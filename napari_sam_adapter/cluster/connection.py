"""Connect to a Dask cluster, or start one on this machine, and see whether its workers will do."""

from __future__ import annotations

import logging
import pydoc
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from napari_sam_adapter.cluster.task import SharedModel, trouble_with
from napari_sam_adapter.errors import ClusterError

_log = logging.getLogger(__name__)
INSTALL = 'pip install "napari-sam-adapter[cluster]"'
REACH_SECONDS = 5
WORKERS_SECONDS = 60  # a batch system starts them when it has room


@contextmanager
def connected(scheduler: str | None, n_workers: int | None) -> Iterator[Any]:
    """Connect to the scheduler of a cluster, or start worker processes on this machine.

    Parameters
    ----------
    scheduler : str or None
        Like ``tcp://10.0.0.1:8786``.
    n_workers : int or None
        How many processes to start, if there is no scheduler. They end with the block.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If distributed is missing, or the scheduler or workers cannot be reached.
    """
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"--scheduler and --workers need distributed, which is not installed: {INSTALL}"
        ) from error
    with ExitStack() as exit_:
        if scheduler is None:
            scheduler = exit_.enter_context(_local(distributed, n_workers or 1))
        try:
            _knock(scheduler)
            client = distributed.Client(scheduler, timeout=REACH_SECONDS, set_as_default=False)
        except Exception as error:
            raise ClusterError(
                f"No Dask scheduler answers at '{scheduler}' within {REACH_SECONDS} seconds. "
                "Expected the address that 'dask scheduler' prints, like tcp://10.0.0.1:8786; "
                "check that it runs, and that this machine reaches it."
            ) from error
        exit_.enter_context(client)
        if not client.scheduler_info()["workers"]:
            _log.warning("The cluster at %s has no workers yet; waiting for one.", scheduler)
        try:
            client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"The cluster at {scheduler} has no workers. Start some on its machines with "
                f"'dask worker {scheduler}'."
            ) from error
        yield client


def _knock(scheduler: str) -> None:
    """See whether a scheduler listens. A `Client` that meets another program waits for ever.

    Raises
    ------
    OSError or ValueError
        If none does.
    """
    from distributed.comm import get_address_host_port, parse_address
    from distributed.comm.registry import get_backend

    protocol, _ = parse_address(scheduler)
    get_backend(protocol)  # or it is unknown
    if protocol != "tcp":
        return
    with socket.create_connection(get_address_host_port(scheduler), REACH_SECONDS) as connection:
        connection.settimeout(REACH_SECONDS)
        # Dask speaks first, without being asked, and tells its Python.
        if b"python" not in connection.recv(4096):
            raise OSError("another program listens there")


@contextmanager
def _local(distributed: Any, n_workers: int) -> Iterator[str]:
    levels = [(handler, handler.level) for handler in logging.getLogger().handlers]
    with _deaf_to_ctrl_c():
        # Its page is served to this machine only, at a port of the system's choice.
        started = distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    with started as cluster:
        for handler, level in levels:  # it silences everybody's logs
            handler.setLevel(level)
        yield cluster.scheduler_address


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes that leave Ctrl+C in the terminal to this one, which then ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check_workers(client: Any, model: SharedModel) -> None:
    """See whether all workers have what the model needs, before any slice is sent.

    Raises
    ------
    ClusterError
        Naming the first worker that has not, and how many others.
    """
    # A function of Python's own: it arrives also where this package is missing.
    versions = client.run(pydoc.locate, "napari_sam_adapter.__version__", on_error="return")
    troubles = {
        worker: "has no napari-sam-adapter; install it there: pip install napari-sam-adapter"
        for worker, version in versions.items()
        if not isinstance(version, str)
    }
    others = [worker for worker in versions if worker not in troubles]
    if others:
        found = client.run(trouble_with, model, workers=others, on_error="return")
        troubles |= {
            worker: text if isinstance(text, str) else _older(versions[worker], model)
            for worker, text in found.items()
            if text != ""
        }
    if troubles:
        worker, text = next(iter(troubles.items()))
        more = f" So it is with {len(troubles)} of {len(versions)} workers." * (len(troubles) > 1)
        raise ClusterError(f"The worker {worker} {text}.{more}")


def _older(version: str, model: SharedModel) -> str:
    """Say that a worker does not even have this file, or another one of the name."""
    return (
        f"has napari-sam-adapter {version}, which does not understand what it is asked; "
        f"{model.version} is needed: install the same version on all machines"
    )


@contextmanager
def large_tasks_are_meant() -> Iterator[None]:
    """Keep Dask from warning that pixels travel with a task."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        yield
