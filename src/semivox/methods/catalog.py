"""The methods, as one readable table. Names only: nothing is imported until a method is asked for."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from semivox.errors import SettingsError

if TYPE_CHECKING:
    from semivox.methods.declare import Method


@dataclass(frozen=True)
class Entry:
    """One row: where the class is, its paper, and what it needs."""

    where: str
    paper: str
    year: int
    idea: str
    needs: str = "labelled and unlabelled scans"


CATALOG: dict[str, Entry] = {
    "supervised": Entry(
        "semivox.methods.supervised:Supervised",
        "baseline",
        2016,
        "Dice + cross-entropy on the labelled scans, averaged weights",
        "labelled scans",
    ),
    "mean_teacher": Entry(
        "semivox.methods.mean_teacher:MeanTeacher",
        "Tarvainen & Valpola, NeurIPS",
        2017,
        "student and its moving average agree on noisy unlabelled scans",
    ),
    "ua_mt": Entry(
        "semivox.methods.ua_mt:UAMT",
        "Yu et al., MICCAI",
        2019,
        "a mean teacher that is heard where its dropout passes agree",
    ),
    "entropy_min": Entry(
        "semivox.methods.entropy_min:EntropyMin",
        "Grandvalet & Bengio, NeurIPS; Vu et al., CVPR",
        2019,
        "confident predictions on all scans",
    ),
    "cps": Entry(
        "semivox.methods.cps:CPS",
        "Chen et al., CVPR",
        2021,
        "two networks are each other's teachers, by hard pseudo-labels",
    ),
    "urpc": Entry(
        "semivox.methods.urpc:URPC",
        "Luo et al., MedIA",
        2022,
        "predictions of several decoder scales agree with their mean",
    ),
    "dtc": Entry(
        "semivox.methods.dtc:DTC",
        "Luo et al., AAAI",
        2021,
        "a network's distance map and its probabilities agree",
    ),
    "bcp": Entry(
        "semivox.methods.bcp:BCP",
        "Bai et al., CVPR",
        2023,
        "boxes change places between labelled and pseudo-labelled crops",
    ),
    "simcvd": Entry(
        "semivox.methods.simcvd:SimCVD",
        "You et al., IEEE TMI",
        2022,
        "boundary-aware contrast of slices and pairwise distillation between dropout views",
    ),
}

#: What ``auto`` stands for where there are unlabelled scans.
RECOMMENDED = "mean_teacher"


def parse_method(text: str) -> tuple[str, str | None, dict[str, Any]]:
    """``NAME[:PRESET][{KEY=VALUE,...}]`` -> name, preset, settings.

    ``"cvrl:miccai{temperature=0.1}"`` -> ``("cvrl", "miccai", {"temperature": 0.1})``. The name may also be
    ``FILE.py:Class`` or ``package.module:Class``.
    """
    match = re.fullmatch(r"\s*(?P<name>[^{}]+?)\s*(\{(?P<settings>.*)\})?\s*", text)
    if match is None:
        raise SettingsError(
            "cannot read the method", found=repr(text), expected="NAME[:PRESET][{KEY=VALUE,...}]"
        )
    settings: dict[str, Any] = {}
    for part in re.split(r",(?![^\[]*\])", match["settings"] or ""):
        if part.strip():
            key, equals, value = part.partition("=")
            if not equals:
                raise SettingsError("cannot read a method's setting", found=repr(part), expected="KEY=VALUE")
            try:
                settings[key.strip()] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise SettingsError(
                    f"cannot read the value of a method's setting {key.strip()!r}", found=repr(value)
                ) from None
    name, colon, preset = match["name"].rpartition(":")
    if name in CATALOG or re.fullmatch(r".+\.py:\w+|[\w.]+:\w+", name):
        return name, preset, settings
    return f"{name}{colon}{preset}", None, settings


def preset_settings(name: str, method: type[Method], preset: str | None) -> dict[str, Any]:
    """The settings of a preset; none for None. Raises SettingsError for one that the method has not."""
    if preset is None:
        return {}
    if preset not in method.presets:
        known = ", ".join(method.presets) or "none"
        raise SettingsError(f"{name} has no preset {preset!r}", expected=f"one of: {known}")
    return dict(method.presets[preset])


def load_method(name: str) -> type[Method]:
    """The class of a method: a name of the catalogue, ``FILE.py:Class`` or ``package.module:Class``."""
    where = CATALOG[name].where if name in CATALOG else name
    if ":" not in where or where.startswith(":") or where.endswith(":"):
        near = difflib.get_close_matches(name, CATALOG, n=1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        raise SettingsError(
            f"unknown method {name!r}",
            remedy=f"{remedy}The methods are {', '.join(CATALOG)}; or FILE.py:Class",
        )
    module_name, class_name = where.rsplit(":", 1)
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    if not hasattr(module, class_name):
        raise SettingsError(
            f"{module_name} has no class {class_name!r}", remedy="check the name after the colon"
        )
    found: type[Method] = getattr(module, class_name)
    if not (isinstance(found, type) and all(hasattr(found, name) for name in ("Settings", "stages", "step"))):
        raise SettingsError(
            f"{name!r} is no method", expected="a subclass of semivox.methods.declare.Method with Settings"
        )
    return found


def _load_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"cannot import {name!r}", found=str(error), remedy="install it, or give FILE.py:Class"
        ) from None


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise SettingsError("the method's file is missing", path=path)
    spec = importlib.util.spec_from_file_location(f"semivox_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise SettingsError(
            "the method's file cannot be run", path=path, found=f"{where}{type(error).__name__}: {error}"
        ) from error
    return module
