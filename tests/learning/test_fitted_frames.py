"""Frames that an adaptation fits: those without a hand are told with the reason, and do not say which hand it is."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, samples

from handopt.errors import HandoptError, ObservationError
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame

pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import fitted_frames, frame_store
from handopt.learning.adapt import adapt
from handopt.learning.adapt_settings import AdaptSettings
from handopt.learning.fitted_frames import AdaptFrame


def test_frames_without_a_hand_are_counted_with_the_reason(tmp_path: Path) -> None:
    empty = AdaptFrame("empty.png", np.zeros((240, 320), np.float32), CAMERA)
    broken = dataclasses.replace(empty, name="broken.png", problem="broken.png: is damaged")

    def given() -> Iterable[AdaptFrame]:
        return [broken, empty, empty]

    with pytest.raises(ObservationError, match=r"0 of 3 frames show a hand, and 40 are needed.*the others mostly"):
        adapt(given, tmp_path / "none.npz", AdaptSettings(), hand="right", workers=0)
    with pytest.raises(HandoptError, match=r"none of the first 3 frames shows a hand.*or say which one it is.*hand="):
        adapt(given, tmp_path / "side.npz", AdaptSettings(), workers=0)


def test_frames_before_a_hand_is_seen_do_not_say_which_it_is() -> None:
    empty = AdaptFrame("empty.png", np.zeros((240, 320), np.float32), CAMERA)
    shown = [AdaptFrame("hand.png", each.counts.astype(np.float32), CAMERA) for each in samples()[:2]]
    given = iter([empty, empty, empty, *shown])
    assert fitted_frames.likely_side(given, 1, 0) == "right"
    assert len(list(given)) == 1, "one hand was enough"


def test_parts_fill_whole_files() -> None:
    assert frame_store.PART % frame_store.BLOCK == 0, "else files of neighbouring parts would be the same"


def shown(count: int) -> list[AdaptFrame]:
    return [
        AdaptFrame(f"{number}.png", each.counts.astype(np.float32), CAMERA)
        for number, each in enumerate(samples()[:count])
    ]


def test_the_hand_is_followed_through_frames() -> None:
    given = shown(6)
    given[2] = dataclasses.replace(given[2], problem="is damaged")
    found = fitted_frames.fit_frames(given, 40, "right", None, 0)
    assert found.arrays["number"].tolist() == [40, 41, 43, 44, 45]
    assert found.problems == (("2.png", "is damaged"),)
    assert found.other_side == 0
    truth = np.stack([each.scene.joints for number, each in enumerate(samples()[:6]) if number != 2])
    off = np.linalg.norm(found.arrays["joints"] - truth, axis=-1)
    assert off.mean() < 6
    assert len(set(found.arrays["scale"].tolist())) == 1, "a track has one size"
    view, joints = found.arrays["view"], found.arrays["joints"]
    rotated = np.einsum("nij,nkj->nki", view, joints)
    np.testing.assert_allclose(
        rotated[:, 0, :2], found.arrays["wrist"][:, :2], atol=0.05, err_msg="labels are in the view's frame"
    )


def test_the_mirror_images_of_frames_show_the_same_hand() -> None:
    given = shown(3)
    left = [
        dataclasses.replace(each, depth_mm=np.ascontiguousarray(each.depth_mm[:, ::-1]), camera=CAMERA.mirrored())
        for each in given
    ]
    one, other = (fitted_frames.fit_frames(some, 0, side, None, 0) for some, side in ((given, "right"), (left, "left")))
    np.testing.assert_allclose(one.arrays["joints"], other.arrays["joints"], atol=1e-3)


def test_frames_of_several_cameras_are_followed_each_on_their_own() -> None:
    given = shown(4)
    half = Camera(CAMERA.fx / 2, CAMERA.fy / 2, (CAMERA.cx - 0.5) / 2, (CAMERA.cy - 0.5) / 2, 160, 120)
    given[2:] = [dataclasses.replace(each, depth_mm=each.depth_mm[::2, ::2], camera=half) for each in given[2:]]
    given.append(dataclasses.replace(given[0], name="small.png", depth_mm=given[0].depth_mm[:50]))
    found = fitted_frames.fit_frames(given, 0, "right", None, 0)
    assert found.arrays["number"].tolist() == [0, 1, 2, 3]
    assert [name for name, _ in found.problems] == ["small.png"]
    assert "expected 320 x 240 pixels" in found.problems[0][1]


def test_frames_of_several_takes_are_followed_each_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[list[tuple[str, float | None]]] = []
    followed = vars(fitted_frames)["track"]

    def track(images: list[SequenceFrame], **given: Any) -> Any:
        together.append([(each.name, each.time_s) for each in images])
        return followed(images, **given)

    monkeypatch.setattr(fitted_frames, "track", track)
    given = [
        dataclasses.replace(each, take=take, time_s=0.2 * number)
        for number, (each, take) in enumerate(zip(shown(4), "abab", strict=True))
    ]
    found = fitted_frames.fit_frames(given, 0, "right", None, 0)
    assert together == [[("0.png", 0.0), ("2.png", 0.4)], [("1.png", 0.2), ("3.png", pytest.approx(0.6))]]
    assert found.arrays["number"].tolist() == [0, 1, 2, 3]


def test_pixels_to_leave_out_and_mirror_images_are_followed_as_fits_take_them() -> None:
    plain = shown(2)
    ignore = np.zeros((240, 320), np.bool_)
    ignore[:, :20] = True
    turned = [
        dataclasses.replace(
            each, depth_mm=np.ascontiguousarray(each.depth_mm[:, ::-1]), mirrored=True, ignore=ignore[:, ::-1]
        )
        for each in plain
    ]
    one, other = (
        fitted_frames.fit_frames(some, 0, "right", None, 0)
        for some in ([dataclasses.replace(each, ignore=ignore) for each in plain], turned)
    )
    np.testing.assert_allclose(one.arrays["joints"], other.arrays["joints"], atol=1e-3)
    wrong = [dataclasses.replace(plain[0], ignore=np.ones((3, 3), np.bool_)), plain[1]]
    found = fitted_frames.fit_frames(wrong, 0, "right", None, 0)
    assert [name for name, _ in found.problems] == ["0.png"]
    assert found.arrays["number"].tolist() == [1]


def test_a_left_hand_named_right_is_noticed() -> None:
    turned = [dataclasses.replace(each, depth_mm=np.ascontiguousarray(each.depth_mm[:, ::-1])) for each in shown(4)]
    found = fitted_frames.fit_frames(turned, 0, "right", None, 0)
    assert found.other_side == len(found.arrays["number"])
