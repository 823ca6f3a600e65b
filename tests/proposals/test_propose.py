"""What is proposed: poses drawn to the joints that the network sees, its hypotheses, and more where more are wanted."""

from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close, assert_same_bits
from support.displaced_joints import with_joints_elsewhere
from support.examples import example

from handopt.errors import HandoptError, ShapeError
from handopt.observation.observe import observe
from handopt.proposals import model_file, propose
from handopt.proposals.features import CenteredView
from handopt.proposals.model_file import default_model
from handopt.proposals.network import head_sizes
from handopt.proposals.pose_of_joints import joints_of
from handopt.proposals.propose import network_poses, quarter_turns
from handopt.rig import default_rig, with_keypoints, with_proportions
from handopt.rig.anatomy import MIRROR


def test_quarter_turns_show_the_same_poses(rng: np.random.Generator) -> None:
    view = CenteredView(rng.normal(size=(64, 64)).astype(np.float32), np.eye(3), 500.0)
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


@pytest.mark.parametrize("name", ["open", "pinch", "back"])
def test_one_of_the_proposals_is_near(name: str) -> None:
    """Near enough for the first rounds of the tournament."""
    one = example(name)
    proposals = propose(observe(one.depth_mm, one.camera)[0], 64)
    assert len(proposals) == 64
    true = np.asarray(one.truth.rotation)
    turn = np.degrees(np.arccos(np.clip((np.einsum("kij,ij->k", proposals.rotation, true) - 1) / 2, -1, 1)))
    away = np.linalg.norm(proposals.translation_mm - np.asarray(one.truth.translation_mm), axis=1)
    assert ((turn < 30) & (away < 50)).any()


def test_a_mirrored_observation_has_proposals_of_its_own_frame() -> None:
    """They are those of the right hand that the mirror image shows: the same network answers for both sides."""
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


def test_the_first_proposals_are_the_nearest() -> None:
    """They are drawn to where the network sees the joints, which the hypotheses behind them are not."""
    one = example("open")
    joints = joints_of(propose(observe(one.depth_mm, one.camera)[0], 64))
    off = np.linalg.norm(joints - one.joints_mm, axis=-1).mean(axis=1)
    assert off[0] < 8
    assert off[:8].max() < 0.75 * np.median(off[24:])
    assert np.median(off[8:24]) < np.median(off[24:])


def test_as_many_are_proposed_as_are_wanted_and_always_the_same() -> None:
    observation = observe(example("open").depth_mm, example("open").camera)[0]
    for count in (1, 7, 64, 192):
        found, again = propose(observation, count), propose(observation, count)
        assert len(found) == count
        assert_same_bits(found.angles_rad, again.angles_rad, "angles")
    apart = np.linalg.norm(joints_of(found)[:, None] - joints_of(found)[None], axis=-1).mean(axis=-1)
    assert (apart[np.triu_indices(count, 1)] > 0.1).mean() > 0.95
    limits = default_rig("right").limits
    assert (found.angles_rad >= limits.lower).all()
    assert (found.angles_rad <= limits.upper).all()


@pytest.mark.parametrize("count", [0, -3])
def test_senseless_counts_are_refused(count: int) -> None:
    one = example("open")
    with pytest.raises(ShapeError, match="count must be at least 1"):
        propose(observe(one.depth_mm, one.camera)[0], count)


def test_a_broken_installation_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "proposals.npz"
    broken.write_bytes(b"PK\x03\x04 torn")
    monkeypatch.setattr(model_file, "asset", lambda name: tmp_path / name)
    default_model.cache_clear()
    try:
        with pytest.raises(HandoptError, match=r"own network cannot be used .*: install handopt again"):
            default_model()
        broken.unlink()
        with pytest.raises(HandoptError, match="install handopt again"):
            default_model()
    finally:
        default_model.cache_clear()
