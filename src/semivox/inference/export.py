"""The model files of a run: ``model.safetensors`` (weights) and ``model.json`` (all else predict needs)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semivox.cohort import Cohort, sha256_file
from semivox.errors import SettingsError
from semivox.files import replacing, write_json
from semivox.networks import describe
from semivox.prepare import Plan, plan_to_json

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "model.json"
ENSEMBLE = "ensemble.json"
"""Which runs a folder of several stands for."""
ENOUGH_STEPS = 100
"""A network that begins with random weights and takes fewer steps has learned nothing to rely on."""


def export_model(
    run: Path,
    networks: Mapping[str, nn.Module],
    predictor: Sequence[str],
    plan: Plan,
    cohort: Cohort,
    *,
    method: str,
    steps: int,
    seed: int,
    training: Mapping[str, Any] | None = None,
    mirror_axes: Sequence[int] = (),
    parent: Mapping[str, Any] | None = None,
) -> str:
    """Write ``model.safetensors`` and ``model.json`` into ``run``; the last is written last.

    Parameters
    ----------
    networks
        Role ("student", "teacher", ...) -> network; all are saved, as float32.
    predictor
        Roles whose mean softmax is the prediction.
    cohort
        Channels, label values and names, ignore value, file ending and our own keys are taken from it.
    method, steps, seed
        What trained the networks, for the record.
    training
        What the training scans looked like (:func:`semivox.inference.training_ranges`); predict flags scans
        and masks far outside of it. None: nothing is flagged for that.
    mirror_axes
        Working axes along which training mirrored crops.
    parent
        The run whose weights they began with (:func:`semivox.inference.parent_of`), for the record.

    Returns
    -------
    ``model_id``: the sha256 of ``model.safetensors``.

    Raises SettingsError for a predictor that names no network.
    """
    unknown = [role for role in predictor if role not in networks]
    if unknown or not predictor:
        raise SettingsError(
            "the predictor names no network of the method", found=list(predictor), expected=sorted(networks)
        )
    from semivox.inference.card import check_card  # pydantic takes its time

    run = Path(run)
    card: dict[str, Any] = {
        "format": FORMAT,
        "networks": {role: describe(network) for role, network in networks.items()},
        "predictor": list(predictor),
        "combine": "mean of softmax",
        **_cohort_entries(cohort),
        "spacing_known": cohort.spacing_known and plan.spacing_known,
        "plan": plan_to_json(plan),
        "spacing_read": True,
        "training": None if training is None else dict(training),
        "mirror_axes": list(mirror_axes),
        "method": method,
        "steps": steps,
        "seed": seed,
        "undertrained": undertrained(steps, parent),
        "parent": None if parent is None else dict(parent),
    }
    _write_weights(run / WEIGHTS, networks)
    card["model_id"] = sha256_file(run / WEIGHTS)
    check_card(
        json.loads(json.dumps(card)), run / CARD, run / WEIGHTS
    )  # what predict would refuse is not "done"
    write_json(run / CARD, card)
    return str(card["model_id"])


def _cohort_entries(cohort: Cohort) -> dict[str, Any]:
    return {
        "channels": list(cohort.channels),
        "labels": {str(value): cohort.classes[value] for value in cohort.values},
        **({"regions": cohort.regions.to_json()} if cohort.regions else {}),
        "ignore": cohort.ignore,
        "codes": dict(cohort.codes),
        "colours": dict(cohort.colours),
        "may_be_empty": list(cohort.may_be_empty),
        "file_ending": cohort.file_ending,
        "naming": asdict(cohort.naming),
        "inferred": sorted(cohort.inferred),
    }


def _write_weights(path: Path, networks: Mapping[str, nn.Module]) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{role}.{name}": _plain(tensor)
        for role, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def undertrained(steps: int, parent: Mapping[str, Any] | None = None) -> str | None:
    """The warning that a model of so few steps is not to be used; None where there is no need for one.
    ``parent``: the run whose weights it began with (``parent_of``), which counts unless it has one, too, or
    left its heads behind."""
    enough = parent is not None and not (parent.get("undertrained") or parent.get("fresh_heads"))
    if enough or steps >= ENOUGH_STEPS:
        return None
    few = f"{steps} step{'' if steps == 1 else 's'}"
    return f"this model is not to be used: {few} of training taught it too little"


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """An own, contiguous copy on the CPU; float tensors become float32."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()
