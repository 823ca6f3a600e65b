"""Training the second look: layers belong to their scenes, windows are a fit's, and a tiny run writes a network."""

from pathlib import Path

import numpy as np
import pytest
from support.compare import assert_close

from handopt.input.camera import Camera
from handopt.input.pixel_labels import HAND
from handopt.observation.pixel_network import load_network
from handopt.observation.pixel_window import network_input, offset_from, pixel_window
from handopt.observation.second_look import CHANNELS, SIZE, second_input

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

import pixel_label_scenes  # noqa: E402
import second_look_layers  # noqa: E402
import second_look_windows  # noqa: E402
import train_pixel_labels  # noqa: E402
from pixel_label_scenes import UNIT_MM, Arrays  # noqa: E402
from pixel_label_windows import UNKNOWN  # noqa: E402

SEED, SCENES = 7, 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    scenes, layers = tmp_path_factory.mktemp("scenes"), tmp_path_factory.mktemp("layers")
    pixel_label_scenes.CHUNK = 10  # type: ignore[misc]
    files = pixel_label_scenes.make_scenes(scenes, SEED, SCENES, 1)
    second_look_layers.make_layers(files, layers, SEED, 1)
    return scenes, layers


@pytest.fixture(scope="module")
def scenes(folders: tuple[Path, Path]) -> Arrays:
    read = pixel_label_scenes.read_scenes(sorted(folders[0].glob("*.npz")))
    return second_look_layers.with_layers(read, sorted(folders[1].glob("*.npz")))


def image_of(scenes: Arrays, row: int, name: str, draw: int | None = None) -> np.ndarray:
    height, width = (int(value) for value in scenes["shape"][row])
    first = int(scenes["first"][row])
    values = scenes[name] if draw is None else scenes[name][draw]
    part: np.ndarray = values[first : first + height * width].reshape(height, width, *values.shape[1:])
    return part


def test_predicted_hands_lie_on_hands(scenes: Arrays) -> None:
    rows = second_look_windows.rows_with_layers(scenes)
    hands = np.flatnonzero(~np.isnan(scenes["numbers"][:, 4]))
    assert len(set(rows) & set(hands)) > 0.7 * len(hands), "most hands are found"
    overlaps, of_first = [], []
    for row in set(rows.tolist()) & set(hands.tolist()):
        for draw in range(second_look_layers.LOOKS):
            if np.isfinite(scenes["predicted"][draw, row, 0]):
                true = (image_of(scenes, row, "label") == HAND) & (image_of(scenes, row, "depth") > 0)
                skin, first = (
                    image_of(scenes, row, "skin", draw) > 0,
                    image_of(scenes, row, "labels", draw)[..., 0] > 127,
                )
                overlaps.append((skin & true).sum() / (skin | true).sum())
                of_first.append((first & true).sum() / (first | true).sum())
                assert 0.5 < scenes["predicted"][draw, row, 3] < 2
    assert np.median(overlaps) > 0.5
    assert np.median(of_first) > 0.6


def test_layers_are_made_once_and_from_their_seed(folders: tuple[Path, Path], tmp_path: Path) -> None:
    scenes, layers = folders
    path = second_look_layers.make_file(scenes / "00001.npz", tmp_path, SEED)
    with np.load(path) as one, np.load(layers / "00001.npz") as other:
        assert all(np.array_equal(one[name], other[name], equal_nan=name == "predicted") for name in one.files)
    before = path.stat().st_mtime_ns
    second_look_layers.make_file(scenes / "00001.npz", tmp_path, SEED)
    assert path.stat().st_mtime_ns == before
    assert [each.name for each in tmp_path.iterdir()] == ["00001.npz"]


