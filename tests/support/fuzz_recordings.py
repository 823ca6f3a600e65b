"""Whole recordings, folders of recordings, and files of training, for the fuzzing to change."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from support.character_files import character, names_of
from support.fbx_files import FbxFile
from support.image_bytes import SCENE
from support.recordings import polycam, stray, write_mkv, write_record3d

Files = dict[str, bytes]
RECORD3D_FACTS = {"w": 64, "h": 48, "dw": 32, "dh": 24, "fps": 60, "K": [60.0, 0, 0, 0, 60.0, 0, 31.5, 23.5, 1]}
CALIBRATION = {
    "CalibrationInformation": {
        "Cameras": [
            {
                "Location": f"CALIBRATION_CameraLocation{name}0",
                "SensorWidth": size[0],
                "SensorHeight": size[1],
                "Intrinsics": {
                    "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
                    "ModelParameters": [0.5, 0.5, *focal, *[0.0] * 10],
                },
                "Rt": {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": [shift_m, 0, 0]},
            }
            for name, size, focal, shift_m in (
                ("D", (1024, 1024), (0.5, 0.5), 0.0),
                ("PV", (4096, 3072), (1.0, 4 / 3), 0.025),
            )
        ]
    }
}
"""As an Azure Kinect writes it into an .mkv."""


def _files_of(write: Callable[[Path], object]) -> Files:
    """What a function writes into a folder, by name."""
    with TemporaryDirectory() as name:
        write(Path(name))
        return {
            path.relative_to(name).as_posix(): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()
        }


@cache
def mkv() -> bytes:
    """An .mkv of two frames with a colour track and a calibration."""
    calibration = json.dumps(CALIBRATION).encode()
    return _files_of(lambda root: write_mkv(root / "a.mkv", [np.tile(SCENE, (12, 10))] * 2, calibration=calibration))[
        "a.mkv"
    ]


@cache
def record3d() -> bytes:
    """A recording of Record3D of two frames."""
    images = [SCENE.astype(np.float32) / 1000] * 2
    return _files_of(lambda root: write_record3d(root / "a.r3d", images, RECORD3D_FACTS))["a.r3d"]


@cache
def ros(version: int) -> Files:
    """A ROS bag of two frames and a camera: take.bag, or take/take.db3 and take/metadata.yaml."""
    from support.ros_bags import bag

    def write(root: Path) -> None:
        with bag(root, version) as made:
            made.info()
            for sec in (1.0, 1.1):
                made.image(SCENE[:12, :16], sec)

    return _files_of(write)


def _stray(root: Path) -> None:
    stray(root)
    _shrink(root)


def _polycam(root: Path) -> None:
    polycam(root)
    _shrink(root)


def _shrink(root: Path) -> None:
    """Make the images an eighth as large, so that they are read in no time."""
    for path in [*root.rglob("*.png"), *root.rglob("*.jpg")]:
        pixels = np.asarray(Image.open(path))
        Image.fromarray(pixels[::8, ::8].copy()).save(path)


def _tum(root: Path) -> None:
    lists = {"depth": Image.fromarray(SCENE), "rgb": Image.fromarray(np.full((24, 32, 3), 90, np.uint8))}
    for name, image in lists.items():
        (root / name).mkdir()
        for time_s in ("1.25", "1.5"):
            image.save(root / name / f"{time_s}.png")
        (root / f"{name}.txt").write_text("".join(f"{each} {name}/{each}.png\n" for each in ("1.25", "1.5")))


def _open3d(root: Path) -> None:
    for name in ("depth", "color"):
        (root / name).mkdir()
        Image.fromarray(SCENE if name == "depth" else np.full((24, 32, 3), 90, np.uint8)).save(root / name / "0.png")
    matrix = [30.0, 0, 0, 0, 30.0, 0, 15.5, 11.5, 1]
    document = {"width": 32, "height": 24, "intrinsic_matrix": matrix}
    (root / "camera_intrinsic.json").write_text(json.dumps(document))


@cache
def recorded_folder(kind: str) -> Files:
    """A folder of a program, by the names of its files."""
    return _files_of({"stray": _stray, "polycam": _polycam, "tum": _tum, "open3d": _open3d}[kind])


@cache
def fbx() -> bytes:
    """The default hand as an FBX of text."""
    return FbxFile(character({"right": names_of("mixamo", "right")})).text().encode()


@cache
def training_state() -> bytes:
    """A checkpoint of a training."""
    import torch

    from handopt.learning.checkpoint import NAME, save_checkpoint

    state = {"step": 3, "weights": {"a": torch.zeros(3, 4)}, "rows": [{"loss": 1.5}]}
    return _files_of(lambda root: save_checkpoint(root, state))[NAME]
