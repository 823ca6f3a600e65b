"""Rig files of any size are read in seconds and within memory, or refused; so is a skin that is far from its joints."""

import json
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.character_files import character, names_of
from support.rig_files import HandFile

from handopt.errors import RigError
from handopt.rig import default_rig, load_rig

SLOWEST_S, MOST_BYTES = 5.0, 500 << 20


@pytest.fixture
def hand() -> HandFile:
    return HandFile.default()


def with_vertices(hand: HandFile, places: np.ndarray) -> HandFile:
    """The hand with more vertices that follow the wrist, and are used by faces."""
    first, count = len(hand.positions), len(places)
    hand.positions = np.concatenate([hand.positions, places.astype(np.float32)])
    hand.joints = np.concatenate([hand.joints, np.zeros((count, 4), np.uint8)])
    hand.weights = np.concatenate([hand.weights, np.tile(np.float32([1, 0, 0, 0]), (count, 1))])
    rows = first + np.arange(3 * (count // 3)).reshape(-1, 3)
    hand.faces = np.concatenate([hand.faces, rows]).astype(np.uint32)
    return hand


def measured(path: Path, message: str | None) -> None:
    """Load a file, or see it refused, within time and memory."""

    def loaded() -> None:
        if message is None:
            load_rig(path)
            return
        with pytest.raises(RigError, match=message):
            load_rig(path)

    started = time.perf_counter()
    loaded()
    assert time.perf_counter() - started < SLOWEST_S
    tracemalloc.start()
    try:
        loaded()
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def in_one_place(count: int) -> np.ndarray:
    return np.tile(default_rig().rest_mm[0] / 1000, (count, 1))


def in_a_plane(count: int) -> np.ndarray:
    """Places that are beside each other along the direction in which the welding sweeps."""
    rng = np.random.default_rng(0)
    normal = np.array([0.48, 0.60, 0.64])
    first = np.cross(normal, [1.0, 0.0, 0.0])
    second = np.cross(normal, first)
    return in_one_place(count) + 0.05 * (
        rng.uniform(-1, 1, (count, 1)) * first + rng.uniform(-1, 1, (count, 1)) * second
    )


def in_a_chain(count: int) -> np.ndarray:
    """Places each within the welding's tolerance of the next one, in any order."""
    steps = np.random.default_rng(1).permutation(count)
    return in_one_place(count) + 3e-7 * steps[:, None] * np.array([1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (in_one_place(30_000), r"\d+ pairs of its \d+ vertices lie in the same places: merge them by distance"),
        (in_a_plane(20_000), None),
        (in_a_chain(3_000), None),
        (in_one_place(60_000), "it has 61360 vertices, more than 50000: export the hand alone"),
        (in_one_place(240_000), "it has 241360 vertices, more than 200000"),
    ],
    ids=["one place", "a plane", "a chain", "a dense hand", "a dense file"],
)
def test_many_vertices_are_welded_in_time_or_refused(
    hand: HandFile, tmp_path: Path, places: np.ndarray, message: str | None
) -> None:
    measured(with_vertices(hand, places).write(tmp_path / "many.glb"), message)


def test_a_chain_of_close_vertices_becomes_one_vertex(hand: HandFile, tmp_path: Path) -> None:
    chained = with_vertices(hand, in_a_chain(300))
    assert len(load_rig(chained.write(tmp_path / "chain.glb")).rest_mm) == len(default_rig().rest_mm)


def far_vertex(hand: HandFile) -> None:
    hand.positions[5] += np.float32([0.0, 1.2, 0.0])


def huge_vertices(hand: HandFile) -> None:
    hand.positions *= np.float32(1e30)


def skin_elsewhere(hand: HandFile) -> None:
    hand.positions += np.float32([0.0, 0.25, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (far_vertex, r"vertex 5 lies 1\.\d+ m from the nearest joint: apply all transforms"),
        (huge_vertices, r"lies .*e\+\d+ m from the nearest joint"),
        (skin_elsewhere, r"the joint [a-z-]+ lies \d+ mm outside the skin: the bind matrices and the mesh"),
    ],
)
def test_a_skin_far_from_its_joints_is_refused(
    hand: HandFile, tmp_path: Path, change: Callable[[HandFile], None], message: str
) -> None:
    change(hand)
    with pytest.raises(RigError, match=message):
        load_rig(hand.write(tmp_path / "far.glb"))


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A .glb file whose JSON is changed."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + rest
    )
    return path


def many_primitives(document: dict[str, Any]) -> None:
    document["meshes"][0]["primitives"] *= 3000


def many_meshes(document: dict[str, Any]) -> None:
    node = document["nodes"][-1]
    document["meshes"] *= 900
    document["nodes"] += [{**node, "mesh": number} for number in range(900)]


def many_targets(document: dict[str, Any]) -> None:
    primitive = document["meshes"][0]["primitives"][0]
    primitive["targets"] = [{"POSITION": primitive["attributes"]["POSITION"]}] * 50_000


def many_skins(document: dict[str, Any]) -> None:
    node = document["nodes"][-1]
    document["skins"] *= 5000
    document["nodes"] += [{**node, "skin": number} for number in range(5000)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (many_primitives, "it has 3000 primitives, more than 1000"),
        (many_meshes, "more than 200000"),
        (many_targets, None),
        (many_skins, "more than 200000|more than 10000"),
    ],
)
def test_what_a_file_repeats_does_not_cost_minutes(
    hand: HandFile, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str | None
) -> None:
    measured(changed(hand.write(tmp_path / "again.glb"), change), message)


