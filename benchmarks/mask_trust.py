"""Does what a mask is said to be worth hold? On held-out scans, and on copies of them that were spoiled.

``python benchmarks/mask_trust.py RUN [RUN ...] --data DATA --out FILE.jsonl``: every labelled case of DATA,
as it is and under each shift (other contrast, noise, blur, half of the scan, other voxels), goes through
the runs (folders of ``train --folds``, or runs with ``--calibrate-with``, as for ``predict``). A line of
FILE is a case under a shift: its true Dice and volume, and what each kind of agreement promised. Lines that
FILE has already are not made again, so the command can be stopped and repeated; ``--part 1/4`` makes every
fourth, so that others make the rest side by side, and no summary. At the end stands the
summary: how often the promised Dice and volume held, the rank correlation of expected with true Dice, and
the area under the curve with which masks below the 10th percentile of the held-out ones are told from the
others, beside that of the flag as it was without promises. With ``--json`` the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

from semivox.cohort import Case, Cohort, Volume, load_cohort, read_case, read_label
from semivox.errors import SettingsError
from semivox.evaluation import case_metrics, case_value
from semivox.inference import load_ensemble
from semivox.inference.agreement import KINDS, OVERALL
from semivox.inference.predictor import Predictor
from semivox.inference.promise import POOR, Calibration, HeldOutMask
from semivox.inference.ranges import departures
from semivox.prepare import appearance
from semivox.randomness import Key
from semivox.runs.held_out_masks import held_out_masks

Shift = Callable[[Volume, Volume], tuple[Volume, Volume]]
"""Scan and label -> the same, spoiled."""
AS_IT_IS = "none"


def intensities(change: Callable[[np.ndarray], np.ndarray]) -> Shift:
    """A change of each channel's intensities."""

    def spoil(scan: Volume, label: Volume) -> tuple[Volume, Volume]:
        return replace(scan, array=np.stack([change(c.astype(np.float32)) for c in scan.array])), label

    return spoil


def gamma(power: float) -> Shift:
    def change(x: np.ndarray) -> np.ndarray:
        low, high = float(x.min()), float(x.max())
        return ((x - low) / max(high - low, 1e-6)) ** power * (high - low) + low

    return intensities(change)


def noise(share: float) -> Shift:
    def change(x: np.ndarray) -> np.ndarray:
        drawn = (Key(0) / "mask trust" / "noise").numpy().normal(0, share * float(x.std()), x.shape)
        return x + drawn.astype(np.float32)

    return intensities(change)


def blur(voxels: float) -> Shift:
    return intensities(lambda x: ndimage.gaussian_filter(x, (voxels, voxels, *(0,) * (x.ndim - 2))))


