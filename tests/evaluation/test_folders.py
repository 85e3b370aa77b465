"""Folder against folder: pairing, refusals, and the evaluation file."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from semivox.cohort.formats import write_mask
from semivox.cohort.volume import Volume
from semivox.errors import DataError
from semivox.evaluation import METRICS, case_metrics, evaluate_folders, evaluation_table, read_evaluation
from semivox.evaluation.intervals import mean_and_interval

SPACING = (1.0, 1.5, 2.0)
SHAPE = (12, 10, 8)


def label(seed: int, classes: int = 2) -> np.ndarray:
    """Boxes of each class at random places."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, np.uint8)
    for value in range(1, classes + 1):
        start = rng.integers(0, [s - 4 for s in SHAPE])
        mask[tuple(slice(a, a + 4) for a in start)] = value
    return mask


def write(path: Path, mask: np.ndarray, spacing: tuple[float, ...] = SPACING, origin: float = 0.0) -> None:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    write_mask(path, mask, Volume(mask[None], affine))


def describe(folder: Path, **extra: object) -> None:
    labels = {"background": 0, "left": 1, "right": 2}
    content = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz", **extra}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and a data folder of four cases of three patients; cases.csv turns the order round."""
    predictions, data = tmp_path / "predictions", tmp_path / "data"
    describe(data)
    for i in range(4):
        write(data / "labelsTr" / f"c{i}.nii.gz", label(i))
        write(data / "imagesTr" / f"c{i}_0000.nii.gz", label(i))
        write(predictions / f"c{i}.nii.gz", np.where(label(i + 10) == 1, 1, label(i)))
    write(data / "imagesTr" / "extra_0000.nii.gz", label(9))  # without a label: not evaluated
    (data / "cases.csv").write_text("case,patient\nc3,p3\nc1,p0\nc0,p0\nc2,p2\n")
    return predictions, data


