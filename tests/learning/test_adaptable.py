"""A model from its file as layers that learn: they compute what it does, and say how far off joints may be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_close

from handopt.proposals import default_model
from handopt.proposals.features import network_input
from handopt.proposals.model_file import load_model
from handopt.proposals.votes import HIGHEST_LOG_MM, LOWEST_LOG_MM

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from support.view_factory import unlabelled_views  # noqa: E402

from handopt.learning.adapt_losses import HeldOut  # noqa: E402
from handopt.learning.adapt_settings import AdaptSettings  # noqa: E402
from handopt.learning.adaptable import AdaptableNetwork  # noqa: E402
from handopt.learning.adaptation import Adaptation  # noqa: E402
from handopt.learning.encode import encoded  # noqa: E402
from handopt.learning.images import EMPTY, with_unknown_labels  # noqa: E402
from handopt.learning.losses import LABELS  # noqa: E402


def test_layers_of_a_model_compute_what_it_does() -> None:
    network = default_model().network
    offset = np.random.default_rng(1).uniform(-90, 90, (3, 64, 64)).astype(np.float32)
    offset[offset > 60] = np.nan
    layers = AdaptableNetwork(network)
    with torch.no_grad():
        heads, joints, votes = layers(encoded(unlabelled_views(offset), network.channels))
    features, maps = network.look(network_input(offset, channels=network.channels))
    assert_close(heads.numpy(), network.hypotheses(features), of_max=1e-5, reason="float32, other order of sums")
    keypoints, radius = network.votes(features, maps)
    assert_close(votes.keypoints.numpy(), keypoints, of_max=1e-5, reason="float32, other order of sums")
    log_mm = votes.log_mm.clamp(LOWEST_LOG_MM, HIGHEST_LOG_MM)  # as the network in NumPy has it
    assert_close(log_mm.exp().numpy(), radius, of_max=1e-4, reason="float32, other order of sums")
    visible = network.joints(features)[1]
    assert_close(torch.sigmoid(joints[:, 21:]).numpy(), visible, of_max=1e-5, reason="float32, other order of sums")
    for name, array in layers.export().items():
        assert np.array_equal(array, network.weights[name]), name


def test_a_model_is_not_surer_of_joints_than_the_one_it_began_with(tmp_path: Path) -> None:
    base = default_model().network
    offset = np.random.default_rng(1).uniform(-90, 90, (3, 64, 64)).astype(np.float32)

    def log_radii(network: Any) -> Any:
        with torch.no_grad():
            _, joints, votes = network(encoded(unlabelled_views(offset), base.channels))
            return torch.stack([votes.log_mm.mean(0), joints[:, :21].mean(0)])

    arrays = {"offset": np.rint(10 * np.nan_to_num(offset)).astype(np.int16)}
    arrays["offset"][np.isnan(offset)] = EMPTY
    arrays |= {name: np.zeros((len(offset), 1), np.float32) for name in (*LABELS, "visible", "keypoints")}
    held_out: Any = object.__new__(HeldOut)
    held_out.rows, held_out.arrays = np.arange(len(offset)), with_unknown_labels(arrays)
    before = log_radii(AdaptableNetwork(base))
    found = held_out.log_radii(AdaptableNetwork(base))
    assert_close(found.numpy(), before.numpy(), atol=0.02, reason="arrays hold tenths of a millimetre")
    learned = AdaptableNetwork(base)
    changed = torch.stack([torch.linspace(-1.0, 1.0, 21), torch.linspace(0.5, -0.5, 21)])
    learned.widen_radii(changed)
    assert_close(log_radii(learned).numpy(), (before + changed).numpy(), atol=1e-5, reason="float32")
    run: Any = object.__new__(Adaptation)
    run.began, run.best, run.held_out = base, learned.state_dict(), held_out
    run.write(tmp_path / "mine.npz", {"heads": base.heads, "stages": base.stages})
    written = log_radii(AdaptableNetwork(load_model(tmp_path / "mine.npz").network))
    expected = before + changed.clamp_min(0.0)
    assert_close(written.numpy(), expected.numpy(), atol=5e-3, reason="the file may hold halves")


def test_the_model_is_a_blend_of_what_was_learned_and_what_was_there() -> None:
    run: Any = Adaptation.__new__(Adaptation)
    run.began, learned = default_model().network, AdaptableNetwork(default_model().network)
    began = {name: each.clone() for name, each in learned.state_dict().items()}
    with torch.no_grad():
        for each in learned.parameters():
            each += 1.0
    run.average = SimpleNamespace(module=learned)
    for share in (0.0, 0.25, 1.0):
        run.settings = AdaptSettings(blend=share)
        blended = run._blended().state_dict()
        assert all(torch.allclose(blended[name], each + share, atol=1e-5) for name, each in began.items())
