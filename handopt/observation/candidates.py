"""Which places of a depth image may be the hand: candidates are grown around palms, and the plausible ones chosen."""

import numpy as np

from handopt.errors import ObservationError
from handopt.observation.hints import Hints
from handopt.observation.palm_proposals import PalmProposal, proposals_at, propose_palms
from handopt.observation.pixel_reading import read_windows
from handopt.observation.quantiles import percentiles
from handopt.observation.segmentation import Candidate, grow
from handopt.observation.settings import CandidateConfig
from handopt.observation.surfaces import LabelledDepth
from handopt.typing import Floats, Vector

WHERE = "say where the hand is with box=, center= or mask="


def find_hands(frame: LabelledDepth, hints: Hints, step: int) -> tuple[list[Candidate], list[Candidate]]:
    """Return up to 3 candidates that may be the hand, best first, and all candidates.

    frame: of the image subsampled by step; hints: in pixels of the image. Raises ObservationError where there is none.
    """
    check_distance(frame)
    proposals = proposals_given(frame, hints.place, step) if hints.place is not None else propose_palms(frame)
    nearest = min((float(palm.center_mm[2]) for palm in proposals), default=0.0)
    farthest = nearest + frame.config.candidates.farther_mm
    candidates = _grown(frame, [palm for palm in proposals if palm.center_mm[2] < farthest])
    plausible = [candidate for candidate in candidates if _plausible(candidate, bool(hints))]
    chosen = _choose(plausible or _recognised(frame, candidates), frame.config.candidates)
    if not chosen:
        raise ObservationError(_no_hand(frame, candidates, bool(hints)))
    return chosen, candidates


def competitors_of(candidate: Candidate, candidates: list[Candidate]) -> tuple[list[Candidate], float]:
    """Return the other places that look like a hand, each once and best first, and the score's margin over all others.

    The margin is the difference of scores to the best other place, inf if there is none.
    """
    config = candidate.window.frame.config
    center, apart_mm = candidate.palm.center_mm, config.candidates.competitor_mm
    apart = [other for other in candidates if np.linalg.norm(other.palm.center_mm - center) > apart_mm]
    apart.sort(key=lambda other: -other.score)
    competitors: list[Candidate] = []
    for other in apart:
        here = other.palm.center_mm
        alone = all(np.linalg.norm(here - known.palm.center_mm) > apart_mm for known in competitors)
        if alone and other.score > config.score.even and _plausible(other, False):
            competitors.append(other)
    return competitors, candidate.score - apart[0].score if apart else float("inf")


