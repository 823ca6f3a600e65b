"""Where the results of images below a folder go; the rest is in test_output_folder."""

import time
from pathlib import Path

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
    started = time.perf_counter()
    assert len(set(result_folders(list(found), Path("out"), found).values())) == 20_000
    assert time.perf_counter() - started < 10
