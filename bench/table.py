"""The lines of the table: what each part measures, what must be reached, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from bench.measuring import Row

PARTS = {
    "encoder": "bench.encoders",
    "steps": "bench.steps",
    "learning": "bench.learning",
    "window": "bench.window",
    "volume": "bench.volumes",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line before it is measured; see `Row`."""

    part: str
    name: str
    pass_: float
    goal: float
    smaller: bool = False

    def row(self, value: float | None, note: str = "") -> Row:
        """Return the line with what was measured."""
        return Row(self.name, value, self.pass_, self.goal, self.smaller, note)


LINES = (
    Line("encoder", "LiteMedSAM encoder forward, fp32 exact, against stock", 1.6, 2.2),
    Line("encoder", "same in bf16 against stock fp32", 3.0, 5.0),
    Line("encoder", "ViT-B encoder 1024 px, fp32 exact, against stock fp32", 1.25, 1.4),
    Line("encoder", "ViT-B encoder 1024 px, bf16, against stock fp32", 2.0, 2.5),
    Line("encoder", "added peak memory, ViT-B forward at 1024 px, of stock's", 0.20, 0.10, True),
    Line("steps", "full step, same gradients, against the plain step: LiteMedSAM", 2.0, 3.0),
    Line("steps", "full step, same gradients, against the plain step: ViT-B 512 px", 1.7, 2.2),
    Line("steps", "late step against the plain step: LiteMedSAM", 4.0, 8.0),
    Line("steps", "late step against the plain step: ViT-B 512 px", 4.0, 6.0),
    Line("steps", "quick step against the plain step: LiteMedSAM", 8.0, 20.0),
    Line("steps", "quick step against the plain step: ViT-B 512 px", 50.0, 100.0),
    Line(
        "learning", "16 polyp images on two cores: s from the click to Dice 0.70", 30.0, 10.0, True
    ),
    Line(
        "learning", "16 polyp images on two cores: s from the click to Dice 0.80", 60.0, 30.0, True
    ),
    Line(
        "learning", "16 polyp images on two cores: s from the click to Dice 0.84", 120.0, 60.0, True
    ),
    Line(
        "window",
        "click on Predict with a cached embedding to painted mask, 512 px image, p95, s",
        0.25,
        0.10,
        True,
    ),
    Line("steps", "refresh of a seen slice after late, of a full forward", 0.45, 0.30, True),
    Line("window", "event-loop gap in the window while training, p99, ms", 50.0, 20.0, True),
    Line("window", "event-loop gap in the window while training, worst, ms", 100.0, 40.0, True),
    Line("window", "prediction while training, one core each, slow-down", 2.2, 1.8, True),
    Line("volume", "volume throughput against a plain loop over stock, bf16", 2.5, 4.0),
    Line("volume", "peak memory at 1,024 lazy slices against 64", 1.05, 1.02, True),
    Line("window", "import napari_sam_adapter, CPU s", 0.3, 0.1, True),
    Line("window", "dock opens, CPU s", 1.0, 0.5, True),
)


def line(name: str) -> Line:
    """Return the line of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    for one in LINES:
        if one.name == name:
            return one
    raise ValueError(f"The table has no line {name!r}; bench/table.py lists those there are.")


def lines_of(part: str) -> list[Line]:
    """Return the lines of a part, in the order of the table."""
    return [one for one in LINES if one.part == part]


def in_order(rows: list[Row]) -> list[Row]:
    """Sort rows as the table does; rows it does not know come last."""
    places = {one.name: place for place, one in enumerate(LINES)}
    return sorted(rows, key=lambda row: places.get(row.name, len(places)))
