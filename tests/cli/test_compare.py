"""`handopt compare`: numbers, curves, a video and both tracks of two networks over a sequence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import run
from support.proposal_factories import random_model
from support.sequences import frames, truth

COUNT = 4
CAMERA = ("--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--hand", "right")


def write_sequence(folder: Path) -> Path:
    """Frames with labels, as handopt synth writes them."""
    from PIL import Image

    folder.mkdir()
    for number, frame in enumerate(frames()[:COUNT]):
        Image.fromarray(frame.depth_mm.astype(np.uint16)).save(folder / f"{number:03d}.png")
        label = {"joints_mm": truth()[number].tolist(), "visible": [True] * 21}
        (folder / f"{number:03d}.json").write_text(json.dumps(label))
    return folder


def test_two_networks_are_compared_with_labels(tmp_path: Path, rng: np.random.Generator) -> None:
    random_model(tmp_path / "bad.npz", rng)
    given = ("compare", "handopt", tmp_path / "bad.npz", write_sequence(tmp_path / "wave"), *CAMERA)
    done = run(*given, "-o", tmp_path / "compared", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert facts["frames"] == COUNT
    assert facts["base"]["error_mm"] < 30.0 < facts["adapted"]["error_mm"], "random weights know nothing"
    assert facts["base"]["residual_mm"] < facts["adapted"]["residual_mm"] or facts["adapted"]["residual_mm"] is None
    names = {each.name for each in (tmp_path / "compared").iterdir()}
    assert names - {"comparison.png"} == {"base", "adapted", "comparison.json", "comparison.csv", "comparison.mp4"}
    rows = list(csv.DictReader((tmp_path / "compared" / "comparison.csv").read_text().splitlines()))
    mean = np.mean([float(row["base_error_mm"]) for row in rows])
    assert mean == pytest.approx(facts["base"]["error_mm"], abs=0.01)
    lines = [json.loads(line) for line in (tmp_path / "compared" / "base" / "track.jsonl").read_text().splitlines()]
    joints = np.array([line["joints_mm"] for line in lines])
    bent = np.linalg.norm(joints[:-2] - 2 * joints[1:-1] + joints[2:], axis=-1).mean()
    assert bent == pytest.approx(facts["base"]["acceleration_mm"], abs=0.01)
    again = run(*given, "-o", tmp_path / "compared")
    assert again.exit_code == 2
    assert "exists and was kept: replace it with --overwrite" in again.stderr


def test_the_frames_of_a_stack_are_labelled_by_their_place(tmp_path: Path) -> None:
    given = frames()[:COUNT]
    np.save(tmp_path / "take.npy", np.stack([frame.depth_mm for frame in given]).astype(np.uint16))
    labels = write_sequence(tmp_path / "wave")
    done = run(
        *("compare", "handopt", "handopt", tmp_path / "take.npy", *CAMERA, "--labels", labels),
        *("-o", tmp_path / "compared", "--json", "--no-video"),
    )
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["base"]["error_mm"] == facts["adapted"]["error_mm"] < 30.0


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("no.npz", "handopt"), "BASE no.npz is no file: give a model, or the word handopt"),
        (("handopt", "broken.npz"), "is no usable model"),
    ],
)
def test_what_is_no_model_is_refused(
    models: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    done = run("compare", *models, write_sequence(tmp_path / "wave"), *CAMERA)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "handopt-out").exists()
