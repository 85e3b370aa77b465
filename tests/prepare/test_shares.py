"""Several processes want the same store: each entry is made once, and what a killed one leaves is made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from semivox.errors import DataError
from semivox.prepare import shares
from semivox.prepare.store_entry import Job

HOLD = """
import sys, time
from pathlib import Path
from semivox.prepare.shares import _held
with _held(Path(sys.argv[1]), sys.argv[2]) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Entries are small files here; the keys of those that were built, in order."""
    built: list[str] = []

    def build(job: Job) -> dict[str, Any]:
        built.append(job.key)
        job.folder.write_text(job.key)
        return {"key": job.key}

    def whole(folder: Path) -> dict[str, Any] | None:
        return {"key": folder.read_text()} if folder.exists() else None

    monkeypatch.setattr(shares, "build_entry", build)
    monkeypatch.setattr(shares, "meta_if_whole", whole)
    monkeypatch.setattr(shares, "entry_bytes", lambda job: 1)
    monkeypatch.setattr(shares, "LOOK_SECONDS", 0.01)
    return built


def jobs(root: Path, *keys: str) -> list[Job]:
    return [cast(Job, SimpleNamespace(folder=root / key, key=key)) for key in keys]


def within(seconds: float, work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return thread


def test_entries_come_in_order_and_what_is_there_is_not_made(tmp_path: Path, made: list[str]) -> None:
    (tmp_path / "bb1").write_text("bb1")
    told: list[tuple[int, int]] = []
    found = shares.made_together(
        jobs(tmp_path, "cc1", "bb1", "aa1", "cc1", "aa2"), tmp_path, 1, lambda *t: told.append(t)
    )
    assert made == ["cc1", "aa1", "aa2"]  # a scan that is there twice is made once
    assert {folder.name: meta["key"] for folder, meta in found.items()} == {
        key: key for key in ("aa1", "aa2", "bb1", "cc1")
    }
    assert told == [(1, 3), (3, 3)]


def test_workers_without_number_make_each_entry_once(tmp_path: Path, made: list[str]) -> None:
    keys = [f"{i * 37 % 256:02x}{i}" for i in range(300)]
    answers: list[shares.Metas] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(shares.made_together(jobs(tmp_path, *keys), tmp_path, 1))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(made) == sorted(keys)
    assert len(answers) == 8
    assert all(len(found) == 300 for found in answers)


def test_who_finds_a_share_held_makes_the_others_and_takes_over_when_its_holder_is_killed(
    tmp_path: Path, made: list[str]
) -> None:
    (tmp_path / "locks").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "aa"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    wanted = jobs(tmp_path, "aa1", "bb1", "cc1")
    try:
        thread = within(0.5, lambda: shares.made_together(wanted, tmp_path, 1))
        assert thread.is_alive()  # the holder may still make it
        assert made == ["bb1", "cc1"]
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    thread.join(20)
    assert not thread.is_alive()
    assert made == ["bb1", "cc1", "aa1"]


def test_what_the_holder_has_made_is_taken(tmp_path: Path, made: list[str]) -> None:
    (tmp_path / "locks").mkdir()
    wanted = jobs(tmp_path, "aa1")
    with shares._held(tmp_path, "aa") as ours:
        assert ours
        thread = within(0.2, lambda: shares.made_together(wanted, tmp_path, 1))
        assert thread.is_alive()
        wanted[0].folder.write_text("aa1")
    thread.join(20)
    assert not thread.is_alive()
    assert made == []


def test_a_faulty_scan_lets_go_of_its_share(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(job: Job) -> dict[str, Any]:
        raise DataError("broken", path=job.folder)

    with monkeypatch.context() as patch:
        patch.setattr(shares, "build_entry", broken)
        with pytest.raises(DataError, match="broken"):
            shares.made_together(jobs(tmp_path, "aa1"), tmp_path, 1)
    shares.made_together(jobs(tmp_path, "aa1"), tmp_path, 1)
    assert made == ["aa1"]


def test_one_of_all_who_begin_looks_at_the_headers_for_room(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(shares, "entry_bytes", lambda job: looked.append(job.key) or 1)
    (tmp_path / "locks").mkdir()
    with shares._held(tmp_path, "room"):
        shares.made_together(jobs(tmp_path, "aa1"), tmp_path, 1)
    assert looked == []
    shares.made_together(jobs(tmp_path, "bb1"), tmp_path, 1)
    assert looked == ["bb1"]
