"""Read the skinned meshes of a glTF or GLB file into plain arrays, in the file's own units and order."""

import base64
import binascii
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.bounds import MOST_ALL_JOINTS, MOST_JOINTS, MOST_NUMBERS, MOST_PRIMITIVES, MOST_VERTICES, check_count
from handopt.rig.extras import correctives_of
from handopt.rig.files import read_bytes
from handopt.rig.gltf_document import Part, read_document
from handopt.rig.pose_correctives import PoseCorrectives
from handopt.rig.shape_space import ShapeSpace

MAX_FILE_BYTES: Final = 128 * 1024**2
"""Of the file and of each buffer beside it, textures included."""
_HEADER_BYTES = 12
_COMPONENTS: Final = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_HARMLESS_EXTENSIONS = ("KHR_materials", "KHR_texture", "EXT_texture", "KHR_lights")
_TRIANGLES = 4
_MOST_TARGETS = 400
MORPH_DEVIATION = 0.5  # weight of a morph target that counts as one standard deviation; weights go from 0 to 1


@dataclass(frozen=True, eq=False)
class SkinnedMesh:
    """A mesh and its skin as they stand in the file; positions are those of the bind pose."""

    positions: NDArray[np.float64]
    """(N, 3) file units."""
    faces: NDArray[np.int64]
    """(F, 3) indices into the positions."""
    joints: NDArray[np.int64]
    """(N, K) indices into joint_names."""
    weights: NDArray[np.float64]
    """(N, K) skinning weights, as stored."""
    joint_names: tuple[str, ...]
    inverse_binds: NDArray[np.float64]
    """(J, 4, 4) rig -> joint."""
    mesh_name: str
    copyright: str
    extras: dict[str, Any]
    """Of the skin."""
    confidence: NDArray[np.float64] | None
    """(N,) the vertex attribute _CONFIDENCE, where every primitive has it."""
    shape_space: ShapeSpace | None = None
    """Of the file, in its unit: of all its vertices and joints."""
    parents: NDArray[np.int64] | None = None
    """(J,) the nearest of the skin's joints above each joint in the tree of nodes, -1 where there is none."""
    pose_correctives: PoseCorrectives | None = None
    """For all vertices and joints, in the file's unit, for rotations in the axes of the rest mesh."""


def read_skinned_mesh(path: Path) -> SkinnedMesh:
    """Read the skinned mesh of a .glb or .gltf file. Raises RigError when it is damaged or has not exactly one skin."""
    meshes = read_skinned_meshes(path)
    if len(meshes) > 1:
        raise RigError(f"{path}: the model has several skinned meshes with skins of their own: keep one hand per file")
    return meshes[0]


def read_skinned_meshes(path: Path) -> list[SkinnedMesh]:
    """Read the meshes of each skin of a .glb or .gltf file. Raises RigError when it is damaged or has no skin."""
    try:
        with np.errstate(invalid="ignore"):
            document = _Document(path)
            nodes = [node for node in document.nodes if node.mesh is not None and node.skin is not None]
            if not nodes:
                raise RigError(f"{path}: the model has no skin: it needs a mesh that is bound to the joints of a hand")
            skins = list(dict.fromkeys(node.skin for node in nodes))
            return [_read(document, [node for node in nodes if node.skin == skin]) for skin in skins]
    except RigError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise RigError(f"{path}: the file is damaged: {error}") from error


