"""A trained model: loaded from a run folder, it turns a scan into a segmentation on the scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from semivox.cohort import Case, Naming, Task, Volume, read_case, segments_of_classes
from semivox.devices import choose_device
from semivox.errors import DataError, SettingsError
from semivox.inference.native_grid import native_classes, working_probabilities
from semivox.inference.segmentation import Segmentation
from semivox.inference.uncertainty import entropy, mean_entropy
from semivox.inference.weights import load_networks, read_card
from semivox.methods.cleanup import in_one_piece
from semivox.networks import bf16_error, computes_bf16, fold_norms
from semivox.networks.precision import FAR
from semivox.prepare import Plan, plan_from_json
from semivox.randomness import Key

Scan = str | Path | Volume | Sequence[str | Path]
Pieces = Literal["auto", "all"]


@dataclass(frozen=True)
class Model:
    """Networks ready to predict, and the card they came with (``model.json``).

    ``classes`` maps label value -> name; ``weights`` names whose mean softmax is the prediction; ``pieces``
    as :func:`load_model` says.
    """

    networks: tuple[nn.Module, ...]
    plan: Plan
    card: Mapping[str, Any]
    classes: Mapping[int, str]
    weights: str
    memory_bytes: int | None = None
    whole: bool = False
    pieces: Pieces = "auto"

    @property
    def model_id(self) -> str:
        """sha256 of the weights file."""
        return str(self.card["model_id"])

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self.card["channels"])

    @property
    def task(self) -> Task:
        """Its channels and classes."""
        return Task.of_card(self.card)

    @property
    def naming(self) -> Naming:
        """How file names were read in training."""
        return Naming.from_card(self.card)

    @property
    def values(self) -> tuple[int, ...]:
        """Label values of the foreground; class index k (from 1) is ``values[k - 1]``."""
        return tuple(sorted(self.classes))

    def predict(self, scan: Scan, *, probabilities: bool = False, uncertainty: bool = False) -> Segmentation:
        """Segment one scan.

        ``scan``: a path, the paths of its channels in order, or a Volume. Raises DataError for an unreadable
        scan, and one that does not fit the model (dimensions, channels, NaN).
        """
        if isinstance(scan, Volume):
            volume = scan
        else:
            paths = [scan] if isinstance(scan, str | Path) else list(scan)
            volume = read_case(Case(Path(paths[0]).name, tuple(Path(path) for path in paths)))
        self.check(volume)
        grid, probs = working_probabilities(self.networks, volume, self.plan, self.memory_bytes, self.whole)
        entropies, values = entropy(probs), self._label_values()
        found = native_classes(grid, probs)
        kept = in_one_piece(found, self.plan, found.size / probs[0].size) if self.pieces == "auto" else found
        return Segmentation(
            mask=values[kept],
            found=None if kept is found else values[found],
            volume=volume,
            classes=self.classes,
            mean_entropy=mean_entropy(entropies, probs[1:].max(0) > probs[0]),
            spacing_known=bool(self.card["spacing_known"]),
            probabilities=grid.to_native(probs) if probabilities else None,
            uncertainty=grid.to_native(entropies[None])[0] if uncertainty else None,
            segments=segments_of_classes(
                self.classes, self.card.get("codes", {}), self.card.get("colours", {})
            ),
        )

    def check(self, volume: Volume) -> None:
        """Raise DataError where a scan contradicts the model."""
        path = volume.source.path
        if volume.dims != self.plan.dims:
            raise DataError(
                "the scan has other dimensions than the model",
                path=path,
                found=f"{volume.dims}D, shape {volume.shape}",
                expected=f"{self.plan.dims}D",
                remedy=f"give {self.plan.dims}D scans, or a model trained on such scans",
            )
        if volume.channels != len(self.channels):
            raise DataError(
                "the scan has other channels than the model",
                path=path,
                found=f"{volume.channels} channels",
                expected=f"{len(self.channels)} ({', '.join(self.channels)})",
                remedy="name channel files CASE_0000, CASE_0001, ... in the order of training",
            )
        if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
            raise DataError(
                "the scan holds NaN or infinity",
                path=path,
                found=f"{int(np.count_nonzero(~np.isfinite(volume.array)))} such voxels",
                expected="finite intensities",
                remedy="replace them, for instance with the background's value",
            )

    def _label_values(self) -> np.ndarray:
        table = np.array([0, *self.values])
        return table.astype(np.min_scalar_type(int(table.max())))


def load_model(
    run: str | Path,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    weights: str | None = None,
    threads: int | None = None,
    memory_bytes: int | None = None,
    whole: bool = False,
    pieces: Pieces = "auto",
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

    Raises
    ------
    DataError
        ``run`` holds no model, a damaged one, or one of a newer format.
    SettingsError
        Unknown weights or device.
    """
    card = read_card(run)
    if threads is not None:
        if threads < 1:
            raise SettingsError("no such number of threads", found=threads, expected="1 or more")
        torch.set_num_threads(threads)
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
    )


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
