"""A reader's work in a real browser: what is drawn on the screen lies in the file, voxel by voxel."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from semivox.annotating import Desk, Length, listening, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCANS = ("straight", "flipped", "permuted", "oblique", "thick")
VALUES = np.array([0, 3, 7, 200])
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    chromium = launch(*SOFTWARE)
    yield chromium
    chromium.close()


class Reader:
    """A page that a reader has open; ``faults`` is what the browser complained of, and requests that left."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int] = (764, 400)) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.faults = list[str]()
        self.page.on(
            "console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else self._left(r.url)
        )
        self.page.on("dialog", lambda dialog: dialog.accept("an odd scan"))
        self.url = url

    def _left(self, url: str) -> None:
        self.faults.append(f"request: {url}")

    def load(self, scan: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#scan={scan}")
        self.shows(scan)

    def open(self, scan: str) -> None:
        """From the list, as if another one had been open before; a page that is not there yet is loaded."""
        if self.page.url == "about:blank":
            self.load(scan)
            return
        self.page.evaluate("document.body.dataset.scan = ''")
        self.page.locator("#scans button", has_text=scan).click()
        self.shows(scan)

    def shows(self, scan: str) -> None:
        self.page.wait_for_selector(f"body[data-scan='{scan}']", state="attached")

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def save(self, key: str = "s") -> None:
        self.keys(key)
        self.page.locator("#message.good", has_text="Saved").wait_for()

    @property
    def crosshair(self) -> list[int]:
        return list(self.page.evaluate("semivox.view.crosshair"))

    def at(self, voxel: list[int]) -> None:
        self.page.evaluate("at => { semivox.view.crosshair = at }", voxel)

    @property
    def mask(self) -> np.ndarray:
        shape, numbers = self.page.evaluate("[semivox.now.facts.shape, Array.from(semivox.now.drawing.mask)]")
        return np.array(numbers, np.uint8).reshape(shape, order="F")


@pytest.fixture(scope="module")
def desk(scans_run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    data = Path(shutil.copytree(scans_run[0], tmp_path_factory.mktemp("page") / "data"))
    for name in SCANS:  # one bright voxel, which is found on the screen
        path = data / f"imagesTr/{name}_0000.nii.gz"
        image = nib.load(path)
        array = np.full(image.shape, 10, np.int16)
        array[tuple(MARK)] = 1000
        nib.save(nib.Nifti1Image(array, image.affine), path)
    return Desk(scans_run[1], data)


MARK = (3, 8, 6)


@pytest.fixture(scope="module")
def url(desk: Desk) -> Iterator[str]:
    listens, address = listening("127.0.0.1", 0, None)
    with serve(desk, listens, address, Length(steps=1, threads=1), "Anna", rank=False):
        yield address.url


@pytest.fixture(scope="module")
def anna(browser: Browser, url: str) -> Iterator[Reader]:
    reader = Reader(browser, url)
    yield reader
    assert reader.faults == []
    reader.page.close()


def on_disk(desk: Desk, scan: str) -> np.ndarray:
    """The label's values, turned by its own header."""
    label = nib.load(desk.data / f"labelsTr/{scan}.nii.gz")
    np.testing.assert_array_equal(label.affine, nib.load(desk.data / f"imagesTr/{scan}_0000.nii.gz").affine)
    return np.asanyarray(nib.as_closest_canonical(label).dataobj)


def brightest(reader: Reader) -> tuple[float, float]:
    """Where the brightest spot of the scan is on the screen."""
    box = reader.page.locator("#viewer").bounding_box()
    assert box is not None
    picture = Image.open(io.BytesIO(reader.page.screenshot(clip=box))).convert("RGB")
    grey = np.asarray(picture).astype(float)
    grey = grey.min(-1) * (np.ptp(grey, axis=-1) < 10)  # neither the crosshair nor a mask
    rows, columns = np.nonzero(grey > 0.7 * grey.max())
    return box["x"] + float(np.median(columns)), box["y"] + float(np.median(rows))


@pytest.mark.parametrize("scan", SCANS)
def test_what_is_drawn_where_the_scan_shows_a_spot_lies_on_that_spot_in_the_file(
    scan: str, anna: Reader, desk: Desk
) -> None:
    """By mouse in the axial plane; then by keyboard in three slices, with an undo; then opened again."""
    anna.open(scan)
    began_with = np.frombuffer(desk.mask(scan), np.uint8).reshape(desk.opened(scan).grid.shape, order="F")
    np.testing.assert_array_equal(anna.mask, began_with)
    canonical = np.asanyarray(
        nib.as_closest_canonical(nib.load(desk.data / f"imagesTr/{scan}_0000.nii.gz")).dataobj
    )
    spot = [int(i) for i in np.argwhere(canonical == 1000)[0]]
    away = [(spot[0] + 5) % 14, (spot[1] + 5) % 10, spot[2]]
    anna.page.evaluate("semivox.view.view(1)")
    anna.at(away)
    anna.page.evaluate("semivox.view.planes.bare = true")
    anna.keys("x")  # the mask is hidden, so that the spot is the brightest
    x, y = brightest(anna)
    anna.keys("x", "[", "[", "[", "2")
    anna.page.mouse.click(x, y)
    want = began_with.copy()
    want[tuple(spot)] = 2
    drawn = [spot[2]]
    for step, key in enumerate(("1", "0", "2")):
        anna.at([2 + step, 4, step + 1])
        anna.keys(key, "Space")
        want[2 + step, 4, step + 1] = (1, 0, 2)[step]
        drawn.append(step + 1)
    anna.at([9, 9, 9])
    anna.keys("1", "Space", "z")
    np.testing.assert_array_equal(anna.mask, want)
    anna.save()
    np.testing.assert_array_equal(on_disk(desk, scan), VALUES[want])
    anna.open(scan)
    np.testing.assert_array_equal(anna.mask, want)


def test_the_keyboard_alone_suffices(anna: Reader, desk: Desk) -> None:
    """A line by the pen, interpolation between two slices, slices that were not drawn in, skip and flag."""
    anna.load("known_a")
    anna.page.evaluate("semivox.now.drawing.mask.fill(0); semivox.now.drawing.saved.forEach(s => s.clear())")
    anna.at([4, 5, 2])
    anna.keys("1", "[", "[", "[", "]", "Space", "PageUp", "PageUp", "PageUp", "PageUp", "ArrowRight")
    there = anna.crosshair
    assert there[2] == 6
    anna.keys("Space", "i")
    anna.page.locator("#message.good", has_text="3 slices made").wait_for()
    mask = anna.mask
    counts = [int((mask[:, :, s] == 1).sum()) for s in range(10)]
    assert counts[2] == counts[6] == 5  # a disc of three voxels across
    assert all(counts[s] > 0 for s in (3, 4, 5))
    assert sum(counts[:2] + counts[7:]) == 0
    anna.keys("d", "ArrowDown", "ArrowDown", "d")
    anna.keys("2", "c", "1")  # the second class was not drawn
    anna.save("Shift+S")
    assert "left out: right" in anna.page.locator("#message").inner_text()
    assert desk.whole.of(desk.case("known_a")) == {3}
    label = on_disk(desk, "known_a")
    assert set(np.unique(label[:, :, [0, 1, 7, 8, 9]])) == {200}
    assert 7 not in label
    np.testing.assert_array_equal(label[:, :, 2:7], VALUES[anna.mask][:, :, 2:7])
    anna.keys("?")
    assert anna.page.locator("#help").is_visible()
    anna.keys("Escape", "g")
    anna.page.locator("#message", has_text="Every scan that is offered").wait_for()
    assert desk.book.last_actions()["known_a"] == ("flag", "an odd scan")


@pytest.mark.parametrize("width", [420, 620, *range(764, 1100, 42)])
def test_nothing_that_is_said_moves_the_picture(anna: Reader, width: int) -> None:
    """Pointer, tools, pen, views, the state of the drawing: what is under the pointer stays there."""
    usual = anna.page.viewport_size
    anna.page.set_viewport_size({"width": width, "height": 700})
    anna.load("thick")
    box = anna.page.locator("#viewer").bounding_box()
    assert box is not None
    anna.at([0, 0, 0])
    for key in ("b", "d", "Space", "ArrowRight", "d", "2", "x", "x", "v", "v", "v", "p", "l", "t", "1", "z"):
        anna.keys(key)
        assert anna.page.locator("#viewer").bounding_box() == box, key
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        anna.page.mouse.move(box["x"] + part * box["width"], box["y"] + part * box["height"])
        assert anna.page.locator("#viewer").bounding_box() == box, part
    assert usual is not None
    anna.page.set_viewport_size(usual)


def test_a_second_reader_is_told(anna: Reader, browser: Browser, url: str) -> None:
    anna.open("thick")
    ben = Reader(browser, url, (420, 700))
    ben.page.goto(url + "#scan=thick")
    message = ben.page.locator("#message")
    message.wait_for()
    assert "thick is open with Anna" in message.inner_text()
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert ben.page.evaluate(over) <= 0  # a narrow window shows all
    ben.page.close()


def test_a_picture_in_colour(pictures_run: tuple[Path, Path], pictures: Path, browser: Browser) -> None:
    """Its one white pixel is found on the screen and drawn on. It is offered behind one that is damaged."""
    colours = np.zeros((24, 32, 3), np.uint8) + np.array([90, 40, 40], np.uint8)
    colours[20, 27] = 255
    Image.fromarray(colours).save(pictures / "imagesTr/new_0000.png")
    (pictures / "imagesTr/damaged_0000.png").write_bytes(b"x" * 500)
    desk = Desk(pictures_run[1], pictures)
    listens, address = listening("127.0.0.1", 0, None)
    with serve(desk, listens, address, Length(), "Anna", rank=False):
        reader = Reader(browser, address.url)
        reader.page.goto(address.url)
        reader.shows("new")
        told = reader.page.locator("#message").inner_text()
        assert ("Passed over" in told, "damaged" in told) == (True, True)
        reader.page.locator("#message").click()  # it goes
        reader.page.evaluate("semivox.view.planes.bare = true; semivox.now.drawing.mask.fill(0)")
        reader.keys("x")
        x, y = brightest(reader)
        reader.keys("[", "[", "[")
        reader.page.mouse.click(x, y)
        reader.save()
        written = np.asarray(Image.open(pictures / "labelsTr/new.png"))
        assert (written.shape, np.argwhere(written).tolist()) == ((24, 32), [[20, 27]])
        assert reader.faults == []
        reader.page.close()


def test_a_large_scan_comes_once_and_its_first_slice_before_the_rest(
    run: Path, data: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent is the scan's voxels as they are stored, one slice more, a packed mask, and the page."""
    shape = (256, 256, 136)
    big = np.zeros(shape, np.int16)
    big[60:200, 80:170, 20:110] = np.arange(90) * 5
    nib.save(nib.Nifti1Image(big, np.diag([-1.0, -1, 2, 1])), data / "imagesTr/thick_0000.nii.gz")
    found = np.zeros(shape, np.uint8)
    found[90:170, 100:150, 30:90] = 3
    desk = Desk(run, data)
    monkeypatch.setattr(desk, "predicted", lambda scan: found)
    listens, address = listening("127.0.0.1", 0, None)
    with serve(desk, listens, address, Length(), "Anna", rank=False):
        reader = Reader(browser, address.url)
        sent = list[tuple[str, int]]()
        reader.page.on("response", lambda r: sent.append((r.url, int(r.headers.get("content-length", 0)))))
        reader.load("thick")
        scans = [size for url, size in sent if "/api/image" in url]
        assert scans == [2 * 256 * 256, 2 * big.size]
        assert sum(size for _, size in sent) < 2.05 * big.size
        assert sum("/api/" in url for url, _ in sent) < 12
        assert reader.crosshair == [126, 131, 60]  # the middle of the mask in the patient's axes
        seen = reader.page.evaluate("[0, 100 + 256 * (100 + 256 * 60)].map(i => semivox.view.intensity(i))")
        assert seen == [0, int(big[155, 155, 60])]
        assert reader.faults == []
        reader.page.close()


def test_three_dimensions_are_drawn_when_they_are_asked_for(anna: Reader) -> None:
    anna.load("straight")
    niivue = "performance.getEntriesByType('resource').some(e => e.name.endsWith('niivue.js'))"
    assert not anna.page.evaluate(niivue)  # without a graphics card it waits
    anna.page.evaluate("semivox.view.view(4)")
    anna.page.wait_for_selector("#solid[data-drawn]")
    assert anna.page.evaluate("semivox.view.solid.nv.drawBitmap.some(v => v)")
    box = anna.page.locator("#solid").bounding_box()
    assert box is not None
    picture = np.asarray(Image.open(io.BytesIO(anna.page.screenshot(clip=box))).convert("RGB"))
    assert (picture.max(-1) > 60).mean() > 0.02
