"""nnU-Net's own 2D or 3D configuration with the same labelled scans and the same time.

``python benchmarks/nnunet_beside.py DATA/train --test DATA/dev --labeled 3p --minutes 20 --nnunet PYTHON``:
PYTHON is the interpreter of an environment with nnunetv2 2.8.1. It plans and preprocesses the labelled scans,
then trains on all of them (fold ``all``) with its own network, loss, augmentation, batch and optimizer until
the minutes are over, preprocessing included as reading and preparing are in a budget of ours. A thousand
epochs of 250 iterations are meant for a GPU, so here the learning rate falls with the share of the time that
has passed, iteration by iteration, as it does with epochs there. The held-out scans are then predicted
(mirrored, as it does) and measured by ``semivox evaluate``; that time does not count. ``--iterations`` ends
the training earlier, for a try. ``--json`` prints one JSON line last. CPU only; ``OMP_NUM_THREADS`` says how
many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PLACES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
DATASET, WORKERS = "Dataset001_few", "nnUNet_n_proc_DA"


def write_raw(data: Path, labeled: str, test: Path, folder: Path) -> None:
    """The labelled cases as nnU-Net's raw dataset, and the held-out images; by links."""
    from semivox.cohort import load_cohort, split_cohort
    from semivox.cohort.dataset_json import label_entries

    cohort = load_cohort(data, labeled)
    raw = folder / PLACES[0] / DATASET
    for place in (raw / "imagesTr", raw / "labelsTr", folder / "held_out", folder / "predicted"):
        place.mkdir(parents=True)
    cases = split_cohort(cohort, labeled).labeled
    described = {
        "channel_names": {str(i): name for i, name in enumerate(cohort.channels)},
        **label_entries(cohort.classes, cohort.regions, cohort.ignore),
        "numTraining": len(cases),
        "file_ending": cohort.file_ending,
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    for case in cases:
        assert case.label is not None
        (raw / "labelsTr" / f"{case.name}{cohort.file_ending}").symlink_to(case.label.absolute())
    for wanted, place in ((cases, raw / "imagesTr"), (load_cohort(test).cases, folder / "held_out")):
        for case in wanted:
            for i, image in enumerate(case.images):
                (place / f"{case.name}_{i:04d}{cohort.file_ending}").symlink_to(image.absolute())


def train(configuration: str, seconds: float, most: int | None, began: float) -> tuple[Path, int, float]:
    """Train until ``seconds`` have passed since ``began``: the model's folder, iterations, the last loss."""
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.run.run_training import get_trainer_from_args

    torch.manual_seed(0)
    extract_fingerprints([1], num_processes=1)
    plans = plan_experiments([1])
    preprocess([1], plans or "nnUNetPlans", [configuration], [1])
    trainer = get_trainer_from_args("1", configuration, "all", device=torch.device("cpu"))
    os.environ[WORKERS] = "0"  # no processes beside this one; planning would fail with it
    trainer.on_train_start()
    rate, iterations, loss = trainer.initial_lr, 0, float("nan")
    while (passed := (time.time() - began) / seconds) < 1 and iterations != most:
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate * (1 - passed) ** 0.9
        trainer.network.train()
        loss = float(trainer.train_step(next(trainer.dataloader_train))["loss"])
        iterations += 1
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    return Path(trainer.output_folder_base), iterations, loss


def serve(folder: Path, configuration: str, seconds: float, most: int | None) -> None:
    """Everything that nnU-Net does, in a process of its environment."""
    began = time.time()
    model, iterations, loss = train(configuration, seconds, most, began)
    trained = time.time() - began

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(model), ("all",), "checkpoint_final.pth")
    predictor.predict_from_files_sequential(str(folder / "held_out"), str(folder / "predicted"))
    found = {"iterations": iterations, "loss": loss, "train_s": trained}
    found["predict_s"] = time.time() - began - trained
    print(json.dumps(found), flush=True)


def measured(a: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from semivox.commands.evaluate import evaluate

    write_raw(a.data, a.labeled, a.test, folder)
    places = {name: str(folder / name) for name in PLACES}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    line = [str(a.nnunet), __file__, "--serve", str(folder), a.configuration, str(60 * a.minutes)]
    done = subprocess.run(
        [*line, *([] if a.iterations is None else [str(a.iterations)])],
        env={**os.environ, **places, "nnUNet_compile": "f"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stdout[-3000:])
    found = json.loads(done.stdout.splitlines()[-1])
    evaluation = evaluate(folder / "predicted", a.test, out=folder / "evaluation.json")
    return {**found, "dice": {name: row["dice"] for name, row in evaluation["mean"].items()}}


def main(line: Sequence[str]) -> None:
    if line[:1] == ["--serve"]:
        folder, configuration, seconds, *most = line[1:]
        serve(Path(folder), configuration, float(seconds), int(most[0]) if most else None)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--labeled", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--nnunet", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--configuration", default="2d")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args(line)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(a, Path(folder))
    dice = ", ".join(f"{name} {value:.3f}" for name, value in found["dice"].items())
    print(
        f"{found['iterations']} iterations in {found['train_s']:.0f} s, loss {found['loss']:.3f}: Dice {dice}"
    )
    if a.json:
        print(json.dumps({"benchmark": "nnunet_beside", **found}))


if __name__ == "__main__":
    main(sys.argv[1:])
