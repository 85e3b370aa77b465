"""Hostile values of options and settings, and damaged files of settings and records, for hostile_commands.py.

A tree (JSON, YAML, each line of JSON lines, the header of safetensors) is damaged at one place: the value
there is left out, stands twice, or becomes another one. A checkpoint's dictionaries are damaged likewise, a
table of CSV cell by cell. Any file can also be missing, empty, half, noise, a folder, a pipe or a link.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = "@@here@@"
Place = tuple[str | int, ...]
"""Keys and indices from the root of a tree to a value."""

TEXTS = (
    "", " ", "x", "\u00b2", "\u0661", "-1", "0", "-0.0", "1e400", "-1e400", "nan", "inf", "1000000",
    "-1000000", "1" + 40 * "0", "0.5", "1e-320", "null", "true", "None", "=", "a=b", ",", ",,",
    "1,1", "all", "all,all", "3-1", "{x}", "%s%n", "{", "[" * 1000, "x" * 5000, "a/../../b", "~",
    "\x1b[31mred", "\udcff", "a\nb", "-", "--", "supervised,supervised", "bcp{beta=}", "1@", "@1",
    "p", "2p@x", "0p", "module:", ":Class", "../x.py:Y", "1", "Dataset001_Phantom", "Dataset9_", "dicomweb:",
    "dicomweb:http://127.0.0.1:9", "dicomweb:file:///etc", "dicomweb:http://[", "1.2.3", "1." * 99 + "1",
)  # fmt: skip
"""Of options, besides paths."""

SETTINGS = (
    "", "x", "-1", "0", "0.5", "1000000", ".nan", "nan", ".inf", "-.inf", "1e300", "1e400", "1" + 40 * "0",
    "-" + 30 * "9", "true", "[]", "{}", "[[1]]", "[1, 2, 3, 4, 5, 6]", "[.nan, .nan]", "[-1, -1]", "[0, 0]",
    "[1e300, 1e300]", "[1000000, 1000000]", "[1, 1]", "[3, 5]", "\u00b2", "{a: 1}", "&a [*a]", "2024-01-01",
    "1:30", "!!binary YQ==", "!!bool maybe", "!!python/object:os.system x", "null", "[null]", "x" * 5000,
    300 * "[" + 300 * "]", "'1'", "1e-320", "../../precious", "\udcff", "\x00",
)  # fmt: skip

VALUES = {
    "null": "null", "true": "true", "text": '"x"', "empty text": '""', "square": '"\\u00b2"',
    "number as text": '"1"', "-1": "-1", "0": "0", "0.5": "0.5", "million": "1000000", "2**63": str(2**63),
    "2**62": str(2**62), "1e308": "1e308", "1e-320": "1e-320", "1e400": "1e400", "NaN": "NaN",
    "empty list": "[]", "empty object": "{}", "list in list": "[[]]", "list of null": "[null]",
    "object": '{"x": 1}', "long list": f"[{', '.join(['0'] * 100_000)}]", "long text": f'"{"y" * 10**6}"',
    "deep": "[" * 1000 + "]" * 1000, "path": '"../../precious.txt"', "absolute": '"/etc/hostname"',
    "half a character": '"\\ud800"', "zero byte": '"\\u0000"', "escape": '"\\u001b[31m<script>"',
}  # fmt: skip
"""JSON texts that stand in the place of a value."""
CUTS = ("left out", "twice", "first left out", "other name")
WHOLE = ("missing", "empty", "half", "noise", "folder", "pipe", "link to itself", "link to nothing")
CELLS = (
    "",
    "x",
    "\u00b2",
    "-1",
    "1e400",
    '"',
    "x" * 200_000,
    "a,b",
    "=1+1",
    "..",
    "../x",
    "no",
    "1;2",
    "\x00",
)
COLUMNS = {
    "null": None, "text": "x", "empty text": "", "-1": -1, "0.5": 0.5, "2**62": 2**62, "1e308": 1e308,
    "infinity": float("inf"), "bytes": b"\xff\x00", "long": "y" * 10**6, "path": "../../precious.txt",
}  # fmt: skip
"""Put into every row of a column of a database."""
MOST_ALIKE = 40


def places(tree: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of a tree; of siblings that look alike inside, the first."""
    yield place
    children = list(
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    )
    seen = set()
    for key, value in children:
        form = _form(value)
        if isinstance(tree, list) or isinstance(value, dict | list):
            if form in seen:
                continue
            seen.add(form)
        if len(seen) + 1 < MOST_ALIKE:
            yield from places(value, (*place, key))


def _form(tree: Any) -> Any:
    if isinstance(tree, dict):
        return tuple(sorted((str(key), _form(value)) for key, value in tree.items()))
    if isinstance(tree, list):
        return ("list", *sorted({str(_form(value)) for value in tree}))
    return type(tree).__name__


def _parent(tree: Any, place: Place) -> Any:
    for key in place[:-1]:
        tree = tree[key]
    return tree


