"""One folder of each layout, its names ending in numbers, through every command: always the same cases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import semivox
from semivox.cohort import load_cohort
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import read_request
from semivox.errors import DataError

Folders = tuple[Path, Path]
LAYOUTS = ("nnunet", "msd", "plain")
TRAIN, TEST = ("scan_0000", "scan_0001", "scan_0002", "scan_0003"), ("scan_0004", "scan_0005")
LABELED = 2


def lay_out(source: Path, root: Path, layout: str, names: tuple[str, ...]) -> Path:
    """The first scans of ``source`` under other names; the channel's number only where the layout has one."""
    cases = load_cohort(source).cases[: len(names)]
    plain = layout == "plain"
    images, labels = (root / n for n in (("images", "labels") if plain else ("imagesTr", "labelsTr")))
    images.mkdir(parents=True)
    labels.mkdir()
    pairs = []
    for name, case in zip(names, cases, strict=True):
        image = f"{name}_0000.nii.gz" if layout == "nnunet" else f"{name}.nii.gz"
        shutil.copy(case.images[0], images / image)
        pair = {"image": f"./imagesTr/{image}"}
        if case.label is not None:
            shutil.copy(case.label, labels / f"{name}.nii.gz")
            pair["label"] = f"./labelsTr/{name}.nii.gz"
        pairs.append(pair)
    if not plain:
        described = {**json.loads((source / "dataset.json").read_text()), "file_ending": ".nii.gz"}
        described["training"] = pairs if layout == "msd" else []
        (root / "dataset.json").write_text(json.dumps(described))
    return root


@pytest.fixture(scope="module", params=LAYOUTS)
def folders(
    request: pytest.FixtureRequest, phantoms: Folders, tmp_path_factory: pytest.TempPathFactory
) -> Folders:
    root = tmp_path_factory.mktemp(request.param)
    train = lay_out(phantoms[0], root / "train", request.param, TRAIN)
    return train, lay_out(phantoms[1], root / "test", request.param, TEST)


@pytest.fixture(scope="module")
def run(folders: Folders, small: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps on the folder, the test cases watched."""
    out = tmp_path_factory.mktemp("run") / "run"
    semivox.train(folders[0], out, method="supervised", steps=2, settings=small, watch=folders[1])
    return out


def masks(out: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name.removesuffix(".nii.gz") for path in out.glob("*.nii.gz")))


def images(folder: Path) -> Path:
    return next(folder / name for name in ("imagesTr", "images") if (folder / name).is_dir())


def test_check_and_train(folders: Folders, run: Path) -> None:
    report = semivox.check(folders[0])
    assert (report.cases, report.labeled, report.errors) == (len(TRAIN), LABELED, ())
    rows = json.loads((run / "cases.json").read_text())["cases"]
    assert tuple(row["case"] for row in rows) == TRAIN
    journal = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in journal if row["kind"] == "watch"]


def test_predict_and_evaluate(folders: Folders, run: Path, tmp_path: Path) -> None:
    for place, path in {
        "folder": folders[0],
        "images": images(folders[0]),
        "files": tuple(images(folders[0]).iterdir()),
        "test": folders[1],
    }.items():
        paths = path if isinstance(path, Path) else list(path)
        assert semivox.predict(run, paths, tmp_path / place).failed == ()
        assert masks(tmp_path / place) == (TEST if place == "test" else TRAIN), place
    loose = Path(shutil.copytree(images(folders[0]), tmp_path / "loose"))
    for where in (loose, images(folders[0])):
        for path in sorted(where.iterdir()):
            out = tmp_path / f"one of {where.name}" / path.name
            semivox.predict(run, path, out)
            assert masks(out) == (path.name.removesuffix(".nii.gz")[: len("scan_0000")],)
    assert semivox.predict(run, loose, tmp_path / "of_loose").failed == ()
    assert masks(tmp_path / "of_loose") == TRAIN
    for labels in (
        folders[1],
        images(folders[1]).with_name(images(folders[1]).name.replace("images", "labels")),
    ):
        found = semivox.evaluate(tmp_path / "test", labels, tmp_path / "e.json")
        assert found
        assert tuple(json.loads((tmp_path / "e.json").read_text())["cases"]) == TEST


def test_report(folders: Folders, run: Path) -> None:
    semivox.write_report(run, folders[1])
    place = run / "evaluations/test"
    assert masks(place / "masks") == TEST
    assert tuple(json.loads((place / "evaluation.json").read_text())["cases"]) == TEST
    with pytest.raises(DataError, match="trained on with their labels"):
        semivox.write_report(run, folders[0])


def test_rank(folders: Folders, run: Path, tmp_path: Path) -> None:
    ranking = semivox.rank(run, folders[0], out=tmp_path / "ranking")
    assert sorted([*ranking.labeled, *(scan.case for scan in ranking.scans)]) == list(TRAIN)


def test_compare(folders: Folders, tmp_path: Path) -> None:
    request = read_request(
        CompareOptions(folders[0], tmp_path / "cmp", methods="supervised", test=folders[1], steps=1)
    )
    (group,) = request.groups
    assert tuple(case.name for case in group.held_out) == TEST
    assert tuple(c.name for c in (*group.split.labeled, *group.split.unlabeled)) == TRAIN


OTHER = [("plain", "nnunet"), ("nnunet", "plain"), ("plain", "msd"), ("msd", "plain")]


@pytest.mark.parametrize(("trained", "held_out"), OTHER)
def test_a_held_out_folder_may_have_another_layout(
    trained: str, held_out: str, phantoms: Folders, small: dict[str, object], tmp_path: Path
) -> None:
    """Where one side declares names and the other has none, nothing contradicts."""
    train = lay_out(phantoms[0], tmp_path / "train", trained, TRAIN)
    test = lay_out(phantoms[1], tmp_path / "test", held_out, TEST)
    semivox.train(train, tmp_path / "run", method="supervised", steps=1, settings=small, watch=test)
    semivox.write_report(tmp_path / "run", test)
    found = json.loads((tmp_path / "run/evaluations/test/evaluation.json").read_text())
    declared = next(load_cohort(f).classes for f in (train, test) if (f / "dataset.json").is_file())
    assert found["classes"] == {str(value): name for value, name in declared.items()}
    semivox.rank(tmp_path / "run", train, out=tmp_path / "ranking")
    read_request(CompareOptions(train, tmp_path / "cmp", methods="supervised", test=test, steps=1))


def test_a_folder_of_another_task_is_refused_by_all_in_the_same_words(
    phantoms: Folders, flat_phantoms: Folders, small: dict[str, object], tmp_path: Path
) -> None:
    train = lay_out(phantoms[0], tmp_path / "train", "plain", TRAIN)
    test = lay_out(phantoms[1], tmp_path / "test", "nnunet", TEST)
    described = json.loads((test / "dataset.json").read_text())
    described["labels"]["further"] = 7
    (test / "dataset.json").write_text(json.dumps(described))
    semivox.train(train, tmp_path / "run", method="supervised", steps=1, settings=small)
    words = "has other channels or classes than the model; found 1 channel .*7 further; expected 1 channel"
    for refused in (
        lambda: semivox.write_report(tmp_path / "run", test),
        lambda: semivox.train(
            train, tmp_path / "new", method="supervised", steps=1, settings=small, watch=test
        ),
        lambda: read_request(
            CompareOptions(train, tmp_path / "cmp", methods="supervised", test=test, steps=1)
        ),
    ):
        with pytest.raises(DataError, match=words):
            refused()
