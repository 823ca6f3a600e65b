"""Measure handopt shape against its targets, on synthetic people and on the real SR305 frames.

    python scripts/bench/bench_shape.py synthetic --subjects 3  # rest shape from 16 and 1 images, joints on new images
    python scripts/bench/bench_shape.py real DIR                  # residuals of the frames used, and of those left out
    python scripts/bench/bench_shape.py speed                     # ten images, seconds and memory

Figures go to stdout, one line of JSON for each measurement.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import igl
import numpy as np
from numpy.typing import NDArray

from handopt.cli.inputs import find_images
from handopt.fitting import fit
from handopt.input.reader import Reader
from handopt.rig import Rig, default_rig
from handopt.shape import ShapeInput, ShapeResult, fit_shape
from handopt.shape.coverage import CONSTANTS
from handopt.shape.mesh_validity import MeshValidity
from handopt.synth.generate import Sample, Settings, generate, true_rig

Floats = NDArray[np.float64]

SURFACE_RMS_MM = 2.0
NEW_SEED = 1000
ALIGNING = 20
SINGLES = 3  # images of each subject from which alone a shape is made
LOST_MM = 100.0  # an image where any rig is this far off shows that another thing was taken for the hand


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Measure handopt shape against its targets.")
    parser.add_argument("what", choices=["synthetic", "real", "speed"])
    parser.add_argument("folder", type=Path, nargs="?", help="of the real frames")
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="seed of the first subject")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--new", type=int, default=8, help="new images of each subject")
    parser.add_argument("--level", default="medium")
    parser.add_argument("--leave", type=int, default=11, help="how many frames are left out, one after the other")
    arguments = parser.parse_args()
    if arguments.what == "real" and arguments.folder is None:
        parser.error("real needs the folder of frames")
    {"synthetic": synthetic, "real": real, "speed": speed}[arguments.what](arguments)
    return 0


def synthetic(arguments: argparse.Namespace) -> None:
    """Subjects with scale 0.85 to 1.15, fingers within 8 % and a surface field of 2 mm RMS."""
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.subjects):
        settings = Settings(seed=seed, subject_seed=seed, surface_rms_mm=SURFACE_RMS_MM)
        samples = [generate(settings, arguments.level, index) for index in range(arguments.images)]
        truth = true_rig(settings)
        many = fit_shape(frames_of(samples))
        few = [rest_error(fit_shape(frames_of([sample])), truth) for sample in samples[:SINGLES]]
        row: dict[str, Any] = {"subject": seed, "rejected": [each.image for each in many.rejected_images]}
        row |= {
            "from_many_mm": rest_error(many, truth),
            "from_one_mm": few,
            "generic_mm": surface_error(default_rig(), truth, np.ones(len(truth.rest_mm), np.bool_)),
            "length_errors_mm": _length_errors(many, truth),
        }
        row |= joint_errors(many.rig, replace(settings, seed=NEW_SEED + seed), arguments)
        print(json.dumps(row), flush=True)
        rows.append(row)
    for name in ("from_many_mm", "from_one_mm", "generic_mm"):
        print(json.dumps({name: {"mean": float(np.mean([row[name] for row in rows]))}}))
    errors = {name: np.concatenate([row["joints_mm"][name] for row in rows]) for name in rows[0]["joints_mm"]}
    found = np.max(list(errors.values()), axis=0) < LOST_MM
    print(json.dumps({"new images": len(found), "of which the hand was found in": int(found.sum())}))
    for name, values in errors.items():
        figures = {"mean": float(values[found].mean()), "median": float(np.median(values))}
        print(json.dumps({"joints_mm": name, **figures}))


def _length_errors(result: ShapeResult, truth: Rig) -> dict[str, list[float]]:
    """Error and stated deviation of each measurement."""
    from handopt.shape.measurements import MeasurementSet

    true = MeasurementSet.on(default_rig()).lengths(truth)
    return {
        each.name: [round(each.value_mm - length, 2), round(each.deviation_mm, 2)]
        for each, length in zip(result.measurements, true, strict=True)
    }


def joint_errors(personal: Rig, settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Mean joint error on each of some new images, with the generic rig and the personal one."""
    errors: dict[str, list[float]] = {}
    for index in range(arguments.new):
        sample = generate(settings, arguments.level, index)
        for name, rig, kind in (
            ("generic", None, "none"),
            ("generic, scale", None, "scale"),
            ("generic, proportions", None, "proportions"),
            ("personal", personal, "none"),
        ):
            result = fit(sample.counts.astype(np.float32), sample.scene.camera, rig=rig, shape=kind)
            off = np.linalg.norm(result.joints_mm - sample.scene.joints, axis=1)
            errors.setdefault(name, []).append(round(float(off.mean()), 3))
    return {"joints_mm": errors}


