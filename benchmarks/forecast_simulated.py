"""How often does a forecast of the next labels hold, for learning curves that are known as they are made up?

``python benchmarks/forecast_simulated.py``: a row for some points of the curve, a column for each true curve.
With ``--json`` the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np

from semivox.forecast import Point, forecast
from semivox.forecast.curve import RUN_NOISE

Curve = Callable[[np.ndarray], np.ndarray]


def power(a: float, b: float, c: float) -> Curve:
    return lambda n: a - b * np.asarray(n, float) ** -c


def flattening(a: float, b: float, s: float) -> Curve:
    return lambda n: a - b * np.exp(-np.asarray(n) / s)


TRUTHS = {
    "power": power(0.9, 0.8, 0.9),
    "slow": power(0.95, 0.6, 0.4),
    "low": power(0.7, 1.2, 1.2),
    "flattening": flattening(0.85, 0.4, 4.0),
    "flat": power(0.8, 0.0, 1.0),
}
POINTS = (((3, 4), 6), ((4, 6), 8), ((6, 12), 16), ((4, 8, 12), 16))
"""From how many patients runs learned, and how many are labelled, each of which is measured."""
MORE = 8


def cohort(
    truth: Curve, sizes: Sequence[float], patients: int, rng: np.random.Generator, own: float = 0.03,
    run: float = RUN_NOISE, hardness: float = 0.08,
) -> list[Point]:  # fmt: skip
    """Points of one set of patients: each is easy or hard in all points, and has some luck of its ``own`` in
    each, beside that of the ``run``. Standard deviations."""
    hard = rng.normal(0, hardness, patients)
    hard -= hard.mean()
    points = []
    for n in sizes:
        dice = truth(np.array(n)) + rng.normal(0, run) + hard + rng.normal(0, own, patients)
        points.append(Point(n, {f"p{i}": float(d) for i, d in enumerate(np.clip(dice, 0, 1))}))
    return points


def tried(
    truth: Curve, sizes: Sequence[float], labeled: int, rng: np.random.Generator, cohorts: int
) -> tuple[list[bool], list[float]]:
    """Of each cohort, whether the change that is measured lay in the interval, and how wide that was."""
    held, widths = [], []
    for _ in range(cohorts):
        said = forecast(cohort(truth, sizes, labeled, rng), labeled, MORE)
        assert said is not None
        change = float(truth(np.array(labeled + MORE)) - truth(np.array(labeled)))
        held.append(said.low <= change + rng.normal(0, np.sqrt(2) * RUN_NOISE) <= said.high)
        widths.append(said.high - said.low)
    return held, widths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=60, help="of each curve and row")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = {}
    print(f"| learned from | now | held | {' | '.join(TRUTHS)} |\n|{'---|' * (3 + len(TRUTHS))}")
    for sizes, labeled in POINTS:
        rng = np.random.default_rng(7)
        held = {name: tried(truth, sizes, labeled, rng, a.cohorts)[0] for name, truth in TRUTHS.items()}
        shares = [float(np.mean(each)) for each in held.values()]
        rows[" ".join(map(str, sizes))] = dict(zip(held, shares, strict=True))
        cells = " | ".join(f"{share:.2f}" for share in (np.mean(shares), *shares))
        print(f"| {', '.join(map(str, sizes))} | {labeled} | {cells} |")
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
