"""Each value of dataset.json, of whatever kind, is understood or refused by name, by whoever reads it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import load_cohort
from semivox.cohort.fits import Task
from semivox.cohort.segments import segments_of_classes
from semivox.commands.check import check
from semivox.commands.import_data import import_data
from semivox.errors import DataError, SettingsError

KINDS = (None, True, -1, 0.5, "", "x", [], [[]], [None], ["x", "x"], {}, {"x": []})
PAIR = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
FULL = {
    "name": "made up",
    "licence": "none",
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "organ"},
    "file_ending": ".nii.gz",
    "training": [PAIR],
    "test": ["./imagesTs/b.nii.gz"],
    "may_be_empty": ["organ"],
    "spacing_known": True,
    "codes": {"organ": {"value": "1", "scheme": "SCT", "meaning": "x"}},
    "colours": {"organ": [1, 2, 3]},
    "inferred": ["classes"],
    "numbered": False,
}
OF_REGIONS = {
    "labels": {"background": 0, "all": [1, 2], "part": 2, "ignore": 3},
    "regions_class_order": [1, 2],
    "channel_names": ["MRI"],
    "may_be_empty": [2],
}


def changed(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(place, value) of everything below."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*place, key), value
        yield from changed(value, (*place, key))


def damaged(tree: dict[str, Any], keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place in [place for place, _ in changed(tree) if place[0] in keys]:
        for value in (*KINDS, "left out"):
            one = copy.deepcopy(tree)
            parent = one
            for key in place[:-1]:
                parent = parent[key]
            if value == "left out":
                del parent[place[-1]]
            else:
                parent[place[-1]] = value
            yield f"{'.'.join(map(str, place))} = {value!r}", one


@pytest.fixture
def msd(tmp_path: Path) -> Path:
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "msd" / name).mkdir(parents=True)
        scan = nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4))
        nib.save(scan, tmp_path / "msd" / name / "a.nii.gz")
    return tmp_path / "msd"


@pytest.mark.parametrize("keys", [FULL, OF_REGIONS], ids=["classes", "regions"])
def test_every_value_is_understood_or_refused_by_name(keys: dict[str, Any], msd: Path) -> None:
    told = []
    for number, (what, one) in enumerate(damaged(FULL | keys, keys)):
        (msd / "dataset.json").write_text(json.dumps(one))
        for read in (_use, lambda folder, n=number: _import(folder, folder.parent / f"out{n}")):
            try:
                read(msd)
            except (DataError, SettingsError) as error:
                told.append(str(error))
            except Exception as error:
                raise AssertionError(what) from error
    assert len(told) > 50
    assert [text for text in told if str(msd) not in text or "Remedy: " not in text] == []


def _use(folder: Path) -> None:
    """What everybody does with what it says."""
    check(folder)
    cohort = load_cohort(folder)
    assert len({str(Task.of(cohort)), cohort.inferred}) == 2
    assert all(isinstance(name, str) for name in (*cohort.channels, *cohort.classes.values()))
    assert len(segments_of_classes(cohort.structures, cohort.codes, cohort.colours)) == len(cohort.structures)


def _import(folder: Path, out: Path) -> None:
    import_data("msd", folder, out)
    assert load_cohort(out).cases, "what is imported can be read"


def test_an_imported_folder_means_what_its_source_meant(msd: Path) -> None:
    for number, tree in enumerate((FULL, FULL | OF_REGIONS)):
        (msd / "dataset.json").write_text(json.dumps(tree))
        out = msd.parent / f"same{number}"
        import_data("msd", msd, out)
        there, here = load_cohort(msd), load_cohort(out)
        for name in ("classes", "regions", "ignore", "channels"):
            assert getattr(there, name) == getattr(here, name)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 255, "cell": 0}, {"cell": 0, "Background": 255}, {"background": 1, "cell": 2},
        {"255": "background", "0": "cell"}, {"0": "cell", "1": " BACKGROUND "},
        {"background": [3], "cell": 0},
        {"background": [0, 3], "cell": [1, 2], "part": 2}, {"background": 3, "cell": [1, 2], "part": 2},
        {"background": 255, "cell": 1, "ignore": 2}, {"background": [], "cell": 1, "nothing": 0},
        {"background": 0, "Background": 1},
    ],
)  # fmt: skip
def test_background_is_0_and_nothing_else(labels: dict[str, Any], msd: Path) -> None:
    regions = {"regions_class_order": [1, 2]} if "part" in labels else {}
    (msd / "dataset.json").write_text(json.dumps(FULL | regions | {"labels": labels, "may_be_empty": []}))
    with pytest.raises(DataError, match=r"dataset\.json.*ackground") as error:
        load_cohort(msd)
    if [] not in labels.values():
        assert error.value.fault == "the background has another value than 0"
        assert '"background": 0' in str(error.value.expected)
        assert "0 into the label files" in str(error.value.remedy)


@pytest.mark.parametrize(
    ("labels", "classes", "ignore"),
    [
        ({"background": 0, "cell": 255}, {255: "cell"}, None),
        ({"Background": [0], "cell": [255]}, {255: "cell"}, None),
        ({"bg": 0, "cell": 1, "ignore": 2}, {1: "cell"}, 2),
        ({"not the background": 0, "cell": 1}, {1: "cell"}, None),
        ({"0": "nothing", "1": "background noise"}, {1: "background noise"}, None),
        ({"cell": 1, "other": 2}, {1: "cell", 2: "other"}, None),
        ({"air": 0, "all": [1, 2], "part": 2, "ignore": 3}, {1: "all", 2: "part"}, 3),
    ],
)
def test_what_has_0_may_be_called_as_one_likes(
    labels: dict[str, Any], classes: dict[int, str], ignore: int | None, msd: Path
) -> None:
    regions = {"regions_class_order": [1, 2]} if "part" in labels else {}
    keys = FULL | regions | {"labels": labels, "may_be_empty": [], "codes": {}, "colours": {}}
    (msd / "dataset.json").write_text(json.dumps(keys))
    cohort = load_cohort(msd)
    assert (dict(cohort.structures), cohort.ignore) == (classes, ignore)
