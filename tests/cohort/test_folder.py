import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.cohort.folder import load_cohort, scan_folder
from semivox.errors import DataError

NNUNET = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}


def folder(root: Path, files: str, dataset: dict | None = None, cases_csv: str | None = None) -> Path:
    """A data folder of empty files: nothing here may be opened."""
    for name in files.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if dataset is not None:
        (root / "dataset.json").write_text(json.dumps(dataset))
    if cases_csv is not None:
        (root / "cases.csv").write_text(cases_csv)
    return root


def table(root: Path) -> list[tuple[str, str, str | None]]:
    return [
        (c.name, " ".join(p.name for p in c.images), c.label.name if c.label else None)
        for c in load_cohort(root).cases
    ]


THREE = "imagesTr/a_0000.nii.gz imagesTr/b_0000.nii.gz imagesTr/c_0000.nii.gz labelsTr/b.nii.gz"


# --- layouts -------------------------------------------------------------------------------------------


def test_nnunet_layout_without_opening_a_file(tmp_path):
    more = " imagesUn/z_0000.nii.gz imagesUn/d_0000.nii.gz imagesTs/t_0000.nii.gz imagesTr/._a_0000.nii.gz"
    folder(tmp_path, THREE + more, {**NNUNET, "numTraining": 3, "training": []})
    assert table(tmp_path) == [
        ("a", "a_0000.nii.gz", None),
        ("b", "b_0000.nii.gz", "b.nii.gz"),
        ("c", "c_0000.nii.gz", None),
        ("d", "d_0000.nii.gz", None),
        ("z", "z_0000.nii.gz", None),
    ]
    cohort = load_cohort(tmp_path)
    assert (cohort.channels, dict(cohort.classes), cohort.ignore) == (("T1",), {1: "organ"}, None)
    assert [c.patient for c in cohort.cases] == ["a", "b", "c", "d", "z"]
    assert cohort.spacing_known


def test_channel_files_are_grouped(tmp_path):
    folder(
        tmp_path,
        "imagesTr/a_b_0001.nrrd imagesTr/a_b_0000.nrrd imagesTr/c_0000.nrrd imagesTr/c_0001.nrrd",
        {**NNUNET, "channel_names": {"1": "T2", "0": "T1"}, "file_ending": ".nrrd"},
    )
    assert table(tmp_path) == [
        ("a_b", "a_b_0000.nrrd a_b_0001.nrrd", None),
        ("c", "c_0000.nrrd c_0001.nrrd", None),
    ]
    assert load_cohort(tmp_path).channels == ("T1", "T2")


