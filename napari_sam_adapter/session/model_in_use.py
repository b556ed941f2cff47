"""What predicts: a version, or the base model alone, and what it can do.

A plain value: `Session` replaces it as a whole, so that whoever holds one keeps what was in use
then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from napari_sam_adapter.adapter.card import TAKES_NO_PROMPTS, AdapterCard
from napari_sam_adapter.engine.predictor import ModelReference
from napari_sam_adapter.errors import PromptError
from napari_sam_adapter.sam.adapter_base import base_of_adapter
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.versions.adapter_version import AdapterVersion

CAREFUL_VIEWS = 2


@dataclass(frozen=True, slots=True)
class ModelInUse:
    """What predicts.

    Attributes
    ----------
    base : str
        Base model for the first training and for predictions without an adapter.
    version : AdapterVersion or None
        None is the base model alone.
    device : str
    careful : bool or None
        Whether predictions average views of a slice; None is what suits the model.
    """

    base: str
    version: AdapterVersion | None = None
    device: str = "auto"
    careful: bool | None = None

    @property
    def name(self) -> str:
        """For people: ``v3``, or ``the base model``."""
        return "the base model" if self.version is None else f"v{self.version.number}"

    @property
    def reference(self) -> ModelReference:
        """What the prediction process is asked for."""
        adapter = None if self.version is None else self.version.path
        base = self.base if self.version is None else self.base_of(self.version.card)
        return ModelReference(base, adapter, None, self.device, self.views)

    def with_version(self, version: AdapterVersion | None) -> ModelInUse:
        """Return the same with another version, or with the base model alone."""
        return replace(self, version=version)

    def is_version(self, version: AdapterVersion) -> bool:
        """Whether this is the version of that file: versions of two folders share numbers."""
        return self.version is not None and self.version.path.resolve() == version.path.resolve()

    def base_of(self, card: AdapterCard) -> str:
        """Return the base model of an adapter, with the file where its weights are one's own."""
        return base_model(self.base).name if self._has_base_of(card) else base_of_adapter(card)

    def is_parent_of(self, card: AdapterCard) -> bool:
        """Whether an adapter was trained from this, so that it was compared with it."""
        if self.version is not None:
            return self.version.card.adapter_id == card.parent_id
        return not card.parent_id and self._has_base_of(card)

    def is_model(self, adapter: str, base: str) -> bool:
        """Whether this is the version of an adapter id, or, for "", a base model alone."""
        if self.version is not None:
            return self.version.card.adapter_id == adapter
        return not adapter and self.base == base

    def _has_base_of(self, card: AdapterCard) -> bool:
        chosen = base_model(self.base)
        return (card.base_model, card.base_sha256) == (chosen.short_name, chosen.weights.sha256)

    @property
    def n_classes(self) -> int:
        """How many classes it knows."""
        return 1 if self.version is None else len(self.version.card.class_names)

    @property
    def knows_mirror_images(self) -> bool:
        """Whether it gains from averaging views of a slice."""
        return self.version is not None and self.version.card.knows_mirror_images

    @property
    def views(self) -> int:
        """How many views of a slice its predictions average."""
        if self.version is None or not self.knows_mirror_images:
            return 1
        usual = base_model(self.version.card.base_model).views
        if self.careful is None:
            return usual
        return max(usual, CAREFUL_VIEWS) if self.careful else 1

    @property
    def points_mean_something(self) -> bool:
        """Whether it answers to points: by nature, or from training with prompts."""
        if base_model(self.reference.base).answers_points:
            return True
        config = {} if self.version is None else self.version.card.training.get("config")
        return isinstance(config, Mapping) and bool(config.get("prompted_share"))

    def check_prompts(self) -> None:
        """Refuse prompts where it takes none.

        Raises
        ------
        PromptError
            With the reason.
        """
        if self.version is not None and self.version.card.own_prompt_embedding:
            raise PromptError(f"{self.name} {TAKES_NO_PROMPTS} Use another version for them.")
