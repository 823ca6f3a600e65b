"""Fit every hand of an image: the best one first, then those in what it leaves of the image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.assess.uncertainty import radius_mm
from handopt.config import Config, FitSettings
from handopt.errors import ConfigError, NumericalError, ObservationError
from handopt.fit_input import FitInput
from handopt.fitting import Start, fit_image, settings_of
from handopt.input.camera import Camera
from handopt.input.ignore import IGNORED_NOTE
from handopt.observation.hand_pixels import arm_pixels, hand_pixels
from handopt.observation.surfaces import flipped
from handopt.result import FitResult
from handopt.rig import Rig
from handopt.rig.joints import palm_of
from handopt.typing import BoolImage, Progress, Reals

OTHERS_NOTE = "Pixels of the other hands were left out, which count neither for nor against this one."
TOUCHING_NOTE = "This hand touches another one, which may have changed its pose: it is not counted as sure."


@dataclass(frozen=True)
class HandsConfig:
    """When something beside a hand is a hand of its own. By hand, on images of `handopt synth --level wild`."""

    least_probability: float = 0.5
    """Hand probability of the observation below which it is none."""
    least_confidence: float = 0.5
    """Confidence below which it is none."""
    apart_mm: float = 60.0
    """Least distance of two palms' middles, mm: two hands laid on each other are farther apart along a finger."""
    touching_mm: float = 15.0
    """Distance from which on two hands touch, mm."""
    sure_at_most: float = 0.89
    """Most confidence of a hand that touches another one: below 0.9, from which on fits count as sure."""


HANDS = HandsConfig()


def fit_hands(
    depth_mm: NDArray[Any],
    camera: Camera,
    max_hands: int = 2,
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
    progress: Progress | None = None,
) -> list[FitResult]:
    """Fit up to max_hands hands to a depth image: the result of handopt.fit, then those of the hands beside it.

    The pixels of a hand that was fitted are left out, and the rest is looked at again, until there are max_hands or
    what is found is no hand of its own. Hands may be of one side. Of hands that touch each other the confidence stays
    below 0.9.
    max_hands: at least 1. hand: the side of all hands; without it each is the one that fits better, also where rig is
    given. mask, center and start are of the first hand; box holds for all. The other arguments, and what is raised, are
    those of handopt.fit; ConfigError also for max_hands.
    """
    settings = settings_of(shape, config, device, seed)
    check_max_hands(max_hands)
    hand = hand or ("auto" if max_hands > 1 else None)
    given = FitInput(depth_mm, camera, hand, rig, mask, box, center, start, image, notes, ignore, mirrored)
    return with_others(fit_image(given, settings, progress), given, settings, max_hands)


def check_max_hands(max_hands: int) -> None:
    """Refuse what is no number of hands. Raises ConfigError."""
    if not isinstance(max_hands, int | np.integer) or isinstance(max_hands, bool) or max_hands < 1:
        raise ConfigError(f"max_hands: expected a whole number of at least 1, got {max_hands!r}")


def with_others(
    first: FitResult, given: FitInput, settings: FitSettings, max_hands: int, side: str | None = None
) -> list[FitResult]:
    """The result of an image, and those of further hands in it, up to max_hands together.

    given: what the first hand was fitted to; side: of the others, that of given if None
    """
    found = [first]
    given = replace(given, mask=None, center=None, start=None, hand=side or given.hand)
    while len(found) < max_hands:
        following = _next_hand(found, given, settings)
        if following is None:
            break
        if not is_own_hand(following, [palm_of(each.joints_mm) for each in found]):
            if _looks_like_a_hand(following):  # whose fingers may have been taken for those of one that was found
                found = [_not_sure(each) if touch(each, following) else each for each in found]
            break
        found.append(following)
    return _marked(found) if len(found) > 1 else found


def _next_hand(found: list[FitResult], given: FitInput, settings: FitSettings) -> FitResult | None:
    """The best hand in what others leave of an image; None where there is nothing."""
    taken = np.logical_or.reduce([pixels_of(each) for each in found])
    if given.mirrored:
        taken = flipped(taken)
    ignore = taken if given.ignore is None else taken | (np.asarray(given.ignore) != 0)
    try:
        result = fit_image(replace(given, ignore=ignore), settings)
    except (ObservationError, NumericalError):
        return None
    notes = [each for each in result.notes if given.ignore is not None or each != IGNORED_NOTE]
    return replace(result, notes=(*notes, OTHERS_NOTE))


def is_own_hand(result: FitResult, palms: Sequence[Reals], config: HandsConfig = HANDS) -> bool:
    """Whether a fit is a hand beside those with these palms' middles (3,) mm, and is one at all."""
    palm = palm_of(result.joints_mm)
    return (
        _looks_like_a_hand(result, config)
        and result.confidence >= config.least_confidence
        and bool(np.isfinite(result.residual_mm["median"]))
        and all(np.linalg.norm(palm - other) >= config.apart_mm for other in palms)
    )


def _looks_like_a_hand(result: FitResult, config: HandsConfig = HANDS) -> bool:
    return result.observation.hand_probability >= config.least_probability


def pixels_of(result: FitResult) -> BoolImage:
    """The pixels (H, W) of a fitted hand and its arm: what was taken for the hand, and what the fit covers."""
    observation = result.observation
    depth, camera = observation.depth_mm, observation.camera
    hand = observation.mask | hand_pixels(depth, np.asarray(result.fitted_depth_mm, np.float32), camera)
    return np.asarray(hand | arm_pixels(depth, result.joints_mm, hand, camera))


def touch(one: FitResult, other: FitResult) -> bool:
    """Whether two hands touch: their meshes, or the mesh of one and what was taken for the other."""
    sets = [[each.vertices_mm, each.observation.points_mm] for each in (one, other)]
    pairs = ((sets[0][0], sets[1][0]), (sets[0][0], sets[1][1]), (sets[0][1], sets[1][0]))
    return any(come_near(*pair) for pair in pairs)


def come_near(points: Reals, others: Reals, config: HandsConfig = HANDS) -> bool:
    """Whether some of the points (N, 3) and (M, 3) mm are as near to each other as hands that touch."""
    from scipy.spatial import cKDTree

    near = cKDTree(points).query(others, distance_upper_bound=config.touching_mm)[0]
    return bool(np.isfinite(near).any())


def _marked(found: list[FitResult]) -> list[FitResult]:
    """Hands of an image, of which those that touch another one are not sure."""
    marked = []
    for index, each in enumerate(found):
        others = (other for place, other in enumerate(found) if place != index)
        marked.append(_not_sure(each) if any(touch(each, other) for other in others) else each)
    return marked


def _not_sure(result: FitResult, config: HandsConfig = HANDS) -> FitResult:
    """A result with a confidence that is not sure, and a note that says why."""
    if TOUCHING_NOTE in result.notes:
        return result
    sure = min(result.confidence, config.sure_at_most)
    radius = radius_mm(np.asarray(result.spread_mm2, np.float64), result.joint_visible, sure)
    return replace(result, confidence=sure, joint_uncertainty_mm=radius, notes=(*result.notes, TOUCHING_NOTE))
