"""Which point of another rig's surface corresponds to which vertex of MANO, and the fit of MANO to such points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handopt.export.mano.layer import POSE, Layer
from handopt.rig.joints import MANO_ROWS
from handopt.rig.mano_file import JOINTS, MANO_PARENTS, ManoModel
from handopt.rig.skinned import Skinned
from handopt.typing import Bools, Floats, Integers

M_PER_MM: Final = 1e-3
PALM: Final = 5
"""Label of what belongs to no digit; digits are 0 (thumb) to 4."""
_KEYPOINTS: Final = np.argsort(MANO_ROWS)
"""Keypoint of each of MANO's 16 joints and 5 tips."""
_DIGIT_OF_MANO: Final = np.array([PALM, *((_KEYPOINTS[1:JOINTS] - 1) // 4)])
_ROUNDS: Final = 10
"""Of closest points."""
_FAR_M: Final = 5e-3
"""Distance at which a closest point counts half."""
_FARTHEST_M: Final = 8e-3
"""Vertices of MANO farther from the other surface have no counterpart, as those of a longer wrist."""
_LEAST_COSINE: Final = 0.5
"""Between normals of points that correspond."""
_JOINT_WEIGHT: Final = 2.0
"""Of a joint beside a vertex, so that surfaces do not slide along the fingers."""
_TIP_WEIGHT: Final = 0.3  # tips of other rigs lie inside the finger
PRIOR_M: Final = 3e-3
"""Weight of a standard deviation of a beta, in m of one vertex; keeps betas that the surface hardly tells near zero."""
EXACT_PRIOR_M: Final = 1e-6
_POSE_PRIOR_M: Final = 5e-3  # of a radian, while only joints are known


@dataclass(frozen=True, eq=False)
class Registration:
    """Counterparts of n vertices of MANO on another surface.

    rows: (n,) vertices of MANO; corners: (n, 3) vertices of the other mesh; shares: (n, 3) barycentric coordinates.
    turns: (16, 3, 3) rotations of MANO's joints in the other rig's rest pose. betas: (S,) of the rest mesh. is_mano:
    whether the other mesh is MANO's own.
    """

    rows: Integers
    corners: Integers
    shares: Floats
    turns: Floats
    betas: Floats
    is_mano: bool

    def targets(self, vertices: Floats) -> Floats:
        """(n, 3) where the counterparts are for vertices (V, 3) of the other mesh."""
        return np.asarray(np.einsum("nc,nca->na", self.shares, vertices[self.corners]))


def register(model: ManoModel, layer: Layer, hand: Skinned) -> Registration:
    """Lay MANO on the rest mesh of another hand of the same side, by its joints first, then by closest points."""
    rest = hand.rest_mm * M_PER_MM
    joints = rest_joints(hand)[_KEYPOINTS]
    rows = np.concatenate([layer.vertices + np.arange(JOINTS), model.tips])
    weights = np.append(np.ones(JOINTS), np.full(len(model.tips), _TIP_WEIGHT))
    parameters = np.zeros(POSE + layer.betas + 3)
    _place(layer, parameters, rows[[0, 1, 4, 7, 10, 13]], joints[[0, 1, 4, 7, 10, 13]])
    parameters = solve(layer, rows, joints, weights, parameters, prior=PRIOR_M, pose_prior=_POSE_PRIOR_M)
    if _same_mesh(model, hand):
        every = np.arange(layer.vertices)
        parameters = solve(layer, every, rest, np.ones(len(every)), parameters, prior=EXACT_PRIOR_M)
        return Registration(
            every,
            np.repeat(every[:, None], 3, 1),
            np.eye(3)[np.zeros(len(every), int)],
            layer.turns(parameters),
            parameters[POSE:-3],
            True,
        )
    surface = _Surface(rest, hand)
    labels = _DIGIT_OF_MANO[model.weights.argmax(axis=1)]
    near, joint_rows = np.arange(layer.vertices), rows[:JOINTS]
    for _ in range(_ROUNDS):
        vertices = layer.points(parameters)[: layer.vertices]
        faces, points, cosines = surface.closest(vertices, labels, model.faces)
        distances = np.linalg.norm(vertices - points, axis=1)
        trust = (cosines > _LEAST_COSINE) / (1 + (distances / _FAR_M) ** 2)
        parameters = solve(
            layer,
            np.append(near, joint_rows),
            np.concatenate([points, joints[:JOINTS]]),
            np.append(trust, np.full(JOINTS, _JOINT_WEIGHT)),
            parameters,
            prior=PRIOR_M,
            steps=3,
        )
    vertices = layer.points(parameters)[: layer.vertices]
    faces, points, cosines = surface.closest(vertices, labels, model.faces)
    kept = (cosines > _LEAST_COSINE) & (np.linalg.norm(vertices - points, axis=1) < _FARTHEST_M)
    corners = surface.faces[faces[kept]]
    return Registration(
        np.flatnonzero(kept),
        corners,
        _barycentric(points[kept], rest[corners]),
        layer.turns(parameters),
        parameters[POSE:-3],
        False,
    )


def posed_start(layer: Layer, registration: Registration, transforms: Floats, hand: Skinned, targets: Floats) -> Floats:
    """Parameters near those of a pose of the other rig: its joints' rotations carried over.

    transforms: (J, 3, 4) of its joints, rest -> camera. targets: (n, 3) m, see Registration.
    """
    from scipy.spatial.transform import Rotation

    moved = transforms[hand.keypoint_joints[_KEYPOINTS[:JOINTS]], :, :3]
    moved = moved / np.cbrt(np.linalg.det(moved))[:, None, None]
    turns = moved @ registration.turns
    local = np.concatenate([turns[:1], turns[list(MANO_PARENTS[1:])].transpose(0, 2, 1) @ turns[1:]])
    vectors = Rotation.from_matrix(local).as_rotvec().ravel()
    parameters = np.concatenate([vectors, registration.betas, np.zeros(3)])
    parameters[-3:] = (targets - layer.points(parameters)[registration.rows]).mean(axis=0)
    return parameters


def solve(
    layer: Layer,
    rows: Integers,
    targets: Floats,
    weights: Floats,
    start: Floats,
    *,
    prior: float,
    pose_prior: float = 0.0,
    betas: Floats | None = None,
    steps: int = 120,
) -> Floats:
    """Parameters (48 + S + 3,) for which points of the layer lie nearest to targets, by Levenberg–Marquardt.

    rows, targets, weights: (n,) points, (n, 3) m, (n,). prior, pose_prior: m per unit of a beta, and per radian of a
    joint. betas: (S,) that stay as they are. steps: most evaluations.
    """
    from scipy.optimize import least_squares

    free = np.ones(len(start), bool)
    full = start.copy()
    if betas is not None:
        free[POSE:-3], full[POSE:-3] = False, betas
    scale = np.sqrt(weights)[:, None]
    priors = np.zeros(len(start))
    priors[POSE:-3], priors[3:POSE] = prior, pose_prior
    held = np.flatnonzero((priors > 0) & free)

    def whole(values: Floats) -> Floats:
        full[free] = values
        return full

    def residuals(values: Floats) -> Floats:
        points = layer.points(whole(values))[rows]
        return np.append(scale * (points - targets), priors[held] * full[held])

    def jacobian(values: Floats) -> Floats:
        slopes = layer.points_and_jacobian(whole(values))[1][rows] * scale[..., None]
        return np.concatenate([slopes.reshape(-1, len(full)), np.diag(priors)[held]])[:, free]

    found = least_squares(residuals, full[free], jacobian, method="lm", max_nfev=steps, xtol=1e-7, ftol=1e-7)
    return whole(found.x).copy()


def rest_joints(hand: Skinned) -> Floats:
    """(21, 3) m keypoints of the rest pose."""
    return np.asarray(hand.bind[hand.keypoint_joints, :, 3] * M_PER_MM)


class _Surface:
    """The other hand's rest mesh; each of its parts is searched for vertices of its own digit and of the palm."""

    def __init__(self, rest: Floats, hand: Skinned) -> None:
        self.rest, self.faces = np.ascontiguousarray(rest), np.ascontiguousarray(hand.faces, np.int64)
        digit = np.full(len(hand.parents), PALM)
        for keypoint, joint in enumerate(hand.keypoint_joints[1:]):
            digit[joint] = keypoint // 4
        strongest = hand.skin_indices[np.arange(len(rest)), hand.skin_weights.argmax(axis=1)]
        self.labels = digit[strongest][self.faces]

    def closest(self, vertices: Floats, labels: Integers, faces: Any) -> tuple[Integers, Floats, Floats]:
        """Face (V,), closest point (V, 3) and cosine between normals (V,) for vertices (V, 3) of a mesh."""
        import igl

        found, points = np.empty(len(vertices), np.int64), np.empty_like(vertices)
        for label in range(PALM + 1):
            own = np.flatnonzero(labels == label)
            allowed = np.flatnonzero(self._allowed(label))
            part = np.ascontiguousarray(self.faces[allowed])
            _, index, points[own] = igl.point_mesh_squared_distance(vertices[own], self.rest, part)
            found[own] = allowed[index]
        corners = self.rest[self.faces[found]]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
        normals = igl.per_vertex_normals(np.ascontiguousarray(vertices), np.ascontiguousarray(faces, np.int64))
        return found, points, np.asarray(np.einsum("va,va->v", normals, across))

    def _allowed(self, label: int) -> Bools:
        return np.asarray(((self.labels == label) | (self.labels == PALM)).any(axis=1) | (label == PALM))


def _place(layer: Layer, parameters: Floats, rows: Integers, targets: Floats) -> None:
    """Turn and move the whole hand so that points lie near targets (Kabsch)."""
    from scipy.spatial.transform import Rotation

    points = layer.points(parameters)[rows]
    rotation, _ = Rotation.align_vectors(targets - targets.mean(axis=0), points - points.mean(axis=0))
    parameters[:3] = rotation.as_rotvec()
    parameters[-3:] += targets.mean(axis=0) - layer.points(parameters)[rows].mean(axis=0)


def _same_mesh(model: ManoModel, hand: Skinned) -> bool:
    """Whether a hand's mesh has MANO's vertices in MANO's order."""
    if len(hand.rest_mm) != len(model.template) or hand.faces.shape != model.faces.shape:
        return False
    ours, theirs = (_sorted(faces) for faces in (hand.faces, model.faces))
    return bool((ours == theirs).all())


def _sorted(faces: Any) -> Integers:
    corners = np.sort(np.asarray(faces, np.int64), axis=1)
    return corners[np.lexsort(corners.T)]


def _barycentric(points: Floats, corners: Floats) -> Floats:
    """(n, 3) coordinates of points (n, 3) in triangles (n, 3, 3)."""
    systems = np.concatenate([corners.transpose(0, 2, 1), np.ones((len(points), 1, 3))], axis=1)
    rights = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return np.asarray(np.einsum("nab,nb->na", np.linalg.pinv(systems), rights))


def sampled(frames: Sequence[int], most: int) -> list[int]:
    """At most so many frames, evenly spread."""
    return [
        frames[row] for row in np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    ]
