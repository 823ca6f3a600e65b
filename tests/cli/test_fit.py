"""`handopt fit`: what it writes, prints and returns when all goes well, and how it goes on when something does not."""

import errno
import fcntl
import json
import math
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support.fit_cli import EXAMPLES, QUICK, FakeFit, fake_fit, fit, write_camera, write_depth

from handopt.assess.confidence import confidence_text
from handopt.errors import ObservationError

__all__ = ["fake_fit"]

CONTENT = {"result.json", "provenance.json", "mesh.glb", "overlay.png", "history.csv", "renders", "trace.npz"}


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of three images, one of them broken, and a camera."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_camera(folder)
    for name in ("a", "c"):
        write_depth(folder / f"{name}.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    return folder


# ------------------------------------------------------------------------------------------- what it does


def test_an_example_becomes_a_folder_of_results(tmp_path: Path, quick: Path) -> None:
    out = tmp_path / "out"
    printed = fit(EXAMPLES / "open.png", "-o", out, "--config", quick, "--ply", "--obj", "--video", "-v")
    assert printed.exit_code == 0, printed.stderr
    assert {path.name for path in (out / "open").iterdir()} == {*CONTENT, "mesh.ply", "mesh.obj", "optimisation.mp4"}
    result = json.loads((out / "open" / "result.json").read_text())
    folder, status, median, overlap, confidence, seconds, side = printed.stdout.rstrip("\n").split("\t")
    assert folder == str(out / "open")
    assert status == result["status"]
    assert median == f"{result['residual_mm']['median']:.1f} mm"
    assert overlap == f"IoU {result['silhouette_iou']:.2f}"
    assert side == f"right hand (margin {result['hand_margin']:.2f})"
    assert result["confidence"] != round(result["confidence"], 2), "files keep their digits"
    assert confidence == f"confidence {confidence_text(result['confidence'])}"
    assert result["confidence"] > 0.9
    assert float(seconds.removesuffix(" s")) > 0
    assert result["hand"] == "right"
    assert result["config"]["starts"] == 2
    assert "read" in result["seconds"]
    assert len(result["notes"]) >= 3
    for sentence in result["notes"]:
        assert sentence in printed.stderr
    assert "weights: depth " in printed.stderr
    assert f"{result['iterations']} iterations on {result['device']}" in printed.stderr
    assert "terms: " in printed.stderr


def test_json_prints_what_is_stored_and_the_hand_is_that_of_the_file_beside(tmp_path: Path, quick: Path) -> None:
    out = tmp_path / "out"
    printed = fit(EXAMPLES / "left.png", "-o", out, "--config", quick, "--json", "-q", "--no-renders", "--seed", "3")
    assert printed.exit_code == 0
    assert printed.stdout.count("\n") == 1
    assert printed.stderr == ""
    result = json.loads(printed.stdout)
    assert result == json.loads((out / "left" / "result.json").read_text())
    assert (result["hand"], result["seed"], result["image"]) == ("left", 3, str(EXAMPLES / "left.png"))
    assert {path.name for path in (out / "left").iterdir()} == CONTENT - {"renders"}


def test_options_reach_the_fit(tmp_path: Path, fake_fit: FakeFit) -> None:
    image = write_depth(tmp_path / "a.png")
    write_depth(tmp_path / "mask.png", [[0, 255] * 80] * 120)
    arguments = (
        "--camera 150,150,79.5,59.5 --unit 2 --hand auto --shape vertices --device cpu --seed 7 --limits printed "
        f"--box 10,20,100,110 --center 1,2,300 --mask {tmp_path / 'mask.png'} -o {tmp_path / 'out'}"
    )
    assert fit(image, *arguments.split()).exit_code == 0
    (call,) = fake_fit.calls
    assert (call["depth_mm"] == 1000).all()
    assert (call["camera"].fx, call["camera"].width) == (150.0, 160)
    assert (call["hand"], call["shape"], call["device"], call["seed"]) == ("auto", "vertices", "cpu", 7)
    assert (call["box"], call["center"]) == ((10, 20, 100, 110), (1, 2, 300))
    assert call["mask"].tolist() == [[False, True] * 80] * 120
    assert call["rig"].limits.name == "printed"
    assert call["progress"] is None, "nobody watches"


def test_a_folder_is_its_depth_files_in_order_and_one_bad_image_stops_nothing(
    images: Path, tmp_path: Path, fake_fit: FakeFit
) -> None:
    (images / "notes.txt").write_text("no depth")
    (images / ".hidden.png").write_text("no depth")
    (images / "sub.png").mkdir()
    printed = fit(images, images / "a.png", "-o", tmp_path / "out", "--no-renders")
    assert printed.exit_code == 1
    assert [call["image"] for call in fake_fit.calls] == [str(images / "a.png"), str(images / "c.png")]
    assert [line.split("\t")[0] for line in printed.stdout.splitlines()] == [
        str(tmp_path / "out" / "a"),
        str(tmp_path / "out" / "c"),
    ]
    errors = [line for line in printed.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert errors[0].startswith(f"Error: {images / 'b.png'}: is damaged")
    assert printed.stderr.endswith("1 of 3 images failed.\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "c", "summary.jsonl"]


def test_assumptions_are_printed_and_stored_but_not_when_quiet(tmp_path: Path, fake_fit: FakeFit) -> None:
    image = write_depth(tmp_path / "a.png")
    camera = ("--camera", "150,150,79.5,59.5", "-o", str(tmp_path / "out"))
    fake_fit.changes["notes"] = ("The forearm was cut off.",)
    printed = fit(image, *camera)
    assert printed.stderr.count(f"{image}: ") == 3
    assert f"{image}: Nothing says which hand it is, so that both were tried (--hand changes this).\n" in printed.stderr
    assert printed.stderr.endswith(f"{image}: The forearm was cut off.\n")
    assert "Nothing says which hand it is, so that both were tried (hand= changes this)." in fake_fit.calls[0]["notes"]
    assert fit(image, *camera, "--overwrite", "-q").stderr == ""


# ---------------------------------------------------------------------------------------- what goes wrong


def test_existing_results_are_kept_unless_overwritten(images: Path, tmp_path: Path, fake_fit: FakeFit) -> None:
    out = tmp_path / "out"
    assert fit(images / "a.png", "-o", out).exit_code == 0
    (out / "a" / "mine").write_text("kept")
    refused = fit(images / "a.png", images / "c.png", "-o", out, "--seed", "1")
    assert refused.exit_code == 1
    assert f"{out / 'a'} was made with another --seed (0, now 1), and was kept: replace" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert refused.stdout.startswith(str(out / "c"))
    assert len(fake_fit.calls) == 2, "it is refused before the fit"
    assert (out / "a" / "mine").read_text() == "kept"
    assert fit(images / "a.png", "-o", out, "--overwrite").exit_code == 1, "somebody's file is in it"
    (out / "a" / "mine").unlink()
    (out / "a" / "mesh.ply").write_text("old")
    assert fit(images / "a.png", "-o", out, "--overwrite").exit_code == 0
    assert {path.name for path in (out / "a").iterdir()} == CONTENT


def test_a_full_disk_is_said_and_leaves_nothing(
    images: Path, tmp_path: Path, fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("handopt.storage.fit_folder.write_overlay", fill)
    failed = fit(images / "a.png", "-o", tmp_path / "out", "-q")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1
    assert "the disk is full" in failed.stderr
    assert "-o" in failed.stderr
    assert not (tmp_path / "out").exists()


def test_errors_that_nobody_foresaw_stop_one_image_only(
    images: Path, tmp_path: Path, fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_one(index: int) -> None:
        if fake_fit.calls[index]["image"].endswith("a.png"):
            raise ZeroDivisionError("division by\nzero")

    fake_fit.before = fail_one
    arguments = (images / "a.png", images / "c.png", "-q", "--overwrite", "-o", tmp_path / "out")
    failed = fit(*arguments)
    assert failed.exit_code == 1
    assert (
        failed.stderr
        == f"Error: {images / 'a.png'}: ZeroDivisionError: division by zero (-vv shows where)\n1 of 2 images failed.\n"
    )
    assert failed.stdout.startswith(str(tmp_path / "out" / "c"))
    fake_fit.calls.clear()
    assert "Traceback (most recent call last)" in fit(*arguments, "-vv").stderr
    fake_fit.calls.clear()
    monkeypatch.setenv("HANDOPT_TRACEBACK", "1")
    assert "ZeroDivisionError: division by\nzero" in fit(*arguments).stderr


def test_no_hand_is_an_error_and_so_is_a_fit_that_covers_nothing(
    images: Path, tmp_path: Path, fake_fit: FakeFit
) -> None:
    def hide(_index: int) -> None:
        raise ObservationError("no hand was found; say where it is with --box")

    fake_fit.before = hide
    lost = fit(images / "a.png", "-o", tmp_path / "out", "-q")
    assert (lost.exit_code, lost.stdout) == (1, "")
    assert lost.stderr == f"Error: {images / 'a.png'}: no hand was found; say where it is with --box\n"
    fake_fit.before = lambda _index: None
    fake_fit.changes["residual_mm"] = {"median": math.inf, "mean": math.inf, "p95": math.inf}
    missed = fit(images / "a.png", "-o", tmp_path / "out", "-q")
    assert missed.exit_code == 1
    assert missed.stdout.split("\t")[2] == "inf mm"
    assert (tmp_path / "out" / "a" / "result.json").is_file()


@pytest.mark.parametrize("moment", ["fit", "write"])
def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_half_written(
    images: Path, tmp_path: Path, fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    assert fit(images / "a.png", "-o", tmp_path / "out", "--no-renders").exit_code == 0

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    if moment == "fit":
        fake_fit.before = interrupt
    else:
        monkeypatch.setattr("handopt.storage.fit_folder.write_overlay", interrupt)
    stopped = fit(images / "c.png", "-o", tmp_path / "out", "-q")
    assert stopped.exit_code == 130
    assert stopped.stdout == ""
    assert stopped.stderr == "Interrupted: finished results are kept, unfinished ones left no trace.\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


# ------------------------------------------------------------------------------------ as a process of its own


@pytest.mark.process
def test_sigint_stops_a_running_fit(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "handopt", "fit", str(EXAMPLES / "open.png"), "-o", str(tmp_path / "out")]
    with subprocess.Popen([*command, "-v"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("weights: ")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-1].startswith("Interrupted: ")
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.process
def test_a_pipe_stays_free_of_bars(images: Path, tmp_path: Path) -> None:
    (images / "a.png").unlink()
    (images / "c.png").write_text("no image")
    command = [sys.executable, "-P", "-m", "handopt", "fit", str(images), "-o", str(tmp_path / "out")]
    piped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert piped.returncode == 1
    assert "\r" not in piped.stderr
    assert len(piped.stderr.splitlines()) == 3, "two errors and a summary"


@pytest.mark.process
@pytest.mark.parametrize(("several", "unit"), [(False, " iteration"), (True, " image")])
def test_a_terminal_shows_a_bar(images: Path, tmp_path: Path, quick: Path, several: bool, unit: str) -> None:
    if several:
        (images / "a.png").write_text("no image")
        (images / "c.png").unlink()
    files = [str(images)] if several else [str(EXAMPLES / "open.png")]
    command = [sys.executable, "-P", "-m", "handopt", "fit", *files, "--config", str(quick), "--no-renders", "-o"]
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen([*command, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while chunk := read_terminal(leader):
            shown += chunk
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
    os.close(leader)
    assert process.returncode == int(several)
    assert f"{unit}/s".encode() in shown or f"s/{unit}".encode() in shown
    assert b"\r" in shown
    assert len(lines) == int(not several)


def read_terminal(descriptor: int) -> bytes:
    """What a pseudo-terminal shows next; nothing once its other end is closed."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


@pytest.mark.process
def test_a_full_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-P", "-m", "handopt", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot write to standard output: No space left on device" in done.stderr


@pytest.mark.process
def test_sigterm_leaves_no_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "handopt", "fit", str(EXAMPLES / "open.png"), "-o", str(tmp_path / "out")]
    with subprocess.Popen([*command, "--video"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("out/.handopt-*.partial")):
            assert process.poll() is None, "the fit ended before it wrote"
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.rglob("*"))


def test_the_camera_file_says_which_hand_it_is(tmp_path: Path, quick: Path) -> None:
    shutil.copy(EXAMPLES / "left.png", tmp_path / "hand.png")
    shutil.copy(EXAMPLES / "left.json", tmp_path / "lens.json")
    lens = tmp_path / "lens.json"
    done = fit(tmp_path / "hand.png", "--camera", lens, "--config", quick, "-o", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["hand"] == "left"
    assert f"The hand is a left hand, as {lens} says." in done.stderr
