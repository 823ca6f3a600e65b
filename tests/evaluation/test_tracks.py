"""Tracks as predictions."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.label_files import hand, write_label

import handopt
from handopt.errors import LabelError
from handopt.evaluation.report import table
from handopt.evaluation.tracks import is_track

COUNT, FPS = 20, 30.0


def joints() -> np.ndarray:
    return np.stack([hand(40.0 * np.sin(frame / 5)) for frame in range(COUNT)])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    for frame, each in enumerate(joints()):
        sequence = {"frame": frame, "time_s": frame / FPS}
        write_label(tmp_path / "wave" / f"{frame:03d}.json", each, [True] * 21, sequence=sequence)
    return tmp_path / "wave"


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """As much of a track's folder as is read of it: 3 mm off, without a hand in frame 4."""
    folder = tmp_path / "track"
    folder.mkdir()
    off = joints() + np.array([3.0, 0.0, 0.0])
    off[4] = np.nan
    header = {"format": "handopt.track/1", "source": str(tmp_path / "wave"), "frames": COUNT}
    (folder / "track.json").write_text(json.dumps(header))
    lines = [
        {
            "frame": frame,
            "name": f"{frame:03d}.png",
            "time_s": frame / FPS,
            "joints_mm": None if frame == 4 else off[frame].tolist(),
            "confidence": None if frame == 4 else 0.95,
        }
        for frame in range(COUNT)
    ]
    (folder / "track.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.savez(
        folder / "track.npz", header=np.array(json.dumps(header)), joints_mm=off.astype(np.float32),
        time_s=np.arange(COUNT) / FPS, confidence=np.where(np.arange(COUNT) == 4, np.nan, 0.95),
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["", "track.jsonl", "track.npz"])
def test_a_track_is_scored_with_its_jitter_and_lag(name: str, track: Path, truth: Path) -> None:
    evaluation = handopt.evaluate(track / name, truth)
    scores = evaluation.scores()
    assert scores["missing"] == 1
    assert evaluation.missing == ("004",)
    assert scores["mean_joint_error_mm"] == pytest.approx(3.0, abs=1e-3)
    assert np.nanmin(evaluation.confidence) == pytest.approx(0.95)
    moved = evaluation.motion["all"]
    assert moved["frames"] == COUNT
    assert moved["lag_frames"] == pytest.approx(0.0)
    assert moved["jitter_m_s2"] == pytest.approx(moved["label_jitter_m_s2"], rel=0.25)
    assert any(line.startswith("sequence") for line in table(evaluation))
    assert evaluation.to_dict()["motion"] == evaluation.motion


def test_images_of_no_sequence_have_no_motion(tmp_path: Path, track: Path) -> None:
    for frame, each in enumerate(joints()[:5]):
        write_label(tmp_path / "single" / f"{frame:03d}.json", each)
    lines = (track / "track.jsonl").read_text().splitlines()[:4]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    evaluation = handopt.evaluate(tmp_path / "some.jsonl", tmp_path / "single")
    assert evaluation.motion == {}, "frame 4 has no time, neither label nor prediction"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "holds no frames"),
        ("a.jsonl", '{"name": "x"', "line 1 is not valid JSON"),
        ("a.jsonl", '{"name": "x"}', "no frame of handopt track"),
        ("a.jsonl", '{"name": "x", "time_s": null, "joints_mm": null}', "time_s is None, expected seconds"),
        ("a.npz", "no archive", "no track of handopt"),
    ],
)
def test_what_is_no_track_is_refused(name: str, content: str, message: str, tmp_path: Path, truth: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(LabelError, match=message):
        handopt.evaluate(tmp_path / name, truth)


def test_other_arrays_are_refused(tmp_path: Path, truth: Path) -> None:
    np.savez(tmp_path / "b.npz", depth=np.zeros(3))
    with pytest.raises(LabelError, match="no track of handopt"):
        handopt.evaluate(tmp_path / "b.npz", truth)
    assert not is_track(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path: Path, track: Path, truth: Path) -> None:
    data = bytearray((track / "track.npz").read_bytes())
    data[200:-400] = bytes(len(data) - 600)
    (tmp_path / "track.npz").write_bytes(data)
    with pytest.raises(LabelError, match="no track of handopt"):
        handopt.evaluate(tmp_path / "track.npz", truth)
