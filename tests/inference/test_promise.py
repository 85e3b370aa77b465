"""Promises of simulated masks: they hold as often as said, by patient; strangers are promised nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from semivox.inference.promise import LEAST, Calibration, HeldOutMask, Promise

LOOKS = {"spacing": [0.0], "extent": [1.0], "intensity": [0.0], "sharpness": [0.0]}
FRAMES = 2


def mask(
    rng: np.random.Generator, patient: int, run: str = "m", effect: float = 0.0, frame: int = 0
) -> HeldOutMask:
    """The disagreement of a mask varies; it is wrong by some times as much, alike in a patient's frames."""
    apart = rng.uniform(0.05, 0.4)
    wrong = min(0.95, apart * float(np.exp(effect + 0.2 * rng.normal())))
    volume = float(rng.uniform(5, 50))
    true = volume * (1 + 0.5 * wrong * rng.uniform(-1, 1))
    agreed = {"probability": {"1": 1 - apart, "foreground": 1 - apart}}
    looks = {name: [v[0] + 0.01 * rng.normal()] for name, v in LOOKS.items()}
    dice = {"1": 1 - wrong, "foreground": 1 - wrong}
    name = f"{patient}-{frame}"
    return HeldOutMask(name, str(patient), run, name, agreed, dice, {"1": volume}, {"1": true}, looks)


def cohort(rng: np.random.Generator, patients: int, runs: Sequence[str] = ("m",)) -> list[HeldOutMask]:
    return [
        mask(rng, i, runs[i % len(runs)], effect, frame)
        for i, effect in enumerate(rng.normal(0, 0.5, patients))
        for frame in range(FRAMES)
    ]


def promise(
    calibration: Calibration, new: HeldOutMask, runs: Sequence[str] = ("m",), **other: object
) -> Promise:
    agreements = dict.fromkeys({*runs, "m"}, new.agreement)
    given = {"looks": new.appearance, "scan": None, **other}
    made = calibration.promise("m", agreements, {"1": new.volume_ml["1"]}, **given)  # type: ignore[arg-type]
    assert made is not None
    return made


@pytest.mark.parametrize(("patients", "runs"), [(8, ("m",)), (20, ("m",)), (15, ("a", "b", "c"))])
def test_all_frames_of_a_new_patient_have_what_is_promised_as_often_as_it_says(
    patients: int, runs: Sequence[str]
) -> None:
    rng, level, draws = np.random.default_rng(patients), 0.8, 400
    dice = volume = 0
    for _ in range(draws):
        *known, one, other = cohort(rng, patients + 1, runs)
        known = [m for m in known if m.patient != one.patient]
        made = [promise(Calibration(known, level), new, runs, looks=LOOKS) for new in (one, other)]
        told = [m for m in made if not m.outside]
        dice += all(m.dice["1"].at_least <= new.dice["1"] for m, new in zip(made, (one, other), strict=True))
        volume += all(
            (m.volume_ml["1"].low or 0) <= new.reference_ml["1"] <= (m.volume_ml["1"].high or np.inf)
            for m, new in zip(made, (one, other), strict=True)
        )
        assert all(m.dice["1"].at_least <= m.dice["1"].expected for m in told)
    slack = 3 * np.sqrt(level * (1 - level) / draws)
    assert dice / draws >= level - slack
    assert volume / draws >= level - slack
    assert dice / draws <= 0.97  # and not by promising nothing


def test_the_numbers_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    known, new = [mask(rng, i) for i in range(9)], mask(rng, 99)
    made = promise(Calibration(known, 0.8), new, looks=LOOKS)
    apart = 1 - new.agreement["probability"]["1"] + LEAST
    ratios = sorted((1 - m.dice["1"] + LEAST) / (1 - m.agreement["probability"]["1"] + LEAST) for m in known)
    assert made.dice["1"].at_least == pytest.approx(1 + LEAST - ratios[7] * apart)  # the 8th of 9
    assert made.dice["1"].expected == pytest.approx(1 + LEAST - ratios[4] * apart)
    shares = sorted(
        abs(m.volume_ml["1"] - m.reference_ml["1"])
        / max(m.volume_ml["1"], m.reference_ml["1"])
        / (1 - m.agreement["probability"]["1"] + LEAST)
        for m in known
    )
    share = shares[7] * apart
    assert made.volume_ml["1"].low == pytest.approx(new.volume_ml["1"] * (1 - share))
    assert made.volume_ml["1"].high == pytest.approx(new.volume_ml["1"] / (1 - share))


