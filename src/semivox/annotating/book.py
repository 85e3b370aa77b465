"""The book of a data folder's labels: who has which scan open, and every edit that was made of it (SQLite).

What it names is never opened because it stands here: files are found by the data folder's own rules.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from semivox.annotating.refusals import Busy
from semivox.errors import DataError, DiskFault
from semivox.files import inside, make_folder

FORMAT = 1
FILE = "book.sqlite"
LEASE = 180.0
"""Seconds for which a scan is a reader's own; the page asks again in a third of that."""
SILENT = 120.0
"""Seconds without a sign of a page, which gives one a minute, after which its own reader may go on elsewhere:
the browser was killed."""
WAIT = 30.0
"""Seconds to wait for another process that writes."""
TABLES = """
CREATE TABLE edits (
    id INTEGER PRIMARY KEY, scan TEXT NOT NULL, reader TEXT NOT NULL, at REAL NOT NULL,
    action TEXT NOT NULL, state TEXT NOT NULL, model_id TEXT, seconds REAL, note TEXT,
    before TEXT, after TEXT, earlier TEXT, drawn TEXT
);
CREATE INDEX edits_of_scan ON edits (scan, id);
CREATE TABLE leases (scan TEXT PRIMARY KEY, holder TEXT NOT NULL, reader TEXT NOT NULL, until REAL NOT NULL);
"""

Action = Literal["save", "skip", "flag", "back"]


@dataclass(frozen=True)
class Reader:
    """Who works at a page: a ``name`` for people, and ``holder``, which tells two pages of one name apart."""

    name: str
    holder: str


@dataclass(frozen=True)
class Edit:
    """What was done with a scan. ``before`` and ``after`` are versions of its label (:mod:`.label_store`),
    ``earlier`` the copy of what was there, ``seconds`` what the reader spent, ``drawn`` the slices that were
    looked at where it was not the whole scan."""

    scan: str
    reader: str
    action: Action
    model_id: str | None = None
    seconds: float | None = None
    note: str = ""
    before: str = ""
    after: str = ""
    earlier: str | None = None
    drawn: str = ""


