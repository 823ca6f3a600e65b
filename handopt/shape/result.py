"""What a calibration of a hand's shape returns."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from handopt.assess.config import ASSESS
from handopt.assess.quality import measure, status_of
from handopt.assess.visibility import visible_joints
from handopt.backend import to_device, to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Pose
from handopt.objective.unexplained import unexplained_fraction
from handopt.ops.projection import project
from handopt.ops.splat import render_depth
from handopt.result import FitResult, Trace
from handopt.rig import Rig
from handopt.rig.anatomy import MIRROR
from handopt.shape.bone_lengths import BONE_NAMES, SPREAD
from handopt.shape.coverage import CONSTANTS, confidence_of, frontal_views
from handopt.shape.iterations import ShapeFit
from handopt.shape.measurements import Measurement, MeasurementSet
from handopt.shape.single_fits import RejectedImage, SingleFit
from handopt.shape.state import HandShape, Template
from handopt.shape.surface_refinement import SurfaceRefinement
from handopt.typing import AnyArray, Floats, Points

FORMAT: Final = "handopt.shape/1"
DEVIATION_FACTOR: Final = 1.5
"""Factor of the posterior's deviations, since errors of images are related and the model is not exact.

Measured on synthetic people: of 60 lengths of five of them, 58 were within two deviations.
"""
_DIFFERENCE = 1e-4  # of the logarithm of the scale and of a proportion, for central differences


@dataclass
class ShapeResult:
    """A person's hand.

    rig: the personal hand in real size, with the confidence of each vertex; generic: the rig that it was made from, of
    the same side. scale, proportions (S,) as handopt.shape.bone_lengths.SHAPE_NAMES, offsets_mm (V, 3): what turns the
    generic hand into the personal one, in the right hand's frame. fits: of each image that was used, with the personal
    rig; rejected_images: the others, and why. frontal_views: (V,) of each vertex, see handopt.shape.coverage
    surface_status: a sentence on how the search for the surface ended
    history: columns by iteration, see handopt.shape.iterations; seconds: per stage
    """

    rig: Rig
    generic: Rig
    scale: float
    proportions: Floats
    offsets_mm: Floats = field(repr=False)
    fits: tuple[FitResult, ...] = field(repr=False)
    rejected_images: tuple[RejectedImage, ...]
    frontal_views: Floats = field(repr=False)
    measurements: tuple[Measurement, ...]
    surface_status: str
    history: dict[str, AnyArray] = field(repr=False)
    seconds: dict[str, float]

    @property
    def residual_mm(self) -> dict[str, float]:
        """Median over the images of their median and mean absolute depth residuals."""
        return {
            name: float(np.median([each.residual_mm[name] for each in self.fits])) for name in ("median", "mean", "p95")
        }

    @property
    def coverage(self) -> float:
        """Share of the vertices that some image shows."""
        return float(np.mean(self.frontal_views >= CONSTANTS.covered))

    @property
    def status(self) -> str:
        """A sentence that says how good the fit is."""
        used, residual = len(self.fits), self.residual_mm
        images = "1 image" if used == 1 else f"{used} images"
        rejected = f", {len(self.rejected_images)} left out" if self.rejected_images else ""
        doubtful = [each.image for each in self.fits if each.confidence < ASSESS.doubtful]
        warning = (
            f" Doubtful: {len(doubtful)} of {used} fits have a confidence below {ASSESS.doubtful}, such as that of "
            f"{doubtful[0]}; look at them in fits, and leave out images that show no hand or whose fit is wrong."
            if doubtful
            else ""
        )
        return (
            f"A {self.rig.side} hand from {images}{rejected}: median residual {residual['median']:.1f} mm, mean "
            f"{residual['mean']:.1f} mm, {self.coverage:.0%} of the skin seen. {self.surface_status}{warning}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The measurements and how they came about, as plain values of the format "handopt.shape/1"."""
        first, common = self.fits[0], len(self.generic.shape_names)
        bones = (SPREAD * self.proportions[common:]).tolist()  # none in a model's own shape space
        return {
            "format": FORMAT,
            "hand": self.rig.side,
            "status": self.status,
            "measurements": {each.name: each.to_dict() for each in self.measurements},
            "shape": {
                "generic": self.generic.name,
                "scale": self.scale,
                **self.generic.shape_values(self.proportions[:common]),
                "bones": dict(zip(BONE_NAMES, bones, strict=len(bones) > 0)),
                "vertex_offset_mm": {
                    "rms": float(np.sqrt((self.offsets_mm**2).sum(axis=1).mean())),
                    "max": float(np.linalg.norm(self.offsets_mm, axis=1).max()),
                },
            },
            "coverage": self.coverage,
            "images": [
                {
                    "image": each.image,
                    "confidence": each.confidence,
                    "residual_mm": each.residual_mm,
                    "unexplained_fraction": each.unexplained_fraction,
                }
                for each in self.fits
            ],
            "rejected_images": [dataclasses.asdict(each) for each in self.rejected_images],
            "residual_mm": self.residual_mm,
            "seconds": self.seconds,
            "device": first.device,
            "seed": first.seed,
            "config": first.config,
            "versions": first.versions,
            "notes": list(dict.fromkeys(note for each in self.fits for note in each.notes)),
        }


