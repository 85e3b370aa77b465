"""The dense twin of the benchmark of InfoNCE is our loss: value and gradients."""

from __future__ import annotations

import pytest
import torch

from literal import info_nce as literal
from semivox.losses import info_nce, same_voxel_contrast


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_same_voxels(dtype: torch.dtype, tolerance: float) -> None:
    rng = torch.Generator().manual_seed(0)
    z_s, z_t = (torch.randn(4, 150, 16, generator=rng, dtype=dtype, requires_grad=True) for _ in range(2))
    present = torch.rand(4, 150, generator=rng) < 0.9
    case = torch.tensor([3, 0, 3, 1])
    ours = same_voxel_contrast(z_s, z_t, present, case, temperature=0.1)
    dense = literal.same_voxel_contrast(z_s, z_t, present, case, 0.1)
    torch.testing.assert_close(ours, dense, rtol=0, atol=tolerance)
    gradients = (torch.autograd.grad(loss, (z_s, z_t)) for loss in (ours, dense))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_many_positives(dtype: torch.dtype, tolerance: float) -> None:
    rng = torch.Generator().manual_seed(0)
    anchors, keys = (torch.randn(n, 16, generator=rng, dtype=dtype, requires_grad=True) for n in (300, 500))
    y_a, y_k = torch.randint(0, 9, (300,), generator=rng), torch.randint(0, 8, (500,), generator=rng)
    ours = info_nce(anchors, keys, lambda a, k: (y_a[a, None] == y_k[k], None), temperature=0.1)
    dense = literal.info_nce(anchors, keys, y_a, y_k, 0.1)
    torch.testing.assert_close(ours, dense, rtol=0, atol=tolerance)
    gradients = (torch.autograd.grad(loss, (anchors, keys)) for loss in (ours, dense))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max()))
