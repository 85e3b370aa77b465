"""A round of ``semivox annotate`` on scans whose references are known: rank, correct some masks, train again.

    OMP_NUM_THREADS=1 python benchmarks/annotate_round.py RUN DATA DEV --scans 4 --budget 90s --out DIR

A server runs on a copy of DATA in which only RUN's labelled scans have labels. A scripted reader takes the
scans that it is offered, changes the model's mask in every slice in which it differs from the reference to
the reference's, as strokes would, and saves. Then it presses ``Train again``. Dice on DEV is that of RUN, of
the run after it, and of a run that was trained as long without the new labels: what only more steps bring.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

import semivox
from semivox.annotating import Desk, Length, listening, serve
from semivox.cohort import read_label
from semivox.duration import parse_duration
from semivox.files import read_json

HOLDER = {"holder": "a-scripted-reader", "reader": "script"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--budget", default="90s")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()

    data, run = stage(a.run, a.data, a.out)
    began = time.monotonic()
    desk = Desk(run, data, "cpu", a.threads)
    listens, address = listening("127.0.0.1", 0, None)
    length = Length(str(parse_duration(a.budget)), None, "cpu", a.threads)
    first = _mean(a.out, run, a.dev, "before")
    with serve(desk, listens, address, length, "script"):
        while not desk.ranked.reasons:
            time.sleep(0.2)
        ranked = time.monotonic() - began
        rows = [_correct(desk, address.url, a.data) for _ in range(a.scans)]
        _ask(address.url, "api/train", {})
        while (state := _ask(address.url, "api/train"))["state"] == "running":
            time.sleep(1)
    if state["state"] != "done":
        raise SystemExit(f"the training ended so: {state}")
    after = _mean(a.out, run.with_name(state["run"]), a.dev, "after")
    alone = a.out / "longer"
    labeled = "".join(f"{name}\n" for name in desk.labeled() if name not in {row["scan"] for row in rows})
    (a.out / "labeled.txt").write_text(labeled)
    semivox.train(
        data, alone, method=str(desk.card["method"]), init=run, plan=run / "plan.json", device="cpu",
        labeled=str(a.out / "labeled.txt"), steps=state["steps"], threads=a.threads,
    )  # fmt: skip
    longer = _mean(a.out, alone, a.dev, "longer")
    told = {
        "seconds until ranked": round(ranked, 1), "corrected": rows, "steps": state["steps"],
        "Dice before": first, "after": after, "as long without the new labels": longer,
    }  # fmt: skip
    print(json.dumps(told, indent=1))


def stage(given: Path, scans: Path, out: Path) -> tuple[Path, Path]:
    """Copies in ``out``: of the scans with the labels of the run ``given`` alone, and of that run."""
    data, run = out / "data", out / "run"
    rows = read_json(given / "cases.json")["cases"]
    keep = {row["case"] for row in rows if row["role"] == "labeled"}
    shutil.copytree(scans, data, ignore=shutil.ignore_patterns(".semivox"))
    for path in (data / "labelsTr").iterdir():
        if path.name.partition(".")[0] not in keep:
            path.unlink()
    shutil.copytree(given, run, ignore=shutil.ignore_patterns("checkpoints", "evaluations", "pseudo_labels"))
    return data, run


def _correct(desk: Desk, url: str, reference: Path) -> dict[str, Any]:
    """The next scan, opened, corrected and saved as the page does it."""
    facts = _ask(url, "api/next", {})
    scan = facts["case"]
    began = time.monotonic()
    found = np.frombuffer(urlopen(f"{url}api/mask?case={scan}").read(), np.uint8)
    seconds = time.monotonic() - began
    opened = desk.opened(scan)
    path = next((reference / "labelsTr").glob(f"{scan}.*"))
    right = np.zeros(opened.scan.shape, np.uint8)
    for number, value in enumerate(desk.cohort.values, start=1):
        right[read_label(path, opened.scan).array[0] == value] = number
    wanted = opened.grid.to_page(right)
    mask = found.reshape(opened.grid.shape, order="F").copy(order="F")
    wrong = [s for s in range(mask.shape[2]) if (mask[:, :, s] != wanted[:, :, s]).any()]
    changed = int((mask != wanted).sum())
    for s in wrong:
        mask[:, :, s] = wanted[:, :, s]
    query = f"api/save?case={scan}&version={facts['version']}&holder={HOLDER['holder']}&reader=script"
    urlopen(Request(url + query, mask.tobytes(order="F"), {"content-type": "application/octet-stream"}))
    return {"scan": scan, "slices": len(wrong), "voxels": changed, "seconds to its mask": round(seconds, 1)}


def _ask(url: str, path: str, content: dict[str, Any] | None = None) -> Any:
    body = None if content is None else json.dumps({**HOLDER, **content}).encode()
    with urlopen(Request(url + path, body, {"content-type": "application/json"})) as answer:
        return json.loads(answer.read())


def _mean(out: Path, run: Path, dev: Path, name: str) -> float:
    semivox.predict(run, dev, out / f"masks-{name}", device="cpu", threads=1)
    found = semivox.evaluate(out / f"masks-{name}", dev)
    return round(float(found["mean"]["foreground"]["dice"]), 4)


if __name__ == "__main__":
    main()
