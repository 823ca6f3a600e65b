"""The network of pixel labels in NumPy: its layers against slow twins, and what is said of broken files."""

from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close
from support.pixel_network_factory import as_arrays, random_network, random_weights, slow_raw

from handopt.assets import asset
from handopt.errors import HandoptError
from handopt.observation.pixel_network import ASSET, default_network, load_network, network_from_arrays
from handopt.observation.pixel_window import CHANNELS, SIZE

MAX_BYTES = 3.5 * 2**20


def windows(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, SIZE, SIZE, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize(("channels", "size"), [(CHANNELS, SIZE), (3, 64)])
def test_a_network_equals_its_loops(rng: np.random.Generator, channels: int, size: int) -> None:
    network = random_network(rng, channels, size)
    image = rng.normal(size=(1, size, size, channels)).astype(np.float32)
    found = network.raw(image)
    for each, expected in zip(found, slow_raw(network, image[0]), strict=True):
        assert each.dtype == np.float32
        assert_close(each[0], expected, of_max=1e-5, reason="up to twenty layers in float32")


def test_probabilities_add_up_and_votes_are_weighed(rng: np.random.Generator) -> None:
    network = random_network(rng)
    image = windows(rng, 2)
    output = network(image)
    logits, votes, summary = network.raw(image)
    assert_close(output.probability.sum(axis=-1), np.ones((2, SIZE, SIZE)), atol=1e-5, reason="six float32 numbers")
    assert np.array_equal(output.probability.argmax(axis=-1), logits.argmax(axis=-1))
    # A vote is cast for a place relative to the middle of its own 18 x 18 mm: the first ones are at -171 mm.
    for first, points in ((0, output.palm_mm), (4, output.wrist_mm)):
        weight = np.exp(votes[..., first].astype(np.float64))
        weight /= weight.sum(axis=(1, 2), keepdims=True)
        own = np.arange(20) * 18.0 - 171.0
        places = 50.0 * votes[..., first + 1 : first + 4].astype(np.float64)
        places[..., 0] += own
        places[..., 1] += own[:, None]
        expected = (weight[..., None] * places).sum(axis=(1, 2))
        assert_close(points, expected, atol=1e-6, reason="the same float64 sums in another order")
        if first == 0:
            off = np.square(places - expected[:, None, None]).sum(axis=-1)
            spread = np.sqrt((weight * off).sum(axis=(1, 2)))
            assert_close(output.spread_mm, spread, atol=1e-6, reason="the same float64 sums in another order")
    assert_close(output.presence, 1 / (1 + np.exp(-summary[:, 0])), atol=1e-6, reason="float32 against float64")
    assert_close(output.right, 1 / (1 + np.exp(-summary[:, 1])), atol=1e-6, reason="float32 against float64")
    assert np.array_equal(output.log_size, summary[:, 2].astype(np.float64))


def test_a_mirrored_window_gives_the_mirrored_reading_to_the_bit(rng: np.random.Generator) -> None:
    network = random_network(rng)
    image = windows(rng, 3)
    one, other = network.both_ways(image), network.both_ways(image[:, :, ::-1])
    assert np.array_equal(one.probability, other.probability[:, :, ::-1])
    for name in ("palm_mm", "wrist_mm"):
        assert np.array_equal(getattr(one, name), getattr(other, name) * [-1.0, 1.0, 1.0])
    for name in ("presence", "spread_mm", "log_size"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert_close(one.right, 1 - other.right, atol=1e-15, reason="one subtraction in float64")


def test_windows_of_a_batch_do_not_mix(rng: np.random.Generator) -> None:
    network = random_network(rng)
    images = windows(rng, 3)
    together = network(images)
    for number in range(3):
        alone = network(images[number : number + 1])
        reason = "matrix products of other shapes round otherwise"
        assert_close(together.probability[number], alone.probability[0], atol=1e-5, reason=reason)
        assert_close(together.palm_mm[number], alone.palm_mm[0], atol=1e-3, reason=reason)


def test_arrays_become_a_network(rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    network = network_from_arrays(as_arrays(weights, seed=3))
    assert network.metadata["seed"] == 3
    assert all(np.array_equal(network.weights[name], values) for name, values in weights.items())


def test_arrays_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    with pytest.raises(ValueError, match="version 99, expected 3"):
        network_from_arrays(as_arrays(weights, version=99))
    with pytest.raises(KeyError, match=r"merge1\.weight"):
        network_from_arrays(as_arrays({name: each for name, each in weights.items() if name != "merge1.weight"}))
    with pytest.raises(ValueError, match=r"mismatch|matmul"):
        network_from_arrays(as_arrays({**weights, "dense.weight": weights["dense.weight"][:-1]}))
    narrow = {"pixels.weight": weights["pixels.weight"][:, :20], "pixels.bias": weights["pixels.bias"][:20]}
    with pytest.raises(ValueError, match="reshape"):
        network_from_arrays(as_arrays({**weights, **narrow}))
    with pytest.raises(ValueError, match="not finite"):
        network_from_arrays(as_arrays({**weights, "votes.bias": np.full(8, np.nan, np.float32)}))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = asset(ASSET).read_bytes()
    path = tmp_path / "pixel_labels.npz"
    with pytest.raises(HandoptError, match="No such file"):
        load_network(path)
    for content in (b"", b"nothing", whole[: len(whole) // 2], b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(HandoptError, match=r"pixel_labels\.npz is no usable network of pixel labels .* install"):
            load_network(path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 64]) + whole[middle + 64 :])
    with pytest.raises(HandoptError, match="no usable network"):
        load_network(path)
    np.savez(path, anything=np.zeros(3))
    with pytest.raises(HandoptError, match="metadata"):
        load_network(path)


def test_the_network_that_comes_with_handopt_is_small_and_says_how_it_was_made() -> None:
    assert asset(ASSET).stat().st_size < MAX_BYTES
    assert {"version", "seed", "held_out"} <= default_network().metadata.keys()
    assert default_network().metadata["held_out"]["hand_iou"] > 0.65
