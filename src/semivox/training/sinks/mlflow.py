"""MLflow: a run in a tracking folder or on a tracking server (setting ``run.mlflow``)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.contents import Tracked
from semivox.files import read_json, write_json
from semivox.training.sinks import State, parameters_of

if TYPE_CHECKING:
    from semivox.training.config import Config

EXPERIMENT = "semivox"
NOTE = "mlflow.json"
STATES = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
MOST_PARAMETERS = 100
"""A call takes no more."""
ENVIRONMENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # MLflow 3 wants to be told that a folder is meant
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is gone must not hold the training up
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""What we ask of MLflow, unless the user's environment says otherwise."""


class MlflowSink:
    """Goes on with the run whose id is in the run folder's note, or begins one and notes its id.

    ``tracking`` is a folder or a URI. The experiment is ``MLFLOW_EXPERIMENT_NAME``, or ``semivox``.
    """

    def __init__(self, run: Path, tracking: str, parameters: Mapping[str, Any]) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        uri = tracking if "://" in tracking else Path(tracking).expanduser().absolute().as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        note = run / NOTE
        if note.exists() and (known := read_json(note, kind=Tracked))["tracking"] == uri:
            self.run_id: str = known["run_id"]
            self._client.update_run(self.run_id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self.run_id = self._client.create_run(number, run_name=run.name).info.run_id
        write_json(note, {"format": 1, "tracking": uri, "run_id": self.run_id})
        self._write_parameters(parameters)

    def _write_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        all_of_them = [Param(name, str(value)) for name, value in parameters.items()]
        for first in range(0, len(all_of_them), MOST_PARAMETERS):
            self._client.log_batch(self.run_id, params=all_of_them[first : first + MOST_PARAMETERS])

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_allowed(name), value, now, step) for name, value in numbers.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def close(self, state: State) -> None:
        self._client.set_terminated(self.run_id, STATES[state])


def _allowed(name: str) -> str:
    """Names of classes may hold letters that MLflow refuses."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


def make(run: Path, config: Config, step: int) -> MlflowSink:
    assert config.run.mlflow is not None
    return MlflowSink(run, config.run.mlflow, parameters_of(config))
