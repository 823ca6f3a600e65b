"""Model files: written whole, read without trust, and refused with what to do."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.proposal_factories import MODEL_FACTS, MODEL_HEADS, MODEL_NUMBERS, random_arrays

from handopt.errors import HandoptError, OutputError
from handopt.proposals.features import network_input
from handopt.proposals.model_file import MODEL_FORMAT, load_model, rig_digest, save_model
from handopt.proposals.network import VERSION


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, Any]:
    return random_arrays(rng)


def test_a_model_comes_back_as_it_was_written(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "base.npz"
    save_model(path, arrays, MODEL_FACTS)
    model = load_model(path)
    assert model.metadata["training"] == {"seed": 4}
    assert model.describe()["format"] == MODEL_FORMAT
    assert len(model.digest) == 64
    for name, values in arrays.items():
        assert np.array_equal(model.network.weights[name], values.astype(np.float16).astype(np.float32))
    features = model.network.features(np.zeros((3, 64, 64, model.network.channels), np.float32))
    assert model.network.hypotheses(features).shape == (3, MODEL_HEADS, MODEL_NUMBERS)
    uncertainty, visible = model.network.joints(features)
    assert uncertainty.shape == visible.shape == (3, 21)
    assert (uncertainty > 0).all()
    assert ((visible > 0) & (visible < 1)).all()
    assert [each.name for each in tmp_path.iterdir()] == ["base.npz"]
    with pytest.raises(OutputError, match="exists and was kept"):
        save_model(path, arrays, MODEL_FACTS)
    save_model(path, arrays, MODEL_FACTS, overwrite=True)


def written(path: Path, arrays: dict[str, Any], **changes: Any) -> Path:
    """A model with some arrays changed, or left out where they are None."""
    facts = {"version": VERSION, "rig": rig_digest(), **MODEL_FACTS}
    document = {"format": np.array(MODEL_FORMAT), "metadata": np.array(json.dumps(facts)), **arrays, **changes}
    np.savez(path, allow_pickle=True, **{name: each for name, each in document.items() if each is not None})
    return path


def metadata(**changes: Any) -> Any:
    return np.array(json.dumps({"version": VERSION, "rig": rig_digest(), **MODEL_FACTS, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": np.array("handopt.model/9")}, r"is 'handopt.model/9', this handopt reads handopt.model/1"),
        ({"format": None}, "is no model of handopt: give a file that handopt train wrote"),
        ({"metadata": metadata(version=7)}, "a network of version 7, this handopt runs 2: train it again"),
        ({"metadata": metadata(rig="0123")}, "another hand than handopt's own"),
        ({"metadata": metadata(heads=10**9)}, "damaged metadata"),
        ({"metadata": metadata(stages="3")}, "damaged metadata"),
        ({"metadata": np.array("{")}, "damaged metadata"),
        ({"metadata": np.array([1, 2])}, "metadata must hold text"),
        ({"head.weight": None}, "lacks 'head.weight'"),
        ({"joints.bias": None}, "lacks 'joints.bias'"),
        ({"inner.weight": np.zeros((6, 8), np.float16)}, "expected \\(hidden=6, features=7\\)|has shape"),
        ({"dense.weight": np.zeros((9, 6), np.float16)}, "its layers do not fit together"),
        ({"stem.weight": np.zeros((75, 3), np.float16)}, "its first layer has 75 inputs"),
        ({"stem.bias": np.full(3, np.nan, np.float16)}, "stem.bias has values that are no numbers"),
        ({"stem.bias": np.full(3, 1e30)}, "stem.bias has values from"),
        ({"stem.bias": np.array([object()] * 3)}, "no usable model"),
        ({"stem.bias": np.zeros(3, np.complex64)}, "must hold numbers"),
        ({"metadata": metadata(stages=2)}, "damaged metadata"),
        ({"metadata": metadata(stages=4)}, "lacks 'stage3.shrink.weight'"),
        ({"votes.said.bias": None}, "lacks 'votes.said.bias'"),
        ({"votes.deep.weight": np.zeros((6, 96), np.float16)}, "expected \\(width3=5, 96\\)|has shape"),
    ],
)
def test_what_is_no_model_is_refused(
    changes: dict[str, Any], message: str, arrays: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(HandoptError, match=message):
        load_model(written(tmp_path / "base.npz", arrays, **changes))


def test_wide_layers_are_refused_before_they_are_run(arrays: dict[str, Any], tmp_path: Path) -> None:
    wide = {"stem.weight": np.zeros((150, 20_000), np.float16), "stem.bias": np.zeros(20_000, np.float16)}
    with pytest.raises(HandoptError, match="layer stem is too wide"):
        load_model(written(tmp_path / "base.npz", arrays, **wide))


def test_a_network_that_sees_no_labels_is_read(
    arrays: dict[str, Any], tmp_path: Path, rng: np.random.Generator
) -> None:
    """As those of before: it says the same of labelled views as of others."""
    stem = arrays["stem.weight"].reshape(25, 6, -1)[:, :2].reshape(50, -1)
    network = load_model(written(tmp_path / "plain.npz", arrays, **{"stem.weight": stem})).network
    assert network.channels == 2
    offset, measured = rng.uniform(-90, 90, (2, 1, 64, 64)).astype(np.float32)
    labels = np.ones((1, 64, 64, 3), np.float32)
    channels = network.channels
    labelled = network.features(network_input(offset, measured, labels, channels))
    plain = network.features(network_input(offset, channels=channels))
    assert np.isfinite(plain).all()
    assert np.array_equal(labelled, plain)


def test_other_files_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "base.npz"
    save_model(path, arrays, MODEL_FACTS)
    whole = path.read_bytes()
    damaged = (whole[: len(whole) // 2], whole[:40] + b"x" * 200 + whole[240:], b"PK")
    for content in (*damaged, b"", b"a text", b"glTF a rig"):
        path.write_bytes(content)
        told = "copy or train it again" if content in damaged else r"is a .npz archive, and this is none"
        with pytest.raises(HandoptError, match=rf"no usable model: .*{told}"):
            load_model(path)
    for place in (tmp_path, tmp_path / "nothing.npz", Path("/dev/zero")):
        with pytest.raises(HandoptError, match=r"no usable model: it (is|does not)"):
            load_model(place)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(HandoptError, match=r"no usable model|no model of handopt"):
        load_model(path)
