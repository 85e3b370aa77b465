"""CPU seconds of whole commands: this build's ``check``, ``predict`` and ``rank`` beside an earlier one's.

``python benchmarks/command_time.py --old SRC``: SRC is the source of the earlier build (``git worktree add
/tmp/old a3f26fa``, then ``--old /tmp/old/src``). Each command is a fresh process; user and system time count
together, medians of the turns:

* check: 5,000 made-up scans of 24 x 24 x 12 voxels, without labels and with one each (``--scans N``);
* predict: four scans of 128 x 128 x 64 voxels and twelve of 64 x 64 x 32, with a small run that the earlier
  build has trained, so that both can load it;
* rank: 1,000 made-up scans of 24 x 24 x 12 voxels, by the same run.

The builds take turns. ``--only rank`` takes the tasks whose name begins so.
``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from prepare import write_folder
from startup import cpu_of_children

HERE = Path(__file__).resolve().parents[1] / "src"


def write_scans(folder: Path, shape: tuple[int, ...], number: int, labels: int) -> Path:
    """A data folder of ``number`` scans with a bright box each, ``labels`` of them labelled."""
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, bool)
    mask[tuple(slice(n // 4, n // 2) for n in shape)] = True

    def scans() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for i in range(number):
            voxels = rng.normal(100, 20, shape).astype(np.float32)
            voxels[mask] += 100
            yield voxels, mask if i < labels else None

    return write_folder(folder, scans())


def run_semivox(compiled: Path, source: Path, *words: object) -> float:
    """CPU seconds of one command. ``check`` may find that nothing is labelled: exit code 1.

    Python keeps the modules' bytecode in ``compiled``, as it does beside an installed package.
    """
    cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(compiled)}
    environment = {**os.environ, **cached, "PYTHONPATH": str(source)}
    before = cpu_of_children()
    command = [sys.executable, "-m", "semivox", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode > (words[0] == "check"):
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr[-2000:]}")
    return cpu_of_children() - before


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--old", type=Path, metavar="SRC", required=True)
    parser.add_argument("--scans", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="", metavar="NAME")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    sources = {"new": HERE, "old": a.old.resolve()}
    with tempfile.TemporaryDirectory() as name:
        folder, run = Path(name), Path(name) / "run"
        bare = write_scans(folder / "bare", (24, 24, 12), a.scans, 0)
        drawn = write_scans(folder / "drawn", (24, 24, 12), a.scans, a.scans)
        train = write_scans(folder / "train", (64, 64, 32), 6, 4)
        large = write_scans(folder / "large", (128, 128, 64), 4, 0) / "imagesTr"
        small = write_scans(folder / "small", (64, 64, 32), 12, 0) / "imagesTr"
        many = write_scans(folder / "many", (24, 24, 12), 1000, 0)
        cpu = partial(run_semivox, folder / "compiled")
        cpu(sources["old"], "train", train, "--out", run, "--steps", 20, "--method", "supervised")
        places = (folder / f"out{i}" for i in count())
        tasks: dict[str, Any] = {
            "check, no labels": lambda source: cpu(source, "check", bare),
            "check, all labels": lambda source: cpu(source, "check", drawn),
            "predict, 4 large": lambda source: predict(source, large),
            "predict, 12 small": lambda source: predict(source, small),
            "rank, 1,000 small": lambda source: cpu(source, "rank", run, many, "--out", next(places)),
        }

        def predict(source: Path, scans: Path) -> float:
            return cpu(source, "predict", run, scans, "--out", next(places))

        result: dict[str, Any] = {"benchmark": "command_time", "scans": a.scans, "turns": a.turns}
        print(f"{'':20}{'new':>8}{'old':>8}{'new/old':>9}   CPU seconds, medians of {a.turns} turns")
        for task, work in tasks.items():
            if not task.startswith(a.only):
                continue
            laps: dict[str, list[float]] = {which: [] for which in sources}
            for turn in range(1 + a.turns):  # the first compiles the modules
                for which, source in sources.items():
                    seconds = work(source)
                    if turn:
                        laps[which].append(seconds)
            new, old = (statistics.median(laps[which]) for which in ("new", "old"))
            result[task] = {"laps": laps, "ratio": new / old}
            print(f"{task:20}{new:8.2f}{old:8.2f}{new / old:9.3f}", flush=True)
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
