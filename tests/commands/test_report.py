"""``report``: pages of trained runs, cases measured for them, and a run that its page must never disturb."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813
import torch
import yaml
from safetensors.torch import load_file

import semivox
from semivox.cli import main
from semivox.cohort import load_cohort, read_label, write_mask
from semivox.commands import report as module
from semivox.commands.report import evaluation_folder, report
from semivox.commands.train import train
from semivox.errors import DataError, Stopped
from semivox.evaluation.calibration import Reliability, reliability
from semivox.runs import live_report
from semivox.runs.live_report import FIRST_SECONDS, LiveReport
from semivox.testing.displays import StopAfter, Told

Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def trained(phantoms: Folders, small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps. Do not write into it."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train(phantoms[0], run, method="supervised", steps=6, settings=small)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_train_leaves_a_page_without_a_dice(trained: Path) -> None:
    text = (trained / "report.html").read_text()
    assert "supervised on " in text
    assert "no held-out case has been measured" in text
    assert 'class="flag done"' in text


def test_held_out_cases_are_predicted_measured_and_shown_once(run: Path, phantoms: Folders) -> None:
    test, seen = phantoms[1], list[str]()
    page = report(run, test, progress=lambda done, total, row: seen.append(f"{done}/{total} {row.case}"))
    cases = [case.name for case in load_cohort(test).cases]
    assert seen == [f"{i}/2 {case}" for i, case in enumerate(cases, 1)]
    assert page == run / "report.html"
    folder = run / "evaluations" / test.name
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert list(evaluation["cases"]) == cases
    assert not (folder / "masks" / "probabilities").exists()
    assert f"Dice {evaluation['mean']['foreground']['dice']:.3f}" in page.read_text()
    assert json.loads((folder / "source.json").read_text())["data"] == str(test.resolve())
    assert page.read_text().count("data:image/jpeg") == (3 + 1) * len(cases)  # planes, small picture
    before = {path: path.stat().st_mtime_ns for path in (folder / "masks").glob("*.nii.gz")}
    first = (folder / "calibration.json").read_bytes()
    report(run, test)  # all is up to date
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (folder / "calibration.json").read_bytes() == first
    assert report(run, out=run.parent / "again.html").read_text() == page.read_text()


def test_calibration_is_that_of_the_written_probabilities(run: Path, phantoms: Folders) -> None:
    test = phantoms[1]
    report(run, test)
    semivox.predict(run, test, run.parent / "masks", probabilities=True)
    entries = json.loads((run / "evaluations" / test.name / "calibration.json").read_text())["cases"]
    for case in load_cohort(test).cases:
        assert case.label is not None
        probs = semivox.read_volume(run.parent / "masks" / "probabilities" / f"{case.name}.nii.gz").array
        label = read_label(case.label).array[0]
        slow, found = reliability(probs, label, [1]), Reliability.from_json(entries[case.name])
        assert entries[case.name]["reference_voxels"] == {"1": int((label == 1).sum())}
        assert found.voxels == pytest.approx(slow.voxels, rel=0.02)  # half precision moves a few
        assert found.expected_calibration_error == pytest.approx(slow.expected_calibration_error, abs=0.01)


def test_what_changed_is_counted_anew(run: Path, phantoms: Folders, tmp_path: Path) -> None:
    test = Path(shutil.copytree(phantoms[1], tmp_path / "test"))
    report(run, test)
    calibration = run / "evaluations" / "test" / "calibration.json"
    before = json.loads(calibration.read_text())["cases"]
    one = sorted((test / "labelsTr").iterdir())[0]
    label = read_label(one)
    write_mask(one, label.array[0][::-1], label)
    report(run, test)
    after = json.loads(calibration.read_text())["cases"]
    changed, kept = sorted(before)
    assert after[changed] != before[changed]
    assert after[kept] == before[kept]


def test_cases_without_references_are_shown_and_not_measured(
    run: Path, phantoms: Folders, tmp_path: Path
) -> None:
    test = Path(shutil.copytree(phantoms[1], tmp_path / "test"))
    label = sorted((test / "labelsTr").iterdir())[0]
    label.unlink()
    text = report(run, test).read_text()
    assert "on 1 held-out case of " in text
    assert "no reference" in text
    for path in (test / "labelsTr").iterdir():
        path.unlink()
    fresh = Path(shutil.copytree(test, tmp_path / "bare"))
    text = report(run, fresh).read_text()
    assert "2 cases of " in text
    assert "None has a reference to measure with." in text


def test_a_case_that_was_trained_on_is_refused(run: Path, phantoms: Folders, tmp_path: Path) -> None:
    test = Path(shutil.copytree(phantoms[1], tmp_path / "test"))
    learned = next(case for case in load_cohort(phantoms[0]).cases if case.label is not None)
    name = sorted((test / "imagesTr").iterdir())[0]
    shutil.copy(learned.images[0], name)
    with pytest.raises(DataError, match="trained on with their labels; found 1 of 2"):
        report(run, test)
    assert not (run / "evaluations").exists()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_a_case_that_was_trained_on_is_refused_in_any_format(ending: str, run: Path, tmp_path: Path) -> None:
    """A detached header, too, and by whatever name; the labels' folder has names of nobody's making."""
    data = Path(yaml.safe_load((run / "config.yaml").read_text())["data"])
    learned = next(case for case in load_cohort(data).cases if case.label is not None)
    for folder, path in (("images", learned.images[0]), ("labels", learned.label)):
        target = tmp_path / "test" / folder / f"stranger{ending if folder == 'images' else '.nii.gz'}"
        target.parent.mkdir(parents=True)
        sitk.WriteImage(sitk.ReadImage(str(path)), str(target))
    with pytest.raises(DataError, match="trained on with their labels; found 1 of 1, such as stranger"):
        report(run, tmp_path / "test")


def test_a_run_of_an_earlier_version_is_guarded_by_its_files(
    run: Path, phantoms: Folders, tmp_path: Path
) -> None:
    record = json.loads((run / "cases.json").read_text())
    record["cases"] = [{**row, "sha256": row["files_sha256"]} for row in record["cases"]]
    for row in record["cases"]:
        del row["files_sha256"]
    (run / "cases.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="trained on with their labels; found 2 of 5"):
        report(run, phantoms[0])


def test_other_cases_and_other_folders_are_refused(
    run: Path, phantoms: Folders, flat_phantoms: Folders, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="other channels or classes"):
        report(run, flat_phantoms[1])
    with pytest.raises(DataError, match="is no run folder"):
        report(phantoms[0])
    (run / "model.json").unlink()
    with pytest.raises(DataError, match="model"):
        report(run, phantoms[1])
    assert "There is no model yet" in report(run).read_text()


def test_two_folders_of_one_name_have_two_evaluations(run: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "dev", tmp_path / "b" / "dev"
    assert evaluation_folder(run, one) == run / "evaluations" / "dev"
    (run / "evaluations" / "dev").mkdir(parents=True)
    (run / "evaluations" / "dev" / "source.json").write_text(json.dumps({"data": str(one)}))
    assert evaluation_folder(run, one) == run / "evaluations" / "dev"
    assert evaluation_folder(run, two).name.startswith("dev-")


def test_a_scan_too_large_for_its_probabilities_is_predicted_all_the_same(
    run: Path, phantoms: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semivox.runs.calibration.MEMORY_SHARE", 0)
    text = report(run, phantoms[1]).read_text()
    entries = json.loads((run / "evaluations" / phantoms[1].name / "calibration.json").read_text())["cases"]
    assert all(set(entry) == {"label_sha256", "reference_voxels"} for entry in entries.values())
    assert "Expected calibration error" not in text
    assert f"{len(entries)} held-out cases ({len(entries)} patients) of" in text


def test_the_command_line_and_the_name_in_python(
    run: Path, phantoms: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(run), "--test", str(phantoms[1]), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{out} (")
    assert told.err.startswith("1/2 ")
    assert semivox.write_report is report
    assert import_module("semivox.report.page").render_page  # the package keeps its name
    assert semivox.report.page


def steps_of(run: Path) -> list[tuple[int, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["terms"]) for row in rows]


def test_a_page_at_every_checkpoint_changes_no_bit_of_a_run(
    trained: Path, phantoms: Folders, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_report, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(live_report, "COST_SHARE", 1e9)
    written = list[str]()
    monkeypatch.setattr(module, "report", spy(report, written))
    settings = {**small, "run.checkpoint_seconds": 0.0}
    train(phantoms[0], tmp_path / "run", method="supervised", steps=6, settings=settings)
    assert written == ["training"] * 6 + ["done"]
    one, two = (load_file(path / "model.safetensors") for path in (trained, tmp_path / "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert steps_of(trained) == steps_of(tmp_path / "run")


def spy(real: Callable[..., Path], written: list[str]) -> Callable[..., Path]:
    def spied(path: Path) -> Path:
        written.append(json.loads((path / "status.json").read_text())["state"])
        return real(path)

    return spied


def test_a_page_that_fails_is_one_line_and_no_fault_of_the_run(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> Path:
        raise RuntimeError("no ink")

    monkeypatch.setattr(live_report, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(live_report, "COST_SHARE", 1e9)
    monkeypatch.setattr(module, "report", fails)
    told = Told()
    settings = {**small, "run.checkpoint_seconds": 0.0}
    result = train(
        phantoms[0], tmp_path / "run", method="supervised", steps=3, settings=settings, display=told
    )
    assert result.steps == 3
    assert [line for line in told.said if "report.html" in line] == [
        "warning: report.html was not written: RuntimeError: no ink"
    ]
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "done"


def test_a_stopped_run_leaves_a_page_that_says_so(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        train(
            phantoms[0], tmp_path / "run", method="supervised", steps=9, settings=small, display=StopAfter(2)
        )  # fmt: skip
    assert "The run was stopped: 2 of 9 steps are done." in (tmp_path / "run" / "report.html").read_text()


def test_pages_are_refreshed_now_and_then_and_within_their_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = [1000.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(path: Path) -> None:
        written.append(now[0])
        now[0] += 10.0  # seconds that a page takes

    live = LiveReport(tmp_path, Told(), slow)
    for _ in range(1000):
        now[0] += 60.0
        live.refresh(False)
    assert written[0] == 1000 + FIRST_SECONDS / 0.005
    gaps = [b - a for a, b in pairwise(written)]
    assert min(gaps) >= 10 / 0.005
    assert 10 * len(written) <= 0.01 * 60_000
    count = len(written)
    live.refresh(True)
    assert len(written) == count + 1
