"""The command line of ``train``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated

from semivox.options import Command, Flag, Positional
from semivox.terminal import stoppable
from semivox.training.options import DATA, GROUPS, MACHINE, METHOD, RUN, TrainingOptions


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """What is trained on what."""

    data: Annotated[str | Path, Positional("DATA")]
    """A data folder."""
    out: Annotated[str | Path, Flag("RUN", DATA)]
    """New run folder."""
    _: KW_ONLY
    method: Annotated[str | None, Flag("NAME", METHOD, default="auto", same_as=RUN)] = None
    """NAME{KEY=VALUE,...} also sets its settings; see ``semivox methods``."""
    labeled: Annotated[str | int | None, Flag("SET", DATA, same_as=RUN)] = None
    seed: Annotated[int | None, Flag("S", METHOD, same_as=RUN)] = None
    init: Annotated[str | Path | None, Flag("RUN0", METHOD, same_as=RUN)] = None
    watch: Annotated[str | Path | None, Flag("DATA2", DATA)] = None
    """Measure the labelled cases of this data folder while training; it shows, and changes nothing."""
    resume: Annotated[bool, Flag("", DATA)] = False
    """Go on with the run in --out."""
    devices: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None
    nodes: Annotated[int | None, Flag("N", MACHINE, same_as=RUN)] = None


def main(given: TrainOptions) -> int:
    """Train."""
    from semivox.commands.train import train
    from semivox.training.display import ConsoleDisplay

    again = f"semivox train {given.data} --out {given.out} --resume ..."
    values = {f.name: getattr(given, f.name) for f in fields(given) if f.name != "display"}
    with stoppable(f"the same command with --resume goes on: {again}"), ConsoleDisplay() as display:
        train(**values, display=display)
    return 0


COMMAND = Command(
    TrainOptions,
    main,
    (
        "semivox train my_scans --out run --budget 2h",
        "semivox train my_scans --out run --method mean_teacher --labeled 8 --steps 2000",
        "semivox train my_scans --out run --resume",
    ),
    groups=GROUPS,
)
