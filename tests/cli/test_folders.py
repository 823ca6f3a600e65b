"""`handopt fit` on folders, patterns and lists: what is taken, what is done again, and what bad files do."""

import errno
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.fit_cli import FakeFit, fake_fit, fit, write_camera, write_depth
from support.permissions import forbid

from handopt.cli.main import main
from handopt.errors import DepthError
from handopt.input.reader import Reader

__all__ = ["fake_fit"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two images, one more in a folder in it, and a camera."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for place in (folder, folder / "deep"):
        write_camera(place)
    for name in ("a", "b", "deep/c"):
        write_depth(folder / f"{name}.png")
    return folder


def piped(text: bytes, *arguments: str | Path) -> Result:
    """Run `handopt fit` with something on standard input."""
    return CliRunner().invoke(main, ["fit", *map(str, arguments)], input=io.BytesIO(text).read())


def summary(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "summary.jsonl").read_text().splitlines()]


def statuses(output: Path) -> dict[str, str]:
    return {Path(row["image"]).name: row["outcome"] for row in summary(output)}


def fitted(fake: FakeFit) -> list[str]:
    """Names of the images that were fitted since the last call."""
    names = [Path(call["image"]).name for call in fake.calls]
    fake.calls.clear()
    return names


# ------------------------------------------------------------------------------------------ what is taken


