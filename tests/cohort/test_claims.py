"""A few bytes may claim any size: nothing is asked for that they could not fill, nor more than there is."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from semivox.cohort import claims, read_geometry, read_volume
from semivox.cohort.inflating import Inflating
from semivox.errors import DataError

MIB = 1 << 20
ARRAY = np.arange(60, dtype=np.uint8)
BYTES = ARRAY.tobytes()


def nifti(shape: tuple[int, ...] = (5, 4, 3), data: bytes = BYTES, slope: float = 1) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"], header["scl_slope"] = b"n+1", 352, slope
    return header.binaryblock + b"\0" * 4 + data


def nrrd(shape: tuple[int, ...] = (5, 4, 3), data: bytes = BYTES, encoding: str = "raw") -> bytes:
    sizes = " ".join(map(str, shape))
    head = ["NRRD0004", "type: uint8", f"dimension: {len(shape)}", f"sizes: {sizes}", f"encoding: {encoding}"]
    return "\n".join([*head, "", ""]).encode() + data


def mha(shape: tuple[int, ...] = (5, 4, 3), data: bytes = BYTES, packed: bool = False) -> bytes:
    sizes = " ".join(map(str, shape))
    head = ["ObjectType = Image", f"NDims = {len(shape)}", "BinaryData = True", f"CompressedData = {packed}"]
    head += [f"DimSize = {sizes}", "ElementType = MET_UCHAR", "ElementDataFile = LOCAL", ""]
    return "\n".join(head).encode() + data


WRITERS: dict[str, Callable[..., bytes]] = {
    "a.nii": nifti,
    "a.nii.gz": lambda *a, **k: gzip.compress(nifti(*a, **k), 1),
    "a.nrrd": nrrd,
    "b.nrrd": lambda shape=(5, 4, 3), data=BYTES: nrrd(shape, gzip.compress(data, 1), "gzip"),
    "a.mha": mha,
    "b.mha": lambda shape=(5, 4, 3), data=BYTES: mha(shape, zlib.compress(data, 1), True),
}
PACKED = ["a.nii.gz", "b.nrrd", "b.mha"]


def peak(path: Path) -> float:
    """MiB that reading takes at most; NumPy tells tracemalloc of its arrays."""
    tracemalloc.start()
    try:
        read_volume(path)
    except DataError:
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
    raise AssertionError("the file was read")


@pytest.mark.parametrize("name", WRITERS)
def test_a_claim_that_the_file_cannot_fill_costs_no_memory(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(WRITERS[name]((1000, 1000, 900)))
    with pytest.raises(
        DataError, match="900000000 bytes of voxels, the file holds|900000352 bytes"
    ) as caught:
        read_volume(path)
    assert caught.value.path == path
    assert peak(path) < 4
    assert read_geometry(path).shape == (1000, 1000, 900)


@pytest.mark.parametrize("name", WRITERS)
def test_what_follows_the_voxels_is_named_and_never_held(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(WRITERS[name](data=BYTES + bytes(16 * MIB)))
    with pytest.raises(DataError, match="more than its header tells of") as caught:
        read_volume(path)
    assert (caught.value.path, caught.value.remedy is not None) == (path, True)
    assert peak(path) < 8
    path.write_bytes(WRITERS[name](data=BYTES + bytes(claims.SPARE)))
    np.testing.assert_array_equal(read_volume(path).array.ravel("F"), ARRAY)


@pytest.mark.parametrize("name", WRITERS)
def test_a_scan_larger_than_a_case_may_be_is_refused_before_it_is_read(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes(WRITERS[name]((100, 100, 100), bytes(10**6)))
    monkeypatch.setattr(claims, "SMALL", 0)
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "1900k")
    with pytest.raises(DataError, match="memory that is free for one scan.*SEMIVOX_CASE_MEMORY"):
        read_volume(path)
    assert peak(path) < 1.3  # the longest header
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "2MB")
    assert read_volume(path).array.shape == (1, 100, 100, 100)


def test_a_scaling_counts_as_the_larger_type(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_bytes(nifti((100, 100, 100), bytes(10**6), slope=0.5))
    monkeypatch.setattr(claims, "SMALL", 0)
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "15M")
    with pytest.raises(DataError, match="memory that is free for one scan"):
        read_volume(tmp_path / "a.nii")
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "16M")
    read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("members", [1, 2, 7])
@pytest.mark.parametrize("padding", [0, 5, 70000])
def test_compressed_bytes_come_back_in_pieces_of_any_size(tmp_path, members, padding):
    rng = np.random.default_rng(members)
    whole = np.repeat(rng.integers(0, 255, 9_000), rng.integers(1, 200, 9_000)).astype(np.uint8).tobytes()
    cuts = [0, *sorted(rng.integers(0, len(whole), members - 1)), len(whole)]
    parts = [gzip.compress(whole[a:b]) for a, b in pairwise(cuts)]
    (tmp_path / "a.gz").write_bytes(b"".join(parts) + bytes(padding))
    for size in (9_000, 262_144, 5_000_000):
        with (tmp_path / "a.gz").open("rb") as file:
            stream = Inflating(file)
            assert stream.read(7) == whole[:7]
            assert stream.seek(1000) == 1000
            found = b""
            while piece := stream.read(size):
                found += piece
            assert found == whole[1000:]
            assert not stream.more_than(0)
    with (tmp_path / "a.gz").open("rb") as file:
        stream = Inflating(file)
        assert stream.more_than(len(whole) - 1)


@pytest.mark.parametrize("name", PACKED)
def test_a_compressed_file_cut_or_changed_anywhere_is_refused(tmp_path, name):
    path, rng = tmp_path / name, np.random.default_rng(3)
    data = rng.integers(0, 9, 4000).astype(np.uint8)
    whole = WRITERS[name]((10, 20, 20), data.tobytes())
    voxels = len(whole) - 900
    for place in (voxels, voxels + 400, len(whole) - 6, len(whole) - 1):
        path.write_bytes(whole[:place])
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_volume(path)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_volume(path)


def png(width: int, height: int, rows: bytes) -> bytes:
    """Grey, 8 bits; ``rows`` with the filter's byte before each."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(path: Path, side: int, compression: str | None) -> None:
    """A picture of 4 x 5 whose directory tells of ``side`` x ``side``."""
    tifffile.imwrite(path, np.zeros((5, 4), np.uint8), compression=compression)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(side, dtype="I")


def test_pictures_that_claim_more_than_they_hold_or_than_there_is(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png(30000, 30000, b"\0" + bytes(4)))
    assert peak(path) < 1
    with pytest.raises(DataError, match="900000000 bytes of voxels"):
        read_volume(path)
    for compression in (None, "zlib", "lzw", "packbits", "zstd"):
        tiff(tmp_path / "a.tif", 30000, compression)
        monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "1GiB")
        assert peak(tmp_path / "a.tif") < 2, compression
        with pytest.raises(DataError, match="bytes of voxels|bytes of its voxels|memory that is free"):
            read_volume(tmp_path / "a.tif")
    path.write_bytes(png(1000, 1000, (b"\0" + bytes(1000)) * 1000))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1000, 1000), np.uint8), compression="zlib")
    monkeypatch.setattr(claims, "SMALL", 0)
    for memory, refused in (("1900k", True), ("2M", False)):
        monkeypatch.setenv("SEMIVOX_CASE_MEMORY", memory)
        for picture in (path, tmp_path / "a.tif"):
            if refused:
                with pytest.raises(DataError, match="memory that is free for one scan"):
                    read_volume(picture)
            else:
                read_volume(picture)