def measured(
    refinement: SurfaceRefinement, pose: Pose, shape: HandShape, lm_settings: LMSettings
) -> tuple[Measurement, ...]:
    """The lengths of a personal hand, with standard deviations from the posterior of its shape."""
    template = refinement.template
    measurement_set = MeasurementSet.on(template.rig)
    lengths = measurement_set.lengths(shape.rig(template, "personal"))
    by_shared = np.empty((len(lengths), 1 + len(shape.proportions)))
    for column in range(by_shared.shape[1]):
        ends = []
        for sign in (-1, 1):
            moved = shape.proportions.copy()
            scale = shape.scale
            if column == 0:
                scale *= np.exp(sign * _DIFFERENCE)
            else:
                moved[column - 1] += sign * _DIFFERENCE
            changed = dataclasses.replace(shape, scale=scale, proportions=moved)
            ends.append(measurement_set.lengths(changed.rig(template, "personal")))
        by_shared[:, column] = (ends[1] - ends[0]) / (2 * _DIFFERENCE)
    by_offsets = _by_offsets(measurement_set, template, shape)
    deviations = DEVIATION_FACTOR * refinement.deviations(pose, shape, lm_settings, by_shared, by_offsets)
    generic = measurement_set.lengths(template.rig)
    return tuple(
        Measurement(name, float(length), float(deviation), float(was))
        for name, length, deviation, was in zip(measurement_set.names, lengths, deviations, generic, strict=True)
    )


def _by_offsets(measurement_set: MeasurementSet, template: Template, shape: HandShape) -> Floats:
    """Derivatives (M, 3 V) of the lengths by the offsets."""
    rig = shape.rig(template, "personal")
    places = {"joint": rig.keypoints_mm, "skin": rig.rest_mm}
    rows = np.zeros((len(measurement_set.ends), *rig.rest_mm.shape))
    for row, ((first, i), (second, j)) in zip(rows, measurement_set.ends.values(), strict=True):
        between = places[first][i] - places[second][j]
        unit = shape.scale * between / np.linalg.norm(between)
        for kind, index, sign in ((first, i, 1.0), (second, j, -1.0)):
            if kind == "skin":
                row[index] += sign * unit
            else:
                shifts = np.zeros((len(rig.joint_names), 3))
                shifts[rig.keypoint_joints[index]] = sign * unit
                row += template.regressor.backward(shifts)
    return rows.reshape(len(rows), -1)


def assemble(
    generic: Rig,
    template: Template,
    state: ShapeFit,
    singles: Sequence[SingleFit],
    rejected: Sequence[RejectedImage],
    lengths: tuple[Measurement, ...],
    seconds: dict[str, float],
) -> ShapeResult:
    """Bake the shape into a rig, and measure every image with it."""
    mirrored = generic.side == "left"
    flip = MIRROR if mirrored else np.ones(3)
    rig = state.shape.rig(template, f"personal-{template.rig.side}")
    rig = rig.mirrored() if mirrored else rig
    vertices, joints, renders = _replayed(template, state, singles)
    vertices, joints = vertices * flip, joints * flip
    views = frontal_views(list(vertices), rig.faces, [single.fit.observation for single in singles])
    rig = dataclasses.replace(rig, confidence=confidence_of(views))
    table = state.history.table()
    fits = tuple(
        _fit_of(single, number, rig, state, vertices[number], joints[number], renders[number], table)
        for number, single in enumerate(singles)
    )
    return ShapeResult(
        rig=rig,
        generic=generic,
        scale=state.shape.scale,
        proportions=state.shape.proportions,
        offsets_mm=state.shape.offsets_mm,
        fits=fits,
        rejected_images=tuple(rejected),
        frontal_views=views,
        measurements=lengths,
        surface_status=state.surface_status,
        history=table,
        seconds=seconds,
    )


