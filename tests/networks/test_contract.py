"""Every network keeps the forward contract: shapes, float32, features, sizes, layouts, gradients."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch.nn import functional

from semivox.errors import SettingsError
from semivox.networks import (
    Segmenter,
    build_from_description,
    build_network,
    count_parameters,
    describe,
    measure_precisions,
)
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import BatchKey, Key

PAPER_VNET = NetworkPlan("vnet", (16, 32, 64, 128, 256), ((3, 3, 3),) * 5, ((2, 2, 2),) * 4)
ANISOTROPIC = NetworkPlan("unet", (6, 8, 12), ((3, 3, 1), (3, 3, 1), (3, 3, 3)), ((2, 2, 1), (2, 2, 2)))
PLANS = {
    "vnet3d": NetworkPlan("vnet", (4, 6, 8), ((3, 3, 3),) * 3, ((2, 2, 2),) * 2),
    "vnet2d": NetworkPlan("vnet", (4, 6, 8), ((3, 3),) * 3, ((2, 2),) * 2),
    "unet2d": NetworkPlan("unet", (6, 8, 12), ((3, 3),) * 3, ((2, 2), (2, 2))),
    "unet3d": NetworkPlan("unet", (6, 8), ((3, 3, 3), (5, 3, 3)), ((2, 2, 2),)),
    "anisotropic": ANISOTROPIC,
    "wide strides": NetworkPlan("unet", (4, 6, 8), ((3, 3, 1),) * 3, ((4, 2, 3), (3, 2, 2))),
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def images(plan: NetworkPlan, batch: int = 2, channels: int = 2, times: int = 3) -> torch.Tensor:
    size = [m * times for m in plan.multiple]
    return torch.randn(batch, channels, *size, generator=Key("images").torch())


def network(plan: NetworkPlan, **options: object) -> Segmenter:
    return build_network(plan, 2, 3, Key(0), **options)  # type: ignore[arg-type]


@plans
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shapes_and_types(plan: NetworkPlan, precision: str) -> None:
    net = network(plan, sdm=True, scales=True, precision=precision)
    x = images(plan)
    output = net(x, BatchKey(Key(1)))
    assert output.logits.shape == (2, 3, *x.shape[2:])
    assert output.sdm is not None
    assert output.sdm.shape == (2, 2, *x.shape[2:])
    assert output.sdm.abs().max() <= 1
    sizes = [list(x.shape[2:])]
    for stride in plan.strides:
        sizes.append([n // s for n, s in zip(sizes[-1], stride, strict=True)])
    assert [list(s.shape[2:]) for s in output.scales] == sizes[1:-1]
    features = output.features
    assert set(features) == set(net.feature_channels)
    for name, channels in net.feature_channels.items():
        level = {"bottleneck": -1, "bottleneck_dropped": -1, "decoder": 0}.get(name)
        level = int(name.split("_")[1]) if level is None else level
        assert list(features[name].shape) == [2, channels, *sizes[level]], name
    everything = [output.logits, output.sdm, *output.scales, *features.values()]
    assert {y.dtype for y in everything} == {torch.float32}
    assert all(y.is_contiguous() for y in everything)


@plans
def test_gradients_reach_every_parameter(plan: NetworkPlan) -> None:
    net = network(plan, sdm=True, scales=True)
    output = net(images(plan), None, "batch")
    assert output.sdm is not None
    maps = [output.logits, output.sdm, *output.scales]
    # Squares of single maps: a plain mean would vanish behind a batch normalisation.
    sum(m.square().mean() for m in maps).backward()  # type: ignore[union-attr]
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name


def test_papers_vnet_weight_count() -> None:
    convolutions = [1 * 16 * 27]  # level 0 down
    batch_norms = [16]
    for level, (width, number) in enumerate(zip((16, 32, 64, 128), (1, 2, 3, 3), strict=True)):
        if level:
            convolutions += [width * width * 27] * number
            batch_norms += [width] * number
        convolutions += [width * 2 * width * 8] * 2  # down and up
        batch_norms += [2 * width, width]
        convolutions += [width * width * 27] * number  # decoder
        batch_norms += [width] * number
    convolutions += [256 * 256 * 27] * 3
    batch_norms += [256] * 3
    head = 16 * 2 + 2
    expected = sum(convolutions) + 2 * sum(batch_norms) + head
    assert expected == 9_446_066
    assert count_parameters(build_network(PAPER_VNET, 1, 2, Key(0))) == expected
    assert count_parameters(build_network(PAPER_VNET, 1, 2, Key(0), sdm=True)) == expected + 17


@pytest.mark.parametrize("plan", [PLANS["vnet3d"], PLANS["unet2d"], ANISOTROPIC])
def test_layout_does_not_change_the_result(plan: NetworkPlan) -> None:
    net, x = network(plan), images(plan)
    expected = net(x, None, "batch").logits
    swapped = x.transpose(2, 3).contiguous().transpose(2, 3)  # same numbers, other strides
    torch.testing.assert_close(net(swapped, None, "batch").logits, expected, rtol=0, atol=1e-4)
    plain = copy.deepcopy(net)
    plain.memory_format = torch.contiguous_format
    for parameter in plain.parameters():
        parameter.data = parameter.data.contiguous()
    torch.testing.assert_close(plain(x, None, "batch").logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("plan", [PLANS["vnet3d"], PLANS["unet2d"]])
def test_bf16_is_close_to_fp32(plan: NetworkPlan) -> None:
    x = images(plan, batch=4)
    exact = network(plan, sdm=True)(x, BatchKey(Key(1)), "batch")
    rough = network(plan, sdm=True, precision="bf16")(x, BatchKey(Key(1)), "batch")
    error = (rough.logits - exact.logits).norm() / exact.logits.norm()
    assert 1e-5 < error < 0.03  # not 0: bf16 must really be used


@plans
def test_features_lead_to_the_logits(plan: NetworkPlan) -> None:
    net, x = network(plan), images(plan)
    output = net(x, None, "batch")
    convolve = functional.conv2d if net.dims == 2 else functional.conv3d
    again = convolve(output.features["decoder"], net.head.weight, net.head.bias)  # type: ignore[operator]
    torch.testing.assert_close(again, output.logits)
    torch.testing.assert_close(output.features["decoder"], output.features["decoder_0"])


@plans
@pytest.mark.parametrize("scales", [False, True])
def test_prediction_without_features_is_the_same(plan: NetworkPlan, scales: bool) -> None:
    net, x = network(plan, scales=scales), images(plan)
    net(x)  # statistics that are not 0 and 1
    rebuilt = build_from_description(json.loads(json.dumps(describe(net))))
    rebuilt.load_state_dict(net.state_dict())
    with torch.no_grad():
        expected, found = net(x, None, "running"), rebuilt(x, None, "running")
    assert torch.equal(found.logits, expected.logits)
    assert len(found.features) == 0
    assert describe(rebuilt) == describe(net)


def test_sizes_are_checked_by_name() -> None:
    net = network(ANISOTROPIC)
    with pytest.raises(SettingsError, match=r"\(12, 10, 4\).*\(4, 4, 2\)"):
        net(torch.zeros(1, 2, 12, 10, 4))
    with pytest.raises(SettingsError, match="2 channels, 3 axes"):
        net(torch.zeros(1, 1, 12, 12, 4))
    with pytest.raises(SettingsError, match="2 channels, 3 axes"):
        net(torch.zeros(1, 2, 12, 12))


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        (NetworkPlan("resnet", (4, 8), ((3, 3),) * 2, ((2, 2),)), {}, "vnet or unet"),
        (NetworkPlan("monai:UNet", (4, 8), ((3, 3),) * 2, ((2, 2),)), {}, "MonaiNetwork"),
        (NetworkPlan("unet", (4, 8, 8), ((3, 3),) * 2, ((2, 2),)), {}, "3 features, 2 kernels"),
        (NetworkPlan("unet", (4, 8), ((3, 3), (3, 3, 3)), ((2, 2),)), {}, "one number an axis"),
        (NetworkPlan("unet", (4, 8), ((2, 3), (3, 3)), ((2, 2),)), {}, "odd"),
        (PLANS["unet2d"], {"precision": "fp16"}, "fp32 or bf16"),
        (PLANS["unet2d"], {"dropout": 1.0}, "probability"),
    ],
)
def test_settings_that_do_not_fit(plan: NetworkPlan, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        network(plan, **options)


def test_description_with_a_missing_field() -> None:
    description = describe(network(ANISOTROPIC))
    del description["strides"]
    with pytest.raises(SettingsError, match="strides"):
        build_from_description(description)
    with pytest.raises(SettingsError, match="Linear"):
        describe(torch.nn.Linear(1, 1))


def test_compute_is_one_graph() -> None:
    net, x = network(ANISOTROPIC, sdm=True), images(ANISOTROPIC)
    expected = net(x, BatchKey(Key(1)), "batch").logits
    net.compute = torch.compile(net.compute, backend="eager", fullgraph=True)  # type: ignore[method-assign]
    torch.testing.assert_close(net(x, BatchKey(Key(1)), "batch").logits, expected)


def test_measuring_leaves_the_network_alone() -> None:
    net = network(ANISOTROPIC, sdm=True)
    before = copy.deepcopy(net.state_dict())
    seconds = measure_precisions(net, images(ANISOTROPIC), repeats=1).seconds
    assert set(seconds) == {"fp32", "bf16"}
    assert all(0 < s < 60 for s in seconds.values())
    assert net.precision == "fp32"
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(after, before[name]) for name, after in net.state_dict().items())
