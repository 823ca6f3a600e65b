"""Tests of the folder of images and their labels."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.synth_labels import reposed

from handopt.errors import ConfigError, OutputError
from handopt.input.camera import Camera
from handopt.input.sidecar import find_sidecar
from handopt.rig import KEYPOINT_NAMES, default_rig, load_rig
from handopt.synth import dataset
from handopt.synth.dataset import SUBJECT_NAME, check_free, write_dataset
from handopt.synth.generate import Settings, generate, true_rig
from handopt.synth.labels import labels

CAMERA = Camera(237.5, 237.5, 150.0, 119.5, 320, 240)
SETTINGS = Settings(camera=CAMERA, seed=3)
LAYOUT = (
    "format", "level", "index", "gesture", "hand", "camera", "unit_mm", "coordinate_frame", "keypoints", "joints_mm",
    "joint_visible", "pose", "shape", "view", "forearm", "background", "distance_mm", "tries",
)  # fmt: skip


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_labels_pose_the_rig_of_their_side_to_their_joints(side: str) -> None:
    settings = replace(SETTINGS, hand=side)
    rig = default_rig("right") if side == "right" else default_rig("right").mirrored()
    for index in range(4):
        label = labels(generate(settings, "hard", index), settings)
        np.testing.assert_allclose(reposed(label, rig), label["joints_mm"], atol=0.01)
        rotation = np.array(label["pose"]["rotation"])
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert json.loads(json.dumps(label)) == label


def test_the_labels_of_a_left_hand_fit_handopts_own_left_rig() -> None:
    settings = replace(SETTINGS, hand="left")
    label = labels(generate(settings, "medium", 0), settings)
    np.testing.assert_allclose(reposed(label, default_rig("left")), label["joints_mm"], atol=0.5)


def test_the_folder_has_the_layout_and_says_what_it_is(tmp_path: Path) -> None:
    ticks = []
    out = tmp_path / "out"
    folders = write_dataset(out, SETTINGS, ("easy", "hard"), 2, progress=lambda: ticks.append(1))
    assert folders == {"easy": out / "easy", "hard": out / "hard"}
    assert len(ticks) == 4
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    images = [
        f"{level}/{stem}.{kind}" for level in ("easy", "hard") for stem in ("000", "001") for kind in ("json", "png")
    ]
    assert names == sorted([*images, "easy.camera.json", "hard.camera.json", "synth.json"])
    assert Camera.from_dict(json.loads((tmp_path / "out" / "easy.camera.json").read_text())) == replace(
        CAMERA, source="given"
    )
    label = json.loads((out / "hard" / "001.json").read_text())
    assert set(LAYOUT) < set(label)
    assert label["keypoints"] == list(KEYPOINT_NAMES)
    assert (label["level"], label["index"], label["seed"], label["noise"]) == ("hard", 1, 3, "sr305")
    info = json.loads((out / "synth.json").read_text())
    assert info["format"] == "handopt.synth/1"
    assert info["settings"]["seed"] == 3


def test_the_image_is_16_bit_and_is_found_with_its_camera_unit_and_hand(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "out", replace(SETTINGS, hand="left"), ("medium",), 1)["medium"]
    with Image.open(folder / "000.png") as image:
        pixels = np.asarray(image)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, generate(replace(SETTINGS, hand="left"), "medium", 0).counts)
    beside = find_sidecar(folder / "000.png")
    assert beside is not None
    assert (beside.unit_mm, beside.hand) == (1.0, "left")
    assert beside.camera == replace(CAMERA, source=str(folder / "000.json"))


def test_images_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, more = (write_dataset(tmp_path / str(count), SETTINGS, ("hard",), count)["hard"] for count in (2, 4))
    for name in ("001.png", "001.json"):
        assert (few / name).read_bytes() == (more / name).read_bytes()


def test_an_interrupted_folder_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path, *_: object) -> None:
        (folder / "000.png").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "write_sample", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "deep" / "out", SETTINGS, ("easy",), 1)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_place_is_kept_unless_it_is_ours_and_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_dataset(out, SETTINGS, ("easy", "medium"), 1)
    with pytest.raises(OutputError, match="overwrite=True or choose another with folder="):
        check_free(out)
    write_dataset(out, replace(SETTINGS, seed=4), ("easy",), 1, overwrite=True)
    assert not (out / "medium").exists()
    (out / "easy" / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"easy/notes\.txt, which is not handopt's"):
        check_free(out, overwrite=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "000.png").touch()
    with pytest.raises(OutputError, match="no synthetic images of handopt"):
        check_free(foreign, overwrite=True)


def test_impossible_requests_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        write_dataset(tmp_path / "out", SETTINGS, ("easy",), 0)
    with pytest.raises(ConfigError, match="unknown level"):
        write_dataset(tmp_path / "out", SETTINGS, ("impossible",), 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_one_subjects_true_hand_lies_beside_its_images(side: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, hand=side, subject_seed=5, surface_rms_mm=2.0)
    folder = write_dataset(tmp_path / "one", settings, ["easy"], 1)["easy"]
    rig = load_rig(tmp_path / "one" / SUBJECT_NAME)
    assert rig.side == side
    np.testing.assert_allclose(rig.rest_mm, true_rig(settings).rest_mm, atol=1e-4)
    label = json.loads((folder / "000.json").read_text())
    bones = [[2, 3], [5, 6], [6, 7], [17, 18]]
    in_image = np.linalg.norm(np.diff(np.array(label["joints_mm"])[bones], axis=1), axis=2)
    np.testing.assert_allclose(in_image, np.linalg.norm(np.diff(rig.keypoints_mm[bones], axis=1), axis=2), atol=0.01)
    write_dataset(tmp_path / "one", settings, ["easy"], 1, overwrite=True)


def test_many_subjects_have_no_one_true_hand(tmp_path: Path) -> None:
    write_dataset(tmp_path / "many", SETTINGS, ["easy"], 1)
    assert not (tmp_path / "many" / SUBJECT_NAME).exists()
    with pytest.raises(ConfigError, match="subject_seed"):
        true_rig(SETTINGS)
