"""Scenes for the network that labels pixels: images of level wild and scenes without a hand, kept in files of chunks.

A scene is the part of an image around the hand, thinned out where the camera has more pixels than windows need.
"""

import multiprocessing
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import HandoptError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BODY, OTHER_HAND
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.synth import WildSettings, generate_wild
from handopt.synth.crops import patchy
from handopt.synth.handless import sample_handless_scene
from handopt.synth.masks import measured_mask
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.sensors import sample_camera
from handopt.synth.smoothing import grained, smoothed
from handopt.synth.wild_config import CONFIG
from handopt.typing import FloatImage, Floats, Mask

Arrays = dict[str, NDArray[Any]]

CHUNK: Final = 200
"""Scenes in a file."""
UNIT_MM: Final = 0.2
"""Depth of a count in a file, mm."""
OTHER_ARM, THING = 6, 7
"""Labels besides handopt.input.pixel_labels: the other hand's arm, and what stands in front where there is no hand."""
REACH_MM: Final = 430.0
"""Half the width of the part of an image that is kept, mm at the hand's distance."""
FINEST_MM: Final = 1.7
"""Images with finer pixels than this, mm at the hand's distance, are thinned out."""
HANDLESS_SHARE: Final = 0.2
"""Scenes without a hand."""
HELD_SHARE, OTHER_SHARE = 0.65, 0.3
"""Of the others, hands that hold something, and scenes that have to have a second hand."""
WRIST, MIDDLE = KEYPOINT_NAMES.index("wrist"), KEYPOINT_NAMES.index("middle_mcp")
ARM_BEGINS_MM: Final = 20.0
"""Where the second hand ends and its arm begins, mm past the wrist at scale 1."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A scene. depth: (H, W) uint16 counts; label: (H, W) uint8; numbers: fx, fy, cx, cy, and of both hands wrist (3),
    middle MCP (3) mm, NaN where there is none; the rig's scale; 1 for a right hand."""

    depth: NDArray[np.uint16]
    label: Mask
    numbers: Floats


def make_chunk(folder: Path, seed: int, number: int) -> Path:
    """Draw the scenes of a chunk and write them to a file of the folder, unless it is there."""
    path = folder / f"{number:05d}.npz"
    if path.exists():
        return path
    scenes = [_scene(seed, number * CHUNK + index) for index in range(CHUNK)]
    kept = [scene for scene in scenes if scene is not None]
    arrays = {
        "depth": np.concatenate([scene.depth.ravel() for scene in kept]),
        "label": np.concatenate([scene.label.ravel() for scene in kept]),
        "shape": np.array([scene.depth.shape for scene in kept], np.int32),
        "numbers": np.array([scene.numbers for scene in kept], np.float32),
    }
    aside = path.with_name(f".{number:05d}.{os.getpid()}.npz")
    np.savez(aside, **arrays)
    aside.rename(path)
    return path


