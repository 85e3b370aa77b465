"""Drawing and training in turns: how far a data folder and the runs beside it are, and what comes next."""

from semivox.rounds.state import Round, State, read_state
from semivox.rounds.step import Step, steps_of

__all__ = ["Round", "State", "Step", "read_state", "steps_of"]
