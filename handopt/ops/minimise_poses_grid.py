"""Levenberg-Marquardt for poses on a GPU: a few launches for each iteration of a whole batch, and no synchronisation.

The same terms, steps and results as minimise_poses but for rounding; kernels/pose_iteration.cu says what is launched.
Poses that are tried, their costs, and whether they are kept: all that stays on the device until the last iteration. A
call of sizes and settings that came before is one launch of a CUDA graph (handopt.backend.cuda_graphs).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod
from types import SimpleNamespace

import numpy as np

from handopt.backend import Arguments, Array, launch, launched, split
from handopt.errors import ShapeError
from handopt.ops.minimise_poses import (
    POSES,
    TERMS,
    PoseMinimum,
    PosePriors,
    Steps,
    TermWeights,
    checked_poses,
    prior_arrays,
)
from handopt.ops.normal_equations import MAX_PARAMETERS, MAX_ROWS, PANEL, RIGID, panel_columns


@dataclass(frozen=True, eq=False)
class PointModel:
    """What the kernels compare poses with, as arrays of one device and real type: a hand and I observed images.

    A hand's points are its V vertices, then its M keypoints, U in all: rest (U, 3), indices and weights (U, K), zero
    weights last, point_basis (S, U, 3); of vertices alone rest_normals (V, 3). bind (J, 3, 4), parents (J,),
    articulated (A,), bones (N, 2) of keypoints, lower and upper (A, 3), joint_basis (S, J, 3), ancestry (J, D) and
    columns (A, 3), of which `moving` are not -1. Of the images: observed (I, O, 3), coefficients (I, 6), field and
    nearest_depth (I, W, W), mm_per_px (I,), votes (I, M, 4). As in the ops of the same arguments. Raises ShapeError.
    """

    rest: Array
    indices: Array
    weights: Array
    point_basis: Array
    rest_normals: Array
    bind: Array
    parents: Array
    articulated: Array
    bones: Array
    lower: Array
    upper: Array
    joint_basis: Array
    ancestry: Array
    columns: Array
    moving: int
    observed: Array
    coefficients: Array
    field: Array
    nearest_depth: Array
    mm_per_px: Array
    votes: Array

    def __post_init__(self) -> None:
        """Check every array once, for all calls."""
        n = self.sizes
        if n["A"] > MAX_ROWS or self.parameters > MAX_PARAMETERS:
            raise ShapeError(
                f"expected at most {MAX_ROWS} articulated joints and {MAX_PARAMETERS} parameters, got {n['A']} and "
                f"{self.parameters}"
            )

    @property
    def parameters(self) -> int:
        """How many parameters the normal equations have."""
        return RIGID + self.moving + self.sizes["S"]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The sizes of the arrays by letter."""
        call, own = Arguments(), {each.name: getattr(self, each.name) for each in fields(self)}
        for name, shape in _REAL.items():
            if name == "votes":
                call.size["M"] = call.size["U"] - call.size["V"]
            call.real(name, own[name], shape)
        call.whole("parents", self.parents, ("J",), below="J", lowest=-1)
        call.whole("articulated", self.articulated, ("A",), below="J")
        call.whole("indices", self.indices, ("U", "K"), below="J")
        call.whole("bones", self.bones, ("N", 2), below="M")
        call.whole("ancestry", self.ancestry, ("J", "D"), below="A", lowest=-1)
        call.whole("columns", self.columns, ("A", 3))
        return call.size


_REAL: dict[str, tuple[int | str, ...]] = {
    "rest": ("U", 3),
    "weights": ("U", "K"),
    "point_basis": ("S", "U", 3),
    "rest_normals": ("V", 3),
    "bind": ("J", 3, 4),
    "lower": ("A", 3),
    "upper": ("A", 3),
    "joint_basis": ("S", "J", 3),
    "observed": ("I", "O", 3),
    "coefficients": ("I", 6),
    "field": ("I", "W", "W"),
    "nearest_depth": ("I", "W", "W"),
    "mm_per_px": ("I",),
    "votes": ("I", "M", 4),
}
_WHOLE = ("indices", "parents", "articulated", "bones", "ancestry", "columns")
_PRIORS = (
    *("precision", "followers", "shape_mean", "shape_precision"),
    *("temporal_pose", "temporal_weight", "temporal_width"),
)
"""What prior_arrays gives."""