@pytest.mark.parametrize("patients", [1, 3, 8])
def test_so_many_patients_promise_so_much_and_it_is_said(patients: int) -> None:
    rng = np.random.default_rng(1)
    known = cohort(rng, patients)
    calibration = Calibration(known, 0.95)
    made = promise(calibration, mask(rng, 99), looks=LOOKS)
    assert made.patients == patients
    assert made.overall.level == pytest.approx(patients / (patients + 1))
    said = calibration.to_json()
    assert said is not None
    assert said["highest_level"] == pytest.approx(patients / (patients + 1), abs=1e-4)


def test_a_scan_does_not_vouch_for_itself_nor_for_its_patient() -> None:
    known = cohort(np.random.default_rng(2), 5)
    made = promise(Calibration(known), known[3], scan=known[3].scan)
    assert made.patients == 4
    assert made.dice == promise(Calibration([m for m in known if m.patient != "1"]), known[3]).dice


def test_a_stranger_is_told_what_to_expect_and_nothing_that_it_has_at_least() -> None:
    rng = np.random.default_rng(3)
    known, new = cohort(rng, 8), mask(rng, 99)
    for name in LOOKS:
        made = promise(Calibration(known), new, looks={**LOOKS, name: [LOOKS[name][0] + 2.0]})
        assert made.overall.at_least == 0
        assert made.overall.expected > 0
        assert made.volume_ml["1"].low is made.volume_ml["1"].high is None
        assert any("no Dice is promised" in reason for reason in made.reasons)
    low = {"probability": {"1": 0.2, "foreground": 0.2}}
    made = Calibration(known).promise("m", {"m": low}, {"1": 10.0}, LOOKS)
    assert made is not None
    assert made.overall.at_least == 0
    assert "agrees with itself to 0.20 only" in made.reasons[0]
    assert "its Dice is expected to be" in made.reasons[-1]


def test_nothing_is_promised_without_masks_of_every_run_or_of_the_whole() -> None:
    rng = np.random.default_rng(4)
    of_a, of_whole, new = cohort(rng, 4, ["a"]), cohort(rng, 4, ["m"]), mask(rng, 99)
    agreements = dict.fromkeys("abm", new.agreement)
    assert Calibration(()).promise("m", agreements, {"1": 1.0}, LOOKS) is None
    assert Calibration(of_a).promise("m", agreements, {"1": 1.0}, LOOKS) is None
    assert Calibration(of_whole).promise("a", {"a": new.agreement}, {"1": 1.0}, LOOKS) is None
    made = Calibration([*of_a, *of_whole]).promise("m", agreements, {"1": 1.0}, LOOKS)
    assert made is not None
    assert made.patients == 4  # those of the whole


def test_the_strongest_agreement_that_both_sides_have_is_taken() -> None:
    rng = np.random.default_rng(5)
    known, new = cohort(rng, 4), mask(rng, 99)
    more = {**new.agreement, "views": new.agreement["probability"]}
    made = Calibration(known).promise("m", {"m": more}, {"1": 1.0}, LOOKS)
    assert made is not None
    assert made.agreement == "probability"
    for m in known:
        m.agreement["views"] = {"1": 0.9, "foreground": 0.9}  # type: ignore[index]
    made = Calibration(known).promise("m", {"m": more}, {"1": 1.0}, LOOKS)
    assert made is not None
    assert made.agreement == "views"


def test_an_empty_mask_has_no_range_of_volume() -> None:
    rng = np.random.default_rng(6)
    made = Calibration(cohort(rng, 4)).promise("m", {"m": mask(rng, 9).agreement}, {"1": 0.0}, LOOKS)
    assert made is not None
    assert made.volume_ml == {}
