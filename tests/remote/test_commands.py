"""Commands on what lies on a store: they give what they give on folders of this machine."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
import pytest

from semivox.arguments import command_of
from semivox.cli import main
from semivox.commands import COMMANDS
from semivox.commands.check import check
from semivox.commands.evaluate import evaluate
from semivox.commands.predict import predict
from semivox.commands.train import train
from semivox.errors import SettingsError
from semivox.options import Flag, Positional, arguments, from_options, with_data_folders

from .conftest import BUCKET, Bucket

URL = f"s3://{BUCKET}"


def rows(content: bytes) -> dict[str, Any]:
    return {row["case"]: {**row, "seconds": None} for row in json.loads(content)["cases"]}


def test_from_scans_on_a_store_to_masks_on_it(
    bucket: Bucket, phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Trained, predicted and measured there and here: the same weights, masks and numbers."""
    for folder, key in zip(phantoms, ("train", "test"), strict=True):
        bucket.put_folder(folder, key)
    settings = [word for name, value in small.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    run, masks = tmp_path / "run", tmp_path / "masks"
    words = ["--out", str(run), "--method", "supervised", "--steps", "2", *settings]
    assert main(["train", f"{URL}/train", *words]) == 0
    assert f"{URL}/train: 9 of 9 objects fetched" in capsys.readouterr().err
    train(phantoms[0], tmp_path / "here", method="supervised", steps=2, settings=small)
    weights = "model.safetensors"
    assert (run / weights).read_bytes() == (tmp_path / "here" / weights).read_bytes()

    assert main(["predict", str(run), f"{URL}/test", "--out", f"{URL}/masks"]) == 0
    assert f"2 masks in {URL}/masks, 0 up to date" in capsys.readouterr().out
    predict(run, phantoms[1], masks)
    assert bucket.keys("masks/") == sorted(path.name for path in masks.iterdir())
    assert rows(bucket.get("masks/predictions.json")) == rows((masks / "predictions.json").read_bytes())
    for path in masks.glob("*.nii.gz"):
        there = nib.Nifti1Image.from_bytes(gzip.decompress(bucket.get(f"masks/{path.name}")))
        assert np.array_equal(np.asarray(there.dataobj), np.asarray(nib.load(path).dataobj))

    with pytest.raises(SettingsError, match=r"only read.*give --out FILE.json"):
        evaluate(f"{URL}/masks", f"{URL}/test")
    found = evaluate(f"{URL}/masks", f"{URL}/test", out=tmp_path / "there.json")
    assert found == evaluate(masks, phantoms[1])

    assert main(["predict", str(run), f"{URL}/test", "--out", f"{URL}/masks", "--skip-existing"]) == 0
    assert "0 masks in s3://hospital/masks, 2 up to date" in capsys.readouterr().out
    bucket.remove(f"masks/{next(masks.glob('*.nii.gz')).name}")
    assert main(["predict", str(run), f"{URL}/test", "--out", f"{URL}/masks", "--skip-existing"]) == 0
    assert "1 masks in s3://hospital/masks, 1 up to date" in capsys.readouterr().out


def test_the_folder_of_a_store_is_not_changed_by_a_check(bucket: Bucket) -> None:
    for name, content in {"images/a.nii.gz": b"broken", "labels/a.nii.gz": b"broken"}.items():
        bucket.put(f"set/{name}", content)
    with pytest.raises(SettingsError, match="only read"):
        check(f"{URL}/set", write_exclude=True)
    assert main(["check", f"{URL}/set"]) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_path_of_every_command_is_on_a_store_or_says_no(name: str, tmp_path: Path) -> None:
    """Never a folder called ``s3:`` on this machine; what may be one is a data folder, or read like one."""
    options = command_of(COMMANDS[name][0]).options
    fields = arguments(options)
    paths = [field for field in fields if field.path]
    may = {field.name for field in paths if field.mark.url}
    data = {field.name for field in fields if field.mark.data}
    extra = {"evaluate": {"predictions"}, "import": {"src"}, "predict": {"out"}, "rank": {"run"}}
    local = {"annotate": {"data"}, "loop": {"data"}}  # which write there, or tell whoever does
    assert may == (data | extra.get(name, set())) - local.get(name, set())
    for field in paths:
        if field.name in may:
            continue
        for word in ("s3://someone:secret@b/a", "https://host/a", Path("s3://b/a")):
            given: dict[str, Any] = {f.name: "." for f in fields if f.required} | {field.name: word}
            with pytest.raises(SettingsError, match="is a place on this machine, and no URL") as raised:
                with_data_folders(options(**given))
            assert "secret" not in str(raised.value)


@dataclass(frozen=True)
class Made:
    """Options of a made-up command."""

    data: Annotated[str | Path, Positional("DATA", url="read")]
    """What is read."""
    out: Annotated[str | Path, Flag("DIR")]
    """What is written."""


@from_options(Made)
def made(options: Made) -> Made:
    """Hand back what it gets."""
    return options


def test_a_function_gets_a_folder_of_this_machine(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("set/a", b"x")
    got = made(f"{URL}/set", str(tmp_path))
    assert isinstance(got.data, Path)
    assert (got.data / "a").read_bytes() == b"x"
    assert got.out == str(tmp_path)
    assert made("here", "there") == Made("here", "there")
