"""Pixels to leave out, and mirror images: fits, tracks and what they say of it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.examples import QUICK, example
from support.sequences import CAMERA, frames

import handopt
from handopt.errors import ObservationError, ShapeError
from handopt.fitting import FitInput, fit, fit_many
from handopt.observation.observe import observe
from handopt.result import FitResult, schema
from handopt.tracking.track import Track


def rmse(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.square(one - other).sum(axis=1).mean()))


def with_object() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The example's hand with a bar before two of its fingers that sticks out at the side; and where the bar is."""
    shown = example("open")
    depth = shown.depth_mm.copy()
    rows, columns = np.nonzero(observe(depth, shown.camera)[0].mask)
    top, height = rows.min(), np.ptp(rows)
    bar = np.zeros(depth.shape, np.bool_)
    bar[top + height // 8 : top + height // 4, columns.min() - 40 : int(columns.mean())] = True
    depth[bar] = depth[rows, columns].mean() - 12
    return depth, bar


def test_ignored_pixels_count_neither_as_hand_nor_as_free_space() -> None:
    depth, bar = with_object()
    camera = example("open").camera
    observation = observe(depth, camera, ignore=bar)[0]
    assert not observation.mask[bar].any()
    grid = observation.grid(observation.crop())
    down, right = observation.crop().image_coordinates()
    inside = bar[np.rint(down).astype(int)][:, np.rint(right).astype(int)]
    assert inside.sum() > 50
    assert not grid.free[inside].any()
    assert not grid.hand[inside].sum() > 0.1 * inside.sum()  # cells that straddle the border
    unaware = observe(np.where(bar, np.float32(0), depth), camera)[0]
    assert unaware.grid(observation.crop()).free[inside].mean() > 0.1


def test_a_fit_with_what_hides_it_left_out_is_near_that_of_the_whole_hand() -> None:
    depth, bar = with_object()
    shown = example("open")
    whole = fit(shown.depth_mm, shown.camera, device="cpu")
    left_out = fit(depth, shown.camera, ignore=bar, device="cpu")
    disturbed = fit(depth, shown.camera, device="cpu")
    assert rmse(left_out.joints_mm, whole.joints_mm) < 10
    assert left_out.unexplained_fraction < disturbed.unexplained_fraction
    assert left_out.confidence > 0.9 > disturbed.confidence
    assert "holds an object" in disturbed.status
    document = left_out.to_dict()
    assert document["ignored_pixels"] == np.count_nonzero(bar)
    assert "Pixels of the image were left out, as ignore= says." in document["notes"]
    assert disturbed.to_dict()["ignored_pixels"] == 0
    assert {"ignored_pixels", "mirrored"} <= schema()["properties"].keys()


@pytest.mark.parametrize(
    ("ignore", "error", "said"),
    [
        (np.ones((3, 3), bool), ShapeError, "ignore: it has 3 x 3 pixels, but the image 640 x 480; change"),
        (np.zeros((480, 640)), ShapeError, "ignore: expected bool or whole numbers, got float64"),
        (np.ones((480, 640), bool), ObservationError, "leaves nothing of the image"),
    ],
)
def test_what_cannot_be_left_out_is_refused(ignore: NDArray[np.generic], error: type[Exception], said: str) -> None:
    shown = example("open")
    with pytest.raises(error, match=said):
        fit(shown.depth_mm, shown.camera, ignore=ignore, config=QUICK, device="cpu")


def test_an_image_of_which_nothing_measured_is_left_says_so() -> None:
    shown = example("open")
    with pytest.raises(ObservationError, match="ignore leaves out every pixel that is measured; change ignore="):
        fit(shown.depth_mm, shown.camera, ignore=shown.depth_mm > 0, config=QUICK, device="cpu")


def test_a_mirror_image_gives_the_true_hand_to_the_bit() -> None:
    shown = example("pinch")
    camera = replace(shown.camera, cx=shown.camera.cx + 7)  # so that the image's middle is no axis of symmetry
    hints = {
        "box": (90, 20, 600, 470),
        "center": tuple(observe(shown.depth_mm, camera)[0].center_mm[:2] * 0 + (300, 240)),
    }
    turned = {"box": (40, 20, 550, 470), "center": (339, 240)}
    for given, as_given in (({}, {}), ({"box": hints["box"]}, {"box": turned["box"]}), (hints, turned)):
        true = fit(shown.depth_mm, camera, config=QUICK, device="cpu", **given)
        mirrored = fit(shown.depth_mm[:, ::-1], camera, mirrored=True, config=QUICK, device="cpu", **as_given)
        np.testing.assert_array_equal(mirrored.joints_mm, true.joints_mm)
        assert mirrored.hand == "right"
        np.testing.assert_array_equal(mirrored.observation.mask, true.observation.mask)
        assert mirrored.to_dict()["mirrored"] is True
        assert true.to_dict()["mirrored"] is False
        assert any("mirror image" in sentence for sentence in mirrored.notes)


@pytest.mark.parametrize(
    ("hints", "error", "said"),
    [
        ({"box": (100, 10, 50, 400)}, ObservationError, r"the box \(100, 10, 50, 400\) is empty"),
        (
            {"box": (700, 10, 800, 400)},
            ObservationError,
            r"the box \(700, 10, 800, 400\) lies outside of the 640 x 480",
        ),
        ({"box": (1, 2, 3)}, ShapeError, r"box: expected 4 numbers \(x0, y0, x1, y1\), got \(1, 2, 3\)"),
        ({"center": (float("inf"), 2.0)}, ShapeError, r"got \(inf, 2.0\)"),
    ],
)
def test_what_is_wrong_with_a_mirror_image_is_said_in_its_own_pixels(
    hints: dict[str, tuple[float, ...]], error: type[Exception], said: str
) -> None:
    shown = example("open")
    with pytest.raises(error, match=said):
        fit(shown.depth_mm, shown.camera, mirrored=True, config=QUICK, device="cpu", **hints)


def test_masks_are_turned_over_with_their_image() -> None:
    depth, bar = with_object()
    camera = example("open").camera
    true = fit(depth, camera, ignore=bar, config=QUICK, device="cpu")
    given = FitInput(depth[:, ::-1], camera, ignore=bar[:, ::-1], mirrored=True)
    (mirrored,) = fit_many([given], config=QUICK, device="cpu")
    assert isinstance(mirrored, FitResult)
    np.testing.assert_array_equal(mirrored.joints_mm, true.joints_mm)
    assert mirrored.observation.ignored is not None
    np.testing.assert_array_equal(mirrored.observation.ignored, bar)


def tracked(images: list[NDArray[np.float32]], **options: object) -> Track:
    return handopt.track(images, camera=CAMERA, fps=30.0, device="cpu", **options).finish()


def test_a_track_of_mirror_images_is_that_of_the_true_hand_to_the_bit() -> None:
    images = [frame.depth_mm for frame in frames()[:6]]
    true = tracked(images)
    mirrored = tracked([image[:, ::-1] for image in images], mirrored=True)
    np.testing.assert_array_equal(mirrored.joints_mm(), true.joints_mm())


def test_a_track_leaves_pixels_out_in_every_frame() -> None:
    images = [frame.depth_mm for frame in frames()[:6]]
    true = tracked(images).joints_mm()
    places = np.asarray(CAMERA.project(true[:, 8]))  # the tip of the index finger
    column, row = np.rint(places.mean(axis=0)).astype(int)
    bar = np.zeros(images[0].shape, np.bool_)
    bar[row - 5 : row + 6, column - 12 : column + 13] = True
    hidden = [np.where(bar, np.float32(true[0, :, 2].min() - 20), image) for image in images]
    left_out = tracked(hidden, ignore=bar)
    assert left_out.tracked.all()
    off = np.linalg.norm(left_out.joints_mm() - true, axis=2)
    assert off.mean() < 10
    assert not np.array_equal(left_out.joints_mm(), tracked(hidden).joints_mm())


def test_an_opened_source_has_its_own_masks() -> None:
    with pytest.raises(TypeError, match="mask"):
        handopt.track("frames", ignore=np.zeros((2, 2)), camera=CAMERA)
