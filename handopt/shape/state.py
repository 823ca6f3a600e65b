"""The shape that is sought: scale, proportions and offsets of one right hand, as arrays to compare with images."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.backend import Device, namespace_of, to_device, to_numpy
from handopt.hand_model import Hand, Pose
from handopt.objective.pose_parameters import PoseParameters
from handopt.rig import Rig
from handopt.shape.bone_lengths import shape_basis
from handopt.shape.joint_regression import JointRegressor, joint_regressor
from handopt.shape.mesh_validity import MeshValidity
from handopt.typing import Floats, Indices

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WRIST: Final = 0


@dataclass(frozen=True)
class HandShape:
    """A person's hand as a change of a generic one.

    scale: of the whole; proportions: (S,), as handopt.shape.bone_lengths.SHAPE_NAMES; offsets_mm: (V, 3) of the rest
    vertices, before the scale, added to what the proportions make of them.
    """

    scale: float
    proportions: Floats
    offsets_mm: Floats

    def rig(self, template: "Template", name: str) -> Rig:
        """The personal rig in real size; its joints follow the offsets."""
        bind = template.rig.bind.copy()
        bind[:, :, 3] += np.tensordot(self.proportions, template.joint_basis, 1)
        wrist = bind[WRIST, :, 3].copy()
        bind[:, :, 3] += template.regressor.shifts(self.offsets_mm)
        rest = template.rig.rest_mm + np.tensordot(self.proportions, template.vertex_basis, 1) + self.offsets_mm
        bind[:, :, 3] = wrist + self.scale * (bind[:, :, 3] - wrist)
        moved = template.rig.pose_correctives
        return replace(
            template.rig,
            name=name,
            rest_mm=wrist + self.scale * (rest - wrist),
            bind=bind,
            shape_space=None,
            pose_correctives=moved and moved.scaled(self.scale),
        )


@dataclass(frozen=True)
class Template:
    """A generic right hand, and the finer mesh that images are compared with.

    vertex_basis: (S, V, 3), joint_basis: (S, J, 3) mm, see handopt.shape.bone_lengths
    regressor: see handopt.shape.joint_regression
    edges: (E, 2) of the mesh; the finer mesh has one more vertex in the middle of each edge.
    """

    rig: Rig
    device: Device
    dtype: type
    vertex_basis: Floats = field(repr=False)
    joint_basis: Floats = field(repr=False)
    regressor: JointRegressor = field(repr=False)
    edges: Indices = field(repr=False)

    @classmethod
    def of(cls, rig: Rig, device: Device, dtype: type = np.float32) -> "Template":
        """Prepare a right-hand rig."""
        pairs = np.sort(np.concatenate([rig.faces[:, [0, 1]], rig.faces[:, [1, 2]], rig.faces[:, [2, 0]]]), axis=1)
        return cls(
            rig, device, dtype, *shape_basis(rig), joint_regressor(rig), np.unique(pairs, axis=0).astype(np.int64)
        )

    @cached_property
    def parameters(self) -> PoseParameters:
        """How poses of this hand move."""
        return PoseParameters(Hand.of(self.rig, self.device, self.dtype))

    def valid(self, shape: HandShape) -> HandShape:
        """The shape with as much of its offsets as leaves a valid mesh of its proportions."""
        shaped = self.rig.rest_mm + np.tensordot(shape.proportions, self.vertex_basis, 1)
        validity = MeshValidity(shaped, self.rig.faces.astype(np.int64))
        return replace(shape, offsets_mm=validity.feasible_step(np.zeros_like(shaped), shape.offsets_mm))

    def fine(self, values: Floats) -> Floats:
        """Values (..., V, n) at the vertices, and behind them the mean of each edge's ends."""
        middles = (values[..., self.edges[:, 0], :] + values[..., self.edges[:, 1], :]) / 2
        return np.concatenate([values, middles], axis=-2)

    def gathered(self, gradients: Floats) -> Floats:
        """The transpose of fine: gradients (N, V + E, n) by the finer mesh' vertices as those by the own (N, V, n)."""
        number, fine, width = gradients.shape
        columns = gradients.transpose(1, 0, 2).reshape(fine, number * width)
        own: Floats = self._ends @ columns
        return own.reshape(-1, number, width).transpose(1, 0, 2)

    @cached_property
    def _ends(self) -> "csr_array":
        """(V, V + E): each vertex' share of the finer mesh' vertices."""
        from scipy.sparse import csr_array

        count, middles = len(self.rig.rest_mm), len(self.rig.rest_mm) + np.arange(len(self.edges))
        rows = np.concatenate([np.arange(count), *self.edges.T])
        columns = np.concatenate([np.arange(count), middles, middles])
        values = np.concatenate([np.ones(count), np.full(2 * len(self.edges), 0.5)])
        return csr_array((values, (rows, columns)), shape=(count, count + len(self.edges)))

    def hand(self, offsets_mm: Floats) -> Hand:
        """The finer hand with offsets; its proportions are still the poses' own."""
        rest = self.rig.rest_mm + offsets_mm
        bind = self.rig.bind.copy()
        bind[:, :, 3] += self.regressor.shifts(offsets_mm)
        rig = replace(self.rig, rest_mm=rest, bind=bind)
        coarse = Hand.of(rig, self.device, self.dtype)
        normals = self.fine(rig.normals)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        indices, weights = self._skin
        dtype = coarse.rest.dtype
        return replace(
            coarse,
            rest=to_device(self.fine(rest), self.device, dtype),
            normals=to_device(normals, self.device, dtype),
            indices=to_device(indices, self.device, np.int32),
            weights=to_device(weights, self.device, dtype),
            vertex_basis=to_device(self.fine(self.vertex_basis), self.device, dtype),
            joint_basis=to_device(self.joint_basis, self.device, dtype),
            vertex_correctives=coarse.vertex_correctives
            if rig.pose_correctives is None
            else to_device(self.fine(rig.pose_correctives.vertices), self.device, dtype),
            faces=coarse.faces[:0],
        )

    @cached_property
    def _skin(self) -> tuple[Indices, Floats]:
        """Joints and weights (V + E, K) of the finer mesh, descending: those of each end by half."""
        count = len(self.rig.rest_mm)
        whole = np.zeros((count, len(self.rig.joint_names)))
        np.add.at(whole, (np.arange(count)[:, None], self.rig.skin_indices), self.rig.skin_weights)
        whole = self.fine(whole)
        most = int((whole > 0).sum(axis=1).max())
        order = np.argsort(-whole, axis=1, kind="stable")[:, :most]
        return order, np.take_along_axis(whole, order, axis=1)


@dataclass(frozen=True, eq=False)
class PosedShape:
    """Poses of B images, and the shape that they share: the poses have its scale and proportions."""

    pose: Pose
    shape: HandShape

    @classmethod
    def of(cls, pose: Pose, shape: HandShape) -> "PosedShape":
        """Give poses the scale and proportions of a shape."""
        xp, dtype = namespace_of(pose.scale), pose.scale.dtype
        scale = xp.full(len(pose), shape.scale, dtype)
        proportions = xp.asarray(np.tile(shape.proportions, (len(pose), 1)), dtype=dtype)
        return cls.at(replace(pose, scale=scale, proportions=proportions), shape)

    @classmethod
    def at(cls, pose: Pose, shape: HandShape) -> "PosedShape":
        """Give a shape the scale and proportions of poses, which are the same in all of them."""
        scale, proportions = to_numpy(pose.scale), to_numpy(pose.proportions)
        return cls(pose, replace(shape, scale=float(scale[0]), proportions=proportions[0].astype(np.float64)))