def _read(document: "_Document", nodes: list[Any]) -> SkinnedMesh:
    """The meshes of nodes that share a skin."""
    path = document.path
    skin = document.item("skins", nodes[0].skin)
    joint_nodes = [document.item("nodes", index) for index in skin.joints or []]
    if skin.inverseBindMatrices is None:
        raise RigError(f"{path}: the skin has no inverse bind matrices")
    check_count("joints", len(joint_nodes), MOST_JOINTS, str(path))
    document.joints += len(joint_nodes)
    check_count("joints in all skins", document.joints, MOST_ALL_JOINTS, str(path))
    binds = document.accessor(skin.inverseBindMatrices, "MAT4").astype(np.float64)
    if len(binds) != len(joint_nodes):
        raise RigError(f"{path}: the skin has {len(joint_nodes)} joints but {len(binds)} inverse bind matrices")
    meshes = [document.item("meshes", index) for index in dict.fromkeys(node.mesh for node in nodes)]
    primitives = [primitive for mesh in meshes for primitive in mesh.primitives or []]
    check_count("primitives", len(primitives), MOST_PRIMITIVES, str(path))
    parts = [_primitive(document, primitive) for primitive in primitives]
    if not parts:
        raise RigError(f"{path}: the skinned mesh is empty")
    width = max(part[2].shape[1] for part in parts)
    offsets = np.cumsum([0, *(len(part[0]) for part in parts[:-1])])
    return SkinnedMesh(
        positions=np.concatenate([part[0] for part in parts]),
        faces=np.concatenate([part[1] + offset for part, offset in zip(parts, offsets, strict=True)]),
        joints=np.concatenate([_widen(part[2], width) for part in parts]),
        weights=np.concatenate([_widen(part[3], width) for part in parts]),
        joint_names=tuple(str(node.name or f"unnamed joint {index}") for index, node in enumerate(joint_nodes)),
        inverse_binds=binds.reshape(-1, 4, 4).transpose(0, 2, 1),
        mesh_name=str(nodes[0].name or meshes[0].name or ""),
        copyright=str((document.gltf.asset or Part({})).copyright or ""),
        extras=skin.extras if isinstance(skin.extras, dict) else {},
        confidence=None if any(part[4] is None for part in parts) else np.concatenate([part[4] for part in parts]),
        shape_space=_morphs(document, meshes, len(joint_nodes)),
        parents=document.joint_parents(list(skin.joints or [])),
        pose_correctives=correctives_of(skin.extras, document.accessor),
    )


def _morphs(document: "_Document", meshes: list[Any], joints: int) -> ShapeSpace | None:
    """The morph targets of a single mesh, which move no joints; a weight of 0.5 counts as one standard deviation."""
    primitives = [primitive for mesh in meshes for primitive in mesh.primitives or []]
    counts = {len(primitive.targets or []) for primitive in primitives}
    if len(meshes) != 1 or len(counts) != 1 or not 1 <= (count := counts.pop()) <= _MOST_TARGETS:
        return None
    places = [
        [
            each.get("POSITION") if isinstance(each, dict) else getattr(each, "POSITION", None)
            for each in primitive.targets
        ]
        for primitive in primitives
    ]
    if any(not isinstance(place, int) for row in places for place in row):
        return None
    moved = [
        np.stack([document.accessor(int(place or 0), "VEC3").astype(np.float64) for place in row]) for row in places
    ]
    extras = meshes[0].extras if isinstance(meshes[0].extras, dict) else {}
    given = extras.get("targetNames")
    names = given if isinstance(given, list) and len(given) == count else [f"morph {number}" for number in range(count)]
    offsets = MORPH_DEVIATION * np.concatenate(moved, axis=1)
    texts = tuple(str(name) for name in names)
    return ShapeSpace("morphs", texts, offsets, np.zeros((count, joints, 3)), np.full(count, MORPH_DEVIATION))


