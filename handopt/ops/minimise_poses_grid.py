"""Levenberg-Marquardt for poses on a GPU: a few launches for each iteration of a whole batch, and no synchronisation.

The same terms, steps and results as minimise_poses but for rounding; kernels/pose_iteration.cu says what is launched.
Poses that are tried, their costs, and whether they are kept: all that stays on the device until the last iteration.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from handopt.backend import Arguments, Array, launch
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
    nearest_depth (I, W, W), mm_per_px (I,). All as in the ops of the same arguments. Raises ShapeError.
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
            call.real(name, own[name], shape)
        call.whole("parents", self.parents, ("J",), below="J", lowest=-1)
        call.whole("articulated", self.articulated, ("A",), below="J")
        call.whole("indices", self.indices, ("U", "K"), below="J")
        call.size["M"] = call.size["U"] - call.size["V"]
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
}


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
    run = _Iterations(model, call, start, image_index, (weights, priors, steps), own, given)
    linearised = derivatives or steps.iterations > 0
    run.evaluate(0, derivatives=linearised)
    for number in range(1, 1 + steps.iterations):
        run.solve()
        run.evaluate(number, derivatives=derivatives or number < steps.iterations)
    rows = slice(None) if every else slice(steps.iterations, None)
    hessian, gradient = (run.hessian, run.gradient) if derivatives else (call.empty(0), call.empty(0))
    found = dict(zip((*POSES, "terms"), (*run.trace, run.terms), strict=True))
    return PoseMinimum(
        **{name: array[rows] for name, array in found.items()},
        improved=run.improved.astype(bool),
        hessian=hessian,
        gradient=gradient,
    )


class _Iterations:
    """The arrays of a call, and the launches that each iteration consists of."""

    def __init__(
        self,
        model: PointModel,
        call: Arguments,
        start: list[Array],
        image_index: Array,
        settings: tuple[TermWeights, PosePriors, Steps],
        own: list[Array],
        given: list[int],
    ) -> None:
        """Start: of the poses; own, given: what prior_arrays gives."""
        self._model, self._start, self._index, self._own, self._given = model, start, image_index, own, given
        self._weights, self._priors, self._steps = settings
        n, p = model.sizes, model.parameters
        b, rows = call.size["B"], 1 + self._steps.iterations
        self._sizes = {**n, "B": b, "P": p, "F": len(self._priors.followers)}
        self.trace = [call.empty(rows, *each.shape) for each in start]
        self.terms, self._found_terms = call.empty(rows, len(TERMS), b), call.empty(len(TERMS), b)
        self.hessian, self.gradient = call.empty(b, p, p), call.empty(b, p)
        self._found = call.zeros(b, p, p), call.zeros(b, p)
        self._damping, self.improved = call.empty(b), call.empty(b, dtype=np.int32)
        self._step, self._columns = call.empty(b, p), panel_columns(p)
        self._factor = call.empty(b, self._columns + 1, self._columns)
        self._bind, self._transforms = call.empty(b, n["J"], 3, 4), call.empty(b, n["J"], 3, 4)
        self._posed, self._rest = call.empty(b, n["U"], 3), call.empty(b, n["U"], 3)
        self._normals, self._equations = call.empty(b, n["V"], 3), call.empty(b, n["U"], 9)
        self._axes = call.empty(b, n["A"], 3, 3), call.empty(b, n["A"], 3), call.empty(b, n["J"], 3, n["S"])

    def _of(self, letters: str) -> list[int]:
        return [self._sizes[letter] for letter in letters]

    def solve(self) -> None:
        """The step of each pose."""
        b, p, columns = self._sizes["B"], self._sizes["P"], self._columns
        given = (self.hessian, self.gradient, self._damping, self._steps.free, self._factor, self._step)
        for first in range(0, columns, PANEL):
            launch("solve_panel", b * (columns + 1), *given, first, b, p, columns)

    def evaluate(self, row: int, *, derivatives: bool) -> None:
        """Try the step, and keep what is lower, as the row of an iteration; row 0: the start as it is."""
        self._move(row)
        self._pose_points(row, derivatives)
        self._compare(derivatives)
        if derivatives:
            self._chain(row)
        self._keep(row, derivatives)

    def _move(self, row: int) -> None:
        model, steps = self._model, self._steps
        before = self.trace if row else self._start
        launch(
            *("move_poses", self._sizes["B"] * self._sizes["J"], *before, self._step, model.columns),
            *(model.articulated, model.ancestry, model.bind, model.joint_basis, *self.trace, self._bind),
            *(self._transforms, self._found_terms, steps.turn, steps.shift, steps.relative, *steps.scales),
            *(steps.proportion, int(row > 0), max(0, row - 1), row, *self._of("BJADSP")),
        )

    def _pose_points(self, row: int, derivatives: bool) -> None:
        model, weights, priors = self._model, self._weights, self._priors
        items = sum(self._of("UAS")) + 1 if derivatives else self._sizes["U"] + 1
        launch(
            *("pose_points", self._sizes["B"] * items, *self.trace, self._bind, self._transforms, model.rest),
            *(model.point_basis, model.indices, model.weights, model.rest_normals, model.parents),
            *(model.articulated, model.joint_basis, self._index, model.coefficients, model.field),
            *(model.nearest_depth, model.mm_per_px, priors.expected, *self._own, model.lower, model.upper),
            *(model.columns, self._posed, self._rest, self._normals, self._equations, *self._axes),
            *(self._found_terms, *self._found, weights.silhouette, weights.free_space, weights.front),
            *(weights.margin, weights.limits, priors.weight, priors.follow_share, priors.follow_precision),
            *(priors.size, priors.proportions, *self._given, int(derivatives), row, *self._of("BJUVKASPFW")),
        )

    def _compare(self, derivatives: bool) -> None:
        model, weights, n = self._model, self._weights, self._sizes
        launch(
            *("compare_points", n["B"] * (n["O"] + n["N"]), model.observed, self._index, self._posed),
            *(self._normals, model.bones, self._equations, self._found_terms, weights.points, weights.sigma),
            *(weights.plane, weights.collision, weights.radius, int(derivatives), *self._of("BOUVN")),
        )

    def _chain(self, row: int) -> None:
        model, n = self._model, self._sizes
        axes, positions, jacobian = self._axes
        launch(
            *("normal_equations_grid", n["B"] * n["U"], self._equations, self._posed, self._transforms),
            *(self.trace[2][row], self._rest, model.indices, model.weights, model.ancestry, model.columns),
            *(axes, positions, model.point_basis, jacobian, *self._found, 3 * n["U"], *self._of("BJUKDASP")),
        )

    def _keep(self, row: int, derivatives: bool) -> None:
        steps, n = self._steps, self._sizes
        entries = max(n["P"] ** 2 if derivatives else 9, 3 * n["A"], n["S"])
        launch(
            *("keep_lower", n["B"] * entries, *self.trace, self.terms, self._found_terms, *self._found),
            *(self.hessian, self.gradient, self._damping, self.improved, steps.first_damping),
            *(steps.lowest_damping, steps.highest_damping, steps.accepted, steps.refused, int(row > 0)),
            *(int(derivatives), row, *self._of("BASP")),
        )
