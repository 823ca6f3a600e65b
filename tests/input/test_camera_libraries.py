"""Camera files as the libraries themselves write them, and lenses as OpenCV bends them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.errors import SourceError
from handopt.input.camera import Camera
from handopt.input.camera_spec import load_camera
from handopt.input.distortion import Distortion, Model
from handopt.input.sequence.librealsense import load_librealsense

FX, FY, CX, CY = TRUE = (475.123456789, 476.987654321, 319.51234, 239.49876)
BROWN = (0.11, -0.21, 0.0012, -0.0008, 0.05)
TOLERANCE_PX = 1e-6


def numbers(camera: Camera) -> tuple[float, ...]:
    return camera.fx, camera.fy, camera.cx, camera.cy


def imported(name: str, how: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} not found: pip install {how}", exc_type=ImportError)


def test_open3d_writes_what_is_read(tmp_path: Path) -> None:
    camera = imported("open3d", "open3d").camera
    writer = imported("open3d", "open3d").io
    intrinsic = camera.PinholeCameraIntrinsic(640, 480, *TRUE)
    parameters = camera.PinholeCameraParameters()
    parameters.intrinsic, parameters.extrinsic = intrinsic, np.eye(4)
    writer.write_pinhole_camera_intrinsic(str(tmp_path / "a.json"), intrinsic)
    writer.write_pinhole_camera_parameters(str(tmp_path / "b.json"), parameters)
    for name in ("a.json", "b.json"):
        read = load_camera(str(tmp_path / name), 640, 480)
        assert numbers(read) == pytest.approx(TRUE, abs=TOLERANCE_PX), name
        assert read.distortion is None


@pytest.mark.parametrize("name", ["a.yml", "a.yaml", "a.json"])
def test_opencv_writes_what_is_read(name: str, tmp_path: Path) -> None:
    cv2 = imported("cv2", "opencv-python-headless")
    storage = cv2.FileStorage(str(tmp_path / name), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1.0]]))
    storage.write("distortion_coefficients", np.array([BROWN]))
    storage.release()
    read = load_camera(str(tmp_path / name), 640, 480)
    assert numbers(read) == pytest.approx(TRUE, abs=TOLERANCE_PX)
    assert read.distortion is not None
    assert read.distortion.coefficients == pytest.approx(BROWN, abs=1e-9)


def test_the_intrinsics_of_realsense_are_read(tmp_path: Path) -> None:
    try:
        realsense = load_librealsense("this test")
    except SourceError as error:
        pytest.skip(f"pyrealsense2 cannot be loaded: {error}")
    written = realsense.intrinsics()
    written.width, written.height = 640, 480
    written.fx, written.fy, written.ppx, written.ppy = TRUE
    written.model, written.coeffs = realsense.distortion.brown_conrady, list(BROWN)
    document = {name: getattr(written, name) for name in ("width", "height", "fx", "fy", "ppx", "ppy", "coeffs")}
    (tmp_path / "a.json").write_text(json.dumps({**document, "model": str(written.model)}))
    read = load_camera(str(tmp_path / "a.json"), 640, 480)
    # librealsense keeps float32, whose steps are 3e-5 at 475
    assert numbers(read) == pytest.approx((written.fx, written.fy, written.ppx, written.ppy), abs=TOLERANCE_PX)
    assert numbers(read) == pytest.approx(TRUE, abs=5e-5)
    assert read.distortion is not None
    assert read.distortion.coefficients == pytest.approx(BROWN, abs=1e-7)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("brown", BROWN),
        ("rational", (0.5, -0.02, 2e-5, -7e-5, -0.003, 0.85, 0.08, -0.014)),
        ("fisheye", (0.03, -0.01, 0.004, -0.001)),
    ],
)
def test_every_pixel_lies_where_opencv_puts_it(model: Model, coefficients: tuple[float, ...]) -> None:
    cv2 = imported("cv2", "opencv-python-headless")
    matrix, size = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1.0]]), (640, 480)
    if model == "fisheye":
        expected = cv2.fisheye.initUndistortRectifyMap(
            matrix, np.array(coefficients), np.eye(3), matrix, size, cv2.CV_32FC1
        )
    else:
        expected = cv2.initUndistortRectifyMap(matrix, np.array([coefficients]), None, matrix, size, cv2.CV_32FC1)
    lens = Camera(*TRUE, 640, 480, distortion=Distortion.of(model, coefficients)).lens
    assert lens is not None
    assert np.abs(np.stack(lens.positions()) - np.stack(expected)).max() < 0.001
