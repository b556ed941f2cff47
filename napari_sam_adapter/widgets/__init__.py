"""The dock. The only package that may import napari and Qt; it holds no model logic."""
