"""From folders of series to cases: names without patients, data folders, and the commands."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import check_cohort, find_scans, import_dicom, load_cohort, read_volume
from semivox.commands.check import check
from semivox.commands.predict import PredictOptions, predict
from semivox.commands.predict import main as predict_main
from semivox.commands.rank import rank
from semivox.commands.train import train
from semivox.errors import DataError

from .made_series import NAME, PATIENT, numbers, write_series

LOCALISER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
SECRETS = (PATIENT, *NAME.split("^"), PATIENT.lower(), *NAME.lower().split("^"))


def names(path: Path) -> list[str]:
    return [case.name for case in find_scans([path]).cases]


def test_a_folder_of_one_scan_gives_its_name(tmp_path: Path) -> None:
    for case in ("anna", "bert"):
        write_series(tmp_path / case / "deep" / "er", numbers())
        write_series(tmp_path / case / "loc", numbers(), number=1, ImageType=LOCALISER)
    assert names(tmp_path) == ["anna", "bert"]
    assert names(tmp_path / "anna") == ["deep"]
    assert names(tmp_path / "anna/deep/er") == ["er"]
    assert [note.found for note in find_scans([tmp_path]).notes] == ["a localiser"] * 2


def test_many_series_are_named_by_pseudonym_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the folder's name is the patient's; the same key gives the same names, another others."""
    monkeypatch.setenv("SEMIVOX_PATIENT_KEY", "one")
    for number in (3, 12):
        write_series(tmp_path / "d/study", numbers(number), number=number)
    write_series(tmp_path / "d/jane doe", numbers(5), number=7)
    write_series(tmp_path / "d/other", numbers(6), number=7, PatientID="Q9", PatientName="ROE^RICHARD")
    found = find_scans([tmp_path / "d"])
    assert len({case.name for case in found.cases}) == 4
    (first,) = {case.patient for case in found.cases if case.name.endswith("_s003")}
    assert len(first) == 8
    own = [case for case in found.cases if case.patient == first]
    assert [case.name for case in own if case.name != "other"] == [f"p{first}_s{n:03d}" for n in (3, 7, 12)]
    assert "other" in names(tmp_path / "d")
    for case in found.cases:
        assert not any(secret in f"{case.name} {case.patient}" for secret in SECRETS)
    monkeypatch.setenv("SEMIVOX_PATIENT_KEY", "two")
    assert not {case.name for case in found.cases if case.name != "other"} & set(names(tmp_path / "d"))


def test_series_of_one_number_are_told_apart(tmp_path: Path) -> None:
    for study in "ab":
        write_series(tmp_path / "d/jane" / study, numbers())
    assert len(set(names(tmp_path / "d"))) == 2


def test_anonymised_scans_are_patients_of_their_own(tmp_path: Path) -> None:
    for case in "ab":
        write_series(tmp_path / case, numbers(), PatientID="Anonymous")
    assert [case.patient for case in find_scans([tmp_path]).cases] == ["a", "b"]


def labelled_folder(root: Path, **described: Any) -> Path:
    """imagesTr/CASE_0000/ holds a series; labels are of another format; two cases are of one patient."""
    (root / "labelsTr").mkdir(parents=True)
    for i, case in enumerate("abcd"):
        array = numbers(i, (20, 18, 16))
        mask = np.zeros(array.shape, np.uint8)
        mask[5:12, 5:12, 4:12] = 1
        write_series(root / f"imagesTr/{case}_0000", array + 3000 * (mask > 0), PatientID=f"P{min(i, 2)}")
        if i < 2:
            affine = read_volume(root / f"imagesTr/{case}_0000").affine
            nib.save(nib.Nifti1Image(mask, affine), root / f"labelsTr/{case}.nii.gz")
    content = {"labels": {"background": 0, "organ": 1}, "channel_names": {"0": "CT"}, **described}
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return root


@pytest.mark.parametrize("described", [{}, {"file_ending": ".nii.gz"}, {"file_ending": ".dcm"}])
def test_a_data_folder_of_series(tmp_path: Path, described: dict[str, str]) -> None:
    cohort = load_cohort(labelled_folder(tmp_path, **described))
    assert [case.name for case in cohort.cases] == ["a", "b", "c", "d"]
    assert [case.label is not None for case in cohort.cases] == [True, True, False, False]
    patients = [case.patient for case in cohort.cases]
    assert patients[2] == patients[3]
    assert len(set(patients)) == 3
    assert check_cohort(tmp_path).findings == ()


