"""One person's hand from many depth images: a shared rest shape, and a pose of each image."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.backend import Array, Device, one_cpu_thread, resolve_device, to_device, to_numpy, using
from handopt.config import Config, FitSettings, LMSettings
from handopt.errors import ConfigError, ObservationError
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import build_targets
from handopt.objective.unexplained import unexplained_fraction
from handopt.optimise.pose_fit import fit_poses
from handopt.progress import parts_shown
from handopt.rig import Rig, default_rig
from handopt.shape.bundle_adjustment import adjust
from handopt.shape.iterations import ShapeFit, ShapeHistory
from handopt.shape.mesh_validity import MeshValidity
from handopt.shape.result import ShapeResult, assemble, measured
from handopt.shape.single_fits import RejectedImage, ShapeInput, SingleFit, fit_each, outliers, poses_of
from handopt.shape.state import HandShape, Template
from handopt.shape.surface_prior import surface_prior
from handopt.shape.surface_refinement import SurfaceRefinement
from handopt.typing import Floats

ShapeProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

POINTS: Final = 2000  # observed points of each image that the surface is compared with; chosen by hand
# The stages in order; iterations, widths and numbers of points were chosen by hand.
SIZE: Final = LMSettings(4, 8.0, points=1000, plane=0.95, free_space_mm=15.0, prior=0.1, scale=True)
PROPORTIONS: Final = dataclasses.replace(SIZE, iterations=8, sigma_mm=5.0, proportions=True)
SURFACE: Final = dataclasses.replace(PROPORTIONS, iterations=7, sigma_mm=4.0, points=POINTS)
POSES: Final = dataclasses.replace(SURFACE, iterations=5, scale=False, proportions=False)


@dataclass(frozen=True)
class OutlierLimits:
    """Which images do not fit in with the others, by the unexplained fraction of the shared hand. Chosen by hand."""

    fraction: float = 0.33  # above this, and above so many times the median of all images, the pose is wrong
    ratio_to_median: float = 1.7
    excess: float = 0.045  # above that of the image's own fit plus this, and times that ratio, the hand is another one
    ratio_to_own: float = 1.25
    most_rejected: float = 0.5  # share of the images that may be rejected


LIMITS: Final = OutlierLimits()


def fit_shape(
    frames: Sequence[ShapeInput],
    *,
    hand: str | None = None,
    rig: Rig | None = None,
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ShapeProgress | None = None,
) -> ShapeResult:
    """Fit one rest shape to all images, with a pose of each (paper, Eq. 8: the rest points' gradient sums over images).

    frames: images of one person's one hand; hand: 'right', 'left', or 'auto' for the one that fits them better, which
    is the default where no rig is given; rig: the generic hand to begin with; config: weights and the single fits'
    settings; device: 'auto', 'cpu', 'cuda' or 'cuda:N'; seed: random seed of the points that are drawn
    progress: called with what is being done, how much of it is done, and how much there is; without it a notebook
    shows a bar
    Images whose pose or hand does not fit in with the others' are rejected, and named in the result. Raises
    ObservationError where no image can be used or where they do not show one hand, ConfigError where config leaves out
    proportions, and what handopt.fit raises.
    """
    settings = FitSettings(config=config or Config(), device=device, seed=seed)
    _check_proportions(settings.config)
    hand = hand or ("auto" if rig is None else rig.side)
    with parts_shown("step") as shown:
        return _fit_shape(frames, hand, rig, settings, progress or shown)


def _fit_shape(
    frames: Sequence[ShapeInput], hand: str, rig: Rig | None, settings: FitSettings, notify: ShapeProgress
) -> ShapeResult:
    started = time.perf_counter()
    fits, rejected = fit_each(
        frames, hand=hand, rig=rig, settings=settings, progress=lambda done: notify("images", done, len(frames))
    )
    seconds = {"images": time.perf_counter() - started}
    more = outliers(fits)
    fits, rejected = _without(fits, more), rejected + more
    side = fits[0].fit.hand
    generic = rig if rig is not None and rig.side == side else rig.mirrored() if rig is not None else default_rig(side)
    place = resolve_device(settings.device)
    with using(place), one_cpu_thread():  # the launches are short
        stages = ShapeStages.of(generic, place, settings.config, settings.seed)
        state, more = stages.consistent(fits, len(frames))
        fits, rejected = _without(fits, more), rejected + more
        seconds["size and proportions"] = time.perf_counter() - started - sum(seconds.values())
        state = stages.refined(state, notify)
        seconds["surface"] = time.perf_counter() - started - sum(seconds.values())
        lengths = measured(state.refinement, state.pose, state.shape, SURFACE)
        result = assemble(generic, stages.template, state, fits, rejected, lengths, seconds)
    result.seconds["measure"] = time.perf_counter() - started - sum(seconds.values())
    return result


def _check_proportions(config: Config) -> None:
    """Refuse settings of single fits without proportions, which the shared hand begins with. Raises ConfigError."""
    if config.solver == "gradient":
        raise ConfigError(
            "config: solver 'gradient' leaves out proportions, which a personal hand begins with; "
            "use solver 'auto' or 'lm'"
        )
    always = [each for number, each in enumerate(config.rounds) if number == 0 or not each.skip_below]
    if not any(each.lm_settings.proportions for each in always):
        raise ConfigError(
            "config: no round that is always run frees proportions, which a personal hand begins with; "
            "set lm_settings.proportions to true in a round without skip_below"
        )


def _without(fits: list[SingleFit], rejected: Sequence[RejectedImage]) -> list[SingleFit]:
    images = {each.image for each in rejected}
    return [single for single in fits if single.name not in images]


def worst_outlier(fits: Sequence[SingleFit], shares: Floats) -> RejectedImage | None:
    """The image that fits in worst, where one does not fit in: its pose is wrong, or its hand another person's.

    shares: (B,) unexplained fraction of each image under the shared hand
    """
    own = np.array([single.fit.unexplained_fraction for single in fits])
    wrong = (shares > LIMITS.fraction) & (shares > LIMITS.ratio_to_median * np.median(shares))
    other = (shares > own + LIMITS.excess) & (shares > LIMITS.ratio_to_own * own)
    if len(fits) < 2 or not (wrong | other).any():
        return None
    worst = int(np.argmax(np.where(wrong | other, np.maximum(shares - own, shares - np.median(shares)), -np.inf)))
    share, alone = shares[worst], own[worst]
    return RejectedImage(
        fits[worst].name,
        f"its pose or its hand does not fit in: the hand that all images share leaves {share:.0%} of it unexplained, "
        f"one of its own {alone:.0%}, and the median of the images is {np.median(shares):.0%}",
    )


@dataclass(frozen=True)
class ShapeStages:
    """The stages of a shape fit, for whichever images are used. template: of the right hand."""

    template: Template
    config: Config
    seed: int

    @classmethod
    def of(cls, generic: Rig, place: Device, config: Config, seed: int) -> "ShapeStages":
        right = generic if generic.side == "right" else generic.mirrored()
        return cls(Template.of(right, place), dataclasses.replace(config, points=POINTS), seed)

    def consistent(self, fits: list[SingleFit], given: int) -> tuple[ShapeFit, list[RejectedImage]]:
        """Fit size and proportions to all images, reject the one that fits in worst, and begin again, until all do.

        given: how many images there were at first. Raises ObservationError where most do not fit in.
        """
        rejected: list[RejectedImage] = []
        while True:
            state = self._sized(fits)
            outlier = worst_outlier(fits, self._unexplained(state))
            if outlier is None:
                return state, rejected
            rejected.append(outlier)
            fits = _without(fits, [outlier])
            if len(fits) < 2 or len(rejected) > LIMITS.most_rejected * given:
                raise ObservationError(
                    "the images do not show one hand in poses that can be found: "
                    + "; ".join(f"{each.image}: {each.reason}" for each in rejected)
                    + "; give images of one person's hand, or remove those whose fit is wrong (handopt fit shows it)"
                )

    def _sized(self, fits: list[SingleFit]) -> ShapeFit:
        """The best shared size, then also proportions, from the medians of the single fits on."""
        template, config, count = self.template, self.config, len(fits)
        # The priors of size and proportions count once, not once an image.
        weights = dataclasses.replace(
            config.weights, size=config.weights.size / count, proportions=config.weights.proportions / count
        )
        config = dataclasses.replace(config, weights=weights)
        rng = np.random.default_rng(self.seed)
        spacing = template.rig.vertex_spacing_mm
        targets = build_targets([single.view for single in fits], spacing, config, rng, template.device)
        host = poses_of(fits)
        pose = Pose(**{name: to_device(value, template.device, value.dtype) for name, value in vars(host).items()})
        bones = len(template.vertex_basis) - host.proportions.shape[1]
        shape = HandShape(
            scale=float(np.median(host.scale)),
            proportions=np.concatenate([np.median(host.proportions, axis=0), np.zeros(bones)]),
            offsets_mm=np.zeros_like(template.rig.rest_mm),
        )
        history = ShapeHistory()
        problem = LeastSquares(template.hand(shape.offsets_mm), targets, config)
        for stage, lm_settings in (("size", SIZE), ("proportions", PROPORTIONS)):
            found = adjust(problem, pose, shape, lm_settings, history.recorder(stage)).state
            pose, shape = found.pose, found.shape
        validity = MeshValidity(template.rig.rest_mm, template.rig.faces.astype(np.int64))
        refinement = SurfaceRefinement(template, targets, config, surface_prior(template.rig), validity.feasible_step)
        return ShapeFit(pose, shape, targets, refinement, history)

    def _unexplained(self, state: ShapeFit) -> Floats:
        """The unexplained fraction (B,) of each image under the shared hand."""
        hand, count = state.refinement.template.hand(state.shape.offsets_mm), len(self.template.rig.rest_mm)
        transforms = hand.transforms(state.pose, hand.bind_of(state.pose))
        vertices = to_numpy(hand.vertices(transforms, hand.rest_of(state.pose)))[:, :count]
        return np.array(
            [
                unexplained_fraction(posed[None], self.template.rig.faces, *grid)[0]
                for posed, grid in zip(vertices, state.targets.grids, strict=True)
            ]
        )

    def refined(self, state: ShapeFit, notify: ShapeProgress) -> ShapeFit:
        """Free the rest vertices with everything else, then fit each pose again to the shape that was found."""
        record_surface = state.history.recorder("surface")
        step = iter(range(1, SURFACE.iterations + 1))

        def record_and_notify(pose: Pose, terms: dict[str, Floats], offsets_mm: Floats) -> None:
            record_surface(pose, terms, offsets_mm)
            notify("surface", next(step), SURFACE.iterations)

        solution = state.refinement.run(state.pose, state.shape, SURFACE, record_and_notify)
        if solution.iterations < SURFACE.iterations:  # it has converged earlier
            notify("surface", SURFACE.iterations, SURFACE.iterations)
        pose, shape = solution.state.pose, self.template.valid(solution.state.shape)
        problem = LeastSquares(self.template.hand(shape.offsets_mm), state.targets, state.refinement.config)
        record = state.history.recorder("poses")

        def record_poses(at: Pose, terms: dict[str, Array]) -> None:
            host = {name: to_numpy(term).astype(np.float64) for name, term in terms.items()}
            record(at, host, shape.offsets_mm)

        pose = fit_poses(problem, pose, POSES, record_poses).state
        return dataclasses.replace(
            state, pose=pose, shape=shape, converged=bool(solution.converged[0]), surface_status=solution.status
        )
