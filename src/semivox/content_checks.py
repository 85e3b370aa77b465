"""Checks of :mod:`semivox.contents`: the type of every field, that the fields agree with each other, and that
a field is there when somebody needs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from semivox.comparison_contents import Comparison, Request
from semivox.contents import (
    Calibration,
    Evaluation,
    Generation,
    Predictions,
    PseudoLabelRow,
    Status,
    StepLine,
    StoreEntry,
)
from semivox.errors import DataError
from semivox.numerals import whole_number
from semivox.shown_contents import ShownCard

FOREGROUND = "foreground"
LATEST = 1e12
"""Seconds or steps beyond which a status tells nonsense; millimetres, voxels or millilitres likewise."""


def check_content(content: Any, kind: Any, path: Path, remedy: str) -> None:
    """Raise DataError, which names the first wrong field, unless ``content`` is as ``kind`` says and agrees
    with itself."""
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        value = "nothing" if first["type"] == "missing" else f"{first['input']!r}"
        raise DataError(
            f"{field} is not as semivox writes it" if field else "is not as semivox writes it",
            path=path,
            found=value[:200],
            expected=first["msg"],
            remedy=remedy,
        ) from None
    for fault in _AGREE[kind](content) if kind in _AGREE else ():
        raise DataError("is not as semivox writes it", path=path, found=fault, remedy=remedy)


class Record(dict[str, Any]):
    """An object in a file: whoever needs a field that is not there raises DataError, which names file and
    field. Fields that older files lack are asked for with ``get``."""

    path: Path
    place: str

    def __missing__(self, key: str) -> Any:
        raise DataError(
            f"{self.place}{key} is not there",
            path=self.path,
            found=", ".join(self) or "nothing",
            expected=key,
            remedy="write the file anew, or put back that of then",
        )


def as_record(content: Any, path: Path, place: str = "") -> Any:
    """The same with a :class:`Record` for each object in it."""
    if isinstance(content, dict):
        record = Record((key, as_record(value, path, f"{place}{key}.")) for key, value in content.items())
        record.path, record.place = path, place
        return record
    if isinstance(content, list):
        return [as_record(value, path, f"{place}{number}.") for number, value in enumerate(content)]
    return content


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _classes(classes: Iterable[str]) -> Iterator[str]:
    yield from (f"class {name!r}, which is no label value" for name in classes if not whole_number(name))


def _table(content: Mapping[str, Any], classes: Iterable[str], name: str) -> Iterator[str]:
    """``mean`` and ``ci95`` are of the same classes and metrics, Dice among them."""
    mean, ends = content.get("mean", {}), content.get("ci95", {})
    if not mean.keys() == ends.keys() == {*classes, FOREGROUND}:
        yield f"{name}mean, ci95 and classes of different classes"
        return
    for key, metrics in mean.items():
        if metrics.keys() != ends[key].keys() or "dice" not in metrics:
            yield f"{name}mean.{key} and ci95.{key} of different metrics, or without dice"
        yield from (
            f"{name}ci95.{key}.{metric} of {len(pair)} numbers"
            for metric, pair in ends[key].items()
            if pair is not None and len(pair) != 2
        )


def _evaluation(content: Mapping[str, Any]) -> Iterator[str]:
    classes = content["classes"]
    yield from _classes(classes)
    yield from _table(content, classes, "")
    for case, row in content["cases"].items():
        if not row.keys() <= classes.keys() or any("dice" not in metrics for metrics in row.values()):
            yield f"cases.{case} of other classes, or without dice"
        for key, metrics in row.items():
            yield from (
                f"cases.{case}.{key}.{name} {value:g}, which no mask has"
                for name, value in metrics.items()
                # a name without a unit is that of a share
                if value is not None and not (abs(value) < LATEST if "_" in name else 0 <= value <= 1)
            )


def _comparison(content: Mapping[str, Any]) -> Iterator[str]:
    sets, variants = ({cell[key] for cell in content["cells"]} for key in ("labeled", "variant"))
    for cell in content["cells"]:
        place = PurePosixPath(cell["folder"])
        if place.is_absolute() or ".." in place.parts:
            yield f"the folder {cell['folder']!r}, which is none of the comparison"
    for number, row in enumerate(content["results"]):
        name = f"results.{number}."
        if row["labeled"] not in sets or row["variant"] not in variants:
            yield f"{name[:-1]} of no cell"
        classes, difference = row.get("classes", {}), row.get("difference")
        yield from _classes(classes)
        if "mean" in row or "ci95" in row:
            yield from _table(row, classes, name)
        if difference is not None:
            yield from _table(difference, classes, f"{name}difference.")
            counts = [difference[f"patients_{word}"] for word in ("better", "worse", "equal")]
            if any("dice" not in count.get(FOREGROUND, {}) for count in counts):
                yield f"{name}difference without patients"


def _request(content: Mapping[str, Any]) -> Iterator[str]:
    methods, sets = content.get("methods", {}), content.get("labeled", {})
    for cell in content.get("cells", []):
        kinds = [type(part) for part in cell]
        if kinds != [str, str, str, int] or cell[0] not in methods or cell[1] not in sets:
            yield f"the cell {cell}, of no method or labelled set"
        elif any(part in ("", ".", "..") or "/" in part or "\\" in part for part in cell[:3]):
            yield f"the cell {cell}, whose folder is none of the comparison"


def _predictions(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _classes(content.get("classes", {}))
    for row in content["cases"]:
        numbers = (row.get(name, {}) for name in ("volume_ml", "voxels", "components", "border_contact"))
        yield from _classes(chain.from_iterable(numbers))
        yield from _agreed(row)


def _agreed(row: Mapping[str, Any]) -> Iterator[str]:
    """Agreement and promise of a row of ``predictions.json``."""
    case, promise = row["case"], row.get("promise")
    for kind, numbers in row.get("agreement", {}).items():
        yield from _classes(key for key in numbers if key != FOREGROUND)
        if FOREGROUND not in numbers or not all(0 <= value <= 1 for value in numbers.values()):
            yield f"agreement.{kind} of case {case} without the mean, or outside of 0 to 1"
    if not all(math.isfinite(v) for numbers in row.get("appearance", {}).values() for v in numbers):
        yield f"an appearance of case {case} that is not finite"
    if promise is not None and FOREGROUND not in promise["dice"]:
        yield f"a promise of case {case} without the mean"


def _calibration(content: Mapping[str, Any]) -> Iterator[str]:
    for case, entry in content["cases"].items():
        yield from _classes(entry.get("reference_voxels", {}))
        bins = {len(entry[name]) if name in entry else 0 for name in ("count", "confidence", "correct")}
        if len(bins) != 1:
            yield f"cases.{case} with bins of different numbers"


def _generation(content: Mapping[str, Any]) -> Iterator[str]:
    if len(content["part"]) != 2 or content["index"] < 0:
        yield f"part {content['part']} of round {content['index']}"
    for row in content["rows"]:
        yield from _label(row)


def _label(row: Mapping[str, Any]) -> Iterator[str]:
    if row["index"] < 0 or len({len(counts) for counts in row.get("confidences") or ()}) > 1:
        yield f"the label of case {row['case']}"


def _store_entry(content: Mapping[str, Any]) -> Iterator[str]:
    shape, spacing = content["shape"], content["spacing"]
    if not len(shape) == len(spacing) == len(content.get("native_shape", shape)) or len(shape) not in (2, 3):
        yield f"shape {shape} with spacing {spacing}"
    for name in ("shape", "spacing", "native_shape"):
        if not all(0 < value < LATEST for value in content.get(name, ())):
            yield f"{name} {content[name]}"


def _card(content: Mapping[str, Any]) -> Iterator[str]:
    """Of a card as pages show it."""
    for value, known in ((content.get("training") or {}).get("classes") or {}).items():
        if len(known.get("components") or (1, 1)) != 2:
            yield f"training.classes.{value}.components of {len(known['components'])} numbers"


def _numbers(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, int | float) and not 0 <= value < LATEST:
            yield f"{name} {value}"


_AGREE: dict[Any, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    Calibration: _calibration,
    Comparison: _comparison,
    Evaluation: _evaluation,
    Generation: _generation,
    Predictions: _predictions,
    PseudoLabelRow: _label,
    Request: _request,
    ShownCard: _card,
    Status: _numbers,
    StoreEntry: _store_entry,
    StepLine: _numbers,
}
