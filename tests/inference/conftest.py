"""A run folder made by hand: a small network whose output varies over the scan, exported as if trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from semivox.cohort.case import Cohort
from semivox.cohort.regions import NONE, Regions
from semivox.inference import export_model
from semivox.networks import build_network
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan, RegionPlan
from semivox.randomness import Key

MakeRun = Callable[..., Path]
SaveScan = Callable[..., Path]


def small_plan(dims: int, channels: int, values: tuple[int, ...], **changes: Any) -> Plan:
    network = NetworkPlan("unet", (6, 8), ((3,) * dims,) * 2, ((2,) * dims,))
    fields: dict[str, Any] = {
        "dims": dims,
        "axes": tuple(range(dims)),
        "native_spacing": (1.0,) * dims,
        "spacing": (1.5,) * dims,
        "spacing_known": True,
        "rung": 1.5,
        "shape": (16,) * dims,
        "patch": (16,) * dims,
        "batch": (2, 2),
        "network": network,
        "channels": tuple(ChannelPlan(f"channel{i}", "zscore") for i in range(channels)),
        "classes": tuple(ClassPlan(value, f"class{value}", 100.0, 0.9, False) for value in values),
        "budget_seconds": None,
        "step_seconds": 0.1,
        "steps": None,
        "assumptions": (),
    }
    return Plan(**{**fields, **changes})


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run(dims=3, channels=1, values=(1,), name="run", training=None, seed=7, regions=NONE,
    one_piece=False, **plan fields)`` -> run folder.

    Two networks, "student" and "teacher" (the predictor), with keyed weights and a head that gives every
    class about the same share of voxels of a noisy scan.
    """

    def make(
        dims: int = 3,
        channels: int = 1,
        values: tuple[int, ...] = (1,),
        name: str = "run",
        training: dict[str, Any] | None = None,
        seed: int = 7,
        regions: Regions = NONE,
        one_piece: bool = False,
        **changes: Any,
    ) -> Path:
        if regions:
            values = tuple(regions.atoms)
            changes["regions"] = tuple(
                RegionPlan(number, r.name, 100.0, 0.9, one_piece, r.values, r.written)
                for number, r in enumerate(regions.each, 1)
            )
        plan = small_plan(dims, channels, values, **changes)
        networks = {}
        for role in ("student", "teacher"):
            net = build_network(plan.network, channels, len(values) + 1, Key(seed) / role)
            noise = np.random.default_rng(0).normal(size=(channels, *(20,) * dims))
            smooth = ndimage.gaussian_filter(noise, (0, *(0.7,) * dims))
            x = torch.from_numpy((smooth / smooth.std()).astype(np.float32))[None]
            with torch.no_grad():
                logits = net(x, norm="running").logits[0].flatten(1)
                net.head.bias -= logits.median(1).values
                scale = 4 / (logits - logits.median(1, keepdim=True).values).std()
                net.head.weight *= scale
                net.head.bias *= scale
            networks[role] = net
        cohort = Cohort(
            root=tmp_path,
            cases=(),
            channels=tuple(f"channel{i}" for i in range(channels)),
            classes=regions.atoms or {value: f"class{value}" for value in values},
            regions=regions,
            file_ending=".nii.gz" if dims == 3 else ".png",
            spacing_known=plan.spacing_known,
            codes={"class1": "SCT 80891009"},
        )
        run = tmp_path / name
        export_model(
            run, networks, ["teacher"], plan, cohort, method="ua_mt", steps=10, seed=3, training=training
        )
        return run

    return make


@pytest.fixture
def save_scan(tmp_path: Path) -> SaveScan:
    """``save_scan(name, shape, affine=None, seed=0)``: a smooth noisy NIfTI scan below ``tmp_path``."""

    def save(
        name: str, shape: tuple[int, ...] = (17, 13, 11), affine: np.ndarray | None = None, seed: int = 0
    ) -> Path:
        noise = np.random.default_rng(seed).normal(size=shape)
        array = ndimage.gaussian_filter(noise, 1.0) * 1000 + 300
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array.astype(np.float32), np.eye(4) if affine is None else affine), path)
        return path

    return save
