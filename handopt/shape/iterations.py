"""The way to a shape: poses, terms and offsets at every iteration."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handopt.backend import to_numpy
from handopt.hand_model import Pose
from handopt.shape.bundle_adjustment import RecordShape
from handopt.typing import Floats


@dataclass
class Snapshot:
    """One iteration. pose: of B right hands, on the host; terms: (B,) each; offsets_mm: (V, 3)."""

    stage: str
    pose: Pose
    terms: dict[str, Floats]
    offsets_mm: NDArray[np.float32] = field(repr=False)


@dataclass
class History:
    """All iterations in order."""

    moments: list[Snapshot] = field(default_factory=list)

    def recorder(self, stage: str) -> RecordShape:
        """A function that notes an iteration of a stage."""

        def record(pose: Pose, terms: dict[str, Floats], offsets_mm: Floats) -> None:
            host = Pose(**{name: to_numpy(value).copy() for name, value in vars(pose).items()})
            self.moments.append(Snapshot(stage, host, terms, offsets_mm.astype(np.float32)))

        return record

    def table(self) -> dict[str, NDArray[np.generic]]:
        """Columns by iteration: the stage, each term's mean over the images, their sum, and what the shape is."""
        names = list(self.moments[0].terms)
        columns: dict[str, NDArray[np.generic]] = {"stage": np.array([each.stage for each in self.moments])}
        for name in names:
            columns[name] = np.array([each.terms[name].mean() for each in self.moments])
        columns["total"] = np.sum([columns[name] for name in names], axis=0)
        columns["scale"] = np.array([each.pose.scale[0] for each in self.moments], np.float64)
        columns["offset_rms_mm"] = np.array(
            [np.sqrt((each.offsets_mm.astype(np.float64) ** 2).sum(axis=1).mean()) for each in self.moments]
        )
        return columns
