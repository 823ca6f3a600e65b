"""What the network of pixel labels reads in rendered scenes: hand, forearm, palm, wrist, side; and in empty ones."""

import numpy as np
import pytest
from support.compare import assert_close
from support.pixel_network_factory import random_network

from handopt.errors import ShapeError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND
from handopt.observation.pixel_reading import PixelReading, probability_in_image, read_window, read_windows
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.synth import WildSettings, generate_wild
from handopt.synth.wild import WildSample

# Scenes of this seed have not been trained with.
SEED = 977
MIDDLE = KEYPOINT_NAMES.index("middle_mcp")
GUESS_OFF_MM = np.array([25.0, -20.0, 15.0])


def depth_of(wild: WildSample) -> np.ndarray:
    return wild.sample.counts.astype(np.float32)


def palm_of(wild: WildSample) -> np.ndarray:
    return 0.5 * (wild.sample.scene.joints[0] + wild.sample.scene.joints[MIDDLE])


def read(wild: WildSample, *, rounds: int = 2) -> PixelReading:
    return read_window(depth_of(wild), wild.settings.camera, palm_of(wild) + GUESS_OFF_MM, rounds=rounds)


def overlap(wild: WildSample, reading: PixelReading, label: int) -> tuple[int, int]:
    """Pixels that are found and true, and that are either, where the window is."""
    box, probability = probability_in_image(reading, depth_of(wild), wild.settings.camera)
    found, true = probability.argmax(axis=-1) == label, wild.mask[box] == label
    return int((found & true).sum()), int((found | true).sum())


@pytest.fixture(scope="module")
def scenes() -> list[WildSample]:
    return [generate_wild(WildSettings(seed=SEED, held=number % 2 == 1), number) for number in range(12)]


def test_hands_of_rendered_scenes_are_labelled(scenes: list[WildSample]) -> None:
    found = np.array([overlap(wild, read(wild), HAND) for wild in scenes])
    free, holding = found[::2], found[1::2]
    assert free[:, 0].sum() / free[:, 1].sum() >= 0.8
    assert holding[:, 0].sum() / holding[:, 1].sum() >= 0.6


def test_forearms_are_told_from_hands(scenes: list[WildSample]) -> None:
    told = whole = 0
    for wild in scenes:
        box, probability = probability_in_image(read(wild), depth_of(wild), wild.settings.camera)
        true = wild.mask[box] == FOREARM
        told += int((true & (probability.argmax(axis=-1) != HAND)).sum())
        whole += int(true.sum())
    assert whole > 1000
    assert told / whole > 0.85


def test_palms_and_wrists_are_found(scenes: list[WildSample]) -> None:
    readings = [read(wild) for wild in scenes]
    away = [np.linalg.norm(each.palm_mm - palm_of(wild)) for each, wild in zip(readings, scenes, strict=True)]
    assert np.median(away) < 18
    wrist = [each.wrist_mm - wild.sample.scene.joints[0] for each, wild in zip(readings, scenes, strict=True)]
    assert np.median(np.linalg.norm(wrist, axis=1)) < 20
    assert min(each.presence for each in readings) > 0.5
    towards = [palm_of(wild) - wild.sample.scene.joints[MIDDLE] for wild in scenes]
    cosine = [
        each.wrist_direction @ along / np.linalg.norm(along) for each, along in zip(readings, towards, strict=True)
    ]
    assert np.median(cosine) > 0.95


def test_the_mirror_image_gives_the_mirrored_reading(scenes: list[WildSample]) -> None:
    wild = scenes[0]
    guess = palm_of(wild) + GUESS_OFF_MM
    one = read_window(depth_of(wild), wild.settings.camera, guess)
    other = read_window(
        np.ascontiguousarray(depth_of(wild)[:, ::-1]), wild.settings.camera.mirrored(), guess * [-1.0, 1.0, 1.0]
    )
    assert np.array_equal(one.probability, other.probability[:, ::-1])
    assert_close(other.palm_mm, one.palm_mm * [-1.0, 1.0, 1.0], atol=1e-9, reason="float64")
    assert other.presence == one.presence
    assert_close(other.right, 1 - one.right, atol=1e-12, reason="float64")


def test_an_empty_image_has_no_hand() -> None:
    camera = Camera(240.0, 240.0, 159.5, 119.5, 320, 240)
    nothing = read_window(np.zeros((240, 320), np.float32), camera, (0.0, 0.0, 500.0))
    wall = read_window(np.full((240, 320), 500.0, np.float32), camera, (0.0, 0.0, 500.0))
    assert nothing.presence == 0.0
    assert wall.presence < 0.1
    _, probability = probability_in_image(nothing, np.zeros((240, 320), np.float32), camera)
    assert (probability[..., BACKGROUND] == 1).all()


def test_windows_are_read_again_at_the_palm(scenes: list[WildSample]) -> None:
    for wild in scenes[:3]:
        first, second = read(wild, rounds=1), read(wild)
        assert np.array_equal(first.window.palm_mm, palm_of(wild) + GUESS_OFF_MM)
        assert np.array_equal(second.window.palm_mm, first.palm_mm)
        assert first.window.size == 1.0
        assert second.window.size == pytest.approx(np.clip(np.exp(first.log_size), 0.75, 1.4))


def test_many_windows_are_read_as_one_by_one(rng: np.random.Generator, scenes: list[WildSample]) -> None:
    network, wild = random_network(rng), scenes[0]
    guesses = palm_of(wild) + rng.normal(0, 30, (3, 3))
    together = read_windows(depth_of(wild), wild.settings.camera, guesses, rounds=1, network=network)
    for guess, reading in zip(guesses, together, strict=True):
        alone = read_window(depth_of(wild), wild.settings.camera, guess, rounds=1, network=network)
        assert_close(reading.palm_mm, alone.palm_mm, atol=0.01, reason="matrix products of other shapes")
    assert read_windows(depth_of(wild), wild.settings.camera, np.zeros((0, 3)), network=network) == []


def test_labels_follow_the_depth_of_the_image(rng: np.random.Generator) -> None:
    """A pixel at an edge takes the label of the surface that it lies on, not of the nearer pixel of the window."""
    camera = Camera(960.0, 960.0, 319.5, 239.5, 640, 480)  # 5.4 pixels to one of the window
    depth = np.full((480, 640), 700.0, np.float32)
    depth[:, 300:] = 400.0
    reading = read_window(depth, camera, (0.0, 0.0, 400.0), rounds=1, network=random_network(rng))
    near = reading.window.offset_mm == 0
    probability = np.zeros((160, 160, 6), np.float32)
    probability[near, HAND] = 1
    probability[~near, BACKGROUND] = 1
    marked = PixelReading(**{**vars(reading), "probability": probability})
    (rows, columns), found = probability_in_image(marked, depth, camera)
    assert found.shape == (rows.stop - rows.start, columns.stop - columns.start, 6)
    assert np.array_equal(found.argmax(axis=-1) == HAND, depth[rows, columns] == 400.0)
    assert found[:, : 300 - columns.start].shape[1] > 50


def test_guesses_of_another_shape_are_refused() -> None:
    camera = Camera(240.0, 240.0, 159.5, 119.5, 320, 240)
    with pytest.raises(ShapeError, match=r"guesses_mm: expected shape \(B, 3\), got \(3,\)"):
        read_windows(np.ones((240, 320), np.float32), camera, (0.0, 0.0, 500.0))
    with pytest.raises(ShapeError, match="palm_mm: expected 3 finite numbers"):
        read_window(np.ones((240, 320), np.float32), camera, (0.0, 0.0, -1.0))
