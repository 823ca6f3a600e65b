"""All settings of a fit in one object, which a TOML file can change."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from msgspec import Meta

from handopt.config.constraints import (
    MOST_HYPOTHESES,
    MOST_PARTS,
    Checked,
    Fraction,
    Hypotheses,
    Iterations,
    LengthMm,
    NonNegative,
    PointCount,
    PositiveHypotheses,
    RadiusPx,
    Seed,
    build,
    build_from_toml,
)
from handopt.config.schedules import (
    COARSE_ROUND,
    ROUNDS,
    SPACE_ROUND,
    STAGES,
    DescentStage,
    Steps,
    TournamentRound,
    VertexStage,
)
from handopt.config.weights import Weights

Shape = Literal["none", "scale", "proportions", "vertices"]
Solver = Literal["auto", "lm", "gradient"]
StepRule = Literal["adam", "momentum"]
SHAPES: Final = get_args(Shape)
SOLVERS: Final = get_args(Solver)
DESCENTS: Final = get_args(StepRule)

Part = TypeVar("Part", DescentStage, TournamentRound)


@dataclass(frozen=True)
class Config(Checked):
    """All settings of a fit. Raises ConfigError, with the path of the setting, on values that make no sense."""

    weights: Weights = field(default_factory=Weights)
    steps: Steps = field(default_factory=Steps)
    stages: Annotated[tuple[DescentStage, ...], Meta(min_length=1, max_length=MOST_PARTS)] = STAGES
    rounds: Annotated[tuple[TournamentRound, ...], Meta(min_length=1, max_length=MOST_PARTS)] = ROUNDS
    # The round that comes first where a pose to start from is given.
    coarse_round: TournamentRound = COARSE_ROUND
    vertices: VertexStage = field(default_factory=VertexStage)
    # lm: a tournament of Levenberg-Marquardt (rounds), ranked by its own cost; auto: the same, ranked by the
    # unexplained fraction; gradient: descent on the rendered depth (stages), as in the paper.
    solver: Solver = "auto"
    # How gradient descent makes its steps.
    descent: StepRule = "adam"
    # Starts of the tournament for each candidate hand, from the network; 0 takes the fixed starts. [tuned]: with
    # fixed starts 45 instead of 92 % of hard images are right, and with 64 proposals as many as with 16; 24 find
    # a little more on real ones.
    proposals: Hypotheses = 24
    # Limb fraction, with what unlikely poses add, above which the search is repeated with three times as many
    # hypotheses. [hand]
    retry: NonNegative = 0.14
    # Hypotheses that enter the first stage of gradient descent, the best of all fixed starts. [tuned]: better than 48
    starts: PositiveHypotheses = 96
    # Radius of a splat in the renders of a tournament, px. [hand]
    render_px: RadiusPx = 3.5
    # Side of the renderer's image, px. [paper]
    crop_px: Annotated[int, Meta(ge=16, le=512)] = 120
    # Half the side of the cube around the hand, mm. [hand]: room for a stretched hand of any size
    crop_half_mm: LengthMm = 125.0
    # Observed points that are drawn; gradient descent compares at most 1000 of them. [tuned]: better than 1000
    points: PointCount = 2000
    # Gradient descent's share of point-to-plane against point-to-point distance. [hand]
    plane: Fraction = 0.6
    # Radius of a bone's cylinder in the collision term, mm. [hand]: about that of a finger
    collision_radius_mm: LengthMm = 9.0
    # How far a vertex may lie in front of the observed surface without cost, mm. [hand]
    front_margin_mm: NonNegative = 3.0
    # Difference where the depth term turns from squared to absolute, in closeness. [hand]
    huber: NonNegative = 0.02
    # Weight of the depth term's pixels where the hand is proven not to be. [hand]
    free_weight: NonNegative = 0.3
    # Relative decrease of the objective over 10 iterations below which a stage has converged. [hand]
    tolerance: NonNegative = 1e-4

    def times(self, factor: int) -> "Config":
        """The same settings with `factor` times as many hypotheses, within their range."""
        if factor == 1:
            return self

        def more(item: Part, *names: str) -> Part:
            changes: dict[str, Any] = {name: multiplied(getattr(item, name)) for name in names}
            return dataclasses.replace(item, **changes)

        def multiplied(count: int) -> int:
            return min(factor * count, MOST_HYPOTHESES)

        of_round = "top_k_out", "top_k_in", "mutations"
        return dataclasses.replace(
            self,
            starts=multiplied(self.starts),
            stages=tuple(more(each, "top_k_out", "parents") for each in self.stages),
            rounds=tuple(more(each, *of_round) for each in self.rounds),
            coarse_round=more(self.coarse_round, *of_round),
        )

    def with_space(self) -> "Config":
        """The same settings for a model with a shape space of its own, which has a round of its own at the end.

        The space says how people's hands differ, sizes included: its prior counts a tenth, that of the scale tenfold.
        """
        weights = self.weights
        weights = dataclasses.replace(weights, proportions=weights.proportions / 10, size=weights.size * 10)
        points = max(self.points, SPACE_ROUND.lm_settings.points)
        return dataclasses.replace(self, rounds=(*self.rounds, SPACE_ROUND), weights=weights, points=points)

    def with_shape(self, shape: str) -> "Config":
        """The same settings with only that freed which a shape allows: 'none' nothing, 'scale' the hand's size."""
        if shape not in ("none", "scale"):
            return self
        sized = shape == "scale"
        return dataclasses.replace(
            self,
            stages=tuple(dataclasses.replace(each, scale=sized and each.scale) for each in self.stages),
            rounds=tuple(
                dataclasses.replace(
                    each,
                    lm_settings=dataclasses.replace(
                        each.lm_settings, scale=sized and each.lm_settings.scale, proportions=False
                    ),
                )
                for each in self.rounds
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_toml(cls, path: Path) -> "Config":
        """Read settings from a TOML file; what it does not name keeps its default. Raises ConfigError."""
        return build_from_toml(cls, path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Read settings from nested plain values; what they do not name keeps its default. Raises ConfigError."""
        return build(cls, values)


@dataclass(frozen=True)
class FitSettings(Checked):
    """What is the same for all images of a run, from the command or the call down to the kernels. Raises ConfigError.

    shape: what is fitted besides the pose: 'none', 'scale' (the hand's size), 'proportions' (of fingers and palm as
    well; gradient descent leaves them out) or 'vertices' (the surface as well). config: every other setting. device:
    'auto', 'cpu', 'cuda' or 'cuda:N'. seed: of the points that are drawn. proposals: a handopt.load_model whose poses
    take the place of those of handopt's own network. refine: None searches; a number takes the pose that the network
    predicts, and refines it by as many steps of Levenberg-Marquardt.
    """

    shape: Shape = "proportions"
    config: Config = field(default_factory=Config)
    device: str = "auto"
    seed: Seed = 0
    proposals: Any = None
    refine: Iterations | None = None
