"""The page in a browser: what stands there, what can be done with it, and that nothing leaves it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from semivox.report import comparison_page
from semivox.report.comparison_export import comparison_latex
from semivox.report.comparison_page import write_comparison_page
from semivox.report.comparison_record import ComparisonRecord, read_comparison
from semivox.report.figure_rows import Drawing, FigureRow, Place

HandMade = Callable[..., Path]
OpenPage = Callable[..., Any]
EVERYTHING = [
    "result", "differences", "classes", "labels", "cost", "cases", "pictures", "cells", "measured",
]  # fmt: skip


def page_of(folder: Path) -> Path:
    return write_comparison_page(folder, folder / "report.html")


def texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def test_everything_is_there_and_nothing_leaves_the_page(full: Path, open_page: OpenPage) -> None:
    opened = open_page(full / "report.html")
    page = opened.page
    assert [section.get_attribute("id") for section in page.locator("main > section").all()] == EVERYTHING
    assert page.locator("nav a").count() == len(EVERYTHING)
    for name in ("differences", "labels", "cost", "cases"):
        box = page.locator(f"#{name} figure svg:visible").bounding_box()
        assert box["width"] > 400
        assert box["height"] > 100
    assert page.locator("#pictures article").count() == 6
    assert page.locator("#pictures article").first.locator(".panels figure").count() == 6
    drawn = page.locator("#pictures .panels svg use").first
    assert drawn.bounding_box()["width"] > 60, "the scan is drawn in each panel"
    opened.ready()
    assert opened.faults == []
    assert opened.overflow == 0


def test_names_are_text(full: Path, open_page: OpenPage) -> None:
    opened = open_page(full / "report.html")
    page = opened.page
    names = set(texts(page, "#result tbody th"))
    odd = {cell.method for cell in read_comparison(full).cells}
    assert names == odd
    assert len(odd) == 6
    below = [text.split("\n")[0] for text in texts(page, "#case-1 .panels figcaption")]
    assert set(below) == odd
    drawn = {"".join(text.split()) for text in page.locator("#cost svg text").all_text_contents()}
    assert {"".join(name.split()) for name in odd} <= drawn
    assert "no <b>memory</b> left" in texts(page, "#cells td.error")
    assert page.locator("main script:not([type='application/json'])").count() == 0
    assert page.locator("main b:has-text('memory')").count() == 0
    assert "the cells differ in <i>precision</i>" in texts(page, "#measured li")
    assert opened.faults == []


def test_the_table_is_sorted_by_a_click(full: Path, open_page: OpenPage) -> None:
    page = open_page(full / "report.html").page
    record = read_comparison(full)
    mean = {(r.name, r.labeled): r.of("dice").mean for r in record.results}
    rows = texts(page, "#result tbody tr")
    assert len(rows) == len(mean) == 11

    def heading(name: str) -> Any:
        return page.locator("#result thead button").filter(has_text=re.compile(f"^{name}$"))

    def column(number: int) -> list[float]:
        cells = page.locator(f"#result tbody tr td:nth-child({number})").all()
        return [float(cell.get_attribute("data-value")) for cell in cells]

    assert column(3) == sorted((mean[k] for k in mean if k[1] == "3p"), reverse=True) + sorted(
        (mean[k] for k in mean if k[1] == "8"), reverse=True
    )
    heading("Dice").click()
    assert column(3) == sorted(mean.values(), reverse=True)
    heading("Dice").click()
    assert column(3) == sorted(mean.values())
    heading("minus supervised").first.click()  # of Dice; the second is of HD95
    cells = page.locator("#result tbody td:nth-child(4)").all()
    values = [cell.get_attribute("data-value") for cell in cells]
    gains = [r.gain("dice").mean for r in record.results]
    assert [float(v) for v in values if v] == sorted((g for g in gains if g is not None), reverse=True)
    assert values[-2:] == ["", ""], "the reference has none, and comes last"
    heading("method").click()
    names = texts(page, "#result tbody th")
    assert names[0] != names[-1]
    assert names.index("simcvd{contrast=0}") < names.index("supervised")


def test_the_table_shows_the_numbers_and_verdicts_of_the_file(full: Path, open_page: OpenPage) -> None:
    page = open_page(full / "report.html").page
    words = {"reference": "reference", "gains": "gains", "trails": "trails", "open": "no difference shown"}
    content = json.loads((full / "comparison.json").read_text())
    by_row = {}
    for row in page.locator("#result tbody tr").all():
        cells = [text.strip() for text in row.locator("th, td").all_inner_texts()]
        by_row[cells[0], cells[1]] = cells
    names = {c["variant"]: c["method"] for c in content["cells"]}
    for result in content["results"]:
        cells = by_row[names[result["variant"]], result["labeled"]]
        mean, (low, high) = result["mean"]["foreground"]["dice"], result["ci95"]["foreground"]["dice"]
        assert cells[2].split("\n") == [f"{mean:.3f}", f"[{low:.3f}, {high:.3f}]"]
        told, *signs = cells[4].split("\n")
        assert told == words[result["verdict"]]
        assert [bool(re.fullmatch(r"\d+ : \d+", text)) for text in signs] == [True] * bool(
            result["difference"]
        )
        if result["difference"]:
            gain = result["difference"]["mean"]["foreground"]["dice"]
            assert cells[3].split("\n")[0] == f"{gain:+.3f}".replace("-", "−")


def test_downloads_hold_the_numbers_of_the_file(full: Path, open_page: OpenPage) -> None:
    opened = open_page(full / "report.html")
    record = read_comparison(full)
    saved = {}
    for link in opened.page.locator("a.download").all():
        with opened.page.expect_download() as download:
            link.click()
        saved[download.value.suggested_filename] = Path(download.value.path()).read_text(encoding="utf-8")
    assert set(saved) == {"table.csv", "table.tex"}
    rows = list(csv.DictReader(io.StringIO(saved["table.csv"])))
    content = json.loads((full / "comparison.json").read_text())
    assert [(r["labeled"], r["method"], float(r["dice"])) for r in rows] == [
        (r.labeled, r.name, x["mean"]["foreground"]["dice"])
        for r, x in zip(record.results, content["results"], strict=True)
    ]
    assert saved["table.tex"] == comparison_latex(record.results)
    assert opened.faults == []


def test_nothing_scrolls_sideways_on_a_narrow_screen(full: Path, open_page: OpenPage) -> None:
    opened = open_page(full / "report.html", width=390)
    page = opened.page
    assert opened.overflow == 0
    for name in ("result", "classes", "cells"):
        boxes = page.locator(f"#{name} .table").evaluate_all(
            "all => all.map(e => [e.scrollWidth, e.clientWidth])"
        )
        assert boxes
        assert all(inside <= outside for inside, outside in boxes)
        told = (
            page.locator(f"#{name} tbody tr")
            .first.locator("td")
            .evaluate_all("all => all.map(e => getComputedStyle(e, '::before').content)")
        )
        heads = page.locator(f"#{name} thead th").count()
        assert len(told) == heads - 1
        assert all(text not in ("none", '""') for text in told), "each number stands under its heading"
    for name in ("differences", "cost", "cases"):
        shown = page.locator(f"#{name} figure svg:visible")
        assert shown.count() == 1
        assert shown.bounding_box()["width"] <= 390
    smallest = page.locator("#differences svg:visible text").evaluate_all(
        "all => Math.min(...all.map(t => t.getBoundingClientRect().height))"
    )
    assert smallest > 9
    assert opened.faults == []


def test_no_table_is_cut_on_a_screen_or_on_paper(hand_made: HandMade, open_page: OpenPage) -> None:
    """With all columns, many classes, and a verdict in words; on paper each interval keeps to one line."""

    def alike(method: int, labeled: str, seed: int, case: int) -> float:
        return 0.8 + 0.01 * ((case + method * (1 + seed)) % 3)

    methods = ["supervised", "simcvd{contrast=0}", "mean_teacher", "local_contrast"]
    organs = [f"organ number {i}" for i in range(1, 14)]
    folder = hand_made(
        methods, labeled=("8", "3p"), counts={"3p": 6}, seeds=(0, 1), classes=organs, dice=alike,
        states={(1, "8", "test", 0): "failed"},
    )  # fmt: skip
    page = open_page(page_of(folder), width=1400).page
    assert "no difference shown" in texts(page, "#result .flag")
    wider = "all => all.map(e => [e.ariaLabel, e.scrollWidth - e.clientWidth])"
    for width in (1400, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.locator(".table").evaluate_all(wider) == [
            ["Result", 0], ["Each class", 0], ["Unfinished cells", 0],
        ]  # fmt: skip
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 less its margins
    tables = page.locator(".table table")
    assert max(tables.evaluate_all("all => all.map(e => e.scrollWidth)")) <= 703
    high = page.locator("#result small").evaluate_all(
        "all => Math.max(...all.map(e => e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight)))"
    )
    assert high < 1.5


def test_nothing_finished_is_a_page_that_says_so(hand_made: HandMade, open_page: OpenPage) -> None:
    states = {(0, "8", "test", 0): "running", (1, "8", "test", 0): "failed"}
    opened = open_page(page_of(hand_made(["supervised", "cps"], states=states)))
    page = opened.page
    assert "nothing is finished yet" in page.locator(".lead").inner_text()
    assert [s.get_attribute("id") for s in page.locator("main > section").all()] == [
        "result", "cells", "measured",
    ]  # fmt: skip
    assert page.locator("figure, #result table").count() == 0
    assert texts(page, "#cells .flag") == ["running", "failed"]
    assert opened.faults == []


def test_without_scans_the_page_has_all_but_pictures(
    hand_made: HandMade, held_out_phantoms: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    data = tmp_path / "dev"
    shutil.copytree(held_out_phantoms, data)
    folder = hand_made(["supervised", "cps"], test=data)
    data.rename(tmp_path / "moved")
    opened = open_page(page_of(folder))
    assert f"not where the comparison found them ({data})" in opened.page.locator("#pictures").inner_text()
    assert opened.page.locator("#pictures article").count() == 0
    assert opened.page.locator(".wide-screen svg").count() == 3
    assert opened.faults == []
    again = write_comparison_page(folder, folder / "again.html", tmp_path / "moved")
    assert open_page(again).page.locator("#pictures article").count() == 6


def test_a_flat_comparison_in_folds_with_one_class(
    hand_made: HandMade, flat_phantoms: tuple[Path, Path], open_page: OpenPage
) -> None:
    folder = hand_made(
        ["supervised", "cps"], folds=("fold0", "fold1"), seeds=(0, 1), test=flat_phantoms[1], memory=1.0
    )
    opened = open_page(page_of(folder))
    page = opened.page
    assert "2-fold cross-validation" in page.locator(".lead").inner_text()
    assert page.locator("#pictures .panels figure").count() == 2 * page.locator("#pictures article").count()
    assert "memory, GiB" in page.locator("#cost svg").first.text_content()
    assert opened.faults == []


def test_the_page_repeats_and_is_small(full: Path, tmp_path: Path) -> None:
    def lines(page: Path) -> list[str]:
        return [line for line in page.read_text(encoding="utf-8").splitlines() if "<footer>" not in line]

    again = write_comparison_page(full, tmp_path / "again.html")
    assert lines(again) == lines(full / "report.html")
    assert again.stat().st_size < 15e6


def test_a_row_is_all_that_a_figure_of_the_page_takes(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(record: ComparisonRecord) -> Figure:
        return Figure()

    row = FigureRow(
        empty,
        Place("new-place", "A new place"),
        lambda record: [Drawing(empty(record), "Nothing", "Of all.")],
    )
    monkeypatch.setattr(comparison_page, "FIGURES", (*comparison_page.FIGURES, row))
    text = write_comparison_page(full, tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<a href="#new-place">A new place</a>' in text
    section = text[text.index('<section id="new-place">') :]
    section = section[: section.index("</section>")]
    assert "<h2>A new place</h2>" in section
    assert 'aria-label="Nothing"' in section
    assert "<figcaption>Of all.</figcaption>" in section
