"""`handopt.track`: estimates as frames come, from a path, a source or any iterable, and the track at the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, DROPOUT, FPS, frames, truth

import handopt
from handopt.input.sequence.base import SequenceFrame

COUNT = 4
DEPTHS = [frame.depth_mm for frame in frames()[:COUNT]]


def test_estimates_come_one_by_one_and_end_in_a_track() -> None:
    read: list[int] = []

    def camera() -> Iterator[SequenceFrame]:
        for frame in frames()[:COUNT]:
            read.append(frame.index)
            yield frame

    tracking = handopt.track(camera(), camera=CAMERA, fps=FPS)
    assert bool(tracking), "there is something to iterate over"
    assert tracking.frame_count == 0
    assert read == [], "nothing is read before it is asked for"
    estimates = []
    for estimate in tracking:
        assert read[-1] == estimate.frame, "no frame is read ahead"
        estimates.append(estimate)
    assert [each.frame for each in estimates] == list(range(COUNT))
    assert [each.name for each in estimates] == [frame.name for frame in frames()[:COUNT]]
    assert [each.time_s for each in estimates] == pytest.approx([row / FPS for row in range(COUNT)])
    for each, joints in zip(estimates, truth(), strict=False):
        assert each.tracked
        assert each.hand == "right"
        assert each.joints_mm.shape == (21, 3)
        assert np.median(np.linalg.norm(each.joints_mm - joints, axis=1)) < 8.0
        assert each.confidence > 0.5
        assert 0 < each.unexplained_fraction < 0.3
        assert (each.joint_uncertainty_mm > 0).all()
        skin = each.vertices_mm()
        assert skin.shape[1] == 3
        assert (np.abs(skin - each.joints_mm[0]).max(axis=1) < 300).all()
    result = tracking.result
    assert isinstance(result, handopt.Track)
    assert len(result) == tracking.frame_count == COUNT
    assert tracking.result is result, "made once for the same frames"


def test_without_smoothing_the_estimates_are_the_track() -> None:
    tracking = handopt.track(DEPTHS, camera=CAMERA, fps=FPS, smooth=False)
    estimates = list(tracking)
    result = tracking.result
    assert np.array_equal(result.angles_rad, [each.angles_rad for each in estimates])
    assert np.array_equal(result.translation_mm, [each.translation_mm for each in estimates])
    assert np.array_equal(result.confidence, [each.confidence for each in estimates])
    assert np.array_equal(result.joint_visible, [each.joint_visible for each in estimates])


def test_the_track_of_the_frames_so_far_can_be_had_at_any_time() -> None:
    tracking = handopt.track(np.stack(DEPTHS), camera=CAMERA, fps=FPS, smooth=False)
    next(tracking)
    assert len(tracking.result) == 1
    assert len(tracking.finish()) == COUNT
    assert len(tracking.result) == COUNT


def test_a_left_hand_is_given_on_its_own_side() -> None:
    mirrored = [np.ascontiguousarray(depth[:, ::-1]) for depth in DEPTHS[:2]]
    left = list(handopt.track(mirrored, camera=CAMERA, hand="left", fps=FPS))
    right = list(handopt.track(DEPTHS[:2], camera=CAMERA, fps=FPS))
    assert [each.hand for each in left] == ["left"] * 2
    for one, other in zip(left, right, strict=True):
        assert one.joints_mm == pytest.approx(other.joints_mm * [-1, 1, 1], abs=0.1)
        assert one.vertices_mm()[:, 0].mean() == pytest.approx(-other.vertices_mm()[:, 0].mean(), abs=1.0)


def test_a_frame_without_a_hand_has_an_estimate_that_says_so() -> None:
    dropout = frames()[DROPOUT[0]].depth_mm
    assert not dropout.any()
    *_, estimate = handopt.track([DEPTHS[0], dropout], camera=CAMERA, fps=FPS)
    assert not estimate.tracked
    assert np.isnan(estimate.confidence)
    assert np.isnan(estimate.joints_mm).all()
    assert np.isnan(estimate.joint_uncertainty_mm).all()
    assert not estimate.joint_visible.any()
    with pytest.raises(ValueError, match=r"there is no hand in frame 1 \(frame 1\)"):
        estimate.vertices_mm()


def test_a_path_a_stack_and_counts_give_the_same(tmp_path: Path) -> None:
    counts = np.stack([np.round(depth).astype(np.uint16) for depth in DEPTHS[:2]])
    np.save(tmp_path / "wave.npy", counts)
    intrinsics = f"{CAMERA.fx},{CAMERA.fy},{CAMERA.cx},{CAMERA.cy}"
    options: dict[str, Any] = {"unit": 1.0, "fps": FPS}
    from_path = list(handopt.track(tmp_path / "wave.npy", camera=intrinsics, **options))
    from_text = list(handopt.track(str(tmp_path / "wave.npy"), camera=CAMERA, **options))
    from_array = list(handopt.track(counts, camera=CAMERA, **options))
    from_named = list(handopt.track(iter(counts), camera=intrinsics, **options))
    for other in (from_text, from_array, from_named):
        assert len(other) == 2
        for one, same in zip(from_path, other, strict=True):
            assert np.array_equal(one.joints_mm, same.joints_mm)


def test_the_unit_of_counts_is_applied() -> None:
    (one,) = handopt.track([DEPTHS[0]], camera=CAMERA, fps=FPS)
    (other,) = handopt.track([np.round(DEPTHS[0] * 8).astype(np.uint16)], camera=CAMERA, fps=FPS, unit=0.125)
    assert np.array_equal(one.joints_mm, other.joints_mm)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (DEPTHS, {}, TypeError, "camera is missing"),
        (7, {"camera": CAMERA}, TypeError, "source is a int; expected a path or an iterable"),
        (["a.png"], {"camera": CAMERA}, TypeError, r"a frame is <U5 \(\); expected a depth image"),
        (
            [np.zeros((3, 4, 5))],
            {"camera": CAMERA},
            TypeError,
            r"a frame is float64 \(3, 4, 5\); expected a depth image",
        ),
        ([], {"camera": "sr305"}, ValueError, "source has no frames"),
        ([np.zeros((10, 10))], {"camera": CAMERA}, handopt.DepthError, "frame 0: is 10 x 10 pixels"),
        ("nothing.npy", {}, handopt.HandoptError, "does not exist"),
        (
            [np.zeros((240, 320))],
            {"camera": CAMERA},
            handopt.ObservationError,
            "no hand was found in the only frame of frames",
        ),
        ([], {"camera": CAMERA}, handopt.ObservationError, "no hand was found in any of 0 frames"),
    ],
)
def test_what_cannot_be_tracked_says_what_to_change(source: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        handopt.track(source, **options).finish()


class Opened:
    """An opened source of two frames."""

    name, camera, length, fps, hand, unit_mm, assumptions = "opened", CAMERA, 2, FPS, None, 1.0, ()

    def __iter__(self) -> Iterator[SequenceFrame]:
        return iter(frames()[:2])


@pytest.mark.parametrize(("name", "value"), [("camera", CAMERA), ("unit", 1.0), ("fps", 30.0), ("mirrored", False)])
def test_an_opened_source_takes_no_facts_of_its_own(name: str, value: Any) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(TypeError, match=f"^{name}= is not for an opened source, which has its own"):
        handopt.track(Opened(), **options)


def test_a_camera_file_that_says_mirrored_is_obeyed(tmp_path: Path) -> None:
    (tmp_path / "cam.json").write_text(json.dumps({**CAMERA.to_dict(), "mirrored": True}))
    mirrored = [np.ascontiguousarray(depth[:, ::-1]) for depth in DEPTHS[:2]]
    tracking = handopt.track(mirrored, camera=str(tmp_path / "cam.json"), fps=FPS)
    true = list(handopt.track(DEPTHS[:2], camera=CAMERA, fps=FPS))
    for one, other in zip(tracking, true, strict=True):
        np.testing.assert_array_equal(one.joints_mm, other.joints_mm)
    assert tracking.source.assumptions == (f"The image is mirrored, as {tmp_path / 'cam.json'} says.",)
    overruled = handopt.track(DEPTHS[:2], camera=str(tmp_path / "cam.json"), mirrored=False, fps=FPS)
    np.testing.assert_array_equal(next(overruled).joints_mm, true[0].joints_mm)


class Torn:
    """An opened source whose second frame could not be read and has no pixels."""

    name, camera, length, fps, hand, unit_mm, assumptions = "torn", CAMERA, 2, FPS, None, 1.0, ()

    def __iter__(self) -> Iterator[SequenceFrame]:
        yield frames()[0]
        yield SequenceFrame(1, "b", np.zeros((0, 0), np.float32), problem="b: is torn")


@pytest.mark.parametrize("ignored", [False, True])
def test_a_frame_that_could_not_be_read_needs_no_pixels(ignored: bool) -> None:
    mask = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
    mask[:5] = True
    options: dict[str, Any] = {"ignore": mask} if ignored else {}
    for tracking in (
        handopt.track(list(Torn()), camera=CAMERA, fps=FPS, **options),
        *([] if ignored else [handopt.track(Torn())]),
    ):
        first, second = list(tracking)
        assert first.tracked
        assert (second.tracked, second.error) == (False, "b: is torn")


def test_frames_of_another_size_than_the_cameras_say_how_to_mend_it() -> None:
    small = SequenceFrame(0, "a", np.ones((120, 160), np.float32))
    with pytest.raises(handopt.DepthError, match="a: is 160 x 120 pixels, but the camera is for 320 x 240; give"):
        handopt.track([small], camera=CAMERA).finish()
    with pytest.raises(TypeError, match="unit= is for counts"):
        handopt.track(frames()[:1], camera=CAMERA, unit=0.5).finish()


def test_a_camera_for_another_size_is_scaled_to_the_frames_of_a_path(tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.round(np.stack(DEPTHS[:1])).astype(np.uint16))
    twice = CAMERA.sized(2 * CAMERA.width, 2 * CAMERA.height)
    source = handopt.track(tmp_path / "wave.npy", camera=twice, unit=1.0).source
    assert (source.camera.width, source.camera.fx) == (CAMERA.width, CAMERA.fx)
    assert "scaled to 320 x 240" in source.assumptions[-1]


def test_no_hand_says_how_far_away_things_are() -> None:
    wall = np.full((240, 320), 900.0)
    with pytest.raises(handopt.ObservationError, match=r"only frame of frames; check .* lies 900 mm away"):
        handopt.track([wall], camera=CAMERA).finish()
    with pytest.raises(handopt.ObservationError, match="nothing is measured in them; check that they are depth images"):
        handopt.track([0 * wall], camera=CAMERA).finish()
    with pytest.raises(handopt.ObservationError, match="of 0 frames of frames: the source is empty"):
        handopt.track([], camera=CAMERA).finish()
