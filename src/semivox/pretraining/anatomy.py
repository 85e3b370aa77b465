"""Anatomy that nobody has: structures of seven kinds at random places.

A class is a kind of shape: blob, tube, wall (and the cavity in it), lobes, convoluted, cells. Every structure
is a part of its own, whose intensity is drawn without regard to its class; so are the regions of the
background and what bears no label (boxes, plates, what fills gaps, air and skin around a body). All are drawn
in a space that one smooth displacement bends, which is nowhere steep enough to fold.

Lengths are in units of the scan's smallest voxel edge, so spacing counts by its ratios alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from semivox.batches.separable import along_axes, spline_matrix
from semivox.randomness import Key

KINDS = ("blob", "tube", "wall", "cavity", "lobes", "convoluted", "cells")
"""The classes 1, 2, ... of the label map."""
LABEL = {name: value for value, name in enumerate(KINDS, 1)}
DRAWN = ("blob", "tube", "wall", "lobes", "convoluted", "cells")
SHARES = {2: (0.17, 0.18, 0.19, 0.16, 0.12, 0.18), 3: (0.18, 0.19, 0.21, 0.17, 0.14, 0.11)}
"""How often a structure is of each of the kinds that are DRAWN, by dims: cavities come with walls."""
RADII = {
    "blob": (0.08, 0.21), "tube": (0.018, 0.05), "wall": (0.10, 0.23), "lobes": (0.065, 0.14),
    "convoluted": (0.12, 0.23), "cells": (0.015, 0.033), "box": (0.05, 0.18), "plate": (0.1, 0.4),
}  # fmt: skip
"""Smallest and largest radius as a share of the field of view's mean length, in 2D."""
DEEP = 1.55
"""Radii in 3D by those in 2D, where the same radius covers more of the scan."""
Ball = tuple[np.ndarray, float]  # centre and radius
FINEST = 6
"""Rendered voxels along a coarse axis in one of the scan, at most."""


@dataclass(frozen=True)
class Grid:
    """A scan's voxels (X, Y[, Z]) with their edges, and how many rendered ones make one along each axis."""

    shape: tuple[int, ...]
    edges: tuple[float, ...]
    finer: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int], spacing: Sequence[float] | None) -> Grid:
        edges = np.ones(len(shape)) if spacing is None else np.asarray(spacing, float) / min(spacing)
        finer = np.clip(np.rint(edges), 1, FINEST).astype(int)
        return cls(tuple(map(int, shape)), tuple(edges.tolist()), tuple(finer.tolist()))

    @property
    def dims(self) -> int:
        return len(self.shape)

    @property
    def rendered(self) -> tuple[int, ...]:
        return tuple(n * f for n, f in zip(self.shape, self.finer, strict=True))

    @property
    def steps(self) -> np.ndarray:
        """Edges of the rendered voxels."""
        return np.array(self.edges) / self.finer

    @property
    def size(self) -> float:
        """The field of view's mean length."""
        return float(np.prod(np.multiply(self.shape, self.edges)) ** (1 / self.dims))


def smooth_noise(
    rng: np.random.Generator, shape: Sequence[int], knots: Sequence[float] | np.ndarray, band: bool = False
) -> np.ndarray:
    """Noise (shape) float32 of about mean 0 and deviation 1: cubic splines with ``knots`` voxels between
    their knots. ``band``: without what is much longer than that, too."""
    cells = [max(float(k), 1.0) for k in knots]
    starts = [int(rng.uniform(0, cell)) for cell in cells]  # the first knot lies anywhere
    tables = [spline_matrix(n + a, c)[a:] for n, a, c in zip(shape, starts, cells, strict=True)]
    values = rng.standard_normal([table.shape[1] for table in tables], np.float32)
    if band:
        noise = through(values - gaussian_filter(values, 0.8, mode="wrap"), tables)
        return noise / max(float(noise.std()), 1e-6)
    # a spline's squared weights sum to 151/315 on average
    return through(values, tables) * np.float32((315 / 151) ** (len(tables) / 2))


