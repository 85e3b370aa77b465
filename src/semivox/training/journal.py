"""The journal of a run: one JSON line a logged step in ``metrics.jsonl``, and who listens to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from semivox.content_checks import as_record, check_content
from semivox.contents import JournalLine, StepLine, WatchLine
from semivox.errors import DataError
from semivox.files import append_text, read_bytes, write_text
from semivox.trees import json_tree

Listener = Callable[[dict[str, Any]], None]
KINDS = {"step": StepLine, "watch": WatchLine}


class Journal:
    """Appends records to ``path`` and passes them to the listeners. NaN and infinity are written as null."""

    def __init__(self, path: Path, listeners: tuple[Listener, ...] = ()) -> None:
        self.path, self.listeners = path, listeners

    def cut_back(self, step: int) -> None:
        """Drop every record of a step >= ``step`` (and a half-written last line): resume repeats them."""
        if self.path.exists():
            kept = [r for r in read_journal(self.path) if r.get("step", -1) < step]
            write_text(self.path, "".join(json.dumps(r) + "\n" for r in kept))

    def write(self, record: dict[str, Any]) -> None:
        line = json.dumps(_finite(record), allow_nan=False)
        append_text(self.path, line + "\n")
        for listen in self.listeners:
            listen(record)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal; a line cut off by a crash is left out.

    Raises DataError where the file cannot be read, or a whole line holds what no run has written.
    """
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except OSError as error:
        raise DataError("the journal cannot be read", path=path, found=error.strerror) from None
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            record = json_tree(line)
        except ValueError:
            continue
        kind = record.get("kind") if isinstance(record, dict) else None
        check_content(record, KINDS.get(str(kind), JournalLine), path, f"take out line {number}")
        yield as_record(record, path, f"line {number}: ")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
