"""Random things that a hand may hold: balls, boxes, cylinders, pens, phones and cups."""

from collections.abc import Callable
from typing import Final

import numpy as np

from handopt.synth.primitives import Solid, SolidObject


def _ball(rng: np.random.Generator) -> SolidObject:
    radius = rng.uniform(18.0, 45.0)
    return SolidObject("ball", (Solid("box", (radius,) * 3, radius),), (2 * radius,) * 3)


def _box(rng: np.random.Generator) -> SolidObject:
    half = np.sort(rng.uniform([8.0, 14.0, 18.0], [28.0, 38.0, 70.0]))
    return _block("box", half, float(rng.uniform(0.5, 4.0)))


def _cylinder(rng: np.random.Generator) -> SolidObject:
    radius, half = rng.uniform(9.0, 38.0), rng.uniform(35.0, 125.0)
    solid = Solid("cylinder", (radius, radius, half), float(rng.uniform(0.0, 0.3) * radius))
    solids = [solid]
    if rng.random() < 0.3:  # a bottle's neck
        neck = radius * rng.uniform(0.3, 0.6)
        solids.append(Solid("cylinder", (neck, neck, 25.0), 2.0, (0.0, 0.0, half + 15.0)))
    return SolidObject("cylinder", tuple(solids), (2 * radius, 2 * radius, 2 * half))


def _pen(rng: np.random.Generator) -> SolidObject:
    radius, half = rng.uniform(3.0, 8.0), rng.uniform(60.0, 100.0)
    return SolidObject(
        "pen", (Solid("cylinder", (radius, radius, half), radius * 0.8),), (2 * radius, 2 * radius, 2 * half)
    )


def _phone(rng: np.random.Generator) -> SolidObject:
    return _block("phone", rng.uniform([3.5, 31.0, 62.0], [6.0, 39.0, 80.0]), 3.0)


def _cup(rng: np.random.Generator) -> SolidObject:
    radius, half = rng.uniform(30.0, 43.0), rng.uniform(35.0, 60.0)
    middle, section = half * rng.uniform(0.45, 0.62), rng.uniform(3.5, 6.5)
    handle = Solid("ring", (middle, middle, section), 0.0, (radius, 0.0, rng.uniform(-0.1, 0.1) * half))
    solids = (Solid("cylinder", (radius, radius, half)), handle)
    return SolidObject("cup", solids, (2 * radius, 2 * radius, 2 * half), hollow=True)


def _block(kind: str, half: "np.ndarray", rounding: float) -> SolidObject:
    """A box whose shortest side is along x."""
    x, y, z = (float(value) for value in half)
    return SolidObject(kind, (Solid("box", (x, y, z), min(rounding, x)),), (2 * x, 2 * y, 2 * z))


KINDS: Final[dict[str, Callable[[np.random.Generator], SolidObject]]] = {
    "ball": _ball,
    "box": _box,
    "cylinder": _cylinder,
    "pen": _pen,
    "phone": _phone,
    "cup": _cup,
}
"""How an object of each kind is drawn. Sizes are those of things for hands; the shortest side lies along x."""


def sample_object(rng: np.random.Generator, kind: str | None = None) -> SolidObject:
    """Draw an object, of any kind unless one is given."""
    name = tuple(KINDS)[int(rng.integers(len(KINDS)))] if kind is None else kind
    return KINDS[name](rng)
