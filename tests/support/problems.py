"""The problems of all ops by name."""

from collections.abc import Callable
from functools import partial

from support.op_check import Problem
from support.problems_hand import (
    blend_shapes_problem,
    collision_problem,
    kinematics_problem,
    limits_problem,
    skin_normals_problem,
    skin_problem,
)
from support.problems_image import (
    closest_problem,
    depth_loss_problem,
    depth_term_problem,
    project_problem,
    rasterise_faces_problem,
    rasterise_problem,
    render_problem,
    silhouette_problem,
)
from support.problems_iteration import ITERATION_PROBLEMS
from support.problems_newton import NEWTON_PROBLEMS

PROBLEMS: dict[str, Callable[..., Problem]] = {
    "forward_kinematics": kinematics_problem,
    "forward_kinematics, own bind": partial(kinematics_problem, own_bind=True),
    "skin": skin_problem,
    "skin, own rest": partial(skin_problem, own_rest=True),
    "blend_shapes": blend_shapes_problem,
    "skin_normals": skin_normals_problem,
    "project": project_problem,
    "render_depth": render_problem,
    "depth_loss": depth_loss_problem,
    "depth_term": depth_term_problem,
    "silhouette_loss": silhouette_problem,
    "closest_points": closest_problem,
    "collision": collision_problem,
    "joint_limits": limits_problem,
    "rasterise": rasterise_problem,
    "rasterise_faces": rasterise_faces_problem,
    **NEWTON_PROBLEMS,
    **ITERATION_PROBLEMS,
}
