"""Result folders and text files of predictions, and how they meet the labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from support import label_files
from support.label_files import hand, pixels, write_label, write_result, write_text

import handopt
from handopt.errors import LabelError
from handopt.evaluation.labels import read_labels
from handopt.evaluation.mapping import ICVL, MSRA, NYU, map_keypoints
from handopt.evaluation.predictions import read_predictions


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two labelled hands."""
    for index in range(2):
        write_label(tmp_path / "truth" / f"{index:03d}.json", hand(10.0 * index))
    return tmp_path / "truth"


def test_results_are_read_with_their_confidence(tmp_path: Path, truth: Path) -> None:
    write_result(tmp_path / "fits" / "001", hand(10.0), "elsewhere/001.png", confidence=0.75)
    write_result(tmp_path / "fits" / "000", hand(), None, confidence="high")
    write_result(tmp_path / "fits" / ".handopt-1.partial", hand())
    frames = read_predictions(tmp_path / "fits", read_labels(truth))
    assert [Path(name).name for name in frames.names] == ["000", "001"]
    assert frames.keys[1][1] == ("elsewhere", "001")
    assert frames.confidence is not None
    assert frames.confidence[1] == 0.75
    assert np.isnan(frames.confidence[0])
    for single in ("fits/001", "fits/001/result.json"):
        assert read_predictions(tmp_path / single, read_labels(truth)).joints_mm[0] == pytest.approx(hand(10.0))


def test_joints_that_are_null_are_no_prediction(tmp_path: Path, truth: Path) -> None:
    write_result(tmp_path / "fits" / "000", hand())
    write_result(tmp_path / "fits" / "001", hand(), joints_mm=[[None] * 3] * 21)
    evaluation = handopt.evaluate(tmp_path / "fits", truth)
    assert evaluation.missing == ("001",)
    assert evaluation.scores()["missing"] == 1


def test_results_against_every_set(tmp_path: Path) -> None:
    shifted = np.stack([hand(x) for x in (0.0, 30.0)])
    for index, joints in enumerate(shifted):
        write_result(tmp_path / "nyu" / f"depth_1_{index + 1:07d}", joints + np.array([3.0, 4.0, 0.0]))
        write_result(tmp_path / "msra" / f"{index:06d}", joints + np.array([0.0, 0.0, 12.0]))
    write_text(tmp_path / "nyu.txt", pixels(map_keypoints(shifted, NYU), label_files.NYU))
    write_text(tmp_path / "joint.txt", map_keypoints(shifted, MSRA) * (1.0, -1.0, -1.0), first="2")
    nyu = handopt.evaluate(tmp_path / "nyu", tmp_path / "nyu.txt")
    assert nyu.errors_mm == pytest.approx(5.0, abs=1e-3)
    assert nyu.joints == NYU.joints
    assert handopt.evaluate(tmp_path / "msra", tmp_path / "joint.txt").errors_mm == pytest.approx(12.0, abs=1e-3)


def test_text_against_text_in_other_coordinates(tmp_path: Path) -> None:
    joints = map_keypoints(np.stack([hand(x) for x in (0.0, 30.0, -60.0)]), NYU)
    write_text(tmp_path / "truth.txt", pixels(joints, label_files.NYU))
    write_text(tmp_path / "pred.txt", (joints + np.array([0.0, 6.0, 8.0])) * (1.0, -1.0, 1.0))
    evaluation = handopt.evaluate(tmp_path / "pred.txt", tmp_path / "truth.txt", pred_coordinates="xyz")
    assert evaluation.errors_mm == pytest.approx(10.0, abs=1e-3)
    assert len(evaluation.notes) == 1, "only what was told by the numbers is noted"
    write_text(tmp_path / "pred.txt", joints[:2])
    with pytest.raises(LabelError, match="PRED holds 2 frames without names and TRUTH 3"):
        handopt.evaluate(tmp_path / "pred.txt", tmp_path / "truth.txt", pred_coordinates="camera")


PUBLISHED = {
    "nyu": (NYU, label_files.NYU, [""] * 3),
    "icvl": (
        ICVL,
        label_files.INTEL,
        [f"test_seq_{part}/image_{row:04d}.png" for part, row in ((1, 0), (1, 1), (2, 0))],
    ),
    "msra": (MSRA, label_files.INTEL, [""] * 3),
}
"""Of each set: its joints, its camera, and the images' names in its labels, where they have names."""


