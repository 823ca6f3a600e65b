"""The pose that a network sees: the hypothesis that is nearest to the joints that it sees, drawn to these."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from handopt.observation.observation import Observation
from handopt.ops.rasterise import rasterise
from handopt.proposals.coarse_mesh import coarse_mesh
from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, CenteredView, SeenHand, centered_view
from handopt.proposals.model_file import PoseModel
from handopt.proposals.proposals import Proposals
from handopt.proposals.propose import QUARTER_TURNS, poses_of_heads, quarter_turns, read_views
from handopt.proposals.voted_poses import drawn_poses
from handopt.typing import Bools, Floats

STEP: Final = 2
"""Only every STEP-th row and column of a view is compared with a pose. Chosen by hand."""
WRONG_MM: Final = 20.0
"""A depth that is off by this much counts as wholly wrong. Chosen by hand."""
BESIDE: Final = 0.5
"""Weight of a pixel of the mesh where the view has none: something may have been cut away. Chosen by hand."""


@dataclass(frozen=True, eq=False)
class PredictedPose:
    """What a network sees in a view. pose: of the default right hand, one proposal.

    radius_mm: (21,), how far off each joint may be; visible: (21,), which joints are more likely visible than not
    """

    view: CenteredView
    pose: Proposals
    radius_mm: Floats
    visible: Bools

    @cached_property
    def unexplained_fraction(self) -> float:
        """What the pose leaves unexplained of the view, from 0."""
        return unexplained_fraction(self.view, self.pose)


def predict_pose(
    seen: Observation | SeenHand, model: PoseModel | None = None, turns: int = QUARTER_TURNS
) -> PredictedPose:
    """The pose that a network sees.

    model: whose network looks, by default the one that comes with handopt. seen: a right hand, or a mirrored left one.
    turns: in how many quarter turns it looks. Raises ObservationError if nothing of the hand is in view.
    """
    views = quarter_turns(centered_view(seen))[:turns]
    heads, joints, visible = read_views(views, model)
    pose = drawn_poses(poses_of_heads(views, heads), joints, 1)
    return PredictedPose(views[0], pose, joints.radius_mm, visible[0] > 0.5)


def unexplained_fraction(view: CenteredView, pose: Proposals) -> float:
    """What a pose, as a coarse mesh, leaves unexplained of a view, relative to the hand's area there."""
    offset, step = view.offset_mm[::STEP, ::STEP], STEP
    if not np.isfinite(offset).any():
        offset, step = view.offset_mm, 1
    focal, middle, size = view.distance_mm / MM_PER_PX / step, MIDDLE_PX / step, len(offset)
    turned = replace(pose, rotation=view.rotation @ pose.rotation, translation_mm=pose.translation_mm @ view.rotation.T)
    mesh = coarse_mesh()
    depth = rasterise(mesh.vertices(turned), mesh.faces, (focal, focal, middle, middle, size, size))[0]
    seen, rendered = np.isfinite(offset), depth > 0
    off = np.where(rendered, np.abs(depth - offset - np.float32(view.distance_mm)), np.inf)[seen]
    wrong = np.minimum(off, WRONG_MM).sum(dtype=np.float64) / WRONG_MM
    return float((wrong + BESIDE * np.count_nonzero(rendered & ~seen)) / np.count_nonzero(seen))
