"""NRRD and MetaImage are read by their published definitions; SimpleITK reads the same of sound files."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.cohort import read_geometry, read_volume
from semivox.errors import DataError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NRRD_TYPES = {"uchar": "u1", "signed char": "i1", "int16_t": "i2", "unsigned short": "u2", "int": "i4",
              "uint32": "u4", "long long": "i8", "uint64_t": "u8", "float": "f4", "double": "f8"}  # fmt: skip
MET_TYPES = {"MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
             "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}  # fmt: skip


def same_as_simpleitk(path: Path) -> None:
    """Voxels, type and place, of the file and of its header alone."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    vector = image.GetNumberOfComponentsPerPixel() > 1
    expected = np.moveaxis(array, -1, 0) if vector else array[None]
    if image.GetDimension() == 4:
        expected = expected[0]
    expected = expected.transpose(0, *range(expected.ndim - 1, 0, -1))
    dims = image.GetDimension()
    kept = min(dims, 3)
    lps = np.eye(4)
    axes = np.reshape(image.GetDirection(), (dims, dims)) * image.GetSpacing()
    lps[:kept, :kept], lps[:kept, 3] = axes[:kept, :kept], image.GetOrigin()[:kept]
    volume, geometry = read_volume(path), read_geometry(path)
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.array.dtype == expected.dtype == geometry.dtype
    assert volume.array.dtype.isnative
    assert volume.array.flags.c_contiguous
    assert (geometry.shape, geometry.channels) == (volume.shape, volume.channels)
    scale = 1.0
    if volume.spacing_status == "known":
        scale = volume.voxel_edges[0] / np.linalg.norm(lps[:3, 0])  # the unit, which SimpleITK passes over
    np.testing.assert_allclose(volume.affine[:3], (LPS_TO_RAS @ lps)[:3] * scale, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(volume.affine, geometry.affine)


def numbers(rng: np.random.Generator, code: str, order: str, sizes: list[int]) -> bytes:
    made = rng.integers(0, 100, int(np.prod(sizes)))
    return made.astype(np.dtype(code).newbyteorder(order)).tobytes()


def rotation(rng: np.random.Generator, dims: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(dims, dims)))[0] * rng.uniform(0.3, 4, dims)


