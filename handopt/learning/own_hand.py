"""The hand of the person before the camera: one shape that all frames share (paper, Eq. 8)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from handopt.errors import RigError
from handopt.learning.adapt_settings import WITH_PROPORTIONS, AdaptSettings
from handopt.learning.skeleton import Skeleton
from handopt.rig import Rig, default_rig, with_proportions
from handopt.torch import HandLayer
from handopt.torch.hand_layer import HandOutput
from handopt.torch.kinematics import forward_kinematics
from handopt.torch.skinning import skin, skin_normals
from handopt.typing import Floats

LARGEST_PROPORTION = 0.3
"""Beyond this no proportion of a hand goes."""


class OwnHand(nn.Module):  # type: ignore[misc]  # PyTorch is not followed
    """Size, proportions and rest vertices of a right hand, of which the shape says what is free.

    A gradient by the rest vertices sums over all images of a batch (paper, Eq. 8).
    """

    def __init__(self, shape: str, scale: float = 1.0, proportions: Floats | None = None) -> None:
        """shape: see SHAPES. scale, proportions: what to begin with."""
        super().__init__()
        self.layer = HandLayer("right", "euler")
        self.shape = shape
        begin = np.zeros(len(self.layer.shape_names)) if proportions is None else proportions
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(scale))), requires_grad=shape != "none")
        self.proportions = nn.Parameter(
            torch.tensor(begin, dtype=torch.float32), requires_grad=shape in WITH_PROPORTIONS
        )
        self.offsets = nn.Parameter(torch.zeros_like(self.layer.rest), requires_grad=shape == "vertices")

    def groups(self, settings: AdaptSettings) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser for what is free."""
        rates = (
            (self.log_scale, settings.shape_rate),
            (self.proportions, settings.shape_rate),
            (self.offsets, settings.rest_rate),
        )
        return [{"params": [each], "lr": rate, "weight_decay": 0.0} for each, rate in rates if each.requires_grad]

    def forward(self, rotation: Tensor, angles: Tensor, translation: Tensor, log_scale: Tensor) -> HandOutput:
        """Pose the hand. rotation: (B, 3, 3), angles: (B, 15, 3), translation: (B, 3) mm, all in the camera's frame;

        log_scale: (B,) as the network says, which counts where the size is not free.
        """
        layer, count = self.layer, len(angles)
        scale = log_scale.exp() if self.shape == "none" else self.log_scale.exp().expand(count).contiguous()
        moved = (self.proportions @ layer.shape_basis).unflatten(-1, (-1, 3))
        vertices = len(layer.rest)
        base = layer.rest + moved[:vertices]
        places = (layer.bind[..., 3] + moved[vertices:])[..., None]
        bind = torch.cat([layer.bind[..., :3], places], dim=-1)
        transforms = forward_kinematics(
            angles.contiguous(), rotation.contiguous(), translation.contiguous(), scale, layer.parents,
            layer.articulated, bind, layer.side
        )  # fmt: skip
        rest = base + self.offsets
        keypoints = bind[layer.keypoint_joints[:, 0].long(), :, 3] + layer.keypoint_offsets
        bending = layer.bending(rest, base)[None] if self.offsets.requires_grad else None
        return HandOutput(
            skin(transforms, rest, layer.indices, layer.weights),
            skin(transforms, keypoints, layer.keypoint_joints, layer.ones),
            skin_normals(transforms, layer.rest_normals, layer.indices, layer.weights),
            transforms,
            angles,
            scale,
            self.proportions.expand(count, -1),
            bending,
        )

    def clamp(self) -> None:
        """Keep proportions within what a hand has."""
        with torch.no_grad():
            self.proportions.clamp_(-LARGEST_PROPORTION, LARGEST_PROPORTION)
            self.log_scale.clamp_(-0.5, 0.5)

    def rig(self, side: str) -> Rig:
        """The hand as a rig in its true size, at rest. Raises RigError where its surface is no number."""
        from dataclasses import replace

        rig = with_proportions(default_rig("right"), self.proportions.detach().numpy().astype(np.float64))
        scale, offsets = float(self.log_scale.detach().exp()), self.offsets.detach().numpy().astype(np.float64)
        if not (np.isfinite(offsets).all() and np.isfinite(scale)):
            raise RigError("the hand's own shape is not finite")
        bind = rig.bind.copy()
        bind[:, :, 3] *= scale
        own = replace(rig, rest_mm=(rig.rest_mm + offsets) * scale, bind=bind)
        return own if side == "right" else own.mirrored()


def in_camera(skeleton: Skeleton, heads: Tensor, view: Tensor, distance: Tensor) -> tuple[Tensor, ...]:
    """Rotation, angles, wrist and log scale of the likeliest of the heads (B, K, n), in the camera's frame.

    view: (B, 3, 3) from the camera to the view; distance: (B,) mm of its centre
    """
    likeliest = heads[torch.arange(len(heads), device=heads.device), heads[..., -1].argmax(1)]
    rotation, angles, wrist, log_scale, _ = skeleton.unpack(likeliest)
    ahead = torch.zeros_like(wrist)
    ahead[:, 2] = distance
    back = view.transpose(1, 2)
    return back @ rotation, angles, ((wrist + ahead)[:, None] @ view)[:, 0], log_scale