def test_a_plain_window_is_what_a_fit_sees(scenes: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jitter and turn, a window has the input that handopt.observation.second_look.look_again makes."""
    monkeypatch.setattr(second_look_windows, "JITTER_MM", (0.0, 0.0, 0.0))
    monkeypatch.setattr(second_look_windows, "RESIZED", 0.0)
    monkeypatch.setattr(second_look_windows, "drawn_turn", lambda _: (np.eye(2), False))
    row = int(second_look_windows.rows_with_layers(scenes)[0])
    scenes = scenes | {"predicted": scenes["predicted"].copy()}
    draw = int(np.flatnonzero(np.isfinite(scenes["predicted"][:, row, 0]))[0])
    scenes["predicted"][np.arange(len(scenes["predicted"])) != draw, row] = np.nan
    batch = second_look_windows.cut_second_windows(scenes, np.array([row]), np.random.default_rng(0))
    assert (batch.label[np.isnan(batch.offset)] == UNKNOWN).all()
    depth = image_of(scenes, row, "depth") * np.float32(UNIT_MM)
    fx, fy, cx, cy = (float(value) for value in scenes["numbers"][row][:4])
    camera = Camera(fx, fy, cx, cy, depth.shape[1], depth.shape[0])
    *palm, size = (float(value) for value in scenes["predicted"][draw, row])
    window = pixel_window(depth, camera, palm, size, SIZE)
    labels = image_of(scenes, row, "labels", draw).astype(np.float32) / 255
    skin = offset_from(
        window.looked_up(image_of(scenes, row, "skin", draw) * np.float32(UNIT_MM)), np.array(palm), size
    )
    expected = second_input(window.offset_mm, window.looked_up(labels), skin)
    found = train_pixel_labels.inputs_of(batch, torch.from_numpy(batch.offset))[0].numpy()
    assert found.shape == (SIZE, SIZE, CHANNELS)
    same = np.isclose(found, expected, atol=1e-4).all(axis=-1)
    assert same.mean() > 0.99, "but for pixels half way between two"
    assert np.array_equal(found[..., :2], network_input(batch.offset[0]))


def test_layers_of_other_scenes_are_refused(folders: tuple[Path, Path]) -> None:
    read = pixel_label_scenes.read_scenes(sorted(folders[0].glob("*.npz"))[:1])
    with pytest.raises(SystemExit, match="is of other scenes"):
        second_look_layers.with_layers(read, sorted(folders[1].glob("*.npz")))


def test_turned_windows_turn_everything(scenes: Arrays) -> None:
    rows = np.intersect1d(
        second_look_windows.rows_with_layers(scenes), np.flatnonzero(~np.isnan(scenes["numbers"][:, 4]))
    )
    batch = second_look_windows.cut_second_windows(scenes, np.resize(rows, 60), np.random.default_rng(2))
    there = batch.presence == 1
    assert there.mean() > 0.7
    skin, hand = np.isfinite(batch.skin_mm[there]), batch.label[there] == HAND
    overlap = (skin & hand).sum(axis=(1, 2)) / (skin | hand).sum(axis=(1, 2))
    assert np.median(overlap) > 0.5, "skin and labels are turned alike"
    first = batch.first[there][..., 0] > 0.5
    overlap = (first & hand).sum(axis=(1, 2)) / (first | hand).sum(axis=(1, 2))
    assert np.median(overlap) > 0.6, "and the first look"
    away = np.linalg.norm(batch.points[there, 0], axis=1)
    assert_close(
        np.median(away), 25.0, atol=20, reason="the palm's middle lies beside the middle of wrist and MCP joint"
    )


def test_a_tiny_run_writes_a_second_look(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_pixel_labels, "BATCH", 4)
    monkeypatch.setattr(train_pixel_labels, "HELD_OUT_WINDOWS", 8)
    output = tmp_path / "network.npz"
    arguments = ["--cache", str(folders[0]), "--second-look", str(folders[1]), "--seed", str(SEED)]
    arguments += ["--scenes", str(SCENES), "--held-out", "1", "--steps", "3", "--processes", "1", "-o", str(output)]
    first = Path(__file__).parents[2] / "assets" / "pixel_labels.npz"
    train_pixel_labels.main([*arguments, "--start", str(first)])
    network = load_network(output, CHANNELS, SIZE)
    assert network.metadata["steps"] == 3
    assert network.metadata["second_look"]
    assert network.metadata["start"] == "pixel_labels.npz"
    assert network.metadata["held_out"]["hand_iou"] > 0.5, "it begins with what the first look says"
    train_pixel_labels.main(arguments)
    fresh = load_network(output, CHANNELS, SIZE)
    assert fresh.metadata["held_out"]["hand_iou"] < network.metadata["held_out"]["hand_iou"]
