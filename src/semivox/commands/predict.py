"""``semivox predict``: scans -> masks on each scan's own grid, with a record of every case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from semivox.cohort.format_table import WRITABLE
from semivox.errors import DataError, SettingsError
from semivox.heavy_imports import heavy_imports
from semivox.numerals import show_percent
from semivox.options import Command, Flag, Positional, from_options
from semivox.terminal import case_lines, line

if TYPE_CHECKING:
    from semivox.cohort import Scans
    from semivox.dicomweb import Address
    from semivox.elsewhere import Opening
    from semivox.inference import Predictor
    from semivox.inference.folder import PredictionReport
    from semivox.inference.record import Row


WEB = "DICOMweb"
"""Heading of the help."""
TRUST = "What a mask is worth"
"""Likewise."""
STORED = ("dicom-seg", "rtstruct")
"""Formats that such a server takes."""


@dataclass(frozen=True)
class PredictOptions:
    """What to segment, with which model."""

    run: Annotated[str | Path | Sequence[str | Path], Positional("RUN", many=True)]
    """Folder that ``train`` wrote. Of several, or one that ``train --folds`` wrote, the mean of their
    probabilities predicts; they share channels and classes."""
    paths: Annotated[str | Path | Sequence[str | Path], Positional("PATH", many=True, data=True, url="read")]
    """Scans, folders of scans, or data folders of any layout (their cases in use; give ``imagesTs`` itself).
    File names are read as those of the training folder: where a case had several files, CASE_0000, CASE_0001,
    ... are the channels of one. ``s3://BUCKET/...``: what lies on a store. ``dicomweb:URL``: a DICOMweb
    server, to which the masks go back."""
    out: Annotated[str | Path, Flag("DIR", writes="folder", url="written")]
    """Folder for the masks, here or ``s3://BUCKET/FOLDER``; also written: ``dataset.json``,
    ``predictions.json`` and ``predictions.csv``."""
    format: Annotated[str, Flag(choices=WRITABLE)] = "same"
    """Format of the masks; same: that of the scan."""
    study: Annotated[str | None, Flag("UID", WEB)] = None
    """Of ``dicomweb:URL``: the study whose scans are segmented."""
    series: Annotated[str | None, Flag("UID", WEB, default="all that are scans")] = None
    """Of that study: one series."""
    keep_here: Annotated[bool, Flag(group=WEB)] = False
    """Store no mask on the server; they lie in --out all the same."""
    probabilities: Annotated[bool, Flag()] = False
    """Also write the probability of each class, into a folder of this name."""
    uncertainty: Annotated[bool, Flag()] = False
    """Also write the entropy of each voxel in nats, into a folder of this name."""
    weights: Annotated[str | None, Flag("NAME", default="what the run chose")] = None
    """One network of the model by its role, or mean (of all)."""
    tta: Annotated[bool, Flag()] = False
    """Average over the scan and its mirror images too, along the axes along which training mirrored crops."""
    pieces: Annotated[Literal["auto", "all"], Flag(choices=("auto", "all"))] = "auto"
    """auto: of what every training label showed in one piece, the largest piece; all: everything found."""
    level: Annotated[float, Flag("P", TRUST)] = 0.8
    """Of masks of scans like the held-out ones, the share that has at least the Dice which is promised. N
    held-out patients can promise N / (N + 1) at most."""
    calibrate_with: Annotated[str | Path | None, Flag("DIR", TRUST, default="what the runs hold")] = None
    """Masks of labelled scans that these runs have predicted together and not learned from, measured by
    ``evaluate``: they tell what the new masks are worth. Runs of ``train --folds`` hold such masks."""
    skip_existing: Annotated[bool, Flag()] = False
    """Leave cases alone that have a mask of the same model and scan. Without it, too, no mask is overwritten
    that somebody drew or edited."""
    fail_fast: Annotated[bool, Flag()] = False
    """Stop at the first case that fails."""
    device: Annotated[str, Flag("D")] = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    threads: Annotated[int | None, Flag("N", default="all")] = None
    """CPU threads."""
    on: Annotated[str | None, Flag("ENGINE", default="local")] = None
    """Where scans are predicted: local, one after the other here; local:N, by N processes, each with its
    share of the cores; ray[:ADDRESS] or slurm[:PARTITION], on a cluster."""
    progress: Callable[[int, int, Row], None] | None = None
    """Called as ``progress(done, all, row)`` after each case."""


@from_options(PredictOptions)
def predict(options: PredictOptions) -> PredictionReport:
    """Segment scans with the model of a run folder.

    Returns
    -------
    The rows of this call; ``report.failed`` lists the cases without a mask, ``report.left_out`` the files
    that are no scans.

    Raises
    ------
    DataError
        No model in ``run``, a newer one, runs of other channels or classes than the first, or no scan at
        ``paths``; no measured mask of these runs in ``calibrate_with``; a DICOMweb server that refuses,
        breaks off, or sends other things than were asked for; a store that fails.
    SettingsError
        Unknown format, weights, device or level; a run given twice; ``tta`` where training mirrored no crops;
        ``out`` holds scans or predictions of other classes; a DICOMweb study without ``study``, or with other
        paths, or with a format that no server stores.
    """
    with heavy_imports():  # here, not above: help must not import torch
        import semivox.inference.folder  # noqa: F401
        from semivox.cohort import find_scans
        from semivox.elsewhere import Opening
        from semivox.engines.choose import known_engine
        from semivox.remote import written_to

    known_engine(options.on)
    paths = _listed(options.paths)
    if options.format not in WRITABLE:
        raise SettingsError("no such format to write", found=options.format, expected=" or ".join(WRITABLE))
    if not 0 < options.level < 1:
        raise SettingsError(
            "no such level", found=options.level, expected="a share between 0 and 1, like 0.8"
        )
    address = _address(options, paths)
    runs = [str(Path(run).absolute()) for run in _listed(options.run)]
    masks = None if options.calibrate_with is None else str(Path(options.calibrate_with).absolute())
    opening = Opening(
        runs,
        options.device,
        options.weights,
        options.threads,
        options.pieces,
        options.tta,
        masks,
        options.level,
    )
    model = opening.model()
    with written_to(options.out) as out:
        here = replace(options, out=out)
        if address is None:
            return _predicted(here, opening, model, find_scans(paths, model.naming))
        return _predicted_study(here, opening, model, address)


def _predicted(options: PredictOptions, opening: Opening, model: Predictor, scans: Scans) -> PredictionReport:
    from semivox.elsewhere import predicted_elsewhere
    from semivox.engines.choose import is_here
    from semivox.inference.folder import predict_folder
    from semivox.inference.scan_work import Wanted

    out, on = Path(options.out), options.on
    wanted = Wanted(options.format, options.probabilities, options.uncertainty)
    return predict_folder(
        model,
        scans.cases,
        out,
        wanted,
        faults=scans.faults,
        left_out=scans.left_out,
        notes=scans.notes,
        calibration=opening.calibration(model),
        skip_existing=options.skip_existing,
        fail_fast=options.fail_fast,
        progress=options.progress,
        elsewhere=None if on is None or is_here(on) else predicted_elsewhere(on, opening, out, wanted),
    )


def _predicted_study(
    options: PredictOptions, opening: Opening, model: Predictor, address: Address
) -> PredictionReport:
    """Scans from a server, their masks back to it."""
    from semivox.cohort import CHOICES
    from semivox.dicomweb import Server, fetched, store, store_once

    server, out = Server(address), Path(options.out)
    wanted = replace(options, format="dicom-seg" if options.format == "same" else options.format)
    with fetched(server, str(options.study), options.series, out) as scans:
        report = _predicted(wanted, opening, model, scans)
    stored: list[Path] = []
    not_stored: list[DataError] = []
    new = [out / row.mask for row in report.rows if row.mask is not None]
    old = [out / f"{case}{CHOICES[wanted.format]}" for case in report.skipped]
    for path in [] if options.keep_here else [*new, *old]:
        try:
            (store if path in new else store_once)(server, path)
            stored.append(path)
        except DataError as error:
            not_stored.append(error)
    return replace(report, stored=tuple(stored), not_stored=tuple(not_stored))


def _address(options: PredictOptions, paths: Sequence[str | Path]) -> Address | None:
    """The DICOMweb server of which a study is meant; None for files."""
    from semivox.dicomweb import address_of, is_address

    if not any(map(is_address, paths)):
        if options.study is None and options.series is None and not options.keep_here:
            return None
        raise SettingsError(
            "--study, --series and --keep-here are of a DICOMweb server", remedy="give dicomweb:URL as PATH"
        )
    if len(paths) > 1:
        raise SettingsError("a DICOMweb server is predicted alone", remedy="predict other paths on their own")
    address = address_of(str(paths[0]))
    if options.study is None:
        raise SettingsError("no study", path=address.base, remedy="give its UID as --study UID")
    if not options.keep_here and options.format not in ("same", *STORED):
        raise SettingsError(
            "a DICOMweb server stores DICOM objects",
            path=address.base,
            found=f"--format {options.format}",
            expected=" or ".join(STORED),
            remedy="add --keep-here to leave the masks in --out",
        )
    return address


def main(given: PredictOptions) -> int:
    """Predict, a line a case; 3 if cases have failed."""
    report = predict.of(replace(given, progress=case_lines()))
    if report.undertrained:
        line(f"warning: {report.undertrained}", error=True)
    line(
        f"{len(report.rows) - len(report.failed)} masks in {given.out}, "
        f"{len(report.skipped)} up to date, {len(report.review)} to review, {len(report.failed)} failed"
    )
    line(_worth(report))
    if report.left_out:
        named = ", ".join(path.name for path in report.left_out)
        line(f"{len(report.left_out)} left out, not read as scans: {named}", error=True)
    if report.stored:
        line(f"{len(report.stored)} on the server, compared with what it gives back")
    for note in (*report.notes, *report.not_stored):
        line(str(note), error=True)
    return 3 if report.failed or report.not_stored else 0


def _worth(report: PredictionReport) -> str:
    """What the Dice that is told of each mask means, or why none is."""
    known = report.calibration
    if known is None:
        return (
            "no Dice is promised: the run holds no measured masks of scans it has not learned from "
            "(train --folds leaves them, report RUN --test DATA makes them)"
        )
    most, asked = known["highest_level"], known["level_asked"]
    but = f" ({known['patients']} can promise {show_percent(most)} at most)" if asked > most else ""
    return (
        f"calibrated on {known['patients']} held-out patients: of masks of scans like theirs, "
        f"{show_percent(known['level'])} have the Dice that is promised{but}"
    )


def _runs_first(given: PredictOptions) -> PredictOptions:
    """Words of the command line that hold a model are runs, up to the first that holds none: that and the
    rest are scans."""
    with heavy_imports():
        from semivox.inference.ensemble import holds_model

    words = [*_listed(given.run), *_listed(given.paths)]
    runs = 1
    while runs < len(words) - 1 and holds_model(words[runs]):
        runs += 1
    return replace(given, run=words[:runs], paths=words[runs:])


def _listed(given: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [given] if isinstance(given, str | Path) else list(given)


COMMAND = Command(
    PredictOptions,
    main,
    (
        "semivox predict run new_scans --out masks",
        "semivox predict run scan.nii.gz --out masks --probabilities --device cpu",
        "semivox predict run_a run_b new_scans --out masks --tta",
        "semivox predict run dicomweb:https://host/dicom-web --study 1.2.840.113619.2.1 --out masks",
    ),
    groups=(TRUST, WEB),
    again="--skip-existing",
    arranged=_runs_first,
)
