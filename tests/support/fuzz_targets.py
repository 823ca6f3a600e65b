"""Everything that reads a file, and whole files that it accepts: what the fuzzing changes and reads."""

import io
import json
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import click
import numpy as np
from PIL import Image
from scipy.io import savemat

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
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions
from handopt.rig.joints import read_mapping
from handopt.storage.fit_folder import RESULT, save
from handopt.storage.scenes import packed_scene
from handopt.storage.track_folder import save_track
from support.factories import fit_result
from support.image_bytes import SCENE, exr_bytes, npy_bytes
from support.label_files import hand
from support.mutators import (
    Mutator,
    damaged,
    deceptive_json,
    deceptive_npz,
    deceptive_png,
    deceptive_text,
    lying_npz,
)
from support.sequences import followed

SLOWEST_S = 10
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
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        return Fault(target.name, data, f"takes {grown >> 20} MiB", "") if grown > MOST_BYTES else None


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if f"{os.sep}handopt{os.sep}" in each.filename]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-3:]))


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SLOWEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutated(target: Target, rng: Random) -> bytes:
    """A changed input of a target."""
    try:
        return rng.choice(target.mutators)(target.whole(), rng)
    except (ValueError, OverflowError, UnicodeError, TypeError):  # what cannot even be written
        return damaged(target.whole(), rng)


# ------------------------------------------------------------------------------------------------- whole files


def _image(format_name: str, **options: Any) -> Callable[[], bytes]:
    @cache
    def made() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(SCENE).save(stream, format=format_name, **options)
        return stream.getvalue()

    return made


@cache
def _stack() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, depth=np.stack([SCENE] * 3), time_s=np.arange(3) / 30, fps=np.array(30))
    return stream.getvalue()


@cache
def _mask() -> bytes:
    stream = io.BytesIO()
    Image.fromarray((SCENE > 650).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@cache
def _archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, depth=SCENE, other=np.zeros((2, 2)))
    return stream.getvalue()


@cache
def _tiff_stack() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(SCENE).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(SCENE)] * 2)
    return stream.getvalue()


def _document(**values: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(values).encode()


@cache
def _config() -> bytes:
    return (
        b'solver = "lm"\nstarts = 7\nhuber = 0.1\nproposals = 8\nweights.depth = 2\n[vertices]\niterations = 3\n'
        b"[[rounds]]\ntop_k_out = 2\nmutations = 1\n"
        b"[rounds.lm_settings]\niterations = 3\nsigma_mm = 20.0\npoints = 60\n"
    )


@cache
def _folder_files(kind: str) -> dict[str, bytes]:
    with TemporaryDirectory() as name:
        folder = Path(name) / "a"
        if kind == "track":
            save_track(followed(), folder, video=False)
        else:
            save(fit_result(iterations=2, size=24), folder, renders=False, overlay=False, provenance={"format": "x"})
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _of_folder(kind: str, name: str) -> Callable[[], bytes]:
    return lambda: _folder_files(kind)[name]


def _beside(kind: str, path: Path) -> Path:
    """The folder of a changed file, with the whole files of its kind beside it."""
    for name, data in _folder_files(kind).items():
        if name != path.name:
            (path.parent / name).write_bytes(data)
    return path.parent


@cache
def _label() -> bytes:
    joints = hand().tolist()
    return json.dumps({"joints_mm": joints, "joint_visible": [True] * 21, "sequence": {"time_s": 0.5}}).encode()


@cache
def _numbers(joints: int) -> bytes:
    rng = np.random.default_rng(0)
    places = np.stack(
        [rng.uniform(100, 200, joints), rng.uniform(80, 160, joints), rng.uniform(400, 500, joints)], axis=1
    )
    line = " ".join(f"{number:.3f}" for number in places.ravel())
    return "\n".join(f"image_{index}.png {line}" for index in range(3)).encode()


@cache
def _mat() -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"joint_uvd": np.full((1, 2, 36, 3), 300.0)}, do_compression=True)
    return stream.getvalue()


# --------------------------------------------------------------------------------------------------- readers


def _frames(path: Path) -> list[Any]:
    source = open_source(path, SourceOptions(CAMERA, 1.0))
    return list(islice(source, 4))


