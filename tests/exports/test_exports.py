"""A run's model in other programs' hands: the same probabilities, the same masks, and a card that is true."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

import semivox
from semivox.cli import main
from semivox.cohort import Cohort
from semivox.errors import DataError, SemivoxError, SettingsError
from semivox.exports import traced
from semivox.files import write_json
from semivox.inference import export_model, load_model
from semivox.inference.ensemble import write_ensemble
from semivox.networks import MeanSoftmax, build_network
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

ROLES = ("student", "teacher")


def run_of(path: Path, kind: str = "unet", norm: str = "instance", dims: int = 3, **ct: float) -> Path:
    """A run folder with two small networks that predict together; strides differ from axis to axis."""
    strides = ((2,) * dims, (2,) * (dims - 1) + (1,))
    network = NetworkPlan(kind, (4, 6, 8), ((3,) * dims,) * 3, strides, norm)
    channel = ChannelPlan("CT", "ct", **ct) if ct else ChannelPlan("T1", "zscore")
    plan = Plan(
        dims, tuple(range(dims)), (1.0,) * dims, (1.5,) * dims, True, 1.5, (16,) * dims, (8,) * dims, (1, 1),
        network, (channel,), (ClassPlan(1, "organ", 9, 0.98), ClassPlan(3, "lesion", 9, 0.9, False)),
        None, 1.0, None, (),
    )  # fmt: skip
    networks = {role: build_network(network, 1, 3, Key(5) / role) for role in ROLES}
    x = torch.randn(2, 1, *(16,) * dims, generator=Key(1).torch())
    for net in networks.values():
        for _ in range(3):  # running statistics of its own
            net(x, norm="update")
    cohort = Cohort(path, (), (channel.name,), {1: "organ", 3: "lesion"})
    export_model(path, networks, ROLES, plan, cohort, method="supervised", steps=400, seed=2)
    return path


@pytest.mark.parametrize(
    ("kind", "norm", "dims"),
    [("unet", "instance", 3), ("unet", "batch", 2), ("vnet", "batch", 3), ("vnet", "instance", 2)],
)
def test_the_portable_networks_are_those_of_the_model(
    kind: str, norm: str, dims: int, tmp_path: Path
) -> None:
    """Of any batch and size, down to one voxel at the bottom; traced, also for sizes that it has not seen."""
    model = load_model(run_of(tmp_path / "run", kind, norm, dims), device="cpu", precision="fp32")
    portable = MeanSoftmax(model.networks).eval()
    step = model.plan.network.multiple
    with torch.no_grad():
        script = torch.jit.trace(portable, torch.zeros(2, 1, *model.plan.patch), check_trace=False)
        for batch, times in ((1, 1), (3, 2), (1, 5)):
            x = torch.randn(batch, 1, *(times * s for s in step), generator=(Key(2) / times).torch())
            own = torch.stack([n(x, norm="running").logits.softmax(1) for n in model.networks]).mean(0)
            for found in (portable(x), script(x)):
                torch.testing.assert_close(found, own, atol=1e-5, rtol=0)


def test_onnx_of_any_size_is_what_torch_says(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    run = run_of(tmp_path / "run")
    out = semivox.export(run, "onnx")
    assert out == run / "export/onnx"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.onnx"]
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    (image,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (image.name, probabilities.name) == ("image", "probabilities")
    model = load_model(run, device="cpu", precision="fp32")
    for shape in ((1, 1, 4, 4, 2), (2, 1, 20, 12, 6)):
        x = torch.randn(*shape, generator=Key(3).torch())
        (found,) = session.run(None, {"image": x.numpy()})
        own = torch.stack([n(x, norm="running").logits.softmax(1) for n in model.networks]).mean(0)
        np.testing.assert_allclose(found, own.numpy(), atol=1e-4)
    told = json.loads(session.get_modelmeta().custom_metadata_map["semivox"])
    assert told["classes"] == ["background", "organ", "lesion"]
    assert (told["label_values"], told["multiple"]) == ([0, 1, 3], [4, 4, 2])
    assert (told["model_id"], told["plan"]["spacing"]) == (model.model_id, [1.5, 1.5, 1.5])


def test_a_network_that_came_out_wrong_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(MeanSoftmax):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) ** 2

    monkeypatch.setattr(traced, "MeanSoftmax", Wrong)
    with pytest.raises(SemivoxError, match="something else than torch; found probabilities that differ by"):
        semivox.export(run_of(tmp_path / "run"), "torchscript", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "run")
    with pytest.raises(SettingsError, match="to has no such choice; found pickle"):
        semivox.export(run, "pickle", tmp_path / "out")  # type: ignore[arg-type]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("mine")
    with pytest.raises(DataError, match="there is something already"):
        semivox.export(run, "torchscript", tmp_path / "taken")
    write_ensemble(tmp_path, ["run", "other"])
    with pytest.raises(DataError, match=r"holds several runs.*export each of them"):
        semivox.export(tmp_path, "onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"--to onnx needs packages.*pip install 'semivox\[export\]'"):
        semivox.export(run, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


TENSOR = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
}
RULES = {
    **dict.fromkeys(
        ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
         "authors", "copyright"),
        str,
    ),
    "required_packages_version": dict,
    "network_data_format": dict,
}  # fmt: skip
"""What MONAI's schema of 2024-07-25 requires of a bundle, and of each tensor of its network."""
MAY_BE = {
    "changelog": dict, "data_source": str, "data_type": str, "image_classes": str, "label_classes": str,
    "pred_classes": str, "eval_metrics": dict, "intended_use": str, "references": list,
    "supported_apps": dict,
}  # fmt: skip


