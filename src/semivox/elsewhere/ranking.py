"""Scans that are measured for a ranking, here or by other processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import Case, read_case
from semivox.elsewhere.bundles import results_of
from semivox.engines import Needs, Tell
from semivox.errors import in_words
from semivox.inference import Model, load_model
from semivox.machine import freed_memory_kept
from semivox.ranking.measure import Measured, measure
from semivox.ranking.slices import SliceScores, slice_scores
from semivox.report.contact_sheet import take_snapshot


@dataclass(frozen=True)
class SeenScan:
    """What a ranking keeps of a scan: ``measured``, or the ``fault`` for which there is nothing."""

    measured: Measured | None = None
    slices: SliceScores | None = None
    fault: str = ""


def see(model: Model, case: Case, shot: Path | None) -> SeenScan:
    """Read and measure a scan; a snapshot of it is left at ``shot``. Whatever is wrong with one scan, the
    others are still wanted."""
    try:
        measured, maps = measure(model, read_case(case))
        if shot is not None:
            take_snapshot(maps.volume, maps.grid, maps.probabilities, maps.entropies).save(shot)
        return SeenScan(measured, slice_scores(maps.grid, maps.entropies) if model.plan.dims == 3 else None)
    except Exception as error:
        return SeenScan(fault=in_words(error))


def seen_here(
    model: Model,
    cases: Sequence[Case],
    shots: Mapping[str, Path],
    progress: Callable[[int, int], None] | None,
) -> dict[str, SeenScan]:
    """Each of ``cases`` by name: one scan at a time is in memory."""
    found = {}
    with freed_memory_kept():
        for done, case in enumerate(cases, 1):
            found[case.name] = see(model, case, shots.get(case.name))
            if progress is not None:
                progress(done, len(cases))
    return found


def seen_elsewhere(
    on: str,
    run: Path,
    device: str,
    threads: int | None,
    folder: Path,
    cases: Sequence[Case],
    shots: Mapping[str, Path],
    progress: Callable[[int, int], None] | None,
) -> dict[str, SeenScan]:
    """The same by the engine of ``--on``; ``folder`` is for what it writes down."""

    def plain(case: Case) -> dict[str, Any]:
        shot = shots.get(case.name)
        images = [str(path.absolute()) for path in case.images]
        return {"name": case.name, "images": images, "shot": None if shot is None else str(shot.absolute())}

    needs = Needs.of(threads, device)
    common = {"run": str(run.absolute()), "device": device, "threads": threads}
    found: dict[str, SeenScan] = {}
    for case, result in results_of(on, needs, folder, "seen", common, iter(cases), plain):
        failed = isinstance(result, Exception)
        found[case.name] = SeenScan(fault=in_words(result)) if failed else _from_plain(result)
        if progress is not None:
            progress(len(found), len(cases))
    return {case.name: found[case.name] for case in cases}


def do_see(
    tell: Tell, run: str, device: str, threads: int | None, pieces: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """In the other process."""
    model = _loaded(run, device, threads)
    with freed_memory_kept():
        return [
            _to_plain(
                see(
                    model,
                    Case(piece["name"], tuple(map(Path, piece["images"]))),
                    None if piece["shot"] is None else Path(piece["shot"]),
                )
            )
            for piece in pieces
        ]


@lru_cache(maxsize=1)
def _loaded(run: str, device: str, threads: int | None) -> Model:
    return load_model(run, device=device, weights="mean", threads=threads)


def _to_plain(seen: SeenScan) -> dict[str, Any]:
    slices, measured = seen.slices, seen.measured
    return {
        "fault": seen.fault,
        "measured": measured and {**asdict(measured), "features": measured.features.tolist()},
        "slices": slices and {"axis": slices.axis, "scores": slices.scores.tolist()},
    }


def _from_plain(told: Mapping[str, Any]) -> SeenScan:
    """Numbers are the same as before: JSON keeps all digits of a float."""
    measured, slices = told["measured"], told["slices"]
    if measured is not None:
        for name in ("missing", "by_structure"):
            measured[name] = tuple(measured[name])
        measured = Measured(**measured | {"features": np.array(measured["features"])})
    if slices is not None:
        slices = SliceScores(slices["axis"], np.array(slices["scores"]))
    return SeenScan(measured, slices, told["fault"])
