"""One person's hand from many depth images: a shared rest shape, and a pose of each image."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.backend import Device, one_cpu_thread, resolve_device, to_device, to_numpy, using
from handopt.config import Config, FitSettings, LMSettings
from handopt.errors import ObservationError
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets, build_targets
from handopt.objective.unexplained import unexplained_fraction
from handopt.optimise.pose_fit import fit_poses
from handopt.rig import Rig, default_rig
from handopt.shape.bone_lengths import BONE_NAMES
from handopt.shape.bundle_adjustment import FreeParameters, adjust
from handopt.shape.iterations import History
from handopt.shape.joint_refinement import JointRefinement
from handopt.shape.mesh_validity import MeshValidity
from handopt.shape.result import ShapeResult, assemble, measured
from handopt.shape.single_fits import RejectedImage, ShapeInput, SingleFit, outliers, poses_of, take_all
from handopt.shape.state import HandShape, Template
from handopt.shape.surface_prior import surface_prior
from handopt.typing import Floats

ShapeProgress = Callable[[str, int, int], None]

POINTS: Final = 2000
_COMMON = {"plane": 0.95, "free_space_mm": 15.0, "prior": 0.1, "scale": True, "proportions": True}
SIZE: Final = LMSettings(4, 8.0, points=1000, **_COMMON)  # type: ignore[arg-type]
PROPORTIONS: Final = LMSettings(8, 5.0, points=1000, **_COMMON)  # type: ignore[arg-type]
SURFACE: Final = LMSettings(7, 4.0, points=POINTS, **_COMMON)  # type: ignore[arg-type]
POSES: Final = dataclasses.replace(SURFACE, iterations=5, scale=False, proportions=False)

UNEXPLAINED: Final = 0.33
UNEXPLAINED_RATIO: Final = 1.7
"""A pose is wrong where the shared hand leaves more than this share of an image unexplained, and so many medians."""
WORSE: Final = 0.045
WORSE_RATIO: Final = 1.25
"""A hand is another where the shared one leaves so much more of an image unexplained than the image's own fit does."""
MOST_LEFT_OUT: Final = 0.5


def fit_shape(
    frames: Sequence[ShapeInput],
    *,
    hand: str = "right",
    rig: Rig | None = None,
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ShapeProgress | None = None,
) -> ShapeResult:
    """Fit one rest shape to all images, with a pose of each (paper, Eq. 8: the rest points' gradient sums over images).

    frames: images of one person's one hand; hand: 'right', 'left', or 'auto' for the one that fits them better
    rig: the generic hand to begin with, of that side, the default one if None; config: weights and the single fits'
    settings; device: 'auto', 'cpu', 'cuda' or 'cuda:N'; seed: of the points that are drawn
    progress: called with what is being done, how much of it is done, and how much there is
    Images whose pose or hand does not fit in with the others' are left out, and named in the result. Raises
    ObservationError where no image can be used or where they do not show one hand, and what handopt.fit raises.
    """
    settings, started = FitSettings(config=config or Config(), device=device, seed=seed), time.perf_counter()
    say = progress or (lambda *_: None)
    takes, left_out = take_all(
        frames, hand=hand, rig=rig, settings=settings, progress=lambda done: say("images", done, len(frames))
    )
    seconds = {"images": time.perf_counter() - started}
    odd = outliers(takes)
    takes, left_out = _without(takes, odd), left_out + odd
    side = takes[0].fit.hand
    generic = rig if rig is not None and rig.side == side else rig.mirrored() if rig is not None else default_rig(side)
    place = resolve_device(settings.device)
    with using(place), one_cpu_thread():  # the launches are short
        job = _Job.of(generic, place, settings.config, settings.seed)
        state, more = job.agreed(takes, len(frames))
        takes, left_out = _without(takes, more), left_out + more
        seconds["size and proportions"] = time.perf_counter() - started - sum(seconds.values())
        state = job.freed(state, say)
        seconds["surface"] = time.perf_counter() - started - sum(seconds.values())
        lengths = measured(state.refinement, state.pose, state.shape, SURFACE)
        result = assemble(generic, job.template, state, takes, left_out, lengths, seconds)
    result.seconds["measure"] = time.perf_counter() - started - sum(seconds.values())
    return result


def _without(takes: list[SingleFit], left_out: Sequence[RejectedImage]) -> list[SingleFit]:
    names = {each.name for each in left_out}
    return [take for take in takes if take.name not in names]


def _odd_one(takes: Sequence[SingleFit], shares: Floats) -> RejectedImage | None:
    """The take that fits in worst, if one does not: its pose is wrong, or its hand another person's.

    shares: (B,) of each image that the shared hand leaves unexplained
    """
    own = np.array([take.fit.unexplained_fraction for take in takes])
    wrong = (shares > UNEXPLAINED) & (shares > UNEXPLAINED_RATIO * np.median(shares))
    other = (shares > own + WORSE) & (shares > WORSE_RATIO * own)
    if len(takes) < 2 or not (wrong | other).any():
        return None
    worst = int(np.argmax(np.where(wrong | other, np.maximum(shares - own, shares - np.median(shares)), -np.inf)))
    share, alone = shares[worst], own[worst]
    return RejectedImage(
        takes[worst].name,
        f"its pose or its hand does not fit in: the hand that all images share leaves {share:.0%} of it unexplained, "
        f"one of its own {alone:.0%}, and the median of the images is {np.median(shares):.0%}",
    )


