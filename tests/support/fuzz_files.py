"""Whole files of every kind that handopt reads, for the fuzzing to change."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from handopt.batch.outcome import Outcome, Task
from handopt.export.labels import export_labels
from handopt.proposals.model_file import save_model
from handopt.storage.fit_folder import save
from handopt.storage.track_folder import save_track
from handopt.viewer.review import Decision
from support.factories import fit_result
from support.image_bytes import SCENE
from support.label_files import hand
from support.mano_files import mano_arrays, write_mano
from support.proposal_factories import MODEL_FACTS, random_arrays
from support.rig_files import HandFile
from support.sequences import followed


def image_file(format_name: str, **options: Any) -> Callable[[], bytes]:
    @cache
    def made() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(SCENE).save(stream, format=format_name, **options)
        return stream.getvalue()

    return made


def cloud(form: str) -> Callable[[], bytes]:
    """Points before a camera: PLY, as text or binary, or PCD."""

    @cache
    def made() -> bytes:
        rows, columns = np.divmod(np.arange(768), 32)
        z = SCENE.ravel() / 1000 + 0.2
        order = ">f4" if "big" in form else "<f4"
        xyz = np.stack([(columns - 15.5) / 30 * z, (rows - 11.5) / 30 * z, z], axis=1).astype(order)
        if form.startswith("pcd"):
            lines = ["VERSION 0.7", "FIELDS x y z", "SIZE 4 4 4", "TYPE F F F", "WIDTH 32", "HEIGHT 24", "POINTS 768"]
            lines += ["VIEWPOINT 0 0 0 1 0 0 0", f"DATA {form.removeprefix('pcd ')}"]
        else:
            lines = ["ply", f"format {form} 1.0", "element vertex 768", *(f"property float {axis}" for axis in "xyz")]
            lines += ["element face 0", "property list uchar int vertex_indices", "end_header"]
        text = "\n".join(" ".join(f"{each:.5f}" for each in row) for row in xyz)
        return ("\n".join(lines) + "\n").encode() + (text.encode() if "ascii" in form else xyz.tobytes())

    return made


def pgm() -> bytes:
    """A depth image as 16-bit PGM."""
    return b"P5 32 24 65535\n" + SCENE.astype(">u2").tobytes()


@cache
def pose_model() -> bytes:
    """A model that proposes poses."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        save_model(path, random_arrays(np.random.default_rng(0)), MODEL_FACTS)
        return path.read_bytes()


@cache
def stack() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, depth=np.stack([SCENE] * 3), time_s=np.arange(3) / 30, fps=np.array(30))
    return stream.getvalue()


@cache
def mask() -> bytes:
    stream = io.BytesIO()
    Image.fromarray((SCENE > 650).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@cache
def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, depth=SCENE, other=np.zeros((2, 2)))
    return stream.getvalue()


@cache
def tiff_stack() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(SCENE).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(SCENE)] * 2)
    return stream.getvalue()


def document(**values: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(values).encode()


@cache
def config() -> bytes:
    return (
        b'solver = "lm"\nstarts = 7\nhuber = 0.1\nproposals = 8\nweights.depth = 2\n[vertices]\niterations = 3\n'
        b"[[rounds]]\ntop_k_out = 2\nmutations = 1\n"
        b"[rounds.lm_settings]\niterations = 3\nsigma_mm = 20.0\npoints = 60\n"
    )


@cache
def folder_files(kind: str) -> dict[str, bytes]:
    with TemporaryDirectory() as name:
        folder = Path(name) / "a"
        if kind == "track":
            save_track(followed(), folder, video=False)
        else:
            save(fit_result(iterations=2, size=24), folder, renders=False, overlay=False, provenance={"format": "x"})
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def of_folder(kind: str, name: str) -> Callable[[], bytes]:
    return lambda: folder_files(kind)[name]


def beside(kind: str, path: Path) -> Path:
    """The folder of a changed file, with the whole files of its kind beside it."""
    for name, data in folder_files(kind).items():
        if name != path.name:
            (path.parent / name).write_bytes(data)
    return path.parent


@cache
def label() -> bytes:
    joints = hand().tolist()
    return json.dumps({"joints_mm": joints, "joint_visible": [True] * 21, "sequence": {"time_s": 0.5}}).encode()


@cache
def numbers(joints: int) -> bytes:
    rng = np.random.default_rng(0)
    places = np.stack(
        [rng.uniform(100, 200, joints), rng.uniform(80, 160, joints), rng.uniform(400, 500, joints)], axis=1
    )
    line = " ".join(f"{number:.3f}" for number in places.ravel())
    return "\n".join(f"image_{index}.png {line}" for index in range(3)).encode()


def review() -> bytes:
    line = Decision("a/b", "b.png", "palm", "right", (3.0, 4.5)).to_json(datetime(2026, 1, 1, tzinfo=UTC))
    return f"{line}\n{line}\n".encode()


def summary_line() -> bytes:
    task = Task(Path("a.png"), Path("b"))
    result = json.loads(folder_files("fit")["result.json"])
    return Outcome.of_result(task, result, 0.5).to_json().encode() + b"\n"


@cache
def mat() -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"joint_uvd": np.full((1, 2, 36, 3), 300.0)}, do_compression=True)
    return stream.getvalue()


@cache
def written(write: Callable[[Path], object], name: str) -> bytes:
    """What a function writes to a path."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def of_hand(name: str) -> Callable[[], bytes]:
    return lambda: written(lambda path: HandFile.default().write(path), name)


def of_mano(name: str) -> Callable[[], bytes]:
    def write(path: Path) -> None:
        arrays = mano_arrays()
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            write_mano(path, arrays, chumpy=True)

    return lambda: written(write, name)


@cache
def exported(format_name: str) -> dict[str, bytes]:
    with TemporaryDirectory() as name:
        save(fit_result(iterations=2, size=24), Path(name) / "fits" / "a", renders=False, overlay=False)
        out = Path(name) / "labels"
        export_labels([Path(name) / "fits"], out, format=format_name)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
