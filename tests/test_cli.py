"""The command line's contract: exit codes, one clear message a fault, and nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from semivox.cli import main
from semivox.commands import COMMANDS
from semivox.errors import PartialFailure, UsageError
from semivox.inference import undertrained

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class House:
    """What all tests share: a data folder, held-out scans, prepared scans, options, and a finished run."""

    data: Path
    test: Path
    cache: Path
    options: tuple[str, ...]
    run: Path

    def train(self, data: Path, out: Path, *more: str) -> list[str]:
        return ["train", str(data), "--out", str(out), "--method", "supervised", *self.options, *more]


@pytest.fixture(scope="module")
def house(
    phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> House:
    folder = tmp_path_factory.mktemp("house")
    sets = [x for k, v in small.items() for x in ("--set", f"{k}={json.dumps(v)}")]
    made = House(*phantoms, folder / "cache", ("--cache", str(folder / "cache"), *sets), folder / "run")
    assert main(made.train(made.data, made.run, "--steps", "2")) == 0
    return made


def one_message(capture: Capture, command: str) -> str:
    """stderr's one message, after any lines that tell of progress; never a traceback."""
    text = capture.readouterr().err
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith(f"semivox {command}:")]
    assert len(lines) == 1
    assert text.splitlines()[-1] == lines[0]
    return lines[0]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def half_written(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".writing-*")]


# ---- what needs no data


def test_help_is_fast_and_imports_no_torch() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "semivox", "--help"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert "demo" in done.stdout
    assert seconds < 0.3
    code = "import sys, semivox.cli as c; c.main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert not {"torch", "numpy", "rich", "pydantic"} & set(loaded.split())


@pytest.mark.parametrize(
    "command",
    ["demo", "check", "import", "plan", "train", "predict", "evaluate", "compare", "report", "methods"],
)
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: semivox {command}")


def test_the_version(capsys: Capture) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"semivox {version('semivox')}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "required: COMMAND"),
        ("tarin data", "invalid choice: 'tarin'"),
        ("train data", "required: --out"),
        ("train data --out run --steps 3 --budget 1h", "not allowed with"),
        ("train data --out run --budget 2x", "write 90s, 30m, 2h or 1h30m"),
        ("train data --out run --steps many", "invalid int value"),
        ("check", "required: DATA"),
        ("predict run", "required: PATH, --out"),
        ("compare data --out o", "required: --methods"),
        ("compare data --out o --methods all", "one of the arguments --test --folds is required"),
        ("compare data --out o --methods all --test t --folds 5", "not allowed with"),
        ("compare data --out o --methods all --folds 5 --steps 3 --budget 1h", "not allowed with"),
    ],
)
def test_a_usage_error_is_2(line: str, said: str, capsys: Capture) -> None:
    assert main(shlex.split(line)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.parametrize(("error", "code"), [(UsageError("so"), 2), (PartialFailure("so"), 3)])
def test_errors_carry_their_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("semivox.commands.methods.methods.of", raising(error))
    assert main(["methods"]) == code
    assert capsys.readouterr().err == "semivox methods: so\n"


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*a: Any, **k: Any) -> Any:
        raise error

    return fail


def test_a_bug_is_70_and_its_traceback_goes_into_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semivox.commands.methods.methods.of", raising(ZeroDivisionError("by zero")))
    assert main(["methods", "no such"]) == 70
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "semivox methods: a bug in semivox, sorry: ZeroDivisionError: by zero",
        "The details are in semivox-error.log; please report them.",
    ]
    log = (tmp_path / "semivox-error.log").read_text()
    assert log.startswith("semivox methods 'no such'\nTraceback")
    assert "ZeroDivisionError: by zero" in log