class Book:
    """The book in ``folder``, made where there is none. Raises DataError for a file that is no book of ours.

    Threads and processes may use it at once: every call opens it anew.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._path = inside(folder, FILE)
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
            raise DataError("is no file", path=self._path, remedy="move it away")
        with self._writing() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not db.execute("SELECT name FROM sqlite_master").fetchone():
                for statement in filter(str.strip, TABLES.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {FORMAT}")
            elif version != FORMAT:
                raise DataError(
                    "was written by another semivox, or is no book of labels",
                    path=self._path,
                    found=f"format {version}",
                    expected=f"format {FORMAT}",
                    remedy="upgrade semivox, or move it away",
                )

    # ---- leases

    def take(self, scan: str, reader: Reader, now: float | None = None) -> None:
        """Make the scan this reader's own for :data:`LEASE` seconds, and let go of the reader's others.

        Raises Busy where another has it.
        """
        now = time.time() if now is None else now
        with self._writing() as db:
            self._refuse_taken(db, scan, reader, now)
            db.execute("DELETE FROM leases WHERE holder = ? OR until < ?", (reader.holder, now))
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
                (scan, reader.holder, reader.name, now + LEASE),
            )

    def let_go(self, reader: Reader) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM leases WHERE holder = ?", (reader.holder,))

    def open_with(self, reader: Reader, now: float | None = None) -> dict[str, str]:
        """Scan -> name of the other reader who has it, of all that ``reader`` cannot take now."""
        now = time.time() if now is None else now
        with self._reading() as db:
            rows = db.execute("SELECT scan, holder, reader, until FROM leases").fetchall()
        return {str(scan): str(lease[1]) for scan, *lease in rows if _is_held(lease, reader, now)}

    # ---- edits

    def begin(self, edit: Edit, holder: str) -> int:
        """Write down what is about to be done; returns its number. Raises Busy where another has the scan."""
        now = time.time()
        reader = Reader(edit.reader, holder)
        with self._writing() as db:
            self._refuse_taken(db, edit.scan, reader, now)
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
                (edit.scan, holder, edit.reader, now + LEASE),
            )
            return self._insert(db, edit, now, "begun")

    def finish(self, number: int, state: Literal["done", "lost"] = "done") -> None:
        """What :meth:`begin` wrote down is done, or failed and was taken back."""
        with self._writing() as db:
            db.execute("UPDATE edits SET state = ? WHERE id = ?", (state, number))

    def kept(self, number: int, earlier: str) -> None:
        """The name of the copy of what an edit replaced."""
        with self._writing() as db:
            db.execute("UPDATE edits SET earlier = ? WHERE id = ?", (earlier, number))

    def note(self, edit: Edit) -> None:
        """An edit that changes no file."""
        with self._writing() as db:
            self._insert(db, edit, time.time(), "done")

    def settle(self, versions: Mapping[str, str]) -> None:
        """After a kill: what was begun and stands at its place (``versions``: scan -> version) is done, the
        rest never was."""
        with self._writing() as db:
            rows = db.execute("SELECT id, scan, after FROM edits WHERE state = 'begun'").fetchall()
            for number, scan, after in rows:
                state = "done" if versions.get(scan) == after else "lost"
                db.execute("UPDATE edits SET state = ? WHERE id = ?", (state, number))

    def begun(self) -> set[str]:
        """Scans of which an edit was begun and not finished."""
        with self._reading() as db:
            return {str(row[0]) for row in db.execute("SELECT scan FROM edits WHERE state = 'begun'")}

    def last_actions(self) -> dict[str, tuple[str, str]]:
        """Scan -> the last action and its note."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT scan, action, note FROM edits WHERE state = 'done' ORDER BY id"
            ).fetchall()
        return {str(scan): (str(action), str(note or "")) for scan, action, note in rows}

    def saved(self) -> list[str]:
        """Scans whose label was saved here, in the order of their first one."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT scan FROM edits WHERE state = 'done' AND action = 'save' "
                "GROUP BY scan ORDER BY min(id)"
            ).fetchall()
        return [str(row[0]) for row in rows]

    def history(self, scan: str) -> list[dict[str, Any]]:
        """The edits of a scan, the first one first."""
        with self._reading() as db:
            db.row_factory = sqlite3.Row
            rows = db.execute("SELECT * FROM edits WHERE scan = ? ORDER BY id", (scan,)).fetchall()
        return [dict(row) for row in rows]

    # ---- the file

    @staticmethod
    def _refuse_taken(db: sqlite3.Connection, scan: str, reader: Reader, now: float) -> None:
        row = db.execute("SELECT holder, reader, until FROM leases WHERE scan = ?", (scan,)).fetchone()
        if row is not None and _is_held(row, reader, now):
            free = f"it is free {row[2] - now:.0f} s from now, if their page is closed"
            if row[1] == reader.name:
                free += f", and for {reader.name} {max(row[2] - LEASE + SILENT - now, 0):.0f} s from now"
            raise Busy(
                f"{scan} is open with {row[1]}",
                found=f"their page is alive, or was {LEASE - (row[2] - now):.0f} s ago",
                remedy=f"take the next scan; {free}",
            )

    @staticmethod
    def _insert(db: sqlite3.Connection, edit: Edit, now: float, state: str) -> int:
        fields = {
            "scan": edit.scan, "reader": edit.reader, "at": now, "action": edit.action, "state": state,
            "model_id": edit.model_id, "seconds": edit.seconds, "note": edit.note, "before": edit.before,
            "after": edit.after, "earlier": edit.earlier, "drawn": edit.drawn,
        }  # fmt: skip
        marks = ", ".join("?" * len(fields))
        done = db.execute(f"INSERT INTO edits ({', '.join(fields)}) VALUES ({marks})", tuple(fields.values()))
        return int(done.lastrowid or 0)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            db = sqlite3.connect(self._path, timeout=WAIT, isolation_level=None)
            try:
                db.execute("PRAGMA trusted_schema = OFF")  # the file may come from anyone
                yield db
            finally:
                db.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing, and on the disk when it ends."""
        with self._reading() as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = isinstance(error, sqlite3.OperationalError) and "full" in str(error)
            kind = DiskFault if full else DataError
            remedy = (
                "free disk space" if full else "move the file away if it is damaged; labels are not in it"
            )
            raise kind(
                "the book of labels cannot be used", path=self._path, found=str(error), remedy=remedy
            ) from error


def _is_held(lease: Sequence[Any], reader: Reader, now: float) -> bool:
    """Whether a lease (holder, name, until) keeps ``reader`` out."""
    holder, name, until = lease
    mine = holder == reader.holder or (name == reader.name and now > until - LEASE + SILENT)
    return not mine and bool(until >= now)