def follows_the_rules(metadata: dict[str, Any]) -> bool:
    io = metadata["network_data_format"]
    tensors = [*io["inputs"].values(), *io["outputs"].values()]
    return (
        all(isinstance(metadata[name], kind) for name, kind in RULES.items())
        and all(isinstance(metadata[name], kind) for name, kind in MAY_BE.items() if name in metadata)
        and all(isinstance(tensor[name], kind) for tensor in tensors for name, kind in TENSOR.items())
        and all(isinstance(n, str | int) for tensor in tensors for n in tensor["spatial_shape"])
        and all(isinstance(n, int | float) for tensor in tensors for n in tensor["value_range"])
        and all(isinstance(tensor["channel_def"], dict) for tensor in tensors)
    )


def test_a_bundle_gives_the_same_masks(tmp_path: Path) -> None:
    """And the same record beside them, with what held-out scans promise, without whose names these are."""
    pytest.importorskip("fire")
    run, bundle = run_of(tmp_path / "run"), tmp_path / "bundle"
    semivox.write_phantom_cohort(tmp_path / "held_out_at_st_anne", labeled=4, unlabeled=0, test=0, seed=3)
    held_out = tmp_path / "held_out_at_st_anne/train"
    dataset = json.loads((held_out / "dataset.json").read_text())
    task = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "organ": 1, "lesion": 3}}
    write_json(held_out / "dataset.json", {**dataset, **task})
    assert main(["report", str(run), "--test", str(held_out), "--device", "cpu"]) == 0
    assert main(["export", str(run), "--to", "bundle", "--out", str(bundle)]) == 0
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    assert follows_the_rules(metadata)
    assert not follows_the_rules({**metadata, "version": 1})
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] == "lesion"
    semivox.write_phantom_cohort(tmp_path / "phantoms", labeled=1, unlabeled=0, test=1)
    scans = tmp_path / "phantoms/test/imagesTr"
    given = ["--config_file", f"{bundle}/configs/inference.json", "--bundle_root", str(bundle)]
    given += ["--dataset_dir", str(scans), "--output_dir", str(tmp_path / "masks"), "--device", "cpu"]
    ours = ["semivox", "predict", str(run), str(scans), "--out", str(tmp_path / "own"), "--device", "cpu"]
    for words in (
        ["monai.bundle", "run", *given],
        ours,
    ):  # with as many threads: ties of this network fall alike
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    (own,) = (tmp_path / "own").glob("*.nii.gz")
    masks = [np.asarray(nib.load(path).dataobj) for path in (own, tmp_path / "masks" / own.name)]
    np.testing.assert_array_equal(*masks)
    assert len(np.unique(masks[0])) == 3
    rows = [json.loads((tmp_path / of / "predictions.json").read_text()) for of in ("own", "masks")]
    for record in rows:
        for row in record["cases"]:
            del row["seconds"]
    assert rows[0] == rows[1]
    assert rows[0]["cases"][0]["promise"]["dice"]["foreground"]["expected"] > 0
    names = [path.name.removesuffix(".nii.gz") for path in held_out.glob("labelsTr/*")]
    for path in bundle.rglob("*.json"):
        assert not [name for name in (*names, "st_anne") if name in path.read_text()], path
    # MONAI's own check of the network against the metadata
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        device="cpu",
        bundle_root=str(bundle),
        n=2,
    )


