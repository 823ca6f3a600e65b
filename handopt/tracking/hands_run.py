"""Several hands through the frames of a sequence: a Run for each, in what the others leave of a frame."""

import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fit_hands import HANDS, is_own_hand, pixels_of, with_others
from handopt.fit_input import FitInput
from handopt.fitting import fit_image
from handopt.input.camera import Camera
from handopt.input.sequence.base import split_ignored
from handopt.result import FitResult
from handopt.rig import Rig
from handopt.rig.joints import palm_of
from handopt.tracking.claims import Claim, claim_of, expected_from, without_others
from handopt.tracking.confidence import ranges
from handopt.tracking.config import SeveralHandsConfig, TrackingConfig
from handopt.tracking.contacts import Contacts, Mesh
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.run import Run
from handopt.tracking.track import Track
from handopt.typing import BoolImage, Bools, FloatImage, Reals

if TYPE_CHECKING:
    from handopt.input.sequence.base import SequenceFrame

TOUCHES_NOTE = "The hand touches another one, which may have changed its pose, and is not counted as sure in frames"


@dataclass
class _Followed:
    """A hand, and what the last two frames with it show. together: frames for which it is in one place with another."""

    run: Run
    last: FrameEstimate | None = None
    before: FrameEstimate | None = None
    now: FrameEstimate | None = None
    together: int = 0

    @property
    def tracked(self) -> bool:
        """Whether the hand is in the last frame."""
        return self.now is not None and self.now.tracked

    @property
    def side(self) -> str | None:
        """Its side, None as long as it was never found."""
        return None if self.last is None else self.last.hand

    def accept(self, estimate: FrameEstimate) -> None:
        """Note what the next frame shows."""
        self.before = self.last if self.tracked and estimate.tracked else None
        self.now = estimate
        if estimate.tracked:
            self.last = estimate

    def lose(self, count: int) -> None:
        """Take back the last frames."""
        assert self.now is not None
        self.run.lose(count)
        facts = (self.now.frame, self.now.name, self.now.time_s, self.now.error, self.now.hand)
        self.now, self.before, self.together = FrameEstimate(*facts, tracked=False), None, 0


