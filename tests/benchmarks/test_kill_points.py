"""Some of the points of benchmarks/kill_points.py in each run, and what that harness must be able to see."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kill_points import FailingDisk, Killed, Stage, broken_files, differences, new_process
from kill_scenes import SCENES
from semivox.errors import DiskFault
from semivox.files import append_text, replacing, write_text

POINTS = {"train": 4, "predict": 5, "compare": 3, "rank": 2, "report": 2}
"""Of runs that take long; else 6."""


@pytest.mark.parametrize("name", SCENES)
def test_a_command_whose_disk_fails_loses_nothing_and_goes_on(name: str, scenes: Path) -> None:
    stage = Stage(SCENES[name], scenes)
    assert stage.past == []  # nothing changes the disk but by the functions that can be made to fail
    assert stage.unsynced == []  # no file takes its name before its bytes are on the disk
    points = stage.points()
    most = POINTS.get(name, 6)
    stride = max(1, len(points) // most)
    found = {
        (*stage.operations[at], fault): stage.faults_at(at, fault)
        for at, fault in points[stride // 2 :: stride][:most]
    }
    assert {point: lines for point, lines in found.items() if lines} == {}


def test_the_harness_sees_what_passes_the_door_and_what_is_not_synced(tmp_path: Path) -> None:
    with FailingDisk() as watched, new_process():
        write_text(tmp_path / "whole.txt", "a\n")
        (tmp_path / "past.txt").write_text("a")
        os.replace(tmp_path / "past.txt", tmp_path / "again.txt")
    assert [line.split()[0] for line in watched.past] == ["open", "os.rename"]
    assert watched.unsynced == []
    with FailingDisk() as watched, new_process(), pytest.MonkeyPatch.context() as patched:
        patched.setattr("semivox.disk.sync_file", lambda path: None)
        write_text(tmp_path / "whole.txt", "b\n")
    assert [path.name.rpartition("-")[2] for path in watched.unsynced] == ["whole.txt"]


@pytest.mark.parametrize("fault", ["killed", "torn"])
def test_after_a_kill_no_operation_has_an_effect(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before\n")
    with FailingDisk() as counted, new_process():
        write_text(path, "before\n")
    for at in range(len(counted.operations)):
        with FailingDisk(at, fault), new_process(), pytest.raises(Killed):
            write_text(path, "after\n")
            write_text(path, "more\n")
        assert path.read_text() in ("before\n", "after\n")
    with new_process():
        write_text(path, "after\n")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_power_cut_leaves_half_of_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with FailingDisk(1, "torn"), pytest.raises(Killed):
        append_text(path, "0123456789")
        append_text(path, "abcdef")
    assert path.read_text() == "012345"  # half of 10 + 3


def test_a_full_disk_stays_full_and_lets_one_rename(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before\n")
    with FailingDisk(0, "full") as failing, new_process():
        for _ in range(2):
            with pytest.raises(DiskFault, match=r"a\.txt: cannot be written; found No space left"):
                write_text(path, "after\n")
    assert failing.failed
    assert path.read_text() == "before\n"


def test_broken_and_differing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": 1, "seconds": 2}')
    (tmp_path / "b.json").write_text('{"x": ')
    (tmp_path / "c.html").write_text("<html>")
    with replacing(tmp_path / "d.npy") as temporary:
        temporary.write_bytes(b"\x93NUMPY")
    assert sorted(line.split(":")[1].strip() for line in broken_files(tmp_path)) == [
        "b.json",
        "c.html",
        "d.npy",
    ]
    assert differences({"a": 1, "b": 2}, {"a": 1, "c": 2}) == ["differs: b", "differs: c"]
    assert json.loads((tmp_path / "a.json").read_text())["x"] == 1