def nrrd(folder: Path, seed: int) -> Path:
    """A sound NRRD of any sort."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(2, 4))
    sizes = rng.integers(2, 6, dims).tolist()
    components = int(rng.choice([1, 3]))
    first = bool(rng.integers(2))
    name = rng.choice(list(NRRD_TYPES))
    order, newline = rng.choice(["little", "big"]), rng.choice(["\n", "\r\n"])
    lines = ["NRRD000" + str(rng.integers(1, 6)), "# made by hand", f"type: {name}", "name:=of a study"]
    kinds = ["domain"] * dims
    channel = []
    if components > 1:
        kinds.insert(0 if first else dims, str(rng.choice(["vector", "list", "RGB-color"])))
        sizes.insert(0 if first else dims, components)
        channel = ["none"]
    lines += [f"dimension: {len(sizes)}", f"sizes: {' '.join(map(str, sizes))}"]
    lines += ["kinds: " + " ".join(kinds)] if components > 1 else []
    place = rng.integers(4)
    if place == 0:
        space = str(rng.choice(["LPS", "right-anterior-superior", "LAS", "scanner-xyz"])) if dims == 3 else ""
        vectors = ["(" + ",".join(f"{v:.17g}" for v in axis) + ")" for axis in rotation(rng, dims).T]
        lines += [f"space: {space}" if space else f"space dimension: {dims}"]
        lines += ["space directions: " + " ".join([*(channel if first else []), *vectors,
                                                  *(channel if not first else [])])]  # fmt: skip
        lines += ["space origin: (" + ",".join(f"{v:.6g}" for v in rng.normal(size=dims) * 50) + ")"]
    elif place == 1:
        edges = [f"{v:.6g}" for v in rng.uniform(0.2, 5, dims)]
        edges = ["nan" * (components > 1), *edges] if first else [*edges, "nan" * (components > 1)]
        lines += ["spacings: " + " ".join(filter(None, edges))]
    data = numbers(rng, NRRD_TYPES[name], "<" if order == "little" else ">", sizes)
    encoding = rng.choice(["raw", "gzip", "ascii"])
    lines += [f"encoding: {encoding}", f"endian: {order}"]
    if encoding == "gzip":
        data = gzip.compress(data)
    elif encoding == "ascii":
        made = np.frombuffer(data, np.dtype(NRRD_TYPES[name]).newbyteorder("<" if order == "little" else ">"))
        data = " ".join(map(str, made.tolist())).encode()
    return written(folder, ".nrrd", ".nhdr", "data file: ", newline.join([*lines, ""]), newline, data, rng)


def metaimage(folder: Path, seed: int) -> Path:
    """A sound MetaImage of any sort."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(2, 5))
    sizes = rng.integers(2, 6, dims).tolist()
    components = int(rng.choice([1, 3])) if dims < 4 else 1
    name, big = rng.choice(list(MET_TYPES)), bool(rng.integers(2))
    lines = ["ObjectType = Image", f"NDims = {dims}", "BinaryData = True", "Comment = a: b"]
    lines += [f"DimSize = {' '.join(map(str, sizes))}"]
    lines += [f"{rng.choice(['BinaryDataByteOrderMSB', 'ElementByteOrderMSB'])} = {big}"]
    if components > 1:
        lines += [f"ElementNumberOfChannels = {components}"]
    edges = rng.choice(["ElementSpacing", "ElementSize", ""])
    if edges:
        lines += [f"{edges} = {' '.join(f'{v:.6g}' for v in rng.uniform(0.2, 5, dims))}"]
    if rng.integers(2):
        matrix = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
        if dims == 4:
            matrix = np.eye(4)
        matrix_name = rng.choice(["TransformMatrix", "Rotation", "Orientation"])
        lines += [f"{matrix_name} = {' '.join(f'{v:.17g}' for v in matrix.ravel())}"]
    if rng.integers(2):
        place = rng.choice(["Offset", "Position", "Origin"])
        lines += [f"{place} = {' '.join(f'{v:.6g}' for v in rng.normal(size=dims) * 50)}"]
    lines += [f"ElementType = {name}"]
    data = numbers(rng, MET_TYPES[name], ">" if big else "<", [components, *sizes])
    if rng.integers(2):
        data = zlib.compress(data)
        lines += ["CompressedData = True", f"CompressedDataSize = {len(data)}"]
    return written(folder, ".mha", ".mhd", "ElementDataFile = ", "\n".join([*lines, ""]), "", data, rng)


def written(
    folder: Path,
    whole: str,
    header: str,
    named: str,
    text: str,
    blank: str,
    data: bytes,
    rng: np.random.Generator,
) -> Path:
    """With its voxels behind the header, or in a file beside it."""
    if rng.integers(2):
        path = folder / f"a{header}"
        path.write_bytes(text.encode() + f"{named}voxels.bin{blank or chr(10)}".encode())
        (folder / "voxels.bin").write_bytes(data)
        return path
    path = folder / f"a{whole}"
    path.write_bytes(text.encode() + (blank or f"{named}LOCAL\n").encode() + data)
    return path


@pytest.mark.parametrize("make", [nrrd, metaimage])
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_sound_header_is_read_as_simpleitk_reads_it(tmp_path_factory, make, seed):
    same_as_simpleitk(make(tmp_path_factory.mktemp("text"), seed))


ARRAY = np.arange(60, dtype=np.uint16)


