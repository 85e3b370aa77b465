"""The card of a model, ``model.json``, checked as a whole before anything is built from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from semivox.cohort import ENDINGS, Region, Regions
from semivox.content_checks import check_content
from semivox.contents import Parent
from semivox.errors import DataError, SemivoxError
from semivox.numerals import whole_number
from semivox.prepare import Plan, plan_from_json

REMEDY = "copy the run folder again, or resume the training to write the model anew"
DEEPEST, LARGEST = 12, 64
"""Levels of a network, and numbers of a kernel or stride, beyond which nobody trains."""

Size = Annotated[int, Field(ge=1, le=LARGEST)]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
Axes = Annotated[list[Size], Field(min_length=2, max_length=3)]


class NetworkCard(TypedDict):
    kind: str
    features: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=DEEPEST)]
    kernels: list[Axes]
    strides: list[Axes]
    norm: NotRequired[str]
    channels: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=2)]
    sdm: bool
    dropout: Annotated[float, Field(ge=0, lt=1)]
    scales: bool


class Intensity(TypedDict):
    low: Range
    high: Range
    mean: Range


class ClassRange(TypedDict):
    present: float
    border_contact: float
    size: Range | None
    components: Range | None


class Training(TypedDict):
    placed: NotRequired[bool | None]
    spacing_mm: list[Range]
    intensity: list[Intensity]
    classes: dict[str, ClassRange]


class RegionRow(TypedDict):
    name: str
    values: Annotated[list[int], Field(min_length=1)]
    written: int


class NamingCard(TypedDict):
    numbered: bool
    files_per_case: Annotated[int, Field(ge=0)]


class Card(TypedDict):
    networks: Annotated[dict[str, NetworkCard], Field(min_length=1)]
    predictor: Annotated[list[str], Field(min_length=1)]
    channels: Annotated[list[str], Field(min_length=1)]
    labels: Annotated[dict[str, str], Field(min_length=1)]
    regions: NotRequired[list[RegionRow]]
    ignore: NotRequired[int | None]
    codes: NotRequired[dict[str, Any]]
    colours: NotRequired[dict[str, Any]]
    may_be_empty: NotRequired[list[int]]
    file_ending: str
    naming: NotRequired[NamingCard]
    inferred: NotRequired[list[str]]
    spacing_known: bool
    plan: dict[str, Any]
    training: NotRequired[Training | None]
    mirror_axes: NotRequired[list[int]]
    method: str
    steps: Annotated[int, Field(ge=0)]
    seed: NotRequired[int]
    undertrained: NotRequired[str | None]
    parent: NotRequired[Parent | None]
    model_id: str


def check_card(card: Mapping[str, Any], path: Path, weights: Path) -> None:
    """Raise DataError unless the card is whole, agrees with itself and with the tensors of ``weights``."""
    check_content(card, Card, path, REMEDY)
    try:
        plan = plan_from_json(card["plan"])
    except SemivoxError as error:
        raise _wrong(path, error.fault, error.found, error.expected) from None

    def need(holds: bool, fault: str, found: object, expected: object) -> None:
        if not holds:
            raise _wrong(path, fault, found, expected)

    labels, channels, training = card["labels"], card["channels"], card.get("training")
    values = sorted(whole_number(value) or 0 for value in labels)
    need(values[0] > 0 and values[-1] < 2**53, "labels are not values of classes", list(labels), "1, 2, ...")
    need(len(set(values)) == len(values), "a label stands twice", list(labels), "each value once")
    names = list(labels.values())
    need(len(set(names)) == len(names), "two labels share a name", names, "each name once")
    need(card.get("ignore") not in values, "ignore is a class", card.get("ignore"), f"none of {values}")
    regions = Regions.from_json(card.get("regions", ()))
    fault, found, expected = regions.fault() or ("", "", "")
    need(not fault, fault, found, expected)
    need(list(regions.atoms) in ([], values), "regions are not made of the labels", regions.parts, values)
    planned_regions = tuple(Region(each.name, each.parts, each.written) for each in plan.regions)
    need(planned_regions == regions.each, "plan.regions are not the regions", planned_regions, regions.each)
    empty, judged = set(card.get("may_be_empty", ())), list(regions.parts) or values
    need(empty <= set(judged), "may_be_empty names no class", sorted(empty), f"of {judged}")
    ending = card["file_ending"]
    need(ending.lower() in ENDINGS, "file_ending is no format", ending, ", ".join(ENDINGS))
    planned = [c.value for c in plan.classes]
    need(planned == values, "plan.classes are not the labels", planned, values)
    count = len(plan.channels)
    need(count == len(channels), "plan.channels are not the channels", count, len(channels))
    axes = card.get("mirror_axes", [])
    need(
        sorted(set(axes) & set(range(plan.dims))) == sorted(axes), "mirror_axes are no axes", axes, plan.dims
    )
    predictor, roles = card["predictor"], card["networks"]
    need(set(predictor) <= set(roles), "predictor names no network", predictor, " or ".join(roles))
    need(len(set(predictor)) == len(predictor), "predictor names a network twice", predictor, "each once")
    if training is not None:
        intensity, spacing = len(training["intensity"]), len(training["spacing_mm"])
        need(intensity in (0, count), "training.intensity is of other channels", intensity, count)
        need(spacing in (0, plan.dims), "training.spacing_mm is of other axes", spacing, plan.dims)
        for value, known in training["classes"].items():
            pair = (known["size"] is None) == (known["components"] is None)
            need(pair, f"training.classes.{value} tells half of it", known, "size with components")
    _check_networks(card, plan, path, weights)


def _check_networks(card: Mapping[str, Any], plan: Plan, path: Path, weights: Path) -> None:
    tensors = _shapes(weights)
    roles = list(card["networks"])
    if strangers := [name for name in tensors if not name.startswith(tuple(f"{role}." for role in roles))]:
        raise _wrong(weights, "holds tensors of no network of the card", strangers[0], roles)
    for role, network in card["networks"].items():

        def need(holds: bool, fault: str, found: object, expected: object, name: str = role) -> None:
            if not holds:
                raise _wrong(path, f"networks.{name} {fault}", found, expected)

        features, kernels, strides = network["features"], network["kernels"], network["strides"]
        classes, channels = len(card["labels"]) + 1, len(card["channels"])
        need(network["classes"] == classes, "has other classes than labels", network["classes"], classes)
        need(network["channels"] == channels, "has other channels", network["channels"], channels)
        levels = (len(features), len(kernels), len(strides) + 1)
        need(len(set(levels)) == 1, "has levels that do not agree", levels, "as many kernels and strides")
        axes = {len(each) for each in (*kernels, *strides)}
        need(axes == {plan.dims}, "has kernels or strides of other axes", sorted(axes), plan.dims)
        multiple = [math.prod(stride[axis] for stride in strides) for axis in range(plan.dims)]
        fits = not any(p % m for p, m in zip(plan.patch, multiple, strict=True))
        need(fits, "does not fit the plan's patch", multiple, f"divisors of {plan.patch}")
        # each level has a convolution from its features to as many: more than the file holds is not built
        least = sum(f * f * math.prod(k) for f, k in zip(features, kernels, strict=True))
        held = sum(math.prod(shape) for name, shape in tensors.items() if name.startswith(f"{role}."))
        need(least <= held, "is larger than its weights", f"{least} numbers", f"{held} in {weights.name}")


def _shapes(weights: Path) -> dict[str, list[int]]:
    """Name -> shape of the tensors, from the file's first bytes."""
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > weights.stat().st_size:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        return {str(name): [int(n) for n in row["shape"]] for name, row in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(weights, "is no file of weights", error, "safetensors") from None


def _wrong(path: Path, fault: str, found: object, expected: object = None) -> DataError:
    return DataError(fault, path=path, found=str(found)[:300], expected=expected, remedy=REMEDY)
