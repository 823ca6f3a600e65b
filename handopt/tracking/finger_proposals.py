"""Proposals with one finger redrawn: from a grid, and towards patches of the hand that no pose explains."""

from itertools import product

import numpy as np

from handopt.backend import to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Pose
from handopt.observation.crop import Crop, Grid
from handopt.ops.surfaces import label_regions
from handopt.optimise.finger_mutation import GRIDS, ROWS
from handopt.rig.anatomy import DIP_OF_PIP, TIP_DEPTH_MM
from handopt.rig.joints import TIPS
from handopt.tracking.config import FingerProposalConfig
from handopt.tracking.frame_residuals import ShapeEstimate, Temporal
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.roi import RoiObservation
from handopt.tracking.tracking_model import ShapedHand, TrackingModel
from handopt.typing import Floats, Reals


class FingerProposer:
    """Redraws single fingers of a pose."""

    def __init__(self, model: TrackingModel, config: FingerProposalConfig) -> None:
        """Tabulate where the tip of each finger can be."""
        self._model, self._config = model, config
        limits = model.rig.limits
        parts = [slice(ROWS * finger, ROWS * (finger + 1)) for finger in range(len(GRIDS))]
        self._parts = parts
        self._grids = [np.clip(grid, limits.lower[p], limits.upper[p]) for grid, p in zip(GRIDS, parts, strict=True)]
        dense = (_thumb(), *[_finger()] * (len(GRIDS) - 1))
        self._dense = [np.clip(grid, limits.lower[p], limits.upper[p]) for grid, p in zip(dense, parts, strict=True)]
        self._tips = [self._reach(finger) for finger in range(len(GRIDS))]
        self._finger_of = np.repeat(np.arange(len(GRIDS)), [len(grid) for grid in self._grids])

    def finger_proposals(
        self,
        roi: RoiObservation,
        lm_settings: LMSettings,
        shaped: ShapedHand,
        pose: Pose,
        temporal: Temporal,
        targets: Floats,
    ) -> Pose:
        """The first pose with each finger at its cheapest place on a grid, and with fingers that reach for targets.

        targets: (N, 3) mm in the wrist's frame, see `unexplained_patches`. Returns at least one pose per finger.
        """
        base = to_numpy(pose.angles)[0].astype(np.float64)
        drawn = np.repeat(base[None], len(self._finger_of), axis=0)
        for finger, (part, grid) in enumerate(zip(self._parts, self._grids, strict=True)):
            drawn[self._finger_of == finger, part] = grid
        costs = to_numpy(
            self._model.problem(roi, lm_settings, shaped, temporal).cost(self._model.redrawn(pose, drawn), lm_settings)
        )
        costs = np.where(np.isfinite(costs), costs, np.inf)
        best = [np.flatnonzero(self._finger_of == finger) for finger in range(len(GRIDS))]
        kept = drawn[[int(rows[costs[rows].argmin()]) for rows in best]]
        return self._model.redrawn(pose, np.concatenate([kept, self._reaching(targets, base)]))

    def _reaching(self, targets: Floats, base: Floats) -> Floats:
        """Angles (N, 15, 3), each with one finger's tip near a target, those with the least distance and turn."""
        config = self._config
        options = []
        for target in targets:
            own = []
            for part, grid, tips in zip(self._parts, self._dense, self._tips, strict=True):
                away = np.linalg.norm(tips - target, axis=1)
                turn = np.abs(grid - base[part]).max(axis=(1, 2))
                cost = (away / config.distance_mm) ** 2 + (turn / config.turn_rad) ** 2
                best = int(cost.argmin())
                if away[best] < config.max_distance_mm:
                    angles = base.copy()
                    angles[part] = grid[best]
                    own.append((float(cost[best]), angles))
            options += sorted(own, key=lambda each: each[0])[: config.fingers_per_patch]
        options = sorted(options, key=lambda each: each[0])[: config.max_proposals]
        return np.array([angles for _, angles in options]).reshape(-1, 15, 3)

    def _reach(self, finger: int) -> Floats:
        """Tips (N, 3) of a finger in the wrist's frame, mm."""
        model, grid = self._model, self._dense[finger]
        angles = np.zeros((len(grid), 15, 3))
        angles[:, self._parts[finger]] = grid
        rest = ShapeEstimate(np.zeros(1 + len(model.rig.shape_names)), np.zeros((0, 0)))
        pose = model.poses([Placed(np.eye(3), np.zeros(3), each) for each in angles], rest)
        joints = model.hand.joints(model.hand.transforms(pose))
        return np.asarray(to_numpy(joints)[:, TIPS[finger]], np.float64)


def unexplained_patches(
    depth_mm: Reals, grid: Grid, crop: Crop, placed: Placed, scale: float, config: FingerProposalConfig
) -> Floats:
    """Middles (N, 3) of the largest patches that a z-buffer (S, S) mm does not explain, in the wrist's frame, mm."""
    off = grid.hand & ((depth_mm == 0) | (np.abs(depth_mm - grid.depth_mm) > config.off_mm))
    whole = off[:-1, :-1] & off[1:, :-1] & off[:-1, 1:] & off[1:, 1:]  # lines along edges are noise
    labels, count = label_regions(whole)
    areas = np.bincount(labels.ravel(), minlength=count + 1) * crop.mm_per_px**2 / 100
    areas[0] = 0
    largest = [each for each in np.argsort(-areas)[: config.patches] if areas[each] >= config.min_patch_cm2]
    ax, bx, ay, by = (float(each) for each in crop.coefficients[:4])
    middles = np.zeros((len(largest), 3))
    for row, each in enumerate(largest):
        rows, columns = np.nonzero(labels == each)
        ray = np.array([(np.median(columns) + 0.5 - bx) / ax, (np.median(rows) + 0.5 - by) / ay, 1.0])
        middles[row] = np.median(grid.depth_mm[rows, columns]) * ray + TIP_DEPTH_MM * ray / np.linalg.norm(ray)
    return np.asarray((middles - placed.translation_mm) @ placed.rotation / scale)


def _finger() -> Floats:
    """(243, 3, 3): bends of MCP and PIP, and three directions."""
    bends = product(np.linspace(-0.2, 1.6, 9), np.linspace(0.0, 1.7, 9), (-0.25, 0.0, 0.25))
    return np.array([[[0, side, mcp], [0, 0, pip], [0, 0, DIP_OF_PIP * pip]] for mcp, pip, side in bends])


def _thumb() -> Floats:
    """(243, 3, 3): opposition, reach and bends of the thumb."""
    ways = product((0.0, 0.4, 0.8), (-0.3, 0.0, 0.3), (-0.3, 0.1, 0.5), (0.0, 0.4, 0.8), (0.0, 0.5, 1.0))
    return np.array([[[twist, side, cmc], [0, 0, mcp], [0, 0, ip]] for twist, side, cmc, mcp, ip in ways])
