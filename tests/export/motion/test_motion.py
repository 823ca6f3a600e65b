"""The motion of tracks on other skeletons, played from the files' own numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gltf
import pytest
from scipy.spatial.transform import Rotation
from support.characters import FPS, angles_between, character, mixamo, played, true_joints, unreal, write_poses
from support.mano_files import mano_reference
from support.sequences import FPS as FOLLOWED_FPS
from support.sequences import followed, mano_track

from handopt.errors import OutputError, RigError
from handopt.export.mesh import to_gltf
from handopt.export.motion.formats import export_motion
from handopt.rig import KEYPOINT_NAMES
from handopt.rig.joints import BONES, TIPS, from_mano_order, to_mano_order
from handopt.storage.track_folder import save_track

FINGER_BONES = [(parent, child) for parent, child in BONES if parent]
"""The bones that turn themselves; those from the wrist are part of the palm, which has another shape in each hand."""
MOST_DEGREES = 0.1


@pytest.fixture(scope="module", params=["right", "left"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def track(side: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_poses(tmp_path_factory.mktemp("motion") / "track", side)


@pytest.mark.parametrize(("name_of", "tips"), [(mixamo, True), (unreal, False)])
def test_a_characters_bones_point_as_the_tracks_do(
    track: Path, side: str, tmp_path: Path, name_of: Any, tips: bool
) -> None:
    rig = character(tmp_path / "rig.glb", side, name_of, tips=tips)
    notes = export_motion(track, tmp_path / "moved.glb", character=rig)
    assert notes[1] == "The wrist turns on its arm, which stays."
    document = gltf.GLTF2.load(str(tmp_path / "moved.glb"))
    assert [node.name for node in document.nodes] == [node.name for node in gltf.GLTF2.load(str(rig)).nodes]
    joints, _ = true_joints(track, side)
    assert len(joints) == 5
    still = played(gltf.GLTF2.load(str(tmp_path / "moved.glb")), 0)[f"{side}_forearm"]
    for frame in range(len(joints)):
        world = played(document, frame)
        np.testing.assert_allclose(world[f"{side}_forearm"], still)
        for parent, child in FINGER_BONES:
            ends = [name_of(KEYPOINT_NAMES[each], side) for each in (parent, child)]
            if ends[1] in world:
                own = world[ends[1]][:3, 3] - world[ends[0]][:3, 3]
                off = angles_between(own, joints[frame, child] - joints[frame, parent])
                assert off < MOST_DEGREES, (frame, ends)
        middle = [name_of(each, side) for each in ("wrist", "middle_mcp")]
        own = world[middle[1]][:3, 3] - world[middle[0]][:3, 3]
        assert angles_between(own, joints[frame, 9] - joints[frame, 0]) < MOST_DEGREES


def test_keyframes_are_at_the_frames_with_a_pose(track: Path, side: str, tmp_path: Path) -> None:
    export_motion(track, tmp_path / "moved.glb", character=character(tmp_path / "rig.glb", side, mixamo))
    document = gltf.GLTF2.load(str(tmp_path / "moved.glb"))
    accessor = document.accessors[document.animations[-1].samplers[0].input]
    view = document.bufferViews[accessor.bufferView]
    times = np.frombuffer(document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength], "<f4")
    np.testing.assert_allclose(times, np.array([0, 1, 3, 4, 5]) / FPS, atol=1e-6)
    assert accessor.max == pytest.approx([5 / FPS])


def test_a_bare_hand_goes_where_the_hand_goes(track: Path, side: str, tmp_path: Path) -> None:
    rig = character(tmp_path / "rig.glb", side, mixamo, arm=False)
    assert export_motion(track, tmp_path / "moved.glb", character=rig)[1] == "The wrist goes where the hand goes."
    joints, _ = true_joints(track, side)
    document = gltf.GLTF2.load(str(tmp_path / "moved.glb"))
    for frame in range(len(joints)):
        np.testing.assert_allclose(played(document, frame)[mixamo("wrist", side)][:3, 3], joints[frame, 0], atol=1e-5)


def test_the_other_hand_is_not_taken(track: Path, side: str, tmp_path: Path) -> None:
    other = "left" if side == "right" else "right"
    with pytest.raises(RigError, match="lacks wrist, thumb-metacarpal"):
        export_motion(track, tmp_path / "moved.glb", character=character(tmp_path / "rig.glb", other, mixamo))
    assert not (tmp_path / "moved.glb").exists()


def test_bones_of_other_names_are_mapped(track: Path, side: str, tmp_path: Path) -> None:
    from handopt.rig.joints import KEYPOINT_JOINTS

    rig = character(tmp_path / "rig.glb", side, lambda name, _: f"Knochen {KEYPOINT_NAMES.index(name)}")
    with pytest.raises(RigError, match="name its bones in a joint_map= file"):
        export_motion(track, tmp_path / "moved.glb", character=rig)
    lines = [f'"{joint}" = "Knochen {row}"\n' for row, joint in enumerate(KEYPOINT_JOINTS)]
    (tmp_path / "map.toml").write_text("".join(lines))
    export_motion(track, tmp_path / "moved.glb", character=rig, joint_map=tmp_path / "map.toml")
    (tmp_path / "map.toml").write_text('"wrist" = "Nobody"\n')
    with pytest.raises(RigError, match="calls wrist 'Nobody', which is no bone there"):
        export_motion(track, tmp_path / "moved.glb", character=rig, joint_map=tmp_path / "map.toml", overwrite=True)


def test_vrm_animation_on_the_t_pose(track: Path, side: str, tmp_path: Path) -> None:
    export_motion(track, tmp_path / "hand.vrma")
    document = gltf.GLTF2.load_from_bytes((tmp_path / "hand.vrma").read_bytes())
    assert document.extensionsUsed == ["VRMC_vrm_animation"]
    said = document.extensions["VRMC_vrm_animation"]
    bones = {bone: document.nodes[each["node"]].name for bone, each in said["humanoid"]["humanBones"].items()}
    assert said["specVersion"] == "1.0"
    assert {"hips", "spine", f"{side}UpperArm", f"{side}LowerArm", f"{side}Hand"} <= set(bones)
    assert sum(bone.startswith(side) and bone[len(side) :].startswith(_VRM_DIGITS) for bone in bones) == 15
    assert all(node.rotation is None for node in document.nodes), "every bone has the world's axes in the T-pose"
    rest = {node.name: np.array(node.translation) for node in document.nodes}
    outward = 1.0 if side == "left" else -1.0
    np.testing.assert_allclose(rest["index-finger-phalanx-distal"][1:], 0.0, atol=1e-12)
    assert rest["index-finger-phalanx-distal"][0] * outward > 0.01
    assert rest["thumb-phalanx-distal"][0] * outward == pytest.approx(rest["thumb-phalanx-distal"][2])
    joints, _ = true_joints(track, side)
    for frame in range(len(joints)):
        world = played(document, frame)
        for bone, parent, child in ((f"{side}IndexProximal", 5, 6), (f"{side}ThumbProximal", 2, 3)):
            begin = bones[bone]
            after = next(node.name for node in document.nodes if node.name == _NEXT[begin])
            own = world[after][:3, 3] - world[begin][:3, 3]
            assert angles_between(own, joints[frame, child] - joints[frame, parent]) < MOST_DEGREES


_VRM_DIGITS = ("Thumb", "Index", "Middle", "Ring", "Little")
_NEXT = {
    "index-finger-phalanx-proximal": "index-finger-phalanx-intermediate",
    "thumb-phalanx-proximal": "thumb-phalanx-distal",
}


def test_poses_of_amass(track: Path, side: str, tmp_path: Path) -> None:
    export_motion(track, tmp_path / "poses.npz", format="amass")
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as arrays:
        assert arrays["poses"].shape == (5, 156)
        assert arrays["trans"].shape == (5, 3)
        assert float(arrays["mocap_framerate"]) == FPS
        poses, hand = arrays["poses"].reshape(5, 52, 3), arrays["hand_pose"].reshape(5, 15, 3)
        wrist, first = (20, 22) if side == "left" else (21, 37)
        np.testing.assert_allclose(poses[:, wrist], arrays["global_orient"])
        np.testing.assert_allclose(poses[:, first : first + 15], hand)
        still = np.delete(poses, [wrist, *range(first, first + 15)], axis=1)
        assert not still.any()
        joints, _ = true_joints(track, side)
        np.testing.assert_allclose(arrays["transl"], joints[:, 0], atol=1e-6)
        # MANO's index finger is the first: its bones are those of the T-pose, turned by wrist and joints in turn.
        along = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
        for frame in range(5):
            turn = Rotation.from_rotvec(arrays["global_orient"][frame])
            for row, (parent, child) in enumerate(((5, 6), (6, 7), (7, 8))):
                turn = turn * Rotation.from_rotvec(hand[frame, row])
                bone = joints[frame, child] - joints[frame, parent]
                assert angles_between(turn.apply(along), bone) < MOST_DEGREES


@pytest.mark.parametrize("rig", ["own", "MANO"])
def test_poses_of_amass_give_the_joints_of_the_track_by_the_published_equations(
    side: str, tmp_path: Path, rig: str
) -> None:
    track = replace(followed(side) if rig == "own" else mano_track(side), scale=1.07)
    export_motion(save_track(track, tmp_path / "track", video=False), tmp_path / "poses.npz", format="amass")
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as arrays:
        posed = {name: arrays[name] for name in ("global_orient", "hand_pose", "transl", "rest_joints", "poses")}
    # A model of MANO's layout whose vertices are the file's joints at rest, the tips with the last bones.
    rest = to_mano_order(posed["rest_joints"])
    model = {
        "v_template": rest,
        "shapedirs": np.zeros((21, 3, 10)),
        "J_regressor": np.eye(16, 21),
        "weights": np.concatenate([np.eye(16), np.eye(16)[[15, 3, 6, 12, 9]]]),
    }
    joints, count = track.joints_mm()[track.known] * (1e-3, -1e-3, -1e-3), 16 if rig == "MANO" else 21
    for frame in range(0, len(joints), 7):
        pose = np.concatenate([posed["global_orient"][frame], posed["hand_pose"][frame]]).reshape(16, 3)
        found, _ = mano_reference(model, pose, np.zeros(10), posed["transl"][frame], correctives=False)
        off = np.linalg.norm(from_mano_order(found) - joints[frame], axis=1)
        # MANO's tips are points of the skin, which its pose correctives move.
        assert off[[row for row in range(21) if count == 21 or row not in TIPS]].max() < 1e-4
        first = 22 if side == "left" else 37
        body = posed["poses"][frame].reshape(52, 3)
        np.testing.assert_array_equal(body[first : first + 15].ravel(), posed["hand_pose"][frame])


def test_bvh_of_the_own_hand_and_of_a_character(track: Path, side: str, tmp_path: Path) -> None:
    joints, _ = true_joints(track, side)
    export_motion(track, tmp_path / "own.bvh")
    places = _bvh(tmp_path / "own.bvh", len(joints))
    np.testing.assert_allclose(places, np.moveaxis(joints, 1, 1) * 100, atol=1e-3)
    export_motion(track, tmp_path / "rig.bvh", character=character(tmp_path / "rig.glb", side, mixamo))
    moved = _bvh(tmp_path / "rig.bvh", len(joints))
    for parent, child in FINGER_BONES:
        own = moved[:, child] - moved[:, parent]
        assert angles_between(own, joints[:, child] - joints[:, parent]).max() < MOST_DEGREES


def _bvh(path: Path, frames: int) -> np.ndarray:
    """Places (T, joints, 3) in cm of a BVH file's joints and end sites, in the file's order."""
    lines = path.read_text().splitlines()
    begin = lines.index("MOTION")
    assert lines[begin + 1] == f"Frames: {frames}"
    rows = np.array([line.split() for line in lines[begin + 3 :]], float)
    places, stack, column = [], list[Any](), 0
    for line in lines[:begin]:
        words = line.split()
        if words[0] in ("ROOT", "JOINT", "End"):
            stack.append({"turned": np.tile(np.eye(3), (frames, 1, 1)), "end": words[0] == "End"})
        elif words[0] == "OFFSET":
            offset = np.array(words[1:], float)
            before = stack[-2] if len(stack) > 1 else {"turned": np.tile(np.eye(3), (frames, 1, 1)), "place": 0.0}
            stack[-1]["place"] = before["place"] + before["turned"] @ offset
            stack[-1]["turned"] = before["turned"]
            if stack[-1]["end"]:
                places.append(stack[-1]["place"])
        elif words[0] == "CHANNELS":
            if words[1] == "6":
                stack[-1]["place"] = rows[:, :3]
                column = 3
            places.append(stack[-1]["place"])
            turn = Rotation.from_euler("ZXY", rows[:, column : column + 3], degrees=True).as_matrix()
            stack[-1]["turned"] = stack[-1]["turned"] @ turn
            column += 3
        elif words[0] == "}":
            stack.pop()
    assert column == rows.shape[1]
    return np.stack(places, axis=1)


def test_usd_is_skinned_as_the_track(track: Path, side: str, tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom

    export_motion(track, tmp_path / "hand.usda")
    stage = Usd.Stage.Open(str(tmp_path / "hand.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert stage.GetTimeCodesPerSecond() == FPS
    _, vertices = true_joints(track, side)
    for row, code in enumerate((0, 1, 3, 4, 5)):
        np.testing.assert_allclose(_usd_points(stage, code), vertices[row], atol=1e-4)


def test_pose_correctives_are_blend_shapes_of_usd(side: str, tmp_path: Path) -> None:
    from pxr import Usd

    track = mano_track(side)
    export_motion(save_track(track, tmp_path / "track", video=False), tmp_path / "hand.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "hand.usdc"))
    known = np.flatnonzero(track.known)
    for frame in (0, 9, 22):
        expected = to_gltf(track.vertices_mm(frame))
        code = (track.time_s[frame] - track.time_s[known[0]]) * FOLLOWED_FPS
        np.testing.assert_allclose(_usd_points(stage, code), expected, atol=1e-4)  # USD has a joint's scale as half


def test_correctives_that_move_nothing_are_not_in_usd(tmp_path: Path) -> None:
    from pxr import Usd, UsdSkel

    track = mano_track()
    assert track.rig.pose_correctives is not None
    still = replace(track, rig=replace(track.rig, pose_correctives=track.rig.pose_correctives.scaled(0.0)))
    export_motion(save_track(still, tmp_path / "track", video=False), tmp_path / "hand.usda")
    stage = Usd.Stage.Open(str(tmp_path / "hand.usda"))
    assert "blendShape" not in (tmp_path / "hand.usda").read_text()
    assert not UsdSkel.BindingAPI(stage.GetPrimAtPath("/hand/mesh")).GetBlendShapesAttr().HasAuthoredValue()


def _usd_points(stage: Any, code: float) -> np.ndarray:
    """The vertices (V, 3) of the skinned hand at a time, in metres."""
    from pxr import Usd, UsdGeom, UsdSkel, Vt

    cache = UsdSkel.Cache()
    cache.Populate(UsdSkel.Root(stage.GetPrimAtPath("/hand")), Usd.PrimDefaultPredicate)
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/hand/skeleton")))
    prim = stage.GetPrimAtPath("/hand/mesh")
    mesh = cache.GetSkinningQuery(prim)
    points = Vt.Vec3fArray(UsdGeom.Mesh(prim).GetPointsAttr().Get())
    if mesh.HasBlendShapes():
        query = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(prim))
        weights = mesh.GetBlendShapeMapper().Remap(skeleton.GetAnimQuery().ComputeBlendShapeWeights(code))
        shapes = query.ComputeSubShapeWeights(weights)
        indices, offsets = query.ComputeBlendShapePointIndices(), query.ComputeSubShapePointOffsets()
        assert query.ComputeDeformedPoints(*shapes, indices, offsets, points)
    assert mesh.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(code), points, code)
    return np.array(points)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("moved.glb", {}, "character= is missing: the character's .glb"),
        ("moved.fbx", {"format": "glb"}, r"moved.fbx does not end in .glb or .vrm: change output= or format='glb'"),
        ("hand.vrma", {"character": "rig.glb"}, "has a skeleton of its own: leave out character="),
        ("hand.bvh", {"joint_map": "map.toml"}, "joint_map= names the bones of a character=, which is missing"),
        ("hand.xyz", {"format": "bvhh"}, r"is no format of motion \(did you mean 'bvh'\?\)"),
        ("moved.glb", {"character": "text.glb"}, "is no binary glTF file: export the character as .glb"),
        ("moved.glb", {"character": "cut.glb"}, r"cut.glb is damaged \(\w+\)|cut.glb has no bones"),
        ("moved.glb", {"character": "gone.glb"}, "the character cannot be read: it does not exist"),
    ],
)
def test_what_cannot_be_done(
    track: Path, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = character(tmp_path / "rig.glb", side, mixamo).read_bytes()
    (tmp_path / "text.glb").write_text("{}")
    (tmp_path / "cut.glb").write_bytes(whole[:200])
    with pytest.raises((OutputError, RigError), match=said):
        export_motion(track, tmp_path / name, **options)
    assert not (tmp_path / name).exists()


def test_a_circle_of_nodes_and_a_mirrored_bone_are_refused(track: Path, side: str, tmp_path: Path) -> None:
    document = gltf.GLTF2.load(str(character(tmp_path / "rig.glb", side, mixamo)))
    document.nodes[5].children = [0]
    (tmp_path / "circle.glb").write_bytes(b"".join(document.save_to_bytes()))
    with pytest.raises(RigError, match="its nodes are no tree"):
        export_motion(track, tmp_path / "moved.glb", character=tmp_path / "circle.glb")
    document = gltf.GLTF2.load(str(tmp_path / "rig.glb"))
    document.nodes[0].scale = [-0.01, 0.01, 0.01]
    (tmp_path / "mirror.glb").write_bytes(b"".join(document.save_to_bytes()))
    with pytest.raises(RigError, match="is skewed or mirrored: apply scales in the modelling tool"):
        export_motion(track, tmp_path / "moved.glb", character=tmp_path / "mirror.glb")


def test_bones_that_do_not_hang_on_one_another_are_refused(track: Path, side: str, tmp_path: Path) -> None:
    document = gltf.GLTF2.load(str(character(tmp_path / "rig.glb", side, mixamo)))
    places = {node.name: place for place, node in enumerate(document.nodes)}
    finger, before = (places[mixamo(each, side)] for each in ("index_pip", "index_mcp"))
    document.nodes[before].children.remove(finger)
    document.nodes[0].children.append(finger)
    (tmp_path / "flat.glb").write_bytes(b"".join(document.save_to_bytes()))
    with pytest.raises(RigError, match=r"does not hang on .*: parent its bones in the modelling tool"):
        export_motion(track, tmp_path / "moved.glb", character=tmp_path / "flat.glb")


def test_no_track_and_no_overwriting(track: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is no track: motion is exported from one folder of handopt track"):
        export_motion(tmp_path, tmp_path / "hand.vrma")
    export_motion(track, tmp_path / "hand.vrma")
    with pytest.raises(OutputError, match="exists and was kept: replace it with overwrite=True"):
        export_motion(track, tmp_path / "hand.vrma")
    export_motion(track, tmp_path / "hand.vrma", overwrite=True)
