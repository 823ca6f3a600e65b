"""The tracker: each frame starts from where the hand was going, and from scratch where that fails."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, Device, one_cpu_thread, resolve_device, to_device, to_numpy, using
from handopt.camera import Camera
from handopt.config import Approach, Config
from handopt.errors import NumericalError, ObservationError
from handopt.explain import explain, visible_joints
from handopt.fitting import fit
from handopt.hand import Hand, Pose
from handopt.normal_equations import RIGID
from handopt.objective import MAX_POINTS
from handopt.optimise.fingers import GRIDS, ROWS
from handopt.optimise.levenberg import System, levenberg
from handopt.optimise.solvers import MAX_SCALE, MIN_SCALE
from handopt.raster import rasterise
from handopt.rig import Rig
from handopt.track.pose import Found, Placed, rotation_vector, suspect, wrongness
from handopt.track.residuals import FrameResiduals, Shape, Temporal, learn, without_sizes
from handopt.track.window import View, Wrist, crop_around, crop_camera, look

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

EXPECT = Approach(0, 15.0, points=160, vertices=300, outline_mm=15.0, prior=0.5)
REACH = Approach(3, 12.0, points=160, vertices=300, outline_mm=15.0, prior=0.5)
SETTLE = Approach(2, 6.0, points=400, vertices=400, plane=0.9, outline_mm=15.0, prior=0.2)
FINISH = Approach(3, 4.0, points=1000, plane=0.9, outline_mm=15.0, prior=0.1, scale=True, proportions=True)
VELOCITY_KEPT = 0.9
FORGETTING = 0.99
PRIOR_FACTOR = 1.0
END_MARGIN_MM = 2.0
LOST = 0.5
"""Unexplained share from which a fit is none."""
DOUBTFUL = 0.18
JUMP = 1.5
"""A frame that leaves this times the usual share unexplained, and more than DOUBTFUL, is fitted anew."""
SURPRISE_MM, SURPRISE_RAD = 20.0, 0.4
"""From where the hand was going, in a frame: one that moves farther was not followed but found."""
LEARNS_BELOW = 0.3
LONGEST_PATIENCE = 30
PALM = [0, 5, 9, 13, 17]
SEED_OF_POINTS = 20170111


@dataclass(frozen=True)
class _Worn:
    """Arrays of a hand in given proportions: rest (V, 3) mm, bind (J, 3, 4), keypoints (21, 3) mm."""

    rest: Array
    bind: Array
    keypoints: Array


class Tracker:
    """Follows a right hand; a left one is followed in mirror images.

    After each frame `found` says where the hand is, or None.
    """

    def __init__(
        self, rig: Rig, camera: Camera, config: Config | None = None, device: Device | None = None, seed: int = 0
    ) -> None:
        """rig: a right hand; camera: of all frames."""
        self.config = config or Config()
        self._rig, self.camera, self._seed = rig, camera, seed
        self._place = resolve_device("auto") if device is None else device
        with using(self._place):
            self._hand = Hand.of(rig, self._place)
        self._rng = np.random.default_rng([seed, SEED_OF_POINTS])
        self._prior = Shape.unknown(self.config, len(rig.proportion_basis[0]), PRIOR_FACTOR)
        self._free = np.flatnonzero(np.asarray(rig.limits.free).ravel())
        local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
        self._end_mm = float(local[:, 2].max())
        self.shape = self._prior
        self.found: Found | None = None
        self._before: Placed | None = None
        self._usual = 0.1
        self._frame = 0
        self._patience, self._waited = 0, 0
        self._learns = True
        self._suspect = 0
        self._problems = self._prepared()

    def follow(self, depth_mm: Image) -> Found | None:
        """Take the next frame (H, W), mm, 0 where nothing is measured; None where the hand is not in it."""
        with using(self._place), one_cpu_thread():
            found = self._follow(depth_mm)
        self._frame += 1
        if found is None:
            if self.found is not None:
                self._before = None
            self.found = None
            return None
        self._before = self.found.placed if self.found is not None and not found.refitted else None
        self.found = found
        self.shape = found.shape
        self._usual += 0.1 * (min(found.unexplained, 0.4) - self._usual)
        return found

    def from_here(self, found: Found) -> "Tracker":
        """Another tracker that starts from a frame and learns nothing of the shape."""
        other = Tracker.__new__(Tracker)
        other.__dict__.update(self.__dict__)
        other.found, other._before, other._learns = found, None, False
        other._rng = np.random.default_rng([self._seed, SEED_OF_POINTS, self._frame])
        return other

    def prefers(self, depth_mm: Image, one: Found, other: Found) -> bool:
        """Whether one pose of a frame explains it better than another, by what each of the two takes for the hand."""
        meshes = np.stack([self._vertices(each.placed, each.shape) for each in (one, other)])
        left = np.zeros(2)
        for each in (one, other):
            view = self._look(depth_mm, each.placed)
            if view is not None:
                left += explain(meshes, self._rig.faces, view.crop, view.grid)
        return bool(left[0] < left[1])

    def _follow(self, depth_mm: Image) -> Found | None:
        if not (depth_mm > 0).any():
            return None
        found, surprise = self._continued(depth_mm) if self.found is not None else (None, False)
        if found is not None and not surprise and not self._doubtful(found):
            self._patience = self._waited = 0
            return found
        if found is not None and self._waited < self._patience:
            self._waited += 1
            return found
        again = self._refitted(depth_mm, found)
        if again is found:  # nothing better is to be had: ask less often
            self._patience, self._waited = min(2 * self._patience + 1, LONGEST_PATIENCE), 0
        return again if again is not None and again.unexplained < LOST else None

    def _doubtful(self, found: Found) -> bool:
        return found.unexplained > max(DOUBTFUL, JUMP * self._usual)

    def _continued(self, depth_mm: Image) -> tuple[Found | None, bool]:
        """Go on from the last frame; and whether the hand is far from where it was going."""
        assert self.found is not None
        last = self.found.placed
        ahead = last if self._before is None else last.after(self._before, VELOCITY_KEPT)
        ahead = replace(ahead, angles_rad=self._within(ahead.angles_rad))
        temporal = Temporal(ahead.rotation, ahead.translation_mm, ahead.angles_rad)
        found = self._fitted(depth_mm, [ahead, last], temporal, refitted=False)
        if found is None:
            return None, True
        shift = float(np.linalg.norm(found.placed.translation_mm - ahead.translation_mm))
        turn = float(np.linalg.norm(rotation_vector(found.placed.rotation @ ahead.rotation.T)))
        return found, shift > SURPRISE_MM or turn > SURPRISE_RAD

    def _refitted(self, depth_mm: Image, found: Found | None) -> Found | None:
        """Find the hand from scratch; the better of that and what was found before."""
        try:
            hint = None if found is None else self._palm()
            result = fit(depth_mm, self.camera, rig=self._rig, center=hint, config=self.config, device=str(self._place))
        except (ObservationError, NumericalError):
            return found
        if self.shape is self._prior:
            sizes = np.concatenate([[np.log(result.scale)], result.proportions])
            self.shape = Shape(sizes, self._prior.precision)
        start = Placed(
            *(np.asarray(each, np.float64) for each in (result.rotation, result.translation_mm, result.angles_rad))
        )
        again = self._fitted(depth_mm, [start], None, refitted=True)
        if again is None or found is None:
            return again or found
        grid = result.observation.grid(result.crop)
        meshes = np.stack([self._vertices(each.placed, each.shape) for each in (found, again)])
        left = explain(meshes, self._rig.faces, result.crop, grid)
        return again if left[1] < left[0] else found

    def _palm(self) -> tuple[float, float, float] | None:
        """Where the palm was last."""
        if self.found is None:
            return None
        x, y, z = self.found.joints_mm[PALM].mean(axis=0).tolist()
        return x, y, z

    def _fitted(
        self, depth_mm: Image, starts: list[Placed], temporal: Temporal | None, *, refitted: bool
    ) -> Found | None:
        """Fit a frame from some starts, the first of which says where to look."""
        view = self._look(depth_mm, starts[0])
        if view is None:
            return None
        worn = self._worn()
        pose = self._poses(starts)
        if temporal is not None:
            pose = self._with_fresh(view, worn, pose, temporal)
        pose, system = self._descend(view, worn, pose, REACH, temporal)
        best = np.argsort(to_numpy(system.cost), kind="stable")[:2]
        pose, system = self._descend(view, worn, pose.select(self._rows(best)), SETTLE, temporal)
        pose = pose.select(self._rows([int(to_numpy(system.cost).argmin())]))
        problem = self._problems[0][0].at(self._hand, view.evidence, self.shape, temporal)
        pose.proportions = self._array(self.shape.proportions[None])
        pose.scale = self._array([self.shape.scale])
        pose, system = levenberg(problem, pose, FINISH)
        if not np.isfinite(to_numpy(system.cost)).all():
            return None
        return self._judged(view, pose, system, refitted)

    def _look(self, depth_mm: Image, start: Placed) -> View | None:
        """Cut out what is near an expected hand."""
        vertices = self._vertices(start, self.shape)
        if not vertices[:, 2].min() > 0:
            return None
        crop = crop_around(vertices, self.camera)
        expected = self._depth(vertices, crop)
        wrist = self._rig.bind[0]
        axis = start.rotation @ wrist[:, 2]
        end = Wrist(start.translation_mm, axis, self.shape.scale * self._end_mm - END_MARGIN_MM)
        points = min(self.config.points, MAX_POINTS)
        return look(depth_mm, crop, expected, end, points, self._rng, self._place)

    def _depth(self, vertices: Floats, crop: Any) -> Image:
        ax, bx, ay, by = crop.coefficients[:4]
        points = np.ascontiguousarray(vertices[None], np.float32)
        return np.asarray(rasterise(points, self._rig.faces, (ax, ay, bx, by, crop.size, crop.size))[0])

    def _with_fresh(self, view: View, worn: "_Worn", pose: Pose, temporal: Temporal) -> Pose:
        """The starts, and the best of the first one with a finger redrawn: the worst one, or each in turn."""
        finger = self._suspect if self._frame % 2 else self._frame // 2 % len(GRIDS)
        part = slice(ROWS * finger, ROWS * (finger + 1))
        grid = GRIDS[finger]
        drawn = pose.select(self._rows(np.zeros(len(grid))))
        angles = to_numpy(drawn.angles).copy()
        angles[:, part] = np.clip(grid, self._rig.limits.lower[part], self._rig.limits.upper[part])
        drawn.angles = self._array(angles)
        problem = self._problem(view, EXPECT, worn, temporal)
        costs = to_numpy(problem.cost(drawn, EXPECT))
        return pose.joined(drawn.select(self._rows([int(np.nanargmin(costs))])))

    def _descend(
        self, view: View, worn: "_Worn", pose: Pose, approach: Approach, temporal: Temporal | None
    ) -> tuple[Pose, System]:
        return levenberg(self._problem(view, approach, worn, temporal), pose, approach)

    def _judged(self, view: View, pose: Pose, system: System, refitted: bool) -> Found:
        """Measure a fitted pose, and learn the hand's shape from it where it is good."""
        transforms = self._hand.transforms(pose)
        vertices = to_numpy(self._hand.vertices(transforms, self._hand.rest_of(pose)))[0].astype(np.float64)
        joints = to_numpy(self._hand.joints(transforms, self._hand.keypoints_of(pose)))[0].astype(np.float64)
        scale = float(to_numpy(pose.scale)[0])
        surface = self._depth(vertices, view.crop)
        wrong = wrongness(surface, view.grid)
        unexplained = float(wrong.sum(dtype=np.float64) / view.seen)
        self._suspect = suspect(wrong, joints, view.crop)
        visible = visible_joints(joints, surface, crop_camera(view.crop), scale)
        lower = np.tril(to_numpy(system.hessian)[0].astype(np.float64))
        hessian = lower + np.tril(lower, -1).T
        count = RIGID + len(self._free)
        solution = np.concatenate([[np.log(scale)], to_numpy(pose.proportions)[0]]).astype(np.float64)
        shape = self.shape
        if not self._learns:
            pass
        elif unexplained < LEARNS_BELOW:
            shape = learn(self.shape, hessian, solution, count, FORGETTING, self._prior)
        else:
            shape = Shape(solution, self.shape.precision)
        placed = Placed(
            *(to_numpy(each)[0].astype(np.float64) for each in (pose.rotation, pose.translation, pose.angles))
        )
        return Found(placed, shape, joints, visible, unexplained, refitted, self._information(hessian, count))

    def _information(self, hessian: Floats, count: int) -> Floats:
        """Inverse variances of the pose's parameters (51,) with all others of the pose unknown."""
        rows = np.r_[0:6, RIGID:count]
        own = hessian[np.ix_(rows, rows)]
        variance = np.diag(np.linalg.inv(own + 1e-6 * np.diag(np.diag(own)) + 1e-9 * np.eye(len(own))))
        information = np.zeros(6 + 45)
        information[:6] = 1 / np.maximum(variance[:6], 1e-12)
        information[6 + self._free] = 1 / np.maximum(variance[6:], 1e-12)
        return information

    def _prepared(self) -> dict[int, tuple[FrameResiduals, Hand, NDArray[np.int64]]]:
        """By number of vertices: the least squares, the thinned hand, and which vertices it has."""
        prepared = {}
        config = without_sizes(self.config)
        rest = to_numpy(self._hand.rest)
        for count in {each.vertices for each in (EXPECT, REACH, SETTLE, FINISH)}:
            hand = self._hand.coarse(count) if count else self._hand
            kept = to_numpy(hand.rest)
            rows = np.array([np.flatnonzero((rest == vertex).all(axis=1))[0] for vertex in kept])
            prepared[count] = FrameResiduals(hand, config), hand, rows
        return prepared

    def _problem(self, view: View, approach: Approach, worn: "_Worn", temporal: Temporal | None) -> FrameResiduals:
        """The least squares of a frame, the hand in the proportions that are believed."""
        problem, thin, rows = self._problems[approach.vertices]
        hand = replace(thin, rest=worn.rest[self._rows(rows)], bind=worn.bind, keypoints=worn.keypoints)
        return problem.at(hand, view.evidence, None, temporal)

    def _worn(self) -> "_Worn":
        pose = self._poses([Placed(np.eye(3), np.zeros(3), np.zeros((15, 3)))])
        pose.proportions = self._array(self.shape.proportions[None])
        hand = self._hand
        return _Worn(hand.rest_of(pose)[0].copy(), hand.bind_of(pose)[0].copy(), hand.keypoints_of(pose)[0].copy())

    def _poses(self, placed: list[Placed]) -> Pose:
        return Pose(
            angles=self._array([self._within(each.angles_rad) for each in placed]),
            rotation=self._array([each.rotation for each in placed]),
            translation=self._array([each.translation_mm for each in placed]),
            scale=self._array([min(max(self.shape.scale, MIN_SCALE), MAX_SCALE)] * len(placed)),
            image=to_device(np.zeros(len(placed)), self._place, np.int32),
            proportions=self._array(np.zeros((len(placed), 0))),
        )

    def _vertices(self, placed: Placed, shape: Shape) -> Floats:
        pose = self._poses([placed])
        pose.proportions = self._array(shape.proportions[None])
        pose.scale = self._array([shape.scale])
        return np.asarray(to_numpy(self._hand.vertices(self._hand.transforms(pose), self._hand.rest_of(pose)))[0])

    def _within(self, angles: Floats) -> Floats:
        return np.clip(angles, self._rig.limits.lower, self._rig.limits.upper)

    def _rows(self, rows: Any) -> Array:
        return to_device(rows, self._place, np.int64)

    def _array(self, values: Any) -> Any:
        return to_device(values, self._place, np.float32)