@dataclass
class HandsRun:
    """Takes frames one by one and follows up to max_hands hands; `tracks` is what came of them, at any time.

    hand: the side of all, or "auto" for each its own. The other fields are those of Run.
    """

    camera: Camera
    max_hands: int
    hand: str = "auto"
    rig: Rig | None = None
    smooth: bool = True
    settings: FitSettings = field(default_factory=FitSettings)
    fps: float | None = None
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    scratch: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Wait for the first hand."""
        self._config: SeveralHandsConfig = self.tracking.hands
        self._past: list[SequenceFrame] = []
        self._recent: deque[FloatImage] = deque(maxlen=self.tracking.look_back.remembered if self.smooth else 1)
        self._hands = [self._new_hand()]
        self._contacts = Contacts(self._config)
        self._wait, self._waited = 1, 0
        self._busy = 0.0

    def push(self, frame: "SequenceFrame") -> tuple[FrameEstimate, ...]:
        """Track the hands to the next frame: an estimate for each that was found so far, the first one first."""
        started = time.perf_counter()
        depth = frame.depth_mm
        if frame.problem is not None:
            depth = np.zeros((self.camera.height, self.camera.width), np.float32)
        claims = self._go_on(frame, depth)
        pushed = list(claims)
        if self._is_due(depth, claims):
            pushed += self._search(frame, depth, claims)
        rest = without_others(depth, None, claims.values())
        for index, hand in enumerate(self._hands):
            if index not in pushed:
                hand.accept(hand.run.skip(frame, rest))
        self._past.append(frame.without_images())
        self._recent.append(rest)
        self._take_duplicates_back()
        estimates = self._marked()
        self._busy += time.perf_counter() - started
        return estimates

    def _new_hand(self) -> _Followed:
        """A hand that was not in any frame so far."""
        run = Run(self.camera, self.hand, self.rig, self.smooth, self.settings, self.fps, self.tracking, self.scratch)
        known = len(self._recent) if self.smooth else 0
        for frame in self._past[: len(self._past) - known]:
            run.skip(frame)
        for frame, depth in zip(self._past[len(self._past) - known :], self._recent, strict=False):
            run.skip(frame, depth)
        return _Followed(run)

    def _go_on(self, frame: "SequenceFrame", depth: FloatImage) -> dict[int, Claim]:
        """Follow the hands of the last frame, nearer ones first; the pixels of each by its number."""
        expected = {
            index: expected_from(hand.last, hand.before)
            for index, hand in enumerate(self._hands)
            if hand.tracked and hand.last is not None
        }
        claims = {index: claim_of(each, depth, self.camera) for index, each in expected.items()}
        for index in sorted(expected, key=lambda each: float(expected[each].translation_mm[2])):
            hand = self._hands[index]
            others = [claim for other, claim in claims.items() if other != index]
            hand.accept(hand.run.push(replace(frame, depth_mm=without_others(depth, claims[index], others))))
            if hand.tracked and self._strayed(hand, expected[index]):
                hand.lose(1)
            if hand.now is None or not hand.tracked:
                claims[index] = claim_of(expected[index], np.zeros_like(depth), self.camera)
                self._wait, self._waited = 1, 0
            elif _deviation_mm(hand.now, expected[index]) > self._config.claim_deviation_mm:
                claims[index] = claim_of(hand.now, depth, self.camera)
        return claims

    def _strayed(self, hand: _Followed, expected: FrameEstimate) -> bool:
        """Whether a hand was found from scratch, elsewhere, and with too little confidence to be one."""
        pose = hand.run.pose
        assert hand.now is not None
        if pose is None or not pose.refitted or pose.anchor_confidence >= HANDS.least_confidence:
            return False
        return _palm_distance_mm(hand.now.joints_mm, expected.joints_mm) >= HANDS.apart_mm

    def _is_due(self, depth: FloatImage, claims: Collection[int]) -> bool:
        """Whether to search for hands in this frame: always while there are none, else now and then.

        claims: numbers of those that had a push.
        """
        count = sum(hand.tracked for hand in self._hands)
        # What was lost in this frame was searched for in it by its own run.
        if len(claims) >= self.max_hands or len(claims) > count or not (depth > 0).any():
            return False
        self._waited += 1
        if count and self._waited < self._wait:
            return False
        self._wait, self._waited = min(2 * self._wait, self._config.search_every), 0
        return True

    def _search(self, frame: "SequenceFrame", depth: FloatImage, claims: dict[int, Claim]) -> list[int]:
        """Search for hands in what those that are followed leave of a frame; the numbers of those that had a push."""
        rest = without_others(depth, None, claims.values())
        found = self._found(rest)
        pushed: list[int] = []
        for result, others in found:
            index = self._number_of(result, pushed)
            if index is None or index in claims:
                continue
            if index == len(self._hands):
                self._hands.append(self._new_hand())
            hand, is_new = self._hands[index], self._hands[index].last is None
            hand.accept(hand.run.push(replace(frame, depth_mm=_without(rest, others))))
            if hand.tracked and hand.now is not None:
                if _palm_distance_mm(hand.now.joints_mm, result.joints_mm) < HANDS.apart_mm:
                    hand.run.recover()
                    pushed.append(index)
                    continue
                hand.lose(1)
            pushed.append(index)
            if is_new and index:
                self._hands.pop()
                pushed.pop()
        if any(self._hands[index].tracked for index in pushed):
            self._wait = 1
        return pushed

    def _found(self, rest: FloatImage) -> list[tuple[FitResult, list[BoolImage]]]:
        """Hands of their own in a frame without those that are followed, each with the pixels (H, W) of the others."""
        palms = [palm_of(hand.now.joints_mm) for hand in self._hands if hand.now is not None and hand.tracked]
        plain, ignored = split_ignored(rest)
        given = FitInput(plain, self.camera, self._side_asked(), self.rig, ignore=ignored)
        started = any(hand.last is not None for hand in self._hands)
        try:
            first = fit_image(given, self.settings)
        except (ObservationError, NumericalError):
            return []
        # The first hand of all may be doubtful, as where one hand is followed: the track says so.
        least = HANDS if started else replace(HANDS, least_confidence=0.0)
        if not is_own_hand(first, palms, least):
            return []
        more = with_others(first, given, self.settings, self.max_hands - len(palms))[1:]
        results = [first, *(each for each in more if is_own_hand(each, palms))]
        pixels = [pixels_of(each) for each in results]
        return [(each, pixels[:index] + pixels[index + 1 :]) for index, each in enumerate(results)]

    def _side_asked(self) -> str:
        """The side to search for: that of all that are lost, where no further hand may come."""
        sides = {hand.side for hand in self._hands if not hand.tracked}
        if self.hand != "auto" or len(self._hands) < self.max_hands or len(sides) != 1:
            return self.hand
        return sides.pop() or self.hand

    def _number_of(self, result: FitResult, pushed: Sequence[int]) -> int | None:
        """Which hand a fit is: a lost one of its side, the nearest of them, else a new one where there may be one."""
        lost = {
            index: hand
            for index, hand in enumerate(self._hands)
            if not hand.tracked and index not in pushed and hand.side in (None, result.hand)
        }
        if lost:
            return min(lost, key=lambda index: _distance_to(lost[index], result))
        return len(self._hands) if len(self._hands) < self.max_hands else None

    def _take_duplicates_back(self) -> None:
        """Of two hands that are in one place for some frames, lose the one that explains less."""
        tracked = [hand for hand in self._hands if hand.tracked]
        for index, one in enumerate(tracked):
            for other in tracked[index + 1 :]:
                if one.now is None or other.now is None or not (one.tracked and other.tracked):
                    continue
                if _palm_distance_mm(one.now.joints_mm, other.now.joints_mm) >= self._config.apart_mm:
                    one.together = other.together = 0
                    continue
                one.together, other.together = one.together + 1, other.together + 1
                if min(one.together, other.together) >= self._config.together_frames:
                    worse = min(one, other, key=_worth)
                    worse.lose(self._config.together_frames)
                    self._wait, self._waited = 1, 0

    def _marked(self) -> tuple[FrameEstimate, ...]:
        """The estimates of the last frame; of hands that touch the confidence is not sure."""
        hands = [hand for hand in self._hands if hand.now is not None]
        now = [hand.now for hand in hands if hand.now is not None]
        meshes: list[Mesh | None] = [(each.vertices_mm(), each.joints_mm) if each.tracked else None for each in now]
        touching = self._contacts.step(meshes) if len(meshes) > 1 else [False] * len(meshes)
        estimates = []
        for index, (each, touch) in enumerate(zip(now, touching, strict=True), 1):
            confidence = min(each.confidence, HANDS.sure_at_most) if touch and each.tracked else each.confidence
            estimates.append(replace(each, number=index, confidence=confidence))
        return tuple(estimates)

    def tracks(self, source: str, fps: float | None, notes: tuple[str, ...] = ()) -> list[Track]:
        """The track of each hand in all frames so far, the first that was found first.

        Raises ObservationError where no hand was found in any.
        """
        first, *others = self._hands
        tracks = [first.run.track(source, fps, notes)]
        for hand in others:
            if hand.run.has_hand:
                track = hand.run.track(source, fps, notes)
                if np.nanmedian(track.confidence) >= HANDS.least_confidence:
                    tracks.append(track)
        return [replace(each, seconds=self._busy) for each in self._not_sure(tracks)]

    def _not_sure(self, tracks: list[Track]) -> list[Track]:
        """Tracks whose frames are not sure in which their hand touches another one."""
        if len(tracks) < 2:
            return tracks
        contacts, joints = Contacts(self._config), [track.joints_mm() for track in tracks]
        touching = np.array([
            contacts.step([
                (track.vertices_mm(frame), place[frame]) if track.known[frame] else None
                for track, place in zip(tracks, joints, strict=True)
            ])
            for frame in range(len(tracks[0]))
        ]).T  # fmt: skip
        marked = []
        for track, rows in zip(tracks, touching, strict=True):
            confidence = np.where(rows, np.minimum(track.confidence, HANDS.sure_at_most), track.confidence)
            marked.append(replace(track, confidence=confidence, notes=_with_touch(track.notes, rows)))
        return marked


def _with_touch(notes: tuple[str, ...], touching: Bools) -> tuple[str, ...]:
    """Notes, with one on the frames (T,) in which a hand touches another one."""
    return (*notes, f"{TOUCHES_NOTE}: {', '.join(ranges(touching))}.") if touching.any() else notes


def _worth(hand: _Followed) -> tuple[float, float]:
    """What of two hands in one place stays: more confidence, then less that is left unexplained."""
    assert hand.now is not None
    return hand.now.confidence, -hand.now.unexplained_fraction


def _distance_to(hand: _Followed, result: FitResult) -> float:
    return 0.0 if hand.last is None else _palm_distance_mm(hand.last.joints_mm, result.joints_mm)


def _palm_distance_mm(joints_mm: Reals, others_mm: Reals) -> float:
    return float(np.linalg.norm(palm_of(joints_mm) - palm_of(others_mm)))


def _deviation_mm(one: FrameEstimate, other: FrameEstimate) -> float:
    return float(np.linalg.norm(one.joints_mm - other.joints_mm, axis=1).max())


def _without(depth: FloatImage, masks: Sequence[BoolImage]) -> FloatImage:
    """A frame (H, W) with NaN where masks are."""
    return np.where(np.logical_or.reduce(masks), np.float32(np.nan), depth) if masks else depth
