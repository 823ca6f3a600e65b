"""Inputs that are nearly right: bytes, chunks of PNG, arrays of .npz, nodes of JSON, words of text, changed at random.

Each takes a whole file as bytes and a random.Random, and gives the bytes of a damaged or deceptive one.
"""

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Mutator = Callable[[bytes, Random], bytes]

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 7, 255, 65_535, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**18, 10**30, 10**400),
    *(0.5, -0.0, 1e-300, 1e-9, 1e9, 1e38, 1e300, -1e308, math.nan, math.inf, -math.inf),
)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    None,
    True,
    False,
    "",
    "²",
    "x" * 300,
    "\udcff",
    "\0",
    "../..",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
)
WORDS = (
    "²",
    "1e308",
    "-1",
    "nan",
    "inf",
    "0",
    "9" * 400,
    "9" * 5000,
    "",
    "x",
    "1,2",
    "\0",
    "[",
    "{",
    "=",
    "\n",
    "\ufeff",
    "true",
)


def damaged(data: bytes, rng: Random) -> bytes:
    """Flip bits, write extreme numbers, cut, repeat, or remove some bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not changed:
            break
        at = rng.randrange(len(changed))
        kind = rng.randrange(7)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            number = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.getrandbits(32)))
            )
            changed[at : at + 4] = number
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + rng.randrange(1, 64)]
        elif kind == 5:
            changed[at:at] = changed[at : at + rng.randrange(1, 64)]
        else:
            changed[at : at + 8] = struct.pack(
                "<d", float(rng.choice([n for n in NUMBERS if abs(n) < 1e308 or n != n]))
            )
    return bytes(changed)


def deceptive_png(data: bytes, rng: Random) -> bytes:
    """Change what a chunk of a PNG file says, and its checksum with it."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += length + 12
    chosen = rng.choice(chunks)
    if chosen[0] == b"IDAT" and rng.random() < 0.7:
        chosen[1] = zlib.compress(damaged(zlib.decompress(chosen[1]), rng))
    elif rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), list(chosen))
    elif rng.random() < 0.2:
        chunks.remove(chosen)
    else:
        chosen[1] = damaged(chosen[1], rng)
    body = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b"".join(body)


def deceptive_npz(data: bytes, rng: Random) -> bytes:
    """Change the values, the type or the shape of an array, or leave it out."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(arrays))
        values = arrays[name]
        kind = rng.randrange(7)
        if kind == 0:
            del arrays[name]
            if not arrays:
                break
        elif kind == 1 and values.dtype.kind == "U":
            text = deceptive_json(str(values).encode("utf-8", "surrogateescape"), rng)
            arrays[name] = np.array(text.decode("utf-8", "replace").replace("\0", ""))
        elif kind == 1 and values.size and values.dtype.kind in "fiu":
            changed = values.astype(np.float64) if rng.random() < 0.3 else values.copy()
            number = rng.choice([n for n in NUMBERS if isinstance(n, float) or abs(n) < 2**63])
            with np.errstate(all="ignore"):
                changed.ravel()[rng.randrange(values.size)] = np.asarray(number).astype(changed.dtype)
            arrays[name] = changed
        elif kind == 2:
            arrays[name] = np.zeros(
                rng.choice(((), (0,), (1,), (3, 3), (0, 3), (2, 1, 2), values.shape[::-1])), values.dtype
            )
        elif kind == 3:
            arrays[name] = values[: rng.randrange(len(values) + 1)] if values.ndim else values[None]
        elif kind == 4:
            arrays[name] = np.full(values.shape, "x") if rng.random() < 0.5 else np.zeros(values.shape, np.complex64)
        elif kind == 5 and values.dtype.kind in "fiu":
            with np.errstate(all="ignore"):
                arrays[name] = values.astype(rng.choice((np.int8, np.uint8, np.float16, np.float64, np.bool_)))
        else:
            arrays[name] = np.concatenate([values, values]) if values.ndim else np.array(rng.choice(("", "[]", "x")))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def lying_npz(data: bytes, rng: Random) -> bytes:
    """Change the bytes of a member of a .npz file, its header among them, and pack it with the right checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    head = members[name][:160]
    members[name] = damaged(head, rng) + members[name][160:] if rng.random() < 0.7 else damaged(members[name], rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return stream.getvalue()


def deceptive_glb(data: bytes, rng: Random) -> bytes:
    """Change the JSON of a .glb file, or numbers of its binary chunk, and announce the right lengths."""
    (length,) = struct.unpack_from("<I", data, 12)
    text, binary = data[20 : 20 + length], bytearray(data[28 + length :])
    if rng.random() < 0.6:
        text = deceptive_json(text, rng)
    for _ in range(rng.choice((0, 1, 1, 4, 64))):
        at = 4 * rng.randrange(len(binary) // 4)
        number = rng.choice((0.0, -1.0, 1e-30, 1e9, 1e30, math.nan, math.inf, rng.uniform(-1, 1)))
        binary[at : at + 4] = struct.pack("<f", number)
    text += b" " * (-len(text) % 4)
    sizes = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(text) + len(binary), len(text), b"JSON")
    return sizes + text + struct.pack("<I4s", len(binary), b"BIN\0") + bytes(binary)


def deceptive_json(data: bytes, rng: Random) -> bytes:
    """Replace, remove, or repeat nodes of a JSON document."""
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = _changed(document, rng)
    text = json.dumps(document)
    if rng.random() < 0.05:
        text = text.replace(":", ":" + "[" * 5000, 1)
    return text.encode("utf-8", "surrogatepass")


def _changed(node: Any, rng: Random) -> Any:
    if isinstance(node, dict) and node and rng.random() < 0.9:
        key = rng.choice(sorted(node, key=str))
        if rng.random() < 0.15:
            return {each: value for each, value in node.items() if each != key}
        return {**node, key: _changed(node[key], rng)}
    if isinstance(node, list) and node and rng.random() < 0.8:
        at, kind = rng.randrange(len(node)), rng.random()
        if kind < 0.15:
            return node[:at] + node[at + 1 :]
        if kind < 0.25:
            return node + node
        return [*node[:at], _changed(node[at], rng), *node[at + 1 :]]
    return rng.choice(VALUES)


def deceptive_text(data: bytes, rng: Random) -> bytes:
    """Replace, remove or repeat words and lines of a text."""
    lines = data.decode("utf-8").split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        words = lines[at].split(" ")
        place = rng.randrange(len(words))
        kind = rng.randrange(4)
        if kind == 0:
            words[place] = rng.choice(WORDS)
        elif kind == 1:
            del words[place]
        elif kind == 2:
            words.insert(place, rng.choice(WORDS))
        else:
            lines.insert(rng.randrange(len(lines)), lines[at])
            continue
        lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
