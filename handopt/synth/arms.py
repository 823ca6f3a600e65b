"""Arms as they come: forearm and upper arm, bare or in a sleeve with folds and a cuff, with bracelets or a watch."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from handopt.rig import Rig
from handopt.synth.forearm import Forearm, bent, sample_forearm, wrist_section
from handopt.synth.primitives import Solid, merged, solid_mesh, tube_faces, unit_sphere
from handopt.synth.wild_config import CONFIG
from handopt.typing import Faces, Floats

_CONFIG = CONFIG.arm


@dataclass(frozen=True)
class Sleeve:
    """A sleeve. cuff_mm: where it ends, from the wrist towards the elbow. ease_mm: between it and the arm, at the cuff
    and beyond. band_mm: length of the cuff's band, and how much thicker it is. folds: (n, 4) waves of its surface:
    height mm, number around, radians per mm along, phase.
    """

    cuff_mm: float
    ease_mm: tuple[float, float]
    band_mm: tuple[float, float]
    folds: Floats


@dataclass(frozen=True)
class Arm:
    """An arm that leaves a right hand's wrist, at scale 1.

    bands: (n, 3) of each bracelet: where it begins, its width and its thickness, mm. watch: where it is, its radius,
    its thickness, and the angle around the arm, or None. upper: direction (3,) in the forearm's frame, length and
    radius of the upper arm, or None; covered: whether a sleeve covers it.
    """

    forearm: Forearm
    sleeve: Sleeve | None
    bands: Floats
    watch: tuple[float, float, float, float] | None
    upper: tuple[Floats, float, float] | None
    covered: bool

    @property
    def dress(self) -> str:
        """What is on it: "sleeve", "band" or "bare"."""
        if self.sleeve is not None:
            return "sleeve"
        return "band" if len(self.bands) or self.watch is not None else "bare"


def sample_arm(rng: np.random.Generator) -> Arm:
    """Draw an arm."""
    drawn = sample_forearm(rng)
    stump = rng.random() < _CONFIG.stump_share
    length = float(rng.uniform(*_CONFIG.whole_mm))
    if stump:
        length *= float(rng.uniform(*_CONFIG.stump))
    forearm = Forearm(drawn.flexion, drawn.deviation, length, drawn.half_width_mm, drawn.half_height_mm)
    sleeve = _sample_sleeve(rng, length) if rng.random() < _CONFIG.sleeve_share else None
    count = int(rng.integers(1, 4)) if sleeve is None and rng.random() < _CONFIG.bracelet_share else 0
    bands = np.stack([rng.uniform([0.0, 3.0, 1.5], [60.0, 16.0, 5.0]) for _ in range(count)] or [np.zeros(3)])[:count]
    watch = None
    if (sleeve is None or sleeve.cuff_mm > 45.0) and length > 60.0 and rng.random() < _CONFIG.watch_share:
        face = np.pi / 2 if rng.random() < 0.75 else -np.pi / 2
        watch = tuple(
            float(x) for x in (*rng.uniform([8.0, 14.0, 6.0], [30.0, 23.0, 13.0]), face + rng.normal(0.0, 0.25))
        )
    upper = None
    if not stump:
        direction = np.array([0.0, 0.0, 1.0])
        upper = (direction, float(rng.uniform(*_CONFIG.upper_mm)), float(rng.uniform(*_CONFIG.upper_radius_mm)))
    return Arm(forearm, sleeve, bands, watch, upper, sleeve is not None or rng.random() < _CONFIG.covered_share)  # type: ignore[arg-type]


def _sample_sleeve(rng: np.random.Generator, length: float) -> Sleeve:
    # Most sleeves end near the wrist; some are rolled up, a few reach onto the hand.
    near = _CONFIG.cuff_near_mm
    cuff = float(
        rng.uniform(*near)
        if rng.random() < _CONFIG.cuff_near_share
        else rng.uniform(near[1], max(length - 25.0, near[1] + 1.0))
    )
    cuff = min(cuff, length - 20.0)
    loose = float(rng.uniform(*_CONFIG.ease_mm))
    at_cuff = loose * float(
        rng.uniform(*(_CONFIG.tight_cuff if rng.random() < _CONFIG.tight_cuff_share else _CONFIG.wide_cuff))
    )
    count = int(rng.integers(*_CONFIG.fold_count, endpoint=True))
    height = float(np.exp(rng.uniform(*np.log(_CONFIG.fold_mm))))
    folds = np.column_stack(
        [
            height * rng.uniform(_CONFIG.fold_least, 1.0, count),
            rng.integers(0, _CONFIG.fold_max_around + 1, count),
            2 * np.pi / rng.uniform(*_CONFIG.fold_length_mm, count) * rng.choice([-1.0, 1.0], count),
            rng.uniform(0.0, 2 * np.pi, count),
        ]
    )
    band = (float(rng.uniform(*_CONFIG.band_length_mm)), float(rng.uniform(*_CONFIG.band_thick_mm)))
    return Sleeve(cuff, (at_cuff, loose), band, folds)


def aimed(arm: Arm, direction: Floats) -> Arm:
    """The arm whose upper arm points in a direction (3,) of the forearm's frame, or as nearly so as an elbow allows."""
    if arm.upper is None:
        return arm
    across = np.append(direction[:2], 0.0)
    length = float(np.linalg.norm(across))
    bend = min(float(np.arctan2(length, direction[2])), _CONFIG.max_elbow_rad)
    towards = np.sin(bend) * across / max(length, 1e-9) + [0.0, 0.0, np.cos(bend)]
    return replace(arm, upper=(towards, *arm.upper[1:]))


