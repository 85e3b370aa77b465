"""From a plan to a network, from a network to its description, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from semivox.errors import SettingsError
from semivox.networks.layers import blank, initialise
from semivox.networks.norm import NORMS
from semivox.networks.segmenter import TRUNKS, Precision, Segmenter
from semivox.prepare import NetworkPlan
from semivox.randomness import Key


def build_network(
    plan: NetworkPlan,
    channels: int,
    classes: int,
    key: Key,
    sdm: bool = False,
    precision: Precision = "fp32",
    dropout: float = 0.5,
    scales: bool = False,
) -> Segmenter:
    """A network whose weights are a pure function of ``key``.

    ``classes`` = K with background; ``sdm`` adds the signed distance head (K-1 channels, tanh); ``dropout``
    is the probability p; ``scales`` adds logits of the coarser decoder levels. Raises SettingsError for a
    plan that does not fit together.
    """
    network = _assemble(plan, channels, classes, sdm, precision, dropout, scales)
    initialise(network, key)
    return network


def describe(network: nn.Module) -> dict[str, Any]:
    """Everything :func:`build_from_description` needs, as JSON types."""
    if not isinstance(network, Segmenter):
        raise SettingsError(
            "this network cannot be described in a file",
            found=type(network).__name__,
            expected="a network made by build_network",
        )
    plan = network.plan
    return {
        "kind": plan.kind,
        "features": list(plan.features),
        "kernels": [list(kernel) for kernel in plan.kernels],
        "strides": [list(stride) for stride in plan.strides],
        "norm": plan.norm,
        "channels": network.channels,
        "classes": network.classes,
        "sdm": network.sdm_head is not None,
        "dropout": network.dropout,
        "scales": network.scales,
    }


def build_from_description(
    description: Mapping[str, Any], precision: Precision = "fp32", keep_features: bool = False
) -> Segmenter:
    """The described network with weights of 0, to be filled by ``load_state_dict``.

    ``keep_features`` False (prediction): ``Output.features`` stays empty, and activations are freed early.
    """
    try:
        plan = NetworkPlan(
            kind=str(description["kind"]),
            features=tuple(int(n) for n in description["features"]),
            kernels=tuple(tuple(int(k) for k in kernel) for kernel in description["kernels"]),
            strides=tuple(tuple(int(s) for s in stride) for stride in description["strides"]),
            norm=str(description.get("norm", "batch")),  # older runs do not say
        )
        rest = [description[name] for name in ("channels", "classes", "sdm")]
        dropout, scales = description["dropout"], description["scales"]
    except KeyError as missing:
        raise SettingsError("the description of a network lacks a field", expected=missing.args[0]) from None
    network = _assemble(plan, rest[0], rest[1], rest[2], precision, dropout, scales)
    network.keep_features = keep_features
    blank(network)
    return network


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in ``module``."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _assemble(
    plan: NetworkPlan,
    channels: int,
    classes: int,
    sdm: bool,
    precision: Precision,
    dropout: float,
    scales: bool,
) -> Segmenter:
    _check_plan(plan)
    if precision not in ("fp32", "bf16"):
        raise SettingsError("unknown precision", found=precision, expected="fp32 or bf16")
    if not 0 <= dropout < 1:
        raise SettingsError("dropout is a probability", found=dropout, expected="0 <= dropout < 1")
    if channels < 1 or classes < 2:
        raise SettingsError(
            "a network needs inputs and classes",
            found=f"{channels} channels, {classes} classes",
            expected="at least 1 channel and 2 classes (with background)",
        )
    return Segmenter(plan, channels, classes, sdm=sdm, dropout=dropout, scales=scales, precision=precision)


def _check_plan(plan: NetworkPlan) -> None:
    if plan.kind not in TRUNKS:
        remedy = None
        if plan.kind.startswith("monai:"):
            remedy = (
                "plans build our own networks; wrap MONAI's with semivox.networks.MonaiNetwork in a method"
            )
        raise SettingsError(
            "unknown kind of network", found=plan.kind, expected=" or ".join(TRUNKS), remedy=remedy
        )
    if plan.norm not in NORMS:
        raise SettingsError("unknown normalisation", found=plan.norm, expected=" or ".join(NORMS))
    depth = len(plan.features)
    if depth < 2 or len(plan.kernels) != depth or len(plan.strides) != depth - 1:
        raise SettingsError(
            "the levels of the network plan do not agree",
            found=f"{depth} features, {len(plan.kernels)} kernels, {len(plan.strides)} strides",
            expected="n features, n kernels and n - 1 strides with n >= 2",
        )
    dims = len(plan.kernels[0])
    if dims not in (2, 3) or any(len(axes) != dims for axes in (*plan.kernels, *plan.strides)):
        raise SettingsError(
            "kernels and strides of the network plan need one number an axis",
            found=f"kernels {plan.kernels}, strides {plan.strides}",
            expected="2 axes throughout, or 3",
        )
    sizes = [*plan.features, *(n for axes in (*plan.kernels, *plan.strides) for n in axes)]
    if min(sizes) < 1 or any(k % 2 == 0 for kernel in plan.kernels for k in kernel):
        raise SettingsError(
            "features, kernels and strides of the network plan are positive, kernels odd",
            found=f"features {plan.features}, kernels {plan.kernels}, strides {plan.strides}",
        )


__all__ = ["build_from_description", "build_network", "count_parameters", "describe"]
