"""From where a hand is seen, given by its arm: egocentric, frontal, or from anywhere."""

from typing import Final, Literal

import numpy as np

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.synth.wild_config import CONFIG
from handopt.typing import Floats

View = Literal["egocentric", "frontal", "any"]
_VIEWS: Final[tuple[View, ...]] = ("egocentric", "frontal", "any")
_CONFIG = CONFIG.view


def sample_view(rng: np.random.Generator) -> View:
    """Draw a kind of view."""
    return _VIEWS[int(rng.choice(len(_VIEWS), p=[_CONFIG.shares[view] for view in _VIEWS]))]


def sample_elbow(rng: np.random.Generator, view: View) -> Floats:
    """Draw the unit vector (3,) from the wrist towards the elbow in the camera frame.

    Egocentric arms come from the camera's side and are nearer than the hand; most frontal ones are farther away.
    """
    below = rng.random() < _CONFIG.from_below_share
    around = np.pi / 2 + rng.normal(0.0, 0.5) if below else rng.uniform(-np.pi, np.pi)
    if view == "any":
        around, depth = rng.uniform(-np.pi, np.pi), rng.uniform(-1.0, 1.0)
    else:
        depth = rng.uniform(-0.9, -0.1) if view == "egocentric" else rng.uniform(-0.15, 0.95)
    lateral = np.sqrt(1 - depth**2)
    return np.array([lateral * np.cos(around), lateral * np.sin(around), depth])


def sample_shoulder(rng: np.random.Generator, view: View) -> Floats:
    """Draw the unit vector (3,) from the elbow towards the shoulder: to the camera's side, or away from it."""
    along = {"egocentric": [0.0, -0.2, -0.9], "frontal": [0.0, -0.3, 0.8], "any": [0.0, 0.0, 0.0]}[view]
    direction = np.asarray(along) + rng.normal(0.0, 0.45, 3)
    return np.asarray(direction / np.linalg.norm(direction))


def turn_to(direction: Floats, roll: float) -> Floats:
    """The rotation (3, 3) that takes the z axis to a unit vector (3,), after a turn about it."""
    first = np.cross(direction, [0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    second = np.cross(direction, first)
    x = np.cos(roll) * first + np.sin(roll) * second
    return np.column_stack([x, np.cross(direction, x), direction])


def place_hand(rng: np.random.Generator, vertices: Floats, camera: Camera) -> Floats:
    """Draw a translation (3,) that keeps a hand's vertices (V, 3), about the wrist, inside the image.

    Distances are uniform in the logarithm, up to where the hand is of the least size; the spot is
    anywhere, the middle of the image a little more often. Raises ConfigError where the image is too small.
    """
    x, y, depth = (float(value) for value in np.ptp(vertices, axis=0))
    smallest = camera.fx * max(x, y) / _CONFIG.least_px - depth / 2
    farthest = max(_CONFIG.nearest_mm + 1.0, min(_CONFIG.farthest_mm, smallest))
    distance = float(np.exp(rng.uniform(np.log(_CONFIG.nearest_mm), np.log(farthest))))
    spot = rng.beta(1.4, 1.4, 2)
    size = np.array([camera.width - 1, camera.height - 1], np.float64)
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    corners = vertices - middle
    distance = max(distance, 150.0 - float(corners[:, 2].min()))
    while distance < 2 * _CONFIG.farthest_mm:
        pixel = size / 2
        for _ in range(_CONFIG.placing_rounds):
            ray = np.array([(pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy, 1.0])
            points = corners + distance * ray
            seen = points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
            first = _CONFIG.margin_px - (seen.min(axis=0) - pixel)
            last = size - _CONFIG.margin_px - (seen.max(axis=0) - pixel)
            if not (first <= last).all():
                break
            wanted = first + spot * (last - first)
            if np.abs(wanted - pixel).max() < 0.5:
                return np.asarray(distance * ray - middle)
            pixel = wanted
        distance *= _CONFIG.farther
    raise ConfigError(f"a hand does not fit into the image of {camera.width} x {camera.height} pixels: change camera=")
