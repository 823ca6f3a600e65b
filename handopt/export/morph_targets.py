"""Pose correctives as morph targets, because the skins of other programs have no room for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.ops.rotation_features import rotation_features
from handopt.rig.pose import Posable
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.rig.pose_correctives import PoseCorrectives

MOST_OFF_MM: Final = 0.005
"""How far a vertex may be from where the correctives put it, in the bind pose; chosen well below what is seen."""


@dataclass(frozen=True)
class MorphTargets:
    """Displacements of a rest mesh that are added up, each by its own weight.

    displacements_mm: (K, V, 3). weights: (T, K) of T poses, from 0 to 1, because Blender cuts them off there; the first
    is 1 in all poses.
    """

    displacements_mm: Floats
    weights: Floats

    @property
    def names(self) -> list[str]:
        """What other programs call them."""
        return [f"pose_corrective_{number}" for number in range(1, len(self.displacements_mm) + 1)]


def features_of(rig: Posable, angles_rad: Floats) -> Floats:
    """The features (T, 135) of poses that correctives multiply. angles_rad: (T, 15, 3)."""
    return np.asarray(rotation_features(np.ascontiguousarray(angles_rad, np.float64), int(rig.side_sign)))


def morph_targets(correctives: "PoseCorrectives", features: Floats) -> MorphTargets:
    """As few targets as give what correctives do to a mesh in T poses, to MOST_OFF_MM. features: (T, 135).

    With features F and correctives B, the mesh moves by F B. B = R^T Q^T (QR) and F R^T = U S W^T (SVD), so that U S
    are weights of orthonormal displacements W^T Q^T, and what a pose lacks without the last ones is their length.
    """
    basis = correctives.vertices.reshape(len(correctives.vertices), -1)
    across, triangle = np.linalg.qr(basis.T)
    left, sizes, right = np.linalg.svd(features @ triangle.T, full_matrices=False)
    weights = left * sizes
    lacking = np.sqrt(np.cumsum(weights[:, ::-1] ** 2, axis=1)[:, ::-1]).max(axis=0)  # without k and all after it
    count = int(np.count_nonzero(lacking > MOST_OFF_MM))
    shape = correctives.vertices.shape[1:]
    if not count:
        return MorphTargets(np.zeros((0, *shape)), np.zeros((len(features), 0)))
    orthonormal = right[:count] @ across.T
    lowest, highest = weights[:, :count].min(axis=0), weights[:, :count].max(axis=0)
    span = np.maximum(highest - lowest, np.finfo(float).tiny)
    displacements = np.concatenate([(lowest @ orthonormal)[None], span[:, None] * orthonormal])
    shares = np.concatenate([np.ones((len(features), 1)), (weights[:, :count] - lowest) / span], axis=1)
    return MorphTargets(displacements.reshape(-1, *shape), shares)
