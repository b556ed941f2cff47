"""What the window knows: the project, the version in use, the classes, and the two processes.

One session per viewer, passed in explicitly; two viewers never share one. No Qt and no napari: the
dock reads layers, hands arrays in, and writes what comes out. How the next version is made is in
`next_version`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_sam_adapter.adapter.card import AdapterCard, read_card
from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.engine.predictor import Predictor
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.errors import CheckpointError, StorageError, TrainingError
from napari_sam_adapter.project.home import open_home, remember_folder
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.remembered import remembered_base, remembered_version
from napari_sam_adapter.sam.adapter_base import check_adapter_base
from napari_sam_adapter.sam.registry import base_model
from napari_sam_adapter.session.classes_in_use import ClassesInUse
from napari_sam_adapter.session.model_in_use import ModelInUse
from napari_sam_adapter.storage import check_writable
from napari_sam_adapter.versions.adapter_store import maker_names
from napari_sam_adapter.versions.adapter_version import AdapterVersion


class Session:
    """State of one dock.

    Parameters
    ----------
    project : Project
    base : str, optional
        Base model for the first training and for predictions without an adapter; by default the one
        chosen last in the project.
    device : str
    predictor : Predictor, optional
        The owner of the prediction process; by default one of this session's own.

    Attributes
    ----------
    project : Project
    store : AdapterStore
        The adapters of the project.
    in_use : ModelInUse
        What predicts.
    predictor : Predictor
    trainer : Trainer
        The owners of the two processes.
    trouble : str
        Why the version that was chosen last in the project is not in use; "" where it is.
    project_changed : Signal
        Another project is open.
    active_changed : Signal
        Another version (or the base model) predicts from now on.
    classes_changed : Signal
        There are other classes, or they have other names.
    """

    project_changed = Signal()
    active_changed = Signal()
    classes_changed = Signal()

    def __init__(
        self,
        project: Project,
        *,
        base: str | None = None,
        device: str = "auto",
        predictor: Predictor | None = None,
    ) -> None:
        self.project, self.store = project, project.adapters
        version, self.trouble = remembered_version(self.store)
        self.in_use = ModelInUse(base or remembered_base(self.store), version, device)
        self.predictor = predictor or Predictor()
        self.trainer = Trainer()
        self._names: dict[str, str] = {}
        self._classes = ClassesInUse(project, version)
        self._mark_use()

    @property
    def classes(self) -> Classes:
        """What the labels stand for; the next training run learns these."""
        return self._classes.classes

    def activate(self, number: int | None, classes: Classes | None = None) -> None:
        """Let a version (None: the base model) predict from now on, and remember it on disk.

        Parameters
        ----------
        number : int or None
        classes : Classes, optional
            What is to be learned next; by default what the person worked with when the version was
            left, or what it has learned.

        Raises
        ------
        SamAdapterError
            If there is no such version, or the choice cannot be saved.
        """
        version = None if number is None else self.store.get(number)
        if version is not None:
            self._check_base(version.card, version.path.name)
        self.store.set_active(number)
        used, self.in_use = self.in_use.version, self.in_use.with_version(version)
        if classes is None:
            self._classes.leave(used)
            classes = self._classes.of_chosen(version)
        self._set_classes(classes)
        self.active_changed.emit()

    def change_classes(self, change: Callable[[Classes], Classes]) -> None:
        """Let the next training run learn other classes, or the same under other names.

        Parameters
        ----------
        change : callable
            Maps the classes there are to the new ones, e.g. ``Classes.with_one_more``.

        Raises
        ------
        TrainingError
            If they cannot be told apart, or are fewer than the version in use has learned, or
            another window has changed them, see `check_classes`.
        StorageError
            If they cannot be written down.
        """
        self.check_classes()
        try:
            classes = change(self.classes)
        except ValueError as error:
            raise TrainingError(f"The classes stay as they are: {error}.") from error
        card = None if self.in_use.version is None else self.in_use.version.card
        if card is not None and len(classes) < len(card.class_names):
            raise TrainingError(
                f"{self.in_use.name} has learned {len(card.class_names)} classes "
                f"({', '.join(card.class_names)}), and the next version continues from it. Choose "
                "the base model in the list of versions to have fewer."
            )
        self._set_classes(classes)

    def check_classes(self) -> None:
        """Take over what another window has named, before it is used.

        Raises
        ------
        TrainingError
            If a label has another name now: the person must look before anything is made of it.
        """
        if said := self.take_over_classes():
            raise TrainingError(f"{said} Nothing else was done: look, then try again.")

    def take_over_classes(self) -> str:
        """Have the classes that another window has written down.

        Two windows of one project may be open on two images. What one of them names counts in
        both, so that a label means one thing; labels beyond stay as they are here.

        Returns
        -------
        str
            Which labels have another name now, in a sentence; "" where none has.
        """
        before = self.classes
        said = self._classes.take_over()
        self._tell_other_classes(before)
        return said

    def _set_classes(self, classes: Classes) -> None:
        before = self.classes
        self._classes.keep(classes)
        self._tell_other_classes(before)

    def _tell_other_classes(self, before: Classes) -> None:
        if self.classes != before:
            self.classes_changed.emit()

    def choose_base(self, base: str) -> None:
        """Start from another base model from now on; an adapter of another one is put aside.

        Raises
        ------
        SamAdapterError
            If there is no such model, or the choice cannot be saved.
        """
        chosen = base_model(base)
        self.store.set_base(chosen.name)
        version = self.in_use.version
        if version is not None and version.card.base_sha256 != chosen.weights.sha256:
            self.store.set_active(None)
            self._classes.leave(version)
            version = None
        self.in_use = replace(self.in_use, base=chosen.name, version=version)
        self.active_changed.emit()

    def be_careful(self, careful: bool) -> None:
        """Average views of a slice in each prediction, or not."""
        self.in_use = replace(self.in_use, careful=careful)

    def keep_on_disk(self, n_bytes: int) -> None:
        """Let both processes keep so much of what they encode on the disk; 0 keeps none there."""
        self.predictor.disk_bytes = self.trainer.disk_bytes = n_bytes

    def open_project(self, folder: Path) -> None:
        """Continue with another project, today and tomorrow.

        Raises
        ------
        StorageError
            If it cannot be read, or a new one cannot be made; nothing has changed then.
        """
        project = Project(folder)
        if not project.is_read_only:  # else it is there to be looked at
            project.create()
            check_writable(folder / "adapters" / "active.json")
        version, trouble = remembered_version(project.adapters)
        base = remembered_base(project.adapters)
        remember_folder(folder)
        self.store.use(None)
        self.project, self.store, self._names = project, project.adapters, {}
        self.trouble = trouble
        self.in_use = replace(self.in_use, base=base, version=version)
        self._mark_use()
        before, self._classes = self.classes, ClassesInUse(project, version)
        self._tell_other_classes(before)
        self.project_changed.emit()
        self.active_changed.emit()

    def load_adapter_file(self, path: Path) -> AdapterVersion:
        """Take an adapter file into the store and make it active.

        Raises
        ------
        SamAdapterError
            If it is not an adapter, belongs to another base model, or cannot be copied.
        """
        card = read_card(path)
        self._check_base(card, str(path))
        version = self.store.import_file(path)
        self._names = {}
        self.activate(version.number)
        return version

    def describe_version(self, number: int, name: str, note: str) -> None:
        """Keep a name and a note of a version.

        Raises
        ------
        StorageError
            If they cannot be written down.
        """
        self.store.describe(number, name, note)
        self._renew()

    def delete_version(self, number: int) -> None:
        """Delete a version that is not in use; what it predicted stays, and can be explained.

        Raises
        ------
        SamAdapterError
            If it is in use, or cannot be deleted.
        """
        self.store.delete(number)
        self._names = {}
        self._renew()

    def _mark_use(self) -> None:
        """Let no other window delete what predicts here."""
        version = self.in_use.version
        # One may predict from a folder that cannot be written to; and what another window deletes
        # just now is missed when it is to predict.
        with contextlib.suppress(StorageError, CheckpointError):
            self.store.use(None if version is None else version.number)

    def _renew(self) -> None:
        version = self.in_use.version
        if version is not None:
            self.in_use = self.in_use.with_version(self.store.get(version.number))
        self.active_changed.emit()

    def adapter_name(self, adapter_id: str) -> str:
        """Name who made masks: ``v3``, ``the base model``, ``interpolation``, or an id's start."""
        if adapter_id not in self._names:
            self._names = maker_names(self.store.versions(), self.store.deleted())
            self._names.setdefault(adapter_id, f"adapter {adapter_id[:8]}")
        return self._names[adapter_id]

    def _check_base(self, card: AdapterCard, name: str) -> None:
        check_adapter_base(card, name, wanted=self.in_use.base_of(card))

    def close(self) -> None:
        """End both processes, also one that is being started; nothing is in use here any more."""
        self.store.use(None)
        self.trainer.close()
        self.predictor.close()


def open_last(device: str) -> tuple[Session, str]:
    """Open a session with the project chosen last, or the one that takes its place.

    Returns
    -------
    (session, trouble) : (Session, str)
        See `open_home`.
    """
    return open_home(lambda folder: Session(Project(folder), device=device))
