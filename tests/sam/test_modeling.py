"""`segment_anything`'s modules are used without what its package imports besides."""

import subprocess
import sys

import pytest

PREDICTS = """
import sys
import numpy as np
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.encode import encode_image
from napari_sam_adapter.sam.predict import decode_masks
model = build_adapted_sam(ModelSettings.default("lite_medsam", 56)).eval()
image = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
assert decode_masks(model, encode_image(model, image)).labels.shape == (64, 64)
print(*({"torchvision", "torch._dynamo"} & set(sys.modules)))
"""
USES_THE_WHOLE_PACKAGE = """
import sys
from napari_sam_adapter.sam.modeling import MaskDecoder, PromptEncoder
import segment_anything
assert "torchvision" not in sys.modules
from segment_anything import SamPredictor, sam_model_registry
assert "torchvision" in sys.modules
assert segment_anything.modeling.MaskDecoder is MaskDecoder
assert segment_anything.modeling.PromptEncoder is PromptEncoder
assert sys.modules["segment_anything.build_sam"].MaskDecoder is MaskDecoder
assert not hasattr(segment_anything, "nothing_of_the_kind")
print("fine")
"""
HAS_THE_WHOLE_PACKAGE_ALREADY = """
import segment_anything
from napari_sam_adapter.sam.modeling import MaskDecoder
import sys
assert sys.modules["segment_anything"] is segment_anything
assert segment_anything.modeling.MaskDecoder is MaskDecoder
print("fine")
"""


def printed_by(program: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_prediction_loads_neither_torchvision_nor_torchs_compiler():
    assert printed_by(PREDICTS) == ""


@pytest.mark.parametrize("program", [USES_THE_WHOLE_PACKAGE, HAS_THE_WHOLE_PACKAGE_ALREADY])
def test_whoever_uses_segment_anything_itself_gets_all_of_it_and_the_same_classes(program):
    assert printed_by(program) == "fine"
