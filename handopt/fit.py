"""The pipeline: from a depth image to a fitted hand."""

import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.backend import Device, resolve_device, sparse_to_device, to_device, to_numpy, using
from handopt.camera import Camera
from handopt.config import Config
from handopt.crop import Crop
from handopt.errors import ConfigError, ShapeError
from handopt.evidence import Evidence, gather_evidence
from handopt.hand import Hand, Pose
from handopt.objective import Objective
from handopt.observation import Observation, observe
from handopt.optimise.descend import Descent, descend, prune, refine_vertices
from handopt.optimise.starts import fixed_starts
from handopt.projection import project
from handopt.rasterise import rasterise
from handopt.render import render_depth
from handopt.result import FitResult, Trace
from handopt.rig import Rig, default_rig

Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int, float], None]

SHAPES = ("none", "scale", "vertices")
HANDS = ("right", "left", "auto")
_MIRROR = np.array([-1.0, 1.0, 1.0])
GOOD_RESIDUAL_MM, GOOD_IOU = 5.0, 0.75
OVERLAP_WEIGHT, DOUBT_WEIGHT = 1.0, 0.1


@dataclass(frozen=True)
class Start:
    """A pose to start from, instead of the fixed starts.

    rotation: (3, 3) rig -> camera; translation_mm: (3,) the wrist; angles_rad: (15, 3); scale: of the whole hand
    """

    rotation: ArrayLike
    translation_mm: ArrayLike
    angles_rad: ArrayLike
    scale: float = 1.0


def fit(
    depth_mm: NDArray[Any],
    camera: Camera,
    *,
    hand: str = "right",
    rig: Rig | None = None,
    mask: NDArray[Any] | None = None,
    box: tuple[int, int, int, int] | None = None,
    center: Sequence[float] | None = None,
    start: Start | None = None,
    shape: str = "scale",
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    image: str | None = None,
    assumptions: Sequence[str] = (),
    progress: Progress | None = None,
) -> FitResult:
    """Fit a hand to a depth image.

    depth_mm: (H, W) mm, 0 where there is no measurement; camera: its intrinsics, of the same size
    hand: 'right', 'left', or 'auto' for the one that fits better; rig: of that side, the default hand if None
    mask: (H, W), nonzero on the hand; box: x0, y0, x1, y1 pixels around it; center: (u, v) pixels or (x, y, z) mm of
    the palm; start: a pose to start from; shape: 'none', 'scale' (the hand's size) or 'vertices' (its surface as well)
    config: every other setting; device: 'auto', 'cpu', 'cuda' or 'cuda:N'; seed: of the points that are drawn
    image, assumptions: what the result should say of the image's origin; progress: called with iteration, planned
    iterations and the best total
    Raises ObservationError where no hand is found, and ShapeError, ConfigError, DeviceError, RigError.
    """
    config = config or Config()
    if hand not in HANDS:
        raise ConfigError(f"hand: expected one of {', '.join(HANDS)}, got {hand!r}")
    if shape not in SHAPES:
        raise ConfigError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")
    if rig is None:
        rig = default_rig("left" if hand == "left" else "right")
    if hand != "auto" and rig.side != hand:
        raise ConfigError(f"hand: the rig {rig.name} is a {rig.side} hand; use --hand {rig.side} or another --model")
    depth_mm = np.asarray(depth_mm, np.float32)
    if depth_mm.shape != (camera.height, camera.width):
        raise ShapeError(f"depth_mm: expected shape {(camera.height, camera.width)} as in camera, got {depth_mm.shape}")

    clock = _Clock()
    place = resolve_device(device)
    observations = observe(depth_mm, camera, mask=mask, box=box, center=center)
    clock.lap("observe")
    if shape == "none":
        config = dataclasses.replace(config, stages=tuple(dataclasses.replace(s, scale=False) for s in config.stages))
    right = rig if rig.side == "right" else rig.mirrored()
    sides = [False, True] if hand == "auto" else [hand == "left"]
    views = [
        (observation, observation.crop(config.crop_px, config.crop_half_mm), mirror)
        for observation in observations
        for mirror in sides
    ]
    with using(place):
        model = Hand.of(right, place)
        evidence = gather_evidence(views, vertex_spacing(right), config, np.random.default_rng(seed), place)
        laplacian = sparse_to_device(right.laplacian(), place) if shape == "vertices" else None
        objective = Objective(model, evidence, config, laplacian)
        pose = _starting_poses(objective, config, start)
        clock.lap("starts")
        descent = descend(objective, pose, config, progress)
        clock.lap("descend")
        row = _most_plausible(descent, model, [observation for observation, _, _ in views], evidence.mirrored, right)
        clock.lap("choose")
        if shape == "vertices":
            descent = refine_vertices(objective, descent, row, config)
            row = 0
            clock.lap("vertices")
        winner = _Winner.of(descent, row, evidence, model)
    observation, crop, mirror = views[winner.view]
    if mirror and rig.side == "right":
        rig = rig.mirrored()
    elif not mirror:
        rig = right
    facts = _facts(winner.vertices_mm, observation, rig.faces)
    clock.lap("measure")
    return FitResult(
        image=image,
        hand=rig.side,
        status=_status(descent.converged, observation, facts),
        converged=descent.converged,
        camera=camera,
        rig=rig,
        observation=observation,
        crop=crop,
        joints_mm=winner.joints_mm,
        rotation=winner.trace.rotation[-1],
        translation_mm=winner.trace.translation_mm[-1],
        angles_rad=winner.trace.angles_rad[-1],
        scale=float(winner.trace.scale[-1]),
        shape_kind=shape,
        rest_mm=rig.rest_mm if winner.trace.rest_mm is None else winner.trace.rest_mm[-1],
        vertices_mm=winner.vertices_mm,
        fitted_depth_mm=facts.fitted_depth_mm,
        residual_mm=facts.residual_mm,
        silhouette_iou=facts.silhouette_iou,
        terms={name: float(values[-1]) for name, values in winner.history.items() if name not in _SCHEDULE},
        iterations=len(winner.trace.scale),
        seconds=clock.seconds,
        device=str(place),
        seed=seed,
        config=config.to_dict(),
        versions=_versions(),
        assumptions=(*assumptions, *rig.notes, *observation.notes),
        history=winner.history,
        trace=winner.trace,
        renders=winner.renders,
        target=winner.target,
    )


