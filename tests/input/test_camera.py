"""Cameras by name, by numbers and from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.errors import CameraError, ShapeError
from handopt.input.camera import Camera, presets
from handopt.input.camera_spec import CameraSpec, load_camera

PLAIN: dict[str, Any] = {"fx": 500.0, "fy": 510.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480}


def camera(**changes: Any) -> Camera:
    return Camera(**{**PLAIN, **changes})


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_project_matches_the_pinhole_equation() -> None:
    pixels = camera().project([[0.0, 0.0, 500.0], [100.0, -50.0, 1000.0]])
    np.testing.assert_allclose(pixels, [[320.0, 240.0], [370.0, 214.5]])


def test_project_keeps_shape_and_dtype_and_marks_what_is_behind() -> None:
    points = np.ones((2, 5, 3), np.float32)
    points[0, 0, 2] = 0.0
    points[0, 1, 2] = -3.0
    pixels = camera().project(points)
    assert pixels.shape == (2, 5, 2)
    assert pixels.dtype == np.float32
    assert np.isnan(pixels[0, :2]).all()
    assert np.isfinite(pixels[0, 2:]).all()


@pytest.mark.parametrize("points", [1.0, [1.0, 2.0], np.zeros((4, 2))])
def test_project_refuses_other_shapes(points: Any) -> None:
    with pytest.raises(ShapeError, match="points"):
        camera().project(points)


def test_backproject_inverts_project(rng: np.random.Generator) -> None:
    small = camera(cx=10.2, cy=40.1, width=30, height=20)
    depth_mm = rng.uniform(300, 900, (20, 30)).astype(np.float32)
    points = small.backproject(depth_mm)
    assert points.shape == (20, 30, 3)
    assert points.dtype == np.float32
    columns, rows = np.meshgrid(np.arange(30), np.arange(20))
    # float32 resolves 1e-7 of at most 40 pixels' offset
    np.testing.assert_allclose(small.project(points), np.stack([columns, rows], axis=-1), atol=1e-4)
    assert not small.backproject(np.zeros((20, 30)))[3, 4].any()


def test_backproject_refuses_an_image_of_another_size() -> None:
    with pytest.raises(CameraError, match=r"640 x 480.*camera="):
        camera().backproject(np.zeros((20, 30)))


def test_a_crop_sees_the_same_point_at_its_own_pixel() -> None:
    crop = camera().cropped(100, -20, 50, 60)
    point = np.array([12.0, -34.0, 600.0])
    np.testing.assert_allclose(crop.project(point), camera().project(point) - [100, -20])
    assert (crop.width, crop.height) == (50, 60)


def test_to_dict_and_back() -> None:
    assert camera().to_dict() == PLAIN
    assert Camera.from_dict(camera().to_dict()) == camera()
    json.dumps(camera(fx=np.float32(500), width=np.int64(640)).to_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": 0.0}, "fx is 0"),
        ({"fy": -5.0}, "fy is -5"),
        ({"fx": 0.5}, "relative to the image size"),
        ({"fx": float("nan")}, "fx is nan"),
        ({"cx": float("inf")}, "cx is inf"),
        ({"cy": None}, "cy is None"),
        ({"cy": "240"}, "cy is '240'"),
        ({"fx": [1] * 100}, r"fx is \[1.*\.\.\."),
        ({"fx": 10**400}, "fx is 1000"),
        ({"width": 0}, "width is 0"),
        ({"width": 640.5}, "width is 640.5"),
        ({"height": True}, "height is True"),
        ({"height": 10**9}, "height is 1e"),
    ],
)
def test_nonsense_is_refused_with_the_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraError, match=message) as caught:
        camera(**changes)
    assert "camera=" in str(caught.value)


def test_every_preset_is_a_camera_with_unit_and_source() -> None:
    expected = {"nyu", "icvl", "msra", "sr300", "sr305", "kinect", "kinect2", "d415", "d435", "azure-kinect", "hands17"}
    assert expected <= set(presets())
    for name, preset in presets().items():
        assert 0.1 <= preset.unit_mm <= 1.0
        assert len(preset.source) > 20
        assert abs(preset.camera.cx / preset.camera.width - 0.5) < 0.03, name
        assert abs(preset.camera.cy / preset.camera.height - 0.5) < 0.08, name
        field_of_view = 2 * np.degrees(np.arctan(preset.camera.width / 2 / preset.camera.fx))
        assert 50 < field_of_view < 95, name


def test_a_preset_by_name() -> None:
    nyu = load_camera("nyu", 640, 480)
    assert (nyu.fx, nyu.fy, nyu.cx, nyu.cy) == (588.036865, 587.075073, 320.0, 240.0)
    assert nyu.source == "preset nyu"
    assert "Tompson" in nyu.assumptions[0]
    assert load_camera(" Azure_Kinect ").width == 640
    assert CameraSpec.of("sr305").unit_mm == 0.125


def test_a_camera_is_scaled_to_a_resized_image_and_says_so() -> None:
    full, half = load_camera("nyu"), load_camera("nyu", 320, 240)
    assert "scaled to 320 x 240" in half.assumptions[-1]
    point = np.array([30.0, 40.0, 700.0])
    np.testing.assert_allclose(half.project(point) + 0.5, (full.project(point) + 0.5) / 2)


@pytest.mark.parametrize("size", [(192, 360), (640, 400), (480, 640)])
def test_a_crop_needs_its_own_camera(size: tuple[int, int]) -> None:
    with pytest.raises(CameraError, match=rf"{size[0]} x {size[1]}.*crop.*camera="):
        load_camera("nyu", *size)


def test_a_848_wide_mode_is_not_taken_for_16_to_9() -> None:
    with pytest.raises(CameraError, match="camera="):
        load_camera("d435-720p", 848, 480)


def test_four_numbers() -> None:
    given = load_camera("588, 587.5,-20,240", 192, 360)
    assert given.to_dict() == {"fx": 588.0, "fy": 587.5, "cx": -20.0, "cy": 240.0, "width": 192, "height": 360}
    assert CameraSpec.of("588,587,320,240").unit_mm is None


@pytest.mark.parametrize("spec", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "500,500,,240", "500,500,nan,240", "0,0,3,4"])
def test_bad_numbers(spec: str) -> None:
    with pytest.raises(CameraError, match="camera="):
        load_camera(spec, 640, 480)


def test_four_numbers_need_the_image_size() -> None:
    with pytest.raises(CameraError, match="size"):
        load_camera("500,500,320,240")


@pytest.mark.parametrize("spec", ["knect", "", "  ", "missing.json", "x" * 5000])
def test_an_unknown_camera(spec: str) -> None:
    with pytest.raises(CameraError, match="camera=") as caught:
        load_camera(spec, 640, 480)
    assert spec.endswith(".json") or ("kinect2" in str(caught.value))


@pytest.mark.parametrize(
    ("typed", "meant"), [("sr306", "sr305"), ("knect", "kinect"), ("azure kinect", "azure-kinect"), ("D43", "d435")]
)
def test_a_name_that_is_nearly_a_preset_is_asked_about(typed: str, meant: str) -> None:
    with pytest.raises(CameraError, match=f"did you mean '{meant}'"):
        load_camera(typed, 640, 480)


def test_a_name_that_is_like_no_preset_is_not_guessed_at() -> None:
    with pytest.raises(CameraError, match="the presets are") as caught:
        load_camera("~~~~~~", 640, 480)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("nested", [False, True])
def test_a_json_file(tmp_path: Path, nested: bool) -> None:
    path = write(tmp_path / "mine.json", {"camera": PLAIN, "unit_mm": 0.25} if nested else {**PLAIN, "unit_mm": 0.25})
    given = load_camera(path, 640, 480)
    assert given == camera(source=str(path))
    assert not given.assumptions
    assert CameraSpec.of(str(path)).unit_mm == 0.25
    with pytest.raises(CameraError, match=r"mine\.json.*camera="):
        load_camera(path, 200, 480)


def test_a_json_file_with_commas_in_its_name(tmp_path: Path) -> None:
    assert load_camera(write(tmp_path / "a,b,c,d", PLAIN)).fx == 500.0


@pytest.mark.parametrize("data", [{"unit_mm": 1.0}, {"labels": []}, [1, 2], None])
def test_a_json_file_without_a_camera(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path / "labels.json", data)
    with pytest.raises(CameraError, match=r"labels\.json: holds no camera"):
        load_camera(path)


def test_a_folder_and_a_huge_file_are_no_camera(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(CameraError, match=r"folder\.json: a folder"):
        load_camera(tmp_path / "folder.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(CameraError, match="16 MiB"):
        load_camera(tmp_path / "huge.json")


@pytest.mark.parametrize("cx", [319.5, 123.683, 83.3, 311.7283491, -20.25, 700.1])
def test_the_mirrored_camera_sees_mirrored_points(cx: float) -> None:
    camera = Camera(475.0, 470.0, cx, 240.0, 640, 480)
    turned = camera.mirrored()
    points = np.array([[30.0, -20.0, 500.0], [-80.0, 10.0, 700.0]])
    u, v = camera.project(points).T
    np.testing.assert_allclose(turned.project(points * [-1, 1, 1]), np.stack([639 - u, v], axis=-1), atol=1e-9)
    assert turned.mirrored() == camera


@pytest.mark.parametrize("name", ["fx", "fy", "cx", "cy"])
def test_intrinsics_beyond_any_image_are_refused(name: str) -> None:
    numbers = {"fx": 475.0, "fy": 475.0, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480, name: 1e308}
    with pytest.raises(CameraError, match=rf"{name} is 1e\+308, expected at most 1e\+07 pixels; change camera="):
        Camera.from_dict(numbers)


@pytest.mark.parametrize("lens", [{"distortion": [-0.1, 0, 0, 0, 0]}, {"k1": 0.2}, {"distortion": {"k1": 0.2}}])
def test_a_lens_is_not_passed_over_in_silence(lens: dict[str, object]) -> None:
    plain = Camera(475.0, 475.0, 319.5, 239.5, 640, 480).to_dict()
    with pytest.raises(CameraError, match="a lens, which is read from files of OpenCV, ROS, COLMAP and RealSense"):
        Camera.from_dict({**plain, **lens})


@pytest.mark.parametrize("none", [{"distortion": None}, {"coeffs": [0.0] * 5}, {"distortion": {}}, {"k1": 0.0}])
def test_a_camera_may_say_that_it_has_no_lens(none: dict[str, object]) -> None:
    plain = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
    assert Camera.from_dict({**plain.to_dict(), **none}) == Camera.from_dict(plain.to_dict())
