"""What the command line names: images in folders, masks, and where results can be written."""

import tempfile
from pathlib import Path

import click
import numpy as np
import pytest
from support.fit_cli import write_depth

from handopt.cli.inputs import find_images, read_mask
from handopt.cli.outputs import require_outside_results, require_writable


def test_images_are_found_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.PNG", "c.npy", "camera.json", "notes.txt", ".d.png"):
        (tmp_path / name).touch()
    (tmp_path / "deep.png").mkdir()
    found = [tmp_path / name for name in ("a.PNG", "b.png", "c.npy")]
    assert list(find_images([tmp_path])) == found
    assert list(find_images([tmp_path / "c.npy", tmp_path])) == [found[2], *found[:2]]
    monkeypatch.chdir(tmp_path)
    assert list(find_images([Path("b.png"), tmp_path / "b.png"])) == [Path("b.png")]
    assert list(find_images([tmp_path / "notes.txt"])) == [tmp_path / "notes.txt"], "what is named is tried"


def test_a_folder_that_cannot_be_listed_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(click.UsageError, match="cannot be read: Permission denied"):
        find_images([tmp_path])


def test_masks_come_from_pictures_and_arrays(tmp_path: Path) -> None:
    marked = np.zeros((20, 30), bool)
    marked[5:9, 3:20] = True
    for name, values in (
        ("grey.png", marked * np.uint8(7)),
        ("colour.png", np.stack([marked * np.uint8(0), marked * np.uint8(200), marked * np.uint8(0)], axis=2)),
        ("alpha.png", np.stack([marked * np.uint8(9)] * 3 + [np.full_like(marked, 255, np.uint8)], axis=2)),
    ):
        assert (read_mask(write_depth(tmp_path / name, values, np.uint8)) == marked).all(), name
    np.save(tmp_path / "mask.npy", marked)
    assert (read_mask(tmp_path / "mask.npy") == marked).all()


def test_a_folder_is_tried_before_any_work_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable(tmp_path / "new" / "deeper")
    require_writable(tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    require_writable(Path("relative"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(click.UsageError, match="dangling is not a folder"):
        require_writable(tmp_path / "dangling" / "x")

    def refuse(**_arguments: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(click.UsageError, match="cannot be written: Permission denied; choose another with -o"):
        require_writable(tmp_path)


def test_results_are_not_put_into_a_result(tmp_path: Path) -> None:
    fits, track = tmp_path / "fits", tmp_path / "track"
    for folder, name, kind in ((fits / "open", "result.json", "result"), (track, "track.json", "track")):
        folder.mkdir(parents=True)
        (folder / name).write_text(f'{{"format": "handopt.{kind}/1"}}')
    require_outside_results(fits)
    require_outside_results(fits / "new" / "deeper")
    with pytest.raises(click.UsageError, match="open is a result of handopt and may be replaced: choose another with"):
        require_outside_results(fits / "open")
    with pytest.raises(click.UsageError, match="open, which is a result of handopt"):
        require_outside_results(fits / "open" / "again")
    with pytest.raises(click.UsageError, match="track is a track of handopt"):
        require_outside_results(track)
    (tmp_path / "result.json").write_text('{"format": "of another program"}')
    require_outside_results(fits)
