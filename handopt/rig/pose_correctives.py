"""A model's own pose correctives: how its rest mesh changes with the rotations of its joints, as MANO's posedirs do.

The features of a pose are the entries of its local rotations less those of the identity, row by row, for each row of
angles (handopt.ops.rotation_features). With features f (F,), the rest vertices are P + sum_f f_f V_f, and the joints
p + sum_f f_f C_f (Loper et al., SMPL, 2015, Eq. 9), before skinning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.anatomy import MIRROR
from handopt.typing import Floats

ROWS: Final = 15
"""Of joint angles; each has the nine entries of a rotation."""
FEATURES: Final = 9 * ROWS


@dataclass(frozen=True, eq=False)
class PoseCorrectives:
    """vertices: (135, V, 3), joints: (135, J, 3): mm per unit of each feature (as a file is read, in its unit).

    Only joints that are points of the skin move, such as MANO's tips. Rotations are in each joint's own axes.
    """

    vertices: Floats
    joints: Floats

    def __post_init__(self) -> None:
        """Raise RigError unless both arrays have all features and are finite."""
        for name in ("vertices", "joints"):
            values = np.array(getattr(self, name), np.float64, order="C")
            if values.ndim != 3 or values.shape[::2] != (FEATURES, 3):
                raise RigError(f"pose correctives: {name} has shape {values.shape}, expected ({FEATURES}, any, 3)")
            if not np.isfinite(values).all():
                raise RigError(f"pose correctives: {name} contains NaN or infinite numbers")
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def kept(self, vertices: NDArray[np.integer], joints: Sequence[int], factor: float) -> "PoseCorrectives":
        """Those of some vertices and joints, lengths multiplied by a factor."""
        return PoseCorrectives(factor * self.vertices[:, vertices], factor * self.joints[:, list(joints)])

    def scaled(self, factor: float) -> "PoseCorrectives":
        """The same for a hand that is larger by a factor."""
        return PoseCorrectives(factor * self.vertices, factor * self.joints)

    def in_frames(self, frames: Floats) -> "PoseCorrectives":
        """The same for rotations in other axes. frames: (15, 3, 3) new axes, as columns, in the present ones.

        A rotation L in the new axes A is A L A^T in the present ones.
        """

        def turned(values: Floats) -> Floats:
            entries = values.reshape(ROWS, 3, 3, -1)
            return np.asarray(np.einsum("rabn,rac,rbd->rcdn", entries, frames, frames).reshape(values.shape))

        return PoseCorrectives(turned(self.vertices), turned(self.joints))

    def mirrored(self) -> "PoseCorrectives":
        """Those of the mirror image, whose rotations are mirrored as well."""
        signs = np.tile(np.outer(MIRROR, MIRROR).ravel(), ROWS)[:, None, None]
        return PoseCorrectives(signs * self.vertices * MIRROR, signs * self.joints * MIRROR)
