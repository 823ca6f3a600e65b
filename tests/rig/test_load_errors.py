"""Rig files whose mesh, skin or joints are broken are refused with what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.rig_files import HandFile

from handopt.errors import RigError
from handopt.rig import load_rig


def set_value(field: str, index: tuple[int, ...], value: float) -> Callable[[HandFile], None]:
    def change(hand: HandFile) -> None:
        getattr(hand, field)[index] = value

    return change


def set_field(field: str, value: object) -> Callable[[HandFile], None]:
    return lambda hand: setattr(hand, field, value)


def scale_bind(joint: int, scales: tuple[float, float, float]) -> Callable[[HandFile], None]:
    def change(hand: HandFile) -> None:
        hand.inverse_binds[joint, :3, :3] = np.diag(scales) @ hand.inverse_binds[joint, :3, :3]

    return change


def move_joint(joint: str, target: str) -> Callable[[HandFile], None]:
    def change(hand: HandFile) -> None:
        binds = hand.binds
        binds[hand.names.index(joint), :3, 3] = binds[hand.names.index(target), :3, 3]
        hand.binds = binds

    return change


def narrow_palm(hand: HandFile) -> None:
    binds = hand.binds
    middle = binds[hand.names.index("middle-finger-phalanx-proximal"), :3, 3]
    wrist = binds[hand.names.index("wrist"), :3, 3]
    for name in ("index", "pinky"):
        binds[hand.names.index(f"{name}-finger-phalanx-proximal"), :3, 3] = wrist + 0.9 * (middle - wrist)
    hand.binds = binds


def few_vertices(hand: HandFile) -> None:
    hand.positions, hand.joints, hand.weights = hand.positions[:60], hand.joints[:60], hand.weights[:60]
    hand.faces = np.arange(60, dtype=np.uint16).reshape(-1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_field("skinned", False), "the model has no skin"),
        (set_field("faces", np.zeros((400, 3), np.uint16)), "none of the 400 faces has an area"),
        (set_field("with_binds", False), "no inverse bind matrices"),
        (set_field("with_weights", False), "no skinning weights"),
        (set_field("mode", 5), "must consist of triangles"),
        (set_field("extensions_required", ["KHR_draco_mesh_compression"]), "extension KHR_draco_mesh_compression"),
        (set_value("weights", (5, 0), np.nan), "weights of vertex 5 are NaN"),
        (set_value("weights", (6, 1), -0.2), "vertex 6 has a negative skinning weight"),
        (set_field("weights", np.full((1360, 4), 0.2, np.float32)), r"weights of vertex 0 sum to 0\.8"),
        (set_value("joints", (7, 0), 40), "vertex 7 follows joint 40 of 25"),
        (set_value("positions", (8, 2), np.inf), "vertex 8 has no finite position"),
        (set_value("faces", (9, 1), 2000), "refers to vertex 2000, but there are 1360"),
        (set_field("faces", np.arange(4, dtype=np.uint16)), "not a multiple of 3"),
        (set_field("faces", np.zeros((0, 3), np.uint16)), "too few vertices or faces"),
        (few_vertices, "too few vertices or faces: 60 and 20"),
        (set_value("inverse_binds", (3, 0, 0), np.nan), "thumb-phalanx-distal is not a finite affine matrix"),
        (scale_bind(4, (0.0, 1.0, 1.0)), "thumb-tip cannot be inverted"),
        (scale_bind(4, (1.01, 1.0, 1.0)), "thumb-tip scales its joint unevenly"),
        (scale_bind(4, (-1.0, 1.0, 1.0)), "thumb-tip mirrors its joint"),
        (move_joint("ring-finger-tip", "ring-finger-phalanx-distal"), "ring-finger-tip lie in the same place"),
        (narrow_palm, "the palm has no width"),
        (lambda hand: hand.names.__setitem__(0, "wirst"), r"missing joints: wrist \(did you mean 'wirst'\?\); name"),
    ],
)
def test_a_broken_rig_is_refused(tmp_path: Path, change: Callable[[HandFile], None], message: str) -> None:
    hand = HandFile.default()
    change(hand)
    with pytest.raises(RigError, match=message):
        load_rig(hand.write(tmp_path / "broken.glb"))


def test_an_unknown_side_is_refused() -> None:
    with pytest.raises(RigError, match="'right' or 'left', not 'both'"):
        load_rig(side="both")


def test_a_json_file_that_is_no_gltf_is_refused_with_what_a_camera_needs(tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_text('{"camera": {"fx": 475.0, "fy": 475.0, "cx": 319.5, "cy": 239.5}}')
    with pytest.raises(
        RigError, match=r"this JSON is no glTF, which has an 'asset': give a rig \(a camera goes with --"
    ):
        load_rig(tmp_path / "camera.json")
