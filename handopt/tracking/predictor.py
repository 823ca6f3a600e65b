"""The hand in one frame after the other as a network sees it.

A frame is looked at where the hand was in the one before, which costs less than half of looking at the whole image; the
whole image is observed where that fails, and where steps of Levenberg-Marquardt refine each pose.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from handopt.assess.confidence import PREDICTED, ConfidenceFeatures, confidence
from handopt.backend import Device, known_indices, one_cpu_thread, using
from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fitting import FitInput, fit_image
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame, split_ignored
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.surfaces import flipped, lifted_points
from handopt.proposals.features import SeenHand
from handopt.proposals.predict_pose import predict_pose
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR
from handopt.tracking.config import TrackingConfig
from handopt.tracking.depth_crops import crop_about
from handopt.tracking.frame_fit import FrameFitter
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed
from handopt.typing import AnyArray, Bools, FloatImage, Floats

LOST: Final = 0.6
"""Share of what is seen near the last hand that a prediction leaves unexplained, above which the whole image is
observed again. By hand: good predictions leave 0.1 to 0.4, others most of it."""
WORSE: Final = 1.4
"""The same as a multiple of what was left when the whole image was observed last, for networks that are not so good."""
TURNS: Final = 2
"""Quarter turns in which the network looks at a frame near the one before: with four its joints are off by 3 % less,
with one by 7 % more (240 rendered views)."""


@dataclass(frozen=True)
class Predicted:
    """A right hand, or the mirror image of a left one, in a frame. refitted: whether the whole image was observed."""

    placed: Placed
    scale: float
    joints_mm: Floats
    visible: Bools
    uncertainty_mm: Floats
    fraction: float
    confidence: float
    refitted: bool


@dataclass(frozen=True)
class Followed:
    """The hand in the last frame, and what was said of it when the whole image was observed last."""

    hand: Predicted
    unexplained_fraction: float
    hand_probability: float


@dataclass(frozen=True, eq=False)
class PredictedFrame:
    """A frame without its images, and the hand in it, None for none. side: 'auto' as long as that is not decided.

    middle_mm: (3,) of what is shown of the frame, and crop, the depth there; None before the first hand.
    """

    frame: SequenceFrame
    side: str
    hand: Predicted | None
    middle_mm: Floats | None
    crop: AnyArray | None


class Predictor:
    """Predicts frames one by one. followed: the hand in the last one, None where it was in none, or is lost."""

    def __init__(self, camera: Camera, hand: str, settings: FitSettings, followed: Followed | None = None) -> None:
        """camera: of the frames. hand: with "auto" the first frame in which a hand is found decides.

        settings: with refine, the steps of Levenberg-Marquardt, 0 for none, and proposals, the model. followed: in the
        frame before the first one.
        """
        self.side, self.followed = hand, followed
        self._source_camera, self._settings = camera, settings
        self._middle_mm = None if followed is None else _middle(followed.hand)
        self._fitter: FrameFitter | None = None
        self._mesh: FloatImage | None = None

    def forget(self) -> None:
        """Observe the whole of the next frame, as if there were none before it; the side stays."""
        self.followed = self._middle_mm = self._mesh = None

    @property
    def _camera(self) -> Camera:
        return self._source_camera.mirrored() if self.side == "left" else self._source_camera

    def predict(self, frame: SequenceFrame) -> PredictedFrame:
        """Predict the hand in the next frame."""
        depth = frame.depth_mm
        if frame.problem is not None:  # whatever the source gives for it, nothing is measured
            depth = np.zeros((self._source_camera.height, self._source_camera.width), np.float32)
        own, hand = depth, None
        with using(Device("cpu")), one_cpu_thread(), known_indices():
            if self.side != "auto":
                own = flipped(depth) if self.side == "left" else depth
                hand = self._near(own)
            if hand is None:
                self.followed = None
            if hand is None and (depth > 0).any():
                hand = self._anywhere(depth)
                own = flipped(depth) if self.side == "left" else depth
        if hand is not None:
            self._middle_mm = _middle(hand)
        middle = self._middle_mm
        crop = None if middle is None else crop_about(middle, own, self._camera)
        return PredictedFrame(frame.without_images(), self.side, hand, middle, crop)

    def _near(self, depth: FloatImage) -> Predicted | None:
        """The hand near where it was in the last frame; None where it was in none, or is lost."""
        followed = self.followed
        if followed is None or self._settings.refine:
            return None
        last = followed.hand
        if self._fitter is None:
            rig = default_rig("right")
            self._fitter = FrameFitter(rig, self._camera, self._settings.config, TrackingConfig(), Device("cpu"))
        fitter = self._fitter
        shape = _of_size(fitter.prior, last.scale)
        cut = fitter.cut_out(depth, last.placed, shape, self._mesh)
        if cut is None:
            return None
        camera, grid = cut.crop.as_camera(), cut.grid
        seen = SeenHand(camera, grid.depth_mm, grid.hand, lifted_points(camera, grid.depth_mm, grid.hand))
        try:
            predicted = predict_pose(seen, self._settings.proposals, turns=TURNS)
        except ObservationError:
            return None
        pose, visible = predicted.pose, predicted.visible
        placed, scale = Placed(pose.rotation[0], pose.translation_mm[0], pose.angles_rad[0]), float(pose.scale[0])
        shape = _of_size(shape, scale)
        vertices, joints = fitter.model.meshes(fitter.model.poses([placed], shape), shape)
        if not vertices[0, :, 2].min() > 0:
            return None
        fraction = float(unexplained_fraction(vertices, default_rig("right").faces, cut.crop, grid)[0])
        if not fraction < max(LOST, WORSE * followed.unexplained_fraction):
            return None
        features = ConfidenceFeatures.of(
            fraction, fraction, joints[0], visible, [], followed.hand_probability, None, radius_mm=predicted.radius_mm
        )
        sure = confidence(features, PREDICTED)
        hand = Predicted(placed, scale, joints[0], visible, predicted.radius_mm, fraction, sure, refitted=False)
        self.followed, self._mesh = replace(followed, hand=hand), vertices[0]
        return hand

    def _anywhere(self, depth: FloatImage) -> Predicted | None:
        """The hand in a whole frame; None where there is none."""
        depth, ignored = split_ignored(depth)
        try:
            result = fit_image(FitInput(depth, self._source_camera, self.side, ignore=ignored), self._settings)
        except (ObservationError, NumericalError):
            return None
        self.side, self._mesh = result.hand, None
        pose = (result.rotation, result.translation_mm, result.angles_rad)
        placed = Placed(*(np.asarray(each, np.float64) for each in pose))
        flip = MIRROR if result.hand == "left" else np.ones(3)
        hand = Predicted(
            placed.mirrored() if result.hand == "left" else placed, result.scale, result.joints_mm * flip,
            result.joint_visible, np.asarray(result.joint_uncertainty_mm, np.float64), result.unexplained_fraction,
            result.confidence, refitted=True,
        )  # fmt: skip
        self.followed = Followed(hand, result.unexplained_fraction, result.observation.hand_probability)
        return hand


def _middle(hand: Predicted) -> Floats:
    return np.asarray(0.5 * (hand.joints_mm.min(axis=0) + hand.joints_mm.max(axis=0)))


def _of_size(shape: ShapeEstimate, scale: float) -> ShapeEstimate:
    """A hand of the generic proportions."""
    return ShapeEstimate(np.r_[np.log(scale), np.zeros(len(shape.mean) - 1)], shape.precision)
