"""A random problem for every op: its inputs, how to call it, and where its kinks are."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.backend import namespace_of
from handopt.ops.closest_points import closest_points, closest_points_backward
from handopt.ops.collision import collision, collision_backward
from handopt.ops.image_losses import depth_loss, depth_loss_backward, silhouette_loss, silhouette_loss_backward
from handopt.ops.joint_limits import joint_limits, joint_limits_backward
from handopt.ops.kinematics import forward_kinematics, forward_kinematics_backward
from handopt.ops.projection import project, project_backward
from handopt.ops.rasterise import rasterise, rasterise_faces
from handopt.ops.skinning import blend_shapes, skin, skin_backward, skin_normals
from handopt.ops.splat import render_depth, render_depth_backward
from handopt.ops.splat_loss import splat_loss
from support import reference
from support.op_check import Arrays, Floats, Problem

RADIUS_PX = 3.3
SIZE_PX = 24
CAMERA = (210.0, 190.0, 19.3, 14.6, 40, 31)


def random_rotations(rng: np.random.Generator, *shape: int) -> Floats:
    """Rotations (*shape, 3, 3)."""
    vectors = rng.normal(size=(*shape, 3)).reshape(-1, 3)
    return np.array([reference.exponential(v) for v in vectors]).reshape(*shape, 3, 3)


def rotate(rotation: Floats, tangent: Floats) -> Floats:
    """exp([tangent]x) rotation, for each of a batch."""
    return np.array([reference.exponential(w) @ r for w, r in zip(tangent, rotation, strict=True)])


def hand_chain() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parents (25,) and articulated joints (15,) of a hand: wrist, then a thumb of 4 and four fingers of 5 joints."""
    parents, articulated = [-1], []
    for length in (4, 5, 5, 5, 5):
        first = len(parents)
        parents += [0, *range(first, first + length - 1)]
        articulated += list(range(first + length - 4, first + length - 1))
    return np.array(parents, np.int32), np.array(articulated, np.int32)


def kinematics_problem(side: int = 1, batch: int = 3, own_bind: bool = False) -> Problem:
    """Random poses of a random 25-joint hand, or of one hand for each image."""
    rng = np.random.default_rng(1)
    parents, articulated = hand_chain()
    bind = np.concatenate([random_rotations(rng, 25), rng.normal(size=(25, 3, 1)) * 40], axis=2)
    if own_bind:
        bind = np.stack([bind, *(bind + np.eye(4)[3] * rng.normal(size=(25, 3, 1)) for _ in range(batch - 1))])
    arrays = {
        "angles": rng.normal(size=(batch, 15, 3)) * 0.6,
        "rotation": random_rotations(rng, batch),
        "translation": rng.normal(size=(batch, 3)) * 50 + np.array([0, 0, 450]),
        "scale": rng.uniform(0.7, 1.3, batch),
        "parents": parents,
        "articulated": articulated,
        "bind": bind,
    }

    def backward(cotangent: Floats, a: Arrays) -> Arrays:
        gradients = forward_kinematics_backward(cotangent, *(*a.values(), side))
        return dict(zip(("angles", "rotation", "translation", "scale"), gradients, strict=True))

    return Problem(
        arrays=arrays,
        forward=lambda a: forward_kinematics(*(*a.values(), side)),
        backward=backward,
        twin=lambda a: reference.forward_kinematics(*(*a.values(), side)),
        batched=("angles", "rotation", "translation", "scale", *(["bind"] if own_bind else [])),
        moves={"rotation": rotate},
    )


def skinning_inputs(rng: np.random.Generator, batch: int, vertices: int) -> Arrays:
    """Transforms, rest points, and up to 4 descending weights per vertex, some of them zero."""
    weights = rng.uniform(0.05, 1.0, (vertices, 4)) * (np.arange(4) < rng.integers(1, 5, (vertices, 1)))
    weights = -np.sort(-weights / weights.sum(1, keepdims=True), axis=1)
    transforms = np.concatenate([random_rotations(rng, batch, 7), rng.normal(size=(batch, 7, 3, 1)) * 50], axis=3)
    return {
        "transforms": transforms,
        "rest": rng.normal(size=(vertices, 3)) * 60,
        "indices": (rng.integers(0, 7, (vertices, 4)) * (weights > 0)).astype(np.int32),
        "weights": weights,
    }


