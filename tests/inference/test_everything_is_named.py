"""A folder of scans with all that may lie in one: predicted, failed or named, and nothing is waited for."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from semivox.cli import main
from semivox.cohort import find_scans, read_case
from semivox.errors import DataError
from semivox.inference import load_model
from semivox.inference.folder import predict_folder
from semivox.inference.scan_work import Wanted
from semivox.networks.layers import Conv3d
from semivox.ranking.measure import measure
from semivox.tiles import predict_planned

from .conftest import MakeRun, SaveScan


def test_everything_in_a_folder_of_scans_is_predicted_failed_or_named(
    make_run: MakeRun, save_scan: SaveScan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = make_run(), tmp_path / "out"
    good = save_scan("scans/good.nii.gz")
    scans = good.parent
    (scans / "gone.nii.gz").symlink_to("nowhere.nii.gz")
    (scans / "loop.nii.gz").symlink_to("loop.nii.gz")
    os.mkfifo(scans / "pipe.nii.gz")
    os.mkfifo(scans / "pipe_of_no_ending")
    (scans / "scan.nii.gz.part").write_text("x")
    (scans / "deeper").mkdir()
    shutil.copy(good, os.fsencode(scans) + b"/\xff\xfe.nii.gz")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(scans)  # the name of a socket may not be long
        try:
            listening.bind("s.nii.gz")
        finally:
            os.chdir(here)
    assert main(["predict", str(run), str(scans), "--out", str(out), "--device", "cpu"]) == 3
    rows = {row["case"]: row for row in json.loads((out / "predictions.json").read_text())["cases"]}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"good"}
    failed = {name for name, row in rows.items() if row["status"] == "failed"}
    assert failed == {"gone", "loop", "pipe", "s", "\\xff\\xfe"}
    assert "UTF-8" in rows["\\xff\\xfe"]["reason"]
    told = capsys.readouterr().err
    assert all(name in told for name in ("pipe_of_no_ending", "scan.nii.gz.part", "deeper"))


def test_an_output_that_is_not_finite_fails_that_case_alone(
    make_run: MakeRun, save_scan: SaveScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(make_run(), device="cpu")
    scans = find_scans([save_scan(f"scans/{name}.nii.gz", seed=i) for i, name in enumerate("abc")]).cases
    forward, broken = Conv3d.forward, [True]

    def breaking(self: Conv3d, x: torch.Tensor) -> torch.Tensor:
        return forward(self, x) * (torch.nan if broken[0] else 1.0)

    monkeypatch.setattr(Conv3d, "forward", breaking)
    with pytest.raises(DataError, match=r"not finite; found \d+ of \d+ voxels"):
        predict_planned(model.networks, np.ones((1, *model.plan.patch), np.float32), model.plan)
    with pytest.raises(DataError, match="not finite"):
        measure(model, read_case(scans[0]))

    def healed(done: int, total: int, row: object) -> None:
        broken[0] = False

    report = predict_folder(model, scans[:1], tmp_path / "out", Wanted(), progress=healed)
    report = predict_folder(model, scans, tmp_path / "out", Wanted())
    assert [row.status for row in report.rows] == ["ok", "ok", "ok"]
    broken[0] = True
    report = predict_folder(model, scans, tmp_path / "out2", Wanted())
    assert [row.status for row in report.rows] == ["failed"] * 3
    assert "not finite" in report.rows[0].reason
