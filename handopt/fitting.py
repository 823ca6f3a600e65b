"""The pipeline: from depth images to fitted hands, one alone or several through the kernels together."""

import platform
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.assess.confidence import FITTED, PREDICTED, ConfidenceFeatures, confidence
from handopt.assess.config import ASSESS
from handopt.assess.pixel_agreement import pixel_agreement
from handopt.assess.quality import measure, status_of
from handopt.assess.uncertainty import radius_mm
from handopt.assess.visibility import visible_joints, with_things
from handopt.backend import CopiesAhead, Device, known_indices, resolve_device, using
from handopt.config import Config, FitSettings
from handopt.errors import ConfigError, HandoptError, ShapeError
from handopt.fit_input import FitInput, check_input, notes_on, notes_on_presence, notes_on_side, side_of
from handopt.hand_model import Hand
from handopt.input.camera import Camera
from handopt.objective.batch_targets import BatchTargets
from handopt.objective.targets import FitTargets, build_targets
from handopt.observation.observe import observe
from handopt.optimise.batched_search import BatchedSearch, StageTimer
from handopt.optimise.chunks import chunks
from handopt.optimise.first_look import Proposed, first_look
from handopt.optimise.predicted_views import PredictedView, predicted_views
from handopt.optimise.prepare_ahead import prepared_ahead
from handopt.optimise.search import ImageSearch, SearchResult
from handopt.optimise.starts import Start
from handopt.optimise.views import CroppedObservation, other_readings, views_of
from handopt.progress import counted
from handopt.proposals.model_file import PoseModel
from handopt.result import FitResult
from handopt.rig import Rig, default_rig, with_shape
from handopt.typing import Progress

__all__ = ["FitInput", "FitSettings", "Start", "fit", "fit_image", "fit_images", "fit_many"]

BATCH = {"cpu": 8, "cuda": 32}
"""Images that go through the kernels together, by kind of device."""


