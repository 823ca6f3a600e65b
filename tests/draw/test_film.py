"""Folders of tracks, and videos of tracks and optimisations."""

import json
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from support.factories import fit_result
from support.sequences import COUNT, DROPOUT, followed

from handopt import atomic_folder
from handopt.draw import colour
from handopt.draw.film import Film, load_film
from handopt.draw.layout import Layout
from handopt.draw.line_chart import LineChart
from handopt.draw.panels import Painter, palette
from handopt.draw.video import write_video
from handopt.errors import ConfigError, OutputError
from handopt.storage.fit_folder import save
from handopt.storage.track_folder import check_free, save_track

# the reader of imageio leaves its pipes to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_track(followed(), tmp_path_factory.mktemp("tracks") / "track", video=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(fit_result(iterations=4), tmp_path_factory.mktemp("fits") / "hand")


def test_a_folder_holds_the_whole_track(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"track.json", "track.npz", "track.jsonl", "hand.glb", "hand.bvh"}
    lines = [json.loads(line) for line in (folder / "track.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(COUNT))
    track = followed()
    assert np.allclose(lines[3]["joints_mm"], track.joints_mm()[3], atol=1e-3)
    assert lines[DROPOUT[0]]["bridged"]
    header = json.loads((folder / "track.json").read_text())
    assert header["format"] == "handopt.track/1"
    assert (header["frames"], header["tracked_frames"], header["hand"]) == (COUNT, int(track.tracked.sum()), "right")
    with np.load(folder / "track.npz") as arrays:
        assert np.allclose(arrays["joints_mm"], track.joints_mm(), atol=1e-3)
        assert arrays["window_depth_mm"].dtype == np.uint16


def test_a_folder_is_kept_unless_it_is_a_track_to_be_replaced(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="overwrite=True"):
        save_track(followed(), folder, video=False)
    check_free(folder, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="no track of handopt"):
        check_free(tmp_path / "mine", overwrite=True)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(atomic_folder.FULL_DISK[0], "No space left on device")

    monkeypatch.setattr("handopt.storage.track_folder.write_bvh", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_track(followed(), tmp_path / "track", video=False)
    assert list(tmp_path.iterdir()) == []


def test_a_film_read_back_shows_the_same(folder: Path) -> None:
    film, read = Film.of_track(followed()), load_film(folder)
    for frame in (0, 10):
        assert np.allclose(film.posed(frame)[0], read.posed(frame)[0], atol=1e-3)
        assert np.array_equal(film.depth(frame), read.depth(frame))
    assert (read.captions, read.fps) == (film.captions, film.fps)
    assert film.captions[DROPOUT[0]][-1] == "bridged"


def test_fitted_and_observed_depth_agree_in_the_window() -> None:
    film = Film.of_track(followed())
    for side in (film.depth_mm.shape[1], film.needed_px()):
        view = film.view(5, side)
        vertices, joints = film.posed(5)
        fitted = view.rasterised(vertices, film.hand.faces)
        both = (fitted > 0) & (view.depth_mm > 0)
        assert both.sum() > 500
        assert np.median(np.abs(fitted - view.depth_mm)[both]) < 4
        fine = view.rasterised(vertices, film.hand.faces, 3 * side)
        np.testing.assert_allclose(fine[1::3, 1::3], fitted, atol=0.1, err_msg="every third pixel is the same ray")
        columns, rows = np.rint(view.pixels(joints, 3 * side) - 0.5).astype(int).T
        assert (fine[rows, columns] > 0).mean() > 0.9, "joints lie in the hand"


def test_the_view_is_as_narrow_as_the_hand_allows() -> None:
    film = Film.of_track(followed())
    side, whole = film.needed_px(), film.depth_mm.shape[1]
    assert side < whole
    assert (whole - side) % 2 == 0
    places = np.concatenate([film.view(frame, side).pixels(film.posed(frame)[1], side) for frame in range(COUNT)])
    assert ((places > 0) & (places < side)).mean() > 0.98
    assert film.view(0, whole).side_mm == 2 * film.half_mm


def test_panels_show_what_they_say_and_have_their_scales() -> None:
    film = Film.of_track(followed())
    every = ("depth", "fit", "overlay", "residual")
    for panels, turntable in ((every, False), (("fit",), True), (("residual", "depth"), False)):
        painter = Painter(film, panels, 120, turntable=turntable)
        count = len(panels) + turntable
        picture = painter.frame(2)
        assert picture.shape == (painter.height, painter.width, 3)
        assert painter.width >= count * 120
        left, top = Layout(120, count).corner(count - 1)
        last = picture[top : top + 120, left : left + 120]
        assert (last == colour.EMPTY).all(axis=-1).mean() > 0.3
        assert len(np.unique(last.reshape(-1, 3), axis=0)) > 20
        assert painter.height % 2 == painter.width % 2 == 0
    first, later = (Painter(film, ("fit",), 120, turntable=True).frame(index)[:, 136:] for index in (0, 1))
    assert not np.array_equal(first, later)


def test_a_hand_that_turns_stays_in_view() -> None:
    film = Film.of_track(followed())
    size, (left, top) = 120, Layout(120, 2).corner(1)
    painter = Painter(film, ("fit",), size, turntable=True)
    for frame in (0, 8, 16):
        panel = painter.frame(frame)[top : top + size, left : left + size]
        rim = np.concatenate([panel[0], panel[-1], panel[:, 0], panel[:, -1]])
        assert (rim == colour.EMPTY).all()
        assert (panel != colour.EMPTY).any(axis=-1).mean() > 0.05


def test_colours_follow_a_hand_that_comes_and_goes_and_stay_for_one_that_does_not() -> None:
    film = Film.of_track(followed())
    calm = replace(film, centers_mm=film.centers_mm * (1, 1, 0) + (0, 0, 500))
    away = replace(film, centers_mm=film.centers_mm + np.linspace(0, 300, COUNT)[:, None] * (0, 0, 1))
    assert not Painter(calm, size=80)._moving
    assert Painter(away, size=80)._moving
    numbers = [Painter(away, ("depth",), 80).frame(index)[-50:-28] for index in (2, 20)]
    assert not np.array_equal(*numbers)


def test_gifs_have_the_colours_of_the_frames(tmp_path: Path) -> None:
    film = Film.of_track(followed())
    table = palette()
    assert table.shape == (256, 3)
    write_video(film, tmp_path / "film.gif", size=160)
    painter = Painter(film, size=160)
    with Image.open(tmp_path / "film.gif") as image:
        image.seek(4)
        read = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(read - painter.frame(4)).mean() < 2
    left, top = Layout(160, 4).corner(0)
    bar = read[top + 160 + 10, left : left + 100]
    assert len(np.unique(bar, axis=0)) > 40, "the scale has bands"


@pytest.mark.parametrize(
    ("panels", "size"), [((), 120), (("depth", "colour"), 120), (("depth",), 20), (("depth",), 9999)]
)
def test_panels_that_do_not_exist_are_refused(panels: tuple[str, ...], size: int) -> None:
    with pytest.raises(ConfigError, match=r"panels|size"):
        Painter(Film.of_track(followed()), panels, size)


def test_an_mp4_has_a_frame_for_each(folder: Path, tmp_path: Path) -> None:
    film = load_film(folder)
    ticks: list[int] = []
    write_video(film, tmp_path / "track.mp4", size=100, fps=15, progress=lambda: ticks.append(1))
    read = iio.imread(tmp_path / "track.mp4", plugin="FFMPEG")
    painter = Painter(film, size=100)
    assert read.shape == (COUNT, painter.height, painter.width, 3)
    assert np.abs(read[4].astype(int) - painter.frame(4)).mean() < 8
    assert len(ticks) == COUNT
    assert iio.immeta(tmp_path / "track.mp4", plugin="FFMPEG")["fps"] == 15
    assert [path.name for path in tmp_path.iterdir()] == ["track.mp4"]


def test_an_optimisation_shows_its_iterations_and_the_objective(fitted: Path, tmp_path: Path) -> None:
    film = load_film(fitted)
    assert len(film) == 4
    assert film.captions[0][0] == "iteration 1 of 4"
    painter = Painter(film, size=100)
    assert painter.width >= 5 * 100
    write_video(film, tmp_path / "fit.gif", size=100)
    with Image.open(tmp_path / "fit.gif") as image:
        assert getattr(image, "n_frames", 1) == 4
        assert image.size == (painter.width, painter.height)


def test_the_curve_is_uncovered_from_left_to_right() -> None:
    curve = LineChart(np.array([10.0, 5.0, np.nan, 1.0]), 120, 120)
    lit = [np.abs(curve.upto(index).astype(int) - curve.upto(0)).sum() for index in range(4)]
    assert lit[1] > 0
    assert lit[3] > lit[1]
    assert np.array_equal(curve.upto(2), curve.upto(1)), "nothing is known of the third"
    LineChart(np.full(3, np.nan), 120, 120).upto(2)
    high, alone = (LineChart(np.array([8.0, 9.0]), 120, 120, over=over) for over in (np.array([1.0, 9.0]), None))
    assert (high._rows[0] - high._rows[1]) < 0.2 * (alone._rows[0] - alone._rows[1]), "the axis reaches down to 1"
    LineChart(np.array([-1.0, 1.0]), 120, 120).upto(1)


def test_folders_that_cannot_be_shown_say_what_to_do(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="not a folder"):
        load_film(tmp_path / "nothing")
    with pytest.raises(OutputError, match="track or handopt fit wrote"):
        load_film(tmp_path)
    (tmp_path / "track.npz").write_bytes((folder / "track.npz").read_bytes()[:2000])
    with pytest.raises(OutputError, match="damaged"):
        load_film(tmp_path)
    np.savez(tmp_path / "track.npz", header=np.array("{}"))
    with pytest.raises(OutputError, match="damaged"):
        load_film(tmp_path)


@pytest.mark.parametrize(("name", "fps"), [("film.avi", 30.0), ("film.mp4", -1.0), ("film.gif", 1e6)])
def test_videos_that_cannot_be_made_are_refused(name: str, fps: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_video(Film.of_track(followed()), tmp_path / name, fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_video(Film.of_track(followed()), tmp_path / "missing" / "film.gif", size=80)


@pytest.mark.parametrize(
    ("fps", "shown", "hundredths"), [(30.0, 24, 80), (60.0, 12, 40), (7.0, 24, 343), (50.0, 24, 48)]
)
def test_gifs_run_in_real_time(fps: float, shown: int, hundredths: int, tmp_path: Path) -> None:
    write_video(Film.of_track(followed()), tmp_path / "film.gif", size=80, panels=["fit"], fps=fps)
    with Image.open(tmp_path / "film.gif") as image:
        durations = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            durations.append(image.info["duration"])
    assert sum(durations) == 10 * hundredths  # Pillow joins equal pictures, so that not all are frames of their own
    assert len(durations) <= shown
    assert min(durations) >= 20


def test_doubtful_and_bridged_frames_are_framed_and_the_confidence_is_told() -> None:
    film = Film.of_track(followed())
    assert film.confidence is not None
    assert film.bridged is not None
    bridged = int(np.flatnonzero(film.bridged)[0])
    low = film.confidence.copy()
    low[4], low[5] = 0.31, 0.9
    film = replace(film, confidence=low, captions=Film.of_track(replace(followed(), confidence=low)).captions)
    assert [film.mark(index) for index in (4, 5, bridged)] == ["doubtful", "", "bridged"]
    assert film.captions[4][2] == "confidence 0.31"
    assert film.captions[bridged][2] == "bridged"
    painter, (left, top) = Painter(film, ("overlay",), 100), Layout(100, 1).corner(0)
    for index, rgb in ((4, colour.DOUBTFUL), (bridged, colour.BRIDGED)):
        picture = painter.frame(index)
        np.testing.assert_array_equal(picture[top, left : left + 100], np.broadcast_to(rgb, (100, 3)))
    assert not (painter.frame(5)[top, left : left + 100] == colour.DOUBTFUL).all(axis=-1).any()


def test_an_inset_shows_where_in_the_whole_image_the_hand_is() -> None:
    film = Film.of_track(followed())
    size = 200
    left, top = Layout(size, 1).corner(0)
    picture = Painter(film, ("depth",), size).frame(3)[top : top + size, left : left + size]
    inset = picture[size - 45 :, size - 60 :]  # 320 x 240 pixels at 0.3 of the panel's width
    np.testing.assert_array_equal(inset[0], np.broadcast_to(colour.FAINT_INK, (60, 3)))
    hand = film.camera.project(film.posed(3)[1]).mean(axis=0) * 60 / 320
    rows, columns = np.nonzero((inset[1:-1, 1:-1] == colour.INK).all(axis=-1))
    assert rows.size > 20
    assert columns.min() < hand[0] < columns.max() + 2
    assert rows.min() < hand[1] < rows.max() + 2
    other = Painter(film, ("fit",), size).frame(3)[top + size - 45, left + size - 60 : left + size]
    assert not (other == colour.FAINT_INK).all(axis=-1).any(), "one inset is enough"


def test_a_chart_names_what_there_is_a_value_for() -> None:
    values = np.array([10.0, 5.0, 1.0])
    frames, iterations = (LineChart(values, 300, 120, unit=unit).upto(2) for unit in ("frame", "iteration"))
    assert not np.array_equal(frames[100:, 150:], iterations[100:, 150:])
    assert np.array_equal(frames[:90], iterations[:90])
