"""On a GPU, all that is computed stays there: fake tensors tell, where there is no card.

They have shapes, types and a device, and refuse to be mixed with those of another device.
"""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from napari_sam_adapter.sam.input_format import InputGeometry
from napari_sam_adapter.sam.late import can_be_cut, encode_after, encode_before, prepare_late
from napari_sam_adapter.sam.window_attention import WindowAttention, window_order
from napari_sam_adapter.training.loss import at_size_of, mask_loss
from tests.sam.test_late import small_vit


def moved(model: nn.Module, mode: FakeTensorMode) -> None:
    """Put fake tensors on a GPU in the place of all weights."""
    for module in [*model.modules(), *model.base.modules()]:
        for name, parameter in module._parameters.items():
            if parameter is not None:
                fake = mode.from_tensor(parameter).detach().to("cuda")
                module._parameters[name] = nn.Parameter(fake, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = mode.from_tensor(buffer).to("cuda")


def bias_like(self, rows, columns, like):
    """Stand in for `_new_bias`, which picks offsets: fake tensors do not know how many."""
    n, is_padded = rows * columns, (rows, columns) != (self.window, self.window)
    return like.new_empty(1, self.heads, n, n + is_padded)


@pytest.fixture
def _forgets_fakes():
    window_order.cache_clear()
    yield
    window_order.cache_clear()


@pytest.mark.usefixtures("_forgets_fakes")
@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("kind", ["tiny", "plain"])
def test_nothing_is_computed_elsewhere(kind, tuned_sam, monkeypatch):
    monkeypatch.setattr(WindowAttention, "_new_bias", bias_like)
    # Whether weights are zero cannot be asked of fake ones.
    for where in ("adapted.has_zero_effect", "late.has_zero_effect", "late.is_base_before"):
        monkeypatch.setattr(f"napari_sam_adapter.sam.{where}", lambda *given: False)
    model = tuned_sam if kind == "tiny" else small_vit()
    model = copy.deepcopy(model)
    prepare_late(model)
    assert can_be_cut(model)
    side = model.settings.input_size
    whole = InputGeometry((side, side), (side, side), side)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        moved(model, mode)
        images = torch.empty(1, 3, side, side, device="cuda")
        target = torch.empty(1, 1, side, side, device="cuda")
        with torch.no_grad():
            predicted = model.decode(model.encode(images), whole)
        assert predicted.device.type == "cuda"
        model.adapter.requires_grad_(True)
        for embedding in (model.encode(images), encode_after(model, encode_before(model, images))):
            logits = model.decode(embedding, whole)
            loss = mask_loss(at_size_of(target, logits), target)
            assert (loss.device.type, loss.requires_grad) == ("cuda", True)
