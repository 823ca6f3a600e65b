"""Exported labels: what eval reads back, what is left out, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.exports import Fits
from support.factories import fit_result

from handopt.errors import OutputError
from handopt.evaluation import evaluate
from handopt.export.labels import FORMATS, export_labels, read_records
from handopt.storage import save

ALL = ("csv", "parquet", "npz", "coco", "freihand", "interhand", "nyu", "icvl", "msra", "dexycb")


def test_the_formats_are_those_of_the_documents() -> None:
    assert tuple(FORMATS) == ALL


@pytest.mark.parametrize("format", ALL)
def test_fits_score_0_mm_against_their_own_labels(fits: Fits, tmp_path: Path, format: str) -> None:
    done = export_labels([fits.folder], tmp_path / "labels", format=format)
    assert (done.hands, done.left_out) == (2, 0)
    scored = evaluate(fits.folder, tmp_path / "labels")
    assert scored.frames != scored.predictions
    assert not scored.missing
    assert scored.errors_mm.max() < 2e-3, "text has a thousandth of a pixel or of a millimetre"


@pytest.mark.parametrize("format", ALL)
def test_tracks_score_0_mm_against_their_own_labels(track: Path, tmp_path: Path, format: str) -> None:
    done = export_labels([track], tmp_path / "labels", format=format)
    scored = evaluate(track, tmp_path / "labels")
    assert len(scored.frames) == done.hands
    assert not scored.missing
    assert scored.errors_mm.max() < 2e-3


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".json"])
def test_a_single_file_is_read_back(fits: Fits, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "deep" / f"labels{suffix}"
    assert export_labels([fits.folder], file).path == file
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert evaluate(fits.folder, file).errors_mm.max() < 2e-3
    assert evaluate(file, file).errors_mm.max() == 0, "it is read as predictions, too"


def test_the_manifest_says_what_is_there(fits: Fits, tmp_path: Path) -> None:
    export_labels([fits.folder], tmp_path / "labels", format="freihand", crop=32)
    document = json.loads((tmp_path / "labels" / "export.json").read_text())
    assert document["format"] == "handopt.export/1"
    assert (document["labels"], document["file"], document["images"]) == ("freihand", "training_xyz.json", 2)
    assert document["hands"] == {"right": 1, "left": 1}
    assert {*document["files"], "export.json"} == {path.name for path in (tmp_path / "labels").iterdir()}
    assert (tmp_path / "labels" / "names.txt").read_text().split() == ["left/000", "right/000"]


def test_doubtful_hands_are_left_out(fits: Fits, tmp_path: Path) -> None:
    done = export_labels([fits.folder], tmp_path / "sure.csv", min_confidence=0.5)
    assert (done.hands, done.left_out) == (1, 1)
    assert "left/000" not in (tmp_path / "sure.csv").read_text()
    with pytest.raises(OutputError, match=r"none of 2 results has a confidence of 0\.99: lower min_confidence="):
        export_labels([fits.folder], tmp_path / "none.csv", min_confidence=0.99)
    assert not (tmp_path / "none.csv").exists()


def test_frames_without_a_hand_are_left_out(track: Path) -> None:
    lines = [json.loads(line) for line in (track / "track.jsonl").read_text().splitlines()]
    records, left_out = read_records([track])
    assert left_out == 0
    assert [record.frame for record in records] == [line["frame"] for line in lines if line["joints_mm"] is not None]
    assert [record.name for record in records[:2]] == ["000", "001"]
    bridged = [line["frame"] for line in lines if line["bridged"]]
    kept, dropped = read_records([track], min_confidence=0.01)
    assert len(kept) + dropped == len(records)
    assert not {record.frame for record in kept} & set(bridged), "nobody knows their confidence"


def test_each_result_has_a_name_of_its_own(fits: Fits, track: Path) -> None:
    records, _ = read_records([fits.folder / "right" / "000", fits.folder / "left" / "000", track])
    names = [record.name for record in records]
    assert names[:2] == ["right/000", "left/000"]
    assert names[2] == f"{track.name}/000"
    assert len(read_records([fits.folder, fits.folder / "right" / "000"])[0]) == 2, "each result counts once"


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    for place in ("a", "b"):
        save(fit_result(iterations=2), tmp_path / place / "fits" / "000", renders=False, overlay=False)
    with pytest.raises(OutputError, match="two results are called fits/000: export them apart"):
        read_records([tmp_path / "a" / "fits", tmp_path / "b" / "fits"])


def test_what_cannot_be_written_is_said_before_the_work(fits: Fits, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"labels\.csv is a name for csv, not for format='coco'"):
        export_labels([fits.folder], tmp_path / "labels.csv", format="coco")
    with pytest.raises(OutputError, match=r"format='freehand' is unknown \(did you mean 'freihand'\?\)"):
        export_labels([fits.folder], tmp_path / "labels", format="freehand")
    with pytest.raises(OutputError, match="NYU Hand Pose has joints in the camera's frame: leave out root_relative="):
        export_labels([fits.folder], tmp_path / "labels", format="nyu", root_relative=True)
    with pytest.raises(OutputError, match="crops need a folder"):
        export_labels([fits.folder], tmp_path / "labels.csv", crop=64)
    with pytest.raises(OutputError, match="no results of handopt fit or handopt track there"):
        export_labels([tmp_path], tmp_path / "labels")
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_replaced_and_nothing_else(fits: Fits, tmp_path: Path) -> None:
    for output in (tmp_path / "labels", tmp_path / "labels.csv"):
        export_labels([fits.folder], output, overwrite=True)
        with pytest.raises(OutputError, match="exists and was kept: replace it with overwrite=True"):
            export_labels([fits.folder], output)
        export_labels([fits.folder], output, overwrite=True)
    (tmp_path / "labels" / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"holds mine\.txt, which is not handopt's"):
        export_labels([fits.folder], tmp_path / "labels", overwrite=True)
    with pytest.raises(OutputError, match="holds no export of handopt and was kept"):
        export_labels([fits.folder], fits.folder, overwrite=True)


@pytest.mark.parametrize("format", ["nyu", "icvl", "msra"])
def test_images_of_two_cameras_are_refused_where_a_format_has_one(tmp_path: Path, format: str) -> None:
    for name, width in (("000", 320), ("001", 200)):
        save(fit_result(iterations=2, width=width), tmp_path / "fits" / name, renders=False, overlay=False)
    with pytest.raises(OutputError, match=f"000 and 001 have different cameras, and files of format='{format}'"):
        export_labels([tmp_path / "fits"], tmp_path / "labels", format=format)
    assert not (tmp_path / "labels").exists()
    export_labels([tmp_path / "fits"], tmp_path / "labels", format="interhand")
    assert evaluate(tmp_path / "fits", tmp_path / "labels").errors_mm.max() < 1e-9


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("joints_mm", [[1, 2, 3]], "joints_mm: expected 21 points"),
        ("joint_visible", [True], "its hand or joint_visible"),
        ("camera", {"fx": 1}, "it lacks 'fy'"),
        ("hand", "both", "its hand or joint_visible"),
        ("pose", {"rotation": [[1]]}, "it lacks 'angles_rad'"),
        ("format", "other/1", "is no result of handopt fit"),
    ],
)
def test_damaged_results_are_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    folder = save(fit_result(iterations=2), tmp_path / "fits" / "000", renders=False, overlay=False)
    document = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(document | {key: value}))
    with pytest.raises(ValueError if key == "joints_mm" else OutputError, match=said) as error:
        export_labels([tmp_path / "fits"], tmp_path / "labels.csv")
    assert "result.json" in str(error.value)


def test_a_damaged_line_of_a_track_is_named(track: Path, tmp_path: Path) -> None:
    (tmp_path / "track").mkdir()
    for name in ("track.json", "track.jsonl"):
        (tmp_path / "track" / name).write_bytes((track / name).read_bytes()[: None if name == "track.json" else -40])
    count = len((tmp_path / "track" / "track.jsonl").read_text().splitlines())
    with pytest.raises(OutputError, match=f"track.jsonl, line {count} is damaged"):
        export_labels([tmp_path / "track"], tmp_path / "labels.csv")


def test_hands_are_counted_while_they_are_read(fits: Fits) -> None:
    seen: list[tuple[str, int, int]] = []
    read_records([fits.folder], progress=lambda *each: seen.append(each))
    assert seen == [("results", 1, 2), ("results", 2, 2)]
    assert np.isfinite(read_records([fits.folder])[0][0].joints_px).all()
