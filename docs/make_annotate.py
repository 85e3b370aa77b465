"""Writes docs/images/annotate.png, the picture of the page on which masks are corrected.

    python docs/make_annotate.py RUN DATA SCAN    # SCAN: one without a label

The page is opened and photographed by Chromium, which has to be installed, and draws the 3D view in software.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from semivox.annotating import Desk, Length, listening, serve

OUT = Path(__file__).resolve().parent / "images" / "annotate.png"
WINDOW = {"width": 1400, "height": 860}
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
COLOURS = 256  # of the palette, which makes the file a third
PATIENCE = 60_000  # milliseconds for the 3D view


def photograph(run: Path, data: Path, scan: str) -> Image.Image:
    """The page with ``scan``, the crosshair in the middle of its mask, in three planes and in 3D."""
    listens, address = listening("127.0.0.1", 0, None)
    with serve(Desk(run, data), listens, address, Length(), "Anna", rank=False), sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *SOFTWARE]
        )
        page = browser.new_page(viewport=WINDOW)
        page.goto(f"{address.url}#scan={scan}")
        page.wait_for_selector(f"body[data-scan='{scan}']", state="attached")
        page.evaluate("semivox.view.view(0); semivox.view.moved()")
        page.wait_for_selector("#solid[data-drawn]", timeout=PATIENCE)
        page.wait_for_timeout(PATIENCE // 20)
        picture = page.screenshot(timeout=PATIENCE)
        page.goto("about:blank")  # which gives the scan back
        browser.close()
    return Image.open(io.BytesIO(picture)).convert("RGB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("scan")
    given = parser.parse_args()
    photograph(given.run, given.data, given.scan).quantize(COLOURS).save(OUT, optimize=True)
