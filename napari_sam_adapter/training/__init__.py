"""Training: samples in, events out. A plain generator that knows no window and writes no file."""
