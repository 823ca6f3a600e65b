"""Point clouds: the image that they were made of comes back, and what is assumed or wrong is said."""

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import handopt
from handopt.errors import CameraError, DepthError
from handopt.input import point_files
from handopt.input.camera import Camera
from handopt.input.point_cloud import as_depth, cloud_image, is_cloud, read_cloud
from handopt.input.point_files import _unpacked
from handopt.input.reader import read_image

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
CAMERA = Camera(200.0, 210.0, 40.25, 29.5, 80, 60)


XYZ = b"property float x\nproperty float y\nproperty float z\n"


def scene() -> np.ndarray:
    """A tilted surface with a step in it, (60, 80) mm."""
    row, column = np.mgrid[:60, :80]
    depth = 400.0 + 0.7 * column + 0.3 * row + 60.0 * (column > 50)
    depth[:5] = 0
    return depth.astype(np.float32)


def points(depth: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    return np.asarray(camera.backproject(depth)[depth > 0], np.float32)


def write_ply(path: Path, xyz: np.ndarray, form: str = "binary_little_endian", extra: str = "") -> Path:
    header = f"ply\nformat {form} 1.0\ncomment x\nelement vertex {len(xyz)}\n"
    header += "".join(f"property float {name}\n" for name in "xyz") + "property uchar red\n" + extra + "end_header\n"
    if form == "ascii":
        body = "".join(f"{x:.4f} {y:.4f} {z:.4f} 7\n" for x, y, z in xyz).encode()
    else:
        order = "<" if "little" in form else ">"
        rows = np.zeros(len(xyz), [("p", f"{order}f4", 3), ("red", "u1")])
        rows["p"] = xyz
        body = rows.tobytes()
    path.write_bytes(header.encode() + body)
    return path


def lzf(data: bytes) -> bytes:
    """LZF of literals alone, but for a first run that is copied."""
    out = bytearray()
    for start in range(0, len(data), 32):
        piece = data[start : start + 32]
        out += bytes([len(piece) - 1]) + piece
    return bytes(out)


def write_pcd(path: Path, xyz: np.ndarray, form: str, size: tuple[int, int] | None = None, viewpoint: str = "") -> Path:
    width, height = size or (len(xyz), 1)
    header = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    header += f"WIDTH {width}\nHEIGHT {height}\n{viewpoint}POINTS {len(xyz)}\nDATA {form}\n"
    flat = np.asarray(xyz, "<f4").reshape(-1, 3)
    if form == "ascii":
        body = "".join(f"{x:.6f} {y:.6f} {z:.6f} 0\n" for x, y, z in flat).encode()
    elif form == "binary":
        rows = np.zeros(len(flat), [("p", "<f4", 3), ("rgb", "<u4")])
        rows["p"] = flat
        body = rows.tobytes()
    else:
        plain = flat.T.tobytes() + bytes(4 * len(flat))
        packed = lzf(plain)
        body = struct.pack("<II", len(packed), len(plain)) + packed
    path.write_bytes(header.encode() + body)
    return path


def same_image(depth: np.ndarray, camera: Camera, expected: np.ndarray, tolerance: float = 0.01) -> None:
    """Whether a depth image is a crop of the expected one, seen by the same camera."""
    across, down = round(CAMERA.cx - camera.cx), round(CAMERA.cy - camera.cy)
    assert CAMERA.cx - camera.cx == pytest.approx(across, abs=0.05)
    assert (camera.fx, camera.fy) == pytest.approx((CAMERA.fx, CAMERA.fy), rel=1e-3)
    rows, columns = np.nonzero(depth)
    assert len(rows) == np.count_nonzero(expected)
    assert np.abs(depth[rows, columns] - expected[rows + down, columns + across]).max() < tolerance


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_a_ply_of_a_depth_image_gives_the_image_back(tmp_path: Path, form: str) -> None:
    path = write_ply(tmp_path / "a.ply", points(scene()), form)
    same_image(*as_depth(read_cloud(path), path, None), scene())
    given, camera = as_depth(read_cloud(path), path, CAMERA)
    assert camera == CAMERA
    assert np.abs(given - scene()).max() < 0.01


@pytest.mark.parametrize("form", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("organised", [False, True])
def test_a_pcd_of_a_depth_image_gives_the_image_back(tmp_path: Path, form: str, organised: bool) -> None:
    depth = scene()
    xyz = CAMERA.backproject(depth) / 1000
    xyz[depth == 0] = np.nan
    path = write_pcd(
        tmp_path / "a.pcd", xyz.reshape(-1, 3) if organised else xyz[depth > 0], form, (80, 60) if organised else None
    )
    cloud = read_cloud(path)
    assert cloud.unit_mm == 1000.0
    assert any("metres" in note for note in cloud.notes)
    image, camera = as_depth(cloud, path, None)
    same_image(image, camera, depth)
    assert (image.shape == depth.shape) == organised


def test_arrays_of_points_are_clouds(tmp_path: Path) -> None:
    depth, path = scene(), tmp_path / "a.npy"
    np.save(path, points(depth))
    assert is_cloud(path)
    same_image(*as_depth(read_cloud(path), path, None), depth)
    np.save(path, CAMERA.backproject(depth))
    image, camera = as_depth(read_cloud(path), path, None)
    assert np.array_equal(image, depth)
    assert (camera.fx, camera.cy) == pytest.approx((CAMERA.fx, CAMERA.cy), abs=1e-3)
    np.save(path, depth)
    assert not is_cloud(path), "a depth image is none"


def test_clouds_of_the_other_axes_and_from_a_viewpoint_are_turned(tmp_path: Path) -> None:
    depth = scene()
    path = write_ply(tmp_path / "a.ply", points(depth) * (1, -1, -1))
    cloud = read_cloud(path)
    assert any("y and z were turned round" in note for note in cloud.notes)
    same_image(*as_depth(cloud, path, None), depth)
    turn, place = Rotation.from_euler("xyz", [20, -130, 40], degrees=True), np.array([100.0, -20.0, 30.0])
    x, y, z, w = turn.as_quat()
    line = f"VIEWPOINT {place[0]} {place[1]} {place[2]} {w} {x} {y} {z}\n"
    path = write_pcd(tmp_path / "a.pcd", turn.apply(points(depth)) + place, "binary", viewpoint=line)
    cloud = read_cloud(path)
    assert any("frame of the viewpoint" in note for note in cloud.notes)
    same_image(*as_depth(cloud, path, CAMERA), depth, 0.05)


def test_a_cloud_turned_aside_is_seen_from_its_origin(tmp_path: Path) -> None:
    turn = Rotation.from_euler("xyz", [30, 110, 0], degrees=True)
    path = write_ply(tmp_path / "a.ply", turn.apply(points(scene())))
    cloud = read_cloud(path)
    note = next(note for note in cloud.notes if "The camera was assumed at their origin" in note)
    numbers = [float(each) for each in note.partition("[")[2].partition("]")[0].replace(";", " ").split()]
    back = turn.apply(points(scene())) @ np.reshape(numbers, (3, 3)).T
    assert np.abs(back - cloud.points_mm).max() < 0.01
    assert (cloud.points_mm[:, 2] > 0).all()


def test_a_mesh_and_points_that_are_no_numbers_are_noted(tmp_path: Path) -> None:
    xyz = points(scene())
    xyz[7] = np.nan
    faces = "element face 2\nproperty list uchar int vertex_indices\n"
    cloud = read_cloud(write_ply(tmp_path / "a.ply", xyz, extra=faces))
    assert any("is a mesh of 2 faces: its vertices were taken as points" in note for note in cloud.notes)
    assert any("1 points are not finite" in note for note in cloud.notes)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_of_very_many_points_some_are_read(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_files, "MAX_KEPT", 100)
    monkeypatch.setattr(point_files, "LINES_AT_ONCE", 7)
    xyz = np.arange(750, dtype=np.float64).reshape(250, 3) / 1000 + 0.3
    path = write_ply(tmp_path / "many.ply", xyz, form)
    with path.open("rb") as file:
        found = point_files.read_ply(path, file)
    assert np.allclose(found.xyz, xyz[::3], atol=1e-5)
    assert found.notes == ("Of the 250 points of many.ply, one in 3 was read.",)
    lines = path.read_bytes()
    path.write_bytes(lines[: int(0.8 * len(lines))])
    with pytest.raises(DepthError, match="is cut short"), path.open("rb") as file:
        point_files.read_ply(path, file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"ply\nformat ascii 1.0\n", "header is damaged"),
        (b"ply\nformat ascii 1.0\nelement face 3\nend_header\n", "first element is not the vertices"),
        (b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n1\n2\n", "have no y, z"),
        (b"ply\nformat ascii 1.0\nelement vertex 9999999999\nend_header\n", "as a number of points"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 3\n" + XYZ + b"end_header\n1 2 3\n",
            "it has 1 of 3 points",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + b"end_header\n1 two 3\n",
            "its points are damaged",
        ),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + b"end_header\nnan 2 3\n",
            "no point that is finite",
        ),
        (b"ply\nformat mine 1.0\nelement vertex 1\nproperty float x\nend_header\n", "format 'mine' is not known"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA zipped\n", "expected ascii, binary or"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA binary\nabc", "is cut short or empty"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F Q\nPOINTS 2\nDATA binary\n", "field z is of a type"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4\nTYPE F F F\nPOINTS 2\nDATA ascii\n", "COUNT differ in length"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 1 4 4\nTYPE F F F\nPOINTS 2\nDATA binary\n", "field x is of a type"),
        (b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS\nDATA ascii\n", "as a number of points"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\n" + XYZ + b"end_header\n1e200 2 3\n", "no point that is finite"),
        (b"nothing of the kind", "is no point cloud"),
    ],
)
def test_damaged_clouds_are_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(content)
    with pytest.raises(DepthError, match=problem):
        read_cloud(path)


def test_compressed_data_may_copy_what_they_write() -> None:
    assert _unpacked(Path("a"), bytes([0, 65, (4 << 5), 0]), 7) == b"A" * 7
    for data, size in ((bytes([(4 << 5), 0]), 6), (bytes([0, 65]), 9)):
        with pytest.raises(DepthError, match="compressed data"):
            _unpacked(Path("a"), data, size)


def test_points_behind_the_camera_alone_are_refused(tmp_path: Path) -> None:
    xyz = np.random.default_rng(0).normal(0, 1e-9, (50, 3)) * (1, 1, 0) + (0.1, 0, 0)
    np.save(tmp_path / "flat.npy", np.concatenate([xyz, -xyz]))
    with pytest.raises(DepthError, match="fewer than 16 of its points lie before a camera"):
        as_depth(read_cloud(tmp_path / "flat.npy"), tmp_path / "flat.npy", None)


def test_what_no_camera_sees_is_said(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", points(scene()))
    with pytest.raises(CameraError, match="none of its points lies in the image"):
        read_image(path, camera=Camera(5000.0, 5000.0, -9000.0, 0.0, 80, 60), hand="right")


def test_a_hand_as_a_cloud_is_fitted_as_its_image_is(tmp_path: Path) -> None:
    image = read_image(EXAMPLES / "open.png")
    expected = handopt.fit(image.depth_mm, image.camera, hand="right").joints_mm
    xyz = image.camera.backproject(image.depth_mm)
    for path in (
        write_ply(tmp_path / "a.ply", xyz[image.depth_mm > 0]),
        write_pcd(tmp_path / "a.pcd", xyz.reshape(-1, 3), "binary", (image.camera.width, image.camera.height)),
    ):
        cloud = read_image(path, hand="right")
        found = handopt.fit(cloud.depth_mm, cloud.camera, hand="right").joints_mm
        assert np.linalg.norm(found - expected, axis=1).max() < 1.0, path.name


@pytest.mark.parametrize(("name", "columns_left_out"), [("open", 0), ("pinch", 16)])
def test_the_points_of_an_image_give_an_image_of_the_usual_size(
    name: str, columns_left_out: int, tmp_path: Path
) -> None:
    """Only columns without points may be missing, and as many sixteens on both sides: fits take every n-th pixel."""
    image = read_image(EXAMPLES / f"{name}.png")
    depth, camera = image.depth_mm, image.camera
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns].astype(np.float64)
    points = np.stack([(columns - camera.cx) * z / camera.fx, (rows - camera.cy) * z / camera.fy, z], axis=1)
    np.save(tmp_path / "points.npy", points.astype(np.float32))
    again = read_image(tmp_path / "points.npy", unit=1.0)
    width = depth.shape[1]
    assert np.array_equal(again.depth_mm, depth[:, columns_left_out : width - columns_left_out])
    assert again.camera.cx == pytest.approx(camera.cx - columns_left_out, abs=1e-4)
    assert again.camera.cy == pytest.approx(camera.cy, abs=1e-4)
    assert (again.camera.fx, again.camera.fy) == pytest.approx((camera.fx, camera.fy), abs=1e-3)


def test_points_off_the_axis_are_seen_from_straight_ahead(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(8), tmp_path / "a.npy"
    ball = rng.normal(size=(20_000, 3))
    ball = ball[ball[:, 2] < 0]
    ball *= 60 / np.linalg.norm(ball, axis=1, keepdims=True)
    angle = np.radians(40)  # the ball lies so far to the right
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    np.save(path, (ball + np.array([0, 0, 500])) @ turn.T)
    depth, camera, notes = cloud_image(path, 1.0, None)
    assert any("40 degrees off the optical axis" in note for note in notes)
    rows, columns = np.nonzero(depth)
    width, height = np.ptp(columns) / camera.fx, np.ptp(rows) / camera.fy
    assert width == pytest.approx(height, rel=0.03), "a ball is round"
    middle = camera.backproject(depth)[depth > 0].mean(axis=0)
    assert np.abs(middle[:2]).max() < 4
    assert depth[depth > 0].min() == pytest.approx(440, abs=2)
    given = Camera(400.0, 400.0, 319.5, 239.5, 640, 480)
    off = cloud_image(path, 1.0, given)[0]
    assert np.nonzero(off)[1].mean() > 500, "a camera that is given stays where it is"