def fit(
    depth_mm: NDArray[Any],
    camera: Camera,
    *,
    hand: str | None = None,
    rig: Rig | None = None,
    mask: NDArray[Any] | None = None,
    box: Sequence[float] | None = None,
    center: Sequence[float] | None = None,
    start: Start | None = None,
    shape: str = "proportions",
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    image: str | None = None,
    notes: Sequence[str] = (),
    ignore: NDArray[Any] | None = None,
    mirrored: bool = False,
    proposals: PoseModel | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Fit a hand to a depth image.

    depth_mm: (H, W) mm, 0 where there is no measurement; camera: its intrinsics, of the same size; the distortion of
    its lens is taken out, and mask, box and center are of the straightened image
    hand: 'right', 'left', or 'auto' for the one that fits better, which is the default where no rig is given
    rig: a rigged hand, the default one if None; without hand= the image is taken to show a hand of its side
    mask: (H, W), nonzero on the hand; box: x0, y0, x1, y1 pixels around it; center: (u, v) pixels or (x, y, z) mm of
    the palm; start: a pose to start from; shape: 'none', 'scale' (the hand's size), 'proportions' (of fingers and palm
    as well; gradient descent leaves them out) or 'vertices' (the surface as well)
    config: every other setting; device: 'auto', 'cpu', 'cuda' or 'cuda:N'; seed: of the points that are drawn
    image, notes: what the result should say of the image's origin
    ignore: (H, W), nonzero on pixels to leave out: they count neither for nor against a pose
    mirrored: whether the image is mirrored left to right, as some SDKs give it. camera, hand and the result are then
    those of the true scene, and the result's pictures show it; mask, box, ignore and a center in pixels are as in the
    image that is given
    proposals: a model (handopt.load_model) whose poses take the place of those of handopt's own network
    progress: called with iteration, planned iterations and the best total
    Raises ObservationError where no hand is found, NumericalError where the objective is not finite, and DepthError,
    ShapeError, CameraError, ConfigError, DeviceError and RigError for arguments that make no sense.
    """
    settings = settings_of(shape, config, device, seed, proposals)
    given = FitInput(depth_mm, camera, hand, rig, mask, box, center, start, image, notes, ignore, mirrored)
    return fit_image(given, settings, progress)


def fit_image(given: FitInput, settings: FitSettings, progress: Progress | None = None) -> FitResult:
    """Fit a hand to a depth image: handopt.fit with its arguments in two objects. Raises what handopt.fit raises."""
    (result,) = PreparedImages([given], settings).fit(progress)
    if isinstance(result, HandoptError):
        raise result
    return result


def fit_many(
    images: Iterable[FitInput],
    *,
    shape: str = "proportions",
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    batch: int | None = None,
    proposals: PoseModel | None = None,
) -> Iterator[FitResult | HandoptError]:
    """Fit a hand to each of many depth images, a batch of which goes through the kernels together.

    Gives a result for each image in order, or the error of one that cannot be fitted; images are asked for as they are
    needed, for a GPU one batch ahead. On the CPU the results are those that handopt.fit gives for each alone, to the
    bit, in less time; a GPU adds up in no fixed order, so that it may round them otherwise. Gradient descent takes one
    image after the other. In a notebook a bar counts the images.
    batch: images that go together, 8 on the CPU and 32 on a GPU if None; the others are arguments of handopt.fit
    Raises ConfigError and DeviceError for settings that make no sense.
    """
    total = len(images) if isinstance(images, Sized) else None
    return counted(fit_images(images, settings_of(shape, config, device, seed, proposals), batch), total, "image")


def fit_images(
    images: Iterable[FitInput], settings: FitSettings, batch: int | None = None
) -> Iterator[FitResult | HandoptError]:
    """Fit a hand to each of many depth images: handopt.fit_many with its arguments in objects. Raises the same."""
    run = _Run.of(settings)
    size = BATCH[run.device.kind] if batch is None else batch
    if size < 1:
        raise ConfigError(f"batch: expected a number of at least 1, got {batch!r}")
    prepared = prepared_ahead(
        chunks(images, size), lambda some, copies: PreparedImages(some, settings, copies), run.device
    )
    return (result for each in prepared for result in each.fit())


def settings_of(
    shape: str, config: Config | None, device: str, seed: int, proposals: PoseModel | None = None
) -> FitSettings:
    """The settings of a call. Raises ConfigError."""
    if proposals is not None and not isinstance(proposals, PoseModel):
        raise ConfigError(f"proposals: expected what handopt.load_model gives, got {type(proposals).__name__}")
    return FitSettings(shape, config or Config(), device, seed, proposals)  # type: ignore[arg-type]  # it is checked


class PreparedImages:
    """Images whose hands were looked for, to be fitted as one batch; for a GPU their arrays are on their way there.

    copies: starts to copy the arrays at once; without it they are copied when they are fitted
    """

    def __init__(self, images: Sequence[FitInput], settings: FitSettings, copies: CopiesAhead | None = None) -> None:
        self._run = run = _Run.of(settings)
        self._errors: dict[int, HandoptError] = {}
        groups: dict[tuple[int, bool], dict[int, _Prepared]] = {}
        for index, given in enumerate(images):
            try:
                prepared = _Prepared(given, run)
            except HandoptError as error:
                self._errors[index] = error
                continue
            # Rigs that are the same object, and as many hypotheses
            groups.setdefault((id(prepared.right), prepared.given.hand == "auto"), {})[index] = prepared
        self._groups = list(groups.values())
        targets = [[each.targets for each in group.values()] for group in self._groups]
        self._targets = BatchTargets(targets, run.device, copies)

    def fit(self, progress: Progress | None = None) -> list[FitResult | HandoptError]:
        """The result of each image, or its error. progress: of a single image, see handopt.fit."""
        outcomes: dict[int, FitResult | HandoptError] = {**self._errors}
        for group, targets in zip(self._groups, self._targets.on_device(), strict=True):
            found = _fit_together(list(group.values()), *targets, self._run, progress)
            outcomes |= dict(zip(group, found, strict=True))
        return [outcomes[index] for index in sorted(outcomes)]


@dataclass(frozen=True)
class _Run:
    """Settings as the kernels need them. config: with only that freed which the shape allows."""

    settings: FitSettings
    config: Config
    device: Device

    @classmethod
    def of(cls, settings: FitSettings) -> "_Run":
        return cls(settings, settings.config.with_shape(settings.shape), resolve_device(settings.device))

    def config_of(self, rig: Rig) -> Config:
        """The settings for a rig: a shape space of its own has a round of its own."""
        if rig.shape_space is None:
            return self.config
        return self.settings.config.with_space().with_shape(self.settings.shape)


class _Prepared:
    """An image whose hand was looked for, with what its views say of the hand, on its way to a result."""

    def __init__(self, given: FitInput, run: _Run) -> None:
        check_input(given)
        given = replace(given.undistorted().unmirrored(), hand=side_of(given))
        self.given, self.run, self.timer = given, run, StageTimer()
        self.rig = given.rig or default_rig("left" if given.hand == "left" else "right")
        camera = given.camera
        self.settings = config = run.config_of(self.rig)
        self.right = self.rig if self.rig.side == "right" else self.rig.mirrored()
        depth = np.asarray(given.depth_mm)
        if depth.shape != (camera.height, camera.width):
            advice = camera.how_to_match(*depth.shape[::-1]) if depth.ndim == 2 else ""
            raise ShapeError(
                f"depth_mm: expected shape {(camera.height, camera.width)} as in camera, got {depth.shape}{advice}"
            )
        observations = observe(depth, camera, mask=given.mask, box=given.box, center=given.center, ignore=given.ignore)
        self._best = observations[0]
        self._side = None if given.hand == "auto" else self.rig.side == "left"
        sides = [False, True] if self._side is None else [self._side]
        self.timer.record("observe")
        self.predicted: list[PredictedView] = []
        if run.settings.refine is not None:
            self.predicted = predicted_views(observations, sides, config, run.settings.proposals)
            self.views = [each.view for each in self.predicted]
            self.timer.record("network")
        else:
            self.views = views_of(observations, sides, config)
        self.proposed: dict[int, Proposed] = {}
        if run.settings.refine is None and given.start is None:
            if self._side is not None and config.solver == "auto":
                # In the likeliest place it is compared with the other hand, for the image may speak against the user
                self.views += views_of(observations[:1], [not self._side], config)
            self.views, self.proposed = first_look(self.views, config, run.settings.proposals)
            self.timer.record("starts")
        rng = np.random.default_rng(run.settings.seed)
        self.targets = build_targets(self.views, self.right.vertex_spacing_mm, config, rng, Device("cpu"))
        self.timer.record("targets")
        self.timer.pause()

    def _other_views(self, sides: Sequence[bool]) -> list[CroppedObservation]:
        """Views of the image read in other ways, of the given sides. The size of a rig that was given is known."""
        hints: dict[str, Any] = {name: getattr(self.given, name) for name in ("box", "center", "ignore")}
        # Whatever its limits are
        any_size = np.array_equal(self.rig.rest_mm, default_rig(self.rig.side).rest_mm)
        others = other_readings(np.asarray(self.given.depth_mm), self._best, hints, any_size)
        return views_of(others, sides, self.run.config)

    def search(self, hand: Hand, targets: FitTargets, progress: Progress | None) -> ImageSearch:
        """The search for the best hypothesis. hand: of self.right; targets: self.targets on the device."""
        return ImageSearch(
            *(hand, self.right, self.views, targets, self.settings),
            start=self.given.start,
            settings=self.run.settings,
            side=self._side,
            others=self._other_views,
            proposed=self.proposed,
            predictions=[each.predicted for each in self.predicted],
            timer=self.timer,
            progress=progress,
        )

    def outcome(self, found: SearchResult | HandoptError) -> FitResult | HandoptError:
        """The result, or the error that there is instead."""
        if isinstance(found, HandoptError):
            return found
        try:
            return self._result(found)
        except HandoptError as error:
            return error

    def _result(self, found: SearchResult) -> FitResult:
        """Measure what the search has found."""
        self.timer.resume()
        given, settings = self.given, self.run.settings
        observation, _, mirror = self.views[found.best.view]
        found, observation = found.rescaled(observation.size), observation.rescaled(observation.size)
        winner, crop = found.best, observation.crop(self.run.config.crop_px, self.run.config.crop_half_mm)
        rig = self.right.mirrored() if mirror else self.right
        shaped = with_shape(rig, winner.proportions) if len(winner.proportions) else rig
        quality = measure(winner.vertices_mm, observation, rig.faces)
        size, surface = float(winner.trace.scale[-1]), with_things(quality.fitted_depth_mm, observation)
        visible = visible_joints(winner.joints_mm, surface, given.camera, size)
        others = [(other.limb_fraction, other.joints_mm) for other in found.alternatives]
        seen = observation.depth_mm, quality.fitted_depth_mm, given.camera, winner.joints_mm, size
        # One network says little of what another one predicts
        agreement = None if self.predicted else pixel_agreement(*seen, left=mirror)
        predicted = self.predicted[winner.view].predicted if self.predicted else None
        features = ConfidenceFeatures.of(
            found.unexplained_fraction, found.limb_fraction, winner.joints_mm, visible, others,
            observation.hand_probability, agreement, found.voted, None if predicted is None else predicted.radius_mm,
        )  # fmt: skip
        doubts = [*notes_on_side(given, found.hand_margin), *notes_on_presence(agreement, found.unexplained_fraction)]
        weights, what = (PREDICTED, "prediction") if self.predicted else (FITTED, "fit")
        sure = min(confidence(features, weights), ASSESS.limit(bool(observation.holds), contradicted=bool(doubts)))
        uncertainty = radius_mm(found.spread_mm2, visible, sure)
        if predicted is not None:
            uncertainty, visible = predicted.radius_mm, predicted.visible
        self.timer.record("measure")
        return FitResult(
            image=given.image,
            hand=rig.side,
            status=status_of(winner.converged, observation, quality, sure, what=what),
            camera=given.camera,
            rig=rig,
            observation=observation,
            crop=crop,
            shape_kind=settings.shape,
            rest_mm=shaped.rest_mm if winner.trace.rest_mm is None else winner.trace.rest_mm[-1],
            fitted_depth_mm=quality.fitted_depth_mm,
            residual_mm=quality.residual_mm,
            silhouette_iou=quality.silhouette_iou,
            unexplained_fraction=found.unexplained_fraction,
            limb_fraction=found.limb_fraction,
            confidence=sure,
            joint_visible=visible,
            joint_uncertainty_mm=uncertainty,
            alternatives=found.alternatives,
            seconds=self.timer.seconds,
            device=str(self.run.device),
            seed=settings.seed,
            config=self.settings.to_dict(),
            versions=lambda: dict(_versions()),  # type: ignore[arg-type]  # made when asked for
            notes=(*given.notes, *self.rig.notes, *notes_on(given), *observation.notes, *doubts),
            mirrored=given.mirrored,
            confidence_features=features,
            spread_mm2=found.spread_mm2,
            hand_margin=found.hand_margin,
            proposals=None if settings.proposals is None else settings.proposals.describe(),
            **winner.facts(),
        )


def _fit_together(
    images: list[_Prepared], joined: FitTargets | None, targets: list[FitTargets], run: _Run, progress: Progress | None
) -> list[FitResult | HandoptError]:
    """Search in images of the same right hand, with as many hypotheses each, as one batch."""
    # What a caller's own function runs meanwhile is checked
    vouched = known_indices() if progress is None else nullcontext()
    with using(run.device), vouched:
        hand = Hand.of(images[0].right, run.device)
        batch = BatchedSearch(hand, targets, images[0].settings, joined)
        searches = [image.search(hand, own, progress).run() for image, own in zip(images, targets, strict=True)]
        found = batch.run(searches, [image.timer for image in images])
        return [image.outcome(each) for image, each in zip(images, found, strict=True)]


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version(), **{name: version(name) for name in ("handopt", "numpy", "scipy")}}
