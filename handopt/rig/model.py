"""The rigged hand: a skinned mesh, its joints and their limits, with everything derived from them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.errors import RigError, ShapeError
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import (
    ANGLE_JOINTS,
    BONES,
    CANONICAL,
    KEYPOINT_JOINTS,
    chain_parents,
)
from handopt.rig.pose_correctives import PoseCorrectives
from handopt.rig.proportions import PROPORTION_NAMES, proportion_basis
from handopt.rig.shape_space import ShapeSpace
from handopt.typing import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array


MIN_VERTICES: Final = 100
MAX_WEIGHTS: Final = 4
_SUM_TOLERANCE = 1e-9
_ROTATION_TOLERANCE = 1e-6
AXES = ("twist", "abduction", "flexion")


@dataclass(frozen=True, eq=False)
class Limits:
    """Bounds of the joint angles in radians; rows and columns as in Rig. Equal bounds freeze a degree of freedom."""

    name: str
    lower: Floats
    """(15, 3) rad."""
    upper: Floats
    """(15, 3) rad."""

    def __post_init__(self) -> None:
        """Raise RigError unless both arrays are (15, 3), finite and in order."""
        for field in ("lower", "upper"):
            object.__setattr__(self, field, _frozen(getattr(self, field), np.float64, (15, 3), f"limits.{field}"))
        if not (np.isfinite(self.lower).all() and np.isfinite(self.upper).all()):
            raise RigError(f"the limits {self.name!r} must be finite numbers")
        if (self.lower > self.upper).any():
            row, column = np.argwhere(self.lower > self.upper)[0]
            raise RigError(f"the limits {self.name!r}: lower > upper in row {row}, {AXES[column]}")

    @property
    def free(self) -> NDArray[np.bool_]:
        """(15, 3) True where an angle may move."""
        return np.asarray(self.upper > self.lower)


@dataclass(frozen=True, eq=False)
class Rig:
    """A rigged hand in its own frame, in millimetres. Arrays are read-only; the constructor checks them (RigError).

    A joint's axes have the bone along -Z; the back of the hand is +Y; +X is the little finger's side on a right hand
    and the thumb's side on a left one, so that a left rig is the mirror image of a right one. Joint angles are
    (15, 3) rad, rows thumb cmc, mcp, ip and index to pinky mcp, pip, dip, columns twist, abduction, flexion. The local
    rotation is Ry(side_sign * abduction) Rx(-flexion) Rz(side_sign * twist), so on both sides a positive

    - flexion bends towards the palm,
    - abduction moves a finger towards the thumb's side, and the thumb out of the palm's plane towards the front,
    - twist turns the little finger's side of a bone towards the back of the hand; on the thumb it turns the pad, which
      faces the little finger's side in the neutral pose, towards the palm (opposition).
    """

    name: str
    side: Literal["right", "left"]
    rest_mm: Floats
    """(V, 3) vertices of the bind pose."""
    faces: Ints
    """(F, 3) triangles, counter-clockwise seen from outside."""
    skin_indices: Ints
    """(V, K) joint of each weight; K is 4, and more in models that need it."""
    skin_weights: Floats
    """(V, K) rows descend and sum to 1."""
    joint_names: tuple[str, ...]
    """J canonical (WebXR) names, the wrist first, parents before children."""
    parents: Ints
    """(J,) index of the parent, -1 for the wrist."""
    bind: Floats
    """(J, 3, 4) joint -> rig, mm, with an orthonormal rotation."""
    limits: Limits
    licence: str = ""
    notes: tuple[str, ...] = ()
    """What loading assumed or changed, as sentences."""
    confidence: Floats | None = None
    """(V,) how well each vertex was observed, 0 to 1, of a hand made by handopt shape."""
    shape_space: ShapeSpace | None = None
    """What the model itself says of how people's hands differ, in place of handopt's proportions."""
    pose_correctives: PoseCorrectives | None = None
    """What the model itself says of how its rest mesh changes with the pose."""

    keypoint_offsets_mm: Floats | None = None
    """(21, 3) of each keypoint from its joint in the bind pose; None where keypoints are the joints."""
    source_names: tuple[str, ...] = ()
    """What the file calls each of the joints, as a joint map has it; empty for a tip that was made."""

    def __post_init__(self) -> None:
        """Check shapes, ranges and consistency. Raises RigError."""
        shapes: dict[str, tuple[Any, tuple[int | None, ...]]] = {
            "rest_mm": (np.float64, (None, 3)),
            "faces": (np.int32, (None, 3)),
            "skin_indices": (np.int32, (len(self.rest_mm), None)),
            "skin_weights": (np.float64, (len(self.rest_mm), np.shape(self.skin_indices)[-1])),
            "parents": (np.int32, (len(self.joint_names),)),
            "bind": (np.float64, (len(self.joint_names), 3, 4)),
        }
        for field, (dtype, shape) in shapes.items():
            object.__setattr__(self, field, _frozen(getattr(self, field), dtype, shape, f"{self.name}: {field}"))
        if self.keypoint_offsets_mm is not None:
            offsets = _frozen(self.keypoint_offsets_mm, np.float64, (len(KEYPOINT_JOINTS), 3), "keypoint offsets")
            object.__setattr__(self, "keypoint_offsets_mm", offsets)
        if self.confidence is not None:
            seen = _frozen(self.confidence, np.float64, (len(self.rest_mm),), f"{self.name}: confidence")
            object.__setattr__(self, "confidence", seen)
        if (space := self.shape_space) is not None:
            for values, count in ((space.vertices, len(self.rest_mm)), (space.joints, len(self.joint_names))):
                _frozen(values, np.float64, (len(space.names), count, 3), f"{self.name}: shape space")
        if (moved := self.pose_correctives) is not None:
            for values, count in ((moved.vertices, len(self.rest_mm)), (moved.joints, len(self.joint_names))):
                _frozen(values, np.float64, (len(moved.vertices), count, 3), f"{self.name}: pose correctives")
        problem = next(self._problems(), None)
        if problem:
            raise RigError(f"{self.name}: {problem}")

    def _problems(self) -> Iterator[str]:
        if self.side not in ("right", "left"):
            yield f"the side must be 'right' or 'left', not {self.side!r}"
        unknown = [name for name in self.joint_names if name not in CANONICAL]
        if unknown:
            yield f"unknown joint {unknown[0]!r}"
        missing = [name for name in KEYPOINT_JOINTS if name not in self.joint_names]
        if missing:
            yield f"missing joint {missing[0]!r}"
        if list(self.parents) != chain_parents(self.joint_names):
            yield "the joints must stand in canonical order with their canonical parents"
        if len(self.rest_mm) < MIN_VERTICES:
            yield f"too few vertices: {len(self.rest_mm)}, fewer than {MIN_VERTICES}"
        if len(self.faces) == 0 or self.faces.min() < 0 or self.faces.max() >= len(self.rest_mm):
            yield "the faces refer to vertices that do not exist"
        for field in ("rest_mm", "skin_weights", "bind"):
            if not np.isfinite(getattr(self, field)).all():
                yield f"{field} contains NaN or infinite numbers"
        if self.skin_indices.min() < 0 or self.skin_indices.max() >= len(self.joint_names):
            yield "skin_indices refers to joints that do not exist"
        if self.skin_weights.min() < 0 or np.abs(self.skin_weights.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
            yield "the rows of skin_weights must be non-negative and sum to 1"
        rotations = self.bind[:, :, :3]
        errors = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3))
        if errors.max() > _ROTATION_TOLERANCE or np.linalg.det(rotations).min() < 0:
            yield "the bind matrices must be rotations"

    @property
    def is_personal(self) -> bool:
        """Whether it is one person's hand, in real size."""
        return self.confidence is not None

    @property
    def side_sign(self) -> int:
        """+1 for a right hand, -1 for a left one: the factor of abduction and twist."""
        return 1 if self.side == "right" else -1

    @cached_property
    def articulated(self) -> Ints:
        """(15,) joint of each row of angles."""
        return self._joint_rows(ANGLE_JOINTS)

    @cached_property
    def keypoint_joints(self) -> Ints:
        """(21,) joint of each keypoint."""
        return self._joint_rows(KEYPOINT_JOINTS)

    @property
    def keypoints_mm(self) -> Floats:
        """(21, 3) keypoints of the bind pose, mm."""
        joints = self.bind[self.keypoint_joints, :, 3]
        return joints if self.keypoint_offsets_mm is None else joints + self.keypoint_offsets_mm

    @cached_property
    def bones(self) -> Ints:
        """(20, 2) parent and child of each bone, indices into the keypoints."""
        return _frozen(BONES, np.int32, (20, 2), "bones")

    @cached_property
    def normals(self) -> Floats:
        """(V, 3) unit vertex normals of the bind pose, outward, weighted by the area of the faces."""
        corners = self.rest_mm[self.faces]
        doubled_areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.zeros_like(self.rest_mm)
        for corner in range(3):
            np.add.at(sums, self.faces[:, corner], doubled_areas)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return _frozen(sums / np.where(lengths > 0, lengths, 1), np.float64, sums.shape, "normals")

    @cached_property
    def is_closed(self) -> bool:
        """Whether each edge joins exactly two faces of the same orientation."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        keys = edges[:, 0].astype(np.int64) * len(self.rest_mm) + edges[:, 1]
        twins = edges[:, 1].astype(np.int64) * len(self.rest_mm) + edges[:, 0]
        keys.sort()
        return bool((keys[1:] > keys[:-1]).all()) and np.array_equal(keys, np.sort(twins))

    @cached_property
    def vertex_spacing_mm(self) -> float:
        """Mean distance of neighbouring vertices: the square root of the surface per vertex."""
        a, b, c = (self.rest_mm[self.faces[:, corner]] for corner in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        return float(np.sqrt(area / len(self.rest_mm)))

    def laplacian(self, kind: Literal["uniform", "cotangent"] = "uniform") -> "csr_array":
        """Sparse (V, V) operator L: (L @ vertices)[v] is v minus the weighted mean of its neighbours, in mm.

        kind: equal weights, or the cotangents of the rest mesh (negative ones count as almost 0). Raises RigError.
        """
        from scipy.sparse import coo_array, dia_array

        if kind not in ("uniform", "cotangent"):
            raise RigError(f"the kind of Laplacian must be 'uniform' or 'cotangent', not {kind!r}")
        count = len(self.rest_mm)
        weights = np.zeros(0)
        rows, columns = [], []
        for apex in range(3):
            first, second = self.faces[:, (apex + 1) % 3], self.faces[:, (apex + 2) % 3]
            to_first = self.rest_mm[first] - self.rest_mm[self.faces[:, apex]]
            to_second = self.rest_mm[second] - self.rest_mm[self.faces[:, apex]]
            sine = np.linalg.norm(np.cross(to_first, to_second), axis=1)
            cotangents = np.einsum("ij,ij->i", to_first, to_second) / np.maximum(sine, 1e-12)
            weights = np.concatenate([weights, cotangents, cotangents])
            rows += [first, second]
            columns += [second, first]
        adjacency = coo_array((weights, (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)).tocsr()
        adjacency.data = np.maximum(adjacency.data, 1e-6) if kind == "cotangent" else np.ones_like(adjacency.data)
        sums = adjacency.sum(axis=1)
        scale = np.where(sums > 0, 1 / np.where(sums > 0, sums, 1), 0)
        laplacian: csr_array = (
            dia_array(((sums > 0).astype(float)[None], [0]), shape=(count, count))
            - dia_array((scale[None], [0]), shape=(count, count)) @ adjacency
        ).tocsr()
        return laplacian

    @cached_property
    def proportion_basis(self) -> tuple[Floats, Floats]:
        """Offsets of vertices (S, V, 3) and of bind positions (S, J, 3), mm; see handopt.rig.proportions."""
        return proportion_basis(self.rest_mm, self.skin_indices, self.skin_weights, self.joint_names, self.bind)

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Names of the S coefficients of the hand's shape: its own space's, or handopt's proportions."""
        return PROPORTION_NAMES if self.shape_space is None else self.shape_space.names

    @cached_property
    def shape_basis(self) -> tuple[Floats, Floats]:
        """Offsets of vertices (S, V, 3) and of bind positions (S, J, 3), mm per unit of each coefficient."""
        return self.proportion_basis if self.shape_space is None else self.shape_space.basis

    def shape_values(self, coefficients: ArrayLike) -> dict[str, dict[str, float]]:
        """A hand's shape in the model's own values, for documents: proportions, and also betas or morphs by name.

        coefficients: (S,) as shape_names, or none.
        """
        given = np.asarray(coefficients, np.float64)
        if self.shape_space is None:
            return {"proportions": dict(zip(PROPORTION_NAMES, given.tolist(), strict=len(given) > 0))}
        own = self.shape_space.values(given).tolist() if len(given) else []
        return {"proportions": {}, self.shape_space.kind: dict(zip(self.shape_names, own, strict=len(own) > 0))}

    def mirrored(self) -> "Rig":
        """The same hand on the other side: x -> -x, faces turned over, joint axes conjugated by the mirror.

        Always the same object, whose own mirror image is this one.
        """
        return self._mirror

    @cached_property
    def _mirror(self) -> "Rig":
        bind = self.bind.copy()
        mirror_matrix = np.diag(MIRROR)
        bind[:, :, :3] = mirror_matrix @ bind[:, :, :3] @ mirror_matrix
        bind[:, 0, 3] *= -1
        swap = {"right": "left", "left": "right"}
        name = re.sub("(?<![a-z])(right|left)(?![a-z])", lambda match: swap[match[0]], self.name)
        mirror = replace(
            self,
            name=name,
            side="left" if self.side == "right" else "right",
            rest_mm=self.rest_mm * MIRROR,
            faces=self.faces[:, [0, 2, 1]],
            bind=bind,
            keypoint_offsets_mm=None if self.keypoint_offsets_mm is None else self.keypoint_offsets_mm * MIRROR,
            shape_space=None if self.shape_space is None else self.shape_space.mirrored(),
            pose_correctives=None if self.pose_correctives is None else self.pose_correctives.mirrored(),
        )
        mirror.__dict__["_mirror"] = self
        return mirror

    def _joint_rows(self, names: tuple[str, ...]) -> Ints:
        rows = [self.joint_names.index(name) for name in names]
        return _frozen(rows, np.int32, (len(names),), "joints")


