"""Which places of a depth image are hands: grown around palms, the plausible ones chosen, or why there is none."""

import numpy as np

from handopt.errors import ObservationError
from handopt.observation.hints import Hints
from handopt.observation.palm_proposals import CENTER_REACH_MM, DISTANCE_MM, PalmProposal, palms_at, propose_palms
from handopt.observation.segmentation import Candidate, grow
from handopt.observation.surfaces import LabelledDepth
from handopt.typing import Vector

MAX_CANDIDATES = 3
MIN_HAND_CM2 = 28.0
MIN_HINTED_CM2 = 8.0
MAX_HAND_CM2 = 330.0
MAX_SCORE_GAP = 3.0
MIN_SCORE = -0.5
DISTINCT_MM = 60.0
RIVAL_MM = 150.0
SURE_SCORE = 3.75
SURE_REACH_MM = 200.0
EVEN_SCORE = 1.0
FLAT_MM, FLAT_SHARE = 15.0, 0.25
WHERE = "say where the hand is with --box, --center or --mask"


def find_hands(frame: LabelledDepth, hints: Hints, step: int) -> tuple[list[Candidate], list[Candidate]]:
    """Return up to 3 candidates that may be the hand, best first, and all candidates.

    frame: of the image thinned by step; hints: in pixels of the image. Raises ObservationError where there is none.
    """
    check_distance(frame)
    palms = propose_palms(frame) if hints.place is None else palms_given(frame, hints.place, step)
    candidates = _grown(frame, palms)
    chosen = _choose([candidate for candidate in candidates if _plausible(candidate, bool(hints))])
    if not chosen:
        raise ObservationError(_no_hand(frame, candidates, bool(hints)))
    return chosen, candidates


def competitors_of(candidate: Candidate, candidates: list[Candidate]) -> tuple[list[Candidate], float]:
    """Return the other places that look like a hand, each once and best first, and the lead over all other places.

    The lead is the difference of scores to the best other place, inf where there is none.
    """
    center = candidate.palm.center_mm
    apart = [other for other in candidates if np.linalg.norm(other.palm.center_mm - center) > RIVAL_MM]
    apart.sort(key=lambda other: -other.score)
    competitors: list[Candidate] = []
    for other in apart:
        here = other.palm.center_mm
        alone = all(np.linalg.norm(here - rival.palm.center_mm) > RIVAL_MM for rival in competitors)
        if alone and other.score > EVEN_SCORE and _plausible(other, False):
            competitors.append(other)
    return competitors, candidate.score - apart[0].score if apart else float("inf")


def check_distance(frame: LabelledDepth) -> None:
    """Refuse a frame in which nothing is at a distance where a hand can be measured."""
    depths = frame.depth_mm[frame.labels > 0]
    if not len(depths):
        raise ObservationError("nothing is measured where the hand is looked for; check --mask, --box and --unit")
    near, far = np.percentile(depths[:: max(1, len(depths) // 20_000)], (2, 98))
    if near > DISTANCE_MM[1] or far < DISTANCE_MM[0]:
        raise ObservationError(
            f"the nearest surface is {length(near)} away and the farthest {length(far)}, but a hand is measured at "
            f"{length(DISTANCE_MM[0])} to {length(DISTANCE_MM[1])}; check --unit, the length of one count in mm"
        )


def palms_given(frame: LabelledDepth, place: Vector, step: int) -> list[PalmProposal]:
    """Return the palms that may be meant by a centre that the user gave, a point or a pixel of the image."""
    seen = place if len(place) == 3 else (place - (step - 1) // 2) / step
    palms = palms_at(frame, seen)
    if not palms:
        raise ObservationError(
            f"nothing is measured within {CENTER_REACH_MM:g} mm of the centre that was given; change --center"
        )
    return palms


def _grown(frame: LabelledDepth, palms: list[PalmProposal]) -> list[Candidate]:
    """Grow hands around palms, the first of every surface first, and none beside a hand that is beyond doubt."""
    nearest = min((float(palm.center_mm[2]) for palm in palms), default=0.0)
    of_surface: dict[int, int] = {}
    ranks = []
    for palm in palms:
        ranks.append(of_surface.get(palm.label, 0))
        of_surface[palm.label] = ranks[-1] + 1
    found: list[Candidate] = []
    sure: list[Vector] = []
    for index in np.argsort(ranks, kind="stable"):
        palm = palms[index]
        if any(np.linalg.norm(palm.center_mm - center) < SURE_REACH_MM for center in sure):
            continue
        readings = grow(frame, palm, nearest)
        found += readings
        if any(candidate.score >= SURE_SCORE for candidate in readings):
            sure.append(palm.center_mm)
    return found


def _plausible(candidate: Candidate, hinted: bool) -> bool:
    """Tell whether a candidate can be a hand at all; where the user gave a hint, almost anything can."""
    if hinted:
        return candidate.area_cm2 >= MIN_HINTED_CM2
    return MIN_HAND_CM2 <= candidate.area_cm2 <= MAX_HAND_CM2 and candidate.score >= MIN_SCORE


def _choose(candidates: list[Candidate]) -> list[Candidate]:
    """Return the best candidates that lie apart from each other, or are readings of one palm."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        apart = all(
            other.palm is candidate.palm
            or np.linalg.norm(candidate.palm.center_mm - other.palm.center_mm) > DISTINCT_MM
            for other in chosen
        )
        if apart and len(chosen) < MAX_CANDIDATES and (not chosen or candidate.score > chosen[0].score - MAX_SCORE_GAP):
            chosen.append(candidate)
    return chosen


def _no_hand(frame: LabelledDepth, candidates: list[Candidate], hinted: bool) -> str:
    """Say why no hand was found and what to change."""
    near, far = np.percentile(frame.depth_mm[frame.labels > 0], (2, 98))
    if _is_flat(frame):
        away = length(near) if far - near < FLAT_MM else f"{length(near)} to {length(far)}"
        return f"no hand was found: all that is seen is a flat surface, {away} away; {WHERE}, or check --unit"
    reach = f"{length(DISTANCE_MM[0])} to {length(DISTANCE_MM[1])}"
    best = max(candidates, key=lambda candidate: candidate.score, default=None)
    if hinted:
        what = "no hand was found there; change --box or --center, give --mask"
    elif best is None:
        what = f"no hand was found: no surface at {reach} has a palm; {WHERE}"
    else:
        z = length(float(best.palm.center_mm[2]))
        what = (
            f"no hand was found: the most likely place, {z} away, shows {best.area_cm2:.3g} cm2 unlike a hand; {WHERE}"
        )
    return f"{what}, or check --unit (what the image shows lies {length(near)} to {length(far)} away)"


def _is_flat(frame: LabelledDepth) -> bool:
    """Tell whether all that is seen lies on one plane, over which 1 / z is linear in the pixels."""
    rows, columns = np.nonzero(frame.labels > 0)
    if len(rows) < FLAT_SHARE * frame.labels.size:
        return False
    some = slice(None, None, max(1, len(rows) // 5_000))
    depth = frame.depth_mm[rows[some], columns[some]].astype(np.float64)
    pixels = np.column_stack([rows[some], columns[some], np.ones(len(depth))])
    plane = np.linalg.lstsq(pixels, 1.0 / depth, rcond=None)[0]
    off = np.abs(depth - 1.0 / np.maximum(pixels @ plane, 1e-9))
    return bool(np.percentile(off, 99) < FLAT_MM)


def length(mm: float) -> str:
    """Write a length as one reads it."""
    return f"{mm / 1000:.3g} m" if mm >= 1000 else f"{mm:.3g} mm"