def test_folders_below_are_taken_when_asked_for_but_never_results(
    images: Path, fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(images, "-o", images / "fits").exit_code == 0
    assert fitted(fake_fit) == ["a.png", "b.png"]
    assert fit(images, "-r", "-o", images / "fits").exit_code == 0
    assert fitted(fake_fit) == ["c.png"]
    shutil.move(images / "fits", images / "old")
    (images / ".hidden").mkdir()
    shutil.copy(images / "a.png", images / ".hidden")
    assert fit(images, "--recursive", "-o", images / "fits").exit_code == 0
    assert fitted(fake_fit) == ["a.png", "b.png", "c.png"], "neither hidden folders nor pictures of other results"
    assert (images / "fits" / "deep" / "c" / "result.json").is_file()
    monkeypatch.chdir(images.parent)
    (images / "a.png").unlink()
    (images / "b.png").unlink()
    refused = fit(images, "-o", "fits")
    assert refused.exit_code == 2
    assert "--recursive looks into the folders in it" in " ".join(refused.stderr.split())


def test_patterns_in_quotes(images: Path, fake_fit: FakeFit, tmp_path: Path) -> None:
    assert fit(f"{images}/**/[bc].png", "-o", tmp_path / "out").exit_code == 0
    assert fitted(fake_fit) == ["b.png", "c.png"]
    refused = fit(f"{images}/*.tif", "-o", tmp_path / "out")
    assert refused.exit_code == 2
    assert "nothing matches" in refused.stderr


@pytest.mark.parametrize("way", ["pattern", "list", "names"])
def test_masks_beside_their_images_are_left_out_however_they_are_named(
    way: str, images: Path, fake_fit: FakeFit, tmp_path: Path
) -> None:
    write_depth(images / "a_mask.png")
    write_depth(images / "lone_mask.png")
    named = sorted(images.glob("*.png"))
    if way == "list":
        done = piped("".join(f"{each}\n" for each in named).encode(), "-", "-o", tmp_path / "out")
    else:
        done = fit(*([images / "*.png"] if way == "pattern" else named), "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert fitted(fake_fit) == ["a.png", "b.png", "lone_mask.png"], "a mask without its image is an image"
    assert fit(images / "a_mask.png", "-o", tmp_path / "alone").exit_code == 0
    assert fitted(fake_fit) == ["a_mask.png"]


def test_lists_from_standard_input(images: Path, fake_fit: FakeFit, tmp_path: Path) -> None:
    strange = write_depth(images / "new\nline.png")
    lines = f"{images / 'b.png'}\r\n\n{images / 'gone.png'}\n{images / 'deep'}\n".encode()
    some = piped(lines, "-", "-o", tmp_path / "out")
    assert some.exit_code == 1
    assert fitted(fake_fit) == ["b.png", "c.png"]
    assert f"Error: {images / 'gone.png'}: does not exist; check the path\n" in some.stderr
    assert statuses(tmp_path / "out") == {"b.png": "done", "gone.png": "failed", "c.png": "done"}
    null = piped(os.fsencode(strange) + b"\0" + os.fsencode(images / "a.png") + b"\0", "-", "-0", "-o", tmp_path / "o2")
    assert null.exit_code == 0, null.stderr
    assert fitted(fake_fit) == ["new\nline.png", "a.png"]
    for text, message in ((b"\n", "is empty"), (b"a\0b\0", "--null reads what find -print0 writes")):
        refused = piped(text, "-", "-o", tmp_path / "out")
        assert refused.exit_code == 2
        assert message in " ".join(refused.stderr.split())


# ------------------------------------------------------------------------------------ what is done again


def test_only_what_is_missing_is_done_and_the_output_is_the_same(
    images: Path, fake_fit: FakeFit, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "out")
    first = fit(images, *out, "--json", "-q")
    assert first.exit_code == 0
    assert len(fitted(fake_fit)) == 2
    again = fit(images, *out, "--json")
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert "2 of 2 images were done before and not fitted again.\n" in again.stderr
    assert not fitted(fake_fit)
    shutil.rmtree(tmp_path / "out" / "a")
    assert fit(images, *out).exit_code == 0
    assert fitted(fake_fit) == ["a.png"]
    assert statuses(tmp_path / "out") == {"a.png": "done", "b.png": "done"}
    assert fit(images, *out, "--overwrite").exit_code == 0
    assert fitted(fake_fit) == ["a.png", "b.png"]


def test_results_of_another_image_or_other_settings_are_skipped_until_updated(
    images: Path, fake_fit: FakeFit, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert fit(images, "-o", out, "--no-renders").exit_code == 0
    write_depth(images / "a.png", np.full((120, 160), 501))
    fitted(fake_fit)
    refused = fit(images, "-o", out, "--no-renders")
    assert refused.exit_code == 1
    told = (
        f"Skipped: {images / 'a.png'}: {out / 'a'} was made from another version of a.png, and was kept: replace such"
    )
    assert told in refused.stderr
    assert (
        "results with --update, all with --overwrite, or choose another -o\n1 of 2 images were done" in refused.stderr
    )
    assert refused.stderr.endswith("1 of 2 images were skipped.\n")
    assert statuses(out) == {"a.png": "skipped", "b.png": "done"}
    assert fit(images, "-o", out, "--no-renders", "--update").exit_code == 0
    assert fitted(fake_fit) == ["a.png"]
    assert "has no renders" in fit(images, "-o", out, "--renders").stderr
    assert fit(images, "-o", out, "--renders", "--update").exit_code == 0
    assert fitted(fake_fit) == ["a.png", "b.png"]
    write_camera(images, unit_mm=2)
    assert "was made from another version of camera.json" in fit(images, "-o", out).stderr
    config = tmp_path / "c.toml"
    config.write_text("starts = 7")
    assert fit(images, "-o", out, "--update", "--config", config).exit_code == 0
    assert "was made with another --config" in fit(images, "-o", out).stderr


def test_failed_images_are_tried_again_and_what_succeeded_is_not(
    images: Path, fake_fit: FakeFit, tmp_path: Path
) -> None:
    whole = (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(whole[:80])
    assert fit(images, "-o", tmp_path / "out").exit_code == 1
    assert statuses(tmp_path / "out") == {"a.png": "done", "b.png": "failed"}
    (row,) = [row for row in summary(tmp_path / "out") if row["outcome"] == "failed"]
    assert row["error"].startswith(f"{images / 'b.png'}: is damaged")
    assert row["folder"] is None
    (images / "b.png").write_bytes(whole)
    fitted(fake_fit)
    assert fit(images, "-o", tmp_path / "out").exit_code == 0
    assert fitted(fake_fit) == ["b.png"]
    assert statuses(tmp_path / "out") == {"a.png": "done", "b.png": "done"}


def test_one_image_alone_writes_no_summary(images: Path, fake_fit: FakeFit, tmp_path: Path) -> None:
    assert fit(images / "a.png", "-o", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert fit(images / "deep", "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "c", "summary.jsonl"]


def test_another_process_that_was_quicker_is_no_error(
    images: Path, fake_fit: FakeFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(images / "a.png", "-o", tmp_path / "other").exit_code == 0
    fake_fit.before = lambda _index: shutil.copytree(tmp_path / "other" / "a", tmp_path / "out" / "a")  # type: ignore
    quick = fit(images / "a.png", "-o", tmp_path / "out")
    assert quick.exit_code == 0, quick.stderr
    assert quick.stdout.startswith(str(tmp_path / "out" / "a"))


# ------------------------------------------------------------------------------------------------ bad input


def test_files_that_are_no_images_do_not_stop_the_others(images: Path, fake_fit: FakeFit, tmp_path: Path) -> None:
    (images / "empty.png").touch()
    (images / "text.png").write_text("no image at all")
    (images / "cut.tif").write_bytes((images / "a.png").read_bytes()[:100])
    (images / "dangling.png").symlink_to("nowhere")
    os.mkfifo(images / "pipe.png")
    write_depth(images / "wide.png", np.full((60, 200), 500))
    mixed = fit(images, "-o", tmp_path / "out")
    assert mixed.exit_code == 1
    assert statuses(tmp_path / "out") == {
        **dict.fromkeys(("a.png", "b.png"), "done"),
        **dict.fromkeys(("cut.tif", "empty.png", "text.png", "wide.png"), "failed"),
    }
    errors = {Path(row["image"]).name: row["error"] for row in summary(tmp_path / "out") if row["error"]}
    assert "camera.json" in errors["wide.png"], "its size is another than the camera's"
    assert all(error.startswith(str(images)) or "camera" in error for error in errors.values())
    assert "Traceback" not in mixed.stderr
    sizes = fit(images / "a.png", images / "wide.png", "--camera", "150,150,79.5,59.5", "-o", tmp_path / "sizes")
    assert sizes.exit_code == 0, "four numbers are a camera of any size"


def test_files_that_may_not_be_read(
    images: Path, fake_fit: FakeFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, images / "a.png")
    failed = fit(images, "-o", tmp_path / "out")
    assert failed.exit_code == 1
    assert f"Error: {images / 'a.png'}: cannot be read" in failed.stderr
    assert statuses(tmp_path / "out") == {"a.png": "failed", "b.png": "done"}


@pytest.mark.parametrize("moment", ["decoded", "refused"])
def test_a_file_that_changes_while_it_is_read(
    images: Path, fake_fit: FakeFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    read = Reader.read

    def growing(self: Reader, image: Path) -> Any:
        frame = read(self, image)
        if image.name == "a.png":
            with image.open("ab") as file:
                file.write(b"more")
            if moment == "refused":
                raise DepthError(f"{image}: is damaged")
        return frame

    monkeypatch.setattr(Reader, "read", growing)
    changed = fit(images, "-o", tmp_path / "out", "-q")
    assert changed.exit_code == 1
    assert changed.stderr.startswith(
        f"Error: {images / 'a.png'}: changed while it was read; run the same command again when it is complete\n"
    )
    assert fitted(fake_fit) == ["b.png"]


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(
    images: Path, fake_fit: FakeFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("handopt.storage.fit_folder.write_overlay", fill)
        stopped = fit(images, "-o", tmp_path / "out", "-q")
    assert stopped.exit_code == 1
    assert "the disk is full" in stopped.stderr
    assert "Stopped, as the disk is full: 1 images were not tried. Free some space and run the same" in stopped.stderr
    assert statuses(tmp_path / "out") == {"a.png": "failed"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.jsonl"]
    fitted(fake_fit)
    assert fit(images, "-o", tmp_path / "out").exit_code == 0
    assert fitted(fake_fit) == ["a.png", "b.png"]


def test_options_that_exclude_each_other(images: Path, tmp_path: Path) -> None:
    for words in ("-j 2 --workers 2", "--workers 2 --cluster tcp://localhost:1", "--update --overwrite"):
        refused = fit(images, *words.split(), "-o", tmp_path / "out")
        assert refused.exit_code == 2
        assert "exclude each other" in refused.stderr
    assert fit(images, "-j", "0").exit_code == 2
