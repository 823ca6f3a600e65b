"""handopt's ops, its hand and its loss for PyTorch (the extra `torch`).

>>> from handopt.torch import DepthTarget, HandLayer, SelfSupervisedLoss
>>> layer, loss = HandLayer("right"), SelfSupervisedLoss()
>>> target = DepthTarget.of([depth_mm], camera)
>>> loss(layer(pose, translation), target).sum().backward()

Importing this room imports PyTorch; where that is missing it raises ImportError with the command that installs it.
"""

from importlib.util import find_spec

if (_found := find_spec("torch")) is None or _found.origin is None:
    raise ImportError("handopt.torch needs PyTorch, which is not installed: pip install 'handopt[torch]'")

from handopt.torch.depth_target import DepthTarget
from handopt.torch.hand_layer import HandLayer, HandOutput
from handopt.torch.image_ops import depth_loss, project, rasterise, render_depth, silhouette_loss, splat_loss
from handopt.torch.joint_ops import collision, joint_limits
from handopt.torch.kinematics import forward_kinematics
from handopt.torch.point_ops import closest_points
from handopt.torch.rotations import axis_angle_to_matrix, six_numbers_to_matrix
from handopt.torch.self_supervised_loss import SelfSupervisedLoss
from handopt.torch.skinning import skin, skin_normals

__all__ = [
    "DepthTarget",
    "HandLayer",
    "HandOutput",
    "SelfSupervisedLoss",
    "axis_angle_to_matrix",
    "closest_points",
    "collision",
    "depth_loss",
    "forward_kinematics",
    "joint_limits",
    "project",
    "rasterise",
    "render_depth",
    "silhouette_loss",
    "six_numbers_to_matrix",
    "skin",
    "skin_normals",
    "splat_loss",
]
