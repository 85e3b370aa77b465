"""Engines: where the pieces of a command are done. Here, in other processes, on other machines."""

from semivox.engines.choose import ENGINES, engine_on
from semivox.engines.engine import Engine, done_on
from semivox.engines.task import Needs, Outcome, Task, Tell

__all__ = ["ENGINES", "Engine", "Needs", "Outcome", "Task", "Tell", "done_on", "engine_on"]
