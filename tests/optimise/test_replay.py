"""The winner's way, replayed: a small real history over a right hand and a mirrored left one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits
from support.observation_factory import make_objective, mirrored, near_poses, small_observation
from support.toy_objective import settings, stage

from handopt.config import VertexStage
from handopt.objective.descent_objective import DescentObjective
from handopt.optimise.descent_stages import descend, refine_vertices
from handopt.optimise.history import SearchHistory
from handopt.optimise.replay import BestHypothesis
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR

Floats = NDArray[np.float64]

CONFIG = settings(
    stage(3, 4, radius_px=5.0), stage(3, 2, radius_px=3.5, step=0.3, scale=True, mutants=1, parents=4),
    vertices=VertexStage(iterations=3, radius_px=2.5, sigma_mm=6.0, step=0.1), crop_px=40, points=80,
)  # fmt: skip


@pytest.fixture(scope="module")
def followed() -> tuple[DescentObjective, SearchHistory, list[BestHypothesis]]:
    """A history over a right hand and its mirror image, a left one, and the best way to each."""
    observation = small_observation()
    objective = make_objective(CONFIG, [(observation, False), (mirrored(observation), True)], dtype=np.float32)
    start = near_poses((0.4, 0.6, 0.4, 0.6), (0, 0, 1, 1), dtype=np.float32)
    history = descend(objective, start, CONFIG)
    rows = [int(np.flatnonzero(history.pose.image == image)[0]) for image in (0, 1)]
    return objective, history, [BestHypothesis.of(history, row, objective.targets, objective.hand) for row in rows]


def test_the_winner_is_the_hypothesis_asked_for(
    followed: tuple[DescentObjective, SearchHistory, list[BestHypothesis]],
) -> None:
    objective, history, winners = followed
    assert [winner.view for winner in winners] == [0, 1]
    winner, path = winners[0], history.path(int(np.flatnonzero(history.pose.image == 0)[0]))
    count = len(history.iterations)
    assert count == 7
    for name, values in winner.history.items():
        assert values.shape == (count,), name
    terms = list(objective.terms(history.pose, objective.level(3.5, 20.0)))
    assert list(winner.history) == [*terms, "total", "stage", "radius_px", "step"]
    assert_close(winner.history["total"], sum(winner.history[name] for name in terms), rtol=1e-12, reason="a sum")
    assert winner.history["stage"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert winner.history["radius_px"].tolist() == [5, 5, 5, 3.5, 3.5, 3.5, 3.5]
    assert winner.history["step"].tolist() == [1, 1, 1, 0.3, 0.3, 0.3, 0.3]
    for index, (step, row) in enumerate(path):
        assert_same_bits(winner.trace.angles_rad[index], step.pose.angles[row].astype(np.float64), "angles")
        assert winner.history["depth"][index] == step.terms["depth"][row]
    assert winner.trace.rest_mm is None
    assert winner.converged == history.converged[winner.view]


def test_joints_and_vertices_are_those_of_the_last_pose(
    followed: tuple[DescentObjective, SearchHistory, list[BestHypothesis]],
) -> None:
    for winner, rig in zip(followed[2], (default_rig("right"), default_rig("left")), strict=True):
        vertices, joints = posed_by_twins(winner, rig)
        assert_close(winner.vertices_mm, vertices, atol=2e-3, reason="float32 positions of 450 mm")
        assert_close(winner.joints_mm, joints, atol=2e-3, reason="float32 positions of 450 mm")


def posed_by_twins(winner: BestHypothesis, rig: Any) -> tuple[Floats, Floats]:
    trace = winner.trace
    transforms = reference.forward_kinematics(
        trace.angles_rad[-1:], trace.rotation[-1:], trace.translation_mm[-1:], trace.scale[-1:], rig.parents,
        rig.articulated, rig.bind, rig.side_sign,
    )  # fmt: skip
    rest = rig.rest_mm if trace.rest_mm is None else trace.rest_mm[-1]
    origins = np.concatenate([rig.bind[:, :, 3], np.ones((25, 1))], axis=1)
    joints = np.einsum("jac,jc->ja", transforms[0], origins)[rig.keypoint_joints]
    return reference.skin(transforms, rest, rig.skin_indices, rig.skin_weights)[0], joints


def test_a_left_hand_is_turned_back() -> None:
    """Both sides see the same and start from the same; the left one is told in its own image's frame."""
    observation, winners = small_observation(), []
    for view in ((observation, False), (mirrored(observation), True)):
        objective = make_objective(CONFIG, [view], dtype=np.float32)
        history = descend(objective, near_poses((0.4, 0.6), (0, 0), dtype=np.float32), CONFIG)
        winners.append(BestHypothesis.of(history, 0, objective.targets, objective.hand))
    right, left = winners
    reason = "columns are rounded once more, and 7 steps follow"
    assert_close(left.joints_mm, right.joints_mm * MIRROR, atol=0.01, reason=reason)
    assert_close(left.vertices_mm, right.vertices_mm * MIRROR, atol=0.01, reason=reason)
    assert_close(left.trace.angles_rad, right.trace.angles_rad, atol=1e-3, reason="angles mean the same on both sides")
    flip = np.diag(MIRROR)
    assert_close(left.trace.rotation, flip @ right.trace.rotation @ flip, atol=1e-3, reason=reason)
    assert_close(left.trace.translation_mm, right.trace.translation_mm * MIRROR, atol=0.01, reason=reason)
    assert_close(left.target, right.target[:, ::-1], atol=1e-3, reason=reason)
    assert_close(left.renders(), right.renders()[:, :, ::-1], atol=0.01, reason=reason)


