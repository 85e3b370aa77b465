"""A part of a label, in a browser: which slices count, and that no save of a part loses what did before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from semivox.annotating import Desk
from semivox.annotating.drawn import Drawn
from semivox.errors import DiskFault

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SAGITTAL, CORONAL, AXIAL = 0, 1, 2
IGNORE = 3
ANY_STEPS = """async ([seed, turns]) => {
  const { Drawing } = await import("/page/drawing.js");
  let state = seed;
  const random = n => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % n;
  };
  const shape = [6, 5, 4], anything = () => true;
  const mask = Uint8Array.from({ length: 120 }, (_, i) => i < 60 ? 3 : random(3));  // half is ignore
  const d = new Drawing(shape, [1, 1, 2], mask, 3);
  d.begunWithLabel(2);
  const sorted = sets => sets.map(set => [...set].sort());
  const now = () => JSON.stringify([[...d.mask], sorted(d.drawn), sorted(d.saved)]);
  const at = () => shape.map(random);
  const acts = [
    () => d.line(at(), at(), random(3), random(2), random(4), anything),
    () => d.fill(at(), random(3), random(3), anything),
    () => d.interpolate(random(3), 1 + random(2), anything),
    () => { const axis = random(3); d.draws(axis, random(shape[axis])); },
    () => d.become(Uint8Array.from({ length: 120 }, () => random(3))),
    () => {},
  ];
  const wrong = [], past = [now()], future = [];
  const hold = (what, want) => { if (now() !== want) wrong.push([what, want, now()]); };
  for (let turn = 0; turn < turns; turn++) {
    const kind = random(8), before = now();
    if (kind === 0) {
      const could = past.length > 1;
      if (d.undo() !== could) wrong.push(["undo can", could]);
      if (could) { future.push(past.pop()); hold("undo", past.at(-1)); }
    } else if (kind === 1) {
      const could = future.length > 0;
      if (d.redo() !== could) wrong.push(["redo can", could]);
      if (could) { past.push(future.pop()); hold("redo", past.at(-1)); }
    } else {
      d.begin();
      acts[random(acts.length)]();
      if (d.undo() || d.redo()) wrong.push(["a step was taken back while another was made"]);
      if (kind === 2) { d.drop(); hold("drop", before); continue; }
      const changed = d.end();
      if (changed !== (now() !== before)) wrong.push(["end tells", changed]);
      if (changed) { past.push(now()); future.length = 0; }
    }
  }
  return wrong;
}"""


class Opened:
    """A page with a scan open. What the browser complains of fails the test."""

    def __init__(self, page: Page, url: str, scan: str) -> None:
        self.page, self.scan = page, scan
        self.faults = list[str]()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept("odd"))
        page.goto(f"{url}#scan={scan}")
        self.shows(scan)
        page.evaluate("semivox.now.size = 2")

    def shows(self, scan: str) -> None:
        self.page.wait_for_selector(f"body[data-scan='{scan}']", state="attached")

    def again(self) -> None:
        """The scan opened on another day: the browser has forgotten all of it."""
        self.page.evaluate("document.body.dataset.scan = ''")
        self.page.reload()
        self.shows(self.scan)
        self.page.evaluate("semivox.now.size = 2")

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def plane(self, axis: int) -> None:
        while self.page.evaluate("semivox.now.axis") != axis:
            self.keys("p")

    def draw(self, at: list[int], axis: int = AXIAL, value: str = "1") -> None:
        self.plane(axis)
        self.page.evaluate("at => { semivox.view.crosshair = at }", at)
        self.keys(value, "Space")

    def save_part(self) -> str:
        """What is said."""
        self.page.evaluate("document.getElementById('message').textContent = ''")
        self.keys("Shift+S")
        self.page.wait_for_selector("#message:not(:empty)", state="attached")
        self.page.wait_for_selector("#wait", state="hidden")
        return str(self.page.locator("#message").text_content())

    @property
    def counted(self) -> str:
        return str(self.page.locator("#drawn").inner_text())

    @property
    def mask(self) -> np.ndarray:
        shape, numbers = self.page.evaluate("[semivox.now.facts.shape, Array.from(semivox.now.drawing.mask)]")
        return np.array(numbers, np.uint8).reshape(shape, order="F")


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    chromium = launch()
    yield chromium
    chromium.close()


@pytest.fixture
def opened(browser: Browser, desk: Desk, served: Any) -> Iterator[Opened]:
    """The scan ``straight``, which has no label: the page shows the model's mask."""
    with served(desk) as url:
        page = browser.new_page(viewport={"width": 900, "height": 600})
        seen = Opened(page, url, "straight")
        yield seen
        assert seen.faults == []
        page.close()


