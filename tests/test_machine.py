"""What a process may use of its machine, with made-up control groups around it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from semivox import machine
from semivox.errors import SettingsError

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /sys/fs/cgroup; the process is in the group ``/lab/job`` of either version."""
    (tmp_path / "groups").write_text("4:cpu,cpuacct:/lab/job\n3:memory:/lab/job\n0::/lab/job\n")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "MOUNT", tmp_path / "fs")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    return tmp_path / "fs"


def write(folder: Path, **files: str | int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups_it_is_the_whole_machine(groups: Path) -> None:
    assert machine.cpus() == 8
    assert machine.memory_bytes() == psutil.virtual_memory().total
    assert machine.free_bytes() > 0


def test_second_version_and_the_group_around(groups: Path) -> None:
    used = {"memory__current": GIB // 2, "memory__stat": f"anon 5\ninactive_file {GIB // 4}"}
    write(groups / "lab/job", memory__max="max", cpu__max="max 100000", **used)
    write(groups / "lab", memory__max=GIB, cpu__max="250000 100000", **used)
    assert machine.cpus() == 3  # two and a half
    assert machine.memory_bytes() == GIB
    assert machine.free_bytes() == GIB - GIB // 4  # what caches files would be given up


def test_first_version_seen_from_inside_a_container(groups: Path) -> None:
    """The group's path is the host's, and the container sees its own group as the mount's root."""
    write(groups / "memory", memory__limit_in_bytes=GIB, memory__usage_in_bytes=GIB + 5)
    write(groups / "cpu,cpuacct", cpu__cfs_quota_us=50_000, cpu__cfs_period_us=100_000)
    assert machine.cpus() == 1
    assert machine.memory_bytes() == GIB
    assert machine.free_bytes() == 0


def test_first_version_without_limits(groups: Path) -> None:
    write(groups / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=5)
    write(groups / "cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    assert machine.cpus() == 8
    assert machine.memory_bytes() == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("told", "size"), [("1000", 1000), ("24GiB", 24 * GIB), ("1.5 g", 3 * GIB // 2), ("512MB", GIB // 2)]
)
def test_a_case_may_take_what_is_told(monkeypatch: pytest.MonkeyPatch, told: str, size: int) -> None:
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", told)
    assert machine.case_bytes() == size


@pytest.mark.parametrize("told", ["much", "-5", "0", "5 parsecs", "nan", "1e999"])
def test_what_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", told)
    with pytest.raises(SettingsError, match="SEMIVOX_CASE_MEMORY is no size"):
        machine.case_bytes()


def test_a_case_may_take_what_is_free(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(groups / "lab", memory__max=GIB, memory__current=GIB // 4)
    assert machine.case_bytes() == GIB - GIB // 4
    limits = {machine.resource.RLIMIT_AS: (psutil.Process().memory_info().vms + 1000 * 2**20, -1)}
    monkeypatch.setattr(machine.resource, "getrlimit", limits.__getitem__)
    assert 0 < machine.case_bytes() <= GIB - GIB // 4
    limits[machine.resource.RLIMIT_AS] = (1, -1)
    assert machine.case_bytes() == 0
