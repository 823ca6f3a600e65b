"""A rig's arrays on the device that computes with them, and poses of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from handopt.backend import Array, Device, namespace, namespace_of, to_device, to_numpy
from handopt.ops.kinematics import forward_kinematics, forward_kinematics_backward
from handopt.ops.normal_equations import angle_ancestry, angle_columns
from handopt.ops.rotation_features import rotation_features, rotation_features_backward
from handopt.ops.skinning import blend_shapes, skin, skin_backward, skin_backward_by_image, skin_normals
from handopt.rig import Rig
from handopt.typing import Floats

MIN_SCALE, MAX_SCALE = 0.6, 1.6  # of a hand, relative to the rig; wider than people are, chosen by hand
MAX_PROPORTION = 0.5  # of the absolute value of each proportion, a relative length; chosen by hand


@dataclass
class Pose:
    """B poses of a hand, and the image that each one is fitted to.

    angles: (B, 15, 3) rad; rotation: (B, 3, 3) rig -> camera; translation: (B, 3) mm; scale: (B,); image: (B,) int32
    proportions: (B, S) as in rig.shape_names, or (B, 0) where they are the rig's own
    """

    angles: Array
    rotation: Array
    translation: Array
    scale: Array
    image: Array
    proportions: Array

    def __len__(self) -> int:
        return len(self.scale)

    def select(self, rows: Array) -> "Pose":
        """The poses in the given rows, as copies."""
        return Pose(*(getattr(self, f.name)[rows].copy() for f in fields(self)))

    def part(self, rows: slice) -> "Pose":
        """The poses in the given rows, which share their memory."""
        return Pose(*(getattr(self, f.name)[rows] for f in fields(self)))

    def joined(self, other: "Pose") -> "Pose":
        """These poses, then the others."""
        return Pose.all_of([self, other])

    @classmethod
    def all_of(cls, poses: "Sequence[Pose]") -> "Pose":
        """Some poses, then others."""
        xp = namespace_of(poses[0].scale)
        return cls(*(xp.concatenate([getattr(pose, f.name) for pose in poses]) for f in fields(cls)))

    def copy(self) -> "Pose":
        """A deep copy."""
        return Pose(*(getattr(self, f.name).copy() for f in fields(self)))


@dataclass(frozen=True)
class Hand:
    """A right hand's arrays on a device; left hands are fitted as mirror images.

    rest: (V, 3) mm; normals: (V, 3); indices, weights: (V, 4); parents: (J,); articulated: (15,); bind: (J, 3, 4)
    keypoints: (21, 3) mm; keypoint_joints: (21, 1) and ones: (21, 1), with which skin moves the keypoints
    bones: (20, 2); lower, upper: (15, 3) rad; free: (15, 3), 1 where an angle may move and 0 where it is frozen
    faces: (F, 3) int32, none where only some vertices are kept
    ancestry: (J, D) and columns: (15, 3), as in handopt.ops.normal_equations
    vertex_basis: (S, V, 3) and joint_basis: (S, J, 3) mm, how rest vertices and joints move with the proportions
    vertex_correctives: (135, V, 3) and keypoint_correctives: (135, 21, 3) mm, how rest vertices and keypoints move with
    the features of a pose (handopt.ops.rotation_features); (0, ...) where the rig has no pose correctives
    """

    device: Device
    rest: Array
    normals: Array
    indices: Array
    weights: Array
    parents: Array
    articulated: Array
    bind: Array
    keypoints: Array
    keypoint_joints: Array
    ones: Array
    bones: Array
    faces: Array
    lower: Array
    upper: Array
    free: Array
    ancestry: Array
    columns: Array
    vertex_basis: Array
    joint_basis: Array
    vertex_correctives: Array
    keypoint_correctives: Array

    @classmethod
    def of(cls, rig: Rig, device: Device, dtype: type = np.float32) -> "Hand":
        """Copy a right-hand rig to a device."""
        vertex_basis, joint_basis = rig.shape_basis
        real = {
            "rest": rig.rest_mm,
            "normals": rig.normals,
            "weights": rig.skin_weights,
            "bind": rig.bind,
            "keypoints": rig.keypoints_mm,
            "ones": np.ones((len(rig.keypoint_joints), 1)),
            "lower": rig.limits.lower,
            "upper": rig.limits.upper,
            "free": rig.limits.free,
            "vertex_basis": vertex_basis,
            "joint_basis": joint_basis,
        }
        moved = rig.pose_correctives
        real["vertex_correctives"] = np.zeros((0, len(rig.rest_mm), 3)) if moved is None else moved.vertices
        real["keypoint_correctives"] = (
            np.zeros((0, len(rig.keypoint_joints), 3)) if moved is None else moved.joints[:, rig.keypoint_joints]
        )
        whole = {
            "indices": rig.skin_indices,
            "parents": rig.parents,
            "articulated": rig.articulated,
            "keypoint_joints": rig.keypoint_joints[:, None],
            "bones": rig.bones,
            "faces": rig.faces,
            "ancestry": angle_ancestry(rig.parents, rig.articulated),
            "columns": angle_columns(rig.limits.free),
        }
        return cls(
            device=device,
            **{name: to_device(values, device, dtype) for name, values in real.items()},
            **{name: to_device(values, device, np.int32) for name, values in whole.items()},
        )

    def bind_of(self, pose: Pose) -> Array:
        """Bind matrices (J, 3, 4), or (B, J, 3, 4) where the poses have proportions of their own."""
        if pose.proportions.shape[1] == 0:
            return self.bind
        xp = namespace(self.device)
        bind = xp.repeat(self.bind[None], len(pose), axis=0)
        bind[..., 3] = blend_shapes(xp.ascontiguousarray(self.bind[..., 3]), self.joint_basis, pose.proportions)
        return bind

    def rest_of(self, pose: Pose) -> Array:
        """Rest vertices (V, 3) mm, or (B, V, 3) where they depend on the poses: on proportions or by correctives."""
        return self._corrected(self.shaped_rest_of(pose), self.vertex_correctives, pose)

    def keypoints_of(self, pose: Pose, bind: Array | None = None) -> Array:
        """Keypoints of the bind pose (21, 3) mm, or (B, 21, 3) where they depend on the poses, as in rest_of.

        bind: what bind_of gives for these poses, where it is known already
        """
        return self._corrected(self.shaped_keypoints_of(pose, bind), self.keypoint_correctives, pose)

    @property
    def has_correctives(self) -> bool:
        """Whether the rest mesh changes with the pose."""
        return len(self.vertex_correctives) > 0

    def _corrected(self, points: Array, basis: Array, pose: Pose) -> Array:
        """Points (N, 3) or (B, N, 3) mm with what pose correctives (135, N, 3) add to them."""
        if not self.has_correctives:
            return points
        nothing = namespace(self.device).zeros(basis.shape[1:], basis.dtype)
        return points + blend_shapes(nothing, basis, rotation_features(pose.angles))

    def shaped_rest_of(self, pose: Pose) -> Array:
        """Rest vertices (V, 3) or (B, V, 3) mm in the poses' proportions, without pose correctives."""
        if pose.proportions.shape[1] == 0:
            return self.rest
        return blend_shapes(self.rest, self.vertex_basis, pose.proportions)

    def shaped_keypoints_of(self, pose: Pose, bind: Array | None = None) -> Array:
        """Keypoints (21, 3) or (B, 21, 3) mm in the poses' proportions, without pose correctives."""
        if pose.proportions.shape[1] == 0:
            return self.keypoints
        bind = self.bind_of(pose) if bind is None else bind
        joints = self.keypoint_joints[:, 0]
        offsets = self.keypoints - self.bind[joints, :, 3]
        return namespace(self.device).ascontiguousarray(bind[..., 3][:, joints]) + offsets

    def transforms(self, pose: Pose, bind: Array | None = None) -> Array:
        """Joint transforms (B, J, 3, 4). bind: what bind_of gives for these poses, where it is known already."""
        bind = self.bind_of(pose) if bind is None else bind
        return forward_kinematics(
            pose.angles, pose.rotation, pose.translation, pose.scale, self.parents, self.articulated, bind
        )

    def transforms_backward(self, grad_transforms: Array, pose: Pose) -> tuple[Array, Array, Array, Array]:
        """Gradients of angles, rotation (tangent), translation and scale."""
        return forward_kinematics_backward(
            grad_transforms, pose.angles, pose.rotation, pose.translation, pose.scale, self.parents, self.articulated,
            self.bind_of(pose),
        )  # fmt: skip

    def moves_like(self, other: "Hand") -> bool:
        """Whether all is the same but the rest mesh: rest, bind and keypoints. By the arrays themselves."""
        its_own = {"device", "rest", "bind", "keypoints"}
        return all(
            getattr(self, each.name) is getattr(other, each.name) for each in fields(self) if each.name not in its_own
        )

    def vertices(self, transforms: Array, rest: Array | None = None) -> Array:
        """Posed vertices (B, V, 3) mm. rest: (V, 3) or (B, V, 3) mm, the rig's own if None."""
        return skin(transforms, self.rest if rest is None else rest, self.indices, self.weights)

    def vertices_backward(
        self, grad_vertices: Array, transforms: Array, rest: Array, *, rest_gradient: bool
    ) -> tuple[Array, Array | None]:
        """Gradients of the transforms (B, J, 3, 4) and, if asked for, of rest vertices (V, 3) that all images share."""
        return skin_backward(grad_vertices, transforms, rest, self.indices, self.weights, rest_gradient=rest_gradient)

    def correctives_backward(
        self, grad_vertices: Array, grad_joints: Array, transforms: Array, rest: Array, keypoints: Array, pose: Pose
    ) -> Array:
        """What pose correctives add to the gradient of the angles (B, 15, 3). rest, keypoints: (B, N, 3) mm of each."""
        xp = namespace(self.device)
        parts = (
            (grad_vertices, rest, self.indices, self.weights, self.vertex_correctives),
            (grad_joints, keypoints, self.keypoint_joints, self.ones, self.keypoint_correctives),
        )
        grad_features = xp.zeros((len(pose), 9 * pose.angles.shape[1]), self.rest.dtype)
        for grad_posed, points, indices, weights, basis in parts:
            grad_points = skin_backward_by_image(grad_posed, transforms, points, indices, weights)[1]
            grad_features += xp.einsum("fnc,bnc->bf", basis, grad_points)
        return rotation_features_backward(grad_features, pose.angles)

    def vertex_normals(self, transforms: Array) -> Array:
        """Normals of the posed vertices (B, V, 3)."""
        return skin_normals(transforms, self.normals, self.indices, self.weights)

    def joints(self, transforms: Array, keypoints: Array | None = None) -> Array:
        """The 21 keypoints (B, 21, 3) mm. keypoints: as keypoints_of gives them, the rig's own if None."""
        return skin(transforms, self.keypoints if keypoints is None else keypoints, self.keypoint_joints, self.ones)

    def joints_backward(self, grad_joints: Array, transforms: Array, keypoints: Array) -> Array:
        """Gradient of the transforms (B, J, 3, 4)."""
        return skin_backward(grad_joints, transforms, keypoints, self.keypoint_joints, self.ones, rest_gradient=False)[
            0
        ]

    def subdivided(self, times: int) -> "Hand":
        """The same hand with each face split into four, `times` times: a vertex in the middle of each edge.

        The hand's own vertices come first; a new one has the mean of its edge's ends in everything.
        """
        if times == 0:
            return self
        faces = to_numpy(self.faces).astype(np.int64)
        count = len(self.rest)
        ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        edges, numbers = np.unique(ends, axis=0, return_inverse=True)
        ab, bc, ca = count + numbers.reshape(3, -1)
        a, b, c = faces.T
        split = np.concatenate(
            [np.stack(corners, 1) for corners in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        )

        def finer(values: Floats) -> Floats:
            middles = (values[..., edges[:, 0], :] + values[..., edges[:, 1], :]) / 2
            return np.concatenate([values, middles], axis=-2)

        normals = finer(to_numpy(self.normals).astype(np.float64))
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        shares = np.zeros((count, len(self.parents)))
        np.add.at(shares, (np.arange(count)[:, None], to_numpy(self.indices)), to_numpy(self.weights))
        shares = finer(shares)
        order = np.argsort(-shares, axis=1, kind="stable")[:, : int((shares > 0).sum(axis=1).max())]
        real = {
            "rest": finer(to_numpy(self.rest)),
            "normals": normals,
            "weights": np.take_along_axis(shares, order, axis=1),
            "vertex_basis": finer(to_numpy(self.vertex_basis)),
        }
        if self.has_correctives:
            real["vertex_correctives"] = finer(to_numpy(self.vertex_correctives))
        whole = {"indices": order, "faces": split}
        finer_hand = replace(
            self,
            **{name: to_device(values, self.device, self.rest.dtype) for name, values in real.items()},
            **{name: to_device(values, self.device, np.int32) for name, values in whole.items()},
        )
        return finer_hand.subdivided(times - 1)

    def coarse(self, count: int) -> "Hand":
        """The same hand with `count` of its vertices, spread evenly over the rest mesh by farthest-point sampling."""
        rest = to_numpy(self.rest).astype(np.float64)
        kept = to_device(_spread(rest.tobytes(), min(count, len(rest))), self.device, np.int64)
        names = ("rest", "normals", "indices", "weights")
        basis = namespace(self.device).ascontiguousarray(self.vertex_basis[:, kept])
        kept_arrays = {name: getattr(self, name)[kept].copy() for name in names}
        if self.has_correctives:
            kept_arrays["vertex_correctives"] = namespace(self.device).ascontiguousarray(
                self.vertex_correctives[:, kept]
            )
        return replace(self, **kept_arrays, vertex_basis=basis, faces=self.faces[:0])


@lru_cache(maxsize=16)
def _spread(points: bytes, count: int) -> tuple[int, ...]:
    """The rows of `count` points, spread evenly over all (V, 3), float64 in bytes; every image asks for the same."""
    x, y, z = np.ascontiguousarray(np.frombuffer(points).reshape(-1, 3).T)
    rows = [int(np.argmax(z))]
    distance = np.full(len(z), np.inf)
    while len(rows) < count:
        last = rows[-1]
        distance = np.minimum(distance, (x - x[last]) ** 2 + (y - y[last]) ** 2 + (z - z[last]) ** 2)
        rows.append(int(np.argmax(distance)))
    return tuple(sorted(rows))


def exponential(tangent: Array) -> Array:
    """Rotations exp([w]x) of tangents w (B, 3), as (B, 3, 3) (Rodrigues' formula)."""
    xp = namespace_of(tangent)
    angle = xp.linalg.norm(tangent, axis=1)[:, None, None]
    safe = xp.maximum(angle, 1e-12)
    x, y, z = tangent[:, 0], tangent[:, 1], tangent[:, 2]
    zero = xp.zeros_like(x)
    cross = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    first = xp.sin(safe) / safe
    second = 2 * (xp.sin(safe / 2) / safe) ** 2
    return xp.eye(3, dtype=tangent.dtype) + first * cross + second * (cross @ cross)
