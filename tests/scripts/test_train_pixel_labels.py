"""Training the network of pixel labels: scenes and windows agree with their labels, and a tiny run writes a network."""

from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, BODY, FOREARM, HAND, OTHER_HAND
from handopt.observation.pixel_network import PixelNetwork, load_network
from handopt.observation.pixel_window import network_input, pixel_window

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

import pixel_label_augment  # noqa: E402
import pixel_label_model  # noqa: E402
import pixel_label_scenes  # noqa: E402
import pixel_label_windows  # noqa: E402
import train_pixel_labels  # noqa: E402
from pixel_label_scenes import OTHER_ARM, THING, Arrays  # noqa: E402
from pixel_label_windows import UNKNOWN, Batch  # noqa: E402

SEED, SCENES = 7, 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("scenes")
    pixel_label_scenes.CHUNK = 10  # type: ignore[misc]
    pixel_label_scenes.make_scenes(path, SEED, SCENES, 1)
    return path


@pytest.fixture(scope="module")
def scenes(folder: Path) -> Arrays:
    return pixel_label_scenes.read_scenes(sorted(folder.glob("*.npz")))


@pytest.fixture(scope="module")
def windows(scenes: Arrays) -> Batch:
    rows = np.arange(200) % len(scenes["shape"])
    return pixel_label_windows.cut_windows(scenes, rows, np.random.default_rng(1))


def test_scenes_have_hands_or_things(scenes: Arrays) -> None:
    count = len(scenes["shape"])
    assert SCENES - 3 <= count <= SCENES
    handless = np.isnan(scenes["numbers"][:, 4])
    assert 1 <= handless.sum() <= count // 2
    for number in range(count):
        first, size = scenes["first"][number], scenes["shape"][number].prod()
        label = scenes["label"][first : first + size]
        depth = scenes["depth"][first : first + size]
        assert (label[depth == 0] == BACKGROUND).all()
        kinds = set(np.unique(label).tolist())
        assert kinds <= ({BACKGROUND, BODY, THING} if handless[number] else {*range(6), OTHER_ARM})
        assert (HAND in kinds) != handless[number]


def test_palms_lie_among_their_hands_pixels(scenes: Arrays) -> None:
    for number in np.flatnonzero(~np.isnan(scenes["numbers"][:, 4])):
        height, width = scenes["shape"][number]
        first = scenes["first"][number]
        label = scenes["label"][first : first + height * width].reshape(height, width)
        depth = scenes["depth"][first : first + height * width].reshape(height, width) * 0.2
        fx, fy, cx, cy = (float(value) for value in scenes["numbers"][number][:4])
        points = Camera(fx, fy, cx, cy, int(width), int(height)).backproject(depth)[label == HAND]
        palm = scenes["numbers"][number][4:10].reshape(2, 3).mean(axis=0)
        assert np.linalg.norm(points - palm, axis=1).min() < 80


def test_a_chunk_is_made_once_and_from_its_seed(folder: Path, tmp_path: Path) -> None:
    path = pixel_label_scenes.make_chunk(tmp_path, SEED, 1)
    with np.load(path) as one, np.load(folder / "00001.npz") as other:
        assert all(np.array_equal(one[name], other[name], equal_nan=name == "numbers") for name in one.files)
    before = path.stat().st_mtime_ns
    pixel_label_scenes.make_chunk(tmp_path, SEED, 1)
    assert path.stat().st_mtime_ns == before
    assert [each.name for each in tmp_path.iterdir()] == ["00001.npz"]


def test_windows_show_what_their_labels_say(windows: Batch) -> None:
    there = windows.presence == 1
    assert 0.4 < there.mean() < 0.9
    assert (windows.presence == 0).sum() > 20
    assert np.isfinite(windows.points[there]).all()
    assert np.isnan(windows.points[~there]).all()
    assert np.linalg.norm(windows.points[there, 0], axis=1).max() < 130
    assert set(np.unique(windows.label)) <= {*range(6), THING, UNKNOWN}
    assert (windows.label[np.isnan(windows.offset)] == UNKNOWN).all()
    assert 0.2 < (windows.side[there] == 1).mean() < 0.8
    for number in np.flatnonzero(there):
        rows, columns = np.nonzero(windows.label[number] == HAND)
        spots = np.stack([columns, rows], axis=1) * 2.25 - 79.5 * 2.25
        away = np.linalg.norm(spots - windows.points[number, 0, :2], axis=1)
        assert away.min() < 60, "the palm lies on its hand"


