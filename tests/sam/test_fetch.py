"""Downloads: resumed, checked, stopped, and never at the cost of somebody's file."""

import hashlib
import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from filelock import FileLock

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam import download
from napari_sam_adapter.sam.download import CHUNK
from napari_sam_adapter.sam.fetch import FetchStopped, fetch, fetch_with_progress
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE, WeightFile

CONTENT = np.random.default_rng(0).bytes(3 * CHUNK + 123)


class Server(ThreadingHTTPServer):
    """Serves one file; notes what was asked for, and breaks off after so many bytes if told to."""

    content = CONTENT
    knows_ranges = True
    breaks_after: int | None = None
    describes: dict[str, str] | None = None  # other headers than the length

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.starts: list[int] = []
        self.may_end = threading.Event()  # until then the connection stays open
        self.may_end.set()
        self.url = f"http://127.0.0.1:{self.server_port}/model.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/model.pth":
            self.send_error(404)
            return
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if self.server.knows_ranges else 0
        self.server.starts.append(start)
        if start > len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if "Range" in self.headers and self.server.knows_ranges else 200)
        for name, value in (self.server.describes or {"Content-Length": len(body)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])
        self.server.may_end.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.may_end.set()
        server.shutdown()


@pytest.fixture
def weights(server, tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightFile("model.pth", digest, len(CONTENT), url=server.url)


def test_weights_are_downloaded_into_the_models_folder(weights, tmp_path):
    assert not weights.is_here
    assert fetch(weights) == tmp_path / "models" / "model.pth"
    assert weights.is_here
    assert weights.locate().read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model.pth"]


def test_what_is_here_is_not_downloaded_again(weights, server):
    fetch(weights)
    fetch(weights)
    assert len(server.starts) == 1


def test_a_file_copied_there_by_hand_is_used(weights, server):
    weights.locate().parent.mkdir()
    weights.locate().write_bytes(CONTENT)
    assert fetch(weights) == weights.locate()
    assert server.starts == []


def stop_after_the_first_part(weights):
    arrived = []
    with pytest.raises(FetchStopped, match="was stopped"):
        fetch(
            weights,
            progress=lambda done, total: arrived.append(done),
            should_stop=lambda: any(arrived),
        )


def test_a_broken_connection_is_reported_and_the_next_try_continues(weights, server):
    server.breaks_after = 2 * CHUNK
    with pytest.raises(WeightsError, match=r"could not be downloaded.*next try continues there"):
        fetch(weights)
    server.breaks_after = None
    fetch(weights)
    assert server.starts[0] == 0
    assert server.starts[1] >= CHUNK
    assert weights.locate().read_bytes() == CONTENT


def test_a_stopped_download_continues_where_it_was(weights, server):
    stop_after_the_first_part(weights)
    assert not weights.is_here
    fetch(weights)
    assert server.starts == [0, CHUNK]


def test_a_server_that_cannot_continue_begins_again(weights, server):
    stop_after_the_first_part(weights)
    server.knows_ranges = False
    fetch(weights)
    assert weights.locate().read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_is_begun_again(weights):
    part = weights.locate().with_name("model.pth.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"too much")
    fetch(weights)
    assert weights.locate().read_bytes() == CONTENT


def test_another_content_is_not_kept_and_what_to_do_is_said(weights, server):
    server.content = b"x" * len(CONTENT)
    with pytest.raises(WeightsError, match=r"not the published file.*copy a file you trust"):
        fetch(weights)
    assert not weights.locate().exists()
    server.content = CONTENT
    fetch(weights)


def test_somebodys_file_of_another_content_is_left_alone(weights, server):
    weights.locate().parent.mkdir()
    weights.locate().write_bytes(b"a student's fine-tuned model")
    with pytest.raises(WeightsError, match="left as it is"):
        fetch(weights)
    assert weights.locate().read_bytes() == b"a student's fine-tuned model"
    assert server.starts == []


@pytest.mark.parametrize("sent", [0, CHUNK], ids=["no byte", "a part"])
def test_a_stalled_download_stops_at_once_and_continues_where_it_was(weights, server, sent):
    server.breaks_after = sent
    server.may_end.clear()
    soon = time.monotonic() + 1
    with pytest.raises(FetchStopped):
        fetch(weights, should_stop=lambda: time.monotonic() > soon)
    assert time.monotonic() - soon < 10  # a fraction of a second, where nothing else runs
    server.may_end.set()
    server.breaks_after = None
    assert fetch(weights).read_bytes() == CONTENT
    assert server.starts == [0, sent]


def test_a_server_that_never_answers_can_be_left(weights):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        waiting = replace(weights, url=f"http://127.0.0.1:{silent.getsockname()[1]}/model.pth")
        soon = time.monotonic() + 1
        with pytest.raises(FetchStopped):
            fetch(waiting, should_stop=lambda: time.monotonic() > soon)
        assert time.monotonic() - soon < 10


def test_a_connection_that_stays_silent_is_given_up(weights, server, monkeypatch):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.5)
    server.breaks_after = CHUNK
    server.may_end.clear()
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 sent nothing for 0\.5 seconds\. What"):
        fetch(weights)


def test_without_a_network_the_way_around_is_named(weights, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError) as caught:
        fetch(weights)
    assert str(caught.value) == (
        "model.pth could not be downloaded: there is no connection to 127.0.0.1. On a machine "
        f"without a network, download {weights.url} elsewhere and copy the file to "
        f"{weights.locate().parent}."
    )


def test_an_answer_without_the_file_is_named(weights, server):
    url = f"{server.url}.moved"
    with pytest.raises(WeightsError, match=rf": 127.0.0.1 answered 404 Not Found\. On.*{url} else"):
        fetch(replace(weights, url=url))


@pytest.mark.parametrize("describes", [None, {"Content-Type": "text/html; charset=utf-8"}])
@pytest.mark.parametrize("begun", [False, True])
def test_a_page_in_place_of_the_file_is_named_and_spoils_nothing(weights, server, describes, begun):
    if begun:
        stop_after_the_first_part(weights)
    server.content, server.knows_ranges, server.describes = b"<html>Log in</html>", False, describes
    with pytest.raises(
        WeightsError, match=r"127\.0\.0\.1 sent something else than the file \(a pa"
    ):
        fetch(weights)
    server.content, server.knows_ranges, server.describes = CONTENT, True, None
    fetch(weights)
    assert server.starts[-1] == (CHUNK if begun else 0)
    assert weights.locate().read_bytes() == CONTENT


def test_progress_ends_with_everything(weights):
    reports = list(fetch_with_progress(weights))
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert reports[-1].done == reports[-1].total == len(CONTENT)


def test_progress_reports_a_failure_as_an_error(weights, server):
    server.content = b"x" * len(CONTENT)
    with pytest.raises(WeightsError, match="not the published file"):
        list(fetch_with_progress(weights))


def test_two_programs_do_not_write_the_same_download(weights, server):
    target = weights.locate()
    target.parent.mkdir(parents=True)
    with (
        FileLock(f"{target}.lock"),
        pytest.raises(WeightsError, match="is being downloaded by another program"),
    ):
        fetch(weights)
    assert fetch(weights).read_bytes() == CONTENT
    assert len(server.starts) == 1