@pytest.mark.parametrize("off_mm", [0.0, 5.0])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_prediction_files_meet_the_sets_own_labels(tmp_path: Path, name: str, off_mm: float) -> None:
    joint_set, camera, names = PUBLISHED[name]
    joints = map_keypoints(np.stack([hand(x) for x in (0.0, 30.0, -60.0)]), joint_set)
    if name == "nyu":
        full = np.zeros((1, len(joints), 36, 3))
        full[0][:, list(NYU.full)] = joints * (1.0, -1.0, 1.0)
        truth = tmp_path / "joint_data.mat"
        savemat(truth, {"joint_xyz": full, "joint_uvd": pixels(full * (1.0, -1.0, 1.0) + (0.0, 0.0, 1e-9), camera)})
    elif name == "icvl":
        truth = write_text(tmp_path / "labels.txt", pixels(joints, camera), names)
    else:
        truth = write_text(tmp_path / "joint.txt", joints * (1.0, -1.0, -1.0), first=str(len(joints)))
    # As published: u, v, d with three decimals and a blank at the end, no names, in the order of the test set.
    moved = pixels(joints + np.array([0.0, 0.0, off_mm]), camera).reshape(len(joints), -1)
    text = "".join(" ".join(f"{number:.3f}" for number in row) + " \n" for row in moved)
    (tmp_path / "NAME_prediction.txt").write_text(text)
    evaluation = handopt.evaluate(tmp_path / "NAME_prediction.txt", truth)
    assert len(evaluation.errors_mm) == 3
    assert evaluation.joints == joint_set.joints
    assert evaluation.errors_mm == pytest.approx(off_mm, abs=2e-3)  # three decimals of pixels


def test_text_against_some_of_the_joints(tmp_path: Path) -> None:
    joints = map_keypoints(hand(), NYU)
    document = {"joint_names": ["palm_centre", "pinky_tip"], "joints_xyz_mm": joints[[13, 0]].tolist()}
    (tmp_path / "a.json").write_text(json.dumps(document))
    write_text(tmp_path / "pred.txt", joints[None] + (0.0, 0.0, 7.0))
    evaluation = handopt.evaluate(tmp_path / "pred.txt", tmp_path / "a.json", pred_coordinates="camera")
    assert evaluation.joints == ("palm_centre", "pinky_tip")
    assert evaluation.errors_mm == pytest.approx(7.0, abs=1e-3)


# -------------------------------------------------------------------------------------------- bad input


def test_an_empty_folder_is_refused(tmp_path: Path, truth: Path) -> None:
    (tmp_path / "fits").mkdir()
    with pytest.raises(LabelError, match=r"holds no result of handopt: PRED needs folders with result\.json"):
        read_predictions(tmp_path / "fits", read_labels(truth))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other/1"}, "is no result of handopt fit"),
        ({"joints_mm": [[0, 0, 500]] * 20}, "joints_mm: expected 21 points"),
        ({"joints_mm": [[0, 0, "a"]] * 21}, "joints_mm: expected 21 points"),
        ({"joints_mm": [[0, 0, 0.5]] * 21}, r"result\.json: a joint at a depth of 0\.5 mm \(metres"),
        ({"keypoints": ["wrist"]}, "keypoints: expected a list of all of"),
    ],
)
def test_bad_results_are_named(tmp_path: Path, truth: Path, change: dict[str, Any], message: str) -> None:
    write_result(tmp_path / "fits" / "000", hand(), **change)
    with pytest.raises(LabelError, match=message):
        read_predictions(tmp_path / "fits", read_labels(truth))


def test_a_truncated_result_is_named(tmp_path: Path, truth: Path) -> None:
    file = write_result(tmp_path / "fits" / "000", hand()) / "result.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(LabelError, match=r"result\.json is not valid JSON .* move it out of PRED"):
        read_predictions(tmp_path / "fits", read_labels(truth))


def test_text_cannot_predict_21_keypoints(tmp_path: Path, truth: Path) -> None:
    write_text(tmp_path / "p.txt", hand()[None])
    with pytest.raises(LabelError, match="give their folder or file"):
        read_predictions(tmp_path / "p.txt", read_labels(truth))


def test_predictions_of_no_frame_at_all_are_refused(tmp_path: Path, truth: Path) -> None:
    write_result(tmp_path / "fits" / "other", hand())
    with pytest.raises(LabelError, match=r"no prediction belongs to a frame of TRUTH: there they are called 000"):
        handopt.evaluate(tmp_path / "fits", truth)
