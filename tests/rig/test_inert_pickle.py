"""The reader of pickles: what it refuses, that nothing runs, and the arrays of all protocols."""

import io
import os
import pickle
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mano_files import mano_arrays, pretended_classes, python2_pickle, write_mano

from handopt.errors import RigError
from handopt.rig import inert_pickle, pickle_records
from handopt.rig.inert_pickle import array_of, read_pickle


class Canary:
    """Pickles itself as a call that writes a file."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def read(data: bytes, where: str) -> Any:
    return read_pickle(io.BytesIO(data), where)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("call", ["system", "eval", "mkdir", "exec"])
def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(tmp_path: Path, protocol: int, call: str) -> None:
    sign = tmp_path / "sign-of-life"
    calls: dict[str, tuple[Any, ...]] = {
        "system": (os.system, f"touch {sign}"),
        "eval": (eval, f"__import__('os').mkdir({str(sign)!r})"),
        "mkdir": (os.mkdir, str(sign)),
        "exec": (exec, f"import os; os.mkdir({str(sign)!r})"),
    }
    data = pickle.dumps({"v_template": Canary(*calls[call])}, protocol)
    with pytest.raises(RigError, match=r"the pickle asks for .*refused, and nothing of it was executed"):
        read(data, "evil.pkl")
    assert not sign.exists()
    pickle.loads(data)  # the canary sings where a pickle is executed
    assert sign.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch /nowhere'\ntR.",
        b"(S'touch /nowhere'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch /nowhere'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02cnumpy.core.multiarray\nndarray\n.",
        b"\x80\x02cscipy.sparse\nload_npz\n.",
        b"\x80\x02cchumpy.ch\n__builtins__\n.",
    ],
)
def test_every_way_of_naming_something_is_refused(data: bytes) -> None:
    with pytest.raises(RigError, match="which no model of a hand needs"):
        read(data, "evil.pkl")


@pytest.mark.parametrize("extension", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"])
def test_registered_extensions_and_persistent_ids_are_refused(extension: bytes) -> None:
    for data in (b"\x80\x02" + extension + b".", b"\x80\x02Pname\n.", b"\x80\x02K\x01Q."):
        with pytest.raises(RigError, match="truncated, encrypted or damaged"):
            read(data, "evil.pkl")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"Salted__\x01\x02\x03\x04",
        b"\x80\x02}q\x00(X\x05",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.",
        b"\x80\x02Nr\xff\xff\xff\x7f\x85",
        b"\x80\x02}(K\x01K\x02u.",
        b"not a pickle at all",
        bytes(range(256)),
    ],
)
def test_a_damaged_pickle_is_refused_at_once(data: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(RigError, match="truncated, encrypted or damaged"):
        read(data, "broken.pkl")
    assert time.perf_counter() - started < 1


def test_what_a_byte_makes_is_bounded() -> None:
    # A list for each byte: 56 bytes of memory, and 8 of its place in another list.
    tracemalloc.start()
    with pytest.raises(RigError, match="more than 300000 instructions"):
        read(b"\x80\x02" + b"(" * 20_000_000, "broken.pkl")
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_an_announced_size_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02B" + (2**31 - 1).to_bytes(4, "little") + b"short")
    tracemalloc.start()
    with path.open("rb") as file, pytest.raises(RigError, match="damaged"):
        read_pickle(file, "a.pkl")
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def array_pickle(content: bytes, count: int) -> bytes:
    """A model's table of one array, v, of that many bytes. content: the opcodes that make its numbers."""
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    start = b"\x80\x02}(U\x01vcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    return start + b"(K\x01J" + count.to_bytes(4, "little") + b"\x85" + dtype + b"\x89" + content + b"tbu."


@pytest.mark.parametrize(
    ("opcodes", "most"),
    [
        (lambda data: b"T" + len(data).to_bytes(4, "little") + data, 1.1),  # BINSTRING
        (lambda data: b"B" + len(data).to_bytes(4, "little") + data, 1.1),  # BINBYTES
        (lambda data: b"S'" + data + b"'\n", 3.2),  # STRING; a line is read in parts that are put together
    ],
)
def test_the_numbers_of_an_array_are_not_copied(opcodes: Callable[[bytes], bytes], most: float) -> None:
    count = 8 << 20
    file = io.BytesIO(array_pickle(opcodes(b"7" * count), count))
    tracemalloc.start()
    values = array_of(read_pickle(file, "a.pkl")["v"], "a.pkl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values is not None
    assert values.tobytes() == b"7" * count
    assert peak < most * count


def test_what_is_no_bytes_makes_no_array_of_that_many() -> None:
    count = 1 << 30
    tracemalloc.start()
    with pytest.raises(RigError, match="numbers are in a int"):
        array_of(read(array_pickle(b"J" + count.to_bytes(4, "little"), count), "a.pkl")["v"], "a.pkl")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "what", "limit"),
    [
        (b"\x80\x02(S'" + b"a" * 3000 + b"'\nl.", "a line of more than", "_LONGEST_LINE"),
        (b"\x80\x02(V" + b"a" * 3000 + b"\nl.", "a line of text of more than", "_LONGEST_ESCAPED_TEXT"),
        (b"\x80\x02(X\xb8\x0b\0\0" + b"a" * 3000 + b"l.", "a text of more than", "_LONGEST_TEXT"),
        (b"\x80\x02(" + 3 * (b"X\xb8\x0b\0\0" + b"a" * 3000) + b"l.", "of texts", "_MOST_TEXT"),
        (
            b"\x80\x02(X\xb8\x0b\0\0" + b"a" * 3000 + b"q\0" + 3 * b"c_codecs\nencode\nh\0U\6latin1\x86R" + b"l.",
            "in texts",
            "_MOST_ENCODED",
        ),
    ],
)
def test_what_is_text_is_bounded(data: bytes, what: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read(data, "a.pkl")
    monkeypatch.setattr(inert_pickle, limit, 7000 if "MOST" in limit else 2000)
    with pytest.raises(RigError, match=f"damaged .*{what}"):
        read(data, "a.pkl")


@pytest.mark.parametrize("letter", ["\u0100", "\U0001f600"])
def test_a_long_text_has_no_letters_that_widen_it(letter: str) -> None:
    text = "a" * 3000 + letter
    for protocol in (0, 2, 4):
        with pytest.raises(RigError, match="a long text that stands for no bytes"):
            read(pickle.dumps({"a": text}, protocol), "a.pkl")
    assert read(pickle.dumps({"a": letter, "b": 3000 * "\xff"}, 2), "a.pkl") == {"a": letter, "b": 3000 * "\xff"}


def test_a_selection_and_a_sparse_matrix_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mano(tmp_path / "a.pkl", mano_arrays(), chumpy=True)
    found = read((tmp_path / "a.pkl").read_bytes(), "a.pkl")
    for name, limit, what in (
        ("shapedirs", "_MOST_CHOSEN", "selections of over"),
        ("J_regressor", "_MOST_ENTRIES", "a sparse matrix of"),
    ):
        monkeypatch.setattr(pickle_records, limit, 5)
        with pytest.raises(RigError, match=what):
            array_of(found[name], "a.pkl")


def test_a_nested_key_does_not_take_for_ever() -> None:
    # A tuple of itself, 60 times: its hash would take 2 ** 60 steps.
    data = b"\x80\x02}()" + 60 * b"2\x86" + b"K\x01u."
    with pytest.raises(RigError, match="keys are no texts"):
        read(data, "nested.pkl")


@pytest.mark.parametrize("protocol", [*range(pickle.HIGHEST_PROTOCOL), "python 2"])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<u4", "<i8", "|b1", "|u1"])
def test_arrays_of_all_protocols_are_read(protocol: Any, kind: str) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    for array in (values, np.asfortranarray(values), values[:0]):
        document = {"v": array}
        data = python2_pickle(document) if protocol == "python 2" else pickle.dumps(document, protocol)
        found = array_of(read(data, "model.pkl")["v"], "model.pkl")
        assert found is not None
        assert found.dtype.kind == array.dtype.kind
        assert np.array_equal(found, array)


def test_plain_values_are_not_taken_for_arrays() -> None:
    found = read(pickle.dumps({"v": [1, 2], "w": "text", "x": np.float64(3)}), "model.pkl")
    assert array_of(found["v"], "model.pkl") is None
    assert array_of(found["w"], "model.pkl") is None
    assert array_of(found["x"], "model.pkl") == 3


def test_an_array_that_is_damaged_is_refused() -> None:
    data = pickle.dumps({"v": np.arange(4.0)}, 2)
    with pytest.raises(RigError, match="an array of the pickle is damaged"):
        array_of(read(data.replace(b"K\x04", b"K\x05"), "model.pkl")["v"], "model.pkl")
    with pytest.raises(RigError, match="something other than numbers"):
        array_of(read(data.replace(b"f8", b"O8"), "model.pkl")["v"], "model.pkl")


def selection(depth: int, entries: int) -> bytes:
    """A table of one array, v: selections nested so deep, of so many entries each, that turn the order round."""
    with pretended_classes() as (_, ch, select):
        made, places = ch(np.arange(entries, dtype=np.float64)), np.arange(entries)[::-1].copy()
        for _ in range(depth):
            made = select(made, places, (entries,))
        return pickle.dumps({"v": made}, 2)


def test_selections_of_selections_are_followed_in_bounded_time() -> None:
    thrice = array_of(read(selection(3, 6), "a.pkl")["v"], "a.pkl")
    assert thrice is not None
    assert thrice.tolist() == [5, 4, 3, 2, 1, 0]
    hostile = read(selection(200, 100_000), "a.pkl")["v"]
    started = time.process_time()
    with pytest.raises(RigError, match="selections of over 16000000 entries, or over 8 nested"):
        array_of(hostile, "a.pkl")
    assert time.process_time() - started < 0.5


def test_a_selection_of_itself_is_refused() -> None:
    record = pickle_records.Record("chumpy", ())
    empty = pickle_records.Record("array", ())
    empty.state = (1, (0,), pickle_records.Record("dtype", ("i8", False, True)), False, b"")
    record.state = {"a": record, "idxs": empty}
    with pytest.raises(RigError, match="over 8 nested"):
        array_of(record, "a.pkl")


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_either_byte_order_are_read(order: str) -> None:
    values = np.arange(-3, 4).astype(f"{order}f4")
    found = array_of(read(pickle.dumps({"v": values}, 2), "a.pkl")["v"], "a.pkl")
    assert found is not None
    assert found.tolist() == values.tolist()
    # A type may also say its order in its name alone, as those of other writers do.
    named = pickle_records.Record("dtype", (f"{order}f4", False, True))
    assert pickle_records.numbers_in(values.tobytes(), named).tolist() == values.tolist()
