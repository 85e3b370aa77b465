"""A browser for the tests of pages, which skip where there is none; and a run folder to make pages of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from semivox.cohort import load_cohort, read_label
from semivox.cohort.formats import write_mask
from semivox.cohort.phantom import write_phantom_cohort
from semivox.evaluation import evaluate_folders

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OpenPage = Callable[..., "OpenedPage"]


class OpenedPage:
    """A page in the browser; ``faults`` are what it complained of and every request that left the file."""

    def __init__(self, page: Page) -> None:
        self.page, self.faults = page, list[str]()
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.route("**/*", self._file_only)

    def _file_only(self, route: Any) -> None:
        if route.request.url.startswith(("file://", "data:")):
            route.continue_()
        else:
            self.faults.append(f"request: {route.request.url}")
            route.abort()

    def pixels(self, canvas: int = 0) -> str:
        """What the page's canvas of this number shows now, as a data address."""
        return str(self.page.locator(".plane canvas").nth(canvas).evaluate("c => c.toDataURL()"))

    def ready(self, canvas: int = 0) -> None:
        """Wait until the canvas of this number has been drawn."""
        self.page.locator("[data-viewer]").first.scroll_into_view_if_needed()
        self.page.wait_for_function(
            "n => document.querySelectorAll('.plane canvas')[n]?.hasAttribute('aria-label')", arg=canvas
        )

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    """Chromium without a graphics card."""
    chromium = launch("--disable-gpu")
    yield chromium
    chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(path, width=1280, height=900)`` -> :class:`OpenedPage`."""
    opened = []

    def open_(path: Path, width: int = 1280, height: int = 900) -> OpenedPage:
        page = browser.new_page(viewport={"width": width, "height": height})
        opened.append(page)
        made = OpenedPage(page)
        page.goto(path.resolve().as_uri())
        return made

    yield open_
    for page in opened:
        page.close()


def write_run(
    path: Path,
    test: Path | None,
    *,
    name: str = "test",
    flagged: tuple[int, ...] = (0,),
    unknown: tuple[int, ...] = (),
    steps: int = 40,
    **status: Any,
) -> Path:
    """A finished run folder by hand, with an evaluation of the cases of ``test``: their references, a little
    shifted. ``flagged`` cases are to be reviewed, ``unknown`` ones have no reference in the evaluation."""
    path.mkdir(parents=True, exist_ok=True)
    run = {"method": "mean_teacher", "labeled": "2", "seed": 3, "recipe": "common", "steps": steps}
    (path / "config.yaml").write_text(yaml.safe_dump({"data": "/scans/train", "run": run, "format": 1}))
    lines: list[dict[str, Any]] = [
        {
            "kind": "step", "step": s, "stage": "train", "lr": {"segmenter": 0.1 * (1 - s / steps)},
            "terms": {"segmentation": 1 / (1 + s), "consistency": None if s == 3 else 0.1},
            "weights": {"segmentation": 1.0, "consistency": s / steps}, "seconds": 0.5, "data_seconds": 0.1,
            "elapsed": s / 2,
        }
        for s in range(steps)
    ]  # fmt: skip
    lines += [{"kind": "watch", "step": s - 1, "dice": {"a": s / steps}, "elapsed": s} for s in (20, 40)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cases = [
        {"case": f"train_{i}", "patient": f"p{i}", "role": role, "annotated": None, "sha256": f"{i:064d}"}
        for i, role in enumerate(["labeled", "labeled", "unlabeled"])
    ]
    _write(path / "cases.json", {"format": 1, "cases": cases})
    _write(path / "status.json", {"format": 1, "state": "done", "step": steps, "seconds": 20.0, **status})
    card = {
        "format": 1,
        "model_id": "ab" * 32,
        "predictor": ["teacher"],
        "labels": {"1": "a"},
        "steps": steps,
    }
    _write(path / "model.json", {**card, "seed": 3, "method": "mean_teacher", "may_be_empty": []})
    if test is not None:
        write_held_out(path / "evaluations" / name, test, flagged, unknown)
    return path


def write_held_out(
    folder: Path, test: Path, flagged: tuple[int, ...] = (0,), unknown: tuple[int, ...] = ()
) -> None:
    """Masks, their evaluation and the record of the cases of the data folder ``test``."""
    cohort = load_cohort(test)
    rows = []
    for i, case in enumerate(cohort.cases):
        assert case.label is not None
        label = read_label(case.label)
        mask = np.roll(label.array[0], 1 + i % 3, 0)
        file = write_mask(folder / "masks" / case.name, mask, label)
        sizes = {str(v): int((mask == v).sum()) for v in cohort.values}
        rows.append(
            {
                "case": case.name, "status": "ok", "flag": "review" if i in flagged else "ok",
                "reason": "it looks odd" if i in flagged else "", "model_id": "ab" * 32, "weights": "teacher",
                "input_sha256": f"t{i}", "seconds": 1.0, "mask": file.name, "voxels": sizes,
                "volume_ml": {v: n / 1000 for v, n in sizes.items()},
                "components": dict.fromkeys(sizes, 1 + i), "border_contact": dict.fromkeys(sizes, 0),
                "mean_entropy": 0.1 + 0.01 * i,
            }
        )  # fmt: skip
    evaluation = evaluate_folders(folder / "masks", test)
    for i in unknown:
        del evaluation["cases"][cohort.cases[i].name]
    _write(folder / "evaluation.json", evaluation)
    head = {"format": 1, "classes": evaluation["classes"], "spacing_known": cohort.spacing_known}
    _write(folder / "masks" / "predictions.json", {**head, "cases": rows})
    _write(folder / "source.json", {"format": 1, "data": str(test)})


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def held_out_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small 3D phantoms of two classes. Do not write into it."""
    folder = tmp_path_factory.mktemp("held_out")
    return write_phantom_cohort(folder, labeled=1, unlabeled=0, test=8, classes=2)[1]


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """``make_run(path, test, name="test", flagged=(0,), unknown=(), steps=40, **status)``, see write_run."""
    return write_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, held_out_phantoms: Path) -> Path:
    """A run folder with an evaluation of ``held_out_phantoms``. Do not write into it."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", held_out_phantoms, unknown=(7,))
