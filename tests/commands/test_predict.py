"""``predict``: the predictions folder, its record, and one bad case among good ones."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
from PIL import Image

from semivox.cli import main
from semivox.cohort import read_label, read_volume, write_mask
from semivox.cohort.case import Case, Cohort
from semivox.cohort.identity import case_identity
from semivox.commands.predict import predict
from semivox.engines import local
from semivox.errors import DataError, SettingsError
from semivox.inference import export_model, load_model
from semivox.inference.record import Row
from semivox.networks import build_network
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key


def export(run: Path, dims: int = 3, channels: int = 1, spacing_known: bool = True, seed: int = 0) -> Path:
    """A run folder with an untrained network of two foreground classes, 1 and 3."""
    network = NetworkPlan("unet", (4, 4), ((3,) * dims,) * 2, ((2,) * dims,))
    one = (1.0,) * dims
    plan = Plan(
        dims, tuple(range(dims)), one, one, spacing_known, 1.0, (8,) * dims, (8,) * dims, (2, 2), network,
        tuple(ChannelPlan(f"c{i}", "zscore") for i in range(channels)),
        (ClassPlan(1, "organ", 9, 1.0), ClassPlan(3, "lesion", 9, 1.0)), None, 1.0, None, (),
    )  # fmt: skip
    net = build_network(network, channels, 3, Key(seed))
    cohort = Cohort(
        run, (), tuple(c.name for c in plan.channels), {1: "organ", 3: "lesion"}, spacing_known=spacing_known
    )
    export_model(run, {"teacher": net}, ["teacher"], plan, cohort, method="ua_mt", steps=1, seed=seed)
    return run


def scans(folder: Path, *names: str, shape: tuple[int, ...] = (12, 9, 7)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        array = np.random.default_rng(i).normal(size=shape).astype(np.float32)
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 3.0, 1.0])), folder / name)
    return folder


def rows(out: Path) -> dict[str, dict]:
    content = json.loads((out / "predictions.json").read_text())
    assert content["format"] == 1
    return {row["case"]: row for row in content["cases"]}


def test_the_folder_is_complete(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    folder = scans(tmp_path / "scans", "b_0000.nii.gz", "a_0000.nii.gz")
    out = tmp_path / "out"
    seen = []
    report = predict(
        run, folder, out, probabilities=True, uncertainty=True,
        progress=lambda done, total, row: seen.append((done, total, row.case)),
    )  # fmt: skip
    assert seen == [(1, 2, "a"), (2, 2, "b")]
    assert report.failed == ()
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "a.nii.gz", "b.nii.gz", "dataset.json", "predictions.csv", "predictions.json",
        "probabilities/a.nii.gz", "probabilities/b.nii.gz", "uncertainty/a.nii.gz", "uncertainty/b.nii.gz",
    ]  # fmt: skip
    described = json.loads((out / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "organ": 1, "lesion": 3}
    assert (described["file_ending"], described["spacing_known"]) == (".nii.gz", True)
    mask, scan = nib.load(out / "a.nii.gz"), nib.load(folder / "a_0000.nii.gz")
    values = np.asarray(mask.dataobj)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(mask.affine, scan.affine)
    expected = load_model(run).predict(folder / "a_0000.nii.gz", probabilities=True, uncertainty=True)
    np.testing.assert_array_equal(values, expected.mask)
    probs = np.moveaxis(nib.load(out / "probabilities/a.nii.gz").get_fdata(), -1, 0)
    np.testing.assert_allclose(probs, expected.probabilities, atol=1e-3)
    np.testing.assert_allclose(
        nib.load(out / "uncertainty/a.nii.gz").get_fdata(), expected.uncertainty, atol=1e-3
    )
    row = rows(out)["a"]
    assert row["status"] == "ok"
    assert row["volume_ml"]["3"] == pytest.approx((values == 3).sum() * 0.003)
    assert row["voxels"] == {"1": (values == 1).sum(), "3": (values == 3).sum()}
    assert row["input_files_sha256"] == hashlib.sha256((folder / "a_0000.nii.gz").read_bytes()).hexdigest()
    assert row["input_sha256"] == case_identity(Case("a", (folder / "a_0000.nii.gz",)))
    assert row["model_id"] == hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    assert row["mean_entropy"] == pytest.approx(expected.mean_entropy, rel=1e-3)
    table = list(csv.DictReader((out / "predictions.csv").open()))
    assert [line["case"] for line in table] == ["a", "b"]
    assert float(table[0]["volume_ml_3"]) == pytest.approx(row["volume_ml"]["3"], rel=1e-4)


def test_one_bad_case_does_not_stop_the_others(tmp_path: Path) -> None:
    run, folder, out = (
        export(tmp_path / "run"),
        scans(tmp_path / "scans", "a.nii.gz", "d.nii.gz"),
        tmp_path / "out",
    )
    (folder / "b.nii.gz").write_bytes(b"not a scan")
    scans(folder, "c.nii.gz", shape=(12, 9))
    report = predict(run, folder, out)
    assert [row.case for row in report.failed] == ["b", "c"]
    assert sorted(p.name for p in out.glob("*.nii.gz")) == ["a.nii.gz", "d.nii.gz"]
    found = rows(out)
    assert [found[case]["flag"] for case in "bc"] == ["refuse", "refuse"]
    assert "unreadable or truncated" in found["b"]["reason"]
    assert "found 2D" in found["c"]["reason"]
    assert found["d"]["status"] == "ok"


def test_fail_fast_stops_at_the_first(tmp_path: Path) -> None:
    run, folder = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz", "c.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"not a scan")
    report = predict(run, folder, tmp_path / "out", fail_fast=True)
    assert [(row.case, row.status) for row in report.rows] == [("a", "ok"), ("b", "failed")]
    assert not (tmp_path / "out/c.nii.gz").exists()


def test_skip_existing_needs_the_same_model_and_the_same_scan(tmp_path: Path) -> None:
    run, folder, out = (
        export(tmp_path / "run"),
        scans(tmp_path / "scans", "a.nii.gz", "b.nii.gz"),
        tmp_path / "out",
    )
    predict(run, folder, out)
    assert predict(run, folder, out, skip_existing=True).skipped == ("a", "b")
    assert predict(run, folder, out).skipped == ()
    scans(folder, "b.nii.gz")  # other voxels than before
    assert predict(run, folder, out, skip_existing=True).skipped == ("a",)
    (out / "a.nii.gz").unlink()
    assert predict(run, folder, out, skip_existing=True).skipped == ("b",)
    assert predict(run, folder, out, skip_existing=True, uncertainty=True).skipped == ()
    other = export(tmp_path / "other", seed=1)
    assert predict(other, folder, out, skip_existing=True).skipped == ()
    written = json.loads((out / "predictions.json").read_text())
    written["cases"][0]["whole"] = True  # predicted the other way
    del written["cases"][1]["whole"]  # predicted before there were two ways
    (out / "predictions.json").write_text(json.dumps(written))
    assert predict(other, folder, out, skip_existing=True).skipped == ()
    assert predict(other, folder, out, skip_existing=True).skipped == ("a", "b")
    assert set(rows(out)) == {"a", "b"}


@pytest.mark.parametrize("format", ["nii.gz", "nrrd", "seg.nrrd", "mha"])
@pytest.mark.parametrize("skip_existing", [False, True])
def test_what_somebody_drew_is_not_overwritten(format: str, skip_existing: bool, tmp_path: Path) -> None:
    run, folder = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz", "b.nii.gz")
    out, more = tmp_path / "out", {"format": format, "skip_existing": skip_existing}
    first = predict(run, folder, out, format=format)
    mask, other = (out / str(row.mask) for row in first.rows)
    drawn = read_label(mask).array.copy()
    drawn[0, 1, 1] = 1 - drawn[0, 1, 1]
    write_mask(mask, drawn[0], read_volume(folder / "a.nii.gz"), format)  # edited, no longer marked
    before = mask.read_bytes()
    if not skip_existing:  # else it is up to date
        (failed,) = predict(run, folder, out, **more).failed
        assert (failed.case, failed.mask) == ("a", None)
        assert "predict has not written, or that was edited" in str(failed.reason)
        assert [row.case for row in predict(run, folder, out, **more).failed] == ["a"]  # nor the next time
    assert mask.read_bytes() == before
    assert predict(run, folder / "b.nii.gz", out, **more).failed == ()  # ours is made anew
    assert other.is_file()

    labels = tmp_path / "labels"  # a folder that predict has never seen
    labels.mkdir()
    shutil.copy(mask, labels)
    report = predict(run, folder, labels, **more)
    assert [(row.case, row.status) for row in report.rows] == [("a", "failed"), ("b", "ok")]
    assert (labels / mask.name).read_bytes() == before


def test_an_edited_mask_stays_when_another_format_is_asked_for_or_its_scan_is_gone(tmp_path: Path) -> None:
    run, folder, out = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz"), tmp_path / "out"
    predict(run, folder, out)
    write_mask(out / "a.nii.gz", np.ones((12, 9, 7), np.uint8), read_volume(folder / "a.nii.gz"))
    before = (out / "a.nii.gz").read_bytes()
    assert predict(run, folder, out, format="nrrd").failed == ()
    assert (out / "a.nrrd").is_file()
    (folder / "a.nii.gz").write_bytes(b"no scan any more")
    assert predict(run, folder, out).failed
    assert not (out / "a.nrrd").exists()
    assert (out / "a.nii.gz").read_bytes() == before


def test_an_older_mask_does_not_pass_for_a_failed_case(tmp_path: Path) -> None:
    run, folder, out = (
        export(tmp_path / "run"),
        scans(tmp_path / "scans", "a.nii.gz", "b.nii.gz"),
        tmp_path / "out",
    )
    predict(run, folder, out, uncertainty=True)
    (folder / "a.nii.gz").write_bytes(b"broken now")
    report = predict(run, folder / "a.nii.gz", out)
    assert [row.case for row in report.failed] == ["a"]
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.nii.gz")) == [
        "b.nii.gz", "uncertainty/b.nii.gz",
    ]  # fmt: skip
    assert {case: row["status"] for case, row in rows(out).items()} == {"a": "failed", "b": "ok"}


def test_pictures_give_pictures(tmp_path: Path) -> None:
    run, folder, out = (
        export(tmp_path / "run", 2, 3, spacing_known=False),
        tmp_path / "scans",
        tmp_path / "out",
    )
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (15, 22, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "p_0000.png")
    predict(run, folder, out, uncertainty=True)
    assert np.asarray(Image.open(out / "p.png")).shape == (15, 22)
    assert predict(run, folder, out, uncertainty=True).failed == ()  # over its own
    assert set(np.unique(np.asarray(Image.open(out / "p.png")))) <= {0, 1, 3}
    assert (out / "uncertainty/p.tiff").is_file()
    row = rows(out)["p"]
    assert row["volume_ml"] == {"1": None, "3": None}
    assert sum(row["voxels"].values()) == (np.asarray(Image.open(out / "p.png")) > 0).sum()
    assert json.loads((out / "dataset.json").read_text())["file_ending"] == ".png"


def test_another_format(tmp_path: Path) -> None:
    import SimpleITK

    run, folder, out = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz"), tmp_path / "out"
    predict(run, folder, out, format="nrrd")
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out / "a.nrrd"))).transpose(2, 1, 0)
    np.testing.assert_array_equal(mask, load_model(run).predict(folder / "a.nii.gz").mask)
    assert json.loads((out / "dataset.json").read_text())["file_ending"] == ".nrrd"
    predict(run, folder, out)
    assert sorted(p.name for p in out.glob("a.*")) == ["a.nii.gz"]


def test_faults_before_any_work(tmp_path: Path) -> None:
    run, folder = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz")
    with pytest.raises(DataError, match=r"holds no model; found no model\.json.*Remedy"):
        predict(folder, folder, tmp_path / "out")
    with pytest.raises(SettingsError, match=r"found dicom.*expected same or nii\.gz"):
        predict(run, folder, tmp_path / "out", format="dicom")
    with pytest.raises(SettingsError, match="among the scans"):
        predict(run, folder, folder)
    with pytest.raises(SettingsError, match="device cannot be used"):
        predict(run, folder, tmp_path / "out", device="warp")
    with pytest.raises(DataError, match="no such file or folder"):
        predict(run, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/dataset.json").write_text('{"labels": {"background": 0, "heart": 1}}')
    with pytest.raises(SettingsError, match=r"other classes.*heart"):
        predict(run, folder, tmp_path / "out")


def test_the_command_line_tells_runs_from_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs come first; what holds no model is a scan, and so is all that follows."""
    monkeypatch.chdir(tmp_path)
    export(tmp_path / "one", seed=1)
    export(tmp_path / "two", seed=2)
    scans(tmp_path / "some", "a.nii.gz")
    scans(tmp_path / "more", "b.nii.gz")
    for words, count in (
        ("one two some more --out A", 2),
        ("one two --fail-fast some --out B more", 2),
        ("one --fail-fast two some more --out C", 2),
        ("--out D one some more", 1),
        ("two some/a.nii.gz --out E more", 1),
    ):
        assert main(["predict", *words.split()]) == 0
        out = tmp_path / re.findall(r"--out (\w)", words)[0]
        assert set(rows(out)) == {"a", "b"}
        assert {len(row["runs"]) for row in rows(out).values()} == {count}
    assert main(["predict", "some", "one", "more", "--out", "never"]) == 1


