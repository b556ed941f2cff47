"""Messages between the window and its processes."""

import io

import numpy as np
import pytest

from napari_sam_adapter.engine.protocol import Message, read_message, write_message


def round_trip(message):
    stream = io.BytesIO()
    write_message(stream, message)
    stream.seek(0)
    return read_message(stream)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i8", "<f4", ">f8", "?"])
def test_arrays_arrive_as_they_were_sent(dtype):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    received = round_trip(Message("predict", {"a": 1}, {"image": array})).arrays["image"]
    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)


def test_views_that_are_not_contiguous_arrive_intact():
    array = np.arange(100).reshape(10, 10)[::2, ::-1]
    np.testing.assert_array_equal(round_trip(Message("x", {}, {"a": array})).arrays["a"], array)


def test_empty_arrays_and_values_arrive():
    received = round_trip(Message("x", {"text": "ä ✓", "none": None}, {"a": np.empty((0, 3))}))
    assert received.values == {"text": "ä ✓", "none": None}
    assert received.arrays["a"].shape == (0, 3)


def test_several_messages_keep_their_order():
    stream = io.BytesIO()
    for number in range(3):
        write_message(stream, Message(str(number), {}, {"a": np.full(number, number)}))
    stream.seek(0)
    assert [read_message(stream).kind for _ in range(3)] == ["0", "1", "2"]
    assert read_message(stream) is None


def test_a_stream_cut_in_the_middle_is_an_end_not_a_crash():
    stream = io.BytesIO()
    write_message(stream, Message("x", {}, {"a": np.zeros(1000)}))
    for length in (2, 10, 200):
        assert read_message(io.BytesIO(stream.getvalue()[:length])) is None


def test_foreign_bytes_are_refused():
    with pytest.raises(ValueError, match="not one of ours"):
        read_message(io.BytesIO(b"\xff\xff\xff\xffGET / HTTP"))
