"""A run's page in a real browser: what shows, what moves, and that nothing leaves the file."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semivox.report.run_page import write_run_page
from semivox.report.run_record import read_run

OpenPage = Callable[..., Any]
NASTY = "<script>alert('x')</script> \"Größe\" 心臓 & <b>"


@pytest.fixture(scope="module")
def page_file(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_page(read_run(finished_run), tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_whole_page_stands_without_complaint_request_or_overflow(
    width: int, height: int, page_file: Path, open_page: OpenPage
) -> None:
    opened = open_page(page_file, width, height)
    page = opened.page
    opened.ready()
    assert page.locator(".chart svg").count() == 8  # Dice, 2 volumes, uncertainty, watch, 2 terms, rate
    for link in page.locator(".contents a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert opened.overflow == 0
    assert opened.faults == []
    assert page.title() == "mean_teacher on scans/train"
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_slices_move_by_slider_wheel_keys_and_drag(page_file: Path, open_page: OpenPage) -> None:
    opened = open_page(page_file)
    page, seen = opened.page, []
    opened.ready()
    canvas = page.locator(".plane canvas").first
    slider = page.locator(".plane input[type=range]").first
    where = page.locator(".plane .where span").nth(1)

    def moved() -> bool:
        seen.append((opened.pixels(), where.inner_text(), slider.input_value()))
        return len(seen) == 1 or all(a != b for a, b in zip(seen[-1], seen[-2], strict=True))

    assert moved()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert moved()
    canvas.focus()
    page.keyboard.press("ArrowUp")
    assert moved()
    page.keyboard.press("PageDown")
    assert moved()
    page.keyboard.press("Home")
    assert moved()
    assert slider.input_value() == "0"
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -100)
    page.wait_for_timeout(100)
    assert moved()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 9, steps=4)
    page.mouse.up()
    assert moved()
    assert opened.pixels(1) != opened.pixels(0)
    assert opened.faults == []


def test_the_wheel_scrolls_the_page_unless_a_picture_has_the_focus(
    page_file: Path, open_page: OpenPage
) -> None:
    opened = open_page(page_file)
    opened.ready()
    box = opened.page.locator(".plane canvas").first.bounding_box()
    opened.page.mouse.move(box["x"] + 20, box["y"] + 20)
    before, top = opened.pixels(), opened.page.evaluate("scrollY")
    opened.page.mouse.wheel(0, 200)
    opened.page.wait_for_timeout(400)
    assert opened.page.evaluate("scrollY") > top
    assert opened.pixels() == before


def test_window_level_fill_outlines_and_masks_change_the_picture(
    page_file: Path, open_page: OpenPage
) -> None:
    opened = open_page(page_file)
    opened.ready()
    page = opened.page
    pictures = [opened.pixels()]
    for label in ("window", "level", "fill"):
        control = page.locator(".controls label", has_text=label).locator("input").first
        control.focus()
        for _ in range(12):
            page.keyboard.press("ArrowLeft")
        pictures.append(opened.pixels())
    for name in ("prediction", "reference", "outlines"):
        page.locator(".masks label", has_text=name).first.locator("input").click()
        pictures.append(opened.pixels())
        page.locator(".masks label", has_text=name).first.locator("input").click()
        assert opened.pixels() == pictures[3]  # and back again
    assert len(set(pictures)) == len(pictures)
    assert opened.faults == []


def column(page: Any, index: int) -> list[str]:
    rows = page.locator("[data-table] tbody tr")
    return [rows.nth(i).locator("th, td").nth(index).inner_text() for i in range(rows.count())]


def test_the_table_sorts_by_mouse_and_by_keyboard_with_empty_cells_last(
    page_file: Path, open_page: OpenPage
) -> None:
    opened = open_page(page_file)
    page = opened.page
    dice = column(page, 2)
    assert len(dice) == 8
    assert dice[-1] == "–"  # the case without a reference
    assert dice[:-1] == sorted(dice[:-1])  # lowest first
    heading = page.locator("[data-table] th button", has_text="Dice").first
    heading.click()
    assert column(page, 2) == [*sorted(dice[:-1], reverse=True), "–"]
    assert page.locator("[data-table] th").nth(2).get_attribute("aria-sort") == "descending"
    heading.focus()
    page.keyboard.press("Enter")
    assert column(page, 2) == dice
    page.locator("[data-table] th button", has_text="Case").focus()
    page.keyboard.press("Space")
    names = column(page, 0)
    assert names == sorted(names)
    assert opened.faults == []


def test_everything_is_reached_with_the_tabulator_and_shows_it(page_file: Path, open_page: OpenPage) -> None:
    opened = open_page(page_file)
    opened.ready()
    reached, page = set(), opened.page
    page.evaluate("window.scrollTo(0, 0); document.body.focus()")
    for _ in range(400):
        page.keyboard.press("Tab")
        what, ring = page.evaluate(
            "(e => [e.closest('.viewer') ? 'viewer ' + (e.type || e.tagName) : e.tagName,"
            " (s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)(getComputedStyle(e))])"
            "(document.activeElement)"
        )
        if what == "BODY":
            break
        assert ring, what
        reached.add(what)
    assert {"A", "BUTTON", "SUMMARY", "viewer CANVAS", "viewer range", "viewer checkbox"} <= reached


def test_names_from_files_show_as_text(
    held_out_phantoms: Path, make_run: Callable[..., Path], open_page: OpenPage, tmp_path: Path
) -> None:
    data, file_name = tmp_path / "data", "a'b\"c<i>&д心"
    shutil.copytree(held_out_phantoms, data)
    described = json.loads((data / "dataset.json").read_text())
    described["labels"] = {name if v != 1 else NASTY: v for name, v in described["labels"].items()}
    (data / "dataset.json").write_text(json.dumps(described))
    first = sorted((data / "labelsTr").iterdir())[0].name.removesuffix(".nii.gz")
    for path in (*data.rglob(f"{first}.nii.gz"), *data.rglob(f"{first}_0000.nii.gz")):
        path.rename(path.with_name(path.name.replace(first, file_name)))
    table = data / "cases.csv"
    table.write_text(table.read_text().replace(first, '"' + file_name.replace('"', '""') + '"'))
    run = make_run(tmp_path / "run", data, flagged=tuple(range(8)))
    for name in ("evaluation.json", "masks/predictions.json"):
        path = run / "evaluations" / "test" / name
        path.write_text(path.read_text().replace("it looks odd", "odd </script><b>x"))
    opened = open_page(write_run_page(read_run(run), tmp_path / "page.html"))
    opened.ready()
    text = opened.page.locator("body").inner_text()
    assert NASTY in text
    assert file_name in text
    assert "odd </script><b>x" in text
    assert opened.page.locator("main b", has_text="x").count() == 0
    assert NASTY in opened.page.locator(".keys li").first.inner_text()
    assert opened.faults == []


def test_a_thousand_cases_are_paged_and_filtered_and_stay_small(
    finished_run: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    folder = run / "evaluations" / "test"
    evaluation = json.loads((folder / "evaluation.json").read_text())
    record = json.loads((folder / "masks" / "predictions.json").read_text())
    one, row = next(iter(evaluation["cases"].values())), record["cases"][0]
    rng = np.random.default_rng(0)
    for i in range(1000):
        found = {v: {**m, "dice": float(rng.uniform(0.2, 1))} for v, m in one.items()}
        evaluation["cases"][f"more_{i:04d}"] = found
        record["cases"].append({**row, "case": f"more_{i:04d}", "mask": None, "input_sha256": f"m{i}"})
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "masks" / "predictions.json").write_text(json.dumps(record))
    file = write_run_page(read_run(run), tmp_path / "page.html")
    assert file.stat().st_size < 3_000_000
    opened = open_page(file)
    page = opened.page
    assert page.locator("[data-table] tbody tr").count() == 50
    assert "1 to 50 of 1008" in page.locator(".bar").inner_text()
    first = column(page, 0)
    page.get_by_role("button", name="Next").click()
    assert not set(first) & set(column(page, 0))
    page.get_by_role("searchbox").fill("more_0007")
    assert column(page, 0) == ["more_0007"]
    page.get_by_role("searchbox").fill("")
    page.locator("[data-table] th button", has_text="Dice").first.click()
    values = column(page, 2)
    assert values == sorted(values, reverse=True)
    assert opened.overflow == 0
    assert opened.faults == []


def test_colour_images_and_their_masks_show(
    make_run: Callable[..., Path], open_page: OpenPage, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(3):
        mask = np.zeros((40, 60), np.uint8)
        mask[10 + i : 30, 20:45] = 1
        image = rng.integers(0, 80, (40, 60, 3)).astype(np.uint8)
        image[..., 0] += 120 * mask
        Image.fromarray(image).save(data / "imagesTr" / f"c{i}_0000.png")
        Image.fromarray(mask).save(data / "labelsTr" / f"c{i}.png")
    described = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "cell": 1}}
    (data / "dataset.json").write_text(json.dumps({**described, "numTraining": 3, "file_ending": ".png"}))
    run = make_run(tmp_path / "run", data)
    opened = open_page(write_run_page(read_run(run), tmp_path / "page.html"), 390)
    opened.ready()
    page = opened.page
    page.locator(".masks label", has_text="prediction").first.locator("input").click()
    page.locator(".masks label", has_text="reference").first.locator("input").click()
    drawn = Image.open(io.BytesIO(base64.b64decode(opened.pixels().partition(",")[2]))).convert("RGB")
    red, green, _ = drawn.getpixel((drawn.width // 2, drawn.height // 2))
    assert red > 100 > green
    assert page.locator(".plane input[type=range]").count() == 0  # one slice has no slider
    assert opened.overflow == 0
    assert opened.faults == []
