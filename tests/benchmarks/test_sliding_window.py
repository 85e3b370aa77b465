"""The dense sliding window that predictions are measured against: its network, its windows, their mean."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference_time import hand_over, strides
from literal.sliding_window import read_normalised, sliding_window, window_starts, write_mask
from literal.vnet import VNet
from semivox.networks import build_network
from semivox.networks.norm import BatchNorm
from semivox.prepare.architecture import choose_network
from semivox.randomness import Key
from semivox.tiles import predict_probabilities


class Local(nn.Module):
    """Logits that depend on the place within the window, so that windows disagree."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(1, 3, 3, padding=1).double()

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        ramp = torch.linspace(0, 1, x.shape[2]).view(1, 1, -1, 1, 1)
        return self.conv(x.double()) + ramp * torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1, 1)


@pytest.mark.parametrize("sdm", [False, True])
def test_the_twin_says_what_our_network_says(sdm: bool) -> None:
    plan = choose_network((32, 32, 16), (1.0, 1.0, 1.0), "vnet")
    assert plan.kind == "vnet"
    net = build_network(plan, 1, 2, Key(0), sdm=sdm)
    rng = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
    twin = VNet(1, 2, plan.features[0])
    hand_over(net, twin)
    net, twin = net.double(), twin.double().eval()
    x = torch.randn(1, 1, 32, 32, 16, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = net(x, norm="running").logits, twin(x)[0]
    torch.testing.assert_close(theirs, ours.double(), rtol=0, atol=1e-9 * float(ours.abs().max()))


def test_every_voxel_is_the_mean_of_the_windows_that_hold_it() -> None:
    net = Local()
    image = np.random.default_rng(0).normal(size=(13, 9, 8))
    window, stride = (8, 8, 4), (3, 2, 4)
    found = sliding_window(net, image, window, stride)
    total, count = np.zeros((3, *image.shape)), np.zeros(image.shape)
    for x, y, z in itertools.product((0, 3, 5), (0, 1), (0, 4)):
        part = image[x : x + 8, y : y + 8, z : z + 4].astype(np.float32)
        with torch.no_grad():
            probs = net(torch.from_numpy(part)[None, None])[0].softmax(0).numpy()
        total[:, x : x + 8, y : y + 8, z : z + 4] += probs
        count[x : x + 8, y : y + 8, z : z + 4] += 1
    assert count.max() > 4
    np.testing.assert_allclose(found, total / count, rtol=0, atol=1e-6)


def test_windows_end_with_the_volume_and_a_small_volume_is_padded() -> None:
    assert window_starts(206, 112, 18) == [0, 18, 36, 54, 72, 90, 94]
    assert window_starts(88, 80, 4) == [0, 4, 8]
    assert window_starts(80, 80, 4) == [0]
    found = sliding_window(Local(), np.zeros((5, 9, 4)), (8, 8, 4), (4, 4, 4))
    assert found.shape == (3, 5, 9, 4)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_one_window_is_the_whole_volume_that_semivox_predicts() -> None:
    plan = choose_network((16, 16, 16), (1.0, 1.0, 1.0), "vnet")
    net = build_network(plan, 1, 2, Key(0))
    image = np.random.default_rng(1).normal(size=(16, 32, 16)).astype(np.float32)
    ours = predict_probabilities([net], image[None], multiple=plan.multiple, memory_bytes=10**9).numpy()
    twin = VNet(1, 2, plan.features[0]).eval()
    hand_over(net, twin)
    dense = sliding_window(twin, image, image.shape, (1, 1, 1))
    np.testing.assert_allclose(dense, ours, rtol=0, atol=1e-5)


def test_the_papers_strides_and_others_in_proportion() -> None:
    assert strides((112, 112, 80)) == (18, 18, 4)
    assert strides((64, 64, 48)) == (10, 10, 2)
    assert strides((8, 8, 8)) == (1, 1, 1)


def test_files_are_read_and_written_as_the_papers_do(tmp_path) -> None:
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    voxels = np.random.default_rng(2).normal(300, 20, (6, 5, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "scan.nii.gz")
    image, found = read_normalised(tmp_path / "scan.nii.gz")
    assert (image.mean(), image.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    scores = np.random.default_rng(3).random((3, 6, 5, 4))
    write_mask(tmp_path / "mask.nii.gz", scores, found)
    mask = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), scores.argmax(0))
    np.testing.assert_array_equal(mask.affine, affine)
