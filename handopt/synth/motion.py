"""A hand that moves: key poses that a person goes through, and a smooth transition from each to the next."""

from dataclasses import dataclass, replace

import numpy as np

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.rig import Rig
from handopt.synth.config import SYNTH
from handopt.synth.forearm import Forearm, bend_wrist, sample_forearm
from handopt.synth.hand_volume import SubjectVolume, volume_of
from handopt.synth.poses import HandSample, Level, sample_hand, sample_view
from handopt.synth.scene import compose, place, posed
from handopt.synth.subject import Subject
from handopt.typing import Floats

_CONFIG = SYNTH.motion


@dataclass(frozen=True)
class Key:
    """A key pose. middle: (3,) of the 21 joints in the camera frame, mm. forearm: bent as the wrist is, or None."""

    hand: HandSample
    middle: Floats
    forearm: Forearm | None


@dataclass(frozen=True)
class Transition:
    """From one key pose to the next: seconds in motion, seconds at rest after it, and the thumb's lead."""

    start: Key
    end: Key
    travel_s: float
    hold_s: float
    lead: float

    @property
    def seconds(self) -> float:
        """How long it takes with the rest after it."""
        return self.travel_s + self.hold_s

    def at(self, seconds: float) -> Key:
        """The pose after some seconds."""
        share = min(seconds / self.travel_s, 1.0)
        part = float(minimum_jerk(np.array(share)))
        start, end = self.start, self.end
        nearer = end if share >= 0.5 else start
        hand = replace(
            nearer.hand,
            angles_rad=blend_angles(start.hand.angles_rad, end.hand.angles_rad, np.array([share]), self.lead)[0],
            rotation=_slerp(start.hand.rotation, end.hand.rotation, part),
        )
        forearm = start.forearm
        if start.forearm is not None and end.forearm is not None:
            forearm = replace(
                start.forearm,
                flexion=start.forearm.flexion + part * (end.forearm.flexion - start.forearm.flexion),
                deviation=start.forearm.deviation + part * (end.forearm.deviation - start.forearm.deviation),
            )
        return Key(hand, start.middle + part * (end.middle - start.middle), forearm)


def minimum_jerk(share: Floats) -> Floats:
    """Progress 0..1 at shares 0..1 of the time: 10 t^3 - 15 t^4 + 6 t^5 (Flash and Hogan, J. Neurosci. 1985)."""
    t = np.clip(share, 0.0, 1.0)
    return np.asarray(t**3 * (10 - 15 * t + 6 * t**2))


def blend_angles(start: Floats, end: Floats, share: Floats, lead: float) -> Floats:
    """Angles (T, 15, 3) at shares (T,) of the time; a lead above 0 lets the thumb arrive first, below 0 last."""
    span = 1.0 - abs(lead)
    late, early = minimum_jerk((share - abs(lead)) / span), minimum_jerk(share / span)
    thumb, fingers = (early, late) if lead > 0 else (late, early)
    progress = np.repeat(fingers[:, None], 15, axis=1)
    progress[:, :3] = thumb[:, None]
    return np.asarray(start + progress[..., None] * (end - start))


