"""High-frequency components of an image, one of the two conditions of SAM-Adapter."""

import torch
from torch import Tensor


def high_frequency_components(image: Tensor, mask_ratio: float) -> Tensor:
    """Keep what remains of an image after removing its lowest frequencies.

    Parameters
    ----------
    image : Tensor, shape (B, C, H, W), float
        Normalised as for the image encoder. H and W may differ.
    mask_ratio : float
        Share of the spectrum's area, centred on zero frequency, that is set to zero; in (0, 1).

    Returns
    -------
    Tensor, shape (B, C, H, W), float32
        Absolute value of the inverse transform. Always computed in float32: half-precision
        complex transforms are not available everywhere.

    Raises
    ------
    ValueError
        If ``mask_ratio`` is outside (0, 1).

    Notes
    -----
    The removed rectangle spans ``sqrt(mask_ratio)`` of each axis. For H == W this is the square of
    the published method; for H != W the published square leaves the spectrum beyond an aspect
    ratio of ``1 / mask_ratio``, while the rectangle always removes the stated share.

    References
    ----------
    Chen et al., SAM-Adapter (ICCVW 2023), section 3.2; Liu et al., Explicit Visual Prompting
    (CVPR 2023), section 3.3.
    """
    if not 0.0 < mask_ratio < 1.0:
        raise ValueError(f"mask_ratio must lie between 0 and 1 (both excluded), got {mask_ratio}")
    with torch.autocast(image.device.type, enabled=False):
        spectrum = torch.fft.fft2(image.float(), norm="forward")
        rows = _is_low_frequency(image.shape[-2], mask_ratio, image.device)
        columns = _is_low_frequency(image.shape[-1], mask_ratio, image.device)
        low = rows[:, None] & columns[None, :]
        result: Tensor = torch.fft.ifft2(spectrum.masked_fill(low, 0), norm="forward").real.abs()
        return result


def _is_low_frequency(size: int, mask_ratio: float, device: torch.device) -> Tensor:
    """Which bins of an unshifted spectrum of ``size`` bins fall into the removed band."""
    half = int(mask_ratio**0.5 * size // 2)
    frequency = torch.fft.fftfreq(size, d=1.0 / size, device=device).round()
    low: Tensor = (frequency >= -half) & (frequency < half)
    return low
