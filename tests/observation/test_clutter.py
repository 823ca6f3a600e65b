"""Hands that are hard to cut out: before bodies, on desks, with holes, at the border, small, near, far, from all sides.

Each scene is seen with several poses, and the whole of its poses is judged: what share of the hand is found, what share
of the mask is body, desk or wall, what share is forearm past the wrist, and how far off the palm is.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.scenes import ARM, BODY, CAMERA, HAND, OTHER, WALL, Scene, turn

from handopt.errors import ObservationError
from handopt.observation.observation import Observation
from handopt.observation.observe import observe

FORWARD = np.array([0.0, 0.0, 1.0])
FIST = (0.1, 0.9, 0.9, 0.9, 0.9)
SEEDS = range(3)

Made = tuple[Scene, Any]


def posed(
    seed: int,
    place: tuple[float, float, float] = (0.0, 0.0, 500.0),
    *,
    tilt: float = 0.5,
    roll: float = np.pi,
    before: Any = None,
    bends: tuple[float, ...] | None = None,
    size: float = 1.0,
    arm: bool = True,
    wall_mm: float = 1000.0,
) -> Made:
    """A hand turned and bent by chance before a wall; before: a rotation instead of chance. Returns its joints too."""
    rng = np.random.default_rng(seed)
    rotation = turn("z", rng.uniform(-roll, roll))
    rotation = rotation @ turn("x", rng.uniform(-tilt, tilt)) @ turn("y", rng.uniform(-tilt, tilt))
    rotation = rotation if before is None else turn("z", rng.uniform(-3, 3)) @ before
    fingers = tuple(rng.uniform(0.0, 0.7, 5)) if bends is None else bends
    scene = Scene()
    joints = scene.hand(place, rotation, fingers, size=size, arm=arm)
    if wall_mm:
        scene.plane(FORWARD, wall_mm, WALL)
    return scene, joints


def with_torso(seed: int, gap_mm: float) -> Made:
    scene, joints = posed(seed, (0.0, -40.0, 550.0), tilt=0.3, roll=0.8, wall_mm=1500.0)
    z = 550.0 + gap_mm + 150.0
    scene.capsule(np.array([60.0, 120.0, z]), np.array([60.0, 400.0, z]), 150.0, BODY)
    return scene, joints


def with_face(seed: int, gap_mm: float) -> Made:
    scene, joints = posed(seed, tilt=0.3, roll=0.8, wall_mm=1500.0)
    z = 500.0 + gap_mm + 90.0
    scene.capsule(np.array([0.0, -30.0, z]), np.array([0.0, 40.0, z]), 90.0, BODY)
    return scene, joints


def on_a_desk(seed: int, height_mm: float) -> Made:
    scene, joints = posed(seed, (0.0, 0.0, 550.0), tilt=0.1, bends=(0.0,) * 5, wall_mm=0.0)
    scene.plane(FORWARD, 550.0 + height_mm, OTHER)
    return scene, joints


def on_a_slanted_desk(seed: int, height_mm: float) -> Made:
    normal, place = np.array([0.0, -0.5, 0.866]), np.array([0.0, 20.0, 550.0])
    scene = Scene()
    angle = np.random.default_rng(seed).uniform(-3, 3)
    joints = scene.hand(tuple(place), turn("x", np.pi / 6) @ turn("z", angle), (0.05,) * 5)
    scene.plane(normal, float(normal @ place) + height_mm, OTHER)
    return scene, joints


def judged(scene: Scene, observation: Observation, joints: Any) -> tuple[float, float, float, float]:
    """Share of the hand that was found, shares of foreign and of forearm in the mask, distance of the palm in mm."""
    measured, mask = observation.depth_mm > 0, observation.mask
    axis = joints[0] - joints[[5, 9, 13, 17]].mean(axis=0)
    past = (CAMERA.backproject(observation.depth_mm).astype(float) - joints[0]) @ (axis / np.linalg.norm(axis))
    hand = (scene.labels == HAND) & measured & (past < 5.0)
    foreign = np.isin(scene.labels, (BODY, OTHER, WALL))
    forearm = (past > 30.0) & np.isin(scene.labels, (HAND, ARM))
    count = max(1, int(mask.sum()))
    off = float(np.linalg.norm(observation.center_mm - joints[[0, 5, 9, 13, 17]].mean(axis=0)))
    return (mask & hand).sum() / hand.sum(), (mask & foreign).sum() / count, (mask & forearm).sum() / count, off


def check(make: Callable[[int], Made], spoil: Callable[[Any], None] | None = None, foreign: float = 0.02) -> None:
    """Judge the poses of a scene together."""
    rows = []
    for seed in SEEDS:
        scene, joints = make(seed)
        depth = scene.photograph(seed)
        if spoil is not None:
            spoil(depth)
        rows.append(judged(scene, observe(depth, CAMERA)[0], joints))
    found, other, arm, off = np.array(rows).T
    assert found.min() > 0.95, rows
    assert np.median(found) > 0.99, rows
    assert other.max() < foreign, rows
    assert arm.max() < 0.12, rows
    assert off.max() < 55.0, rows


@pytest.mark.parametrize("gap_mm", [40.0, 60.0, 120.0, 200.0, 300.0])
def test_a_torso_behind(gap_mm: float) -> None:
    check(lambda seed: with_torso(seed, gap_mm), foreign=0.03)


@pytest.mark.parametrize(
    ("gap_mm", "foreign"), [(40.0, 0.13), (60.0, 0.08), (80.0, 0.02), (120.0, 0.02), (300.0, 0.02)]
)
def test_a_face_behind(gap_mm: float, foreign: float) -> None:
    check(lambda seed: with_face(seed, gap_mm), foreign=foreign)


@pytest.mark.parametrize("height_mm", [25.0, 30.0, 50.0])
@pytest.mark.parametrize("desk", [on_a_desk, on_a_slanted_desk])
def test_a_desk_under_the_hand(desk: Callable[[int, float], Made], height_mm: float) -> None:
    check(lambda seed: desk(seed, height_mm))


def test_rows_of_dropped_pixels_across_the_fingers() -> None:
    def spoil(depth: Any) -> None:
        for row in (150, 185, 225, 260):
            depth[row : row + 3] = 0.0

    check(posed, spoil)


def test_columns_of_dropped_pixels() -> None:
    def spoil(depth: Any) -> None:
        for column in (260, 300, 340, 380):
            depth[:, column : column + 3] = 0.0

    check(posed, spoil)


def test_blocks_of_dropped_pixels() -> None:
    def spoil(depth: Any) -> None:
        rng = np.random.default_rng(5)
        for row, column, height, width in zip(
            rng.integers(0, 470, 140), rng.integers(0, 630, 140), *rng.integers(2, 9, (2, 140)), strict=True
        ):
            depth[row : row + height, column : column + width] = 0.0

    check(posed, spoil)


@pytest.mark.parametrize("size", [0.72, 1.22])
def test_hands_of_children_and_large_hands(size: float) -> None:
    check(lambda seed: posed(seed, size=size))


@pytest.mark.parametrize("z_mm", [250.0, 900.0, 1300.0])
def test_near_and_far_hands(z_mm: float) -> None:
    check(lambda seed: posed(seed, (0.0, 0.0, z_mm), wall_mm=z_mm + 400.0))


def test_fists() -> None:
    check(lambda seed: posed(seed, bends=FIST))


@pytest.mark.parametrize("tilt", [0.7, 1.1])
def test_the_forearm_points_away_from_the_camera_or_at_it(tilt: float) -> None:
    check(lambda seed: posed(seed, (0.0, 0.0, 550.0), before=turn("x", tilt)))
    check(lambda seed: posed(seed, (0.0, 0.0, 500.0), before=turn("x", -tilt)))


def test_seen_from_the_fingertips() -> None:
    """The palm hides behind the fingers, so its centre is less certain."""
    for seed in SEEDS:
        scene, joints = posed(seed, (0.0, 0.0, 450.0), before=turn("x", -1.35), arm=False)
        found, foreign, _, off = judged(scene, observe(scene.photograph(), CAMERA)[0], joints)
        assert found > 0.93
        assert foreign < 0.02
        assert off < 70.0


# At the border the hand may go unnoticed, but nothing else may be called a hand with confidence.

BORDERS = {"left": (-262.0, 0.0), "right": (262.0, 0.0), "top": (0.0, -187.0), "bottom": (0.0, 187.0)}


def at_border(name: str, into_mm: float) -> Iterator[Made]:
    """Hands at a border, moved into the image by so much."""
    x, y = (value - np.sign(value) * into_mm for value in BORDERS[name])
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rotation = turn("z", rng.uniform(-0.5, 0.5)) @ turn("x", rng.uniform(-0.4, 0.4))
        rotation = turn("z", np.pi) @ rotation if name == "bottom" else rotation
        scene = Scene()
        joints = scene.hand((x, y, 450.0), rotation, tuple(rng.uniform(0.0, 0.7, 5)))
        scene.plane(FORWARD, 1000.0, WALL)
        yield scene, joints


@pytest.mark.parametrize("name", BORDERS)
def test_fingers_out_of_the_image(name: str) -> None:
    for scene, joints in at_border(name, 40.0):
        observation = observe(scene.photograph(), CAMERA)[0]
        found, foreign, forearm, off = judged(scene, observation, joints)
        assert found > 0.95
        assert foreign < 0.02
        assert forearm < 0.12
        assert off < 45.0
        if (scene.labels[[0, -1]] == HAND).any() or (scene.labels[:, [0, -1]] == HAND).any():
            assert observation.touches_border
            assert observation.border_share > 0.0
            assert any("border" in note for note in observation.notes)


@pytest.mark.parametrize("name", BORDERS)
def test_half_a_palm_out_of_the_image_is_found_or_doubted(name: str) -> None:
    for scene, joints in at_border(name, 0.0):
        try:
            observation = observe(scene.photograph(), CAMERA)[0]
        except ObservationError:
            continue
        _, _, _, off = judged(scene, observation, joints)
        assert off < 50.0 or observation.hand_probability < 0.2