def arm_mesh(arm: Arm, rig: Rig) -> tuple[Floats, Faces]:
    """Vertices (n, 3) in the rig's frame, mm at scale 1, and faces (m, 3) of an arm with what is on it."""
    forearm, length = arm.forearm, arm.forearm.length_mm
    along = _steps(0.0, length)
    parts = [_tube(forearm, rig, along, np.zeros(len(along)))]
    if arm.sleeve is not None:
        parts.append(_sleeve_mesh(arm.sleeve, forearm, rig))
    for begin, width, thickness in arm.bands:
        if begin + width < length:
            profile = begin + width * np.array([0.0, 0.0, 0.25, 0.75, 1.0, 1.0])
            parts.append(_tube(forearm, rig, profile, thickness * np.array([-1.0, 0.6, 1.0, 1.0, 0.6, -1.0])))
    if arm.watch is not None:
        parts += _watch_mesh(arm.watch, forearm, rig)
    if arm.upper is not None:
        parts += _upper_mesh(arm, rig)
    points, faces = merged(parts)
    return points @ rig.bind[0, :, :3].T + rig.bind[0, :, 3], faces


def wrist_bend(forearm: Forearm) -> Floats:
    """The rotation (3, 3) from the forearm's frame, whose z axis goes to the elbow, to the wrist's."""
    return np.asarray(Rotation.from_rotvec([forearm.flexion, forearm.deviation, 0.0]).as_matrix())


def _steps(begin: float, end: float) -> Floats:
    return np.linspace(begin, end, max(3, int((end - begin) / _CONFIG.ring_mm) + 2))


def _half_axes(forearm: Forearm, rig: Rig, along: Floats) -> tuple[Floats, Floats]:
    """Half width and half height (n,) of the bare arm, mm."""
    _, half_width, half_height, _ = wrist_section(rig)
    share = np.clip(along / _CONFIG.full_mm, 0.0, 1.0)
    swell = share * share * (3 - 2 * share)
    wide = _CONFIG.inset * half_width + swell * (forearm.half_width_mm - half_width)
    return wide, _CONFIG.inset * half_height + swell * (forearm.half_height_mm - half_height)


def _tube(forearm: Forearm, rig: Rig, along: Floats, extra: Floats) -> tuple[Floats, Faces]:
    """A closed tube around the arm, in the wrist's frame. along: (n,) mm; extra: (n,) or (n, sides) to its radius."""
    angle = np.linspace(0.0, 2 * np.pi, _CONFIG.sides, endpoint=False)
    wide, high = _half_axes(forearm, rig, along)
    more = extra[:, None] if extra.ndim == 1 else extra
    ring = np.stack([(wide[:, None] + more) * np.cos(angle), (high[:, None] + more) * np.sin(angle)], axis=-1)
    points = bent(forearm, ring.reshape(-1, 2), np.repeat(along, _CONFIG.sides), rig)
    return points, tube_faces(len(along), _CONFIG.sides)