def _replayed(template: Template, state: ShapeFit, singles: Sequence[SingleFit]) -> tuple[Floats, Floats, Points]:
    """Final vertices (B, V, 3) and joints (B, 21, 3) of right hands, and renders (B, T, S, S) of all iterations."""
    targets, snapshots = state.targets, state.history.snapshots
    radius, count = state.refinement.config.render_px, len(template.rig.rest_mm)
    renders = np.empty((len(singles), len(snapshots), targets.size, targets.size), np.float32)
    for number, snapshot in enumerate(snapshots):
        hand = template.hand(snapshot.offsets_mm.astype(np.float64))
        pose = Pose(**{name: to_device(v, template.device, v.dtype) for name, v in vars(snapshot.pose).items()})
        transforms = hand.transforms(pose, hand.bind_of(pose))
        posed = hand.vertices(transforms, hand.rest_of(pose))
        picture = render_depth(project(posed, targets.coefficients[pose.image]), radius, targets.size)[0]
        renders[:, number] = to_numpy(picture)
    joints = hand.joints(transforms, hand.keypoints_of(pose))
    if singles[0].mirrored:
        renders = renders[..., ::-1]
    return to_numpy(posed)[:, :count].astype(np.float64), to_numpy(joints).astype(np.float64), renders


def _fit_of(
    single: SingleFit, row: int, rig: Rig, state: ShapeFit, vertices: Floats, joints: Floats, renders: Points,
    table: dict[str, AnyArray],
) -> FitResult:  # fmt: skip
    """The fit of one image with the personal rig, whose scale and proportions are its own."""
    flip = np.diag(MIRROR) if single.mirrored else np.eye(3)
    snapshots, config = state.history.snapshots, state.refinement.config
    quality = measure(vertices, single.fit.observation, rig.faces)
    visible = visible_joints(joints, quality.fitted_depth_mm, single.fit.camera, 1.0)
    right = vertices @ flip
    faces = rig.mirrored().faces if single.mirrored else rig.faces
    fraction = float(unexplained_fraction(right[None], faces, *state.targets.grids[row])[0])
    history: dict[str, AnyArray] = {
        name: np.array([each.terms[name][row] for each in snapshots]) for name in snapshots[0].terms
    }
    history["total"] = np.sum(list(history.values()), axis=0)
    terms = {name: float(values[-1]) for name, values in history.items()}
    history |= {
        "stage": table["stage"], "radius_px": np.full(len(snapshots), config.render_px), "step": np.ones(len(snapshots))
    }  # fmt: skip
    trace = Trace(
        rotation=np.stack([flip @ each.pose.rotation[row].astype(np.float64) @ flip for each in snapshots]),
        translation_mm=np.stack([each.pose.translation[row].astype(np.float64) @ flip for each in snapshots]),
        angles_rad=np.stack([each.pose.angles[row].astype(np.float64) for each in snapshots]),
        scale=np.array([each.pose.scale[row] for each in snapshots], np.float64),
    )
    target = to_numpy(state.targets.target(config.render_px))[row]
    return dataclasses.replace(
        single.fit,
        status=status_of(state.converged, single.fit.observation, quality, single.fit.confidence),
        converged=state.converged,
        rig=rig,
        joints_mm=joints,
        rotation=trace.rotation[-1],
        translation_mm=trace.translation_mm[-1],
        angles_rad=trace.angles_rad[-1],
        scale=1.0,
        shape_kind="none",
        proportions=np.zeros(0),
        rest_mm=rig.rest_mm,
        vertices_mm=vertices,
        fitted_depth_mm=quality.fitted_depth_mm,
        residual_mm=quality.residual_mm,
        silhouette_iou=quality.silhouette_iou,
        unexplained_fraction=fraction,
        joint_visible=visible,
        terms=terms,
        iterations=len(snapshots),
        history=history,
        trace=trace,
        renders=renders,
        target=target[:, ::-1] if single.mirrored else target,
    )