def with_shape(rig: Rig, coefficients: ArrayLike) -> Rig:
    """The rig in another shape. coefficients: (S,) as rig.shape_names. Raises ShapeError and RigError."""
    values = np.asarray(coefficients, np.float64)
    if values.shape != (len(rig.shape_names),) or not np.isfinite(values).all() or np.abs(values).max() >= 1:
        raise ShapeError(
            f"shape: expected {len(rig.shape_names)} numbers between -1 and 1 as {rig.name} has, got {values.tolist()}"
        )
    return _moved(rig, values, rig.shape_basis)


def with_proportions(rig: Rig, coefficients: ArrayLike) -> Rig:
    """The rig with other proportions. coefficients: (S,) as PROPORTION_NAMES. Raises ShapeError and RigError."""
    values = np.asarray(coefficients, np.float64)
    if values.shape != (len(PROPORTION_NAMES),) or not np.isfinite(values).all() or np.abs(values).max() >= 1:
        raise ShapeError(
            f"proportions: expected {len(PROPORTION_NAMES)} numbers between -1 and 1, got {values.tolist()}"
        )
    return _moved(rig, values, rig.proportion_basis)


def _moved(rig: Rig, values: Floats, basis: tuple[Floats, Floats]) -> Rig:
    vertices, joints = basis
    bind = rig.bind.copy()
    bind[:, :, 3] += np.tensordot(values, joints, 1)
    return replace(rig, rest_mm=rig.rest_mm + np.tensordot(values, vertices, 1), bind=bind)


def _frozen(values: ArrayLike, dtype: Any, shape: tuple[int | None, ...], name: str) -> NDArray[Any]:
    """A read-only contiguous copy of the right type. Raises RigError unless the shape fits (None fits any length)."""
    array = np.array(values, dtype=dtype, order="C")
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        raise RigError(f"{name} has shape {array.shape}, expected {shape}")
    array.flags.writeable = False
    return array