def vertex_spacing(rig: Rig) -> float:
    """Mean distance of neighbouring vertices, mm: the square root of the surface per vertex."""
    a, b, c = (rig.rest_mm[rig.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    return float(np.sqrt(area / len(rig.rest_mm)))


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _starting_poses(objective: Objective, config: Config, start: Start | None) -> Pose:
    """The best of the fixed starts, or the given one for every view."""
    hand, evidence = objective.hand, objective.evidence
    if start is None:
        first = config.stages[0]
        sharpness = objective.sharpness(first.radius_px, first.sigma_mm)
        return prune(objective, fixed_starts(hand, evidence), config.starts, sharpness)[0]
    rows = []
    for mirrored in evidence.mirrored:
        flip = np.diag(_MIRROR) if mirrored else np.eye(3)
        rows.append((flip @ np.asarray(start.rotation) @ flip, flip @ np.asarray(start.translation_mm)))

    def place(values: Any, dtype: type = np.float32) -> Any:
        return to_device(values, hand.device, dtype)

    return Pose(
        angles=place(np.stack([np.asarray(start.angles_rad)] * len(rows))),
        rotation=place(np.stack([rotation for rotation, _ in rows])),
        translation=place(np.stack([translation for _, translation in rows])),
        scale=place(np.full(len(rows), start.scale)),
        image=place(np.arange(len(rows)), np.int32),
    )


_SCHEDULE = ("stage", "radius_px", "step")


@dataclass(frozen=True)
class _Winner:
    """The best hypothesis and its way there, on the host and mirrored back where the hand is a left one."""

    view: int
    trace: Trace
    history: dict[str, NDArray[Any]]
    joints_mm: Floats
    vertices_mm: Floats
    renders: Floats
    target: Floats

    @classmethod
    def of(cls, descent: Descent, row: int, evidence: Evidence, hand: Hand) -> "_Winner":
        """Follow one hypothesis through all steps and render each of them."""
        path = descent.path(row)
        view = int(to_numpy(descent.pose.image)[row])
        flip = np.diag(_MIRROR) if evidence.mirrored[view] else np.eye(3)
        poses = [
            Pose(*(to_numpy(getattr(step.pose, f.name)[row : row + 1]) for f in dataclasses.fields(Pose)))
            for step, row in path
        ]
        joined = Pose(*(np.concatenate([getattr(p, f.name) for p in poses]) for f in dataclasses.fields(Pose)))
        rests = [step.rest for step, _ in path]
        history: dict[str, NDArray[Any]] = {
            name: np.array([step.terms[name][row] for step, row in path]) for name in descent.steps[0].terms
        }
        history["total"] = np.sum(list(history.values()), axis=0)
        history["stage"] = np.array([step.stage for step, _ in path])
        history["radius_px"] = np.array([step.radius_px for step, _ in path])
        history["step"] = np.array([step.factor for step, _ in path])
        vertices, joints, renders = _replay(hand, evidence, joined, rests, history["radius_px"])
        mirrored = evidence.mirrored[view]
        targets = to_numpy(evidence.target(float(history["radius_px"][-1])))[view]
        rest_trace = None
        if rests[-1] is not None:
            default = to_numpy(hand.rest)
            rest_trace = np.stack([default if rest is None else rest for rest in rests]) @ flip
        return cls(
            view=view,
            trace=Trace(
                rotation=flip @ joined.rotation.astype(np.float64) @ flip,
                translation_mm=joined.translation.astype(np.float64) @ flip,
                angles_rad=joined.angles.astype(np.float64),
                scale=joined.scale.astype(np.float64),
                rest_mm=rest_trace,
            ),
            history=history,
            joints_mm=joints.astype(np.float64) @ flip,
            vertices_mm=vertices.astype(np.float64) @ flip,
            renders=renders[:, :, ::-1] if mirrored else renders,
            target=targets[:, ::-1] if mirrored else targets,
        )


def _replay(
    hand: Hand, evidence: Evidence, pose: Pose, rests: list[Any], radii: NDArray[Any]
) -> tuple[Floats, Floats, Floats]:
    """The last pose's vertices and joints, and a render of every pose at its radius."""
    device = hand.device
    on_device = Pose(*(to_device(getattr(pose, f.name), device, getattr(pose, f.name).dtype) for f in dataclasses.fields(Pose)))
    transforms = hand.transforms(on_device)
    vertices = hand.vertices(transforms)
    for row, rest in enumerate(rests):
        if rest is not None:
            vertices[row] = hand.vertices(transforms[row : row + 1], to_device(rest, device))[0]
    projected = project(vertices, evidence.coefficients[on_device.image])
    renders = np.empty((len(radii), evidence.size, evidence.size), np.float32)
    for radius in np.unique(radii):
        rows = np.flatnonzero(radii == radius)
        picked = projected[to_device(rows, device, np.int64)]
        renders[rows] = to_numpy(render_depth(picked, float(radius), evidence.size)[0])
    return to_numpy(vertices[-1]), to_numpy(hand.joints(transforms)[-1]), renders


@dataclass(frozen=True)
class _Facts:
    fitted_depth_mm: Floats
    residual_mm: dict[str, float]
    silhouette_iou: float


def _most_plausible(
    descent: Descent, hand: Hand, observations: list[Observation], mirrored: tuple[bool, ...], rig: Rig
) -> int:
    """The row to report: the best of each view is judged by its total, its overlap, and its view's own plausibility."""
    images = to_numpy(descent.pose.image)
    rows = [int(np.flatnonzero(images == image)[0]) for image in np.unique(images)]
    if len(rows) == 1:
        return rows[0]
    vertices = to_numpy(hand.vertices(hand.transforms(descent.pose))).astype(np.float64)
    best_score = max(observation.score for observation in observations)
    costs = []
    for row in rows:
        observation = observations[images[row]]
        posed = vertices[row] * (_MIRROR if mirrored[images[row]] else 1)
        overlap = _facts(posed, observation, rig.faces).silhouette_iou
        doubt = best_score - observation.score
        costs.append(descent.totals[row] + OVERLAP_WEIGHT * (1 - overlap) + DOUBT_WEIGHT * doubt)
    return rows[int(np.argmin(costs))]


def _facts(vertices_mm: Floats, observation: Observation, faces: NDArray[np.int32]) -> _Facts:
    """Measure the fit on the full image: a z-buffered mesh against the observed hand, the forearm left out."""
    from scipy.ndimage import binary_fill_holes

    camera = observation.camera
    intrinsics = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    vertices = np.ascontiguousarray(vertices_mm[None])
    fitted = rasterise(vertices, np.ascontiguousarray(faces), intrinsics)[0].astype(np.float32)
    covered = fitted > 0
    seen = observation.mask & covered & (observation.depth_mm > 0)
    residual = np.abs(observation.depth_mm - fitted)[seen]
    numbers = (
        {"median": float(np.median(residual)), "mean": float(residual.mean()), "p95": float(np.percentile(residual, 95))}
        if residual.size
        else dict.fromkeys(("median", "mean", "p95"), float("inf"))
    )
    hand = binary_fill_holes(observation.mask)
    union = (hand | covered) & ~observation.arm
    return _Facts(fitted, numbers, float((hand & covered).sum() / max(1, union.sum())))


def _status(converged: bool, observation: Observation, facts: _Facts) -> str:
    residual, overlap = facts.residual_mm["median"], facts.silhouette_iou
    if not np.isfinite(residual):
        verdict = "The fit failed: the model does not cover the observed hand"
    elif residual > GOOD_RESIDUAL_MM or overlap < GOOD_IOU:
        verdict = f"The fit is poor: median residual {residual:.1f} mm, silhouettes overlap by {overlap:.0%}"
    else:
        verdict = f"The fit is good: median residual {residual:.1f} mm, silhouettes overlap by {overlap:.0%}"
    ending = "" if converged else "; it was still improving when the iterations ran out"
    border = "; the hand touches the image border" if observation.touches_border else ""
    return verdict + ending + border + "."


def _versions() -> dict[str, str]:
    names: tuple[Literal["handopt"], ...] | tuple[str, ...] = ("handopt", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


__all__ = ["HANDS", "SHAPES", "Device", "FitResult", "Start", "fit", "vertex_spacing", "Crop"]
