"""The predicted masks of a project that is made again: predicted anew, and compared."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_adapter.annotations.slice_history import FILLED, Snapshot
from napari_sam_adapter.errors import SamAdapterError
from napari_sam_adapter.file_prediction import source_of
from napari_sam_adapter.metrics.overlap import dice, mean_class_dice
from napari_sam_adapter.project.adapters_again import Said
from napari_sam_adapter.project.mending import RecordContents
from napari_sam_adapter.project.pixels import image_of
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.checkpoint import load_adapter
from napari_sam_adapter.sam.devices import bfloat16_decided, choose_device
from napari_sam_adapter.sam.predict import predict_masks
from napari_sam_adapter.sam.prompts import Prompts
from napari_sam_adapter.versions.adapter_store import maker_names
from napari_sam_adapter.volumes.slice_source import (
    SliceIndex,
    SliceSource,
    check_slice,
    connected_objects,
)
from napari_sam_adapter.volumes.volume_help import VolumeHelp, predict_helped

if TYPE_CHECKING:
    from napari_sam_adapter.sam.adapted import AdaptedSam

_Predictions = dict[SliceIndex, Snapshot]
# What slices have in common that are predicted by one model in one go.
_IN_COMMON = (
    *("base", "input_size", "views", "smooth", "tile"),
    *("three_axes", "spacing", "as_of", "bf16"),
)


@dataclass(slots=True)
class _Tally:
    """How the slices of an image came out."""

    n_wanted: int
    n_same: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def n_done(self) -> int:
        return self.n_same + len(self.scores) + self.reasons.total()

    def sentence(self, name: str) -> str:
        told = f"{name}: {self.n_same} of {self.n_wanted} predicted slices identical"
        if self.scores:
            where = min(self.scores, key=lambda one: self.scores[one])
            mean = sum(self.scores.values()) / len(self.scores)
            told += (
                f", {len(self.scores)} not, with a Dice of {mean:.4f}"
                f" (lowest {self.scores[where]:.4f}, {where})"
            )
        if self.reasons:
            why = "; ".join(f"{count} because {why}" for why, count in self.reasons.items())
            told += f". Not predicted again: {why}"
        return f"{told.removesuffix('.')}."


@dataclass(frozen=True, slots=True)
class PredictedAgain:
    """Predicts the slices of a project again, each by what predicted it.

    What a slice counts from is compared: the last prediction that was not undone, outside of the
    pixels that were the person's then.

    Attributes
    ----------
    project : Project
    images : Path or None
        Where the images are now, see `pixels.image_of`.
    device : str
    """

    project: Project
    images: Path | None = None
    device: str = "auto"
    _last_model: dict[tuple[object, ...], AdaptedSam] = field(default_factory=dict)

    def compare(self, record: RecordContents) -> Iterator[Said]:
        """Predict the slices of one image, and say how many came out as they were."""
        name = record.identity.name
        known = {index: one.now for index, one in record.slices().items()}
        wanted = {i: now for i, now in known.items() if now.adapter not in (None, FILLED)}
        if not wanted:
            return
        tally = _Tally(len(wanted))
        try:
            source = source_of(image_of(record.folder, record.identity, self.images))
        except SamAdapterError as error:
            tally.reasons[_as_reason(error)] = len(wanted)
        else:
            for slices in _in_groups(wanted):
                made_with = next(iter(slices.values())).made_with
                with bfloat16_decided(bool(made_with.get("bf16"))):
                    for index, found in self._predicted(record, source, slices):
                        _count(tally, source.describe(index), slices[index], found)
                        note = f"{name}, predicted slice {tally.n_done} of {tally.n_wanted}"
                        yield Said(note, is_result=False)
        yield Said(tally.sentence(name))

    def _predicted(
        self, record: RecordContents, source: SliceSource, slices: _Predictions
    ) -> Iterator[tuple[SliceIndex, np.ndarray | SamAdapterError]]:
        """Predict slices that have a model and its help in common."""
        one = next(iter(slices.values()))
        try:
            model = self._model(str(one.adapter), one.made_with)
            help_ = _help(record, slices, model.settings.n_classes)
        except SamAdapterError as error:
            yield from ((index, error) for index in slices)
            return
        views = int(one.made_with.get("views", 1))
        if help_:
            order = sorted(slices)
            alone = partial(_logits, model, views)
            n_classes = model.settings.n_classes
            found = predict_helped(source, order, alone, n_classes, help_)
            try:
                yield from found
            except SamAdapterError as error:  # the image has not the axes that this help needs
                yield from ((index, error) for index in order)
            return
        for index, now in slices.items():
            try:
                image = source.read(index)
                check_slice(image)
                prompts = _prompts(now.made_with)
                yield index, predict_masks(model, image, prompts, views).labels
            except SamAdapterError as error:
                yield index, error

    def _model(self, adapter: str, made_with: Mapping[str, Any]) -> AdaptedSam:
        """Return what predicted, loaded once for slices that follow each other.

        Raises
        ------
        SamAdapterError
            If it is not there any more.
        """
        key = adapter, made_with.get("base"), made_with.get("input_size")
        if key not in self._last_model:
            self._last_model.clear()
            self._last_model[key] = self._loaded(adapter, made_with)
        return self._last_model[key]

    def _loaded(self, adapter: str, made_with: Mapping[str, Any]) -> AdaptedSam:
        if not adapter:
            if "base" not in made_with:
                raise SamAdapterError("the journal of that time does not name the base model")
            settings = ModelSettings.default(made_with["base"], made_with.get("input_size"))
            model = build_adapted_sam(settings)
        else:
            store = self.project.adapters
            versions = store.versions()
            path = next((one.path for one in versions if one.card.adapter_id == adapter), None)
            if path is None:
                names = maker_names(versions, store.deleted())
                name = names.get(adapter, f"adapter {adapter[:8]}")
                raise SamAdapterError(f"the adapter that predicted is not in the project: {name}")
            model, _ = load_adapter(path)
        return model.to_device(choose_device(self.device)).eval()


def _in_groups(slices: _Predictions) -> Iterator[_Predictions]:
    groups: dict[str, _Predictions] = defaultdict(dict)
    for index, now in slices.items():
        common = [now.made_with.get(key) for key in _IN_COMMON]
        groups[json.dumps([now.adapter, *common])][index] = now
    for key in sorted(groups):  # those of one model follow each other
        yield groups[key]


def _help(record: RecordContents, slices: _Predictions, n_classes: int) -> VolumeHelp:
    """Return the help that slices had, the corrected slices that they heeded as they were then.

    Raises
    ------
    SamAdapterError
        If the journal does not know these.
    """
    made_with = next(iter(slices.values())).made_with
    known = {}
    heeded = {tuple(one) for now in slices.values() for one in now.made_with.get("heeded", ())}
    if heeded:
        as_of = str(made_with["as_of"])
        line = next((event.n for event in record.events if event.at > as_of), None)
        then = record.slices(before=line)
        if not heeded <= then.keys():
            raise SamAdapterError("the journal does not know the slices that were heeded")
        known = {index: then[index].seen.unpacked() for index in heeded}
        if n_classes == 1:  # any label is the object
            known = {index: (labels != 0).astype(np.uint8) for index, labels in known.items()}
    z, y, x = made_with.get("spacing", (1.0, 1.0, 1.0))
    return VolumeHelp(
        float(made_with.get("smooth", 0.0)),
        made_with.get("tile"),
        known,
        bool(made_with.get("three_axes")),
        (float(z), float(y), float(x)),
    )


def _prompts(made_with: Mapping[str, Any]) -> Prompts:
    if "boxes" not in made_with:
        return Prompts()
    return Prompts(
        np.asarray(made_with["boxes"], np.float32).reshape(-1, 4),
        np.asarray(made_with["points"], np.float32).reshape(-1, 2),
        np.asarray(made_with["is_object"], bool),
        int(made_with["class_index"]),
    )


def _logits(model: AdaptedSam, views: int, image: np.ndarray) -> np.ndarray:
    return predict_masks(model, image, views=views).logits()


def _count(tally: _Tally, where: str, then: Snapshot, found: np.ndarray | SamAdapterError) -> None:
    """Compare a slice with what was written then, the person's pixels aside."""
    if isinstance(found, SamAdapterError):
        tally.reasons[_as_reason(found)] += 1
        return
    numbered = bool(then.made_with.get("numbered"))
    labels = connected_objects(found) if numbered else found
    written = then.written.unpacked()
    labels = np.where(then.human.unpacked(), written, labels)
    if np.array_equal(labels, written):
        tally.n_same += 1
    elif numbered:
        tally.scores[where] = dice(labels != 0, written != 0)
    else:
        n_classes = int(max(labels.max(), written.max()))
        tally.scores[where] = mean_class_dice(labels, written, n_classes)


def _as_reason(error: SamAdapterError) -> str:
    return str(error).removesuffix(".")
