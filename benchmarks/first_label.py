"""How long it takes from the command ``semivox annotate`` to the first corrected label on the disk.

    OMP_NUM_THREADS=1 python benchmarks/first_label.py RUN DATA --out DIR

The command is given for a copy of DATA in which only RUN's labelled scans have labels. Chromium, which is
open already, opens the address; a scripted reader then draws a spot in each of three slices of the scan that
is offered, by the keyboard, and saves. Seconds are told from the command on. What a person thinks and draws
comes on top.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from annotate_round import stage
from semivox.cohort import read_label

BROWSER = ("--no-sandbox", "--disable-gpu")
WINDOW = {"width": 1400, "height": 860}
PATIENCE = 300.0  # seconds
LOOK = 0.05
STROKES = ("b", "1", "PageUp", "Space", "PageUp", "Space", "PageUp", "Space", "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    a = parser.parse_args()
    data, run = stage(a.run, a.data, a.out)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=[*BROWSER])
        page = browser.new_page(viewport=WINDOW)
        began = time.monotonic()
        command = [sys.executable, "-m", "semivox", "annotate", str(run), str(data), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                told = _first_label(page, server.stdout.readline().split()[1], began)
            finally:
                server.terminate()
        browser.close()
    label = next((data / "labelsTr").glob(f"{told['scan']}.*"))
    print(json.dumps({**told, "voxels labelled": int((read_label(label).array > 0).sum())}, indent=1))


def _first_label(page: Page, url: str, began: float) -> dict[str, str | float]:
    def seconds() -> float:
        return round(time.monotonic() - began, 1)

    told: dict[str, str | float] = {"address shown": seconds()}
    page.goto(url)
    _wait(page, "Boolean(window.semivox?.now.facts && semivox.view.planes.voxels)")
    told["scan seen"] = seconds()
    _wait(page, "semivox.now.drawing !== null && !semivox.now.busy")
    told["mask seen"] = seconds()
    for key in STROKES:
        page.keyboard.press(key)
    page.locator("#message.good", has_text="Saved").wait_for(timeout=1000 * PATIENCE)
    told["label saved"] = seconds()
    return {"scan": page.evaluate("semivox.now.facts.case"), **told}


def _wait(page: Page, expression: str) -> None:
    """Until it is true; asked from here, for the page lets nobody make code of a text."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise SystemExit(f"not true after {PATIENCE:.0f} s: {expression}")
        time.sleep(LOOK)


if __name__ == "__main__":
    main()
