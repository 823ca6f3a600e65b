"""Labels in JSON files and in the folders of the data sets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.label_files import hand, write_label, write_text

from handopt.errors import LabelError
from handopt.evaluation.labels import read_labels
from handopt.evaluation.mapping import KEYPOINTS, MSRA, NYU, map_keypoints
from handopt.rig import KEYPOINT_NAMES


def test_a_folder_of_labels(tmp_path: Path) -> None:
    visible = [index != 4 for index in range(21)]
    write_label(tmp_path / "001.json", hand(10.0))
    write_label(tmp_path / "000.json", hand(), visible)
    (tmp_path / "camera.json").write_text('{"fx": 1}')
    (tmp_path / "002.png").touch()
    frames = read_labels(tmp_path)
    assert frames.joint_set is KEYPOINTS
    assert frames.names == ("000", "001")
    assert frames.joints_mm == pytest.approx(np.stack([hand(), hand(10.0)]))
    assert frames.visible is not None
    assert frames.visible.tolist() == [visible, [True] * 21]
    assert frames.notes == (f"Images without labels, left out: {tmp_path / '002.png'}.",)


def test_levels_are_folders_in_the_folder(tmp_path: Path) -> None:
    for level in ("hard", "easy"):
        write_label(tmp_path / level / "000.json", hand())
    (tmp_path / "easy.camera.json").write_text("{}")
    frames = read_labels(tmp_path)
    assert frames.names == ("easy/000", "hard/000")
    assert frames.keys[0][0][-3:] == (tmp_path.name, "easy", "000")
    assert frames.visible is None
    assert read_labels(tmp_path / "easy" / "000.json").names == ("000",)


def test_results_among_the_labels_are_no_labels(tmp_path: Path) -> None:
    write_label(tmp_path / "000.json", hand())
    write_label(tmp_path / "handopt-out" / "result.json", hand(), format="handopt.result/1")
    assert read_labels(tmp_path).names == ("000",)


def test_keypoints_are_sorted_by_their_names(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(21)
    visible = np.arange(21) == 3
    names = [KEYPOINT_NAMES[index] for index in order]
    write_label(tmp_path / "0.json", hand())
    write_label(tmp_path / "1.json", hand()[order], visible[order].tolist(), keypoints=names)
    frames = read_labels(tmp_path)
    assert frames.joints == KEYPOINT_NAMES
    assert frames.joints_mm[1] == pytest.approx(hand())
    assert frames.visible is not None
    assert frames.visible[1].tolist() == visible.tolist()


def nyu_label(path: Path, names: list[str], joints: np.ndarray) -> Path:
    path.write_text(json.dumps({"joint_names": names, "joints_xyz_mm": joints.tolist(), "unit": "mm"}))
    return path


def test_nyu_joints_in_json(tmp_path: Path) -> None:
    joints = map_keypoints(hand(), NYU)
    nyu_label(tmp_path / "a.json", list(NYU.joints), joints)
    nyu_label(tmp_path / "b.json", list(NYU.joints[::-1]), joints[::-1])
    frames = read_labels(tmp_path)
    assert frames.joint_set is NYU
    assert frames.joints == NYU.joints
    assert frames.joints_mm == pytest.approx(np.stack([joints, joints]))
    nyu_label(tmp_path / "b.json", list(NYU.joints[:5]), joints[:5])
    with pytest.raises(LabelError, match=r"b\.json and .*a\.json label different joints"):
        read_labels(tmp_path)


def test_sets_cannot_be_mixed_but_chosen(tmp_path: Path) -> None:
    nyu_label(tmp_path / "a.json", list(NYU.joints), map_keypoints(hand(), NYU))
    write_label(tmp_path / "b.json", hand())
    with pytest.raises(LabelError, match=r"different sets \(nyu, synthetic\): choose one with joint_set="):
        read_labels(tmp_path)
    assert read_labels(tmp_path, joint_set="nyu").names == ("a",)
    assert read_labels(tmp_path, joint_set="synthetic").names == ("b",)


def test_a_folder_of_msra_gestures(tmp_path: Path) -> None:
    own = map_keypoints(np.stack([hand(), hand(30.0)]), MSRA) * (1.0, -1.0, -1.0)
    for gesture in ("2", "1"):
        (tmp_path / "P0" / gesture).mkdir(parents=True)
        write_text(tmp_path / "P0" / gesture / "joint.txt", own, first="2")
    frames = read_labels(tmp_path)
    assert frames.names == tuple(f"P0/{gesture}/00000{index}_depth" for gesture in "12" for index in "01")
    assert frames.joints_mm == pytest.approx(np.concatenate([own, own]) * (1.0, -1.0, -1.0), abs=1e-3)
    assert frames.keys[3][0][-3:] == ("P0", "2", "000001_depth")
    assert frames.ordered


def test_names_for_the_lines_of_a_text_file(tmp_path: Path) -> None:
    write_text(tmp_path / "nyu.txt", map_keypoints(np.stack([hand(), hand(30.0)]), NYU))
    (tmp_path / "names.txt").write_text("seq/5.png\nseq/7.png\n")
    frames = read_labels(tmp_path / "nyu.txt", coordinates="camera", names=tmp_path / "names.txt")
    assert frames.names == ("seq/5", "seq/7")
    assert frames.keys == ((("seq", "5"),), (("seq", "7"),))
    (tmp_path / "names.txt").write_text("seq/5.png\n")
    with pytest.raises(LabelError, match=r"names 1 images and TRUTH has 2 frames: change names="):
        read_labels(tmp_path / "nyu.txt", coordinates="camera", names=tmp_path / "names.txt")


# -------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_mm": [[0, 0, 500]] * 20}, r"0\.json: joints_mm: expected 21 points of three numbers"),
        ({"joints_mm": [[0, 0, 500]] * 20 + [[0, 0]]}, "expected 21 points"),
        ({"joints_mm": [[0, 0, 500]] * 20 + [[0, 0, None]]}, "expected 21 points"),
        ({"joints_mm": [[0, 0, 500]] * 20 + [[0, 0, True]]}, "expected 21 points"),
        ({"joints_mm": [[0, 0, 500]] * 20 + [[0, 10**400, 500]]}, "a number in it has too many digits"),
        ({"joints_mm": "none"}, "expected 21 points"),
        ({"joints_mm": [[0, 0, 500]] * 20 + [[0, 0, float("nan")]]}, r"0\.json: not all numbers are finite"),
        ({"joints_mm": [[0, 0, 0.5]] * 21}, r"0\.json: a joint at a depth of 0\.5 mm \(metres"),
        ({"keypoints": ["wrist"] * 21}, "keypoints: expected a list of all of wrist"),
        ({"keypoints": list(KEYPOINT_NAMES[:20])}, "keypoints: expected a list of all of wrist"),
        ({"visible": [True] * 20}, "visible: expected 21 times true or false"),
        ({"visible": [1] * 21}, "visible: expected 21 times true or false"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_label(tmp_path / "0.json", hand(), **change)
    with pytest.raises(LabelError, match=message):
        read_labels(tmp_path)


def test_truncated_json_is_named(tmp_path: Path) -> None:
    path = write_label(tmp_path / "0.json", hand())
    path.write_text(path.read_text()[:-40])
    with pytest.raises(LabelError, match=r"0\.json is not valid JSON .* truncated"):
        read_labels(tmp_path)


def test_where_there_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"holds no labels: TRUTH needs NAME\.json"):
        read_labels(tmp_path)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(LabelError, match="holds no joints_mm"):
        read_labels(tmp_path / "a.json")
    with pytest.raises(LabelError, match="does not exist"):
        read_labels(tmp_path / "b.txt")
    with pytest.raises(LabelError, match="change joint_set= or TRUTH"):
        read_labels(tmp_path / "b.txt", joint_set="synthetic")
    with pytest.raises(LabelError, match="cannot be read"):
        read_labels(tmp_path / "b.json")
