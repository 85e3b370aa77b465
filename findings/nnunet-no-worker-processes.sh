#!/usr/bin/env bash
# nnU-Net without worker processes trains, but cannot plan, and predicts only into a folder that is there.
#
# Expected: nnUNet_n_proc_DA=0 is good for all of nnU-Net's commands: its trainer takes 0 for "augment in this process", which
#           containers with little shared memory and debuggers need. predict_from_files_sequential, the form without worker
#           processes, makes its output folder as predict_from_files does.
# Happens:  with 0 in the environment planning ends with "set_num_threads expects a positive integer", since the number of
#           augmentation processes is also torch's number of threads while the memory of a configuration is estimated; it leaves
#           no plans. With 1 it plans. predict_from_files_sequential ends with FileNotFoundError where the folder is missing.
# Versions: nnunetv2 2.8.1, torch 2.13.0, numpy 2.4.6, nibabel 5.4.2.
# Matters:  the variable is usually exported once for a machine or an image, and the message names neither it nor a remedy.
# Instead:  set the variable to 0 for training alone, and make the output folder first.
# Source:   static_estimate_VRAM_usage in nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py,
#           get_dataloaders in nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (0: SingleThreadedAugmenter), and
#           nnunetv2/inference/predict_from_raw_data.py (https://github.com/MIC-DKFZ/nnUNet).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 nibabel==5.4.2 nnunetv2==2.8.1
mkdir raw preprocessed results
export nnUNet_raw=$folder/raw nnUNet_preprocessed=$folder/preprocessed nnUNet_results=$folder/results

cat > steps.py <<'PYTHON'
"""steps.py plan | predict: what the step says in the end."""
import contextlib
import io
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch


def write_dataset(raw: Path) -> None:
    """Four scans of noise with a bright box in each."""
    rng = np.random.default_rng(0)
    for place in ("imagesTr", "labelsTr"):
        (raw / place).mkdir(parents=True)
    for number in range(4):
        label = np.zeros((32, 32, 32), np.uint8)
        label[8:20, 8:20, 8 + number : 20] = 1
        scan = rng.normal(0, 1, label.shape).astype(np.float32) + 3 * label
        nib.save(nib.Nifti1Image(scan, np.eye(4)), raw / f"imagesTr/scan{number}_0000.nii.gz")
        nib.save(nib.Nifti1Image(label, np.eye(4)), raw / f"labelsTr/scan{number}.nii.gz")
    described = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "box": 1}, "numTraining": 4,
                 "file_ending": ".nii.gz"}  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(described))


def plan() -> str:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments

    raw = Path("raw/Dataset001_box")
    if not raw.exists():
        write_dataset(raw)
        extract_fingerprints([1], num_processes=1)
    try:
        plan_experiments([1])
    except RuntimeError as error:
        return str(error)
    return "planned"


def predict() -> str:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.run.run_training import get_trainer_from_args

    preprocess([1], "nnUNetPlans", ["2d"], [1])
    trainer = get_trainer_from_args("1", "2d", "all", device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.train_step(next(trainer.dataloader_train))
    trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_final.pth")
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, ("all",), "checkpoint_final.pth")
    scan = [["raw/Dataset001_box/imagesTr/scan0_0000.nii.gz"]]
    try:
        predictor.predict_from_files_sequential(scan, "missing")
    except FileNotFoundError as error:
        first = type(error).__name__
    except Exception as error:
        first = f"another: {type(error).__name__}"
    else:
        first = "predicted"
    Path("there").mkdir()
    predictor.predict_from_files_sequential("raw/Dataset001_box/imagesTr", "there")
    masks = sorted(path.name for path in Path("there").glob("*.nii.gz"))
    return f"missing folder: {first}; folder that is there: {len(masks)} masks"


if __name__ == "__main__":  # preprocessing begins processes that import this file
    with contextlib.redirect_stdout(io.StringIO()):
        answer = {"plan": plan, "predict": predict}[sys.argv[1]]()
    print(answer)
PYTHON

quiet() { venv/bin/python steps.py "$1" 2> log || { cat log; exit 1; }; }
none=$(nnUNet_n_proc_DA=0 quiet plan)
left=$(find preprocessed -name nnUNetPlans.json | wc -l)
one=$(nnUNet_n_proc_DA=1 quiet plan)
trained=$(nnUNet_n_proc_DA=0 quiet predict)
echo "planning with nnUNet_n_proc_DA=0: $none ($left plans); with 1: $one"
echo "trained with 0; predict_from_files_sequential, $trained"
[ "$none" = "set_num_threads expects a positive integer" ] && [ "$left" = 0 ] && [ "$one" = planned ] &&
    [ "$trained" = "missing folder: FileNotFoundError; folder that is there: 4 masks" ] || { echo CHANGED; exit 1; }
echo "HOLDS: no worker processes, no plan"