def _sleeve_mesh(sleeve: Sleeve, forearm: Forearm, rig: Rig) -> tuple[Floats, Faces]:
    """A sleeve with folds, whose cuff has an edge, as thick as the sleeve is wide of the arm."""
    along = _steps(sleeve.cuff_mm, forearm.length_mm)
    from_cuff = along - sleeve.cuff_mm
    share = np.clip(from_cuff / _CONFIG.ease_grows_mm, 0.0, 1.0)
    ease = sleeve.ease_mm[0] + share * (sleeve.ease_mm[1] - sleeve.ease_mm[0])
    ease = ease + sleeve.band_mm[1] * (from_cuff < sleeve.band_mm[0])
    angle = np.linspace(0.0, 2 * np.pi, _CONFIG.sides, endpoint=False)
    height, number, rate, phase = (column[:, None, None] for column in sleeve.folds.T)
    waves = (height * np.cos(number * angle + rate * along[:, None] + phase)).sum(axis=0)
    extra = np.maximum(ease[:, None] + np.clip(from_cuff / _CONFIG.fold_fades_mm, 0.1, 1.0)[:, None] * waves, 0.8)
    inner = np.full((1, _CONFIG.sides), -2.0)
    return _tube(forearm, rig, np.concatenate([along[:1], along]), np.concatenate([inner, extra]))


def _watch_mesh(watch: tuple[float, float, float, float], forearm: Forearm, rig: Rig) -> list[tuple[Floats, Faces]]:
    """The strap and the case of a watch."""
    place, radius, thickness, around = watch
    strap = place + radius * np.array([-0.5, -0.5, 0.5, 0.5])
    parts = [_tube(forearm, rig, np.maximum(strap, 0.0), np.array([-1.0, 2.0, 2.0, -1.0]))]
    case, faces = solid_mesh(Solid("cylinder", (radius, radius, thickness / 2), 1.5))
    wide, high = _half_axes(forearm, rig, np.array([place]))
    out = np.array([np.cos(around), np.sin(around)])
    reach = float(np.hypot(wide[0] * out[0], high[0] * out[1])) + thickness / 2 - 2.0
    across = (reach + case[:, 2])[:, None] * out + case[:, :1] * np.array([-out[1], out[0]])
    return [*parts, (bent(forearm, across, place + case[:, 1], rig), faces)]


def _upper_mesh(arm: Arm, rig: Rig) -> list[tuple[Floats, Faces]]:
    """An elbow and an upper arm, tapered tubes that end in a shoulder."""
    assert arm.upper is not None
    direction, length, radius = arm.upper
    forearm = arm.forearm
    elbow = bent(forearm, np.zeros((1, 2)), np.array([forearm.length_mm]), rig)[0]
    towards = wrist_bend(forearm) @ direction
    ease = arm.sleeve.ease_mm[1] if arm.sleeve is not None else 0.0
    start = 0.5 * (forearm.half_width_mm + forearm.half_height_mm) + ease
    along = np.linspace(0.0, length, 10)
    size = start + (radius + ease + 4.0 * arm.covered - start) * np.clip(along / 120.0, 0.0, 1.0)
    angle = np.linspace(0.0, 2 * np.pi, _CONFIG.sides, endpoint=False)
    first = np.cross(towards, [1.0, 0.0, 0.0] if abs(towards[0]) < 0.8 else [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first)
    circle = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * np.cross(towards, first)
    points = elbow + along[:, None, None] * towards + size[:, None, None] * circle
    ball, faces = unit_sphere()
    return [
        (points.reshape(-1, 3), tube_faces(len(along), _CONFIG.sides)),
        (elbow + 1.02 * start * ball, faces),
        (points[-1].mean(axis=0) + 1.05 * size[-1] * ball, faces),
    ]
