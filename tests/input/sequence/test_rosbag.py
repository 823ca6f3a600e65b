"""ROS 1 and ROS 2 bags, written by rosbags: encodings, times, topics and cameras, and bags that are damaged."""

import builtins
import contextlib
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.ros_bags import INFO, SIZE, TOPIC, Bag, bag

from handopt.errors import CameraError, HandoptError, SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.rosbag_colour import shows_colour
from handopt.input.sequence.stream_info import SourceOptions

VERSIONS = pytest.mark.parametrize("version", [1, 2])


@VERSIONS
def test_depth_times_and_camera_of_a_bag(version: int, tmp_path: Path) -> None:
    with bag(tmp_path, version) as made:
        made.info("/other/camera_info")
        made.info()
        for place, pad in ((0, 0), (1, 3)):
            made.image(np.full(SIZE, 500 + place, np.uint16), 10.25 + place, pad=pad)
        made.image(np.zeros((*SIZE,), np.uint8), 11, "mono8", "/camera/infra/image_raw")
    source = open_source(made.path)
    for _ in range(2):  # it can be read again
        frames = list(source)
        assert [frame.time_s for frame in frames] == pytest.approx([10.25, 11.25])
        assert [np.unique(frame.depth_mm).tolist() for frame in frames] == [[500.0], [501.0]]
    camera = source.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (20.5, 21.5, 7.25, 5.75)
    assert (camera.width, camera.height, source.length, source.unit_mm) == (16, 12, 2, 1.0)
    assert any(INFO in note for note in source.assumptions)


@VERSIONS
def test_floats_are_metres_and_the_lens_is_taken_out(version: int, tmp_path: Path) -> None:
    with bag(tmp_path, version) as made:
        made.info(lens=(-0.1, 0.01, 0.0, 0.0, 0.0))
        made.image(np.full(SIZE, 0.75, ">f4"), 10, "32FC1")
    source = open_source(made.path)
    assert source.unit_mm == 1000.0
    assert next(iter(source)).depth_mm[6, 7] == 750.0
    assert any("lens distortion" in note for note in source.assumptions)
    assert source.camera.distortion is None


@VERSIONS
def test_compressed_depth_is_unpacked(version: int, tmp_path: Path) -> None:
    for form, counts, quantum, mm in (
        ("16UC1; compressedDepth png", 640, (0.0, 0.0), 640.0),
        ("32FC1; compressedDepth png", 1000, (500.0, 200.0), 625.0),
    ):
        folder = tmp_path / form[:5]
        folder.mkdir()
        with bag(folder, version) as made:
            made.info()
            made.compressed(np.full(SIZE, counts, np.uint16), 10, form, quantum)
        assert next(iter(open_source(made.path))).depth_mm[0, 0] == pytest.approx(mm, abs=1e-3)