def on_disk(desk: Desk) -> np.ndarray:
    label = nib.load(desk.data / "labelsTr/straight.nii.gz")
    return np.asanyarray(nib.as_closest_canonical(label).dataobj)


def looked_at(desk: Desk) -> list[int]:
    label = on_disk(desk)
    return [s for s in range(label.shape[2]) if (label[..., s] != 200).any()]


# ---- a label that is opened again


def test_a_part_that_was_saved_stays_when_another_is_drawn_on_another_day(opened: Opened, desk: Desk) -> None:
    """Its slices count beside the new ones. Of these nothing is left as not looked at, drawn in or marked."""
    opened.draw([4, 5, 2])
    assert "not looked at" in opened.save_part()
    first = on_disk(desk)[..., 2]
    opened.again()
    assert opened.counted == "1"
    opened.draw([6, 6, 5])
    opened.page.evaluate("semivox.view.crosshair = [0, 0, 7]")
    opened.keys("r")
    assert opened.counted == "3"
    opened.save_part()
    label = on_disk(desk)
    assert looked_at(desk) == [2, 5, 7]
    np.testing.assert_array_equal(label[..., 2], first)
    assert (label[..., 5] == 3).sum() == 5
    assert set(np.unique(label[..., 5])) == {0, 3}
    assert set(np.unique(label[..., 7])) == {0}
    opened.again()
    opened.keys("z", "z")
    opened.save_part()
    assert looked_at(desk) == [2, 5, 7]


def test_a_whole_label_stays_whole(opened: Opened, desk: Desk) -> None:
    """Whichever plane is drawn in."""
    opened.keys("s")
    opened.page.locator("#message.good", has_text="Saved").wait_for()
    before = opened.mask
    opened.again()
    opened.draw([4, 5, 2])
    opened.draw([6, 6, 5], SAGITTAL)
    want = opened.mask
    assert (want != before).any()
    assert opened.save_part().strip() == "Saved."
    np.testing.assert_array_equal(on_disk(desk), np.array([0, 3, 7, 200])[want])


def test_a_models_mask_counts_where_it_was_drawn_in_alone(opened: Opened, desk: Desk) -> None:
    """Also where it takes the place of what was drawn, or of a label."""
    assert opened.counted == "0"
    assert "No slice was drawn in yet" in opened.save_part()
    opened.page.evaluate("semivox.now.drawing.mask[0] = 1 - semivox.now.drawing.mask[0]")
    opened.draw([0, 0, 0], value="0")
    opened.draw([4, 5, 2], value="2")
    becomes = "d => { d.begin(); d.become(new Uint8Array(14 * 12 * 10).fill(1)); d.end() }"
    model = f"({becomes})(semivox.now.drawing)"
    opened.page.evaluate(model)
    opened.keys("l")
    assert opened.counted == "0"
    opened.keys("z")
    assert opened.counted == "2"
    opened.save_part()
    assert looked_at(desk) == [0, 2]
    opened.again()
    opened.page.evaluate(model)
    opened.draw([4, 5, 6], value="2")
    assert opened.counted == "1"
    opened.save_part()
    assert looked_at(desk) == [6]


@pytest.mark.parametrize("axis", [SAGITTAL, CORONAL, AXIAL])
def test_a_label_of_any_plane_is_known_by_what_it_holds(axis: int, opened: Opened) -> None:
    opened.plane(axis)
    opened.draw([4, 5, 2], axis)
    opened.save_part()
    opened.again()
    counts = opened.page.evaluate("semivox.now.drawing.counted()")
    assert counts == [{"axis": axis, "slices": [[4, 5, 2][axis]]}]


# ---- what is taken back


def test_what_is_taken_back_counts_no_more(opened: Opened, desk: Desk) -> None:
    """By undo and redo, of a stroke, a mark, and slices that were made between two."""
    opened.draw([4, 5, 3])
    opened.keys("z")
    assert opened.counted == "0"
    assert "No slice was drawn in yet" in opened.save_part()
    opened.keys("y")
    assert opened.counted == "1"
    opened.draw([4, 5, 6])
    opened.keys("i")
    assert opened.counted == "4"
    opened.keys("z")
    assert opened.counted == "2"
    opened.page.evaluate("semivox.view.crosshair = [0, 0, 9]")
    opened.keys("r")
    assert opened.counted == "3"
    opened.keys("z")
    opened.save_part()
    assert looked_at(desk) == [3, 6]


