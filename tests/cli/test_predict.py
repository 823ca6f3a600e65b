"""`handopt predict`, and models that the user gives to it, to `fit`, `track` and `model`."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.commands import run
from support.compare import assert_same_bits
from support.fit_cli import EXAMPLES
from support.proposal_factories import random_model
from support.sequences import frames

from handopt.result import schema
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.prediction import PredictionRun
from handopt.tracking.predictor import PredictedFrame

OPEN = EXAMPLES / "open.png"


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "base.npz"
    random_model(path, rng)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """Settings of a fit whose result does not matter."""
    path = tmp_path / "quick.toml"
    path.write_text(
        "proposals = 8\nretry = 1.0\n[[rounds]]\ntop_k_out = 2\nlm_settings = {iterations = 1, sigma_mm = 20}\n"
    )
    return path


def result_of(folder: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((folder / "result.json").read_text())
    return document


def test_own_network_predicts_and_steps_refine(tmp_path: Path) -> None:
    done = run("predict", OPEN, "-o", tmp_path / "poses", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "poses" / "open"
    assert {each.name for each in folder.iterdir()} >= {"result.json", "mesh.glb", "trace.npz"}
    assert not (folder / "overlay.png").exists()
    plain = result_of(folder)
    assert plain["iterations"] == 1
    assert "proposals" not in plain
    again = run("predict", OPEN, "-o", tmp_path / "poses", "--device", "cpu", "--refine", "6")
    assert again.exit_code == 1
    assert "was made with another --refine (0, now 6)" in again.stderr
    run("predict", OPEN, "-o", tmp_path / "poses", "--device", "cpu", "--refine", "6", "--update")
    refined = result_of(folder)
    assert refined["iterations"] == 7
    truth = np.array(json.loads((EXAMPLES / "open.json").read_text())["joints_mm"])
    errors = [np.linalg.norm(np.array(each["joints_mm"]) - truth, axis=1).mean() for each in (plain, refined)]
    assert errors[1] < errors[0] < 20.0


def test_a_prediction_is_told_where_the_hand_is(tmp_path: Path) -> None:
    truth = json.loads((EXAMPLES / "open.json").read_text())
    x, y, z = np.mean([truth["joints_mm"][joint] for joint in (0, 5, 17)], axis=0)
    camera = truth["camera"]
    center = f"{camera['fx'] * x / z + camera['cx']:.0f},{camera['fy'] * y / z + camera['cy']:.0f}"
    done = run("predict", OPEN, "-o", tmp_path / "there", "--center", center, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert float(str(result_of(tmp_path / "there" / "open")["confidence"])) > 0.9
    elsewhere = run("predict", OPEN, "-o", tmp_path / "elsewhere", "--center", "3,3", "--device", "cpu")
    assert elsewhere.exit_code != 0 or float(str(result_of(tmp_path / "elsewhere" / "open")["confidence"])) < 0.5
    track = run("predict", EXAMPLES, "--track", "--center", center)
    assert track.exit_code == 2
    assert "--center cannot be used with --track or --live: leave it out" in track.stderr


def test_a_model_tells_of_joints_and_is_named(tmp_path: Path, model: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    done = run("predict", OPEN, "-o", tmp_path / "poses", "--model", model, "--device", "cpu")
    assert (tmp_path / "poses" / "open" / "result.json").exists(), done.stderr
    result = result_of(tmp_path / "poses" / "open")
    jsonschema.validate(result, schema())
    named = result["proposals"]
    assert isinstance(named, dict)
    assert named["training"] == {"seed": 4}
    uncertainty = np.array(result["joint_uncertainty_mm"])
    # The layer's random weights give logarithms near 0, for each joint another one
    assert ((uncertainty > np.exp(-3.1)) & (uncertainty < np.exp(3))).all()
    assert len(set(uncertainty)) > 10


def test_a_fit_names_its_model_and_notices_another(
    tmp_path: Path, model: Path, quick: Path, rng: np.random.Generator
) -> None:
    words = ["fit", OPEN, "-o", tmp_path / "fits", "--config", quick, "--device", "cpu", "--no-renders", "--no-overlay"]
    run(*words, "--proposals", model)
    named = result_of(tmp_path / "fits" / "open")["proposals"]
    assert isinstance(named, dict)
    assert len(named["digest"]) == 64
    other = tmp_path / "other.npz"
    random_model(other, rng)
    done = run(*words, "--proposals", other)
    assert "was made with another model of proposals (--proposals)" in done.stderr
    assert "was made with a model of proposals (--proposals), now without" in run(*words).stderr


def test_a_sequence_is_predicted_as_a_track(tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.stack([each.depth_mm for each in frames()[:6]]))
    given = ("predict", tmp_path / "wave.npy", "--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--hand", "right")
    done = run(*given, "--track", "-o", tmp_path / "track", "--frames", "5", "--fps", "10")
    assert done.exit_code == 0, done.stderr
    folder, count, found, whole, rate = done.stdout.strip().split("\t")
    assert (folder, count, found) == (str(tmp_path / "track"), "5", "5")
    assert int(whole) < 3  # most frames are looked at where the hand was
    assert rate.endswith(" frames/s")
    facts = json.loads((tmp_path / "track" / "track.json").read_text())
    assert facts["fps"] == 10.0
    assert "A network predicted each frame; nothing was fitted or smoothed." in facts["notes"]
    for words, message in (
        (("--track", "--update"), "--update cannot be used with --track"),
        (("--frames", "3"), "--frames is for --track and --live"),
        (("--live",), "--live takes none"),
    ):
        refused = run(*given, *words)
        assert refused.exit_code == 2
        assert message in refused.stderr


@pytest.fixture
def wave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | Path, ...]:
    """What predicts a stack of 24 frames, in 4 parts."""
    monkeypatch.setattr("handopt.tracking.prediction.PART_FRAMES", 6)
    np.save(tmp_path / "wave.npy", np.stack([each.depth_mm for each in frames()]))
    return "predict", tmp_path / "wave.npy", "--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--track"


@pytest.mark.process
def test_processes_give_the_track_that_one_gives(wave: tuple[str | Path, ...], tmp_path: Path) -> None:
    lines = {}
    for jobs in ("1", "2"):
        done = run(*wave, "-o", tmp_path / jobs, "--jobs", jobs, "--json")
        assert done.exit_code == 0, done.stderr
        lines[jobs] = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["frame"] for line in lines[jobs]] == list(range(24))
        assert (tmp_path / jobs / "track.jsonl").exists()
    assert lines["1"] == lines["2"]
    with np.load(tmp_path / "1" / "track.npz") as one, np.load(tmp_path / "2" / "track.npz") as other:
        for name in set(one) - {"header"}:  # it says how long it took
            assert_same_bits(one[name], other[name], name)
    refused = run("predict", "--live", "--jobs", "2")
    assert (refused.exit_code, "--jobs is for what was recorded" in refused.stderr) == (2, True)


@pytest.mark.process
def test_ctrl_c_keeps_the_frames_that_processes_gave(
    wave: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = PredictionRun.add

    def stopped(self: PredictionRun, predicted: PredictedFrame) -> FrameEstimate:
        if predicted.frame.index == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return add(self, predicted)

    monkeypatch.setattr(PredictionRun, "add", stopped)
    done = run(*wave, "-o", tmp_path / "out", "--jobs", "2", "--hand", "right")
    assert done.exit_code == 130
    assert "Stopped after 8 frames, which are written now." in done.stderr
    assert len((tmp_path / "out" / "track.jsonl").read_text().splitlines()) == 8
    assert not multiprocessing.active_children()


@pytest.mark.process
def test_ctrl_c_while_processes_start_leaves_nothing(wave: tuple[str | Path, ...], tmp_path: Path) -> None:
    with interrupted():
        done = run(*wave, "-o", tmp_path / "out", "--jobs", "2", "--hand", "right")
    assert done.exit_code == 130
    assert "Interrupted" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not multiprocessing.active_children()


@contextmanager
def interrupted() -> Iterator[None]:
    """Interrupts this process as soon as it has started another one."""
    ended = threading.Event()

    def interrupt() -> None:
        while not multiprocessing.active_children() and not ended.wait(0.01):
            pass
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("words", [("fit", "--proposals"), ("predict", "--model"), ("track", "--proposals")])
def test_what_is_no_model_is_refused_with_the_option(words: tuple[str, str], tmp_path: Path) -> None:
    command, name = words
    given = EXAMPLES if command == "track" else OPEN
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 no archive")
    for path in (broken, OPEN):
        done = run(command, given, "-o", tmp_path / "out", name, path)
        assert done.exit_code == 2
        assert name in done.stderr
        assert "is no usable model" in done.stderr
    folder = run(command, given, name, tmp_path)
    assert folder.exit_code == 2
    assert "is a directory" in folder.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_is_shown_and_exported(tmp_path: Path, model: Path) -> None:
    shown = run("model", "show", model)
    assert shown.exit_code == 0
    assert "base.npz: a network of 2 hypotheses" in shown.stdout
    assert "seed: 4" in shown.stdout
    assert "best_mm: 9.5" in shown.stdout
    facts = json.loads(run("model", "show", model, "--json").stdout)
    assert (facts["heads"], facts["scores"]) == (2, {"best_mm": 9.5})
    missing = run("model", "export", model)
    assert (missing.exit_code, "-o FILE is missing" in missing.stderr) == (2, True)
    wrong = run("model", "export", model, "-o", tmp_path / "base.pb")
    assert "call it base.onnx" in wrong.stderr
    pytest.importorskip("onnx", reason="onnx is not installed")
    done = run("model", "export", model, "-o", tmp_path / "base.onnx")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "base.onnx").stat().st_size > 1000
    kept = run("model", "export", model, "-o", tmp_path / "base.onnx")
    assert (kept.exit_code, "exists and was kept" in kept.stderr) == (2, True)
