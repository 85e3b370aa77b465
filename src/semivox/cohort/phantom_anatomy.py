"""The phantom's anatomy: signed distances of chambers and vessels, and the tissue signal they give.

Coordinates are mm in RAS+ (right, anterior, superior grow), ``(3, N)``, the atrium's centre near the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semivox.randomness import Key

CLASSES = ("atrium", "ventricle", "ventricle_wall", "aorta")

# Where veins leave the atrium: two on each side, and one that few hearts have.
VEINS = {
    "left superior": (-0.85, -0.45, 0.55),
    "left inferior": (-0.85, -0.60, -0.30),
    "right superior": (0.90, -0.25, 0.55),
    "right inferior": (0.80, -0.70, -0.35),
    "middle": (0.95, -0.45, 0.10),
}
FAR = np.float32(1e3)


@dataclass(frozen=True)
class Anatomy:
    """Of each point (N,): the label value of its structure (0 .. 4), and its tissue's signal (blood: 1)."""

    label: np.ndarray
    signal: np.ndarray


def draw_anatomy(key: Key, points: np.ndarray, spacing_mm: float) -> Anatomy:
    """A heart sampled at ``points`` (3, N) float32; edges are soft over a voxel of ``spacing_mm``."""
    p = _into_pose(key / "pose", points)
    atrium, radii = _atrium(key, p)

    rng = (key / "neighbours").numpy()
    septum = rng.uniform(0.6, 2.2)  # thinner than a voxel in many cases
    away = np.float32(septum) - atrium  # negative where farther than a septum from the atrium

    towards = _unit(np.array([-0.52, 0.66, -0.54]) + rng.normal(0, 0.10, 3))
    long, short = rng.uniform(24, 31), rng.uniform(15, 20, 2)
    reach = 1 / np.linalg.norm(towards / radii)
    centre = towards * (reach + long - rng.uniform(2.0, 7.0))
    ventricle = _ellipsoid(p, centre, (long, *short), _frame(towards))
    wall = ventricle - np.float32(rng.uniform(6, 10))

    right_at = np.array([radii[0] + 16, 14, -4]) + rng.normal(0, 3, 3)
    right = np.maximum(_ellipsoid(p, right_at, rng.uniform((15, 15, 19), (21, 20, 27)), np.eye(3)), away)

    # the descending aorta passes just behind the atrium, the ascending one before it
    back = -(radii[1] + rng.uniform(10, 15))
    side = rng.uniform(-20, -4)
    bend = rng.normal(0, 3, (4, 2))
    descending = [(side + bend[i, 0], back + bend[i, 1], z) for i, z in enumerate((-90, -30, 30, 90))]
    front = radii[1] + rng.uniform(11, 16)
    ascending = [
        (-3, front - 3, 3),
        (4 + bend[0, 0], front, 12),
        (9 + bend[1, 0], front - 2, 40),
        (9, front - 8, 80),
    ]
    aorta = np.minimum(
        _tube(p, descending, rng.uniform(8, 11), 1.0), _tube(p, ascending, rng.uniform(10, 13), 1.05)
    )
    roof = radii[2] + rng.uniform(9, 14)
    artery = [(-50, -14, roof - 4), (-18, 4, roof), (14, 0, roof + 1), (50, -16, roof - 6)]
    artery_tube = _tube(p, [np.array(a) + rng.normal(0, 2.5, 3) for a in artery], rng.uniform(7, 10), 0.7)
    lung_vessels = np.full(p.shape[1], FAR)
    for _ in range(int(rng.integers(5, 10))):
        start = np.array(
            [rng.choice([-1, 1]) * rng.uniform(34, 60), rng.uniform(-40, 25), rng.uniform(-40, 45)]
        )
        step = rng.normal(0, 9, 3)
        curve = [start, start + step, start + 2 * step + rng.normal(0, 4, 3)]
        lung_vessels = np.minimum(lung_vessels, _tube(p, curve, rng.uniform(2, 4.5), 0.6))
    vessels, aorta = np.maximum(np.minimum(artery_tube, lung_vessels), away), np.maximum(aorta, away)
    beside = np.maximum(away, np.float32(septum) - aorta)
    ventricle, wall = np.maximum(ventricle, beside), np.maximum(wall, beside)

    distances = {"atrium": atrium, "ventricle": ventricle, "ventricle_wall": wall, "aorta": aorta}
    label = np.zeros(p.shape[1], np.uint8)
    # painted from the least to the most certain, so a wall never covers a chamber
    for name in ("ventricle_wall", "aorta", "ventricle", "atrium"):
        label[distances[name] < 0] = CLASSES.index(name) + 1
    signal = _signal(key / "tissue", p, spacing_mm, distances, right, vessels)
    return Anatomy(label, signal)


