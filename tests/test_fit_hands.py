"""Several hands in one image: which are fitted, what is left out for the next, and which are never sure."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close
from support.factories import bent, fit_result, posed, raster

from handopt.config import Config, FitSettings
from handopt.errors import ConfigError, ObservationError, ShapeError
from handopt.fit_hands import OTHERS_NOTE, TOUCHING_NOTE, fit_hands, is_own_hand, touch, with_others
from handopt.fit_input import FitInput
from handopt.fitting import fit
from handopt.input.camera import Camera
from handopt.observation.hand_pixels import arm_pixels, grown, hand_pixels
from handopt.result import FitResult
from handopt.rig import default_rig
from handopt.typing import FloatImage, Floats

CAMERA = Camera(300.0, 300.0, 159.5, 119.5, 320, 240)
QUICK = Config(starts=8, points=160)


def moved(result: FitResult, by_mm: tuple[float, float, float], **changes: Any) -> FitResult:
    """A result whose hand lies elsewhere."""
    offset = np.array(by_mm)
    observation = replace(result.observation, points_mm=result.observation.points_mm + offset.astype(np.float32))
    changes = {"observation": observation, **changes}
    return replace(result, joints_mm=result.joints_mm + offset, vertices_mm=result.vertices_mm + offset, **changes)


def hand_at(side: str, x_mm: float) -> tuple[Floats, FloatImage]:
    """Joints (21, 3) mm and the depth image of an open hand."""
    rig = default_rig(side)
    first = fit_result(side)
    vertices, joints = posed(rig, bent(0.3), first.rotation, np.array([x_mm, 60.0, 420.0]), 1.0)
    return joints, raster(vertices, rig, CAMERA)


@pytest.fixture(scope="module")
def scene() -> tuple[Floats, Floats, FloatImage]:
    """Joints of a right and of a left hand, and an image of both."""
    (right, one), (left, other) = hand_at("right", -95.0), hand_at("left", 95.0)
    both = np.where((one > 0) & ((other == 0) | (one < other)), one, other)
    return right, left, both.astype(np.float32)


class Fits:
    """Stands in for fit_image: gives results in turn, and remembers what it was given."""

    def __init__(self, *results: FitResult | Exception) -> None:
        self._results = iter(results)
        self.given: list[FitInput] = []

    def __call__(self, given: FitInput, _settings: FitSettings, _progress: object = None) -> FitResult:
        self.given.append(given)
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fits]:
    def replaced(*results: FitResult | Exception) -> Fits:
        fake = Fits(*results)
        monkeypatch.setattr(importlib.import_module("handopt.fit_hands"), "fit_image", fake)
        return fake

    return replaced


def looked_at(first: FitResult, **more: Any) -> FitInput:
    return FitInput(first.observation.depth_mm, first.camera, **more)


FAR = (250.0, 0.0, 0.0)


# ------------------------------------------------------------------------------------------------- a real image


def test_two_hands_are_found_and_fitted(scene: tuple[Floats, Floats, FloatImage]) -> None:
    right, left, depth = scene
    found = fit_hands(depth, CAMERA, config=QUICK, device="cpu")
    assert sorted(result.hand for result in found) == ["left", "right"]
    for result in found:
        truth = right if result.hand == "right" else left
        assert np.linalg.norm(result.joints_mm - truth, axis=1).max() < 20.0
        assert TOUCHING_NOTE not in result.notes
    assert OTHERS_NOTE in found[1].notes
    assert found[1].ignored_pixels >= found[0].observation.mask.sum()
    assert not (found[1].observation.mask & found[0].observation.mask).any()


def test_one_hand_is_that_of_fit_and_no_second_one_is_made_up(scene: tuple[Floats, Floats, FloatImage]) -> None:
    _, alone = hand_at("right", 0.0)
    options = {"config": QUICK, "device": "cpu", "hand": "right"}
    (one,) = fit_hands(alone, CAMERA, 3, **options)
    (as_today,) = fit_hands(alone, CAMERA, 1, **options)
    usual = fit(alone, CAMERA, **options)
    for each in (one, as_today):
        assert_close(each.joints_mm, usual.joints_mm, atol=0.0, reason="the same fit")
        assert (each.confidence, each.notes) == (usual.confidence, usual.notes)


# ------------------------------------------------------------------------------------------- what is looked at


def test_the_next_hand_is_looked_for_in_what_the_first_one_leaves(fits: Callable[..., Fits]) -> None:
    first = fit_result()
    mask = np.zeros(first.observation.mask.shape, bool)
    mask[:3] = True
    fake = fits(moved(first, FAR, hand="left"))
    given = looked_at(first, mask=first.observation.mask, center=(100.0, 100.0), box=(0, 0, 90, 90), ignore=mask)
    found = with_others(first, given, FitSettings(), 2, side="auto")
    assert [each.hand for each in found] == ["right", "left"]
    (again,) = fake.given
    assert (again.hand, again.mask, again.center, again.box) == ("auto", None, None, (0, 0, 90, 90))
    assert again.ignore is not None
    assert again.ignore[mask].all()
    assert again.ignore[first.observation.mask].all()
    assert again.ignore[first.fitted_depth_mm > 0].mean() > 0.9
    assert again.ignore.mean() < 0.7


def test_in_a_mirrored_image_the_pixels_are_those_of_the_image(fits: Callable[..., Fits]) -> None:
    first = fit_result()
    given = looked_at(first, mirrored=True)
    fake = fits(ObservationError("none"))
    assert with_others(first, given, FitSettings(), 2) == [first]
    ignore = np.asarray(fake.given[0].ignore)
    assert ignore[:, ::-1][first.observation.mask].all()
    assert not ignore[first.observation.mask].all()


def test_hands_are_looked_for_until_there_are_enough(fits: Callable[..., Fits]) -> None:
    first = fit_result()
    two, three = moved(first, FAR), moved(first, (-250.0, 0.0, 0.0), hand="left")
    fake = fits(two, three)
    found = with_others(first, looked_at(first), FitSettings(), 3)
    assert [each.hand for each in found] == ["right", "right", "left"]
    assert len(fake.given) == 2


@pytest.mark.parametrize(
    ("by_mm", "changes"),
    [
        ((30.0, 0.0, 0.0), {}),
        (FAR, {"confidence": 0.4}),
        (FAR, {"residual_mm": {"median": float("inf"), "mean": float("inf"), "p95": float("inf")}}),
    ],
    ids=["the same place", "doubtful", "covers nothing"],
)
def test_what_is_no_hand_of_its_own_is_left_out(
    by_mm: tuple[float, float, float], changes: dict[str, Any], fits: Callable[..., Fits]
) -> None:
    first = fit_result()
    fits(moved(first, by_mm, **changes))
    assert len(with_others(first, looked_at(first), FitSettings(), 2)) == 1


def test_what_does_not_look_like_a_hand_is_left_out(fits: Callable[..., Fits]) -> None:
    first = fit_result()
    other = moved(first, FAR)
    arm = replace(other, observation=replace(other.observation, score=0.4))
    assert arm.observation.hand_probability < 0.5 <= other.observation.hand_probability
    palms = [first.joints_mm[[0, 1, 5, 9, 13, 17]].mean(axis=0)]
    assert is_own_hand(other, palms)
    assert not is_own_hand(arm, palms)
    fits(arm)
    assert with_others(first, looked_at(first), FitSettings(), 2) == [first]


# ------------------------------------------------------------------------------------------------- never sure


def beside(first: FitResult, gap_mm: float) -> FitResult:
    """The same hand again, so far beside the first one that a gap is between their boxes."""
    points = np.concatenate([first.vertices_mm, first.observation.points_mm])
    width = float(np.ptp(points[:, 0]))
    return moved(first, (width + gap_mm, 0.0, 0.0))


def test_hands_that_touch_are_not_sure(fits: Callable[..., Fits]) -> None:
    first = fit_result(confidence=0.97)
    near = beside(first, -4.0)
    assert touch(first, near)
    fits(near)
    found = with_others(first, looked_at(first), FitSettings(), 2)
    for each in found:
        assert each.confidence < 0.9
        assert each.notes.count(TOUCHING_NOTE) == 1
    assert (found[0].joint_uncertainty_mm > 0).all()
    assert first.confidence == 0.97


def test_hands_apart_keep_their_confidence(fits: Callable[..., Fits]) -> None:
    first = fit_result(confidence=0.97)
    apart = beside(first, 40.0)
    assert not touch(first, apart)
    fits(apart)
    assert [each.confidence for each in with_others(first, looked_at(first), FitSettings(), 2)] == [0.97, 0.97]


def test_a_hand_that_touches_one_that_cannot_be_fitted_is_not_sure(fits: Callable[..., Fits]) -> None:
    first = fit_result(confidence=0.97)
    fits(replace(beside(first, -4.0), confidence=0.2))
    (alone,) = with_others(first, looked_at(first), FitSettings(), 2)
    assert alone.confidence < 0.9
    assert TOUCHING_NOTE in alone.notes


# ----------------------------------------------------------------------------------------------------- pixels


def test_a_hand_reaches_a_little_beyond_its_silhouette_and_not_far_behind() -> None:
    camera = Camera(200.0, 200.0, 49.5, 49.5, 100, 100)
    fitted = np.zeros((100, 100), np.float32)
    fitted[40:60, 40:60] = 400.0
    wide = grown(fitted, camera, 10.0)
    assert (wide[35:65, 35:65] == 400.0).all()
    assert np.count_nonzero(wide) == 900  # 10 mm are 5 pixels at this distance
    depth = np.full((100, 100), 410.0, np.float32)
    depth[:, 50:] = 600.0
    pixels = hand_pixels(depth, fitted, camera)
    assert pixels[35:65, 35:50].all()
    assert not pixels[:, 50:].any()
    assert not hand_pixels(depth, np.zeros_like(fitted), camera).any()


def test_the_arm_is_what_goes_on_beyond_the_wrist() -> None:
    first = fit_result()
    joints, camera = first.joints_mm, first.camera
    wrist = joints[0]
    down = wrist - joints[[5, 9, 13, 17]].mean(axis=0)
    down = np.array([down[0], down[1], 0.0]) / np.linalg.norm(down[:2])
    rows, columns = np.mgrid[: camera.height, : camera.width]
    z = float(wrist[2])
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z], axis=-1) - wrist[:2]
    along, across = points @ down[:2], np.abs(points @ np.array([-down[1], down[0]]))
    depth = np.where((along > 10) & (across < 30), z, 0).astype(np.float32)
    other = np.where((along < -200) | (across > 120), z, 0).astype(np.float32)
    arm = arm_pixels(depth + other, joints, first.observation.mask, camera)
    expected = (depth > 0) & ~first.observation.mask
    assert expected.sum() > 500
    assert (arm & expected).sum() > 0.97 * expected.sum()
    assert not (arm & (other > 0)).any()


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("max_hands", [0, -1, 1.5, "2", True, None])
def test_a_number_of_hands_that_makes_no_sense(max_hands: Any) -> None:
    with pytest.raises(ConfigError, match="max_hands"):
        fit_hands(np.full((240, 320), 400.0), CAMERA, max_hands)


def test_other_arguments_are_checked_as_by_fit() -> None:
    depth = np.full((240, 320), 400.0)
    with pytest.raises(ConfigError, match="hand: expected one of"):
        fit_hands(depth, CAMERA, hand="both")
    with pytest.raises(ShapeError, match="depth_mm: expected shape"):
        fit_hands(depth[:100], CAMERA)
    with pytest.raises(ObservationError):
        fit_hands(depth, CAMERA)
