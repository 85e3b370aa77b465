"""What a mask is worth without a reference: an expected Dice, one it has at least, and a range of volume.

The agreement of a mask with itself (:mod:`semivox.inference.agreement`) says that it disagrees by ``1 - s``.
On held-out scans with a label we know by how much it was truly wrong, ``1 - d``, and so how many times as
much: ``r = (1 - d) / (1 - s)``. The median of ``r`` gives the expected Dice of a new mask, ``1 - r (1 - s)``;
its conformal quantile (:mod:`semivox.inference.conformal`) the Dice that a mask has at least. The volume has
its error as a part of the mask's volume in place of ``1 - d``. Nothing is fitted, so no held-out case is
used up for that, and each promise is one-sided or symmetric: that is all that 8 labels allow.

A patient counts once, by the worst of the scans: frames of one heart are no independent evidence. What is
promised then holds for all scans of a new patient together.

It is promised to scans like the held-out ones. One that looks otherwise, or whose masks agree less than any
of them, is told an expected Dice and nothing that it has at least (Tibshirani et al., "Conformal prediction
under covariate shift", NeurIPS 2019: without overlap the interval is infinite).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from semivox.inference.agreement import KINDS, OVERALL, Agreement, Numbers
from semivox.inference.conformal import highest_level, largest, smallest
from semivox.inference.likeness import unlike
from semivox.prepare import Appearance

LEVEL = 0.8
"""What is promised if nobody asks for another level."""
LEAST = 0.01
"""Added to every ``1 - s`` and ``1 - d``: masks that agree in all are wrong now and then."""
POOR = 0.1
"""A mask is to be reviewed where its expected Dice is below that of so many of the held-out ones."""


@dataclass(frozen=True)
class HeldOutMask:
    """A mask of a scan with a label, made by a model that has not learned from the patient.

    ``agreement``: as of the model ``model_id``; ``dice``, ``volume_ml`` and ``reference_ml`` by structure,
    and ``dice`` under :data:`OVERALL` too, as far as they are known; ``scan`` identifies the scan.
    """

    case: str
    patient: str
    model_id: str
    scan: str | None
    agreement: Agreement
    dice: Mapping[str, float]
    volume_ml: Mapping[str, float]
    reference_ml: Mapping[str, float]
    appearance: Appearance


@dataclass(frozen=True)
class ExpectedDice:
    """``at_least`` holds with probability ``level``; 0 where nothing is promised."""

    expected: float
    at_least: float
    level: float


@dataclass(frozen=True)
class ExpectedVolume:
    """Millilitres, with probability ``level`` from ``low`` to ``high``; None where nothing is promised."""

    low: float | None
    high: float | None
    level: float


@dataclass(frozen=True)
class Promise:
    """Of one mask. ``dice`` by structure and under :data:`OVERALL`, ``volume_ml`` by structure; ``patients``
    that it is calibrated on; ``outside``: why the scan is not like theirs, in words; ``poor``: the Dice that
    nine tenths of their masks have, where this one is expected to have less."""

    agreement: str
    patients: int
    dice: Mapping[str, ExpectedDice]
    volume_ml: Mapping[str, ExpectedVolume]
    outside: Sequence[str] = ()
    poor: float | None = None

    @property
    def overall(self) -> ExpectedDice:
        return self.dice[OVERALL]

    @property
    def reasons(self) -> list[str]:
        """Why a person should look at the mask; none: there is no reason."""
        found = [f"no Dice is promised: {why}" for why in self.outside]
        if self.poor is not None:
            found.append(
                f"its Dice is expected to be {self.overall.expected:.2f}, "
                f"of nine tenths of the held-out masks it is above {self.poor:.2f}"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        rounded = {
            name: {
                key: {what: None if v is None else round(v, 4) for what, v in asdict(numbers).items()}
                for key, numbers in getattr(self, name).items()
            }
            for name in ("dice", "volume_ml")
        }
        return {"agreement": self.agreement, "patients": self.patients, **rounded, "outside": [*self.outside]}


@dataclass(frozen=True)
class Calibration:
    """Held-out masks that tell what agreement means. ``level`` is what is asked for; where the patients are
    too few for it, what they can promise at most is promised."""

    masks: Sequence[HeldOutMask]
    level: float = LEVEL

    @cached_property
    def patients(self) -> int:
        return len({mask.patient for mask in self.masks})

    @property
    def promised(self) -> float:
        """The level that is promised: the one asked for, or the highest that there can be."""
        return min(self.level, highest_level(self.patients))

    def to_json(self) -> dict[str, Any] | None:
        """What a reader of many promises has to know; None where there are none."""
        if not self.masks:
            return None
        return {
            "patients": self.patients,
            "masks": len(self.masks),
            "level_asked": self.level,
            "level": round(self.promised, 4),
            "highest_level": round(highest_level(self.patients), 4),
        }

    def promise(
        self,
        model_id: str,
        agreements: Mapping[str, Agreement],
        volume_ml: Mapping[str, float | None],
        looks: Appearance,
        scan: str | None = None,
    ) -> Promise | None:
        """Of one mask; None where nothing can be said.

        Parameters
        ----------
        model_id, agreements
            What made the mask, and the agreement under its id and under that of every run of it.
        volume_ml
            Of each structure; None where nobody knows it.
        looks
            The scan's :func:`semivox.prepare.appearance`.
        scan
            Identifies it. What is held out of its patient does not count for itself.
        """
        own = {mask.patient for mask in self.masks if scan is not None and mask.scan == scan}
        known = _of_model([mask for mask in self.masks if mask.patient not in own], model_id, agreements)
        kind = _kind(known, agreements)
        if kind is None:
            return None
        pairs = [(m, m.agreement[kind], agreements[m.model_id][kind]) for m in known]
        dice, volumes = {}, {}
        for key in pairs[0][2]:
            rows = [(m, then[key], now[key]) for m, then, now in pairs if key in m.dice and key in then]
            if rows:
                dice[key] = _dice(rows, key, self.level)
            rows, volume = [row for row in rows if key in row[0].reference_ml], volume_ml.get(key)
            if rows and volume:
                volumes[key] = _volume(rows, key, volume, self.level)
        if OVERALL not in dice:
            return None
        if outside := _outside(looks, pairs):
            dice = {key: replace(each, at_least=0.0) for key, each in dice.items()}
            volumes = {key: replace(each, low=None, high=None) for key, each in volumes.items()}
        usual = float(np.quantile([m.dice[OVERALL] for m in known if OVERALL in m.dice], POOR))
        poor = usual if dice[OVERALL].expected < usual else None
        return Promise(kind, len({m.patient for m in known}), dice, volumes, outside, poor)


UNCALIBRATED = Calibration(())
"""Where nothing is held out: no promise is made."""


def _kind(masks: Sequence[HeldOutMask], agreements: Mapping[str, Agreement]) -> str | None:
    """The strongest kind of agreement that all masks have, and the new one too; None without any."""
    both = [{*mask.agreement} & {*agreements[mask.model_id]} for mask in masks]
    return next((kind for kind in KINDS if both and all(kind in kinds for kinds in both)), None)


def _of_model(
    masks: Sequence[HeldOutMask], model_id: str, agreements: Mapping[str, Agreement]
) -> list[HeldOutMask]:
    """Masks that the whole model made; without any, those of its runs, if there are some of each."""
    whole = [mask for mask in masks if mask.model_id == model_id]
    if whole:
        return whole
    runs = set(agreements) - {model_id}
    of_runs = [mask for mask in masks if mask.model_id in runs]
    return of_runs if {mask.model_id for mask in of_runs} == runs else []


def _outside(looks: Appearance, pairs: Sequence[tuple[HeldOutMask, Numbers, Numbers]]) -> list[str]:
    found = unlike(looks, [m.appearance for m, _, _ in pairs], [m.patient for m, _, _ in pairs])
    now, lowest = (
        np.median([of_scan[OVERALL] for _, _, of_scan in pairs]),
        min(then[OVERALL] for _, then, _ in pairs),
    )
    if now < lowest:
        found.append(f"it agrees with itself to {now:.2f} only, held-out masks to {lowest:.2f} or more")
    return found


Rows = Sequence[tuple[HeldOutMask, float, float]]
"""A held-out mask, its agreement, and what the same model's agreement is on the new scan."""


