"""``semivox export``: a run's model for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from semivox.options import Command, Flag, Positional, from_options


@dataclass(frozen=True)
class ExportOptions:
    """What to export, as what."""

    run: Annotated[str | Path, Positional("RUN")]
    """Folder that ``train`` wrote."""
    to: Annotated[Literal["onnx", "torchscript", "bundle"], Flag()]
    """onnx: the network, checked against torch in onnxruntime; torchscript: the network, for C++ and other
    versions of torch; bundle: a MONAI bundle."""
    out: Annotated[str | Path | None, Flag("DIR", default="RUN/export/KIND", writes="folder")] = None
    """New folder; the model's card goes into it, too."""
    weights: Annotated[str | None, Flag("NAME", default="what the run chose")] = None
    """One network of the model by its role, or mean (of all)."""


@from_options(ExportOptions)
def export(options: ExportOptions) -> Path:
    """Export the model of a run into a new folder, and return its path.

    Raises
    ------
    DataError
        No model in ``run``, or several; ``out`` is taken.
    SettingsError
        No such kind or weights; packages are missing (``pip install 'semivox[export]'``).
    """
    from semivox.exports import export_run

    out = Path(options.run) / "export" / options.to if options.out is None else Path(options.out)
    export_run(Path(options.run), options.to, out, options.weights)
    return out


def main(given: ExportOptions) -> int:
    """Export, and say where it lies."""
    print(f"{given.to} of {given.run}: {export.of(given)}")
    return 0


COMMAND = Command(
    ExportOptions,
    main,
    ("semivox export run --to onnx", "semivox export run --to bundle --out my_bundle"),
)
