"""Changes of intensity: the mild ones every training view gets and the strong ones of strong views, drawn
apart from their application."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semivox.batches.augmentation import Augmentation, thick_axes
from semivox.batches.separable import (
    along_axes,
    coarsening_matrix,
    gaussian_matrix,
    spline_controls,
    spline_matrix,
)
from semivox.devices import send
from semivox.randomness import Key

BIAS_CELLS = 2
"""Cells of the bias field's control grid along each side of a crop."""


@dataclass(frozen=True)
class IntensityParameters:
    """What is done to one view, in this order; the defaults change nothing.

    ``blur``: standard deviation an axis, voxels; ``coarsening``: factor an axis; ``contrast``: factor about
    the mean a channel; ``bias``: (n, ...) float32, controls of a cubic B-spline over the whole crop, of which
    the exponential multiplies what lies above the least intensity; ``gamma``; ``gain`` and ``offset`` a
    channel; ``noise``: standard deviation, drawn from ``noise_seed``; ``cutout``: (start, stop) an axis of a
    box set to 0.
    """

    blur: tuple[float, ...] | None = None
    coarsening: tuple[float, ...] | None = None
    contrast: tuple[float, ...] | None = None
    bias: np.ndarray | None = None
    gamma: float | None = None
    gain: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    noise: float = 0.0
    noise_seed: int = 0
    cutout: tuple[tuple[int, int], ...] | None = None


def draw_mild(
    key: Key, augmentation: Augmentation, channels: int, patch: tuple[int, ...]
) -> IntensityParameters:
    """Draw bias, gamma, gain, offset and noise: the changes of the views ``weak`` and ``intensity``."""
    if not augmentation.enabled:
        return IntensityParameters()
    random = (key / "mild").numpy()
    low, high = augmentation.gain
    bias = None
    if augmentation.bias > 0:
        smooth = (key / "bias").numpy()
        spread = smooth.uniform(0, augmentation.bias)
        controls = smooth.standard_normal([spline_controls(n, n / BIAS_CELLS) for n in patch])
        bias = (spread * controls).astype(np.float32)
    return IntensityParameters(
        bias=bias,
        gamma=math.exp((key / "gamma").numpy().uniform(*np.log(augmentation.gamma))),
        gain=tuple(np.exp(random.uniform(math.log(low), math.log(high), channels)).tolist()),
        offset=tuple(random.uniform(-augmentation.offset, augmentation.offset, channels).tolist()),
        noise=float(random.uniform(0, augmentation.noise)),
        noise_seed=(key / "noise").seed(),
    )


def draw_strong(
    key: Key, augmentation: Augmentation, channels: int, patch: tuple[int, ...], spacing: tuple[float, ...]
) -> IntensityParameters:
    """Draw the changes of the view ``strong``; each happens with ``strong_probability``."""
    a = augmentation
    if not a.enabled:
        return IntensityParameters()

    def happens(name: str, probability: float = a.strong_probability) -> bool:
        return bool((key / name / "coin").numpy().random() < probability)

    def uniform(name: str, low: float, high: float, size: int) -> tuple[float, ...]:
        return tuple((key / name).numpy().uniform(low, high, size).tolist())

    def log_uniform(name: str, limits: tuple[float, float], size: int) -> tuple[float, ...]:
        return tuple(math.exp(v) for v in uniform(name, math.log(limits[0]), math.log(limits[1]), size))

    finest, thick = min(spacing), thick_axes(spacing)
    blur = coarsening = None
    if happens("blur"):
        (sigma,) = uniform("blur", *a.strong_blur, 1)
        blur = tuple(0.0 if t else sigma * finest / s for t, s in zip(thick, spacing, strict=True))
    if happens("coarsening"):
        (factor,) = uniform("coarsening", *a.strong_coarsening, 1)
        coarsening = tuple(1.0 if t else max(1.0, factor * finest / s)
                           for t, s in zip(thick, spacing, strict=True))  # fmt: skip
    cutout = None
    if happens("cutout", a.cutout_probability):
        sides = [min(p, round(a.cutout_size * p)) for p in patch]
        starts = (key / "cutout").numpy().integers(0, [p - s + 1 for p, s in zip(patch, sides, strict=True)])
        cutout = tuple((int(start), int(start) + side) for start, side in zip(starts, sides, strict=True))
    return IntensityParameters(
        blur=blur,
        coarsening=coarsening,
        contrast=log_uniform("contrast", a.strong_contrast, channels) if happens("contrast") else None,
        gamma=log_uniform("gamma", a.strong_gamma, 1)[0] if happens("gamma") else None,
        offset=(
            uniform("brightness", -a.strong_brightness, a.strong_brightness, channels)
            if happens("brightness")
            else None
        ),
        noise=uniform("noise", 0, a.strong_noise, 1)[0] if happens("noise") else 0.0,
        noise_seed=(key / "noise").seed(),
        cutout=cutout,
    )


def apply_intensity(image: Tensor, parameters: IntensityParameters) -> Tensor:
    """A changed copy of ``image`` (C, X, Y[, Z]) float32, on its device; the image itself where nothing
    changes. Noise is drawn on that device: a GPU draws other noise of the same seed."""
    p, device = parameters, image.device
    sizes, space = image.shape[1:], tuple(range(1, image.ndim))
    if p.blur is not None:
        image = along_axes(
            image,
            [gaussian_matrix(n, s, device) if s > 0 else None for n, s in zip(sizes, p.blur, strict=True)],
        )
    if p.coarsening is not None:
        matrices = [
            coarsening_matrix(n, f, device) if f > 1 else None
            for n, f in zip(sizes, p.coarsening, strict=True)
        ]
        image = along_axes(image, matrices)
    if p.contrast is not None:
        mean = image.mean(dim=space, keepdim=True)
        image = (image - mean) * _per_channel(p.contrast, image) + mean
    if p.bias is not None:
        low = image.amin(dim=space, keepdim=True)
        controls = send(torch.from_numpy(p.bias), device)[None]
        field = along_axes(controls, [spline_matrix(n, n / BIAS_CELLS, device) for n in sizes])
        image = (image - low) * field.exp() + low
    if p.gamma is not None:
        low = image.amin(dim=space, keepdim=True)
        reach = (image.amax(dim=space, keepdim=True) - low).clamp(min=1e-6)
        image = ((image - low) / reach).pow(p.gamma) * reach + low
    if p.gain is not None:
        image = image * _per_channel(p.gain, image)
    if p.offset is not None:
        image = image + _per_channel(p.offset, image)
    if p.noise > 0:
        generator = torch.Generator(device).manual_seed(p.noise_seed)
        image = image + p.noise * torch.randn(image.shape, generator=generator, device=device)
    if p.cutout is not None:
        image = image.clone()
        image[(slice(None), *(slice(a, b) for a, b in p.cutout))] = 0.0
    return image


def _per_channel(values: tuple[float, ...], image: Tensor) -> Tensor:
    return send(torch.tensor(values, dtype=torch.float32), image.device).view(-1, *[1] * (image.ndim - 1))
