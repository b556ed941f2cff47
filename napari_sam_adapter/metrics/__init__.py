"""Scores of masks and probability maps against the truth: numpy arrays in, numbers out.

`overlap`, `saliency` and `surface` each measure one mask, `scores` an image or a volume of several
classes, `bootstrap` sums up a set of them. No file here knows a model, and what other libraries
compute is imported when it is called, so that training pays for none of it.
"""

from napari_sam_adapter.metrics.overlap import balanced_error_rate, dice, iou, mean_class_dice

__all__ = ["balanced_error_rate", "dice", "iou", "mean_class_dice"]
