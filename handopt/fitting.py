"""The pipeline: from a depth image to a fitted hand."""

import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.backend import Array, Device, one_cpu_thread, resolve_device, sparse_to_device, to_device, to_numpy, using
from handopt.camera import Camera
from handopt.confidence import Signs, confidence
from handopt.config import Config
from handopt.crop import Crop
from handopt.errors import ConfigError, ShapeError
from handopt.evidence import Evidence, gather_evidence
from handopt.explain import explain, visible_joints
from handopt.hand import MIRROR, Hand, Pose
from handopt.objective import Objective
from handopt.observation import Observation, observe
from handopt.optimise.descend import descend, prune, refine_vertices
from handopt.optimise.levenberg import LeastSquares
from handopt.optimise.replay import Winner
from handopt.optimise.solvers import MAX_SCALE, MIN_SCALE
from handopt.optimise.starts import around, believed_angles, fixed_starts, proposed_starts
from handopt.optimise.tournament import Tournament
from handopt.quality import Ranking, measure, most_plausible, ranked, status_of
from handopt.result import Alternative, FitResult
from handopt.rig import Rig, default_rig, with_proportions
from handopt.uncertainty import radius_mm, spread_of

Floats = NDArray[np.float64]
Progress = Callable[[int, int, float], None]
View = tuple[Observation, Crop, bool]

SHAPES = ("none", "scale", "proportions", "vertices")
HANDS = ("right", "left", "auto")
RETRY = 3  # times as many hypotheses in a second search


@dataclass(frozen=True)
class Start:
    """A pose to start from, instead of the fixed starts.

    rotation: (3, 3) rig -> camera; translation_mm: (3,) the wrist; angles_rad: (15, 3); scale: of the whole hand
    Raises ShapeError.
    """

    rotation: ArrayLike
    translation_mm: ArrayLike
    angles_rad: ArrayLike
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check shapes and values."""
        for name, shape in (("rotation", (3, 3)), ("translation_mm", (3,)), ("angles_rad", (15, 3)), ("scale", ())):
            values = np.asarray(getattr(self, name), np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise ShapeError(f"start.{name}: expected finite numbers of shape {shape}, got {values.tolist()}")
        rotation = np.asarray(self.rotation, np.float64)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise ShapeError(f"start.rotation: expected a rotation matrix, got {rotation.tolist()}")
        if not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise ShapeError(f"start.scale: expected a number from {MIN_SCALE} to {MAX_SCALE}, got {self.scale!r}")


def fit(
    depth_mm: NDArray[Any],
    camera: Camera,
    *,
    hand: str = "right",
    rig: Rig | None = None,
    mask: NDArray[Any] | None = None,
    box: Sequence[float] | None = None,
    center: Sequence[float] | None = None,
    start: Start | None = None,
    shape: str = "proportions",
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
    the palm; start: a pose to start from; shape: 'none', 'scale' (the hand's size), 'proportions' (of fingers and palm
    as well; gradient descent leaves them out) or 'vertices' (the surface as well)
    config: every other setting; device: 'auto', 'cpu', 'cuda' or 'cuda:N'; seed: of the points that are drawn
    image, assumptions: what the result should say of the image's origin; progress: called with iteration, planned
    iterations and the best total
    Raises ObservationError where no hand is found, NumericalError where the objective is no number, and DepthError,
    ShapeError, CameraError, ConfigError, DeviceError and RigError for arguments that make no sense.
    """
    config = _checked_config(config or Config(), shape)
    if seed < 0:
        raise ConfigError(f"seed: expected a number of at least 0, got {seed}; change --seed")
    rig = _checked_rig(rig, hand)
    depth_mm = np.asarray(depth_mm)
    if depth_mm.shape != (camera.height, camera.width):
        raise ShapeError(f"depth_mm: expected shape {(camera.height, camera.width)} as in camera, got {depth_mm.shape}")
    place = resolve_device(device)
    clock = _Clock()
    observations = observe(depth_mm, camera, mask=mask, box=box, center=center)
    clock.lap("observe")
    sides = [False, True] if hand == "auto" else [rig.side == "left"]
    crops = [observation.crop(config.crop_px, config.crop_half_mm) for observation in observations]
    views = [(*seen, mirror) for seen in zip(observations, crops, strict=True) for mirror in sides]
    right = rig if rig.side == "right" else rig.mirrored()
    with using(place):
        found = _optimise(right, views, start, shape, config.times(len(sides)), place, seed, clock, progress)
    winner, unexplained, alternatives = found.winner, found.unexplained, found.alternatives
    observation, crop, mirror = views[winner.view]
    fitted_rig = right.mirrored() if mirror else right
    shaped = with_proportions(fitted_rig, winner.proportions) if len(winner.proportions) else fitted_rig
    quality = measure(winner.vertices_mm, observation, fitted_rig.faces)
    visible = visible_joints(winner.joints_mm, quality.fitted_depth_mm, camera, float(winner.trace.scale[-1]))
    others = [(other.unexplained, other.joints_mm) for other in alternatives]
    seen = observation.likeness, observation.border_share
    signs = Signs.of(unexplained, winner.joints_mm, visible, others, *seen)
    sure = confidence(signs)
    clock.lap("measure")
    return FitResult(
        image=image,
        hand=fitted_rig.side,
        status=status_of(winner.converged, observation, quality, sure),
        camera=camera,
        rig=fitted_rig,
        observation=observation,
        crop=crop,
        shape_kind=shape,
        rest_mm=shaped.rest_mm if winner.trace.rest_mm is None else winner.trace.rest_mm[-1],
        fitted_depth_mm=quality.fitted_depth_mm,
        residual_mm=quality.residual_mm,
        silhouette_iou=quality.silhouette_iou,
        unexplained=unexplained,
        confidence=sure,
        joint_visible=visible,
        joint_uncertainty_mm=radius_mm(found.spread_mm2, visible, sure),
        alternatives=alternatives,
        seconds=clock.seconds,
        device=str(place),
        seed=seed,
        config=config.to_dict(),
        versions=_versions(),
        assumptions=(*assumptions, *rig.notes, *observation.notes),
        signs=signs,
        spread_mm2=found.spread_mm2,
        **winner.facts(),
    )


