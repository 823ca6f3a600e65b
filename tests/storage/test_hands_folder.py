"""Folders of several hands: their names, hands.json, and that nobody else's files are replaced."""

import json
from pathlib import Path

import pytest
from support.factories import fit_result
from support.output_folders import tree

from handopt.errors import OutputError
from handopt.storage.fit_folder import save, save_hands
from handopt.storage.hands_folder import hand_names, read_hands

FILES = {"renders": False, "overlay": False}


@pytest.mark.parametrize(
    ("sides", "names"),
    [
        (["right"], ["right"]),
        (["left", "right"], ["left", "right"]),
        (["right", "left", "right"], ["right-1", "left", "right-2"]),
    ],
)
def test_hands_are_named_by_side_and_numbered_where_that_is_needed(sides: list[str], names: list[str]) -> None:
    assert hand_names(sides) == names


def test_each_hand_has_a_folder_of_results(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    assert save_hands([fit_result("left"), fit_result()], folder, **FILES) == ["left", "right"]
    assert read_hands(folder) == ["left", "right"]
    for side in ("left", "right"):
        assert json.loads((folder / side / "result.json").read_text())["hand"] == side
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image"]


def test_one_replaces_the_other_kind_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    save(fit_result(), folder, **FILES)
    with pytest.raises(OutputError, match="overwrite=True"):
        save_hands([fit_result()], folder)
    save_hands([fit_result(), fit_result()], folder, overwrite=True, **FILES)
    assert sorted(path.name for path in folder.iterdir()) == ["hands.json", "right-1", "right-2"]
    save(fit_result(), folder, overwrite=True, **FILES)
    assert not (folder / "hands.json").exists()
    assert not (folder / "right-1").exists()


@pytest.mark.parametrize("name", ["mine.txt", "right/mine.txt", "other/mine.txt"])
def test_files_of_others_are_kept(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    save_hands([fit_result(), fit_result("left")], folder, **FILES)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="not handopt's, and was kept"):
        save_hands([fit_result()], folder, overwrite=True)
    assert tree(tmp_path) == before


def test_videos_of_hands_are_ours(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    save_hands([fit_result(), fit_result("left")], folder, **FILES)
    for name in ("right.mp4", "left.gif"):
        (folder / name).write_bytes(b"a video")
    assert read_hands(folder) == ["right", "left"]
    save_hands([fit_result()], folder, overwrite=True, **FILES)
    assert sorted(path.name for path in folder.iterdir()) == ["hands.json", "right"]
    (folder / "right.mp4").symlink_to(folder / "right" / "result.json")
    with pytest.raises(OutputError, match=r"holds right\.mp4, which is not handopt's"):
        save_hands([fit_result()], folder, overwrite=True)


def test_a_link_to_a_folder_is_no_hand(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    save_hands([fit_result()], folder, **FILES)
    (tmp_path / "elsewhere").mkdir()
    (folder / "left").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="holds left, which is not handopt's"):
        save(fit_result(), folder, overwrite=True)
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": "handopt.hands/1"}',
        '{"format": "handopt.hands/1", "hands": []}',
        '{"format": "handopt.hands/1", "hands": ["../right"]}',
        '{"format": "handopt.hands/1", "hands": ["right", "right"]}',
        '{"format": "handopt.hands/1", "hands": ["left"]}',
        '{"format": "handopt.hands/1", "hands": [["right"]]}',
        '{"format": "handopt.result/1", "hands": ["right"]}',
    ],
)
def test_a_damaged_list_of_hands_is_none(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    save_hands([fit_result()], folder, **FILES)
    (folder / "hands.json").write_text(text)
    assert read_hands(folder) is None
    save(fit_result("left"), folder, overwrite=True, **FILES)  # it is handopt's nevertheless
    assert (folder / "result.json").exists()


def test_an_error_leaves_no_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("handopt.storage.fit_folder.write_hands", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_hands([fit_result()], tmp_path / "out" / "image", **FILES)
    assert list(tmp_path.iterdir()) == []
