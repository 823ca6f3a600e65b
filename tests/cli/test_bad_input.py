"""Bad input to `handopt fit`: each kind has an exit code and one line that names what to change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.devices import set_cuda_problem
from support.fit_cli import EXAMPLES, FakeFit, fake_fit, fit, write_camera, write_depth
from support.rig_files import HandFile

__all__ = ["fake_fit"]

NUMBERS = "150,150,79.5,59.5"


# ------------------------------------------------------------------------------------ images: exit code 1


def text(path: Path) -> Path:
    path.write_text("no image at all")
    return path


def truncated(path: Path) -> Path:
    whole = write_depth(path, np.random.default_rng(1).integers(400, 600, (120, 160))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def zeros(path: Path) -> Path:
    return write_depth(path, np.zeros((120, 160)))


def grey(path: Path) -> Path:
    return write_depth(path, dtype=np.uint8)


def picture(path: Path) -> Path:
    return write_depth(path, np.random.default_rng(1).integers(0, 255, (120, 160, 3)), np.uint8)


def not_finite(path: Path) -> Path:
    Image.fromarray(np.full((120, 160), np.nan, np.float32)).save(path.with_suffix(".tif"))
    return path.with_suffix(".tif")


def negative(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.full((120, 160), -500, np.int16))
    return path.with_suffix(".npy")


def ten_metres_away(path: Path) -> Path:
    return write_depth(path, np.full((120, 160), 11_000))


def ten_mm_away(path: Path) -> Path:
    return write_depth(path, np.full((120, 160), 10))


def wall(path: Path) -> Path:
    return write_depth(path, np.full((120, 160), 900))


def tilted(path: Path) -> Path:
    rows, columns = np.mgrid[:120, :160]
    noise = np.random.default_rng(1).normal(0, 2, (120, 160))
    return write_depth(path, 1 / (1 / 900 + 4e-7 * rows + 3e-7 * columns) + noise)


def two_walls(path: Path) -> Path:
    return write_depth(path, np.where(np.arange(160) < 80, 900, 1500) * np.ones((120, 1), int))


def huge(path: Path) -> Path:
    with path.with_suffix(".npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (1_000_000, 1_000_000)}
        )
    return path.with_suffix(".npy")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text, "is not an image that handopt reads"),
        (truncated, "is damaged or cut short"),
        (empty, "is empty (0 bytes)"),
        (zeros, "every pixel is 0"),
        (grey, "--unit"),
        (picture, "--encoding nyu"),
        (not_finite, "19200 NaN"),
        (negative, "19200 negative"),
        (ten_metres_away, "--unit 0.1"),
        (ten_mm_away, "--unit 100"),
        (wall, "all that is seen is a flat surface, 900 mm away; say where the hand is with --box"),
        (tilted, "all that is seen is a flat surface, 8"),
        (two_walls, "or check --unit (what the image shows lies"),
        (huge, "the limit is 40 million"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_images_that_cannot_be_fitted(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    image = make(tmp_path / "depth.png")
    failed = fit(image, "--camera", NUMBERS, "-o", tmp_path / "out", "-q")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith(f"Error: {image}: ")
    assert failed.stderr.count("\n") == 1
    assert message in failed.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_camera_and_one_of_another_size(tmp_path: Path) -> None:
    image = write_depth(tmp_path / "a.png")
    unknown = fit(image, "-o", tmp_path / "out", "-q")
    assert unknown.exit_code == 1
    assert "its camera is unknown: give --camera" in unknown.stderr
    assert "a.json or camera.json" in unknown.stderr
    for arguments in ([], ["--camera", str(write_camera(tmp_path, width=200))]):
        other = fit(image, *arguments, "-o", tmp_path / "out", "-q")
        assert other.exit_code == 1
        assert "160 x 120 pixels" in other.stderr
        assert "--camera" in other.stderr


def test_a_broken_file_beside_the_image_is_named(tmp_path: Path) -> None:
    image = write_depth(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("{")
    failed = fit(image, "-o", tmp_path / "out", "-q")
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"Error: {image}: {tmp_path / 'a.json'}: not valid JSON")


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    image = write_depth(tmp_path / "a.png")
    mask = write_depth(tmp_path / "mask.png", np.eye(50) * 255, np.uint8)
    failed = fit(image, "--camera", NUMBERS, "--mask", mask, "-o", tmp_path / "out", "-q")
    assert failed.exit_code == 1
    assert "--mask" in failed.stderr


# ----------------------------------------------------------------------------------- options: exit code 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--unit 0", "'--unit'"),
        ("--unit nan", "'--unit'"),
        ("--encoding rgb", "'--encoding'"),
        ("--box 1,2,3", "'--box'"),
        ("--box 50,2,3,60", "--box X0,Y0,X1,Y1 needs X0 < X1"),
        ("--center 1", "'--center'"),
        ("--hand both", "'--hand'"),
        ("--limits none", "'--limits'"),
        ("--shape round", "'--shape'"),
        ("--seed -1", "'--seed'"),
        ("--device tpu", "--device tpu is not one of auto, cpu, cuda and cuda:N"),
        ("--camera nikon", "--camera nikon is no preset"),
        ("--camera 1,2,3", "--camera 1,2,3 has 3 numbers"),
        ("--camera 0,0,1,1", "change --camera"),
        ("--mask absent.png", "'--mask'"),
        ("--model absent.glb", "'--model'"),
        ("--config absent.toml", "'--config'"),
        ("--joint-map FOLDER/names.toml", "--joint-map names the joints of a --model"),
        ("--keypoints default", "--keypoints is for a --model, which is missing"),
        ("--keypoints mine", "'--keypoints'"),
        ("--fly", "No such option"),
        ("absent.png", "'absent.png' does not exist"),
    ],
)
def test_option_values_that_cannot_be_used(tmp_path: Path, arguments: str, message: str) -> None:
    image = write_depth(tmp_path / "a.png")
    (tmp_path / "names.toml").write_text("")
    words = arguments.replace("FOLDER", str(tmp_path)).split()
    refused(message, image, *words, "-o", tmp_path / "out")


def refused(message: str, *arguments: str | Path) -> None:
    """Assert that a command line is a usage error with this message."""
    failed = fit(*arguments)
    assert failed.exit_code == 2, failed.stderr
    assert failed.stdout == ""
    assert failed.stderr.startswith("Usage: ")
    assert message in " ".join(failed.stderr.split())
    assert "Traceback" not in failed.stderr


def test_cuda_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda_problem(monkeypatch, "CuPy is not installed")
    refused("--device cuda cannot be used: CuPy is not installed", EXAMPLES / "open.png", "--device", "cuda")


def test_images_are_needed(tmp_path: Path) -> None:
    refused("Missing argument 'IMAGE...'")
    refused("holds no depth images (.exr, .npy,", tmp_path)


@pytest.mark.parametrize("option", ["--mask", "--box", "--center"])
def test_hints_for_one_image_are_refused_for_several(tmp_path: Path, option: str) -> None:
    images = [write_depth(tmp_path / f"{name}.png") for name in "ab"]
    value = {"--mask": images[0], "--box": "0,0,9,9", "--center": "5,5"}[option]
    refused(f"{option} cannot be the same for 2 images", *images, option, value)


def test_masks_that_mark_nothing(tmp_path: Path) -> None:
    image = write_depth(tmp_path / "a.png")
    for counts in (0, 255):
        mask = write_depth(tmp_path / "mask.png", np.full((120, 160), counts), np.uint8)
        refused("which marks no hand", image, "--camera", NUMBERS, "--mask", mask)
    refused("--mask: ", image, "--camera", NUMBERS, "--mask", text(tmp_path / "mask.png"))


def test_camera_files_that_hold_no_camera(tmp_path: Path) -> None:
    image = write_depth(tmp_path / "a.png")
    refused("change --camera", image, "--camera", write_camera(tmp_path, fx=-1))
    (tmp_path / "empty.json").write_text("{}")
    refused("--camera needs a JSON object", image, "--camera", tmp_path / "empty.json")


def test_configs_with_unknown_keys_or_values(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for content, message in (
        ("[weights]\ndeepth = 1.0", "weights.deepth is unknown; did you mean depth?"),
        ("starts = -1", "starts: expected 1 to 1000, got -1"),
        ("weights = ", "cannot be read"),
    ):
        config.write_text(content)
        refused(f"--config {config}", EXAMPLES / "open.png", "--config", config, "-o", tmp_path / "out")
        refused(message, EXAMPLES / "open.png", "--config", config, "-o", tmp_path / "out")


def test_rigs_that_cannot_be_used(tmp_path: Path, fake_fit: FakeFit) -> None:
    bare = HandFile.default()
    bare.skinned = False
    broken = HandFile.default()
    broken.weights[3, 0] = np.nan
    odd = HandFile.default()
    odd.names[odd.names.index("thumb-tip")] = "claw"
    left = HandFile.default("left").write(tmp_path / "left.glb")
    image, out = EXAMPLES / "open.png", ("-o", tmp_path / "out")
    refused("Error: --model: ", image, "--model", bare.write(tmp_path / "bare.glb"), *out)
    refused("are NaN or infinite", image, "--model", broken.write(tmp_path / "nan.glb"), *out)
    refused("missing joints: thumb-tip", image, "--model", odd.write(tmp_path / "odd.glb"), *out)
    refused("use --hand left or pass the other file", image, "--model", left, "--hand", "right", *out)
    mapping = tmp_path / "names.toml"
    mapping.write_text('claw = "thumb-tip"\n')
    refused("has an unknown joint 'claw'", image, "--model", tmp_path / "odd.glb", "--joint-map", mapping, *out)
    mapping.write_text('thumb-tip = "claw"\n')
    assert fit(image, "--model", tmp_path / "odd.glb", "--joint-map", mapping, *out).exit_code == 0
    assert fake_fit.calls[0]["rig"].name == "odd"
    assert fake_fit.calls[0]["rig"].keypoint_offsets_mm is None


def test_keypoints_of_a_model_at_the_places_of_the_default_hand(tmp_path: Path, fake_fit: FakeFit) -> None:
    rig = HandFile.default().write(tmp_path / "mine.glb")
    done = fit(EXAMPLES / "open.png", "--model", rig, "--keypoints", "default", "-o", tmp_path / "out")
    assert done.exit_code == 0
    used = fake_fit.calls[0]["rig"]
    assert used.keypoint_offsets_mm is not None
    assert "keypoints but the wrist and the thumb's CMC are at the places of handopt's own hand" in used.notes[-1]


def test_a_left_rig_on_the_image_of_a_right_hand(tmp_path: Path) -> None:
    left = HandFile.default("left").write(tmp_path / "mine.glb")
    failed = fit(EXAMPLES / "open.png", "--model", left, "-o", tmp_path / "out", "-q")
    assert failed.exit_code == 1
    assert "is a left hand; use --hand left or another --model" in failed.stderr


@pytest.mark.parametrize("place", ["FOLDER/taken", "FOLDER/taken/below", "/proc/handopt"])
def test_outputs_that_cannot_be_written(tmp_path: Path, place: str, fake_fit: FakeFit) -> None:
    (tmp_path / "taken").write_text("mine")
    output = place.replace("FOLDER", str(tmp_path))
    refused(f"-o {output}", EXAMPLES / "open.png", "-o", output)
    assert (tmp_path / "taken").read_text() == "mine"
    assert not fake_fit.calls
