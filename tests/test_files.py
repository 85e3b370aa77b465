from __future__ import annotations

from pathlib import Path

import pytest

from semivox.errors import DataError
from semivox.files import append_text, inside, read_json, remove_file, replacing, write_json, write_text


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