def minimise_poses_grid(
    model: PointModel,
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    proportions: Array,
    image_index: Array,
    weights: TermWeights,
    priors: PosePriors,
    steps: Steps,
    *,
    derivatives: bool = True,
    every: bool = False,
) -> PoseMinimum:
    """Minimise the sum of B poses' terms, each by itself; with no iterations, evaluate them.

    The arguments are those of minimise_poses, on the model's device. Raises ShapeError.
    """
    n = model.sizes
    call = Arguments({name: n[name] for name in "AJVUIS"})
    call.real("rest", model.rest, ("U", 3))  # of the call's device and real type
    start = checked_poses(call, (angles, rotation, translation, scale, proportions))
    call.whole("image_index", image_index, ("B",), below="I")
    call.real("free", steps.free, (model.parameters,))
    own, given = prior_arrays(call, priors)
    inputs = {
        **{name: getattr(model, name) for name in (*_REAL, *_WHOLE)},
        **dict(zip((*POSES, *_PRIORS), (*start, *own), strict=True)),
        **{"image_index": image_index, "expected": priors.expected, "free": steps.free},
    }
    sizes = {**n, "B": call.size["B"], "P": model.parameters, "F": len(priors.followers)}
    settings = _Settings(_numbers(weights), _numbers(priors), _numbers(steps), given, derivatives)

    def prepare(arrays: Mapping[str, Array]) -> _Iterations:
        return _Iterations(SimpleNamespace(**arrays), call, sizes, settings)

    key = (*sizes.values(), *settings.numbers) if sizes["B"] else None
    found, improved = launched(key, inputs, prepare)
    rows = slice(None) if every else slice(steps.iterations, None)
    kept = {name: array[rows] for name, array in zip((*POSES, "terms"), found, strict=False)}
    hessian, gradient = found[len(kept) :] if derivatives else (call.empty(0), call.empty(0))
    return PoseMinimum(**kept, improved=improved, hessian=hessian, gradient=gradient)


@dataclass(frozen=True)
class _Settings:
    """The numbers that a call is told. given: which of the priors' arrays are, as of prior_arrays."""

    weights: SimpleNamespace
    priors: SimpleNamespace
    steps: SimpleNamespace
    given: list[int]
    derivatives: bool

    @property
    def numbers(self) -> list[Hashable]:
        """All that the launches are given as scalars, but sizes."""
        own = [each for part in (self.weights, self.priors, self.steps) for each in vars(part).values()]
        return [*own, *self.given, self.derivatives]


def _numbers(part: TermWeights | PosePriors | Steps) -> SimpleNamespace:
    """What of a part is no array, by name. A graph that kept the others would keep their memory."""
    own = {each.name: getattr(part, each.name) for each in fields(part)}
    return SimpleNamespace(**{name: each for name, each in own.items() if not hasattr(each, "__array_function__")})


