"""The methods by name. Nothing is imported until a method is asked for; the words about it are read from its
file."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semivox.errors import SettingsError
from semivox.methods.installed import installed, is_preset, load_installed
from semivox.methods.loading import load_class
from semivox.methods.words import Words, words_in
from semivox.trees import yaml_tree

if TYPE_CHECKING:
    from semivox.methods.declare import Method


@dataclass(frozen=True)
class Entry:
    """A method as it is listed: where its class is, and the words about it (see ``words``)."""

    where: str
    paper: str
    year: int | None
    idea: str
    basis: str
    needs: str = ""
    dims: str = ""


#: Name -> module:Class, in the order in which they are listed.
CATALOG: dict[str, str] = {
    "supervised": "semivox.methods.supervised:Supervised",
    "self_training": "semivox.methods.self_training:SelfTraining",
    "mean_teacher": "semivox.methods.mean_teacher:MeanTeacher",
    "ua_mt": "semivox.methods.ua_mt:UAMT",
    "entropy_min": "semivox.methods.entropy_min:EntropyMin",
    "cps": "semivox.methods.cps:CPS",
    "urpc": "semivox.methods.urpc:URPC",
    "dtc": "semivox.methods.dtc:DTC",
    "bcp": "semivox.methods.bcp:BCP",
    "simcvd": "semivox.methods.simcvd:SimCVD",
    "cvrl": "semivox.methods.cvrl:CVRL",
    "self_ensembling": "semivox.methods.self_ensembling:SelfEnsembling",
    "local_contrast": "semivox.methods.local_contrast:LocalContrast",
    "atso": "semivox.methods.atso:ATSO",
    "duo_segnet": "semivox.methods.duo_segnet:DuoSegNet",
    "pseudo_contrast": "semivox.methods.pseudo_contrast:PseudoContrast",
}

#: What ``auto`` stands for where there are unlabelled scans: what leads at equal compute in docs/results.md.
RECOMMENDED = "self_training"

#: Names with a meaning of their own, which no installed method can have, and what a name is made of.
TAKEN = {*CATALOG, "auto", "all"}
PLAIN = r"[\w.-]+(?<!\.py)"


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
                settings[key.strip()] = yaml_tree(value)
            except ValueError:
                raise SettingsError(
                    f"cannot read the value of a method's setting {key.strip()!r}", found=repr(value)[:200]
                ) from None
    name, colon, preset = match["name"].rpartition(":")
    if name in CATALOG or re.fullmatch(r".+\.py:\w+|[\w.]+:\w+", name) or is_preset(name, preset):
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


def entry(name: str) -> Entry:
    """The row of a method of the catalogue, by its name."""
    where = CATALOG[name]
    return described(where, words_in(where.partition(":")[0]))


def described(where: str, words: Words) -> Entry:
    """The row of the method at ``where``, module:Class, of which ``words`` tell."""
    year = max((paper.year for paper in words.papers), default=None)
    return Entry(where, words.cited, year, words.idea, words.basis, words.needs, words.dims)


def listed() -> dict[str, Entry]:
    """The catalogue, then the installed methods, each by what one writes to get it.

    That is module:Class for a name that is taken, by the catalogue or by a second package.
    """
    rows, others = {name: entry(name) for name in CATALOG}, installed()
    names = [found.name for found in others]
    for found in others:
        free = found.name not in TAKEN and names.count(found.name) == 1 and re.fullmatch(PLAIN, found.name)
        key = found.name if free else found.where
        rows[key] = Entry(found.where, "", None, "", f"installed: {found.package}")
    return rows


def load_method(name: str) -> type[Method]:
    """The class of a method: a name of the catalogue or of an installed package (ours first),
    ``FILE.py:Class`` or ``package.module:Class``. Raises SettingsError where there is none."""
    if name in CATALOG:
        return load_class(CATALOG[name])
    if ":" in name:
        return load_class(name)
    found = load_installed(name)
    if found is None:
        known = list(dict.fromkeys([*CATALOG, *(other.name for other in installed())]))
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        raise SettingsError(
            f"unknown method {name!r}",
            remedy=f"{remedy}The methods are {', '.join(known)}; or FILE.py:Class",
        )
    return found
