"""Images are fitted one by one, and left out by name where they do not fit in."""

from typing import Any

import numpy as np
import pytest
from support.factories import fit_result
from support.shape_cases import frames, single_fits

from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError, ShapeError
from handopt.fitting import fit_images
from handopt.input.camera import Camera
from handopt.rig import default_rig
from handopt.shape import single_fits as single_fits_module
from handopt.shape.single_fits import (
    RejectedImage,
    ShapeInput,
    SingleFit,
    SingleFitLimits,
    _one_side,
    fit_each,
    outliers,
    poses_of,
)

SETTINGS: dict[str, Any] = {"hand": "right", "rig": None, "settings": FitSettings(device="cpu")}


def single(name: str, scale: float = 1.0, confidence: float = 0.9, **changes: Any) -> SingleFit:
    """A single fit whose hand has a size; proportions are the rig's own."""
    return SingleFit(name, fit_result(scale=scale, confidence=confidence, proportions=np.zeros(13), **changes), 5000)


def nothing(name: str) -> ShapeInput:
    """An image of a wall."""
    return ShapeInput(name, np.full((240, 320), 700.0, np.float32), Camera(300.0, 300.0, 159.5, 119.5, 320, 240))


def test_every_image_is_fitted() -> None:
    assert [each.name for each in single_fits()] == ["0", "1", "2", "3"]
    assert not any(each.mirrored for each in single_fits())
    assert all(150 < each.size_mm < 220 for each in single_fits())


def test_images_of_one_name_are_refused_before_anything_is_fitted() -> None:
    with pytest.raises(ShapeError, match="frames: several are named 'wall'; give each image a name of its own"):
        fit_each([nothing("wall"), nothing("other"), nothing("wall")], **SETTINGS)


def test_an_image_without_a_hand_is_left_out_by_name() -> None:
    done: list[int] = []
    found, rejected = fit_each([nothing("wall"), *frames()[:1]], **SETTINGS, progress=done.append)
    assert [each.name for each in found] == ["0"]
    assert [each.image for each in rejected] == ["wall"]
    assert done == [1, 2]


def test_an_image_whose_costs_are_not_finite_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:

    def one_fails(images: Any, settings: Any) -> Any:
        first, *rest = images
        yield NumericalError(f"no cost of {first.image} is finite")
        yield from fit_images(rest, settings)

    monkeypatch.setattr(single_fits_module, "fit_images", one_fails)
    found, rejected = fit_each([nothing("bad"), *frames()[:1]], **SETTINGS)
    assert [each.name for each in found] == ["0"]
    assert rejected == [RejectedImage("bad", "no cost of bad is finite")]


def test_too_few_pixels_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_fits_module, "LIMITS", SingleFitLimits(min_pixels=10**6))
    with pytest.raises(ObservationError, match=r"none of the images.*0: only \d+ pixels .* show the hand, 1000000 and"):
        fit_each(frames()[:1], **SETTINGS)


def test_auto_takes_the_side_that_fits() -> None:
    found, rejected = fit_each(frames("left", count=1), **{**SETTINGS, "hand": "auto", "rig": default_rig("right")})
    assert [each.fit.hand for each in found] == ["left"]
    assert all(each.mirrored for each in found)
    assert rejected == []


def test_no_image_is_no_calibration() -> None:
    with pytest.raises(ShapeError, match="at least one image"):
        fit_each([], **SETTINGS)


def test_alike_hands_agree() -> None:
    assert outliers([single("a", 0.98), single("b", 1.0), single("c", 1.03)]) == []
    assert outliers([single("a")]) == []


def test_a_doubtful_fit_among_sure_ones_is_left_out() -> None:
    rejected = outliers([single("a"), single("b", confidence=0.05), single("c")])
    assert [each.image for each in rejected] == ["b"]
    assert "doubtful" in rejected[0].reason
    assert outliers([single(name, confidence=0.05) for name in "abc"]) == []


def test_a_hand_of_another_size_is_left_out() -> None:
    rejected = outliers([single("a"), single("b", 1.02), single("c", 0.99), single("child", 0.8)])
    assert [each.image for each in rejected] == ["child"]
    assert "mm long" in rejected[0].reason


def test_two_people_are_refused() -> None:
    mixed = [single(name, scale) for name, scale in zip("abcdef", (0.85, 0.86, 0.87, 1.12, 1.13, 1.14), strict=True)]
    with pytest.raises(ObservationError, match=r"do not show one hand.* in a .* in f"):
        outliers(mixed)
    with pytest.raises(ObservationError, match="do not show one hand"):
        outliers([single("a", 0.85), single("b", 1.12)])


def test_the_other_hand_among_many_is_left_out() -> None:
    def sided(name: str, side: str, margin: float) -> SingleFit:
        return SingleFit(
            name,
            fit_result(side, hand_margin=margin),
            1,
        )

    kept, rejected = _one_side([sided("a", "right", 0.2), sided("b", "right", 0.1), sided("c", "left", 0.15)])
    assert [each.name for each in kept] == ["a", "b"]
    assert rejected == [RejectedImage("c", "it shows a left hand, most images a right one")]
    kept, rejected = _one_side([sided("a", "right", 0.2), sided("b", "left", 0.01)])
    assert len(kept) == 2  # too close to say
    assert rejected == []


def test_left_hands_are_posed_in_the_mirror() -> None:
    right, left = single("a"), SingleFit("b", fit_result("left", proportions=np.zeros(13)), 1)
    pose = poses_of([right, left])
    assert pose.translation[1, 0] == -np.float32(left.fit.translation_mm[0])
    assert np.array_equal(pose.translation[0], right.fit.translation_mm.astype(np.float32))
    assert np.isclose(np.linalg.det(pose.rotation), 1).all()
    assert pose.image.tolist() == [0, 1]