def test_the_card_says_what_the_run_folder_says(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", low=-100.0, high=300.0, mean=40.0, std=55.0)
    rows = [("a", "p1", "labeled"), ("b", "p1", "labeled"), ("c", "p2", "unlabeled")]
    cases = [{"case": case, "patient": patient, "role": role} for case, patient, role in rows]
    write_json(run / "cases.json", {"format": 1, "cases": cases})
    table = {"1": {"dice": 0.9}, "3": {"dice": None}, "foreground": {"dice": 0.9}}
    ends = {"1": {"dice": [0.85, 0.93]}, "3": {"dice": None}, "foreground": {"dice": [0.85, 0.93]}}
    evaluation = {"format": 1, "classes": {"1": "organ", "3": "lesion"}, "mean": table, "ci95": ends}
    held = {**evaluation, "cases": {"x": {"1": {"dice": 0.9}}}, "patients": {"x": "q"}}
    write_json(run / "evaluations/dev/evaluation.json", held)
    card = (semivox.export(run, "torchscript", tmp_path / "out") / "README.md").read_text()
    for said in (
        "a model that segments organ, lesion", "`supervised` (400 steps, seed\n2)", "no medical device",
        "multiple of 4 x 4 x 2", "1.5 x 1.5 x 1.5 mm", "clipped to -100 ... 300",
        "2 is lesion (label value 3)",
        "2 labelled scans of 1 patients, and 1 scans", "`dev`: 1 cases of 1 patients", "0.900 [0.850, 0.930]",
        "organ in one piece", "Dice of\n  organ 0.980, lesion 0.900",
    ):  # fmt: skip
        assert said in card, card
    assert "None: nobody has measured it" not in card


def by_the_card(network: Any, scan: np.ndarray, patch: tuple[int, ...], multiple: tuple[int, ...]) -> Any:
    """What the card tells to do with a scan (C, X, Y[, Z]) on the working grid, written from its words."""
    shown = np.empty(scan.shape, np.float32)
    for channel, out in zip(scan.astype(float), shown, strict=True):
        others = channel[channel != channel.min()]
        whole = channel.size - others.size < 0.25 * channel.size or others.size == 0 or others.std() == 0
        body = channel if whole else others
        out[...] = (channel - body.mean()) / body.std() if channel.std() > 0 else 0
    pads, axes = [(0, 0)], []
    for n, p, m in zip(scan.shape[1:], patch, multiple, strict=True):
        length = -(-n // m) * m if n < p else p
        pads.append(((length - n) // 2, length - n - (length - n) // 2) if n < p else (0, 0))
        gaps, last = 0, max(n - length, 0)
        while last > gaps * (length // 2):
            gaps += 1
        axes.append([slice(s := round(i * last / max(gaps, 1)), s + length) for i in range(gaps + 1)])
    shown = np.pad(shown, pads)
    total, count = 0.0, np.zeros(shown.shape[1:])
    for where in itertools.product(*axes):
        said = np.zeros((3, *shown.shape[1:]))
        said[(slice(None), *where)] = network(torch.from_numpy(shown[(slice(None), *where)][None]))[0].numpy()
        total, count[where] = total + said, count[where] + 1
    inside = tuple(slice(a, a + n) for (a, _), n in zip(pads[1:], scan.shape[1:], strict=True))
    return (total / count)[(slice(None), *inside)]


@pytest.mark.parametrize("dims", [2, 3])
def test_who_follows_the_card_gets_what_predict_says(dims: int, tmp_path: Path) -> None:
    """Of ordinary scans, padded ones, such as have two values or one, and of every size."""
    run = run_of(tmp_path / "run", dims=dims)
    semivox.export(run, "torchscript", tmp_path / "out")
    extra = {"semivox": ""}
    network = torch.jit.load(str(tmp_path / "out/model.ts"), _extra_files=extra).eval()
    facts, card = json.loads(extra["semivox"]), (tmp_path / "out/README.md").read_text()
    for said in (facts["axes"], facts["windows"], *facts["normalisation"]):
        assert said in card
    model = load_model(run, device="cpu", precision="fp32", pieces="all")
    patch, multiple = tuple(facts["plan"]["patch"]), tuple(facts["multiple"])
    affine, differences = np.diag([1.5, 1.5, 1.5, 1.0]), []
    for number, size in enumerate((16, 40, 33, 45, 11)):
        scan = 3 + (Key(number) / "scan").numpy().normal(size=(1, *(size, size + 3, 9)[:dims])).astype(
            np.float32
        )
        padded, two = scan.copy(), (scan > 3).astype(np.float32)
        padded[:, : size // 2] = -7
        for array in (scan, padded, two, np.zeros_like(scan)):
            with torch.inference_mode():
                ours = model.predict(semivox.Volume(array, affine), probabilities=True).probabilities
                differences.append(np.abs(by_the_card(network, array, patch, multiple) - ours).max())
    assert max(differences) < 1e-4, differences


def test_nn_modules_of_the_model_stay_as_they_are(tmp_path: Path) -> None:
    model = load_model(run_of(tmp_path / "run"), device="cpu", precision="fp32")
    before = [type(module) for network in model.networks for module in network.modules()]
    MeanSoftmax(model.networks)
    assert [type(module) for network in model.networks for module in network.modules()] == before
    assert nn.Conv3d not in before
