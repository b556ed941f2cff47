"""What encoders made of slices, kept in memory and in files by everything that decides it."""

from __future__ import annotations

import hashlib
import platform
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from napari_sam_adapter import __version__
from napari_sam_adapter.sam.devices import uses_bfloat16
from napari_sam_adapter.sam.feature_files import FORMAT, FeatureFiles

Kind = Literal["embedding", "prefix"]
Features = dict[str, Tensor]


def feature_key(kind: Kind, x: Tensor, base_sha256: str, adapter: str, threads: int) -> str:
    """Return a digest of everything that decides what an encoder makes of an input.

    Parameters
    ----------
    kind : {"embedding", "prefix"}
        What of it.
    x : Tensor, shape (1, 3, S, S)
        The input, which holds the slice, its normalisation, size, place and orientation; on the
        device that computes.
    base_sha256 : str
        Of the base model's weights.
    adapter : str
        `late.encoder_key` or `late.prefix_key`.
    threads : int
        In how many it is computed.

    Returns
    -------
    str
        40 hexadecimal digits.
    """
    made_by = (
        *(kind, base_sha256, adapter, str(x.dtype), tuple(x.shape)),
        "bf16" if uses_bfloat16(x.device) else "fp32",
        # Another processor, number of threads or version sums in another order.
        *(FORMAT, __version__, torch.__version__, *_machine(x.device, threads)),
    )
    digest = hashlib.blake2b(repr(made_by).encode(), digest_size=20)
    digest.update(x.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _machine(device: torch.device, threads: int) -> tuple[str, ...]:
    processor = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    settings = (threads, torch.get_float32_matmul_precision())
    return platform.node(), device.type, processor, *map(str, settings)


class FeatureCache:
    """Features by `feature_key`, the latest used of each kind up to a bound.

    Parameters
    ----------
    memory_bytes : mapping of str to int, optional
        How much of each kind stays in memory; the latest entry does in any case. A kind that is not
        named does not stay there.
    files : FeatureFiles, optional
        Where they are looked for, and kept for other processes and other days.
    """

    def __init__(
        self, memory_bytes: Mapping[Kind, int] | None = None, files: FeatureFiles | None = None
    ) -> None:
        self._memory_bytes = dict(memory_bytes or {})
        self.memory: dict[Kind, OrderedDict[str, Features]] = {
            kind: OrderedDict() for kind in self._memory_bytes
        }
        self.files = files

    def find(self, kind: Kind, key: str, *, in_files: bool = True) -> Features | None:
        """Return tensors by name; None if they are not known."""
        memory = self.memory.get(kind)
        features = None if memory is None else memory.get(key)
        if features is None and in_files and self.files is not None:
            features = self.files.read(key)
        if features is not None:
            self._remember(kind, key, features)
        return features

    def add(self, kind: Kind, key: str, features: Features, *, in_files: bool = True) -> None:
        """Keep tensors, which nobody may change afterwards."""
        self._remember(kind, key, features)
        if in_files and self.files is not None:
            self.files.write(key, features)

    def begin_anew(self, kind: Kind, n_bytes: int) -> None:
        """Forget what is in memory, and keep that many bytes from now on."""
        self._memory_bytes[kind], self.memory[kind] = n_bytes, OrderedDict()

    def is_full(self, kind: Kind) -> bool:
        """Whether another entry as large as the latest one would push one out."""
        sizes = [_n_bytes(features) for features in self.memory.get(kind, {}).values()]
        return bool(sizes) and sum(sizes) + sizes[-1] > self._memory_bytes[kind]

    def _remember(self, kind: Kind, key: str, features: Features) -> None:
        memory = self.memory.get(kind)
        if memory is None:
            return
        memory[key] = features
        memory.move_to_end(key)
        total = sum(map(_n_bytes, memory.values()))
        while total > self._memory_bytes[kind] and len(memory) > 1:
            total -= _n_bytes(memory.popitem(last=False)[1])


def _n_bytes(features: Features) -> int:
    return sum(x.numel() * x.element_size() for x in features.values())
