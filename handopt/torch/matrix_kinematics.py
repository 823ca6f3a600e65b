"""Forward kinematics from rotations of the joints, in PyTorch's own ops: five fingers of three turns each."""

import torch

from handopt.torch.arrays import Tensor

FINGERS, TURNS = 5, 3


def matrix_kinematics(
    turns: Tensor,
    rotation: Tensor,
    translation: Tensor,
    scale: Tensor,
    articulated: Tensor,
    last_turned: Tensor,
    bind: Tensor,
) -> Tensor:
    """Joint transforms (B, J, 3, 4) mm, as forward_kinematics gives them for angles.

    turns: (B, 15, 3, 3) of each articulated joint against its parent, in the rig's axes; rotation: (B, 3, 3)
    translation: (B, 3) mm; scale: (B,); articulated: (15,) joint of each row; last_turned: (J,) the last row, from 1,
    that moves each joint, 0 for none; bind: (J, 3, 4) or (B, J, 3, 4) mm

    A joint turns about its bind position c: G = G_parent o [Q | c - Q c]; M p = scale R (G p - wrist) + t.
    """
    count = len(turns)
    centres = bind[..., articulated.long(), :, 3:]
    offsets = (centres - turns @ centres).unflatten(1, (FINGERS, TURNS))
    turned = turns.unflatten(1, (FINGERS, TURNS))
    linear, place = turned[:, :, 0], offsets[:, :, 0]
    chain = [(linear, place)]
    for turn in range(1, TURNS):
        place = linear @ offsets[:, :, turn] + place
        linear = linear @ turned[:, :, turn]
        chain.append((linear, place))
    unmoved = torch.eye(3, dtype=turns.dtype, device=turns.device).expand(count, 1, 3, 3)
    linear = torch.cat([unmoved, torch.stack([each for each, _ in chain], dim=2).flatten(1, 2)], dim=1)
    place = torch.cat([0 * unmoved[..., :1], torch.stack([each for _, each in chain], dim=2).flatten(1, 2)], dim=1)
    to_camera = scale[:, None, None, None] * rotation[:, None]
    wrist = bind[..., :1, :, 3:]
    moved = torch.cat([to_camera @ linear, to_camera @ (place - wrist) + translation[:, None, :, None]], dim=3)
    return moved[:, last_turned.long()]