def check_distance(frame: LabelledDepth) -> None:
    """Refuse a frame in which nothing is at a distance where a hand can be measured."""
    depths = frame.depth_mm.ravel()[np.flatnonzero(frame.labels > 0)]
    if not len(depths):
        raise ObservationError("nothing is measured where the hand is looked for; check mask=, box= and depth_mm=")
    nearest, farthest = frame.config.palm.distance_mm
    near, far = percentiles(depths[:: max(1, len(depths) // 20_000)], (2, 98))
    if near > farthest or far < nearest:
        raise ObservationError(
            f"the nearest surface is {length(near)} away and the farthest {length(far)}, but a hand is measured at "
            f"{length(nearest)} to {length(farthest)}; check depth_mm="
        )


def proposals_given(frame: LabelledDepth, place: Vector, step: int) -> list[PalmProposal]:
    """Return the palms that may be meant by a centre that the user gave, a point or a pixel of the image.

    Raises ObservationError if nothing is measured there.
    """
    seen = place if len(place) == 3 else (place - (step - 1) // 2) / step
    proposals = proposals_at(frame, seen)
    if not proposals:
        raise ObservationError(
            f"nothing is measured within {frame.config.palm.center_reach_mm:g} mm of the centre that was given; "
            "change center="
        )
    return proposals


def _grown(frame: LabelledDepth, proposals: list[PalmProposal]) -> list[Candidate]:
    """Grow hands around palms, the first of every surface first, and none beside a hand that is beyond doubt."""
    nearest = min((float(palm.center_mm[2]) for palm in proposals), default=0.0)
    of_surface: dict[int, int] = {}
    ranks = []
    for palm in proposals:
        ranks.append(of_surface.get(palm.label, 0))
        of_surface[palm.label] = ranks[-1] + 1
    config = frame.config.candidates
    found: list[Candidate] = []
    certain: list[Vector] = []
    for index in np.argsort(ranks, kind="stable"):
        palm = proposals[index]
        if any(np.linalg.norm(palm.center_mm - center) < config.sure_reach_mm for center in certain):
            continue
        readings = grow(frame, palm, nearest)
        found += readings
        if any(candidate.score >= config.sure_score for candidate in readings):
            certain.append(palm.center_mm)
    return found


def _plausible(candidate: Candidate, hinted: bool) -> bool:
    """Tell whether a candidate can be a hand at all; where the user gave a hint, almost anything can."""
    config = candidate.window.frame.config.candidates
    if hinted:
        return candidate.area_cm2 >= config.min_hinted_cm2
    least, most = config.area_cm2
    return least <= candidate.area_cm2 <= most and candidate.score >= config.min_score


def palms_of(candidates: list[Candidate]) -> Floats:
    """Where palms may be, (N, 3) mm, the likeliest first: those of all candidates that lie apart from each other."""
    apart = _apart(candidates)
    most = apart[0].window.frame.config.candidates.max_palms if apart else 0
    return np.array([each.palm.center_mm for each in apart[:most]], np.float64).reshape(-1, 3)


def _apart(candidates: list[Candidate]) -> list[Candidate]:
    """The best candidates that lie apart from each other, best first."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        place, distinct_mm = candidate.palm.center_mm, candidate.window.frame.config.candidates.distinct_mm
        if all(np.linalg.norm(place - other.palm.center_mm) > distinct_mm for other in chosen):
            chosen.append(candidate)
    return chosen


def _recognised(frame: LabelledDepth, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates whose palm the network of pixel labels recognises, where none is plausible by its shape.

    Hands that hold something, and coarse images of hands, often have no such shape.
    """
    config = frame.config.candidates
    asked = _apart([each for each in candidates if each.area_cm2 >= config.area_cm2[0]])[: config.max_recognised]
    if not asked:
        return []
    readings = read_windows(frame.depth_mm, frame.camera, np.stack([each.palm.center_mm for each in asked]))
    return [one for one, reading in zip(asked, readings, strict=True) if reading.presence >= config.recognised]


def _choose(candidates: list[Candidate], config: CandidateConfig) -> list[Candidate]:
    """Return the best candidates that lie apart from each other, or are readings of one palm."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        apart = all(
            other.palm is candidate.palm
            or np.linalg.norm(candidate.palm.center_mm - other.palm.center_mm) > config.distinct_mm
            for other in chosen
        )
        near_best = not chosen or candidate.score > chosen[0].score - config.max_score_gap
        if apart and len(chosen) < config.max_candidates and near_best:
            chosen.append(candidate)
    return chosen


def _no_hand(frame: LabelledDepth, candidates: list[Candidate], hinted: bool) -> str:
    """Say why no hand was found and what to change."""
    near, far = np.percentile(frame.depth_mm[frame.labels > 0], (2, 98))
    if _is_flat(frame):
        away = length(near) if far - near < frame.config.candidates.flat_mm else f"{length(near)} to {length(far)}"
        return f"no hand was found: all that is seen is a flat surface, {away} away; {WHERE}, or check depth_mm="
    nearest, farthest = frame.config.palm.distance_mm
    best = max(candidates, key=lambda candidate: candidate.score, default=None)
    if hinted:
        what = "no hand was found there; change box= or center=, give mask="
    elif best is None:
        what = f"no hand was found: no surface at {length(nearest)} to {length(farthest)} has a palm; {WHERE}"
    else:
        z = length(float(best.palm.center_mm[2]))
        what = (
            f"no hand was found: the most likely place, {z} away, shows {best.area_cm2:.3g} cm2 that do not look like "
            f"a hand; {WHERE}"
        )
    return f"{what}, or check depth_mm= (what the image shows lies {_range(near, far)} away)"


def _is_flat(frame: LabelledDepth) -> bool:
    """Tell whether all that is seen lies on one plane, over which 1 / z is linear in the pixels."""
    config = frame.config.candidates
    rows, columns = np.nonzero(frame.labels > 0)
    if len(rows) < config.flat_fraction * frame.labels.size:
        return False
    some = slice(None, None, max(1, len(rows) // 5_000))
    depth = frame.depth_mm[rows[some], columns[some]].astype(np.float64)
    pixels = np.column_stack([rows[some], columns[some], np.ones(len(depth))])
    plane = np.linalg.lstsq(pixels, 1.0 / depth, rcond=None)[0]
    off = np.abs(depth - 1.0 / np.maximum(pixels @ plane, 1e-9))
    return bool(np.percentile(off, 99) < config.flat_mm)


def _range(near_mm: float, far_mm: float) -> str:
    """Two lengths as text, or one where they read the same."""
    near, far = length(near_mm), length(far_mm)
    return near if near == far else f"{near} to {far}"


def length(mm: float) -> str:
    """A length as text, in mm or in m."""
    return f"{mm / 1000:.3g} m" if mm >= 1000 else f"{mm:.3g} mm"
