"""The loop over scans: the record tells of every mask, whatever interrupts or fails on the way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from semivox.cohort.case import Case
from semivox.cohort.scans import find_scans
from semivox.errors import DataError, DiskFault, SettingsError
from semivox.inference import Segmentation, load_model
from semivox.inference.folder import predict_folder
from semivox.inference.model import Model
from semivox.inference.scan_work import Wanted

from .conftest import MakeRun, SaveScan


@pytest.fixture
def model(make_run: MakeRun) -> Model:
    return load_model(make_run(), device="cpu")


@pytest.fixture
def scans(save_scan: SaveScan) -> tuple[Case, ...]:
    paths = [save_scan(f"scans/{name}.nii.gz", seed=i) for i, name in enumerate("abcd")]
    return find_scans(paths).cases


def recorded(out: Path) -> dict[str, dict]:
    return {row["case"]: row for row in json.loads((out / "predictions.json").read_text())["cases"]}


def masks(out: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in out.glob("*.nii.gz"))


def failing(case: str) -> Callable[..., Path]:
    save = Segmentation.save

    def saving(self: Segmentation, path: Path, format: str = "same") -> Path:
        if path.name == f"{case}.nii.gz":
            raise OSError("the disk has gone")
        return save(self, path, format)

    return saving


def test_rows_come_in_order_with_the_masks_of_one_scan_at_a_time(
    model: Model, scans: tuple[Case, ...], tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    report = predict_folder(
        model, scans, tmp_path / "out", Wanted(), progress=lambda n, of, row: told.append((n, of, row.case))
    )
    assert told == [(i, 4, case) for i, case in enumerate("abcd", 1)]
    assert [row.case for row in report.rows] == list("abcd")
    found = recorded(tmp_path / "out")
    for scan in scans:
        alone = model.predict(scan.images)
        assert found[scan.name]["voxels"] == {"1": alone.voxels[1]}
        assert found[scan.name]["mean_entropy"] == alone.mean_entropy
        assert found[scan.name]["seconds"] > 0


def test_a_mask_is_written_while_the_network_has_the_next_scan(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_began, save, predict = threading.Event(), Segmentation.save, Model.predict
    waited: list[bool] = []

    def saving(self: Segmentation, path: Path, format: str = "same") -> Path:
        if path.name == "a.nii.gz":
            waited.append(second_began.wait(timeout=60))
        return save(self, path, format)

    def predicting(self: Model, scan: object, **wanted: bool) -> Segmentation:
        if scan.source.path.name.startswith("b"):
            second_began.set()
        return predict(self, scan, **wanted)

    monkeypatch.setattr(Segmentation, "save", saving)
    monkeypatch.setattr(Model, "predict", predicting)
    predict_folder(model, scans[:2], tmp_path / "out", Wanted())
    assert waited == [True]
    assert masks(tmp_path / "out") == ["a", "b"]


def test_an_interrupted_call_leaves_a_row_for_every_mask(
    model: Model, scans: tuple[Case, ...], tmp_path: Path
) -> None:
    def interrupt(done: int, of: int, row: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, scans, tmp_path / "out", Wanted(), progress=interrupt)
    assert set("ab") <= set(masks(tmp_path / "out"))
    assert sorted(recorded(tmp_path / "out")) == masks(tmp_path / "out")


def test_a_scan_that_cannot_be_written_does_not_stop_the_others(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_folder(model, scans[1:2], tmp_path / "out", Wanted())
    monkeypatch.setattr(Segmentation, "save", failing("b"))
    report = predict_folder(model, scans, tmp_path / "out", Wanted(uncertainty=True))
    assert [(row.case, row.status) for row in report.rows] == [
        ("a", "ok"), ("b", "failed"), ("c", "ok"), ("d", "ok")
    ]  # fmt: skip
    assert recorded(tmp_path / "out")["b"]["reason"] == "OSError: the disk has gone"
    assert masks(tmp_path / "out") == ["a", "c", "d"]  # its older mask does not pass for this one's
    assert masks(tmp_path / "out/uncertainty") == ["a", "c", "d"]


def test_fail_fast_writes_nothing_after_a_scan_that_failed_late(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmentation, "save", failing("b"))
    report = predict_folder(model, scans, tmp_path / "out", Wanted(), fail_fast=True)
    assert [(row.case, row.status) for row in report.rows] == [("a", "ok"), ("b", "failed")]
    assert masks(tmp_path / "out") == ["a"]


def test_the_mask_on_disk_is_the_models(model: Model, scans: tuple[Case, ...], tmp_path: Path) -> None:
    import nibabel as nib

    predict_folder(model, scans[:1], tmp_path / "out", Wanted())
    written = np.asarray(nib.load(tmp_path / "out/a.nii.gz").dataobj)
    np.testing.assert_array_equal(written, model.predict(scans[0].images).mask)


@pytest.mark.parametrize(
    "named", ["../precious.txt", "/{}/precious.txt", "sub/a.nii.gz", "..", "b.nii.gz", 7]
)
def test_a_record_never_names_what_is_removed(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, named: object
) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    predict_folder(model, scans[:2], out, Wanted())
    (out / "sub").mkdir()
    others = [precious, out / "sub/a.nii.gz", out / "b.nii.gz"]
    for path in others[:2]:
        path.write_text("years of work")
    content = json.loads((out / "predictions.json").read_text())
    content["cases"][0]["mask"] = named.format(tmp_path) if isinstance(named, str) else named
    (out / "predictions.json").write_text(json.dumps(content))
    with pytest.raises(
        DataError, match=r"predictions\.json: (holds a row that predict did not write|cases\.0\.mask is not)"
    ):
        predict_folder(model, scans[:1], out, Wanted())
    assert all(path.is_file() for path in others)


@pytest.mark.parametrize("folder", ["probabilities", "uncertainty"])
def test_maps_are_not_removed_through_a_link(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, folder: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / folder).symlink_to(scans[0].images[0].parent, target_is_directory=True)
    with pytest.raises(DataError, match="is a link"):
        predict_folder(model, scans[:1], out, Wanted())
    assert scans[0].images[0].is_file()


@pytest.mark.parametrize(("edges", "fault"), [(1000.0, "spacing is far from"), (90.0, "becomes too large")])
def test_a_scan_that_would_take_all_the_memory_fails_by_name_and_the_others_do_not(
    model: Model,
    save_scan: SaveScan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edges: float,
    fault: str,
) -> None:
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "1GiB")
    paths = [save_scan(f"scans/{name}.nii.gz", seed=i) for i, name in enumerate("ac")]
    odd = save_scan("scans/b.nii.gz", affine=np.diag([edges] * 3 + [1]))
    report = predict_folder(model, find_scans([*paths, odd]).cases, tmp_path / "out", Wanted())
    assert [row.case for row in report.failed] == ["b"]
    assert str(odd) in report.failed[0].reason
    assert fault in report.failed[0].reason
    assert masks(tmp_path / "out") == ["a", "c"]


def contents(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_second_call_into_a_folder_is_refused_and_the_first_ends_well(
    model: Model, scans: tuple[Case, ...], tmp_path: Path
) -> None:
    out, refused = tmp_path / "out", list[BaseException | None]()

    def second(done: int, of: int, row: object) -> None:
        with ThreadPoolExecutor(1) as other:
            refused.append(other.submit(predict_folder, model, scans[2:], out, Wanted()).exception())

    predict_folder(model, scans[:2], out, Wanted(), progress=second)
    assert [type(error) for error in refused] == [SettingsError] * 2
    who = f"found process {os.getpid()} on {socket.gethostname()}"
    assert f"{out}: another predict writes into this folder; {who}" in str(refused[0])
    assert contents(out) == ["a.nii.gz", "b.nii.gz", "dataset.json", "predictions.csv", "predictions.json"]
    assert sorted(recorded(out)) == ["a", "b"]
    predict_folder(model, scans[2:], out, Wanted())
    assert sorted(recorded(out)) == list("abcd")


HOLDS = """
import sys
from pathlib import Path
from semivox.inference.sole_writer import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_another_processs_until_that_is_killed(
    model: Model, scans: tuple[Case, ...], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SettingsError, match=f"found process {other.pid} on "):
            predict_folder(model, scans[:1], out, Wanted())
        other.kill()
    assert predict_folder(model, scans[:1], out, Wanted()).failed == ()
    assert contents(out) == ["a.nii.gz", "dataset.json", "predictions.csv", "predictions.json"]


def test_a_call_that_fails_lets_go_and_leaves_no_new_folder(
    model: Model, scans: tuple[Case, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise DiskFault("there is no room")

    with monkeypatch.context() as patched:
        patched.setattr("semivox.inference.folder._refuse_full", full)
        with pytest.raises(DiskFault):
            predict_folder(model, scans[:1], tmp_path / "new" / "out", Wanted())
    assert not (tmp_path / "new").exists()
    assert predict_folder(model, scans[:1], tmp_path / "new" / "out", Wanted()).failed == ()
