"""The high-frequency condition against a direct implementation of the published one."""

import numpy as np
import pytest
import torch

from napari_sam_adapter.adapter.high_frequency import high_frequency_components


def published(image: np.ndarray, mask_ratio: float) -> np.ndarray:
    """SAM-Adapter's own code in numpy: a zeroed square in the middle of the shifted spectrum."""
    height, width = image.shape[-2:]
    line = int((height * width * mask_ratio) ** 0.5 // 2)
    spectrum = np.fft.fftshift(np.fft.fft2(image), axes=(-2, -1))
    rows = slice(height // 2 - line, height // 2 + line)
    columns = slice(width // 2 - line, width // 2 + line)
    spectrum[..., rows, columns] = 0
    return np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1))).real)


def removed_share(shape_hw: tuple[int, int], mask_ratio: float) -> float:
    """Share of the energy of an impulse (whose spectrum is flat) that is gone."""
    impulse = torch.zeros(1, 1, *shape_hw)
    impulse[..., shape_hw[0] // 2, shape_hw[1] // 2] = 1
    kept = high_frequency_components(impulse, mask_ratio).square().sum()
    return 1 - float(kept)


@pytest.mark.parametrize("side", [32, 63, 128])
@pytest.mark.parametrize("mask_ratio", [0.05, 0.25, 0.6])
def test_a_square_image_gives_the_published_components(side, mask_ratio):
    image = np.random.default_rng(0).random((2, 3, side, side))
    found = high_frequency_components(torch.from_numpy(image), mask_ratio)
    np.testing.assert_allclose(found.numpy(), published(image, mask_ratio), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_a_constant_image_has_no_high_frequencies(value):
    found = high_frequency_components(torch.full((1, 3, 32, 48), value), 0.25)
    assert found.abs().max() < 1e-6


def test_a_fine_checkerboard_passes_unchanged_in_size():
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(24), indexing="ij")
    board = (1.0 - 2.0 * ((rows + columns) % 2))[None, None]
    torch.testing.assert_close(high_frequency_components(board, 0.25), board.abs())


def test_a_slow_wave_is_removed():
    wave = torch.cos(torch.arange(64) * 2 * torch.pi / 64).expand(1, 1, 64, 64)
    assert high_frequency_components(wave, 0.25).max() < 1e-5


# The last one is longer than 1 / mask_ratio, where the published square leaves the spectrum.
@pytest.mark.parametrize("shape_hw", [(64, 64), (32, 64), (64, 32), (16, 160)])
def test_the_stated_share_of_the_spectrum_is_removed_at_any_aspect_ratio(shape_hw):
    assert removed_share(shape_hw, 0.25) == pytest.approx(0.25, abs=0.04)


def test_images_of_a_batch_do_not_mix():
    images = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    together = high_frequency_components(images, 0.25)
    alone = torch.cat([high_frequency_components(image[None], 0.25) for image in images])
    torch.testing.assert_close(together, alone)


def test_half_precision_images_are_transformed_in_single_precision():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = high_frequency_components(image, 0.25)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, high_frequency_components(image.float(), 0.25))


@pytest.mark.parametrize("mask_ratio", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_mask_ratio_outside_zero_to_one_is_refused(mask_ratio):
    with pytest.raises(ValueError, match="between 0 and 1"):
        high_frequency_components(torch.zeros(1, 3, 8, 8), mask_ratio)