def skin_problem(batch: int = 3, own_rest: bool = False) -> Problem:
    """Random transforms of random points, shared by the images or each image's own."""
    rng = np.random.default_rng(2)
    arrays = skinning_inputs(rng, batch, 37)
    if own_rest:
        arrays["rest"] = arrays["rest"] + 3 * rng.normal(size=(batch, 37, 3))

    def backward(cotangent: Floats, a: Arrays) -> Arrays:
        if own_rest:
            return {"transforms": skin_backward(cotangent, *a.values(), rest_gradient=False)[0]}
        gradients = skin_backward(cotangent, *a.values())
        return dict(zip(("transforms", "rest"), gradients, strict=True))

    return Problem(
        arrays=arrays,
        forward=lambda a: skin(*a.values()),
        backward=backward,
        twin=lambda a: reference.skin(*a.values()),
        batched=("transforms", *(["rest"] if own_rest else [])),
    )


def blend_shapes_problem(batch: int = 3) -> Problem:
    """Random offsets of random points."""
    rng = np.random.default_rng(12)
    arrays = {
        "base": rng.normal(size=(37, 3)) * 60,
        "basis": rng.normal(size=(5, 37, 3)) * 20,
        "coefficients": rng.normal(size=(batch, 5)) * 0.3,
    }
    return Problem(
        arrays=arrays,
        forward=lambda a: blend_shapes(*a.values()),
        twin=lambda a: reference.blend_shapes(*a.values()),
        batched=("coefficients",),
    )


def skin_normals_problem(batch: int = 3) -> Problem:
    """Random transforms of random unit normals."""
    arrays = skinning_inputs(np.random.default_rng(3), batch, 37)
    rest = arrays["rest"] / np.linalg.norm(arrays["rest"], axis=1, keepdims=True)
    arrays = {
        "transforms": arrays["transforms"],
        "rest_normals": rest,
        **{k: arrays[k] for k in ("indices", "weights")},
    }
    return Problem(
        arrays=arrays,
        forward=lambda a: skin_normals(*a.values()),
        twin=lambda a: reference.skin_normals(*a.values()),
        batched=("transforms",),
    )


def project_problem(perspective: bool = True, batch: int = 3) -> Problem:
    """Points 30 to 60 cm in front of the camera."""
    rng = np.random.default_rng(4)
    points = rng.normal(size=(batch, 41, 3)) * np.array([60, 60, 0]) + rng.uniform(300, 600, (batch, 41, 1)) * [0, 0, 1]
    coefficients = np.array([230.0, 58.0, 240.0, 61.0, 0.004, -1.3]) * rng.uniform(0.9, 1.1, (batch, 6))
    return Problem(
        arrays={"points": points, "coefficients": coefficients},
        forward=lambda a: project(a["points"], a["coefficients"], perspective),
        backward=lambda g, a: {"points": project_backward(g, a["points"], a["coefficients"], perspective)},
        twin=lambda a: reference.project(a["points"], a["coefficients"], perspective),
        batched=("points", "coefficients"),
    )


def render_problem(radius: float = RADIUS_PX, size: int = SIZE_PX, vertices: int = 60, batch: int = 3) -> Problem:
    """Points in, across and outside of the image, one in ten of them behind the far face."""
    rng = np.random.default_rng(5)
    points = rng.uniform([-4, -4, 0.05], [size + 3, size + 3, 1.1], (batch, vertices, 3))

    def backward(cotangent: Floats, a: Arrays) -> Arrays:
        _, winners = render_depth(a["points"], radius, size)
        return {"points": render_depth_backward(cotangent, a["points"], winners, radius)}

    return Problem(
        arrays={"points": points},
        forward=lambda a: render_depth(a["points"], radius, size)[0],
        backward=backward,
        twin=lambda a: reference.render_depth(a["points"], radius, size)[0],
        batched=("points",),
        branches=lambda a: reference.render_depth(a["points"], radius, size)[1],
    )


