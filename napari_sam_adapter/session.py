"""What the window knows: images with their masks, the adapter versions, the two processes.

One session per viewer, passed in explicitly; two viewers never share one. No Qt and no napari: the
dock reads layers, hands arrays in, and writes what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from psygnal import Signal

from napari_sam_adapter.adapter.card import TAKES_NO_PROMPTS, AdapterCard, read_card
from napari_sam_adapter.adapter.classes import Classes
from napari_sam_adapter.adapter_version import AdapterVersion
from napari_sam_adapter.engine.predictor import ModelReference, Predictor
from napari_sam_adapter.engine.trainer import Trainer
from napari_sam_adapter.errors import PromptError, TrainingError
from napari_sam_adapter.project.home import remember_folder
from napari_sam_adapter.project.project import Project
from napari_sam_adapter.project.remembered import remembered_base, remembered_classes
from napari_sam_adapter.retrain_request import RetrainRequest
from napari_sam_adapter.sam.registry import (
    BASE_MODELS,
    base_model,
    check_adapter_base,
)
from napari_sam_adapter.storage import check_writable
from napari_sam_adapter.training.events import TrainingEvent
from napari_sam_adapter.training.job import AdapterSaved
from napari_sam_adapter.versions import AdapterStore, maker_names

CAREFUL_VIEWS = 2


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
    careful : bool or None
        Whether predictions average views of a slice; None is what suits the model.
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
        self.base = base or remembered_base(self.store)
        self.device = device
        self.predictor = predictor or Predictor()
        self.careful: bool | None = None
        self.trainer = Trainer()
        self._names: dict[str, str] = {}
        self._active = self.store.active
        self._classes = remembered_classes(project, self._active)

    @property
    def classes(self) -> Classes:
        """What the labels stand for; the next training run learns these."""
        return self._classes

    @property
    def points_mean_something(self) -> bool:
        """Whether what predicts now answers to points: by nature, or from training with prompts."""
        if base_model(self.model().base).answers_points:
            return True
        config = {} if self._active is None else self._active.card.training.get("config")
        return isinstance(config, Mapping) and bool(config.get("prompted_share"))

    def check_prompts(self) -> None:
        """Refuse prompts where what predicts now takes none.

        Raises
        ------
        PromptError
            With the reason.
        """
        if self._active is not None and self._active.card.own_prompt_embedding:
            raise PromptError(
                f"v{self._active.number} {TAKES_NO_PROMPTS} Use another version for them."
            )

    @property
    def active(self) -> AdapterVersion | None:
        """The version that predicts; None is the base model alone."""
        return self._active

    @property
    def active_name(self) -> str:
        """Name of what predicts: ``v3``, or ``the base model``."""
        return "the base model" if self._active is None else f"v{self._active.number}"

    def activate(self, number: int | None) -> None:
        """Let a version (None: the base model) predict from now on, and remember it on disk.

        Raises
        ------
        SamAdapterError
            If there is no such version, or the choice cannot be saved.
        """
        version = None if number is None else self.store.get(number)
        if version is not None:
            check_adapter_base(version.card, version.path.name, wanted=self.base_of(version.card))
        self.store.set_active(number)
        self._active = version
        if version is not None:
            self._set_classes(Classes.of(version.card))
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
            If they cannot be told apart, or are fewer than the version in use has learned.
        StorageError
            If they cannot be written down.
        """
        try:
            classes = change(self._classes)
        except ValueError as error:
            raise TrainingError(f"The classes stay as they are: {error}.") from error
        card = None if self._active is None else self._active.card
        if card is not None and len(classes) < len(card.class_names):
            raise TrainingError(
                f"{self.active_name} has learned {len(card.class_names)} classes "
                f"({', '.join(card.class_names)}), and the next version continues from it. Choose "
                "the base model in the list of versions to have fewer."
            )
        self._set_classes(classes)

    def _set_classes(self, classes: Classes) -> None:
        if classes != self._classes:
            self.project.keep_classes(classes)
            self._classes = classes
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
        self.base = chosen.name
        active = self._active
        if active is not None and active.card.base_sha256 != chosen.weights.sha256:
            self.store.set_active(None)
            self._active = None
        self.active_changed.emit()

    def base_of(self, card: AdapterCard) -> str:
        """Return the base model of an adapter, with the file where its weights are one's own."""
        chosen = base_model(self.base)
        if (card.base_model, card.base_sha256) == (chosen.short_name, chosen.weights.sha256):
            return chosen.name
        return card.base_model

    def adopt_saved(self, saved: AdapterSaved) -> AdapterVersion:
        """Make what a training run has saved the next version of the folder it was started in.

        It predicts from now on, unless its held-out slices hold it back (`promotion`), or the
        person has chosen another folder since: versions of two folders share their numbers, and
        what is in use belongs to the folder that is open.

        Raises
        ------
        SamAdapterError
            If it cannot be given a number, or the choice cannot be saved.
        """
        version = AdapterStore(saved.path.parent).adopt(saved.path)
        if not self._is_here(version):
            return version
        if not version.verdict.promoted:
            # What was in use by default would not be once there is a newer version.
            self.activate(None if self._active is None else self._active.number)
        else:
            asked, learned = self._classes, version.card.class_names
            self.activate(version.number)
            # What the person has added while it was training is for the next run.
            if asked.names[: len(learned)] == learned:
                self._set_classes(asked)
        return version

    def _is_here(self, version: AdapterVersion) -> bool:
        return version.path.parent.resolve() == self.store.folder.resolve()

    def is_in_use(self, version: AdapterVersion) -> bool:
        """Whether a version is the one that predicts."""
        return self._active is not None and self._active.path.resolve() == version.path.resolve()

    def open_project(self, folder: Path) -> None:
        """Continue with another project, today and tomorrow.

        Raises
        ------
        StorageError
            If it cannot be read or written to; nothing has changed then.
        """
        project = Project(folder)
        project.create()
        check_writable(folder / "adapters" / "active.json")
        remember_folder(folder)
        self.project, self.store, self._names = project, project.adapters, {}
        self.base = remembered_base(self.store)
        self._active = self.store.active
        self._set_classes(remembered_classes(project, self._active))
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
        check_adapter_base(card, str(path), wanted=self.base_of(card))
        version = self.store.import_file(path)
        self.activate(version.number)
        return version

    def model(self) -> ModelReference:
        """Return the model that predicts now."""
        return self.model_of(self._active)

    def model_of(self, version: AdapterVersion | None) -> ModelReference:
        """Return a version, or the base model, as the model of a prediction."""
        adapter = None if version is None else version.path
        base = self.base if version is None else self.base_of(version.card)
        return ModelReference(base, adapter, None, self.device, self._views_of(version))

    @property
    def n_classes(self) -> int:
        """How many classes what predicts now knows."""
        return 1 if self._active is None else len(self._active.card.class_names)

    @property
    def knows_mirror_images(self) -> bool:
        """Whether what predicts now gains from averaging views of a slice."""
        return self._active is not None and self._active.card.knows_mirror_images

    @property
    def views(self) -> int:
        """How many views of a slice predictions average now."""
        return self._views_of(self._active)

    def _views_of(self, version: AdapterVersion | None) -> int:
        if version is None or not version.card.knows_mirror_images:
            return 1
        usual = BASE_MODELS[version.card.base_model].views
        if self.careful is None:
            return usual
        return max(usual, CAREFUL_VIEWS) if self.careful else 1

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

    def _renew(self) -> None:
        if self._active is not None:
            self._active = self.store.get(self._active.number)
        self.active_changed.emit()

    def adapter_name(self, adapter_id: str) -> str:
        """Name who made masks: ``v3``, ``the base model``, ``interpolation``, or an id's start."""
        if adapter_id not in self._names:
            self._names = maker_names(self.store.versions(), self.store.deleted())
            self._names.setdefault(adapter_id, f"adapter {adapter_id[:8]}")
        return self._names[adapter_id]

    def continue_from(self, parent: str, base: str) -> None:
        """Use what a run that is to go on had started from.

        Parameters
        ----------
        parent : str
            Adapter id; "" is the base model.
        base : str

        Raises
        ------
        SamAdapterError
            If it is not there any more.
        """
        if not parent:
            if self.base != base:
                self.choose_base(base)
            if self._active is not None:
                self.activate(None)
        elif self._active is None or self._active.card.adapter_id != parent:
            known = {v.card.adapter_id: v.number for v in self.store.versions()}
            if parent not in known:
                raise TrainingError(
                    "The version this run continued from is not in the project any more, so it "
                    "cannot go on. Discard it, and retrain."
                )
            self.activate(known[parent])

    def retrain(self, request: RetrainRequest) -> Iterator[TrainingEvent | AdapterSaved]:
        """Train the next version; run it in a worker thread.

        Yields
        ------
        TrainingEvent or AdapterSaved

        Raises
        ------
        SamAdapterError
            With a message for the person; the active version is unchanged.
        """
        model, is_new = self.model(), self._active is None
        out, device = self.store.working_path(), self.device
        yield from self.trainer.run(lambda: request.job(model, is_new, out, device))

    def close(self) -> None:
        """End both processes, also one that is being started."""
        self.trainer.close()
        self.predictor.close()
