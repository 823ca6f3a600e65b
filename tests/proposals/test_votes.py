"""Votes of cells for joints, and the poses that are drawn to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close
from support.proposal_factories import random_model
from support.slow_layers import slow_convolution

from handopt.hand_model import exponential
from handopt.proposals.features import CenteredView, from_view, to_view
from handopt.proposals.pose_of_joints import _joints_and_motion, joints_of, pose_of_joints
from handopt.proposals.proposals import Proposals
from handopt.proposals.propose import quarter_turns
from handopt.proposals.voted_poses import LEAST_MM, MOST, VotedJoints, drawn_poses, voted_joints
from handopt.proposals.votes import VOTE_MM, cell_places, edge
from handopt.rig import default_rig
from handopt.synth.poses import sample_hand


def drawn(rng: np.random.Generator, count: int) -> Proposals:
    """Poses of random hands half a metre away."""
    hands = [sample_hand(rng, "hard", rig=default_rig("right")) for _ in range(count)]
    return Proposals(
        np.stack([each.rotation for each in hands]),
        rng.normal([0.0, 0.0, 500.0], 30.0, (count, 3)),
        np.stack([each.angles_rad for each in hands]),
        np.exp(rng.normal(0.0, 0.05, count)),
    )


def disturbed(rng: np.random.Generator, poses: Proposals) -> Proposals:
    """The same with every free angle 0.2 rad off, turned by about 10 degrees, and moved by 10 mm."""
    limits = default_rig("right").limits
    angles = poses.angles_rad + 0.2 * rng.choice([-1.0, 1.0], poses.angles_rad.shape) * limits.free
    turn = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(len(poses), 3, 3)))[0]
    turn *= np.sign(np.einsum("kii->ki", turn))[:, None]
    moved = poses.translation_mm + 10.0 * rng.normal(size=(len(poses), 3)) / np.sqrt(3)
    return Proposals(turn @ poses.rotation, moved, np.clip(angles, limits.lower, limits.upper), poses.scale)


def test_what_a_view_shows_of_points_leads_back_to_them(rng: np.random.Generator) -> None:
    points = rng.normal([0.0, 0.0, 400.0], 60.0, (7, 21, 3))
    assert_close(from_view(to_view(points, 410.0), 410.0), points, of_max=1e-12, reason="float64")


def test_a_ray_that_is_seen_in_a_pixel_is_the_same_at_any_depth() -> None:
    near, far = to_view(np.array([[10.0, -20.0, 300.0], [20.0, -40.0, 600.0]]), 500.0)
    assert_close(near[:2], far[:2], of_max=1e-12, reason="the same ray")
    assert far[2] - near[2] == 300.0


def test_cells_lie_where_the_strides_of_the_layers_put_them() -> None:
    places = cell_places(16)
    assert places[0, 0].tolist() == [-31.5 * 3.75, -31.5 * 3.75]
    assert places[0, 1].tolist() == [(4 - 31.5) * 3.75, -31.5 * 3.75]


def test_votes_are_what_the_layers_say_one_by_one(rng: np.random.Generator, tmp_path: Path) -> None:
    network = random_model(tmp_path / "base.npz", rng).network
    features, maps = network.look(rng.normal(size=(2, 64, 64, 6)).astype(np.float32))
    found, radius = network.votes(features, maps)
    w = network.weights

    def layer(x: np.ndarray, name: str) -> np.ndarray:
        return slow_convolution(x, w[f"votes.{name}.weight"], w[f"votes.{name}.bias"], edge(name), 1)

    for image in range(2):
        fine, middle, deep = (each[image].astype(np.float64) for each in maps)
        context = features[image] @ w["votes.context.weight"] + w["votes.context.bias"]
        x = np.maximum(layer(deep, "deep"), 0) + np.maximum(context, 0)
        x = np.maximum(layer(np.maximum(layer(middle, "middle") + x.repeat(2, 0).repeat(2, 1), 0), "joined"), 0)
        x = np.maximum(layer(fine, "fine") + layer(x, "narrowed").repeat(2, 0).repeat(2, 1), 0)
        x = np.maximum(x + layer(np.maximum(layer(x, "first"), 0), "second"), 0)
        said = layer(x, "said").reshape(-1, 21, 5)
        share = np.exp(said[..., 3])
        share /= share.sum(axis=0)
        places = np.concatenate([cell_places(16).reshape(-1, 2), np.zeros((256, 1))], axis=1)
        for joint in range(21):
            each = places + VOTE_MM * said[:, joint, :3]
            assert_close(found[image, joint], share[:, joint] @ each, of_max=1e-4, reason="float32")
            assert_close(
                radius[image, joint],
                np.exp(max(0.0, float(share[:, joint] @ said[:, joint, 4]))),
                of_max=1e-4,
                reason="float32",
            )


def test_joints_move_as_differences_say(rng: np.random.Generator) -> None:
    poses = drawn(rng, 3)
    free = np.flatnonzero(default_rig("right").limits.free)
    joints, motion = _joints_and_motion(poses, free)
    assert_close(joints, joints_of(poses), of_max=1e-12, reason="the same")
    step = 1e-5
    for number, angle in enumerate(free):
        turned = poses.angles_rad.reshape(3, -1).copy()
        turned[:, angle] += step
        bent = joints_of(replace(poses, angles_rad=turned.reshape(3, 15, 3)))
        assert_close(motion[:, number], (bent - joints) / step, atol=1e-2, reason="a difference over 1e-5 rad")
    for axis in range(3):
        turn = exponential(np.tile(step * np.eye(3)[axis], (3, 1)))
        turned = joints_of(replace(poses, rotation=turn @ poses.rotation))
        assert_close(motion[:, len(free) + axis], (turned - joints) / step, atol=1e-2, reason="the same for rotations")
    larger = joints_of(replace(poses, scale=poses.scale * np.exp(step)))
    assert_close(motion[:, -1], (larger - joints) / step, atol=1e-2, reason="the same for the size")


def test_poses_come_back_from_their_joints(rng: np.random.Generator) -> None:
    truth = drawn(rng, 20)
    joints = joints_of(truth)
    start = disturbed(rng, truth)
    found = pose_of_joints(start, joints, np.full(21, 3.0))
    before, after = (np.linalg.norm(joints_of(each) - joints, axis=-1).mean(axis=1) for each in (start, found))
    assert np.median(before) > 15
    assert np.median(after) < 1.5
    assert (after < before).all()
    limits = default_rig("right").limits
    assert (found.angles_rad >= limits.lower).all()
    assert (found.angles_rad <= limits.upper).all()


def test_a_joint_that_nobody_knows_stays_as_the_start_has_it(rng: np.random.Generator) -> None:
    start = drawn(rng, 1)
    joints, radius = joints_of(start)[0], np.full(21, 2.0)
    joints[8] += 60.0  # the index finger's tip
    sure = joints_of(pose_of_joints(start, joints, radius))[0]
    radius[8] = 400.0
    unsure = joints_of(pose_of_joints(start, joints, radius))[0]
    before = joints_of(start)[0]
    assert np.linalg.norm(unsure[8] - before[8]) < 2.0
    assert np.linalg.norm(sure - before, axis=-1).max() > 5.0


def test_votes_of_all_turns_count_by_how_sure_they_are(rng: np.random.Generator) -> None:
    offset = np.zeros((64, 64), np.float32)
    views = quarter_turns(CenteredView(offset, np.eye(3), 500.0))
    places = rng.normal([0.0, 0.0, 500.0], 40.0, (21, 3))
    seen = np.stack([to_view(places @ view.rotation.T, 500.0) for view in views]).astype(np.float32)
    radius = np.full((4, 21), 5.0, np.float32)
    same = voted_joints(views, seen, radius)
    assert_close(same.places_mm, places, of_max=1e-5, reason="float32")
    assert_close(same.radius_mm, np.full(21, 5.0), of_max=1e-6, reason="all say the same")
    seen[1] += 30.0
    radius[1] = 500.0
    assert np.abs(voted_joints(views, seen, radius).places_mm - places).max() < 0.1


def test_the_hypotheses_nearest_to_the_votes_come_first(rng: np.random.Generator) -> None:
    poses = drawn(rng, 12)
    joints = voted_joints(
        [CenteredView(np.zeros((64, 64), np.float32), np.eye(3), 500.0)],
        to_view(joints_of(poses)[7], 500.0)[None].astype(np.float32),
        np.full((1, 21), 4.0, np.float32),
    )
    found = drawn_poses(poses, joints, 3)
    assert len(found) == 3
    off = np.linalg.norm(joints_of(found) - joints.places_mm, axis=-1).mean(axis=1)
    assert off[0] < 0.1
    assert_close(found.rotation[0], poses.rotation[7], of_max=1e-3, reason="it was there")


def test_joints_are_as_far_from_the_votes_as_these_may_be_off(rng: np.random.Generator) -> None:
    voted = VotedJoints(rng.normal([0.0, 0.0, 500.0], 40.0, (21, 3)), rng.uniform(3.0, 20.0, 21))
    assert voted.distance(voted.places_mm) == 0
    direction = rng.normal(size=(3, 21, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    once = voted.places_mm + direction * (voted.radius_mm + LEAST_MM)[:, None]
    assert_close(voted.distance(once), np.ones(3), of_max=1e-12, reason="float64")
    assert voted.distance(voted.places_mm + 1e4) == MOST
    part = np.arange(21) < 5
    moved = voted.places_mm.copy()
    moved[5:] += 1e4
    assert voted.distance(moved, part) == 0
    assert voted.distance(moved) == pytest.approx(MOST * 16 / 21)


def test_votes_of_a_mirrored_and_of_a_larger_image_are_as_far(rng: np.random.Generator) -> None:
    voted = VotedJoints(rng.normal([0.0, 0.0, 500.0], 40.0, (21, 3)), rng.uniform(3.0, 20.0, 21))
    joints = voted.places_mm + rng.normal(0.0, 10.0, (21, 3))
    assert voted.mirrored().distance(joints * [-1.0, 1.0, 1.0]) == pytest.approx(voted.distance(joints))
    assert_close(voted.rescaled(1.3).places_mm, 1.3 * voted.places_mm, of_max=1e-12, reason="float64")
    assert_close(voted.rescaled(1.3).radius_mm, 1.3 * voted.radius_mm, of_max=1e-12, reason="float64")
