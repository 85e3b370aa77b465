"""Slices to draw: few in many scans, spread, counted in the file's own axes; and labels to draw them in."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import semivox
from semivox.cohort import ENDINGS, Case, Volume, load_cohort
from semivox.errors import DataError, SettingsError
from semivox.files import inside
from semivox.prepare.grid import Grid
from semivox.ranking.ranked_scan import RankedScan
from semivox.ranking.slices import (
    ChosenSlice,
    SliceScores,
    choose_slices,
    scans_for,
    slice_scores,
    spread,
    write_slices,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_slices_of_a_scan_are_high_and_apart(count: int) -> None:
    for _ in range(30):
        scores = RNG.random(40) * np.hanning(40)
        found = spread(scores, count)
        high = np.flatnonzero(scores > 0.1 * scores.max())
        apart = max(1, (high[-1] - high[0] + 1) // (2 * count))
        assert len(found) == count
        assert found[0] == scores.argmax()
        assert min((abs(a - b) for a in found for b in found if a != b), default=apart) >= apart
        # greedy: no slice left that is far enough from those before is higher
        for k, index in enumerate(found):
            free = [i for i in range(40) if all(abs(i - other) >= apart for other in found[:k])]
            assert scores[index] == scores[free].max()


def test_a_scan_of_which_nothing_is_uncertain_names_none_and_few_slices_are_few() -> None:
    assert spread(np.zeros(9), 3) == []
    assert spread(np.array([0.0, 2.0, 0.0]), 3) == [1]
    assert spread(np.ones(4), 0) == []


def test_the_slices_are_shared_out_evenly() -> None:
    rows = [
        RankedScan(name, 1, f"p{name}", i, 0.5, 0.1, None, None, None, "") for i, name in enumerate("abc", 1)
    ]
    scores = {name: SliceScores(1, RNG.random(30) + 1) for name in "abc"}
    chosen = choose_slices(rows, scores, 8)
    assert [each.case for each in chosen] == list("aaabbbcc")
    assert [each.chosen for each in chosen] == list(range(1, 9))
    assert {each.axis for each in chosen} == {1}
    assert [scans_for(n, 5) for n in (1, 3, 4, 100)] == [1, 1, 2, 5]


@pytest.mark.parametrize("spacing", [1.0, 2.0])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_a_bright_slice_of_the_working_grid_is_that_of_the_file(
    spacing: float, axes: tuple[int, ...], flip: float
) -> None:
    """The slow way: the map is brought back to the file's grid."""
    affine = np.diag([flip, 1.0, flip, 1.0])
    volume = Volume(np.zeros((1, 12, 10, 8)), affine)
    grid = Grid.lay(volume, axes, (spacing,) * 3)
    entropies = RNG.random(grid.working_shape)
    found = slice_scores(grid, entropies)
    assert found.axis == axes[-1]
    assert len(found.scores) == volume.shape[found.axis]
    bright = np.zeros(grid.working_shape)
    bright[..., -1] = 1.0
    back = grid.to_native(bright[None])[0]
    profile = np.moveaxis(back, axes[-1], 0).reshape(volume.shape[axes[-1]], -1).mean(1)
    np.testing.assert_array_equal(slice_scores(grid, bright).scores > 0, profile >= 0.5)


