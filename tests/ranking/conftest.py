"""A model in memory: small networks with keyed weights whose output varies over a noisy scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage

from semivox.cohort import Volume
from semivox.inference import Model
from semivox.networks import build_network
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

MakeModel = Callable[..., Model]


def noise(shape: Sequence[int], seed: int = 0, channels: int = 1) -> np.ndarray:
    """Smooth noise (C, ...) float32."""
    array = np.random.default_rng(seed).normal(size=(channels, *shape))
    return ndimage.gaussian_filter(array, (0, *(1.0,) * len(shape))).astype(np.float32)


@pytest.fixture
def make_model() -> MakeModel:
    """``make_model(roles, predictor, dims=3, classes=1, present=None)``; ``present``: share of training scans
    with each class. A network's weights depend on its role alone."""

    def make(
        roles: Sequence[str] = ("student", "teacher"),
        predictor: Sequence[str] = ("teacher",),
        dims: int = 3,
        classes: int = 1,
        present: dict[int, float] | None = None,
    ) -> Model:
        network = NetworkPlan("unet", (6, 8), ((3,) * dims,) * 2, ((2,) * dims,))
        one, values = (1.0,) * dims, range(1, classes + 1)
        plan = Plan(
            dims, tuple(range(dims)), one, one, True, 1.0, (16,) * dims, (16,) * dims, (2, 2), network,
            (ChannelPlan("c", "zscore"),), tuple(ClassPlan(v, f"class{v}", 9, 1.0) for v in values),
            None, 1.0, None, (),
        )  # fmt: skip
        networks = []
        for role in roles:
            net = build_network(network, 1, classes + 1, Key(3) / role)
            x = torch.from_numpy(noise((16,) * dims))[None]
            with torch.no_grad():
                logits = net(x / x.std(), norm="running").logits[0].flatten(1)
                net.head.weight *= 4 / logits.std()
                net.head.bias -= net.head.bias + 4 * logits.median(1).values / logits.std()
            networks.append(net.eval().requires_grad_(False))
        known = {str(v): {"present": share} for v, share in (present or {}).items()}
        card = {
            "model_id": "0" * 64,
            "networks": dict.fromkeys(roles),
            "predictor": list(predictor),
            "channels": ["c"],
            "may_be_empty": [],
            "spacing_known": True,
            "training": None if present is None else {"classes": known},
        }
        names = {v: f"class{v}" for v in values}
        return Model(tuple(networks), plan, card, names, "mean")

    return make


@pytest.fixture
def scan() -> Callable[..., Volume]:
    """``scan(shape=(14, 12, 10), seed=1)``: a noisy volume of 1 mm."""

    def make(shape: Sequence[int] = (14, 12, 10), seed: int = 1) -> Volume:
        return Volume(noise(shape, seed) * 100 + 50, np.eye(4))

    return make
