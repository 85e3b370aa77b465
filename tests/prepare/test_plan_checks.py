"""One set of checks for the values of a plan, whether the planner, a setting or a file gave them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from semivox.errors import DataError, SettingsError
from semivox.networks import build_network
from semivox.prepare.fingerprint import RUNGS, CaseFingerprint, Fingerprint, Intensity
from semivox.prepare.plan import Plan
from semivox.prepare.plan_json import disagreements, plan_from_json, plan_to_json
from semivox.prepare.planner import make_plan
from semivox.randomness import Key


def cohort(shape: tuple[int, ...], spacing: tuple[float, ...], channel: str) -> Fingerprint:
    ceilings = tuple((1.0,) for _ in RUNGS)
    labeled = CaseFingerprint("a", shape, spacing, (1000,), ceilings, (1.0,))
    return Fingerprint(
        dims=len(shape), axes=tuple(range(len(shape))), native_spacing=spacing, spacing_known=True,
        channels=(channel,), values=(1,), names=("organ",), rungs=RUNGS, labeled=1,
        foreground=(Intensity(-50.0, 250.0, 80.0, 40.0),), cases=(labeled,),
    )  # fmt: skip


SCANS = {3: cohort((190, 143, 88), (0.625,) * 3, "MR"), 2: cohort((99, 88), (1.0, 1.0), "CT")}
PLANS = {dims: make_plan(scans, 1800) for dims, scans in SCANS.items()}
WRONG = [
    ("rung", 0), ("rung", -1.0), ("rung", "two"), ("rung", None), ("rung", math.inf), ("rung", True),
    ("spacing", []), ("spacing", [1.0]), ("spacing", [0.0] * 3), ("spacing", 1.0), ("spacing", "fine"),
    ("patch", [64]), ("patch", [64.5] * 3), ("patch", [0] * 3), ("patch", ["x"] * 3), ("patch", [2**20] * 3),
    ("batch", [1]), ("batch", [0, 0]), ("batch", [0, 1]), ("batch", [1, 0]),
    ("batch", [1, 2, 3]), ("batch", [2**20, 2**20]), ("batch", 4), ("batch", [1.5, 1]), ("steps", 0),
    ("steps", 1.5), ("steps", "many"), ("network.kind", "swin"), ("network.norm", "layer"),
    ("network.norm", 1), ("channels.0.scheme", "minmax"), ("channels.0.scheme", None),
]  # fmt: skip
"""Values of what can be given by --set and by a file, of a 3D plan; see :func:`of_dims`."""


def of_dims(name: str, value: Any, dims: int) -> Any:
    return value[:dims] if name in ("spacing", "patch") and isinstance(value, list) else value


def edited(plan: Plan, name: str, value: Any) -> dict[str, Any]:
    """The plan as JSON with one field changed by hand."""
    content: Any = plan_to_json(plan)
    *way, last = (int(part) if part.isdigit() else part for part in name.split("."))
    inner = content
    for part in way:
        inner = inner[part]
    inner[last] = value
    return content


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_a_setting_cannot_be_no_file_can_be(name: str, value: Any, dims: int, tmp_path: Path) -> None:
    value = of_dims(name, value, dims)
    with pytest.raises(SettingsError, match=rf"plan\.{re.escape(name)}.*; found .*; expected ") as by_setting:
        make_plan(SCANS[dims], 1800, override={name: value})
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(edited(PLANS[dims], name, value)))
    with pytest.raises((SettingsError, DataError)) as by_file:
        plan_from_json(path)
    assert str(path) in str(by_file.value)
    # JSON has no infinity, a file's numbers are no texts, and a spacing may be finer than the scans' own
    if not isinstance(by_file.value, DataError) and "wrong type" not in str(by_file.value) and name != "rung":
        assert by_file.value.expected == by_setting.value.expected


def test_a_vnet_in_2d_is_planned_for_nobody_and_read_of_a_model() -> None:
    with pytest.raises(SettingsError, match=r"plan\.network\.kind.*expected unet"):
        make_plan(SCANS[2], 1800, override={"network.kind": "vnet"})
    assert plan_from_json(edited(PLANS[2], "network.kind", "vnet")).network.kind == "vnet"


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes.0.dice_ceiling", 2.0), ("classes.0.dice_ceiling", -0.1), ("classes.0.voxels", -1.0),
     ("network.kernels.0.0", 2), ("network.kernels.1", [3, 4, 3]), ("native_spacing", [1.0, 1.0]),
     ("shape", [0, 1, 1])],
)  # fmt: skip
def test_a_plan_that_was_edited_by_hand_is_refused_by_file_and_field(
    name: str, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(edited(PLANS[3], name, value)))
    with pytest.raises(SettingsError, match=rf"plan\.{name.split('.')[0]}.*found ") as refused:
        plan_from_json(path)
    assert refused.value.path == path
    assert "semivox plan" in str(refused.value)


def test_regions_are_held_to_what_classes_are(tmp_path: Path) -> None:
    plan = edited(PLANS[3], "regions", [{**plan_to_json(PLANS[3])["classes"][0], "parts": [1], "written": 1}])
    assert plan_from_json(plan).regions
    plan["regions"][0]["dice_ceiling"] = 1.01
    with pytest.raises(SettingsError, match=r"plan\.regions\.0\.dice_ceiling"):
        plan_from_json(plan)


@pytest.mark.parametrize("levels", [1, 2])
def test_a_plan_has_a_network_that_can_be_built(levels: int) -> None:
    network = {"kind": "unet", "features": [4] * levels, "kernels": [[3, 3, 3]] * levels, "norm": "batch"}
    content = edited(PLANS[3], "network", {**network, "strides": [[2, 2, 2]] * (levels - 1)})
    if levels == 2:
        build_network(plan_from_json(content).network, 1, 2, Key(0))
        return
    with pytest.raises(SettingsError, match=r"plan\.network"):
        plan_from_json(content)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [("rung", "1.5e0", 1.5), ("spacing", ["1e0", 1.0, "2"], [1.0, 1.0, 2.0]),
     ("patch", ["32", 3.2e1, "3.2e1"], [32, 32, 32]), ("batch", ["1e0", 1], [1, 1]),
     ("steps", "1e3", 1000), ("steps", 1000.0, 1000)],
)  # fmt: skip
def test_a_text_that_is_a_number_is_one_as_in_other_settings(name: str, written: Any, meant: Any) -> None:
    """YAML 1.1 reads 1e9 as a text."""
    plan = make_plan(SCANS[3], 1800, override={name: written})
    assert plan == make_plan(SCANS[3], 1800, override={name: meant})
    assert disagreements(plan, {name: written}) == []
    other = [2 * number for number in meant] if isinstance(meant, list) else 2 * meant
    assert disagreements(plan, {name: other})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("batch", r"2 positive numbers, labelled and unlabelled crops a step, such as \[2, 2\]"),
     ("patch", r"3 positive numbers, such as \[64, 64, 64\]"), ("spacing", r"such as \[1\.0, 1\.0, 1\.0\]")],
)  # fmt: skip
def test_the_hint_is_of_what_is_asked_for(name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        make_plan(SCANS[3], 1800, override={name: [1]})
