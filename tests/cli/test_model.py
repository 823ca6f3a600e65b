"""`handopt model show`: tables on stdout, a picture in a file, and rigs that are refused."""

import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.character_files import character, names_of
from support.mano_files import mano_arrays
from support.rig_files import HandFile

from handopt.assets import asset
from handopt.cli.main import main
from handopt.cli.model import describe
from handopt.rig import default_rig
from handopt.rig.joints import ANGLE_NAMES, CANONICAL


def show(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["model", "show", *map(str, arguments)])


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands in for drawing, which takes seconds; the paths written."""
    written: list[Path] = []

    def write(_rig: object, path: Path, _progress: object) -> None:
        path.write_bytes(b"picture")
        written.append(path)

    monkeypatch.setattr("handopt.draw.turntable.write_turntable", write)
    return written


def test_it_prints_tables_and_draws_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("handopt.cli.console.LINE_EVERY_S", math.inf)  # no line of progress, however slow it is
    tables = show("right")
    assert tables.exit_code == 0
    assert tables.stderr == ""
    assert list(tmp_path.iterdir()) == [], "a picture is drawn where one is asked for"
    printed = show("right", "-o", "mine.png")
    assert printed.exit_code == 0
    assert printed.stdout == tables.stdout
    assert "right: a right hand" in printed.stdout
    assert "mesh: 1159 vertices, 2314 faces, closed" in printed.stdout
    assert printed.stderr == "mine.png shows it from eight sides.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    with Image.open(tmp_path / "mine.png") as image:
        assert image.format == "PNG"


def test_a_picture_that_exists_is_kept(tmp_path: Path, picture: list[Path]) -> None:
    mine = tmp_path / "right-turntable.png"
    mine.write_bytes(b"mine")
    refused = show("right", "-o", mine)
    assert refused.exit_code == 2
    assert f"{mine} exists and was kept: replace it with --overwrite" in " ".join(refused.stderr.split())
    assert refused.stdout == ""
    assert mine.read_bytes() == b"mine"
    assert show("right", "-o", mine, "--overwrite").exit_code == 0
    assert mine.read_bytes() == b"picture"
    without = show("right", "--overwrite")
    assert without.exit_code == 2
    assert "--overwrite needs -o PNG" in without.stderr


def test_the_tables_as_json(tmp_path: Path) -> None:
    rig = default_rig("left")
    (line,) = show("left", "--json").stdout.splitlines()
    document = json.loads(line)
    assert (document["name"], document["hand"], document["closed"]) == ("left", "left", True)
    assert (document["vertices"], document["faces"]) == (1159, 2314)
    joints = {joint["name"]: joint for joint in document["joints"]}
    assert list(joints) == list(rig.joint_names)
    assert joints["wrist"] == {"name": "wrist", "parent": None, "bone_mm": None, "in_file": "wrist"}
    tip, above = (rig.joint_names.index(name) for name in ("index-finger-tip", joints["index-finger-tip"]["parent"]))
    length = np.linalg.norm(rig.bind[tip, :, 3] - rig.bind[above, :, 3])
    assert joints["index-finger-tip"]["bone_mm"] == pytest.approx(length, abs=1e-3)
    low, high = document["limits"]["degrees"]["index_pip"]["flexion"]
    assert np.radians([low, high]) == pytest.approx([rig.limits.lower[4, 2], rig.limits.upper[4, 2]], abs=1e-4)
    assert list(document["limits"]["degrees"]["index_pip"]) == ["flexion"], "it bends, and nothing else"


def test_tables_hold_every_joint_bone_and_limit() -> None:
    rig = default_rig("left")
    lines = list(describe(rig))
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    for joint, name in enumerate(CANONICAL[1:], 1):
        parent = int(rig.parents[joint])
        length = np.linalg.norm(rig.bind[joint, :, 3] - rig.bind[parent, :, 3])
        assert rows[name] == [name, rig.joint_names[parent], f"{length:.1f}", name]
    assert set(ANGLE_NAMES) < set(rows)
    low, high = np.degrees([rig.limits.lower[4, 2], rig.limits.upper[4, 2]])
    assert rows["index_pip"] == ["index_pip", "-", "-", f"{low:.0f}", "to", f"{high:.0f}"]
    assert any(line.startswith("extent: 2") for line in lines)


def test_a_characters_joints_are_shown_with_the_names_in_its_file(tmp_path: Path) -> None:
    names = names_of("vrm1", "left")
    path = character({"left": names}).write(tmp_path / "body.glb")
    rows = {line.split()[0]: line.split()[-1] for line in show(path).stdout.splitlines() if line.strip()}
    assert all(rows[name] == called for name, called in names.items())
    assert rows["thumb-tip"] == "(made)"
    joints = {each["name"]: each["in_file"] for each in json.loads(show(path, "--json").stdout)["joints"]}
    assert joints["thumb-tip"] is None
    assert {name: called for name, called in joints.items() if called} == names


def test_a_model_of_mano_as_npz_is_shown_as_a_rig(tmp_path: Path) -> None:
    np.savez(tmp_path / "MANO_LEFT.npz", **mano_arrays("left"))
    assert show(tmp_path / "MANO_LEFT.npz").stdout.startswith("MANO_LEFT: a left hand\nmesh: 778 vertices")


def test_limits_are_those_asked_for(tmp_path: Path, picture: list[Path]) -> None:
    tables = {
        name: show("right", "--limits", name, "-o", tmp_path / f"{name}.png").stdout for name in ("printed", "swapped")
    }
    assert "index_mcp" + f"{'-80 to 6':>18}" in tables["printed"]
    assert "index_mcp" + f"{'-':>18}" in tables["swapped"]
    assert show("right", "--limits", "none").exit_code == 2


def test_a_file_is_shown_with_notes_on_what_was_assumed(tmp_path: Path, picture: list[Path]) -> None:
    hand = HandFile.default("left")
    hand.positions = hand.positions * 100
    binds = hand.binds
    binds[:, :3, 3] *= 100
    hand.binds = binds
    rig = hand.write(tmp_path / "mine.glb")
    printed = show(rig, "-o", tmp_path / "mine.PNG")
    assert printed.exit_code == 0
    assert "mine: a left hand" in printed.stdout
    assert "Note: the model's unit was taken to be centimetres" in printed.stderr
    assert (tmp_path / "mine.PNG").read_bytes() == b"picture"
    assert show(rig, "-q", "-o", tmp_path / "mine.png").stderr == ""


def test_joints_are_named_by_a_map(tmp_path: Path, picture: list[Path]) -> None:
    hand = HandFile.default()
    hand.names[hand.names.index("wrist")] = "Bone.001"
    rig = hand.write(tmp_path / "odd.glb")
    refused = show(rig)
    assert refused.exit_code == 2
    assert "missing joints: wrist" in refused.stderr
    names = tmp_path / "names.toml"
    names.write_text('wrist = "Bone.001"\n')
    assert show(rig, "--joint-map", names, "-o", tmp_path / "x.png").exit_code == 0
    names.write_text("wrist = 3\n")
    refused = show(rig, "--joint-map", names)
    assert refused.exit_code == 2
    assert "must be the name of a joint" in refused.stderr


def test_rigs_that_cannot_be_used_are_usage_errors(tmp_path: Path) -> None:
    bare = HandFile.default()
    bare.skinned = False
    text = tmp_path / "text.glb"
    text.write_text("not a model")
    for rig, message in (
        (bare.write(tmp_path / "bare.glb"), "no skin"),
        (text, "text.glb"),
        (tmp_path / "absent.glb", "neither a file nor right or left"),
        (tmp_path, "neither a file nor right or left"),
    ):
        refused = show(rig)
        assert refused.exit_code == 2, rig
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stdout == ""


def test_the_picture_must_be_a_png_that_can_be_written(tmp_path: Path, picture: list[Path]) -> None:
    refused = show("right", "-o", tmp_path / "x.jpg")
    assert refused.exit_code == 2
    assert "call it x.png" in refused.stderr
    for output in (tmp_path / "absent" / "x.png", Path("/proc/x.png")):
        failed = show("right", "-o", output)
        assert failed.exit_code == 1
        assert f"cannot write {output}" in failed.stderr
        assert "-o" in failed.stderr


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_rig: object, path: Path, _progress: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("handopt.draw.turntable.write_turntable", fill)
    (tmp_path / "x.png").write_bytes(b"older")
    failed = show("right", "-o", tmp_path / "x.png", "--overwrite")
    assert failed.exit_code == 1
    assert "No space left on device" in failed.stderr
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_the_joint_map_that_was_concluded_is_written_and_accepted_again(tmp_path: Path) -> None:
    saved = tmp_path / "map.toml"
    assert show(asset("hands/right.glb"), "--save-joint-map", saved).exit_code == 0
    assert 'wrist" = "wrist"' in saved.read_text()
    assert show(asset("hands/right.glb"), "--joint-map", saved).exit_code == 0
    assert show(asset("hands/right.glb"), "--save-joint-map", saved).exit_code == 2


def test_a_joint_map_that_was_edited_is_followed(tmp_path: Path) -> None:
    saved, hand = tmp_path / "map.toml", HandFile.default()
    hand.names[hand.names.index("pinky-finger-tip")] = "claw"
    claw = hand.write(tmp_path / "claw.glb")
    assert show(asset("hands/right.glb"), "--save-joint-map", saved).exit_code == 0
    refused = show(claw, "--joint-map", saved)
    assert refused.exit_code == 2
    assert "the mapping calls pinky-finger-tip 'pinky-finger-tip', a joint not in it" in refused.stderr
    text = saved.read_text()
    saved.write_text(text.replace('pinky-finger-tip" = "pinky-finger-tip"', 'pinky-finger-tip" = "claw"'))
    assert saved.read_text() != text
    followed = show(claw, "--joint-map", saved)
    assert followed.exit_code == 0
    assert "missing" not in followed.stderr
