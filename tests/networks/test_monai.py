"""The adapter gives MONAI's own results and keeps the forward contract."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from semivox.errors import SettingsError
from semivox.networks import MonaiNetwork
from semivox.randomness import BatchKey, Key

nets = pytest.importorskip("monai.networks.nets", reason="the extra `monai` is not installed")
X = torch.randn(3, 1, 16, 16, generator=Key("x").torch())


def make_unet(dropout: float = 0.0, classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nets.UNet(2, 1, classes, (4, 8, 16), (2, 2), num_res_units=1, norm="batch", dropout=dropout)


def statistics(module: nn.Module) -> list[torch.Tensor]:
    return [b for name, b in module.named_buffers() if "num_batches" not in name]


def test_modes_equal_monai() -> None:
    theirs, ours = make_unet().train(), MonaiNetwork(make_unet())
    for _ in range(2):
        assert torch.equal(ours(X, None, "update").logits, theirs(X))
    assert all(torch.equal(a, b) for a, b in zip(statistics(ours), statistics(theirs), strict=True))
    before = [b.clone() for b in ours.buffers()]
    assert torch.equal(ours.train()(X, None, "running").logits, theirs.eval()(X))
    assert torch.equal(ours.eval()(X, None, "batch").logits, theirs.train()(X))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), before, strict=True))
    assert all(b.is_floating_point() for b in ours.buffers())


def test_instance_norm_network_and_precision() -> None:
    torch.manual_seed(0)
    theirs = nets.BasicUNet(2, 1, 2, (4, 4, 8, 8, 8, 4)).eval()
    x = torch.randn(2, 1, 32, 32, generator=Key("x").torch())
    expected = theirs(x)
    assert torch.equal(MonaiNetwork(theirs)(x, None, "update").logits, expected)
    rough = MonaiNetwork(theirs, precision="bf16")(x).logits
    assert rough.dtype == torch.float32
    assert 0 < (rough - expected).norm() / expected.norm() < 0.05


def test_dropout_is_keyed() -> None:
    ours, plain = MonaiNetwork(make_unet(0.5)), MonaiNetwork(make_unet(0.0))
    state = torch.get_rng_state()
    one = ours(X, BatchKey(Key(1)), "running").logits
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one, ours(X, BatchKey(Key(1)), "running").logits)
    assert not torch.allclose(one, ours(X, BatchKey(Key(2)), "running").logits)
    torch.testing.assert_close(ours(X[1:], BatchKey(Key(1), 1), "running").logits, one[1:])
    assert torch.equal(ours(X, None, "running").logits, plain(X, None, "running").logits)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d])
def test_dropout_keeps_the_mean(layer: type[nn.Dropout]) -> None:
    ours = MonaiNetwork(nn.Sequential(layer(0.25)))
    y = ours(torch.ones(8, 64, 16, 16), BatchKey(Key(0))).logits
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 4 / 3))
    assert y.mean().item() == pytest.approx(1, abs=0.12)
    constant = (y.flatten(2) == y.flatten(2)[..., :1]).all()
    assert constant == (layer is nn.Dropout2d)


def test_features_belong_to_the_copy_that_ran() -> None:
    network = make_unet()
    path = "model.1.submodule.1.submodule"
    ours = MonaiNetwork(network, {"bottleneck": path})
    teacher = copy.deepcopy(ours)
    for parameter in teacher.parameters():
        parameter.data.mul_(0.5)
    seen: dict[str, torch.Tensor] = {}
    for name, one in (("student", ours), ("teacher", teacher)):
        inner = dict(one.network.named_modules())[path]
        handle = inner.register_forward_hook(lambda m, i, y, name=name: seen.update({name: y}))
        features = one(X, None, "running").features
        handle.remove()
        assert list(features) == ["bottleneck"]
        assert torch.equal(features["bottleneck"], seen[name])
    assert not torch.allclose(seen["student"], seen["teacher"])
    with pytest.raises(SettingsError, match=r"nowhere.*named_modules"):
        MonaiNetwork(network, {"bottleneck": "nowhere"})


def test_distance_map_from_the_last_channels() -> None:
    network = make_unet(classes=5)
    output = MonaiNetwork(network, sdm_classes=3)(X, None, "running")
    raw = network.eval()(X)
    assert torch.equal(output.logits, raw[:, :3])
    assert output.sdm is not None
    assert torch.equal(output.sdm, raw[:, 3:].tanh())
    with pytest.raises(SettingsError, match="2K - 1"):
        MonaiNetwork(network, sdm_classes=2)(X)


def test_networks_import_without_monai() -> None:
    code = "import sys, semivox.networks; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
