"""Characters with hands for the tests of loading: the default hands on arms, under the names of several programs."""

from collections.abc import Callable

import numpy as np

from handopt.rig import default_rig
from support.rig_files import HandFile

SEGMENTS = ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")


def split(canonical: str) -> tuple[str, int]:
    """Digit and number of a canonical joint: 0 for a finger's metacarpal, 1 for what follows, 4 for its tip."""
    digit, segment = canonical.replace("-finger", "").split("-", 1)
    if digit == "thumb":
        return digit, {"metacarpal": 1, "phalanx-proximal": 2, "phalanx-distal": 3, "tip": 4}[segment]
    return digit, SEGMENTS.index(segment)


def _word(number: int, thumb: bool) -> str:
    words = ("Metacarpal", "Proximal", "Intermediate", "Distal", "Tip")
    return ("", "Metacarpal", "Proximal", "Distal", "Tip")[number] if thumb else words[number]


def _name(side: str, canonical: str, make: Callable[[str, int], str | None], wrist: str) -> str | None:
    return wrist if canonical == "wrist" else make(*split(canonical))


def names_of(program: str, side: str) -> dict[str, str]:
    """The program's name of each canonical joint that it has."""
    s, upper = side[0], side.capitalize()
    finger = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Pinky"}
    little = {**finger, "pinky": "Little"}
    numbers = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}

    def rigify(digit: str, number: int) -> str | None:
        if number == 0:
            return f"DEF-palm.0{numbers[digit] - 1}.{s.upper()}"
        base = "thumb" if digit == "thumb" else f"f_{digit}"
        return None if number == 4 else f"DEF-{base}.0{number}.{s.upper()}"

    def vrm0(digit: str, number: int) -> str | None:
        words = ("", "Proximal", "Intermediate", "Distal")
        return None if number in (0, 4) else f"{side}{little[digit]}{words[number]}"

    def makehuman(digit: str, number: int) -> str | None:
        if number == 0:
            return f"metacarpal{numbers[digit] - 1}.{s.upper()}"
        return None if number == 4 else f"finger{numbers[digit]}-{number}.{s.upper()}"

    programs: dict[str, tuple[str, Callable[[str, int], str | None]]] = {
        "mixamo": (f"mixamorig:{upper}Hand", lambda d, n: None if n == 0 else f"mixamorig:{upper}Hand{finger[d]}{n}"),
        "vrm1": (
            f"{side}Hand",
            lambda d, n: None if n in (0, 4) else f"{side}{little[d]}{_word(n, d == 'thumb')}",
        ),
        "vrm0": (f"{side}Hand", vrm0),
        "vroid": (f"J_Bip_{s.upper()}_Hand", lambda d, n: None if n in (0, 4) else f"J_Bip_{s.upper()}_{little[d]}{n}"),
        "unreal": (
            f"hand_{s}",
            lambda d, n: None if n == 4 else f"{d}_metacarpal_{s}" if n == 0 else f"{d}_0{n}_{s}",
        ),
        "rigify": (f"DEF-hand.{s.upper()}", rigify),
        "blender": (f"hand.{s.upper()}", lambda d, n: None if n in (0, 4) else f"finger_{d}.0{n}.{s.upper()}"),
        "makehuman": (f"wrist.{s.upper()}", makehuman),
        "quest": (
            f"b_{s}_wrist",
            lambda d, n: f"b_{s}_{d}_null" if n == 4 else None if n == 0 and d != "pinky" else f"b_{s}_{d}{n}",
        ),
        "smplx": (f"{side}_wrist", lambda d, n: None if n in (0, 4) else f"{side}_{d}{n}"),
        "soma": (f"{upper}Hand", lambda d, n: f"{upper}Hand{finger[d]}End" if n == 4 else f"{upper}Hand{finger[d]}{n}"),
    }
    wrist, make = programs[program]
    rig = default_rig(side)
    named = {joint: _name(side, joint, make, wrist) for joint in rig.joint_names}
    return {joint: name for joint, name in named.items() if name is not None}


def character(names: dict[str, dict[str, str]], *, arms: bool = True, forearm: str = "forearm") -> HandFile:
    """A body with one hand for each side in `names`, joints by canonical name; joints that it lacks move with others.

    The hands are 1.4 m apart, palms down, and hang from a spine by an arm whose last joint moves some of their skin.
    """
    parts, parents, labels, binds, joints, weights, faces, start = [], [-1], ["spine"], [np.eye(4)], [], [], [], 0
    for side, own in names.items():
        hand, rig = HandFile.default(side), default_rig(side)
        place = np.eye(4)
        place[:3, 3] = [-0.7 if side == "right" else 0.7, 1.4, 0.1]
        row = {"": 0}
        if arms:
            parents.append(0)
            labels.append(f"{forearm}.{side}")
            binds.append(place)
            row[""] = len(labels) - 1
        bind = hand.binds
        for joint, parent in zip(rig.joint_names, rig.parents, strict=True):
            above = "" if parent < 0 else rig.joint_names[parent]
            if joint not in own:
                row[joint] = row[above]
                continue
            parents.append(row[above])
            labels.append(own[joint])
            binds.append(place @ bind[hand.names.index(joint)])
            row[joint] = len(labels) - 1
        parts.append(hand.positions + place[:3, 3])
        table = np.array([row[name] for name in hand.names])
        joints.append(table[hand.joints])
        weights.append(hand.weights)
        faces.append(hand.faces.astype(np.int64) + start)
        start += len(hand.positions)
    return HandFile(
        np.concatenate(parts).astype(np.float32),
        np.concatenate(faces).astype(np.uint32),
        np.concatenate(joints).astype(np.uint16),
        np.concatenate(weights),
        labels,
        np.linalg.inv(np.array(binds)),
        parents=parents,
        mesh_name="body",
    )
