"""Weights & Biases: a run on its server, or in ``RUN/wandb`` to be sent later (setting ``run.wandb``)."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from semivox.contents import Synced
from semivox.files import read_json, write_json
from semivox.training.sinks import State, parameters_of

if TYPE_CHECKING:
    from semivox.training.config import Config

PROJECT = "semivox"
NOTE = "wandb.json"
START_SECONDS = 20.0
END_SECONDS = 2.0


class WandbSink:
    """Goes on with the run whose id is in the run folder's note, or begins one and notes its id.

    The project is ``WANDB_PROJECT``, or ``semivox``. No code and no output of the program is collected.
    """

    def __init__(self, run: Path, mode: Literal["offline", "online"], parameters: Mapping[str, Any]) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        note = run / NOTE
        self.run_id: str = read_json(note, kind=Synced)["id"] if note.exists() else uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.absolute().name,
            id=self.run_id,
            resume="allow",
            reinit="create_new",  # a run that the caller has open is not ours to write into
            dir=run,
            mode=mode,
            config=dict(parameters),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                init_timeout=START_SECONDS,
                login_timeout=1,  # no key: an error, not a question
            ),
        )
        write_json(note, {"format": 1, "id": self.run_id})
        # resumed runs repeat a few steps, and wandb's own step never goes back
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"step": step, **numbers})

    def close(self, state: State) -> None:
        file = Path(self._run.settings.sync_file)
        before = file.stat().st_size if file.exists() else 0
        self._run.finish(exit_code=1 if state == "failed" else 0)
        # The rest is written a moment after finish() returns, and never if the process ends first (0.31).
        until = time.monotonic() + END_SECONDS
        while file.exists() and file.stat().st_size <= before and time.monotonic() < until:
            time.sleep(0.02)


def make(run: Path, config: Config, step: int) -> WandbSink:
    assert config.run.wandb is not None
    return WandbSink(run, config.run.wandb, parameters_of(config))
