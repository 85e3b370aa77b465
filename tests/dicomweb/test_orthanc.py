"""A study from a real Orthanc, its masks back to it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from semivox.cli import main
from semivox.cohort import read_label, read_volume, write_mask
from semivox.commands.predict import predict
from semivox.dicomweb import Server, address_of, store, store_once
from semivox.errors import DataError, SettingsError

from ..dicom.made_series import NAME, PATIENT, numbers, write_series
from ..dicom.test_segmentation import SEGMENTS, mask
from .conftest import LOGIN, Orthanc


@pytest.fixture
def study(orthanc: Orthanc, tmp_path: Path) -> str:
    """Two scans and a localiser, on the server."""
    uids = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    write_series(tmp_path / "s1", numbers()[..., :3], number=1, uids=(pydicom.uid.generate_uid(), uids[1]),
                 ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
    write_series(tmp_path / "s4", numbers(), uids=uids)
    write_series(tmp_path / "s5", numbers(1), number=5, uids=(pydicom.uid.generate_uid(), uids[1]))
    for name in ("s1", "s4", "s5"):
        orthanc.archive.add(tmp_path / name)
    return str(uids[1])


def test_a_study_is_segmented_and_its_masks_lie_beside_it(
    orthanc: Orthanc, study: str, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["predict", str(untrained), orthanc.word, "--study", study, "--out", str(out), "--device", "cpu"]
    assert main(words) == 0
    masks = sorted(out.glob("*.seg.dcm"))
    assert [name.name.partition("_")[2] for name in masks] == ["s004.seg.dcm", "s005.seg.dcm"]
    for path, folder in zip(masks, ("s4", "s5"), strict=True):
        by_files = predict(untrained, tmp_path / folder, tmp_path / f"by_files/{folder}", device="cpu")
        expected = read_label(tmp_path / f"by_files/{folder}" / str(by_files.rows[0].mask)).array
        np.testing.assert_array_equal(read_label(path).array, expected)
    there = orthanc.objects(study, "SEG")
    assert len(there) == 2
    stored = [pydicom.dcmread(io.BytesIO(orthanc.archive.rest(f"instances/{name}/file"))) for name in there]
    assert {str(d.SOPInstanceUID) for d in stored} == {str(pydicom.dcmread(p).SOPInstanceUID) for p in masks}
    said = capsys.readouterr()
    assert "2 on the server, compared with what it gives back" in said.out
    assert "series 1 'Abdomen 1' (CT) is no scan" in said.err
    # once more: new objects; up to date: none
    assert main([*words, "--skip-existing"]) == 0
    assert orthanc.objects(study, "SEG") == there
    assert main([*words, "--series", stored[0].ReferencedSeriesSequence[0].SeriesInstanceUID]) == 0
    assert len(orthanc.objects(study, "SEG")) == 3
    # nothing else is left, and neither patient nor login is told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["by_files", "out", "s1", "s4", "s5"]
    texts = [said.out, said.err, *(p.read_text() for p in out.iterdir() if p.suffix in (".json", ".csv"))]
    for secret in (*LOGIN.split(":"), PATIENT, NAME):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize(("kind", "modality"), [("dicom-seg", "SEG"), ("rtstruct", "RTSTRUCT")])
def test_what_is_kept_here_is_not_stored_and_goes_there_later(
    orthanc: Orthanc, study: str, untrained: Path, tmp_path: Path, kind: str, modality: str
) -> None:
    given = {"study": study, "device": "cpu", "format": kind}
    report = predict(untrained, orthanc.word, tmp_path / "out", keep_here=True, **given)
    assert (report.stored, orthanc.objects(study, modality)) == ((), [])
    later = predict(untrained, orthanc.word, tmp_path / "out", skip_existing=True, **given)
    assert (len(later.skipped), len(later.stored), later.not_stored) == (2, 2, ())
    assert len(orthanc.objects(study, modality)) == 2


def test_an_object_under_a_known_uid_is_not_taken_for_stored(
    orthanc: Orthanc, study: str, tmp_path: Path
) -> None:
    """Orthanc says 200 and keeps the old one."""
    server, scan = Server(address_of(orthanc.word)), read_volume(tmp_path / "s4")
    first = write_mask(tmp_path / "first", mask(), scan, "dicom-seg", "", SEGMENTS)
    store(server, first)
    store(server, first)
    other = write_mask(tmp_path / "other", np.roll(mask(), 1, 0), scan, "dicom-seg", "", SEGMENTS)
    store(server, other)
    known, changed = pydicom.dcmread(first), pydicom.dcmread(other)
    for name in ("SOPInstanceUID", "SeriesInstanceUID"):
        setattr(changed, name, known[name].value)
    changed.file_meta.MediaStorageSOPInstanceUID = known.SOPInstanceUID
    changed.save_as(tmp_path / "changed.seg.dcm")
    for send in (store, store_once):
        with pytest.raises(DataError, match="the server has another object of this UID; found another"):
            send(server, tmp_path / "changed.seg.dcm")


def test_what_the_server_refuses_is_told(
    orthanc: Orthanc, study: str, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SEMIVOX_DICOMWEB_LOGIN", "SEMIVOX_DICOMWEB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    wrong = orthanc.word.replace("secret", "guess")
    for word, of, said in [
        (f"dicomweb:{orthanc.base}", study, "asks for a login; found 401"),
        (wrong, study, "refuses this login; found 401"),
        (orthanc.word, "1.2.3", "no such study"),
        (orthanc.word.replace("dicom-web", "dicom"), study, "knows no such thing; found 404"),
        (orthanc.word.replace("/dicom-web", ""), study, "knows no such thing; found 404"),
    ]:
        with pytest.raises(DataError, match=said) as raised:
            predict(untrained, word, tmp_path / "out", study=of, device="cpu")
        assert "guess" not in str(raised.value)
        assert "secret" not in str(raised.value)
    with pytest.raises(DataError, match="no series 1.2.4 in the study"):
        predict(untrained, orthanc.word, tmp_path / "out", study=study, series="1.2.4", device="cpu")
    with pytest.raises(SettingsError, match="no UID of a study"):
        predict(untrained, orthanc.word, tmp_path / "out", study="../../instances", device="cpu")
    monkeypatch.setenv("SEMIVOX_DICOMWEB_LOGIN", LOGIN)
    found = Server(address_of(f"dicomweb:{orthanc.base}")).found(f"studies/{study}/series")
    assert len(found) == 3
    assert not (tmp_path / "out").exists()


def test_a_study_has_its_own_options(untrained: Path, tmp_path: Path) -> None:
    word, of = "dicomweb:http://127.0.0.1:1/web", {"study": "1.2.3"}
    for paths, given, said in [
        (tmp_path, of, "of a DICOMweb server"),
        (word, {}, "no study"),
        ([word, tmp_path], of, "predicted alone"),
        (word, {**of, "format": "nii.gz"}, "stores DICOM objects; found --format nii.gz"),
    ]:
        with pytest.raises(SettingsError, match=said):
            predict(untrained, paths, tmp_path / "out", **given)  # type: ignore[arg-type]


def test_options_are_kept_apart_from_the_address() -> None:
    address = address_of("dicomweb:https://some%40one:p%2Fw@host:8443/pacs/dicom-web/")
    assert address.base == "https://host:8443/pacs/dicom-web"
    assert address.login == "Basic c29tZUBvbmU6cC93"
    assert "c29t" not in repr(address)
    assert replace(address, login="") == address_of("dicomweb:https://host:8443/pacs/dicom-web")
