"""One run -> a new folder with its model in a form that other programs take, and its card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from semivox.errors import DataError
from semivox.exports.bundle import write_bundle
from semivox.exports.model_card import model_card
from semivox.exports.traced import ONNX, TORCHSCRIPT, write_onnx, write_torchscript
from semivox.files import building, make_folder, write_text
from semivox.inference import Model, load_model
from semivox.inference.ensemble import members_of
from semivox.report import read_run

Kind = Literal["onnx", "torchscript", "bundle"]
CARD = "README.md"
FILES: dict[Kind, tuple[str, Callable[[Model, Path], float]]] = {
    "onnx": (ONNX, write_onnx),
    "torchscript": (TORCHSCRIPT, write_torchscript),
}


def export_run(run: Path, kind: Kind, out: Path, weights: str | None = None) -> float:
    """Export the model of ``run`` into the new folder ``out``, which is there whole or not at all.

    Returns how far a probability of the exported network was from torch's, at most, over inputs of noise.

    Raises DataError for a folder without a model or an ``out`` that is taken, SettingsError without the
    packages for it.
    """
    members = members_of([run])
    if len(members) > 1:
        raise DataError(
            "holds several runs, and a file takes one network",
            path=run,
            found=f"{len(members)} runs",
            expected="one run",
            remedy=f"export each of them, such as {members[0]}",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("there is something already", path=out, remedy="choose another --out, or remove it")
    model = load_model(run, device="cpu", precision="fp32", weights=weights)
    record = read_run(run)
    make_folder(out.parent)
    with building(out) as folder:
        if kind == "bundle":
            return write_bundle(model, record, folder, weights)
        name, write = FILES[kind]
        far = write(model, folder / name)
        write_text(folder / CARD, model_card(model, record))
    return far