def _primitive(document: "_Document", primitive: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Positions (N, 3), faces (F, 3), joints and weights (N, 4 * sets), confidence (N,) or None of one primitive."""
    path = document.path
    if primitive.mode not in (None, _TRIANGLES):
        raise RigError(f"{path}: the mesh must consist of triangles (its primitive mode is {primitive.mode}, not 4)")
    attributes = primitive.attributes
    if attributes.POSITION is None:
        raise RigError(f"{path}: the mesh has no vertex positions")
    positions = document.accessor(attributes.POSITION, "VEC3").astype(np.float64)
    document.vertices += len(positions)
    check_count("vertices", document.vertices, MOST_VERTICES, str(path))
    joints, weights = [], []
    for index in range(8):
        joint_set = getattr(attributes, f"JOINTS_{index}", None)
        weight_set = getattr(attributes, f"WEIGHTS_{index}", None)
        if joint_set is None or weight_set is None:
            break
        joints.append(document.accessor(joint_set, "VEC4", integer=True).astype(np.int64))
        weights.append(document.accessor(weight_set, "VEC4").astype(np.float64))
    if not joints:
        raise RigError(f"{path}: the mesh has no skinning weights (JOINTS_0 and WEIGHTS_0)")
    if {len(rows) for rows in (*joints, *weights)} != {len(positions)}:
        raise RigError(f"{path}: positions, joints and weights of the mesh differ in length")
    if primitive.indices is None:
        corners = np.arange(len(positions))
    else:
        corners = document.accessor(primitive.indices, "SCALAR", integer=True).astype(np.int64).ravel()
    if len(corners) % 3:
        raise RigError(f"{path}: the mesh has {len(corners)} triangle corners, which is not a multiple of 3")
    if len(corners) and corners.max() >= len(positions):
        raise RigError(f"{path}: a triangle refers to vertex {corners.max()}, but there are {len(positions)} vertices")
    sure = getattr(attributes, "_CONFIDENCE", None)
    confidence = None if sure is None else document.accessor(sure, "SCALAR").astype(np.float64).ravel()
    if confidence is not None and len(confidence) != len(positions):
        raise RigError(f"{path}: positions and _CONFIDENCE of the mesh differ in length")
    return positions, corners.reshape(-1, 3), np.hstack(joints), np.hstack(weights), confidence


def _widen(rows: NDArray[Any], width: int) -> NDArray[Any]:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


class _Document:
    """A parsed file with its buffers, whose lookups raise RigError where the file points nowhere."""

    def __init__(self, path: Path) -> None:
        """Parse the file at path. Raises RigError when it cannot be read or is no glTF 2.0."""
        self.path = path
        self.gltf, self._binary = _parse(path, read_bytes(path, MAX_FILE_BYTES))
        self._buffers: dict[int, bytes] = {}
        self._numbers = 0
        self.vertices = self.joints = 0
        """Of all skins that have been read so far."""
        blocking = [
            name for name in self.gltf.extensionsRequired or [] if not str(name).startswith(_HARMLESS_EXTENSIONS)
        ]
        if blocking:
            raise RigError(
                f"{path}: the model needs the glTF extension {blocking[0]}, which is not read: "
                "export it without compression or quantisation"
            )

    @property
    def nodes(self) -> list[Any]:
        """The nodes of the file."""
        return self.gltf.nodes or []

    def joint_parents(self, joints: list[int]) -> NDArray[np.int64]:
        """The nearest joint above each joint, -1 where there is none. Raises RigError where the tree is none."""
        above = self._above
        row = {joint: number for number, joint in enumerate(joints)}
        nearest = dict(row)  # of nodes that are joints, or that have been passed
        parents = np.full(len(joints), -1)
        for number, joint in enumerate(joints):
            passed, at = [], int(above[joint])
            while at >= 0 and at not in nearest:
                passed.append(at)
                at = int(above[at])
                if len(passed) > len(above):
                    raise self._loop("nodes", joint)
            parents[number] = nearest[at] if at >= 0 else -1
            nearest |= dict.fromkeys(passed, parents[number])
        rooted = {-1}
        for number in range(len(joints)):
            passed, at = [], number
            while at not in rooted:
                passed.append(at)
                at = int(parents[at])
                if len(passed) > len(joints):
                    raise self._loop("joints", joints[number])
            rooted.update(passed)
        return parents

    @cached_property
    def _above(self) -> NDArray[np.int64]:
        """The parent of each node, -1 where there is none. Raises RigError where a node has two."""
        above = np.full(len(self.nodes), -1)
        for index, node in enumerate(self.nodes):
            for child in node.children or []:
                if not isinstance(child, int) or not 0 <= child < len(above):
                    raise RigError(f"{self.path}: the file is damaged: it refers to nodes[{child}] of {len(above)}")
                if above[child] >= 0:
                    raise RigError(f"{self.path}: the node {self.nodes[child].name!r} has two parents: export it again")
                above[child] = index
        return above

    def _loop(self, kind: str, node: int) -> RigError:
        return RigError(f"{self.path}: the {kind} above {self.nodes[node].name!r} form a loop: export it again")

    def item(self, kind: str, index: Any) -> Any:
        """Entry `index` of one of the file's lists."""
        items = getattr(self.gltf, kind) or []
        if not isinstance(index, int) or not 0 <= index < len(items):
            raise RigError(f"{self.path}: the file is damaged: it refers to {kind}[{index}] of {len(items)}")
        return items[index]

    def accessor(self, index: int, kind: str, integer: bool = False) -> NDArray[Any]:
        """Values (count, width) of an accessor; normalised integers become floats."""
        accessor = self.item("accessors", index)
        if accessor.type != kind or accessor.componentType not in _COMPONENTS:
            raise RigError(f"{self.path}: accessor {index} should be a {kind} of numbers, not {accessor.type}")
        if accessor.sparse is not None or accessor.bufferView is None:
            raise RigError(f"{self.path}: accessor {index} is sparse or has no data: export without sparse accessors")
        view = self.item("bufferViews", accessor.bufferView)
        dtype = np.dtype(_COMPONENTS[accessor.componentType])
        if integer and (dtype.kind != "u" or accessor.normalized):
            raise RigError(f"{self.path}: accessor {index} should hold unsigned integers")
        width = _WIDTHS[kind]
        row_bytes = width * dtype.itemsize
        stride = view.byteStride or row_bytes
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        count = accessor.count or 0
        data = self._buffer(view.buffer)
        if start < 0 or count < 0 or stride < row_bytes or start + (count - 1) * stride + row_bytes > len(data):
            raise RigError(f"{self.path}: the file is truncated or damaged: accessor {index} reaches past its data")
        self._numbers += count * width
        check_count("numbers", self._numbers, MOST_NUMBERS, str(self.path))
        if count == 0:
            return np.empty((0, width), dtype)
        rows = np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))
        if accessor.normalized and dtype.kind in "iu":
            return np.maximum(rows.astype(np.float64) / np.iinfo(dtype).max, -1.0)
        return rows.copy()

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            uri = self.item("buffers", index).uri
            self._buffers[index] = self._binary if uri is None else self._load_uri(str(uri))
            size = sum(len(each) for each in self._buffers.values()) >> 20
            check_count("MiB of data", size, MAX_FILE_BYTES >> 20, str(self.path))
        return self._buffers[index]

    def _load_uri(self, uri: str) -> bytes:
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise RigError(f"{self.path}: its embedded data is damaged: {error}") from error
        if "://" in uri:
            raise RigError(f"{self.path}: its data lies at {uri[:80]}: only files beside the model are read")
        beside = self.path.parent.resolve()
        if not (path := (beside / unquote(uri)).resolve()).is_relative_to(beside):
            raise RigError(f"{self.path}: its data lies at {uri[:80]}: only files beside the model are read")
        return read_bytes(path, MAX_FILE_BYTES)


