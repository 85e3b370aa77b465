"""What TensorBoard, MLflow and Weights & Biases have of a run, read back with their own readers, offline."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from semivox.batches import Augmentation
from semivox.errors import SettingsError, Stopped
from semivox.files import read_json
from semivox.methods.declare import Optimizer
from semivox.training.config import Config, DistanceSettings, RunSettings, resolve
from semivox.training.sinks import Sinks, State, numbers_of, open_sinks
from semivox.training.sinks.installed import refuse_missing


def record(step: int, value: float = 0.5) -> dict[str, Any]:
    return {
        "kind": "step", "step": step, "stage": "train", "lr": {"segmenter": 0.02},
        "terms": {"segmentation": value}, "weights": {"segmentation": 1.0},
        "gradient_norm": {"segmenter": float("nan")}, "seconds": 0.5, "data_seconds": 0.05, "elapsed": 2.0,
    }  # fmt: skip


def watched(step: int) -> dict[str, Any]:
    return {"kind": "watch", "step": step, "dice": {"left (LA)": 0.75, "wall": None}, "elapsed": 3.0}


def config(steps: int = 4, **run: Any) -> Config:
    return Config(
        data="scans", run=RunSettings(steps=steps, **run), optimizer=Optimizer(), augmentation=Augmentation(),
        distance=DistanceSettings(), method=Optimizer(),
    )  # fmt: skip


def told(run: Path, settings: Config, begin: int, end: int) -> list[str]:
    """A part of a run, from step ``begin`` to ``end``; what was said meanwhile."""
    said: list[str] = []
    with open_sinks(run, settings, begin, said.append) as sinks:
        for step in range(begin, end):
            sinks.write(record(step, step / 10))
        sinks.write(watched(end - 1))
    return said


def test_a_records_numbers_are_named_by_group() -> None:
    told_of = {**record(3), "laziness": None, "part": [0, 2], "cases": 7}
    assert dict(numbers_of(told_of)) == {
        "terms/segmentation": 0.5, "weights/segmentation": 1.0, "lr/segmenter": 0.02,
        "seconds": 0.5, "data_seconds": 0.05, "elapsed": 2.0, "cases": 7.0,
    }  # fmt: skip
    assert dict(numbers_of(watched(1))) == {"dice/left (LA)": 0.75, "elapsed": 3.0}


class Recorder:
    """A sink that keeps what it is told, and breaks where it is asked to."""

    def __init__(self, breaks: str = "") -> None:
        self.breaks = breaks
        self.steps: list[int] = []
        self.closed: list[State] = []

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        if self.breaks == "write":
            raise ConnectionError("the server\nis gone")
        self.steps.append(step)

    def close(self, state: State) -> None:
        self.closed.append(state)
        if self.breaks == "close":
            raise ValueError


def test_a_sink_that_fails_is_left_out_with_one_line_and_the_others_go_on() -> None:
    whole, gone, rude = Recorder(), Recorder("write"), Recorder("close")
    said: list[str] = []

    def refuses() -> Recorder:
        raise RuntimeError("no such host")

    makers = {"A": lambda: gone, "B": lambda: whole, "C": refuses, "D": lambda: rude}
    with Sinks(makers, 0, 3, said.append) as sinks:
        for step in range(3):
            sinks.write(record(step))
    assert whole.steps == [0, 1, 2]
    assert (whole.closed, gone.closed, rude.closed) == (["done"], [], ["done"])
    left_out = "failed and is left out from here on"
    assert said == [
        f"warning: C {left_out}: no such host",
        f"warning: A {left_out}: the server is gone",
        f"warning: D {left_out}: ValueError",
    ]


@pytest.mark.parametrize(
    ("begin", "end", "error", "state"),
    [
        (0, 3, None, "done"),
        (0, 2, None, "stopped"),
        (3, 3, None, "done"),
        (0, 3, RuntimeError, "failed"),
        (0, 1, Stopped, "stopped"),
        (0, 1, KeyboardInterrupt, "stopped"),
    ],
)
def test_how_a_run_ended(begin: int, end: int, error: type[BaseException] | None, state: State) -> None:
    heard = Recorder()
    raised = None
    try:
        with Sinks({"it": lambda: heard}, begin, 3) as sinks:
            for step in range(begin, end):
                sinks.write(record(step))
            if error is not None:
                raise error("over")
    except BaseException as found:
        raised = type(found)
    assert (heard.closed, raised) == ([state], error)


def test_tensorboard_events_hold_the_terms_and_a_resumed_run_hides_the_repeated_ones(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = config(tensorboard=True)
    assert told(tmp_path, settings, 0, 3) == []
    assert told(tmp_path, settings, 2, 4) == []
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("terms/segmentation")]
    assert found == [(0, 0.0), (1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, pytest.approx(0.3))]
    assert [e.value for e in events.Scalars("dice/left (LA)")][-1] == 0.75


def test_mlflow_holds_settings_and_numbers_and_a_resumed_run_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    run, tracking = tmp_path / "my_run", tmp_path / "tracking"
    run.mkdir()
    settings = config(mlflow=str(tracking))
    client = MlflowClient(tracking_uri=tracking.as_uri())

    def runs() -> list[Any]:
        experiment = client.get_experiment_by_name("semivox")
        return list(client.search_runs([experiment.experiment_id]))

    assert told(run, settings, 0, 3) == []
    (first,) = runs()
    assert (first.info.status, first.info.run_name) == ("KILLED", "my_run")
    assert first.data.params["run.steps"] == "4"
    assert first.data.params["optimizer.lr"] == str(Optimizer().lr)
    assert told(run, settings, 2, 4) == []
    (second,) = runs()
    assert second.info.run_id == first.info.run_id == read_json(run / "mlflow.json")["run_id"]
    assert second.info.status == "FINISHED"
    history = {m.step: m.value for m in client.get_metric_history(second.info.run_id, "terms/segmentation")}
    assert history == {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.3}
    assert second.data.metrics["dice/left _LA_"] == 0.75
    assert "gradient_norm/segmenter" not in second.data.metrics

    with pytest.raises(RuntimeError), open_sinks(run, settings, 3, print):
        raise RuntimeError
    assert runs()[0].info.status == "FAILED"


def test_an_mlflow_server_that_is_gone_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    said = told(tmp_path, config(mlflow="http://127.0.0.1:1"), 0, 3)
    assert len(said) == 1
    assert said[0].startswith("warning: MLflow failed and is left out from here on: ")
    assert not (tmp_path / "mlflow.json").exists()


def wandb_records(folder: Path) -> list[Any]:
    """All records of a run's transaction log: a 7-byte head, then LevelDB's log format in 32 KiB blocks."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("*.wandb")
    content, at, body, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part = content[at + 7 : at + 7 + length]
        body, at = part if kind in (1, 2) else body + part, at + 7 + length
        if kind in (1, 4):
            found.append(wandb_internal_pb2.Record.FromString(body))
    return found


