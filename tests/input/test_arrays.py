"""Arrays of .npz files: whatever is in them, what comes out is as specified."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_bytes import npy_announcing, npy_bytes, zipped

from handopt.files import UnreadableError
from handopt.input.arrays import ArraySpec, read_arrays

SPECS = {
    "poses": ArraySpec("number", ("T", 3), -10, 10, gaps=True),
    "faces": ArraySpec("whole", (None, 3), 0),
    "known": ArraySpec("flag", ("T",)),
    "title": ArraySpec("text", ()),
    "fps": ArraySpec("number", None, 0, 100, optional=True),
}
GOOD: dict[str, Any] = {
    "poses": np.array([[0, 1, np.nan], [2, 3, 4]], np.float32),
    "faces": np.array([[0, 1, 2]], np.uint16),
    "known": np.array([True, False]),
    "title": np.array("walk"),
}


def saved(path: Path, **changes: Any) -> Path:
    np.savez(path, **{name: values for name, values in {**GOOD, **changes}.items() if values is not None})
    return path


def test_arrays_come_as_they_are_stored_and_others_are_not_read(tmp_path: Path) -> None:
    arrays, sizes = read_arrays(saved(tmp_path / "a.npz", more=np.zeros(3)), SPECS)
    assert set(arrays) == set(GOOD)
    assert sizes == {"T": 2}
    for name, values in GOOD.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": None}, "lacks 'poses'"),
        ({"poses": np.zeros((2, 4))}, r"poses has shape \(2, 4\), expected \(T=2, 3\)"),
        ({"known": np.zeros(3, bool)}, r"known has shape \(3,\), expected \(T=2\)"),
        ({"known": np.zeros(2)}, "known must hold true or false, and holds values of type float64"),
        ({"faces": np.zeros((1, 3))}, "faces must hold whole numbers"),
        ({"faces": np.array([[0, -1, 2]])}, "faces has values from -1 to 2"),
        ({"poses": np.array([[0, 1, 11], [2, 3, 4]])}, "poses has values from 0 to 11, expected -10 to 10"),
        ({"poses": np.array([[0, 1, np.inf], [2, 3, 4]])}, "poses has values from 0 to inf"),
        ({"poses": np.array([[0, 1, 11], [2, 3, 4]], np.float16)}, "poses has values from 0 to 11"),
        ({"poses": np.array([[np.nan, 1, -11], [2, 3, 4]], np.float16)}, "poses has values from -11 to 4"),
        ({"poses": np.array([["x", "", ""]] * 2)}, "poses must hold numbers"),
        ({"poses": np.zeros((2, 3), complex)}, "poses must hold numbers"),
        ({"poses": np.zeros((2, 3), np.longdouble)}, "poses must hold numbers"),
        ({"title": np.array(3)}, "title must hold text"),
        ({"fps": np.array(np.nan)}, "fps has values that are no numbers"),
        ({"fps": np.array([1, 101])}, "fps has values from 1 to 101"),
    ],
)
def test_what_is_not_as_specified_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=message):
        read_arrays(saved(tmp_path / "a.npz", **changes), SPECS)


def test_damage_and_bombs_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    spec = {"a": ArraySpec("number", (None,))}
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(1000))
    whole = stream.getvalue()
    for data, message in (
        (b"", "BadZipFile"),
        (whole[:200], "BadZipFile"),
        (whole[:80] + b"\xff" * 8 + whole[88:], "damaged"),
        (zipped({"a.npy": npy_announcing((1 << 40,))}), "announces .* MiB of arrays, the limit is"),
        (zipped({"a.npy": npy_announcing((10,), "<f4", b"\0" * 8)}), "damaged or cut short"),
        (zipped({"a.npy": npy_bytes(np.array([{}]), allow_pickle=True)}), "must hold numbers"),
        (zipped({"a.npy": b"\x93NUMPY\x09\x09"}), "damaged array header"),
    ):
        path.write_bytes(data)
        with pytest.raises(UnreadableError, match=message):
            read_arrays(path, spec)


@pytest.mark.parametrize("order", ["<", ">"])
def test_characters_that_do_not_exist_are_refused(order: str, tmp_path: Path) -> None:
    title = np.frombuffer(np.array([119, 0x110000], f"{order}u4").tobytes(), f"{order}U2").reshape(())
    with pytest.raises(UnreadableError, match="title has characters that do not exist"):
        read_arrays(saved(tmp_path / "a.npz", title=title), SPECS)
    good = np.array("w\U0010ffff", f"{order}U2")
    assert str(read_arrays(saved(tmp_path / "b.npz", title=good), SPECS)[0]["title"]) == "w\U0010ffff"
