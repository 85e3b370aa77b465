"""``semivox predict``: scans -> masks on each scan's own grid, with a record of every case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semivox.inference.folder import PredictionReport
    from semivox.inference.record import Row


def predict(
    run: str | Path,
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    format: str = "same",
    probabilities: bool = False,
    uncertainty: bool = False,
    weights: str | None = None,
    skip_existing: bool = False,
    fail_fast: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int, int, Row], None] | None = None,
) -> PredictionReport:
    """Segment scans with the model of a run folder.

    Parameters
    ----------
    run
        Folder that ``train`` wrote.
    paths
        Scans, folders of scans, or data folders of any layout (their cases in use; give ``imagesTs`` itself).
        File names are read as those of the training folder: where a case had several files, ``CASE_0000``,
        ``CASE_0001``, ... are the channels of one.
    out
        Predictions folder: ``CASE.EXT``, ``dataset.json``, ``predictions.json`` and ``.csv``.
    format
        Of the masks: "same" as the scan, or another of ``cohort.format_table.WRITABLE``: "nii.gz", "nrrd" ...
    probabilities, uncertainty
        Also write class probabilities, or their entropy in nats, into folders of these names.
    weights
        One network of the model by role, or "mean" (of all); None: what the run chose.
    skip_existing
        Leave cases alone whose row has the same model and input hash.
    fail_fast
        Stop at the first case that fails.
    device, threads
        See :func:`semivox.inference.load_model`.
    progress
        Called as ``progress(done, all, row)`` after each case.

    Returns
    -------
    The rows of this call; ``report.failed`` lists the cases without a mask, ``report.left_out`` the files
    that are no scans.

    Raises
    ------
    DataError
        No model in ``run``, a newer one, or no scan at ``paths``.
    SettingsError
        Unknown format, weights or device; ``out`` holds scans or predictions of other classes.
    """
    # Here, not above: listing the commands must not import torch.
    from semivox.cohort import find_scans
    from semivox.cohort.format_table import WRITABLE
    from semivox.errors import SettingsError
    from semivox.inference.folder import Wanted, predict_folder
    from semivox.inference.model import load_model

    if format not in WRITABLE:
        raise SettingsError("no such format to write", found=format, expected=" or ".join(WRITABLE))
    model = load_model(run, device=device, weights=weights, threads=threads)
    scans = find_scans([paths] if isinstance(paths, str | Path) else paths, model.naming)
    return predict_folder(
        model,
        scans.cases,
        Path(out),
        Wanted(format, probabilities, uncertainty),
        faults=scans.faults,
        left_out=scans.left_out,
        skip_existing=skip_existing,
        fail_fast=fail_fast,
        progress=progress,
    )