class _Iterations:
    """The launches of a call, and the arrays that they write to."""

    def __init__(self, inputs: SimpleNamespace, call: Arguments, sizes: dict[str, int], settings: _Settings) -> None:
        """Inputs: the arrays by name."""
        self._in, self._sizes, self._settings = inputs, sizes, settings
        self._weights, self._priors, self._steps = settings.weights, settings.priors, settings.steps
        b, p, j, u, v, a, s = self._of("BPJUVAS")
        rows, self._columns = 1 + self._steps.iterations, panel_columns(p)
        poses = [(rows, *getattr(inputs, name).shape) for name in POSES]
        shapes = [*poses, (rows, len(TERMS), b), (b, p, p), (b, p)]
        self._shapes = shapes if settings.derivatives else shapes[:-2]
        self._results = call.empty(sum(map(prod, shapes)))
        *self._trace, self._terms, self._hessian, self._gradient = split(self._results, shapes)
        self._improved = call.empty(b, dtype=np.int32)
        equations = [(b, p, p), (b, p)]
        sums = call.zeros(sum(map(prod, equations)))  # and zeros after all launches: keep_lower empties them
        self._found = split(sums, equations)
        scratch = [(b,), (b, p), (b, self._columns + 1, self._columns), (len(TERMS), b), (b, j, 3, 4), (b, j, 3, 4)]
        scratch += [(b, u, 3), (b, u, 3), (b, v, 3), (b, u, 9), (b, a, 3, 3), (b, a, 3), (b, j, 3, s)]
        memory = call.empty(sum(map(prod, scratch)))
        self._damping, self._step, self._factor, self._found_terms, self._bind, self._transforms, *arrays = split(
            memory, scratch
        )
        self._posed, self._rest, self._normals, self._equations, *self._axes = arrays
        self.nbytes = self._results.nbytes + self._improved.nbytes + sums.nbytes + memory.nbytes

    def launch(self) -> None:
        """Evaluate the start, then try each step."""
        iterations, derivatives = self._steps.iterations, self._settings.derivatives
        self._evaluate(0, derivatives=derivatives or iterations > 0)
        for number in range(1, 1 + iterations):
            self._solve()
            self._evaluate(number, derivatives=derivatives or number < iterations)

    def found(self, *, copied: bool) -> tuple[list[Array], Array]:
        """The poses of all iterations, their terms, the equations if asked for; and whether poses improved."""
        results = self._results[: sum(map(prod, self._shapes))]
        return split(results.copy() if copied else results, self._shapes), self._improved.astype(bool)

    def _of(self, letters: str) -> list[int]:
        return [self._sizes[letter] for letter in letters]

    def _solve(self) -> None:
        """The step of each pose."""
        b, p, columns = self._sizes["B"], self._sizes["P"], self._columns
        given = (self._hessian, self._gradient, self._damping, self._in.free, self._factor, self._step)
        for first in range(0, columns, PANEL):
            launch("solve_panel", b * (columns + 1), *given, first, b, p, columns)

    def _evaluate(self, row: int, *, derivatives: bool) -> None:
        """Try the step, and keep what is lower, as the row of an iteration; row 0: the start as it is."""
        self._move(row)
        self._pose_points(row, derivatives)
        self._compare(derivatives)
        if derivatives:
            self._chain(row)
        self._keep(row, derivatives)

    def _move(self, row: int) -> None:
        given, steps = self._in, self._steps
        before = self._trace if row else [getattr(given, name) for name in POSES]
        launch(
            *("move_poses", self._sizes["B"] * self._sizes["J"], *before, self._step, given.columns),
            *(given.articulated, given.ancestry, given.bind, given.joint_basis, *self._trace, self._bind),
            *(self._transforms, self._found_terms, steps.turn, steps.shift, steps.relative, *steps.scales),
            *(steps.proportion, int(row > 0), max(0, row - 1), row, *self._of("BJADSP")),
        )

    def _pose_points(self, row: int, derivatives: bool) -> None:
        given, weights, priors = self._in, self._weights, self._priors
        own = [getattr(given, name) for name in _PRIORS]
        items = sum(self._of("UAS")) + 1 if derivatives else self._sizes["U"] + 1
        launch(
            *("pose_points", self._sizes["B"] * items, *self._trace, self._bind, self._transforms, given.rest),
            *(given.point_basis, given.indices, given.weights, given.rest_normals, given.parents),
            *(given.articulated, given.joint_basis, given.image_index, given.coefficients, given.field),
            *(given.nearest_depth, given.mm_per_px, given.votes, given.expected, *own, given.lower, given.upper),
            *(given.columns, self._posed, self._rest, self._normals, self._equations, *self._axes),
            *(self._found_terms, *self._found, weights.silhouette, weights.free_space, weights.front),
            *(
                weights.margin,
                weights.limits,
                weights.votes,
                priors.weight,
                priors.follow_share,
                priors.follow_precision,
            ),
            *(priors.size, priors.proportions, *self._settings.given, int(derivatives), row),
            *self._of("BJUVKASPFW"),
        )

    def _compare(self, derivatives: bool) -> None:
        given, weights, n = self._in, self._weights, self._sizes
        launch(
            *("compare_points", n["B"] * (n["O"] + n["N"]), given.observed, given.image_index, self._posed),
            *(self._normals, given.bones, self._equations, self._found_terms, weights.points, weights.sigma),
            *(weights.plane, weights.collision, weights.radius, int(derivatives), *self._of("BOUVN")),
        )

    def _chain(self, row: int) -> None:
        given, n = self._in, self._sizes
        axes, positions, jacobian = self._axes
        launch(
            *("normal_equations_grid", n["B"] * n["U"], self._equations, self._posed, self._transforms),
            *(self._trace[2][row], self._rest, given.indices, given.weights, given.ancestry, given.columns),
            *(axes, positions, given.point_basis, jacobian, *self._found, 3 * n["U"], *self._of("BJUKDASP")),
        )

    def _keep(self, row: int, derivatives: bool) -> None:
        steps, n = self._steps, self._sizes
        entries = max(n["P"] ** 2 if derivatives else 9, 3 * n["A"], n["S"])
        launch(
            *("keep_lower", n["B"] * entries, *self._trace, self._terms, self._found_terms, *self._found),
            *(self._hessian, self._gradient, self._damping, self._improved, steps.first_damping),
            *(steps.lowest_damping, steps.highest_damping, steps.accepted, steps.refused, int(row > 0)),
            *(int(derivatives), row, *self._of("BASP")),
        )
