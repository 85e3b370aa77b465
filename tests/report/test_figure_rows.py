"""A figure is one row: pages, the face of semivox.report and the docs read the rows."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import semivox.report
from semivox.report import (
    comparison_figures,
    held_out,
    held_out_figures,
    run_figures,
    run_page,
)
from semivox.report.figure_rows import Drawing, FigureRow, Place
from semivox.report.run_record import read_run

ROWS: tuple[FigureRow[Any], ...] = (
    *run_figures.FIGURES,
    *held_out_figures.FIGURES,
    *comparison_figures.FIGURES,
)


def test_every_figure_is_in_the_face_and_every_figure_of_the_face_has_a_row() -> None:
    public = {name: getattr(semivox.report, name) for name in semivox.report.__all__}
    drawing = {n for n, f in public.items() if typing.get_type_hints(f).get("return") is Figure}
    assert drawing == {row.name for row in ROWS}
    assert all(public[row.name] is row.draw for row in ROWS)


def empty(source: object = None) -> Figure:
    """Nothing."""
    return Figure()


def drawings(source: object) -> Iterator[Drawing]:
    yield Drawing(empty(), "An empty figure", "Drawn for a test.")


NEW: FigureRow[Any] = FigureRow(empty, Place("new-place", "A new place"), drawings)


@pytest.mark.parametrize("module", [run_page, held_out], ids=["training", "held-out"])
def test_a_row_is_all_that_the_page_of_a_run_takes(
    module: Any, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIGURES", (*module.FIGURES, NEW))
    shown(run_page.write_run_page(read_run(finished_run), tmp_path / "page.html"))


def shown(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (place,) = re.findall(r'<a href="#([\w-]*new-place)">A new place</a>', text)
    after = text[text.index(f'id="{place}"') :]
    figure = after[: after.index("</figcaption>")]
    assert 'aria-label="An empty figure"' in figure
    assert "Drawn for a test." in figure