def half(scan: Volume, label: Volume) -> tuple[Volume, Volume]:
    """The first half along the last axis."""
    keep = (..., slice(0, max(1, scan.shape[-1] // 2)))
    return replace(scan, array=scan.array[keep]), replace(label, array=label.array[keep])


def coarser(factor: float) -> Shift:
    """Voxels that are larger by a factor along the first two axes."""

    def spoil(scan: Volume, label: Volume) -> tuple[Volume, Volume]:
        def fewer(volume: Volume, order: int) -> Volume:
            kept = [max(1, round(n / factor)) if a < 2 else n for a, n in enumerate(volume.shape)]
            zooms = [k / n for k, n in zip(kept, volume.shape, strict=True)]
            arrays = [
                ndimage.zoom(c, zooms, order=order, grid_mode=True, mode="nearest") for c in volume.array
            ]
            scaled = volume.affine.copy()
            scaled[:3, : volume.dims] /= zooms
            return replace(volume, array=np.stack(arrays), affine=scaled)

        return fewer(scan, 1), fewer(label, 0)

    return spoil


SHIFTS: Mapping[str, Shift] = {
    AS_IT_IS: lambda scan, label: (scan, label),
    "gamma 0.5": gamma(0.5),
    "gamma 2": gamma(2.0),
    "noise 0.3": noise(0.3),
    "noise 0.7": noise(0.7),
    "blur 1.5": blur(1.5),
    "blur 3": blur(3.0),
    "half": half,
    "voxels x2": coarser(2.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--calibrate-with")
    parser.add_argument("--level", type=float, default=0.8)
    parser.add_argument("--tta", action="store_true")
    parser.add_argument("--cases", type=int, help="the first so many")
    parser.add_argument("--shifts", nargs="*", default=list(SHIFTS), choices=list(SHIFTS))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", metavar="I/N", type=part, help="of the lines that lack; no summary")
    parser.add_argument("--summary", action="store_true", help="of the lines that are there; make none")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    model = load_ensemble(a.runs, device=a.device, threads=a.threads, tta=a.tta)
    masks = held_out_masks(a.runs, model, a.calibrate_with)
    if not masks:
        raise SettingsError("these runs hold no measured masks", remedy="give --calibrate-with")
    cohort = load_cohort(a.data)
    cases = [case for case in cohort.cases if case.label is not None][: a.cases]
    asked = {"model_id": model.model_id, "level": a.level, "tta": a.tta, "masks": len(masks)}
    rows = kept(a.out, asked)
    done = {(row["case"], row["shift"]) for row in rows}
    left = [(shift, case) for shift in a.shifts for case in cases if (case.name, shift) not in done]
    first, step = a.part or (1, 1)
    for shift, case in [] if a.summary else left[first - 1 :: step]:
        row = {**asked, **measured(model, cohort, case, shift, masks, a.level)}
        with a.out.open("ab", buffering=0) as file:  # whole lines, whoever else writes
            file.write((json.dumps(row) + "\n").encode())
        rows.append(row)
        print(f"{len(rows)}/{len(cases) * len(a.shifts)} {shift} {case.name}", flush=True)
    if a.part is not None:
        return
    if not rows:
        print("no mask is measured yet")
        return
    floor = float(np.quantile([mask.dice[OVERALL] for mask in masks if OVERALL in mask.dice], POOR))
    result = {**asked, "patients": len({m.patient for m in masks}), "floor": floor, **summary(rows, floor)}
    print(table(result))
    if a.json:
        print(json.dumps(result))


def part(text: str) -> tuple[int, int]:
    """``2/4`` -> the second of every four."""
    first, step = map(int, text.split("/"))
    if not 1 <= first <= step:
        raise ValueError(text)
    return first, step


def kept(path: Path, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines that are there; those of another request are refused."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    for row in rows:
        if {name: row.get(name) for name in asked} != asked:
            raise SettingsError(
                "this file belongs to another request", path=path, found={n: row.get(n) for n in asked},
                expected=asked, remedy="choose another --out",
            )  # fmt: skip
    return rows


def measured(
    model: Predictor, cohort: Cohort, case: Case, shift: str, masks: Sequence[HeldOutMask], level: float
) -> dict[str, Any]:
    """One case under a shift: the truth, and what was promised by each kind of agreement."""
    scan = read_case(case)
    scan, label = SHIFTS[shift](scan, read_label(case.label or "", scan, regions=cohort.regions))
    found = model.predict(scan)
    values, parts = sorted(cohort.structures), cohort.regions.parts
    spacing = scan.spacing_mm if model.card["spacing_known"] and cohort.spacing_known else None
    scores = case_metrics(
        found.mask,
        label.array[0],
        values,
        spacing,
        ignore=cohort.ignore,
        annotated=case.annotated,
        parts=parts,
    )
    by_name = {str(value): row for value, row in scores.items()}
    sizes = {str(value): ml for value, ml in found.volume_ml.items()}
    errors = {key: row["volume_error_ml"] for key, row in by_name.items()}
    looks, training = appearance(scan, model.plan.channels), model.card.get("training")
    promises = {}
    for kind in (None, *KINDS):
        made = Calibration(of_kind(masks, kind), level).promise(
            model.model_id, found.agreements, sizes, looks
        )
        if made is not None:
            promises[kind or "taken"] = {**made.to_json(), "reasons": made.reasons}
    return {
        "case": case.name,
        "patient": case.group,
        "shift": shift,
        "dice": {**{key: row["dice"] for key, row in by_name.items()}, OVERALL: case_value(by_name, "dice")},
        "reference_ml": {
            key: ml - error
            for key, ml in sizes.items()
            if ml is not None and (error := errors.get(key)) is not None
        },
        "entropy": found.mean_entropy,
        "departures": departures(found, training, tuple(model.card["may_be_empty"])),
        "promises": promises,
    }


def of_kind(masks: Sequence[HeldOutMask], kind: str | None) -> list[HeldOutMask]:
    if kind is None:
        return list(masks)
    return [replace(m, agreement={k: v for k, v in m.agreement.items() if k == kind}) for m in masks]


def summary(rows: Sequence[Mapping[str, Any]], floor: float) -> dict[str, Any]:
    """By shift, and of all and all shifted together; by kind of agreement."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["shift"]].append(row)
        groups["all"].append(row)
        if row["shift"] != AS_IT_IS:
            groups["all shifted"].append(row)
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["promises"]))
    return {"groups": {n: {k: judged(g, k, floor) for k in kinds} for n, g in groups.items()}}


def judged(rows: Sequence[Mapping[str, Any]], kind: str, floor: float) -> dict[str, float | None]:
    """The numbers of one group and kind. Of the patients that something was promised of, one is covered if
    all its scans have what was promised."""
    rows = [row for row in rows if kind in row["promises"]]
    said = [row["promises"][kind] for row in rows]
    true = np.array([row["dice"][OVERALL] for row in rows])
    expected, least = (
        np.array([s["dice"][OVERALL][name] for s in said]) for name in ("expected", "at_least")
    )
    bad = true < floor
    before, now = (
        np.array([bool(r) for r in found])
        for found in ([row["departures"] for row in rows], [s["reasons"] for s in said])
    )
    return {
        "masks": len(rows),
        "dice": float(true.mean()),
        "covered": share_of_patients(rows, least > 0, least <= true + 1e-9),
        "level": said[0]["dice"][OVERALL]["level"],
        "volumes covered": volumes_covered(rows, said),
        "promised": float((least > 0).mean()),
        "at least": float(least[least > 0].mean()) if (least > 0).any() else None,
        "error of expected": float(np.abs(expected - true).mean()),
        "rank correlation": float(stats.spearmanr(expected, true)[0])
        if np.ptp(expected) and np.ptp(true)
        else None,
        "below the floor": int(bad.sum()),
        "auc expected": auc(-expected, bad),
        "auc least and expected": auc(-least - 1e-3 * expected, bad),
        "auc entropy": auc(np.array([row["entropy"] for row in rows]), bad),
        "auc flag before": auc(before.astype(float), bad),
        "auc flag now": auc((before | now).astype(float), bad),
    }


def share_of_patients(
    rows: Sequence[Mapping[str, Any]], promised: np.ndarray, held: np.ndarray
) -> float | None:
    of: dict[tuple[str, str], bool] = {}
    for row, said, well in zip(rows, promised, held, strict=True):
        key = (row["patient"], row["shift"])
        if said:
            of[key] = of.get(key, True) and bool(well)
    return float(np.mean(list(of.values()))) if of else None


def volumes_covered(rows: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the volumes that a range was told of, the share that lies in it."""
    held = [
        limits["low"] <= row["reference_ml"][key] <= (np.inf if limits["high"] is None else limits["high"])
        for row, promise in zip(rows, said, strict=True)
        for key, limits in promise["volume_ml"].items()
        if limits["low"] is not None and key in row["reference_ml"]
    ]
    return float(np.mean(held)) if held else None


def auc(scores: np.ndarray, bad: np.ndarray) -> float | None:
    """Area under the curve: how often a bad mask scores higher than a good one; ties count half."""
    if bad.all() or not bad.any():
        return None
    ranks = stats.rankdata(scores)
    n, m = int(bad.sum()), int((~bad).sum())
    return float((ranks[bad].sum() - n * (n + 1) / 2) / (n * m))


def table(result: Mapping[str, Any]) -> str:
    columns = [
        "masks", "dice", "covered", "volumes covered", "promised", "at least", "error of expected",
        "rank correlation", "below the floor", "auc expected", "auc entropy", "auc flag before",
        "auc flag now",
    ]  # fmt: skip
    lines = [
        f"level {result['level']}, {result['masks']} held-out masks of {result['patients']} patients, "
        f"floor {result['floor']:.3f}",
        "",
        f"| shift | agreement | {' | '.join(columns)} |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for shift, kinds in result["groups"].items():
        for kind, numbers in kinds.items():
            cells = (shown(numbers[name]) for name in columns)
            lines.append(f"| {shift} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    main()
