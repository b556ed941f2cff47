"""The device is asked for, looked for, and never assumed."""

import pytest
import torch

from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.sam import devices
from napari_sam_adapter.sam.devices import autocast, choose_device, uses_bfloat16


@pytest.fixture
def bare_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def fresh_probe():
    devices._cpu_gains_from_bfloat16.cache_clear()
    yield
    devices._cpu_gains_from_bfloat16.cache_clear()


@pytest.mark.usefixtures("bare_machine")
def test_auto_falls_back_to_the_cpu():
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("bare_machine")
def test_auto_prefers_cuda_over_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "meta"])
def test_a_device_that_is_not_there_is_refused(name):
    advice = r"not available on this machine: choose auto or cpu \(in the window, .* Preferences"
    with pytest.raises(SamAdapterError, match=advice):
        choose_device(name)


@pytest.mark.usefixtures("bare_machine")
def test_a_gpu_beyond_those_that_are_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SamAdapterError, match="'cuda:2' is not available on this machine"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x"])
def test_an_unknown_device_name_lists_the_choices(name):
    with pytest.raises(SamAdapterError, match="auto, cpu, cuda, mps"):
        choose_device(name)


@pytest.mark.usefixtures("fresh_probe")
@pytest.mark.parametrize(("value", "expected"), [("0", False), ("1", True)])
def test_the_environment_overrules_the_precision_probe(monkeypatch, value, expected):
    monkeypatch.setenv("NAPARI_SAM_ADAPTER_BF16", value)
    cpu = torch.device("cpu")
    assert uses_bfloat16(cpu) is expected
    with autocast(cpu):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) is expected


@pytest.mark.usefixtures("fresh_probe")
@pytest.mark.parametrize(
    ("seconds_in_bf16", "pays"),
    [(0.3, True), (0.7, True), (0.8, False), (1.0, False), (3.0, False)],
)
def test_bf16_is_used_where_a_matrix_product_is_found_to_take_less_time(
    monkeypatch, seconds_in_bf16, pays
):
    monkeypatch.delenv("NAPARI_SAM_ADAPTER_BF16")
    now = 0.0

    def product(self, other):
        nonlocal now
        now += seconds_in_bf16 if self.dtype == torch.bfloat16 else 1.0
        return self

    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now)
    assert uses_bfloat16(torch.device("cpu")) is pays
    passed = now
    assert uses_bfloat16(torch.device("cpu")) is pays
    assert now == passed, "it is looked at once"


@pytest.mark.parametrize("really", [True, False])
def test_a_gpu_that_only_emulates_bf16_computes_in_fp32(monkeypatch, really):
    def supported(including_emulation: bool = True) -> bool:
        return really or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert uses_bfloat16(torch.device("cuda")) == really
