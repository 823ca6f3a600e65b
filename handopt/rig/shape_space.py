"""A model's own linear shape space: betas of MANO, morph targets of glTF, in place of handopt's proportions.

With coefficients c (S,), the rest vertices are P + sum_s c_s V_s and the joints' bind positions p + sum_s c_s C_s, as
for proportions (handopt.rig.proportions). Coefficients are in units in which all spaces have the same prior, that of
the proportions: DEVIATION is one standard deviation of a value of the model's own, such as a beta.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.anatomy import MIRROR
from handopt.typing import Floats

DEVIATION: Final = 0.05
"""Coefficient of one standard deviation of a value: that of a proportion (handopt.objective.terms)."""
MAX_VALUES: Final = 28
"""Most directions of a space: as many as the normal equations have room for beside all angles."""


@dataclass(frozen=True, eq=False)
class ShapeSpace:
    """S shape directions of a rig.

    kind: 'betas' or 'morphs'; names: (S,); vertices, joints: (S, V, 3) and (S, J, 3), how far one standard deviation of
    each value moves rest vertices and bind positions, in mm (as a file is read, in its unit); spread: (S,) the value of
    one standard deviation, 1 for betas.
    """

    kind: Literal["betas", "morphs"]
    names: tuple[str, ...]
    vertices: Floats
    joints: Floats
    spread: Floats

    def __post_init__(self) -> None:
        """Raise RigError unless the arrays belong together, are finite, and are not too many."""
        count = len(self.names)
        if not count:
            raise RigError(f"{self.kind}: a shape space needs a direction")
        for field, ndim in (("vertices", 3), ("joints", 3), ("spread", 1)):
            values = np.array(getattr(self, field), np.float64, order="C")
            if values.ndim != ndim or len(values) != count:
                raise RigError(f"{self.kind}: {field} has shape {values.shape}, expected {count} entries")
            if not np.isfinite(values).all():
                raise RigError(f"{self.kind}: {field} of the shape space contains NaN or infinite numbers")
            values.flags.writeable = False
            object.__setattr__(self, field, values)

    @property
    def basis(self) -> tuple[Floats, Floats]:
        """Offsets of vertices (S, V, 3) and bind positions (S, J, 3) in mm per unit of a coefficient."""
        return self.vertices / DEVIATION, self.joints / DEVIATION

    def values(self, coefficients: Sequence[float] | Floats) -> Floats:
        """The model's own values (..., S), such as betas, of coefficients (..., S)."""
        return np.asarray(coefficients, np.float64) / DEVIATION * self.spread

    def coefficients(self, values: Sequence[float] | Floats) -> Floats:
        """The coefficients (..., S) of the model's own values (..., S). Raises RigError for another number of them."""
        given = np.asarray(values, np.float64)
        if given.shape[-1:] != self.spread.shape or not np.isfinite(given).all():
            raise RigError(f"{self.kind}: expected {len(self.names)} finite numbers, got shape {given.shape}")
        return DEVIATION * given / self.spread

    def kept(self, vertices: NDArray[np.integer], joints: Sequence[int], factor: float) -> "ShapeSpace":
        """The space of some vertices and joints, lengths multiplied by a factor."""
        moved = factor * self.vertices[:, vertices], factor * self.joints[:, list(joints)]
        return ShapeSpace(self.kind, self.names, *moved, self.spread)

    def largest(self, least_mm: float) -> "ShapeSpace | None":
        """The directions that move the hand by a length or more, at most MAX_VALUES of them; None if there are none."""
        sizes = np.linalg.norm(self.vertices, axis=2).max(axis=1)
        rows = sorted(np.argsort(-sizes, kind="stable")[:MAX_VALUES])
        rows = [int(row) for row in rows if sizes[row] >= least_mm]
        if not rows:
            return None
        names = tuple(self.names[row] for row in rows)
        return ShapeSpace(self.kind, names, self.vertices[rows], self.joints[rows], self.spread[rows])

    def mirrored(self) -> "ShapeSpace":
        """The space of the mirror image."""
        return ShapeSpace(self.kind, self.names, self.vertices * MIRROR, self.joints * MIRROR, self.spread)
