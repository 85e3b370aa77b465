"""A learning curve through few points, and what it says of the next labels, with how sure it is.

A point is a mean Dice over held-out patients, of runs that learned from n labelled ones. Two or three points
fix no curve, so no single one is fitted. Every curve of two families counts by how well it fits:

* power laws ``a - b n^-c``, which learning curves mostly follow (Viering and Loog, "The shape of learning
  curves", TPAMI 2023);
* exponentials ``a - b exp(-n / s)``, which flatten sooner.

``b`` is not negative and the asymptote ``a`` at most 1, for no Dice is larger. A curve is laid down by its
shape (c or s), its height at the largest n and its rise from the smallest n to that; all three stand on a
grid, equally likely beforehand. The points are compared as differences over the patients that they share, so
that easy and hard patients drop out; with few patients their errors have the heavy tails of Student's t. To
that comes what two trainings on equal data differ by. The interval is one of the change that somebody
measures who trains again, so it holds that too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.8
"""How often the measured change is to lie in the interval."""
RUN_NOISE = 0.01
"""Standard deviation of the mean Dice between trainings that differ by their seed alone."""
WORTH = 0.01
"""Dice: labels that bring less than this are not told from another seed."""
POWERS, SCALES = np.geomspace(0.1, 3.0, 16), np.geomspace(0.5, 4.0, 8)
"""``c``; and ``s`` in units of the largest n."""
RISES, HEIGHTS = 81, 7
"""Points of the grid along each."""
NOISE = np.array([NormalDist().inv_cdf((i + 0.5) / 15) for i in range(15)])
Shape = Callable[[np.ndarray], np.ndarray]
FEWEST = 2
"""Patients that two points must share."""


@dataclass(frozen=True)
class Point:
    """``patients``: from how many labelled ones each of ``runs`` learned; ``dice`` of each patient that they
    did not see; ``name``: where it comes from."""

    patients: float
    dice: Mapping[str, float]
    runs: int = 1
    name: str = ""


@dataclass(frozen=True)
class Forecast:
    """What ``more`` labelled patients beside ``labeled`` will bring.

    ``change``: of the mean Dice; ``low`` to ``high``: where the change that is measured by training again
    lies, with probability ``level``; ``at_most``: of the change itself, without the luck of a training;
    ``dice``: then reached. ``points``: (patients learned from, mean Dice), by number of patients.
    """

    labeled: int
    more: int
    change: float
    low: float
    high: float
    at_most: float
    dice: float
    level: float
    points: tuple[tuple[float, float], ...]

    @property
    def is_enough(self) -> bool:
        """Whether further labels would hardly show."""
        return self.at_most < WORTH

    @property
    def sentence(self) -> str:
        """For people."""
        said = (
            f"{self.more} more labelled patients are expected to bring {self.change:+.3f} Dice "
            f"[{self.low:+.3f}, {self.high:+.3f}], to about {self.dice:.2f}"
        )
        if self.is_enough:
            return f"{said}: another seed changes as much, so you may stop"
        if self.change < WORTH:
            return f"{said}: perhaps nothing that shows"
        return f"{said}: drawing on should pay" if self.low > 0 else f"{said}: drawing on may pay"

    def to_json(self) -> dict[str, Any]:
        """For ``ranking.json``, with the sentences."""
        numbers = {k: round(v, 5) if isinstance(v, float) else v for k, v in vars(self).items()}
        points = [{"patients": round(n, 2), "dice": round(dice, 5)} for n, dice in self.points]
        return {
            **numbers,
            "points": points,
            "enough": self.is_enough,
            "sentence": self.sentence,
            "caveat": self.caveat,
        }

    @property
    def caveat(self) -> str | None:
        """What a reader must know of a curve of few points."""
        found = ", ".join(f"{dice:.3f} from {n:.3g}" for n, dice in self.points)
        far = (self.labeled + self.more) / self.points[-1][0]
        if len(self.points) > 3 and far <= 2:
            return None
        return (
            f"the curve rests on {len(self.points)} points ({found} labelled patients) and goes on to "
            f"{far:.1f} times as many"
        )


def forecast(
    points: Sequence[Point], labeled: int, more: int, *, level: float = LEVEL, run_noise: float = RUN_NOISE
) -> Forecast | None:
    """The change of Dice from ``labeled`` to ``labeled + more`` patients, or None where fewer than two points
    of different size share patients.

    The point with most patients is what the others are held against; one that shares no two patients with it
    is left out.
    """
    ordered = sorted((p for p in points if len(p.dice) >= FEWEST), key=lambda p: p.patients)
    last = ordered[-1] if ordered else None
    others = [p for p in ordered[:-1] if last and len({*p.dice} & {*last.dice}) >= FEWEST]
    if last is None or not any(p.patients < last.patients for p in others):
        return None
    height = float(np.mean([*last.dice.values()]))
    steps, spread = _differences(last, others, run_noise)
    sizes = np.array([p.patients for p in others])
    shapes = _shapes(sizes.min(), last.patients)
    # of every shape what share of its rise is missing at n: 1 at the smallest point, 0 at the largest
    missing = [shape(np.array([*sizes, labeled, labeled + more, np.inf])) for shape in shapes]
    w = np.array(missing)[:, None, None]  # (shapes, 1, 1, n)
    widest = float(np.sqrt(spread.diagonal().max()))
    rise = np.linspace(0.0, max(0.0, float(-steps.min())) + 6 * widest, RISES)[None, :, None]
    sd = float(np.hypot(np.std([*last.dice.values()], ddof=1) / np.sqrt(len(last.dice)), run_noise))
    top = np.clip(height + sd * np.linspace(-2, 2, HEIGHTS), 0.0, 1.0)[None, None, :]
    of_shape = steps + rise[..., None] * w[..., : len(others)]
    misfit = np.einsum("...i,ij,...j->...", of_shape, np.linalg.inv(spread), of_shape)
    freedom = min(len({*p.dice} & {*last.dice}) for p in others) - 1
    density = (1 + misfit / freedom) ** (-(freedom + len(others)) / 2)
    density = density * (1 + ((top - height) / sd) ** 2 / freedom) ** (-(freedom + 1) / 2)
    possible = (top - rise * w[..., -1] <= 1) & (top >= rise)
    weights = np.where(possible, density, 0.0)
    now, then = (np.broadcast_to(top - rise * w[..., i], weights.shape) for i in (-3, -2))
    gain = (then - now)[weights > 0]
    weights = weights[weights > 0]
    measured = (gain[:, None] + np.sqrt(2) * run_noise * NOISE).ravel()
    low, high = _quantiles(measured, np.repeat(weights, len(NOISE)), [(1 - level) / 2, (1 + level) / 2])
    change, at_most = _quantiles(gain, weights, [0.5, (1 + level) / 2])
    reached = float(np.average(then[np.where(possible, density, 0.0) > 0], weights=weights))
    listed = [*((p.patients, height + step) for p, step in zip(others, steps, strict=True))]
    found = tuple((float(n), float(dice)) for n, dice in [*listed, (last.patients, height)])
    return Forecast(labeled, more, change, low, high, at_most, reached, level, found)


def _differences(last: Point, others: Sequence[Point], run_noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each point its mean minus the last one's over their common patients, ``(P,)``, and the covariance of
    these numbers, ``(P, P)``."""
    patients = sorted(last.dice)
    apart = np.array([[p.dice.get(name, np.nan) - last.dice[name] for name in patients] for p in others])
    there = ~np.isnan(apart)
    counts = there.sum(1)
    mean = np.where(there, apart, 0.0).sum(1) / counts
    off = np.where(there, apart - mean[:, None], 0.0)
    both = there.astype(float) @ there.T
    spread = off @ off.T / np.outer(counts, counts) * both / np.maximum(both - 1, 1)
    own = run_noise**2 * np.diag([1 / p.runs for p in others])
    floor = 1e-12 * np.eye(len(others))
    return mean, spread + own + run_noise**2 / last.runs + floor


def _shapes(first: float, last: float) -> list[Shape]:
    """Of each curve the share of its rise from ``first`` to ``last`` that is missing at n."""

    def of(decay: Shape) -> Shape:
        start, end = decay(np.array(first)), decay(np.array(last))
        return lambda n: (decay(n) - end) / (start - end)

    return [*(of(partial(_power, c)) for c in POWERS), *(of(partial(_exponential, s * last)) for s in SCALES)]


def _power(c: float, n: np.ndarray) -> np.ndarray:
    return np.asarray(n.astype(float) ** -c)


def _exponential(scale: float, n: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-n / scale))


def _quantiles(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> list[float]:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    places = np.searchsorted(cumulated, np.array(levels) * cumulated[-1])
    return [float(values[order[min(place, len(order) - 1)]]) for place in places]
