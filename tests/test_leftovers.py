"""What killed processes leave is swept by the next one that writes there, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from semivox import leftovers
from semivox.files import building, replacing, scratch, write_text
from semivox.leftovers import OURS, sweep, temporary

KILLED = """
import os, signal, sys
from pathlib import Path
from semivox.files import building, replacing
folder = Path(sys.argv[1])
with replacing(folder / "a.txt") as path, building(folder / "b") as building:
    path.write_text("half")
    (building / "part").write_text("half")
    if sys.argv[2] == "wait":
        print("writes", flush=True)
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_swept", set())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_swept_by_the_next_write(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "die"], check=False)
    assert len(names(tmp_path)) == 2
    assert all(OURS.fullmatch(name) for name in names(tmp_path))
    write_text(tmp_path / "c.txt", "new")
    assert names(tmp_path) == ["c.txt"]


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "writes\n"
        write_text(tmp_path / "c.txt", "new")
        assert len(names(tmp_path)) == 3
        living.communicate("")
    assert names(tmp_path) == ["a.txt", "b", "c.txt"]
    assert (tmp_path / "b/part").read_text() == "half"


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "precious").write_text("kept")
    folder = tmp_path / "folder"
    folder.mkdir()
    kept = [
        ".writing-notes.txt",
        ".writing-ABCDEFGH-a",
        ".writing-abcd123-a",
        "x.writing-abcd1234-a",
        ".writing-",
    ]
    for name in kept:
        (folder / name).write_text("a user's own")
    (folder / ".writing-abcd1234-link").symlink_to(outer, target_is_directory=True)
    (folder / ".writing-abcd1234-file").symlink_to(outer / "precious")
    os.mkfifo(folder / ".writing-abcd1234-pipe")
    before = names(folder)
    sweep(folder)
    assert names(folder) == before
    assert (outer / "precious").read_text() == "kept"


def test_a_library_that_puts_another_file_in_its_place_is_still_protected(tmp_path: Path) -> None:
    with temporary(tmp_path / "a") as made:
        other = tmp_path / "other"
        other.write_text("by rename")
        os.replace(other, made.path)
        made.hold()
        sweep(tmp_path)
        leftovers._swept.clear()
        sweep(tmp_path)
        assert made.path.read_text() == "by rename"
    assert names(tmp_path) == []


def test_many_threads_and_sweeps_at_once(tmp_path: Path) -> None:
    """A sweep may look at a temporary between its making and its lock."""
    faults: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(30):
                leftovers._swept.clear()
                with replacing(tmp_path / f"{number}-{turn}") as path:
                    path.write_text("x")
                with building(tmp_path / f"{number}-{turn}-folder") as folder:
                    (folder / "part").write_text("x")
                with scratch(tmp_path / "scratch") as folder:
                    (folder / "part").write_text("x")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(names(tmp_path)) == 4 * 30 * 2