@pytest.mark.parametrize("suffix", ["_0000", ""])
def test_an_rgb_png_is_one_file_with_three_channels(tmp_path, suffix):
    rgb = {**NNUNET, "channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ".png"}
    folder(tmp_path, f"imagesTr/a{suffix}.png imagesTr/b{suffix}.png labelsTr/a.png", rgb)
    assert table(tmp_path) == [("a", f"a{suffix}.png", "a.png"), ("b", f"b{suffix}.png", None)]


@pytest.mark.parametrize(
    "files",
    [
        "imagesTr/a_0000.nii.gz imagesTr/a_0001.nii.gz imagesTr/b_0000.nii.gz",  # b lacks the second
        "imagesTr/a_0000.nii.gz imagesTr/a_0001.nii.gz imagesTr/b_0001.nii.gz",  # b lacks the first
        "imagesTr/b_0000.nii.gz imagesTr/b_0001.nii.gz imagesTr/b_0002.nii.gz",  # b has too many
    ],
)
def test_missing_or_surplus_channel_files(tmp_path, files):
    folder(tmp_path, files, {**NNUNET, "channel_names": {"0": "T1", "1": "T2"}})
    with pytest.raises(DataError, match="channel files") as caught:
        load_cohort(tmp_path)
    assert "'b'" in str(caught.value)
    assert caught.value.found
    assert caught.value.remedy
    (tmp_path / "cases.csv").write_text("case,use\nb,no\n")
    assert all(c.name == "a" for c in load_cohort(tmp_path).cases) or "imagesTr/a" not in files


def test_msd_pairs_and_old_labels(tmp_path):
    folder(
        tmp_path,
        "imagesTr/p2.nii.gz imagesTr/p1.nii.gz imagesTr/q.nii.gz imagesUn/u.nii.gz "
        "labelsTr/p1.nii.gz labelsTr/p2.nii.gz",
        {
            "modality": {"0": "FLAIR", "1": "T1"},
            "labels": {"0": "background", "2": "core", "1": "edema"},
            "training": [
                {"image": "./imagesTr/p2.nii.gz", "label": "./labelsTr/p2.nii.gz"},
                {"image": "./imagesTr/p1.nii.gz", "label": "./labelsTr/p1.nii.gz"},
                "./imagesTr/q.nii.gz",
            ],
            "test": ["./imagesTs/t.nii.gz"],
        },
    )
    assert table(tmp_path) == [
        ("p1", "p1.nii.gz", "p1.nii.gz"),
        ("p2", "p2.nii.gz", "p2.nii.gz"),
        ("q", "q.nii.gz", None),
        ("u", "u.nii.gz", None),
    ]
    cohort = load_cohort(tmp_path)
    assert list(cohort.classes.items()) == [(1, "edema"), (2, "core")]
    assert cohort.channels == ("FLAIR", "T1")
    (tmp_path / "labelsTr" / "p1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"p1.*no such file"):
        load_cohort(tmp_path)


def test_old_nnunet_lists_cases_but_numbers_files(tmp_path):
    files = "imagesTr/p_0000.nii.gz imagesTr/p_0001.nii.gz labelsTr/p.nii.gz"
    pairs = [{"image": "./imagesTr/p.nii.gz", "label": "./labelsTr/p.nii.gz"}]
    folder(
        tmp_path, files, {"modality": {"0": "A", "1": "B"}, "labels": {"0": "x", "1": "y"}, "training": pairs}
    )
    assert table(tmp_path) == [("p", "p_0000.nii.gz p_0001.nii.gz", "p.nii.gz")]


def picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def plain_folder(root: Path) -> Path:
    for name in ("b_0001", "a_0000", "c_0002"):
        picture(root / "images" / f"{name}.png", np.zeros((4, 5, 3)))
    label = np.zeros((4, 5))
    label[0, 0] = 255
    picture(root / "labels" / "a_0000.png", label)
    label[0, 1] = 3
    picture(root / "labels" / "b_0001.png", label)
    return root


def test_plain_folders_take_their_classes_from_the_labels(tmp_path):
    cohort = load_cohort(plain_folder(tmp_path))
    assert [(c.name, c.label is not None) for c in cohort.cases] == [
        ("a_0000", True),
        ("b_0001", True),
        ("c_0002", False),
    ]
    assert dict(cohort.classes) == {3: "class_3", 255: "class_255"}
    assert len(cohort.channels) == 3


def test_plain_folders_open_only_the_labels_that_the_run_may_use(tmp_path):
    plain_folder(tmp_path)
    (tmp_path / "cases.csv").write_text("case\na_0000\nb_0001\nc_0002\n")
    expected = load_cohort(tmp_path, labeled="1")
    assert dict(expected.classes) == {255: "class_255"}
    (tmp_path / "labels" / "b_0001.png").write_bytes(b"garbage")
    assert load_cohort(tmp_path, labeled="1") == expected


def test_plain_folders_with_a_grey_picture_as_label(tmp_path):
    picture(tmp_path / "images" / "a.png", np.zeros((20, 20)))
    picture(tmp_path / "labels" / "a.png", np.arange(400).reshape(20, 20) % 256)
    with pytest.raises(DataError, match=r"255 values beside 0.*dataset\.json"):
        load_cohort(tmp_path)


def test_plain_folders_with_a_dataset_json_open_nothing(tmp_path):
    folder(tmp_path, "images/a.nrrd labels/a.nii.gz images/b.nrrd", {**NNUNET, "file_ending": ".nrrd"})
    assert table(tmp_path) == [("a", "a.nrrd", "a.nii.gz"), ("b", "b.nrrd", None)]


def test_duplicate_names(tmp_path):
    folder(tmp_path, THREE + " imagesUn/a_0000.nii.gz", NNUNET)
    with pytest.raises(DataError, match="duplicate name"):
        load_cohort(tmp_path)


def test_duplicate_names_in_plain_folders(tmp_path):
    folder(tmp_path, "images/a.png images/a.tif labels/b.png labels/b.tif images/b.png", NNUNET)
    faults = [(case, error.fault.split(":")[0]) for case, error in scan_folder(tmp_path).errors]
    assert faults == [("a", "duplicate name"), ("b", "duplicate name")]


@pytest.mark.parametrize("files", ["readme.txt", "imagesTr/a_0000.nii.gz"])
def test_not_a_data_folder(tmp_path, files):
    with pytest.raises(DataError, match=r"not a data folder.*dataset\.json"):
        load_cohort(folder(tmp_path, files))
    with pytest.raises(DataError, match="no such folder"):
        load_cohort(tmp_path / "nowhere")


def test_no_images_or_another_ending(tmp_path):
    folder(tmp_path, "imagesTr/note.txt", NNUNET)
    with pytest.raises(DataError, match="no images"):
        load_cohort(tmp_path)
    folder(tmp_path, "imagesTr/a_0000.mha")
    with pytest.raises(DataError, match=r"declared file ending; found a_0000\.mha; expected .*\.nii\.gz"):
        load_cohort(tmp_path)


def test_labels_without_images_are_told(tmp_path):
    folder(tmp_path, THREE + " labelsTr/x.nii.gz", NNUNET)
    warnings = scan_folder(tmp_path).warnings
    assert [(e.fault, Path(str(e.path)).name) for _, e in warnings] == [
        ("a label without an image", "x.nii.gz")
    ]


# --- cases.csv -----------------------------------------------------------------------------------------


def test_cases_csv_orders_and_describes(tmp_path):
    folder(
        tmp_path,
        THREE,
        {**NNUNET, "labels": {"background": 0, "left atrium": 1, "wall": 2}},
        "case,patient,annotated,role,use,comment\n"
        "c,p7,left atrium;2,,yes,x\n\na,,wall,unlabeled,,\nb,p7,,test,no,\n",
    )
    first, second = load_cohort(tmp_path).cases
    assert (first.name, first.patient, first.annotated, first.role) == ("c", "p7", (1, 2), "")
    assert (second.name, second.patient, second.annotated, second.role) == ("a", "a", (2,), "unlabeled")


@pytest.mark.parametrize(
    ("cell", "values"), [("", None), ("wall", (2,)), ("wall organ", (1, 2)), ("1;2", (1, 2)), ("2", (2,))]
)
def test_annotated(tmp_path, cell, values):
    labels = {"background": 0, "organ": 1, "wall": 2}
    folder(tmp_path, "imagesTr/a_0000.nii.gz", {**NNUNET, "labels": labels}, f"case,annotated\na,{cell}\n")
    assert load_cohort(tmp_path).cases[0].annotated == values


def test_unlisted_cases_come_last_with_a_warning(tmp_path):
    folder(tmp_path, THREE, NNUNET, "\ufeffCase;Patient\r\nc;1\r\n")
    assert [(c.name, c.patient) for c in load_cohort(tmp_path).cases] == [("c", "1"), ("a", "a"), ("b", "b")]
    assert [case for case, _ in scan_folder(tmp_path).warnings] == ["a", "b"]


def test_a_listed_case_without_image(tmp_path):
    folder(tmp_path, THREE, NNUNET, "case,use\nghost,\na,\nold,no\n")
    with pytest.raises(DataError, match=r"cases\.csv: 1 listed case.*ghost"):
        load_cohort(tmp_path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("name\na\n", "'case' among them"),
        ("", "'case' among them"),
        ("case\na\na\n", "listed twice"),
        ("case,patient\n,p\n", "names no case"),
        ("case,role\na,train\n", "unknown role"),
        ("case,use\na,maybe\n", "unknown use"),
        ('case,patient\na,"p\nb,p\nc,p\n', "line 2.*quote"),
        ('case,note\na,"dark\nb,q\nc,"late\n', "line 2.*quote"),
        ('case,note\na,"x"y\n', "line 2"),
        ("case,note\na," + 200_000 * "x" + "\n", "line 2"),
        ("case,annotated\na,liver\n", "no declared class.*liver.*organ"),
    ],
)
def test_faults_of_cases_csv(tmp_path, content, fault):
    folder(tmp_path, THREE, NNUNET, content)
    with pytest.raises(DataError, match=fault) as caught:
        load_cohort(tmp_path)
    assert caught.value.path == tmp_path / "cases.csv"
    assert caught.value.expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cases_csv_as_spreadsheets_save_it(tmp_path, encoding, delimiter):
    folder(tmp_path, THREE, NNUNET)
    table = "case,patient\r\nb,Jos\u00e9\r\na,Jos\u00e9\r\n".replace(",", delimiter)
    (tmp_path / "cases.csv").write_bytes(table.encode(encoding))
    if encoding in ("latin-1", "utf-16-le"):  # which one it is cannot be told
        with pytest.raises(DataError, match=r"cases.csv: cannot be read as text.*save it as UTF-8"):
            load_cohort(tmp_path)
    else:
        assert [case.patient for case in load_cohort(tmp_path).cases][:2] == ["Jos\u00e9", "Jos\u00e9"]


# --- dataset.json --------------------------------------------------------------------------------------


def test_our_own_keys(tmp_path):
    folder(
        tmp_path,
        THREE,
        {
            **NNUNET,
            "labels": {"background": 0, "organ": 1, "wall": "2", "ignore": 3},
            "may_be_empty": ["wall", 1],
            "spacing_known": False,
            "codes": {"organ": "SCT:1"},
            "colours": {"organ": [255, 0, 0]},
        },
    )
    cohort = load_cohort(tmp_path)
    assert (dict(cohort.classes), cohort.ignore) == ({1: "organ", 2: "wall"}, 3)
    assert cohort.may_be_empty == (1, 2)
    assert not cohort.spacing_known
    assert (cohort.codes, cohort.colours) == ({"organ": "SCT:1"}, {"organ": [255, 0, 0]})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, "regions"),
        ({"labels": {"background": 0, "organ": 1.5}}, "whole number"),
        ({"labels": {"background": 0, "organ": -1}}, "whole number"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "twice"),
        ({"labels": {"background": 0}}, "no class"),
        ({"labels": None}, "'labels' is missing"),
        ({"channel_names": {"0": "a", "2": "b"}}, "channel_names"),
        ({"file_ending": ".bmp"}, "file_ending"),
        ({"may_be_empty": ["liver"]}, "no declared class"),
        ({"spacing_known": "no"}, "wrong kind"),
        ({"training": [{"picture": "a"}]}, "entry of 'training'"),
    ],
)
def test_faults_of_dataset_json(tmp_path, change, fault):
    folder(tmp_path, THREE, {**NNUNET, **change})
    with pytest.raises(DataError, match=fault) as caught:
        load_cohort(tmp_path)
    assert caught.value.path == tmp_path / "dataset.json"


