"""Files that are no glTF, cut off or damaged are refused by name, whatever is wrong with them."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rig_files import HandFile

from handopt.assets import asset
from handopt.errors import RigError
from handopt.rig.gltf import read_skinned_mesh


def repack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a glTF or GLB model"),
        (b"\x89PNG\r\n\x1a\n", "not a glTF or GLB model"),
        (b"glTF", "truncated"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "not glTF version 2"),
        (b"glTF" + struct.pack("<II", 2, 20) + bytes(8), "not a valid glTF or GLB"),
        (b"{", "not a valid glTF or GLB"),
        (b'{"asset": {"version": "1.0"}}', "not glTF version 2"),
        (b'{"asset": {"version": "2.0"}}', "no skin"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "file.glb"
    path.write_bytes(data)
    with pytest.raises(RigError, match=message):
        read_skinned_mesh(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="it does not exist"):
        read_skinned_mesh(tmp_path / "none.glb")
    with pytest.raises(RigError, match="it is a folder"):
        read_skinned_mesh(tmp_path)


@pytest.mark.parametrize("uri", ["../outside.bin", "/dev/zero", "%2e%2e/outside.bin"])
def test_data_elsewhere_is_not_read(tmp_path: Path, uri: str) -> None:
    (tmp_path / "outside.bin").write_bytes(b"secret")
    (tmp_path / "rig").mkdir()
    document = {"asset": {"version": "2.0"}, "buffers": [{"uri": uri, "byteLength": 6}]}
    document |= {"bufferViews": [{"buffer": 0, "byteLength": 6}], "scenes": [{}], "nodes": [{"mesh": 0, "skin": 0}]}
    document |= {"accessors": [{"bufferView": 0, "componentType": 5126, "count": 1, "type": "MAT4"}]}
    document |= {"meshes": [{"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 0, "WEIGHTS_0": 0}}]}]}
    document |= {"skins": [{"joints": [0], "inverseBindMatrices": 0}]}
    path = tmp_path / "rig" / "hand.gltf"
    path.write_text(json.dumps(document))
    with pytest.raises(RigError, match="only files beside the model are read"):
        read_skinned_mesh(path)


def test_a_pipe_and_deep_nesting_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.glb")
    with pytest.raises(RigError, match="not a regular file"):
        read_skinned_mesh(tmp_path / "pipe.glb")
    (tmp_path / "deep.gltf").write_text('{"extras": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(RigError, match="not a valid"):
        read_skinned_mesh(tmp_path / "deep.gltf")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    data = asset("hands/right.glb").read_bytes()
    path = tmp_path / "cut.glb"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RigError, match=r"truncated.* copy it again"):
        read_skinned_mesh(path)


def test_a_truncated_buffer_file_is_refused(tmp_path: Path) -> None:
    path = HandFile.default().write(tmp_path / "hand.gltf", "file")
    binary = path.with_suffix(".bin")
    binary.write_bytes(binary.read_bytes()[:-50])
    with pytest.raises(RigError, match="truncated or damaged: accessor 4"):
        read_skinned_mesh(path)
    binary.unlink()
    with pytest.raises(RigError, match=r"hand\.bin: the model cannot be read"):
        read_skinned_mesh(path)


def test_unknown_chunks_are_skipped(tmp_path: Path) -> None:
    data = asset("hands/right.glb").read_bytes()
    extra = struct.pack("<I4s", 4, b"XTRA") + bytes(4)
    path = tmp_path / "chunks.glb"
    path.write_bytes(data[:8] + struct.pack("<I", len(data) + len(extra)) + data[12:] + extra)
    assert len(read_skinned_mesh(path).positions) == 1360


def test_interleaved_vertices_are_read(tmp_path: Path) -> None:
    document, binary = unpack(asset("hands/right.glb").read_bytes())
    count = document["accessors"][0]["count"]
    positions = np.frombuffer(binary, "<f4", 3 * count).reshape(-1, 3)
    mixed = np.zeros((count, 5), "<f4")
    mixed[:, 1:4] = positions
    document["bufferViews"].append(
        {"buffer": 0, "byteOffset": len(binary), "byteLength": mixed.nbytes, "byteStride": 20}
    )
    document["accessors"][0] |= {"bufferView": len(document["bufferViews"]) - 1, "byteOffset": 4}
    path = tmp_path / "interleaved.glb"
    path.write_bytes(repack(document, binary + mixed.tobytes()))
    assert np.array_equal(read_skinned_mesh(path).positions, positions)


def test_parts_of_a_mesh_are_joined(tmp_path: Path) -> None:
    document, binary = unpack(asset("hands/right.glb").read_bytes())
    whole = read_skinned_mesh(asset("hands/right.glb"))
    primitive = document["meshes"][0]["primitives"][0]
    faces = document["accessors"][primitive["indices"]]
    first = faces | {"count": 3000}
    second = faces | {"count": faces["count"] - 3000, "byteOffset": 6000}
    document["accessors"] += [first, second]
    document["meshes"][0]["primitives"] = [
        primitive | {"indices": len(document["accessors"]) - 2},
        primitive | {"indices": len(document["accessors"]) - 1},
    ]
    path = tmp_path / "parts.glb"
    path.write_bytes(repack(document, binary))
    mesh = read_skinned_mesh(path)
    assert np.array_equal(mesh.positions[mesh.faces], whole.positions[whole.faces])
    assert mesh.faces.max() > 1360


def test_faces_without_indices_are_read(tmp_path: Path) -> None:
    document, binary = unpack(asset("hands/right.glb").read_bytes())
    del document["meshes"][0]["primitives"][0]["indices"]
    for index in (0, 3, 4):
        document["accessors"][index]["count"] = 300
    path = tmp_path / "soup.glb"
    path.write_bytes(repack(document, binary))
    assert np.array_equal(read_skinned_mesh(path).faces, np.arange(300).reshape(-1, 3))


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "skin index": (lambda d: d["nodes"][25].update(skin=4), r"refers to skins\[4\] of 1"),
    "skin joints": (lambda d: d["skins"][0].update(joints=[0, 99]), r"nodes\[99\]"),
    "fewer joints": (lambda d: d["skins"][0]["joints"].pop(), "24 joints but 25 inverse bind matrices"),
    "accessor index": (lambda d: d["meshes"][0]["primitives"][0].update(indices=77), r"accessors\[77\]"),
    "accessor type": (lambda d: d["accessors"][0].update(type="VEC2"), "should be a VEC3"),
    "component type": (lambda d: d["accessors"][0].update(componentType=1), "should be a VEC3"),
    "count": (lambda d: d["accessors"][0].update(count=10**9), "reaches past its data"),
    "negative offset": (lambda d: d["accessors"][0].update(byteOffset=-40000), "reaches past its data"),
    "null node": (lambda d: d["nodes"].__setitem__(3, None), "the file is damaged"),
    "fractional joints": (lambda d: d["accessors"][3].update(componentType=5126), "should hold unsigned integers"),
    "text for a number": (lambda d: d["accessors"][0].update(count="many"), "damaged|not a valid"),
    "view": (lambda d: d["accessors"][0].update(bufferView=70), r"bufferViews\[70\]"),
    "sparse": (lambda d: d["accessors"][0].pop("bufferView"), "sparse or has no data"),
    "lengths": (lambda d: d["accessors"][4].update(count=1000), "differ in length"),
    "position": (lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop("POSITION"), "no vertex positions"),
    "primitives": (lambda d: d["meshes"][0].update(primitives=[]), "mesh is empty"),
    "remote data": (lambda d: d["buffers"][0].update(uri="https://example.org/a.bin"), "only files beside the model"),
    "data URI": (lambda d: d["buffers"][0].update(uri="data:;base64,?"), "embedded data is damaged"),
    "nodes": (lambda d: d.update(nodes=None), "no skin|not a valid"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_documents_are_refused(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    document, binary = unpack(asset("hands/right.glb").read_bytes())
    change(document)
    path = tmp_path / "damaged.glb"
    path.write_bytes(repack(document, binary))
    with pytest.raises(RigError, match=message):
        read_skinned_mesh(path)


def test_two_skins_are_refused(tmp_path: Path) -> None:
    document, binary = unpack(asset("hands/right.glb").read_bytes())
    document["skins"].append(document["skins"][0])
    document["nodes"].append({"name": "second", "mesh": 0, "skin": 1})
    path = tmp_path / "two.glb"
    path.write_bytes(repack(document, binary))
    with pytest.raises(RigError, match="one hand per file"):
        read_skinned_mesh(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.rig.gltf.MAX_FILE_BYTES", 1000)
    with pytest.raises(RigError, match="the limit is"):
        read_skinned_mesh(asset("hands/right.glb"))
