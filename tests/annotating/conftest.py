"""A data folder whose scans lie in every way a header can say, and a run that has learned nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from semivox.annotating import Desk
from semivox.annotating.book import Reader
from semivox.cohort import case_identity, load_cohort
from semivox.files import write_json
from semivox.inference import export_model
from semivox.networks import build_network
from semivox.prepare import write_plan
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

ANNA, BEN = Reader("Anna", "page-of-anna"), Reader("Ben", "page-of-ben")
TILT = 0.3


def affines() -> dict[str, np.ndarray]:
    """Scan -> affine: straight, flipped, permuted, oblique with shear-free tilt, thick slices."""
    turned = np.array([[np.cos(TILT), -np.sin(TILT), 0], [np.sin(TILT), np.cos(TILT), 0], [0, 0, 1]])
    straight = {
        "straight": np.diag([1.0, 1, 1]),
        "flipped": np.diag([-1.0, -1, 1]),
        "permuted": np.array([[0, 0, -1.5], [1.0, 0, 0], [0, -1.2, 0]]),
        "oblique": turned @ np.array([[0, 1.1, 0], [0, 0, -0.9], [1.3, 0, 0]]),
        "thick": np.diag([0.8, -0.8, 6.0]),
    }
    found = {}
    for name, axes in straight.items():
        found[name] = np.eye(4)
        found[name][:3, :3], found[name][:3, 3] = axes, (3, -20, 7)
    return found


def write_data(root: Path, ignore: bool = True) -> Path:
    """3D scans of noise, two labelled ones and one for each affine."""
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    labels = {"background": 0, "left": 3, "right": 7, **({"ignore": 200} if ignore else {})}
    about = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(about))
    random = np.random.default_rng(3)
    shape = (14, 12, 10)
    for name, affine in {**affines(), "known_a": np.eye(4), "known_b": np.eye(4)}.items():
        noise = ndimage.gaussian_filter(random.normal(size=shape), 1) * 1000
        nib.save(nib.Nifti1Image(noise.astype(np.int16), affine), root / f"imagesTr/{name}_0000.nii.gz")
        if name.startswith("known"):
            mask = np.where(noise > 100, 3, np.where(noise < -100, 7, 0)).astype(np.uint8)
            nib.save(nib.Nifti1Image(mask, affine), root / f"labelsTr/{name}.nii.gz")
    return root


def write_pictures(root: Path) -> Path:
    """Colour pictures, one labelled."""
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    about = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "cell": 1},
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(about))
    random = np.random.default_rng(5)
    for name in ("known", "new"):
        colours = random.integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(colours).save(root / f"imagesTr/{name}_0000.png")
    Image.fromarray((colours[..., 0] > 120).astype(np.uint8)).save(root / "labelsTr/known.png")
    return root


def write_run(out: Path, data: Path, labeled: tuple[str, ...]) -> Path:
    """A run by hand, whose network has not learned anything: its masks are what its weights happen to say."""
    cohort = load_cohort(data)
    dims = 2 if cohort.file_ending == ".png" else 3
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.5,) * dims,
        spacing_known=dims == 3, rung=1.5, shape=(16,) * dims, patch=(8,) * dims, batch=(1, 1),
        network=NetworkPlan("unet", (6, 8), ((3,) * dims,) * 2, ((2,) * dims,)),
        channels=tuple(ChannelPlan(name, "zscore") for name in cohort.channels),
        classes=tuple(ClassPlan(v, name, 100.0, 0.9, False) for v, name in cohort.classes.items()),
        budget_seconds=None, step_seconds=0.1, steps=None, assumptions=(),
    )  # fmt: skip
    network = build_network(plan.network, len(cohort.channels), len(cohort.values) + 1, Key(7))
    with torch.no_grad():
        network.head.weight *= 30
    export_model(
        out,
        {"teacher": network},
        ["teacher"],
        plan,
        cohort,
        method="supervised",
        steps=2,
        seed=3,
        training=None,
    )
    write_plan(plan, out / "plan.json")
    rows = [
        {"case": c.name, "patient": c.name, "role": "labeled", "sha256": case_identity(c)}
        for c in cohort.cases
        if c.name in labeled
    ]
    write_json(out / "cases.json", {"format": 1, "cases": rows})
    return out


@pytest.fixture(scope="session")
def scans_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("annotated")
    data = write_data(folder / "data")
    return data, write_run(folder / "run", data, ("known_a", "known_b"))


@pytest.fixture(scope="session")
def pictures_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    data = write_pictures(folder / "data")
    return data, write_run(folder / "run", data, ("known",))


@pytest.fixture
def data(scans_run: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the scans, to be written into."""
    return Path(shutil.copytree(scans_run[0], tmp_path / "data"))


@pytest.fixture
def run(scans_run: tuple[Path, Path]) -> Path:
    return scans_run[1]


@pytest.fixture
def desk(data: Path, run: Path) -> Desk:
    return Desk(run, data)


@pytest.fixture
def readers() -> tuple[Reader, Reader]:
    return ANNA, BEN


@pytest.fixture
def pictures(pictures_run: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures_run[0], tmp_path / "pictures"))


Served = Callable[..., Any]


@pytest.fixture
def served() -> Served:
    """``with served(desk) as url``: the whole server, on a port of its own."""
    from semivox.annotating import Length, listening, serve

    @contextmanager
    def start(desk: Desk, host: str = "127.0.0.1", token: str | None = None, steps: int = 2) -> Iterator[str]:
        listens, address = listening(host, 0, token)
        with serve(desk, listens, address, Length(steps=steps, threads=1), "Anna", rank=False):
            yield address.url

    return start
