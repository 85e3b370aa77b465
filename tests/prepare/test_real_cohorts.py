"""The plans of four real cohorts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from semivox.commands.plan import plan, render
from semivox.prepare import plan_from_json
from semivox.prepare.candidate import FEW_LABELED
from semivox.prepare.costs import COSTS


@pytest.fixture(autouse=True)
def one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans of one machine, whatever this one is."""
    monkeypatch.setattr("semivox.networks.costs_here", lambda: COSTS)


def test_left_atrium(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "la/dev"
    ours = dict.fromkeys(("20m", "30m", "1h"), (3.0, (64, 48, 32), "unet"))  # most of a scan
    ours["6h"] = (2.0, (96, 80, 48), "unet")
    for budget in ("20m", "30m"):
        found = plan(data, budget, "2", method="supervised", cache=tmp_path, workers=1)
        assert (found.rung, found.patch, found.network.kind) == (2.0, (64, 64, 48), "vnet")
        assert found.batch == (2, 2)
        assert found.classes[0].dice_ceiling > 0.99
    for budget in ours:
        found = plan(data, budget, "2", cache=tmp_path, workers=1)
        assert (found.rung, found.patch, found.network.kind) == ours[budget]


def test_hippocampus_stays_native(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    found = plan(shared_data / "hippocampus/dev", "20m", "4", out, cache=tmp_path, workers=1)
    assert (found.rung, found.spacing, found.patch) == (1.0, (1.0, 1.0, 1.0), (40, 56, 40))
    assert plan_from_json(out) == found


def test_acdc_keeps_its_slices(shared_data: Path, tmp_path: Path) -> None:
    found = plan(shared_data / "acdc/dev", "30m", "2p", cache=tmp_path, workers=1)
    assert not found.spacing_known
    assert found.axes == (0, 1, 2)
    assert found.native_spacing == pytest.approx((1, 1, 10 / 1.5), rel=1e-4)
    assert found.spacing[2] == found.native_spacing[2]
    assert found.network.strides[0] == (2, 2, 1)
    assert all(p < 0.8 * n for p, n in zip(found.patch[:2], found.shape, strict=False))  # hearts in chests
    assert math.prod(found.patch[:2]) < 0.5 * math.prod(found.shape[:2])


def test_nuclei_are_pictures(shared_data: Path, tmp_path: Path) -> None:
    found = plan(shared_data / "nuclei/dev", None, "10", cache=tmp_path, workers=1)
    assert (found.dims, found.axes, len(found.channels), found.steps) == (2, (0, 1), 3, None)
    assert all(p >= n for p, n in zip(found.patch, found.shape, strict=True))  # few of them: whole
    assert render(found).renderables
    many = plan(shared_data / "nuclei/dev", None, str(FEW_LABELED), cache=tmp_path, workers=1)
    assert (many.rung, many.patch) == (1.0, (192, 192))
