"""`handopt fit --max-hands`: a folder and a line for each hand, and all that runs over many images can do."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.factories import fit_result
from support.fit_cli import FakeFit, fake_fit, fit, write_camera, write_depth

from handopt.fit_input import FitInput
from handopt.result import FitResult

__all__ = ["fake_fit"]

SMALL = {"width": 160, "height": 120, "iterations": 2, "size": 24}
PLAIN = ("--no-overlay", "--no-renders")


@pytest.fixture
def hands(fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the search for further hands. sides: of those that it finds; asked: what it was given."""
    found: dict[str, Any] = {"sides": ["left"], "asked": []}

    def others(first: FitResult, given: FitInput, _settings: object, max_hands: int) -> list[FitResult]:
        found["asked"].append((given, max_hands))
        more = [fit_result(side, **SMALL, image=given.image) for side in found["sides"]]
        return [first, *more][:max_hands]

    monkeypatch.setattr(importlib.import_module("handopt.fit_hands"), "with_others", others)
    return found


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_camera(folder, hand="right")
    for name in ("a", "b"):
        write_depth(folder / f"{name}.png")
    return folder


def summary(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "summary.jsonl").read_text().splitlines()]


def folders(stdout: str) -> list[str]:
    return [line.split("\t")[0] for line in stdout.splitlines()]


def test_each_hand_has_a_folder_and_a_line(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = fit(images / "a.png", "-o", out, "--max-hands", "2", *PLAIN)
    assert done.exit_code == 0, done.output
    assert folders(done.stdout) == [str(out / "a" / "right"), str(out / "a" / "left")]
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["right hand", "left hand"]
    for side in ("right", "left"):
        assert json.loads((out / "a" / side / "result.json").read_text())["hand"] == side
        assert (out / "a" / side / "provenance.json").exists()
    ((given, max_hands),) = hands["asked"]
    assert (given.hand, max_hands) == ("auto", 2)  # the file beside the image names one hand


def test_a_side_that_is_given_is_that_of_all(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    hands["sides"] = ["right", "right"]
    out = tmp_path / "out"
    done = fit(images / "a.png", "-o", out, "--max-hands", "3", "--hand", "right", *PLAIN)
    assert folders(done.stdout) == [str(out / "a" / f"right-{number}") for number in (1, 2, 3)]
    assert hands["asked"][0][0].hand == "right"


def test_one_hand_is_as_before(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    for name, more in (("usual", ()), ("one", ("--max-hands", "1"))):
        assert fit(images, "-o", tmp_path / name, *more, *PLAIN).exit_code == 0
    assert hands["asked"] == []
    assert (tmp_path / "one" / "a" / "result.json").exists()
    assert all("hands" not in line for line in summary(tmp_path / "one"))
    settings = [
        json.loads((tmp_path / name / "a" / "provenance.json").read_text())["settings"] for name in ("usual", "one")
    ]
    assert settings[0] == settings[1]


def test_an_image_with_one_hand_has_one_folder(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    hands["sides"] = []
    done = fit(images / "a.png", "-o", tmp_path / "out", "--max-hands", "2", *PLAIN)
    assert folders(done.stdout) == [str(tmp_path / "out" / "a" / "right")]


def test_a_summary_has_one_line_for_each_image(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fit(images, "-o", out, "--max-hands", "2", *PLAIN).exit_code == 0
    lines = summary(out)
    assert [Path(line["image"]).name for line in lines] == ["a.png", "b.png"]
    for line, name in zip(lines, "ab", strict=True):
        assert [each["hand"] for each in line["hands"]] == ["right", "left"]
        assert [each["folder"] for each in line["hands"]] == [str(out / name / "right"), str(out / name / "left")]
        assert line["folder"] == str(out / name)


def test_json_gives_each_hand(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    done = fit(images, "-o", tmp_path / "out", "--max-hands", "2", "--json", *PLAIN)
    assert [json.loads(line)["hand"] for line in done.stdout.splitlines()] == ["right", "left"] * 2


def test_a_second_run_goes_on_where_the_first_ended(images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    command = (images, "-o", tmp_path / "out", "--max-hands", "2", *PLAIN)
    first = fit(*command)
    again = fit(*command)
    assert (again.exit_code, folders(again.stdout)) == (0, folders(first.stdout))
    assert len(hands["asked"]) == 2
    assert "2 of 2 images were done before" in again.stderr
    assert fit(*command, "--verify").exit_code == 0


@pytest.mark.parametrize("damage", ["left/mesh.glb", "hands.json", "left"])
def test_update_makes_again_what_is_damaged(damage: str, images: Path, hands: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (images, "-o", out, "--max-hands", "2", *PLAIN)
    fit(*command)
    if damage == "left":
        (out / "a" / "left").rename(tmp_path / "moved")
    else:
        (out / "a" / damage).write_bytes(b"{}")
    verified = fit(*command, "--verify")
    assert verified.exit_code == 1
    skipped = fit(*command)
    assert skipped.exit_code == 1
    assert "--update" in skipped.stderr
    hands["asked"].clear()
    assert fit(*command, "--update").exit_code == 0
    assert [Path(str(given.image)).name for given, _ in hands["asked"]] == ["a.png"]
    assert fit(*command, "--verify").exit_code == 0


@pytest.mark.parametrize(("before", "after"), [("1", "2"), ("2", "1"), ("2", "3")])
def test_another_number_of_hands_is_another_setting(
    before: str, after: str, images: Path, hands: dict[str, Any], tmp_path: Path
) -> None:
    command = (images / "a.png", "-o", tmp_path / "out", *PLAIN, "--max-hands")
    assert fit(*command, before).exit_code == 0
    kept = fit(*command, after)
    assert kept.exit_code == 1
    assert "--max-hands" in kept.stderr
    assert "--update" in kept.stderr
    assert fit(*command, after, "--update").exit_code == 0
    assert (tmp_path / "out" / "a" / "hands.json").exists() == (after != "1")


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", "17"])
def test_a_number_of_hands_that_makes_no_sense(number: str, images: Path, tmp_path: Path) -> None:
    done = fit(images, "-o", tmp_path / "out", "--max-hands", number)
    assert done.exit_code == 2
    assert "--max-hands" in done.stderr
    assert not (tmp_path / "out").exists()
