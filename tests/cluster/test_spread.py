"""Slices spread over worker processes: what comes back, and what does if a worker dies."""

import os
import signal
from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest
import tifffile
import torch
from dask.system import CPU_COUNT
from PIL import Image

from napari_sam_adapter.cluster import task
from napari_sam_adapter.cluster.connection import check_workers, connected
from napari_sam_adapter.cluster.spread import predict_files_on
from napari_sam_adapter.cluster.task import digest_of, sha256_of
from napari_sam_adapter.errors import ClusterError, ImageError
from napari_sam_adapter.file_prediction import (
    OpenedFile,
    PredictedSlice,
    load_model,
    predict_files,
)
from napari_sam_adapter.sam.checkpoint import save_adapter
from napari_sam_adapter.volumes.volume_help import VolumeHelp


@pytest.fixture
def stack(tmp_path, noise):
    noise = noise.copy()
    noise[3] = 40  # without contrast
    tifffile.imwrite(tmp_path / "stack.tif", noise)
    return tmp_path / "stack.tif"


@pytest.fixture
def picture(tmp_path, noise):
    Image.fromarray(noise[0]).save(tmp_path / "one.png")
    return tmp_path / "one.png"


@pytest.fixture(scope="module")
def sam():
    return load_model(None, None, "cpu")


def slices(stream):
    return [item for item in stream if isinstance(item, PredictedSlice)]


def assert_same(found, expected):
    assert [one.index for one in found] == [one.index for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        # Masks are what is written. Their confidence was seen to differ by 4e-8; why is not known.
        if other.expected_dice is None:  # without contrast
            assert one.expected_dice is None
        else:
            assert one.expected_dice == pytest.approx(other.expected_dice, rel=1e-6)


def here(sam, *paths, tile=None):
    return slices(predict_files(sam, paths, 1, lambda image: VolumeHelp(tile=tile)))


def test_files_and_slices_come_in_order_and_are_those_of_a_plain_run(
    cluster, base, sam, stack, picture
):
    shares = []
    stream = list(predict_files_on(cluster, base, [stack, picture], shares.append))
    kinds = [type(item) for item in stream]
    assert kinds == [OpenedFile, *[PredictedSlice] * 12, OpenedFile, PredictedSlice]
    assert_same(slices(stream), here(sam, stack, picture))
    assert stream[4].labels is None
    assert shares == [1 / 12] * 12 + [1.0]


def test_large_slices_are_predicted_in_tiles_as_in_a_plain_run(cluster, base, sam, stack):
    found = slices(predict_files_on(cluster, replace(base, tile=40), [stack]))
    assert_same(found, here(sam, stack, tile=40))


def work_done():
    """Tell what a worker has done: how often it loaded a model, and threads per slice."""
    return task._loaded.cache_info().misses, torch.get_num_threads()


def test_each_worker_loads_the_model_once_and_takes_its_share_of_the_cores(cluster, base, stack):
    seen = []
    for _ in range(2):
        list(predict_files_on(cluster, base, [stack]))
        seen.append(cluster.run(work_done))
    assert seen[0] == seen[1]
    assert {share for _, share in seen[0].values()} == {max(1, CPU_COUNT // 2)}


def test_a_worker_that_is_killed_costs_only_its_slice(base, sam, stack):
    with connected(None, 2) as client:
        client.wait_for_workers(2, timeout=600)
        first, _ = pids = list(client.run(os.getpid).values())
        found = []
        for item in predict_files_on(client, base, [stack]):
            found.append(item)
            if len(found) == 3:
                os.kill(first, signal.SIGKILL)
        assert first not in client.run(os.getpid).values()
        assert len(set(pids)) == 2
    assert_same(slices(found), here(sam, stack))


@pytest.fixture
def one_worker():
    """A client whose slices are in an error, as those of a worker whose drive did not answer."""
    client = MagicMock()
    client.nthreads.return_value = {"tcp://127.0.0.1:1": 1}
    future = client.submit.return_value
    future.status = "error"
    future.result.side_effect = TimeoutError("Connection timed out: 'stack.tif'")
    return client


def asked_often(times=200):
    asked = iter(range(times))
    return lambda: next(asked, None) is None


def test_a_worker_that_ran_out_of_time_has_failed_and_is_not_waited_for(one_worker, base, stack):
    stream = predict_files_on(one_worker, base, [stack], should_stop=asked_often())
    with pytest.raises(ClusterError, match=r"slice 0: a worker failed\. .*Connection timed out"):
        list(stream)


def test_what_is_stopped_while_a_slice_is_waited_for_ends_without_an_error(one_worker, base, stack):
    one_worker.submit.return_value.status = "pending"
    stream = predict_files_on(one_worker, base, [stack], should_stop=asked_often(5))
    assert slices(stream) == []


def test_pixels_travel_where_workers_find_no_file(cluster, base, sam, stack, monkeypatch, caplog):
    # As on a machine that does not have the file: its digest is another one there.
    expected = here(sam, stack)
    monkeypatch.setattr("napari_sam_adapter.cluster.spread.digest_of", lambda path: "another")
    found = slices(predict_files_on(cluster, base, [stack]))
    assert_same(found, expected)
    assert caplog.text.count("pixels are sent") == 1


def test_no_more_slices_are_under_way_than_the_workers_need(cluster, base, stack, monkeypatch):
    sent = []
    submit = cluster.submit
    monkeypatch.setattr(
        cluster, "submit", lambda *task, **options: sent.append(1) or submit(*task, **options)
    )
    stream = predict_files_on(cluster, base, [stack])
    next(stream)
    assert len(sent) <= 2 * 2 + 2
    stream.close()
    assert len(sent) <= 2 * 2 + 2


def test_a_slice_that_cannot_be_read_is_named_after_those_before_it(cluster, base, tmp_path, noise):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, noise, compression="zlib")
    with tifffile.TiffFile(path) as file:
        start = file.pages[2].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(16))
    found = []
    with pytest.raises(ImageError, match=r"scan\.tif, slice 2, could not be read"):
        found.extend(predict_files_on(cluster, base, [path]))


def test_what_workers_lack_is_said_before_any_slice_is_sent(cluster, base, tmp_path, fresh_sam):
    check_workers(cluster, base)
    adapter = tmp_path / "a.safetensors"
    model = replace(base, adapter=adapter, adapter_sha256="0")
    with pytest.raises(ClusterError, match=r"worker tcp://.* cannot read the adapter .*a\.safe"):
        check_workers(cluster, model)
    save_adapter(adapter, fresh_sam, gear="full", training={})
    with pytest.raises(ClusterError, match="finds another adapter"):
        check_workers(cluster, model)
    check_workers(cluster, replace(model, adapter_sha256=sha256_of(adapter)))
    with pytest.raises(ClusterError, match=r"0\.0\.1 is needed.*2 of 2 workers"):
        check_workers(cluster, replace(base, version="0.0.1"))


def test_a_model_that_a_worker_cannot_load_is_said_with_the_worker(cluster, base, stack):
    model = replace(base, base="sam_vit_b")  # not downloaded
    with pytest.raises(ClusterError, match=r"The worker tcp://.*sam_vit_b"):
        list(predict_files_on(cluster, model, [stack]))


def test_a_digest_tells_files_and_folders_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(name.encode() * 200_000)
    assert digest_of(tmp_path / "a" / "file") != digest_of(tmp_path / "b" / "file")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    (tmp_path / "b" / "other").write_bytes(b"")
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")
    with pytest.raises(OSError, match="nowhere"):
        digest_of(tmp_path / "nowhere")
