"""The proposals' network in NumPy: its layers against slow twins, and what is said of broken arrays."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close
from support.proposal_factories import HEADS, as_arrays, random_network, random_weights, slow_heads

from handopt.assets import asset
from handopt.proposals import default_bank
from handopt.proposals.bank import ASSET, NETWORK
from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.network import network_from_arrays

MAX_ASSETS_BYTES = 20 * 2**20


def test_a_network_equals_its_loops(rng: np.random.Generator) -> None:
    network = random_network(rng)
    image = rng.normal(size=(SIZE, SIZE, CHANNELS)).astype(np.float32)
    heads = network.hypotheses(network.features(image[None]))
    assert heads.shape == (1, HEADS, 33)
    assert_close(heads[0], slow_heads(network, image), of_max=1e-5, reason="ten layers in float32")


def test_images_of_a_batch_do_not_mix(rng: np.random.Generator) -> None:
    network = random_network(rng)
    images = rng.normal(size=(3, SIZE, SIZE, CHANNELS)).astype(np.float32)
    alone = np.concatenate([network.features(image[None]) for image in images])
    assert_close(network.features(images), alone, of_max=1e-5, reason="matrix products of other shapes round otherwise")


def test_arrays_become_a_network(rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    network = network_from_arrays(as_arrays(weights, seed=3))
    assert (network.heads, network.stages, network.metadata["seed"]) == (HEADS, 2, 3)
    assert all(np.array_equal(network.weights[name], values) for name, values in weights.items())


def test_arrays_that_do_not_fit_are_refused(rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    with pytest.raises(ValueError, match="version 99"):
        network_from_arrays(as_arrays(weights, version=99))
    with pytest.raises(KeyError, match=r"stage1\.first\.weight"):
        network_from_arrays(as_arrays({name: each for name, each in weights.items() if name != "stage1.first.weight"}))
    with pytest.raises(ValueError, match=r"mismatch|matmul"):
        network_from_arrays(as_arrays({**weights, "dense.weight": weights["dense.weight"][:-1]}))
    with pytest.raises(ValueError, match="reshape"):
        network_from_arrays(as_arrays(weights, heads=HEADS + 1))
    with pytest.raises(ValueError, match="not finite"):
        network_from_arrays(as_arrays({**weights, "head.bias": np.full_like(weights["head.bias"], np.nan)}))


def pyproject() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_network_that_comes_with_handopt_is_small_and_says_how_it_was_made() -> None:
    network = default_bank().network
    assert 8 <= network.heads <= 16
    assert {"seed", "images", "poses", "steps", "held_out"} <= network.metadata.keys()
    path = asset(ASSET)
    images = path.parent / "images"  # of the documents: no wheel has them
    assert "handopt/assets/images/**" in pyproject()["tool"]["scikit-build"]["wheel"]["exclude"]
    shipped = [each for each in path.parent.rglob("*") if each.is_file() and not each.is_relative_to(images)]
    assert sum(each.stat().st_size for each in shipped) < MAX_ASSETS_BYTES
    with np.load(path) as file:
        kinds = {file[name].dtype for name in file.files if name.startswith(NETWORK) and not name.endswith("metadata")}
    assert kinds == {np.dtype(np.float16)}