@pytest.fixture(scope="module")
def ranked(
    phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A run of two steps, and its data folder."""
    folder = tmp_path_factory.mktemp("slices")
    data = Path(shutil.copytree(phantoms[0], folder / "data", ignore=shutil.ignore_patterns(".semivox")))
    semivox.train(data, folder / "run", method="supervised", steps=2, settings=small, cache=folder / "cache")
    return folder / "run", data


def test_labels_to_draw_in_train_when_they_are_drawn(
    ranked: tuple[Path, Path], small: dict[str, Any], tmp_path: Path
) -> None:
    run, data = ranked
    ranking = semivox.rank(run, data, slices=5, out=tmp_path / "ranking")
    assert [each.chosen for each in ranking.slices] == [1, 2, 3, 4, 5]
    assert len({each.case for each in ranking.slices}) == 2
    with (tmp_path / "ranking/slices.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row["case"], int(row["slice"])) for row in table] == [(s.case, s.slice) for s in ranking.slices]
    content = json.loads((tmp_path / "ranking/ranking.json").read_text())
    assert [row["slice"] for row in content["slices"]] == [s.slice for s in ranking.slices]
    assert any('add "ignore": 2 to labels' in note for note in ranking.notes)

    described = json.loads((data / "dataset.json").read_text())
    described["labels"]["ignore"] = 2
    (data / "dataset.json").write_text(json.dumps(described))
    for template in (tmp_path / "ranking/slices").iterdir():
        shutil.copy(template, data / "labelsTr")
    assert ["edited" in str(error) for error in semivox.check(data).errors] == [
        True,
        True,
    ]  # nobody has drawn
    with pytest.raises(DataError, match="nobody has edited"):
        semivox.train(data, tmp_path / "early", method="supervised", steps=2, settings=small)
    with pytest.raises(DataError, match="to draw in that nobody has edited"):
        semivox.evaluate(data / "labelsTr", data)
    for case in {each.case for each in ranking.slices}:
        (path,) = (data / "labelsTr").glob(f"{case}.*")
        image = nib.load(path)
        label = np.asarray(image.dataobj).copy()
        own = [each for each in ranking.slices if each.case == case]
        slices = np.moveaxis(label, own[0].axis, 0)
        assert {i for i in range(len(slices)) if (slices[i] != 2).any()} == {each.slice for each in own}
        slices[[each.slice for each in own], 4:9, 4:9] = 1
        nib.save(nib.Nifti1Image(label, image.affine), path)
    cohort = load_cohort(data)
    assert cohort.ignore == 2
    assert sum(case.label is not None for case in cohort.cases) == 4
    for method in ("supervised", "mean_teacher"):
        result = semivox.train(data, tmp_path / method, method=method, steps=2, settings=small)
        assert result.steps == 2


def test_what_was_drawn_stays_and_what_was_not_goes(ranked: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = ranked
    out = tmp_path / "ranking"
    first = semivox.rank(run, data, slices=2, top=1, out=out)
    (mine,) = (out / "slices").iterdir()
    other = next(row.case for row in first.scans if row.chosen is None)
    mine.rename(inside(out, "slices", mine.name.replace(first.chosen[0].case, other)))
    semivox.rank(run, data, slices=2, top=1, out=out)
    assert [path.name for path in (out / "slices").iterdir()] == [mine.name]  # of another scan, untouched
    image = nib.load(mine)
    label = np.asarray(image.dataobj).copy()
    label[4:9, 4:9] = 1
    nib.save(nib.Nifti1Image(label, image.affine), mine)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"drawn in, and would be lost.*move them to the data folder"):
        semivox.rank(run, data, slices=2, top=1, out=out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    semivox.rank(run, data, top=1, out=out)  # writes no labels
    assert mine.read_bytes() == before[mine]


def test_a_label_to_draw_in_is_called_as_its_case_and_ends_as_its_scan(tmp_path: Path) -> None:
    """Whatever the case's name looks like; and that of an earlier choice is taken away."""
    names = ["t", "t.v2", *(f"t{ending}" for ending in ENDINGS)]
    cases = {}
    for i, name in enumerate(names):
        cases[name] = Case(name, (tmp_path / f"{name}_0000.nii.gz",))
        nib.save(nib.Nifti1Image(np.zeros((4, 5, 6 + i), np.int16), np.eye(4)), cases[name].images[0])
    for chosen in (names, names[1:], names[:1]):
        slices = [ChosenSlice(i, name, name, 2, 3, 1.0) for i, name in enumerate(chosen, 1)]
        write_slices(tmp_path, slices, cases, [1], None)
        written = sorted((tmp_path / "slices").iterdir())
        assert [path.name for path in written] == sorted(f"{name}.nii.gz" for name in chosen)
        for name in chosen:
            shape = nib.load(tmp_path / f"slices/{name}.nii.gz").shape
            assert shape == (4, 5, 6 + names.index(name))


def test_slices_that_there_cannot_be_are_refused(ranked: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = ranked
    with pytest.raises(SettingsError, match=r"no slices to name; found --slices 0"):
        semivox.rank(run, data, slices=0, out=tmp_path / "ranking")
    plain = tmp_path / "plain"
    for source, name in (("imagesTr", "images"), ("labelsTr", "labels")):
        (plain / name).mkdir(parents=True)
        for path in (data / source).iterdir():
            shutil.copy(path, plain / name / path.name.replace("_0000", ""))
    with pytest.raises(SettingsError, match="would be taken for a class"):
        semivox.rank(run, plain, slices=2, out=tmp_path / "ranking")
