"""`handopt export`: what it writes and prints, its exit codes, and what it says of bad input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.characters import character, mixamo, write_poses
from support.exports import Fits, write_fits

from handopt.cli.main import main
from handopt.viewer.review import Decision


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Fits:
    return write_fits(tmp_path_factory.mktemp("exports"))


def test_what_was_written_is_printed(fits: Fits, tmp_path: Path) -> None:
    done = export(fits.folder, "-o", tmp_path / "joints.csv")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{tmp_path / 'joints.csv'}\n", "")
    assert len((tmp_path / "joints.csv").read_text().splitlines()) == 43
    done = export(fits.folder, "-o", tmp_path / "coco", "--format", "coco", "--min-confidence", 0.9, "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "coco"), "hands": 1, "left_out": 1}
    assert done.stderr == "1 hands of a confidence below 0.9 were left out.\n"
    assert export(fits.folder, "-o", tmp_path / "quiet", "--format", "freihand", "-q").stderr == ""


def reviewed(fits: Fits, path: Path, **decisions: str | None) -> Path:
    lines = [Decision(folder, None, said, "right").to_json() for folder, said in decisions.items()]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_what_was_accepted_is_exported(fits: Fits, tmp_path: Path) -> None:
    one, other = "right/000", "left/000"
    review = reviewed(fits, tmp_path / "review.jsonl", **{one: "accept", other: "reject", "gone": "accept"})
    done = export(fits.folder, "-o", tmp_path / "joints.csv", "--review", review)
    assert done.exit_code == 0, done.output
    assert done.stderr == ("Note: gone: was accepted but not found in RESULTS\n1 of 3 reviewed fits were accepted.\n")
    lines = (tmp_path / "joints.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in lines} == {one}
    assert len(lines) == 21
    both = reviewed(fits, tmp_path / "both.jsonl", **{one: "accept", other: "accept"})
    export(fits.folder, "-o", tmp_path / "both.csv", "--review", both)
    export(fits.folder, "-o", tmp_path / "all.csv")
    assert (tmp_path / "both.csv").read_text() == (tmp_path / "all.csv").read_text(), "names are the same"


@pytest.mark.parametrize("folder", ["gone", "../fits/right/000", "{fits}/right/000", "."])
def test_only_fits_of_the_folder_are_accepted(folder: str, fits: Fits, tmp_path: Path) -> None:
    folder = folder.format(fits=fits.folder)
    review = reviewed(fits, tmp_path / "review.jsonl", **{folder: "accept"})
    done = export(fits.folder, "-o", tmp_path / "joints.csv", "--review", review)
    assert done.exit_code == 2
    assert "accepted" in done.stderr or "no results of handopt fit" in done.stderr
    assert not (tmp_path / "joints.csv").exists()


def test_a_review_is_of_one_folder_and_for_labels(fits: Fits, tmp_path: Path) -> None:
    review = reviewed(fits, tmp_path / "review.jsonl", gone="accept")
    done = export(fits.folder, fits.folder, "-o", tmp_path / "joints.csv", "--review", review)
    assert done.exit_code == 2
    assert "give that folder alone as RESULTS" in " ".join(done.stderr.split())
    done = export(fits.folder, "-o", tmp_path / "moved.glb", "--review", review)
    assert done.exit_code == 2
    assert "are for labels" in done.stderr
    review.write_text("no review\n")
    done = export(fits.folder, "-o", tmp_path / "joints.csv", "--review", review)
    assert done.exit_code == 2
    assert "--review" in done.stderr
    assert "line 1" in done.stderr


def test_notes_go_to_stderr(fits: Fits, tmp_path: Path) -> None:
    done = export(fits.folder, "-o", tmp_path / "labels", "--format", "dexycb")
    assert done.stderr == "Note: pose_m is zero: MANO's own parameters are written by --format mano.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "-o PATH is missing"),
        (("-o", "labels.csv", "--format", "coco"), "labels.csv is a name for csv, not for --format coco"),
        (("-o", "labels", "--format", "cocoa"), "(did you mean 'coco'?)"),
        (("-o", "labels", "--format", "nyu", "--root-relative"), "leave out --root-relative, or use one of csv,"),
        (("-o", "labels.csv", "--crop", "64"), "crops need a folder, and labels.csv is a file: choose another with -o"),
        (("-o", "labels", "--crop", "4"), "--crop"),
        (("-o", "labels", "--min-confidence", "1.5"), "--min-confidence"),
        (("-o", "labels", "--min-confidence", "0.99"), "lower --min-confidence or give other results"),
    ],
)
def test_what_cannot_be_done_names_the_option(
    fits: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = export(fits.folder, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_exists_is_kept(fits: Fits, tmp_path: Path) -> None:
    for output in (tmp_path / "labels", tmp_path / "labels.npz"):
        assert export(fits.folder, "-o", output).exit_code == 0
        again = export(fits.folder, "-o", output)
        assert again.exit_code == 2
        assert "exists and was kept: replace it with --overwrite or choose another with -o" in again.stderr
        assert export(fits.folder, "-o", output, "--overwrite").exit_code == 0


def test_results_that_are_none(tmp_path: Path) -> None:
    done = export(tmp_path, "-o", tmp_path / "labels")
    assert done.exit_code == 2
    assert "no results of handopt fit or handopt track there; give their folders" in done.stderr
    (tmp_path / "result.json").write_text("{")
    done = export(tmp_path, "-o", tmp_path / "labels")
    assert done.exit_code == 2
    assert "result.json is not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr


def test_motion_of_a_track(tmp_path: Path) -> None:
    track = write_poses(tmp_path / "track", "left")
    done = export(track, "-o", tmp_path / "hand.vrma")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{tmp_path / 'hand.vrma'}\n", "")
    rig = character(tmp_path / "rig.glb", "left", mixamo)
    done = export(track, "-o", tmp_path / "moved.glb", "--rig", rig, "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "moved.glb"), "format": "glb"}
    assert "The left hand was found: wrist is 'mixamorig:LeftHand'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "moved.glb"), "--rig is missing: the character's .glb"),
        (("-o", "hand.bvh", "--crop", "64"), "--min-confidence, --review, --root-relative and --crop are for labels"),
        (("-o", "joints.csv", "--rig", "rig.glb"), "--rig and --joint-map are for motion"),
        (("-o", "hand.vrma", "--rig", "rig.glb"), "--format vrma has a skeleton of its own: leave out --rig"),
        (("-o", "hand.txt", "--format", "bvh"), "hand.txt does not end in .bvh: change -o or --format bvh"),
        (("track", "-o", "hand.bvh"), "motion is of one track"),
    ],
)
def test_what_motion_cannot_do_names_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    track = write_poses(tmp_path / "track", "right")
    monkeypatch.chdir(tmp_path)
    character(tmp_path / "rig.glb", "right", mixamo)
    done = export(track, *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} == {"track", "rig.glb"}
