"""Skinning weights of a file's joints as those of a hand's joints, checked and cut to a few for each vertex."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError, did_you_mean
from handopt.rig.gltf import SkinnedMesh
from handopt.rig.joints import CANONICAL, canonical_name
from handopt.rig.model import MAX_WEIGHTS
from handopt.typing import Floats

_SUM_TOLERANCE: Final = 0.01


def joint_weights(mesh: SkinnedMesh, found: dict[str, int], where: str) -> tuple[Floats, list[str]]:
    """(N, J) weights of the joints found; a palm joint counts as the wrist. Checks every weight of the file."""
    weights = mesh.weights
    if not np.isfinite(weights).all():
        vertex = int(np.argwhere(~np.isfinite(weights))[0, 0])
        raise RigError(f"{where}: the skinning weights of vertex {vertex} are NaN or infinite")
    if weights.min(initial=0) < 0:
        raise RigError(f"{where}: vertex {int(np.argwhere(weights < 0)[0, 0])} has a negative skinning weight")
    used = weights > 0
    strange = used & ((mesh.joints < 0) | (mesh.joints >= len(mesh.joint_names)))
    if strange.any():
        vertex, column = np.argwhere(strange)[0]
        raise RigError(
            f"{where}: vertex {vertex} follows joint {mesh.joints[vertex, column]} of {len(mesh.joint_names)}"
        )
    sums = weights.sum(axis=1)
    worst = int(np.argmax(np.abs(sums - 1))) if len(sums) else 0
    if len(sums) and abs(sums[worst] - 1) > _SUM_TOLERANCE:
        raise RigError(f"{where}: the skinning weights of vertex {worst} sum to {sums[worst]:.4g} instead of 1")
    column_of = {index: column for column, index in enumerate(found.values())}
    result = np.zeros((len(weights), len(found)))
    notes = []
    for index, node in enumerate(mesh.joint_names):
        share = np.where(used & (mesh.joints == index), weights, 0).sum(axis=1) / sums
        column = 0 if index not in column_of and canonical_name(node) == "palm" else column_of.get(index)
        if column is not None:
            result[:, column] += share
        elif share.any():
            raise RigError(
                f"{where}: unknown joint {node!r} moves {np.count_nonzero(share)} vertices"
                f"{did_you_mean(node, CANONICAL)}: name it in a mapping file or remove it"
            )
        else:
            notes.append(f"the joint {node!r} was ignored: it is no joint of a hand and moves nothing")
    return result, notes


def strongest_weights(weights: Floats, most: int = MAX_WEIGHTS) -> tuple[NDArray[np.int64], Floats, list[str]]:
    """Joints and weights (V, most) of the strongest weights of each vertex, descending, summing to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    strongest = np.take_along_axis(weights, order, axis=1)
    kept = strongest.sum(axis=1, keepdims=True)
    lost = 1 - kept.min()
    notes = []
    if lost > 1e-6:
        notes.append(f"only the {most} strongest weights of a vertex were kept (at most {lost:.1%} was lost)")
    return np.where(strongest > 0, order, 0), strongest / kept, notes
