"""What `make bench` checks of training steps before it times them."""

import pytest
import torch

from bench.measuring import NotEqualError
from bench.step_equality import check_direction, check_gear, check_names
from bench.step_models import Setting, lite_medsam, vit_b
from napari_sam_adapter.adapter.module import AdapterPass
from napari_sam_adapter.training.config import GEARS


@pytest.fixture(scope="module")
def vit() -> Setting:
    return vit_b(224)


@pytest.mark.parametrize("gear", GEARS)
def test_steps_of_every_gear_have_the_plain_steps_loss_and_gradients(gear, vit):
    check_gear(vit, gear, vit.model_for(gear), bf16=True)


def test_so_have_those_of_an_encoder_of_several_stages():
    setting = lite_medsam()
    check_gear(setting, "late", setting.model_for("late"), bf16=True)


def test_a_step_that_leaves_out_the_prompt_of_a_block_fails(vit, monkeypatch):
    whole = AdapterPass.before_block
    monkeypatch.setattr(
        AdapterPass,
        "before_block",
        lambda self, stage, block, x: x if block == 9 else whole(self, stage, block, x),
    )
    with pytest.raises(NotEqualError):
        check_gear(vit, "late", vit.model_for("late"), bf16=False)


def test_a_gear_that_trains_less_than_it_should_fails():
    plain = dict.fromkeys(["adapter.early", "adapter.late", "mask_decoder.a", "mask_decoder.b"], 0)

    def subset(*names):
        return {name: plain[name] for name in names}

    decoder = ("mask_decoder.a", "mask_decoder.b")
    check_names("quick", subset(*decoder), plain)
    check_names("late", subset("adapter.late", *decoder), plain)
    check_names("full", plain, plain)
    for gear, names in (
        ("quick", decoder[:1]),
        ("late", decoder),
        ("late", ("adapter.late", decoder[0])),
        ("full", ("adapter.late", *decoder)),
    ):
        with pytest.raises(NotEqualError, match=f"{gear}: gradients reach other weights"):
            check_names(gear, subset(*names), plain)


def test_gradients_in_bf16_must_point_the_same_way_and_be_as_long():
    x = torch.linspace(-1, 1, 100)
    check_direction("ours", x + 0.05 * x.flip(0).abs(), x)
    for other in (x + x.abs(), x * 1.2, x * 0.8, x * 0, x * float("nan")):
        with pytest.raises(NotEqualError, match="ours: cosine"):
            check_direction("ours", other, x)
