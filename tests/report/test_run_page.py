"""What a run's page holds before any script runs: it is printed, and read by those who block scripts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from semivox.evaluation import empty_pairs
from semivox.report.held_out_tables import MARK, cases_csv, classes_csv
from semivox.report.run_page import write_run_page
from semivox.report.run_record import read_run

MakeRun = Callable[..., Path]


class Elements(HTMLParser):
    """Every element of a page: (tag, attributes, the ids and classes around it)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.around: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found.append((tag, given, tuple(words for _, words in self.around)))
        if tag not in ("meta", "link", "br", "wbr", "input", "img"):
            self.around.append((tag, f"#{given.get('id') or ''} {given.get('class') or ''}"))

    def handle_endtag(self, tag: str) -> None:
        while self.around and self.around.pop()[0] != tag:
            pass

    def within(self, word: str, tag: str) -> list[dict[str, str | None]]:
        """Attributes of each ``tag`` inside an element of class ``word``."""
        return [a for t, a, around in self.found if t == tag and any(word in w.split() for w in around)]


@pytest.fixture(scope="module")
def page(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page") / "report.html"
    return write_run_page(read_run(finished_run), out).read_text(encoding="utf-8")


def test_every_viewer_begins_with_a_picture_and_its_masks(page: str) -> None:
    elements = Elements(page)
    viewers = [a for _, a, _ in elements.found if "data-viewer" in a]
    images = elements.within("still", "image")
    assert len(viewers) == len(images) > 0
    assert all(str(image["href"]).startswith("data:image/jpeg;base64,") for image in images)
    records = [json.loads(text) for text in re.findall(r'type="application/json"[^>]*>(.*?)</script>', page)]
    paths = elements.within("still", "path")
    colours = {str(path["stroke"]) for path in paths}
    classes = records[0]["classes"]
    assert colours == {c["colour"] for c in classes} | {c["reference"] for c in classes}
    assert {str(path["class"]) for path in paths} == {"mask", "truth"}


def test_the_colours_are_explained_in_the_page(page: str) -> None:
    strokes = {str(path["stroke"]) for path in Elements(page).within("keys", "path")}
    assert strokes == {"#e69f00", "#56b4e9", "#ffff87", "#4b69ff"}


def test_every_case_has_a_picture_that_the_table_leads_to(page: str, finished_run: Path) -> None:
    elements = Elements(page)
    (held,) = read_run(finished_run).evaluations
    links = {str(a["href"]) for a in elements.within("table", "a")}
    ids = {f"#{a['id']}" for _, a, _ in elements.found if a.get("id")}
    assert len(links) == len(held.rows)
    assert links <= ids


def test_on_a_telephone_each_number_stands_under_its_heading(page: str) -> None:
    cells = Elements(page).within("stack", "td")
    numbers = [cell for cell in cells if "number" in str(cell.get("class"))]
    assert numbers
    assert all(cell.get("data-label") for cell in numbers)


def test_the_tables_can_be_saved_whole(page: str, finished_run: Path) -> None:
    (held,) = read_run(finished_run).evaluations
    files = {a["download"]: a["href"] for _, a, _ in Elements(page).found if "download" in a}
    texts = {str(name): unquote(str(address).partition(",")[2]) for name, address in files.items()}
    assert texts == {"classes.csv": classes_csv(held.content or {}), "cases.csv": cases_csv(held)}
    rows = list(csv.DictReader(io.StringIO(texts["cases.csv"])))
    assert len(rows) == len(held.rows) * len(held.classes)
    measured = {(r["case"], r["class"]): float(r["dice"]) for r in rows if r["dice"]}
    expected = {
        (case, held.classes[value]): scores["dice"]
        for case, classes in (held.content or {})["cases"].items()
        for value, scores in classes.items()
    }
    assert measured == expected


def test_the_page_says_what_an_empty_masks_distance_is(
    make_run: MakeRun, held_out_phantoms: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", held_out_phantoms)
    path = run / "evaluations" / "test" / "evaluation.json"
    content = json.loads(path.read_text())
    first = next(iter(content["cases"]))
    content["cases"][first]["1"].update(dice=0.0, volume_error_rel=-1.0, hd95_mm=99.0)
    path.write_text(json.dumps(content))
    assert empty_pairs(content) == [(first, "1")]
    page = write_run_page(read_run(run), tmp_path / "page.html").read_text()
    assert f"{MARK} One of the two masks is empty in 1 of 16: {first}" in page
    assert (
        page.count(f'<span class="mark">{MARK}</span>') == 5
    )  # HD95 and ASSD of class and mean; HD95 of the case
    assert "How the numbers are defined" in page


def test_a_budget_that_was_not_used_is_none_of_the_trainings(page: str) -> None:
    assert "budget of" not in page
    assert "Measured on 20" in page


def test_nothing_is_torn_on_paper_or_unreadable_in_the_dark(page: str) -> None:
    style = page[page.index("<style>") : page.index("</style>")]
    printed = style[style.index("@media print") :]
    assert re.search(r"\.table \{ overflow: visible", printed)
    assert not re.search(r"section[^{]*\{[^}]*break-inside: avoid", printed), (
        "the first page stays empty then"
    )
    light = set(re.findall(r"(--\w[\w-]*):", style[: style.index("@media screen")]))
    dark = style[style.index("@media screen") : style.index("*, *::before")]
    assert light - {"--sans", "--mono"} == set(re.findall(r"(--\w[\w-]*):", dark))


@pytest.mark.parametrize(
    ("guard", "why", "said"),
    [
        (True, None, "the unlabelled scans were labelled in 2 rounds</"),
        (True, "a is missing from 30% of the scans", "labels alone were learned from: round2 (a is missing"),
        (False, "a is missing from 30% of the scans", "although doubtful (run.guard is off): round2 (a is"),
    ],
)
def test_refused_pseudo_labels_are_told(
    guard: bool, why: str | None, said: str, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", None)
    assert "seudo-labels" not in write_run_page(read_run(run), tmp_path / "page.html").read_text()
    with (run / "metrics.jsonl").open("a") as journal:
        for stage, refused in (("round1", None), ("round2", why)):
            line = {"kind": "relabel", "step": 30, "stage": stage, "cases": 3, "refused": refused}
            journal.write(json.dumps(line) + "\n")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("run:", f"run:\n  guard: {str(guard).lower()}"))
    assert said in write_run_page(read_run(run), tmp_path / "page.html").read_text()
