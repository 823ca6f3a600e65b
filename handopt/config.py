"""Every setting of a fit in one place: weights of the objective, starts, stages, solver. Settable from a TOML file."""

import dataclasses
import difflib
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handopt.errors import ConfigError


@dataclass(frozen=True)
class Weights:
    """Weight of each term of the objective. Every term is scaled to about 1 for a fit that is one unit off.

    depth belongs to gradient descent alone, front and proportions to least squares.
    """

    depth: float = 4.0  # rendered against observed closeness, mean over the hand's pixels; 1 = the crop's depth
    silhouette: float = 3.0  # squared distance of projected vertices to the hand's region, in (10 mm)^2
    points: float = 4.0  # observed points to the nearest visible vertex, robust: 0 on the surface, 1 far away
    collision: float = 1.0  # joints inside the cylinders of bones, in (10 mm)^2 (paper, Eq. 14 to 22, corrected)
    limits: float = 1.0  # squared overshoot of joint limits, rad^2 (paper, Table 1)
    prior: float = 0.01  # squared deviation from a relaxed hand, in standard deviations, summed over the angles
    size: float = 0.005  # squared deviation of the logarithm of the scale from 0, in standard deviations of 8 %
    front: float = 1.0  # of vertices before the observed surface, relative to silhouette
    proportions: float = 0.002  # squared proportions of fingers and palm, in standard deviations of 5 %, summed
    shape: float = 1.0  # squared Laplacian of the vertex offsets, mean over vertices, in mm^2


@dataclass(frozen=True)
class DescentStage:
    """One stage of the descent: coarse to fine."""

    iterations: int
    radius_px: float  # of a splat
    sigma_mm: float  # where an observed point starts to count as an outlier
    step: float  # factor of the solver's step sizes
    top_k_out: int  # hypotheses that go on after this stage
    scale: bool = False  # free the hand's size
    depth: float = 1.0  # factor of the depth term, which the splats' noise makes less exact than the points at the end
    mutants: int = 0  # redrawn poses of each finger that join the best `parents` hypotheses at the stage's start
    parents: int = 3


@dataclass(frozen=True)
class LMSchedule:
    """How Levenberg-Marquardt damps its steps, and when it ends. The defaults are the pose fit's, chosen by hand.

    A damping is a share of the Hessian's diagonal that is added to it: near 0 a step is Gauss-Newton's, and the larger
    it is, the shorter the step.
    """

    iterations: int  # at most
    first_damping: float = 1e-2
    lowest_damping: float = 1e-6
    highest_damping: float = 1e3
    accepted: float = 0.3  # factor of the damping after a step that lowered the cost
    refused: float = 5.0  # factor of the damping after a step that did not
    tolerance: float = 0.0  # relative decrease of the cost below which it has converged; 0: run all iterations


@dataclass(frozen=True)
class LMSettings:
    """One round of Levenberg-Marquardt."""

    iterations: int
    sigma_mm: float  # where an observed point starts to count as an outlier
    points: int = 400  # how many observed points, at most as many as are drawn (Config.points)
    vertices: int = 0  # about how many of the model's vertices, 0 for all
    plane: float = 0.6  # share of point-to-plane against point-to-point distance
    free_space_mm: float = 30.0  # where a vertex beside or before the observed hand starts to count as an outlier
    prior: float = 1.0  # factor of the pose prior
    scale: bool = False  # free the hand's size
    proportions: bool = False  # free the proportions of fingers and palm

    @property
    def schedule(self) -> LMSchedule:
        """The damping and the end of the round."""
        return LMSchedule(self.iterations)


@dataclass(frozen=True)
class TournamentRound:
    """One round of the tournament."""

    lm_settings: LMSettings
    top_k_out: int  # hypotheses that go on
    top_k_in: int = 0  # the best so many enter, 0 for all
    skip_below: float = 0.0  # skipped where the best hypothesis leaves less than this share unexplained
    rank_by_unexplained: bool = False  # by the unexplained share instead of the cost
    mutations: int = 0  # poses with one finger drawn again, those that leave the least unexplained, that join the best


@dataclass(frozen=True)
class Steps:
    """Step sizes per iteration at stage.step = 1: Adam's, or the largest of momentum descent."""

    rotation_rad: float = 0.06
    translation_mm: float = 4.0
    angles_rad: float = 0.08
    scale: float = 0.02
    vertices_mm: float = 0.15


@dataclass(frozen=True)
class VertexStage:
    """The last stage of --shape vertices: rest vertices move along with the pose."""

    iterations: int = 80
    radius_px: float = 3.0
    sigma_mm: float = 6.0
    step: float = 0.25


