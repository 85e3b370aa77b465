"""Objects of DICOM that claim much with few bytes are refused by name, soon and with little memory."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from semivox.cohort import read_geometry, read_volume
from semivox.cohort.dicom import deflated
from semivox.errors import DataError

from .made_series import numbers, write_series


@pytest.fixture
def planes(tmp_path: Path) -> list[Path]:
    write_series(tmp_path / "series", numbers(shape=(12, 10, 2)))
    return sorted((tmp_path / "series").iterdir())


def refused(path: Path) -> None:
    began = time.process_time()
    for reader in (read_geometry, read_volume):
        with pytest.raises(DataError) as caught:
            reader(path)
        assert caught.value.path == path
    assert time.process_time() - began < 3


@pytest.mark.parametrize("frames", [2**31 - 1, 10**8, -3])
@pytest.mark.parametrize("shared", [False, True])
def test_frames_beyond_all_files(planes: list[Path], tmp_path: Path, frames: int, shared: bool) -> None:
    one = pydicom.dcmread(planes[0])
    one.NumberOfFrames = frames
    if shared:
        one.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    one.save_as(tmp_path / "a.dcm")
    refused(tmp_path / "a.dcm")


def test_many_frames_that_share_all_they_tell_are_read_once(planes: list[Path], tmp_path: Path) -> None:
    one = pydicom.dcmread(planes[0])
    one.NumberOfFrames = 100_000
    one.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    one.save_as(tmp_path / "a.dcm")
    refused(tmp_path / "a.dcm")


@pytest.mark.parametrize("packed", [False, True])
def test_pixels_that_the_bytes_cannot_hold(planes: list[Path], tmp_path: Path, packed: bool) -> None:
    one = pydicom.dcmread(planes[0])
    if packed:
        one.compress(RLELossless)
    one.Rows = one.Columns = 8000
    one.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="header tells of"):
        read_volume(tmp_path / "a.dcm")


def with_trailing_zeros(content: bytes, zeros: int) -> bytes:
    """The object with one more element, of so many zeros: what pydicom makes of it is as large."""
    return content + struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"OB", 0, zeros) + bytes(zeros)


@pytest.mark.parametrize("way", ["archive", "deflated", "deflated, with a group that lies"])
def test_few_bytes_that_become_many(
    planes: list[Path], tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deflated, "SMALL", 1 << 20)  # as if zeros were more
    one = pydicom.dcmread(planes[0])
    if way == "archive":
        content = with_trailing_zeros(planes[0].read_bytes(), 2 << 20)
        with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
            archive.writestr("1", content)
        refused(tmp_path / "a.zip")
        return
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    one.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert read_volume(tmp_path / "a.dcm").array.any()
    content = (tmp_path / "a.dcm").read_bytes()
    begins = deflated._deflated_from(content)
    assert begins is not None
    inner = with_trailing_zeros(zlib.decompress(content[begins:], -15), 2 << 20)
    packer = zlib.compressobj(9, wbits=-15)
    head = bytearray(content[:begins])
    if "lies" in way:
        head[140:144] = bytes(4)
    (tmp_path / "b.dcm").write_bytes(bytes(head) + packer.compress(inner) + packer.flush())
    refused(tmp_path / "b.dcm")


def test_a_second_group_without_end_is_no_endless_loop(planes: list[Path], tmp_path: Path) -> None:
    content = planes[0].read_bytes()
    element = struct.pack("<HH2sHI", 2, 0x0102, b"OB", 0, 1 << 17) + bytes(1 << 17)
    (tmp_path / "a.dcm").write_bytes(content[:144] + element + content[144:])
    refused(tmp_path / "a.dcm")
