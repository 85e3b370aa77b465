"""The exported model: what is in its files, which weights predict, and the scan's own grid."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from semivox.cohort.formats import read_volume
from semivox.errors import DataError, SettingsError
from semivox.inference import export_model, load_model, load_networks
from semivox.inference.native_grid import native_classes, working_image, working_probabilities
from semivox.prepare.grid import Grid
from semivox.prepare.normalise import normalise
from semivox.tiles import predict_probabilities

TURNS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def test_files_hold_what_predict_needs(make_run) -> None:
    run = make_run(values=(2, 5))
    card = json.loads((run / "model.json").read_text())
    assert card["model_id"] == hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    assert card["format"] == 1
    assert card["labels"] == {"2": "class2", "5": "class5"}
    assert card["predictor"] == ["teacher"]
    assert card["codes"] == {"class1": "SCT 80891009"}
    assert (card["method"], card["steps"], card["seed"]) == ("ua_mt", 10, 3)
    assert set(card["networks"]) == {"student", "teacher"}
    tensors = load_file(run / "model.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"student", "teacher"}
    assert all(t.dtype == torch.float32 for t in tensors.values() if t.is_floating_point())
    assert sorted(p.name for p in run.iterdir()) == ["model.json", "model.safetensors"]


def test_export_is_a_function_of_the_weights(make_run) -> None:
    one, two = make_run(name="one"), make_run(name="two")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_networks_come_back_as_they_were(make_run) -> None:
    run = make_run()
    networks = load_networks(run)
    tensors = load_file(run / "model.safetensors")
    for role, network in networks.items():
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, tensors[f"{role}.{name}"], rtol=0, atol=0)
    assert not torch.equal(tensors["student.head.weight"], tensors["teacher.head.weight"])


def test_weights_choose_the_networks(make_run, save_scan) -> None:
    run, scan = make_run(), save_scan("scan.nii.gz")

    def probs(weights: str | None) -> np.ndarray:
        model = load_model(run, weights=weights, precision="fp32", device="cpu")
        found = model.predict(scan, probabilities=True).probabilities
        assert found is not None
        return found

    student, teacher, mean = probs("student"), probs("teacher"), probs("mean")
    np.testing.assert_array_equal(probs(None), teacher)
    np.testing.assert_allclose(mean, (student + teacher) / 2, atol=1e-6)
    assert np.abs(student - teacher).max() > 0.1
    with pytest.raises(SettingsError, match=r"no_such.*student or teacher or mean"):
        load_model(run, weights="no_such")


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**6])
def test_a_number_of_threads_that_would_end_the_process_is_refused(make_run, threads: int) -> None:
    with pytest.raises(SettingsError, match=rf"no such number of threads.*{threads}.*1 to 1024"):
        load_model(make_run(), threads=threads)


def test_prediction_is_the_pipeline_written_out(make_run, save_scan) -> None:
    """Three classes, a gap in the values, a coarser working grid, anisotropic spacing, odd axis order."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])[[2, 0, 1, 3]]
    run, scan = make_run(values=(2, 5)), save_scan("scan.nii.gz", affine=affine)
    model = load_model(run, precision="fp32", device="cpu")
    found = model.predict(scan, probabilities=True, uncertainty=True)
    volume = read_volume(scan)
    grid = Grid.of(volume, model.plan)
    assert grid.working_shape != grid.native_shape
    image = torch.from_numpy(grid.to_working(normalise(volume.array, model.plan.channels)))
    padded = torch.zeros(1, *[n + n % 2 for n in image.shape[1:]])
    padded[(slice(None), *[slice(0, n) for n in image.shape[1:]])] = image
    with torch.no_grad():
        probs = model.networks[0](padded[None], norm="running").logits[0].softmax(0)
    probs = probs[(slice(None), *[slice(0, n) for n in image.shape[1:]])].numpy()
    native = grid.to_native(probs)
    np.testing.assert_allclose(found.probabilities, native, atol=1e-4)
    np.testing.assert_array_equal(found.mask, np.array([0, 2, 5])[found.probabilities.argmax(0)])
    assert set(np.unique(found.mask)) == {0, 2, 5}
    assert found.mask.shape == volume.shape
    entropy = grid.to_native(-(probs * np.log(probs)).sum(0, keepdims=True))[0]
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-4)
    voxel_ml = 2.0 / 1000
    assert found.volume_ml[5] == pytest.approx((found.mask == 5).sum() * voxel_ml)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_class_by_class_argmax_equals_the_argmax_of_all(classes: int, make_run, save_scan) -> None:
    run = make_run(values=tuple(range(1, classes)))
    model = load_model(run, precision="fp32", device="cpu")
    grid, probs, _ = working_probabilities(model.networks, read_volume(save_scan("scan.nii.gz")), model.plan)
    expected = grid.to_native(probs).argmax(0)
    assert (native_classes(grid, [probs]) == expected).mean() > 0.9999  # K=2 compares with 0.5: rounding
    assert set(np.unique(expected)) == set(range(classes))


