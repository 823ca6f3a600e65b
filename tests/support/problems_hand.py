"""A random problem for each op on joints and vertices: its inputs, how to call it, and where its kinks are."""

import numpy as np
from numpy.typing import NDArray

from handopt.ops.collision import collision, collision_backward
from handopt.ops.joint_limits import joint_limits, joint_limits_backward
from handopt.ops.kinematics import forward_kinematics, forward_kinematics_backward
from handopt.ops.skinning import blend_shapes, skin, skin_backward, skin_normals
from support import reference
from support.op_check import Arrays, Floats, Problem


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