def _optimise(
    rig: Rig,
    views: list[View],
    start: Start | None,
    shape: str,
    config: Config,
    place: Device,
    seed: int,
    clock: "_Clock",
    progress: Progress | None,
) -> "_Found":
    """Fit a right hand to all views at once; left hands are mirrored views."""
    hand = Hand.of(rig, place)
    evidence = gather_evidence(views, rig.vertex_spacing_mm, config, np.random.default_rng(seed), place)
    laplacian = sparse_to_device(rig.laplacian(), place) if shape == "vertices" else None
    objective = Objective(hand, evidence, config, laplacian)
    scores = [observation.score for observation, _, _ in views]
    clock.lap("evidence")
    if config.solver == "gradient":
        pose = _starting_poses(objective, config, start)
        clock.lap("starts")
        found = [ranked(descend(objective, pose, config, progress), hand, evidence, scores)]
        clock.lap("descend")
    else:
        found = _searches(objective, rig, views, config, start, shape == "none", scores, clock, progress)
        clock.lap("tournament")
    found.sort(key=lambda each: each.judged[0])
    best = found[0]
    if config.solver == "auto":
        row = int(best.rows[0])
    else:
        observations = [observation for observation, _, _ in views]
        row = most_plausible(best.descent, hand, observations, evidence.mirrored, rig.faces)
    unexplained = float(best.unexplained[best.rows == row][0])
    others = tuple(
        other for each in found for other in _alternatives(each, hand, evidence, row if each is best else None)
    )
    descent = best.descent
    flip = MIRROR if evidence.mirrored[int(to_numpy(descent.pose.image)[row])] else np.ones(3)
    winning = descent.pose.select(to_device([row], place, np.int64))
    with one_cpu_thread():
        spread = spread_of(LeastSquares(hand, evidence, config), winning, config.rounds[-1].approach)
    clock.lap("choose")
    if shape == "vertices":
        descent, row = refine_vertices(objective, descent, row, config), 0
        clock.lap("vertices")
    winner = Winner.of(descent, row, evidence, hand)
    if shape == "vertices":
        unexplained = float(explain((winner.vertices_mm * flip)[None], rig.faces, *evidence.grids[winner.view])[0])
    return _Found(winner, unexplained, others, spread)


def _searches(
    objective: Objective,
    rig: Rig,
    views: list[View],
    config: Config,
    start: Start | None,
    rigid: bool,
    scores: list[float],
    clock: "_Clock",
    progress: Progress | None,
) -> list[Ranking]:
    """One tournament, and a larger one where it leaves too much unexplained. rigid: the hand keeps the rig's size."""
    hand, evidence = objective.hand, objective.evidence
    if start is not None:
        config = dataclasses.replace(config, rounds=(config.capture, *config.rounds))
    found: list[Ranking] = []
    for factor in (1, RETRY) if start is None and config.proposals else (1,):
        if found and found[0].unexplained.min() <= config.retry:
            break
        larger = config.times(factor)
        if factor > 1:
            larger = dataclasses.replace(larger, proposals=factor * config.proposals)
        with one_cpu_thread():
            pose, expected = _tournament_starts(objective, rig, views, larger, start)
            if start is None and rigid:
                pose.scale[:] = 1
            clock.lap("starts")
            descent = Tournament(hand, evidence, larger, progress).run(pose, expected)
        found.append(ranked(descent, hand, evidence, scores))
        clock.lap("tournament")
    return found