def test_the_evaluation_file(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    found = evaluate_folders(predictions, data)
    assert found["format"] == 1
    assert found["classes"] == {"1": "left", "2": "right"}
    assert list(found["cases"]) == ["c3", "c1", "c0", "c2"]
    assert found["patients"] == {"c3": "p3", "c1": "p0", "c0": "p0", "c2": "p2"}
    for i in range(4):
        mask = np.where(label(i + 10) == 1, 1, label(i))
        expected = case_metrics(mask, label(i), [1, 2], SPACING)
        for value in (1, 2):
            assert found["cases"][f"c{i}"][str(value)] == pytest.approx(expected[value])
            assert list(found["cases"][f"c{i}"][str(value)]) == list(METRICS)
    dice = np.array([[found["cases"][c][k]["dice"] for k in ("1", "2")] for c in found["cases"]])
    assert found["mean"]["2"]["dice"] == pytest.approx(dice[:, 1].mean())
    assert found["mean"]["foreground"]["dice"] == pytest.approx(dice.mean(1).mean())
    low, high = found["ci95"]["foreground"]["dice"]
    assert low < found["mean"]["foreground"]["dice"] < high
    by_patient = mean_and_interval(dice, ["p3", "p0", "p0", "p2"])[1]  # c1 and c0 are of one patient
    assert found["ci95"]["2"]["dice"] == pytest.approx(by_patient[1].tolist())
    worst = int(dice.mean(1).argmin())
    assert found["worst"]["foreground"] == {
        "case": list(found["cases"])[worst], "dice": pytest.approx(dice.mean(1)[worst]),
    }  # fmt: skip
    assert found["policy"]["tolerance_mm"] == 2.0
    assert found["missing"] == found["unmatched"] == []
    json.dumps(found, allow_nan=False)


def test_workers_and_ways_to_name_the_references_agree(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    expected = evaluate_folders(predictions, data, workers=1)
    done: list[tuple[int, int]] = []
    assert evaluate_folders(predictions, data, workers=3, progress=lambda *n: done.append(n)) == expected
    assert done == [(i, 4) for i in range(1, 5)]
    assert evaluate_folders(predictions, data / "labelsTr") == expected
    bare = predictions.parent / "plain"
    bare.mkdir()
    for path in (data / "labelsTr").iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    without = evaluate_folders(predictions, bare)  # no dataset.json, no patients anywhere
    assert without["classes"] == {"1": "class_1", "2": "class_2"}
    assert without["cases"]["c2"] == expected["cases"]["c2"]
    assert without["patients"]["c1"] == "c1"
    assert without["mean"]["1"] == pytest.approx(expected["mean"]["1"])
    describe(predictions)
    assert evaluate_folders(predictions, bare)["classes"] == expected["classes"]


def test_endings_may_differ(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    expected = evaluate_folders(predictions, data)["cases"]
    for i, ending in enumerate((".nrrd", ".mha", ".nii", ".nii.gz")):
        (predictions / f"c{i}.nii.gz").unlink()
        write(predictions / f"c{i}{ending}", np.where(label(i + 10) == 1, 1, label(i)))
    found = evaluate_folders(predictions, data)["cases"]
    for case in expected:
        for value in expected[case]:
            assert found[case][value] == pytest.approx(expected[case][value])


def test_missing_predictions(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    (predictions / "c1.nii.gz").unlink()
    record = {
        "format": 1,
        "cases": [{"case": "c1", "status": "failed", "flag": "refuse", "reason": "two channels"}],
    }
    (predictions / "predictions.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"1 of 4 references.*c1 \(two channels\).*--missing-as-empty"):
        evaluate_folders(predictions, data)
    found = evaluate_folders(predictions, data, missing_as_empty=True)
    assert found["missing"] == ["c1"]
    assert found["refused"] == {"c1": "two channels"}
    assert found["cases"]["c1"]["1"]["dice"] == 0
    diagonal = float(np.linalg.norm(np.multiply(SHAPE, SPACING)))
    assert found["cases"]["c1"]["2"]["hd95_mm"] == pytest.approx(diagonal)
    papers = evaluate_folders(predictions, data, missing_as_empty=True, policy="literature")
    assert papers["cases"]["c1"]["2"]["hd95_mm"] == 0
    assert papers["policy"]["name"] == "literature"


def test_a_predict_that_was_killed_is_told_and_its_journal_heard(folders: tuple[Path, Path]) -> None:
    """It had refused c1 anew, and predicted c0, which an earlier call had refused; a line is torn."""
    predictions, data = folders
    (predictions / "c1.nii.gz").unlink()
    refused = {"case": "c0", "status": "failed", "flag": "refuse", "reason": "one channel"}
    (predictions / "predictions.json").write_text(json.dumps({"format": 1, "cases": [refused]}))
    rows = [
        {"case": "c1", "status": "failed", "flag": "refuse", "reason": "two channels"},
        {"case": "c0", "status": "ok", "flag": "ok", "reason": "", "mask": "c0.nii.gz"},
    ]
    lines = [*(json.dumps({"row": row}) for row in rows), '{"row": {"case": "c2", "sta']
    (predictions / "predictions.jsonl").write_text("\n".join(lines))
    told = r"1 of 4 references.*c1 \(two channels\).*predict has not ended.*--skip-existing"
    with pytest.raises(DataError, match=told):
        evaluate_folders(predictions, data)
    assert evaluate_folders(predictions, data, missing_as_empty=True)["refused"] == {"c1": "two channels"}
    (predictions / "predictions.json").unlink()  # killed before the first row was written there
    assert evaluate_folders(predictions, data, missing_as_empty=True)["refused"] == {"c1": "two channels"}


def test_predictions_without_a_reference_are_listed(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    write(predictions / "new.nii.gz", label(3))
    found = evaluate_folders(predictions, data)
    assert found["unmatched"] == ["new"]
    assert "new" not in found["cases"]


def test_two_files_of_a_case_are_refused(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    write(predictions / "c0.nrrd", label(0))
    with pytest.raises(DataError, match=r"'c0' has two files.*c0\.nii\.gz and c0\.nrrd"):
        evaluate_folders(predictions, data)


@pytest.mark.parametrize(
    ("mask", "spacing", "origin"),
    [
        (label(0)[:, :, :-1], SPACING, 0.0),
        (label(0), (1.0, 1.5, 2.1), 0.0),
        (label(0), SPACING, 5.0),
    ],
    ids=["shape", "spacing", "origin"],
)
def test_other_grids_are_refused_by_both_names(folders, mask, spacing, origin) -> None:
    predictions, data = folders
    write(predictions / "c0.nii.gz", mask, spacing, origin)
    with pytest.raises(DataError, match="different grids") as error:
        evaluate_folders(predictions, data)
    assert str(predictions / "c0.nii.gz") in str(error.value)
    assert str(data / "labelsTr" / "c0.nii.gz") in str(error.value)


def test_values_that_are_no_class_are_refused(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    write(predictions / "c2.nii.gz", label(2, classes=3))
    with pytest.raises(DataError, match=r"c2\.nii\.gz: the prediction holds.*found 3;"):
        evaluate_folders(predictions, data)


def test_broken_and_absent_files_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, data = folders
    (predictions / "c2.nii.gz").write_bytes((predictions / "c2.nii.gz").read_bytes()[:60])
    with pytest.raises(DataError, match=r"c2\.nii\.gz"):
        evaluate_folders(predictions, data)
    with pytest.raises(DataError, match="no such folder"):
        evaluate_folders(tmp_path / "nowhere", data)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no mask"):
        evaluate_folders(tmp_path / "empty", data)


@pytest.mark.parametrize("declared_by", ["data", "predictions"])
def test_unknown_spacing(folders: tuple[Path, Path], declared_by: str) -> None:
    predictions, data = folders
    describe(data if declared_by == "data" else predictions, spacing_known=False)
    found = evaluate_folders(predictions, data)
    for name in ("hd95_mm", "assd_mm", "asd_mm", "nsd", "volume_error_ml"):
        assert found["mean"]["1"][name] is None
        assert found["ci95"]["foreground"][name] is None
    assert found["mean"]["1"]["hd95_vox"] is not None
    assert "unknown" in found["policy"]["spacing"]


def test_ignored_voxels_and_unannotated_classes(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    describe(data, labels={"background": 0, "left": 1, "right": 2, "ignore": 3})
    marked = label(0)
    marked[:6] = 3
    write(data / "labelsTr" / "c0.nii.gz", marked)
    (data / "cases.csv").write_text("case,annotated\nc0,\nc1,right\nc2,right\nc3,right\n")
    found = evaluate_folders(predictions, data)
    mask = np.where(label(10) == 1, 1, label(0))
    mask[:6] = 0
    rest = np.where(marked == 3, 0, marked)
    both = case_metrics(mask, rest, [1, 2], SPACING)
    assert found["cases"]["c0"] == {str(v): pytest.approx(both[v]) for v in (1, 2)}
    assert list(found["cases"]["c1"]) == ["2"]
    assert found["mean"]["1"]["dice"] == found["cases"]["c0"]["1"]["dice"]
    assert found["ci95"]["1"]["dice"] is None  # one patient has it
    per_case = [np.mean([row["dice"] for row in rows.values()]) for rows in found["cases"].values()]
    assert found["mean"]["foreground"]["dice"] == pytest.approx(np.mean(per_case))


def test_a_reference_of_which_nothing_is_known_counts_for_nothing(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    describe(data, labels={"background": 0, "left": 1, "right": 2, "ignore": 3})
    write(data / "labelsTr" / "c0.nii.gz", np.full(SHAPE, 3, np.uint8))
    write(predictions / "c0.nii.gz", np.zeros(SHAPE, np.uint8))
    found = evaluate_folders(predictions, data)
    assert found["cases"]["c0"] == {}
    known = [rows["1"]["dice"] for rows in found["cases"].values() if rows]
    assert found["mean"]["1"]["dice"] == pytest.approx(np.mean(known))
    assert found["worst"]["foreground"]["case"] != "c0"
    for i in range(1, 4):
        write(data / "labelsTr" / f"c{i}.nii.gz", np.full(SHAPE, 3, np.uint8))
    found = evaluate_folders(predictions, data)
    assert found["mean"]["foreground"]["dice"] is None
    assert rendered(found)


@pytest.mark.parametrize("ignore", [None, 3])
def test_labels_without_a_description_mean_what_the_predictions_say(
    folders: tuple[Path, Path], tmp_path: Path, ignore: int | None
) -> None:
    predictions, data = folders
    describe(predictions, labels={"background": 0, "left": 1, "right": 2} | ({"ignore": 3} if ignore else {}))
    plain = tmp_path / "plain"
    (plain / "images").mkdir(parents=True)
    shutil.copytree(data / "labelsTr", plain / "labels")
    for i in range(4):
        shutil.copy(data / "imagesTr" / f"c{i}_0000.nii.gz", plain / "images" / f"c{i}.nii.gz")
    drawn = np.full(SHAPE, 3, np.uint8)
    drawn[:, :, 2] = label(0)[:, :, 2]
    write(plain / "labels" / "c0.nii.gz", drawn)
    if ignore is None:  # it is no class that the predictions lack, and not ignored in silence
        with pytest.raises(DataError, match=r"no class; found 3"):
            evaluate_folders(predictions, plain)
    else:
        found = evaluate_folders(predictions, plain)
        assert found["classes"] == {"1": "left", "2": "right"}
        assert found["cases"] == evaluate_folders(predictions, plain / "labels")["cases"]


def test_cases_kept_out_are_not_evaluated(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    (data / "cases.csv").write_text("case,use,role\nc0,no,\nc1,,\nc2,,unlabeled\nc3,,test\n")
    for labels in (data, data / "labelsTr"):
        found = evaluate_folders(predictions, labels)
        assert list(found["cases"]) == ["c1", "c3"]
        assert found["unmatched"] == ["c0", "c2"]


def test_pictures_have_no_millimetres(tmp_path: Path) -> None:
    for folder in ("p", "r"):
        mask = np.zeros((20, 16), np.uint8)
        mask[3:9, 4 : 9 + (folder == "p")] = 1
        write_mask(tmp_path / folder / "a.png", mask, Volume(mask[None], np.eye(4)))
    found = evaluate_folders(tmp_path / "p", tmp_path / "r")
    assert found["cases"]["a"]["1"]["dice"] == pytest.approx(2 * 30 / 66)
    assert found["cases"]["a"]["1"]["hd95_vox"] == 1
    assert found["cases"]["a"]["1"]["hd95_mm"] is None


def test_read_evaluation(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    content = evaluate_folders(*folders)
    path = tmp_path / "e.json"
    path.write_text(json.dumps(content))
    assert read_evaluation(path) == json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(DataError, match="newer"):
        read_evaluation(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="no evaluation file"):
        read_evaluation(path)


def rendered(evaluation: dict) -> str:
    console = Console(width=140, file=io.StringIO())
    console.print(evaluation_table(evaluation))
    return console.file.getvalue()


def test_the_table_names_what_matters(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    write(predictions / "new.nii.gz", label(3))
    found = evaluate_folders(predictions, data)
    found["classes"]["1"] = "left [atrium]"  # brackets are no markup
    text = rendered(found)
    low, high = found["ci95"]["1"]["dice"]
    assert f"{found['mean']['1']['dice']:.3f} [{low:.3f}, {high:.3f}]" in text
    assert "left [atrium]" in text
    assert "no reference: new" in text
    assert text.index(found["worst"]["foreground"]["case"] + " ") < text.index("no reference")
    many = {f"case{i}": rows for i, rows in enumerate([*found["cases"].values()] * 200)}
    assert len(rendered({**found, "cases": many}).splitlines()) <= len(text.splitlines()) + 1
    describe(data, spacing_known=False)
    assert "mm" not in rendered(evaluate_folders(predictions, data))


@pytest.mark.parametrize("way", ["inside", "link", "relative", "link called labels"])
def test_however_the_labels_are_reached_their_folder_tells_what_they_mean(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    predictions, data = folders
    expected = evaluate_folders(predictions, data)
    link = tmp_path / ("labels_of_mine" if way == "link called labels" else "truth")
    link.symlink_to(data / "labelsTr")
    monkeypatch.chdir(data / "labelsTr" if way == "inside" else data)
    given = {"inside": Path(), "relative": Path("labelsTr")}.get(way, link)
    assert evaluate_folders(predictions, given) == expected


def test_a_picture_beside_the_description_is_no_label(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    expected = evaluate_folders(predictions, data)
    write(data / "overview.nii.gz", label(3))
    assert evaluate_folders(predictions, data) == expected


def test_a_table_of_other_cases_is_not_passed_over(folders: tuple[Path, Path]) -> None:
    predictions, data = folders
    (data / "cases.csv").write_text("case,patient\nC0,p\nC1,p\n")
    with pytest.raises(DataError, match=r"names none of the labels.*found C0; expected names such as c0"):
        evaluate_folders(predictions, data / "labelsTr")
    (data / "cases.csv").write_text("case,patient\nc0,p\nC1,p\n")
    assert evaluate_folders(predictions, data / "labelsTr")["patients"]["c0"] == "p"


@pytest.mark.parametrize(
    ("predicted", "referred", "refused"),
    [
        ({"left": 1, "right": 2}, {"left": 1, "right": 2}, False),
        ({"right": 1, "left": 2}, {"left": 1, "right": 2}, True),
        ({"left": 2, "other": 1}, {"left": 1, "right": 2}, True),
        ({"sinister": 1, "dexter": 2}, {"left": 1, "right": 2}, False),
        ({"both": [1, 2], "right": 2, "regions_class_order": [1, 2]}, {"left": 1, "right": 2}, False),
        ({"left": [1, 2], "right": 2, "regions_class_order": [1, 2]}, {"left": 1, "right": 2}, True),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_a_name_has_one_meaning_in_predictions_and_references(
    folders: tuple[Path, Path], predicted: dict, referred: dict, refused: bool, plain: bool
) -> None:
    predictions, data = folders
    for folder, labels in ((predictions, predicted), (data, referred)):
        order = labels.get("regions_class_order")
        classes = {name: value for name, value in labels.items() if name != "regions_class_order"}
        more = {} if order is None else {"regions_class_order": order}
        describe(folder, labels={"background": 0, **classes}, **more)
    references = data / "labelsTr" if plain else data
    if refused:
        with pytest.raises(DataError, match="other values by the references' names.*found .*left"):
            evaluate_folders(predictions, references)
    else:
        assert evaluate_folders(predictions, references)["classes"] == {"1": "left", "2": "right"}
