"""Which places of an image are hands, and what an observation says of the others."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.scenes import CAMERA, HAND, OTHER, WALL, Scene, open_hand

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.input.subsample import subsampled, subsampled_camera
from handopt.observation.candidates import competitors_of, find_hands, palms_of
from handopt.observation.hints import Hints
from handopt.observation.observe import observe
from handopt.observation.segmentation import Candidate
from handopt.observation.surfaces import segment_surfaces

FORWARD = np.array([0.0, 0.0, 1.0])


def candidates(scene: Scene) -> tuple[list[Candidate], list[Candidate]]:
    depth = scene.photograph().astype(np.float32)
    return find_hands(segment_surfaces(subsampled(depth, 2), subsampled_camera(CAMERA, 2)), Hints(), 2)


def hands(*places: tuple[float, float, float]) -> Scene:
    scene = Scene()
    for place in places:
        scene.hand(place)
    scene.plane(FORWARD, 1000.0, WALL)
    return scene


def test_the_best_comes_first_and_the_others_lie_apart() -> None:
    chosen, every = candidates(hands((-140.0, 0.0, 500.0), (140.0, 0.0, 520.0)))
    assert len(chosen) == 2
    assert chosen[0].score == max(candidate.score for candidate in every)
    assert np.linalg.norm(chosen[0].palm.center_mm - chosen[1].palm.center_mm) > 200.0


def test_little_is_grown_beside_a_hand_beyond_doubt() -> None:
    chosen, every = candidates(hands((0.0, 0.0, 500.0)))
    assert chosen[0].score > 3.75
    others = [candidate.palm.center_mm for candidate in every if candidate is not chosen[0]]
    assert all(np.linalg.norm(other - chosen[0].palm.center_mm) > 200.0 for other in others)


def test_one_hand_has_no_competitor() -> None:
    chosen, every = candidates(hands((0.0, 0.0, 500.0)))
    competitors, score_margin = competitors_of(chosen[0], every)
    assert competitors == []
    assert score_margin > 3.0, "over the end of the arm"
    assert competitors_of(chosen[0], chosen) == ([], np.inf)
    (observation,) = observe(open_hand()[1], CAMERA)
    assert observation.competitors == 0
    assert not any("Another" in note for note in observation.notes)


def test_two_hands_are_competitors_and_it_is_said() -> None:
    scene = hands((-140.0, 0.0, 500.0), (140.0, 0.0, 520.0))
    first, second = observe(scene.photograph(), CAMERA)
    assert first.competitors == second.competitors == 1
    assert first.score_margin == pytest.approx(first.score - second.score)
    assert second.score_margin == pytest.approx(-first.score_margin)
    for observation in (first, second):
        (note,) = (note for note in observation.notes if "Another hand-like candidate" in note)
        assert 270 < int(note.split(" mm away")[0].split()[-1]) < 290
        assert "center=" in note


def test_what_the_user_points_at_has_no_competitor() -> None:
    scene = hands((-140.0, 0.0, 500.0), (140.0, 0.0, 520.0))
    u, v = CAMERA.project(np.array([140.0, 0.0, 520.0]))
    (observation,) = observe(scene.photograph(), CAMERA, center=(u, v))
    assert (observation.competitors, observation.score_margin) == (0, np.inf)
    (boxed,) = observe(scene.photograph(), CAMERA, box=(320, 0, 640, 480))
    assert boxed.competitors == 0


def test_a_ball_beside_a_hand_is_no_competitor() -> None:
    scene = Scene()
    scene.hand((-120.0, 0.0, 500.0))
    ball = np.array([150.0, 0.0, 520.0])
    scene.capsule(ball, ball, 60.0, OTHER)
    observation = observe(scene.photograph(), CAMERA)[0]
    assert (scene.labels[observation.mask] == HAND).mean() > 0.8
    assert observation.competitors == 0
    assert 2.0 < observation.score_margin < np.inf


def test_the_probability_of_a_hand_is_that_of_the_score() -> None:
    (hand,) = observe(open_hand()[1], CAMERA)
    assert hand.score > 2.0
    assert 0.9 < hand.hand_probability < 1.0
    scene = Scene()
    scene.capsule(np.array([-60.0, 0.0, 500.0]), np.array([60.0, 0.0, 500.0]), 38.0, OTHER)
    try:
        thing = observe(scene.photograph(), CAMERA)[0]
    except ObservationError:
        return
    assert thing.hand_probability < 0.5


def test_area_and_border_are_those_of_the_mask() -> None:
    scene = hands((0.0, 0.0, 500.0))
    whole = observe(scene.photograph(), CAMERA)[0]
    pixels = whole.depth_mm[whole.mask].astype(np.float64)
    assert whole.area_cm2 == pytest.approx((pixels**2).sum() / CAMERA.fx**2 / 100.0)
    assert 80.0 < whole.area_cm2 < 190.0
    assert whole.border_share == 0.0
    cut = observe(hands((-265.0, 0.0, 450.0)).photograph(), CAMERA)[0]
    assert cut.touches_border
    assert 0.05 < cut.border_share < 0.6
    assert cut.mirrored().border_share == cut.border_share


def test_a_wrong_unit_is_said_in_words_that_fit_the_option_too() -> None:
    far = np.full((48, 64), 20_000, np.float32)
    with pytest.raises(ObservationError, match=r"a hand is measured at .* to .*; check depth_mm=$"):
        observe(far, Camera(60.0, 60.0, 31.5, 23.5, 64, 48))


def test_a_hand_without_the_shape_of_one_is_recognised_by_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = hands((0.0, 0.0, 500.0))
    usual, _ = candidates(scene)
    monkeypatch.setattr("handopt.observation.candidates._plausible", lambda candidate, hinted: False)
    chosen, _ = candidates(scene)
    assert np.allclose(chosen[0].palm.center_mm, usual[0].palm.center_mm)


def test_what_neither_has_the_shape_nor_is_recognised_is_no_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def none_there(depth_mm: np.ndarray, camera: Camera, palms_mm: np.ndarray) -> list[SimpleNamespace]:
        asked.append(len(palms_mm))
        return [SimpleNamespace(presence=0.5)] * len(palms_mm)

    monkeypatch.setattr("handopt.observation.candidates._plausible", lambda candidate, hinted: False)
    monkeypatch.setattr("handopt.observation.candidates.read_windows", none_there)
    with pytest.raises(ObservationError, match="do not look like a hand"):
        candidates(hands((-140.0, 0.0, 500.0), (140.0, 0.0, 520.0)))
    assert 1 <= asked[0] <= 4


def test_an_observation_knows_where_else_palms_may_be() -> None:
    scene = hands((-140.0, 0.0, 500.0), (140.0, 0.0, 520.0))
    _, every = candidates(scene)
    palms = palms_of(every)
    best = max(every, key=lambda candidate: candidate.score)
    assert np.array_equal(palms[0], best.palm.center_mm)
    apart = np.linalg.norm(palms[:, None] - palms, axis=2) + 1e3 * np.eye(len(palms))
    assert apart.min() > 60.0
    for side in (-140.0, 140.0):
        assert np.linalg.norm(palms[:, :2] - [side, 0.0], axis=1).min() < 50.0
    assert palms_of([]).shape == (0, 3)
    observation = observe(scene.photograph(), CAMERA)[0]
    assert observation.palms_mm.shape[1] == 3
    assert np.array_equal(observation.mirrored().palms_mm, observation.palms_mm * [-1, 1, 1])
