"""``dataset.json``: what a data folder says of its channels, labels and files (nnU-Net's and MSD's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semivox.cohort.format_table import ENDINGS
from semivox.errors import DataError
from semivox.files import load_json
from semivox.numerals import whole_number

EXAMPLE = '{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}'


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
    """All of it; ``files`` is what finds the cases. ``inferred``: which of "channels" and "classes" have
    names that semivox made up, where it wrote the file."""

    files: FileKeys
    classes: Mapping[int, str]
    ignore: int | None
    may_be_empty: tuple[int, ...] = ()
    spacing_known: bool = True
    codes: Mapping[str, object] = field(default_factory=dict)
    colours: Mapping[str, object] = field(default_factory=dict)
    inferred: frozenset[str] = frozenset()


def read_dataset_json(path: Path) -> Declared:
    """Parse and check ``dataset.json``.

    Raises
    ------
    DataError
        It is not JSON, lacks labels, declares regions, or a value is of the wrong kind.
    """
    content = _content(path)
    classes, ignore = _labels(path, content.get("labels"))
    return Declared(
        files=_file_keys(path, content),
        classes=classes,
        ignore=ignore,
        may_be_empty=_values(path, "may_be_empty", content.get("may_be_empty", []), classes),
        spacing_known=_of_kind(path, "spacing_known", content.get("spacing_known", True), bool),
        codes=_of_kind(path, "codes", content.get("codes", {}), dict),
        colours=_of_kind(path, "colours", content.get("colours", {}), dict),
        inferred=frozenset(_of_kind(path, "inferred", content.get("inferred", []), list)),
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
        raise DataError("not an object", path=path, found=type(content).__name__, expected=EXAMPLE)
    return content


def class_value(token: object, classes: Mapping[int, str]) -> int | None:
    """The label value of a class given by name or by value, or None."""
    for value, name in classes.items():
        if token == name or str(token) == str(value):
            return value
    return None


def _labels(path: Path, labels: Any) -> tuple[dict[int, str], int | None]:
    if not isinstance(labels, dict) or not labels:
        raise DataError(
            "'labels' is missing", path=path, found=labels, expected='{"background": 0, "organ": 1}',
            remedy="name every label value",
        )  # fmt: skip
    # MSD writes value -> name, nnU-Net name -> value
    by_value = all(whole_number(k) is not None for k in labels) and all(
        isinstance(v, str) for v in labels.values()
    )
    named: dict[int, str] = {}
    ignore = None
    for name, value in ((v, k) for k, v in labels.items()) if by_value else labels.items():
        if isinstance(value, list | dict):
            raise DataError(
                "regions (a label made of several values) are not supported",
                path=path,
                found=f"{name!r}: {value}",
                expected="one value a label",
                remedy="declare each value as its own class",
            )
        number = None if isinstance(value, bool) else whole_number(value)
        if number is None:
            raise DataError(
                "a label value is not a whole number", path=path, found=f"{name!r}: {value!r}",
                expected="0, 1, 2, ...",
            )  # fmt: skip
        if number in named or number == ignore or (number and name in named.values()):
            raise DataError("a label is declared twice", path=path, found=f"{name!r}: {number}")
        if str(name).lower() == "ignore" and number != 0:
            ignore = number
        else:
            named[number] = str(name)
    named.pop(0, None)
    if not named:
        raise DataError("no class beside background", path=path, found=labels, expected="at least one")
    return dict(sorted(named.items())), ignore


def _channels(path: Path, names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    if isinstance(names, dict):
        by_index = {whole_number(index): str(name) for index, name in names.items()}
        if set(by_index) == set(range(len(names))) and names:
            return tuple(by_index[i] for i in range(len(names)))
    elif isinstance(names, list) and names:
        return tuple(str(n) for n in names)
    raise DataError(
        "'channel_names' is not understood", path=path, found=names, expected='{"0": "T1", "1": "T2"}'
    )


def _file_ending(path: Path, ending: Any) -> str | None:
    if ending is not None and (not isinstance(ending, str) or ending.lower() not in ENDINGS):
        raise DataError(
            "'file_ending' is not a format that semivox reads", path=path, found=ending,
            expected=", ".join(ENDINGS),
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
        )  # fmt: skip
    return tuple(sorted({v for v in values if v is not None}))


def _of_kind(path: Path, key: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise DataError(
            f"'{key}' is of the wrong kind",
            path=path,
            found=repr(value),
            expected=getattr(kind, "__name__", kind),
        )
    return value
