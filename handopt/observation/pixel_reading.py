"""What the network of pixel labels reads at guessed palms: what each pixel is, and where palm and wrist are."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND, OBJECT, OTHER_HAND, PIXEL_LABELS
from handopt.observation.pixel_network import PixelNetwork, PixelOutput, default_network
from handopt.observation.pixel_window import (
    MM_PER_PX,
    PixelWindow,
    network_input,
    pixel_window,
    to_camera,
)
from handopt.typing import Box, FloatImage, Floats, Indices, Vector

MOVED_MM: Final = 5.0
"""A window whose palm turns out to be nearer than this to its guess is not looked at again, mm. Chosen by hand."""
RESIZED: Final = 0.05
"""Nor is one whose hand turns out to be of the window's size, up to this logarithm. Chosen by hand."""
SIZES: Final = (0.75, 1.4)
"""The smallest and the largest hand that a window is fitted to, relative to the default rig's. Chosen by hand: about
those of the training, and hands that a wrong unit or focal length makes too large."""
SAME_SURFACE_MM: Final = 5.0
"""Difference of depth that weighs as much as a pixel of the window when an image's pixel looks for its like, mm. Chosen
by hand: a quarter of a finger's thickness."""
LEAST_SEEN_PX: Final = 160
"""With fewer measured pixels than this a window has no hand: the network has not been trained with less of one."""
NEAREST_MM: Final = 100.0
"""No window is put nearer to the camera than this, mm."""


@dataclass(frozen=True, eq=False)
class PixelReading:
    """What the network says of the window around a palm, camera frame.

    window: what it has seen. probability: (S, S, 6) float32 of each label of PIXEL_LABELS, by its value. palm_mm: (3,)
    the middle between wrist and MCP joint of the middle finger; wrist_mm: (3,) the wrist joint. spread_mm: root mean
    square distance of the votes for the palm from it. presence: probability that a hand's palm is near the window's
    middle. right: probability that it is a right hand. log_size: logarithm of its size relative to the default rig's.
    wider: a reading of a wider window, which counts where this one ends.
    """

    window: PixelWindow
    probability: FloatImage
    palm_mm: Vector
    wrist_mm: Vector
    spread_mm: float
    presence: float
    right: float
    log_size: float
    wider: "PixelReading | None" = None

    @property
    def wrist_direction(self) -> Vector:
        """The unit vector (3,) from the palm towards the wrist, and on to the forearm."""
        along = self.wrist_mm - self.palm_mm
        return np.asarray(along / max(float(np.linalg.norm(along)), 1e-6))


def read_window(
    depth_mm: FloatImage, camera: Camera, guess_mm: ArrayLike, *, rounds: int = 2, network: PixelNetwork | None = None
) -> PixelReading:
    """Read the window around one guessed palm (3,) mm; see read_windows."""
    return read_windows(depth_mm, camera, np.asarray(guess_mm, np.float64)[None], rounds=rounds, network=network)[0]


def read_windows(
    depth_mm: FloatImage, camera: Camera, guesses_mm: ArrayLike, *, rounds: int = 2, network: PixelNetwork | None = None
) -> list[PixelReading]:
    """Read the windows around guessed palms of a depth image.

    depth_mm: (H, W) mm, 0 = none. guesses_mm: (B, 3) mm, camera frame, each at most 70 mm to the side and 50 mm in
    depth from a palm, or on something else. rounds: how often to look; from the second time on, windows are about the
    palm that was found, and as large as its hand asks for. network: None for the one that comes with handopt. Each
    window is read together with its mirror image, so that the mirror image of an image gives the mirrored reading.
    Raises ShapeError.
    """
    guesses = np.asarray(guesses_mm, np.float64)
    if guesses.ndim != 2 or guesses.shape[1] != 3:
        raise ShapeError(f"guesses_mm: expected shape (B, 3), got {guesses.shape}")
    chosen = default_network() if network is None else network
    readings = _read(depth_mm, camera, guesses, chosen)
    for _ in range(rounds - 1):
        moved = [number for number, each in enumerate(readings) if _has_moved(each)]
        if not moved:
            break
        again = _read(
            depth_mm,
            camera,
            np.stack([readings[number].palm_mm for number in moved]),
            chosen,
            [float(np.clip(np.exp(readings[number].log_size), *SIZES)) for number in moved],
        )
        for number, reading in zip(moved, again, strict=True):
            readings[number] = reading
    return readings


def turned_as_well(reading: PixelReading, network: PixelNetwork | None = None) -> PixelReading:
    """The same reading with probabilities that are the mean of four: of its window turned by quarters of a circle."""
    chosen = default_network() if network is None else network
    image = network_input(reading.window.offset_mm[None])
    several = [reading.probability]
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(image, quarters, (1, 2)))
        several.append(np.rot90(chosen.both_ways(turned).probability[0], -quarters, (0, 1)))
    return replace(reading, probability=np.mean(several, axis=0, dtype=np.float32))


def probability_in_image(reading: PixelReading, depth_mm: FloatImage, camera: Camera) -> tuple[Box, FloatImage]:
    """The labels of the image's own pixels: the rows and columns (h, w) that the window covers, and (h, w, 6) float32.

    depth_mm, camera: those that were read, or the same view at another resolution. A pixel takes the probabilities of
    the one of the four pixels of the window around it that is the most like it in depth. What is not measured is
    background. Where the reading has a wider one, the box holds both windows; what neither shows is 0.
    """
    if reading.wider is None:
        return _of_window(reading, depth_mm, camera)
    parts = [probability_in_image(reading.wider, depth_mm, camera), _of_window(reading, depth_mm, camera)]
    rows, columns = (_both(*(box[axis] for box, _ in parts)) for axis in (0, 1))
    whole = np.zeros((rows.stop - rows.start, columns.stop - columns.start, len(PIXEL_LABELS)), np.float32)
    for (of_rows, of_columns), probability in parts:
        top, left = of_rows.start - rows.start, of_columns.start - columns.start
        whole[top : top + len(probability), left : left + probability.shape[1]] = probability
    return (rows, columns), whole