def test_wandb_holds_settings_and_numbers_and_a_resumed_run_has_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "my_run"
    run.mkdir()
    settings = config(wandb="offline")
    assert told(run, settings, 0, 3) == []
    assert told(run, settings, 2, 4) == []
    number = read_json(run / "wandb.json")["id"]
    parts = sorted(
        (wandb_records(folder) for folder in (run / "wandb").glob(f"offline-run-*-{number}")),
        key=lambda records: len([r for r in records if r.HasField("history")]),
    )
    assert len(parts) == 2
    history = [
        {item.nested_key[0] if item.nested_key else item.key: item.value_json for item in r.history.item}
        for r in parts[1]
        if r.HasField("history")
    ]
    assert [(h["step"], h.get("terms/segmentation")) for h in history] == [
        ("0", "0"), ("1", "0.1"), ("2", "0.2"), ("2", None)
    ]  # fmt: skip
    assert history[-1]["dice/left (LA)"] == "0.75"
    for records in parts:
        (begun,) = [r.run for r in records if r.HasField("run")]
        written = {u.key: u.value_json for u in begun.config.update}
        assert (begun.run_id, begun.project, begun.display_name) == (number, "semivox", "my_run")
        assert (written["run.steps"], written["optimizer.kind"]) == ("4", '"sgd"')
        assert [r.exit.exit_code for r in records if r.HasField("exit")] == [0]


@pytest.mark.parametrize(
    ("kind", "package", "value", "said"),
    [
        ("tensorboard", "tensorboard", True, "run.tensorboard=false"),
        ("mlflow", "mlflow", "runs", "run.mlflow=null"),
        ("wandb", "wandb", "offline", "run.wandb=null"),
    ],
)
def test_a_missing_package_is_told_before_anything_is_done(
    kind: str, package: str, value: object, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuse_missing(replace(RunSettings(), **{kind: value}))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"pip install 'semivox\[{kind}\]'.*{said}"):
        resolve(tmp_path, {}, assignments={f"run.{kind}": value})
    resolve(tmp_path, {})  # nobody asked for it


def test_a_mere_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(SettingsError, match="not installed"):
        refuse_missing(RunSettings(wandb="offline"))


def test_wandb_is_off_online_or_offline(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"run\.wandb"):
        resolve(tmp_path, {}, assignments={"run.wandb": "sometimes"})
