"""A trained model: loaded from a run folder, it turns a scan into a segmentation on the scan's own grid."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, get_type_hints

import torch
from torch import nn

from semivox.cohort import Volume
from semivox.contents import RunOfMask
from semivox.devices import choose_device
from semivox.errors import SettingsError
from semivox.inference.native_grid import Found, working_probabilities
from semivox.inference.predictor import Pieces, Predictor
from semivox.inference.weights import load_networks, read_card
from semivox.networks import bf16_error, computes_bf16, fold_norms
from semivox.networks.precision import FAR
from semivox.option_kinds import refuse_other_kind
from semivox.prepare import Plan, plan_from_json
from semivox.randomness import Key
from semivox.ranges import MOST_PROCESSES


@dataclass(frozen=True)
class Model(Predictor):
    """Networks ready to predict, and the card they came with (``model.json``).

    ``classes`` maps label value -> name; ``weights`` names whose mean softmax is the prediction;
    ``mirror_axes``: working axes along which the scan's mirror images are averaged, too;
    ``compare_axes``: along which they are looked at without it, for how far they agree; ``pieces`` as
    :func:`load_model` says.
    """

    networks: tuple[nn.Module, ...]
    plan: Plan
    card: Mapping[str, Any]
    classes: Mapping[int, str]
    weights: str
    memory_bytes: int | None = None
    whole: bool = False
    pieces: Pieces = "auto"
    mirror_axes: tuple[int, ...] = ()
    compare_axes: tuple[int, ...] = ()

    def find(self, volume: Volume) -> list[Found]:
        return [
            working_probabilities(
                self.networks,
                volume,
                self.plan,
                self.memory_bytes,
                self.whole,
                self.mirror_axes,
                self.compare_axes,
            )
        ]

    @property
    def runs(self) -> tuple[RunOfMask, ...]:
        return (RunOfMask(model_id=self.model_id, weights=self.weights, mirror_axes=list(self.mirror_axes)),)


class Loading(TypedDict, total=False):
    """How a model is loaded: the arguments of :func:`load_model` beside the run."""

    device: str
    precision: Literal["auto", "fp32", "bf16"]
    weights: str | None
    threads: int | None
    memory_bytes: int | None
    whole: bool
    pieces: Pieces
    tta: bool


def load_model(
    run: str | Path,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: str | None = None,
    threads: int | None = None,
    memory_bytes: int | None = None,
    whole: bool = False,
    pieces: Pieces = "auto",
    tta: bool = False,
) -> Model:
    """Load the model of a run folder.

    Parameters
    ----------
    run
        Folder with ``model.json`` and ``model.safetensors``.
    device
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
    precision
        "auto": bf16 where the device computes in it, and rightly (see
        :mod:`semivox.networks.precision`), else fp32.
    weights
        One network by role ("teacher", "student", ...), "mean" (all of them); None: what the run chose.
    threads
        CPU threads of torch, for the whole process (None: leave them).
    memory_bytes
        What a forward may use (None: half of what is free).
    whole
        Predict a scan in one forward where memory allows, in place of windows of the size of the training's
        patches: two to four times as fast and a little less accurate.
    pieces
        "auto": of what every training label showed in one piece (all foreground, or a class) only the largest
        piece stays. "all": everything that the networks found.
    tta
        Average over the scan and its mirror images along the axes along which training mirrored crops.

    Raises
    ------
    DataError
        ``run`` holds no model, a damaged one, or one of a newer format.
    SettingsError
        Unknown weights, device, precision or pieces; ``tta`` where training mirrored nothing.
    """
    kinds = get_type_hints(Loading)
    for name, value in {"precision": precision, "whole": whole, "pieces": pieces, "tta": tta}.items():
        refuse_other_kind(name, value, kinds[name])
    card = read_card(run)
    _use_threads(threads)
    where = choose_device(device)
    roles, name = _roles(Path(run), card, weights)
    plan = plan_from_json(card["plan"])
    loaded = load_networks(run, roles, "fp32" if precision == "auto" else precision, card)
    networks = tuple(fold_norms(loaded[role].eval().requires_grad_(False)).to(where) for role in roles)
    if precision == "auto":
        precision = _precision(networks, plan, where)
        for network in networks:
            network.precision = precision  # type: ignore[assignment]
    return Model(
        networks=networks,
        plan=plan,
        card=card,
        classes={int(value): str(label) for value, label in card["labels"].items()},
        weights=name,
        memory_bytes=memory_bytes,
        whole=whole,
        pieces=pieces,
        mirror_axes=_mirror_axes(Path(run), card) if tta else (),
    )


def _use_threads(threads: int | None) -> None:
    if threads is None:
        return
    if not 1 <= threads <= MOST_PROCESSES:
        expected = f"1 to {MOST_PROCESSES}, best as many as cores"
        raise SettingsError("no such number of threads", found=threads, expected=expected)
    torch.set_num_threads(threads)


def _mirror_axes(run: Path, card: Mapping[str, Any]) -> tuple[int, ...]:
    axes = card.get("mirror_axes")
    if not axes:
        fault, remedy = "training mirrored no crops", "predict without --tta"
        if axes is None:
            fault = "the model does not say along which axes its training mirrored crops"
            remedy = f"write it anew: semivox train ... --out {shlex.quote(str(run))} --resume"
        raise SettingsError(
            fault, path=run, found="--tta", expected="mirror images to average over", remedy=remedy
        )
    return tuple(axes)


def _roles(run: Path, card: Mapping[str, Any], weights: str | None) -> tuple[list[str], str]:
    known = list(card["networks"])
    if weights is None:
        chosen = list(card["predictor"])
        return chosen, "+".join(chosen)
    if weights == "mean":
        return known, "mean"
    if weights in known:
        return [weights], weights
    raise SettingsError(
        "the model has no such weights", path=run, found=weights, expected=" or ".join([*known, "mean"])
    )


def _precision(networks: Sequence[nn.Module], plan: Plan, device: torch.device) -> Literal["fp32", "bf16"]:
    """bf16 where the hardware computes in it and its logits are those of fp32 (of noise, in the thinnest box
    that the patch's last axis allows)."""
    if not computes_bf16(device):
        return "fp32"
    size = [min(p, 2 * m) for p, m in zip(plan.patch[:-1], plan.network.multiple, strict=False)]
    noise = torch.randn(1, len(plan.channels), *size, plan.patch[-1], generator=Key(0).torch())
    errors = (bf16_error(network, noise.to(device), "running") for network in networks)
    return "bf16" if all(error < FAR for error in errors) else "fp32"
