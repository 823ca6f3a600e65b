"""What scripts/check/check_outputs.py compares other programs with; those programs are not needed here."""

import json
import sys
from pathlib import Path

import check_outputs
import numpy as np
import pytest
from support.sequences import DROPOUT, followed

from handopt.storage.track_folder import save_track


def test_expected_places_are_the_tracks_in_metres_with_y_up(tmp_path: Path) -> None:
    track = followed()
    save_track(track, tmp_path / "track", video=False)
    expected = json.loads(json.dumps(check_outputs.expected(tmp_path / "track")))
    frames = [each["frame"] for each in expected["frames"]]
    assert expected["fps"] == track.fps
    assert len(frames) == 12
    assert frames == sorted(frames)
    assert all(track.known[frame] for frame in frames)
    assert (frames[0], frames[-1]) == (0, int(np.flatnonzero(track.known)[-1]))
    assert DROPOUT[0] in range(len(track))
    for each in expected["frames"][::4]:
        back = np.array(each["vertices_m"]) * (1000, -1000, -1000)
        np.testing.assert_allclose(back, track.vertices_mm(each["frame"]), atol=1e-3)  # angles are kept as float32
        wrist = np.array(each["joints_m"]["wrist"]) * (1000, -1000, -1000)
        np.testing.assert_allclose(wrist, track.translation_mm[each["frame"]], atol=1e-3)


def test_a_program_that_differs_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_track(followed(), tmp_path / "track", video=False)
    monkeypatch.setattr(check_outputs, "in_node", lambda *_: 0)
    assert check_outputs.main([str(tmp_path / "track")]) == 0
    (tmp_path / "blender").write_text(f"#!{sys.executable}\nimport sys\nsys.exit(len(sys.argv) == 5)\n")
    (tmp_path / "blender").chmod(0o755)
    assert check_outputs.main([str(tmp_path / "track"), "--blender", str(tmp_path / "blender")]) == 1
