"""Text files of the NYU, ICVL and MSRA sets."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from support import label_files
from support.label_files import INTEL, hand, pixels, write_text

from handopt.errors import LabelError
from handopt.evaluation.mapping import ICVL, MSRA, NYU, map_keypoints
from handopt.evaluation.text import parse, read_names, read_text
from handopt.input.camera import Camera

HANDS = np.stack([hand(), hand(40.0, -20.0, 620.0), hand(-90.0, 60.0, 410.0)])
"""Three hands (3, 21, 3) mm, not all of whose coordinates are positive."""
PRECISE = 1e-3
"""Text has six decimals of a pixel, worth less than a thousandth of a mm."""


def nyu() -> np.ndarray:
    return map_keypoints(HANDS, NYU)


def test_nyu_pixels(tmp_path: Path) -> None:
    frames = read_text(write_text(tmp_path / "nyu.txt", pixels(nyu(), label_files.NYU)))
    assert frames.joint_set is NYU
    assert frames.joints_mm == pytest.approx(nyu(), abs=PRECISE)
    assert frames.names == ("depth_1_0000001", "depth_1_0000002", "depth_1_0000003")
    assert frames.ordered
    assert "pixels" in frames.notes[0]


def test_one_line_by_hand(tmp_path: Path) -> None:
    row = np.tile([320.0 + 58.8036865, 240.0 - 58.7075073, 700.0], (14, 1))
    frames = read_text(write_text(tmp_path / "nyu.txt", row[None]))
    assert frames.joints_mm[0, 0] == pytest.approx([70.0, -70.0, 700.0], abs=PRECISE)


def test_nyu_own_axes_have_y_up(tmp_path: Path) -> None:
    path = write_text(tmp_path / "nyu.txt", nyu() * (1.0, -1.0, 1.0))
    frames = read_text(path)
    assert frames.joints_mm == pytest.approx(nyu(), abs=PRECISE)
    assert "own axes" in frames.notes[0]
    assert read_text(path, coordinates="camera").joints_mm == pytest.approx(nyu() * (1.0, -1.0, 1.0), abs=PRECISE)
    assert read_text(path, coordinates="camera").notes == ()


def test_all_36_nyu_joints_are_cut_to_the_14_that_are_evaluated(tmp_path: Path) -> None:
    rows = [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]
    full = np.full((3, 36, 3), 400.0)
    full[:, rows] = nyu()
    full[:, :, 0] += 1.0  # nothing that could be read as a whole number
    full[:, rows, 0] -= 1.0
    text = write_text(tmp_path / "full.txt", pixels(full, label_files.NYU))
    assert read_text(text, coordinates="uvd").joints_mm == pytest.approx(nyu(), abs=PRECISE)
    savemat(tmp_path / "joint_data.mat", {"joint_uvd": np.stack([pixels(full, label_files.NYU)] * 3)})
    frames = read_text(tmp_path / "joint_data.mat", coordinates="uvd")
    assert frames.joints_mm == pytest.approx(nyu(), abs=1e-9)
    savemat(tmp_path / "other.mat", {"joint_xyz": full})
    with pytest.raises(LabelError, match="joint_uvd"):
        read_text(tmp_path / "other.mat")
    savemat(tmp_path / "flat.mat", {"joint_uvd": full})
    with pytest.raises(LabelError, match="shape"):
        read_text(tmp_path / "flat.mat")


def test_icvl_lines_have_image_names(tmp_path: Path) -> None:
    joints = map_keypoints(HANDS, ICVL)
    names = ["test_seq_1/image_0000.png", "test_seq_1\\image_0001.png", "test_seq_1/image_0002.png"]
    frames = read_text(write_text(tmp_path / "test_seq_1.txt", pixels(joints, INTEL), names))
    assert frames.joint_set is ICVL
    assert frames.joints_mm == pytest.approx(joints, abs=PRECISE)
    assert frames.names == ("test_seq_1/image_0000", "test_seq_1/image_0001", "test_seq_1/image_0002")
    assert not frames.ordered
    with pytest.raises(LabelError, match="no axes of its own"):
        read_text(tmp_path / "test_seq_1.txt", coordinates="xyz")


def test_icvl_may_have_another_camera_and_no_names(tmp_path: Path) -> None:
    joints = map_keypoints(HANDS, ICVL)
    path = write_text(tmp_path / "predictions.txt", pixels(joints, (240.99, 240.96, 160.0, 120.0)))
    frames = read_text(path, camera=Camera(240.99, 240.96, 160.0, 120.0, 320, 240))
    assert frames.joints_mm == pytest.approx(joints, abs=PRECISE)
    assert frames.ordered
    by_preset = read_text(path).joints_mm
    assert by_preset[..., 0] == pytest.approx(joints[..., 0] * 240.99 / 241.42, abs=PRECISE)


def test_msra_joint_txt_has_y_up_and_z_backwards(tmp_path: Path) -> None:
    joints = map_keypoints(HANDS, MSRA)
    path = write_text(tmp_path / "joint.txt", joints * (1.0, -1.0, -1.0), first="3")
    frames = read_text(path)
    assert frames.joint_set is MSRA
    assert frames.joints_mm == pytest.approx(joints, abs=PRECISE)
    assert frames.names == ("000000_depth", "000001_depth", "000002_depth")
    assert {key[-1] for key in frames.keys[2]} == {"000002_depth", "000002"}
    assert frames.keys[0][0][-2] == tmp_path.name


def test_msra_pixels_are_told_from_its_own_axes(tmp_path: Path) -> None:
    joints = map_keypoints(HANDS, MSRA)
    frames = read_text(write_text(tmp_path / "msra.txt", pixels(joints, INTEL)))
    assert frames.joints_mm == pytest.approx(joints, abs=PRECISE)


def test_commas_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", pixels(nyu(), label_files.NYU))
    text = (tmp_path / "a.txt").read_text().replace(" ", ", ").replace("\n", "\r\n\r\n")
    (tmp_path / "b.txt").write_text("\ufeff" + text, encoding="utf-8")
    assert read_text(tmp_path / "b.txt").joints_mm == pytest.approx(nyu(), abs=PRECISE)
    assert parse(tmp_path / "b.txt").lines == (1, 3, 5)


# -------------------------------------------------------------------------------------------- bad input


def spoilt(path: Path, line: int, change: str) -> Path:
    """Replace a line, from 0, of a file."""
    lines = path.read_text().splitlines()
    lines[line] = change
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no frames"),
        ("\n \n", "holds no frames"),
        ("7\n", "holds no frames"),
        ("1 2 3\n", r"line 1: 3 entries; expected .* 42 \(nyu\), 48 \(icvl\), 63 \(msra\), 108 \(nyu\)"),
        (" ".join(["1"] * 41 + ["x"]), "line 1: 'x' is not a number"),
        (" ".join(["x"] * 43), "line 1: 'x' is not a number"),
    ],
)
def test_what_is_no_label_file(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.txt").write_text(content)
    with pytest.raises(LabelError, match=message):
        read_text(tmp_path / "bad.txt")


def test_a_binary_file_is_no_label_file(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00\x9f")
    with pytest.raises(LabelError, match="cannot be read as labels"):
        read_text(tmp_path / "bad.txt")


def test_a_truncated_line_is_named(tmp_path: Path) -> None:
    path = write_text(tmp_path / "nyu.txt", pixels(nyu(), label_files.NYU))
    path.write_text(path.read_text()[:-30])
    with pytest.raises(LabelError, match=r"nyu\.txt, line 3: 40 entries; expected"):
        read_text(path)


def test_formats_cannot_be_mixed(tmp_path: Path) -> None:
    path = write_text(tmp_path / "mixed.txt", pixels(nyu(), label_files.NYU))
    with path.open("a") as file:
        file.write(" ".join(["100"] * 48))
    with pytest.raises(LabelError, match="line 4: 48 entries where the lines before have 42"):
        read_text(path)
    with pytest.raises(LabelError, match=r"should be ICVL .*change joint_set="):
        read_text(write_text(tmp_path / "nyu.txt", pixels(nyu(), label_files.NYU)), joint_set=ICVL)


def test_a_joint_txt_with_fewer_lines_than_it_announces_is_truncated(tmp_path: Path) -> None:
    path = write_text(tmp_path / "joint.txt", map_keypoints(HANDS, MSRA) * (1.0, -1.0, -1.0), first="4")
    with pytest.raises(LabelError, match="announces 4 frames and holds 3"):
        read_text(path)


def test_numbers_must_be_finite_in_labels_and_may_be_missing_in_predictions(tmp_path: Path) -> None:
    path = write_text(tmp_path / "nyu.txt", pixels(nyu(), label_files.NYU))
    spoilt(path, 1, " ".join(["nan"] * 42))
    with pytest.raises(LabelError, match="line 2: not all numbers are finite"):
        read_text(path)
    frames = read_text(path, predicted=True)
    assert np.isnan(frames.joints_mm[1]).all()
    assert frames.joints_mm[2] == pytest.approx(nyu()[2], abs=PRECISE)


def test_metres_are_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "nyu.txt", nyu() / 1000)
    with pytest.raises(LabelError, match=r"line 1: a joint at a depth of 0\.\d+ mm \(metres\? multiply by 1000\)"):
        read_text(path, coordinates="camera")
    path = write_text(tmp_path / "mixed.txt", np.stack([nyu()[0], nyu()[1] / 1000]))
    with pytest.raises(LabelError, match="line 2: a joint at a depth"):
        read_text(path, coordinates="camera")


def test_a_single_wild_prediction_is_scored_and_not_refused(tmp_path: Path) -> None:
    joints = np.concatenate([nyu()] * 5)
    joints[4, :, 2] = 9000.0
    frames = read_text(write_text(tmp_path / "p.txt", joints), coordinates="camera", predicted=True)
    assert frames.joints_mm[4, 0, 2] == 9000.0


def test_coordinates_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "joint.txt", map_keypoints(HANDS, MSRA))
    with pytest.raises(LabelError, match=r"neither pixels .* coordinates=, or give camera="):
        read_text(path)
    assert read_text(path, coordinates="camera").joints_mm.shape == (3, 21, 3)


def test_names_are_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a/0.png\n\nb/0.png\n")
    assert read_names(tmp_path / "names.txt") == ("a/0.png", "b/0.png")
    (tmp_path / "none.txt").touch()
    for name in ("none.txt", "absent.txt"):
        with pytest.raises(LabelError, match="names="):
            read_names(tmp_path / name)


@pytest.mark.parametrize("first", ["²", 5000 * "9"])
def test_a_first_line_that_is_no_count_is_refused(first: str, tmp_path: Path) -> None:
    file = tmp_path / "joint.txt"
    file.write_text(first + "\n" + " ".join(63 * ["1"]) + "\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"joint\.txt, line 1"):
        parse(file)
