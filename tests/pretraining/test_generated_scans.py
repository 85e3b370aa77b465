"""Generated scans: reproducible one by one, of all classes, and with intensities that tell no class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import semivox
from semivox.batches.separable import coarsening_matrix
from semivox.cohort import read_label, read_volume
from semivox.errors import DataError, SettingsError
from semivox.pretraining import KINDS, Recipe, Scan, make_scan, name_of, scans, write_scans
from semivox.pretraining.anatomy import LABEL, Grid, _bent_space, draw_anatomy, smooth_noise, star
from semivox.pretraining.rendering import draw_means
from semivox.pretraining.scans import commonest
from semivox.randomness import Key

SOME = 30


@pytest.fixture(scope="module", params=[(32, 32, 24), (56, 56)], ids=["3D", "2D"])
def some(request: pytest.FixtureRequest) -> list[Scan]:
    return [make_scan(Recipe(0, request.param), number) for number in range(SOME)]


def test_a_scan_depends_neither_on_how_many_there_are_nor_on_the_workers(tmp_path: Path) -> None:
    recipe = Recipe(3, (16, 16, 12), (1.0, 1.0, 2.0))
    write_scans(tmp_path / "three", recipe, 3)
    write_scans(tmp_path / "ten", recipe, 10, workers=2)
    for number in range(3):
        scan = make_scan(recipe, number)
        for folder in ("three", "ten"):
            data, name = tmp_path / folder, name_of(number)
            image = read_volume(data / "imagesTr" / f"{name}_0000.nii.gz").array
            np.testing.assert_array_equal(image, np.rint(scan.image * 1000))
            np.testing.assert_array_equal(
                read_label(data / "labelsTr" / f"{name}.nii.gz").array[0], scan.label
            )
    names = sorted(path.name for path in (tmp_path / "ten" / "labelsTr").iterdir())
    assert names == [f"{name_of(number)}.nii.gz" for number in range(10)]
    assert (make_scan(recipe, 0).label != make_scan(recipe, 1).label).any()
    assert (make_scan(recipe, 0).label != make_scan(Recipe(4, recipe.shape, recipe.spacing), 0).label).any()


def test_every_class_is_in_a_third_of_the_scans_and_few_are_nearly_empty(
    some: list[Scan],
) -> None:
    present = Counter(k for scan in some for k in np.unique(scan.label).tolist())
    assert sorted(present) == list(range(len(KINDS) + 1))
    assert min(present[k] for k in LABEL.values()) >= SOME // 3
    shares = np.array([np.count_nonzero(scan.label) / scan.label.size for scan in some])
    assert np.mean((shares >= 0.05) & (shares <= 0.6)) >= 0.9
    assert np.mean([scan.image.std() for scan in some]) > 0.1


def lead_by_intensity(labels: list[int], values: list[float]) -> tuple[float, float]:
    """The rank correlation of class and intensity; and by how much the class that is most common among the
    like, in the other half, is right more often than the most common of all."""
    classes, seen = np.array(labels), np.array(values)
    bins = np.searchsorted(np.quantile(seen, np.linspace(0, 1, 6)[1:-1]), seen)
    half = np.arange(len(seen)) % 2 == 0

    def right(groups: np.ndarray) -> float:
        hits = 0
        for learned, asked in ((half, ~half), (~half, half)):
            for group in np.unique(groups):
                known = classes[learned & (groups == group)]
                hits += int((classes[asked & (groups == group)] == np.bincount(known).argmax()).sum())
        return hits / len(classes)

    return float(spearmanr(classes, seen).statistic), right(bins) - right(np.zeros_like(bins))


def test_what_is_drawn_as_intensity_does_not_tell_the_class() -> None:
    labels, values = [], []
    for i in range(90):
        anatomy = draw_anatomy(Key(1, i), Grid.of((12, 12), None))
        for part, mean in zip(anatomy.parts, draw_means(Key(2, i), anatomy), strict=True):
            if part.kind in LABEL and part.like is None:
                labels.append(LABEL[part.kind])
                values.append(float(mean))
    assert len(labels) > 600
    rank, lead = lead_by_intensity(labels, values)
    assert abs(rank) < 0.1
    assert lead < 0.06
    told = [k + v for k, v in zip(labels, values, strict=True)]
    assert lead_by_intensity(labels, told)[1] > 0.5  # it would be seen


def test_what_is_seen_as_intensity_does_not_tell_the_class(some: list[Scan]) -> None:
    labels, values = [], []
    for scan in some:
        for k in np.unique(scan.label[scan.label > 0]).tolist():
            labels.append(k)
            values.append(float(scan.image[0][scan.label == k].mean()))
    rank, lead = lead_by_intensity(labels, values)
    assert abs(rank) < 0.25
    assert lead < 0.12


@pytest.mark.parametrize(
    ("shape", "spacing", "channels", "files"),
    [
        ((16, 20, 12), None, 1, ["_0000.nii.gz"]),
        ((16, 20, 6), (1.5, 1.5, 6.7), 3, ["_0000.nii.gz", "_0001.nii.gz", "_0002.nii.gz"]),
        ((32, 40), None, 1, ["_0000.png"]),
        ((32, 40), None, 2, ["_0000.png", "_0001.png"]),
        ((32, 40), None, 3, ["_0000.png"]),
        ((32, 40), (0.5, 0.5), 2, ["_0000.nii.gz", "_0001.nii.gz"]),
    ],
)
def test_check_accepts_the_folder(
    tmp_path: Path,
    shape: tuple[int, ...],
    spacing: tuple[float, ...] | None,
    channels: int,
    files: list[str],
) -> None:
    write_scans(tmp_path / "data", Recipe(0, shape, spacing, channels), 3)
    report = semivox.check(tmp_path / "data")
    assert [finding.fault for finding in report.findings] == []
    assert (report.cases, report.labeled, report.dims) == (3, 3, len(shape))
    assert len(report.channels) == channels
    assert report.shapes == (shape,) * 3
    assert report.spacing == ("unknown" if spacing is None else "known")
    first = sorted(path.name for path in (tmp_path / "data" / "imagesTr").glob(f"{name_of(0)}*"))
    assert first == [name_of(0) + ending for ending in files]


def test_thin_scans_are_rendered_finer_along_their_coarse_axis() -> None:
    recipe = Recipe(5, (56, 56, 8), (1.5, 1.5, 6.7))
    assert Grid.of(recipe.shape, recipe.spacing).rendered == (56, 56, 32)
    scan = make_scan(recipe, 0)
    assert scan.image.shape == (1, 56, 56, 8)
    assert scan.image.dtype == np.float32
    assert (scan.image.min(), scan.image.max()) == (0, 1)
    assert scan.label.shape == (56, 56, 8)
    assert scan.label.any()


def test_a_voxel_has_the_label_of_most_that_are_rendered_in_it() -> None:
    grid = Grid.of((3, 4, 2), (1, 1, 3))
    fine = np.random.default_rng(0).integers(0, 3, grid.rendered).astype(np.uint8)
    made = commonest(fine, grid)
    for x, y, z in np.ndindex(grid.shape):
        assert made[x, y, z] == np.bincount(fine[x, y, 3 * z : 3 * z + 3]).argmax()


@pytest.mark.parametrize(
    ("shape", "spacing", "spaces"), [((48, 40), None, 150), ((28, 24, 6), (1, 1, 3), 10)]
)
def test_no_shape_is_cut_where_its_window_ends_and_space_does_not_fold(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None, spaces: int
) -> None:
    for i in range(spaces):
        anatomy = _bent_space(Key(i), Grid.of(shape, spacing))
        dims, rng = len(shape), (Key(i) / "bodies").numpy()
        at, radius = rng.uniform(8, 24, dims), rng.uniform(8, 14)
        points = anatomy.points.reshape(dims, -1) - at.astype(np.float32)[:, None]
        for body in (star(rng, at, radius, 0.0, 0.0), star(rng, at, radius, 0.4)):  # a ball is one, too
            everywhere = body.depth(points).reshape(anatomy.part.shape) > 0
            window, depth = anatomy.depth(body)
            here = np.zeros_like(everywhere)
            here[window] = depth > 0
            np.testing.assert_array_equal(here, everywhere)
        slopes = np.gradient(anatomy.points, *anatomy.grid.steps, axis=tuple(range(1, dims + 1)))
        assert (np.linalg.det(np.moveaxis(np.stack(slopes), (0, 1), (-1, -2))) > 0).all()


def test_noise_has_about_deviation_1_and_the_length_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    for band in (False, True):
        noise = np.stack([smooth_noise(rng, (60, 50), (5, 5), band) for _ in range(40)])
        assert abs(noise.mean()) < 0.05
        assert 0.8 < noise.std() < 1.2
        beside = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
        far = np.corrcoef(noise[:, 20:].ravel(), noise[:, :-20].ravel())[0, 1]
        assert beside > 0.85
        assert abs(far) < 0.1


def test_an_axis_made_coarser_keeps_what_is_even_and_loses_what_is_fine() -> None:
    np.testing.assert_allclose(coarsening_matrix(9, 1.0), np.eye(9), atol=1e-6)
    table = coarsening_matrix(24, 3.0).numpy()
    np.testing.assert_allclose(table @ np.ones(24), 1, atol=1e-6)
    assert np.abs(table @ (-1.0) ** np.arange(24)).max() < 0.4


def test_an_existing_folder_is_refused_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scan").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_scans(tmp_path / "mine", Recipe(0, (16, 16)), 2)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["scan"]

    def failing(recipe: Recipe, number: int) -> Scan:
        if number:
            raise DataError("no room", path=tmp_path)
        return make_scan(recipe, number)

    monkeypatch.setattr(scans, "make_scan", failing)
    with pytest.raises(DataError, match="no room"):
        write_scans(tmp_path / "new", Recipe(0, (16, 16)), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "recipe",
    [Recipe(0, (16,)), Recipe(0, (16, 16), (1.0,)), Recipe(0, (16, 16), (1.0, 0.0)), Recipe(0, (2, 9))],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(SettingsError):
        write_scans(tmp_path / "data", recipe, 1)
    assert list(tmp_path.iterdir()) == []
