"""Predict the slice in view, or all slices, in the background."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from napari_sam_adapter.annotations.made_with import by_help, by_model
from napari_sam_adapter.annotations.slice_tracker import READY, SliceState
from napari_sam_adapter.engine.predict_slices import (
    SliceSkipped,
    predict_slices,
    predict_slices_helped,
)
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError, SamAdapterError
from napari_sam_adapter.project.events import now
from napari_sam_adapter.sam.prompts import NO_PROMPTS, Prompts
from napari_sam_adapter.volumes.volume_help import VolumeHelp
from napari_sam_adapter.widgets.panels.slice_words import at_start
from napari_sam_adapter.widgets.predict.deed import Deed
from napari_sam_adapter.widgets.predict.help_choice import (
    HelpChoice,
    described,
    help_for,
    offered,
    slices_ahead,
)
from napari_sam_adapter.widgets.predict.prediction_words import predicted, stays_first, summary
from napari_sam_adapter.widgets.predict.slice_writer import SliceWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qtpy.QtCore import QObject

    from napari_sam_adapter.annotations.packed_labels import PackedLabels
    from napari_sam_adapter.session.session import Session
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice


class Prediction(SliceWriter):
    """Predictions of the slice in view, or of all, with the help that is chosen."""

    def __init__(
        self,
        session: Session,
        layers: LayerChoice,
        prompts_in: Callable[[LayerBinding, SliceIndex], Prompts],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(layers, parent)
        self._session, self._prompts_in = session, prompts_in
        self._once_more = False
        # The corrected mask that the last press has left as it is.
        self._left: PackedLabels | None = None
        self._help_choice = HelpChoice()
        self.finished.connect(self._on_writing_finished)
        session.project_changed.connect(self._on_project_changed)

    @property
    def predicts_parts(self) -> bool:
        """Whether slices are predicted in tiles, so that encoding them whole is of no use."""
        return self._help_choice.tile > 0

    def choose_help(self, choice: HelpChoice) -> None:
        """Predict with help from what lies around a slice, or without."""
        self._help_choice = choice

    def predict_slice(self) -> None:
        """Predict the slice in view, from the boxes and points in it if there are any.

        A corrected mask is left as it is until the person asks for it once more.
        """
        try:
            binding = self._layers.need()
            binding.check_slice_in_view()
            index = binding.need_in_view()
            if binding.tracker.state(index) is SliceState.ACCEPTED:
                raise ImageError(
                    f"{at_start(binding.source.describe(index))} is accepted, so it stays as "
                    "it is. Take the acceptance back to predict it again."
                )
            prompts = self._prompts_in(binding, index)
            if not prompts and self._leaves_at_first(binding, index):
                self.said.emit(stays_first(binding.source.describe(index)), False)
                return
            self._start(binding, [index], prompts, corrected_too=True)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def predict_all(self) -> None:
        """Predict what is neither corrected nor accepted, beginning with the slice in view."""
        try:
            binding = self._layers.need()
            binding.check_known()
            start = binding.source.flat(binding.index_in_view())
            order = list(binding.source.indices())
            order = order[start:] + order[:start]
            wanted = [index for index in order if binding.tracker.state(index) not in READY]
            if not wanted:
                raise ImageError(
                    "Every slice is corrected or accepted; there is nothing to predict."
                )
            three_axes = offered(self._help_choice, binding.source).three_axes
            n_left = len(order) - len(wanted)
            self._start(binding, wanted, three_axes=three_axes, n_left=n_left)
        except SamAdapterError as error:
            self.said.emit(str(error), True)

    def predict_slice_again(self) -> None:
        """Show what a new version makes of the slice in view, as soon as nothing else runs.

        Nobody has asked for it, so only what a model has predicted is predicted anew.
        """
        binding = self._layers.binding
        if binding is None or not binding.is_alive or not binding.slices_are_in_view():
            return
        if binding.is_out_of_view:
            return
        if self._job is not None:
            self._once_more = True
            return
        binding.check_slice_in_view()
        index, tracker = binding.index_in_view(), binding.tracker
        if tracker.state(index) is SliceState.PREDICTED and not tracker.is_filled(index):
            # What training has said must stay readable.
            self._start(binding, [index], quietly=True)

    def _start(
        self,
        binding: LayerBinding,
        indices: Sequence[SliceIndex],
        prompts: Prompts = NO_PROMPTS,
        *,
        three_axes: bool = False,
        corrected_too: bool = False,
        n_left: int = 0,
        quietly: bool = False,
    ) -> None:
        """Predict slices; a single one without three axes, which take a volume's time."""
        in_use, wanted = self._session.in_use, len(indices)
        name, model, n_classes = in_use.name, in_use.reference, in_use.n_classes
        source, predictor = binding.source, self._session.predictor
        help_ = VolumeHelp()
        if not prompts:
            one_class = len(self._session.classes) == 1
            choice = replace(self._help_choice, three_axes=three_axes)
            help_ = help_for(choice, binding, indices, one_class)
        if help_.needs_neighbours:
            # One line after the other: less is in memory at a time.
            indices = list(chain.from_iterable(source.depth.lines(indices).values()))
        state = binding.tracker.state(indices[0])
        was_corrected = corrected_too and state is SliceState.CORRECTED
        n_ahead = slices_ahead(help_, source, indices, n_classes)

        as_of = now()

        def made_with(index: SliceIndex) -> dict[str, Any]:
            how = by_model(model, bf16=predictor.uses_bfloat16)
            return how | by_help(help_, index, source.depth, as_of)

        def events(
            should_stop: Callable[[], bool],
        ) -> Iterable[SlicePredicted | SliceSkipped]:
            if not help_:
                return predict_slices(predictor, source, indices, model, should_stop, prompts)
            return predict_slices_helped(
                predictor,
                source,
                indices,
                model,
                n_classes,
                help_,
                should_stop,
                self._predicted_ahead.emit,
            )

        deed = Deed(
            events,
            wanted,
            "predicting",
            lambda done: summary(
                done,
                wanted,
                source.describe(indices[0]),
                predicted(prompts, f"{name}{described(help_)}"),
                self._skipped,
                self._least and (self._least[0], source.describe(self._least[1])),
                (n_left, self._n_corrected_meanwhile),
                was_corrected=was_corrected,
            ),
            n_ahead,
            made_with,
            corrected_too,
        )
        self.start(binding, deed, quietly=quietly)

    def start(self, binding: LayerBinding, deed: Deed, *, quietly: bool = False) -> None:
        """Write slices in the background, see `SliceWriter.start`.

        Raises
        ------
        ImageError
            If something runs already.
        """
        super().start(binding, deed, quietly=quietly)
        self._left = None

    def _leaves_at_first(self, binding: LayerBinding, index: SliceIndex) -> bool:
        """Whether a press leaves a corrected mask as it is: the first one, if it can be lost.

        What a person has painted into a slice that had no mask is all theirs, so nothing is lost.
        """
        known = binding.tracker.history_of(index)
        is_mask = binding.tracker.state(index) is SliceState.CORRECTED
        if known is None or not is_mask or known.now.number == 0 or known.seen is self._left:
            return False
        self._left = known.seen
        return True

    def _on_project_changed(self) -> None:
        self._once_more = False
        self.leave()

    def _on_writing_finished(self) -> None:
        if self._once_more:
            self._once_more = False
            self.predict_slice_again()
