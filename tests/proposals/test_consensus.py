"""What the network's hypotheses agree on: better than the likeliest of them, and rendered part by part as a whole."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits

from handopt.learning.images import EMPTY, UNIT_MM, render_images, sample_poses
from handopt.ops.rasterise import rasterise
from handopt.proposals import Proposals, default_bank
from handopt.proposals.coarse_mesh import FINGERS, coarse_mesh
from handopt.proposals.consensus import _Shown, consensus
from handopt.proposals.features import CenteredView, network_input
from handopt.proposals.propose import network_poses, quarter_turns
from handopt.rig import default_rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices

IMAGES = 24
DISTANCE_MM = 600.0


@pytest.fixture(scope="module")
def images() -> dict[str, NDArray]:
    return render_images(sample_poses(60, 11, 1), IMAGES, 11, 1)


def view_of(images: dict[str, NDArray], row: int) -> CenteredView:
    stored = images["offset"][row]
    offset = np.where(stored == EMPTY, np.nan, stored * np.float32(UNIT_MM)).astype(np.float32)
    return CenteredView(offset, np.eye(3), DISTANCE_MM)


def true_poses(images: dict[str, NDArray]) -> Proposals:
    place = images["wrist"] + np.array([0.0, 0.0, DISTANCE_MM])
    return Proposals(images["rotation"], place, images["angles"], images["scale"])


def joints_of(poses: Proposals) -> NDArray[np.float64]:
    rig = default_rig("right")
    transforms = joint_transforms(rig, poses.rotation, poses.translation_mm, poses.angles_rad, poses.scale)
    return np.asarray(posed_keypoints(rig, transforms, poses.angles_rad))


def heads_of(views: list[CenteredView]) -> NDArray[np.float32]:
    network = default_bank().network
    images = network_input(np.stack([view.offset_mm for view in views]))
    return network.hypotheses(network.features(images))


def test_agreement_is_nearer_to_the_truth_than_the_likeliest_hypothesis(images: dict[str, NDArray]) -> None:
    truth = joints_of(true_poses(images))
    likeliest, agreed, fractions = [], [], []
    for row in range(IMAGES):
        views = quarter_turns(view_of(images, row))
        heads = heads_of(views)
        first = joints_of(network_poses(views[:1], heads[:1]).select([0]))[0]
        pose, left = consensus(views, heads)
        fractions.append(left)
        likeliest.append(np.linalg.norm(first - truth[row], axis=1).mean())
        agreed.append(np.linalg.norm(joints_of(pose)[0] - truth[row], axis=1).mean())
    assert np.mean(agreed) < 0.9 * np.mean(likeliest)
    assert np.median(agreed) < 0.75 * np.median(likeliest)
    assert 0.02 < np.median(fractions) < 0.6


def test_the_same_view_gives_the_same_bits(images: dict[str, NDArray]) -> None:
    views = quarter_turns(view_of(images, 3))
    heads = heads_of(views)
    (first, left), (second, again) = consensus(views, heads), consensus(views, heads)
    for name in ("rotation", "translation_mm", "angles_rad", "scale"):
        assert_same_bits(getattr(first, name), getattr(second, name), name)
    assert left == again
    limits = default_rig("right").limits
    assert (first.angles_rad >= limits.lower - 1e-9).all()
    assert (first.angles_rad <= limits.upper + 1e-9).all()
    assert_close(first.rotation[0] @ first.rotation[0].T, np.eye(3), atol=1e-9, reason="a rotation")


def test_where_all_hypotheses_are_one_that_is_the_pose(images: dict[str, NDArray]) -> None:
    views = quarter_turns(view_of(images, 5))[:1]
    heads = np.repeat(heads_of(views)[:, :1], 4, axis=1)
    pose, _ = consensus(views, heads)
    assert_close(
        joints_of(pose),
        joints_of(network_poses(views, heads).select([0])),
        atol=1e-2,
        reason="the network's numbers are float32",
    )


def test_fingers_rendered_apart_explain_what_whole_hands_do(images: dict[str, NDArray]) -> None:
    shown, poses = _Shown.of(view_of(images, 0), coarse_mesh()), true_poses(images)
    base, others = poses.select([0]), poses.select(np.arange(1, 7))
    by_finger = shown.fractions_by_finger(base, others)
    assert by_finger.shape == (FINGERS, 7)
    for finger in range(FINGERS):
        angles = np.repeat(base.angles_rad, 7, axis=0)
        joints = slice(3 * finger, 3 * finger + 3)
        angles[1:, joints] = others.angles_rad[:, joints]
        same = base.select(np.zeros(7, np.int64))
        whole = shown.fractions(Proposals(same.rotation, same.translation_mm, angles, same.scale))
        assert_close(by_finger[finger], whole, atol=0.03, reason="a finger's skin on the palm moves with it a little")
        assert np.ptp(whole) > 0.01


def test_the_coarse_mesh_looks_like_the_hand(images: dict[str, NDArray]) -> None:
    mesh, poses, rig = coarse_mesh(), true_poses(images), default_rig("right")
    assert sum(len(part) for part in mesh.parts) == len(mesh.faces)
    assert all(len(part) > 20 for part in mesh.parts)
    transforms = joint_transforms(rig, poses.rotation, poses.translation_mm, poses.angles_rad, poses.scale)
    vertices = posed_vertices(rig, transforms, poses.angles_rad).astype(np.float32)
    camera = (160.0, 160.0, 31.5, 31.5, 64, 64)
    fine = rasterise(vertices, rig.faces, camera)
    coarse = rasterise(mesh.vertices(poses), mesh.faces, camera)
    both = (fine > 0) & (coarse > 0)
    assert both.sum() > 0.9 * ((fine > 0) | (coarse > 0)).sum()
    assert np.median(np.abs(fine - coarse)[both]) < 2.0