def test_a_bug_in_a_run_is_told_in_the_run_folder(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setattr("semivox.runs.run.fit", raising(KeyError("lost")))
    run = tmp_path / "run"
    assert main(house.train(house.data, run, "--steps", "2")) == 70
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"The details are in {run / 'error.log'}" in said
    assert "KeyError: 'lost'" in (run / "error.log").read_text()
    assert json.loads((run / "status.json").read_text())["state"] == "failed"


def test_a_model_of_few_steps_says_that_it_is_not_to_be_used(
    house: House, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    assert main(house.train(house.data, run, "--steps", "2")) == 0
    warning = "warning: this model is not to be used: 2 steps of training taught it too little"
    assert f"{warning} (more --steps)" in capsys.readouterr().err
    card = json.loads((run / "model.json").read_text())
    assert card["undertrained"] == undertrained(2)
    assert f"Warning: {card['undertrained']}" in (run / "report.html").read_text()
    assert main(["predict", str(run), str(house.test / "imagesTr"), "--out", str(tmp_path / "masks")]) == 0
    assert warning in capsys.readouterr().err
    again = house.train(house.data, tmp_path / "again", "--steps", "1", "--init", str(run))
    assert main(again) == 0  # the weights it began with are none to be used either
    assert "not to be used: 1 step of training" in capsys.readouterr().err
    (run / "model.json").write_text(json.dumps({**card, "undertrained": None}))
    again = house.train(house.data, tmp_path / "taught", "--steps", "1", "--init", str(run))
    assert main(again) == 0  # its weights had learned enough
    assert "not to be used" not in capsys.readouterr().err


def test_enough_steps_raise_no_warning() -> None:
    assert undertrained(99) is not None
    assert undertrained(100) is None


def test_json_is_json(house: House, tmp_path: Path, capsys: Capture) -> None:
    def output(*line: str | Path) -> dict[str, Any]:
        assert main([*map(str, line), "--json"]) == 0
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert content["format"] == 1
        return content

    assert output("check", house.data)["ok"]
    assert output("plan", house.data, "--budget", "1h", "--cache", house.cache)["dims"] == 3
    assert output("evaluate", house.test / "labelsTr", house.test, "--out", tmp_path / "e.json")["mean"]
    assert "supervised" in output("methods")["methods"]
    assert output("methods", "supervised")["name"] == "supervised"


# ---- exit codes of runs


def test_one_broken_scan_among_good_ones_is_3(house: House, tmp_path: Path, capsys: Capture) -> None:
    scans, out = tmp_path / "scans", tmp_path / "masks"
    shutil.copytree(house.test / "imagesTr", scans)
    (scans / "broken_0000.nii.gz").write_bytes(b"no scan")
    good = sorted(p.name for p in (house.test / "labelsTr").iterdir())
    assert main(["predict", str(house.run), str(scans), "--out", str(out)]) == 3
    captured = capsys.readouterr()
    assert "1 failed" in captured.out
    assert "broken" in captured.err
    assert "unreadable or truncated" in captured.err
    assert "Traceback" not in captured.err
    assert sorted(p.name for p in out.glob("*.nii.gz")) == good
    (scans / "broken_0000.nii.gz").unlink()
    assert main(["predict", str(house.run), str(scans), "--out", str(out), "--skip-existing"]) == 0


def test_sigterm_is_4_and_the_printed_command_goes_on(house: House, tmp_path: Path) -> None:
    """A real process; the command is run as it is printed."""
    run, prepared = tmp_path / "a run", len(list(house.cache.iterdir()))
    watch = ["--watch", str(house.data)]
    command = [sys.executable, "-m", "semivox", *house.train(house.data, run, "--steps", "12", *watch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    message = said.splitlines()[-1]
    assert message.startswith("semivox train: stopped by SIGTERM after step")
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "stopped"
    assert 1 <= status["step"] < 12

    printed = shlex.split(message.partition("go on with: ")[2])
    assert printed[:2] == ["semivox", "train"]
    assert printed[-1] == "--resume"
    assert main(printed[1:]) == 0
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    journal = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in journal if line["kind"] == "step"] == list(range(12))
    assert [line["step"] for line in journal if line["kind"] == "watch"] == list(range(12))
    assert len(list(house.cache.iterdir())) == prepared  # with the scans that were prepared before


def test_a_signal_before_the_first_step_is_4_too_and_blocks_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("semivox.runs.prepare.build_store", lambda *a: os.kill(os.getpid(), signal.SIGTERM))
        before = signal.getsignal(signal.SIGTERM)
        assert main(house.train(house.data, run, "--steps", "1")) == 4
        assert signal.getsignal(signal.SIGTERM) == before
    assert "stopped by SIGTERM" in one_message(capsys, "train")
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert main(house.train(house.data, run, "--steps", "1")) == 0


def test_a_non_finite_loss_is_5(house: House, tmp_path: Path, capsys: Capture) -> None:
    wild = ("--steps", "8", "--set", "optimizer.lr=1e+06", "--set", "optimizer.clip=0")
    assert main(house.train(house.data, tmp_path / "run", *wild)) == 5
    assert "not finite at step" in one_message(capsys, "train")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory while training"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "out of memory while training"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "plan.patch"),
    ],
)
def test_out_of_memory_is_5(
    error: Exception, said: str, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: Capture,
) -> None:  # fmt: skip
    monkeypatch.setattr("semivox.runs.run.fit", raising(error))
    assert main(house.train(house.data, tmp_path / "run", "--steps", "2")) == 5
    assert said in one_message(capsys, "train")
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"


def comparison(house: House, out: Path, *more: str) -> list[str]:
    command = ["compare", str(house.data), "--out", str(out), "--test", str(house.test), "--steps", "2"]
    return [*command, "--methods", "supervised", "--seeds", "0,1", *house.options, *more]


def test_a_comparison_from_list_to_table(house: House, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert main(comparison(house, out, "--list")) == 0
    assert capsys.readouterr().out.count("free") == 2
    assert not out.exists()
    assert main(comparison(house, out, "--cell", "2")) == 0
    assert main(comparison(house, out, "--list")) == 0
    listed = capsys.readouterr().out
    assert (listed.count("free"), listed.count("finished")) == (1, 2)  # once in the table of --cell
    assert main(comparison(house, out)) == 0
    captured = capsys.readouterr()
    assert "cell 1 of 2" in captured.err
    assert "cell 2 of 2" not in captured.err
    assert "2 of 2 cells finished" in captured.out
    assert (
        main(
            [
                "predict",
                str(out / "cells/supervised/all/test/0"),
                str(house.test),
                "--out",
                str(tmp_path / "m"),
            ]
        )
        == 0
    )
    assert main(comparison(house, out, "--set", "optimizer.lr=0.5")) == 1
    assert "settings: " in one_message(capsys, "compare")
    assert main([*comparison(house, out), "--cell", "9"]) == 1
    assert "expected 1 to 2" in one_message(capsys, "compare")


def test_a_failed_cell_is_3_and_a_stopped_one_4(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    out, runner = tmp_path / "out", "semivox.comparison.cell_run.CellRunner.run"
    monkeypatch.setattr(runner, raising(ValueError("odd")))
    assert main(comparison(house, out)) == 3
    captured = capsys.readouterr()
    assert captured.err.count("ValueError: odd") == 2
    assert "failed: cells/supervised/all/test/1: ValueError: odd" in captured.out
    monkeypatch.setattr(runner, lambda self, cell: os.kill(os.getpid(), signal.SIGTERM))
    assert main(comparison(house, out)) == 4
    assert one_message(capsys, "compare") == (
        f"semivox compare: stopped by SIGTERM; go on with: semivox {shlex.join(comparison(house, out))}"
    )
    assert not list(out.rglob("claim.json"))
    monkeypatch.undo()
    assert main(comparison(house, out)) == 0


# ---- settings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "optimizer.lrr=1"], "did you mean 'optimizer.lr'"),
        (["--set", "plan.pach=[16,16,16]"], "plan.patch"),
        (["--set", "augmentation.rotate=1"], "augmentation.rot"),
        (["--set", "optimizer.lr"], "KEY=VALUE"),
        (["--set", "data=elsewhere"], "unknown setting 'data'"),
        (["--set", "format=7"], "unknown setting 'format'"),
        (["--set", "optimizer.lr=fast"], "'optimizer.lr' has a value of the wrong kind"),
        (["--set", "run.log_every=0"], "greater than or equal to 1"),
        (["--set", "plan.patch=[0,16,16]"], "plan.patch"),
        (["--steps", "0"], "run.steps"),
        (["--steps", "-3"], "run.steps"),
        (["--threads", "0"], "run.threads"),
        (["--labeled", "9"], "ask for 1 to 2"),
        (["--labeled", "none.txt"], "neither a number nor a file"),
        (["--method", "supervized"], "did you mean 'supervised'"),
        (["--device", "warp"], "this device cannot be used"),
        (["--plan", "none.json"], "none.json"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--init", "none"], "none: holds no model"),
        (["--watch", "none"], "none: no such folder"),
    ],
)
def test_wrong_settings_are_1_and_block_nothing(
    options: list[str], said: str, house: House, tmp_path: Path, capsys: Capture
) -> None:
    steps = [] if "--steps" in options else ["--steps", "1"]
    command = house.train(house.data, tmp_path / "run", *steps)
    if "--threads" in options:
        command = [word for word in command if word not in ("--set", "run.threads=1")]
        command = [x for w in command for x in (["--set", w] if "=" in w else [w])]
    for _ in range(2):  # the second try is told the same, not that a run is in the way
        assert main([*command, *options]) == 1
        assert said in one_message(capsys, "train")


@pytest.mark.parametrize("text", ["format: 2\n", "format: x\n", "run: [\n", "- 3\n", "run: {step: 3}\n"])
def test_a_settings_file_with_faults_is_1(text: str, house: House, tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(text)
    assert main(house.train(house.data, tmp_path / "other", "--config", str(run / "config.yaml"))) == 1
    assert f"{run / 'config.yaml'}" in one_message(capsys, "train")
    assert main(house.train(house.data, run, "--resume")) == 1  # a damaged run
    assert f"{run / 'config.yaml'}" in one_message(capsys, "train")
    assert (run / "config.yaml").read_text() == text


def test_output_into_a_pipe_that_closes_is_no_bug(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "semivox", "methods", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_run_folder_that_cannot_be_made_is_1(
    out: str, house: House, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("here already")
    assert main(house.train(house.data, tmp_path / out, "--steps", "1")) == 1
    assert str(tmp_path / out) in one_message(capsys, "train")


def test_an_init_that_does_not_fit_blocks_nothing(house: House, tmp_path: Path, capsys: Capture) -> None:
    other = ["--init", str(house.run), "--steps", "1", "--set", "plan.network.kind=vnet"]
    command = house.train(house.data, tmp_path / "run")
    assert main([*command, *other]) == 1
    assert str(house.run) in one_message(capsys, "train")
    assert main([*command, "--steps", "1"]) == 0


def test_a_new_try_after_a_failed_one_may_take_other_cases(
    house: House, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    bad = house.train(house.data, run, "--steps", "1", "--init", str(house.run))
    assert main([*bad, "--set", "plan.network.kind=vnet"]) == 1
    assert main(house.train(house.data, run, "--steps", "1", "--labeled", "1")) == 0
    assert "warning: not bit for bit" not in capsys.readouterr().err
    assert [c["role"] for c in json.loads((run / "cases.json").read_text())["cases"]].count("labeled") == 1


# ---- faults of the data folder


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], shift: float = 0.0) -> None:
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += shift
    array = change(np.asarray(image.dataobj))
    nib.save(nib.Nifti1Image(array, affine, dtype=array.dtype), path)


def truncated(root: Path, images: list[Path], labels: list[Path]) -> None:
    images[0].write_bytes(images[0].read_bytes()[:-200])


def garbage(root: Path, images: list[Path], labels: list[Path]) -> None:
    labels[1].write_bytes(b"this is no label")


def unreadable_unlabelled(root: Path, images: list[Path], labels: list[Path]) -> None:
    images[-1].write_bytes(b"")


def other_shape(root: Path, images: list[Path], labels: list[Path]) -> None:
    rewrite(labels[0], lambda a: a[:-1])


def other_place(root: Path, images: list[Path], labels: list[Path]) -> None:
    rewrite(labels[0], lambda a: a, shift=25.0)


def foreign_value(root: Path, images: list[Path], labels: list[Path]) -> None:
    rewrite(labels[0], lambda a: np.where(a == 1, 7, a).astype(a.dtype))


def nan(root: Path, images: list[Path], labels: list[Path]) -> None:
    def spoil(a: np.ndarray) -> np.ndarray:
        a = a.astype(np.float32)
        a[1, 2, 3] = np.nan
        return a

    rewrite(images[2], spoil)


def infinity(root: Path, images: list[Path], labels: list[Path]) -> None:
    def spoil(a: np.ndarray) -> np.ndarray:
        a = a.astype(np.float32)
        a[1, 2, 3] = np.inf
        return a

    rewrite(images[2], spoil)


def mixed_dimensions(root: Path, images: list[Path], labels: list[Path]) -> None:
    rewrite(images[-1], lambda a: a[:, :, 5])


def mixed_channels(root: Path, images: list[Path], labels: list[Path]) -> None:
    rewrite(images[-1], lambda a: np.stack([a, a], axis=-1))


def further_channel(root: Path, images: list[Path], labels: list[Path]) -> None:
    shutil.copy(images[0], str(images[0]).replace("_0000", "_0001"))


def absent_class(root: Path, images: list[Path], labels: list[Path]) -> None:
    described = json.loads((root / "dataset.json").read_text())
    described["labels"]["tumour"] = 2
    (root / "dataset.json").write_text(json.dumps(described))


def no_label(root: Path, images: list[Path], labels: list[Path]) -> None:
    shutil.rmtree(root / "labelsTr")


def duplicate_name(root: Path, images: list[Path], labels: list[Path]) -> None:
    (root / "imagesUn").mkdir()
    shutil.copy(images[1], root / "imagesUn" / images[0].name)


FAULTS: dict[Callable[[Path, list[Path], list[Path]], None], tuple[str, str]] = {
    # what is done to the folder: (where the message must point, what it must say)
    truncated: ("imagesTr/phantom_001_0000.nii.gz", "unreadable or truncated file"),
    garbage: ("labelsTr/phantom_002.nii.gz", "unreadable or truncated file"),
    unreadable_unlabelled: ("imagesTr/phantom_005_0000.nii.gz", "unreadable or truncated file"),
    other_shape: ("labelsTr/phantom_001.nii.gz", "image and label lie on different grids"),
    other_place: ("labelsTr/phantom_001.nii.gz", "image and label lie on different grids"),
    foreign_value: ("labelsTr/phantom_001.nii.gz", "label value outside the declared labels; found 7"),
    nan: ("imagesTr/phantom_003_0000.nii.gz", "the image holds NaN or infinity; found 1 of"),
    infinity: ("imagesTr/phantom_003_0000.nii.gz", "the image holds NaN or infinity; found 1 of"),
    mixed_dimensions: ("imagesTr/phantom_005_0000.nii.gz", "2D and 3D images are mixed"),
    mixed_channels: ("imagesTr/phantom_005_0000.nii.gz", "wrong number of channels; found 2"),
    further_channel: ("imagesTr", "'phantom_001' has other channel files than declared"),
    absent_class: ("", "no labelled case has class 'tumour'"),
    no_label: ("", "no labelled case"),
    duplicate_name: ("imagesTr/phantom_001_0000.nii.gz", "duplicate name"),
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_each_fault_of_the_data_is_1_through_check_and_train(
    spoil: Callable[[Path, list[Path], list[Path]], None], house: House, tmp_path: Path, capsys: Capture
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(house.data, data, ignore=shutil.ignore_patterns(".semivox"))
    spoil(data, sorted((data / "imagesTr").iterdir()), sorted((data / "labelsTr").iterdir()))
    where, fault = FAULTS[spoil]

    assert main(["check", str(data), "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    errors = [f for f in report["findings"] if f["severity"] == "error"]
    assert not report["ok"]
    told = [f for f in errors if f"{f['fault']}; found {f['found']}".startswith(fault.partition("'pha")[0])]
    assert told
    assert all(f["path"] == str(data / where) and f["remedy"] for f in told)

    assert main(["check", str(data)]) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert "training refuses" in captured.out

    assert main(house.train(data, run, "--steps", "1")) == 1
    message = one_message(capsys, "train")
    assert message.startswith(f"semivox train: {data / where}")
    assert fault in message
    assert "Remedy: " in message
    assert not run.exists()

    shutil.rmtree(data)  # mended, into the same --out
    shutil.copytree(house.data, data, ignore=shutil.ignore_patterns(".semivox"))
    assert main(house.train(data, run, "--steps", "1")) == 0


LONG = "d/" * 3000 + "x"


@pytest.mark.parametrize(
    "line",
    [f"check {LONG}", f"predict run {LONG} --out masks", f"predict {LONG} scans --out masks",
     f"rank run {LONG}",
     "check ring", "predict run ring --out masks", "evaluate ring labels", "report ring", "rank run ring",
     "loop ring", f"loop {LONG}"],
)  # fmt: skip
def test_a_path_that_no_disk_can_have_is_1(
    line: str, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(house.run)
    (tmp_path / "ring").symlink_to("ring")
    assert main(line.split()) == 1
    assert len(one_message(capsys, line.split()[0])) < 7000


@pytest.mark.parametrize(
    "line", ["check data", "plan data", "predict run scans --out masks", "demo", "rank a b", "loop data"]
)
def test_a_current_folder_that_is_gone_is_1(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(line.split()) == 1
    assert "the current folder is gone" in one_message(capsys, line.split()[0])


# ---- signals, from the first line of the program on

LINES = {
    "demo": "demo --out out",
    "check": "check data",
    "import": "import msd 'a folder' dst",
    "plan": "plan data",
    "train": "train data --out run",
    "predict": "predict run scans --out masks",
    "evaluate": "evaluate masks labels",
    "compare": "compare data --test more --methods cps --out out",
    "report": "report run",
    "rank": "rank run data",
    "loop": "loop data",
    "annotate": "annotate run data",
    "export": "export run --to onnx",
    "methods": "methods cps",
}
AGAIN = {"train": " --resume", "predict": " --skip-existing"}
SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")


def signalled(name: str, then: BaseException | None = None) -> Callable[..., Any]:
    """The process gets this signal; ``then``: what a library makes of it."""

    def act(*a: Any, **k: Any) -> Any:
        try:
            signal.raise_signal(getattr(signal, name))
        except KeyboardInterrupt:
            if then is None:
                raise
        if then is not None:
            raise then

    return act


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_4_and_names_the_command_that_goes_on(
    command: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = [signal.getsignal(getattr(signal, each)) for each in SIGNALS]
    for then in (None, ImportError("half a module"), SystemError("no exception set")):
        monkeypatch.setattr("semivox.cli.run", signalled(name, then))
        assert main(shlex.split(LINES[command])) == 4
        again = f"semivox {LINES[command]}{AGAIN.get(command, '')}"
        assert capsys.readouterr().err == f"semivox {command}: stopped by {name}; go on with: {again}\n"
    assert [signal.getsignal(getattr(signal, each)) for each in SIGNALS] == before


def test_a_signal_before_the_command_is_known(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("semivox.cli._parser", signalled("SIGTERM"))
    assert main(["check", "data"]) == 4
    assert capsys.readouterr().err == "semivox: stopped by SIGTERM; nothing was begun\n"


def test_more_signals_while_it_ends_change_nothing_but_a_second_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[str] = []

    def act(*a: Any, **k: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.raise_signal(signal.SIGTERM)
            ended.append("what is there was saved")

    monkeypatch.setattr("semivox.cli.run", act)
    assert main(["check", "data"]) == 4
    assert ended == ["what is there was saved"]
    monkeypatch.setattr("semivox.cli._tell", signalled("SIGINT"))
    assert main(["check", "data"]) == 4


PROGRAM = """
import signal, sys, semivox.cli
from semivox.__main__ import program

class Held:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        sum(range(9))

def finalised(*a):
    held = Held()
    del held
    for _ in range(10**10):
        pass

def compiled(*a):
    exec("signal.raise_signal(signal.SIGTERM)", {"signal": signal})

def done(*a):
    return 0

def deaf(self):
    signal.raise_signal(signal.SIGTERM)

WHAT = sys.argv.pop(1)
semivox.cli.run = globals().get(WHAT, done)
if WHAT == "ending":
    semivox.cli.StopSignals.stay_deaf = deaf
sys.exit(program())
"""


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("compiled", 4, "semivox check: stopped by SIGTERM; go on with: semivox check data\n"),
        ("finalised", 4, "semivox check: stopped by SIGTERM; go on with: semivox check data\n"),
        ("ending", 0, ""),
    ],
)
def test_a_signal_is_heard_wherever_python_is(what: str, code: int, said: str, tmp_path: Path) -> None:
    """As the program: only there does Python end by SIGINT after a KeyboardInterrupt in compiled text."""
    (tmp_path / "as_program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "as_program", what, "check", "data"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (code, said)


def test_a_signal_while_the_program_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'semivox.cli':\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "semivox", "check", "data"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (4, "semivox: stopped by SIGTERM; nothing was begun\n")


def test_a_signal_while_predicting_keeps_the_masks_that_are_there(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "masks"
    command = ["predict", str(house.run), str(house.test), "--out", str(out)]
    with monkeypatch.context() as patched:
        patched.setattr(
            "semivox.commands.predict.case_lines", lambda: signalled("SIGTERM")
        )  # after the first case
        assert main(command) == 4
    message = one_message(capsys, "predict")
    assert message.endswith(f"go on with: semivox {shlex.join(command)} --skip-existing")
    rows = json.loads((out / "predictions.json").read_text())["cases"]
    assert len(rows) >= 1
    assert all((out / row["mask"]).is_file() for row in rows)
    assert half_written(out) == []
    assert main([*command, "--skip-existing"]) == 0
    assert f"{len(rows)} up to date" in capsys.readouterr().out


# ---- a full disk


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full(monkeypatch: pytest.MonkeyPatch, name: str, allowed: Callable[[Path], bool]) -> None:
    """``os.replace`` onto a path that is not ``allowed`` finds the disk full."""
    replace = os.replace

    def refuse(source: Any, target: Any) -> None:
        if not allowed(Path(target)):
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(name, refuse)


def test_a_full_disk_at_a_checkpoint(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    saves = []
    save = torch.save

    def second_fails(*a: Any, **k: Any) -> None:
        saves.append(1)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        save(*a, **k)

    with monkeypatch.context() as patched:
        patched.setattr("torch.save", second_fails)
        every = ("--steps", "3", "--set", "run.checkpoint_seconds=0")
        assert main(house.train(house.data, run, *every)) == 4
    message = one_message(capsys, "train")
    assert "last.ckpt: cannot be written; found No space left on device. Remedy: free disk space" in message
    assert half_written(run) == []
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["step"] == 1
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert main(["train", str(house.data), "--out", str(run), "--cache", str(house.cache), "--resume"]) == 0


def test_a_really_full_disk_at_a_checkpoint_and_at_the_export(
    house: House, tmp_path: Path, capsys: Capture
) -> None:
    """torch and safetensors tell of it in their own ways, not by OSError."""
    run = tmp_path / "run"
    go_on = ["train", str(house.data), "--out", str(run), "--cache", str(house.cache), "--resume"]

    def fails_at(name: str, command: list[str]) -> None:
        with no_file_above(20_000):
            assert main(command) == 4
        message = one_message(capsys, "train")
        assert f"{run / name}: cannot be written; found File too large. Remedy: free disk space" in message
        assert half_written(run) == []
        assert not (run / name).exists()
        assert not (run / "model.json").exists()

    fails_at("checkpoints/last.ckpt", house.train(house.data, run, "--steps", "1"))
    assert main(go_on) == 0
    (run / "model.json").unlink()
    (run / "model.safetensors").unlink()
    fails_at("model.safetensors", go_on)
    assert main(go_on) == 0
    assert main(["predict", str(run), str(house.test), "--out", str(tmp_path / "masks")]) == 0


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_full_disk_at_the_export(
    name: str, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        full(patched, "semivox.disk.os.replace", lambda path: path.name != name)
        assert main(house.train(house.data, run, "--steps", "1")) == 4
    assert f"{run / name}: cannot be written; found No space left" in one_message(capsys, "train")
    assert half_written(run) == []
    assert not (run / "model.json").exists()
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert main(["predict", str(run), str(house.test), "--out", str(tmp_path / "masks")]) == 1
    assert "finish the training with --resume" in one_message(capsys, "predict")
    assert main(["train", str(house.data), "--out", str(run), "--cache", str(house.cache), "--resume"]) == 0


def test_a_disk_that_is_full_for_everything_tells_of_the_first_file(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """There is no room for a new status.json either then; the old one's place tells what happened."""
    run = tmp_path / "run"
    seen: list[str] = []

    def allowed(path: Path) -> bool:
        seen.append(path.name)
        return "last.ckpt" not in seen

    with monkeypatch.context() as patched:
        full(patched, "semivox.disk.os.replace", allowed)
        assert main(house.train(house.data, run, "--steps", "1")) == 4
    assert seen[-1] == "status.json"
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert "last.ckpt: cannot be written" in one_message(capsys, "train")
    assert half_written(run) == []


def test_a_full_disk_at_the_journal(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    fault = OSError(28, "No space left on device", str(run / "metrics.jsonl"))
    with monkeypatch.context() as patched:
        patched.setattr("semivox.disk.append", raising(fault))
        assert main(house.train(house.data, run, "--steps", "1")) == 4
    message = one_message(capsys, "train")
    assert f"{run / 'metrics.jsonl'}: cannot be written; found No space left on device" in message
    assert message.endswith("--resume")
    assert main(["train", str(house.data), "--out", str(run), "--cache", str(house.cache), "--resume"]) == 0


def test_a_full_disk_while_scans_are_prepared(house: House, tmp_path: Path, capsys: Capture) -> None:
    cache, run = tmp_path / "cache", tmp_path / "run"
    command = [*house.train(house.data, run, "--steps", "1"), "--cache", str(cache)]
    plan = ["--plan", str(house.run / "plan.json")]
    with no_file_above(9_000):
        assert main([*command, *plan]) == 4
    assert "Remedy: free disk space" in one_message(capsys, "train")
    assert not list(cache.rglob("meta.json"))
    assert main([*command, *plan]) == 0


def test_a_full_disk_while_predicting(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "masks"
    first, second = sorted(p.name for p in (house.test / "labelsTr").iterdir())
    command = ["predict", str(house.run), str(house.test), "--out", str(out)]
    assert main(command) == 0
    earlier = files_of(out)
    capsys.readouterr()
    with monkeypatch.context() as patched:
        full(patched, "semivox.disk.os.replace", lambda path: path.name != second)
        assert main(command) == 4
    message = one_message(capsys, "predict")
    assert f"{out / second}: cannot be written; found No space left on device" in message
    assert message.endswith(f"go on with: semivox {shlex.join(command)} --skip-existing")
    assert half_written(out) == []
    assert {name: files_of(out)[name] for name in (first, second)} == {n: earlier[n] for n in (first, second)}
    rows = {r["case"]: r for r in json.loads((out / "predictions.json").read_text())["cases"]}
    assert [r["status"] for r in rows.values()] == ["ok", "ok"]  # of the same model and scans

    assert main(command) == 0
    now = files_of(out)
    capsys.readouterr()
    with monkeypatch.context() as patched:
        full(patched, "semivox.disk.os.replace", lambda path: False)
        assert main(command) == 4
    assert "cannot be written; found No space left on device" in one_message(capsys, "predict")
    assert files_of(out) == now


def test_a_bug_is_told_whatever_the_words_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*a: Any, **k: Any) -> None:
        raise KeyError("da\udcffta")

    monkeypatch.setattr("semivox.cli.run", fails)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "da\udcffta"]) == 70
    assert "da\\xffta" in (tmp_path / "semivox-error.log").read_text()
