"""A model of MANO as a skinned mesh with handopt's joints: the five tips join MANO's sixteen joints as vertices."""

import re
from pathlib import Path

import numpy as np

from handopt.rig.gltf import SkinnedMesh
from handopt.rig.joints import ANGLE_JOINTS, JOINT_TABLE
from handopt.rig.mano_file import JOINTS, MANO_TIPS, ManoModel, read_mano, with_sign_of_left
from handopt.rig.pose_correctives import PoseCorrectives
from handopt.rig.shape_space import ShapeSpace
from handopt.typing import Side

MANO_JOINT_NAMES = tuple(
    joint.webxr
    for joint in sorted((each for each in JOINT_TABLE if each.mano is not None), key=lambda each: each.mano or 0)
)
"""Canonical names of MANO's 16 joints in its order, then of the tips, thumb to little finger."""


def read_mano_mesh(path: Path, side: Side | None) -> tuple[SkinnedMesh, tuple[str, ...]]:
    """Read MANO's hand, or the one of a body, as a skinned mesh in metres, and what reading says. Raises RigError."""
    model = read_hand_model(path, side)
    return skinned_mesh(model), model.notes


def read_hand_model(path: Path, side: Side | None = None) -> ManoModel:
    """Read MANO's hand, or the one of a body, with the sign of a released left model corrected. Raises RigError."""
    model = read_mano(path, side)
    if model.tips == MANO_TIPS and (side or side_of(model)) == "left":
        model = with_sign_of_left(model, _right_beside(path))
    return model


def skinned_mesh(model: ManoModel) -> SkinnedMesh:
    """A model's arrays as those of a file: positions in metres, joints named, betas as its shape space."""
    joints = np.concatenate([model.joints, model.tip_positions])
    inverse_binds = np.tile(np.eye(4), (len(joints), 1, 1))
    inverse_binds[:, :3, 3] = -joints
    count = model.shapedirs.shape[2]
    moved = np.concatenate([model.joint_shapedirs, model.shapedirs[list(model.tips)]])
    return SkinnedMesh(
        positions=model.template,
        faces=model.faces.astype(np.int64),
        joints=np.tile(np.arange(model.weights.shape[1]), (len(model.template), 1)),
        weights=model.weights,
        joint_names=MANO_JOINT_NAMES,
        inverse_binds=inverse_binds,
        mesh_name=f"{model.name} {side_of(model)}",
        copyright="",
        extras={},
        confidence=None,
        shape_space=ShapeSpace(
            "betas",
            tuple(f"beta_{number}" for number in range(count)),
            model.shapedirs.transpose(2, 0, 1),
            moved.transpose(2, 0, 1),
            np.ones(count),
        ),
        pose_correctives=_pose_correctives(model),
    )


def _pose_correctives(model: ManoModel) -> PoseCorrectives:
    """The model's posedirs in the order of the rows of angles; tips move with their vertices."""
    order = [MANO_JOINT_NAMES.index(name) - 1 for name in ANGLE_JOINTS]
    by_joint = model.posedirs.reshape(-1, 3, JOINTS - 1, 9)[:, :, order].reshape(-1, 3, 9 * len(order))
    vertices = by_joint.transpose(2, 0, 1)
    joints = np.concatenate([np.zeros((len(vertices), JOINTS, 3)), vertices[:, list(model.tips)]], axis=1)
    return PoseCorrectives(vertices, joints)


def side_of(model: ManoModel) -> Side:
    """The side of a model: a hand's fingers point to -x on the right and to +x on the left, as in MANO's own files."""
    forward = model.tip_positions.mean(axis=0) - model.joints[0]
    return "right" if forward[0] < 0 else "left"


def named_for(path: Path, side: Side) -> Path:
    """The path with the other side's name in it turned into a side's, such as MANO_LEFT.pkl of MANO_RIGHT.pkl."""
    other = "left" if side == "right" else "right"
    name = re.sub(other, lambda match: side.upper() if match[0].isupper() else side, path.name, flags=re.IGNORECASE)
    return path.with_name(name)


def _right_beside(path: Path) -> ManoModel | None:
    """The right model that lies beside a left one under its name, if it can be read."""
    from handopt.errors import RigError

    right = named_for(path, "right")
    if right == path or not right.is_file():
        return None
    try:
        return read_mano(right)
    except RigError:
        return None
