"""Pictures of masks: outlines of predictions and reference on the middle slices of scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from semivox.cohort import Cohort, Volume, inside, load_cohort, read_case, read_label
from semivox.errors import DataError
from semivox.files import replacing
from semivox.report.mask_files import mask_file
from semivox.report.palette import colour_of, reference_colour
from semivox.report.patient_planes import taken_in, to_ras


def mask_figure(
    data: str | Path,
    predictions: Mapping[str, str | Path],
    out: str | Path,
    *,
    cases: int = 4,
    title: str = "",
) -> Path:
    """Write a PNG: a row for each of the first ``cases`` of ``data``, a column for each predictions folder.

    Shown is the slice along the coarsest axis with most reference foreground (of prediction where there is
    no reference). The reference is a white line; with several classes a dashed one in a colour of each class.
    Raises DataError where a prediction is missing.
    """
    from matplotlib.figure import Figure

    cohort = load_cohort(data)
    chosen = cohort.cases[:cases]
    figure = Figure(figsize=(2.6 * len(predictions) + 0.2, 2.6 * len(chosen) + 0.5), layout="constrained")
    axes = figure.subplots(len(chosen), len(predictions), squeeze=False)
    for row, case in zip(axes, chosen, strict=True):
        image = read_case(case)
        reference = (
            None if case.label is None else read_label(case.label, image, regions=cohort.regions).array[0]
        )
        for axis, (name, folder) in zip(row, predictions.items(), strict=True):
            mask = read_label(_mask_of(Path(folder), case.name), image, regions=cohort.regions).array[0]
            _draw(axis, image, mask, reference, cohort)
            axis.set_title(f"{name}: {case.name}", fontsize=7)
    if title:
        reference = "dashed" if len(cohort.structures) > 1 else "white"
        figure.suptitle(f"{title} ({reference}: reference)", fontsize=9)
    out = Path(out)
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    return out


def _draw(
    axis: object, image: Volume, mask: np.ndarray, reference: np.ndarray | None, cohort: Cohort
) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    arrays, aspect = [image.array, mask[None], (mask if reference is None else reference)[None]], 1.0
    if image.dims == 3:
        turned, spacing = to_ras(image, arrays)
        plane = taken_in(turned[0].shape[1:], spacing)
        stacks = [plane.slices(array) for array in turned]
        index = int(np.argmax((stacks[-1][0] > 0).sum((0, 1))))
        arrays, aspect = [stack[..., index] for stack in stacks], spacing[plane.rows] / spacing[plane.columns]
    picture, predicted, true = arrays
    shown = (
        np.moveaxis(picture if image.is_colour else picture[:1], 0, -1).astype(np.float32).transpose(1, 0, 2)
    )
    low, high = np.percentile(shown, [1, 99])
    shown = np.clip((shown - low) / max(high - low, 1e-6), 0, 1)
    shown = shown if image.is_colour else shown[..., 0]
    axis.imshow(shown, cmap="gray", aspect=aspect, interpolation="nearest")
    values = sorted(cohort.structures)
    for k, value in enumerate(values):
        style = "dashed" if len(values) > 1 else "solid"
        of_reference = (true, reference_colour(k, len(values)), 1.0, style)
        of_mask = (predicted, colour_of(k), 1.2, "solid")
        for labels, line, width, style in (of_mask, of_reference)[:: 1 if len(values) > 1 else -1]:
            region = inside(labels[0], value, cohort.regions.parts).T
            if region.any() and not region.all():
                axis.contour(
                    region.astype(float), [0.5], colors=[line], linewidths=[width], linestyles=[style]
                )
    axis.set_axis_off()


def _mask_of(folder: Path, case: str) -> Path:
    if (found := mask_file(folder, case)) is None:
        raise DataError(f"no mask of case {case!r}", path=folder, remedy="predict this case first")
    return found