def make_scenes(folder: Path, seed: int, count: int, processes: int) -> list[Path]:
    """Draw count scenes; returns the files in which they are."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    numbers = range(-(-count // CHUNK))
    if processes <= 1:
        return [make_chunk(folder, seed, number) for number in numbers]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(partial(make_chunk, folder, seed), numbers, chunksize=1)


def read_scenes(files: list[Path]) -> Arrays:
    """All scenes of files: depth, label (all pixels), shape (N, 2), first (N,) pixel, numbers (N, 18)."""
    parts = []
    for path in files:
        with np.load(path) as file:
            parts.append({name: file[name] for name in file.files})
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    sizes = arrays["shape"].astype(np.int64).prod(axis=1)
    arrays["first"] = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return arrays


def _scene(seed: int, index: int) -> Recorded | None:
    rng = np.random.default_rng((seed, 7, index))
    try:
        return _handless(rng) if rng.random() < HANDLESS_SHARE else _wild(rng, seed, index)
    except HandoptError:  # a draw for which there is no view
        return None


def _handless(rng: np.random.Generator) -> Recorded:
    camera, noise = sample_camera(rng)
    depth, label, front = sample_handless_scene(rng, camera)
    clean = np.where(front > 0, np.uint8(THING), label)
    depth, clean = patchy(rng, depth, clean)
    measured = sense(depth, camera, noise_model(noise), rng)
    if noise != "none" and rng.random() < CONFIG.filter.share:
        passes = int(rng.integers(*CONFIG.filter.passes, endpoint=True))
        measured = grained(smoothed(measured, passes), float(rng.uniform(*CONFIG.filter.grain_mm)), rng)
    measured = np.rint(measured).astype(np.float32)
    label = measured_mask(depth, clean, measured)
    rows, columns = np.nonzero(label == THING if (label == THING).any() else label == BODY)
    if not len(rows):
        rows, columns = np.nonzero(measured > 0)
    if not len(rows):
        raise HandoptError("nothing is seen")
    pick = int(rng.integers(len(rows)))
    z = float(measured[rows[pick], columns[pick]])
    place = z * np.array([(columns[pick] - camera.cx) / camera.fx, (rows[pick] - camera.cy) / camera.fy, 1.0])
    return _recorded(measured, label, camera, place, [np.full(14, np.nan)])


def _wild(rng: np.random.Generator, seed: int, index: int) -> Recorded:
    held, other = bool(rng.random() < HELD_SHARE), bool(rng.random() < OTHER_SHARE)
    # What is not asked for is drawn as ever: a second hand is never together with a crop.
    wild = generate_wild(WildSettings(seed=seed, held=held, other_hand=True if other else None), index)
    sample, camera = wild.sample, wild.settings.camera
    joints, scale = sample.scene.joints, sample.hand.scale
    label = wild.mask.copy()
    measured = sample.counts.astype(np.float32)
    numbers = [joints[WRIST], joints[MIDDLE]]
    if wild.other is None:
        numbers.append(np.full(6, np.nan))
    else:
        wrist, middle = wild.other.joints[WRIST], wild.other.joints[MIDDLE]
        label[_beyond_wrist(measured, camera, wrist, middle, scale) & (label == OTHER_HAND)] = OTHER_ARM
        numbers += [wrist, middle]
    numbers += [[scale, float(sample.side == "right")]]
    return _recorded(measured, label, camera, 0.5 * (joints[WRIST] + joints[MIDDLE]), numbers)


def _beyond_wrist(
    measured: FloatImage, camera: Camera, wrist: Floats, middle: Floats, scale: float
) -> NDArray[np.bool_]:
    """Pixels (H, W) that lie past the end of a hand's mesh, towards the elbow."""
    away = (wrist - middle) / np.linalg.norm(wrist - middle)
    x = (np.arange(camera.width) - camera.cx) / camera.fx * measured
    y = ((np.arange(camera.height) - camera.cy) / camera.fy)[:, None] * measured
    along = (x - wrist[0]) * away[0] + (y - wrist[1]) * away[1] + (measured - wrist[2]) * away[2]
    return np.asarray(along > ARM_BEGINS_MM * scale)


def _recorded(measured: FloatImage, label: Mask, camera: Camera, place: Floats, numbers: list[Any]) -> Recorded:
    """Cut a part around a place (3,) out of an image."""
    density = place[2] / camera.fx
    step = max(1, int(FINEST_MM / density))
    reach = np.array([REACH_MM * camera.fy, REACH_MM * camera.fx]) / place[2]
    middle = camera.project(place)[::-1]
    low = np.clip(np.floor(middle - reach), 0, [camera.height - 1, camera.width - 1]).astype(int)
    high = np.clip(np.ceil(middle + reach), 1, [camera.height, camera.width]).astype(int)
    part = tuple(slice(a, b, step) for a, b in zip(low, high, strict=True))
    counts = np.clip(np.rint(measured[part] / UNIT_MM), 0, 65535).astype(np.uint16)
    intrinsics = [camera.fx / step, camera.fy / step, (camera.cx - low[1]) / step, (camera.cy - low[0]) / step]
    return Recorded(counts, label[part].copy(), np.concatenate([intrinsics, *numbers]))
