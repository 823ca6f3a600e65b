"""The proposals' network in NumPy: its layers against slow twins, and the one that comes with handopt."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from support.compare import assert_close
from support.proposal_factories import HEADS, random_network, slow_heads

from handopt.assets import asset
from handopt.proposals import default_model
from handopt.proposals.features import CHANNELS, SIZE
from handopt.proposals.model_file import ASSET

MAX_ASSETS_BYTES = 16 * 2**20


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


def pyproject() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_network_that_comes_with_handopt_is_small_and_says_how_it_was_made() -> None:
    model = default_model()
    assert 8 <= model.network.heads <= 16
    assert {"seed", "step", "batch"} <= model.metadata["training"].keys()
    assert {"likeliest_mm", "best_mm", "votes_mm"} <= model.metadata["scores"].keys()
    path = asset(ASSET)
    images = path.parent / "images"  # of the documents: no wheel has them
    assert "handopt/assets/images/**" in pyproject()["tool"]["scikit-build"]["wheel"]["exclude"]
    shipped = [each for each in path.parent.rglob("*") if each.is_file() and not each.is_relative_to(images)]
    assert sum(each.stat().st_size for each in shipped) < MAX_ASSETS_BYTES
    with np.load(path) as file:
        kinds = {file[name].dtype for name in file.files if name not in ("format", "metadata")}
    assert kinds == {np.dtype(np.float16)}