def frames_of(samples: list[Sample]) -> list[ShapeInput]:
    """Synthetic images as frames of a calibration."""
    return [
        ShapeInput(f"{number:03d}", sample.counts.astype(np.float32), sample.scene.camera)
        for number, sample in enumerate(samples)
    ]


def rest_error(result: ShapeResult, truth: Rig) -> float:
    """Mean distance of the seen vertices to the true surface, rigidly aligned."""
    return surface_error(result.rig, truth, result.frontal_views >= CONSTANTS.covered)


def surface_error(rig: Rig, truth: Rig, chosen: NDArray[np.bool_]) -> float:
    """Mean distance in mm of chosen vertices (V,) of a rest mesh to that of another, after rigid alignment (ICP)."""
    faces, points = truth.faces.astype(np.int64), np.array(rig.rest_mm)
    target = np.array(truth.rest_mm)
    nearest = target
    for _ in range(ALIGNING):
        points = _aligned(points, nearest, chosen)
        squared, _, nearest = igl.point_mesh_squared_distance(points, target, faces)
    return float(np.sqrt(squared[chosen]).mean())


def _aligned(points: Floats, targets: Floats, chosen: NDArray[np.bool_]) -> Floats:
    here, there = points[chosen].mean(axis=0), targets[chosen].mean(axis=0)
    left, _, right = np.linalg.svd((points[chosen] - here).T @ (targets[chosen] - there))
    turn = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return np.asarray((points - here) @ turn + there)


def real(arguments: argparse.Namespace) -> None:
    """Real frames: residuals of all fitted together, then of each one left out of the calibration."""
    reader, frames = Reader(), []
    for path in find_images([arguments.folder]):
        read = reader.read(path)
        frames.append(ShapeInput(path.stem, read.depth_mm, read.camera))
    result = fit_shape(frames)
    guard = MeshValidity(np.array(result.generic.rest_mm * result.scale), result.generic.faces.astype(np.int64))
    print(json.dumps({"together": result.residual_mm, "sound": guard.defects(result.rig.rest_mm).valid}))
    rows = []
    for number in np.linspace(0, len(frames) - 1, min(arguments.leave, len(frames))).round().astype(int):
        frame = frames[number]
        personal = fit_shape([each for each in frames if each is not frame]).rig
        row: dict[str, Any] = {"rejected": frame.name}
        for name, rig, kind in (("generic, scale", None, "scale"), ("personal", personal, "none")):
            residual = fit(frame.depth_mm, frame.camera, rig=rig, shape=kind).residual_mm
            row[name] = {key: round(residual[key], 3) for key in ("median", "mean")}
        print(json.dumps(row), flush=True)
        rows.append(row)
    for name in ("generic, scale", "personal"):
        for key in ("median", "mean"):
            values = [row[name][key] for row in rows]
            print(json.dumps({name: key, "mean": float(np.mean(values)), "median": float(np.median(values))}))


def speed(arguments: argparse.Namespace) -> None:
    """Ten images together: seconds, and the largest memory."""
    settings = Settings(seed=5, subject_seed=5, surface_rms_mm=SURFACE_RMS_MM)
    samples = [generate(settings, arguments.level, index) for index in range(10)]
    fit(samples[0].counts.astype(np.float32), samples[0].scene.camera)  # load what is loaded once
    started = time.perf_counter()
    result = fit_shape(frames_of(samples))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024
    print(json.dumps({"images": 10, "seconds": seconds, "stages": result.seconds, "peak_gib": peak}))


if __name__ == "__main__":
    sys.exit(main())
