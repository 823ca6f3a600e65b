"""The pose that the network sees: better than the likeliest hypothesis; and a coarse mesh that looks like the hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_same_bits

from handopt.input.camera import Camera
from handopt.learning.images import EMPTY, UNIT_MM, render_images, sample_poses
from handopt.learning.people import People
from handopt.ops.rasterise import rasterise
from handopt.proposals import Proposals, default_model
from handopt.proposals.coarse_mesh import coarse_mesh
from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, CenteredView, SeenHand, network_input
from handopt.proposals.pose_of_joints import joints_of
from handopt.proposals.predict_pose import predict_pose, unexplained_fraction
from handopt.proposals.propose import network_poses, quarter_turns
from handopt.rig import default_rig
from handopt.rig.pose import joint_transforms, posed_vertices

IMAGES = 24
DISTANCE_MM = 600.0
FOCAL = DISTANCE_MM / MM_PER_PX


@pytest.fixture(scope="module")
def images() -> dict[str, NDArray]:
    return render_images(People(sample_poses(60, 11, 1)), IMAGES, 11, 1)


def view_of(images: dict[str, NDArray], row: int) -> CenteredView:
    stored = images["offset"][row]
    offset = np.where(stored == EMPTY, np.nan, stored * np.float32(UNIT_MM)).astype(np.float32)
    return CenteredView(offset, np.eye(3), DISTANCE_MM)


def seen_hand(images: dict[str, NDArray], row: int) -> SeenHand:
    """The view as an image of its own camera."""
    offset = view_of(images, row).offset_mm
    mask = np.isfinite(offset)
    depth = np.where(mask, offset + DISTANCE_MM, 0).astype(np.float32)
    rows, columns = np.nonzero(mask)
    z = depth[rows, columns]
    points = np.stack([(columns - MIDDLE_PX) * z / FOCAL, (rows - MIDDLE_PX) * z / FOCAL, z], axis=1)
    return SeenHand(Camera(FOCAL, FOCAL, MIDDLE_PX, MIDDLE_PX, 64, 64, "test"), depth, mask, points.astype(np.float32))


def true_poses(images: dict[str, NDArray]) -> Proposals:
    place = images["wrist"] + np.array([0.0, 0.0, DISTANCE_MM])
    return Proposals(images["rotation"], place, images["angles"], images["scale"])


def test_the_pose_is_nearer_to_the_truth_than_the_likeliest_hypothesis(images: dict[str, NDArray]) -> None:
    truth, network = joints_of(true_poses(images)), default_model().network
    likeliest, predicted = [], []
    for row in range(IMAGES):
        views = quarter_turns(view_of(images, row))[:1]
        heads = network.hypotheses(network.features(network_input(views[0].offset_mm[None], channels=network.channels)))
        first = joints_of(network_poses(views, heads).select([0]))[0]
        likeliest.append(np.linalg.norm(first - truth[row], axis=1).mean())
        found = predict_pose(seen_hand(images, row))
        off = np.linalg.norm(joints_of(found.pose)[0] - truth[row], axis=1)
        predicted.append(off.mean())
        assert found.radius_mm.shape == found.visible.shape == (21,)
    assert np.mean(predicted) < 0.85 * np.mean(likeliest)
    assert np.median(predicted) < 0.8 * np.median(likeliest)


def test_the_same_view_gives_the_same_bits(images: dict[str, NDArray]) -> None:
    first, second = (predict_pose(seen_hand(images, 3)) for _ in range(2))
    for name in ("rotation", "translation_mm", "angles_rad", "scale"):
        assert_same_bits(getattr(first.pose, name), getattr(second.pose, name), name)
    assert first.unexplained_fraction == second.unexplained_fraction
    limits = default_rig("right").limits
    assert (first.pose.angles_rad >= limits.lower).all()
    assert (first.pose.angles_rad <= limits.upper).all()


def test_the_true_pose_explains_a_view_and_one_that_lies_elsewhere_does_not(images: dict[str, NDArray]) -> None:
    truth, there, elsewhere = true_poses(images), [], []
    for row in range(IMAGES):
        view, pose = view_of(images, row), truth.select([row])
        beside = Proposals(pose.rotation, pose.translation_mm + np.array([60.0, 0, 0]), pose.angles_rad, pose.scale)
        there.append(unexplained_fraction(view, pose))
        elsewhere.append(unexplained_fraction(view, beside))
    assert np.median(there) < 0.5  # the forearm, other proportions and another surface
    assert np.median(np.array(elsewhere) - there) > 0.4


def test_the_coarse_mesh_looks_like_the_hand(images: dict[str, NDArray]) -> None:
    mesh, poses, rig = coarse_mesh(), true_poses(images), default_rig("right")
    transforms = joint_transforms(rig, poses.rotation, poses.translation_mm, poses.angles_rad, poses.scale)
    vertices = posed_vertices(rig, transforms, poses.angles_rad).astype(np.float32)
    camera = (160.0, 160.0, 31.5, 31.5, 64, 64)
    fine = rasterise(vertices, rig.faces, camera)
    coarse = rasterise(mesh.vertices(poses), mesh.faces, camera)
    both = (fine > 0) & (coarse > 0)
    assert both.sum() > 0.9 * ((fine > 0) | (coarse > 0)).sum()
    assert np.median(np.abs(fine - coarse)[both]) < 2.0
