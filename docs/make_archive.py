"""Writes docs/images/archive.png: a study in Orthanc, segmented by DICOMweb, and what Orthanc has of it then.

    python docs/make_archive.py RUN SERIES    # SERIES: what docs/examples/phantom_series.py writes

Left: Orthanc's own page of the study, photographed by Chromium. Middle: a plane of the scan. Right: the same
plane with the segmentation as Orthanc gives it back, and the contours of a structure set. Orthanc with its
plug-in, and Chromium, have to be installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
from matplotlib.figure import Figure
from PIL import Image

import semivox
from semivox.cohort import read_label, read_volume

DOCS = Path(__file__).resolve().parent
OUT = DOCS / "images" / "archive.png"
PORT = 18142
WINDOW = (1000, 900)  # pixels of the browser
SHOWN = (306, 44, 990, 530)  # of them


def example() -> ModuleType:
    """docs/examples/archive_here.py."""
    spec = importlib.util.spec_from_file_location("archive_here", DOCS / "examples" / "archive_here.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["archive_here"] = module
    spec.loader.exec_module(module)
    return module


def photograph(url: str, path: Path) -> np.ndarray:
    """The page, as Chromium shows it."""
    subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--hide-scrollbars", "--virtual-time-budget=8000", f"--window-size={WINDOW[0]},{WINDOW[1]}",
            f"--screenshot={path}", url,
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return np.asarray(Image.open(path).convert("RGB").crop(SHOWN))


def main(run: Path, series: Path, folder: Path) -> None:
    """Draw the picture; ``folder`` is for what is made on the way."""
    first = max(series.rglob("*.dcm"))
    scan, study = read_volume(first.parent), str(pydicom.dcmread(first).StudyInstanceUID)
    with example().running(folder, PORT) as archive:
        archive.add(series)
        for kind in ("dicom-seg", "rtstruct"):
            report = semivox.predict(
                run, f"dicomweb:{archive.base}", folder / kind, study=study, format=kind, device="cpu"
            )
            print(f"{kind}: {len(report.stored)} stored")
        back = {}
        for modality in ("SEG", "RTSTRUCT"):
            asked = {"Level": "Instance", "Query": {"StudyInstanceUID": study, "Modality": modality}}
            name = json.loads(archive.rest("tools/find", json.dumps(asked).encode()))[0]
            back[modality] = archive.rest(f"instances/{name}/file")
        asked = {"Level": "Study", "Query": {"StudyInstanceUID": study}}
        [name] = json.loads(archive.rest("tools/find", json.dumps(asked).encode()))
        page = f"http://127.0.0.1:{PORT}/app/explorer.html#study?uuid={name}"
        picture = photograph(page, folder / "page.png")
    (folder / "back.seg.dcm").write_bytes(back["SEG"])
    draw(picture, scan, read_label(folder / "back.seg.dcm").array[0], back["RTSTRUCT"])


def draw(page: np.ndarray, scan: semivox.Volume, mask: np.ndarray, structures: bytes) -> None:
    """Three panels."""
    figure = Figure((13, 4), dpi=140, layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1.9, 1, 1])
    index = int(np.argmax((mask > 0).sum((0, 1))))
    plane = scan.array[0, :, :, index].T.astype(float)
    low, high = np.percentile(plane, [1, 99.5])
    axes[0].imshow(page)
    axes[0].set_title("the study in Orthanc, with what was stored", fontsize=9)
    titles = "a plane of the scan", "SEG (filled) and RTSTRUCT (line), from Orthanc"
    for axis, title in zip(axes[1:], titles, strict=True):
        axis.imshow(np.clip((plane - low) / (high - low), 0, 1), cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=9)
    shown = np.ma.masked_equal(mask[:, :, index].T, 0)
    axes[2].imshow(shown, cmap="autumn", alpha=0.35, interpolation="nearest")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    for structure in pydicom.dcmread(io.BytesIO(structures)).ROIContourSequence:
        for contour in structure.get("ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            places = (np.c_[points, np.ones(len(points))] @ np.linalg.inv(lps).T)[:, :3]
            if abs(places[0, 2] - index) < 0.5:
                axes[2].plot(*np.r_[places, places[:1]][:, :2].T, color="#e69f00", linewidth=1.2)
    for axis in axes:
        axis.set_axis_off()
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT)
    print(f"{OUT}: {OUT.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("series", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        main(given.run, given.series, Path(made))