def through(values: np.ndarray, tables: Sequence[Tensor | None]) -> np.ndarray:
    """``values`` (m0, m1, ...) through a matrix (n, m) along each axis, where there is one: (n0, n1, ...)."""
    return along_axes(torch.from_numpy(values)[None], tables)[0].numpy()


@dataclass
class Part:
    """One thing with an intensity of its own."""

    kind: str
    like: int | None = None
    """The part whose intensity it nearly has: one cell of a heap has that of the others."""
    under: Counter[int] = field(default_factory=Counter)
    """The parts that it was painted over, with their voxels."""


@dataclass
class Anatomy:
    """What has been painted: ``part`` (rendered voxels) int16, an index into ``parts``."""

    grid: Grid
    points: np.ndarray
    """(dims, *rendered) float32: where each voxel lies in the space in which shapes are drawn."""
    steepest: float
    spread: np.ndarray
    """The slope of the displacement, and how much it differs along each axis, at most."""
    part: np.ndarray
    parts: list[Part] = field(default_factory=list)
    centres: list[Ball] = field(default_factory=list)
    """Of structures so far: the voxel at the middle, and about how far they reach."""

    def label(self) -> np.ndarray:
        """(rendered) uint8."""
        return np.array([LABEL.get(part.kind, 0) for part in self.parts], np.uint8)[self.part]

    def add(self, part: Part, shape: Shape | None = None) -> int:
        """A new part, painted in its shape if that is given; its index."""
        self.parts.append(part)
        if shape is not None:
            window, depth = self.depth(shape)
            self.paint(len(self.parts) - 1, window, depth > 0)
        return len(self.parts) - 1

    def paint(self, index: int, window: tuple[slice, ...], inside: np.ndarray) -> None:
        """``inside``: the window's shape."""
        seen = self.part[window]
        counts = np.bincount(seen[inside], minlength=1)
        self.parts[index].under.update(
            {i: int(counts[i]) for i in np.flatnonzero(counts).tolist() if i != index}
        )
        seen[inside] = index

    def window(self, centre: np.ndarray, reach: float) -> tuple[slice, ...]:
        """Of voxels that may lie within ``reach`` of ``centre`` in the space of shapes; empty if outside."""
        steps, last = self.grid.steps, np.array(self.part.shape) - 1
        voxel = centre / steps
        for _ in range(4):  # the displacement there, which contracts
            near = tuple(np.clip(np.rint(voxel), 0, last).astype(int))
            bent = self.points[(slice(None), *near)] - near * steps
            voxel = (centre - bent) / steps
        half = (reach + np.minimum(reach * self.steepest / (1 - self.steepest), self.spread) + 1) / steps
        low, high = np.floor(voxel - half).astype(int), np.ceil(voxel + half).astype(int) + 1
        return tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))

    def depth(self, shape: Shape) -> tuple[tuple[slice, ...], np.ndarray]:
        """Where a shape may be, and how far within it the voxels there lie; negative outside."""
        window = self.window(shape.centre, shape.reach)
        points = self.points[(slice(None), *window)]
        away = points.reshape(len(points), -1) - shape.centre.astype(np.float32)[:, None]
        return window, shape.depth(away).reshape(points.shape[1:])


class Shape(NamedTuple):
    """``depth`` takes vectors (dims, N) from ``centre`` and gives (N,), above 0 within ``reach`` at most."""

    centre: np.ndarray
    reach: float
    depth: Callable[[np.ndarray], np.ndarray]


