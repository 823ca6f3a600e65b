"""The files of other data sets, read as their own tools and documents say."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from scipy.io import loadmat
from support.exports import Fits, pinhole

from handopt.export.labels import export_labels
from handopt.result import FitResult
from handopt.rig import KEYPOINT_NAMES

# From the loader of InterHand2.6M: R_Thumb_4, the tip, is the first joint and R_Wrist the last of 21.
INTERHAND = [f"{digit}_{part}" for digit in ("Thumb", "Index", "Middle", "Ring", "Pinky") for part in "4321"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "labels"


def in_order(folder: Path, fits: Fits) -> list[FitResult]:
    """The results in the order of the labels."""
    return [fits.results[name] for name in (folder / "names.txt").read_text().split()]


def test_freihand(fits: Fits, folder: Path) -> None:
    done = export_labels([fits.folder], folder, format="freihand")
    xyz, matrices, scales, hands = (
        json.loads((folder / f"training_{part}.json").read_text()) for part in ("xyz", "K", "scale", "hand")
    )
    assert len(xyz) == len(matrices) == len(scales) == 2
    assert "1 left hands stand among them" in done.notes[0]
    for row, result in enumerate(in_order(folder, fits)):
        projected = np.array(xyz[row]) @ np.array(matrices[row]).T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], pinhole(result), atol=1e-9)
        assert np.array(xyz[row])[:, 2] == pytest.approx(result.joints_mm[:, 2] / 1000)
        assert scales[row] == pytest.approx(np.linalg.norm(result.joints_mm[10] - result.joints_mm[9]) / 1000)
        assert hands[row] == result.hand


def test_interhand(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="interhand")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "InterHand2.6M_train_data.json"))
    cameras, joints = (
        json.loads((folder / f"InterHand2.6M_train_{part}.json").read_text()) for part in ("camera", "joint_3d")
    )
    results = in_order(folder, fits)
    for number in coco.anns:
        annotation = coco.anns[number]
        image = coco.loadImgs(annotation["image_id"])[0]
        capture, camera, frame = str(image["capture"]), str(image["camera"]), image["frame_idx"]
        view = {key: np.array(cameras[capture][key][camera], float) for key in ("campos", "camrot", "focal", "princpt")}
        world = np.array(joints[capture][str(frame)]["world_coord"])
        seen = (view["camrot"] @ (world.T - view["campos"][:, None])).T
        result = results[number]
        start = 0 if result.hand == "right" else 21
        assert annotation["hand_type"] == result.hand
        valid = np.array(annotation["joint_valid"])
        assert valid.tolist() == np.isin(np.arange(42) // 21, start // 21).astype(int).tolist()
        for place, name in enumerate([*INTERHAND, "Wrist"]):
            ours = result.joints_mm[KEYPOINT_NAMES.index(_keypoint(name))]
            np.testing.assert_allclose(seen[start + place], ours, atol=1e-9)
            pixel = seen[start + place][:2] / seen[start + place][2] * view["focal"] + view["princpt"]
            np.testing.assert_allclose(pixel, pinhole(result)[KEYPOINT_NAMES.index(_keypoint(name))], atol=1e-9)
        x, y, width, height = annotation["bbox"]
        np.testing.assert_allclose([x, y], pinhole(result).min(axis=0), atol=1e-3)
        np.testing.assert_allclose([width, height], np.ptp(pinhole(result), axis=0), atol=2e-3)


def _keypoint(name: str) -> str:
    """Our name of a joint of InterHand2.6M, whose numbers rise from the base to the tip."""
    if name == "Wrist":
        return "wrist"
    digit, number = name.lower().split("_")
    parts = ("cmc", "mcp", "ip", "tip") if digit == "thumb" else ("mcp", "pip", "dip", "tip")
    return f"{digit}_{parts[int(number) - 1]}"


def test_nyu(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="nyu")
    labels = loadmat(folder / "joint_data.mat")
    uvd, xyz = labels["joint_uvd"], labels["joint_xyz"]
    assert uvd.shape == xyz.shape == (1, 2, 36, 3)
    evaluated = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]
    assert np.flatnonzero(np.isfinite(uvd[0, 0, :, 0])).tolist() == evaluated
    text = np.loadtxt(folder / "joints_uvd.txt").reshape(2, 14, 3)
    np.testing.assert_allclose(text, uvd[0][:, evaluated], atol=1e-5)
    for row, result in enumerate(in_order(folder, fits)):
        tips = {"pinky": 0, "ring": 6, "middle": 12, "index": 18, "thumb": 24}
        for digit, place in tips.items():
            keypoint = KEYPOINT_NAMES.index(f"{digit}_tip")
            np.testing.assert_allclose(uvd[0, row, place, :2], pinhole(result)[keypoint], atol=1e-6)
            ours = result.joints_mm[keypoint] * [1, -1, 1]
            np.testing.assert_allclose(xyz[0, row, place], ours, atol=1e-6)
        sides = xyz[0, row, [30, 31]]
        assert np.linalg.norm(sides[0] - sides[1]) == pytest.approx(34.0)


def test_icvl(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="icvl")
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines()]
    for words, result in zip(lines, in_order(folder, fits), strict=True):
        assert (words[0], len(words)) == (str(result.image).removeprefix("frames/"), 49)
        joints = np.array(words[1:], float).reshape(16, 3)
        for row, digit in ((3, "thumb"), (6, "index"), (9, "middle"), (12, "ring"), (15, "pinky")):
            keypoint = KEYPOINT_NAMES.index(f"{digit}_tip")
            np.testing.assert_allclose(joints[row, :2], pinhole(result)[keypoint], atol=1e-5)
            assert joints[row, 2] == pytest.approx(result.joints_mm[keypoint, 2], abs=1e-5)


def test_msra(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="msra")
    first, *lines = (folder / "joint.txt").read_text().splitlines()
    assert first == "2"
    order = ["wrist", *(f"{digit}_{part}" for digit in ("index", "middle", "ring", "pinky") for part in _PARTS)]
    order += ["thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"]
    for line, result in zip(lines, in_order(folder, fits), strict=True):
        joints = np.array(line.split(), float).reshape(21, 3)
        assert (joints[:, 2] < 0).all()
        ours = result.joints_mm[[KEYPOINT_NAMES.index(name) for name in order]] * [1, -1, -1]
        np.testing.assert_allclose(joints, ours, atol=1e-5)


_PARTS = ("mcp", "pip", "dip", "tip")


def test_dexycb(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="dexycb")
    for row, result in enumerate(in_order(folder, fits)):
        with np.load(folder / f"labels_{row:06d}.npz", allow_pickle=False) as label:
            shapes: dict[str, Any] = {name: label[name].shape for name in label.files}
            assert shapes["joint_3d"] == (1, 21, 3)
            assert shapes["joint_2d"] == (1, 21, 2)
            assert shapes["pose_m"] == (1, 51)
            assert shapes["seg"] == (240, 320)
            assert (label["seg"].dtype, label["joint_3d"].dtype) == (np.uint8, np.float32)
            np.testing.assert_allclose(label["joint_3d"][0] * 1000, result.joints_mm, atol=1e-3)
            np.testing.assert_allclose(label["joint_2d"][0], pinhole(result), atol=1e-3)
            hand, fitted = label["seg"] == 255, np.asarray(result.fitted_depth_mm) > 0
            assert (hand & fitted).sum() / (hand | fitted).sum() > 0.99
            assert str(label["mano_side"]) == result.hand


def test_crops(fits: Fits, folder: Path) -> None:
    export_labels([fits.folder], folder, format="csv", crop=128)
    depth = np.load(folder / "crops_depth.npy")
    assert depth.shape == (2, 128, 128)
    assert depth.dtype == np.float32
    assert depth.min() >= -1
    assert depth.max() == 1
    with np.load(folder / "crops.npz") as crops:
        for row, result in enumerate(in_order(folder, fits)):
            pixels = np.column_stack([pinhole(result), np.ones(21)]) @ crops["image_to_crop"][row].T
            np.testing.assert_allclose(pixels[:, :2], crops["joints"][row, :, :2], atol=1e-6)
            back = crops["joints_normalised"][row] * crops["half_mm"][row] + crops["center_mm"][row]
            np.testing.assert_allclose(back, result.joints_mm, atol=1e-9)
            seen = result.observation.depth_mm
            u, v = np.rint(pinhole(result)).astype(int).T
            column, line = np.rint(crops["joints"][row, :, :2]).astype(int).T
            shown = depth[row][line, column] * crops["half_mm"][row] + crops["center_mm"][row, 2]
            near = (seen[v, u] > 0) & (depth[row][line, column] < 1)
            assert near.sum() >= 15
            assert np.median(np.abs(shown - seen[v, u])[near]) < 3, "mm, where a pixel beside is looked up"
