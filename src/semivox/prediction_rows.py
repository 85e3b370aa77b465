"""The rows of a folder of predictions: its record, after what the journal beside it tells of."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from semivox.content_checks import check_content
from semivox.contents import Predictions
from semivox.files import read_bytes, read_json, told
from semivox.trees import json_tree

FORMAT = 1
JSON, JOURNAL = "predictions.json", "predictions.jsonl"


def prediction_rows(path: Path, kind: Any = Predictions) -> list[dict[str, Any]]:
    """Those of a ``predictions.json``, as they are told there; ``predict`` that is at work, or was killed,
    has left the newer ones in a journal. Raises DataError for content that is not of ``kind``."""
    content = read_json(path, newest=FORMAT, kind=kind) if path.is_file() else {}
    known = content.get("cases", [])
    entries = {entry["case"]: entry for entry in known}
    for line in _journal(path.with_name(JOURNAL)):
        entry = line.get("row")
        if isinstance(entry, dict):
            entries[str(entry.get("case"))] = entry
        else:
            entries.pop(str(line.get("gone")), None)
    if len(entries) != len(known) or any(map(operator.is_not, entries.values(), known)):
        joined = {**content, "cases": list(entries.values())}
        check_content(joined, kind, path.with_name(JOURNAL), "remove it, and predict again")
    return list(entries.values())


def _journal(path: Path) -> Iterator[Mapping[str, Any]]:
    """Its whole lines: a full disk, or a process that was killed, may have left parts of others."""
    if not path.exists():
        return
    with told(path, "remove it, and predict again", "cannot be read"):
        lines = read_bytes(path).split(b"\n")
    for line in lines:
        with contextlib.suppress(ValueError):
            content = json_tree(line.decode())
            if isinstance(content, dict):
                yield content
