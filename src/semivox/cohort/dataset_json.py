"""``dataset.json``: what a data folder says of its channels, labels and files (nnU-Net's and MSD's)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.cohort.format_table import ENDINGS
from semivox.cohort.regions import NONE, Regions
from semivox.errors import DataError
from semivox.files import load_json
from semivox.numerals import whole_number

if TYPE_CHECKING:
    from semivox.cohort.case import Cohort


def example(channels: Sequence[str] = ("MRI",), ending: str = ".nii.gz") -> str:
    """A ``dataset.json`` in one line, for images with these channels and this ending."""
    names = {str(i): name for i, name in enumerate(channels)}
    labels = {"background": 0, "organ": 1}
    return json.dumps({"channel_names": names, "labels": labels, "file_ending": ending})


EXAMPLE = example()
PLACEHOLDER = {1: "structure"}
"""The class of a folder of which nobody has said yet what is to be drawn: to be renamed."""
ORDER = "regions_class_order"
LABEL_KEYS = ("labels", ORDER)
"""What :func:`label_entries` writes."""
ABOUT = ("name", "licence", "reference")
KINDS: dict[Any, str] = {
    bool: "true or false",
    bool | None: "true or false",
    dict: "an object",
    list: "a list",
}


@dataclass(frozen=True)
class FileKeys:
    """What it says of files: ``channels`` is empty where it does not name them; ``pairs`` is MSD's list, None
    elsewhere; ``numbered`` (written by semivox only): how names are read, see
    :class:`semivox.cohort.case.Naming`."""

    channels: tuple[str, ...] = ()
    file_ending: str | None = None
    pairs: tuple[tuple[str, str | None], ...] | None = None
    numbered: bool | None = None


@dataclass(frozen=True)
class Declared:
    """All of it; ``files`` is what finds the cases. ``classes`` are the label values that files hold;
    ``may_be_empty`` has numbers of ``structures``. ``inferred``: which of "channels" and "classes" have
    names that semivox made up, where it wrote the file. ``about``: its name and licence, where it tells
    them."""

    files: FileKeys
    classes: Mapping[int, str]
    ignore: int | None
    may_be_empty: tuple[int, ...] = ()
    spacing_known: bool = True
    codes: Mapping[str, object] = field(default_factory=dict)
    colours: Mapping[str, object] = field(default_factory=dict)
    inferred: frozenset[str] = frozenset()
    regions: Regions = NONE
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def structures(self) -> Mapping[int, str]:
        """What is judged, number -> name: the regions, or the classes where there are none."""
        return self.regions.names if self.regions else self.classes


def read_dataset_json(path: Path) -> Declared:
    """Parse and check ``dataset.json``.

    Raises
    ------
    DataError
        It is not JSON, lacks labels, its regions do not fit each other, or a value is of the wrong kind.
    """
    content = _content(path)
    classes, ignore, regions = _labels(path, content)
    structures = regions.names if regions else classes
    return Declared(
        files=_file_keys(path, content),
        classes=classes,
        ignore=ignore,
        regions=regions,
        may_be_empty=_values(path, "may_be_empty", content.get("may_be_empty", []), structures),
        spacing_known=_of_kind(path, "spacing_known", content.get("spacing_known", True), bool),
        codes=_of_kind(path, "codes", content.get("codes", {}), dict),
        colours=_of_kind(path, "colours", content.get("colours", {}), dict),
        inferred=frozenset(_texts(path, "inferred", content.get("inferred", []))),
        about={key: content[key] for key in ABOUT if isinstance(content.get(key), str)},
    )


def read_file_keys(path: Path) -> FileKeys:
    """Only what finds the cases: whoever predicts them need not know what their labels mean.

    Raises DataError where the file is not JSON or these keys are of the wrong kind.
    """
    return _file_keys(path, _content(path))


def _file_keys(path: Path, content: Mapping[str, Any]) -> FileKeys:
    return FileKeys(
        _channels(path, content.get("channel_names", content.get("modality"))),
        _file_ending(path, content.get("file_ending")),
        _pairs(path, content.get("training")),
        _of_kind(path, "numbered", content.get("numbered"), bool | None),
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = load_json(path)
    except (OSError, ValueError) as error:
        raise DataError(
            "not readable as JSON", path=path, found=str(error), remedy="mend the file; e.g. " + EXAMPLE
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            "not an object", path=path, found=type(content).__name__, expected=EXAMPLE,
            remedy="write the keys and their values in braces",
        )  # fmt: skip
    return content


def class_value(token: object, classes: Mapping[int, str]) -> int | None:
    """The label value of a class given by name or by value, or None."""
    for value, name in classes.items():
        if token == name or str(token) == str(value):
            return value
    return None


def without_class(number: int, cohort: Cohort) -> str:
    """What to do about a structure that no labelled case has: it names each place that mentions it, so that
    whoever takes it out there leaves nothing that does."""
    if len(cohort.structures) == 1:
        return "label a case that has it"
    one = {number: cohort.structures[number]}
    keys = {
        "labels": True,
        ORDER: bool(cohort.regions),
        "may_be_empty": number in cohort.may_be_empty,
        "codes": any(class_value(token, one) for token in cohort.codes),
        "colours": any(class_value(token, one) for token in cohort.colours),
    }
    listed = any(case.annotated is not None and number in cohort.structures_of(case) for case in cohort.cases)
    named = ", ".join(f"'{key}'" for key, there in keys.items() if there)
    also = ", and 'annotated' in cases.csv" if listed else ""
    return f"label a case that has it, or remove it from {named} in dataset.json{also}"


def label_entries(classes: Mapping[int, str], regions: Regions, ignore: int | None = None) -> dict[str, Any]:
    """The keys of ``dataset.json`` that say what label values mean; without a class, of which none could be
    read again, those of ``PLACEHOLDER``."""
    named: dict[str, Any] = {"background": 0}
    if regions:
        named |= {r.name: r.values[0] if len(r.values) == 1 else list(r.values) for r in regions.each}
    else:
        named |= {name: value for value, name in sorted((classes or PLACEHOLDER).items())}
    named |= {} if ignore is None else {"ignore": ignore}
    several = any(len(region.values) > 1 for region in regions.each)
    order = {ORDER: [region.written for region in regions.each]} if several else {}
    return {"labels": named, **order}


def _labels(path: Path, content: Mapping[str, Any]) -> tuple[dict[int, str], int | None, Regions]:
    labels = content.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise DataError(
            "'labels' is missing", path=path, found=labels, expected='{"background": 0, "organ": 1}',
            remedy="name every label value",
        )  # fmt: skip
    # MSD writes value -> name, nnU-Net name -> value
    by_value = all(whole_number(k) is not None for k in labels) and all(
        isinstance(v, str) for v in labels.values()
    )
    entries = [(v, k) for k, v in labels.items()] if by_value else list(labels.items())
    _refuse_other_background(path, entries)
    if any(isinstance(value, list) and len(value) > 1 for _, value in entries):
        return _regions(path, entries, content.get(ORDER))
    named: dict[int, str] = {}
    ignore = None
    for name, value in entries:
        number = _value(path, name, value[0] if isinstance(value, list) and value else value)
        if number in named or number == ignore or (number and name in named.values()):
            raise DataError(
                "a label is declared twice", path=path, found=f"{name!r}: {number}",
                expected="each name and each value once, in 'labels'",
                remedy="take out one of the two, or give it a name and a value of its own",
            )  # fmt: skip
        if str(name).lower() == "ignore" and number != 0:
            ignore = number
        else:
            named[number] = str(name)
    named.pop(0, None)
    if not named:
        raise DataError(
            "no class beside background", path=path, found=labels, expected="at least one",
            remedy='name what is to be found, such as "labels": {"background": 0, "organ": 1}',
        )  # fmt: skip
    return dict(sorted(named.items())), ignore, NONE


def _refuse_other_background(path: Path, entries: Sequence[tuple[Any, Any]]) -> None:
    """0 is background, by whatever name; what is called so and has another value would be learned as a class,
    and the class that has 0 not at all."""
    for name, value in entries:
        values = value if isinstance(value, list) else [value]
        if str(name).strip().lower() == "background" and any(_number(each) != 0 for each in values):
            zero = next((f", {n!r}: 0" for n, v in entries if _number(v) == 0), "")
            raise DataError(
                "the background has another value than 0",
                path=path,
                found=f"{name!r}: {value!r}{zero}",
                expected='"background": 0',
                remedy="write 0 into the label files where nothing is and another value into each class, and "
                "name them so; a class that only is called background needs another name",
            )


def _regions(
    path: Path, entries: Sequence[tuple[Any, Any]], order: Any
) -> tuple[dict[int, str], int | None, Regions]:
    """Labels of which some are lists of values: nnU-Net then takes every one for a region."""
    ignore, made_of = None, dict[str, list[int]]()
    for name, value in entries:
        values = [_value(path, name, v) for v in (value if isinstance(value, list) else [value])]
        if str(name).lower() == "ignore" and values != [0]:
            if len(values) != 1:
                raise DataError(
                    "'ignore' is one label value", path=path, found=f"{name!r}: {value}",
                    expected='a number, such as "ignore": 255',
                    remedy="write one value into the label files where nothing is known, and name that one",
                )  # fmt: skip
            ignore = values[0]
        elif values != [0]:
            made_of[str(name)] = values
    writing = order if isinstance(order, list) else []
    if len(writing) != len(made_of) or any(_number(value) is None for value in writing):
        raise DataError(
            f"'{ORDER}' does not say how regions are written into one mask",
            path=path,
            found="nothing" if order is None else order,
            expected=f"a label value for each of {', '.join(made_of)}, in this order",
            remedy="give each region the value of the voxels that lie in it and in no region after it, such "
            'as [1, 2] for "whole": [1, 2], "part": 2',
        )
    pairs = zip(made_of.items(), writing, strict=True)
    regions = Regions.from_json({"name": n, "values": v, "written": w} for (n, v), w in pairs)
    wrong = regions.fault()
    if wrong is None and ignore in regions.atoms:
        wrong = "the value of 'ignore' lies in a region", str(ignore), "a value of its own"
    if wrong is not None:
        remedy = f"correct 'labels' and '{ORDER}', which go together"
        raise DataError(wrong[0], path=path, found=wrong[1], expected=wrong[2], remedy=remedy)
    return regions.atoms, ignore, regions


def _value(path: Path, name: Any, value: Any) -> int:
    number = _number(value)
    if number is None:
        raise DataError(
            "a label value is not a whole number", path=path, found=f"{name!r}: {value!r}",
            expected="0, 1, 2, ..., or a list of them",
            remedy="give each name in 'labels' the value that its voxels have in the label files",
        )  # fmt: skip
    return number


def _number(value: Any) -> int | None:
    return None if isinstance(value, bool | list | dict) else whole_number(value)


def _channels(path: Path, names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    by_index = names if isinstance(names, dict) else {}
    if isinstance(names, list):
        by_index = dict(enumerate(names))
    found = {whole_number(index): str(name) for index, name in by_index.items() if _is_name(name)}
    if found and len(found) == len(by_index) and set(found) == set(range(len(found))):
        return tuple(found[i] for i in range(len(found)))
    raise DataError(
        "'channel_names' is not understood", path=path, found=names, expected='{"0": "T1", "1": "T2"}',
        remedy="number the channels from 0 on, and name each",
    )  # fmt: skip


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _file_ending(path: Path, ending: Any) -> str | None:
    if ending is not None and (not isinstance(ending, str) or ending.lower() not in ENDINGS):
        raise DataError(
            "'file_ending' is not a format that semivox reads", path=path, found=ending,
            expected=", ".join(ENDINGS),
            remedy="correct it, or take the key out: the ending is then that of the images",
        )  # fmt: skip
    return ending


def _pairs(path: Path, training: Any) -> tuple[tuple[str, str | None], ...] | None:
    if not isinstance(training, list) or not training:
        return None  # some nnU-Net writers leave a count or an empty list here
    pairs = []
    for entry in training:
        image, label = (entry, None) if isinstance(entry, str) else (None, None)
        if isinstance(entry, dict):
            image, label = entry.get("image"), entry.get("label")
        if not isinstance(image, str) or not isinstance(label, str | None):
            raise DataError(
                "an entry of 'training' is not understood", path=path, found=entry,
                expected='{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}',
                remedy="write it so, or take 'training' out: cases are then found by the names of the files",
            )  # fmt: skip
        pairs.append((image, label or None))
    return tuple(pairs)


def _values(path: Path, key: str, tokens: Any, classes: Mapping[int, str]) -> tuple[int, ...]:
    tokens = _of_kind(path, key, tokens, list)
    values = [class_value(token, classes) for token in tokens]
    if None in values:
        raise DataError(
            f"'{key}' names no declared class", path=path, found=tokens[values.index(None)],
            expected=", ".join(f"{name} or {value}" for value, name in classes.items()),
            remedy=f"take it out of '{key}', or declare it in 'labels'",
        )  # fmt: skip
    return tuple(sorted({v for v in values if v is not None}))


def _texts(path: Path, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_kind(path, key, value, "a list of names")
    return value


def _of_kind(path: Path, key: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise _wrong_kind(path, key, value, KINDS[kind])
    return value


def _wrong_kind(path: Path, key: str, value: Any, expected: str) -> DataError:
    return DataError(
        f"'{key}' is of the wrong kind", path=path, found=repr(value), expected=expected,
        remedy="write it so, or take the key out: it is not needed",
    )  # fmt: skip
