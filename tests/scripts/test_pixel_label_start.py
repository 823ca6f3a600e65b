"""Where training of the network of pixel labels begins: a wider network first says what earlier weights say."""

from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close
from support.pixel_network_factory import as_arrays, random_weights

from handopt.observation.pixel_network import PixelNetwork
from handopt.observation.pixel_window import CHANNELS, SIZE

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

import pixel_label_model  # noqa: E402
import pixel_label_start  # noqa: E402

EMPTY = torch.zeros(1, SIZE, SIZE, CHANNELS)


@pytest.mark.parametrize("older", [False, True])
def test_a_wider_network_says_at_first_what_the_narrow_one_does(
    rng: np.random.Generator, tmp_path: Path, *, older: bool
) -> None:
    weights = random_weights(rng)
    early = [name for name in weights if name.startswith("early.")]
    if older:  # without the first residual block, which then does nothing
        weights |= {name: np.zeros_like(weights[name]) for name in early}
    kept = {name: value for name, value in weights.items() if not older or name not in early}
    np.savez(tmp_path / "narrow.npz", **as_arrays(kept))
    images = rng.normal(size=(6, SIZE, SIZE, CHANNELS)).astype(np.float32)
    network = pixel_label_model.Network()
    pixel_label_start.start_from(network, tmp_path / "narrow.npz", torch.from_numpy(images))
    network.eval()
    with torch.no_grad():
        logits, votes, summary = network(torch.from_numpy(images))
    expected = PixelNetwork(weights, {}).raw(images)
    found = logits.permute(0, 2, 3, 1), votes.permute(0, 2, 3, 1), summary
    for mine, his in zip(found, expected, strict=True):
        assert_close(mine.numpy(), his, of_max=1e-4, reason="twenty layers in float32, normalised and back")


def test_a_second_look_begins_with_the_layers_of_the_first(rng: np.random.Generator, tmp_path: Path) -> None:
    weights = random_weights(rng)
    np.savez(tmp_path / "first.npz", **as_arrays(weights))
    images = np.zeros((6, 64, 64, CHANNELS + 2), np.float32)
    images[..., :CHANNELS] = rng.normal(size=(6, 64, 64, CHANNELS))
    network = pixel_label_model.Network(CHANNELS + 2, 64)
    pixel_label_start.start_from(network, tmp_path / "first.npz", torch.from_numpy(images))
    network.eval()
    with torch.no_grad():
        logits, votes, _ = network(torch.from_numpy(images))
    smaller = {name: each for name, each in weights.items() if not name.startswith("dense")}
    smaller |= {"dense.weight": np.zeros((4 * 6, 7), np.float32), "dense.bias": np.zeros(7, np.float32)}
    expected = PixelNetwork(smaller, {}).raw(np.ascontiguousarray(images[..., :CHANNELS]))
    for mine, his in zip((logits.permute(0, 2, 3, 1), votes.permute(0, 2, 3, 1)), expected[:2], strict=True):
        assert_close(mine.numpy(), his, of_max=1e-4, reason="twenty layers in float32, normalised and back")


def test_what_is_kept_is_read_again(rng: np.random.Generator, tmp_path: Path) -> None:
    one, other = pixel_label_model.Network(), pixel_label_model.Network()
    torch.save(one.state_dict(), tmp_path / "kept.pt")
    images = torch.from_numpy(rng.normal(size=(2, SIZE, SIZE, CHANNELS)).astype(np.float32))
    pixel_label_start.start_from(other, tmp_path / "kept.pt", images)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_wider_network_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    weights = random_weights(rng)
    weights["votes.weight"] = np.zeros((999, 8), np.float32)
    np.savez(tmp_path / "wide.npz", **as_arrays(weights))
    with pytest.raises(SystemExit, match=r"wider than this network: votes\.weight is \(999, 8\)"):
        pixel_label_start.start_from(
            pixel_label_model.Network(), tmp_path / "wide.npz", torch.zeros(1, SIZE, SIZE, CHANNELS)
        )


def test_another_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", metadata="{}", stem=np.zeros(3))
    with pytest.raises(SystemExit, match=r"is no network of pixel labels to start from: it has no stem\.weight"):
        pixel_label_start.start_from(
            pixel_label_model.Network(), tmp_path / "other.npz", torch.zeros(1, SIZE, SIZE, CHANNELS)
        )