def test_a_plain_window_is_what_is_seen_at_run_time(scenes: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without turn, mirror and scale, windows and points are those of handopt.observation.pixel_window."""
    number = int(np.flatnonzero(~np.isnan(scenes["numbers"][:, 4]))[0])
    height, width = (int(value) for value in scenes["shape"][number])
    first = scenes["first"][number]
    depth = scenes["depth"][first : first + height * width].reshape(height, width)
    label = scenes["label"][first : first + height * width].reshape(height, width)
    fx, fy, cx, cy = (float(value) for value in scenes["numbers"][number][:4])
    palm = scenes["numbers"][number][4:10].reshape(2, 3).mean(axis=0).astype(np.float64)
    monkeypatch.setattr(pixel_label_windows, "COARSE_SHARE", 0.0)
    monkeypatch.setattr(pixel_label_windows, "CUT_SHARE", 0.0)
    guess = palm + np.array([20.0, -10.0, 7.0])
    rng = np.random.default_rng(0)
    offset, _ = pixel_label_windows._looked_up(depth, label, (fx, fy, cx, cy), guess, np.eye(2), 1.0, rng)
    camera = Camera(fx, fy, cx, cy, width, height)
    expected = pixel_window((depth * np.float32(0.2)).astype(np.float32), camera, guess)
    same = (offset == expected.offset_mm) | (np.isnan(offset) & np.isnan(expected.offset_mm))
    assert same.mean() > 0.999, "but for pixels half way between two"
    monkeypatch.setattr(pixel_label_windows, "SIZE_RANGE", (1.0, 1.0))
    monkeypatch.setattr(pixel_label_windows, "_centre", lambda *_: guess)
    batch = pixel_label_windows.cut_windows(scenes, np.full(40, number), np.random.default_rng(3))
    # Turned and mirrored about the guess, in the plane of its depth.
    aside = palm[:2] / palm[2] * guess[2] - guess[:2]
    points = batch.points[:, 0].astype(np.float64)
    lengths = np.linalg.norm(points[:, :2], axis=1)
    assert_close(lengths, np.full(40, np.linalg.norm(aside)), atol=1e-3, reason="float32 of up to 100 mm")
    assert_close(points[:, 2], np.full(40, palm[2] - guess[2]), atol=1e-3, reason="float32 of up to 100 mm")
    assert np.ptp(np.arctan2(points[:, 1], points[:, 0])) > 3


def test_the_nearer_hand_is_the_hand(scenes: Arrays) -> None:
    both = np.flatnonzero(~np.isnan(scenes["numbers"][:, 10]))
    assert len(both)
    batch = pixel_label_windows.cut_windows(scenes, np.repeat(both, 60), np.random.default_rng(5))
    sides = [batch.side[60 * number : 60 * number + 60] for number in range(len(both))]
    assert any({0.0, 1.0} <= set(side.tolist()) for side in sides)
    assert (batch.label == OTHER_HAND).any()
    assert (batch.label == FOREARM).any()
    assert not (batch.label == OTHER_ARM).any()


def test_augmentation_keeps_most_of_a_window(windows: Batch) -> None:
    offset, label, _ = train_pixel_labels.tensors(windows)
    spoiled, changed = pixel_label_augment.augment(offset, label, torch.Generator().manual_seed(0))
    area = (~spoiled.isnan()).sum((1, 2)) / (~offset.isnan()).sum((1, 2)).clamp_min(1)
    assert 0.7 < area.median() < 1.1
    assert (changed[spoiled.isnan()] == UNKNOWN).all()
    kept = (changed != UNKNOWN) & (label != UNKNOWN)
    assert (changed[kept] == label[kept]).all()
    assert np.array_equal(pixel_label_model.encoded(spoiled).numpy(), network_input(spoiled.numpy()))


def test_the_loss_asks_for_the_labels(windows: Batch) -> None:
    _, label, targets = train_pixel_labels.tensors(windows)
    votes, summary = torch.zeros(200, 8, 20, 20), torch.zeros(200, 3)
    known = label.clamp(max=5)
    logits = 8.0 * torch.nn.functional.one_hot(known, 6).permute(0, 3, 1, 2).float()
    right = pixel_label_model.loss((logits, votes, summary), label, targets)
    wrong = pixel_label_model.loss((logits.roll(1, 1), votes, summary), label, targets)
    assert right["pixels"] < 0.05
    assert wrong["pixels"] > 3
    # A thing where there is no hand may be anything but a hand.
    only = torch.where(label == THING, label, UNKNOWN)
    for chosen, allowed in ((HAND, False), (OTHER_HAND, False), (FOREARM, True), (BACKGROUND, True)):
        of_one = torch.zeros(200, 6, 160, 160)
        of_one[:, chosen] = 8.0
        value = pixel_label_model.loss((of_one, votes, summary), only, targets)["pixels"]
        assert (value < 0.05) == allowed


def test_a_tiny_run_writes_the_network_that_it_trained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_pixel_labels, "BATCH", 8)
    monkeypatch.setattr(train_pixel_labels, "HELD_OUT_WINDOWS", 16)
    output = tmp_path / "network.npz"
    arguments = ["--cache", str(folder), "--seed", str(SEED), "--scenes", str(SCENES), "--held-out", "1"]
    arguments += ["--steps", "4", "--processes", "1", "-o", str(output)]
    train_pixel_labels.main(arguments)
    network = load_network(output)
    assert network.metadata["steps"] == 4
    assert 0 <= network.metadata["held_out"]["hand_iou"] <= 1
    first = {name: values.tobytes() for name, values in network.weights.items()}
    train_pixel_labels.main(arguments)
    assert first == {name: values.tobytes() for name, values in load_network(output).weights.items()}, "from the seed"


def test_the_exported_network_computes_what_torch_does(windows: Batch) -> None:
    torch.manual_seed(0)
    model = pixel_label_model.Network()
    offset, _, _ = train_pixel_labels.tensors(windows)
    encoded = pixel_label_model.encoded(offset[:8])
    model.train()
    for _ in range(3):
        model(encoded)
    model.eval()
    # Weights are stored as float16; those of the model are rounded alike, so that only the arithmetic differs.
    arrays = model.export()
    network = PixelNetwork({name: values.astype(np.float32) for name, values in arrays.items()}, {})
    with torch.no_grad():
        logits, votes, summary = model(encoded)
    for found, expected in zip(
        network.raw(encoded.numpy()),
        (logits.permute(0, 2, 3, 1), votes.permute(0, 2, 3, 1), summary),
        strict=True,
    ):
        assert_close(found, expected.numpy(), of_max=2e-3, reason="weights are stored as float16")
    weight, places, mean = pixel_label_model.voted(votes)
    output = network(encoded.numpy())
    assert_close(output.palm_mm, mean[:, 0].numpy(), atol=0.2, reason="weights are stored as float16")
    assert_close(weight.sum(-1).numpy(), np.ones((8, 2)), atol=1e-5, reason="a softmax in float32")
    assert places.shape == (8, 2, 400, 3)
