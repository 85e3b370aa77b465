"""The methods, as one readable table. Names only: nothing is imported until a method is asked for."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from semivox.errors import SettingsError
from semivox.methods.installed import installed, is_preset, load_installed
from semivox.methods.loading import load_class

if TYPE_CHECKING:
    from semivox.methods.declare import Method


@dataclass(frozen=True)
class Entry:
    """One row: where the class is, its paper, what it needs; ``basis``: what its settings were taken from."""

    where: str
    paper: str
    year: int | None
    idea: str
    basis: str
    needs: str = "labelled + unlabelled"
    dims: str = "2D, 3D"


CATALOG: dict[str, Entry] = {
    "supervised": Entry(
        "semivox.methods.supervised:Supervised",
        "baseline",
        2016,
        "Dice + cross-entropy on the labelled scans, averaged weights",
        "usual in the field",
        needs="labelled",
    ),
    "self_training": Entry(
        "semivox.methods.self_training:SelfTraining",
        "semivox",
        2026,
        "a teacher that has finished learning labels whole scans; a student learns from them",
        "measured here",
    ),
    "mean_teacher": Entry(
        "semivox.methods.mean_teacher:MeanTeacher",
        "Tarvainen & Valpola, NeurIPS",
        2017,
        "student and its moving average agree on noisy unlabelled scans",
        "benchmark code",
    ),
    "ua_mt": Entry(
        "semivox.methods.ua_mt:UAMT",
        "Yu et al., MICCAI",
        2019,
        "a mean teacher that is heard where its dropout passes agree",
        "published code",
    ),
    "entropy_min": Entry(
        "semivox.methods.entropy_min:EntropyMin",
        "Grandvalet & Bengio, NeurIPS; Vu et al., CVPR",
        2019,
        "confident predictions on all scans",
        "benchmark code",
    ),
    "cps": Entry(
        "semivox.methods.cps:CPS",
        "Chen et al., CVPR",
        2021,
        "two networks are each other's teachers, by hard pseudo-labels",
        "benchmark code",
    ),
    "urpc": Entry(
        "semivox.methods.urpc:URPC",
        "Luo et al., MedIA",
        2022,
        "predictions of several decoder scales agree with their mean",
        "benchmark code",
    ),
    "dtc": Entry(
        "semivox.methods.dtc:DTC",
        "Luo et al., AAAI",
        2021,
        "a network's distance map and its probabilities agree",
        "published code",
    ),
    "bcp": Entry(
        "semivox.methods.bcp:BCP",
        "Bai et al., CVPR",
        2023,
        "boxes change places between labelled and pseudo-labelled crops",
        "published code",
    ),
    "simcvd": Entry(
        "semivox.methods.simcvd:SimCVD",
        "You et al., IEEE TMI",
        2022,
        "boundary-aware contrast of slices and pairwise distillation between dropout views",
        "public notes, no code",
    ),
    "cvrl": Entry(
        "semivox.methods.cvrl:CVRL",
        "You et al., MICCAI",
        2022,
        "voxels find their scan and themselves in a momentum encoder; boundaries attract",
        "abstracts, rest ours",
    ),
    "self_ensembling": Entry(
        "semivox.methods.self_ensembling:SelfEnsembling",
        "Xiang et al., arXiv",
        2021,
        "features of one pseudo-class gather, of different ones part, student to teacher",
        "abstract, rest ours",
    ),
    "local_contrast": Entry(
        "semivox.methods.local_contrast:LocalContrast",
        "Hu et al., MICCAI",
        2021,
        "contrast of whole crops of all scans, then of labelled voxels, before fine-tuning",
        "published code, notes",
    ),
    "atso": Entry(
        "semivox.methods.atso:ATSO",
        "Huo et al., CVPR",
        2021,
        "parts of the unlabelled scans take turns: one is learned from, the next is labelled",
        "abstract, rest ours",
    ),
    "duo_segnet": Entry(
        "semivox.methods.duo_segnet:DuoSegNet",
        "Peiris et al., MICCAI",
        2021,
        "two networks with half of the labels each agree, and try to fool a critic",
        "published code",
    ),
    "pseudo_contrast": Entry(
        "semivox.methods.pseudo_contrast:PseudoContrast",
        "Chaitanya et al., MedIA",
        2023,
        "voxels are like the mean of their class in two scans, labelled or pseudo-labelled",
        "published code",
    ),
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
                settings[key.strip()] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise SettingsError(
                    f"cannot read the value of a method's setting {key.strip()!r}", found=repr(value)
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


def listed() -> dict[str, Entry]:
    """The catalogue, then the installed methods, each by what one writes to get it.

    That is module:Class for a name that is taken, by the catalogue or by a second package.
    """
    rows, others = dict(CATALOG), installed()
    names = [found.name for found in others]
    for found in others:
        free = found.name not in TAKEN and names.count(found.name) == 1 and re.fullmatch(PLAIN, found.name)
        key = found.name if free else found.where
        rows[key] = Entry(found.where, "", None, "", f"installed: {found.package}", "", "")
    return rows


def load_method(name: str) -> type[Method]:
    """The class of a method: a name of the catalogue or of an installed package (ours first),
    ``FILE.py:Class`` or ``package.module:Class``. Raises SettingsError where there is none."""
    if name in CATALOG:
        return load_class(CATALOG[name].where)
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
