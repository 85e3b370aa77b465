"""From measured scans to their order, places, nearest labelled scans and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from semivox.errors import SettingsError
from semivox.ranking.measure import Measured
from semivox.ranking.rank import rank_scans


def of(entropy: float, apart: float | None, *features: float, missing: tuple[int, ...] = ()) -> Measured:
    return Measured(entropy, apart, missing, np.array(features))


SCANS = {
    "a": of(0.5, 0.01, 0.0, 0.0),
    "b": of(0.2, 0.04, 3.0, 0.0),
    "c": of(0.3, 0.02, 0.0, 9.0),
    "d": of(0.1, 0.03, 1.0, 1.0),
}
LABELED = {"x": of(0.1, 0.0, 0.0, 0.0), "y": of(0.1, 0.0, 4.0, 0.0)}
PATIENTS = {name: name for name in SCANS}


def ranked(scans=SCANS, labeled=LABELED, patients=PATIENTS, known=(), top=2, score="combined", **options):
    return rank_scans(
        scans, labeled, patients, known, {1: "liver", 2: "spleen"}, top=top, score=score, **options
    )


def test_one_measure_orders_by_its_size() -> None:
    assert [row.case for row in ranked(score="entropy")] == list("acbd")
    assert [row.case for row in ranked(score="disagreement")] == list("bdca")
    rows = ranked(score="distance")
    assert rows[0].case == "c"
    assert [row.rank for row in rows] == [1, 2, 3, 4]
    assert [row.score for row in rows] == [1, 0.75, 0.5, 0.25]


def test_distance_and_nearest_against_all_pairs() -> None:
    table = np.array([m.features for m in (*SCANS.values(), *LABELED.values())])
    z = (table - table.mean(0)) / table.std(0)
    apart = np.sqrt(((z[:4, None] - z[None, 4:]) ** 2).mean(-1))
    for row in ranked():
        i = "abcd".index(row.case)
        assert row.distance == pytest.approx(apart[i].min(), abs=1e-12)
        assert row.nearest == "xy"[apart[i].argmin()]
    assert {row.case: row.distance for row in ranked()}["a"] == 0


def test_the_combined_score_is_the_mean_place() -> None:
    by_hand = {}
    rows = ranked()
    for row in rows:
        places = []
        for what in ("entropy", "disagreement", "distance"):
            own = getattr(row, what)
            places.append(sum(getattr(other, what) <= own for other in rows) / 4)
        by_hand[row.case] = sum(places) / 3
    assert {row.case: row.score for row in rows} == pytest.approx(by_hand)
    assert [row.score for row in rows] == sorted(by_hand.values(), reverse=True)


def test_what_cannot_be_measured_is_left_out_or_refused() -> None:
    single = {name: of(m.entropy, None, *m.features) for name, m in SCANS.items()}
    rows = ranked(single, {})
    assert [row.case for row in rows] == list("acbd")  # entropy alone
    assert all(row.disagreement is row.distance is row.nearest is None for row in rows)
    with pytest.raises(SettingsError, match=r"by disagreement; found the model has one network"):
        ranked(single, score="disagreement")
    with pytest.raises(SettingsError, match=r"by distance; found no labelled scan.*--labeled"):
        ranked(labeled={}, score="distance")


def test_missing_classes_come_before_any_entropy() -> None:
    scans = {
        **SCANS,
        "e": of(0.01, 0.0, 0.0, 0.0, missing=(1, 2)),
        "f": of(0.02, 0.0, 0.0, 0.0, missing=(2,)),
    }
    rows = ranked(scans, patients={name: name for name in scans}, score="entropy")
    assert [row.case for row in rows] == list("efacbd")
    assert rows[0].entropy == 0.01
    assert rows[0].reason.startswith("nothing found of liver and spleen, which every labelled scan has")
    assert "uncertain" not in rows[0].reason


def test_reasons_in_words() -> None:
    rows = {row.case: row for row in ranked()}
    assert rows["a"].reason == "uncertain (entropy in the top 25 %)"
    assert rows["b"].reason == "the networks agree least (top 25 %)"
    assert rows["c"].reason == "unlike any labelled scan (top 25 %; nearest: x)"
    assert rows["d"].reason == (
        "no single measure stands out (ranks: entropy 4 of 4, disagreement 2 of 4, distance 2 of 4)"
    )
    patient = {row.case: row for row in ranked(patients={**PATIENTS, "a": "p"}, known={"p"})}
    assert patient["a"].reason.endswith(", another scan of this patient is labelled")


def test_a_measure_that_is_the_same_everywhere_is_no_reason() -> None:
    alike = {name: of(m.entropy, 0.25, *m.features) for name, m in SCANS.items()}
    assert not any("agree least" in row.reason for row in ranked(alike))


def test_the_choice_is_numbered_and_keeps_patients_apart() -> None:
    rows = ranked(patients={"a": "p", "b": "p", "c": "q", "d": "r"}, top=3)
    chosen = sorted((row for row in rows if row.chosen), key=lambda row: row.chosen)
    assert [row.chosen for row in chosen] == [1, 2, 3]
    assert {row.patient for row in chosen} == {"p", "q", "r"}
    assert len([row for row in ranked(top=9) if row.chosen]) == 4


def test_the_order_of_the_scans_does_not_matter() -> None:
    backwards = dict(reversed(SCANS.items()))
    assert ranked(backwards, dict(reversed(LABELED.items()))) == ranked()
