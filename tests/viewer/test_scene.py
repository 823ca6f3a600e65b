"""Scenes: what the page gets is what was fitted, number for number."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import tracked
from support.fitted import fit_folder, fitted
from support.sequences import COUNT, DROPOUT, followed

from handopt.errors import OutputError
from handopt.storage.scenes import packed_scene, read_scene, track_states
from handopt.viewer.scene import FINE_FRAMES, progress_of

__all__ = ["fit_folder", "tracked"]


def unpacked(packed: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a packed scene, read as the page reads them."""
    data = zlib.decompress(base64.b64decode(packed["data"]))
    arrays = {}
    for entry in packed["arrays"]:
        count = int(np.prod(entry["shape"]))
        assert entry["offset"] % 4 == 0, "typed arrays of JavaScript need aligned data"
        arrays[entry["name"]] = np.frombuffer(data, f"<{entry['type']}", count, entry["offset"]).reshape(entry["shape"])
    return arrays


def skinned(arrays: dict[str, np.ndarray], frame: int) -> np.ndarray:
    """Vertices of a frame, as view.js computes them."""
    rest = np.hstack([arrays["rest"], np.ones((len(arrays["rest"]), 1))])
    moved = np.einsum("vkab,vb->vka", arrays["transforms"][frame][arrays["skin_indices"]], rest)
    return np.asarray((arrays["skin_weights"][..., None] * moved).sum(axis=1))


def test_the_last_iteration_of_a_fit_is_its_mesh(fit_folder: Path) -> None:
    packed = packed_scene(fit_folder)
    json.dumps(packed, allow_nan=False)
    arrays, result = unpacked(packed), fitted()
    assert np.abs(skinned(arrays, -1) - result.vertices_mm).max() < 0.01
    assert np.abs(arrays["joints"][-1] - result.joints_mm).max() < 0.01
    assert np.array_equal(arrays["faces"], result.rig.faces)
    assert np.allclose(arrays["uncertainty"][0], result.joint_uncertainty_mm, atol=0.01)
    assert len(packed["facts"]["captions"]) == len(arrays["joints"]) == result.iterations
    assert packed["facts"]["title"] == "open.png"
    assert len(packed["facts"]["alternatives"]) == len(arrays["alternatives"]) == len(result.alternatives)


def test_observed_points_lie_on_the_hand(fit_folder: Path) -> None:
    arrays = unpacked(packed_scene(fit_folder))
    ax, bx, ay, by, near, far = arrays["windows"][0]
    rows, columns = np.nonzero((arrays["depth"][0] > near) & (arrays["depth"][0] < far))
    z = arrays["depth"][0][rows, columns].astype(np.float64)
    points = np.stack([(columns - bx) / ax * z, (rows - by) / ay * z, z], axis=1)
    away = np.linalg.norm(points[:, None] - fitted().vertices_mm[None], axis=2).min(axis=1)
    assert len(points) > 2000
    assert np.median(away) < 4, "half the distance of neighbouring vertices"


def test_a_result_in_memory_shows_what_its_folder_shows(fit_folder: Path) -> None:
    memory, folder = fitted()._scene().packed(), packed_scene(fit_folder)
    one, other = unpacked(memory), unpacked(folder)
    assert {name: each.shape for name, each in one.items()} == {name: each.shape for name, each in other.items()}
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], atol=0.02, err_msg=name)
    assert memory["facts"] == folder["facts"]


def test_a_track_has_its_states(tracked: Path) -> None:
    arrays, track = unpacked(packed_scene(tracked)), followed()
    assert len(arrays["joints"]) == COUNT
    gap = slice(DROPOUT[0], DROPOUT[0] + DROPOUT[1])
    assert set(arrays["state"][gap]) == {2}, "frames that were dropped are bridged"
    assert np.abs(skinned(arrays, 5) - track.vertices_mm(5)).max() < 0.05
    expected = np.where(track.known[:, None, None], track.joints_mm(), arrays["joints"])
    assert np.abs(arrays["joints"] - expected).max() < 0.05
    times = packed_scene(tracked)["facts"]["times"]
    assert times[1] - times[0] == pytest.approx(1 / 30, abs=1e-3)


def test_states_say_which_frames_are_doubtful() -> None:
    confidence = np.array([0.9, 0.2, np.nan, np.nan, np.nan])
    states = track_states(np.array([1, 1, 1, 0, 0]) > 0, np.array([0, 0, 0, 1, 0]) > 0, confidence)
    assert states.tolist() == [1, 3, 3, 2, 0], "a tracked frame without a confidence is doubtful"


def test_many_frames_have_fewer_points_in_the_same_places(tracked: Path) -> None:
    scene = read_scene(tracked)
    times = FINE_FRAMES // COUNT + 1
    many = replace(
        scene, depth_mm=np.tile(scene.depth_mm, (times, 1, 1)), centers_mm=np.tile(scene.centers_mm, (times, 1))
    )
    (fine, windows), (coarse, wide) = scene._depth(), many._depth()
    assert np.array_equal(coarse[3], fine[3, ::2, ::2])
    column, z = 30, 400.0
    x = [(column / step - window[3][1]) / window[3][0] * z for step, window in ((1, windows), (2, wide))]
    assert x[0] == pytest.approx(x[1], abs=1e-2)


def test_progress_runs_from_the_worst_to_the_best_iteration() -> None:
    assert progress_of(np.array([100.0, 10.0, 1.0])).tolist() == pytest.approx([0, 0.5, 1])
    assert progress_of(np.array([3.0, 3.0])).tolist() == [1, 1]
    assert np.isfinite(progress_of(np.array([np.inf, 2.0, np.nan, 1.0]))).all()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is damaged"),
        ('{"format": "handopt.result/0"}', "has the format 'handopt.result/0', and 'handopt.result/1' is needed: fit"),
        ("[]", "has the format None"),
    ],
)
def test_a_damaged_or_old_result_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(OutputError, match=problem):
        read_scene(tmp_path)


def test_a_result_that_lacks_a_field_or_its_trace_is_named(fit_folder: Path, tmp_path: Path) -> None:
    document = json.loads((fit_folder / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(document))
    with pytest.raises(OutputError, match=r"trace\.npz"):
        read_scene(tmp_path)
    (tmp_path / "trace.npz").write_bytes((fit_folder / "trace.npz").read_bytes()[:900])
    with pytest.raises(OutputError, match="is damaged or none of handopt's"):
        read_scene(tmp_path)
    with pytest.raises(OutputError, match="cannot be read"):
        read_scene(tmp_path / "nothing")


def test_glb_files_are_checked(fit_folder: Path, tmp_path: Path) -> None:
    mesh = fit_folder / "mesh.glb"
    packed = packed_scene(mesh)
    assert zlib.decompress(base64.b64decode(packed["data"])) == mesh.read_bytes()
    (tmp_path / "cut.glb").write_bytes(mesh.read_bytes()[:-10])
    with pytest.raises(OutputError, match="is damaged, or no binary glTF"):
        packed_scene(tmp_path / "cut.glb")
    with pytest.raises(OutputError, match="cannot be read"):
        packed_scene(tmp_path / "none.glb")
