"""The bank of proposals: what it holds, how it is searched, and what it proposes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from build_proposals import compress
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits
from support.displaced_joints import with_joints_elsewhere
from support.examples import example
from support.proposal_factories import as_arrays, random_network, random_weights

from handopt.errors import HandoptError, ShapeError
from handopt.learning.images import EMPTY, UNIT_MM, render_images, sample_poses
from handopt.observation.observe import observe
from handopt.proposals import PoseBank, default_bank, propose
from handopt.proposals.bank import FORMAT, NETWORK, load_bank
from handopt.proposals.features import CenteredView, network_input
from handopt.proposals.network import head_sizes, network_from_arrays
from handopt.proposals.propose import bank_poses, network_poses, quarter_turns
from handopt.rig import default_rig, with_keypoints, with_proportions
from handopt.rig.anatomy import MIRROR

Arrays = dict[str, NDArray]

AXES = 6


@pytest.fixture(scope="module")
def images() -> Arrays:
    return render_images(sample_poses(40, 3, 1), 120, 3, 1)


@pytest.fixture(scope="module")
def bank(images: Arrays) -> PoseBank:
    network = random_network(np.random.default_rng(2))
    arrays = compress(images, network, AXES)
    return PoseBank(network, **{**arrays, "step": float(arrays["step"])})


def offsets(images: Arrays, row: int) -> NDArray[np.float32]:
    """A view (64, 64) mm of the images, NaN where no hand is."""
    stored = images["offset"][row]
    return np.where(stored == EMPTY, np.nan, stored * np.float32(UNIT_MM)).astype(np.float32)


def test_every_image_finds_itself_and_the_order_is_by_distance(images: Arrays, bank: PoseBank) -> None:
    described = bank.network.features(network_input(np.stack([offsets(images, row) for row in range(len(bank))])))
    found = [bank.nearest(described[[row]], 5)[0] for row in range(len(bank))]
    assert np.mean([rows[0] == row for row, rows in enumerate(found)]) > 0.98
    wanted = (described[7] - bank.mean) @ bank.axes / bank.step
    distance = np.linalg.norm(bank.descriptions - wanted, axis=1)
    assert_same_bits(found[7], np.argsort(distance, kind="stable")[:5], "brute force")
    rows, views = bank.nearest(described[[7, 30]], 2)
    assert sorted(zip(rows.tolist(), views.tolist(), strict=True)) == [(7, 0), (30, 1)]


def test_quarter_turns_propose_the_same_poses(images: Arrays, bank: PoseBank) -> None:
    view = CenteredView(offsets(images, 3), np.eye(3), 500.0)
    views = quarter_turns(view)
    assert len(views) == 4
    for turned in views:
        # The pose of the image, found in the view that is turned, is where it is in the view itself.
        camera = turned.rotation.T
        assert_close(camera @ turned.rotation, np.eye(3), atol=1e-12, reason="a rotation")
    row, column = 20, 40
    x, y = column - 31.5, row - 31.5  # the middle of 64 pixels
    there = views[1].rotation @ [x, y, 0]
    assert views[1].offset_mm[int(there[1] + 31.5), int(there[0] + 31.5)] == pytest.approx(
        view.offset_mm[row, column], nan_ok=True
    )


def test_heads_mean_poses_and_come_in_the_order_of_their_probability() -> None:
    view = CenteredView(np.zeros((64, 64), np.float32), np.eye(3), 500.0)
    free = int(default_rig("right").limits.free.sum())
    heads = np.zeros((1, 3, sum(head_sizes(free))), np.float32)
    heads[..., 0], heads[..., 4] = 2.0, 3.0  # columns along x and y
    heads[0, :, 6 + free] = [0.0, 1.0, 2.0]  # x of the wrist
    heads[0, :, -1] = [0.1, 2.0, 0.7]
    found = network_poses([view], heads)
    assert_close(found.rotation, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12, reason="orthonormal already")
    assert_close(found.translation_mm[:, 0], np.array([50.0, 100.0, 0.0]), atol=1e-6, reason="by logit")
    assert (found.translation_mm[:, 2] == 500).all()
    assert (found.scale == 1).all()


def test_poses_are_stored_to_a_small_error(images: Arrays, bank: PoseBank) -> None:
    view = CenteredView(np.zeros((64, 64), np.float32), np.eye(3), 500.0)
    poses = bank_poses([view], np.zeros(len(bank), int), bank, np.arange(len(bank)))
    assert np.abs(poses.angles_rad - images["angles"]).max() < 0.0101
    assert np.abs(poses.rotation - images["rotation"]).max() < 1e-3
    assert_close(poses.rotation @ poses.rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-12,
                 reason="normalised quaternions")  # fmt: skip
    assert np.abs(poses.translation_mm - images["wrist"] - [0, 0, 500]).max() < 0.0101
    assert np.abs(poses.scale - images["scale"]).max() < 0.00251


@pytest.mark.parametrize("name", ["open", "pinch", "back"])
def test_one_of_the_proposals_is_near(name: str) -> None:
    """Near enough for the first rounds of the tournament."""
    one = example(name)
    proposals = propose(observe(one.depth_mm, one.camera)[0])
    assert len(proposals) == 64
    true = np.asarray(one.truth.rotation)
    turn = np.degrees(np.arccos(np.clip((np.einsum("kij,ij->k", proposals.rotation, true) - 1) / 2, -1, 1)))
    away = np.linalg.norm(proposals.translation_mm - np.asarray(one.truth.translation_mm), axis=1)
    assert ((turn < 30) & (away < 50)).any()


def test_the_bank_covers_the_limits_of_size() -> None:
    bank = default_bank()
    assert len(bank) > 100_000
    rig = default_rig("right")
    assert bank.angles.shape[1] == rig.limits.free.sum()
    assert bank.axes.shape == (len(bank.mean), bank.descriptions.shape[1])


def test_a_mirrored_observation_has_proposals_of_its_own_frame() -> None:
    """They are those of the right hand that the mirror image shows: the same bank answers for both sides."""
    one = example("left")
    observation = observe(one.depth_mm, one.camera)[0]
    proposals = propose(observation.mirrored(), 32)
    flip = np.diag(MIRROR)
    true = flip @ np.asarray(one.truth.rotation) @ flip
    turn = np.degrees(np.arccos(np.clip((np.einsum("kij,ij->k", proposals.rotation, true) - 1) / 2, -1, 1)))
    assert turn.min() < 25


def test_proposals_for_another_rig_keep_their_size() -> None:
    one = example("open")
    proposals = propose(observe(one.depth_mm, one.camera)[0], 4)
    long = with_proportions(default_rig("right"), np.where(np.arange(13) == 12, 0.2, 0.0))
    other = proposals.for_rig(long)
    assert (other.scale < proposals.scale).all()
    assert_same_bits(other.translation_mm, proposals.translation_mm, "wrists")
    same = proposals.for_rig(default_rig("right"))
    assert_close(same.rotation, proposals.rotation, atol=1e-12, reason="the same axes")


def test_proposals_for_a_rig_whose_keypoints_are_no_joints_have_the_size_of_the_hand() -> None:
    one = example("open")
    proposals = propose(observe(one.depth_mm, one.camera)[0], 4)
    elsewhere = with_joints_elsewhere(default_rig("right"), 9.0)
    moved = proposals.for_rig(with_keypoints(elsewhere, "default"))
    assert moved.scale == pytest.approx(proposals.scale, rel=0.01)
    assert np.abs(proposals.for_rig(elsewhere).scale / proposals.scale - 1).max() > 0.05
    assert_same_bits(moved.angles_rad, proposals.angles_rad, "angles")


@pytest.mark.parametrize("count", [0, 10**7])
def test_senseless_counts_are_refused(count: int) -> None:
    one = example("open")
    with pytest.raises(ShapeError, match="count must be between 1 and"):
        propose(observe(one.depth_mm, one.camera)[0], count)


def test_a_broken_bank_says_what_to_do(tmp_path: Path, images: Arrays) -> None:
    path = tmp_path / "bank.npz"
    weights = random_weights(np.random.default_rng(2))
    arrays = compress(images, network_from_arrays(as_arrays(weights)), AXES)
    arrays |= {NETWORK + name: np.asarray(each) for name, each in as_arrays(weights).items()}
    np.savez(path, format=np.int64(FORMAT), **arrays)
    assert len(load_bank(path)) == 120
    broken: dict[str, dict[str, Any]] = {
        "format 1": {**arrays, "format": np.int64(1)},
        "version 9": {
            **arrays,
            "format": np.int64(FORMAT),
            NETWORK + "metadata": np.asarray(as_arrays(weights, version=9)["metadata"]),
        },
        "rows": {**arrays, "format": np.int64(FORMAT), "scales": arrays["scales"][:3]},
        "angles is float64": {**arrays, "format": np.int64(FORMAT), "angles": arrays["angles"].astype(float)},
        "not a file in the archive": {"format": np.int64(FORMAT)},
    }
    for message, content in broken.items():
        np.savez(path, **content)
        with pytest.raises(HandoptError, match=f"no usable bank of proposals.*{message}.*install handopt again"):
            load_bank(path)
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(HandoptError, match="no usable bank"):
        load_bank(path)
    with pytest.raises(HandoptError, match="no usable bank"):
        load_bank(tmp_path / "none.npz")
