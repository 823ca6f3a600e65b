"""Labels in the format of COCO: in pixels, with whole hands and both hands of a body."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.label_files import INTEL, hand, pixels, write_result

from handopt.errors import LabelError
from handopt.evaluation import evaluate, read_labels
from handopt.evaluation.mapping import COCO

CAMERA = dict(zip(("fx", "fy", "cx", "cy"), INTEL, strict=True)) | {"width": 320, "height": 240}


def keypoints(joints: np.ndarray, flag: int = 2) -> list[float]:
    return np.column_stack([pixels(joints, INTEL)[:, :2], np.full(21, flag)]).ravel().tolist()


def write(path: Path, *annotations: dict[str, Any]) -> Path:
    images = [{"id": 5 + number, "file_name": f"rgb/{number:03d}.jpg"} for number in range(len(annotations))]
    listed = [{"id": number, "image_id": 5 + number, **each} for number, each in enumerate(annotations)]
    path.write_text(json.dumps({"images": images, "annotations": listed, "categories": []}))
    return path


def test_pixels_are_scored_across_the_line_of_sight(tmp_path: Path) -> None:
    truth = write(tmp_path / "coco.json", {"keypoints": keypoints(hand())}, {"keypoints": keypoints(hand(10.0))})
    away = hand() * 1.1  # on the same lines of sight, a tenth farther
    write_result(tmp_path / "fits" / "000", away, camera=CAMERA)
    write_result(tmp_path / "fits" / "001", hand(10.0) + np.array([0.0, 4.0, 0.0]), camera=CAMERA)
    scored = evaluate(tmp_path / "fits", truth)
    assert scored.joint_set is COCO
    np.testing.assert_allclose(scored.errors_mm, np.repeat([[0.0], [4.0]], 21, axis=1), atol=1e-9)
    assert "in mm at the predicted depth" in scored.notes[0]
    assert "pa_mpjpe_mm" not in scored.scores(), "pixels have no shape to align with"


def test_without_a_camera_pixels_cannot_be_scored(tmp_path: Path) -> None:
    truth = write(tmp_path / "coco.json", {"keypoints": keypoints(hand())})
    write_result(tmp_path / "fits" / "000", hand())
    with pytest.raises(LabelError, match="PRED does not say with which camera they were seen: give camera="):
        evaluate(tmp_path / "fits", truth)
    with pytest.raises(LabelError, match="PRED has pixels without depth"):
        evaluate(truth, truth)


def test_flags_are_visibility_and_incomplete_hands_are_left_out(tmp_path: Path) -> None:
    half = keypoints(hand())
    half[5] = 0.0
    hidden = keypoints(hand(), 1)
    hidden[-1] = 2
    frames = read_labels(write(tmp_path / "coco.json", {"keypoints": half}, {"keypoints": hidden}))
    assert frames.names == ("rgb/001",)
    assert frames.visible is not None
    assert frames.visible.tolist() == [[False] * 20 + [True]]
    assert "1 hands without all of their 21 keypoints were left out." in frames.notes
    with pytest.raises(LabelError, match="no hand with all of its 21 keypoints"):
        read_labels(write(tmp_path / "coco.json", {"keypoints": half}))


def test_hands_of_whole_bodies(tmp_path: Path) -> None:
    right, left = keypoints(hand()), keypoints(hand(60.0))
    body = {"keypoints": [0] * 51, "righthand_kpts": right, "lefthand_kpts": left, "lefthand_valid": False}
    assert read_labels(write(tmp_path / "coco.json", body)).names == ("rgb/000/right",)
    both = read_labels(write(tmp_path / "coco.json", body | {"lefthand_valid": True}))
    assert both.names == ("rgb/000/right", "rgb/000/left")


def test_bad_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="annotation 0: expected 21 keypoints of three numbers"):
        read_labels(write(tmp_path / "coco.json", {"keypoints": [1.0] * 51}))
    with pytest.raises(LabelError, match="annotation 0: expected 21 keypoints"):
        read_labels(write(tmp_path / "coco.json", {"keypoints": ["a"] * 63}))
    with pytest.raises(LabelError, match=r"not in the format of COCO \(KeyError\(99\)\)"):
        read_labels(write(tmp_path / "coco.json", {"keypoints": keypoints(hand()), "image_id": 99}))
