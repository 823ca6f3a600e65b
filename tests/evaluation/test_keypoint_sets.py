"""Labels of FreiHAND, DexYCB and InterHand2.6M, written here as the sets publish them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.label_files import hand, write_result

from handopt.errors import LabelError
from handopt.evaluation import evaluate, read_labels
from handopt.evaluation.mapping import DEXYCB, FREIHAND, INTERHAND
from handopt.rig import KEYPOINT_NAMES

HANDS = (hand(), hand(-40.0, 20.0, 600.0))


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def metres(*hands: np.ndarray) -> list[Any]:
    return [(each / 1000).tolist() for each in hands]


def test_freihand_is_found_by_its_files(tmp_path: Path) -> None:
    write(tmp_path / "truth" / "evaluation_xyz.json", metres(*HANDS))
    frames = read_labels(tmp_path / "truth")
    assert frames.joint_set is FREIHAND
    np.testing.assert_allclose(frames.joints_mm, HANDS)
    assert frames.names == ("evaluation/rgb/00000000", "evaluation/rgb/00000001")
    write_result(tmp_path / "fits" / "00000001", HANDS[1] + [0, 3.0, 0])
    scored = evaluate(tmp_path / "fits", tmp_path / "truth")
    assert scored.missing == ("evaluation/rgb/00000000",)
    np.testing.assert_allclose(scored.errors_mm[1], 3.0)
    write(tmp_path / "truth" / "training_xyz.json", metres(*HANDS))
    with pytest.raises(LabelError, match=r"holds training_xyz\.json, evaluation_xyz\.json: give one of these files"):
        read_labels(tmp_path / "truth")


def test_predictions_in_the_file_of_freihands_challenge(tmp_path: Path) -> None:
    truth = write(tmp_path / "evaluation_xyz.json", metres(*HANDS))
    vertices = [[[0.0, 0.0, 0.5]] * 778] * 2
    turned = [Rotation.from_euler("z", 20, degrees=True).apply(each) for each in HANDS]
    scored = evaluate(write(tmp_path / "pred.json", [metres(*turned), vertices]), truth)
    scores = scored.scores()
    assert scores["mean_joint_error_mm"] > 10
    assert scores["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-9)
    assert scores["pa_auc_20_50"] == 1.0


def write_dexycb(folder: Path, hands: list[np.ndarray | None]) -> None:
    folder.mkdir(parents=True)
    for number, joints in enumerate(hands):
        joint_3d = np.full((1, 21, 3), -1.0) if joints is None else joints[None] / 1000
        np.savez(folder / f"labels_{number:06d}.npz", joint_3d=joint_3d.astype(np.float32), seg=np.zeros((2, 2), "u1"))


def test_dexycb_is_read_in_its_folders(tmp_path: Path) -> None:
    place = tmp_path / "truth" / "20200709-subject-01" / "20200709_141754" / "836212060125"
    write_dexycb(place, [None, HANDS[0], HANDS[1]])
    frames = read_labels(tmp_path / "truth")
    assert frames.joint_set is DEXYCB
    assert frames.notes == ("1 of 3 images of DexYCB show no hand and were left out.",)
    np.testing.assert_allclose(frames.joints_mm, HANDS, atol=1e-3)
    for image in ("aligned_depth_to_color_000001", "color_000002"):
        write_result(tmp_path / "fits" / image, HANDS[int(image[-1]) - 1], f"836212060125/{image}.png")
    assert not evaluate(tmp_path / "fits", tmp_path / "truth").missing


def interhand(turn: Rotation, position: np.ndarray) -> tuple[Any, Any, Any]:
    """A right, a left and an image of two hands, seen by a camera that stands in the world."""
    order = [KEYPOINT_NAMES.index(name) for name in INTERHAND.joints]
    images, annotations, joints = [], [], {}
    for number, (kind, seen) in enumerate(zip(("right", "left", "interacting"), (*HANDS, HANDS[0]), strict=True)):
        world, valid = np.zeros((42, 3)), np.zeros((42, 1))
        start = 21 if kind == "left" else 0
        world[start : start + 21] = turn.inv().apply(seen[order]) + position
        valid[start : start + 21] = 1
        joints[str(100 + number)] = {"world_coord": world.tolist(), "joint_valid": valid.tolist(), "hand_type": kind}
        image = {"id": 7 * number, "file_name": f"Capture0/cam400/image{number}.jpg", "capture": 0, "camera": "400"}
        images.append(image | {"frame_idx": 100 + number})
        annotations.append({"id": number, "image_id": 7 * number, "hand_type": kind})
    camera = {"campos": {"400": position.tolist()}, "camrot": {"400": turn.as_matrix().tolist()}}
    return {"images": images, "annotations": annotations}, {"0": camera}, {"0": joints}


def write_interhand(folder: Path) -> Path:
    parts = interhand(Rotation.from_euler("xyz", [20, -50, 100], degrees=True), np.array([300.0, -200.0, 1100.0]))
    for name, part in zip(("data", "camera", "joint_3d"), parts, strict=True):
        write(folder / f"InterHand2.6M_val_{name}.json", part)
    return folder


@pytest.mark.parametrize("part", ["camera", "joint_3d"])
def test_interhand_with_points_of_two_numbers_is_refused(tmp_path: Path, part: str) -> None:
    folder = write_interhand(tmp_path / "truth")
    (path,) = folder.glob(f"*_{part}.json")
    document = json.loads(path.read_text())
    for capture in document.values():
        if part == "camera":
            capture["camrot"] = {camera: rows[:2] for camera, rows in capture["camrot"].items()}
        else:
            for frame in capture.values():
                frame["world_coord"] = [place[:2] for place in frame["world_coord"]]
    path.write_text(json.dumps(document))
    with pytest.raises(LabelError, match=r"expected \d+ points of three numbers"):
        read_labels(folder)


def test_interhand_goes_to_the_cameras_frame(tmp_path: Path) -> None:
    frames = read_labels(write_interhand(tmp_path / "truth"))
    assert frames.joint_set is INTERHAND
    assert frames.names == ("Capture0/cam400/image0", "Capture0/cam400/image1")
    assert frames.notes == ("1 images of two hands, or without all joints, were left out.",)
    wrist, thumb_tip = frames.joints.index("wrist"), frames.joints.index("thumb_tip")
    assert (wrist, thumb_tip) == (20, 0)
    np.testing.assert_allclose(frames.joints_mm[:, wrist], [each[0] for each in HANDS], atol=1e-9)
    for row in range(2):
        write_result(tmp_path / "fits" / f"image{row}", HANDS[row])
    assert evaluate(tmp_path / "fits", tmp_path / "truth").errors_mm.max() < 1e-9


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"training_xyz\.json is no list of \(21, 3\) joints"):
        read_labels(write(tmp_path / "a" / "training_xyz.json", {"a": 1}))
    with pytest.raises(LabelError, match=r"entry 1: expected 21 points of three numbers"):
        read_labels(write(tmp_path / "b" / "training_xyz.json", [*metres(HANDS[0]), [[1.0, 2.0, 3.0]]]))
    with pytest.raises(LabelError, match="depth of"):
        read_labels(write(tmp_path / "c" / "training_xyz.json", [HANDS[0].tolist()]))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "labels_000000.npz").write_bytes(b"PK")
    with pytest.raises(LabelError, match=r"labels_000000\.npz is no label file of DexYCB"):
        read_labels(tmp_path / "d")
    write_dexycb(tmp_path / "e", [None])
    with pytest.raises(LabelError, match="none of the 1 label files of DexYCB shows a hand"):
        read_labels(tmp_path / "e")
    folder = write_interhand(tmp_path / "f")
    (folder / "InterHand2.6M_val_camera.json").write_text("{}")
    with pytest.raises(LabelError, match=r"joint_3d\.json: not as InterHand2\.6M has it"):
        read_labels(folder)
    (folder / "InterHand2.6M_val_camera.json").unlink()
    with pytest.raises(LabelError, match=r"InterHand2\.6M_val_camera\.json cannot be read"):
        read_labels(folder)
    write(tmp_path / "g" / "training_xyz.json", metres(*HANDS))
    (tmp_path / "g" / "names.txt").write_text("one\n")
    with pytest.raises(LabelError, match=r"names\.txt names 1 frames of 2"):
        read_labels(tmp_path / "g")
