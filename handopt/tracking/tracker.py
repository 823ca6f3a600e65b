"""The tracker: each frame starts from where the hand was going, and from scratch where that fails."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handopt.assess.config import ASSESS
from handopt.backend import cpu_threads, known_indices, one_cpu_thread, resolve_device, some_cpu_threads, using
from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fitting import fit
from handopt.input.camera import Camera
from handopt.input.sequence.base import split_ignored
from handopt.objective.unexplained import unexplained_fraction
from handopt.result import FitResult
from handopt.rig import Rig
from handopt.rig.joints import palm_of
from handopt.tracking.config import TrackingConfig
from handopt.tracking.frame_fit import FrameFit, FrameFitter
from handopt.tracking.frame_residuals import ShapeEstimate, Temporal
from handopt.tracking.pose_estimate import Placed, PoseEstimate, max_joint_jump, rotation_vector
from handopt.typing import FloatImage, Floats

SEED_OF_POINTS = 20170111

FitAlone = Callable[[FloatImage, Floats | None], FitResult | None]
"""What fits a frame (H, W), mm, as a single image; None where it finds no hand. The second argument, (3,) mm, says
where the palm is, None where nothing does."""


@dataclass(frozen=True)
class TrackerState:
    """All that a tracker knows between two frames: the same state and the same image give the same result.

    fit: of the last frame, None where there was no hand in it. before: pose of the frame before it, None where the
    hand was found from scratch since. shape: what is known of the hand, None before the first fit. intervals: how long
    the last frame came after the one before it, in usual intervals. usual: running mean of the unexplained fraction.
    patience: doubtful frames that may pass without a fit from scratch; waited: how many have. retry: frames between two
    checks of the anchor; unchecked: frames since the last one. learns: whether frames update the shape. frames: how
    many were taken. random_state: of the generator that draws points.
    """

    random_state: Any
    retry: int
    usual: float
    fit: FrameFit | None = None
    before: Placed | None = None
    shape: ShapeEstimate | None = None
    intervals: float = 1.0
    patience: int = 0
    waited: int = 0
    unchecked: int = 0
    learns: bool = True
    frames: int = 0

    @property
    def estimate(self) -> PoseEstimate | None:
        """The hand in the last frame."""
        return None if self.fit is None else self.fit.estimate


@dataclass(frozen=True)
class _Frame:
    """A frame on its way. depth_mm: (H, W). rng: draws the points of the fit that goes on from the last frame.

    scratch_rng: draws those of fits from scratch: what follows a frame is the same whether there was one, as long as
    its pose was not taken. alone: fits the frame as a single image.
    """

    depth_mm: FloatImage
    rng: np.random.Generator
    scratch_rng: np.random.Generator
    alone: FitAlone


@dataclass(frozen=True)
class _Scratch:
    """A frame fitted from scratch. start: the shape that it was fitted with."""

    fit: FrameFit
    result: FitResult
    start: ShapeEstimate


class Tracker:
    """Follows a right hand; a left one is followed in mirror images.

    A tracker holds nothing of the frames: `step` takes a state and returns the next one.
    """

    def __init__(
        self,
        rig: Rig,
        camera: Camera,
        settings: FitSettings | None = None,
        tracking: TrackingConfig | None = None,
    ) -> None:
        """rig: a right hand; camera: of all frames; settings: of fits from scratch, and where to compute."""
        settings = settings or FitSettings()
        self._config, self._seed, self._proposals = settings.config, settings.seed, settings.proposals
        self._rig, self.camera = rig, camera
        tracking = tracking or TrackingConfig()
        self._settings = tracking.tracker
        self._place = resolve_device(settings.device)
        with using(self._place):
            self._fitter = FrameFitter(rig, camera, self._config, tracking, self._place)

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU."""
        return self._place.kind == "cpu"

    def start(self) -> TrackerState:
        """The state before the first frame."""
        return TrackerState(_random_state(self._seed), self._settings.first_retry, self._settings.first_usual)

    def step(
        self,
        state: TrackerState,
        depth_mm: FloatImage,
        intervals: float = 1.0,
        alone: FitAlone | None = None,
    ) -> tuple[TrackerState, PoseEstimate | None]:
        """The state after the next frame, and the hand in it, None where it is not in it.

        depth_mm: (H, W), mm, 0 where nothing is measured, NaN where pixels are left out. intervals: how long
        after the frame before, in usual intervals. alone: what fits the frame as a single image where that is needed,
        `fit_alone` if None. The given state is not changed.
        """
        rng, threads = _generator(state), cpu_threads()

        def with_all_threads(depth_mm: FloatImage, hint: Floats | None) -> FitResult | None:
            with some_cpu_threads(threads):
                return self.fit_alone(depth_mm, hint)

        drawn = np.random.default_rng([self._seed, SEED_OF_POINTS, state.frames, 1])
        frame = _Frame(depth_mm, rng, drawn, alone or with_all_threads)
        with using(self._place), one_cpu_thread(), known_indices():
            after, found = self._follow(state, frame, intervals)
        after = replace(
            after, intervals=intervals, frames=state.frames + 1, random_state=rng.bit_generator.state, fit=found
        )
        if found is None:
            return replace(after, before=None), None
        estimate, settings = found.estimate, self._settings
        before = None if state.fit is None or estimate.refitted else state.fit.estimate.placed
        gained = min(estimate.unexplained_fraction, settings.usual_cap) - after.usual
        usual = after.usual + settings.usual_rate * gained
        return replace(after, before=before, shape=estimate.shape, usual=usual), estimate

    def reversed(self, state: TrackerState) -> TrackerState:
        """The state from which earlier frames are fitted, backwards from the last one; the shape stays as it is."""
        assert state.fit is not None
        return replace(
            state, fit=replace(state.fit, competitors=()), before=None, intervals=1.0, learns=False,
            random_state=_random_state(self._seed, state.frames),
        )  # fmt: skip

    def prefers(
        self, state: TrackerState, depth_mm: FloatImage, one: PoseEstimate, other: PoseEstimate
    ) -> tuple[TrackerState, bool]:
        """Whether one pose explains a frame better than another, in what each of the two takes for the hand.

        The state after it differs by the points that were drawn.
        """
        assert state.shape is not None
        rng = _generator(state)
        with using(self._place), one_cpu_thread():
            better = self._fitter.prefers(depth_mm, one, other, state.shape, rng)
        return replace(state, random_state=rng.bit_generator.state), better

    def _follow(self, state: TrackerState, frame: _Frame, intervals: float) -> tuple[TrackerState, FrameFit | None]:
        """The fit of a frame, and the state with what was decided on the way to it."""
        settings = self._settings
        if not (frame.depth_mm > 0).any():
            return state, None
        found, surprise = self._continue(state, frame, intervals)
        if not state.learns:  # backwards: where the hand is lost, earlier frames stay as they are
            return state, None if surprise or self._lost(found) else found
        if found is not None and found.estimate.anchor_confidence < settings.trusted_anchor:
            state, found = self._check_anchor(state, frame, found)
            surprise = surprise and not found.estimate.refitted  # the surprise was that of the pose that was left
        if found is not None and not surprise and not self._doubtful(state, found):
            return replace(state, patience=max(state.patience - 1, 0)), found
        if found is not None and not self._lost(found) and state.waited < state.patience:
            return replace(state, waited=state.waited + 1), found
        searched, again = self._search(state, frame, found)
        patience = 0
        if again is found:  # nothing better was found: search less often
            patience = min(2 * state.patience + settings.first_patience, settings.max_patience)
        if self._lost(again):  # what is refused says nothing of the hand's shape
            return replace(state, patience=patience, waited=0), None
        return replace(searched, patience=patience, waited=0), again

    def _lost(self, found: FrameFit | None) -> bool:
        """Whether a fit, if there is one, is of no hand."""
        return found is None or found.estimate.unexplained_fraction >= self._settings.lost

    def _doubtful(self, state: TrackerState, found: FrameFit) -> bool:
        usual = self._settings.doubtful_ratio * state.usual
        return found.estimate.unexplained_fraction > max(self._settings.doubtful, usual)

    def _continue(self, state: TrackerState, frame: _Frame, intervals: float) -> tuple[FrameFit | None, bool]:
        """Go on from the last frame; and whether the hand is far from where it was going."""
        if state.fit is None:
            return None, False
        assert state.shape is not None
        settings, last = self._settings, state.fit.estimate.placed
        share = settings.velocity_kept * min(intervals, settings.max_steps) / max(state.intervals, 1e-3)
        predicted = last if state.before is None else last.after(state.before, min(share, settings.max_steps))
        predicted = replace(predicted, angles_rad=self._fitter.model.within(predicted.angles_rad))
        temporal = Temporal(predicted.rotation, predicted.translation_mm, predicted.angles_rad).after(intervals)
        starts = [predicted, last, *state.fit.competitors]
        found = self._fitter.fit(
            frame.depth_mm, starts, state.shape, frame.rng, last=state.fit, temporal=temporal, learns=state.learns
        )
        if found is None:
            return None, True
        anchor = state.fit.estimate.anchor_confidence
        found = replace(found, estimate=replace(found.estimate, anchor_confidence=anchor))
        placed = found.estimate.placed
        shift = float(np.linalg.norm(placed.translation_mm - predicted.translation_mm)) / settings.surprise_mm
        turn = float(np.linalg.norm(rotation_vector(placed.rotation @ predicted.rotation.T))) / settings.surprise_rad
        jump = max_joint_jump(state.fit.estimate, found.estimate) / settings.surprise_joint_mm
        return found, max(shift, turn, jump) > max(intervals, 1.0)

    def _check_anchor(self, state: TrackerState, frame: _Frame, found: FrameFit) -> tuple[TrackerState, FrameFit]:
        """Now and then search the whole image for the hand again, where the track rests on a doubtful fit."""
        state = replace(state, unchecked=state.unchecked + 1)
        if state.unchecked < state.retry:
            return state, found
        state = replace(state, retry=min(2 * state.retry, self._settings.max_retry), unchecked=0)
        _, again = self._from_scratch(replace(state, shape=None), frame, None, found)
        here = found.estimate
        if again is None or self._lost(again.fit) or again.result.confidence <= here.anchor_confidence:
            return state, found
        there = again.fit.estimate
        away = np.linalg.norm(there.joints_mm - here.joints_mm, axis=1)
        if away[here.joint_visible].max(initial=0.0) < ASSESS.distinct_mm:
            return state, replace(found, estimate=replace(here, anchor_confidence=again.result.confidence))
        if again.result.confidence >= self._settings.trusted_anchor or self._fitter.prefers(
            frame.depth_mm, there, here, again.start, frame.scratch_rng
        ):
            return replace(state, usual=there.unexplained_fraction, shape=again.start), again.fit
        return state, found

    def _search(
        self, state: TrackerState, frame: _Frame, found: FrameFit | None
    ) -> tuple[TrackerState, FrameFit | None]:
        """Fit a frame from scratch; the better of that and what was found before."""
        anywhere = found is not None and found.estimate.unexplained_fraction > self._settings.slid
        hint = None if anywhere or found is None or state.fit is None else palm_of(state.fit.estimate.joints_mm)
        shape, again = self._from_scratch(state, frame, hint, found or state.fit)
        state = replace(state, shape=shape)
        if again is None or found is None:
            return state, found if again is None else again.fit
        if anywhere:
            return state, again.fit if self._has_slid(found, again, frame) else found
        result, model = again.result, self._fitter.model
        grid = result.observation.grid(result.crop)
        meshes = np.stack([model.vertices(each.placed, each.shape) for each in (found.estimate, again.fit.estimate)])
        left = unexplained_fraction(meshes, self._rig.faces, result.crop, grid)
        gained = left[1] < (1 - self._settings.refit_gain) * left[0]
        return state, self._confirmed(again.fit, frame) if gained else found

    def _has_slid(self, found: FrameFit, again: _Scratch, frame: _Frame) -> bool:
        """Whether the hand is rather where the whole image was searched, near enough to be the same one."""
        here, there = found.estimate, again.fit.estimate
        near = np.linalg.norm(palm_of(there.joints_mm) - palm_of(here.joints_mm)) < self._settings.slid_mm
        return bool(near) and self._fitter.prefers(frame.depth_mm, there, here, again.start, frame.scratch_rng)

    def _confirmed(self, found: FrameFit, frame: _Frame) -> FrameFit:
        """A fit from scratch that looked where the hand was last, with the confidence of one that looks anywhere.

        A hand that moved far is cut out badly around its last place, which is why the fit trusts it little. Where the
        other fit finds the same pose, its confidence counts; its pose does not.
        """
        estimate = found.estimate
        if estimate.anchor_confidence >= self._settings.trusted_anchor:
            return found
        free = frame.alone(frame.depth_mm, None)
        if free is None or free.confidence <= estimate.anchor_confidence:
            return found
        away = np.linalg.norm(free.joints_mm - estimate.joints_mm, axis=1)
        if away[estimate.joint_visible].max(initial=0.0) >= ASSESS.distinct_mm:
            return found
        return replace(found, estimate=replace(estimate, anchor_confidence=free.confidence))

    def _from_scratch(
        self, state: TrackerState, frame: _Frame, hint: Floats | None, last: FrameFit | None
    ) -> tuple[ShapeEstimate | None, _Scratch | None]:
        """Fit a frame as a single image; and the shape that is known then.

        hint: (3,) mm, where the palm is. last: see FrameFitter.fit.
        """
        result = frame.alone(frame.depth_mm, hint)
        if result is None:
            return state.shape, None
        shape = state.shape
        if shape is None:
            sizes = np.concatenate([[np.log(result.scale)], result.proportions])
            shape = ShapeEstimate(sizes, self._fitter.prior.precision)
        start = Placed(
            *(np.asarray(each, np.float64) for each in (result.rotation, result.translation_mm, result.angles_rad))
        )
        found = self._fitter.fit(frame.depth_mm, [start], shape, frame.scratch_rng, last=last)
        if found is None:
            return shape, None
        margin = result.confidence_features.runner_up_margin
        estimate = replace(found.estimate, refitted=True, anchor_confidence=result.confidence, runner_up_margin=margin)
        return shape, _Scratch(replace(found, estimate=estimate), result, shape)

    def fit_alone(self, depth_mm: FloatImage, hint: Floats | None) -> FitResult | None:
        """handopt.fit of a frame, None where it finds no hand. hint: (3,) mm, where the palm is."""
        depth, ignored = split_ignored(depth_mm)
        try:
            return fit(
                depth, self.camera, ignore=ignored, rig=self._rig,
                center=None if hint is None else tuple(hint.tolist()), config=self._config,
                device=str(self._place), seed=self._seed, proposals=self._proposals,
            )  # fmt: skip
        except (ObservationError, NumericalError):
            return None


def _random_state(seed: int, *more: int) -> Any:
    return np.random.default_rng([seed, SEED_OF_POINTS, *more]).bit_generator.state


def _generator(state: TrackerState) -> np.random.Generator:
    generator = np.random.PCG64(0)
    generator.state = state.random_state
    return np.random.Generator(generator)
