from __future__ import annotations

from pathlib import Path

import pytest

from semivox.errors import DataError
from semivox.files import read_json, replacing, write_json, write_text


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
