"""The base model in the dock: chosen, downloaded, or a file of the person's own."""

import hashlib
import io
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from qtpy.QtWidgets import QFileDialog
from safetensors.torch import save_file

from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam import registry
from napari_sam_adapter.sam.registry import LITE_MEDSAM
from napari_sam_adapter.sam.weight_files import MODELS_VARIABLE, WeightFile
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.retrain import base_choice

CONTENT = bytes(5_000_000)
MUCH_LESS_THAN_A_TIMEOUT = 10.0  # seconds; it takes a fraction of one where nothing else runs


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:2_000_000])
        if self.server.go_on.wait(60):
            self.wfile.write(CONTENT[2_000_000:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Offer MobileSAM from here, as a file of zeros that is sent in two parts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.go_on = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        weights = WeightFile(
            "mobile_sam.pt",
            hashlib.sha256(CONTENT).hexdigest(),
            len(CONTENT),
            url=f"http://127.0.0.1:{server.server_port}/mobile_sam.pt",
        )
        model = replace(registry.MOBILE_SAM, weights=weights)
        monkeypatch.setitem(registry.BASE_MODELS, "mobile_sam", model)
        monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
        yield server
        server.go_on.set()
        server.shutdown()


def choose(person, name: str) -> None:
    box = person.dock.models_panel.base_box
    row = [box.itemData(i) for i in range(box.count())].index(name)
    box.setCurrentIndex(row)
    box.activated.emit(row)


def test_the_list_says_licence_size_and_whether_a_model_is_here(open_person, server):
    box = open_person().dock.models_panel.base_box
    labels = [box.itemText(row) for row in range(box.count())]
    assert "lite_medsam · here · 39 MB · Apache-2.0" in labels
    assert "mobile_sam · to download · 5 MB · Apache-2.0" in labels
    assert any("medsam_vit_b" in label and "CC-BY-4.0" in label for label in labels)


def test_a_model_is_downloaded_with_progress(open_person, server):
    person = open_person()
    panel = person.dock.models_panel
    assert panel.fetch_button.isHidden()
    choose(person, "mobile_sam")
    assert not panel.fetch_button.isHidden()
    assert "download" in person.message
    panel.fetch_button.click()
    person.wait(lambda: panel.progress.value() > 0)
    assert not panel._running.isHidden()
    assert "Downloading mobile_sam" in person.message
    server.go_on.set()
    person.wait(lambda: not person.controller.fetching.is_running)
    assert "mobile_sam is here" in person.message
    assert panel.fetch_button.isHidden()
    assert "here" in panel.base_box.currentText()


def test_a_download_that_stalls_can_be_cancelled_and_is_offered_again(open_person, server):
    person = open_person()
    panel = person.dock.models_panel
    choose(person, "mobile_sam")
    panel.fetch_button.click()
    person.wait(lambda: panel.progress.value() > 0)
    panel.cancel_button.click()
    assert "Stopping the download" in person.message
    cancelled = time.monotonic()
    person.wait(lambda: not person.controller.fetching.is_running)
    assert time.monotonic() - cancelled < MUCH_LESS_THAN_A_TIMEOUT
    assert "was stopped" in person.message
    assert not panel.fetch_button.isHidden()


def test_predicting_without_the_weights_says_how_to_get_them(open_person, polyps, server):
    person = open_person(polyps.frames, rgb=True)
    choose(person, "mobile_sam")
    person.predict()
    assert "not on this machine yet" in person.message


def test_the_chosen_model_is_remembered_tomorrow(open_person, server, tmp_path):
    choose(open_person(project=tmp_path / "store"), "sam_vit_b")
    again = open_person(project=tmp_path / "store")
    assert again.controller.session.in_use.base == "sam_vit_b"
    assert again.dock.models_panel.base_box.currentData() == "sam_vit_b"
    sizes = [size for _, size in [(c, c) for c in again.dock.retrain_panel.size_box.choices]]
    assert 1024 in sizes


def test_a_weights_file_of_ones_own_predicts(open_person, polyps, tmp_path):
    own = tmp_path / "my_medsam.pth"
    own.write_bytes(LITE_MEDSAM.weights.locate().read_bytes() + b" ")
    person = open_person(polyps.frames, rgb=True)
    person.dock.models_panel.use_file(own)
    assert "Reading my_medsam.pth" in person.message  # its hash, beside the window
    person.wait(lambda: person.controller.session.in_use.base == f"lite_medsam@{own}")
    person.predict()
    assert "predicted by the base model" in person.message


def test_weights_that_never_learned_prompts_say_so_when_they_are_given_some(
    open_person, polyps, tmp_path
):
    own = tmp_path / "of_an_import.pth"
    state = torch.load(LITE_MEDSAM.weights.locate(), weights_only=True)
    learned = [name for name in state if "prompt_encoder.point_embeddings." in name]
    torch.save(state | {name: torch.zeros_like(state[name]) for name in learned}, own)
    person = open_person(polyps.frames, rgb=True)
    person.dock.models_panel.use_file(own)
    person.wait(lambda: person.controller.session.in_use.base == f"lite_medsam@{own}")
    person.dock.prompts_panel.points_button.click()
    person.viewer.layers["image points"].add((0, 48, 48))
    person.predict()
    assert f"{own} were never trained with boxes and points" in person.message


def test_weights_that_are_safetensors_are_offered_and_predict(
    open_person, polyps, tmp_path, monkeypatch
):
    own = tmp_path / "mine.safetensors"
    save_file(torch.load(LITE_MEDSAM.weights.locate(), weights_only=True), own)

    def choose_what_is_offered(parent, title, folder, offered):
        return (str(own), offered) if f"*{own.suffix}" in offered else ("", "")

    monkeypatch.setattr(QFileDialog, "getOpenFileName", choose_what_is_offered)
    person = open_person(polyps.frames, rgb=True)
    person.dock.models_panel.menu_button.menu().actions()[0].trigger()
    assert "Reading mine.safetensors" in person.message
    person.wait(lambda: person.controller.session.in_use.base == f"lite_medsam@{own}")
    person.predict()
    assert "predicted by the base model" in person.message


def test_choosing_another_model_puts_the_adapter_aside(open_person, polyps, server, tmp_path):
    from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
    from napari_sam_adapter.sam.checkpoint import save_adapter

    person = open_person(polyps.frames, rgb=True)
    path = tmp_path / "a.safetensors"
    save_adapter(path, build_adapted_sam(ModelSettings.default("lite_medsam")), gear="full")
    person.dock.versions_panel.load_requested.emit(path)
    assert person.controller.session.in_use.version is not None
    choose(person, "mobile_sam")
    assert person.controller.session.in_use.version is None
    person.controller.versions.activate(1)
    assert person.dock.models_panel.base_box.currentData() == "lite_medsam"


def test_a_weights_file_that_has_gone_leaves_the_base_model_as_it_is(person, tmp_path):
    person.dock.models_panel.use_file(tmp_path / "gone.pth")
    person.wait(lambda: "no file of weights" in person.message)
    assert person.controller.session.in_use.base == "lite_medsam"
    assert person.dock.models_panel.base_box.currentData() == "lite_medsam"


@pytest.mark.parametrize("is_weights", [True, False])
@pytest.mark.parametrize(
    "meanwhile",
    ["another model", "another file", "another project", "a version", "an adapter file"],
)
def test_a_file_whose_reading_takes_long_is_forgotten_for_what_is_chosen_meanwhile(
    person, tmp_path, monkeypatch, adapter_file, meanwhile, is_weights
):
    versions = person.dock.versions_panel
    if meanwhile == "a version":
        versions.load_requested.emit(adapter_file)
        versions.version_requested.emit(None)
    slow, fast, other = tmp_path / "slow.pth", tmp_path / "fast.pth", tmp_path / "other"
    for path in (slow, fast):
        path.write_bytes(path.name.encode())
    has_read = threading.Event()

    def read(name):
        if "slow" in name:
            has_read.wait(60)
            if not is_weights:
                raise WeightsError("slow.pth is no file of weights.")
        return name

    monkeypatch.setattr(base_choice, "own_base", read)
    panel, session = person.dock.models_panel, person.controller.session
    panel.use_file(slow)
    (job,) = person.controller.base.findChildren(Job)
    if meanwhile == "another model":
        choose(person, "sam_vit_b")
    elif meanwhile == "another file":
        panel.use_file(fast)
        person.wait(lambda: "is the base model from now on" in person.message)
    elif meanwhile == "a version":
        versions.version_requested.emit(1)
    elif meanwhile == "an adapter file":
        versions.load_requested.emit(adapter_file)
    else:
        person.dock.project_panel.folder_requested.emit(other)
    before, said = session.in_use, person.message
    with person.qtbot.waitSignal(job.finished):
        has_read.set()
    assert session.in_use == before
    assert person.message == said
    assert Project(other).adapters.base is None


def test_a_version_that_is_not_there_leaves_the_file_that_is_being_read(
    person, tmp_path, monkeypatch
):
    has_read = threading.Event()
    monkeypatch.setattr(base_choice, "own_base", lambda name: has_read.wait(60) and "sam_vit_b")
    person.dock.models_panel.use_file(tmp_path / "slow.pth")
    person.dock.versions_panel.load_requested.emit(tmp_path / "none.safetensors")
    has_read.set()
    person.wait(lambda: person.controller.session.in_use.base == "sam_vit_b")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"not weights at all", "no file that torch.save wrote"),
        (lambda: LITE_MEDSAM.weights.locate().read_bytes()[:-100], "only a part of the file"),
        (lambda: saved({"layer1.weight": torch.zeros(2)}), "a SAM has tensors named image_encoder"),
        (lambda: saved({"image_encoder.trunk.x": torch.zeros(2)}), "a checkpoint of SAM 2"),
    ],
    ids=["text", "cut off", "another network", "another method"],
)
def test_a_file_that_is_evidently_no_sam_is_refused_when_it_is_chosen(
    person, tmp_path, content, words
):
    (tmp_path / "mine.pth").write_bytes(content())
    person.dock.models_panel.use_file(tmp_path / "mine.pth")
    person.wait(lambda: words in person.message)
    assert person.controller.session.in_use.base == "lite_medsam"
    assert person.dock.models_panel.base_box.currentData() == "lite_medsam"


def saved(state) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
