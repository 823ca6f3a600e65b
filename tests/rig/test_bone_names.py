"""Names of hand bones, as programs and engines give them; written down here from their own documents and files."""

import re

import pytest

from handopt.rig.bone_names import bone_joint, hand_bones
from handopt.rig.joints import CHAINS, DIGITS, OPTIONAL

FINGERS = DIGITS[1:]
PHALANGES = ("proximal", "intermediate", "distal")


def numbered(pattern: str, thumb: str, wrist: str, start: int = 1, tips: bool = False) -> dict[str, str]:
    """Names by canonical joint, of bones with numbers from the base to the tip."""
    names = {"wrist": wrist}
    for digit in DIGITS:
        chain = [joint for joint in CHAINS[digit] if joint not in OPTIONAL and (tips or not joint.endswith("-tip"))]
        for number, joint in enumerate(chain, start):
            names[joint] = (thumb if digit == "thumb" else pattern).format(digit=digit, Digit=digit.title(), n=number)
    return names


def vrm(thumb: tuple[str, str, str]) -> dict[str, str]:
    names = {"wrist": "rightHand"}
    names |= {joint: f"rightThumb{part}" for joint, part in zip(CHAINS["thumb"], thumb, strict=False)}
    for finger in FINGERS:
        called = "Little" if finger == "pinky" else finger.title()
        for joint, part in zip(CHAINS[finger][1:], PHALANGES, strict=False):
            names[joint] = f"right{called}{part.title()}"
    return names


def placed(pattern: str, wrist: str, first: tuple[str, ...]) -> dict[str, str]:
    """Names of MakeHuman and of Biped, which count the digits, too."""
    names = {"wrist": wrist}
    for place, digit in enumerate(DIGITS):
        chain = [joint for joint in CHAINS[digit] if joint not in OPTIONAL and not joint.endswith("-tip")]
        for joint, ending in zip(chain, first, strict=True):
            names[joint] = pattern.format(place=place, human=place + 1, ending=ending)
    return names


CONVENTIONS = {
    "Mixamo": numbered(
        "mixamorig:RightHand{Digit}{n}", "mixamorig:RightHandThumb{n}", "mixamorig:RightHand", tips=True
    ),
    "Rigify": numbered("DEF-f_{digit}.0{n}.R", "DEF-thumb.0{n}.R", "DEF-hand.R"),
    "Unreal": numbered("{digit}_0{n}_r", "thumb_0{n}_r", "hand_r"),
    "SMPL-X": numbered("right_{digit}{n}", "right_thumb{n}", "right_wrist"),
    "Quest": numbered("b_r_{digit}{n}", "b_r_thumb{n}", "b_r_wrist"),
    "VRoid": numbered("J_Bip_R_{Digit}{n}", "J_Bip_R_Thumb{n}", "J_Bip_R_Hand"),
    "VRM 1": vrm(("Metacarpal", "Proximal", "Distal")),
    "VRM 0": vrm(("Proximal", "Intermediate", "Distal")),
    "MakeHuman": placed("finger{human}-{ending}.R", "wrist.R", ("1", "2", "3")),
    "Biped": placed("Bip01 R Finger{place}{ending}", "Bip01 R Hand", ("", "1", "2")),
    "WebXR": {"wrist": "wrist"} | {joint: joint for digit in DIGITS for joint in CHAINS[digit]},
}


def mirrored(name: str) -> str:
    """The name of the bone on the left."""
    name = name.replace("Right", "Left").replace("right", "left").replace(".R", ".L").replace(" R ", " L ")
    return re.sub(r"_r(?=_|$)", "_l", name.replace("_R_", "_L_"))


BODY = (
    "Hips",
    "RightArm",
    "RightForeArm",
    "upperarm_r",
    "lowerarm_twist_01_r",
    "hand_r_twist",
    "ik_hand_r",
    "RightFoot",
)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_bones_are_found_by_their_names(convention: str) -> None:
    names = CONVENTIONS[convention]
    assert hand_bones([*BODY, *reversed(names.values())], "right") == names


@pytest.mark.parametrize("convention", [each for each in CONVENTIONS if each != "WebXR"])
def test_each_side_has_its_own(convention: str) -> None:
    right = CONVENTIONS[convention]
    left = {joint: mirrored(name) for joint, name in right.items()}
    assert left != right
    for side, names in (("right", right), ("left", left)):
        assert hand_bones([*left.values(), *right.values()], side) == names


def test_metacarpals() -> None:
    for name in ("index_metacarpal_r", "palm.01.R", "b_r_pinky0", "ring-finger-metacarpal"):
        found = bone_joint(name)
        if name != "palm.01.R":  # which palm is whose stands in its number only
            assert found is not None
            assert found[1].endswith("-finger-metacarpal")
    assert bone_joint("b_r_thumb0") is None, "Quest's trapezium is no joint of ours"


@pytest.mark.parametrize(
    "name",
    ["RightHandProp", "hand_r_twist", "ik_hand_r", "weapon_r", "Root", "index", "finger", "thumbnail", "J_Sec_R_Hair1"],
)
def test_other_bones_are_none_of_a_hand(name: str) -> None:
    assert bone_joint(name) is None
