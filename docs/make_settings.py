"""Writes docs/reference/settings.md from the strings below the fields of the settings classes.

python docs/make_settings.py
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from semivox.batches.augmentation import Augmentation
from semivox.commands.methods import written
from semivox.methods import CATALOG, entry, load_method
from semivox.methods.declare import Optimizer
from semivox.methods.origins import ORIGINS, split_origin
from semivox.prepare.overrides import OVERRIDES
from semivox.settings import field_docs
from semivox.training.config import DistanceSettings, RunSettings

PAGE = Path(__file__).parent / "reference" / "settings.md"

HEAD = """\
# Settings

Every setting of a run, with its default. This page is made from the source by
`python docs/make_settings.py`.

Any of them can be given on the command line with `--set NAME=VALUE` (values are read as YAML: `3`, `0.1`,
`true`, `null`, `[16,16,16]`), in a file with `--config FILE`, or from Python with
`settings={"NAME": VALUE}`. A name without its group works where only one group has it. An unknown name is
an error that tells the nearest one.

Precedence, weakest first: defaults, the paper recipe (`--recipe paper`), the config file, the options and
`--set`. Settings of the plan replace what the planner would choose. The resolved settings of a run are in
`RUN/config.yaml`, which `--config` takes.
"""

SOURCES = "; ".join(f"*{origin}*: {text}" for origin, text in ORIGINS.items())
METHODS = f"""\
## Methods

*From* says where a default was taken from. {SOURCES}. `semivox methods NAME` shows the same.
"""

PLAN_MEANING = {
    "rung": "Working spacing as a multiple of the finest native one; 1 is native resolution.",
    "spacing": "Working spacing itself, one number an axis, coarsest axis last.",
    "patch": "Size of a crop in working voxels; a multiple of the downsampling.",
    "batch": "Labelled and unlabelled crops a step, such as [2,2].",
    "steps": "Steps that the plan is made for; the run's own are `run.steps`.",
    "network.kind": "`vnet` (3D only) or `unet`, which auto takes where few scans are labelled.",
    "network.norm": "`batch` (the V-Net's) or `instance` (the U-Net's).",
    "channels.N.scheme": "How channel N is normalised: `zscore` or `ct`.",
}


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for title, prefix, cls in (
        ("Run", "run", RunSettings),
        ("Optimizer", "optimizer", Optimizer),
        ("Augmentation", "augmentation", Augmentation),
        ("Distance targets", "distance", DistanceSettings),
    ):
        lines += [f"## {title}\n", _about(cls), *_table(prefix, cls)]
    lines += [
        "## Plan\n",
        "Without these the planner chooses, and says why. `semivox plan DATA` shows what.\n",
    ]
    lines += ["| name | meaning |", "|---|---|"]
    lines += [f"| `plan.{name}` | {PLAN_MEANING[name]} |" for name in OVERRIDES]
    lines += ["", METHODS]
    for name in CATALOG:
        method, idea = load_method(name), _sentence(entry(name).idea)
        lines += [f"## Method {name}\n", f"{idea} See [{name}](../methods/{name}.md).\n"]
        lines += _table("method", method.Settings)
        for preset, changes in method.presets.items():
            lines.append(f"`{name}:{preset}` sets {_changes(changes)}.\n")
        if method.paper:
            lines.append(f"`--recipe paper` also sets {_changes(method.paper)}.\n")
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(prefix: str, cls: type) -> Iterator[str]:
    docs, hints = field_docs(cls), typing.get_type_hints(cls)
    explained = {name: split_origin(text) for name, text in docs.items()}
    columns = ["name", "type", "default"]
    columns += ["from"] * any(origin for _, origin in explained.values())
    columns += ["meaning"] * any(docs.values())
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for field in dataclasses.fields(cls):
        meaning, origin = explained[field.name]
        cells = {
            "name": f"`{prefix}.{field.name}`",
            "type": _type(hints[field.name]),
            "default": f"`{written(field.default)}`",
            "from": origin,
            "meaning": _cell(meaning),
        }
        yield "| " + " | ".join(cells[column] for column in columns) + " |"
    yield ""


def _changes(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={written(value)}`" for key, value in changes.items()) or "nothing: the default"


def _about(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").replace("``", "`") + "\n"


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(hint))
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        return " or ".join(_type(a) for a in arguments if a is not type(None)) + " or empty"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments)
    if typing.get_origin(hint) is tuple:
        numbers = [a for a in arguments if a is not Ellipsis]
        return "list of numbers" if Ellipsis in arguments else f"{len(numbers)} numbers"
    return {"bool": "true or false", "str": "text", "int": "whole number", "float": "number"}[hint.__name__]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
