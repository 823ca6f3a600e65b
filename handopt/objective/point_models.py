"""The arrays of a hand and of targets as a GPU minimises poses with them, kept from call to call."""

from dataclasses import dataclass

from handopt.backend import Array, namespace, to_numpy
from handopt.hand_model import Hand
from handopt.objective.targets import FitTargets
from handopt.ops.minimise_poses_grid import PointModel


class PointModels:
    """The last model by the number of observed points and of proportions."""

    def __init__(self) -> None:
        self._hands: dict[int, _HandPoints] = {}
        self._models: dict[tuple[int, int], tuple[Hand, FitTargets, PointModel]] = {}

    def model(self, hand: Hand, targets: FitTargets, points: int, shapes: int) -> PointModel:
        """The arrays of a hand and of targets, checked when they are first met."""
        known = self._models.get((points, shapes))
        if known is not None and known[0] is hand and known[1] is targets:
            return known[2]
        own = self._hands.get(shapes)
        if own is None or not hand.moves_like(own.of):
            own = self._hands[shapes] = _HandPoints.made(hand, shapes)
        model = PointModel(
            *(namespace(hand.device).concatenate([hand.rest, hand.keypoints]), own.indices, own.weights, own.basis),
            *(hand.normals, hand.bind, hand.parents, hand.articulated, hand.bones, hand.lower, hand.upper),
            *(hand.joint_basis[:shapes], hand.ancestry, hand.columns, own.moving, targets.points[:, :points].copy()),
            *(targets.coefficients, targets.field, targets.nearest_depth, targets.mm_per_px, targets.votes),
        )
        self._models[points, shapes] = hand, targets, model
        return model


@dataclass(frozen=True, eq=False)
class _HandPoints:
    """What of a hand's vertices and keypoints holds in all its proportions, as in PointModel; of: that hand."""

    of: Hand
    indices: Array
    weights: Array
    basis: Array
    moving: int

    @classmethod
    def made(cls, hand: Hand, shapes: int) -> "_HandPoints":
        """Join vertices and keypoints."""
        xp, more = namespace(hand.device), hand.indices.shape[1] - 1
        padding = ((0, 0), (0, more))
        indices = xp.concatenate([hand.indices, xp.pad(hand.keypoint_joints, padding)])
        weights = xp.concatenate([hand.weights, xp.pad(hand.ones, padding)])
        moved = hand.joint_basis[:shapes, hand.keypoint_joints[:, 0]]
        basis = xp.concatenate([hand.vertex_basis[:shapes], moved], axis=1)
        return cls(hand, indices, weights, basis, int((to_numpy(hand.columns) >= 0).sum()))
