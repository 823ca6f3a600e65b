"""A random problem for each op on images and observed points: its inputs, how to call it, and where its kinks are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.backend import namespace_of
from handopt.ops.closest_points import closest_points, closest_points_backward
from handopt.ops.image_losses import depth_loss, depth_loss_backward, silhouette_loss, silhouette_loss_backward
from handopt.ops.projection import project, project_backward
from handopt.ops.rasterise import rasterise, rasterise_faces
from handopt.ops.splat import render_depth, render_depth_backward
from handopt.ops.splat_loss import splat_loss
from support import reference
from support.op_check import Arrays, Floats, Problem

RADIUS_PX = 3.3


SIZE_PX = 24


CAMERA = (210.0, 190.0, 19.3, 14.6, 40, 31)


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