def test_two_fingers_draw_nothing(opened: Opened) -> None:
    """They move and zoom. The first of them touches the scan before the second does; whether that changed a
    voxel or none, the mask, the slices and the steps that can be taken back are as they were."""
    opened.page.evaluate("semivox.view.view(1)")
    opened.draw([4, 5, 2])
    opened.draw([4, 5, 8])
    opened.keys("z")
    before, counted = opened.mask, opened.counted
    box = opened.page.locator("#viewer").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = opened.page.context.new_cdp_session(opened.page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    for value in ("1", "0"):
        opened.page.evaluate("semivox.view.crosshair = [7, 6, 5]")
        for painted in (False, True):
            opened.page.evaluate(
                f"semivox.now.drawing.mask.fill({value if painted else 1 - int(value)}, 14*12*5, 14*12*6)"
            )
            was = opened.mask
            opened.keys(value)
            fingers("touchStart", (x, y))
            fingers("touchStart", (x, y), (x + 30, y))
            fingers("touchMove", (x - 9, y), (x + 50, y))
            fingers("touchEnd")
            np.testing.assert_array_equal(opened.mask, was)
            assert opened.counted == counted == "1"
    opened.page.evaluate("given => semivox.now.drawing.mask.set(given)", before.ravel(order="F").tolist())
    opened.keys("y")
    assert opened.counted == "2"  # what was undone before can still be brought again
    opened.keys("z", "z")
    assert opened.counted == "0"


@pytest.mark.parametrize("seed", range(6))
def test_each_step_takes_back_what_it_did_and_nothing_else(seed: int, opened: Opened) -> None:
    """Held against copies of all there is: strokes, fills, slices made between, marks, another mask."""
    assert opened.page.evaluate(ANY_STEPS, [seed, 300]) == []


def test_a_stroke_through_slices_is_drawn_in_all_of_them(opened: Opened) -> None:
    """The wheel goes on while the button is down."""
    drawn = (
        "d => { d.begin(); d.line([4, 5, 2], [8, 5, 6], 2, 0, 1, () => true); d.end(); return d.counted() }"
    )
    found = opened.page.evaluate(f"({drawn})(semivox.now.drawing)")
    assert found == [{"axis": 2, "slices": [2, 3, 4, 5, 6]}]


# ---- two planes


def test_slices_of_two_planes_are_not_saved_as_those_of_one(opened: Opened, desk: Desk) -> None:
    """In one session, and where the label's are of another plane; what is of one again can be saved."""
    opened.draw([4, 5, 2])
    opened.draw([4, 5, 3])
    opened.draw([6, 6, 5], SAGITTAL)
    assert opened.counted == "1 + 2"
    said = opened.save_part()
    assert ("Nothing was saved" in said, "1 sagittal" in said, "2 axial" in said) == (True, True, True)
    assert not (desk.data / "labelsTr/straight.nii.gz").exists()
    opened.keys("z")
    opened.save_part()
    assert looked_at(desk) == [2, 3]
    before = (desk.data / "labelsTr/straight.nii.gz").read_bytes()
    opened.again()
    opened.draw([6, 6, 5], SAGITTAL)
    assert "Nothing was saved" in opened.save_part()
    assert (desk.data / "labelsTr/straight.nii.gz").read_bytes() == before
    assert desk.book.history("straight")[-1]["drawn"] == str(Drawn(2, (2, 3)))


def test_what_could_not_be_noted_keeps_the_scan_open(
    opened: Opened, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that the server did not take: what was drawn is not saved still, and the fault stands there."""

    def full(*_: Any) -> None:
        raise DiskFault("the book of labels cannot be used", path=Path("book"), found="full")

    monkeypatch.setattr(desk, "mark", full)
    opened.draw([4, 5, 2])
    opened.keys("g")
    opened.page.locator("#message", has_text="cannot be used").wait_for()
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate(
        "[semivox.now.facts.case, semivox.now.drawing.changes !== semivox.now.saved]"
    ) == [
        "straight",
        True,
    ]