def star(rng: np.random.Generator, at: np.ndarray, radius: float, rough: float, long: float = 0.3) -> Shape:
    """An ellipsoid whose radius rises and falls with the direction, ``rough`` as a share of it; ``long`` is
    the deviation of the logarithm of its axes. Its depth is about a length."""
    axes = np.exp(np.clip(rng.normal(0, long, len(at)), -2 * long, 2 * long))
    axes /= np.prod(axes) ** (1 / len(at))
    turn = (_turn(rng, len(at)) / axes[:, None]).astype(np.float32)
    lengths = rng.uniform(1.0, 4.5, (5, 1))
    waves = (np.stack([_unit(rng, len(at)) for _ in lengths]) * lengths).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, (5, 1)).astype(np.float32)
    heights = rng.normal(size=5) / lengths[:, 0]
    heights = (heights * rough / np.abs(heights).sum()).astype(np.float32)

    def depth(away: np.ndarray) -> np.ndarray:
        moved = turn @ away
        far = np.sqrt(np.einsum("dn,dn->n", moved, moved))
        near = np.flatnonzero(far < radius * np.exp(rough))
        rise = heights @ np.cos(waves @ (moved[:, near] / np.maximum(far[near], 1e-6)) + phases)
        inside = -far
        inside[near] += np.float32(radius) * np.exp(rise)
        return inside

    return Shape(at, radius * float(axes.max()) * np.exp(rough), depth)


def draw_anatomy(key: Key, grid: Grid) -> Anatomy:
    """3 to 12 structures, distractors and a background, a pure function of the key."""
    rng = (key / "scan").numpy()
    anatomy = _bent_space(key / "space", grid)
    _background(key / "background", anatomy)
    body = _body(key / "body", anatomy) if rng.random() < 0.45 else None
    structures = rng.choice(DRAWN, rng.integers(3, 13), p=SHARES[grid.dims])
    names = [*structures, *rng.choice(["box", "plate"], rng.integers(0, 3))]
    scale = grid.size * (DEEP if grid.dims == 3 else 1.0) * rng.uniform(0.75, 1.15)
    plan = [(name, scale * rng.uniform(*RADII[name])) for name in names]
    order = np.argsort([-radius * rng.lognormal(0, 0.35) for _, radius in plan])  # mostly large ones first
    for i in order.tolist():
        name, radius = plan[i]
        own = (key / "structure" / i).numpy()
        voxel = _place(own, anatomy, body, radius)
        PAINTERS[name](own, anatomy, anatomy.points[(slice(None), *voxel)].astype(float), radius)
        anatomy.centres.append((voxel, radius))
    if body is not None:
        _around(key / "around", anatomy, body)
    return anatomy


def _bent_space(key: Key, grid: Grid) -> Anatomy:
    rng = key.numpy()
    shape, steps = grid.rendered, grid.steps
    knots = rng.uniform(0.18, 0.4) * grid.size
    fields = np.stack([smooth_noise(rng, shape, knots / steps) for _ in shape])
    strides = [max(1, min(int(knots / step / 6), n - 1)) for n, step in zip(shape, steps, strict=True)]
    some = fields[(slice(None), *(slice(None, None, stride) for stride in strides))]
    slopes = np.gradient(some, *(steps * strides), axis=tuple(range(1, grid.dims + 1)))
    steepest = rng.uniform(0.1, 0.6)
    fields *= steepest / float(np.sqrt(np.square(slopes).sum(axis=(0, 1)).max()))
    spread = np.ptp(fields.reshape(grid.dims, -1), axis=1)
    fields += np.indices(shape, np.float32) * steps.astype(np.float32).reshape(-1, *[1] * grid.dims)
    return Anatomy(grid, fields, steepest, spread, np.zeros(shape, np.int16))


def _background(key: Key, anatomy: Anatomy) -> None:
    """One to four regions, by which of as many noises is largest."""
    rng = key.numpy()
    knots = rng.uniform(0.15, 0.4) * anatomy.grid.size / anatomy.grid.steps
    anatomy.parts += [Part("background") for _ in range(rng.integers(1, 5))]
    if len(anatomy.parts) > 1:
        noises = [smooth_noise(rng, anatomy.part.shape, knots) for _ in anatomy.parts]
        anatomy.part[:] = np.argmax(noises, axis=0)