def test_the_modality_is_the_channel_or_is_told(tmp_path: Path) -> None:
    root = labelled_folder(tmp_path / "a")
    for case in "ab":
        write_series(tmp_path / "p/images" / case, numbers(), modality="MR")
    (tmp_path / "p/labels").mkdir()
    affine = read_volume(tmp_path / "p/images/a").affine
    nib.save(nib.Nifti1Image(np.ones((12, 10, 8), np.uint8), affine), tmp_path / "p/labels/a.nii.gz")
    assert load_cohort(tmp_path / "p").channels == ("MR",)
    described = json.loads((root / "dataset.json").read_text())
    described["channel_names"] = {"0": "MRI"}
    (root / "dataset.json").write_text(json.dumps(described))
    warnings = check_cohort(root).warnings
    assert {w.fault for w in warnings} == {"the scan is of another modality than its channel's name says"}
    assert warnings[0].found == "CT, in the channel 'MRI'"


def test_train_rank_and_predict(
    tmp_path: Path, small: dict[str, object], capsys: pytest.CaptureFixture
) -> None:
    data, run = labelled_folder(tmp_path / "data"), tmp_path / "run"
    train(data, run, method="supervised", steps=1, settings=small)
    assert len(rank(run, data, out=tmp_path / "ranked").scans) == 2
    card = json.loads((run / "model.json").read_text())
    assert card["plan"]["channels"][0]["scheme"] == "ct"
    write_series(tmp_path / "new/hospital/jane", numbers(9, (20, 18, 16)), number=2)
    write_series(tmp_path / "new/hospital/gap", numbers(9, (20, 18, 16)), number=3, left_out=(5,))
    write_series(tmp_path / "new/hospital/loc", numbers(9), number=1, ImageType=LOCALISER)
    capsys.readouterr()
    assert predict_main(PredictOptions(run, [tmp_path / "new"], tmp_path / "out")) == 3
    said = "".join(capsys.readouterr())
    assert "series 3 'Abdomen 3' (CT): planes are missing" in said
    assert "series 1 'Abdomen 1' (CT) is no scan" in said
    assert len(list((tmp_path / "out").glob("p*_s002.nii.gz"))) == 1
    content = (tmp_path / "out/predictions.json").read_text() + said.replace(str(tmp_path), "")
    content += "".join(str(path.relative_to(tmp_path)) for path in (tmp_path / "out").rglob("*"))
    assert not any(secret in content for secret in SECRETS if secret not in "hospital jane")
    assert json.loads((tmp_path / "out/dataset.json").read_text())["file_ending"] == ".nii.gz"
    again = predict(run, tmp_path / "new/hospital/jane", tmp_path / "again", skip_existing=True)
    assert predict(run, tmp_path / "new/hospital/jane", tmp_path / "again", skip_existing=True).skipped
    assert again.failed == ()


def test_import(tmp_path: Path) -> None:
    for number in (2, 3):
        write_series(tmp_path / "s/JANE", numbers(number), number=number)
    write_series(tmp_path / "s/plain", numbers(4), PatientID="Q")
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for file in (tmp_path / "s").rglob("IM*"):
            archive.write(file, file.relative_to(tmp_path))
    made = import_dicom(tmp_path / "s", tmp_path / "one")
    cohort = load_cohort(made)
    assert (cohort.channels, len(cohort.cases)) == (("CT",), 3)
    assert len({case.patient for case in cohort.cases}) == 2
    (plain,) = (case.images[0] for case in cohort.cases if case.name == "plain")
    scan, source = read_volume(plain), read_volume(tmp_path / "s/plain")
    np.testing.assert_array_equal(scan.array, source.array)
    np.testing.assert_allclose(scan.affine, source.affine, atol=1e-5)
    for case in cohort.cases:
        text = case.images[0].name + case.patient
        assert not any(secret in text for secret in SECRETS)
    assert {len(load_cohort(import_dicom(tmp_path / "s.zip", tmp_path / "two")).cases)} == {3}
    write_series(tmp_path / "s/gap", numbers(4), PatientID="Q", left_out=(4,), number=9)
    with pytest.raises(DataError, match=r"planes are missing.*leave gap out with --list"):
        import_dicom(tmp_path / "s", tmp_path / "three")
    write_series(tmp_path / "t/a", numbers(4))
    write_series(tmp_path / "t/b", numbers(4), modality="MR")
    with pytest.raises(DataError, match="several modalities"):
        import_dicom(tmp_path / "t", tmp_path / "four")


def test_a_tree_of_series_trains_nothing(tmp_path: Path) -> None:
    write_series(tmp_path / "s/a", numbers())
    assert check(tmp_path / "s").ok
    with pytest.raises(DataError, match="no labelled case"):
        train(tmp_path / "s", tmp_path / "run", steps=1)


def test_without_the_extra_the_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "s/a", numbers())
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(DataError, match=r"pip install 'semivox\[dicom\]'"):
        find_scans([tmp_path / "s"])
    with pytest.raises(DataError, match=r"pip install 'semivox\[dicom\]'"):
        read_volume(tmp_path / "s/a")
