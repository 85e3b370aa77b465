"""Prediction of a volume as the semi-supervised papers' code does it: dense windows, one at a time."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor, nn


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Every ``stride`` voxels; the last window ends with the volume."""
    count = math.ceil((length - window) / stride) + 1
    return [min(stride * i, length - window) for i in range(count)]


def sliding_window(
    network: nn.Module, image: np.ndarray, window: tuple[int, ...], stride: tuple[int, ...]
) -> np.ndarray:
    """(X, Y, Z) -> (K, X, Y, Z): the softmax of all windows that hold a voxel, averaged.

    ``network`` maps (1, 1, *window) to logits, or to a tuple that begins with them. A volume smaller than
    the window is padded with zeros on both sides.
    """
    missing = [max(w - n, 0) for n, w in zip(image.shape, window, strict=True)]
    padded = np.pad(image, [(m // 2, m - m // 2) for m in missing])
    starts = [window_starts(n, w, s) for n, w, s in zip(padded.shape, window, stride, strict=True)]
    scores: np.ndarray | None = None
    count = np.zeros(padded.shape, np.float32)
    for x in starts[0]:
        for y in starts[1]:
            for z in starts[2]:
                where = np.s_[x : x + window[0], y : y + window[1], z : z + window[2]]
                with torch.no_grad():
                    answer = network(torch.from_numpy(padded[where].astype(np.float32))[None, None])
                    logits: Tensor = answer[0] if isinstance(answer, tuple) else answer
                    probs = torch.softmax(logits, dim=1).cpu().numpy()[0]
                if scores is None:
                    scores = np.zeros((len(probs), *padded.shape), np.float32)
                scores[:, *where] += probs
                count[where] += 1
    assert scores is not None
    inner = tuple(slice(m // 2, m // 2 + n) for m, n in zip(missing, image.shape, strict=True))
    return (scores / count)[:, *inner]


def read_normalised(scan: Path) -> tuple[np.ndarray, np.ndarray]:
    """The voxels less their mean, over their standard deviation, and the affine."""
    image = nib.load(scan)
    voxels = image.get_fdata()
    return (voxels - voxels.mean()) / voxels.std(), image.affine


def write_mask(path: Path, scores: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(np.argmax(scores, axis=0).astype(np.uint8), affine), path)