def test_many_morph_targets_are_refused_before_they_are_read(hand: HandFile, tmp_path: Path) -> None:
    with_vertices(hand, in_a_plane(40_000))
    hand.targets = {"wide": np.full_like(hand.positions, 1e-3)}

    def repeated(document: dict[str, Any]) -> None:
        document["meshes"][0]["primitives"][0]["targets"] *= 400

    measured(changed(hand.write(tmp_path / "morphs.glb"), repeated), "numbers, more than 12000000")


@pytest.mark.parametrize("shape", ["a chain", "a star", "a comb"])
def test_a_tree_of_many_joints_is_searched_in_time(hand: HandFile, tmp_path: Path, shape: str) -> None:
    count = 900
    hand.names = [f"bone {number}" for number in range(count)]
    hand.inverse_binds = np.tile(np.eye(4), (count, 1, 1))
    above = {"a chain": lambda n: n - 1, "a star": lambda n: 0, "a comb": lambda n: n - 1 if n % 4 else n - 4}[shape]
    hand.parents = [above(number) if number else -1 for number in range(count)]
    measured(hand.write(tmp_path / "tree.glb"), ".")


def test_many_joints_are_refused(tmp_path: Path) -> None:
    hand = HandFile.default()
    hand.names += [f"bone {number}" for number in range(2000)]
    hand.inverse_binds = np.concatenate([hand.inverse_binds, np.tile(np.eye(4), (2000, 1, 1))])
    measured(hand.write(tmp_path / "bones.glb"), "it has 2025 joints, more than 1000")


def test_a_character_of_many_skins_is_read(tmp_path: Path) -> None:
    body = character({side: names_of("mixamo", side) for side in ("right", "left")}).write(tmp_path / "body.glb")

    def twenty(document: dict[str, Any]) -> None:
        node = next(each for each in document["nodes"] if "mesh" in each)
        document["skins"] *= 20
        document["nodes"] += [{**node, "skin": number} for number in range(1, 20)]

    started = time.perf_counter()
    rig = load_rig(changed(body, twenty), "right")
    assert rig.side == "right"
    assert time.perf_counter() - started < SLOWEST_S


@pytest.mark.parametrize("size", [MOST_BYTES, 1 << 40])
def test_a_limits_file_is_read_within_bounds(tmp_path: Path, size: int, hand: HandFile) -> None:
    path = hand.write(tmp_path / "hand.glb")
    with (tmp_path / "limits.toml").open("wb") as file:
        file.truncate(size)
    with pytest.raises(RigError, match=r"limits file .* cannot be read: it has .* MiB, the limit is"):
        load_rig(path)


def test_a_special_file_beside_a_model_is_not_waited_for(tmp_path: Path, hand: HandFile) -> None:
    path = hand.write(tmp_path / "hand.glb")
    os.mkfifo(tmp_path / "LICENSE")
    assert load_rig(path).licence == ""
    os.mkfifo(tmp_path / "limits.toml")
    with pytest.raises(RigError, match=r"limits file .* cannot be read: it is not a regular file"):
        load_rig(path)


def test_bounds_are_far_from_real_models(hand: HandFile, tmp_path: Path) -> None:
    rig = load_rig(hand.write(tmp_path / "hand.glb"))
    apart = np.linalg.norm(rig.rest_mm[:, None] - rig.bind[:, :, 3], axis=2)
    assert apart.min(axis=1).max() < 100
    assert apart.min(axis=0).max() < 25
    assert replace(rig).side == "right"
