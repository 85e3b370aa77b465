"""Files of scanners and other programs that pydicom brings along: read as pydicom reads them, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest

from semivox.cohort import read_label, read_volume
from semivox.errors import DataError

FILES = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))
SCANS = (
    "693_J2KI", "CT_small", "J2K_pixelrep_mismatch", "MR_small", "MR_small_RLE", "MR_small_bigendian",
    "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless",
    "MR_small_padded", "examples_overlay",
)  # fmt: skip
"""Single planes with a place; the others are pictures, plans, reports, or damaged."""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, on what is odd about them
def test_each_is_read_as_pydicom_reads_it_or_refused_by_name() -> None:
    read, refused = [], {}
    for path in FILES:
        try:
            scan = read_volume(path)
        except DataError as error:
            refused[path.name] = str(error)
            continue
        read.append(path.stem)
        dataset = pydicom.dcmread(path, force=True)
        slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
        expected = dataset.pixel_array * float(slope) + float(intercept)
        np.testing.assert_array_equal(scan.array[0, :, :, 0].T, expected, err_msg=path.name)
        rows, columns = dataset.PixelSpacing
        np.testing.assert_allclose(scan.voxel_edges[:2], (columns, rows), rtol=1e-6)
        corner = np.diag([-1, -1, 1]) @ scan.affine[:3, 3]
        np.testing.assert_allclose(corner, np.array(dataset.ImagePositionPatient, float), atol=1e-4)
    assert len(FILES) > 60
    assert all(name in said for name, said in refused.items())
    assert set(SCANS) <= set(read)


@pytest.mark.parametrize("name", ["liver_1frame", "liver_expb_1frame"])
def test_a_segmentation_that_lost_frames_is_refused(tmp_path: Path, name: str) -> None:
    [source] = [path for path in FILES if path.stem == name]
    shutil.copy(source, tmp_path / "a.seg.dcm")
    with pytest.raises(DataError, match="frames are missing; found 1 frames for 3 places"):
        read_label(tmp_path / "a.seg.dcm")