def test_of_several_topics_one_must_be_named(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        made.info()
        for place, topic in enumerate((TOPIC, "/aligned/image")):
            made.image(np.full(SIZE, 500 + place, np.uint16), 10, topic=topic)
    with pytest.raises(SourceError, match=f"depth in the topics {TOPIC}, /aligned/image: choose one with topic="):
        open_source(made.path)
    with pytest.raises(SourceError, match="has no images in topic='/nothing'"):
        open_source(made.path, SourceOptions(topic="/nothing"))
    assert next(iter(open_source(made.path, SourceOptions(topic="/aligned/image")))).depth_mm[0, 0] == 501.0


def test_a_bag_without_a_camera_or_depth_says_so(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        made.image(np.full(SIZE, 500, np.uint16), 10)
    with pytest.raises(CameraError, match=r"no CameraInfo in it is for 16 x 12 pixels; give camera="):
        open_source(made.path)
    assert open_source(made.path, SourceOptions(camera="20,20,8,6")).camera.fx == 20.0
    with Bag(tmp_path / "colour.bag", 1) as made:
        made.image(np.zeros(SIZE, np.uint8), 10, "mono8")
    with pytest.raises(SourceError, match="no depth images"):
        open_source(made.path)


def test_an_image_that_is_too_short_is_a_frame_with_a_problem(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        made.info()
        made.image(np.full(SIZE, 500, np.uint16), 10)
        header = made.header(11)
        short = made.type("sensor_msgs/msg/Image")(header, *SIZE, "16UC1", 0, 32, np.zeros(10, np.uint8))
        made.write(TOPIC, short, 111)
        huge = made.type("sensor_msgs/msg/Image")(header, 2**31, 2**31, "16UC1", 0, 2**32 - 1, np.zeros(1, np.uint8))
        made.write(TOPIC, huge, 112)
    problems = [frame.problem or "" for frame in open_source(made.path)]
    assert problems[0] == ""
    assert "too few for 16 x 12 pixels" in problems[1]
    assert "the limit is 40 million" in problems[2]


@VERSIONS
def test_what_a_topic_holds_is_told_by_messages_that_are_not_damaged(version: int, tmp_path: Path) -> None:
    with bag(tmp_path, version) as made:
        made.info()
        for place in range(3):
            made.damaged(TOPIC, "sensor_msgs/msg/Image", 100 + place)
        made.image(np.full(SIZE, 500, np.uint16), 10)
    frames = list(open_source(made.path))
    assert [each.problem is None for each in frames] == [False, False, False, True]
    assert frames[3].depth_mm[0, 0] == 500.0


@VERSIONS
def test_a_damaged_bag_is_refused_or_ends_early(version: int, tmp_path: Path) -> None:
    with bag(tmp_path, version) as made:
        made.info()
        for place in range(20):
            made.image(np.random.default_rng(place).integers(400, 600, SIZE, np.uint16), 10 + place)
    file = made.path if version == 1 else next(made.path.glob("*.db3"))
    data = file.read_bytes()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        broken = bytearray(data)
        for place in rng.integers(20, len(data), 40):
            broken[place] = rng.integers(256)
        file.write_bytes(bytes(broken[: len(data) if seed % 2 else rng.integers(20, len(data))]))
        with contextlib.suppress(HandoptError):  # anything else fails the test
            list(open_source(made.path))


@pytest.mark.parametrize("count", ["1,2", "many", "-1", "1e400", "null"])
def test_a_count_of_messages_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    with bag(tmp_path, 2) as made:
        made.image(np.full(SIZE, 500, np.uint16), 10)
    path = made.path / "metadata.yaml"
    path.write_text(path.read_text().replace("message_count: 1\n    topic", f"message_count: {count}\n    topic"))
    assert f"message_count: {count}" in path.read_text()
    with pytest.raises(SourceError, match="is damaged, or no bag of ROS"):
        open_source(made.path)


@pytest.mark.parametrize("place", [0, 2**40, 2**62 - 1, 2**63 + 1, 2**64 - 1])
def test_an_index_beyond_the_file_is_refused(tmp_path: Path, place: int) -> None:
    with bag(tmp_path, 1) as made:
        made.image(np.full(SIZE, 500, np.uint16), 10)
    data = made.path.read_bytes()
    at = data.index(b"index_pos=") + 10
    made.path.write_bytes(data[:at] + struct.pack("<Q", place) + data[at + 8 :])
    with pytest.raises(SourceError):
        open_source(made.path)


def test_without_rosbags_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bag(tmp_path, 1) as made:
        made.image(np.full(SIZE, 500, np.uint16), 10)
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("rosbags"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=r"needs rosbags, which is not installed: pip install '\.\[rosbags\]'"):
        open_source(made.path)


@pytest.mark.parametrize(
    ("form", "colour"),
    [("rgb8; jpeg compressed bgr8", True), ("png", True), ("16UC1; png compressed ", False), ("32FC1; png", False)],
)
def test_depth_that_is_compressed_as_a_picture_is_no_colour(form: str, colour: bool) -> None:
    assert shows_colour(SimpleNamespace(format=form)) == colour
