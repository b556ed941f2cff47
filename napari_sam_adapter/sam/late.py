"""The image encoder in two parts: the frozen one, whose result is kept, and the late one.

The ``late`` gear trains what comes after the encoder's `late_cut`. What comes before is the same
for every step and every version that is trained so, and is computed once per slice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_sam_adapter.adapter.config import AdapterConfig, Cut
from napari_sam_adapter.adapter.module import Adapter, has_zero_effect

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

MAP = "map."


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the frozen part of an encoder makes of an input.

    Attributes
    ----------
    features : Tensor, shape (B, h, w, width)
        That enter the first block after the cut.
    entering : Tensor, shape (B, h, w, width)
        That entered that block's stage; often the same.
    maps : dict of str to Tensor, shape (B, C, H, W)
        The image conditions where they enter that stage, by name.
    """

    features: Tensor
    entering: Tensor
    maps: dict[str, Tensor]

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        return sum(x.numel() * x.element_size() for x in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name, each once."""
        found = {"features": self.features}
        if self.entering is not self.features:
            found["entering"] = self.entering
        return found | {f"{MAP}{name}": x for name, x in self.maps.items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Prefix:
        """Put together what `tensors` returned.

        Raises
        ------
        KeyError
            If the features are missing.
        """
        features = tensors["features"]
        maps = {k.removeprefix(MAP): x for k, x in tensors.items() if k.startswith(MAP)}
        return cls(features, tensors.get("entering", features), maps)

    def fits(self, model: AdaptedSam) -> bool:
        """Tell whether it has the shapes of a model's own prefixes of one slice."""
        layout = model.base.encoder.layout[model.base.encoder.late_cut.stage]
        side = model.settings.input_size // layout.stride
        cells = {x.shape for x in (self.features, self.entering)}
        names = {condition.name for condition in model.adapter.config.image_conditions}
        return cells == {(1, side, side, layout.width)} and set(self.maps) == names


def encode_before(model: AdaptedSam, images: Tensor) -> Prefix:
    """Compute the frozen part for (B, 3, S, S) inputs; no gradient goes through it."""
    encoder, adapter = model.base.encoder, model.adapter
    cut = encoder.late_cut
    with torch.no_grad():
        maps = adapter.maps_before(images, cut)
        prompts = None if is_base_before(adapter, cut) else adapter.begin(images)
        features, entering = encoder.before(images, prompts, cut)
    return Prefix(features, entering, maps)


def encode_after(model: AdaptedSam, prefix: Prefix) -> Tensor:
    """Compute image embeddings (B, 256, h, w) from what `encode_before` returned.

    Raises
    ------
    ValueError
        If the cut lies within a stage and the adapter is not forked there.
    """
    encoder, cut = model.base.encoder, model.base.encoder.late_cut
    prompts = None
    if torch.is_grad_enabled() or not has_zero_effect(model.adapter):
        prompts = model.adapter.begin_after(prefix.maps, cut)
    return encoder.after(prefix.features, prefix.entering, prompts, cut)


def can_be_cut(model: AdaptedSam) -> bool:
    """Tell whether what comes before the cut is independent of what comes after it."""
    cut = model.base.encoder.late_cut
    return cut.block in (0, model.adapter.config.forked_at)


def prepare_late(model: AdaptedSam) -> None:
    """Make a model one that can be cut, in place; it computes the same as before."""
    model.adapter = _that_can_be_cut(model)
    model.settings = model.settings.with_changes(adapter=model.adapter.config)


def _that_can_be_cut(model: AdaptedSam) -> Adapter:
    """Return a model's adapter, or one that computes the same and is forked at the cut."""
    encoder, own = model.base.encoder, model.adapter
    if can_be_cut(model) or own.late is not None:
        return own
    config = replace(own.config, forked_at=encoder.late_cut.block)
    # Its random start is overwritten, and is not to change what is drawn after it.
    with torch.random.fork_rng(devices=[]):
        forked = Adapter(encoder.layout, config).to(model.device)
    own.fork(forked)
    return forked


def is_base_before(adapter: Adapter, cut: Cut) -> bool:
    """Tell whether the adapter has no effect before a cut."""
    late = set(adapter.parts_after(cut))
    early = [part for part in adapter.parts_after(Cut(0, 0)) if part not in late]
    return not any(bool(p.any()) for part in early for p in part.mlp_up.parameters())


def encoder_key(model: AdaptedSam) -> str:
    """Return a digest of what the adapter does to the encoder; empty where it does nothing.

    A fork alone changes nothing, so it is the same before and after `prepare_late`.
    """
    if has_zero_effect(model.adapter):
        return ""
    adapter = _that_can_be_cut(model)
    return _digest(adapter.config, adapter.state_dict().items())


def prefix_key(model: AdaptedSam) -> str:
    """Return a digest of what the adapter does to the encoder's frozen part, likewise.

    Not of what it does to the maps of the image conditions where it has no effect otherwise: these
    belong to the key, too.
    """
    adapter, cut = model.adapter, model.base.encoder.late_cut
    late = {id(p) for part in adapter.parts_after(cut) for p in part.parameters()}
    names = [name for name, p in adapter.named_parameters() if id(p) not in late]
    state = adapter.state_dict()
    # A fork does not change what comes before it.
    return _digest(replace(adapter.config, forked_at=None), ((n, state[n]) for n in names))


def _digest(config: AdapterConfig, tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return a digest of weights and of what else decides what they do: conditions and the like."""
    digest = hashlib.blake2b(repr(config).encode(), digest_size=16)
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