@dataclass
class State:
    """Where the optimisation stands: poses (B) of right hands, the shape, and the way to them."""

    pose: Pose
    shape: HandShape
    targets: FitTargets
    refinement: JointRefinement
    history: History


@dataclass(frozen=True)
class _Job:
    """What does not depend on which images are used. template: of the right hand."""

    template: Template
    config: Config
    seed: int

    @classmethod
    def of(cls, generic: Rig, place: Device, config: Config, seed: int) -> "_Job":
        right = generic if generic.side == "right" else generic.mirrored()
        return cls(Template.of(right, place), dataclasses.replace(config, points=POINTS), seed)

    def agreed(self, takes: list[SingleFit], given: int) -> tuple[State, list[RejectedImage]]:
        """Fit size and proportions to all images, leave out the one that fits in worst, and begin again, until all do.

        given: how many images there were at first. Raises ObservationError where most do not fit in.
        """
        left_out: list[RejectedImage] = []
        while True:
            state = self._sized(takes)
            odd = _odd_one(takes, self._unexplained(state))
            if odd is None:
                return state, left_out
            left_out.append(odd)
            takes = _without(takes, [odd])
            if len(takes) < 2 or len(left_out) > MOST_LEFT_OUT * given:
                raise ObservationError(
                    "the images do not show one hand in poses that can be found: "
                    + "; ".join(f"{each.name}: {each.reason}" for each in left_out)
                    + "; give images of one person's hand, or remove those whose fit is wrong (handopt fit shows it)"
                )

    def _sized(self, takes: list[SingleFit]) -> State:
        """The best common size, then also proportions, from the medians of the single fits."""
        template, config, count = self.template, self.config, len(takes)
        # The priors of size and proportions count once, not once an image.
        weights = dataclasses.replace(
            config.weights, size=config.weights.size / count, proportions=config.weights.proportions / count
        )
        config = dataclasses.replace(config, weights=weights)
        rng = np.random.default_rng(self.seed)
        spacing = template.rig.vertex_spacing_mm
        targets = build_targets([take.view for take in takes], spacing, config, rng, template.device)
        host = poses_of(takes)
        pose = Pose(**{name: to_device(value, template.device, value.dtype) for name, value in vars(host).items()})
        shape = HandShape(
            scale=float(np.median(host.scale)),
            proportions=np.concatenate([np.median(host.proportions, axis=0), np.zeros(len(BONE_NAMES))]),
            offsets_mm=np.zeros_like(template.rig.rest_mm),
        )
        history = History()
        problem = LeastSquares(template.hand(shape.offsets_mm), targets, config)
        for stage, lm_settings, free in (
            ("size", SIZE, FreeParameters(proportions=False)),
            ("proportions", PROPORTIONS, FreeParameters()),
        ):
            found = adjust(problem, pose, shape, lm_settings, free, history.recorder(stage)).state
            pose, shape = found.pose, found.shape
        guard = MeshValidity(template.rig.rest_mm, template.rig.faces.astype(np.int64))
        refinement = JointRefinement(template, targets, config, surface_prior(template.rig), guard.feasible_step)
        return State(pose, shape, targets, refinement, history)

    def _unexplained(self, state: State) -> Floats:
        """The share (B,) of each image that the shared hand leaves unexplained."""
        hand, count = state.refinement.template.hand(state.shape.offsets_mm), len(self.template.rig.rest_mm)
        transforms = hand.transforms(state.pose, hand.bind_of(state.pose))
        vertices = to_numpy(hand.vertices(transforms, hand.rest_of(state.pose)))[:, :count]
        return np.array(
            [
                unexplained_fraction(posed[None], self.template.rig.faces, *grid)[0]
                for posed, grid in zip(vertices, state.targets.grids, strict=True)
            ]
        )

    def freed(self, state: State, say: ShapeProgress) -> State:
        """Free the rest vertices with everything else, then let each pose settle on the shape that was found."""
        record = state.history.recorder("surface")
        step = iter(range(1, SURFACE.iterations + 1))

        def told(*arguments: object) -> None:
            record(*arguments)  # type: ignore[arg-type]
            say("surface", next(step), SURFACE.iterations)

        found = state.refinement.run(state.pose, state.shape, SURFACE, told).state
        pose, shape = found.pose, self.template.sound(found.shape)
        problem = LeastSquares(self.template.hand(shape.offsets_mm), state.targets, state.refinement.config)
        settle = state.history.recorder("poses")
        pose = fit_poses(
            problem, pose, POSES, lambda at, terms: settle(
                at, {name: to_numpy(term).astype(np.float64) for name, term in terms.items()}, shape.offsets_mm
            ),
        ).state  # fmt: skip
        return dataclasses.replace(state, pose=pose, shape=shape)
