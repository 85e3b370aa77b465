"""What an engine costs a scan and a cell, and what a second worker brings.

    OMP_NUM_THREADS=1 python benchmarks/engines_time.py [--engines local,ray,slurm] [--json]

``predict`` of few and of many small scans, and ``compare`` of few and of more cells of two steps, each with
one worker and with two: seconds to start are those of no piece, seconds a piece the slope. ``here`` is one
process that does everything itself, and the overhead of an engine (``over``) is what it takes longer for a
piece than that. The column of two workers needs two free cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from engine_places import ENGINES, compare, predict, prepare


def seconds(words: list[str], out: Path) -> float:
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    took = time.perf_counter() - began
    shutil.rmtree(out)
    return took


def line(root: Path, on: str, command: str, few: int, many: int) -> dict[str, Any]:
    """Seconds to start, and a piece."""
    out = root / "out"
    made = {
        count: predict(root, out, on, count) if command == "predict" else compare(root, out, on, count, 2)
        for count in (few, many)
    }
    took = {count: seconds(words, out) for count, words in made.items()}
    slope = (took[many] - took[few]) / (many - few)
    return {"start": round(took[few] - few * slope, 2), "piece": round(slope, 4), "all": round(took[many], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", default="local,ray,slurm")
    parser.add_argument("--scans", type=int, nargs=2, default=(32, 512))
    parser.add_argument("--cells", type=int, nargs=2, default=(2, 8))
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    counts = {"predict": given.scans, "compare": given.cells}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, max(given.scans))
        alone = {command: line(root, "local", command, *count) for command, count in counts.items()}

        def tell(engine: str, workers: int, command: str, found: dict[str, Any]) -> None:
            over = round(found["piece"] - alone[command]["piece"], 4)
            row = {"engine": engine, "workers": workers, "command": command, **found, "over": over}
            print(json.dumps(row) if given.json else row, flush=True)

        for command, found in alone.items():
            tell("here", 0, command, found)
        for engine in given.engines.split(","):
            for workers in given.workers if engine != "slurm" else (2,):  # the tests' node has two cores
                with ENGINES[engine](workers) as place:
                    for command, count in counts.items():
                        tell(engine, workers, command, line(root, place.on, command, *count))


if __name__ == "__main__":
    main()
