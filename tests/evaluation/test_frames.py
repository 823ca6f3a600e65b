"""Which prediction belongs to which frame."""

import numpy as np
import pytest

from handopt.errors import LabelError
from handopt.evaluation.frames import Frames, check_millimetres, listed, match, overlap, parts_of
from handopt.evaluation.mapping import MSRA


def frames(*names: str | tuple[str, ...], ordered: bool = False) -> Frames:
    """Frames known by one or more paths, at any place."""
    known = [(name,) if isinstance(name, str) else name for name in names]
    keys = tuple(tuple(tuple(path.split("/")) for path in paths) for paths in known)
    joints = np.zeros((len(names), 21, 3))
    return Frames(MSRA, tuple(paths[0] for paths in known), keys, MSRA.joints, joints, ordered=ordered)


@pytest.mark.parametrize(
    ("path", "suffix", "parts"),
    [
        ("a/b.v2.png", True, ("a", "b.v2")),
        ("/a/./b.png", True, ("a", "b")),
        ("a\\b.png", True, ("a", "b")),
        ("fits/b.v2", False, ("fits", "b.v2")),
        ("", True, ()),
    ],
)
def test_parts(path: str, suffix: bool, parts: tuple[str, ...]) -> None:
    assert parts_of(path, suffix=suffix) == parts


def test_overlap_counts_trailing_parts_and_heeds_levels() -> None:
    assert overlap([("x", "easy", "000")], [("y", "easy", "000")]) == 2
    assert overlap([("x", "easy", "000")], [("y", "frames", "000")]) == 1
    assert overlap([("x", "easy", "000")], [("y", "hard", "000")]) == 0
    assert overlap([("x", "easy", "000")], [("000",)]) == 1
    assert overlap([("x", "000")], [("x", "001")]) == 0


def test_stems_are_enough_where_they_are_unique() -> None:
    assert match(frames("t/a", "t/b", "t/c"), frames("p/c", "p/a", "p/z")).tolist() == [1, -1, 0]


def test_levels_tell_equal_stems_apart() -> None:
    truth = frames("t/easy/000", "t/hard/000")
    assert match(truth, frames("p/hard/000", "p/easy/000")).tolist() == [1, 0]
    assert match(truth, frames(("p/000", "t/hard/000"), ("p/000_2", "t/easy/000"))).tolist() == [1, 0]
    assert match(frames("t/easy/000"), frames("p/hard/000", "p/easy/000")).tolist() == [1]
    assert match(frames("t/easy/000"), frames("p/hard/000")).tolist() == [-1]


def test_where_folders_agree_a_stem_alone_is_not_enough() -> None:
    truth = frames("t/one/000", "t/two/000")
    assert match(truth, frames("p/one/000", "p/other/000")).tolist() == [0, -1]


def test_ambiguous_matches_are_refused() -> None:
    with pytest.raises(LabelError, match=r"p/000 may be a prediction of t/easy/000, t/hard/000: put .*level/stem"):
        match(frames("t/easy/000", "t/hard/000"), frames("p/000"))
    with pytest.raises(LabelError, match=r"p/000, q/000 are all predictions of t/000: keep one"):
        match(frames("t/000", "t/001"), frames("p/000", "q/000"))


def test_frames_without_names_pair_by_their_place() -> None:
    assert match(frames("a", "b"), frames("1", "2", ordered=True)).tolist() == [0, 1]
    with pytest.raises(LabelError, match="PRED holds 1 frames without names and TRUTH 2"):
        match(frames("a", "b"), frames("1", ordered=True))


def test_check_millimetres_names_the_place() -> None:
    joints = np.full((3, 2, 3), 500.0)
    check_millimetres(joints, ["a", "b", "c"])
    for depth, hint in ((0.5, r"0\.5 mm \(metres"), (-500.0, r"-500 mm \(other axes"), (6000.0, "6000 mm; joints")):
        joints[1, 1, 2] = depth
        with pytest.raises(LabelError, match="^" + rf"b: a joint at a depth of {hint}"):
            check_millimetres(joints, ["a", "b", "c"])
        check_millimetres(joints, ["a", "b", "c"], predicted=True)
    joints[:2, 1, 2] = 0.5
    with pytest.raises(LabelError, match=r"^a: "):
        check_millimetres(joints, ["a", "b", "c"], predicted=True)


def test_long_lists_of_names_are_shortened() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
