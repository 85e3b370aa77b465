"""Workers, nodes and the process that was asked are killed at random: is anything lost, done twice or unlike?

    OMP_NUM_THREADS=1 python benchmarks/faults_survived.py [--engines local,ray,slurm] [--kills 20] [--json]

``predict`` of many scans and ``compare`` of some cells, on each engine, until so many kills (SIGKILL) hit
a command at work. A node of Ray is killed and another one joins; a node of Slurm is set down and comes back.
Where the command itself is killed it is given again, and so where it tells that a piece was given up, as one
whose workers died three times is. Then its files are compared with those of one undisturbed process: masks,
weights and cases byte for byte, rows but for their seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from engine_places import ENGINES, Place, compare, predict, prepare

WAIT = (2.0, 10.0)
"""Seconds between two kills: some hit a worker that has just been started."""
LIMIT = 600.0
"""Seconds in which a command that nobody kills any more has ended."""
DRAW = random.Random(0)


def of_predict(out: Path) -> dict[str, Any]:
    rows = json.loads((out / "predictions.json").read_text())["cases"]
    masks = {path.name: path.read_bytes() for path in sorted(out.glob("*.nii.gz"))}
    return {**masks, **{f"row {row['case']}": {**row, "seconds": 0} for row in rows}}


def of_compare(out: Path) -> dict[str, Any]:
    weights = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("model.safetensors"))}
    return {**weights, "cases.csv": (out / "cases.csv").read_bytes()}


def pieces(out: Path) -> list[str]:
    """Of either command by name, as often as they are on record."""
    if (out / "predictions.json").is_file():
        return [row["case"] for row in json.loads((out / "predictions.json").read_text())["cases"]]
    cells = json.loads((out / "comparison.json").read_text())["cells"]
    return [cell["folder"] for cell in cells if cell["state"] == "finished"]


def disturbed(place: Place, words: list[str], most: int) -> tuple[Counter[str], bool]:
    """Run the command to its end; returns what was killed meanwhile, and whether it told of a failure."""
    killed: Counter[str] = Counter()
    kinds = ["worker", "driver", *(["node"] if place.lose_a_node else [])]
    command = _start(words)
    began = time.monotonic()
    while command.poll() is None:
        try:
            command.wait(DRAW.uniform(*WAIT) if sum(killed.values()) < most else LIMIT)
        except subprocess.TimeoutExpired:
            if time.monotonic() - began > LIMIT + 60 * most:
                raise
        if command.poll() is None and sum(killed.values()) < most:
            workers = place.workers(psutil.Process(command.pid))
            if not workers:
                continue  # nothing is at work yet
            kind = DRAW.choice(kinds)
            if kind == "driver":
                command.kill()
                command.wait()
                command = _start(words)
            elif kind == "node":
                assert place.lose_a_node is not None
                place.lose_a_node()
            else:
                DRAW.choice(workers).kill()
            killed[kind] += 1
    if command.returncode not in (0, 3):
        assert command.stderr is not None
        raise RuntimeError(command.stderr.read()[-2000:])
    return killed, command.returncode == 3


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def survived(
    name: str, place: Place, root: Path, words: Callable[[Path, str], list[str]], wanted: Path, kills: int
) -> dict[str, Any]:
    """One row of the table."""
    content = of_predict if (wanted / "predictions.json").is_file() else of_compare
    expected, names = content(wanted), pieces(wanted)
    killed, row = Counter[str](), Counter[str]()
    began = time.monotonic()
    while sum(killed.values()) < kills:
        out = root / "out"
        hits, failed = disturbed(place, words(out, place.on), kills - sum(killed.values()))
        killed += hits
        if failed:
            row["given up"] += len(set(names) - set(pieces(out)))
            disturbed(place, words(out, place.on), 0)
        found, there = content(out), pieces(out)
        row["calls"] += 1
        row["pieces"] += len(names)
        row["lost"] += len(set(names) - set(there))
        row["twice"] += len(there) - len(set(there))
        row["unlike"] += sum(found.get(key) != value for key, value in expected.items())
        row["more files"] += len(set(found) - set(expected))
        shutil.rmtree(out)
    kinds = {f"killed {kind}s": killed[kind] for kind in ("worker", "node", "driver")}
    counts = {
        key: row[key] for key in ("calls", "pieces", "given up", "lost", "twice", "unlike", "more files")
    }
    return {"what": name, **kinds, **counts, "seconds": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", default="local,ray,slurm")
    parser.add_argument("--commands", default="predict,compare")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--scans", type=int, default=400)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(root, given.scans)
        all_words: dict[str, Callable[[Path, str], list[str]]] = {
            "predict": lambda out, on: predict(root, out, on),
            "compare": lambda out, on: compare(root, out, on, given.cells, given.steps),
        }
        for command in given.commands.split(","):
            subprocess.run(all_words[command](root / command, "local"), check=True, capture_output=True)
        for engine in given.engines.split(","):
            with ENGINES[engine]() as place:
                for command in given.commands.split(","):
                    name, wanted = f"{command} --on {engine}", root / command
                    row = survived(name, place, root, all_words[command], wanted, given.kills)
                    told = ", ".join(f"{value} {key}" for key, value in row.items() if key != "what")
                    print(json.dumps(row) if given.json else f"{row['what']}: {told}", flush=True)


if __name__ == "__main__":
    main()
