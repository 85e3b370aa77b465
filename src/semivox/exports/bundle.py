"""A MONAI bundle of a run: its metadata, a configuration that predicts folders, the network as TorchScript.

``python -m monai.bundle run`` calls semivox with the run's own model files and what its held-out masks tell,
so that preparing, windows and the way back are those of ``semivox predict``, and so are the masks and their
promises; the bundle names semivox among the packages that it needs. The TorchScript network stands beside it
for pipelines that do all this themselves.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from semivox.exports.evidence import write_evidence
from semivox.exports.extra import packages_for
from semivox.exports.model_card import model_card
from semivox.exports.traced import INPUT, TORCHSCRIPT, multiple_of, write_torchscript
from semivox.files import copy_file, make_folder, write_json, write_text
from semivox.inference import Model
from semivox.inference.export import CARD, WEIGHTS
from semivox.report.run_record import RunRecord

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
BUNDLE_VERSION = "1.0.0"


def write_bundle(model: Model, record: RunRecord, folder: Path, weights: str | None) -> float:
    """Fill the empty ``folder``; returns what :func:`semivox.exports.traced.write_torchscript` does.
    ``weights``: those that were asked for, as ``predict`` takes them."""
    packages_for("bundle", "monai", "fire")
    for name in ("configs", "models", "docs"):
        make_folder(folder / name)
    for name in (WEIGHTS, CARD):
        copy_file(record.path / name, folder / "models" / name)
    write_evidence(record.path, folder / "models")
    far = write_torchscript(model, folder / "models" / TORCHSCRIPT)
    write_json(folder / "configs" / "metadata.json", metadata(model, record))
    write_json(folder / "configs" / "inference.json", inference(weights))
    write_text(folder / "docs" / "README.md", model_card(model, record))
    return far


def inference(weights: str | None) -> dict[str, Any]:
    """``configs/inference.json``; ``dataset_dir``, ``output_dir``, ``device`` and ``format`` may be given."""
    return {
        "imports": ["$import semivox"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/masks'",
        "device": "auto",
        "format": "same",
        "weights": weights,
        "network_def": {"_target_": "torch.jit.load", "f": f"$@bundle_root + '/models/{TORCHSCRIPT}'"},
        "run": [
            "$semivox.predict(@bundle_root + '/models', @dataset_dir, @output_dir, format=@format, "
            "weights=@weights, device=@device)"
        ],
    }


def metadata(model: Model, record: RunRecord) -> dict[str, Any]:
    """``configs/metadata.json``, by the rules of MONAI's schema."""
    classes = {"0": "background", **{str(k): model.classes[v] for k, v in enumerate(model.values, 1)}}
    named = ", ".join(list(classes.values())[1:])
    ct = all(channel.scheme == "ct" for channel in model.plan.channels)
    shape = [f"{step}*n" for step in multiple_of(model)]
    tensor = {"spatial_shape": shape, "dtype": "float32", "is_patch_data": True}
    return {
        "schema": SCHEMA,
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: "as exported"},
        "name": record.path.resolve().name,
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"semivox": version("semivox")},
        "task": f"segmentation of {named} in {model.plan.dims}D",
        "description": f"Trained with semivox, method {record.method}, {model.card['steps']} steps; "
        "docs/README.md is its card.",
        "authors": "not stated",
        "copyright": "not stated",
        "data_type": model.card["file_ending"],
        "image_classes": ", ".join(model.channels),
        "pred_classes": "; ".join(f"{index} {name}" for index, name in classes.items()),
        "eval_metrics": {
            f"{held.name}_mean_dice": held.content["mean"]["foreground"]["dice"]
            for held in record.evaluations
            if held.content is not None and held.content["mean"]["foreground"]["dice"] is not None
        },
        "intended_use": "research; no medical device",
        "network_data_format": {
            "inputs": {
                INPUT: {
                    "type": "image",
                    "format": "hounsfield" if ct else "magnitude",
                    "num_channels": len(model.channels),
                    "value_range": [],
                    "channel_def": {str(i): name for i, name in enumerate(model.channels)},
                    **tensor,
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "segmentation",
                    "num_channels": len(classes),
                    "value_range": [0, 1],
                    "channel_def": classes,
                    **tensor,
                }
            },
        },
    }
