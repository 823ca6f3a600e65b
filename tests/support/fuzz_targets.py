"""Everything that reads a file, and whole files that it accepts: what the fuzzing changes and reads."""

import json
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import click
import numpy as np

from handopt.assets import asset
from handopt.batch.outcome import DONE, Outcome, Task
from handopt.batch.provenance import Provenance
from handopt.batch.summary import SUMMARY_NAME, Summary
from handopt.config import Config
from handopt.draw.film import load_film
from handopt.draw.panels import Painter
from handopt.errors import HandoptError
from handopt.evaluation.labels import read_labels
from handopt.evaluation.predictions import read_predictions
from handopt.input.camera import Camera
from handopt.input.camera_spec import load_camera
from handopt.input.depth import read_depth
from handopt.input.ignore import checked_mask
from handopt.input.point_cloud import cloud_image
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions
from handopt.proposals.model_file import load_model
from handopt.rig.joints import read_mapping
from handopt.rig.load import load_limits, load_rig
from handopt.storage.fit_folder import RESULT
from handopt.storage.fit_rows import find_rows
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
from support.image_bytes import SCENE, exr_bytes, npy_bytes
from support.mutators import (
    Mutator,
    damaged,
    deceptive_glb,
    deceptive_json,
    deceptive_npz,
    deceptive_png,
    deceptive_text,
    lying_npz,
)

SLOWEST_S = 10
WAITED = 6  # how many times longer an input may wait for something else
MOST_BYTES = 1 << 30
CAMERA = Camera(30.0, 30.0, 15.5, 11.5, 32, 24)


@dataclass(frozen=True)
class Target:
    """A reader. name: of its file; whole: what it accepts; read: given the path; mutators: what suits the format."""

    name: str
    whole: Callable[[], bytes]
    read: Callable[[Path], object]
    mutators: Sequence[Mutator]


class TooSlowError(BaseException):
    """An input took longer than SLOWEST_S."""


@dataclass(frozen=True)
class Fault:
    """What went wrong with an input, and where."""

    target: str
    data: bytes
    what: str
    where: str


def fault_of(target: Target, data: bytes) -> Fault | None:
    """Read an input with a target: None where it is read, or refused on purpose."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / target.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        before = _memory(start=True)
        try:
            with _time_limit(), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                target.read(path)
        except (HandoptError, click.UsageError) as error:
            str(error).encode("utf-8", "surrogateescape")
        except TooSlowError as error:
            return Fault(target.name, data, f"takes more than {SLOWEST_S} s", _place(error))
        except Exception as error:  # that is what is looked for
            return Fault(target.name, data, f"{type(error).__name__}: {str(error)[:120]}", _place(error))
        grown = _memory() - before
        return Fault(target.name, data, f"takes {grown >> 20} MiB", "") if grown > MOST_BYTES else None


def _memory(*, start: bool = False) -> int:
    """Bytes of this process at most, since it was called with start=True."""
    if start:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if f"{os.sep}handopt{os.sep}" in each.filename]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-3:]))


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, SLOWEST_S)  # of the processor, however many share it
    signal.setitimer(signal.ITIMER_REAL, WAITED * SLOWEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def mutated(target: Target, rng: Random) -> bytes:
    """A changed input of a target."""
    try:
        return rng.choice(target.mutators)(target.whole(), rng)
    except (ValueError, OverflowError, UnicodeError, TypeError):  # what cannot even be written
        return damaged(target.whole(), rng)


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


BYTES, IN_JSON, IN_NPZ, IN_TEXT = (
    (damaged,),
    (deceptive_json, damaged),
    (deceptive_npz, lying_npz, damaged),
    (deceptive_text, damaged),
)
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
    _labels_of("csv", ".csv"),
    _labels_of("npz", ".npz"),
    _labels_of("coco", ".json"),
    _labels_of("freihand", ".json"),
    _labels_of("interhand", ".json"),
    _labels_of("dexycb", ".npz"),
    _labels_of("msra", ".txt"),
)
