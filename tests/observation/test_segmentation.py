"""Growing a hand around a palm: its fingers, its forearm, its score."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.scenes import ARM, CAMERA, HAND, OTHER, WALL, Scene, open_hand, turn

from handopt.observation.palm_proposals import PalmProposal, propose_palms
from handopt.observation.segmentation import Candidate, grow
from handopt.observation.settings import ObservationConfig, ScoreConfig
from handopt.observation.surfaces import segment_surfaces
from handopt.observation.upsample import in_pixels


def candidates(scene: Scene) -> list[Candidate]:
    frame = segment_surfaces(scene.photograph().astype(np.float32), CAMERA)
    readings = [reading for palm in propose_palms(frame) for reading in grow(frame, palm, 400.0)]
    return sorted(readings, key=lambda one: -one.score)


def test_the_palm_outscores_the_forearm_and_the_wall() -> None:
    best, *others = candidates(open_hand()[0])
    assert others
    assert np.linalg.norm(best.palm.center_mm - [0.0, 0.0, 488.0]) < 30.0
    assert all(best.score > other.score + 1.0 for other in others if other.palm.center_mm[1] > 60.0)


def test_score_is_the_weighted_sum_of_the_features() -> None:
    best = candidates(open_hand()[0])[0]
    names = sorted(best.features)
    weights = {name: 2.0**power for power, name in enumerate(names)}
    config = ObservationConfig(score=ScoreConfig(weights=weights))
    frame = replace(best.window.frame, config=config)
    weighed = replace(best, window=replace(best.window, frame=frame))
    expected = sum(2.0**power * best.features[name] for power, name in enumerate(names))
    assert weighed.score == pytest.approx(expected)
    assert set(ScoreConfig().weights) == set(names)
    assert best.features["fingers"] > 1.0
    assert best.features["no_arm"] == 0.0


def test_the_forearm_is_cut_off_past_the_wrist() -> None:
    scene, _ = open_hand()
    best = candidates(scene)[0]
    assert best.arm is not None
    assert best.arm.direction[1] > 0.95
    assert best.arm.reach_mm > 140.0
    assert best.arm.finger_fraction < 0.1
    _, mask, arm = in_pixels(best, scene.photograph().astype(np.float32), CAMERA, 1)
    assert mask.shape == arm.shape == (480, 640)
    assert not (mask & arm).any()
    rows = np.arange(480)[:, None]
    wrist_row = 239.5 + 475.0 * 50.0 / 490.0
    assert not (mask & (rows > wrist_row + 50)).any()
    assert (arm & (scene.labels == ARM)).sum() > 0.9 * arm.sum()
    assert not (arm & (scene.labels == HAND) & (rows < wrist_row)).any()


def test_a_side_by_side_bundle_of_fingers_is_no_forearm() -> None:
    scene = Scene()
    scene.hand(rotation=turn("y", 0.5), bends=(0.1, 0.2, 0.2, 0.2, 0.2))
    best = candidates(scene)[0]
    assert best.arm is not None
    assert best.arm.direction[1] > 0.9


def test_area_is_that_of_the_hand() -> None:
    scene, _ = open_hand()
    best = candidates(scene)[0]
    _, mask, _ = in_pixels(best, scene.photograph().astype(np.float32), CAMERA, 1)
    pixels: Any = scene.depth_mm[mask]
    assert best.area_cm2 == pytest.approx(float((pixels**2).sum()) / CAMERA.fx**2 / 100.0, rel=0.1)


def test_nothing_grows_where_nothing_is() -> None:
    scene = Scene()
    scene.hand()
    scene.plane(np.array([0.0, 0.0, 1.0]), 900.0, WALL)
    frame = segment_surfaces(scene.photograph().astype(np.float32), CAMERA)
    label = int(frame.labels[240, 320])
    assert grow(frame, PalmProposal(np.array([0.0, 0.0, 650.0]), 30.0, label), 400.0) == []


def test_distance_and_the_border_count_against_a_candidate() -> None:
    near, far = Scene(), Scene()
    near.hand((0.0, 0.0, 450.0))
    far.hand((0.0, 0.0, 750.0))
    assert candidates(near)[0].features["far"] < candidates(far)[0].features["far"]
    cut = Scene()
    cut.hand((-270.0, 0.0, 450.0))
    assert candidates(cut)[0].features["at_border"] > 0.5
    assert candidates(near)[0].features["at_border"] == 0.0


def test_a_ball_has_no_creases_and_a_hand_has() -> None:
    ball = Scene()
    ball.capsule(np.array([0.0, 0.0, 500.0]), np.array([0.0, 0.0, 500.0]), 45.0, OTHER)
    assert candidates(ball)[0].features["creases"] < 0.2
    assert candidates(open_hand()[0])[0].features["creases"] > 0.5
