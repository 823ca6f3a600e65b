"""What a shape fit did: poses, terms and offsets at every iteration, and where it stands."""

from dataclasses import dataclass, field

import numpy as np

from handopt.backend import to_numpy
from handopt.hand_model import Pose
from handopt.objective.targets import FitTargets
from handopt.shape.bundle_adjustment import RecordShape
from handopt.shape.state import HandShape
from handopt.shape.surface_refinement import SurfaceRefinement
from handopt.typing import AnyArray, Floats, Points


@dataclass
class Snapshot:
    """One iteration. pose: of B right hands, on the host; terms: (B,) each; offsets_mm: (V, 3)."""

    stage: str
    pose: Pose
    terms: dict[str, Floats]
    offsets_mm: Points = field(repr=False)


@dataclass
class ShapeHistory:
    """All iterations in order."""

    snapshots: list[Snapshot] = field(default_factory=list)

    def recorder(self, stage: str) -> RecordShape:
        """A function that adds an iteration of a stage."""

        def record(pose: Pose, terms: dict[str, Floats], offsets_mm: Floats) -> None:
            host = Pose(**{name: to_numpy(value).copy() for name, value in vars(pose).items()})
            self.snapshots.append(Snapshot(stage, host, terms, offsets_mm.astype(np.float32)))

        return record

    def table(self) -> dict[str, AnyArray]:
        """Columns by iteration: the stage, each term's mean over the images, their sum, and what the shape is."""
        names = list(self.snapshots[0].terms)
        columns: dict[str, AnyArray] = {"stage": np.array([each.stage for each in self.snapshots])}
        for name in names:
            columns[name] = np.array([each.terms[name].mean() for each in self.snapshots])
        columns["total"] = np.sum([columns[name] for name in names], axis=0)
        columns["scale"] = np.array([each.pose.scale[0] for each in self.snapshots], np.float64)
        columns["offset_rms_mm"] = np.array(
            [np.sqrt((each.offsets_mm.astype(np.float64) ** 2).sum(axis=1).mean()) for each in self.snapshots]
        )
        return columns


@dataclass
class ShapeFit:
    """Where a shape fit stands: poses (B) of right hands, the shape, the images, and the iterations so far.

    converged, surface_status: whether the free surface has converged, and a sentence on how its stage ended
    """

    pose: Pose
    shape: HandShape
    targets: FitTargets
    refinement: SurfaceRefinement
    history: ShapeHistory
    converged: bool = False
    surface_status: str = ""