def _body(key: Key, anatomy: Anatomy) -> np.ndarray:
    """(rendered): how far within a body's outline each voxel lies. Along the last axis of three it may go on
    for ever."""
    rng = key.numpy()
    dims, extent = anatomy.grid.dims, np.multiply(anatomy.grid.shape, anatomy.grid.edges)
    scale = extent * rng.uniform(0.40, 0.54, dims)
    mean = float(np.prod(scale) ** (1 / dims))
    if dims == 3 and rng.random() < 0.6:
        scale[2] *= 20
    away = anatomy.points.reshape(dims, -1) - (extent * rng.uniform(0.45, 0.55, dims))[:, None]
    outline = star(rng, np.zeros(dims), mean, rng.uniform(0.0, 0.2), 0.05)
    return outline.depth((away * (mean / scale)[:, None]).astype(np.float32)).reshape(anatomy.part.shape)


def _around(key: Key, anatomy: Anatomy, body: np.ndarray) -> None:
    """Air outside the body and, at times, a skin: labelled background."""
    rng = key.numpy()
    if rng.random() < 0.5:
        skin = rng.uniform(0.015, 0.06) * anatomy.grid.size
        anatomy.paint(anatomy.add(Part("skin")), (slice(None),), (body < skin) & (body >= 0))
    anatomy.paint(anatomy.add(Part("air")), (slice(None),), body < 0)


def _place(rng: np.random.Generator, anatomy: Anatomy, body: np.ndarray | None, radius: float) -> np.ndarray:
    """The voxel of a structure's middle: beside another one, in a cavity, or anywhere that is free."""
    shape, steps = np.array(anatomy.part.shape), anatomy.grid.steps
    for _ in range(12):
        voxel = shape * rng.uniform(0.04, 0.96, len(shape))
        if anatomy.centres and rng.random() < 0.4:
            other, wide = anatomy.centres[int(rng.integers(len(anatomy.centres)))]
            voxel = other + _unit(rng, len(shape)) * (wide + 0.8 * radius) / steps
        voxel = np.clip(voxel, 0, shape - 1).astype(int)
        free = anatomy.parts[anatomy.part[tuple(voxel)]].kind in ("background", "cavity")
        if free and (body is None or body[tuple(voxel)] > 0.3 * radius):
            break
    return voxel


