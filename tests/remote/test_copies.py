"""Copies of what lies on a store: whole, up to date, in their place, and sent whole."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import s3fs

from semivox.errors import DataError, DiskFault, SettingsError
from semivox.extras import import_module
from semivox.remote import is_url, mirrored, refuse_in_copy, written_to
from semivox.remote.address import key_of
from semivox.remote.store import Store

from .conftest import BUCKET, Bucket, Stalling

URL = f"s3://{BUCKET}"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys in the order in which they are fetched."""
    seen: list[str] = []
    fetch = Store.fetch

    def noted(self: Store, key: str, file: Path) -> None:
        seen.append(key.removeprefix(f"{BUCKET}/"))
        fetch(self, key, file)

    monkeypatch.setattr(Store, "fetch", noted)
    return seen


def test_an_image_and_its_label_of_one_name_are_two_files(bucket: Bucket) -> None:
    put = {"images/a.nii.gz": b"scan", "labels/a.nii.gz": b"label", "deep/er/a.nii.gz": b"", "Ü b?&%+": b"x"}
    for name, content in put.items():
        bucket.put(f"set/{name}", content)
    bucket.put("set/", b"")  # as consoles mark a folder
    bucket.put("set/images/", b"")
    bucket.put("set/.semivox/images/x/meta.json", b"prepared elsewhere")
    bucket.put("settle/a.nii.gz", b"another folder")
    folder, line = mirrored(f"{URL}/set/")
    assert folder.name == "set"
    assert contents(folder) == put
    assert line == f"{URL}/set: 4 of 4 objects fetched; all are in {folder}"
    assert (folder.parents[1].stat().st_mode & 0o777) == 0o700  # scans of patients


def test_only_what_has_changed_is_fetched(bucket: Bucket, fetches: list[str]) -> None:
    for name in ("a", "b/c", "b/d", "e/f"):
        bucket.put(f"set/{name}", b"old")
    folder, _ = mirrored(f"{URL}/set")
    fetches.clear()
    assert mirrored(f"{URL}/set")[0] == folder
    assert fetches == []
    bucket.put("set/b/c", b"new")  # of the same size
    bucket.remove("set/a", "set/e/f")
    bucket.put("set/a/folder now", b"new")
    (folder / "b/d").write_bytes(b"own")  # what somebody did to the copy
    (folder / "g").write_bytes(b"nothing of the store's")
    mirrored(f"{URL}/set")
    assert sorted(fetches) == ["set/a/folder now", "set/b/c", "set/b/d"]
    assert contents(folder) == {"a/folder now": b"new", "b/c": b"new", "b/d": b"old"}
    assert not (folder / "e").exists()


