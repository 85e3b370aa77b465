"""The plan as a pure function: its rule on made-up cohorts, overrides, and the JSON round trip."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semivox.errors import DataError, SettingsError
from semivox.networks import build_network
from semivox.prepare.architecture import choose_network, choose_patch
from semivox.prepare.candidate import (
    COMMON_VOXELS,
    FEW_LABELED,
    FEW_STEPS,
    FOR_STEPS,
    MIN_STEPS,
    MIN_STEPS_STRUCTURE,
    ONE_PIECE,
    SURROUNDINGS,
    WHOLE_COVER,
)
from semivox.prepare.costs import COSTS, TABLE, Costs, costs_of, network_macs, step_memory, step_seconds
from semivox.prepare.fingerprint import RUNGS, CaseFingerprint, Fingerprint, Intensity
from semivox.prepare.plan_json import plan_from_json, plan_to_json, write_plan
from semivox.prepare.planner import make_plan
from semivox.randomness import Key
from semivox.tiles.blend import axis_tiles

SOME = Intensity(-50.0, 250.0, 80.0, 40.0)


def cohort(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    ceilings: tuple[float, ...] = (1.0, 0.999, 0.99, 0.98),
    channel: str = "MR",
    known: bool = True,
) -> Fingerprint:
    labeled = CaseFingerprint("a", shape, spacing, (1000,), tuple((c,) for c in ceilings), (1.0,))
    other = replace(labeled, name="b", voxels=(None,), ceilings=(), largest=(None,))
    dims = len(shape)
    return Fingerprint(
        dims=dims,
        axes=tuple(range(dims)),
        native_spacing=spacing,
        spacing_known=known,
        channels=(channel,),
        values=(1,),
        names=("organ",),
        rungs=RUNGS,
        labeled=1,
        foreground=(SOME,),
        cases=(labeled, other),
    )


COARSEST_MULTIPLE = 16  # patches are rounded up to a multiple that a network halves down to


ATRIUM = cohort((190, 143, 88), (0.625,) * 3)


@pytest.mark.parametrize("minutes", [20, 30, 60])
def test_the_known_good_recipe_comes_out(minutes: int) -> None:
    plan = make_plan(ATRIUM, minutes * 60)
    assert (plan.rung, plan.spacing) == (2.0, (1.25, 1.25, 1.25))
    assert (plan.patch, plan.batch) == ((64, 64, 48), (2, 2))
    assert plan.network.kind == "vnet"
    assert plan.network.features == (16, 32, 64, 128, 256)
    alone = make_plan(replace(ATRIUM, cases=ATRIUM.cases[:1]), minutes * 60)
    assert alone.steps == int(FOR_STEPS * minutes * 60 / plan.step_seconds)
    assert plan.step_seconds == pytest.approx(0.85, abs=0.1)  # measured: 4 patches of 0.20 s, and the update


def with_unlabeled(found: Fingerprint, labeled: int, unlabeled: int) -> Fingerprint:
    cases = (*[found.cases[0]] * labeled, *[found.cases[-1]] * unlabeled)
    return replace(found, labeled=labeled, cases=cases)


def test_unlabelled_scans_are_paid_for_in_crops_and_in_labelling() -> None:
    """By the long way: the windows of every scan are counted as they are cut."""
    alone = make_plan(with_unlabeled(ATRIUM, 2, 0), 3600)
    assert make_plan(with_unlabeled(ATRIUM, 2, 1), 3600).steps == alone.steps  # too few to learn from
    macs = network_macs(alone.network, 1, 2, alone.patch)
    windows = math.prod(len(axis_tiles(max(n, p), p)) for n, p in zip(alone.shape, alone.patch, strict=True))
    a_scan = 2 * windows * macs * COSTS.seconds_per_mac[3] / 3  # and mirrored; a third of a step's work
    a_step = 1.5 * alone.step_seconds
    for unlabeled in (2, 40, 100, 10_000):
        plan = make_plan(with_unlabeled(ATRIUM, 2, unlabeled), 3600)
        assert (plan.rung, plan.patch) == (alone.rung, alone.patch)
        labelling = min(3 * unlabeled * a_scan, 0.4 * FOR_STEPS * 3600)
        assert plan.steps == int((FOR_STEPS * 3600 - labelling) / a_step)
        assert f"about {plan.steps:,} steps learn from labelled and unlabelled scans" in plan.assumptions[-2]
        assert f"alone has {alone.steps:,}" in plan.assumptions[-2]
    assert "unlabelled scans" not in " ".join(alone.assumptions)


def with_structure(
    found: Fingerprint, extent: tuple[int, ...] | None, labeled: int, share: float = 1.0
) -> Fingerprint:
    """The cohort with ``labeled`` labelled scans, each with its foreground in a box of ``extent`` voxels."""
    drawn = replace(found.cases[0], together=share, extent=extent)
    return with_unlabeled(replace(found, cases=(drawn, found.cases[-1])), labeled, 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(16, 400), st.floats(0.05, 1)), min_size=2, max_size=3),
    st.lists(st.floats(0.3, 3), min_size=3, max_size=3),
    st.sampled_from((60.0, 1200.0, 86400.0)),
)
def test_with_few_labels_patches_are_made_for_the_structure(
    axes: list[tuple[int, float]], spacing: list[float], budget: float
) -> None:
    shape, extent = tuple(n for n, _ in axes), tuple(max(1, int(n * share)) for n, share in axes)
    scans = cohort(shape, tuple(spacing[: len(shape)]))
    few = make_plan(with_structure(scans, extent, FEW_LABELED - 1), budget)
    scale = [s / n for s, n in zip(few.spacing, few.native_spacing, strict=True)]
    for p, n, e, f in zip(few.patch, few.shape, extent, scale, strict=True):
        assert p < min(n, math.ceil(SURROUNDINGS * e / f)) + COARSEST_MULTIPLE
    whole = make_plan(scans, budget)
    pieces = [(2, 0.5, extent)] if len(shape) == 3 else []  # few pictures in pieces: a test of their own
    for labeled, share, box in ((FEW_LABELED, 1.0, extent), *pieces, (2, 1.0, None)):
        asked = with_structure(scans, box, labeled, share)
        assert make_plan(asked, budget).patch == whole.patch


def test_a_heart_in_a_chest_gets_more_steps_than_a_chest_at_no_coarser_grid() -> None:
    chest = cohort((256, 216, 9), (1.0, 1.0, 6.667))
    for minutes in (5, 10, 20, 40):
        heart, whole = (
            make_plan(with_structure(chest, (70, 75, 9), n), minutes * 60) for n in (6, FEW_LABELED)
        )
        assert (heart.steps or 0) > (whole.steps or 0)
        assert heart.rung <= whole.rung or (heart.steps or 0) >= MIN_STEPS_STRUCTURE
        assert "few labelled scans" in " ".join(heart.assumptions)
        assert "few labelled scans" not in " ".join(whole.assumptions)


def test_where_patches_are_made_for_a_structure_steps_beside_unlabelled_scans_must_be_enough() -> None:
    chest = with_structure(cohort((256, 216, 9), (1.0, 1.0, 6.667)), (70, 75, 9), 6)
    for minutes in (10, 20, 40, 80):
        few, many = (make_plan(with_unlabeled(chest, 6, n), minutes * 60) for n in (0, 94))
        assert many.rung >= few.rung
        assert many.rung == RUNGS[-1] or (many.steps or 0) >= MIN_STEPS_STRUCTURE
    whole = with_structure(cohort((256, 216, 9), (1.0, 1.0, 6.667)), (70, 75, 9), FEW_LABELED)
    for n in (0, FEW_LABELED):  # there labels alone decide
        assert make_plan(with_unlabeled(whole, FEW_LABELED, n), 1200).rung == make_plan(whole, 1200).rung


def test_few_labelled_pictures_of_structures_in_pieces_are_seen_whole() -> None:
    cells = with_structure(cohort((256, 256), (1.0, 1.0)), (200, 200), 4, ONE_PIECE - 0.1)
    for minutes in (5, 10, 20, 60):
        plan = make_plan(with_unlabeled(cells, 4, 146), minutes * 60)
        covered = [min(p / n, 1) for p, n in zip(plan.patch, plan.shape, strict=True)]
        assert plan.rung == RUNGS[-1] or (
            math.prod(covered) >= WHOLE_COVER and (plan.steps or 0) >= MIN_STEPS
        )
        others = with_unlabeled(cells, FEW_LABELED, 146), with_structure(cells, (200, 200), 4)
        for other in others:  # more of them, or structures in one piece
            assert make_plan(other, minutes * 60).rung <= plan.rung
    assert "sees whole pictures" in " ".join(make_plan(with_unlabeled(cells, 4, 146), 3600).assumptions)
    chest = with_structure(cohort((256, 216, 90), (1.0, 1.0, 1.0)), (70, 75, 9), 4, ONE_PIECE - 0.1)
    assert make_plan(chest, 1200).patch == make_plan(cohort((256, 216, 90), (1.0, 1.0, 1.0)), 1200).patch


def test_it_is_pure_and_says_what_it_assumes() -> None:
    first, second = make_plan(ATRIUM, 1800), make_plan(ATRIUM, 1800)
    assert first == second
    text = "\n".join(first.assumptions)
    for word in ("0.625", "1.25", "--set plan.rung", "z-score", "0.990"):
        assert word in text
    assert all("override:" in sentence for sentence in first.assumptions)


def test_more_budget_is_never_coarser() -> None:
    rungs = [make_plan(ATRIUM, 60 * 2**k).rung for k in range(14)]
    assert rungs == sorted(rungs, reverse=True)
    assert rungs[0] == 3.0
    assert rungs[-1] < 2.0


def test_another_machine_makes_another_plan() -> None:
    fast = replace(
        COSTS, seconds_per_mac={k: v / 1000 for k, v in COSTS.seconds_per_mac.items()}, seconds_a_crop=0.0
    )
    slow = Costs({3: 1e-9})
    assert make_plan(ATRIUM, 3600, fast).rung < 2.0 < make_plan(ATRIUM, 3600, slow).rung


def test_a_rung_that_loses_a_class_is_not_taken() -> None:
    lossy = cohort((190, 143, 88), (0.625,) * 3, (1.0, 0.97, 0.94, 0.9))
    assert make_plan(lossy, 1800).rung == 1.5  # the coarsest admissible
    fine = cohort((190, 143, 88), (0.625,) * 3, (0.9, 0.8, 0.8, 0.8))
    assert make_plan(fine, 1800).rung == 1.0  # the native one always is
    assert make_plan(fine, 1800).classes[0].dice_ceiling == 0.9


@pytest.mark.parametrize(
    ("largest", "expected"), [((1.0, 0.91), (1,)), ((1.0, 0.89), ()), ((None, 0.95), (1,))]
)
def test_a_class_is_in_one_piece_if_every_label_shows_it_so(
    largest: tuple[float | None, ...], expected: tuple[int, ...]
) -> None:
    first, other = ATRIUM.cases
    labeled = tuple(replace(first, name=str(n), largest=(share,)) for n, share in enumerate(largest))
    plan = make_plan(replace(ATRIUM, cases=(*labeled, other), labeled=2), 1800)
    assert plan.in_one_piece == expected
    written = plan_to_json(plan)
    assert plan_from_json(written).in_one_piece == expected
    del written["classes"][0]["one_piece"]  # a plan from before it was asked
    assert plan_from_json(written).in_one_piece == (1,)


def test_small_scans_stay_native() -> None:
    plan = make_plan(cohort((35, 50, 35), (1.0, 1.0, 1.0)), 1200)
    assert (plan.rung, plan.patch, plan.network.kind) == (1.0, (40, 56, 40), "unet")
    assert plan.classes[0].voxels == 1000


def test_voxels_are_counted_at_the_working_spacing() -> None:
    assert make_plan(ATRIUM, 1800).classes[0].voxels == pytest.approx(1000 / 8, rel=0.01)


def test_thick_slices_are_not_pooled_across_at_first() -> None:
    plan = make_plan(cohort((256, 216, 10), (1.0, 1.0, 6.67), known=False), 1800)
    assert plan.rung > 1
    assert plan.spacing[2] == 6.67
    assert plan.patch[2] >= 10
    assert plan.network.kind == "unet"
    assert plan.network.strides[0] == (2, 2, 1)
    assert plan.network.kernels[0] == (3, 3, 1)
    assert plan.network.kernels[-1] == (3, 3, 3)


def test_two_dimensions() -> None:
    plan = make_plan(cohort((256, 256), (1.0, 1.0)), 1800)
    assert (plan.rung, plan.patch, plan.batch) == (1.0, (192, 192), (4, 4))
    assert plan.network.features == (32, 64, 128, 256, 256)


def test_ct_is_clipped_to_labelled_foreground() -> None:
    channel = make_plan(cohort((64, 64, 64), (1.0,) * 3, channel="abdominal CT")).channels[0]
    assert (channel.scheme, channel.low, channel.high) == ("ct", -50.0, 250.0)
    assert (channel.mean, channel.std) == (80.0, 40.0)


def test_without_a_budget_steps_stay_open() -> None:
    plan = make_plan(ATRIUM)
    assert (plan.steps, plan.budget_seconds) == (None, None)
    assert plan.patch == make_plan(ATRIUM, 3600).patch


def test_a_small_memory_buys_smaller_patches_and_says_so() -> None:
    day = 24 * 3600
    roomy = make_plan(ATRIUM, day, replace(COSTS, memory_bytes=64 * 2**30))
    small = make_plan(ATRIUM, day, replace(COSTS, memory_bytes=4 * 2**30))
    assert roomy == replace(make_plan(ATRIUM, day), assumptions=roomy.assumptions)
    assert math.prod(small.patch) < math.prod(roomy.patch)
    assert step_memory(small.network, small.patch, small.batch) <= 0.75 * 4 * 2**30
    assert "patches too large for the 4.0 GiB here were left out" in small.assumptions[-1]
    assert "left out" not in roomy.assumptions[-1]
    asked = make_plan(ATRIUM, day, replace(COSTS, memory_bytes=2**30), {"patch": [112, 112, 80]})
    assert asked.patch == (112, 112, 80)  # who asks for a patch gets it


def test_more_cores_and_better_processors_take_less_time() -> None:
    def seconds(capability: str, cores: int) -> float:
        costs = costs_of(capability, cores)
        plan = make_plan(ATRIUM, 1800, costs, {"rung": 2, "patch": [64, 64, 48]})
        assert f"{cores} core" in plan.assumptions[-1]
        assert TABLE[capability].words in plan.assumptions[-1]
        return plan.step_seconds

    assert 1.4 < seconds("avx2", 1) / seconds("avx2", 2) < 2
    assert seconds("avx2", 2) > 1.1 * seconds("avx512", 2) > 2 * seconds("avx512-bf16", 2)
    assert costs_of("avx2", 64).seconds_per_mac == costs_of("avx2", 8).seconds_per_mac
    assert costs_of("cuda 9", 64) == costs_of("cuda 9", 1)


@pytest.mark.parametrize("capability", TABLE)
def test_every_row_plans_in_two_and_three_dimensions(capability: str) -> None:
    for shape in ((128, 128), (96, 96, 64)):
        plan = make_plan(cohort(shape, (1.0,) * len(shape)), 1800, costs_of(capability, 2))
        assert (plan.steps or 0) >= FEW_STEPS


@pytest.mark.parametrize("shape", [(190, 143, 88), (256, 216, 10), (400, 400)])
def test_a_budget_for_few_steps_buys_a_coarser_plan(shape: tuple[int, ...]) -> None:
    """Below 100 steps nothing is learned: a rung that loses detail, a patch that sees less and a smaller
    batch come first."""
    lossy = with_unlabeled(cohort(shape, (0.625,) * len(shape), (1.0, 0.94, 0.9, 0.8)), 1, 0)
    slow = costs_of("avx2", 1)
    plans = [make_plan(lossy, budget, slow) for budget in (3600, 600, 120, 60, 30, 15)]
    for plan in plans[:4]:
        assert (plan.steps or 0) >= FEW_STEPS
    assert plans[0].rung == 1.0
    voxels = [math.prod(plan.patch) * sum(plan.batch) * plan.rung**-3 for plan in plans]
    assert voxels == sorted(voxels, reverse=True)
    hurried = next(plan for plan in plans if plan.rung > 1)
    assert "finer ones would leave fewer than 100 steps" in " ".join(hurried.assumptions)
    asked = make_plan(lossy, 15, slow, {"rung": 1, "patch": [32] * len(shape), "batch": [2, 2]})
    assert (asked.rung, asked.patch, asked.batch) == (1.0, (32,) * len(shape), (2, 2))


def test_overrides_are_planned_around() -> None:
    plan = make_plan(ATRIUM, 1800, override={"rung": 1.5, "batch": [1, 3], "channels.0.scheme": "ct"})
    assert (plan.rung, plan.batch, plan.channels[0].scheme) == (1.5, (1, 3), "ct")
    assert plan.spacing == (0.9375,) * 3
    plan = make_plan(ATRIUM, 1800, override={"spacing": [1, 1, 2], "patch": [96, 96, 32], "steps": 7})
    assert (plan.spacing, plan.patch, plan.steps) == ((1.0, 1.0, 2.0), (96, 96, 32), 7)
    assert plan.network.kind == "unet"
    unet = make_plan(ATRIUM, 1800, override={"network.kind": "unet"}).network
    assert (unet.kind, unet.norm) == ("unet", "instance")
    assert make_plan(ATRIUM, 1800).network.norm == "batch"  # the papers' V-Net
    other = {"network.kind": "unet", "network.norm": "batch"}
    assert make_plan(ATRIUM, 1800, override=other).network == replace(unet, norm="batch")


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ({"spacin": 1}, "did you mean 'plan.spacing'"),
        ({"patch": [64, 64]}, "3 positive numbers"),
        ({"patch": [65, 64, 48]}, r"\[80, 64, 48\]"),
        ({"rung": 0.5}, "1 or more"),
        ({"rung": "two"}, "1 or more"),
        ({"network.kind": "swin"}, "vnet or unet"),
        ({"network.norm": "layer"}, "batch or instance"),
        ({"channels.1.scheme": "ct"}, "unknown setting"),
        ({"channels.0.scheme": "minmax"}, "zscore or ct"),
        ({"steps": 1.5}, "whole number"),
    ],
)
def test_wrong_overrides_are_refused(override: dict[str, object], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        make_plan(ATRIUM, 1800, override=override)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=3),
    st.lists(st.floats(0.3, 8), min_size=3, max_size=3),
    st.integers(4096, 300_000),
)
def test_every_patch_fits_its_network(shape: list[int], spacing: list[float], voxels: int) -> None:
    patch, network = choose_patch(shape, spacing[: len(shape)], voxels)
    assert all(p % m == 0 for p, m in zip(patch, network.multiple, strict=True))
    assert all(p <= math.ceil(n / m) * m for p, n, m in zip(patch, shape, network.multiple, strict=True))
    assert math.prod(patch) <= max(voxels, math.prod(network.multiple))
    assert len(network.features) == len(network.kernels) == len(network.strides) + 1
    for axis, p in enumerate(patch):
        pools = math.prod(stride[axis] for stride in network.strides)
        assert pools == 1 or p / pools >= (3 if network.kind == "vnet" else 4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 64), min_size=2, max_size=3),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.sampled_from((60.0, 3600.0)),
)
@example([48, 40, 1], [2.5, 2.5, 1.0], 3600.0)
@example([64, 48, 6], [3.0, 3.0, 0.5], 3600.0)
@example([6, 5, 4], [1.0, 1.0, 1.5], 3600.0)
@example([1, 1, 1], [1.0, 1.0, 1.0], 3600.0)
@example([1, 1], [1.0, 0.1, 1.0], 3600.0)
def test_every_plan_can_be_built(shape: list[int], spacing: list[float], budget: float) -> None:
    plan = make_plan(cohort(tuple(shape), tuple(spacing[: len(shape)])), budget)
    assert plan_from_json(plan_to_json(plan)) == plan
    network = build_network(plan.network, 1, 2, Key(1))
    if math.prod(plan.patch) <= 4096:
        logits = network(torch.ones(2, 1, *plan.patch), norm="batch").logits
        assert logits.shape == (2, 2, *plan.patch)
        assert torch.isfinite(logits).all()


def test_long_axes_are_pooled_where_the_finest_is_too_short() -> None:
    for shape, spacing in (((48, 40, 1), (2.5, 2.5, 1.0)), ((64, 48, 6), (3.0, 3.0, 0.5))):
        network = make_plan(cohort(shape, spacing)).network
        assert network.strides[:2] == ((2, 2, 1), (2, 2, 1))
    assert make_plan(cohort((6, 5, 4), (1.0, 1.0, 1.5))).network.strides == ((1, 1, 1),)


def test_the_plan_holds_its_promises() -> None:
    for shape in ((512, 512, 300), (128, 128, 128), (60, 400, 30)):
        plan = make_plan(cohort(shape, (0.8, 0.8, 1.5)), 3600)
        assert math.prod(plan.patch) <= COMMON_VOXELS[3] or (plan.steps or 0) >= 8000
        assert (plan.steps or 0) >= MIN_STEPS


def test_macs_of_a_network_counted_by_hand() -> None:
    network = choose_network((8, 8), (1.0, 1.0))
    assert (network.features, network.strides) == ((32, 64), ((2, 2),))
    top = 64 * (1 * 32 * 9 + 32 * 32 * 9)
    bottom = 16 * (32 * 64 * 9 + 64 * 64 * 9)
    back = 64 * (64 * 32 + 64 * 32 * 9 + 32 * 32 * 9) + 64 * 32 * 3
    assert network_macs(network, 1, 3, (8, 8)) == top + bottom + back
    assert step_seconds(network, (8, 8), (2, 3), Costs({2: 1e-9}), 1, 3) == pytest.approx(
        5e-9 * (top + bottom + back)
    )


def test_json_round_trip(tmp_path: Path) -> None:
    for plan in (make_plan(ATRIUM, 1800), make_plan(cohort((99, 88), (1.0, 1.0), channel="CT"))):
        assert plan_from_json(plan_to_json(plan)) == plan
        path = write_plan(plan, tmp_path / "deep" / "plan.json")
        assert plan_from_json(path) == plan
        assert [p.name for p in path.parent.iterdir()] == ["plan.json"]


def test_faulty_json_is_refused(tmp_path: Path) -> None:
    good = plan_to_json(make_plan(ATRIUM, 1800))

    def fails(match: str, **changes: object) -> None:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({**good, **changes}))
        with pytest.raises((SettingsError, DataError), match=match):
            plan_from_json(path)

    fails("newer", format=2)
    fails("did you mean 'patch'", pach=[1])
    fails("patch is no multiple", patch=[65, 64, 48])
    fails("wrong type", patch=[64, 64, "48"])
    fails("wrong type", batch=[2, 2, 2])
    fails("axes", axes=[0, 1, 1])
    fails("positive", spacing=[1.0, 0.0, 1.0])
    fails("lacks kind", network={k: v for k, v in good["network"].items() if k != "kind"})
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        plan_from_json(tmp_path / "plan.json")


def test_all_foreground_is_one_piece_only_if_every_label_says_so() -> None:
    def together(*shares: float | None) -> bool:
        cases = tuple(replace(ATRIUM.cases[0], name=str(i), together=s) for i, s in enumerate(shares))
        found = replace(ATRIUM, cases=(*cases, ATRIUM.cases[1]), labeled=len(shares))
        plan = make_plan(found, 600)
        assert plan_from_json(plan_to_json(plan)).together == plan.together
        return plan.together

    assert together(1.0, 0.95)
    assert not together(1.0, 0.5)
    assert not together(1.0, None)  # not every class was annotated there
    old = plan_to_json(make_plan(ATRIUM, 600))
    del old["together"]
    assert not plan_from_json(old).together


@pytest.mark.parametrize(
    ("place", "value"),
    [("channels.0.scheme", "1"), ("channels.0", {"name": "CT", "scheme": "ct", "low": 0.0}),
     ("network.kind", "x"), ("network.norm", "x"), ("network.features.0", 10**6), ("network.features.0", 0),
     ("network.strides.0.0", 0), ("network.kernels.0.0", 10**6), ("patch", [2**20, 2**20, 2**20]),
     ("batch", [2**20, 2**20]), ("steps", 0), ("rung", -1.0), ("budget_seconds", 0.0),
     ("step_seconds", -1.0)],
)  # fmt: skip
def test_a_plan_with_values_that_no_code_knows_is_refused_by_name(place: str, value: Any) -> None:
    plan: Any = plan_to_json(make_plan(ATRIUM, 3600))
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    inner = plan
    for part in way:
        inner = inner[part]
    inner[last] = value
    with pytest.raises(SettingsError, match=rf"plan\.{place.split('.')[0]}"):
        plan_from_json(plan)