def _dice(rows: Rows, key: str, level: float) -> ExpectedDice:
    each: dict[str, list[float]] = defaultdict(list)
    for mask, then, now in rows:
        ratio = (1 - mask.dice[key] + LEAST) / (1 - then + LEAST)
        each[mask.patient].append(min(1.0, max(0.0, 1 + LEAST - ratio * (1 - now + LEAST))))
    worst = np.array([min(found) for found in each.values()])
    reached = min(level, highest_level(len(worst)))
    expected = float(np.median([np.median(found) for found in each.values()]))
    return ExpectedDice(expected, max(0.0, smallest(worst, reached)), reached)


def _volume(rows: Rows, key: str, volume: float, level: float) -> ExpectedVolume:
    each: dict[str, list[float]] = defaultdict(list)
    for mask, then, now in rows:
        size = max(mask.volume_ml[key], mask.reference_ml[key])
        error = abs(mask.volume_ml[key] - mask.reference_ml[key]) / size if size else 0.0
        each[mask.patient].append(error / (1 - then + LEAST) * (1 - now + LEAST))
    worst = np.array([max(found) for found in each.values()])
    reached = min(level, highest_level(len(worst)))
    share = largest(worst, reached)
    # |v - t| <= share x max(v, t), solved for the true volume t
    return ExpectedVolume(volume * max(0.0, 1 - share), volume / (1 - share) if share < 1 else None, reached)