def _parse(path: Path, data: bytes) -> tuple[Part, bytes]:
    """The document of a file, and its binary chunk. Raises RigError."""
    if data[:4] == b"glTF":
        if len(data) < _HEADER_BYTES + 8 or len(data) < (length := struct.unpack("<I", data[8:12])[0]):
            raise RigError(
                f"{path}: the file is truncated: it has {len(data)} bytes, fewer than its header says: copy it again"
            )
        if struct.unpack("<I", data[4:8])[0] != 2 or length < _HEADER_BYTES + 8:
            raise RigError(f"{path}: the file is not glTF version 2")
        text, binary = _chunks(path, data[:length])
    elif not data.lstrip().startswith(b"{"):
        raise RigError(f"{path}: the file is not a glTF or GLB model")
    else:
        text, binary = data, b""
    document = read_document(text, str(path))
    if text is data and not isinstance(document.asset, Part):
        raise RigError(f"{path}: this JSON is no glTF, which has an 'asset': give a rig (a camera goes with --camera)")
    version = str((document.asset.version if isinstance(document.asset, Part) else None) or "2.0")
    if not version.startswith("2"):
        raise RigError(f"{path}: the file is not glTF version 2")
    return document, binary


def _chunks(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a GLB file; others are skipped, as glTF demands. Raises RigError."""
    found: dict[bytes, bytes] = {}
    at = _HEADER_BYTES
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.setdefault(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 8 + length
    if b"JSON" not in found:
        raise RigError(f"{path}: the file is not a valid glTF or GLB model: it has no JSON chunk")
    return found[b"JSON"], found.get(b"BIN\0", b"")
