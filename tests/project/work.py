"""A small session of work on a masks image, made from a seed, so that it can be made again."""

import numpy as np

from napari_sam_adapter.annotations.slice_tracker import SliceTracker

SHAPE = (5, 24, 30)


class Work:
    """Strokes, predictions, undo, acceptances and adopted slices, one per step.

    ``labels`` is what the layer would hold; ``tracker`` tells its listener what happens.
    """

    def __init__(self, seed, listener=None):
        self.random = np.random.default_rng(seed)
        self.labels = np.zeros(SHAPE, np.uint8)
        self.labels[4, 3:9, 3:9] = 1
        self.tracker = SliceTracker(SHAPE[1:])
        self.tracker.listener = listener
        self.tracker.adopt((4,), self.labels[4])
        self.undoable = []

    def step(self):
        index = int(self.random.integers(SHAPE[0]))
        what = self.random.choice(["paint", "paint", "predict", "undo", "accept"])
        getattr(self, f"_{what}")(index)

    def _paint(self, z):
        top, left = self.random.integers(0, 20, 2)
        self.labels[z, top : top + 4, left : left + 6] = self.random.integers(0, 4)
        self.tracker.observe((z,), self.labels[z], painted=True)
        self.undoable.clear()

    def _predict(self, z):
        top, left = self.random.integers(0, 12, 2)
        predicted = np.zeros(SHAPE[1:], np.uint8)
        predicted[top : top + 10, left : left + 12] = 1
        change = self.tracker.plan_prediction((z,), self.labels[z], predicted)
        self.labels[z].ravel()[change.positions] = change.new
        self.tracker.prediction_written((z,), self.labels[z], change, "adapter-a", 0.75)
        self.undoable.append((z, change))

    def _undo(self, z):
        if self.undoable:
            at, change = self.undoable.pop()
            self.labels[at].ravel()[change.positions] = change.old
            self.tracker.observe((at,), self.labels[at], painted=False)

    def _accept(self, z):
        accepted = bool(self.random.integers(2))
        self.tracker.set_accepted((z,), self.labels[z], accepted)


def known_of(tracker, labels):
    """All that must come back."""
    return {
        index: (
            tracker.state(index),
            tracker.adapter_of(index),
            tracker.confidence_of(index),
            tracker.human_pixels(index, labels[index]).tobytes(),
            labels[index].tobytes(),
        )
        for index in tracker.known()
    }


def brought_back(restored):
    """Restored slices as a tracker and labels, as the dock makes them."""
    labels, tracker = np.zeros(SHAPE, np.uint8), SliceTracker(SHAPE[1:])
    for index, history in restored.slices.items():
        labels[index] = history.seen.unpacked()
        tracker.restore(index, history)
    return tracker, labels