def mha(*lines: str, data: bytes = ARRAY.tobytes(), named: str = "LOCAL") -> bytes:
    head = ["ObjectType = Image", "NDims = 3", "DimSize = 5 4 3", "ElementType = MET_USHORT", *lines]
    if not any(line.startswith("BinaryData ") for line in lines):
        head.append("BinaryData = True")
    return "\n".join([*head, f"ElementDataFile = {named}", ""]).encode() + data


def nhdr(*lines: str, data: bytes = ARRAY.tobytes(), sizes: str = "5 4 3", encoding: str = "raw") -> bytes:
    head = [
        "NRRD0004",
        "type: uint16",
        f"dimension: {len(sizes.split())}",
        f"sizes: {sizes}",
        "endian: little",
    ]
    return "\n".join([*head, f"encoding: {encoding}", *lines, "", ""]).encode() + data


def test_voxels_in_a_list_or_a_series_of_files(tmp_path):
    for z in range(3):
        (tmp_path / f"slice{z + 1:02d}.raw").write_bytes(ARRAY[20 * z : 20 * (z + 1)].tobytes())
    names = "".join(f"slice{z:02d}.raw\n" for z in (1, 2, 3)).encode()
    ways = {
        "list.mhd": mha(named="LIST", data=names),
        "series.mhd": mha(named="slice%02d.raw 1 3 1", data=b""),
        "list.nhdr": nhdr("data file: LIST", data=b"")[:-1] + names,
        "series.nhdr": nhdr("data file: slice%02d.raw 1 3 1", data=b""),
    }
    for name, content in ways.items():
        (tmp_path / name).write_bytes(content)
        same_as_simpleitk(tmp_path / name)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array.ravel("F"), ARRAY)


def test_text_bzip2_and_voxels_at_the_files_end(tmp_path):
    text = " ".join(map(str, ARRAY)).encode()
    ways = {
        "a.mha": mha("BinaryData = False", data=text),
        "b.mha": mha("HeaderSize = -1", data=b"padding" + ARRAY.tobytes()),
        "c.nrrd": nhdr("byte skip: -1", data=b"padding" + ARRAY.tobytes()),
        "d.nrrd": nhdr("line skip: 1", "byte skip: 2", data=b"a line\n--" + ARRAY.tobytes()),
        "e.nrrd": nhdr(encoding="bzip2", data=bz2.compress(ARRAY.tobytes())),
    }
    for name, content in ways.items():
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array.ravel("F"), ARRAY, err_msg=name)


@pytest.mark.parametrize(
    ("directions", "kinds"),
    [
        ("none (2,0,0) (0,2,0) (0,0,3)", ""),
        ("(2,0,0) (0,2,0) (0,0,3) none", ""),
        ("(2,0,0) (0,2,0) (0,0,3) none", "kinds: domain domain domain time"),
        ("none (2,0,0) (0,2,0) (0,0,3)", "kinds: list domain domain domain"),
    ],
)
def test_an_axis_without_a_direction_is_the_channels(tmp_path, directions, kinds):
    sizes = "2 5 2 3" if directions.startswith("none") else "5 2 3 2"
    lines = [line for line in ("space: LPS", f"space directions: {directions}", kinds) if line]
    (tmp_path / "a.nrrd").write_bytes(nhdr(*lines, sizes=sizes))
    volume = read_volume(tmp_path / "a.nrrd")
    assert (volume.channels, volume.shape, volume.spacing_mm) == (2, (5, 2, 3), (2, 2, 3))
    flat = ARRAY.reshape([*map(int, sizes.split())], order="F")
    np.testing.assert_array_equal(volume.array, np.moveaxis(flat, -1 if sizes[0] == "5" else 0, 0))


def test_a_slice_keeps_its_place_in_space(tmp_path):
    lines = ("space: LPS", "space directions: (2,0,0) (0,0,3)", "space origin: (1,2,3)")
    (tmp_path / "a.nrrd").write_bytes(nhdr(*lines, sizes="5 12"))
    affine = read_volume(tmp_path / "a.nrrd").affine
    np.testing.assert_array_equal(affine[:, [0, 1, 3]], [[-2, 0, -1], [0, 0, -2], [0, 3, 3], [0, 0, 1]])


