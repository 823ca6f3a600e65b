"""What the benchmark of tracks runs on."""

import bench_track
import numpy as np


def test_a_sequence_has_its_dropout() -> None:
    given = bench_track.sequence("easy", 1, 14)
    assert np.flatnonzero(~given.seen).tolist() == list(range(7, 14))
    assert given.joints.shape == (14, 21, 3)