def test_broken_json(tmp_path):
    folder(tmp_path, THREE)
    (tmp_path / "dataset.json").write_text('{"labels": ')
    with pytest.raises(DataError, match="not readable as JSON"):
        load_cohort(tmp_path)


# --- real and large ------------------------------------------------------------------------------------


def test_two_thousand_cases_load_quickly(tmp_path):
    files = " ".join(f"imagesTr/c{i}_0000.nii.gz labelsTr/c{i}.nii.gz" for i in range(2000))
    folder(tmp_path, files, NNUNET, "case\n" + "\n".join(f"c{i}" for i in range(2000)))
    start = time.process_time()
    cohort = load_cohort(tmp_path)
    assert time.process_time() - start < 1.0
    assert [c.name for c in cohort.cases] == [f"c{i}" for i in range(2000)]


@pytest.mark.parametrize(
    ("name", "cases", "values", "channels", "spacing_known"),
    [("la", 60, (1,), 1, True), ("hippocampus", 150, (1, 2), 1, True), ("acdc", 100, (1, 2, 3), 1, False),
     ("nuclei", 150, (1,), 3, False)],
)  # fmt: skip
def test_real_folders(shared_data, name, cases, values, channels, spacing_known):
    cohort = load_cohort(shared_data / name / "train")
    assert (len(cohort.cases), cohort.values, len(cohort.channels)) == (cases, values, channels)
    assert cohort.spacing_known is spacing_known
    assert all(c.label is not None and len(c.images) == 1 for c in cohort.cases)
    if name == "acdc":
        assert cohort.cases[0].name == "patient099_frame01"  # the published order, not the sorted one
        assert len({c.patient for c in cohort.cases}) == 50
