"""Rebuild assets/hands/right.glb and left.glb from the original right hand.

The original is dist/profiles/generic-hand/right.glb of the npm package @webxr-input-profiles/assets (MIT). It is copied
byte for byte; left.glb is its mirror image in the plane x = 0 with the same order of joints, vertices and faces.

    python scripts/assets/build_hands.py path/to/original/right.glb [-o assets/hands]
"""

import argparse
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIGINAL_SHA256 = "291790c14f7f88a7f9bd35330c47392ed8e8d395ae6728f4bb7089f1bc1f2b96"
DTYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MIRROR_MATRIX = np.outer([-1, 1, 1, 1], [-1, 1, 1, 1]).astype("<f4").ravel()


def main() -> int:
    """Check the original, then write both hands."""
    parser = argparse.ArgumentParser(description="Rebuild assets/hands from the original right hand.")
    parser.add_argument("original", type=Path, help="right.glb as published")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parents[2] / "assets" / "hands")
    arguments = parser.parse_args()
    original = arguments.original.read_bytes()
    digest = hashlib.sha256(original).hexdigest()
    if digest != ORIGINAL_SHA256:
        sys.stderr.write(f"{arguments.original} is not the original: SHA-256 {digest}, expected {ORIGINAL_SHA256}\n")
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, data in (("right.glb", original), ("left.glb", mirror_glb(original))):
        (arguments.output / name).write_bytes(data)
        sys.stderr.write(f"wrote {arguments.output / name}\n")
    return 0


def mirror_glb(data: bytes) -> bytes:
    """The mirror image of a GLB hand: x -> -x, faces turned over, joint axes conjugated by the mirror."""
    json_length = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + json_length])
    binary = bytearray(data[28 + json_length :])
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            for name in ("POSITION", "NORMAL"):
                values(document, binary, primitive["attributes"][name])[:, 0] *= -1
            faces = values(document, binary, primitive["indices"]).reshape(-1, 3)
            faces[:] = faces[:, [0, 2, 1]]
            bounds = document["accessors"][primitive["attributes"]["POSITION"]]
            bounds["min"][0], bounds["max"][0] = -bounds["max"][0], -bounds["min"][0]
    for skin in document["skins"]:
        values(document, binary, skin["inverseBindMatrices"])[:] *= MIRROR_MATRIX
    for node in document["nodes"]:
        if "translation" in node:
            node["translation"][0] *= -1
        if "rotation" in node:
            x, y, z, w = node["rotation"]
            node["rotation"] = [x, -y, -z, w]
        node["name"] = node["name"].replace("r_hand", "l_hand")
    return glb(document, bytes(binary))


def values(document: dict[str, Any], binary: bytearray, index: int) -> NDArray[Any]:
    """A writable view (count, width) of a tightly packed accessor."""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    width = WIDTHS[accessor["type"]]
    count = accessor["count"] * width
    return np.frombuffer(binary, DTYPES[accessor["componentType"]], count, start).reshape(-1, width)


def glb(document: dict[str, Any], binary: bytes) -> bytes:
    """Pack a glTF document and its binary chunk."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


if __name__ == "__main__":
    sys.exit(main())
