"""The record of a predictions folder: one row a case, in ``predictions.json`` and ``predictions.csv``."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from semivox.cohort import stem_of
from semivox.contents import Predictions, RunOfMask
from semivox.errors import DataError
from semivox.files import is_bare, read_json, write_json, write_text
from semivox.inference.agreement import OVERALL

FORMAT = 1
JSON, CSV = "predictions.json", "predictions.csv"

REST_FACTOR = 20.0
"""A row is written as its case ends. Both files hold every row, so of thousands that would take most of the
time: between two writings lies at least 20 times what the last one took."""


@dataclass(frozen=True)
class Row:
    """One case. Dicts are keyed by label value as a string, like the evaluation file.

    ``status`` "ok" or "failed" (no mask); ``flag`` "ok", "review" (look at it, ``reason`` says why) or
    "refuse" (the input is unreadable or contradicts the model). ``mean_entropy`` in nats. ``volume_ml`` is
    null where spacing is unknown or in 2D; ``components`` counts the pieces that were found, ``removed`` the
    voxels of those that did not stay, ``border_contact`` voxels at the scan's border. ``whole``: in one
    forward, not in windows; ``pieces``: whether smaller pieces were taken away (auto) or all kept; ``runs``:
    whose probabilities were averaged (empty in earlier versions: the one of ``model_id``).
    ``input_sha256`` identifies the scan (:mod:`semivox.cohort.identity`), ``input_files_sha256`` is of its
    files' bytes (null for a detached header). ``agreement``: kind -> structure -> 0..1
    (:mod:`semivox.inference.agreement`); ``appearance`` of the scan (:mod:`semivox.prepare.appearance`);
    ``promise``: :meth:`semivox.inference.promise.Promise.to_json`, null where nothing is held out to tell.
    """

    case: str
    status: Literal["ok", "failed"]
    flag: Literal["ok", "review", "refuse"]
    reason: str
    model_id: str
    weights: str
    whole: bool | None = None
    pieces: str | None = None
    runs: Sequence[RunOfMask] = ()
    input_sha256: str | None = None
    input_files_sha256: str | None = None
    seconds: float | None = None
    mask: str | None = None
    volume_ml: Mapping[str, float | None] = field(default_factory=dict)
    voxels: Mapping[str, int] = field(default_factory=dict)
    components: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    border_contact: Mapping[str, int] = field(default_factory=dict)
    mean_entropy: float | None = None
    agreement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    appearance: Mapping[str, Sequence[float]] = field(default_factory=dict)
    promise: Mapping[str, Any] | None = None


class Record:
    """The rows of a predictions folder, and the two files that hold them.

    Rows of earlier predictions into the same folder are kept while their mask is there.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        self.folder, self.head = Path(folder), dict(head)
        self.rows: dict[str, Row] = {}
        self._next = 0.0  # when `put` may write again
        if (self.folder / JSON).is_file():
            for row in read_rows(self.folder / JSON):
                if row.mask is not None and (self.folder / row.mask).is_file():
                    self.rows[row.case] = row

    def put(self, row: Row) -> None:
        """Add or replace a case's row, and write both files unless they were written just now."""
        self.rows[row.case] = row
        if time.monotonic() >= self._next:
            self.write()

    def forget(self, case: str) -> None:
        """Take a case's row away, from the disk too."""
        del self.rows[case]
        self._write_json()

    def _write_json(self) -> list[Row]:
        rows = [self.rows[case] for case in sorted(self.rows)]
        write_json(
            self.folder / JSON, {"format": FORMAT, **self.head, "cases": [asdict(row) for row in rows]}
        )
        return rows

    def write(self) -> None:
        """Write both files, each whole or not at all. Call it at the end: `put` may have left rows out."""
        started = time.monotonic()
        rows = self._write_json()
        write_text(self.folder / CSV, as_csv(rows, list(self.head["classes"])))
        ended = time.monotonic()
        self._next = ended + REST_FACTOR * (ended - started)


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``predictions.json``. Raises DataError for one that predict did not write: its mask,
    too, is one that predict would have named."""
    rows = []
    for entry in read_json(path, newest=FORMAT, kind=Predictions)["cases"]:
        try:
            row = Row(**{name: value for name, value in entry.items() if name in Row.__annotations__})
        except (AttributeError, TypeError) as error:
            raise _no_row(path, error) from None
        if not is_bare(row.case):
            raise _no_row(path, f"case {row.case!r}")
        if row.mask is not None and not (is_bare(row.mask) and stem_of(Path(row.mask)) == row.case):
            raise _no_row(path, f"mask {row.mask!r} of case {row.case!r}")
        rows.append(row)
    return rows


def _no_row(path: Path, found: object) -> DataError:
    return DataError(
        "holds a row that predict did not write",
        path=path,
        found=str(found)[:300],
        expected="one case a row, with the mask CASE.ENDING in the same folder",
        remedy="choose another folder for --out, or move this file away",
    )


def as_csv(rows: Iterable[Row], values: Sequence[str]) -> str:
    """The rows as a table; per-class numbers become columns such as ``volume_ml_1``."""
    text = io.StringIO()
    plain = ["case", "status", "flag", "reason"]
    classed = ["volume_ml", "voxels", "components", "removed", "border_contact"]
    rest = ["mean_entropy", "seconds", "model_id", "weights", "input_sha256", "mask"]
    promised = [
        *(("dice", key, name) for key in (OVERALL, *values) for name in ("expected", "at_least")),
        *(("volume_ml", key, name) for key in values for name in ("low", "high")),
        ("dice", OVERALL, "level"),
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *plain,
            *(f"{name}_{value}" for name in classed for value in values),
            *rest,
            *("_".join(column) for column in promised),
        ]
    )
    for row in rows:
        numbers = [getattr(row, name).get(value) for name in classed for value in values]
        said = row.promise or {}
        writer.writerow(
            [
                *(getattr(row, n) for n in plain),
                *map(_cell, numbers),
                *(_cell(getattr(row, n)) for n in rest),
                *(_cell(said.get(of, {}).get(key, {}).get(name)) for of, key, name in promised),
            ]
        )
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