def depth_loss_problem(delta: float = 0.0, weighted: bool = False, batch: int = 3) -> Problem:
    """Images against two targets, a quarter of the pixels empty in both."""
    rng = np.random.default_rng(6)
    image, target = rng.uniform(0, 1, (batch, 18, 18)), rng.uniform(0, 1, (2, 18, 18))
    image[:, :9, :9] = 0
    target[:, :9, :9] = 0
    arrays: Arrays = {"image": image, "target": target, "image_index": np.arange(batch, dtype=np.int32) % 2}
    if weighted:
        arrays["weight"] = rng.uniform(0, 2, (2, 18, 18))

    def arguments(a: Arrays) -> tuple[object, ...]:
        return a["image"], a["target"], a["image_index"], delta, a.get("weight")

    def branches(a: Arrays) -> NDArray[np.float64]:
        error = a["image"] - a["target"][a["image_index"]]
        return np.sign(error) * (1 + (np.abs(error) > delta))

    # at equal pixels the absolute difference has a kink, and the gradient is 0 by choice: finite differences avoid them
    def away_from_kinks(pixels: Floats, step: Floats) -> Floats:
        return pixels + np.where(target[arrays["image_index"]] == image, 0.0, step)

    return Problem(
        arrays=arrays,
        forward=lambda a: depth_loss(*arguments(a)),
        backward=lambda g, a: {"image": depth_loss_backward(g, *arguments(a))},
        twin=lambda a: reference.depth_loss(*arguments(a)),
        batched=("image", "image_index"),
        branches=branches,
        moves={"image": away_from_kinks},
    )


def depth_term_problem(delta: float = 0.0, weighted: bool = False, batch: int = 3) -> Problem:
    """Points rendered and compared with two targets; where the target equals the image, nothing is rendered."""
    size, rng = 18, np.random.default_rng(16)
    points = rng.uniform([-3, -3, 0.05], [size + 2, size + 2, 1.1], (batch, 40, 3))
    target = rng.uniform(0.1, 1, (2, size, size))
    arrays: Arrays = {"grad_loss": np.ones(batch), "points": points, "target": target}
    arrays["image_index"] = np.arange(batch, dtype=np.int32) % 2
    if weighted:
        arrays["weight"] = rng.uniform(0, 2, (2, size, size))

    def both(a: Arrays) -> Any:
        compare = (a["target"], a["image_index"], RADIUS_PX, delta, a.get("weight"))
        return splat_loss(a["grad_loss"], a["points"], *compare)

    def branches(a: Arrays) -> NDArray[np.float64]:
        image, winners = reference.render_depth(a["points"], RADIUS_PX, size)
        error = image - a["target"][a["image_index"]]
        return np.stack([winners, np.sign(error) * (1 + (np.abs(error) > delta))])

    def twin(a: Arrays) -> Floats:
        image, _ = reference.render_depth(a["points"], RADIUS_PX, size)
        return reference.depth_loss(image, a["target"], a["image_index"], delta, a.get("weight"))

    return Problem(
        arrays=arrays,
        forward=lambda a: both(a)[0],
        backward=lambda g, a: {"points": both({**a, "grad_loss": g})[1]},
        twin=twin,
        batched=("grad_loss", "points", "image_index"),
        branches=branches,
    )


def silhouette_problem(batch: int = 3) -> Problem:
    """Points in and around two random distance fields."""
    rng = np.random.default_rng(7)
    arrays = {
        "points": rng.uniform(-6, 21, (batch, 50, 3)),
        "field": rng.uniform(0, 30, (2, 16, 16)),
        "image_index": np.arange(batch, dtype=np.int32) % 2,
        "mm_per_px": np.array([2.1, 1.7]),
    }
    return Problem(
        arrays=arrays,
        forward=lambda a: silhouette_loss(*a.values()),
        backward=lambda g, a: {"points": silhouette_loss_backward(g, *a.values())},
        twin=lambda a: reference.silhouette_loss(*a.values()),
        batched=("points", "image_index"),
        branches=lambda a: np.clip(np.floor(a["points"][..., :2]), -1, 15),
    )


def closest_problem(plane: float = 0.8, batch: int = 3) -> Problem:
    """Noisy points of random surfaces, half of whose vertices face away from the camera."""
    rng = np.random.default_rng(8)
    posed = rng.normal(size=(batch, 45, 3)) * 40 + np.array([0, 0, 450])
    normals = rng.normal(size=(batch, 45, 3))
    arrays = {
        "observed": rng.normal(size=(2, 33, 3)) * 40 + np.array([0, 0, 450]),
        "image_index": np.arange(batch, dtype=np.int32) % 2,
        "posed": posed,
        "normals": normals / np.linalg.norm(normals, axis=2, keepdims=True),
    }
    sigma = 20.0

    def backward(cotangent: Floats, a: Arrays) -> Arrays:
        _, nearest = closest_points(*(*a.values(), sigma, plane))
        return {"posed": closest_points_backward(cotangent, *(*a.values(), nearest, sigma, plane))}

    return Problem(
        arrays=arrays,
        forward=lambda a: closest_points(*(*a.values(), sigma, plane))[0],
        backward=backward,
        twin=lambda a: reference.closest_points(*(*a.values(), sigma, plane))[0],
        batched=("image_index", "posed", "normals"),
        branches=lambda a: reference.closest_points(*(*a.values(), sigma, plane))[1],
    )


