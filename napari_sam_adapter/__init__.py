"""Adapter-tuned Segment Anything in napari: predict, correct, retrain.

Importing this package must stay free of torch, Qt and napari: the manifest, the command line and
the window all start here, and each of them loads only what it needs.
"""

__version__ = "0.1.0"