_STAGES = (
    DescentStage(iterations=20, radius_px=8.0, sigma_mm=40.0, step=1.0, top_k_out=24),
    DescentStage(iterations=25, radius_px=6.0, sigma_mm=25.0, step=0.7, top_k_out=8, scale=True),
    DescentStage(iterations=20, radius_px=4.5, sigma_mm=15.0, step=0.5, top_k_out=6, scale=True, mutants=2),
    DescentStage(iterations=20, radius_px=4.5, sigma_mm=15.0, step=0.4, top_k_out=3, scale=True, mutants=2),
    DescentStage(iterations=50, radius_px=3.5, sigma_mm=8.0, step=0.15, top_k_out=1, scale=True, depth=0.25),
)


_CAPTURE = TournamentRound(LMSettings(10, 40.0, points=240, vertices=400, free_space_mm=40.0), top_k_out=6)
_SEEN = LMSettings(6, 6.0, points=400, plane=0.9, free_space_mm=15.0, prior=0.3, scale=True, proportions=True)
_REDRAWN = LMSettings(6, 10.0, points=240, vertices=400, free_space_mm=15.0, prior=0.3, scale=True)
_ROUNDS = (
    TournamentRound(LMSettings(5, 20.0, points=160, vertices=300, free_space_mm=15.0), top_k_out=24, top_k_in=64),
    TournamentRound(LMSettings(5, 15.0, points=160, vertices=300, free_space_mm=15.0, scale=True), top_k_out=10),
    TournamentRound(LMSettings(6, 10.0, points=240, vertices=400, free_space_mm=15.0, scale=True), top_k_out=4),
    TournamentRound(_SEEN, top_k_out=3, rank_by_unexplained=True),
    TournamentRound(_REDRAWN, top_k_out=4, rank_by_unexplained=True, skip_below=0.1, mutations=8),
    TournamentRound(_SEEN, top_k_out=3, rank_by_unexplained=True, skip_below=0.1),
    TournamentRound(_REDRAWN, top_k_out=4, rank_by_unexplained=True, skip_below=0.1, mutations=8),
    TournamentRound(_SEEN, top_k_out=3, rank_by_unexplained=True, skip_below=0.1),
    TournamentRound(
        replace(_SEEN, iterations=8, sigma_mm=5.0, points=2000, plane=0.95, prior=0.1),
        top_k_out=2,
        rank_by_unexplained=True,
    ),
)