def hand_bones() -> NDArray[np.int32]:
    """The 20 bones (parent, child) of 21 keypoints: five fingers of four from the wrist."""
    return np.array([(0 if k % 4 == 1 else k - 1, k) for k in range(1, 21)], np.int32)


def collision_branches(joints: Floats, bones: NDArray[np.int32], radius: float) -> NDArray[np.int32]:
    """For every bone and joint: 0 apart, 1 limited by the bone's ends, 2 by its radius."""
    out = np.zeros((len(joints), len(bones), joints.shape[1]), np.int32)
    for b, n, k in np.ndindex(*out.shape):
        i, j = bones[n]
        if k not in (i, j):
            f1, f2 = reference.segment_terms(joints[b, i], joints[b, j], joints[b, k], radius)
            out[b, n, k] = 0 if min(f1, f2) <= 0 else 1 if f1 < f2 else 2
    return out


def collision_problem(batch: int = 3, fixed_length: bool = False) -> Problem:
    """A crumpled hand, with many joints within the bones."""
    joints = np.random.default_rng(9).normal(size=(batch, 21, 3)) * 15
    radius = 18.0
    return Problem(
        arrays={"joints": joints, "bones": hand_bones()},
        forward=lambda a: collision(a["joints"], a["bones"], radius),
        backward=lambda g, a: {"joints": collision_backward(g, a["joints"], a["bones"], radius, fixed_length)},
        twin=lambda a: reference.collision(a["joints"], a["bones"], radius),
        batched=("joints",),
        branches=lambda a: collision_branches(a["joints"], a["bones"], radius),
    )


def limits_problem(batch: int = 3) -> Problem:
    """Angles within and on both sides of random limits."""
    rng = np.random.default_rng(10)
    lower = rng.uniform(-1, 0, (15, 3))
    arrays = {
        "angles": rng.normal(size=(batch, 15, 3)),
        "lower": lower,
        "upper": lower + rng.uniform(0, 1.5, (15, 3)),
    }
    return Problem(
        arrays=arrays,
        forward=lambda a: joint_limits(*a.values()),
        backward=lambda g, a: {"angles": joint_limits_backward(g, *a.values())},
        twin=lambda a: reference.joint_limits(*a.values()),
        batched=("angles",),
        branches=lambda a: 2 * (a["angles"] > a["upper"]) + (a["angles"] < a["lower"]),
    )


def rasterise_problem(batch: int = 3) -> Problem:
    """Random triangles before the camera, in and across the image, some facing away."""
    rng = np.random.default_rng(11)
    points = rng.uniform([-60, -50, 300], [60, 50, 500], (batch, 30, 3))
    faces = np.array([rng.permutation(30)[:3] for _ in range(40)], np.int32)
    return Problem(
        arrays={"points": points, "faces": faces},
        forward=lambda a: rasterise(a["points"], a["faces"], CAMERA),
        twin=lambda a: np.stack([reference.rasterise(p, a["faces"], CAMERA) for p in a["points"]]),
        batched=("points",),
    )


def rasterise_faces_problem(batch: int = 3) -> Problem:
    """The same triangles; the output (B, H, W, 4) is the face's number and the barycentric coordinates."""

    def forward(arrays: dict[str, Any]) -> Any:
        surface = rasterise_faces(arrays["points"], arrays["faces"], CAMERA)
        numbers = surface.face.astype(surface.weights.dtype)[..., None]
        return namespace_of(numbers).concatenate([numbers, surface.weights], axis=-1)

    def twin(arrays: dict[str, Any]) -> Floats:
        images = [reference.rasterise_faces(each, arrays["faces"], CAMERA) for each in arrays["points"]]
        return np.stack([np.concatenate([face[..., None], weights], axis=-1) for face, weights in images])

    return Problem(rasterise_problem(batch).arrays, forward=forward, twin=twin, batched=("points",))


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
}
