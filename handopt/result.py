"""What a fit returns, and its JSON form "handopt.result/1"."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from handopt.deferred import MadeWhenAsked
from handopt.errors import import_extra
from handopt.files import readable
from handopt.rig import ANGLE_NAMES, KEYPOINT_NAMES, with_shape
from handopt.rig.joints import BONES
from handopt.typing import BoolImage, Reals

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from handopt.assess.confidence import ConfidenceFeatures
    from handopt.input.camera import Camera
    from handopt.observation.crop import Crop
    from handopt.observation.observation import Observation
    from handopt.rig import Rig
    from handopt.viewer.scene import Scene

FORMAT = "handopt.result/1"
SHOWN_PX, SHOWN_HALF_MM = 160, 150.0
"""The cube around the hand that the viewer shows: pixels of its edge, and half of the edge in mm. By eye."""
PLOT_MARGIN_PX, PLOT_MARGIN_MM = 25.0, 40.0
"""What plot() shows around the joints, by eye."""

_ROW_OF_NUMBERS = re.compile(r"\[\n\s+((?:[-+.\deE]+|null)(?:,\s+(?:[-+.\deE]+|null))*)\n\s+\]")


@dataclass(frozen=True)
class Trace:
    """The pose at every iteration, T of them.

    rotation: (T, 3, 3) rig to camera. translation_mm: (T, 3) wrist in the camera frame. angles_rad: (T, 15, 3).
    scale: (T,). rest_mm: (T, V, 3) rest mesh where vertices were optimised, else None.
    """

    rotation: Reals
    translation_mm: Reals
    angles_rad: Reals
    scale: Reals
    rest_mm: Reals | None = None


@dataclass(frozen=True)
class Alternative:
    """Another hypothesis that survived the search: its hand, unexplained fraction, and joints (21, 3) mm.

    limb_fraction: what it leaves unexplained of hand and forearm together, which compares hypotheses of all readings
    """

    hand: str
    unexplained_fraction: float
    joints_mm: Reals
    limb_fraction: float


@dataclass(repr=False)
class FitResult:
    """A hand fitted to one depth image. Lengths are in mm, in the camera frame: x right, y down, z forward.

    image: path of the depth file, or None; hand: 'right' or 'left'
    status: how good the fit is, as a sentence; converged: whether the convergence test was met
    camera, rig, observation: what was fitted to what; crop: the renderer's window
    joints_mm: (21, 3), in the order of KEYPOINT_NAMES
    rotation: (3, 3) from the rig to the camera frame; translation_mm: (3,) of the wrist
    angles_rad: (15, 3), rows as ANGLE_NAMES, columns twist, abduction, flexion
    scale: of the whole hand; shape_kind: 'none', 'scale', 'proportions' or 'vertices'
    proportions: (S,) relative changes, as rig.shape_names, or empty; rig.shape_values gives the model's own values
    rest_mm: (V, 3) fitted rest mesh in the rig frame, before the scale; vertices_mm: (V, 3) posed mesh
    fitted_depth_mm: (H, W) z-buffered depth of the mesh, 0 where there is none
    residual_mm: median, mean and p95 of the absolute depth residual over observed hand pixels that the fit covers
    silhouette_iou: intersection over union of the mesh and the observed hand, 0 to 1
    unexplained_fraction: share of the observed hand that the mesh does not explain, see handopt.objective.unexplained
    limb_fraction: the same of hand and forearm, see handopt.objective.limb_fraction; what is implausible adds to it
    confidence: 0 to 1, see handopt.assess.confidence; confidence_features: what it is made of
    joint_visible: (21,) whether a joint has no more than its own flesh in front of it
    joint_uncertainty_mm: (21,) radius around each joint that holds the true one in two of three cases, see
    handopt.assess.uncertainty; spread_mm2: (21,) what it is made of
    alternatives: other poses that survived the search, best first
    terms: value of each term of the objective at the end; iterations: number of rows of history
    seconds: time of each stage; device, seed, config, versions: what is needed to repeat the fit
    notes: what was assumed about the input, and what the user should look at
    history: every term (T,), and 'total', 'radius_px', 'stage', 'step'; trace: the pose at every iteration
    mirrored: whether the image was given as a mirror image; camera, observation and all else are those of the true one
    hand_margin: limb fraction of the best fit of the other hand minus this one's, None where it was not tried; that of
    a clearly worse hand is from when it was dropped
    proposals: format, digest and training of the model whose poses were tried, None for handopt's own network
    renders: (T, S, S) closeness of the hand; target: (S, S) observed, at the final radius
    """

    image: str | None
    hand: str
    status: str
    converged: bool
    camera: "Camera"
    rig: "Rig"
    observation: "Observation"
    crop: "Crop"
    joints_mm: Reals
    rotation: Reals
    translation_mm: Reals
    angles_rad: Reals
    scale: float
    shape_kind: str
    proportions: Reals
    rest_mm: Reals
    vertices_mm: Reals
    fitted_depth_mm: Reals
    residual_mm: dict[str, float]
    silhouette_iou: float
    unexplained_fraction: float
    limb_fraction: float
    confidence: float
    joint_visible: npt.NDArray[np.bool_]
    joint_uncertainty_mm: Reals
    alternatives: tuple[Alternative, ...]
    terms: dict[str, float]
    iterations: int
    seconds: dict[str, float]
    device: str
    seed: int
    config: dict[str, Any]
    versions: dict[str, str]
    notes: tuple[str, ...]
    history: dict[str, npt.NDArray[Any]] = field(repr=False)
    trace: Trace = field(repr=False)
    renders: Reals = field(repr=False)
    target: Reals = field(repr=False)
    confidence_features: "ConfidenceFeatures" = field(repr=False)
    spread_mm2: Reals = field(repr=False)
    mirrored: bool = False
    hand_margin: float | None = None
    proposals: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:  # what is copied and pickled
        return {**vars(self), "versions": self.versions, "renders": self.renders}

    @property
    def ignored_pixels(self) -> int:
        """How many pixels of the image were left out."""
        return _count(self.observation.ignored)

    @property
    def other_pixels(self) -> int:
        """How many pixels that hang together with the hand are of something else: a held object, another hand."""
        return _count(self.observation.other)

    def __repr__(self) -> str:
        from handopt.assess.confidence import confidence_text

        told = f"{self.hand} hand, confidence {confidence_text(self.confidence)}"
        return f"<FitResult of {self.image or 'an array'}: {told}. {self.status}>"

    def _repr_html_(self) -> str:
        """The hand in 3D, as notebooks show it: a page of its own that needs no network."""
        from handopt.viewer.notebook import framed_page

        return framed_page(self._scene().packed(), repr(self))

    def _scene(self) -> "Scene":
        """What the viewer shows."""
        from handopt.assess.confidence import confidence_text
        from handopt.observation.crop import Crop
        from handopt.rig.skinned import Skinned
        from handopt.viewer.scene import TRACKED, Scene, alternatives_of, progress_of

        rig = with_shape(self.rig, self.proportions) if len(self.proportions) else self.rig
        middle, count = 0.5 * (self.joints_mm.min(axis=0) + self.joints_mm.max(axis=0)), len(self.trace.scale)
        x, y, z = (float(value) for value in middle)
        depth = Crop((x, y, z), SHOWN_HALF_MM, SHOWN_PX, self.camera).look_up(self.observation.depth_mm)[2]
        others = [(each.hand, each.unexplained_fraction, each.joints_mm) for each in self.alternatives]
        total = np.asarray(self.history["total"], np.float64)
        return Scene(
            "fit", PurePath(self.image or "depth image").name,
            f"{self.hand} hand, confidence {confidence_text(self.confidence)}. {self.status}",
            self.camera, Skinned.of(rig, np.asarray(self.rest_mm)), self.trace.rotation, self.trace.translation_mm,
            self.trace.angles_rad, self.trace.scale, np.full(count, TRACKED), progress_of(total),
            tuple(f"iteration {row + 1} of {count}, objective {value:.5g}" for row, value in enumerate(total)),
            depth[None], middle[None], SHOWN_HALF_MM, self.joint_visible[None], self.joint_uncertainty_mm[None],
            alternatives_of(others),
        )  # fmt: skip

    def to_frame(self) -> "DataFrame":
        """The 21 joints as a pandas table, a row each, with the columns of joint_columns.

        Raises OutputError where pandas is missing.
        """
        pandas = import_extra("pandas", "a table of joints", "tables")
        columns = joint_columns(
            self.joints_mm, self.camera, self.joint_visible, self.joint_uncertainty_mm, self.confidence
        )
        return cast("DataFrame", pandas.DataFrame({"image": self.image, "hand": self.hand, **columns}))

    def plot(self) -> "Figure":
        """The hand's joints over the depth image, and the fitted depth beside it, as a Matplotlib figure.

        A notebook shows what the call returns; `.savefig(path)` writes it. Raises OutputError where Matplotlib is
        missing.
        """
        import_extra("matplotlib", "a plot", "plots")
        from matplotlib.figure import Figure

        figure = Figure((10.0, 4.6), layout="constrained")
        figure.suptitle(repr(self)[1:-1], fontsize=9)
        joints = np.asarray(self.camera.project(self.joints_mm))
        shown = np.isfinite(joints).all(axis=1)
        low, high = joints[shown].min(axis=0) - PLOT_MARGIN_PX, joints[shown].max(axis=0) + PLOT_MARGIN_PX
        near, far = self.joints_mm[:, 2].min() - PLOT_MARGIN_MM, self.joints_mm[:, 2].max() + PLOT_MARGIN_MM
        for axes, title, depth in zip(
            figure.subplots(1, 2, sharex=True, sharey=True),
            ("observed depth and joints", "fitted depth"),
            (self.observation.depth_mm, self.fitted_depth_mm),
            strict=True,
        ):
            picture = axes.imshow(np.where(depth > 0, depth, np.nan), cmap="viridis_r", vmin=near, vmax=far)
            axes.set(title=title, xlim=(low[0], high[0]), ylim=(high[1], low[1]), xlabel="u, px", ylabel="v, px")
        figure.colorbar(picture, ax=figure.axes, label="depth, mm")
        for parent, child in BONES:
            bone = joints[[parent, child]]
            style = "-" if self.joint_visible[child] else ":"
            figure.axes[0].plot(*bone.T, style, color=f"C{(child - 1) // 4}", linewidth=2, marker="o", markersize=3)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values, format "handopt.result/1"; numbers that are not finite become None."""
        shaped = with_shape(self.rig, self.proportions) if len(self.proportions) else self.rig
        offsets = np.linalg.norm(np.asarray(self.rest_mm, np.float64) - shaped.rest_mm, axis=1)
        document = {
            "format": FORMAT,
            "image": self.image,
            "hand": self.hand,
            "status": self.status,
            "converged": self.converged,
            "camera": self.camera.to_dict(),
            "keypoints": KEYPOINT_NAMES,
            "joints_mm": self.joints_mm,
            "pose": {
                "rotation": self.rotation,
                "translation_mm": self.translation_mm,
                "angles_rad": dict(zip(ANGLE_NAMES, np.asarray(self.angles_rad), strict=True)),
            },
            "shape": {
                "kind": self.shape_kind,
                "scale": self.scale,
                **self.rig.shape_values(self.proportions),
                "vertices": len(offsets),
                "vertex_offset_mm": {"mean": offsets.mean(), "max": offsets.max()},
            },
            "residual_mm": self.residual_mm,
            "silhouette_iou": self.silhouette_iou,
            "unexplained_fraction": self.unexplained_fraction,
            "limb_fraction": self.limb_fraction,
            "confidence": self.confidence,
            "joint_visible": self.joint_visible,
            "joint_uncertainty_mm": np.round(self.joint_uncertainty_mm, 2),
            "hand_margin": self.hand_margin,
            "alternatives": [vars(alternative) for alternative in self.alternatives],
            "terms": self.terms,
            "iterations": self.iterations,
            "seconds": self.seconds,
            "device": self.device,
            "seed": self.seed,
            "config": self.config,
            "versions": self.versions,
            "ignored_pixels": self.ignored_pixels,
            "other_pixels": self.other_pixels,
            "mirrored": self.mirrored,
            "notes": self.notes,
        }
        if self.proposals is not None:
            document["proposals"] = self.proposals
        return {name: plain(value) for name, value in document.items()}

    def to_json(self) -> str:
        """The result as indented JSON text (RFC 8259), rows of numbers on one line each."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return _ROW_OF_NUMBERS.sub(lambda row: "[" + re.sub(r",\s+", ", ", row[1]) + "]", readable(text)) + "\n"


for _name in ("versions", "renders"):  # functions may give them; in the class this would be the fields' default
    setattr(FitResult, _name, MadeWhenAsked(_name))


def joint_columns(
    joints_mm: Reals,
    camera: "Camera",
    visible: npt.NDArray[np.bool_],
    uncertainty_mm: Reals,
    confidence: float,
) -> dict[str, Any]:
    """Columns of a tidy table with one row for each of the 21 joints.

    joint: its name; x_mm, y_mm, z_mm: in the camera frame; u_px, v_px: column and row in the image, NaN behind the
    camera; joint_visible; joint_uncertainty_mm; confidence: of the whole hand, the same in each row.
    """
    places, pixels = np.asarray(joints_mm, np.float64), np.asarray(camera.project(joints_mm), np.float64)
    return {
        "joint": list(KEYPOINT_NAMES),
        **{f"{axis}_mm": places[:, column] for column, axis in enumerate("xyz")},
        **{f"{axis}_px": pixels[:, column] for column, axis in enumerate("uv")},
        "joint_visible": np.asarray(visible, bool),
        "joint_uncertainty_mm": np.asarray(uncertainty_mm, np.float64),
        "confidence": np.full(len(places), float(confidence)),
    }


@cache
def _schema_text() -> str:
    return (files("handopt") / "schema" / "result-1.json").read_text(encoding="utf-8")


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of "handopt.result/1", with a description and a unit for every field."""
    document: dict[str, Any] = json.loads(_schema_text())
    return document


def _count(pixels: BoolImage | None) -> int:
    return 0 if pixels is None else int(np.count_nonzero(pixels))


def plain(value: Any) -> Any:
    """Turn numpy values, paths, mappings and sequences into JSON values; a number that is not finite becomes None."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    raise TypeError(f"result: expected a value that JSON can hold, got {type(value).__name__}")