def test_a_turned_copy_gives_the_turned_mask_exactly(make_run, save_scan) -> None:
    """The same anatomy stored in other axis orders, on an oblique anisotropic grid: not one voxel differs."""
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([1.0, 1.2, 2.5])
    affine[:3, 3] = (-31.0, 12.0, 5.0)
    scan = save_scan("scan.nii.gz", (14, 12, 7), affine)
    model = load_model(make_run(), device="cpu")
    original = model.predict(scan, uncertainty=True)
    mask, entropy = original.mask, original.uncertainty
    assert 0.05 < mask.mean() < 0.95
    for axes, signs in TURNS[::3]:
        orientation = np.column_stack([axes, signs])
        copy = scan.with_name("copy.nii.gz")
        nib.save(nib.load(scan).as_reoriented(orientation), copy)
        found = model.predict(copy, uncertainty=True)
        expected = nib.Nifti1Image(mask, affine).as_reoriented(orientation)
        np.testing.assert_array_equal(found.mask, np.asarray(expected.dataobj), err_msg=str(orientation))
        # The map too, bit for bit: no voxel may sit at 0.5 and fall to the other side.
        turned = nib.Nifti1Image(entropy, affine).as_reoriented(orientation)
        np.testing.assert_array_equal(found.uncertainty, np.asarray(turned.dataobj))
        saved = nib.load(found.save(scan.with_name("mask.nii.gz")))
        np.testing.assert_array_equal(saved.affine, nib.load(copy).affine)
        np.testing.assert_array_equal(np.asarray(saved.dataobj), found.mask)


def test_two_dimensions_and_channels(make_run) -> None:
    from PIL import Image

    run = make_run(dims=2, channels=3)
    pixels = np.random.default_rng(0).integers(0, 255, (21, 33, 3)).astype(np.uint8)
    path = run.parent / "picture.png"
    Image.fromarray(pixels).save(path)
    found = load_model(run, device="cpu").predict(path)
    assert found.mask.shape == (33, 21)
    assert found.volume_ml == {1: None}
    assert found.voxels[1] == (found.mask == 1).sum() > 0
    written = np.asarray(Image.open(found.save(run.parent / "mask.png")))
    np.testing.assert_array_equal(written, found.mask.T)


def test_channel_files_are_stacked_in_order(make_run, save_scan) -> None:
    model = load_model(make_run(channels=2), device="cpu")
    a, b = save_scan("a.nii.gz", seed=1), save_scan("b.nii.gz", seed=2)
    one, other = model.predict([a, b]).mask, model.predict([b, a]).mask
    assert (one != other).any()
    with pytest.raises(DataError, match=r"1 channels.*expected 2 \(channel0, channel1\)"):
        model.predict(a)


def test_tiles_of_a_case_larger_than_memory(make_run, save_scan) -> None:
    run, scan = make_run(spacing=(1.0, 1.0, 1.0)), save_scan("scan.nii.gz", (40, 30, 20))
    load = partial(load_model, run, device="cpu", precision="fp32", whole=True)
    whole, tiled = load().predict(scan).mask, load(memory_bytes=5_000_000).predict(scan).mask
    assert (whole == tiled).mean() > 0.95  # of random weights
    assert (whole != tiled).any()  # it did go through tiles


def test_windows_have_the_size_of_the_patches(make_run, save_scan) -> None:
    run, scan = make_run(spacing=(1.0, 1.0, 1.0)), save_scan("scan.nii.gz", (40, 30, 20))
    model = load_model(run, device="cpu", precision="fp32")
    grid, image = working_image(read_volume(scan), model.plan)
    patch = model.plan.patch
    assert math.prod(patch) < math.prod(grid.working_shape)
    options = {"multiple": model.plan.network.multiple, "tile": patch, "overlap": 0.5}
    probs = predict_probabilities(model.networks, image, **options).numpy()
    assert np.array_equal(model.predict(scan).mask > 0, native_classes(grid, [probs]) > 0)
    whole = load_model(run, device="cpu", precision="fp32", whole=True)
    assert (whole.predict(scan).mask != model.predict(scan).mask).any()


def test_inputs_that_contradict_the_model(make_run, save_scan) -> None:
    model = load_model(make_run(), device="cpu")
    with pytest.raises(DataError, match="found 2D"):
        model.predict(save_scan("flat.nii.gz", (12, 9)))
    path = save_scan("nan.nii.gz")
    image = nib.load(path)
    data = image.get_fdata()
    data[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(data, image.affine), path)
    with pytest.raises(DataError, match=r"NaN or infinity.*found 1 of \d+ voxels"):
        model.predict(path)


def test_a_folder_without_model_is_refused(tmp_path: Path, make_run) -> None:
    with pytest.raises(DataError, match=r"no such folder.*Remedy"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "unfinished").mkdir()
    with pytest.raises(DataError, match=r"no model\.json.*--resume"):
        load_model(tmp_path / "unfinished")


def test_newer_and_mixed_files_are_refused(make_run) -> None:
    run, other = make_run(), make_run(name="other", values=(1, 2))
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**card, "format": 2}))
    with pytest.raises(DataError, match=r"newer semivox; found format 2"):
        load_model(run)
    (run / "model.json").write_text(json.dumps(card))
    (run / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match="not those that the model's card names"):
        load_model(run)


def test_a_predictor_must_be_a_network(make_run, tmp_path: Path) -> None:
    run = make_run()
    model = load_model(run, device="cpu")
    networks = load_networks(run)
    from semivox.cohort.case import Cohort

    cohort = Cohort(tmp_path, (), ("a",), {1: "b"})
    with pytest.raises(SettingsError, match="critic"):
        export_model(tmp_path / "new", networks, ["critic"], model.plan, cohort, method="m", steps=1, seed=0)
    assert not (tmp_path / "new").exists()


def test_predict_imports_neither_monai_nor_lightning(make_run, save_scan) -> None:
    run, scan = make_run(), save_scan("scan.nii.gz")
    code = (
        "import sys; from semivox.commands.predict import predict\n"
        "assert 'torch' not in sys.modules\n"
        f"predict({str(run)!r}, {str(scan)!r}, {str(run.parent / 'out')!r})\n"
        "print([m for m in ('monai', 'lightning', 'matplotlib', 'h5py') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
