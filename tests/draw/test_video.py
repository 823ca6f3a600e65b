"""The video of the optimisation, read back."""

from dataclasses import replace
from pathlib import Path

import imageio.v2
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from support.factories import fit_result

from handopt.draw import video
from handopt.draw.film import Film, load_film, write_trace
from handopt.draw.layout import Layout
from handopt.draw.line_chart import LineChart, per_stage
from handopt.draw.panels import Painter
from handopt.draw.video import write_optimisation
from handopt.errors import OutputError
from handopt.result import FitResult

AMBER = (255, 196, 84)  # of the curve
POSE = ("rotation", "translation_mm", "angles_rad", "scale")


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_result(iterations=5)


# the reader of imageio leaves its pipes to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_video_has_a_frame_per_iteration_and_they_look_right(result: FitResult, tmp_path: Path) -> None:
    path = tmp_path / "optimisation.mp4"
    write_optimisation(result, path, fps=10)
    read = iio.imread(path, plugin="FFMPEG")
    pictures = list(Painter(Film.of_fit(result)))
    expected = np.stack([*pictures, *[pictures[-1]] * 15])  # the last one is held for 1.5 s
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 6, "H.264 with colours at half resolution"
    facts = iio.immeta(path, plugin="FFMPEG")
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == 10


def test_the_video_looks_as_that_of_the_folder(result: FitResult, tmp_path: Path) -> None:
    write_trace(result, tmp_path / "trace.npz")
    film, read = Film.of_fit(result), load_film(tmp_path)
    assert read.stages == film.stages == ("start", "start", "pose", "pose", "pose")
    assert (read.title, read.captions) == (film.title, film.captions)
    assert film.captions[2][:2] == ("iteration 3 of 5", "stage pose")
    pictures = [Painter(each, size=100).frame(3).astype(int) for each in (film, read)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5
    assert pictures[0].shape[0] % 2 == pictures[0].shape[1] % 2 == 0


def test_a_trace_without_stages_is_still_read(result: FitResult, tmp_path: Path) -> None:
    write_trace(result, tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as arrays:
        np.savez(tmp_path / "trace.npz", **{name: arrays[name] for name in arrays.files if name != "stage"})
    film = load_film(tmp_path)
    assert film.stages is None
    assert [len(each) for each in film.captions] == [2] * 5
    Painter(film, size=100).frame(4)


def test_each_stage_of_a_video_begins_at_the_top() -> None:
    history = {"total": np.array([9.0, 5.0, 1.0, 1e6, 1e5]), "stage": np.array([0, 0, 0, 1, 1])}
    painter, size = Painter(Film.of_fit(fit_result(iterations=5, history=history)), ("depth",)), 300
    left, top = Layout(size, 2).corner(1)
    ends = []
    for index in range(5):
        panel = painter.frame(index)[top : top + size, left : left + size]
        ends.append(float(np.flatnonzero((panel > 200).all(axis=-1).sum(axis=1) > 3).mean()))  # the dot
    assert ends[0] < ends[1] < ends[2]
    assert abs(ends[3] - ends[0]) < 3
    assert abs(ends[4] - ends[2]) < 3


def test_the_curve_grows(result: FitResult) -> None:
    curve = LineChart(result.history["total"], 700, 150)
    reach = []
    for index in range(5):
        strip = curve.upto(index).astype(int)
        assert strip.shape == (150, 700, 3)
        reach.append(np.flatnonzero((np.abs(strip - AMBER).sum(axis=-1) < 60).any(axis=0)))
    ends = [columns.max() for columns in reach[1:]]
    assert (np.diff(ends) > 50).all()
    assert len(reach[0]) < 5


def test_the_stages_are_named_below_the_curve_where_there_is_room() -> None:
    total = np.linspace(1, 0.1, 40)
    stages = [np.repeat(0, 40), np.repeat([0, 1], 20), np.arange(40)]
    below = []
    for stage in stages:
        strip = LineChart(total, 700, 150, title="objective", stages=[str(each) for each in stage]).upto(0)
        below.append(int((strip[-18:, 30:620].max(axis=-1) > 60).sum()))
    assert 0 < below[0] < below[1] < below[2] < 20 * below[0]


@pytest.mark.parametrize(
    "total",
    [[3.0, 2.0, -1.0, 0.0, 1.0], [np.nan, 2.0, np.inf, 1.0, 0.5], [np.nan] * 5, [1.0] * 5, [0.0] * 5],
    ids=["negative", "gaps", "unknown", "constant", "zero"],
)
def test_any_loss_can_be_drawn(total: list[float]) -> None:
    pictures = [LineChart(np.array(total), 600, 150).upto(index) for index in range(5)]
    lit = [int((picture != pictures[0]).any(axis=-1).sum()) for picture in pictures]
    assert (max(lit) > 0) == bool(np.isfinite(total).any())


def test_one_iteration_makes_a_video(tmp_path: Path) -> None:
    result = fit_result(iterations=1)
    write_optimisation(result, tmp_path / "one.mp4")
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "one.mp4"))[0] == 1 + 8  # 1.5 s at 5 frames a second


def test_no_iteration_is_refused(result: FitResult, tmp_path: Path) -> None:
    none = replace(result.trace, **{name: getattr(result.trace, name)[:0] for name in POSE})
    empty = fit_result(trace=none, history={"total": np.zeros(0)})
    with pytest.raises(OutputError, match="video="):
        write_optimisation(empty, tmp_path / "none.mp4")


def test_a_failure_of_ffmpeg_names_the_option(
    result: FitResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match="video="):
        write_optimisation(result, tmp_path / "missing" / "video.mp4")
    capfd.readouterr()


def test_a_missing_ffmpeg_names_the_option(result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **options: object) -> None:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio.v2, "get_writer", missing)
    with pytest.raises(OutputError, match=r"No ffmpeg exe .*video="):
        write_optimisation(result, tmp_path / "video.mp4")


def test_a_video_that_lacks_frames_is_noticed(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        video, "_with_last_held", lambda pictures, held: [*pictures, *[next(iter(pictures))] * (held - 1)]
    )
    with pytest.raises(OutputError, match="12 of 13 frames"):
        write_optimisation(result, tmp_path / "video.mp4")


@pytest.mark.parametrize(("count", "fps"), [(1, 5.0), (40, 5.0), (80, 10.0), (1000, 30.0)])
def test_an_optimisation_can_be_followed(count: int, fps: float) -> None:
    assert video.optimisation_fps(count) == fps


def test_each_stage_has_its_own_scale() -> None:
    scaled = per_stage(np.array([9.0, 5.0, 1.0, 300.0, np.nan, 100.0, 7.0]), ["a", "a", "a", "b", "b", "b", "c"])
    np.testing.assert_allclose(scaled, [1, 0.5, 0, 1, np.nan, 0, 0])
