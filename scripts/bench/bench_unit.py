#!/usr/bin/env python3
"""Time handopt: one image-iteration (unit), every op (ops), or a whole fit (fit).

unit reads a problem: P (n, 3) rest points in m; J, W (n, 4) joint indices and weights; M (B, m, 3, 4) transforms; proj
(6,) coefficients of an orthographic crop; r (px); T (B, S, S) target closeness; cidx, crest, pairs, rc, lam of the
collision term. It skins and splats the hand, compares it with the target, adds the collision term, runs everything
backward through the public ops, and writes ms (median per image), loss (B,), gM (B, m, 3, 4) and gP (n, 3).
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from handopt import (
    CollisionTerm,
    backend,
    closest_points,
    closest_points_backward,
    collision,
    collision_backward,
    default_rig,
    depth_loss,
    depth_loss_backward,
    fit,
    forward_kinematics,
    forward_kinematics_backward,
    hand_image_loss,
    joint_limits,
    joint_limits_backward,
    project,
    project_backward,
    rasterise,
    read_depth,
    render_depth,
    render_depth_backward,
    silhouette_loss,
    silhouette_loss_backward,
    skin,
    skin_backward,
    skin_normals,
)
from handopt.errors import HandoptError
from handopt.input.sidecar import find_sidecar

Arrays = dict[str, Any]
Calls = dict[str, tuple[Callable[[], Any], Callable[[], Any] | None]]

WARM_UP_RUNS = 5
MIN_RUNS = 30
UNIT_SECONDS = 0.5
OP_SECONDS = 0.02
CROP_PX = 120
CROP_MM = 250.0
DISTANCE_MM = 450.0
SPLAT_RADIUS_PX = 4.0
OBSERVED_POINTS = 1000
CLOSEST_SIGMA_MM = 10.0
COLLISION_RADIUS_MM = 8.0
POSE = ("angles", "rotation", "translation", "scale", "parents", "articulated", "bind")
CAMERA = (475.0, 475.0, 319.5, 239.5, 640, 480)


class UnitOfWork:
    """One image-iteration: skin, splat, mean absolute difference, collision, and all gradients."""

    def __init__(self, problem: Arrays, device: backend.Device, dtype: type = np.float32) -> None:
        """Copy a problem (see the module's docstring) to a device; constants are prepared once."""
        images = len(problem["M"])
        arrays = {
            "transforms": problem["M"],
            "rest": problem["P"],
            "weights": problem["W"],
            "coefficients": np.broadcast_to(problem["proj"], (images, 6)),
            "target": problem["T"],
            "joint_rest": problem["crest"],
            "ones": np.ones(images),
        }
        indices = {
            "indices": problem["J"],
            "image_index": np.arange(images),
            "joint_indices": problem["cidx"][:, None],
            "bones": problem["pairs"],
        }
        self.arrays = {name: backend.to_device(array, device, dtype) for name, array in arrays.items()}
        self.arrays |= {name: backend.to_device(array, device, np.int32) for name, array in indices.items()}
        self.radius = float(problem["r"])
        a = self.arrays
        self.joints = CollisionTerm(
            a["joint_rest"], a["joint_indices"], a["bones"], float(problem["rc"]), float(problem["lam"]), False
        )

    def run(self) -> tuple[Any, Any, Any]:
        """Return loss (B,) and its gradients to the transforms (B, m, 3, 4) and to the rest points (n, 3)."""
        a = self.arrays
        return hand_image_loss(
            a["ones"], a["transforms"], a["rest"], a["indices"], a["weights"], a["coefficients"], a["target"],
            a["image_index"], self.radius, joints=self.joints, perspective=False,
        )  # fmt: skip


def timed(run: Callable[[], Any], device: backend.Device, seconds: float) -> NDArray[np.float64]:
    """Return the milliseconds of at least MIN_RUNS runs after a warm-up."""
    synchronise = synchroniser(device)
    for _ in range(WARM_UP_RUNS):
        run()
    synchronise()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < MIN_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        synchronise()
        samples.append(time.perf_counter() - start)
    return np.array(samples) * 1e3


def synchroniser(device: backend.Device) -> Callable[[], None]:
    """Return what waits until a device has done its work."""
    if device.kind == "cpu":
        return lambda: None
    wait: Callable[[], None] = backend.namespace(device).cuda.Device(device.index).synchronize
    return wait


def bench_unit(options: argparse.Namespace) -> None:
    """Run the unit of work on a problem file and write the result file."""
    device = backend.resolve_device(options.device)
    with np.load(options.problem) as file:
        problem = dict(file)
    unit = UnitOfWork(problem, device)
    samples = timed(unit.run, device, UNIT_SECONDS) / len(problem["M"])
    loss, grad_transforms, grad_rest = (backend.to_numpy(array) for array in unit.run())
    median, low, high = np.percentile(samples, [50, 10, 90])
    np.savez(options.result, ms=median, loss=loss, gM=grad_transforms, gP=grad_rest)
    print(
        f"{median:.4f} ms per image on {device} (p10 {low:.4f}, p90 {high:.4f}, {len(samples)} runs)", file=sys.stderr
    )


def scene(batch: int, device: backend.Device) -> Arrays:
    """Return the inputs of every op: random poses of the default hand, seen by a 640 x 480 camera."""
    rng, rig = np.random.default_rng(0), default_rig("right")
    px, middle = CROP_PX / CROP_MM * DISTANCE_MM, (CROP_PX - 1) / 2
    reals = {
        "angles": rng.normal(scale=0.3, size=(batch, 15, 3)),
        "rotation": Rotation.from_rotvec(rng.normal(scale=0.5, size=(batch, 3))).as_matrix(),
        "translation": np.tile([0.0, 0.0, DISTANCE_MM], (batch, 1)),
        "scale": np.ones(batch),
        "bind": rig.bind,
        "rest": rig.rest_mm,
        "rest_normals": rig.normals,
        "weights": rig.skin_weights,
        "joint_rest": rig.keypoints_mm,
        "joint_weights": np.ones((len(rig.keypoint_joints), 1)),
        "lower": rig.limits.lower,
        "upper": rig.limits.upper,
        "coefficients": np.tile([px, middle, px, middle, 1 / CROP_MM, 0.5 - DISTANCE_MM / CROP_MM], (batch, 1)),
        "field": rng.uniform(0, 30, (1, CROP_PX, CROP_PX)),
        "mm_per_px": np.array([CROP_MM / CROP_PX]),
        "ones": np.ones(batch),
    }
    indices = {
        "parents": rig.parents,
        "articulated": rig.articulated,
        "indices": rig.skin_indices,
        "joint_indices": rig.keypoint_joints[:, None],
        "image_index": np.zeros(batch),
        "bones": rig.bones,
        "faces": rig.faces,
    }
    s = {name: backend.to_device(array, device, np.float32) for name, array in reals.items()}
    s |= {name: backend.to_device(array, device, np.int32) for name, array in indices.items()}
    s["transforms"] = forward_kinematics(**{name: s[name] for name in POSE}, side=rig.side_sign)
    s["posed"] = skin(s["transforms"], s["rest"], s["indices"], s["weights"])
    s["normals"] = skin_normals(s["transforms"], s["rest_normals"], s["indices"], s["weights"])
    s["points"] = project(s["posed"], s["coefficients"])
    s["image"], s["winners"] = render_depth(s["points"], SPLAT_RADIUS_PX, CROP_PX)
    s["target"] = s["image"][:1] * np.float32(0.95)
    s["observed"] = s["posed"][:1, :OBSERVED_POINTS].copy()
    s["joints"] = skin(s["transforms"], s["joint_rest"], s["joint_indices"], s["joint_weights"])
    return s


def op_calls(s: Arrays) -> Calls:
    """Return the forward and the backward call of every op on the inputs of scene()."""

    def call(op: Callable[..., Any], *names: str | float | bool) -> Callable[[], Any]:
        arguments = [s[name] if isinstance(name, str) else name for name in names]
        return lambda: op(*arguments)

    radius = SPLAT_RADIUS_PX
    skinning = ("transforms", "rest", "indices", "weights")
    depth = ("image", "target", "image_index")
    silhouette = ("points", "field", "image_index", "mm_per_px")
    closest = ("observed", "image_index", "posed", "normals")
    limits = ("angles", "lower", "upper")
    s["nearest"] = closest_points(**{name: s[name] for name in closest}, sigma=CLOSEST_SIGMA_MM)[1]
    return {
        "forward_kinematics": (
            call(forward_kinematics, *POSE),
            call(forward_kinematics_backward, "transforms", *POSE),
        ),
        "skin": (call(skin, *skinning), call(skin_backward, "posed", *skinning)),
        "skin_normals": (call(skin_normals, "transforms", "rest_normals", "indices", "weights"), None),
        "project": (
            call(project, "posed", "coefficients"),
            call(project_backward, "points", "posed", "coefficients"),
        ),
        "render_depth": (
            call(render_depth, "points", radius, CROP_PX),
            call(render_depth_backward, "image", "points", "winners", radius),
        ),
        "depth_loss": (call(depth_loss, *depth), call(depth_loss_backward, "ones", *depth)),
        "silhouette_loss": (
            call(silhouette_loss, *silhouette),
            call(silhouette_loss_backward, "ones", *silhouette),
        ),
        "closest_points": (
            call(closest_points, *closest, CLOSEST_SIGMA_MM),
            call(closest_points_backward, "ones", *closest, "nearest", CLOSEST_SIGMA_MM),
        ),
        "collision": (
            call(collision, "joints", "bones", COLLISION_RADIUS_MM),
            call(collision_backward, "ones", "joints", "bones", COLLISION_RADIUS_MM),
        ),
        "joint_limits": (call(joint_limits, *limits), call(joint_limits_backward, "ones", *limits)),
        "rasterise": (lambda: rasterise(s["posed"], s["faces"], CAMERA), None),
    }


def bench_ops(options: argparse.Namespace) -> None:
    """Print the median milliseconds of every op, forward and backward, for several batch sizes."""
    device = backend.resolve_device(options.device)
    batches = [int(size) for size in options.batch.split(",")]
    calls = {batch: op_calls(scene(batch, device)) for batch in batches}
    print(f"median ms per call on {device}, forward and backward, by batch size")
    print("op".ljust(20) + "".join(f"{f'B={batch}':>11}{'':11}" for batch in batches))
    for op in calls[batches[0]]:
        cells = []
        for batch in batches:
            for run in calls[batch][op]:
                cells.append("-" if run is None else f"{np.median(timed(run, device, OP_SECONDS)):.4f}")
        print(op.ljust(20) + "".join(f"{cell:>11}" for cell in cells), flush=True)


def bench_fit(options: argparse.Namespace) -> None:
    """Print the seconds of every stage of fitting one image, and of its runs."""
    beside = find_sidecar(options.image)
    if beside is None or beside.camera is None:
        raise SystemExit(f"{options.image} has no JSON file with a camera beside it")
    depth = read_depth(options.image, unit=beside.unit_mm)
    stages: dict[str, list[float]] = {}
    for _ in range(options.runs):
        start = time.perf_counter()
        result = fit(
            depth.depth_mm, beside.camera, hand=beside.hand or "right", shape=options.shape, device=options.device
        )
        stages.setdefault("whole call", []).append(time.perf_counter() - start)
        for stage, seconds in result.seconds.items():
            stages.setdefault(stage, []).append(seconds)
    print(f"seconds of {options.runs} fits of {options.image.name} on {result.device}: median (all)")
    for stage, samples in stages.items():
        print(f"{stage:20}{np.median(samples):8.3f}  ({', '.join(f'{each:.3f}' for each in samples)})")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    unit = commands.add_parser("unit", help="the unit of work on a problem file")
    unit.add_argument("problem", type=Path, metavar="PROBLEM.npz")
    unit.add_argument("result", type=Path, metavar="RESULT.npz")
    unit.set_defaults(run=bench_unit)
    ops = commands.add_parser("ops", help="every op, forward and backward")
    ops.add_argument("--batch", default="1,16,64", help="batch sizes, separated by commas (default: 1,16,64)")
    ops.set_defaults(run=bench_ops)
    fit = commands.add_parser("fit", help="handopt.fit on one image that has its camera beside it")
    fit.add_argument("image", type=Path, metavar="IMAGE")
    fit.add_argument("--runs", type=int, default=3)
    fit.add_argument("--shape", default="scale", choices=["none", "scale", "vertices"])
    fit.set_defaults(run=bench_fit)
    for command in (unit, ops, fit):
        command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except HandoptError as error:
        print(f"bench_unit.py: {str(error).replace('device=', '--device')}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
