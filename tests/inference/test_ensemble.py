"""Several runs as one: the mean of their probabilities on the scan's own grid, whatever theirs are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort.formats import read_volume
from semivox.commands.predict import predict
from semivox.errors import DataError, SettingsError
from semivox.inference import Ensemble, Model, load_ensemble, load_model
from semivox.inference.ensemble import write_ensemble
from semivox.inference.native_grid import mean_of
from semivox.inference.ranges import joined_ranges

FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
OBLIQUE = np.array([[0, 1.1, 0, 5], [-0.9, 0, 0.2, 3], [0, 0.1, 2.0, -8], [0, 0, 0, 1.0]])
"""Of a scan whose axes are neither in the order nor in the direction of the patient's."""


def edit(run: Path, **changes: Any) -> Path:
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**card, **changes}))
    return run


@pytest.mark.parametrize("values", [(1,), (2, 5)])
def test_runs_of_unlike_plans_are_averaged_on_the_scans_grid(values, make_run, save_scan) -> None:
    """Spacing, order of axes and network differ; the slow version holds every map of the scan's grid."""
    scan = save_scan("scan.nii.gz", (21, 14, 12), affine=OBLIQUE)
    runs = [
        make_run(name="fine", values=values, spacing=(1.0,) * 3),
        make_run(name="coarse", values=values, spacing=(2.5,) * 3, axes=(2, 0, 1), seed=8),
        make_run(name="third", values=values, spacing=(1.0,) * 3, seed=9),
    ]
    ensemble = load_ensemble(runs, **FP32)
    alone = [load_model(run, **FP32).predict(scan, probabilities=True).probabilities for run in runs]
    found = ensemble.predict(scan, probabilities=True, uncertainty=True)
    slow = np.mean([each for each in alone if each is not None], 0)
    np.testing.assert_allclose(found.probabilities, slow, atol=2e-6)
    expected = np.array([0, *values])[slow.argmax(0)]
    assert (found.mask == expected).mean() > 0.999
    assert set(np.unique(expected)) == {0, *values}
    assert np.isfinite(found.uncertainty).all()
    volume = read_volume(scan)
    assert len(mean_of(ensemble.find(volume), 3)[1]) == 2  # runs of one grid are one map of memory


def test_one_run_is_its_model_and_two_have_another_name(make_run) -> None:
    one, two = make_run(name="one"), make_run(name="two", seed=8)
    assert isinstance(load_ensemble(one, **FP32), Model)
    both, turned = load_ensemble([one, two], **FP32), load_ensemble([two, one], **FP32)
    assert isinstance(both, Ensemble)
    assert both.model_id == turned.model_id
    assert both.model_id not in {load_model(run, **FP32).model_id for run in (one, two)}
    assert [run["model_id"] for run in both.runs] == [load_model(r, **FP32).model_id for r in (one, two)]


def test_a_folder_of_runs_stands_for_them(make_run, tmp_path: Path) -> None:
    folder = tmp_path / "folds"
    for i in range(2):
        made = make_run(name=f"made{i}", seed=i)
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        made.rename(folder / "cells" / str(i))
    write_ensemble(folder, ["cells/0", "cells/1"])
    members = [load_model(folder / "cells" / str(i), **FP32).model_id for i in range(2)]
    assert [run["model_id"] for run in load_ensemble(folder, **FP32).runs] == members
    write_ensemble(folder, ["../made0"])
    with pytest.raises(DataError, match="bare name"):
        load_ensemble(folder)


def test_runs_of_other_tasks_are_refused(make_run) -> None:
    run = make_run()
    for name, changes in {
        "classes": {"values": (2,)},
        "channels": {"channels": 2},
        "dimensions": {"dims": 2},
    }.items():
        other = make_run(name=name, **changes)
        with pytest.raises(DataError, match=rf"{name}: the runs have other {name} and cannot be averaged"):
            load_ensemble([run, other], **FP32)
    with pytest.raises(SettingsError, match="a run is given twice"):
        load_ensemble([run, run], **FP32)


