"""The record of a predictions folder: one row a case, in ``predictions.json`` and ``predictions.csv``; while
scans are predicted, in ``predictions.jsonl`` too."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from semivox.cohort import stem_of
from semivox.contents import RunOfMask
from semivox.errors import DataError
from semivox.files import append_text, is_bare, remove_file, replacing
from semivox.inference.agreement import OVERALL
from semivox.prediction_rows import FORMAT, JOURNAL, JSON, prediction_rows

CSV = "predictions.csv"
PLAIN: Mapping[str, Any] = {"indent": 1, "allow_nan": False, "ensure_ascii": False}

REST_FACTOR = 20.0
"""Both files hold every row, so of thousands it would take most of the time to write them as each case ends:
between two writings lies at least 20 times what the last one took."""


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
    """The rows of a predictions folder, and the files that hold them.

    A row is appended to a journal as its case ends, so a process that is killed loses none; the two files are
    made from it now and then, and at the end, when it is taken away. Only where each row stands is in memory.
    Rows of earlier predictions into the same folder are kept while their mask is there.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any], kept: Iterable[Row] | None = None) -> None:
        """``kept``: what :func:`kept_rows` has found, if it is known."""
        self.folder, self.head = Path(folder), dict(head)
        self._places: dict[str, _Place] = {}
        self._size = 0  # of the journal
        self._next = 0.0  # when `put` may write again
        self._shown = True  # whether the JSON file has rows of earlier calls
        rows = kept_rows(self.folder) if kept is None else kept
        with replacing(self.folder / JOURNAL) as temporary, temporary.open("wb") as file:
            for row in rows:
                line = _line({"row": asdict(row)})
                self._places[row.case] = _Place(self._size, len(line), False)
                self._size += file.write(line)

    def get(self, case: str) -> Row | None:
        """The row of a case, if it has one."""
        place = self._places.get(case)
        return None if place is None else next(self._read([place]))

    def put(self, row: Row) -> None:
        """Add or replace a case's row, and write both files unless they were written just now."""
        self._places[row.case] = self._appended({"row": asdict(row)})
        if time.monotonic() >= self._next:
            self.write()

    def forget(self, case: str) -> None:
        """Take a case's row away, from the disk too."""
        self._appended({"gone": case})
        del self._places[case]
        if self._shown:  # all of earlier calls at once: that is not for each of thousands
            self._write_json([name for name, place in self._places.items() if place.new])
            self._shown = False

    def write(self) -> None:
        """Write both files, each whole or not at all. Call it at the end: `put` may have left rows out."""
        started = time.monotonic()
        self._write_json(self._places)
        self._shown = not all(place.new for place in self._places.values())
        with (
            replacing(self.folder / CSV) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            write_csv(file, self._rows(self._places), list(self.head["classes"]))
        ended = time.monotonic()
        self._next = ended + REST_FACTOR * (ended - started)

    def close(self) -> None:
        """Write both files; they are the record from now on."""
        self.write()
        remove_file(self.folder, JOURNAL)

    def _write_json(self, cases: Iterable[str]) -> None:
        head = json.dumps({"format": FORMAT, **self.head, "cases": []}, **PLAIN)
        with replacing(self.folder / JSON) as temporary, temporary.open("w", encoding="utf-8") as file:
            begin, between = head.removesuffix("]\n}"), "\n"
            file.write(begin)
            for row in self._rows(cases):
                file.write(f"{between}  " + json.dumps(asdict(row), **PLAIN).replace("\n", "\n  "))
                between = ",\n"
            file.write("]\n}\n" if between == "\n" else "\n ]\n}\n")

    def _rows(self, cases: Iterable[str]) -> Iterator[Row]:
        """In the order of their names."""
        return self._read(self._places[case] for case in sorted(cases))

    def _read(self, places: Iterable[_Place]) -> Iterator[Row]:
        with (self.folder / JOURNAL).open("rb") as file:
            for place in places:
                file.seek(place.begin)
                yield Row(**json.loads(file.read(place.length))["row"])

    def _appended(self, content: Mapping[str, Any]) -> _Place:
        """A line more in the journal. Where the disk took only a part of the last one, it begins anew."""
        line, begin = _line(content), (self.folder / JOURNAL).stat().st_size
        torn = b"" if begin == self._size else b"\n"
        append_text(self.folder / JOURNAL, (torn + line).decode())
        self._size = begin + len(torn) + len(line)
        return _Place(self._size - len(line), len(line), True)


class _Place(NamedTuple):
    """Where a row stands in the journal; ``new``: it was put there by this process."""

    begin: int
    length: int
    new: bool


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()


def kept_rows(folder: Path) -> list[Row]:
    """Those of earlier predictions into the folder whose mask is there."""
    path = Path(folder) / JSON
    rows = read_rows(path) if path.is_file() else []
    return [row for row in rows if row.mask is not None and (path.parent / row.mask).is_file()]


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``predictions.json``. Raises DataError for one that predict did not write: its mask,
    too, is one that predict would have named."""
    rows = []
    for entry in prediction_rows(path):
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


def write_csv(file: TextIO, rows: Iterable[Row], values: Sequence[str]) -> None:
    """The rows as a table; per-class numbers become columns such as ``volume_ml_1``."""
    plain = ["case", "status", "flag", "reason"]
    classed = ["volume_ml", "voxels", "components", "removed", "border_contact"]
    rest = ["mean_entropy", "seconds", "model_id", "weights", "input_sha256", "mask"]
    promised = [
        *(("dice", key, name) for key in (OVERALL, *values) for name in ("expected", "at_least")),
        *(("volume_ml", key, name) for key in values for name in ("low", "high")),
        ("dice", OVERALL, "level"),
    ]
    writer = csv.writer(file, lineterminator="\n")
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


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
