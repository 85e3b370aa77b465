from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from semivox.cohort import Volume, write_volume
from semivox.errors import DataError, DiskFault
from semivox.files import (
    append_text,
    create_private,
    inside,
    read_json,
    remove_file,
    replacing,
    write_json,
    write_state,
    write_text,
    write_yaml,
)
from semivox.training.checkpoints import save as save_checkpoint


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as temporary:
        temporary.write_text("{")
        raise RuntimeError("half way")
    assert read_json(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.nii.*No space left.*Remedy"), replacing(tmp_path / "a.nii"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def formats() -> dict[str, Callable[[Path], object]]:
    """What writes a large file, each through a library of its own."""
    noise = np.random.default_rng(0).integers(0, 2**16, (1, 64, 64, 32)).astype(np.uint16)
    flat, deep = Volume(noise[..., 0], np.eye(4)), Volume(noise, np.eye(4))
    weights = {"a": torch.zeros(100_000)}
    by_format = {
        f"a.{ending}": lambda path, volume=volume: write_volume(path, volume.array, volume)
        for volume, endings in ((deep, ("nii.gz", "nii", "nrrd", "mha")), (flat, ("png", "tiff")))
        for ending in endings
    }
    return by_format | {
        "a.ckpt": lambda path: save_checkpoint(path.parent, weights),
        "a.safetensors": lambda path: _saved(path, lambda at: save_file(weights, at)),
        "a.npy": lambda path: _saved(path, lambda at: np.save(at, noise)),
        "a.txt": lambda path: write_text(path, "0" * 100_000),
    }


def _saved(path: Path, save: Callable[[Path], object]) -> None:
    with replacing(path) as temporary:
        save(temporary)


@pytest.mark.parametrize("name", formats())
def test_a_really_full_disk_is_told_alike_whatever_library_writes(name: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DiskFault, match=r": cannot be written; found File too large. Remedy: free disk"):
            formats()[name](tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_fault_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="odd"), replacing(tmp_path / "a"):
        raise RuntimeError("odd")
    with pytest.raises(DataError, match="Permission denied") as refused, replacing(tmp_path / "a"):
        raise PermissionError(13, "Permission denied")
    assert refused.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    with monkeypatch.context() as patched:
        patched.setattr("semivox.disk.name_new", raising(OSError(28, "No space left on device")))
        with pytest.raises(DiskFault, match="key: cannot be written"):
            create_private(path, "first")
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patched:  # a disk that gives a file one name only
        patched.setattr("os.link", raising(PermissionError(1, "Operation not permitted")))
        assert create_private(path, "first") == "first"
        assert create_private(path, "second") == "first"
    assert create_private(path, "third") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_the_state_of_a_run_is_told_on_a_full_disk_in_its_old_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    write_state(path, {"state": "training", "step": 12345})
    monkeypatch.setattr("semivox.disk.new_file", raising(OSError(28, "No space left on device")))
    write_state(path, {"state": "stopped"})
    assert read_json(path) == {"state": "stopped"}
    with pytest.raises(DiskFault):
        write_state(tmp_path / "other.json", {})


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_reading_what_is_missing_broken_or_newer(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match="is missing"):
        read_json(path)
    write_text(path, "{")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(path)
    write_json(path, {"format": 2})
    with pytest.raises(DataError, match="newer semivox.*format 2.*format 1"):
        read_json(path)
    assert read_json(path, newest=2) == {"format": 2}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b", 7, None])
def test_only_bare_names_are_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("kept")
    (tmp_path / "folder").mkdir()
    for names in ((name,), ("sub", name), (name, "x")):
        with pytest.raises(DataError, match="bare name"):
            inside(tmp_path / "folder", *names)
        with pytest.raises(DataError, match="bare name"):
            remove_file(tmp_path / "folder", *names)
    assert (tmp_path / "x").read_text() == "kept"


def test_no_link_is_followed_to_write_or_remove(tmp_path: Path) -> None:
    outer, folder = tmp_path / "outer", tmp_path / "folder"
    outer.mkdir()
    folder.mkdir()
    (outer / "x").write_text("kept")
    (folder / "sub").symlink_to(outer, target_is_directory=True)
    (folder / "x").symlink_to(outer / "x")
    with pytest.raises(DataError, match="is a link"):
        remove_file(folder, "sub", "x")
    with pytest.raises(DataError, match="cannot be written"):
        append_text(folder / "x", "more")
    write_text(folder / "x", "new")
    assert (outer / "x").read_text() == "kept"
    assert (folder / "x").read_text() == "new"
    remove_file(folder, "x")
    assert not (folder / "x").exists()
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)  # the user's own choice
    assert inside(tmp_path / "link", "x").parent.resolve() == folder


@pytest.mark.parametrize("name", ["da\udcffta", "\ud800"])
def test_a_name_that_is_no_unicode_is_refused_and_costs_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_json(path, {"kept": 1})
    for write in (
        lambda: write_text(path, name),
        lambda: write_json(path, {"data": f"/home/{name}/scans"}),
        lambda: write_state(path, {"data": name}),
        lambda: write_yaml(path, {"data": name}, "a run"),
        lambda: append_text(path, name),
    ):
        with pytest.raises(DataError, match=r"not Unicode; found .*\\ud.*; expected names in UTF-8"):
            write()
    assert read_json(path) == {"kept": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_field_that_somebody_needs_and_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"cases": [{"case": "a", "more": {}}]})
    content = read_json(path)
    assert content == {"cases": [{"case": "a", "more": {}}]}
    row = content["cases"][0]
    assert row.get("patient") is None
    for needs, place in (
        (lambda: row["patient"], r"cases.0.patient"),
        (lambda: row["more"]["x"], r"cases.0.more.x"),
        (lambda: content["classes"], "classes"),
    ):
        with pytest.raises(DataError, match=rf"record.json: {place} is not there"):
            needs()


@pytest.mark.parametrize("field", ["fault", "found", "expected", "remedy"])
@pytest.mark.parametrize("text", ["n" * 10**6, "9" * 10**6, "a, " * 10**6], ids=["name", "number", "list"])
def test_an_error_is_short_whatever_it_shows(field: str, text: str) -> None:
    fields = {"fault": "is wrong", "found": "x", "expected": "y", "remedy": "z"} | {
        field: f"before {text} after"
    }
    told = str(DataError(fields.pop("fault"), path=Path("here.json"), **fields))
    assert len(told) < 10_000
    assert told.startswith("here.json: ")
    assert "before" in told
    assert "after" in told
