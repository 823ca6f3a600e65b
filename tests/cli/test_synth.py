"""`handopt synth`: what it writes, what it says, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.displaced_joints import with_joints_elsewhere
from support.synth_labels import reposed

from handopt.cli import synth as command
from handopt.cli.main import main
from handopt.export.rig_gltf import write_rig
from handopt.rig import default_rig, load_rig
from handopt.synth import noise_models, poses

PROJECT = Path(__file__).resolve().parents[2]


def synth(*arguments: str | Path) -> Result:
    """Run `handopt synth` in this process."""
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


def label(folder: Path, level: str = "easy", index: int = 0) -> dict:
    return json.loads((folder / level / f"{index:03d}.json").read_text())


def test_it_says_what_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    done = synth(tmp_path / "out", "--count", "1")
    assert done.exit_code == 0, done.output
    assert done.stdout == "".join(f"{tmp_path / 'out' / level}\t1\n" for level in ("easy", "medium", "hard"))
    assert done.stderr == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["easy", "hard", "medium"]


def test_its_choices_are_the_librarys() -> None:
    assert command.LEVELS == poses.LEVELS == ("easy", "medium", "hard")
    assert tuple(noise_models.NOISE) == command.NOISE
    assert command.NOISE[:4] == ("none", "low", "sr305", "kinect")


def test_options_reach_the_images(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = synth(
        out, "--count", "2", "--level", "easy", "--hand", "left", "--noise", "none", "--forearm", "--no-background",
        "--surface-rms", "1.5", "--subject-seed", "7", "--seed", "3", "--camera", "kinect",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    first, second = label(out), label(out, index=1)
    assert (first["hand"], first["noise"], first["forearm"], first["background"]) == ("left", "none", True, False)
    assert first["shape"]["surface_rms_mm"] == 1.5
    assert first["shape"] == second["shape"]
    assert first["seed"] == 3
    assert first["camera"] == json.loads((out / "easy.camera.json").read_text())
    assert first["camera"]["fx"] != 475.0
    with Image.open(out / "easy" / "000.png") as image:
        assert image.size == (first["camera"]["width"], first["camera"]["height"])


def test_what_was_assumed_is_said_unless_quiet(tmp_path: Path) -> None:
    common = ("--count", "1", "--level", "easy", "--camera", "kinect")
    assert synth(tmp_path / "a", *common).stderr.startswith("Note: The camera is the preset kinect")
    assert synth(tmp_path / "b", *common, "-q").stderr == ""


def test_one_subject_is_drawn_from_the_seed(tmp_path: Path) -> None:
    common = ("--count", "1", "--level", "easy", "--noise", "none")
    assert synth(tmp_path / "a", *common, "--one-subject", "--seed", "4").exit_code == 0
    assert synth(tmp_path / "b", *common, "--subject-seed", "4").exit_code == 0
    assert label(tmp_path / "a")["shape"] == label(tmp_path / "b")["shape"]


@pytest.mark.parametrize("spec", ["240,241,160,120", "file"])
def test_cameras_are_numbers_for_640_by_480_or_files(spec: str, tmp_path: Path) -> None:
    numbers = {"fx": 240.0, "fy": 241.0, "cx": 160.0, "cy": 120.0, "width": 320, "height": 240}
    if spec == "file":
        (tmp_path / "camera.json").write_text(json.dumps(numbers))
    done = synth(
        tmp_path / "out", "--count", "1", "--level", "easy",
        "--camera", spec if spec != "file" else tmp_path / "camera.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    size = {"width": 320, "height": 240} if spec == "file" else {"width": 640, "height": 480}
    assert label(tmp_path / "out")["camera"] == {**numbers, **size}


def test_another_rig_is_used_and_a_left_one_is_mirrored(tmp_path: Path) -> None:
    model = PROJECT / "assets" / "hands" / "left.glb"
    done = synth(tmp_path / "out", "--count", "1", "--level", "easy", "--model", model, "--hand", "left")
    assert done.exit_code == 0, done.output
    truth = label(tmp_path / "out")
    np.testing.assert_allclose(reposed(truth, load_rig(model)), truth["joints_mm"], atol=0.01)


def test_labels_have_the_joints_where_fits_of_the_same_rig_have_them(tmp_path: Path) -> None:
    write_rig(with_joints_elsewhere(default_rig(), 9.0), tmp_path / "odd.glb")
    for places in ("rig", "default"):
        found = synth(tmp_path / places, "--count", "1", "--model", tmp_path / "odd.glb", "--keypoints", places)
        assert found.exit_code == 0
    said = synth(tmp_path / "auto", "--count", "1", "--model", tmp_path / "odd.glb")
    assert "mm from the model's joints on average (--keypoints rig keeps them there)" in said.stderr
    joints = {places: np.array(label(tmp_path / places)["joints_mm"]) for places in ("auto", "rig", "default")}
    assert np.array_equal(joints["auto"], joints["default"])
    assert np.linalg.norm(joints["auto"] - joints["rig"], axis=1)[2:].mean() > 5


def test_limits_bound_the_angles(tmp_path: Path) -> None:
    done = synth(tmp_path / "out", "--count", "4", "--level", "hard", "--limits", "swapped", "--noise", "none")
    assert done.exit_code == 0, done.output
    limits = default_rig("right", "swapped").limits
    for index in range(4):
        angles = np.array(list(label(tmp_path / "out", "hard", index)["pose"]["angles_rad"].values()))
        assert (angles >= limits.lower - 1e-6).all()
        assert (angles <= limits.upper + 1e-6).all()


def test_fit_reads_the_folder_as_it_is(tmp_path: Path) -> None:
    assert synth(tmp_path / "out", "--count", "1", "--level", "easy", "--hand", "left").exit_code == 0
    config = tmp_path / "quick.toml"
    config.write_text(
        "starts = 2\ncrop_px = 64\npoints = 64\nvertices = { iterations = 2 }\n"
        "stages = [{ iterations = 3, radius_px = 4.0, sigma_mm = 20.0, step = 1.0, top_k_out = 1 }]\n"
    )
    arguments = ["fit", tmp_path / "out" / "easy", "-o", tmp_path / "fits", "--config", config, "--no-renders"]
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "fits" / "000" / "result.json").read_text())
    assert result["hand"] == "left"
    assert result["camera"] == label(tmp_path / "out")["camera"]
    assert not any("guess" in sentence for sentence in result["notes"])


def test_wild_images_have_masks_and_a_camera_each_and_can_be_fitted_and_scored(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = synth(out, "--level", "wild", "--count", "3", "--masks", "--object", "--no-other-hand", "--seed", "6")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out / 'wild'}\t3\n"
    names = sorted(path.name for path in (out / "wild").iterdir())
    assert names == sorted(f"{number:03d}{end}" for number in range(3) for end in (".json", ".png", "_mask.png"))
    for number in range(3):
        known = label(out, "wild", number)
        with Image.open(out / "wild" / f"{number:03d}_mask.png") as image:
            mask = np.asarray(image)
        assert mask.shape == (known["camera"]["height"], known["camera"]["width"])
        assert (mask == known["mask_labels"]["hand"]).sum() > 100
        assert known["object"]["kind"] in {"ball", "box", "cylinder", "pen", "phone", "cup"}
        assert known["other_hand"] is None
    fitted = CliRunner().invoke(main, ["fit", str(out / "wild"), "-o", str(tmp_path / "fits"), "-q"])
    assert sorted(path.name for path in (tmp_path / "fits").iterdir() if path.is_dir()) == ["000", "001", "002"]
    assert len(fitted.stdout.splitlines()) == 3  # masks are no images
    scored = CliRunner().invoke(main, ["eval", str(tmp_path / "fits"), str(out), "--json"])
    assert json.loads(scored.stdout)["all"]["frames"] == 3
    assert "left out" not in scored.stderr
    assert synth(out, "--level", "wild", "--count", "1", "--overwrite").exit_code == 0  # masks are ours as well


def test_options_reach_wild_images(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = synth(
        out, "--level", "wild", "--count", "1", "--hand", "left", "--noise", "none", "--no-object", "--no-forearm",
        "--surface-rms", "1.5", "--subject-seed", "7", "--seed", "3", "--camera", "kinect",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    known = label(out, "wild")
    assert (known["hand"], known["noise"], known["forearm"], known["crop"]) == ("left", "none", False, "wrist")
    assert known["object"] is None
    assert known["shape"]["surface_rms_mm"] == 1.5
    assert known["camera"] == json.loads((out / "wild.camera.json").read_text())
    assert load_rig(out / "subject.glb").side == "left"
    np.testing.assert_allclose(reposed(known, default_rig("right").mirrored()), known["joints_mm"], atol=0.01)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count"),
        (["--level", "extreme"], "'easy', 'medium', 'hard', 'wild', 'all'"),
        (["--seed", "-1"], "--seed"),
        (["--subject-seed", "x"], "--subject-seed"),
        (["--noise", "loud"], "'none', 'low', 'sr305', 'kinect'"),
        (["--surface-rms", "4.5"], "--surface-rms"),
        (["--hand", "auto"], "--hand"),
        (["--camera", "nonsense"], "--camera"),
        (["--camera", "1,2,3"], "--camera"),
        (["--object"], "--object is for level wild"),
        (["--level", "hard", "--no-other-hand"], "--other-hand is for level wild"),
        (["--level", "all", "--masks"], "--masks is for level wild"),
        (["--level", "wild", "--sequence"], "--sequence: level wild"),
        (["--level", "wild", "--fps", "60"], "--fps is for a sequence: level wild has single images only"),
        (["--level", "wild", "--dropout", "3,4"], "--dropout is for a sequence: level wild"),
        (["--fps", "60"], "--fps is for a sequence: give --sequence"),
        (["--joint-map", __file__], "--joint-map"),
        (["--part", "left"], "--part names a hand of a --model"),
        (["--keypoints", "default"], "--keypoints is for a --model"),
        (["--model", __file__], "--model"),
    ],
)
def test_a_bad_option_is_a_usage_error_that_names_it(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = synth(tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_camera_too_small_for_a_hand_names_the_option_and_leaves_nothing(tmp_path: Path) -> None:
    camera = tmp_path / "tiny.json"
    camera.write_text(json.dumps({"fx": 475, "fy": 475, "cx": 20, "cy": 20, "width": 40, "height": 40}))
    done = synth(tmp_path / "out", "--camera", camera)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "--camera" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json"]


def test_a_taken_folder_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert synth(out, "--count", "1", "--level", "easy").exit_code == 0
    before = (out / "easy" / "000.png").read_bytes()
    again = synth(out, "--count", "1", "--level", "easy", "--seed", "5")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert (out / "easy" / "000.png").read_bytes() == before
    assert synth(out, "--count", "1", "--level", "easy", "--seed", "5", "--overwrite").exit_code == 0
    assert (out / "easy" / "000.png").read_bytes() != before


def test_an_unwritable_place_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = synth(tmp_path / "file" / "out")
    assert done.exit_code == 2
    assert "choose another with -o" in done.stderr