@pytest.mark.parametrize("name", ["../voxels.raw", "/etc/hostname", "sub/voxels.raw", "..", "missing.raw"])
def test_voxels_that_do_not_lie_beside_the_header_are_refused_by_name(tmp_path, name):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder / "sub"):
        (place / "voxels.raw").write_bytes(ARRAY.tobytes())
    (folder / "a.mhd").write_bytes(mha(named=name, data=b""))
    (folder / "a.nhdr").write_bytes(nhdr(f"data file: {name}", data=b""))
    for path in (folder / "a.mhd", folder / "a.nhdr"):
        with pytest.raises(DataError, match="of its voxels is missing|does not lie beside it"):
            read_volume(path)


BROKEN = {
    "a.mha": [
        ("NDims = 3", "NDims = 7"), ("NDims = 3", "NDims = 3 3"), ("NDims = 3", ""),
        ("DimSize = 5 4 3", "DimSize = 5 4"), ("DimSize = 5 4 3", "DimSize = 5 0 3"),
        ("DimSize = 5 4 3", "DimSize = -5 -4 3"), ("DimSize = 5 4 3", "DimSize = 5 4 3e0"),
        ("DimSize = 5 4 3", "DimSize = 5 4 4"), ("DimSize = 5 4 3", "DimSize = " + "9" * 30 + " 4 3"),
        ("MET_USHORT", "MET_OTHER"), ("MET_USHORT", "MET_STRING"), ("= Image", "= Tube"),
        ("BinaryData = True", "BinaryData = perhaps"), ("NDims = 3", "NDims = 3\nNDims = 2"),
        ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 0"), ("NDims = 3", "NDims = 3\nHeaderSize = -7"),
        ("NDims = 3", "NDims = 3\nTransformMatrix = 1 0 0"), ("LOCAL", "LIST"),
        ("LOCAL", "a%d.raw 1 999999999 1"), ("ElementDataFile", "DataFile"),
    ],
    "a.nrrd": [
        ("dimension: 3", "dimension: 17"), ("dimension: 3", "dimension: 0"), ("dimension: 3", ""),
        ("sizes: 5 4 3", "sizes: 5 4"), ("sizes: 5 4 3", "sizes: 5 4 -3"), ("sizes: 5 4 3", "sizes: 5 4 4"),
        ("sizes: 5 4 3", f"sizes: 5 4 {'9' * 25}"), ("uint16", "block"), ("uint16", "uint128"),
        ("encoding: raw", "encoding: zrl"), ("endian: little", "endian: middle"), ("endian: little\n", ""),
        ("endian: little", "byte skip: -5\nendian: little"), ("endian: little", "kinds: a\nendian: little"),
        ("endian: little", "space: nowhere\nendian: little"), ("NRRD0004", "NRRD004"),
        ("endian: little", "space dimension: 99\nspace directions: none\nendian: little"),
        ("endian: little", "space: LPS\nspace directions: (1,0) (0,1) (1,1)\nendian: little"),
        ("endian: little", "spacings: 1 x 1\nendian: little"), ("\n\n", "\n"),
        ("endian: little", "kinds: vector vector domain\nendian: little"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_header_that_makes_no_sense_is_an_error_that_names_the_file(tmp_path, name):
    sound = mha() if name.endswith("mha") else nhdr()
    path = tmp_path / name
    for old, new in BROKEN[name]:
        assert old.encode() in sound, old
        path.write_bytes(sound.replace(old.encode(), new.encode(), 1))
        with pytest.raises(DataError) as caught:
            read_volume(path)
        assert caught.value.path == path, new
    path.write_bytes(sound)
    np.testing.assert_array_equal(read_volume(path).array.ravel("F"), ARRAY)
