"""Sequences of labelled frames."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.sequences import CAMERA, DROPOUT, samples

from handopt.errors import ConfigError
from handopt.synth.dataset import write_dataset
from handopt.synth.generate import Settings
from handopt.synth.sequence import Timing, generate_sequence

SETTINGS = Settings(seed=2, camera=CAMERA)


def test_frames_show_one_person_that_moves_a_little() -> None:
    joints = np.array([sample.scene.joints for sample in samples()])
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=2)
    assert 0.5 < np.median(steps) < 12
    assert steps.max() < 40
    assert len({sample.hand.scale for sample in samples()}) == 1
    assert [sample.index for sample in samples()] == list(range(len(samples())))


def test_a_dropout_has_no_depth_and_the_rest_has() -> None:
    empty = [not sample.counts.any() for sample in samples()]
    assert np.flatnonzero(empty).tolist() == list(range(DROPOUT[0], sum(DROPOUT)))


def test_frames_are_the_same_again_and_a_left_hand_is_the_mirror_image() -> None:
    def made(settings: Settings) -> list:
        return [sample for sample, _ in generate_sequence(settings, "easy", 2)]

    right, again, left = made(SETTINGS), made(SETTINGS), made(replace(SETTINGS, hand="left"))
    assert np.array_equal(right[1].counts, again[1].counts)
    assert np.array_equal(left[1].counts, right[1].counts[:, ::-1])
    assert np.allclose(left[1].scene.joints, right[1].scene.joints * [-1, 1, 1])
    assert not np.array_equal(right[0].counts, right[1].counts)


def test_a_still_hand_changes_by_noise_alone() -> None:
    first, second = (sample for sample, _ in generate_sequence(SETTINGS, "easy", 2, Timing(speed=0.0)))
    assert np.array_equal(first.scene.joints, second.scene.joints)
    assert not np.array_equal(first.counts, second.counts)


def test_the_folder_says_where_in_the_sequence_a_frame_is(tmp_path: Path) -> None:
    write_dataset(tmp_path / "out", SETTINGS, ("easy",), 3, timing=Timing(15.0, 1.0, (1, 1)))
    labels = [json.loads((tmp_path / "out" / "easy" / f"{index:03d}.json").read_text()) for index in range(3)]
    assert [label["sequence"]["frame"] for label in labels] == [0, 1, 2]
    assert [label["sequence"]["dropout"] for label in labels] == [False, True, False]
    assert labels[1]["sequence"]["time_s"] == pytest.approx(1 / 15, abs=1e-6)
    info = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert info["sequence"] == {"fps": 15.0, "speed": 1.0, "dropout": [1, 1]}


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"speed": -1.0}, {"dropout": (-1, 2)}, {"fps": float("inf")}])
def test_timings_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Timing(**wrong)
