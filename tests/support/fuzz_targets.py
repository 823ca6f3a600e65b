"""Everything that reads a file, and whole files that it accepts: what the fuzzing changes and reads."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from handopt.assets import asset
from handopt.batch.outcome import DONE, Outcome, Task
from handopt.batch.provenance import Provenance
from handopt.batch.summary import SUMMARY_NAME, Summary
from handopt.config import Config
from handopt.draw.film import load_film
from handopt.draw.panels import Painter
from handopt.evaluation.labels import read_labels
from handopt.evaluation.predictions import read_predictions
from handopt.evaluation.tracks import read_track
from handopt.export.labels.records import read_records
from handopt.input.camera import Camera
from handopt.input.camera_spec import load_camera
from handopt.input.depth import read_depth
from handopt.input.ignore import checked_mask
from handopt.input.point_cloud import cloud_image
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.azure_calibration import colour_view, depth_camera
from handopt.input.sequence.stream_info import SourceOptions
from handopt.learning.adapt_settings import AdaptSettings
from handopt.learning.settings import TrainSettings
from handopt.proposals.model_file import load_model
from handopt.rig.joints import read_mapping
from handopt.rig.load import load_limits, load_rig
from handopt.storage.fit_folder import RESULT
from handopt.storage.fit_rows import find_rows
from handopt.storage.hands_folder import FORMAT, read_hands
from handopt.storage.scenes import packed_scene
from handopt.viewer.review import read_review
from support.camera_texts import COLMAP, OPENCV_JSON, OPENCV_YAML, ROS_CALIBRATION
from support.fuzz_files import (
    archive,
    beside,
    cloud,
    config,
    document,
    exported,
    folder_files,
    image_file,
    label,
    mask,
    mat,
    numbers,
    of_folder,
    of_hand,
    of_mano,
    pgm,
    pose_model,
    review,
    stack,
    summary_line,
    tiff_stack,
)
from support.fuzz_recordings import CALIBRATION, fbx, mkv, record3d, recorded_folder, ros, training_state
from support.fuzzing import BYTES, IN_JSON, IN_NPZ, IN_TEXT, Target
from support.image_bytes import SCENE, exr_bytes, npy_bytes
from support.mutators import damaged, deceptive_glb, deceptive_png, deceptive_text, lying_npz

CAMERA = Camera(30.0, 30.0, 15.5, 11.5, 32, 24)


def _camera(path: Path) -> object:
    return load_camera(path, 640, 480)


def _cloud(path: Path) -> object:
    return cloud_image(path, None, None), cloud_image(path, 1000.0, CAMERA)


def _labels_of(format_name: str, suffix: str) -> "Target":
    """The first file of a format of labels, read with the whole files that are written beside it."""

    def name() -> str:
        return next(each for each in sorted(exported(format_name)) if each.endswith(suffix))

    def read(path: Path) -> object:
        place = path.parent / "set"
        for other, data in exported(format_name).items():
            (place / other).parent.mkdir(parents=True, exist_ok=True)
            (place / other).write_bytes(path.read_bytes() if other == name() else data)
        return read_labels(place)

    mutators = {".json": IN_JSON, ".npz": IN_NPZ}.get(suffix, IN_TEXT)
    return Target(f"{format_name}{suffix}", lambda: exported(format_name)[name()], read, mutators)


# --------------------------------------------------------------------------------------------------- readers


def _frames(path: Path) -> list[Any]:
    source = open_source(path, SourceOptions(CAMERA, 1.0))
    return list(islice(source, 4))


def _recording(*, colour: bool = False) -> Callable[[Path], list[Any]]:
    """Reads the frames of a recording with the camera that it tells, and perhaps their colour."""
    return lambda path: list(islice(open_source(path, SourceOptions(colour=colour)), 4))


def _within(kind: str, name: str) -> "Target":
    """A file of the folder that a program writes, read with the others."""

    def read(path: Path) -> object:
        root = path.parents[name.count("/")]
        for other, data in recorded_folder(kind).items():
            if other != name:
                (root / other).parent.mkdir(parents=True, exist_ok=True)
                (root / other).write_bytes(data)
        return _recording(colour=kind != "stray")(root)

    suffix = name.rpartition(".")[2]
    mutators = {"json": IN_JSON, "png": BYTES, "jpg": BYTES}.get(suffix, IN_TEXT)
    return Target(f"{kind}/{name}", lambda: recorded_folder(kind)[name], read, mutators)


def _second_ros(path: Path) -> list[Any]:
    """A bag of ROS 2, which is a folder, with its other file."""
    for name, data in ros(2).items():
        other = path.with_name(name.rpartition("/")[2])
        if not other.exists():
            other.write_bytes(data)
    return _recording()(path.parent)


def _calibration(path: Path) -> object:
    """What a recorder of Azure Kinect writes into its files."""
    return depth_camera(path.read_bytes(), 320, 288), colour_view(path.read_bytes(), 64, 48)


def _hands(path: Path) -> object:
    for side in ("right", "left"):
        (path.parent / side).mkdir()
    return read_hands(path.parent)


def _track_lines(path: Path) -> object:
    labels = path.parent.parent / "labels"
    labels.mkdir()
    (labels / "a.json").write_bytes(label())
    read_records([beside("track", path)])
    return read_track(path.parent, read_labels(labels))


def _exported(path: Path) -> object:
    return read_records([beside("fit", path)])


def _checkpoint(path: Path) -> object:
    from handopt.learning.checkpoint import load_checkpoint

    return load_checkpoint(path.parent)


def _with_sidecar(path: Path) -> object:
    image = path.with_name("a.png")
    image.write_bytes(image_file("PNG")())
    list(open_source(path.parent, SourceOptions(CAMERA, 1.0)))
    return Reader(hand="right").read(image)


def _results(path: Path) -> object:
    labels = path.parent.parent / "labels"
    labels.mkdir()
    (labels / "a.json").write_bytes(label())
    RESULT.holds(path.parent)
    return read_predictions(path.parent, read_labels(labels))


def _resumed(path: Path) -> object:
    image = path.parent.parent / "a.png"
    image.write_bytes(image_file("PNG")())
    beside("fit", path)
    found = Provenance(image).found(path.parent, {"handopt": "0"}, ["result.json", "mesh.glb"])
    return found if found.result is None else Outcome.of_result(Task(image, path.parent), found.result, 0.0)


def _summary(path: Path) -> None:
    with Summary(path.parent, [Path("a.png"), Path("b.png")]) as summary:
        summary.add(Outcome(Task(Path("b.png"), path.parent / "b"), DONE))


def _shown(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        film = load_film(beside(kind, path))
        if not len(film):
            return None
        painter = Painter(film, size=80)
        return [painter.frame(index) for index in {0, len(film) - 1}]

    return read


def _scene(kind: str) -> Callable[[Path], object]:
    return lambda path: packed_scene(beside(kind, path))


def _rig(path: Path) -> object:
    """A rig, and everything that is derived from it."""
    rig = load_rig(path)
    return rig.shape_basis, rig.normals, rig.mirrored(), rig.is_closed, rig.laplacian("cotangent")


def _limits(path: Path) -> object:
    return load_limits("default", path)


def _rows(path: Path) -> object:
    (path.parent / "b").mkdir()
    (path.parent / "b" / "result.json").write_bytes(folder_files("fit")["result.json"])
    return [row.to_list() for row in find_rows(path.parent)]


TARGETS = (
    Target("depth.png", image_file("PNG"), read_depth, (deceptive_png, damaged)),
    Target("depth.tif", image_file("TIFF"), read_depth, BYTES),
    Target("packed.tif", image_file("TIFF", compression="tiff_lzw"), read_depth, BYTES),
    Target("depth.npy", lambda: npy_bytes(SCENE), read_depth, BYTES),
    Target("depth.npz", archive, read_depth, IN_NPZ),
    Target("depth.exr", lambda: exr_bytes(SCENE.astype(np.float32)), read_depth, BYTES),
    Target("depth.pgm", pgm, read_depth, IN_TEXT),
    Target("text.ply", cloud("ascii"), _cloud, IN_TEXT),
    Target("cloud.ply", cloud("binary_big_endian"), _cloud, IN_TEXT),
    Target("text.pcd", cloud("pcd ascii"), _cloud, IN_TEXT),
    Target("cloud.pcd", cloud("pcd binary"), _cloud, IN_TEXT),
    Target("cloud.npy", lambda: npy_bytes(np.random.default_rng(0).normal((0, 0, 1), 0.1, (99, 3))), _cloud, BYTES),
    Target("base.npz", pose_model, load_model, IN_NPZ),
    Target("opencv.yaml", lambda: OPENCV_YAML.encode(), _camera, IN_TEXT),
    Target("opencv.json", lambda: json.dumps(OPENCV_JSON).encode(), _camera, IN_JSON),
    Target("ros.yaml", lambda: ROS_CALIBRATION.encode(), _camera, IN_TEXT),
    Target("cameras.txt", lambda: COLMAP.format("-0.2 0.07 0.001 -7e-4").encode(), _camera, IN_TEXT),
    Target("matrix.txt", lambda: b"475.5 0 321.25\n0 470.25 238.75\n0 0 1\n", _camera, IN_TEXT),
    Target("mask.png", mask, checked_mask, (deceptive_png, damaged)),
    Target("stack.npz", stack, _frames, IN_NPZ),
    Target("stack.npy", lambda: npy_bytes(np.stack([SCENE] * 3)), _frames, BYTES),
    Target("stack.tif", tiff_stack, _frames, BYTES),
    Target("camera.json", document(**CAMERA.to_dict()), lambda path: load_camera(path, 32, 24), IN_JSON),
    Target(
        "a.json",
        document(camera=CAMERA.to_dict(), unit="mm", hand="left", mirrored=False, sequence={"time_s": 0.5}),
        _with_sidecar,
        IN_JSON,
    ),
    Target("config.toml", config, Config.from_toml, IN_TEXT),
    Target("map.toml", lambda: b'wrist = "Wrist"\nthumb-tip = "T"\n', read_mapping, IN_TEXT),
    Target("map.json", document(wrist="Wrist"), read_mapping, IN_JSON),
    Target("label.json", label, read_labels, IN_JSON),
    Target("icvl.txt", lambda: numbers(16), read_labels, IN_TEXT),
    Target("nyu.mat", mat, read_labels, BYTES),
    Target("fit/result.json", of_folder("fit", "result.json"), _results, IN_JSON),
    Target("out/provenance.json", of_folder("fit", "provenance.json"), _resumed, IN_JSON),
    Target(SUMMARY_NAME, lambda: b'{"image": "a.png", "outcome": "done"}\n' * 3, _summary, (deceptive_text, damaged)),
    Target("walk/trace.npz", of_folder("fit", "trace.npz"), _shown("fit"), IN_NPZ),
    Target("walk/track.npz", of_folder("track", "track.npz"), _shown("track"), IN_NPZ),
    Target("seen/trace.npz", of_folder("fit", "trace.npz"), _scene("fit"), IN_NPZ),
    Target("seen/track.npz", of_folder("track", "track.npz"), _scene("track"), IN_NPZ),
    Target("seen/result.json", of_folder("fit", "result.json"), _scene("fit"), IN_JSON),
    Target("hand.glb", of_hand("hand.glb"), _rig, (deceptive_glb, deceptive_glb, damaged)),
    Target("hand.gltf", of_hand("hand.gltf"), _rig, IN_JSON),
    Target("mano.pkl", of_mano("mano.pkl"), _rig, BYTES),
    Target("mano.npz", of_mano("mano.npz"), _rig, IN_NPZ),
    Target("limits.toml", lambda: asset("hands/limits.toml").read_bytes(), _limits, IN_TEXT),
    Target("review.jsonl", review, read_review, IN_TEXT),
    Target("rows/summary.jsonl", summary_line, _rows, IN_TEXT),
    Target("take.mkv", mkv, _recording(colour=True), BYTES),
    Target("calibration.json", document(**CALIBRATION), _calibration, IN_JSON),
    Target("take.r3d", record3d, _recording(), (lying_npz, damaged)),
    Target("take.bag", lambda: ros(1)["take.bag"], _recording(), BYTES),
    Target("take/take.db3", lambda: ros(2)["take/take.db3"], _second_ros, BYTES),
    Target("take/metadata.yaml", lambda: ros(2)["take/metadata.yaml"], _second_ros, IN_TEXT),
    _within("stray", "camera_matrix.csv"),
    _within("stray", "odometry.csv"),
    _within("stray", "confidence/000000.png"),
    _within("polycam", "keyframes/cameras/104512000.json"),
    _within("polycam", "keyframes/images/104512000.jpg"),
    _within("tum", "depth.txt"),
    _within("tum", "rgb.txt"),
    _within("open3d", "camera_intrinsic.json"),
    Target("hand.fbx", fbx, _rig, IN_TEXT),
    Target("train.toml", lambda: b"steps = 9\nrate = 1e-3\naverage = 0.9\n", TrainSettings.from_toml, IN_TEXT),
    Target("adapt.toml", lambda: b"iterations = 9\nwindow = 3\nrate = 1e-4\n", AdaptSettings.from_toml, IN_TEXT),
    Target("hands.json", document(format=FORMAT, hands=["right", "left"]), _hands, IN_JSON),
    Target("walk/track.jsonl", of_folder("track", "track.jsonl"), _track_lines, IN_TEXT),
    Target("walk/track.json", of_folder("track", "track.json"), _track_lines, IN_JSON),
    Target("given/result.json", of_folder("fit", "result.json"), _exported, IN_JSON),
    *((Target("checkpoint.pt", training_state, _checkpoint, (lying_npz, damaged)),) if find_spec("torch") else ()),
    _labels_of("csv", ".csv"),
    _labels_of("npz", ".npz"),
    _labels_of("coco", ".json"),
    _labels_of("freihand", ".json"),
    _labels_of("interhand", ".json"),
    _labels_of("dexycb", ".npz"),
    _labels_of("msra", ".txt"),
)
