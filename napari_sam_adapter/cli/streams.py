"""Where the predictions of ``napari-sam-adapter predict`` come from: this process, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_sam_adapter.adapter.card import read_card
from napari_sam_adapter.cli.help_of_neighbours import help_for
from napari_sam_adapter.cluster.connection import check_workers, connected
from napari_sam_adapter.cluster.spread import predict_files_on
from napari_sam_adapter.cluster.task import SharedModel, sha256_of
from napari_sam_adapter.data.lazy import PlacedImage
from napari_sam_adapter.errors import ClusterError
from napari_sam_adapter.file_prediction import OpenedFile, PredictedSlice, load_model, predict_files
from napari_sam_adapter.sam.adapter_base import check_adapter_base
from napari_sam_adapter.sam.registry import DEFAULT_MODEL, base_model
from napari_sam_adapter.volumes.volume_help import VolumeHelp

OnProgress = Callable[[float], None]
ShouldStop = Callable[[], bool]
Stream = Generator[OpenedFile | PredictedSlice, None, None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of the command say.

    Attributes
    ----------
    adapter : Path or None
    model : str or None
    device : str
    views : int or None
    help_ : VolumeHelp
        Of all images.
    corrected : Path or None
    scheduler : str or None
    workers : int or None
    """

    adapter: Path | None
    model: str | None
    device: str
    views: int | None
    help_: VolumeHelp
    corrected: Path | None
    scheduler: str | None
    workers: int | None


@dataclass(frozen=True, slots=True)
class Predictions:
    """A source of predictions.

    Attributes
    ----------
    views : int
        Of each slice.
    class_names : tuple of str
    of_files : callable
        Takes paths, what hears of progress, and what is asked whether to stop; returns a
        stream, see `predict_files`.
    """

    views: int
    class_names: tuple[str, ...]
    of_files: Callable[[Sequence[Path], OnProgress, ShouldStop], Stream]


@contextmanager
def predictions(asked: Asked) -> Iterator[Predictions]:
    """Load the model here, or reach a cluster, as the options ask.

    Raises
    ------
    SamAdapterError
        If the model cannot be loaded, or the cluster not be used.
    """
    if asked.scheduler is None and asked.workers is None:
        yield _here(asked)
        return
    if asked.scheduler is not None and asked.workers is not None:
        raise ClusterError(
            "--scheduler takes the workers of a cluster that runs, and --workers starts some on "
            "this machine; give one of the two."
        )
    if asked.help_.smooth or asked.help_.three_axes or asked.corrected is not None:
        raise ClusterError(
            "Workers are given one slice at a time, and --smooth, --three-axes and --corrected "
            "need those around it: leave them out, or predict without --scheduler and --workers."
        )
    model, class_names = _shared(asked)

    def of_files(paths: Sequence[Path], hear: OnProgress, stop: ShouldStop) -> Stream:
        return predict_files_on(client, model, paths, hear, stop)

    with connected(asked.scheduler, asked.workers) as client:
        check_workers(client, model)
        yield Predictions(model.views, class_names, of_files)


def _here(asked: Asked) -> Predictions:
    sam = load_model(asked.adapter, asked.model, asked.device)
    card = None if asked.adapter is None else read_card(asked.adapter)
    views = sam.spec.views_for(card) if asked.views is None else asked.views
    class_names = sam.settings.class_names

    def help_of(image: PlacedImage) -> VolumeHelp:
        return help_for(image, asked.help_, class_names, asked.corrected)

    def of_files(paths: Sequence[Path], hear: OnProgress, stop: ShouldStop) -> Stream:
        return predict_files(sam, paths, views, help_of, hear, stop)

    return Predictions(views, class_names, of_files)


def _shared(asked: Asked) -> tuple[SharedModel, tuple[str, ...]]:
    """Tell workers which model to load, without loading it here."""
    import torch

    from napari_sam_adapter.sam.devices import uses_bfloat16

    path, card = asked.adapter, None
    if path is None:
        spec = base_model(asked.model or DEFAULT_MODEL)
    else:
        path = path.resolve()
        card = read_card(path)
        spec = check_adapter_base(card, path.name, wanted=asked.model)
    model = SharedModel(
        base=spec.name,
        adapter=path,
        adapter_sha256="" if path is None else sha256_of(path),
        device=asked.device,
        bfloat16_on_cpu=uses_bfloat16(torch.device("cpu")),
        views=spec.views_for(card) if asked.views is None else asked.views,
        tile=asked.help_.tile,
    )
    return model, ("object",) if card is None else card.class_names
