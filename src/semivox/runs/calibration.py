"""A model that, while it predicts, counts how often its probabilities are right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import Case, Cohort, Volume, label_sha256, read_label, within
from semivox.contents import Calibration
from semivox.errors import SemivoxError
from semivox.evaluation.calibration import reliability
from semivox.files import read_json, write_json
from semivox.inference.model import Model
from semivox.inference.predictor import Scan
from semivox.inference.segmentation import Segmentation
from semivox.machine import free_bytes

FORMAT = 1
MEMORY_SHARE = 0.25
"""Of the free memory; scans whose probabilities need more are predicted without them."""


@dataclass(frozen=True)
class CalibratingModel(Model):
    """Predicts as :class:`Model` does; of scans with a reference it keeps the reliability and the reference's
    size in ``found``, by case, as they stand in ``calibration.json``."""

    cases: Mapping[Path, Case] = field(default_factory=dict)
    ignore: int | None = None
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, cohort: Cohort) -> CalibratingModel:
        """``model`` for the scans of ``cohort``."""
        cases = {case.images[0]: case for case in cohort.cases if case.label is not None}
        own = {f.name: getattr(model, f.name) for f in fields(Model)}
        return cls(**own, cases=cases, ignore=cohort.ignore)

    def predict(self, scan: Scan, *, probabilities: bool = False, uncertainty: bool = False) -> Segmentation:
        case = self.cases.get(scan.source.path or Path()) if isinstance(scan, Volume) else None
        if case is None:
            return super().predict(scan, probabilities=probabilities, uncertainty=uncertainty)
        try:
            grid = scan if isinstance(scan, Volume) else None
            reference = read_label(case.label or "", grid, regions=self.regions).array[0]
        except SemivoxError:  # evaluate will tell
            reference = np.zeros(0, np.uint8)
        bytes_needed = 4 * (len(self.classes) + 1) * math.prod(reference.shape)
        fits = bytes_needed <= MEMORY_SHARE * free_bytes()
        segmentation = super().predict(scan, probabilities=probabilities or fits, uncertainty=uncertainty)
        if segmentation.mask.shape == reference.shape:
            self.found[case.name] = self._entry(case, reference, segmentation)
        return segmentation if probabilities else replace(segmentation, probabilities=None)

    def _entry(self, case: Case, reference: np.ndarray, segmentation: Segmentation) -> dict[str, Any]:
        annotated = self.values if case.annotated is None else case.annotated
        parts = self.regions.parts or {value: (value,) for value in self.values}
        known = {number: values for number, values in parts.items() if set(values) <= set(annotated)}
        sizes = {str(number): int(within(reference, values).sum()) for number, values in known.items()}
        entry: dict[str, Any] = {"label_sha256": label_sha256(case), "reference_voxels": sizes}
        # where a class is not annotated, nobody knows which voxels are right
        if segmentation.probabilities is not None and set(annotated) >= set(self.values):
            found = reliability(segmentation.probabilities, reference, self.values, self.ignore)
            entry |= found.to_json()
        return entry


def read_calibration(path: Path, model: Model, cohort: Cohort) -> dict[str, dict[str, Any]]:
    """The entries of ``path`` that this model made of references that have not changed since."""
    if not path.is_file():
        return {}
    content = read_json(path, newest=FORMAT, kind=Calibration)
    if any(content.get(name) != wanted for name, wanted in _made_by(model).items()):
        return {}
    labels = {case.name: label_sha256(case) for case in cohort.cases if case.label is not None}
    return {
        name: entry
        for name, entry in content["cases"].items()
        if entry.get("label_sha256") == labels.get(name)
    }


def write_calibration(path: Path, model: Model, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """``calibration.json``."""
    head = {"format": FORMAT, **_made_by(model)}
    write_json(path, {**head, "cases": {name: entries[name] for name in sorted(entries)}})


def _made_by(model: Model) -> dict[str, Any]:
    return {"model_id": model.model_id, "weights": model.weights, "whole": model.whole}
