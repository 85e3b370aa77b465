"""How a labelled set is asked for; light, since the help of commands is made of it."""

from __future__ import annotations

import os
from pathlib import Path

from semivox.option_kinds import refuse_other_kind

LabeledSet = str | int | Path
"""What every command takes as ``--labeled``; :func:`semivox.cohort.split_cohort` tells what it means."""


def as_text(labeled: LabeledSet) -> str:
    """The set as the command line would have it. Raises SettingsError for a value of another kind."""
    refuse_other_kind("--labeled", labeled, LabeledSet)
    return os.fspath(labeled) if isinstance(labeled, os.PathLike) else str(labeled)
