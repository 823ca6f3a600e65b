"""Copies of a pose with one finger changed are compared by what that finger moves; nothing else may change by it."""

import numpy as np
from support.observation_factory import CPU, gather, near_poses, small_observation

from handopt.config import Config
from handopt.hand_model import Hand
from handopt.objective.unexplained import unexplained_fraction
from handopt.optimise.finger_mutation import FINGERS, GRIDS, ROWS
from handopt.optimise.finger_parts import finger_parts, unexplained_by_finger
from handopt.rig import default_rig


def test_every_face_moves_with_a_finger_or_stays() -> None:
    hand = Hand.of(default_rig("right"), CPU)
    for part in finger_parts(hand):
        moved = part.vertices[part.faces]
        both = np.concatenate([moved, part.still])
        assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, hand.faces.tolist()))
        assert 0.05 < len(moved) / len(both) < 0.3


def test_copies_with_another_finger_leave_as_much_as_their_whole_meshes(rng: np.random.Generator) -> None:
    hand = Hand.of(default_rig("right"), CPU)
    config = Config(crop_px=32)
    targets = gather(config, [(small_observation(), False), (small_observation(1.0), True)], dtype=np.float32)
    parent = near_poses((0.4,), (1,), dtype=np.float32)
    parent.proportions = rng.normal(scale=0.05, size=(1, len(hand.vertex_basis))).astype(np.float32)
    fingers = np.tile(np.arange(FINGERS), 4)
    rng.shuffle(fingers)
    pose = parent.select(np.zeros(len(fingers), np.int64))
    for row, finger in enumerate(fingers):
        part = slice(ROWS * finger, ROWS * (finger + 1))
        pose.angles[row, part] = GRIDS[finger][rng.integers(len(GRIDS[finger]))]
    pose.angles[3] = np.nan
    for step in (1, 2):
        found = unexplained_by_finger(hand, finger_parts(hand), targets, parent, pose, fingers, step)
        posed = hand.vertices(hand.transforms(pose), hand.rest_of(pose))
        whole = unexplained_fraction(posed, hand.faces, *targets.grids[1], step)
        finite = np.arange(len(fingers)) != 3
        assert np.array_equal(found[finite], whole[finite])
        assert np.isinf(found[3])
        assert np.ptp(found[finite]) > 0.05
