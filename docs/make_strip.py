"""Writes docs/images/strip.png, the picture of the README.

    python docs/make_strip.py FOLDER    # FOLDER keeps the run and its report; about ten minutes, two cores

Left: a made-up scan that the run has not seen, with reference and prediction. Middle: Dice over minutes on
left atria, as docs/performance.md tells it. Right: parts of the run's report page, photographed by Chromium,
which has to be installed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import semivox
from semivox.cohort.phantom import make_phantom
from semivox.randomness import Key

OUT = Path(__file__).resolve().parent / "images" / "strip.png"
INCHES, DPI = (11.0, 3.4), 200  # shown half as large, so that it is sharp on every screen
SCAN = 14  # which made-up scan is shown: one of middling Dice among twenty, in no cohort
WINDOW = (960, 930)  # pixels of the browser
# What of the page is photographed: its head and the case of middling Dice.
SHOWN = ".contents, #trained, #held-of-test > :not(#of-test-case-4) { display: none !important }"
REFERENCE, PREDICTION, INK, FAINT = "#ffffff", "#e69f00", "#222222", "#8a8a8a"

# Left atria, 8 labelled, supervised, --budget 20m: minutes from the start of the command, Dice of 20 cases.
MEASURED = ((2 + 21 / 60, 0.826), (4 + 18 / 60, 0.882), (20.0, 0.900))
# What papers print for eight labelled atria.
PUBLISHED = (("supervised, papers", 0.80, 0.83, "#cc79a7"), ("methods, papers", 0.84, 0.916, "#56b4e9"))


def trained(folder: Path) -> Path:
    """The run in ``folder``, made if it is not there; its report page lies in it."""
    run = folder / "run"
    if not (run / "report.html").is_file():
        data, held_out = semivox.write_phantom_cohort(folder / "phantoms", labeled=8, unlabeled=8, test=8)
        small = {"plan.rung": 2, "plan.patch": [32, 32, 24]}
        semivox.train(data, run, method="supervised", steps=500, precision="fp32", settings=small)
        semivox.write_report(run, held_out)
    return run


def draw_scan(axis: Axes, run: Path) -> None:
    image, label = make_phantom(Key(SCAN, "strip"), 3, 1, (128, 128, 80))
    mask = semivox.load_model(run, device="cpu").predict(image).mask
    index = int(np.argmax((label.array[0] > 0).sum((0, 1))))
    shown = image.array[0, :, :, index].T.astype(float)
    low, high = np.percentile(shown, [1, 99.5])
    axis.imshow(np.clip((shown - low) / (high - low), 0, 1), cmap="gray", interpolation="bilinear")
    for region, colour, width in ((label.array[0], REFERENCE, 1.4), (mask, PREDICTION, 1.6)):
        axis.contour((region[:, :, index].T > 0).astype(float), [0.5], colors=[colour], linewidths=[width])
    axis.set_axis_off()


def draw_time(axis: Axes) -> None:
    for name, low, high, colour in PUBLISHED:
        axis.axhspan(low, high, color=colour, alpha=0.22, lw=0)
        axis.text(19.6, low + 0.003, f"{name}: {low:.2f} to {high:.2f}", fontsize=7, color=INK, ha="right")
    minutes, dice = zip(*MEASURED, strict=True)
    axis.plot(minutes, dice, color=PREDICTION, marker="o", lw=2, ms=5)
    for minute, value, text in zip(minutes, dice, ("2 m 21 s", "4 m 18 s", "20 m"), strict=True):
        right = minute > 10
        axis.annotate(
            f"{value:.2f}\n{text}", (minute, value), xytext=(-4 if right else 7, -3),
            textcoords="offset points", fontsize=7.5, color=INK, va="top", fontweight="bold",
            ha="right" if right else "left",
        )  # fmt: skip
    axis.set(xlim=(0, 20.6), ylim=(0.79, 0.925), xticks=(0, 5, 10, 15, 20), yticks=(0.8, 0.85, 0.9))
    axis.set_xlabel("minutes, two CPU cores", fontsize=8, color=INK)
    axis.set_title("Dice, left atria, 8 labelled", fontsize=8.5, color=INK, loc="left")
    axis.tick_params(labelsize=7.5, colors=INK, length=2)
    axis.spines[["top", "right"]].set_visible(False)


def photograph(page: Path) -> Image.Image:
    with tempfile.TemporaryDirectory() as name:
        shot, part = Path(name) / "page.png", Path(name) / "page.html"
        html = page.read_text(encoding="utf-8").replace("</head>", f"<style>{SHOWN}</style></head>", 1)
        part.write_text(html, encoding="utf-8")
        subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--hide-scrollbars", "--force-device-scale-factor=1.5", f"--user-data-dir={name}/profile",
                f"--window-size={WINDOW[0]},{WINDOW[1]}", "--virtual-time-budget=4000",
                f"--screenshot={shot}", part.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(shot) as picture:
            return picture.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    run = trained(parser.parse_args().folder)
    figure = Figure(figsize=INCHES, dpi=DPI, facecolor="white")
    draw_scan(figure.add_axes((0.0, 0.0, INCHES[1] / INCHES[0], 1.0)), run)
    draw_time(figure.add_axes((0.355, 0.15, 0.265, 0.745)))
    page = figure.add_axes((0.645, 0.02, 0.35, 0.96))
    page.imshow(photograph(run / "report.html"), interpolation="lanczos")
    page.set(xticks=[], yticks=[])
    for spine in page.spines.values():
        spine.set_color(FAINT)
    figure.savefig(OUT, dpi=DPI)
    with Image.open(OUT) as drawn:  # few colours are enough, and a third of the bytes
        drawn.convert("RGB").quantize(256).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
