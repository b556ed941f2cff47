"""Write slices in the background, one job at a time, whatever they are made by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_sam_adapter.engine.predict_slices import SliceSkipped
from napari_sam_adapter.engine.predictor import SlicePredicted
from napari_sam_adapter.errors import ImageError
from napari_sam_adapter.widgets.jobs import Job
from napari_sam_adapter.widgets.predict.numbering import numbered

if TYPE_CHECKING:
    from napari_sam_adapter.volumes.slice_source import SliceIndex
    from napari_sam_adapter.widgets.layers.binding import LayerBinding
    from napari_sam_adapter.widgets.layers.layer_choice import LayerChoice
    from napari_sam_adapter.widgets.predict.deed import Deed


class SliceWriter(QObject):
    """One job at a time that writes slices, into the layers it was started for.

    Attributes
    ----------
    said : Signal(str, bool)
        A sentence for the person, and whether it is about something that went wrong.
    progressed : Signal(int, int)
        Slices done, slices in all. (0, 0) when nothing runs.
    finished : Signal()
        A job has ended, and what there is to say of it is said.
    """

    said = Signal(str, bool)
    progressed = Signal(int, int)
    finished = Signal()
    _predicted_ahead = Signal()  # from the thread that predicts

    def __init__(self, layers: LayerChoice, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._job: Job | None = None
        self._binding: LayerBinding | None = None
        self._deed: Deed | None = None
        self._stop = self._failed = self._quiet = self._is_left = False
        self._n_done = self._n_ahead = self._n_corrected_meanwhile = 0
        self._skipped: list[str] = []
        self._least: tuple[float, SliceIndex] | None = None
        self._number_objects = False
        self._predicted_ahead.connect(self._on_predicted_ahead)

    @property
    def is_running(self) -> bool:
        """Whether slices are being written."""
        return self._job is not None

    def number_objects(self, wanted: bool) -> None:
        """Give each connected object of a predicted slice a label of its own, or not."""
        self._number_objects = wanted

    def cancel(self) -> None:
        """Stop after the slice that is being predicted; what is done stays."""
        self._stop = True

    def leave(self) -> None:
        """Write nothing more: another project is open, and what is made belongs to the last one."""
        self._stop = self._is_left = True

    def start(self, binding: LayerBinding, deed: Deed, *, quietly: bool = False) -> None:
        """Write slices in the background; `cancel` ends it after the slice it is at.

        Parameters
        ----------
        binding : LayerBinding
        deed : Deed
        quietly : bool
            Whether to say nothing at the end: what was said before must stay readable.

        Raises
        ------
        ImageError
            If something runs already.
        """
        if self._job is not None:
            raise ImageError("Slices are being predicted or filled; wait for it, or cancel it.")
        self._stop = self._failed = self._is_left = False
        self._quiet = quietly
        self._binding, self._deed, self._skipped, self._least = binding, deed, [], None
        self._n_done = self._n_ahead = self._n_corrected_meanwhile = 0
        job = Job(lambda: deed.events(lambda: self._stop), deed.description, self.cancel, self)
        job.event_reported.connect(self._on_slice_done)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self._job = job
        self.progressed.emit(0, deed.n_ahead or deed.n_wanted)
        job.start()

    def _on_predicted_ahead(self) -> None:
        deed = self._deed
        if deed is not None and deed.n_ahead:
            # In tiles it is more of them, and slices without contrast are left out.
            self._n_ahead = min(self._n_ahead + 1, deed.n_ahead)
            self.progressed.emit(self._n_ahead, deed.n_ahead)

    def _on_slice_done(self, event: SlicePredicted | SliceSkipped) -> None:
        binding, deed = self._binding, self._deed
        if deed is None or binding is None or self._is_left or not binding.is_alive:
            self._stop = True
            return
        self._n_done += 1
        try:
            if isinstance(event, SlicePredicted):
                self._apply(binding, deed, event)
            else:
                self._skipped.append(f"{binding.source.describe(event.index)}: {event.reason}")
        except ImageError as error:
            self._stop = True
            self._on_failed(str(error))
        if not deed.n_ahead:
            self.progressed.emit(self._n_done, deed.n_wanted)

    def _apply(self, binding: LayerBinding, deed: Deed, event: SlicePredicted) -> None:
        made_with = deed.made_with(event.index)
        if self._number_objects:
            made_with["numbered"] = True
            event = replace(event, labels=numbered(event.labels, binding.labels.data.dtype))
        if not binding.apply(replace(event, made_with=made_with), deed.corrected_too):
            self._n_corrected_meanwhile += 1
        elif event.confidence is not None:
            self._least = min(self._least or (2.0, ()), (event.confidence, event.index))

    def _on_failed(self, message: str) -> None:
        self._failed = True
        self.said.emit(message, True)

    def _on_finished(self) -> None:
        binding, deed, done = self._binding, self._deed, self._n_done
        self._job = self._binding = self._deed = None
        self.progressed.emit(0, 0)
        if deed is None:
            return
        if binding is not None and not binding.is_alive:
            self.said.emit(
                f"The image or masks layer was deleted; {done} of {deed.n_wanted} slices were "
                "done.",
                True,
            )
        elif self._is_left and not self._quiet:
            self.said.emit(
                f"Another project was opened, so {deed.description} has ended. {done} of "
                f"{deed.n_wanted} were done, and are kept in the project they were made in.",
                False,
            )
        elif (done or self._stop) and not self._failed and not self._quiet:
            about = ""
            if binding is not None and binding.image is not self._layers.image:
                about = f"{binding.image.name}: "
            self.said.emit(f"{about}{deed.summary(done)}", bool(self._skipped))
        self.finished.emit()
