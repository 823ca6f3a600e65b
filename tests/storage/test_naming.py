"""Which folder the results of an image get."""

import time
from pathlib import Path

import numpy as np
import pytest

from handopt.storage.naming import result_folders


def below(base: Path, *names: str) -> dict[Path, Path]:
    return {base / name: base for name in names}


def test_images_below_a_folder_keep_their_place_in_it(tmp_path: Path) -> None:
    found = below(tmp_path / "in", "x/000.png", "x/y/001.png", "002.png", "002.npy")
    chosen = result_folders(list(found), Path("out"), found)
    assert [str(place) for place in chosen.values()] == ["out/x/000", "out/x/y/001", "out/002_png", "out/002_npy"]


def test_folders_that_hold_the_same_names_keep_what_differs(tmp_path: Path) -> None:
    found = below(tmp_path / "in" / "a", "x/000.png") | below(tmp_path / "in" / "b", "x/000.png", "x/001.png")
    chosen = result_folders(list(found), Path("out"), found)
    assert [str(place) for place in chosen.values()] == ["out/a/x/000", "out/b/x/000", "out/x/001"]


def test_other_images_do_not_move_one_below_a_folder(tmp_path: Path) -> None:
    some = below(tmp_path / "in", "x/000.png")
    more = some | below(tmp_path / "in", "y/000.png", "z/001.png")
    assert (
        result_folders(list(some), Path("out"), some).items() <= result_folders(list(more), Path("out"), more).items()
    )


def test_twenty_thousand_images_are_quick(tmp_path: Path) -> None:
    found = below(tmp_path, *(f"{number % 100}/{number}.png" for number in range(20_000)))
    started = time.process_time()
    assert len(set(result_folders(list(found), Path("out"), found).values())) == 20_000
    assert time.process_time() - started < 10


def folders(images: list[str], tmp_path: Path) -> list[str]:
    """Where results go, relative to the root."""
    root = tmp_path / "out"
    chosen = result_folders([tmp_path / image for image in images], root)
    assert list(chosen) == list(dict.fromkeys(tmp_path / image for image in images))
    return [str(chosen[tmp_path / image].relative_to(root)) for image in images]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([], []),
        (["a/000.png", "b/001.png"], ["000", "001"]),
        (["a/000.png", "b/000.png", "b/001.png"], ["a/000", "b/000", "001"]),
        (["x/a/depth/000.png", "x/b/depth/000.png"], ["a/depth/000", "b/depth/000"]),
        (["000.png", "a/000.png"], ["000", "a/000"]),
        (["a/000.png", "a/000.npy", "a/001.npy"], ["000_png", "000_npy", "001"]),
        (["a/000.png", "a/000.npy", "b/000.png"], ["a/000_png", "a/000_npy", "b/000"]),
        (["a/000.png", "a/000.png"], ["000", "000"]),
        (["a/000.png", "a/../a/000.png"], ["000", "000"]),
        (["hand.depth.png", "hand.png"], ["hand.depth", "hand"]),
        (["a.png", "a/000.png", "b/000.png"], ["a_png", "a/000", "b/000"]),
        (["000.png", "000.npy", "000_png.tif"], ["000_png_2", "000_npy", "000_png"]),
    ],
)
def test_equal_stems_keep_their_folders(images: list[str], expected: list[str], tmp_path: Path) -> None:
    assert folders(images, tmp_path) == expected
    assert folders(images[::-1], tmp_path) == expected[::-1]


def test_no_folder_lies_in_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    parts = ["a", "b", "000", "a_png"]
    images = [
        "/".join([*rng.choice(parts, rng.integers(0, 3)), rng.choice(parts) + rng.choice([".png", ".npy"])])
        for _ in range(60)
    ]
    chosen = {image: Path(place) for image, place in zip(images, folders(images, tmp_path), strict=True)}
    for image, place in chosen.items():
        for other, other_place in chosen.items():
            assert image == other or (place != other_place and place not in other_place.parents)


def test_links_to_one_folder_are_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert folders(["a/000.png", "b/000.png"], tmp_path) == ["000", "000"]


def test_stems_of_dots_stay_inside(tmp_path: Path) -> None:
    images = [tmp_path / "...png", tmp_path / "..png", tmp_path / "p.png"]
    folders = result_folders(images, Path("out"))
    assert len(set(folders.values())) == 3
    assert all(".." not in folder.parts and folder.name.strip(".") for folder in folders.values())
