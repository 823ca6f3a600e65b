"""What the first look and the predicted pose say of scenes: the input of the second look, beside the depth.

For each file of scenes (pixel_label_scenes) one of layers: of each scene a first look, and what the second look that
comes with handopt made of it, which is looked at once more as well (handopt.optimise.second_looks).
"""

import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pixel_label_scenes import UNIT_MM, Arrays, read_scenes

from handopt.errors import ObservationError
from handopt.input.camera import Camera
from handopt.observation.pixel_reading import (
    NEAREST_MM,
    PixelReading,
    probability_in_image,
    read_windows,
    three_of,
    turned_as_well,
)
from handopt.observation.second_look import look_again
from handopt.optimise.second_looks import PredictedHand, predicted_hand
from handopt.typing import FloatImage, Floats, Vector

LOOKS: Final = 2
"""Looks at a scene: the first, and what the shipped second look makes of it."""
JITTER_MM: Final = (22.0, 22.0, 16.0)
"""Deviation of the guessed palm from the true one, mm."""
MAX_DEVIATIONS: Final = 2.0
LEAST_PRESENCE, FARTHEST_MM = 0.05, 60.0
"""Readings that see a palm less, or farther from the true one, have no layers."""
TURNED_SHARE: Final = 0.5
"""First looks in four turns, as fits do it where something else may be near."""
SIDES: Final = (False, True)
"""Whether a hand may be a left one."""
Layers = tuple[NDArray[np.uint8], NDArray[np.uint16], Floats]
"""Of one scene: labels (H, W, 3), skin (H, W), predicted (4,)."""


def make_layers(scenes: list[Path], folder: Path, seed: int, processes: int) -> list[Path]:
    """Make the layers of files of scenes, unless they are there; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    make = partial(make_file, folder=folder, seed=seed)
    if processes <= 1:
        return [make(path) for path in scenes]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(make, scenes, chunksize=1)


def make_file(scenes: Path, folder: Path, seed: int) -> Path:
    """Make the layers of one file of scenes, unless they are there."""
    path = folder / scenes.name
    if path.exists():
        return path
    arrays = read_scenes([scenes])
    rng = np.random.default_rng((seed, 11, int(scenes.stem)))
    looks = _looks(arrays, rng)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(aside, **{name: np.stack([look[name] for look in looks]) for name in looks[0]})
    aside.rename(path)
    return path


def with_layers(scenes: Arrays, files: list[Path]) -> Arrays:
    """Scenes with their layers: labels (LOOKS, pixels, 3) uint8, skin (LOOKS, pixels), predicted (LOOKS, N, 4).

    skin: counts. predicted: palm (3) mm and size of the predicted hand, NaN where a scene has no layers
    """
    parts = []
    for path in files:
        with np.load(path) as file:
            parts.append({name: file[name] for name in file.files})
    if sum(part["labels"].shape[1] for part in parts) != len(scenes["depth"]):
        sys.exit("the folder of --second-look is of other scenes than those of --cache: name another one")
    return scenes | {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _looks(scenes: Arrays, rng: np.random.Generator) -> list[Arrays]:
    """The layers of all scenes: of a first look at each, and of the look after it."""
    found = [_layers(scenes, row, rng) for row in range(len(scenes["shape"]))]
    looks = []
    for number in range(LOOKS):
        labels, skin, predicted = zip(*(both[number] for both in found), strict=True)
        looks.append(
            {
                "labels": np.concatenate([each.reshape(-1, 3) for each in labels]),
                "skin": np.concatenate([each.ravel() for each in skin]),
                "predicted": np.stack(predicted).astype(np.float32),
            }
        )
    return looks


def _layers(scenes: Arrays, row: int, rng: np.random.Generator) -> list[Layers]:
    """Of both looks at a scene, without a hand where none is predicted; the later one may have gone astray."""
    height, width = (int(value) for value in scenes["shape"][row])
    first = int(scenes["first"][row])
    depth = scenes["depth"][first : first + height * width].reshape(height, width) * np.float32(UNIT_MM)
    fx, fy, cx, cy = (float(value) for value in scenes["numbers"][row][:4])
    camera = Camera(fx, fy, cx, cy, width, height)
    none = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint16), np.full(4, np.nan)
    true = scenes["numbers"][row][4:10].reshape(2, 3).mean(axis=0).astype(np.float64)
    try:
        reading = _first_look(depth, camera, true, rng)
        one, predicted = _look(reading, depth, camera)
        again = look_again(depth, camera, reading, predicted.skin_mm, predicted.palm_mm, predicted.size)
    except ObservationError:
        return [none, none]
    try:
        return [one, _look(again, depth, camera)[0]]
    except ObservationError:
        return [one, none]


def _look(reading: PixelReading, depth: FloatImage, camera: Camera) -> tuple[Layers, PredictedHand]:
    """What the second look sees beside the depth, after a reading, and the predicted hand. Raises ObservationError."""
    if reading.palm_mm[2] < NEAREST_MM:
        raise ObservationError("no palm is seen")
    labels = np.zeros((*depth.shape, 3), np.uint8)
    box, probability = probability_in_image(reading, depth, camera)
    labels[box] = np.rint(255 * three_of(probability))
    of_pixels = labels.astype(np.float32) / 255
    predicted = predicted_hand(depth, camera, labels[..., 0] > 127, reading.palm_mm, SIDES, labels=of_pixels)
    if predicted is None:
        raise ObservationError("no hand is seen")
    skin = np.clip(np.rint(predicted.skin_mm / UNIT_MM), 0, 65535).astype(np.uint16)
    return (labels, skin, np.array([*predicted.palm_mm, predicted.size])), predicted


def _first_look(depth: FloatImage, camera: Camera, true: Vector, rng: np.random.Generator) -> PixelReading:
    """The reading around a palm that is guessed; of a scene without a hand around something in its middle third."""
    there = bool(np.isfinite(true).all())
    guess = true if there else _something(depth, camera, rng)
    jitter = np.clip(rng.normal(0.0, 1.0, 3), -MAX_DEVIATIONS, MAX_DEVIATIONS) * JITTER_MM
    reading = read_windows(depth, camera, np.maximum(guess + jitter, (-np.inf, -np.inf, NEAREST_MM))[None])[0]
    astray = there and np.linalg.norm(reading.palm_mm - true) > FARTHEST_MM
    if reading.presence < LEAST_PRESENCE or reading.palm_mm[2] < NEAREST_MM or astray:
        raise ObservationError("no palm is seen")
    return turned_as_well(reading) if rng.random() < TURNED_SHARE else reading


def _something(depth: FloatImage, camera: Camera, rng: np.random.Generator) -> Vector:
    height, width = depth.shape
    rows, columns = np.nonzero(depth[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1])
    if not len(rows):
        raise ObservationError("nothing is measured in the middle")
    pick = int(rng.integers(len(rows)))
    row, column = rows[pick] + height // 3, columns[pick] + width // 3
    ray = [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, 1.0]
    return np.array(ray) * float(depth[row, column])
