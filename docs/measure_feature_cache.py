"""What the cache of encoded slices is worth: CPU seconds with and without it, in turn.

    python docs/measure_feature_cache.py

Variants take turns slice by slice in one process; the least of several rounds counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from napari_sam_adapter.data.synthetic import synthetic_polyps
from napari_sam_adapter.sam.adapted import ModelSettings, build_adapted_sam
from napari_sam_adapter.sam.encode import Encoder
from napari_sam_adapter.sam.feature_cache import FeatureCache
from napari_sam_adapter.sam.feature_files import FeatureFiles
from napari_sam_adapter.sam.predict import decode_masks
from napari_sam_adapter.training.feeds import EmbeddingFeed
from napari_sam_adapter.training.samples import TrainingSample

N_SLICES, SIDE, INPUT, ROUNDS, VIEWS = 3, 512, 128, 3, 2
BYTES = 1024**3


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    model = build_adapted_sam(ModelSettings.default("lite_medsam", INPUT)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # an adapter that has an effect, as after a full run
        for parameter in model.adapter.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    stack = synthetic_polyps(N_SLICES, (SIDE, SIDE), seed=3)
    with tempfile.TemporaryDirectory() as folder:
        files = FeatureFiles(Path(folder), BYTES)
        in_memory = Encoder(model, FeatureCache({"embedding": BYTES}))
        on_disk = FeatureCache(files=files)

        def predict(make: Callable[[], Encoder]) -> Callable[[int], float]:
            def one(number: int) -> float:
                encoder, start = make(), time.process_time()
                decode_masks(model, encoder.image(stack.frames[number], VIEWS))
                return time.process_time() - start

            return one

        def first(number: int) -> float:  # what it writes, the next variant reads
            files.clear()
            return predict(lambda: Encoder(model, on_disk, keeps_prefixes=True))(number)

        show(
            f"a prediction, {SIDE} px slice, input {INPUT} px, {VIEWS} views",
            {
                "no cache": predict(lambda: Encoder(model)),
                "cold: encoded, and written with its prefix": first,
                "from the disk": predict(lambda: Encoder(model, on_disk)),
                "from memory": predict(lambda: in_memory),
            },
        )
        pairs = zip(stack.frames, stack.masks, strict=True)
        samples = [TrainingSample(f, m > 0, str(i)) for i, (f, m) in enumerate(pairs)]

        def feed(cache: FeatureCache | None) -> Callable[[int], float]:
            def one(number: int) -> float:
                fed = EmbeddingFeed(model, [samples[number]], 0, "views", cache)
                start = time.process_time()
                for position in range(16):  # all eight orientations, each shown twice
                    fed.at(position)
                return time.process_time() - start

            return one

        show(
            "what a quick run encodes of a slice, all orientations",
            {"no cache": feed(None), "from the disk": feed(on_disk)},
        )
        sizes = [path.stat().st_size / 1e6 for path in files.folder.iterdir()]
        print(f"files of {min(sizes):.2f} MB (embedding) to {max(sizes):.2f} MB (prefix)")


def show(what: str, variants: dict[str, Callable[[int], float]]) -> None:
    """Print the CPU seconds of each variant per slice, after a round that is thrown away."""
    least: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS + 1):
        seconds = dict.fromkeys(variants, 0.0)
        for number in range(N_SLICES):
            for name, measure in variants.items():
                seconds[name] += measure(number)
        for name, total in seconds.items():
            least[name].append(total / N_SLICES)
    print(what, flush=True)
    for name, rounds in least.items():
        print(f"  {name}: {min(rounds[1:]):.4f} s")


if __name__ == "__main__":
    main()
