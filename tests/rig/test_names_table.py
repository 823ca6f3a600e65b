"""The documented table of bone names: each name means the joint of its place, in models and in exports alike."""

import re

import pytest
from support.documents import PROJECT

from handopt.rig.bone_names import hand_bones
from handopt.rig.character_names import chain_names, understood
from handopt.rig.joints import CHAINS, canonical_name

TEXT = (PROJECT / "handopt" / "rig" / "README.md").read_text(encoding="utf-8")
SECTION = TEXT.split("## Names of bones")[1].split("## MANO")[0]
ROWS = {
    cells[0]: [re.findall("`([^`]+)`", cell) for cell in cells[1:]]
    for cells in (
        [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")
    )
    if cells[0] != "program"
}
METACARPAL_FIRST = {"WebXR", "OpenXR", "Rigify", "MakeHuman", "Unreal"}
XR = {"WebXR", "OpenXR"}


def expected(program: str, digit: str, names: list[str]) -> list[str]:
    """The canonical joints of a row's names, base to tip."""
    chain = list(CHAINS[digit])
    if digit != "thumb" and program not in METACARPAL_FIRST:
        chain = chain[1:]
    return chain[: len(names)]


def test_the_table_has_every_program() -> None:
    assert list(ROWS) == [
        *("WebXR", "OpenXR", "VRM 1", "VRM 0", "Unity", "VRoid", "Mixamo", "Rigify", "Blender", "MakeHuman", "Unreal"),
        *("Quest", "SMPL-X", "SOMA"),
    ]


@pytest.mark.parametrize("program", ROWS)
def test_models_read_each_name_as_its_joint(program: str) -> None:
    (wrist,), *digits = ROWS[program]
    for digit, names in zip(("thumb", "index"), digits, strict=True):
        wanted = expected(program, digit, names)
        if program in XR:
            assert [canonical_name(name) for name in names] == wanted
            continue
        told = [each for name in names if (each := understood(name)) is not None]
        assert [(each.digit, each.side) for each in told] == [(digit, "right")] * len(names)
        assert chain_names(digit, told, has_tip=wanted[-1].endswith("-tip")) == wanted
    said = understood(wrist)
    assert canonical_name(wrist) == "wrist" or (said is not None and (said.digit, said.side) == (None, "right"))


@pytest.mark.parametrize("program", [each for each in ROWS if each not in XR])
def test_exports_find_the_same_bones(program: str) -> None:
    (wrist,), *digits = ROWS[program]
    bones = hand_bones([wrist, *(name for names in digits for name in names)], "right")
    assert bones["wrist"] == wrist
    for digit, names in zip(("thumb", "index"), digits, strict=True):
        for joint, name in zip(expected(program, digit, names), names, strict=True):
            assert bones.get(joint) == name