def test_mirror_images_are_averaged_along_the_axes_of_training(make_run, save_scan) -> None:
    scan = save_scan("scan.nii.gz", (16, 20, 12))  # multiples: no padding that a mirror image has elsewhere
    run = edit(make_run(values=(1, 2), spacing=(1.0,) * 3, patch=(32,) * 3), mirror_axes=[0, 2])
    plain = load_model(run, **FP32)
    volume = read_volume(scan)
    views = []
    for axes in ((), (0,), (2,)):
        flipped = nib.Nifti1Image(np.flip(volume.array[0], axes).copy(), volume.affine)
        nib.save(flipped, scan.with_name("view.nii.gz"))
        probs = plain.predict(scan.with_name("view.nii.gz"), probabilities=True).probabilities
        views.append(np.flip(probs, [1 + axis for axis in axes]))
    found = load_model(run, **FP32, tta=True).predict(scan, probabilities=True)
    np.testing.assert_allclose(found.probabilities, np.mean(views, 0), atol=2e-6)
    assert np.abs(views[1] - views[0]).max() > 0.1


def test_no_mirror_image_that_training_has_not_seen(make_run) -> None:
    run = make_run()
    with pytest.raises(SettingsError, match="training mirrored no crops"):
        load_model(run, **FP32, tta=True)
    card = json.loads((run / "model.json").read_text())
    del card["mirror_axes"]
    (run / "model.json").write_text(json.dumps(card))
    with pytest.raises(SettingsError, match=r"does not say.*--resume"):
        load_model(run, **FP32, tta=True)
    edit(run, mirror_axes=[0, 3])
    with pytest.raises(DataError, match="mirror_axes"):
        load_model(run, **FP32)


def test_only_what_every_run_saw_in_one_piece_is_cleaned(make_run) -> None:
    from semivox.prepare.plan import ClassPlan

    def classes(*one_piece: bool) -> tuple[ClassPlan, ...]:
        return tuple(ClassPlan(k, f"class{k}", 9, 1.0, one) for k, one in enumerate(one_piece, 1))

    runs = [
        make_run(name="a", values=(1, 2), classes=classes(True, True), together=True),
        make_run(name="b", values=(1, 2), classes=classes(False, True), together=False, seed=8),
    ]
    plan = load_ensemble(runs, **FP32).plan
    assert plan.in_one_piece == (2,)
    assert not plan.together


def test_what_was_usual_in_any_training_is_usual() -> None:
    def training(low: float, size: list[float] | None) -> dict[str, Any]:
        row = {"present": low, "border_contact": low, "size": size, "components": size}
        bounds = {name: [low, low + 1] for name in ("low", "mean", "high")}
        return {"spacing_mm": [[low, 2.0]], "intensity": [bounds], "classes": {"1": row}}

    joined = joined_ranges([training(0.5, None), None, training(1.0, [3.0, 4.0])])
    assert joined == {
        "placed": None,  # older cards do not tell
        "spacing_mm": [[0.5, 2.0]],
        "intensity": [{name: [0.5, 2.0] for name in ("low", "mean", "high")}],
        "classes": {"1": {"present": 0.5, "border_contact": 1.0, "size": [3, 4], "components": [3, 4]}},
    }
    assert joined_ranges([None, None]) is None


def test_the_record_says_which_runs_and_views_made_a_mask(make_run, save_scan, tmp_path: Path) -> None:
    runs = [edit(make_run(name=name, seed=seed), mirror_axes=[1]) for name, seed in (("a", 1), ("b", 2))]
    scan, out = save_scan("scan.nii.gz"), tmp_path / "out"
    ids = [load_model(run, **FP32).model_id for run in runs]

    def record() -> dict[str, Any]:
        return json.loads((out / "predictions.json").read_text())

    predict(runs, scan, out, tta=True)
    expected = [{"model_id": each, "weights": "teacher", "mirror_axes": [1]} for each in ids]
    assert record()["runs"] == record()["cases"][0]["runs"] == expected
    assert predict(runs[::-1], scan, out, tta=True, skip_existing=True).skipped == ("scan",)
    for again in ({"run": runs}, {"run": runs[0], "tta": True}, {"run": runs[0]}):  # each is other work
        assert predict(**again, paths=scan, out=out, skip_existing=True).skipped == ()
    assert predict(runs[0], scan, out, skip_existing=True).skipped == ("scan",)


@pytest.mark.parametrize("none", [[], (), iter(())])
def test_no_run_is_refused(none: Any, tmp_path: Path) -> None:
    for go in (load_ensemble, lambda runs: predict(runs, tmp_path, tmp_path / "out")):
        with pytest.raises(DataError, match=r"there is no run to predict with; found .*expected .*Remedy"):
            go(none)
