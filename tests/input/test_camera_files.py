"""Camera files of other programs, as these write them."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.camera_texts import (
    COLMAP,
    LENS,
    OPEN3D,
    OPENCV5_YAML,
    OPENCV_JSON,
    OPENCV_YAML,
    REALSENSE,
    ROS2_ECHO,
    ROS_CALIBRATION,
    ROS_JSON,
    ROWS,
    K,
)
from support.fit_cli import write_depth

from handopt.errors import CameraError
from handopt.input.camera_spec import load_camera
from handopt.input.reader import read_image

FILES = {
    "k.txt": "475.5 0 321.25\n0 470.25 238.75\n0 0 1\n",
    "k.json": json.dumps(ROWS),
    "opencv.yml": OPENCV_YAML,
    "opencv5.yml": OPENCV5_YAML,
    "opencv.json": json.dumps(OPENCV_JSON),
    "ros.yaml": ROS_CALIBRATION,
    "ros2.yaml": ROS2_ECHO,
    "ros.json": json.dumps(ROS_JSON),
    "open3d.json": json.dumps(OPEN3D),
    "realsense.json": json.dumps(REALSENSE),
    "cameras.txt": COLMAP.format("-0.28 0.07 0.001 -0.0007"),
}
WITHOUT_SIZE, WITHOUT_LENS = {"k.txt", "k.json"}, {"k.txt", "k.json", "open3d.json"}


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_the_same_camera(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    camera = load_camera(path, 640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(K, abs=1e-6)
    assert (camera.width, camera.height) == (640, 480)
    if name in WITHOUT_LENS:
        assert camera.distortion is None
    else:
        assert camera.distortion is not None
        count = 4 if name == "cameras.txt" else 5
        assert camera.distortion.coefficients[:count] == pytest.approx(LENS[:count], abs=1e-9)
    if name in WITHOUT_SIZE:
        with pytest.raises(CameraError, match="does not say the image size"):
            load_camera(path)
    else:
        with pytest.raises(CameraError, match="another aspect ratio, so the image is probably a crop"):
            load_camera(path, 640, 400)


def test_a_matrix_of_numpy_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array(ROWS))
    assert load_camera(tmp_path / "k.npy", 640, 480).cy == 238.75


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 SIMPLE_PINHOLE 640 480 475 320.5 240.5", (475, 475, 320, 240)),
        ("1 PINHOLE 640 480 475 470 320.5 240.5", (475, 470, 320, 240)),
        ("1 SIMPLE_RADIAL 640 480 475 320.5 240.5 0.1", (475, 475, 320, 240)),
        ("1 OPENCV_FISHEYE 640 480 475 470 320.5 240.5 0.1 0 0 0", (475, 470, 320, 240)),
    ],
)
def test_colmap_counts_from_the_corner_of_a_pixel(tmp_path: Path, line: str, expected: tuple[float, ...]) -> None:
    (tmp_path / "cameras.txt").write_text(line)
    camera = load_camera(tmp_path / "cameras.txt")
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == expected
    assert (camera.distortion is None) == ("PINHOLE" in line)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("one two three", "holds no camera; camera= reads handopt's JSON, a 3 x 3 matrix"),
        ("1 0 0 0 1 0 0 0 2", "is no camera matrix"),
        ("475 3 320 0 475 240 0 0 1", "has a skew of 3"),
        ("1 FOV 640 480 475 470 320 240 0.9", "camera model FOV of COLMAP is not supported"),
        (COLMAP.format("0 0 0 0") + "2 PINHOLE 640 480 1 1 1 1\n", "holds 2 cameras of COLMAP"),
        ("1 OPENCV 640 480 475 470", "cannot be understood as a camera"),
        (ROS_CALIBRATION.replace("plumb_bob", "my_lens"), "distortion model 'my_lens' is not known"),
        (ROS_CALIBRATION.replace("238.75,", ""), r"holds a matrix of shape \(8,\), expected 3 x 3"),
        (json.dumps({**REALSENSE, "model": "Inverse Brown Conrady"}), "'inverse_brown_conrady' of RealSense is not"),
        (json.dumps({**OPEN3D, "intrinsic_matrix": [1, 2]}), "cannot be understood as a camera"),
        (json.dumps(OPENCV_JSON).replace("640", "1e999"), "cannot be understood as a camera"),
        ("{", "not valid JSON"),
        ("{}", "holds no camera"),
    ],
)
def test_files_without_a_camera_are_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(content)
    with pytest.raises(CameraError, match=problem) as caught:
        load_camera(path, 640, 480)
    assert str(caught.value).startswith(str(path))


def test_distortion_is_taken_out_once_and_said(tmp_path: Path) -> None:
    counts = np.tile(np.arange(500, 660), (120, 1))
    image, path = write_depth(tmp_path / "a.png", counts), tmp_path / "camera.yml"
    scaled = OPENCV_YAML.replace("640", "160").replace("480", "120").replace("475.5", "120").replace("470.25", "120")
    path.write_text(scaled.replace("321.25", "80").replace("238.75", "60"))
    read = read_image(image, camera=str(path), unit=1.0, hand="right")
    assert read.camera.distortion is None
    assert sum("was taken out" in note for note in read.assumptions) == 1
    assert read.depth_mm[60, 80] == 580
    assert read.depth_mm[60, 0] > 500, "barrel distortion: the border shows what lay further in"