def _atrium(key: Key, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance (N,) to the atrium with its veins and appendage, and the body's half axes (3,)."""
    rng = (key / "atrium").numpy()
    radii = np.array([24.0, 17.0, 20.0]) * rng.uniform(0.80, 1.22, 3) * rng.uniform(0.88, 1.12)
    body = _ellipsoid(p, np.zeros(3), radii, _frame(_unit(np.array([1, 0, 0]) + rng.normal(0, 0.15, 3))))
    for _ in range(2):  # lobes: no atrium is an ellipsoid
        direction = _unit(rng.normal(0, 1, 3))
        at = direction * radii * rng.uniform(0.35, 0.6)
        body = _blend(body, _ellipsoid(p, at, radii * rng.uniform(0.45, 0.7, 3), np.eye(3)), 6.0)

    kind = rng.uniform()
    names = ["left superior", "left inferior", "right superior", "right inferior"]
    if kind < 0.2:
        names = names[1:]  # one common trunk on the left
    elif kind > 0.75:
        names.append("middle")
    for name in names:
        trunk = kind < 0.2 and name == "left inferior"
        middle = (-0.95, -0.50, 0.10) if trunk else VEINS[name]
        out = _unit(np.array(middle) + rng.normal(0, 0.16, 3))
        ostium = out / np.linalg.norm(out / radii)
        length = rng.uniform(9, 22)
        turn = rng.normal(0, 0.35, 3) + np.array([0.0, -0.15, 0.25 * np.sign(middle[2])])
        curve = [ostium * 0.6, ostium, ostium + out * length / 2, ostium + (out + turn) * length]
        radius = rng.uniform(6.5, 8.5) if trunk else rng.uniform(3.8, 6.2)
        body = _blend(body, _tube(p, curve, radius, rng.uniform(0.6, 0.95)), 3.0)

    out = _unit(np.array([-0.85, 0.50, 0.35]) + rng.normal(0, 0.15, 3))  # the appendage, a bent ear
    ostium = out / np.linalg.norm(out / radii)
    bend = ostium + out * rng.uniform(6, 11)
    tip = bend + np.array([-0.15, 0.85, -0.35]) * rng.uniform(4, 11)
    return _blend(body, _tube(p, [ostium * 0.7, bend, tip], rng.uniform(5, 8), 0.55), 2.5), radii


def _signal(
    key: Key,
    p: np.ndarray,
    spacing_mm: float,
    distances: dict[str, np.ndarray],
    right: np.ndarray,
    vessels: np.ndarray,
) -> np.ndarray:
    """Tissue signal (N,) float32 around 1 for blood, with texture; contrast differs from case to case."""
    rng = key.numpy()
    muscle, fat, lung = rng.uniform(0.36, 0.66), rng.uniform(0.55, 1.0), rng.uniform(0.08, 0.2)
    heart_wall = muscle * rng.uniform(0.8, 1.05)

    def paint(signal: np.ndarray, distance: np.ndarray, value: float, softness: float) -> np.ndarray:
        inside = 1 / (1 + np.exp(np.clip(distance / np.float32(softness), -30, 30)))
        return signal + inside * (np.float32(value) - signal)

    soft = max(0.3 * spacing_mm, 0.3)
    signal = np.full(p.shape[1], muscle, np.float32)
    chest = _ellipsoid(p, np.array([0, 4, 0]), rng.uniform((78, 60, 200), (95, 74, 260)), np.eye(3))
    for side in (-1, 1):
        half = rng.uniform((30, 44, 60), (38, 56, 90))
        cavity = _ellipsoid(p, np.array([side * rng.uniform(66, 74), -4, 0]), half, np.eye(3))
        signal = paint(signal, np.maximum(cavity, chest + 6), lung, 1.2)
    signal = paint(signal, -chest, fat, 2.0)
    sac = np.minimum(distances["ventricle_wall"], np.minimum(distances["atrium"], right)) - 4
    signal = paint(signal, sac, 0.5 * (fat + muscle), 1.0)  # fat between the chambers
    spine = _tube(p, [(4, -46, -90), (4, -46, 0), (4, -46, 90)], 13, 1.0)
    signal = paint(signal, spine, 0.8 * fat, 1.0)
    signal = paint(
        signal, np.minimum(distances["atrium"], right) - np.float32(rng.uniform(1.0, 2.5)), heart_wall, soft
    )
    signal = paint(signal, distances["ventricle_wall"], heart_wall, soft)

    # blood: the same in all chambers but for a few percent, so intensity alone does not tell which is which
    for distance in (distances["aorta"], distances["ventricle"], distances["atrium"], right, vessels):
        signal = paint(signal, distance, rng.normal(1.0, 0.05), soft)
    texture = _waves(key / "coarse", p, 10, 14.0, 0.030) + _waves(key / "fine", p, 10, 5.0, 0.028)
    return (signal * (1 + texture)).astype(np.float32)


def _into_pose(key: Key, points: np.ndarray) -> np.ndarray:
    """Patient coordinates of a case (3, N) to the anatomy's: shift, rotation, size and a smooth warp."""
    rng = key.numpy()
    frame = _frame(_unit(np.array([1, 0, 0]) + rng.normal(0, 0.12, 3)), rng.normal(0, 0.14))
    turn = (frame.T / rng.uniform(0.86, 1.14)).astype(np.float32)
    p = turn @ (points - _column(rng.normal(0, (5, 5, 3))))
    return p + np.stack([_waves(key / "warp" / axis, p, 4, 60.0, 1.6) for axis in range(3)])


def _waves(key: Key, p: np.ndarray, count: int, length_mm: float, amplitude: float) -> np.ndarray:
    """A smooth random field (N,): ``count`` plane waves about ``length_mm`` long, each of ``amplitude``."""
    rng = key.numpy()
    vectors = rng.normal(0, 1, (count, 3))
    vectors *= (
        2 * np.pi / length_mm * rng.uniform(0.7, 1.4, (count, 1)) / np.linalg.norm(vectors, axis=1)[:, None]
    )
    phase = vectors.astype(np.float32) @ p + _column(rng.uniform(0, 2 * np.pi, count))
    return np.sin(phase, out=phase).sum(axis=0) * np.float32(amplitude)


def _ellipsoid(p: np.ndarray, centre: np.ndarray, radii: np.ndarray | tuple, frame: np.ndarray) -> np.ndarray:
    """Approximate signed distance (N,) in mm to an ellipsoid; its half axes lie along ``frame``'s columns."""
    scale = _column(np.asarray(radii))
    q = (frame.T.astype(np.float32) @ (p - _column(centre))) / scale
    level = np.sqrt(np.einsum("in,in->n", q, q))
    q /= scale
    slope = np.sqrt(np.einsum("in,in->n", q, q))
    return level * (level - 1) / np.maximum(slope, np.float32(1e-6))


def _tube(p: np.ndarray, curve: list, radius: float, taper: float) -> np.ndarray:
    """Signed distance (N,) to a tube along a smooth ``curve`` of 3 or 4 points; the end is ``taper`` as wide.

    Farther than 8 mm from the tube's box the distance is only known to be large.
    """
    nodes = np.asarray(curve, float)
    length = np.linalg.norm(np.diff(nodes, axis=0), axis=1).sum()
    t = np.linspace(0, 1, max(4, int(length / (0.5 * radius)) + 1))
    degree = len(nodes) - 1
    where = np.linspace(0, 1, len(nodes))
    line = np.polynomial.polynomial.polyval(t, np.polynomial.polynomial.polyfit(where, nodes, degree))
    line = line.astype(np.float32)  # (3, T)
    width = (radius * (1 + (taper - 1) * t)).astype(np.float32)
    reach = np.float32(radius + 8)
    seen = (
        (line > p.min(axis=1, keepdims=True) - reach) & (line < p.max(axis=1, keepdims=True) + reach)
    ).all(0)
    if not seen.any():
        return np.full(p.shape[1], FAR)
    line, width = line[:, seen], width[seen]
    low, high = line.min(axis=1) - reach, line.max(axis=1) + reach
    near = np.ones(p.shape[1], bool)
    for axis in range(3):
        near &= (p[axis] > low[axis]) & (p[axis] < high[axis])
    close = p[:, near]
    distance = np.full(p.shape[1], FAR)
    best = np.full(close.shape[1], FAR)
    for centre, wide in zip(line.T, width, strict=True):
        step = close - centre[:, None]
        np.minimum(best, np.sqrt(np.einsum("in,in->n", step, step)) - wide, out=best)
    distance[near] = best
    return distance


def _blend(a: np.ndarray, b: np.ndarray, mm: float) -> np.ndarray:
    """Union of two bodies, rounded over ``mm`` where they meet."""
    overlap = np.maximum(np.float32(mm) - np.abs(a - b), 0) / np.float32(mm)
    return np.minimum(a, b) - overlap**2 * np.float32(mm / 4)


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _frame(first: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """A rotation (3, 3): its first column is the unit vector ``first``; ``roll`` radians about it."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(first[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    second = _unit(helper - first * (helper @ first))
    third = np.cross(first, second)
    return np.stack(
        [first, np.cos(roll) * second + np.sin(roll) * third, np.cos(roll) * third - np.sin(roll) * second],
        axis=1,
    )