def test_what_changes_while_it_is_fetched_is_fetched_again(
    bucket: Bucket, fetches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("set/a", b"0")
    fetch, changes = Store.fetch, [2]

    def meanwhile(self: Store, key: str, file: Path) -> None:
        fetch(self, key, file)
        if changes[0]:
            changes[0] -= 1
            bucket.put("set/a", f"{changes[0]} later".encode())

    monkeypatch.setattr(Store, "fetch", meanwhile)
    folder, _ = mirrored(f"{URL}/set")
    assert contents(folder) == {"a": b"0 later"}
    changes[0] = 99
    bucket.put("set/a", b"anew")
    with pytest.raises(DataError, match="changes while it is read; found a"):
        mirrored(f"{URL}/set")


def test_a_file_is_a_scan_with_its_channels(bucket: Bucket, fetches: list[str]) -> None:
    names = (
        "a_0000.nii.gz",
        "a_0001.nii.gz",
        "a_00000.nii.gz",
        "ab_0000.nii.gz",
        "a.mhd",
        "a.raw",
        "a/b.c",
        "aa",
    )
    for name in names:
        bucket.put(f"imagesTs/{name}", name.encode())
    path, _ = mirrored(f"{URL}/imagesTs/a_0000.nii.gz")
    assert path.read_bytes() == b"a_0000.nii.gz"
    assert path.parent.name == "imagesTs"
    assert sorted(contents(path.parent)) == ["a.mhd", "a.raw", "a_0000.nii.gz", "a_0001.nii.gz"]
    bucket.put("lone.zip", b"zip")
    assert mirrored(f"{URL}/lone.zip")[0].read_bytes() == b"zip"
    assert mirrored(URL)[0].name == BUCKET


def test_test_scans_of_a_data_folder_stay_where_they_are(bucket: Bucket) -> None:
    for name in ("imagesTr/a.png", "labelsTr/a.png", "imagesTs/b.png", "labelsTs/b.png"):
        bucket.put(f"set/{name}", b"x")
    assert sorted(contents(mirrored(f"{URL}/set")[0])) == ["imagesTr/a.png", "labelsTr/a.png"]
    assert sorted(contents(mirrored(f"{URL}/set/imagesTs")[0])) == ["b.png"]


EVIL = (
    ("parts that are no names", "../evil"),
    ("parts that are no names", "a/../../../evil"),
    ("parts that are no names", ".hidden/../../evil"),
    ("parts that are no names", "/evil"),
    ("parts that are no names", "a//evil"),
    ("parts that are no names", "a/./evil"),
    ("parts that are no names", "a?versionId=evil"),
    ("also a, a file in the place of its folder", "a", "a/evil"),
    ("also Evil", "Evil", "evil"),
    ("also ", "\u00e4vil", "a\u0308vil"),
)


def test_no_object_leaves_its_place(bucket: Bucket, tmp_path: Path) -> None:
    """Nor takes the place of another."""
    bucket.put("set/good", b"good")
    store = Store(f"{BUCKET}/set")
    for said, *names in EVIL:
        for name in names:
            bucket.put(f"set/{name}", b"evil")
        with pytest.raises(DataError, match="can be no file of its own") as raised:
            store.listed(f"{BUCKET}/set")
        assert said in str(raised.value.found)
        if names == ["../evil"]:
            with pytest.raises(DataError, match="can be no file of its own"):
                mirrored(f"{URL}/set")
            assert b"evil" not in contents(tmp_path).values()
        bucket.remove(*(f"set/{name}" for name in names))
    assert list(store.listed(f"{BUCKET}/set")) == ["good"]


def test_a_link_in_a_copy_leads_nowhere(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("set/a/b", b"old")
    folder, _ = mirrored(f"{URL}/set")
    (folder / "a").rename(tmp_path / "elsewhere")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    bucket.put("set/a/b", b"new")
    with pytest.raises(DataError, match="is a link"):
        mirrored(f"{URL}/set")
    assert (tmp_path / "elsewhere/b").read_bytes() == b"old"


def test_faults_of_the_store_are_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("set/a", b"x")
    with pytest.raises(DataError, match=r"s3://hospital/none: nothing is there.*AWS_ENDPOINT_URL"):
        mirrored(f"{URL}/none")
    with pytest.raises(DataError, match=r"s3://no-such/set: no such bucket or object.*does not exist"):
        mirrored("s3://no-such/set")
    bucket.demand_login(True)
    try:
        with pytest.raises(DataError, match="the store refuses this login.*AWS_PROFILE") as raised:
            mirrored(f"{URL}/set")
        assert "secret" not in str(raised.value).replace("AWS_SECRET", "").lower()
        with pytest.raises(DataError, match="the store refuses this login"), written_to(f"{URL}/out"):
            pytest.fail("nothing is begun")
    finally:
        bucket.demand_login(False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(DataError, match="the store refuses this login, or has none.*AWS_PROFILE"):
        mirrored(f"{URL}/set")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="the store cannot be reached.*AWS_CA_BUNDLE"):
        mirrored(f"{URL}/set")


def test_a_store_that_is_silent_is_not_waited_for_without_end(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as a request is tried, and as long as each try may take."""
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(DataError, match="the store cannot be reached.*ReadTimeout"):
            mirrored(f"{URL}/set")
        assert time.monotonic() - began < 10 * 0.3 + 5


def test_a_full_disk_is_no_fault_of_the_store(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("set/a", b"x")

    def full(self: Store, key: str, file: Path) -> None:
        with self._told():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Store, "fetch", full)
    with pytest.raises(DiskFault, match="No space left"):
        mirrored(f"{URL}/set")


def test_without_the_extra_a_line_says_what_to_install(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        raise ImportError("No module named 's3fs'") if name == "s3fs" else import_module(name)

    monkeypatch.setattr("semivox.extras.import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'semivox\[remote\]'"):
        mirrored(f"{URL}/set")


@pytest.mark.parametrize(
    "word",
    ["s3://", "s3:///a", "s3://b/../a", "s3://b//a", "s3://b/a?versionId=1", "s3://key:secret@b/a", "gs://b/a",
     "https://host/a", "file:///etc", "memory://a", Path("s3://b/a")],
)  # fmt: skip
def test_what_is_no_url_of_a_store_is_refused(word: str | Path) -> None:
    assert is_url(word)
    with pytest.raises(SettingsError, match="s3://bucket/folder") as raised:
        key_of(word)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "word", ["data", "a/b:/c", "C:/data", "dicomweb:https://host/web", Path("C:/x"), 4, None]
)
def test_what_is_a_path_stays_one(word: object) -> None:
    assert not is_url(word)


def test_outputs_are_sent_with_their_record_last(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    put, remove = Store.put, Store.remove

    def noted(self: Store, file: Path, key: str) -> tuple[int, int]:
        sent.append(f"+{key.removeprefix(f'{BUCKET}/out/')}")
        return put(self, file, key)

    def removed(self: Store, key: str) -> None:
        sent.append(f"-{key.removeprefix(f'{BUCKET}/out/')}")
        remove(self, key)

    monkeypatch.setattr(Store, "put", noted)
    monkeypatch.setattr(Store, "remove", removed)
    names = ("predictions.json", "predictions.csv", "dataset.json", "b.nii.gz", "maps/b.nii.gz", ".writing-x")
    with written_to(f"{URL}/out") as out:
        for name in names:
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_bytes(name.encode())
    assert sorted(sent[:3]) == ["+b.nii.gz", "+dataset.json", "+maps/b.nii.gz"]
    assert sent[3:] == ["+predictions.csv", "+predictions.json"]
    assert bucket.keys("out/") == sorted({*names} - {".writing-x"})
    sent.clear()
    with written_to(f"{URL}/out"):
        pass
    assert sent == []
    with written_to(f"{URL}/out") as out:
        (out / "b.nii.gz").unlink()
        (out / "b.nrrd").write_bytes(b"in its place")
    assert sent == ["-predictions.json", "-predictions.csv", "-b.nii.gz", "+b.nrrd", "+predictions.csv",
                    "+predictions.json"]  # fmt: skip


def test_what_another_machine_sent_is_there_to_be_gone_on_with(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("predictions.json", "a.nii.gz", "maps/a.nii.gz", "dataset.json"):
        bucket.put(f"out/{name}", name.encode())
    with written_to(f"{URL}/out") as out:
        assert len(contents(out)) == 4
    bucket.remove("out/predictions.json")  # a folder without a record is anything
    with written_to(f"{URL}/out") as out:
        assert list(contents(out)) == ["dataset.json"]
        (out / "b").write_bytes(b"new")
    assert bucket.keys("out/") == ["a.nii.gz", "b", "dataset.json", "maps/a.nii.gz"]


def test_what_was_not_sent_is_kept_and_sent_the_next_time(bucket: Bucket) -> None:
    bucket.put("out/predictions.json", b"old")
    with pytest.raises(KeyboardInterrupt), written_to(f"{URL}/out") as out:
        (out / "predictions.json").write_bytes(b"new")
        (out / "a.nii.gz").write_bytes(b"a")
        raise KeyboardInterrupt
    assert bucket.keys("out/") == ["predictions.json"]
    with written_to(f"{URL}/out") as out:
        assert contents(out) == {"predictions.json": b"new", "a.nii.gz": b"a"}
    assert bucket.get("out/predictions.json") == b"new"
    assert bucket.get("out/a.nii.gz") == b"a"


@pytest.mark.parametrize("key", ["set/imagesTr", "set/labelsTr/x", "set"])
def test_outputs_do_not_go_among_scans(bucket: Bucket, key: str) -> None:
    bucket.put("set/imagesTr/a.nii.gz", b"scan")
    with pytest.raises(SettingsError, match="among scans"), written_to(f"{URL}/{key}"):
        pytest.fail("nothing is begun")
    with written_to(f"{URL}/set/masks") as out:
        (out / "a").write_bytes(b"mask")
    assert bucket.keys("set/") == ["imagesTr/a.nii.gz", "masks/a"]


SENDS = """
import sys
from semivox.remote import written_to
with written_to(sys.argv[1]) as out:
    (out / "mask").write_bytes(b"new" * int(sys.argv[2]))
    (out / "predictions.json").write_bytes(b"tells of the new mask")
"""


@pytest.mark.parametrize("size", [1 << 20, 7 << 20])
def test_a_killed_upload_leaves_no_half_file(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """In one piece, and in several of which the first have arrived. Nor a record of what is not there."""
    bucket.put("out/mask", b"old")
    bucket.put("out/predictions.json", b"tells of the old mask")
    command = [sys.executable, "-c", SENDS, f"{URL}/out", str(size)]
    way = Stalling(bucket.address, 2 * size)
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.address)
        with subprocess.Popen(command) as killed:
            assert way.stalled.wait(60)
            killed.kill()
    finally:
        way.close()
    assert bucket.get("out/mask") == b"old"
    assert bucket.keys("out/") == ["mask"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    subprocess.run(command, check=True)
    assert bucket.get("out/mask") == b"new" * size
    assert bucket.get("out/predictions.json") == b"tells of the new mask"


def test_a_copy_to_read_is_not_written_to(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("set/a", b"x")
    with pytest.raises(SettingsError, match="only read"):
        refuse_in_copy(mirrored(f"{URL}/set")[0] / "cases.csv", "write it there")
    refuse_in_copy(tmp_path / "cases.csv", "")