class Motion:
    """Key poses and the transitions between them, long enough for a number of seconds."""

    def __init__(
        self,
        rng: np.random.Generator,
        level: Level,
        subject: Subject,
        rig: Rig,
        camera: Camera,
        *,
        seconds: float,
        speed: float = 1.0,
        forearm: bool = False,
    ) -> None:
        """rig: a right hand; speed: factor of all speeds, 0 for a hand that stays in its first pose.

        Raises ConfigError where no transition without overlaps is found.
        """
        self._rng, self._level, self._subject, self._camera = rng, level, subject, camera
        self._rig, self._dressed = rig, subject.dress(rig)
        self._body = volume_of(rig).of(subject.proportions)
        self._arm = sample_forearm(rng) if forearm else None
        self._first = self._key(None)
        self.transitions: list[Transition] = []
        covered = 0.0
        while speed > 0 and covered < seconds:
            self.transitions.append(
                self._transition(self.transitions[-1].end if self.transitions else self._first, speed)
            )
            covered += self.transitions[-1].seconds

    def at(self, seconds: float) -> tuple[Key, int]:
        """The pose at a time, and the number of its transition."""
        for number, transition in enumerate(self.transitions):
            if seconds < transition.seconds or number == len(self.transitions) - 1:
                return transition.at(seconds), number
            seconds -= transition.seconds
        return self._first, 0

    @property
    def keys(self) -> list[Key]:
        """All key poses."""
        return [self._first, *(transition.end for transition in self.transitions)]

    def placed(self, key: Key) -> Floats:
        """Where the wrist (3,) of a pose is, mm."""
        _, joints = posed(key.hand, self._dressed)
        return np.asarray(key.middle - joints.mean(axis=0))

    def vertices(self, key: Key) -> Floats:
        """The skin (V, 3) of a pose, mm."""
        vertices, joints = posed(key.hand, self._dressed)
        return np.asarray(vertices + key.middle - joints.mean(axis=0))

    def _transition(self, start: Key, speed: float) -> Transition:
        """A transition to a new key pose in which nothing overlaps and the hand stays in view."""
        for _ in range(_CONFIG.key_tries):
            end = self._key(start)
            lead = _clear_lead(self._body, start.hand.angles_rad, end.hand.angles_rad)
            if lead is None:
                continue
            leisure, hold = float(self._rng.uniform(*_CONFIG.leisure)), float(self._rng.uniform(*_CONFIG.hold_s))
            turn = rotation_angle(start.hand.rotation, end.hand.rotation)
            bend = float(np.abs(end.hand.angles_rad - start.hand.angles_rad).max())
            travel = float(np.linalg.norm(end.middle - start.middle))
            seconds = max(
                turn / _CONFIG.turn_rad_s, bend / _CONFIG.bend_rad_s / (1 - abs(lead)),
                travel / _CONFIG.travel_mm_s, _CONFIG.min_travel_s,
            )  # fmt: skip
            transition = Transition(start, end, leisure * seconds / speed, hold / speed, lead)
            if all(self._in_view(transition.at(share * transition.travel_s)) for share in _CONFIG.looked_at):
                return transition
        raise ConfigError(f"no transition to another pose was found in {_CONFIG.key_tries} draws: change seed=")

    def _key(self, previous: Key | None) -> Key:
        """Draw a key pose that can be seen, turned from the previous one by no more than a wrist and an elbow can."""
        for _ in range(_CONFIG.key_tries):
            hand = sample_hand(self._rng, self._level, subject=self._subject, rig=self._rig)
            forearm = self._arm
            if previous is not None:
                hand = replace(hand, rotation=self._view_near(previous.hand.rotation))
                if forearm is not None:
                    bent = sample_forearm(self._rng)
                    forearm = replace(forearm, flexion=bent.flexion, deviation=bent.deviation)
            rig = self._dressed if forearm is None else bend_wrist(forearm, self._dressed)
            vertices, joints = posed(hand, rig)
            translation = place(self._rng, vertices, joints, self._camera)
            key = Key(hand, translation + joints.mean(axis=0), forearm)
            if self._in_view(key):
                return key
        raise ConfigError(f"the forearm hides the hand in {_CONFIG.key_tries} draws: change seed=")

    def _view_near(self, rotation: Floats) -> Floats:
        """A view of the level that is not turned too far, or the nearest of some."""
        best, least = rotation, np.inf
        for _ in range(_CONFIG.view_tries):
            view = sample_view(self._rng, self._level, self._rig)
            turn = rotation_angle(rotation, view)
            if turn < least:
                best, least = view, turn
            if turn <= _CONFIG.max_turn_rad:
                break
        return best

    def _in_view(self, key: Key) -> bool:
        scene = compose(key.hand, self._dressed, self._camera, self.placed(key), key.forearm)
        return scene.shows_enough(key.hand.scale)


def rotation_angle(one: Floats, other: Floats) -> float:
    """The angle between two rotations (3, 3), rad."""
    return float(np.arccos(np.clip((np.trace(one.T @ other) - 1) / 2, -1, 1)))


def _slerp(start: Floats, end: Floats, part: float) -> Floats:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(start.T @ end).as_rotvec()
    return np.asarray(start @ Rotation.from_rotvec(part * turn).as_matrix())


def _clear_lead(body: SubjectVolume, start: Floats, end: Floats) -> float | None:
    """The thumb's lead with which nothing overlaps between two poses, if there is one."""
    share = np.linspace(0.0, 1.0, _CONFIG.overlap_steps)
    for lead in _CONFIG.leads:
        overlap, _ = body.measure(blend_angles(start, end, share, lead))
        if overlap.max() <= _CONFIG.tolerance_mm:
            return lead
    return None