def damaged_tree(tree: Any, place: Place, damage: str) -> str:
    """The JSON text of a tree with one damage at one place."""
    tree = copy.deepcopy(tree)
    if not place:
        return VALUES.get(damage, "")
    parent, key = _parent(tree, place), place[-1]
    before = json.dumps(parent[key])
    if damage == "left out":
        del parent[key]
    elif damage == "other name" and isinstance(parent, dict):
        parent["x" + str(key)] = parent.pop(key)
    elif damage == "first left out" and parent[key] and isinstance(parent[key], dict | list):
        del parent[key][next(iter(parent[key])) if isinstance(parent[key], dict) else 0]
    else:
        twice = (
            f"{before}, {before}" if isinstance(parent, list) else f"{before}, {json.dumps(key)}: {before}"
        )
        parent[key] = HERE
        return json.dumps(tree).replace(json.dumps(HERE), VALUES.get(damage, twice))
    return json.dumps(tree)


def trees_of(path: Path) -> list[Any]:
    """The trees that a file holds; none where its ending is not of a tree."""
    if path.suffix == ".json":
        return [json.loads(path.read_text())]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".yaml":
        import yaml

        return [yaml.safe_load(path.read_text())]
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        return [json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])]
    if path.suffix == ".ckpt":
        return [_skeleton(_checkpoint(path))]
    if path.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(path)) as book:
            tables = [name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return [{t: [c[1] for c in book.execute(f"PRAGMA table_info({t})")] for t in tables}]
    if path.suffix == ".csv":
        return [list(csv.reader(path.read_text().splitlines()))]
    return []


def _checkpoint(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _skeleton(tree: Any) -> Any:
    """A checkpoint's dictionaries as JSON could hold them."""
    if isinstance(tree, dict):
        return {key: _skeleton(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_skeleton(value) for value in tree]
    return tree if isinstance(tree, str | int | float | bool | None) else type(tree).__name__


def damages(path: Path) -> Iterator[tuple[int, Place, str]]:
    """(number of the tree, place, damage) of all damages of a file."""
    yield from ((0, (), damage) for damage in WHOLE)
    seen = set()
    for number, tree in enumerate(trees_of(path)):
        if (form := str(_form(tree))) in seen:
            continue
        seen.add(form)
        if path.suffix == ".sqlite":
            columns = [(table, column) for table in tree for column in tree[table]]
            yield from ((0, column, damage) for column in columns for damage in (*COLUMNS, "left out"))
            continue
        if path.suffix == ".csv":
            cells = [(row, column) for row in range(min(2, len(tree))) for column in range(len(tree[row]))]
            yield from ((number, cell, f"cell {n}") for cell in cells for n in range(len(CELLS)))
            yield from ((number, cell, damage) for cell in cells for damage in CUTS[:2])
            continue
        yield from ((number, (), damage) for damage in VALUES)
        for place in places(tree):
            if place:
                yield from ((number, place, damage) for damage in (*CUTS, *VALUES))


def apply(path: Path, number: int, place: Place, damage: str) -> None:
    """Damage a file where it lies."""
    if damage in WHOLE:
        _whole(path, damage)
        return
    if path.suffix == ".ckpt":
        _damage_checkpoint(path, place, damage)
        return
    if path.suffix == ".sqlite":
        _damage_book(path, place, damage)
        return
    trees = trees_of(path)
    if path.suffix == ".csv":
        path.write_text(_damaged_table(trees[0], place, damage), newline="")
        return
    texts = [json.dumps(tree) for tree in trees]
    texts[number] = damaged_tree(trees[number], place, damage)
    text = "\n".join(texts) + "\n"
    if path.suffix != ".safetensors":
        path.write_text(text)
        return
    content, header = path.read_bytes(), text.encode()
    rest = content[8 + struct.unpack("<Q", content[:8])[0] :]
    path.write_bytes(struct.pack("<Q", len(header)) + header + rest)


def _whole(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if damage in ("empty", "half", "noise"):
        noise = bytes((17 * n * n + 11) % 256 for n in range(999))
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "noise": noise}[damage])
    elif damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage.startswith("link"):
        path.symlink_to(path.name if damage == "link to itself" else "nothing-is-here")


def _damaged_table(rows: list[list[str]], place: Place, damage: str) -> str:
    row, column = (int(part) for part in place)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if damage in CUTS:
        again = 2 if damage == "twice" else 0
        rows = [[*r[:column], *again * r[column : column + 1], *r[column + 1 :]] for r in rows]
        writer.writerows(rows)
        return text.getvalue()
    rows[row][column] = HERE
    writer.writerows(rows)
    return text.getvalue().replace(HERE, CELLS[int(damage.split()[1])])


def _damage_book(path: Path, place: Place, damage: str) -> None:
    table, column = place
    with contextlib.closing(sqlite3.connect(path)) as book, contextlib.suppress(sqlite3.Error), book:
        if damage == "left out":  # a column of a key stays
            book.execute("DROP INDEX IF EXISTS edits_of_scan")
            book.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        else:
            book.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", [COLUMNS[damage]])


def _damage_checkpoint(path: Path, place: Place, damage: str) -> None:
    import torch

    tree = _checkpoint(path)
    try:
        value = json.loads(VALUES.get(damage, "null"))
    except (ValueError, RecursionError):
        value = float("nan")
    if not place:
        tree = value
    else:
        parent, key = _parent(tree, place), place[-1]
        value = torch.zeros(3, 5) if damage in ("object", "twice") else value  # a tensor of another shape
        if damage == "left out":
            del parent[key]
        elif damage == "other name" and isinstance(parent, dict):
            parent["x" + str(key)] = parent.pop(key)
        elif isinstance(parent, list | dict):
            parent[key] = value
    torch.save(tree, path)


def remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
