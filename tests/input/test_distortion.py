"""Lenses: the same places as OpenCV 5.0.0 computes, and what cannot be inverted."""

from dataclasses import replace

import numpy as np
import pytest

import handopt
from handopt.assets import asset
from handopt.errors import CameraError, ShapeError
from handopt.fit_input import FitInput
from handopt.input.camera import Camera
from handopt.input.distortion import Distortion, Lens

PLACES = ((0, 0), (320, 240), (600, 30), (100, 450), (639, 479))
# Of cv2.initUndistortRectifyMap and cv2.fisheye.initUndistortRectifyMap, OpenCV 5.0.0, at these places, px.
OPENCV = {
    "brown": (
        (-0.28, 0.07, 0.001, -0.0007, 0.01),
        ((51.387, 38.703), (320.0, 240.0), (563.286, 57.614), (122.56, 428.523), (588.101, 441.026)),
    ),
    "rational": (
        (0.5, -2.6, 0.0006, -0.0003, 1.5, 0.4, -2.4, 1.4),
        ((-3.315, -2.187), (320.0, 240.0), (603.997, 27.102), (96.074, 453.809), (642.296, 481.768)),
    ),
    "fisheye": (
        (0.02, -0.01, 0.003, -0.001),
        ((52.474, 38.998), (320.0, 240.0), (563.189, 57.567), (123.759, 427.315), (587.456, 440.028)),
    ),
}


def lens(model: str) -> Lens:
    distortion = Distortion.of(model, OPENCV[model][0])
    assert distortion is not None
    return Lens(distortion, 475.5, 470.25, 321.25, 238.75, 640, 480)


@pytest.mark.parametrize("model", OPENCV)
def test_pixels_lie_where_opencv_puts_them(model: str) -> None:
    u, v = lens(model).positions()
    found = [(u[row, column], v[row, column]) for column, row in PLACES]
    assert np.abs(np.array(found) - OPENCV[model][1]).max() < 0.002


def test_an_image_is_straightened_by_its_nearest_pixels() -> None:
    camera = Camera(475.5, 470.25, 321.25, 238.75, 640, 480, distortion=lens("brown").distortion)
    row, column = np.mgrid[:480, :640]
    straight, plain = camera.undistorted(column.astype(np.float32) + 1)
    assert plain.distortion is None
    assert straight[30, 600] - 1 == 563
    assert straight[240, 320] - 1 == 320
    assert "was taken out" in plain.assumptions[-1]
    wide = Distortion.of("rational", OPENCV["rational"][0])
    assert Camera(475.5, 470.25, 321.25, 238.75, 640, 480, distortion=wide).undistorted(row + 1)[0][479, 639] == 0
    with pytest.raises(CameraError, match="is for 640 x 480"):
        camera.undistorted(np.zeros((4, 4), np.float32))


def test_the_mirror_image_has_a_mirrored_lens() -> None:
    camera = Camera(475.5, 470.25, 321.25, 238.75, 640, 480, distortion=lens("brown").distortion)
    image = np.random.default_rng(1).integers(1, 9, (480, 640))
    straight = camera.undistorted(image)[0]
    mirrored = camera.mirrored().undistorted(np.ascontiguousarray(image[:, ::-1]))[0]
    assert (mirrored[:, ::-1] == straight).mean() > 0.999, "but for ties of rounding"


def test_a_lens_that_folds_the_image_is_refused() -> None:
    camera = Camera(200.0, 200.0, 320.0, 240.0, 640, 480, distortion=Distortion.of("brown", (-0.9, 0.05)))
    with pytest.raises(CameraError, match=r"folds \d+% of the image onto itself, so that it cannot be inverted"):
        camera.undistorted(np.zeros((480, 640), np.float32))


def test_coefficients_are_checked() -> None:
    assert Distortion.of("brown", (0, 0, 0)) is None
    eight = Distortion.of("brown", (0.1, 0, 0, 0, 0, 0.2, 0, 0))
    assert eight is not None
    assert eight.model == "rational"
    with pytest.raises(CameraError, match="12 distortion coefficients; of its model 8 are known"):
        Distortion.of("rational", (0.1, *[0.0] * 10, 0.3))
    with pytest.raises(CameraError, match="no finite number"):
        Distortion.of("brown", (np.nan,))


def _bent() -> tuple[np.ndarray, Camera]:
    """A hand of the examples, 4 x smaller, and its camera with a lens that was not there."""
    image = handopt.read_image(asset("examples") / "pinch.png")
    return image.depth_mm[::2, ::2], replace(image.camera.sized(320, 240), distortion=lens("brown").distortion)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_fit_takes_the_lens_out_as_the_command_does(mirrored: bool) -> None:
    depth, camera = _bent()
    ignore = np.zeros(depth.shape, bool)
    ignore[5, 300] = True
    straight, plain = camera.undistorted(depth)
    step = -1 if mirrored else 1
    given = FitInput(depth[:, ::step], camera, ignore=ignore[:, ::step], mirrored=mirrored).undistorted()
    assert np.array_equal(given.depth_mm[:, ::step], straight)
    assert given.ignore is not None
    assert given.ignore[:, ::step].sum() == camera.undistorted(ignore)[0].sum()
    assert (given.camera, given.notes) == (plain, (plain.assumptions[-1],))
    assert given.undistorted() is given, "once"


def test_a_fit_in_python_knows_of_the_lens() -> None:
    depth, camera = _bent()
    straight, plain = camera.undistorted(depth)
    bent, told = (handopt.fit(*each, hand="right", shape="none") for each in ((depth, camera), (straight, plain)))
    assert np.array_equal(bent.joints_mm, told.joints_mm)
    assert any("lens distortion" in note for note in bent.notes)
    assert bent.camera.distortion is None
    with pytest.raises(ShapeError, match="expected shape"):
        handopt.fit(depth[1:], camera)


def test_a_track_in_python_knows_of_the_lens() -> None:
    depth, camera = _bent()
    tracking = handopt.track([depth], camera=camera, hand="right")
    assert tracking.source.camera.distortion is None
    assert "lens distortion" in tracking.source.assumptions[-1]
    assert np.array_equal(next(iter(tracking.source)).depth_mm, camera.undistorted(depth)[0])