@dataclass(frozen=True)
class Config:
    """All settings of a fit; see README for their meaning. Raises ConfigError on values that make no sense."""

    weights: Weights = field(default_factory=Weights)
    steps: Steps = field(default_factory=Steps)
    stages: tuple[DescentStage, ...] = _STAGES
    rounds: tuple[TournamentRound, ...] = _ROUNDS
    coarse_round: TournamentRound = _CAPTURE  # the round that comes first where a pose to start from is given
    vertices: VertexStage = field(default_factory=VertexStage)
    solver: str = "auto"  # or "lm": Levenberg-Marquardt (rounds), or "gradient": descent on the rendered depth (stages)
    descent: str = "adam"  # or "momentum": how gradient descent makes its steps
    proposals: int = 64  # starts of the tournament for each candidate hand, from the bank of poses; 0: the fixed starts
    retry: float = 0.14  # where the search leaves more of the observation unexplained, a larger one follows
    starts: int = 96  # hypotheses that enter the first stage of gradient descent, the best of all fixed starts
    render_px: float = 3.5  # radius of a splat in the renders of a tournament
    crop_px: int = 120  # side of the renderer's image
    crop_half_mm: float = 125.0  # half the side of the cube around the hand
    points: int = 2000  # observed points drawn; gradient descent compares at most 1000 of them
    plane: float = 0.6  # gradient descent's share of point-to-plane against point-to-point distance
    collision_radius_mm: float = 9.0
    front_margin_mm: float = 3.0  # how far a vertex may lie before the observed surface
    huber: float = 0.02  # where the depth term turns from squared to absolute, in closeness
    free_weight: float = 0.3  # weight of the depth term where the hand is proven not to be
    tolerance: float = 1e-4  # relative decrease of the objective over 10 iterations below which a stage has converged

    def __post_init__(self) -> None:
        """Check the ranges of all values."""
        for name, known in (("solver", SOLVERS), ("descent", DESCENTS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("stages", "rounds"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: at least one is needed")
        for path, value in _numbers("", self.to_dict()):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{path}: expected a number of at least 0, got {value!r}")
        for path, value in _numbers("", self.to_dict()):
            if value == 0 and re.sub(r"\[\d+\]", "", path) in _POSITIVE:
                raise ConfigError(f"{path}: must be greater than 0")
        if not self.plane <= 1:
            raise ConfigError(f"plane: expected a number from 0 to 1, got {self.plane!r}")
        rounds = {f"rounds[{number}]": each for number, each in enumerate(self.rounds)}
        for path, each in {"coarse_round": self.coarse_round, **rounds}.items():
            if not each.lm_settings.plane <= 1:
                raise ConfigError(
                    f"{path}.lm_settings.plane: expected a number from 0 to 1, got {each.lm_settings.plane!r}"
                )
        if self.proposals > MAX_PROPOSALS:
            raise ConfigError(f"proposals: expected at most {MAX_PROPOSALS}, got {self.proposals!r}")
        if not 16 <= self.crop_px <= 1024:
            raise ConfigError(f"crop_px: expected 16 to 1024, got {self.crop_px!r}")

    def times(self, factor: int) -> "Config":
        """The same settings with `factor` times as many hypotheses."""
        if factor == 1:
            return self

        def more(items: Any, names: tuple[str, ...]) -> Any:
            return tuple(
                dataclasses.replace(item, **{name: factor * getattr(item, name) for name in names}) for item in items
            )

        return dataclasses.replace(
            self,
            starts=factor * self.starts,
            stages=more(self.stages, ("top_k_out", "parents")),
            rounds=more(self.rounds, ("top_k_out", "top_k_in", "mutations")),
            coarse_round=more((self.coarse_round,), ("top_k_out", "top_k_in", "mutations"))[0],
        )

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_toml(cls, path: Path) -> "Config":
        """Read settings from a TOML file; what it does not name keeps its default. Raises ConfigError."""
        try:
            with path.open("rb") as file:
                values = tomllib.load(file)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"--config {path} cannot be read: {error}") from error
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"--config {path}: {error}") from None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Read settings from nested plain values; what they do not name keeps its default. Raises ConfigError."""
        return _build(cls, values, "")  # type: ignore[no-any-return]


MAX_PROPOSALS = 10_000
SOLVERS = ("auto", "lm", "gradient")
DESCENTS = ("adam", "momentum")
_POSITIVE = (
    *("starts", "points", "crop_half_mm", "collision_radius_mm"),
    *(f"stages.{name}" for name in ("iterations", "radius_px", "sigma_mm", "top_k_out", "parents")),
    *(f"vertices.{name}" for name in ("iterations", "radius_px", "sigma_mm")),
    "render_px",
    "rounds.top_k_out",
    "coarse_round.top_k_out",
    *(
        f"{table}.lm_settings.{name}"
        for table in ("rounds", "coarse_round")
        for name in ("iterations", "sigma_mm", "points", "free_space_mm")
    ),
)


def _numbers(path: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _numbers(f"{path}.{key}".lstrip("."), item)]
    if isinstance(value, (list, tuple)):
        return [leaf for index, item in enumerate(value) for leaf in _numbers(f"{path}[{index}]", item)]
    return [(path, value)] if isinstance(value, (int, float)) else []


def _build(kind: Any, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{path.rstrip('.') or 'the file'}: expected a table, got {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    arguments = {}
    for key, value in values.items():
        where = f"{path}{key}"
        if key not in fields:
            close = difflib.get_close_matches(key, fields, 1)
            raise ConfigError(
                f"{where} is unknown; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(fields)}")
            )
        wanted: Any = fields[key].type
        if dataclasses.is_dataclass(wanted):
            arguments[key] = _build(wanted, value, f"{where}.")
        elif key in ("stages", "rounds"):
            if not isinstance(value, list):
                raise ConfigError(f"{where}: expected an array of tables [[{key}]], got {value!r}")
            item_kind = DescentStage if key == "stages" else TournamentRound
            arguments[key] = tuple(_build(item_kind, item, f"{where}[{n}].") for n, item in enumerate(value))
        elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                arguments[key] = float(value)
            except OverflowError:
                raise ConfigError(f"{where}: the number is too large") from None
        elif type(value) is not wanted:
            raise ConfigError(f"{where}: expected {wanted.__name__}, got {value!r}")
        else:
            arguments[key] = value
    missing = [name for name, f in fields.items() if name not in arguments and _required(f)]
    if missing:
        raise ConfigError(f"{path}{missing[0]} is missing")
    return kind(**arguments)


def _required(setting: Any) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING
