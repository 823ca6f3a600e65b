"""The tracker: each frame starts from where the hand was going, and from scratch where that fails."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handopt.assess.confidence import DISTINCT_MM, LARGEST_GAP
from handopt.assess.visibility import visible_joints
from handopt.backend import Device, known_indices, one_cpu_thread, resolve_device, to_numpy, using
from handopt.config import Config, LMSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fitting import fit
from handopt.hand_model import Pose
from handopt.input.camera import Camera
from handopt.objective.energy import MAX_POINTS
from handopt.objective.least_squares import System
from handopt.objective.unexplained import unexplained_fraction
from handopt.ops.normal_equations import RIGID
from handopt.result import FitResult
from handopt.rig import Rig
from handopt.rig.joints import PALM_KEYPOINTS
from handopt.tracking.estimate import FrameEstimate, Placed, max_joint_jump, rotation_vector
from handopt.tracking.finger_proposals import Redraw, unexplained_patches
from handopt.tracking.frame_problem import Model
from handopt.tracking.frame_residuals import ShapeEstimate, Temporal, learn
from handopt.tracking.roi import RoiObservation, Wrist, crop_around, look

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

EXPECT = LMSettings(0, 15.0, points=100, vertices=160, free_space_mm=15.0, prior=0.5)
REACH = LMSettings(3, 12.0, points=160, vertices=300, free_space_mm=15.0, prior=0.5)
SETTLE = LMSettings(2, 6.0, points=400, vertices=400, plane=0.9, free_space_mm=15.0, prior=0.2)
FINISH = LMSettings(3, 4.0, points=1000, plane=0.9, free_space_mm=15.0, prior=0.1, scale=True, proportions=True)
KEPT = 6
"""Poses of a frame that are looked at closely."""
COST_SHARE = 0.5
"""How much a pose's cost counts beside what it leaves unexplained, both relative to the best."""
NEW_MARGIN = 0.05
"""By how much a pose with a finger elsewhere than expected must explain a frame better."""
RIVALS, DISTINCT_RAD = 3, 0.3
"""Other poses that the next frame starts from as well, and by how much they differ in an angle."""
VELOCITY_KEPT = 0.9
LONGEST_STEP = 4.0
"""Usual intervals that a hand goes on as it came."""
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
SURPRISE_LEAP_MM = 35.0
"""The same for a visible joint against the others."""
SURE = 0.8
"""Confidence of a fit that the track may rest on; with less the hand is looked for again after some frames."""
FIRST_RETRY, LONGEST_RETRY = 4, 128
LEARNS_BELOW = 0.3
LONGEST_PATIENCE = 30
SEED_OF_POINTS = 20170111


@dataclass(frozen=True)
class _Scratch:
    """A frame fitted from scratch: the hand, and the fit."""

    found: FrameEstimate
    fit: FitResult


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
            self._model = Model(
                rig, self.config, self._place, {each.vertices for each in (EXPECT, REACH, SETTLE, FINISH)}
            )
            self._redraw = Redraw(self._model)
        self._rng = np.random.default_rng([seed, SEED_OF_POINTS])
        self._prior = ShapeEstimate.unknown(self.config, len(rig.proportion_basis[0]), PRIOR_FACTOR)
        local = (rig.rest_mm - rig.bind[0, :, 3]) @ rig.bind[0, :, :3]
        self._end_mm = float(local[:, 2].max())
        self.shape = self._prior
        self.found: FrameEstimate | None = None
        self._before: Placed | None = None
        self._usual, self._steps = 0.1, (1.0, 1.0)
        self._frame = 0
        self._patience, self._waited = 0, 0
        self._retry, self._since = FIRST_RETRY, 0
        self._learns = True
        self._rivals: list[Placed] = []
        self._missed: Floats = np.zeros((0, 3))

    def follow(self, depth_mm: Image, steps: float = 1.0) -> FrameEstimate | None:
        """Take the next frame (H, W), mm, 0 where nothing is measured; None where the hand is not in it.

        steps: how long after the frame before, in usual intervals.
        """
        self._steps = self._steps[1], steps
        with using(self._place), one_cpu_thread(), known_indices():
            found = self._follow(depth_mm)
        self._frame += 1
        if found is None:
            if self.found is not None:
                self._before = None
            self.found, self._rivals = None, []
            return None
        self._before = self.found.placed if self.found is not None and not found.refitted else None
        self.found = found
        self.shape = found.shape
        self._usual += 0.1 * (min(found.unexplained, 0.4) - self._usual)
        return found

    def from_here(self, found: FrameEstimate) -> "Tracker":
        """Another tracker that starts from a frame and learns nothing of the shape."""
        other = Tracker.__new__(Tracker)
        other.__dict__.update(self.__dict__)
        other.found, other._before, other._learns, other._rivals = found, None, False, []
        other._steps = (1.0, 1.0)
        other._rng = np.random.default_rng([self._seed, SEED_OF_POINTS, self._frame])
        return other

    def prefers(self, depth_mm: Image, one: FrameEstimate, other: FrameEstimate) -> bool:
        """Whether one pose of a frame explains it better than another, by what each of the two takes for the hand."""
        with using(self._place), one_cpu_thread():
            meshes = np.stack([self._model.vertices(each.placed, each.shape) for each in (one, other)])
            left = np.zeros(2)
            for each in (one, other):
                view = self._look(depth_mm, each.placed)
                if view is not None:
                    left += unexplained_fraction(meshes, self._rig.faces, view.crop, view.grid)
            return bool(left[0] < left[1])

    def _follow(self, depth_mm: Image) -> FrameEstimate | None:
        if not (depth_mm > 0).any():
            return None
        found, surprise = self._continued(depth_mm) if self.found is not None else (None, False)
        if not self._learns:  # on the way back: what is lost there is left as it was
            return None if surprise or found is None or found.unexplained > LOST else found
        if found is not None and found.anchor_confidence < SURE:
            found = self._asked_again(depth_mm, found)
        if found is not None and not surprise and not self._doubtful(found):
            self._patience = max(self._patience - 1, 0)
            return found
        if found is not None and self._waited < self._patience:
            self._waited += 1
            return found
        again = self._better(depth_mm, found)
        if again is found:  # nothing better is to be had: ask less often
            self._patience, self._waited = min(2 * self._patience + 3, LONGEST_PATIENCE), 0
        else:
            self._patience = self._waited = 0
        return again if again is not None and again.unexplained < LOST else None

    def _doubtful(self, found: FrameEstimate) -> bool:
        return found.unexplained > max(DOUBTFUL, JUMP * self._usual)

    def _continued(self, depth_mm: Image) -> tuple[FrameEstimate | None, bool]:
        """Go on from the last frame; and whether the hand is far from where it was going."""
        assert self.found is not None
        last = self.found.placed
        before, now = self._steps
        share = VELOCITY_KEPT * min(now, LONGEST_STEP) / max(before, 1e-3)
        predicted = last if self._before is None else last.after(self._before, min(share, LONGEST_STEP))
        predicted = replace(predicted, angles_rad=self._model.within(predicted.angles_rad))
        temporal = Temporal(predicted.rotation, predicted.translation_mm, predicted.angles_rad).after(now)
        found = self._fitted(depth_mm, [predicted, last, *self._rivals], temporal)
        if found is None:
            return None, True
        shift = float(np.linalg.norm(found.placed.translation_mm - predicted.translation_mm))
        turn = float(np.linalg.norm(rotation_vector(found.placed.rotation @ predicted.rotation.T)))
        leap = max_joint_jump(self.found, found) / SURPRISE_LEAP_MM
        return found, max(shift / SURPRISE_MM, turn / SURPRISE_RAD, leap) > max(now, 1.0)

    def _asked_again(self, depth_mm: Image, found: FrameEstimate) -> FrameEstimate:
        """Look for the hand anew after some frames, anywhere in the image, where the track rests on a doubtful fit."""
        self._since += 1
        if self._since < self._retry:
            return found
        self._retry, self._since = min(2 * self._retry, LONGEST_RETRY), 0
        shape, self.shape = self.shape, self._prior
        clues = self._missed, self._rivals
        again = self._scratched(depth_mm, None)
        if again is not None and again.fit.confidence > found.anchor_confidence:
            apart = np.linalg.norm(again.found.joints_mm - found.joints_mm, axis=1)
            if apart[found.visible].max(initial=0.0) < DISTINCT_MM:
                found = replace(found, anchor_confidence=again.fit.confidence)
            elif again.fit.confidence >= SURE or self.prefers(depth_mm, again.found, found):
                self._usual = again.found.unexplained
                return again.found
        self.shape, (self._missed, self._rivals) = shape, clues
        return found

    def _better(self, depth_mm: Image, found: FrameEstimate | None) -> FrameEstimate | None:
        """Find the hand from scratch; the better of that and what was found before."""
        clues = self._missed, self._rivals
        again = self._scratched(depth_mm, found)
        if again is None or found is None:
            return found if again is None else again.found
        grid = again.fit.observation.grid(again.fit.crop)
        meshes = np.stack([self._model.vertices(each.placed, each.shape) for each in (found, again.found)])
        left = unexplained_fraction(meshes, self._rig.faces, again.fit.crop, grid)
        if left[1] < left[0]:
            return again.found
        self._missed, self._rivals = clues
        return found

    def _scratched(self, depth_mm: Image, found: FrameEstimate | None) -> _Scratch | None:
        """Find the hand from scratch, where the palm was last if it was followed to this frame."""
        hint = None
        if found is not None and self.found is not None:
            x, y, z = self.found.joints_mm[list(PALM_KEYPOINTS)].mean(axis=0).tolist()
            hint = (x, y, z)
        try:
            result = fit(depth_mm, self.camera, rig=self._rig, center=hint, config=self.config, device=str(self._place))
        except (ObservationError, NumericalError):
            return None
        if self.shape is self._prior:
            sizes = np.concatenate([[np.log(result.scale)], result.proportions])
            self.shape = ShapeEstimate(sizes, self._prior.precision)
        start = Placed(
            *(np.asarray(each, np.float64) for each in (result.rotation, result.translation_mm, result.angles_rad))
        )
        again = self._fitted(depth_mm, [start], None)
        if again is None:
            return None
        signs = result.signs
        runner_up_margin = LARGEST_GAP if signs is None else signs.runner_up_margin
        return _Scratch(
            replace(again, refitted=True, anchor_confidence=result.confidence, runner_up_margin=runner_up_margin),
            result,
        )

    def _fitted(self, depth_mm: Image, starts: list[Placed], temporal: Temporal | None) -> FrameEstimate | None:
        """Fit a frame from some starts, the first of which says where to look."""
        view = self._look(depth_mm, starts[0])
        if view is None:
            return None
        model = self._model
        shaped, pose = model.shaped(self.shape), model.poses(starts, self.shape)
        if temporal is not None:
            pose = pose.joined(self._redraw.finger_proposals(view, EXPECT, shaped, pose, temporal, self._missed))
        pose, system = model.descend(view, shaped, pose, REACH, temporal)
        best = np.argsort(to_numpy(system.cost), kind="stable")[:KEPT]
        pose, system = model.descend(view, shaped, pose.select(model.rows(best)), SETTLE, temporal)
        winner, runner_up_margin = self._chosen(view, pose, system, None if temporal is None else starts[0])
        pose, system = model.finish(view, pose.select(model.rows([winner])), self.shape, FINISH, temporal)
        if not np.isfinite(to_numpy(system.cost)).all():
            return None
        return replace(self._judged(view, pose, system), runner_up_margin=runner_up_margin)

    def _chosen(self, view: RoiObservation, pose: Pose, system: System, predicted: Placed | None) -> tuple[int, float]:
        """The pose that explains a frame best, and by how much; others are kept for the next frame.

        ahead: what is expected; a pose with a finger elsewhere must explain the frame better by a margin.
        """
        if len(pose) == 1:
            return 0, LARGEST_GAP
        costs = to_numpy(system.cost).astype(np.float64)
        costs = np.where(np.isfinite(costs), costs, np.inf)
        vertices, joints = self._model.meshes(pose, self.shape)
        left = np.maximum(unexplained_fraction(vertices, self._rig.faces, view.crop, view.grid), 1e-3)
        angles, rotation, translation = (
            to_numpy(each).astype(np.float64) for each in (pose.angles, pose.rotation, pose.translation)
        )
        score = left / left.min() + COST_SHARE * costs / costs.min()
        if predicted is not None:
            score += NEW_MARGIN * (np.abs(angles - predicted.angles_rad).max(axis=(1, 2)) > DISTINCT_RAD)
        order = np.argsort(score, kind="stable")
        kept, runner_up_margin = [int(order[0])], LARGEST_GAP
        for row in order[1:].tolist():
            if np.linalg.norm(joints[row] - joints[kept[0]], axis=1).max() > DISTINCT_MM:
                runner_up_margin = min(runner_up_margin, float(np.log(left[row] / left[kept[0]])))
            if min(np.abs(angles[row] - angles[each]).max() for each in kept) > DISTINCT_RAD:
                kept.append(row)
        self._rivals = [Placed(rotation[row], translation[row], angles[row]) for row in kept[1 : 1 + RIVALS]]
        return kept[0], max(runner_up_margin, -LARGEST_GAP)

    def _look(self, depth_mm: Image, start: Placed) -> RoiObservation | None:
        """Cut out what is near an expected hand."""
        vertices = self._model.vertices(start, self.shape)
        if not vertices[:, 2].min() > 0:
            return None
        crop = crop_around(vertices, self.camera)
        expected = self._model.depth(vertices, crop)
        wrist = self._rig.bind[0]
        axis = start.rotation @ wrist[:, 2]
        end = Wrist(start.translation_mm, axis, self.shape.scale * self._end_mm - END_MARGIN_MM)
        points = min(self.config.points, MAX_POINTS)
        return look(depth_mm, crop, expected, end, points, self._rng, self._place)

    def _judged(self, view: RoiObservation, pose: Pose, system: System) -> FrameEstimate:
        """Measure a fitted pose, and learn the hand's shape from it where it is good."""
        scale, proportions = float(to_numpy(pose.scale)[0]), to_numpy(pose.proportions)[0].astype(np.float64)
        solution = np.concatenate([[np.log(scale)], proportions])
        vertices, every = self._model.meshes(pose, ShapeEstimate(solution, self.shape.precision))
        joints = every[0]
        surface = self._model.depth(vertices[0], view.crop)
        unexplained = float(unexplained_fraction(vertices, self._rig.faces, view.crop, view.grid)[0])
        visible = visible_joints(joints, surface, view.crop.as_camera(), scale)
        placed = Placed(
            *(to_numpy(each)[0].astype(np.float64) for each in (pose.rotation, pose.translation, pose.angles))
        )
        self._missed = unexplained_patches(surface, view.grid, view.crop, placed, scale)
        lower = np.tril(to_numpy(system.hessian)[0].astype(np.float64))
        hessian = lower + np.tril(lower, -1).T
        shape = self.shape
        if not self._learns:
            pass
        elif unexplained < LEARNS_BELOW:
            shape = learn(self.shape, hessian, solution, RIGID + len(self._model.free), FORGETTING, self._prior)
        else:
            shape = ShapeEstimate(solution, self.shape.precision)
        anchor_confidence = 1.0 if self.found is None else self.found.anchor_confidence
        covariance = self._model.covariance(hessian).astype(np.float32)
        return FrameEstimate(
            placed, shape, joints, visible, unexplained, False, covariance, anchor_confidence=anchor_confidence
        )
