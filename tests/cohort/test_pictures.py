"""PNG and TIFF give the numbers that are stored, or are refused; the header tells what the voxels are."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semivox.cohort.formats import read_geometry, read_label, read_volume
from semivox.cohort.volume import Volume
from semivox.errors import DataError

RNG = np.random.default_rng(11)


def read_both(path: Path, label: bool = False) -> Volume:
    """The voxels, which must be what the header tells."""
    header = read_geometry(path, label)
    volume = read_label(path) if label else read_volume(path)
    assert volume.array.shape == (header.channels, *header.shape)
    assert volume.array.dtype == header.dtype
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.affine, header.affine)
    assert volume.spacing_status == header.spacing_status
    return volume


# --- PNG, written as its specification says -------------------------------------------------------------

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(row: np.ndarray, depth: int) -> bytes:
    """Samples of a row, most significant bit first; the last byte is filled with zeros."""
    return np.packbits(
        np.unpackbits(row.reshape(-1, 1).astype(">u2").view(np.uint8), axis=1)[:, -depth:]
    ).tobytes()


def paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    return min((a, b, c), key=lambda v: (abs(p - v), (a, b, c).index(v)))


def filtered(row: bytes, above: bytes, step: int, kind: int) -> bytes:
    out = bytearray([kind])
    for i, value in enumerate(row):
        a, c = (row[i - step], above[i - step]) if i >= step else (0, 0)
        b = above[i]
        out.append((value - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) % 256)
    return bytes(out)


def png(samples: np.ndarray, depth: int, colour: int, interlace: bool, between: bytes, rng: Any) -> bytes:
    """The file of (Y, X, samples); each row has a filter of its own."""
    height, width, count = samples.shape
    step, data = max(1, depth * count // 8), b""
    for x, y, dx, dy in ADAM7 if interlace else [(0, 0, 1, 1)]:
        part = samples[y::dy, x::dx]
        above = bytes(-(-part.shape[1] * count * depth // 8))
        for row in part if part.size else []:
            raw = packed(row, depth)
            data += filtered(raw, above, step, int(rng.integers(5)))
            above = raw
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlace))
    ends = chunk(b"IHDR", head) + between, chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + ends[0] + ends[1]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(KINDS), st.booleans(), st.integers(1, 20), st.integers(1, 20), st.booleans(),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_a_png_gives_its_stored_samples(
    tmp_path_factory, kind, interlace, width, height, as_label, keyed, gamma, seed
):
    colour, depth = kind
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 2**depth, (height, width, SAMPLES[colour]))
    palette = rng.integers(0, 256, (2**depth, 3)).astype(np.uint8)
    between = chunk(b"gAMA", struct.pack(">I", 22000)) if gamma else b""
    if colour == 3:
        between += chunk(b"PLTE", palette.tobytes())
        between += chunk(b"tRNS", b"\0\x80") if keyed else b""
    elif keyed and colour in (0, 2):
        between += chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes())
    path = tmp_path_factory.mktemp("png") / "a.png"
    path.write_bytes(png(samples, depth, colour, interlace, between, rng))
    if colour == 3:
        expected = samples if as_label else palette[samples[..., 0]]
    else:
        expected = samples[..., : 3 if colour in (2, 6) else 1]
    volume = read_both(path, as_label and expected.shape[-1] == 1)
    np.testing.assert_array_equal(volume.array, expected.transpose(2, 1, 0))


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_a_cut_png_is_refused(tmp_path, colour, depth):
    samples = RNG.integers(0, 2**depth, (40, 30, SAMPLES[colour]))
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == 3 else b""
    whole = png(samples, depth, colour, False, palette, RNG)
    for kept in (8, 20, 33, len(whole) // 2, len(whole) - 30):
        (tmp_path / "a.png").write_bytes(whole[:kept])
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_volume(tmp_path / "a.png")


def test_a_png_of_several_pictures_or_of_colours_without_a_palette_entry_is_refused(tmp_path):
    pictures = [Image.fromarray(RNG.integers(0, 9, (6, 5)).astype(np.uint8)) for _ in range(3)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    for read in (read_volume, read_geometry):
        with pytest.raises(DataError, match="animated.*3 pictures"):
            read(tmp_path / "a.png")
    few = png(np.full((2, 2, 1), 7), 8, 3, False, chunk(b"PLTE", bytes(9)), RNG)
    (tmp_path / "b.png").write_bytes(few)
    with pytest.raises(DataError, match="not in the palette.*index 7"):
        read_volume(tmp_path / "b.png")


# --- TIFF, written by tifffile --------------------------------------------------------------------------

DTYPES = ["bool", "u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]
LOSSLESS = [None, "lzw", "zlib", "zstd", "packbits", "lzma"]
STORED = {  # axes as stored -> order of (C, X, Y[, Z])
    "YX": "XY", "YXS": "SXY", "SYX": "SXY", "CYX": "CXY", "ZYX": "XYZ", "IYX": "XYI", "ZCYX": "CXYZ",
    "ZYXS": "SXYZ", "CZYX": "CXYZ", "TYX": "XYT",
}  # fmt: skip


def numbers(rng: Any, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if dtype[0] == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    ends = np.iinfo(dtype)
    return rng.integers(ends.min, ends.max, shape, dtype, endpoint=True)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(DTYPES), st.sampled_from(LOSSLESS), st.sampled_from(sorted(STORED)),
    st.sampled_from(["minisblack", "miniswhite", "rgb"]), st.sampled_from("<>"), st.booleans(), st.booleans(),
    st.sampled_from([{}, {"rowsperstrip": 3}, {"tile": (16, 16)}]), st.integers(2, 5), st.integers(0, 99),
)  # fmt: skip
def test_a_tiff_gives_its_stored_numbers(
    tmp_path_factory, dtype, compression, axes, photometric, order, big, predict, parts, extent, seed
):
    rng = np.random.default_rng(seed)
    sizes = {"Y": 19, "X": 23, "S": extent, "C": 2, "Z": 4, "I": 4, "T": 3}
    if photometric == "rgb":
        if "S" not in axes or dtype == "bool":
            return
        sizes["S"] = max(3, extent)
    array = numbers(rng, dtype, tuple(sizes[letter] for letter in axes))
    if compression in (None, "packbits") or dtype == "bool" or dtype == "f2" or (dtype[0] == "f" and predict):
        predict = False
    if dtype == "bool" and "S" in axes:
        return  # tifffile writes no samples of a bit
    extra = {}
    if "S" in axes:
        extra["planarconfig"] = "separate" if axes.index("S") == len(axes) - 3 else "contig"
        count = sizes["S"] - (3 if photometric == "rgb" else 1)
        if count:
            extra["extrasamples"] = ["unspecified"] * count
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(
        path, array, photometric=photometric, compression=compression, bigtiff=big, byteorder=order,
        predictor=predict, metadata={"axes": axes}, **extra, **parts,
    )  # fmt: skip
    volume = read_both(path)
    wanted = array.transpose([axes.index(letter) for letter in STORED[axes]])
    np.testing.assert_array_equal(
        volume.array, wanted if len(wanted) and STORED[axes][0] in "CS" else wanted[None]
    )


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_tiff_of_odd_depths(tmp_path, bits, photometric, compression):
    """Bits packed by hand, in a file that is otherwise tifffile's."""
    array = RNG.integers(0, 2**bits, (9, 16)).astype(np.uint16)
    rows = np.frombuffer(b"".join(packed(row, bits) for row in array), np.uint8).reshape(9, -1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rows, photometric=photometric, compression=compression, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(16)
        tiff.pages[0].tags["BitsPerSample"].overwrite(bits)
    volume = read_both(path, label=True)
    np.testing.assert_array_equal(volume.array[0], array.T)


@pytest.mark.parametrize(
    ("kinds", "channels"),
    [
        (["unspecified"], [0, 1, 2, 3]), (["unassalpha"], [0, 1, 2]), (["assocalpha"], [0, 1, 2]),
        (["unspecified", "unassalpha"], [0, 1, 2, 3]), (["unassalpha", "unspecified"], [0, 1, 2, 4]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_only_what_a_tiff_calls_alpha_is_alpha(tmp_path, kinds, channels, compression, planar):
    array = RNG.integers(0, 9999, (6, 5, 3 + len(kinds))).astype(np.uint16)
    stored = array if planar == "contig" else array.transpose(2, 0, 1)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", extrasamples=kinds, compression=compression,
        planarconfig=planar,
    )  # fmt: skip
    np.testing.assert_array_equal(read_both(tmp_path / "a.tif").array, array.transpose(2, 1, 0)[channels])


def test_grey_with_alpha_and_separations(tmp_path):
    two = RNG.integers(0, 9, (6, 5, 2)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", two, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_both(tmp_path / "a.tif", label=True).array[0], two[..., 0].T)
    four = RNG.integers(0, 255, (6, 5, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", four, photometric="separated", compression="lzw")
    np.testing.assert_array_equal(read_both(tmp_path / "b.tif").array, four.transpose(2, 1, 0))


def test_a_tiff_of_colours_with_jpeg_is_as_tifffile_reads_it_and_is_no_label(tmp_path):
    picture = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    for name, array, photometric in (
        ("grey", picture, "minisblack"),
        ("rgb", np.dstack([picture] * 3), "rgb"),
    ):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, array, photometric=photometric, compression="jpeg")
        expected = tifffile.imread(path)
        volume = read_both(path)
        np.testing.assert_array_equal(volume.array, expected.T if expected.ndim == 3 else expected.T[None])
        assert np.abs(volume.array.T.squeeze().astype(int) - array).max() < 16
        with pytest.raises(DataError, match="label is stored.*JPEG.*without loss"):
            read_label(path)


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("Compression", 34676, "compression that is not read.*34676"),
        ("PhotometricInterpretation", 6, "photometric.*YCBCR"),
        ("PhotometricInterpretation", 8, "photometric.*CIELAB"),
        ("SampleFormat", 6, "type of number"),
    ],
)
def test_what_is_no_plain_number_is_refused_by_name(tmp_path, tag, value, words):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RNG.integers(0, 255, (6, 5, 3)).astype(np.int16), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        old = tiff.pages[0].tags[tag].value
        tiff.pages[0].tags[tag].overwrite((value,) * len(old) if isinstance(old, tuple) else value)
    for read in (read_volume, read_geometry):
        with pytest.raises(DataError, match=words) as caught:
            read(path)
        assert caught.value.remedy


STACK = RNG.integers(0, 9999, (4, 11, 7)).astype(np.uint16)


def plain_pages(path: Path, **more: Any) -> None:
    with tifffile.TiffWriter(path) as file:
        for page in STACK:
            file.write(page, metadata=None, contiguous=False, **more)


WRITERS = {
    "pages": plain_pages,
    "lzw": lambda path: plain_pages(path, compression="lzw"),
    "shaped": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "ZYX"}),
    "imagej": lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"}),
    "ome": lambda path: tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"}),
    "big": lambda path: tifffile.imwrite(
        path, STACK, photometric="minisblack", bigtiff=True, compression="zlib"
    ),
    "pillow": lambda path: Image.fromarray(STACK[0]).save(
        path, "TIFF", save_all=True, append_images=[Image.fromarray(page) for page in STACK[1:]]
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_cut_stack_is_whole_or_refused(tmp_path, writer):
    path = tmp_path / "a.tif"
    WRITERS[writer](path)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_both(path).array[0], STACK.T)
    step, faults = max(1, len(whole) // 60), set()
    for kept in sorted({*range(1, len(whole), step), *range(len(whole) - 12, len(whole))}):
        path.write_bytes(whole[:kept])
        for read in (read_volume, read_geometry):
            try:
                found = read(path)
            except DataError as error:
                faults.add(error.fault)
                continue
            assert tuple(found.shape) == STACK.T.shape, kept  # the last bytes may be padding
            if isinstance(found, Volume):
                np.testing.assert_array_equal(found.array[0], STACK.T)
    assert faults == {"unreadable or truncated file"}


def test_a_tiff_of_several_pictures_is_refused_but_not_for_its_thumbnail(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0], metadata=None)
        file.write(STACK[0, :5, :3], metadata=None, subfiletype=1)
    np.testing.assert_array_equal(read_both(path).array[0], STACK[0].T)
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0], metadata=None)
        file.write(STACK[0, :5], metadata=None)
    for read in (read_volume, read_geometry):
        with pytest.raises(DataError, match="several pictures.*2 of shapes"):
            read(path)


def test_planes_in_other_files_are_not_left_out_in_silence(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        told = tiff.ome_metadata
    elsewhere = '<TiffData FirstZ="4" PlaneCount="4"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    for inserted in ("", elsewhere):
        changed = told.replace('SizeZ="4"', 'SizeZ="8"').replace("<TiffData ", inserted + "<TiffData ")
        assert changed != told
        tifffile.tiffcomment(path, changed.encode())
        for read in (read_volume, read_geometry):
            with pytest.raises(DataError, match="part of an image|missing"):
                read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("label", [False, True])
def test_a_picture_that_viewers_turn_is_refused(
    tmp_path: Path, ending: str, orientation: int, label: bool
) -> None:
    numbers = RNG.integers(0, 4, (4, 7)).astype(np.uint8)
    path = tmp_path / f"a{ending}"
    if ending == ".tif":
        entry = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, numbers, photometric="minisblack", extratags=[entry])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(numbers).save(path, exif=exif)
    read = read_label if label else read_volume
    if orientation == 1:
        np.testing.assert_array_equal(read(path).array[0], numbers.T)
        return
    for reader in (read, read_geometry):
        with pytest.raises(DataError, match=f"viewers turn; found orientation {orientation}"):
            reader(path)
