"""``mask_trust.py`` from the beginning: runs in folds of some labelled scans, then what their masks are said
to be worth on held-out scans, as they are and spoiled.

``python benchmarks/trust_in_folds.py DATA DEV --labeled 8 --folds 4 --steps 300 --out DIR``: the runs lie in
DIR/runs, a line a scan and shift in DIR/trust.jsonl. Repeated, the command goes on; ``--stop-after`` ends
with what there is, and the last line of ``--json`` is the summary of that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from in_time import Commands, add_options, plan_settings, training_words

MEASURE = Path(__file__).with_name("mask_trust.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--labeled", required=True, help="a set, as for train")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--shifts", nargs="*", help="as for mask_trust.py; all without it")
    parser.add_argument("--cases", type=int, help="the first so many of DEV")
    add_options(parser)
    a = parser.parse_args()
    commands = Commands(a.stop_after, a.workers)
    runs = a.out / "runs"
    train = [
        "-m", "semivox", "train", a.data, "--out", str(runs), "--labeled", a.labeled, "--resume",
        "--folds", str(a.folds), "--method", a.method, "--on", f"local:{a.workers}", *training_words(a),
    ]  # fmt: skip
    for each in plan_settings(a):
        train += ["--set", each]
    if not (runs / "ensemble.json").exists() and not commands.run([train]):
        print("the runs are not finished: repeat the command")
        return
    measure = [
        str(MEASURE), str(runs), "--data", a.dev, "--out", str(a.out / "trust.jsonl"), "--tta",
        "--device", a.device, "--threads", "1",
    ]  # fmt: skip
    measure += [] if a.shifts is None else ["--shifts", *a.shifts]
    measure += [] if a.cases is None else ["--cases", str(a.cases)]
    commands.run([[*measure, "--part", f"{i}/{a.workers}"] for i in range(1, a.workers + 1)])
    Commands(None).run([[*measure, "--summary", *(["--json"] if a.json else [])]])


if __name__ == "__main__":
    main()
