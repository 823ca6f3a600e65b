"""Write variants of the default hand as glTF files, sound or broken, for the tests of loading."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib

from handopt.assets import asset
from handopt.rig.gltf import read_skinned_mesh

_COMPONENTS = {"float32": 5126, "uint8": 5121, "uint16": 5123, "uint32": 5125}


@dataclass
class HandFile:
    """The parts of a rig file; change them and write()."""

    positions: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    names: list[str]
    inverse_binds: np.ndarray
    copyright: str = ""
    mesh_name: str = "hand"
    skinned: bool = True
    with_binds: bool = True
    with_weights: bool = True
    hierarchy: bool = False
    parents: list[int] | None = None
    """Of each joint, -1 at a root: a tree of nodes."""
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    """Offsets (N, 3) of morph targets by name."""
    mode: int = 4
    extensions_required: list[str] = field(default_factory=list)

    @classmethod
    def default(cls, side: str = "right") -> "HandFile":
        """The shipped hand, unwelded and in metres."""
        mesh = read_skinned_mesh(asset(f"hands/{side}.glb"))
        return cls(
            mesh.positions.astype(np.float32),
            mesh.faces.astype(np.uint16),
            mesh.joints.astype(np.uint8),
            mesh.weights.astype(np.float32),
            list(mesh.joint_names),
            mesh.inverse_binds.copy(),
        )

    @property
    def binds(self) -> np.ndarray:
        """(J, 4, 4) joint -> rig."""
        return np.linalg.inv(self.inverse_binds)

    @binds.setter
    def binds(self, values: np.ndarray) -> None:
        self.inverse_binds = np.linalg.inv(values)

    def drop(self, name: str, heir: str) -> None:
        """Remove a joint; another one takes over its weights."""
        index = self.names.index(name)
        self.joints[self.joints == index] = self.names.index(heir)
        self.joints[self.joints > index] -= 1
        self.names.remove(name)
        self.inverse_binds = np.delete(self.inverse_binds, index, axis=0)

    def write(self, path: Path, buffer: str = "embedded") -> Path:
        """Write a .glb, or a .gltf with its buffer in a data URI ("embedded") or in a file beside it ("file")."""
        gltf = pygltflib.GLTF2(asset=pygltflib.Asset(copyright=self.copyright or None))
        gltf.extensionsRequired = self.extensions_required
        blob = bytearray()

        def accessor(array: np.ndarray, kind: str, normalized: bool = False) -> int:
            array = np.ascontiguousarray(array)
            blob.extend(b"\0" * (-len(blob) % 4))
            gltf.bufferViews.append(pygltflib.BufferView(buffer=0, byteOffset=len(blob), byteLength=array.nbytes))
            component = _COMPONENTS[array.dtype.name]
            count = array.size if kind == "SCALAR" else len(array)
            view = len(gltf.bufferViews) - 1
            gltf.accessors.append(
                pygltflib.Accessor(
                    bufferView=view, componentType=component, count=count, type=kind, normalized=normalized
                )
            )
            blob.extend(array.tobytes())
            return len(gltf.accessors) - 1

        attributes: dict[str, Any] = {"POSITION": accessor(self.positions, "VEC3")}
        if self.with_weights:
            for index in range(self.joints.shape[1] // 4):
                columns = slice(4 * index, 4 * index + 4)
                attributes[f"JOINTS_{index}"] = accessor(self.joints[:, columns], "VEC4")
                integer = self.weights.dtype.kind == "u"
                attributes[f"WEIGHTS_{index}"] = accessor(self.weights[:, columns], "VEC4", normalized=integer)
        primitive = pygltflib.Primitive(
            attributes=pygltflib.Attributes(**attributes), indices=accessor(self.faces, "SCALAR"), mode=self.mode
        )
        if self.targets:
            moved = (each.astype(np.float32) for each in self.targets.values())
            primitive.targets = [{"POSITION": accessor(each, "VEC3")} for each in moved]
        names = {"targetNames": list(self.targets)} if self.targets else {}
        gltf.meshes = [pygltflib.Mesh(primitives=[primitive], extras=names)]
        gltf.nodes = [pygltflib.Node(name=name) for name in self.names]
        for child, parent in enumerate(self.parents or []):
            if parent >= 0:
                gltf.nodes[parent].children = [*(gltf.nodes[parent].children or []), child]
        if self.hierarchy:
            gltf.nodes[0].children = list(range(1, len(self.names)))
        gltf.nodes.append(pygltflib.Node(name=self.mesh_name, mesh=0, skin=0 if self.skinned else None))
        binds = accessor(self.inverse_binds.transpose(0, 2, 1).astype(np.float32).reshape(-1, 16), "MAT4")
        if self.skinned:
            skin = pygltflib.Skin(joints=list(range(len(self.names))))
            skin.inverseBindMatrices = binds if self.with_binds else None
            gltf.skins = [skin]
        gltf.buffers = [pygltflib.Buffer(byteLength=len(blob))]
        if path.suffix == ".glb":
            gltf.set_binary_blob(bytes(blob))
            gltf.save_binary(str(path))
            return path
        if buffer == "file":
            path.with_suffix(".bin").write_bytes(blob)
            gltf.buffers[0].uri = path.with_suffix(".bin").name
        else:
            gltf.buffers[0].uri = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
        path.write_text(gltf.to_json())
        return path