def plain_of(out: Path) -> dict[str, object]:
    """Every file's bytes; of the record all but the seconds that a case took."""
    files: dict[str, object] = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(("predictions.", ".lock"))
    }
    found = {
        case: {key: value for key, value in row.items() if key != "seconds"}
        for case, row in rows(out).items()
    }
    return {**files, "rows": found}


def test_processes_make_what_one_makes_and_a_killed_one_loses_no_scan(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    names = [f"c{i:02d}.nii.gz" for i in range(8)]
    folder = scans(tmp_path / "scans", *names)
    (folder / "c03.nii.gz").write_bytes(b"not a scan")
    here, there = tmp_path / "here", tmp_path / "there"
    for out, seed in ((here, 0), (there, 1)):  # a row of another model, which must not outlive its mask
        predict(export(tmp_path / f"run{seed}", seed=5), folder, out, threads=1)
    predict(run, folder, here, threads=1, probabilities=True)
    seen, killed = [], list[int]()

    def progress(done: int, total: int, row: Row) -> None:
        seen.append((done, total))
        if not killed:  # whatever it is at
            worker = psutil.Process().children()[0]
            worker.kill()
            killed.append(worker.pid)

    report = predict(run, folder, there, threads=1, probabilities=True, on="local:2", progress=progress)
    assert seen == [(i, 8) for i in range(1, 9)]
    assert len(killed) == 1
    assert [row.case for row in report.failed] == ["c03"]
    assert plain_of(there) == plain_of(here)

    # only what has changed is done again, by what the other process finds
    (folder / "c04.nii.gz").write_bytes((folder / "c05.nii.gz").read_bytes())
    again = predict(run, folder, there, threads=1, probabilities=True, skip_existing=True, on="local:1")
    assert sorted(row.case for row in again.rows) == ["c03", "c04"]
    assert len(again.skipped) == 6
    predict(run, folder, here, threads=1, probabilities=True, skip_existing=True)
    assert plain_of(there) == plain_of(here)

    with pytest.raises(SettingsError, match="no such engine"):
        predict(run, folder, tmp_path / "none", on="cloud")


def test_a_scan_that_kills_every_process_is_told_and_its_old_mask_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder, out = (
        export(tmp_path / "run"),
        scans(tmp_path / "scans", "a.nii.gz", "b.nii.gz"),
        tmp_path / "out",
    )
    predict(run, folder, out)
    code = (
        "import os, signal, sys; 'a.nii' in sys.stdin.readline() and os.kill(os.getpid(), signal.SIGKILL); "
    )
    code += "from semivox.engines.worker import main; sys.exit(main())"
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c", code))
    report = predict(run, scans(tmp_path / "one", "a.nii.gz"), out, on="local:1")
    (row,) = report.failed
    assert "signal SIGKILL, 3 times (a)" in row.reason
    assert not (out / "a.nii.gz").exists()
    assert rows(out)["b"]["status"] == "ok"
