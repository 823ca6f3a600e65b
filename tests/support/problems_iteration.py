"""A problem for the op that minimises poses on a GPU: a thinned hand, two images, and everything that is expected."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from handopt.backend import copy_arrays, namespace_of
from handopt.objective.one_call import OneCall
from handopt.objective.point_models import PointModels
from handopt.ops.minimise_poses import PoseMinimum, PosePriors, Steps, TermWeights, minimise_poses
from handopt.ops.minimise_poses_grid import PointModel, minimise_poses_grid
from handopt.ops.normal_equations import RIGID
from support.least_squares_cases import SETTINGS, least_squares, poses
from support.op_check import Arrays, Floats, Problem

PROBLEM = least_squares(vertices=60)
WEIGHTS = TermWeights(1.5, 15.0, 0.7, 2.0, 20.0, 0.8, 2.0, 0.7, 14.0, 0.9, 0.4)
POSES = ("angles", "rotation", "translation", "scale", "proportions")
PRIORS = (
    *("expected", "precision", "followers", "shape_mean", "shape_precision"),
    *("temporal_pose", "temporal_weight", "temporal_width"),
)
NUMBERS = {"weight": 0.01, "follow_share": 0.7, "follow_precision": 11.0, "size": 0.02, "proportions": 0.003}
STEPS = (1e-2, 1e-6, 1e3, 0.3, 5.0, 0.5, 30.0, 0.1, (0.6, 1.6), 0.5)


def iteration_arrays(shapes: int, batch: int) -> Arrays:
    """Poses, model and priors, in the order in which the op needs them."""
    rng = np.random.default_rng(31)
    start = poses(shapes=shapes).select(np.arange(batch) % 4)
    start.angles += 0.05 * rng.normal(size=start.angles.shape)
    model = PointModels().model(PROBLEM.hand, PROBLEM.targets, 40, shapes)
    priors = PROBLEM.priors(start, SETTINGS, None)
    near = start.angles[0] + 0.1, start.rotation[0], start.translation[0] + 4.0
    return {
        **{each.name: getattr(model, each.name) for each in fields(model) if each.name != "moving"},
        **{name: getattr(start, name) for name in POSES},
        "image_index": start.image,
        "expected": start.angles + 0.1,
        **{name: getattr(priors, name) for name in ("precision", "followers")},
        "shape_mean": np.full(1 + shapes, 0.02),
        "shape_precision": 40 * np.eye(1 + shapes) + 3,
        "temporal_pose": np.concatenate([part.ravel() for part in near]),
        "temporal_weight": rng.uniform(0.001, 0.1, 51),
        "temporal_width": rng.uniform(0.2, 2, 51),
        "free": np.ones(model.parameters),
    }


def settings(a: Arrays, iterations: int) -> tuple[TermWeights, PosePriors, Steps]:
    """Weights, priors and steps."""
    priors = {name: a[name] for name in PRIORS}
    return WEIGHTS, PosePriors(**priors, **NUMBERS), Steps(iterations, *STEPS, a["free"])


def minimised(a: Arrays, iterations: int = 3, *, derivatives: bool = True, every: bool = False) -> PoseMinimum:
    """What the op finds."""
    given = {each.name: a[each.name] for each in fields(PointModel) if each.name in a}
    model = PointModel(**given, moving=PROBLEM.parameters.count - RIGID)
    start = [a[name] for name in (*POSES, "image_index")]
    op: Callable[..., PoseMinimum] = minimise_poses_grid
    return op(model, *start, *settings(a, iterations), derivatives=derivatives, every=every)


def by_pose(found: PoseMinimum) -> Any:
    """The poses and terms of all iterations, a row for each pose."""
    xp, (rows, _, count) = namespace_of(found.terms), found.terms.shape
    parts = [
        part
        for n in range(rows)
        for part in (found.angles[n].reshape(count, -1), found.scale[n][:, None], found.terms[n].T)
    ]
    return xp.ascontiguousarray(xp.concatenate(parts, axis=1))


def twin(a: Arrays, shapes: int, iterations: int = 3) -> Floats:
    """The same by the kernel of a CPU."""
    hand = PROBLEM.hand
    model = OneCall()._pose_targets(hand, PROBLEM.targets, 40, shapes)
    start = [*(a[name] for name in (*POSES, "image_index")), hand.bind, hand.rest, hand.keypoints]
    op: Callable[..., PoseMinimum] = minimise_poses
    return np.asarray(by_pose(op(model, *start, *settings(a, iterations), every=True)))


def iteration_problem(shapes: int = 13, batch: int = 3) -> Problem:
    """Three iterations."""
    return Problem(
        arrays=iteration_arrays(shapes, batch),
        forward=lambda a: by_pose(minimised(a, every=True)),
        twin=lambda a: twin(a, shapes),
        batched=(*POSES, "image_index", "expected"),
    )


def copied(a: Arrays) -> Any:
    """The arrays of reals, then those of int32, one after the other, as reals."""
    xp, first = namespace_of(a["first"]), a["first"]
    sizes = [sum(each.size for each in a.values() if (each.dtype == first.dtype) == is_real) for is_real in (1, 0)]
    reals, wholes = xp.empty(sizes[0], first.dtype), xp.empty(sizes[1], np.int32)
    copy_arrays(a.values(), reals, wholes)
    return xp.concatenate([reals, wholes.astype(first.dtype)])


def copy_problem(batch: int = 3) -> Problem:
    """Arrays of all sizes, one of them empty."""
    rng = np.random.default_rng(7)
    arrays = {
        "first": rng.normal(size=(batch, 40, 3)),
        "none": np.zeros((0, 3)),
        "index": rng.integers(-9, 9, batch, dtype=np.int32),
        "second": rng.normal(size=(2, 3)),
        "indices": rng.integers(-9, 9, (70, 4), dtype=np.int32),
    }

    def joined(a: Arrays) -> Floats:
        ordered = sorted(a.values(), key=lambda each: each.dtype == np.int32)
        return np.concatenate([each.ravel() for each in ordered]).astype(np.float64)

    return Problem(arrays, forward=copied, twin=joined, batched=())


ITERATION_PROBLEMS: dict[str, Callable[..., Problem]] = {
    "minimise_poses_grid": iteration_problem,
    "minimise_poses_grid, own shape": partial(iteration_problem, 0),
    "copy_arrays": copy_problem,
}