def _with_sidecar(path: Path) -> object:
    image = path.with_name("a.png")
    image.write_bytes(_image("PNG")())
    list(open_source(path.parent, SourceOptions(CAMERA, 1.0)))
    return Reader(hand="right").read(image)


def _results(path: Path) -> object:
    label = path.parent.parent / "labels"
    label.mkdir()
    (label / "a.json").write_bytes(_label())
    RESULT.holds(path.parent)
    return read_predictions(path.parent, read_labels(label))


def _resumed(path: Path) -> object:
    image = path.parent.parent / "a.png"
    image.write_bytes(_image("PNG")())
    _beside("fit", path)
    found = Provenance(image).found(path.parent, {"handopt": "0"}, ["result.json", "mesh.glb"])
    return found if found.result is None else Outcome.of_result(Task(image, path.parent), found.result, 0.0)


def _summary(path: Path) -> None:
    with Summary(path.parent, [Path("a.png"), Path("b.png")]) as summary:
        summary.add(Outcome(Task(Path("b.png"), path.parent / "b"), DONE))


def _shown(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        film = load_film(_beside(kind, path))
        if not len(film):
            return None
        painter = Painter(film, size=80)
        return [painter.frame(index) for index in {0, len(film) - 1}]

    return read


def _scene(kind: str) -> Callable[[Path], object]:
    return lambda path: packed_scene(_beside(kind, path))


BYTES, IN_JSON, IN_NPZ, IN_TEXT = (
    (damaged,),
    (deceptive_json, damaged),
    (deceptive_npz, lying_npz, damaged),
    (deceptive_text, damaged),
)
TARGETS = (
    Target("depth.png", _image("PNG"), read_depth, (deceptive_png, damaged)),
    Target("depth.tif", _image("TIFF"), read_depth, BYTES),
    Target("packed.tif", _image("TIFF", compression="tiff_lzw"), read_depth, BYTES),
    Target("depth.npy", lambda: npy_bytes(SCENE), read_depth, BYTES),
    Target("depth.npz", _archive, read_depth, IN_NPZ),
    Target("depth.exr", lambda: exr_bytes(SCENE.astype(np.float32)), read_depth, BYTES),
    Target("mask.png", _mask, checked_mask, (deceptive_png, damaged)),
    Target("stack.npz", _stack, _frames, IN_NPZ),
    Target("stack.npy", lambda: npy_bytes(np.stack([SCENE] * 3)), _frames, BYTES),
    Target("stack.tif", _tiff_stack, _frames, BYTES),
    Target("camera.json", _document(**CAMERA.to_dict()), lambda path: load_camera(path, 32, 24), IN_JSON),
    Target(
        "a.json",
        _document(camera=CAMERA.to_dict(), unit="mm", hand="left", mirrored=False, sequence={"time_s": 0.5}),
        _with_sidecar,
        IN_JSON,
    ),
    Target("config.toml", _config, Config.from_toml, IN_TEXT),
    Target("map.toml", lambda: b'wrist = "Wrist"\nthumb-tip = "T"\n', read_mapping, IN_TEXT),
    Target("map.json", _document(wrist="Wrist"), read_mapping, IN_JSON),
    Target("label.json", _label, read_labels, IN_JSON),
    Target("icvl.txt", lambda: _numbers(16), read_labels, IN_TEXT),
    Target("nyu.mat", _mat, read_labels, BYTES),
    Target("fit/result.json", _of_folder("fit", "result.json"), _results, IN_JSON),
    Target("out/provenance.json", _of_folder("fit", "provenance.json"), _resumed, IN_JSON),
    Target(SUMMARY_NAME, lambda: b'{"image": "a.png", "outcome": "done"}\n' * 3, _summary, (deceptive_text, damaged)),
    Target("walk/trace.npz", _of_folder("fit", "trace.npz"), _shown("fit"), IN_NPZ),
    Target("walk/track.npz", _of_folder("track", "track.npz"), _shown("track"), IN_NPZ),
    Target("seen/trace.npz", _of_folder("fit", "trace.npz"), _scene("fit"), IN_NPZ),
    Target("seen/track.npz", _of_folder("track", "track.npz"), _scene("track"), IN_NPZ),
    Target("seen/result.json", _of_folder("fit", "result.json"), _scene("fit"), IN_JSON),
)
