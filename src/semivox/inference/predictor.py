"""What segments a scan, be it the model of one run or of several: probabilities in, a segmentation out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from semivox.cohort import Naming, Regions, Task, Volume, refuse_not_finite, segments_of_classes
from semivox.contents import RunOfMask
from semivox.errors import DataError
from semivox.inference.agreement import PROBABILITY, of_runs, with_probabilities
from semivox.inference.given_scan import Scan, check_volume, volume_of
from semivox.inference.native_grid import (
    Found,
    foreground,
    mean_of,
    native_classes,
    on_native_grid,
    on_one_grid,
)
from semivox.inference.segmentation import Segmentation
from semivox.inference.uncertainty import entropy, mean_entropy
from semivox.methods.cleanup import in_one_piece
from semivox.prepare import Plan

Pieces = Literal["auto", "all"]


class Predictor(ABC):
    """Predicts scans of one task.

    ``card``: what ``model.json`` tells of channels, labels and the training scans; ``plan``: the first run's,
    with what holds for all runs; ``classes``: label value -> name, what the networks tell apart; ``weights``
    names whose mean softmax is the prediction; ``pieces`` and ``whole`` as
    :func:`semivox.inference.load_model` says.
    """

    card: Mapping[str, Any]
    plan: Plan
    classes: Mapping[int, str]
    weights: str
    pieces: Pieces
    whole: bool

    @abstractmethod
    def find(self, volume: Volume) -> list[Found]:
        """What each run finds of a scan that fits; the prediction is the mean of their probabilities."""

    @property
    @abstractmethod
    def runs(self) -> tuple[RunOfMask, ...]:
        """The runs that are averaged, and the mirror images that each of them sees beside the scan."""

    @property
    def model_id(self) -> str:
        """sha256 of the weights file; of several runs, of their ids."""
        return str(self.card["model_id"])

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self.card["channels"])

    @property
    def task(self) -> Task:
        """Its channels and classes."""
        return Task.of_card(self.card)

    @cached_property
    def regions(self) -> Regions:
        """What is made of the classes; empty where they themselves are judged."""
        return Regions.from_json(self.card.get("regions", ()))

    @property
    def structures(self) -> Mapping[int, str]:
        """What masks are measured by, number -> name: the regions, or the classes where there are none."""
        return self.regions.names if self.regions else self.classes

    @property
    def naming(self) -> Naming:
        """How file names were read in training."""
        return Naming.from_card(self.card)

    @property
    def values(self) -> tuple[int, ...]:
        """Label values of the foreground; class index k (from 1) is ``values[k - 1]``."""
        return tuple(sorted(self.classes))

    def predict(self, scan: Scan, *, probabilities: bool = False, uncertainty: bool = False) -> Segmentation:
        """Segment one scan.

        ``scan``: a path, the paths of its channels in order, or a Volume. Raises DataError for an unreadable
        scan, what is none, and one that does not fit the model (dimensions, channels, NaN).
        """
        volume = volume_of(scan)
        self.check(volume)
        found = self.find(volume)
        numbers, ids = sorted(self.structures), [run["model_id"] for run in self.runs]
        agreed = of_runs(found, ids, self.model_id, self.plan.scheme, numbers)  # before they are averaged
        grid, parts = mean_of(found, len(found))
        probs = parts[0] if len(parts) == 1 else on_one_grid(grid, parts)
        if len(found) > 1:
            agreed[self.model_id][PROBABILITY] = with_probabilities(probs, self.plan.scheme, numbers)
        entropies, values = entropy(probs), self._label_values()
        classes = native_classes(grid, parts, regions=self.plan.scheme)
        kept = (
            in_one_piece(classes, self.plan, classes.size / probs[0].size)
            if self.pieces == "auto"
            else classes
        )
        return Segmentation(
            mask=values[kept],
            found=None if kept is classes else values[classes],
            volume=volume,
            classes=self.structures,
            parts=self.regions.parts,
            agreements=agreed,
            mean_entropy=mean_entropy(entropies, foreground(probs, self.plan.scheme)),
            spacing_known=bool(self.card["spacing_known"]),
            probabilities=on_native_grid(grid, parts) if probabilities else None,
            uncertainty=on_native_grid(grid, [entropies[None]])[0] if uncertainty else None,
            segments=segments_of_classes(
                self.structures, self.card.get("codes", {}), self.card.get("colours", {}), self.regions.parts
            ),
        )

    def check(self, volume: Volume) -> None:
        """Raise DataError where a scan contradicts the model, or is none."""
        check_volume(volume)
        path = volume.source.path
        if volume.dims != self.plan.dims:
            raise DataError(
                "the scan has other dimensions than the model",
                path=path,
                found=f"{volume.dims}D, shape {volume.shape}"
                if path is not None
                else f"an array of shape {volume.array.shape}",
                expected=f"{self.plan.dims}D"
                if path is not None
                else f"{self._axes} of a {self.plan.dims}D scan",
                remedy=self._dimensions_remedy(volume),
            )
        if volume.channels != len(self.channels):
            raise DataError(
                "the scan has other channels than the model",
                path=path,
                found=f"{volume.channels} channels",
                expected=f"{len(self.channels)} ({', '.join(self.channels)})",
                remedy=self._channels_remedy(volume),
            )
        refuse_not_finite(volume)

    @property
    def _axes(self) -> str:
        return f"({len(self.channels)}, {', '.join('XYZ'[: self.plan.dims])})"

    def _dimensions_remedy(self, volume: Volume) -> str:
        dims = self.plan.dims
        other = f"give {dims}D scans, or a model trained on such scans"
        if volume.source.path is not None or volume.array.ndim != dims:
            return other
        if len(self.channels) == 1:
            return f"of an array ({', '.join('XYZ'[:dims])}) give array[None]: {self._axes}; else {other}"
        return f"give an array of {self._axes}: channels come first; else {other}"

    def _channels_remedy(self, volume: Volume) -> str:
        many = len(self.channels)
        if volume.source.path is None:
            return f"give an array of {self._axes}: channels come first"
        if self.naming.files_per_case == 1:  # an image of one file is never joined with others
            picture = self.plan.dims == 2 and {many, volume.channels} <= {1, 3}
            colours = "grey" if many == 1 else "red, green and blue"
            file = f"give one file with {many} channel{'s' * (many > 1)}"
            how = f"save it as a picture of {colours}" if picture else file
            return f"{how}, as in training: there, too, each file was a scan"
        return "name channel files CASE_0000, CASE_0001, ... in the order of training"

    def _label_values(self) -> np.ndarray:
        table = np.array([0, *self.values])
        return table.astype(np.min_scalar_type(int(table.max())))
