"""What the CT scanner does to tissue."""

from __future__ import annotations

import torch
from scipy import ndimage

from ssl_bench.data.synthetic.ct import blur


def test_every_volume_is_blurred_by_its_own_gaussian_in_millimetres() -> None:
    """SciPy's, cut off at three standard deviations; the smaller one shares the larger one's reach."""
    volumes = torch.randn(2, 9, 7, 8, generator=torch.Generator().manual_seed(0))
    spacing_mm, sigmas_mm = (2.0, 1.0, 0.8), (1.5, 0.9)
    found = blur(volumes, spacing_mm, torch.tensor(sigmas_mm))
    reach = [max(1, int(3 * max(sigmas_mm) / step + 0.5)) for step in spacing_mm]
    for blurred, volume, sigma_mm in zip(found, volumes, sigmas_mm, strict=True):
        sigma = [sigma_mm / step for step in spacing_mm]
        expected = ndimage.gaussian_filter(volume.double().numpy(), sigma, mode="nearest", radius=reach)
        torch.testing.assert_close(blurred.double(), torch.from_numpy(expected), atol=1e-5, rtol=0)
