"""`segment_anything`'s own modules, imported without the rest of their package.

The package's first lines import torchvision, for a mask generator that nothing here uses, and
torchvision imports torch's compiler: one second and 170 MiB in every process that predicts. And a
torchvision that does not fit torch, a frequent trouble, would break what does not need it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_PACKAGE = "segment_anything"


class _LatePackage(ModuleType):
    """A package that runs its own first lines once somebody asks for what they define."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__loader__, self.__file__ = spec, spec.loader, spec.origin
        self.__path__ = list(spec.submodule_search_locations or ())
        self.__package__ = spec.name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system itself
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


if _PACKAGE not in sys.modules and (_spec := find_spec(_PACKAGE)) is not None:
    sys.modules[_PACKAGE] = _LatePackage(_spec)

from segment_anything.modeling import (  # noqa: E402 - after the package stands in
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    TwoWayTransformer,
)
from segment_anything.modeling.common import LayerNorm2d  # noqa: E402
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos  # noqa: E402
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom  # noqa: E402

__all__ = [
    "Attention",
    "Block",
    "ImageEncoderViT",
    "LayerNorm2d",
    "MaskDecoder",
    "PositionEmbeddingRandom",
    "PromptEncoder",
    "TwoWayTransformer",
    "get_rel_pos",
]
