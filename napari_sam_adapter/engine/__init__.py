"""Computing in processes of its own, so that the window never waits.

The window's process imports no torch: it talks to two children, one that predicts and, while
training runs, one that trains. Both are ``python -m napari_sam_adapter.engine`` and speak the
frames of `protocol` over their standard input and output. When the window dies, by whatever cause,
its end of the pipe closes and the children end themselves.
"""