def test_renders_show_every_pose_at_its_radius(
    followed: tuple[DescentObjective, SearchHistory, list[BestHypothesis]],
) -> None:
    objective, _, (winner, _) = followed
    targets, rig = objective.targets, default_rig("right")
    renders = winner.renders()
    assert renders.shape == (7, 40, 40)
    for index, radius in ((0, 5.0), (6, 3.5)):
        trace = winner.trace
        transforms = reference.forward_kinematics(
            trace.angles_rad[index : index + 1], trace.rotation[index : index + 1],
            trace.translation_mm[index : index + 1], trace.scale[index : index + 1], rig.parents, rig.articulated,
            rig.bind, 1,
        )  # fmt: skip
        vertices = reference.skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)
        points = reference.project(vertices, targets.coefficients[:1].astype(np.float64))
        assert_close(renders[index], reference.render_depth(points, radius, 40)[0][0], atol=1e-4, reason="float32")
    assert_same_bits(winner.target, targets.target(3.5)[0], "the target at the last radius")


@pytest.mark.parametrize("side", ["right", "left"])
def test_vertices_are_replayed_as_well(
    side: str, followed: tuple[DescentObjective, SearchHistory, list[BestHypothesis]]
) -> None:
    objective, history, _ = followed
    row = int(np.flatnonzero(history.pose.image == (side == "left"))[0])
    refined = refine_vertices(objective, history, row, CONFIG)
    winner = BestHypothesis.of(refined, 0, objective.targets, objective.hand)
    rig = default_rig("left" if side == "left" else "right")
    assert winner.view == (side == "left")
    count = len(winner.trace.scale)
    assert count > len(history.iterations)
    assert winner.trace.rest_mm is not None
    assert winner.trace.rest_mm.shape == (count, 1159, 3)
    before = winner.trace.rest_mm[: len(history.iterations)]
    assert_close(before, np.broadcast_to(rig.rest_mm, before.shape), atol=1e-4, reason="the rig's own, in float32")
    assert np.abs(winner.trace.rest_mm[-1] - rig.rest_mm).max() > 0
    vertices, joints = posed_by_twins(winner, rig)
    assert_close(winner.vertices_mm, vertices, atol=2e-3, reason="float32 positions of 450 mm")
    assert_close(winner.joints_mm, joints, atol=2e-3, reason="float32 positions of 450 mm")
    assert winner.history["radius_px"][-1] == 2.5
    assert len(winner.renders()) == count
