"""MANO's parameters of fitted hands: found again where they are known, near where the rig is another, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.exports import SIDES, Fits
from support.factories import fit_result
from support.mano_files import mano_arrays, mano_reference, write_mano

from handopt.errors import OutputError
from handopt.export.mano import export_mano
from handopt.export.mano.layer import Layer
from handopt.export.mano.parameters import fit_mano
from handopt.export.mano.registration import register
from handopt.rig import default_rig, load_rig, with_shape
from handopt.rig.mano_rig import read_hand_model
from handopt.rig.skinned import Skinned
from handopt.storage import save


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a right and a left model, the left one with the sign error of the released file."""
    folder = tmp_path_factory.mktemp("mano")
    for side in SIDES:
        arrays = mano_arrays(side)
        if side == "left":
            arrays = dict(arrays, shapedirs=arrays["shapedirs"] * np.array([-1.0, 1.0, 1.0])[:, None])
        write_mano(folder / f"MANO_{side.upper()}.pkl", arrays)
    return folder


def bent(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation, translation and angles of a pose."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform([-0.1, -0.15, -0.1], [0.1, 0.15, 1.1], (15, 3))
    return Rotation.random(random_state=seed).as_matrix(), np.array([20.0, -10.0, 450.0]), angles


def rotations(*vectors: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(np.concatenate(vectors).reshape(-1, 3)).as_matrix()


@pytest.mark.parametrize("side", SIDES)
def test_a_hand_of_mano_gets_its_own_parameters(models: Path, side: str) -> None:
    path = models / f"MANO_{side.upper()}.pkl"
    model, rig = read_hand_model(path), load_rig(path)
    layer, hand = Layer.of(model), Skinned.of(rig)
    registration = register(model, layer, hand)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rotation, translation, angles = bent(seed)
        transforms = hand.transforms(rotation[None], translation[None], angles[None], np.ones(1))
        pose, betas, moved = rng.normal(0, 0.4, (16, 3)), rng.normal(size=10), np.array([0.1, 0.2, 0.6])
        pose[0] = Rotation.from_matrix(rotation).as_rotvec()
        vertices, joints = mano_reference(mano_arrays(side), pose, betas, moved)
        found = fit_mano(model, layer, registration, hand, vertices * 1000, transforms[0])
        assert found.distances_mm.max() < 0.01
        assert found.betas == pytest.approx(betas, abs=1e-3)
        assert found.transl_m == pytest.approx(moved, abs=1e-5)
        assert rotations(found.global_orient, found.hand_pose) == pytest.approx(rotations(pose.ravel()), abs=1e-3)
        again, _ = mano_reference(
            mano_arrays(side),
            np.concatenate([found.global_orient, found.hand_pose]).reshape(16, 3),
            found.betas,
            found.transl_m,
        )
        assert again == pytest.approx(vertices, abs=1e-5)
        assert found.joints_m[[0, 5, 9, 1]] == pytest.approx(joints[[0, 1, 4, 13]], abs=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_another_rig_is_met_on_its_surface(models: Path, side: str) -> None:
    model, rig = read_hand_model(models / f"MANO_{side.upper()}.pkl"), default_rig(side)
    coefficients = np.linspace(-0.08, 0.08, 13)
    hand = Skinned.of(with_shape(rig, coefficients))
    layer = Layer.of(replace(model, posedirs=np.zeros_like(model.posedirs)))
    registration = register(model, layer, hand)
    assert len(registration.rows) > 700
    for seed in range(2):
        rotation, translation, angles = (each[None] for each in bent(seed))
        vertices, joints = hand.posed(rotation, translation, angles, np.ones(1))
        transforms = hand.transforms(rotation, translation, angles, np.ones(1))
        found = fit_mano(model, layer, registration, hand, vertices[0], transforms[0])
        assert found.distances_mm.mean() < 2
        assert np.linalg.norm(found.joints_m[5:20] * 1000 - joints[0, 5:20], axis=1).mean() < 6


def test_a_fit_made_with_mano_round_trips_through_its_folder(tmp_path: Path) -> None:
    arrays = dict(mano_arrays(), posedirs=np.zeros((778, 3, 135)))
    model = write_mano(tmp_path / "MANO_RIGHT.pkl", arrays)
    rig = load_rig(model)
    assert rig.shape_space is not None
    betas = np.linspace(-1.2, 1.5, 10)
    coefficients = rig.shape_space.coefficients(betas)
    shaped, plain = with_shape(rig, coefficients), fit_result("right", iterations=2)
    pose = (plain.rotation[None], plain.translation_mm[None], plain.angles_rad[None], np.array([plain.scale]))
    vertices, joints = Skinned.of(shaped).posed(*pose)
    result = fit_result(
        "right",
        iterations=2,
        rig=rig,
        proportions=coefficients,
        rest_mm=shaped.rest_mm,
        vertices_mm=vertices[0],
        joints_mm=joints[0],
    )
    save(result, tmp_path / "fit", renders=False, overlay=False)
    done = export_mano([tmp_path / "fit"], tmp_path / "poses.npz", mano=model)
    with np.load(tmp_path / "poses.npz") as file:
        assert (done.hands, file["max_distance_mm"][0] < 0.01) == (1, True)
        expected = plain.scale * betas  # the first is the size, 4 % a unit: it holds the fit's scale as well
        expected[0] = (plain.scale * (1 + 0.04 * betas[0]) - 1) / 0.04
        assert file["betas"][0] == pytest.approx(expected, abs=0.02)
        assert rotations(file["global_orient"][0])[0] == pytest.approx(result.rotation, abs=1e-3)
        assert file["joints_m"][0][[0, 5, 10]] * 1000 == pytest.approx(joints[0, [0, 5, 10]], abs=0.1)


def test_a_file_of_both_hands_names_its_conventions(fits: Fits, models: Path, tmp_path: Path) -> None:
    done = export_mano([fits.folder], tmp_path / "deep" / "poses.npz", mano=models / "MANO_RIGHT.pkl")
    assert done.hands == 2
    assert any("MANO_LEFT: the released left model's shape directions have the wrong sign" in n for n in done.notes)
    with np.load(tmp_path / "deep" / "poses.npz") as file:
        assert file["hand"].tolist() == ["left", "right"]
        assert "flat_hand_mean_true is for layers with flat_hand_mean=True" in str(file["conventions"])
        assert any("wrong sign in x: it was corrected" in note for note in file["notes"].tolist())
        for row, side in enumerate(file["hand"].tolist()):
            arrays, result = mano_arrays(side), fits.results[f"{side}/000"]
            flat = file["hand_pose_flat_hand_mean_true"][row]
            assert file["hand_pose_flat_hand_mean_false"][row] + arrays["hands_mean"] == pytest.approx(flat, abs=1e-12)
            pose = np.concatenate([file["global_orient"][row], flat]).reshape(16, 3)
            vertices, joints = mano_reference(arrays, pose, file["betas"][row], file["transl"][row])
            assert file["joints_m"][row][[0, 5, 9]] == pytest.approx(joints[[0, 1, 4]], abs=1e-9)
            assert file["distance_mm"][row] < 3
            gaps = np.linalg.norm(vertices[:, None] * 1000 - np.asarray(result.vertices_mm)[None], axis=2).min(axis=1)
            assert np.median(gaps) < 5, "the hands lie in the same place, whatever the correspondence"


def test_frames_of_a_track_share_their_betas(track: Path, models: Path, tmp_path: Path) -> None:
    done = export_mano([track], tmp_path / "poses.npz", mano=models / "MANO_LEFT.pkl")
    with np.load(tmp_path / "poses.npz") as file:
        assert len(file["betas"]) == done.hands > 1
        assert np.ptp(file["betas"], axis=0).max() == 0
        assert np.isfinite(file["time_s"]).all()
        assert file["distance_mm"].max() < 3


def test_what_cannot_be_written_says_what_to_change(fits: Fits, models: Path, tmp_path: Path) -> None:
    output, model = tmp_path / "poses.npz", models / "MANO_RIGHT.pkl"
    with pytest.raises(OutputError, match=r"mano= is missing: your own MANO_RIGHT\.pkl"):
        export_mano([fits.folder], output, mano=None)
    with pytest.raises(OutputError, match=r"poses does not end in \.npz"):
        export_mano([fits.folder], tmp_path / "poses", mano=model)
    alone = tmp_path / "alone" / "MANO_RIGHT.pkl"
    alone.parent.mkdir()
    alone.write_bytes(model.read_bytes())
    with pytest.raises(OutputError, match=r"1 of the hands are left hands, and neither .* nor MANO_LEFT\.pkl beside"):
        export_mano([fits.folder], output, mano=alone)
    bare = tmp_path / "bare"
    save(fit_result("right", iterations=2), bare, renders=False, overlay=False)
    (bare / "trace.npz").unlink()
    with pytest.raises(
        OutputError, match=r"bare has no arrays of the mesh \(trace\.npz\), one of 1 such results: fit again"
    ):
        export_mano([bare], output, mano=model)
    assert json.loads((bare / "result.json").read_text())["hand"] == "right"
    assert not output.exists()