def three_in(reading: PixelReading, depth_mm: FloatImage, camera: Camera) -> FloatImage:
    """Three probabilities (H, W, 3) of an image's own pixels, see three_of; 0 beyond the window."""
    return three_in_box(depth_mm.shape, *probability_in_image(reading, depth_mm, camera))


def three_in_box(shape: tuple[int, ...], box: Box, probability: FloatImage) -> FloatImage:
    """The same of an image (H, W) for what probability_in_image gives."""
    labels = np.zeros((*shape, 3), np.float32)
    labels[box] = three_of(probability)
    return labels


def three_of(probability: FloatImage) -> FloatImage:
    """Probabilities (..., 3) of hand, forearm, and object or other hand, for those of all labels (..., 6)."""
    thing = probability[..., OBJECT] + probability[..., OTHER_HAND]
    return np.stack([probability[..., HAND], probability[..., FOREARM], thing], axis=-1)


def _both(one: slice, other: slice) -> slice:
    """The slice that holds two that touch or overlap, either of which may be empty."""
    if one.start == one.stop or other.start == other.stop:
        return one if one.start != one.stop else other
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _of_window(reading: PixelReading, depth_mm: FloatImage, camera: Camera) -> tuple[Box, FloatImage]:
    """As probability_in_image, where the reading's own window is."""
    x, y, z = reading.window.palm_mm
    size, pixels = reading.window.size, len(reading.window.offset_mm)
    rows, row = _covered(camera.fy, camera.cy, (y, z, size), depth_mm.shape[0], pixels)
    columns, column = _covered(camera.fx, camera.cx, (x, z, size), depth_mm.shape[1], pixels)
    box = (rows, columns)
    depth = depth_mm[box]
    offset = (depth - np.float32(z)) / np.float32(size)
    known = np.where(np.isfinite(reading.window.offset_mm), reading.window.offset_mm, np.float32(1e6))
    best, place = np.full(depth.shape, np.inf, np.float32), np.zeros(depth.shape, np.int64)
    first_row, first_column = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    for i in (0, 1):
        for j in (0, 1):
            v, u = np.clip(first_row + i, 0, pixels - 1), np.clip(first_column + j, 0, pixels - 1)
            away = np.abs(row - (first_row + i))[:, None] + np.abs(column - (first_column + j))
            unlike = np.abs(known[v[:, None], u] - offset) / np.float32(SAME_SURFACE_MM) + away.astype(np.float32)
            nearer = unlike < best
            best = np.where(nearer, unlike, best)
            place = np.where(nearer, v[:, None] * pixels + u, place)
    probability = reading.probability.reshape(pixels * pixels, -1)[place]
    probability[depth <= 0] = np.eye(len(PIXEL_LABELS), dtype=np.float32)[BACKGROUND]
    return box, probability


def _covered(
    focal: float, middle: float, palm: tuple[float, float, float], pixels: int, across: int
) -> tuple[slice, Vector]:
    """The pixels of one axis of an image that a window covers, and where they are in the window, in its pixels.

    palm: where it is on that axis, its depth, and the hand's size. pixels: of the image; across: of the window.
    """
    along, depth, size = palm
    places = ((np.arange(pixels) - middle) / focal * depth - along) / (MM_PER_PX * size) + 0.5 * (across - 1)
    inside: Indices = np.flatnonzero((places > -0.5) & (places < across - 0.5))
    if not len(inside):
        return slice(0, 0), np.zeros(0)
    covered = slice(int(inside[0]), int(inside[-1]) + 1)
    return covered, np.asarray(places[covered], np.float64)


def _has_moved(reading: PixelReading) -> bool:
    guess, palm = reading.window.palm_mm, reading.palm_mm
    resized = abs(reading.log_size - np.log(reading.window.size)) > RESIZED
    return bool(palm[2] > NEAREST_MM and (resized or np.linalg.norm(palm - guess) > MOVED_MM))


def _read(
    depth_mm: FloatImage, camera: Camera, guesses: Floats, network: PixelNetwork, sizes: list[float] | None = None
) -> list[PixelReading]:
    chosen = [1.0] * len(guesses) if sizes is None else sizes
    windows = [pixel_window(depth_mm, camera, palm, size) for palm, size in zip(guesses, chosen, strict=True)]
    if not windows:
        return []
    output = network.both_ways(network_input(np.stack([window.offset_mm for window in windows])))
    return [reading_of(window, output, number) for number, window in enumerate(windows)]


def reading_of(
    window: PixelWindow, output: PixelOutput, number: int, wider: PixelReading | None = None
) -> PixelReading:
    """What a network says of one window, the one of that number among those that it saw."""
    enough = np.count_nonzero(np.isfinite(window.offset_mm)) >= LEAST_SEEN_PX
    return PixelReading(
        window=window,
        probability=output.probability[number],
        palm_mm=to_camera(window, output.palm_mm[number]),
        wrist_mm=to_camera(window, output.wrist_mm[number]),
        spread_mm=window.size * float(output.spread_mm[number]),
        presence=float(output.presence[number]) if enough else 0.0,
        right=float(output.right[number]),
        log_size=float(np.log(window.size) + output.log_size[number]),
        wider=wider,
    )
