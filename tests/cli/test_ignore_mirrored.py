"""--ignore and --mirrored: what reaches the fit, what results say, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.fit_cli import FakeFit, write_camera, write_depth

import handopt.fitting
from handopt.cli.main import main


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, list(map(str, arguments)))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeFit:
    fake = FakeFit()
    monkeypatch.setattr(handopt.fitting, "fit_image", fake)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_camera(folder, unit_mm=1.0)
    return write_depth(folder / "a.png")


def write_mask(path: Path, pixels: int = 7, shape: tuple[int, int] = (120, 160)) -> Path:
    path.parent.mkdir(exist_ok=True)
    values = np.zeros(shape, np.uint8)
    values.flat[:pixels] = 1
    Image.fromarray(values).save(path)
    return path


def test_the_fit_gets_the_mask_and_whether_the_image_is_mirrored(image: Path, tmp_path: Path, fake: FakeFit) -> None:
    mask = write_mask(tmp_path / "mask.png")
    done = run("fit", image, "-o", tmp_path / "out", "--ignore", mask, "--mirrored", "--no-overlay", "--no-renders")
    assert done.exit_code == 0, done.output
    (call,) = fake.calls
    assert np.count_nonzero(call["ignore"]) == 7
    assert call["mirrored"] is True
    provenance = json.loads((tmp_path / "out" / "a" / "provenance.json").read_text())
    assert provenance["settings"]["mirrored"] is True
    assert len(provenance["settings"]["ignore"]) == 64


def test_another_mask_makes_another_result(image: Path, tmp_path: Path, fake: FakeFit) -> None:
    masks = tmp_path / "masks"
    write_mask(masks / "a.png")
    command = ("fit", image, "-o", tmp_path / "out", "--ignore", masks, "--no-overlay", "--no-renders")
    assert run(*command).exit_code == 0
    assert run(*command).exit_code == 0
    assert len(fake.calls) == 1
    write_mask(masks / "a.png", pixels=9)
    again = run(*command)
    assert again.exit_code == 1
    assert f"{tmp_path / 'out' / 'a'} was made with another mask (--ignore), and was kept" in again.stderr
    bare = run("fit", image, "-o", tmp_path / "out", "--no-overlay", "--no-renders")
    assert "was made with a mask (--ignore), now without, and was kept" in bare.stderr
    assert run(*command, "--update").exit_code == 0
    assert len(fake.calls) == 2


@pytest.mark.parametrize("command", ["fit", "shape", "track"])
def test_a_mask_that_cannot_be_used_is_exit_code_2(command: str, image: Path, tmp_path: Path) -> None:
    place = tmp_path / ("out.glb" if command == "shape" else "out")
    given = image.parent if command == "track" else image
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    (tmp_path / "empty").mkdir()
    full = write_mask(tmp_path / "full.png", pixels=120 * 160)
    for mask, said in ((bad, "is no mask"), (tmp_path / "empty", "no masks"), (full, "leaves nothing")):
        done = run(command, given, "-o", place, "--ignore", mask)
        assert done.exit_code == 2, done.output
        assert "--ignore" in done.stderr
        assert said in done.stderr
    assert run(command, given, "-o", place, "--ignore", tmp_path / "absent.png").exit_code == 2
    assert not place.exists()


def test_a_mask_of_another_size_fails_that_image(image: Path, tmp_path: Path) -> None:
    small = write_mask(tmp_path / "small.png", shape=(60, 80))
    done = run("fit", image, "-o", tmp_path / "out", "--ignore", small)
    assert done.exit_code == 1
    assert f"--ignore {small}: is 80 x 60 pixels, the depth image 160 x 120" in done.stderr
    done = run("track", image.parent, "-o", tmp_path / "track", "--ignore", small)
    assert done.exit_code == 2, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert errors == [f"Error: --ignore {small}: is 80 x 60 pixels, the depth image 160 x 120"]
    assert "no hand was found" not in done.stderr
    assert not (tmp_path / "track").exists()


def test_what_was_left_out_and_masks_that_do_not_fit_are_said_once_of_many_images(
    image: Path, tmp_path: Path, fake: FakeFit
) -> None:
    for name in ("b", "c", "d"):
        shutil.copy(image, image.with_name(f"{name}.png"))
        write_mask(tmp_path / "masks" / f"{name}.png", shape=(60, 80))
    write_mask(tmp_path / "masks" / "a.png")
    done = run("fit", image.parent, "-o", tmp_path / "out", "--ignore", tmp_path / "masks")
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, errors
    assert "3 images" in errors[0]
    assert f"--ignore {tmp_path / 'masks' / 'NAME.png'}: is 80 x 60 pixels" in errors[0]


def test_options_that_contradict_the_file_beside_are_noted(image: Path, tmp_path: Path, fake: FakeFit) -> None:
    beside = write_camera(image.parent, unit_mm=1.0, hand="right", mirrored=True)
    done = run(
        "fit", image, "-o", tmp_path / "out", "--unit", "0.9", "--hand", "left", "--no-mirrored", "--no-overlay",
        "--no-renders",
    )  # fmt: skip
    for said in ("--unit 0.9 is used; {} says 1.", "--hand left is used; {} says right.",
                 "--no-mirrored is used; {} says true."):  # fmt: skip
        assert f"Note: {image}: {said.format(beside)}\n" in done.stderr
    track = run("track", image.parent, "-o", tmp_path / "track", "--unit", "0.9", "--hand", "left")
    for said in ("--unit 0.9 is used; {} says 1.", "--hand left is used; {} says right."):
        assert f"Note: {said.format(beside)}\n" in track.stderr
    shape = run("shape", image, "-o", tmp_path / "mine.glb", "--unit", "0.9")
    assert f"--unit 0.9 is used; {beside} says 1.\n" in shape.stderr