def _alternatives(ranking: Ranking, hand: Hand, evidence: Evidence, row: int | None) -> tuple[Alternative, ...]:
    """All survivors of a search but the given one, best first."""
    pose = ranking.descent.pose
    joints = to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))).astype(np.float64)
    images = to_numpy(pose.image)
    found = []
    for other, unexplained in zip(ranking.rows, ranking.unexplained, strict=True):
        if other != row:
            mirrored = evidence.mirrored[images[other]]
            side, flip = ("left", MIRROR) if mirrored else ("right", np.ones(3))
            found.append(Alternative(side, float(unexplained), joints[other] * flip))
    return tuple(found)


def _checked_config(config: Config, shape: str) -> Config:
    if shape not in SHAPES:
        raise ConfigError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}; change --shape")
    if shape in ("proportions", "vertices"):
        return config
    free = shape == "scale"
    stages = tuple(dataclasses.replace(stage, scale=free and stage.scale) for stage in config.stages)
    approaches = [
        dataclasses.replace(each.approach, scale=free and each.approach.scale, proportions=False)
        for each in config.rounds
    ]
    rounds = tuple(
        dataclasses.replace(each, approach=approach) for each, approach in zip(config.rounds, approaches, strict=True)
    )
    return dataclasses.replace(config, stages=stages, rounds=rounds)


def _checked_rig(rig: Rig | None, hand: str) -> Rig:
    if hand not in HANDS:
        raise ConfigError(f"hand: expected one of {', '.join(HANDS)}, got {hand!r}; change --hand")
    if rig is None:
        return default_rig("left" if hand == "left" else "right")
    if hand not in ("auto", rig.side):
        raise ConfigError(f"hand: the rig {rig.name} is a {rig.side} hand; use --hand {rig.side} or another --model")
    return rig


def _starting_poses(objective: Objective, config: Config, start: Start | None) -> Pose:
    """The best of the fixed starts, or the given one for every view."""
    hand, evidence = objective.hand, objective.evidence
    if start is not None:
        return _given_start(hand, evidence, start)
    first = config.stages[0]
    sharpness = objective.sharpness(first.radius_px, first.sigma_mm)
    return prune(objective, fixed_starts(hand, evidence), config.starts, sharpness)[0]


def _tournament_starts(
    objective: Objective, rig: Rig, views: list[View], config: Config, start: Start | None
) -> tuple[Pose, Array]:
    """Where the tournament begins, within the limits, and the angles (B, 15, 3) that the pose prior expects."""
    hand, evidence = objective.hand, objective.evidence
    if start is not None:
        pose = around(_given_start(hand, evidence, start), hand)
        expected = pose.angles
    elif config.proposals:
        pose = proposed_starts(hand, rig, views, config.proposals)
        expected = to_device(believed_angles(pose), hand.device, hand.rest.dtype)
    else:
        pose = fixed_starts(hand, evidence)
        expected = objective.prior.relaxed(len(pose))
    pose.angles = pose.angles.clip(hand.lower, hand.upper)
    return pose, expected


def _given_start(hand: Hand, evidence: Evidence, start: Start) -> Pose:
    """The given pose for every view."""
    flips = [np.diag(MIRROR) if mirrored else np.eye(3) for mirrored in evidence.mirrored]
    rotation, translation = np.asarray(start.rotation), np.asarray(start.translation_mm)
    dtype = hand.rest.dtype
    return Pose(
        angles=to_device([start.angles_rad] * len(flips), hand.device, dtype),
        rotation=to_device([flip @ rotation @ flip for flip in flips], hand.device, dtype),
        translation=to_device([flip @ translation for flip in flips], hand.device, dtype),
        scale=to_device([start.scale] * len(flips), hand.device, dtype),
        image=to_device(range(len(flips)), hand.device, np.int32),
        proportions=to_device(np.zeros((len(flips), 0)), hand.device, dtype),
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What a fit has found: the winner, what it leaves unexplained, the other survivors, the (21,) joints' spread."""

    winner: Winner
    unexplained: float
    alternatives: tuple[Alternative, ...]
    spread_mm2: Floats


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("handopt", "numpy", "scipy")}}
