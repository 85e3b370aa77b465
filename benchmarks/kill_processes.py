"""Real processes are killed at random moments; the same command, given again, must leave the same files.

    OMP_NUM_THREADS=1 python benchmarks/kill_processes.py [--kills 30] [--seed 0] [--signal KILL|TERM]

One process at a time, on the scenes of kill_scenes.py, with the real pages. Moments are uniform over the time
that the undisturbed command took. With TERM, INT and USR1 a process that was stopped must also say so: exit
code 4 and the command to go on with. Before the program's first line, while Python starts, nothing may be
there.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import kill_scenes
from kill_points import broken_files, contents, differences
from kill_scenes import SCENES, Scene, template

COMMANDS = ("train", "predict", "compare")


class Undisturbed:
    """What a scene's command leaves when nobody disturbs it, and how long it takes."""

    def __init__(self, scene: Scene, root: Path) -> None:
        self.scene, self.root, self.out = scene, root, scene.set_up(root)
        began = time.monotonic()
        done = self.start(False)
        _, said = done.communicate()
        assert done.returncode == 0, said
        self.seconds = time.monotonic() - began
        self.expected = contents(self.out)

    def start(self, again: bool) -> subprocess.Popen[str]:
        words = [str(word) for word in self.scene.words(self.root, again)]
        command = [sys.executable, "-m", "semivox", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def killed_after(self, seconds: float, number: int) -> tuple[str, list[str]]:
        """How the process ended, and what is wrong then or after the command was given again."""
        self.scene.bring_back(self.root)
        process = self.start(False)
        time.sleep(seconds)
        process.send_signal(number)
        _, said = process.communicate()
        if process.returncode == 0:
            return "was done before", differences(self.expected, contents(self.out))
        how = f"exit {process.returncode}" if process.returncode > 0 else "killed"
        found = broken_files(self.out)
        if number != signal.SIGKILL:
            last = "".join(said.strip().splitlines()[-1:])
            begun = "go on with: semivox" in last or "nothing was begun" in last
            if process.returncode < 0:  # Python itself was not up yet: neither word nor deed
                how = "before the first line"
                found += differences(contents(self.scene.before(self.root)), contents(self.out))
            if (process.returncode < 0 and said) or (process.returncode > 0 and not begun):
                found.append(f"said {last}")
            if process.returncode not in (4, -number):
                found.append(f"ended with {process.returncode}")
        again = self.start(True)
        _, said = again.communicate()
        if again.returncode:
            return how, [*found, f"given again it ends with {again.returncode}: {said[-500:]}"]
        if left := [path.name for path in self.out.rglob(".writing-*")]:
            return how, [*found, f"not swept: {', '.join(left)}"]
        return how, found + differences(self.expected, contents(self.out))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT", "USR1"), default="KILL")
    given = parser.parse_args()
    rng, wrong = random.Random(given.seed), 0
    kill_scenes.STEPS = "60"
    print(
        "| command | seconds | kills | how they ended | faults found |\n|---|---:|---:|---|---:|", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="kill-processes-") as folder:
        root = Path(folder)
        template(root)
        for place, name in enumerate(COMMANDS):
            stage = Undisturbed(SCENES[name], root)
            ends, faults = Counter[str](), 0
            for _ in range(given.kills // len(COMMANDS) + (place < given.kills % len(COMMANDS))):
                moment = rng.uniform(0, stage.seconds)
                how, found = stage.killed_after(moment, getattr(signal, f"SIG{given.signal}"))
                ends[how] += 1
                faults += bool(found)
                for line in found:
                    print(f"{name} after {moment:.2f} s, {how}: {line}", file=sys.stderr, flush=True)
            told = ", ".join(f"{how} {n}" for how, n in sorted(ends.items()))
            row = (name, f"{stage.seconds:.1f}", sum(ends.values()), told, faults)
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            wrong += faults
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