def _blob(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    anatomy.add(Part("blob"), star(rng, at, radius, rng.uniform(0.02, 0.5)))


def _lobes(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """Two or three round bodies of one intensity that touch."""
    index, centre, last = anatomy.add(Part("lobes")), at, 0.0
    for _ in range(int(rng.integers(2, 4))):
        wide = radius * rng.uniform(0.8, 1.15)
        if last:
            centre = centre + _unit(rng, len(at)) * (last + wide) * rng.uniform(0.78, 0.92)
        window, depth = anatomy.depth(star(rng, centre, wide, rng.uniform(0, 0.1), 0.1))
        anatomy.paint(index, window, depth > 0)
        last = wide


def _wall(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """A wall around a cavity; at times it is open on one side."""
    thick = max(radius * rng.uniform(0.12, 0.32), 1.6)
    outer = star(rng, at, radius, rng.uniform(0.02, 0.25))
    window, depth = anatomy.depth(outer)
    if rng.random() < 0.25:
        towards = _unit(rng, len(at)).astype(np.float32)
        height = anatomy.depth(outer._replace(depth=lambda away: towards @ away))[1]
        depth[height > radius * rng.uniform(0.3, 0.7)] = -1
    anatomy.paint(anatomy.add(Part("wall")), window, depth > 0)
    anatomy.paint(anatomy.add(Part("cavity")), window, depth > thick)


def _convoluted(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """Folds in a body: where noise of one scale is high, or near 0. The gaps may be filled with something."""
    window, depth = anatomy.depth(star(rng, at, radius, rng.uniform(0, 0.15)))
    inside = depth > 0  # its centre at least
    knots = max(radius * rng.uniform(0.16, 0.3), 2.0) / anatomy.grid.steps
    noise = smooth_noise(rng, inside.shape, knots, band=True)
    noise = -np.abs(noise) if rng.random() < 0.4 else noise
    high = noise > np.quantile(noise[inside], rng.uniform(0.35, 0.55))
    if rng.random() < 0.5:
        anatomy.paint(anatomy.add(Part("filling")), window, inside)
    anatomy.paint(anatomy.add(Part("convoluted")), window, inside & high)


def _tube(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """Balls along a smooth curve, of changing radius; at times with branches."""
    index = anatomy.add(Part("tube"))
    length = anatomy.grid.size * rng.uniform(0.5, 1.4)
    course = _course(rng, at, max(radius, 1.3), length)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        start, wide = course[int(rng.integers(len(course)))]
        course += _course(rng, start, wide * rng.uniform(0.6, 0.95), length * rng.uniform(0.3, 0.7))
    for centre, wide in course:
        window, far = anatomy.depth(Shape(centre, wide, lambda away: np.einsum("dn,dn->n", away, away)))
        anatomy.paint(index, window, far < wide**2)


def _course(rng: np.random.Generator, start: np.ndarray, radius: float, length: float) -> list[Ball]:
    """Along a curve that turns smoothly."""
    count = max(3, int(length / (0.5 * radius)))
    t = np.linspace(0, 1, count)
    turns = smooth_noise(rng, (count, len(start)), (count / rng.uniform(1.5, 5), 1))
    steps = _unit(rng, len(start)) + turns * rng.uniform(0.3, 1.8)
    steps *= 0.5 * radius / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 0.2)
    swell = 1 + rng.uniform(0, 0.4) * np.sin(2 * np.pi * (t * rng.uniform(0.5, 4) + rng.random()))
    widths = np.maximum(radius * swell * (1 - rng.uniform(0, 0.6) * t), 1.0)
    return [*zip(start + np.cumsum(steps, axis=0), widths.tolist(), strict=True)]


def _cells(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """Many small round ones of about one size and intensity, which hardly overlap."""
    radius = max(radius, 1.6)
    spread = min(radius * rng.uniform(4, 9), 0.35 * anatomy.grid.size)
    count = int(rng.integers(8, 60 if len(at) == 2 else 36))
    places, first = at + rng.normal(size=(count, len(at))) * spread, None
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 9 * radius * np.tri(count).T
    for place in places[apart.min(axis=1) > 1.9 * radius]:  # not beside an earlier one
        cell = star(rng, place, radius * rng.uniform(0.8, 1.2), rng.uniform(0, 0.1), 0.1)
        index = anatomy.add(Part("cells", first), cell)
        first = index if first is None else first


def _box(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """With flat sides and sharp corners, which no class has."""
    half = radius * rng.uniform(0.4, 1.2, len(at))
    turn = (_turn(rng, len(at)) / half[:, None]).astype(np.float32)
    reach = float(np.linalg.norm(half))
    anatomy.add(Part("box"), Shape(at, reach, lambda away: 1 - np.abs(turn @ away).max(axis=0)))


def _plate(rng: np.random.Generator, anatomy: Anatomy, at: np.ndarray, radius: float) -> None:
    """A flat round one, as thin as a wall."""
    flat = (radius / max(0.05 * radius, 0.9) * _unit(rng, len(at))).astype(np.float32)
    wide = Shape(at, radius, lambda away: radius - np.linalg.norm(away, axis=0))
    plate = wide._replace(depth=lambda away: np.minimum(wide.depth(away), radius - np.abs(flat @ away)))
    anatomy.add(Part("plate"), plate)


def _unit(rng: np.random.Generator, dims: int) -> np.ndarray:
    vector = rng.normal(size=dims)
    return vector / np.linalg.norm(vector)


def _turn(rng: np.random.Generator, dims: int) -> np.ndarray:
    """A random rotation, or one with a mirror image."""
    return np.linalg.qr(rng.normal(size=(dims, dims)))[0]


PAINTERS = {
    "blob": _blob, "tube": _tube, "wall": _wall, "lobes": _lobes, "convoluted": _convoluted, "cells": _cells,
    "box": _box, "plate": _plate,
}  # fmt: skip
