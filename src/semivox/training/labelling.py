"""Networks + a prepared scan -> its pseudo-label: classes or probabilities, confidence, points of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from semivox.batches import PseudoLabel
from semivox.machine import memory_bytes
from semivox.methods import Relabel
from semivox.methods.cleanup import in_one_piece
from semivox.prepare import FULL, Plan
from semivox.prepare.store_entry import some_points
from semivox.randomness import Key
from semivox.tiles import predict_views


def label_scan(
    networks: Sequence[nn.Module],
    image: np.ndarray,
    plan: Plan,
    relabel: Relabel,
    key: Key,
    mirror_axes: Sequence[int] = (),
    shown: Sequence[bool] = (),
) -> PseudoLabel:
    """What the mean softmax of ``networks`` says of ``image`` (C, X, Y[, Z]), normalised, in working voxels.

    The networks' running statistics normalise, nothing is dropped. Planes are 255 times one-hot, or times the
    probability with ``relabel.soft``; the confidence is 255 times the largest probability. Voxels that the
    clean-up takes from a class become background and keep their confidence. ``key`` draws the points.
    Probabilities are the mean over the scan and its mirror images along the first ``relabel.mirrors`` of
    ``mirror_axes``, and the label's weight is how far these agree (see :func:`agreement_of`, which takes
    ``shown``).
    """
    axes, memory, whole = mirror_axes[: relabel.mirrors], _forward_bytes(networks), not relabel.windows
    views = list(predict_views(networks, np.array(image, np.float32), plan, axes, memory, whole))
    probs = torch.stack(views).mean(0) if len(views) > 1 else views[0]  # (K, X, Y[, Z])
    highest, argmax = probs.max(0)
    argmax = argmax.to(torch.uint8 if len(probs) <= 256 else torch.int32)
    kept = argmax.numpy()
    if relabel.clean == "largest":
        kept = in_one_piece(kept, plan)
    if relabel.soft:
        target = _rounded(probs[1:].numpy())
        target[:, kept != argmax.numpy()] = 0
    else:
        target = np.stack([(kept == k).astype(np.uint8) * np.uint8(FULL) for k in range(1, len(probs))])
    points = {k: some_points(kept == k, key / k) for k in range(1, len(probs))}
    return PseudoLabel(
        target,
        np.rint(highest[None].clamp(0, 1).numpy() * FULL).astype(np.uint8),
        {k: found for k, found in points.items() if len(found)},
        weight=agreement_of(views, shown),
    )


def agreement_of(views: Sequence[torch.Tensor], shown: Sequence[bool] = ()) -> float:
    """Mean Dice, over foreground classes and the other views, of the argmax of the first of ``views``
    (K, X, Y[, Z]) with theirs, or with itself where there is no other.

    Where both lack a class that every label shows (``shown``, of each foreground class) it is 0: a scan in
    which a network finds nothing is not the one it is surest of. Else it is 1.
    """
    first, *others = (view.argmax(0) for view in views)
    dices = []
    for other in others or [first]:
        for k in range(1, len(views[0])):
            one, two = np.asarray(first == k)[None], np.asarray(other == k)[None]
            missed = bool(shown) and shown[k - 1] and not one.any() and not two.any()
            dices.append(0.0 if missed else agreement(one, two)[0])
    return float(np.mean(dices)) if dices else 1.0


def agreement(new: np.ndarray, old: np.ndarray) -> list[float]:
    """The Dice of two pseudo-labels (K-1, X, Y[, Z]) uint8 for each class; 1 where both lack it.

    Of fractions: 2 sum min(a, b) / sum (a + b).
    """
    dices = []
    for a, b in zip(new, old, strict=True):
        total = int(a.sum(dtype=np.int64)) + int(b.sum(dtype=np.int64))
        dices.append(2 * int(np.minimum(a, b).sum(dtype=np.int64)) / total if total else 1.0)
    return dices


def weights_hash(networks: Sequence[nn.Module]) -> str:
    """SHA-256 of all parameters and buffers, with their names."""
    digest = hashlib.sha256()
    for network in networks:
        for name, tensor in network.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _rounded(planes: np.ndarray) -> np.ndarray:
    """Fractions (K-1, ...) as uint8. Rounded cumulatively, as a label's: they never sum to more than 255."""
    total = np.clip(np.cumsum(planes, axis=0, dtype=np.float32), 0, 1)
    return np.diff(np.rint(total * FULL).astype(np.uint8), axis=0, prepend=np.uint8(0))


def _forward_bytes(networks: Sequence[nn.Module]) -> int:
    """A quarter of the device's memory, however much of it is free: a repeat must cut the same tiles."""
    device = next(networks[0].parameters()).device
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // 4
    return memory_bytes() // 4
