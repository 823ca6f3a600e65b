"""What every glTF file of handopt is made of: one binary buffer with its accessors, the skin's material, the file."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from handopt.typing import Integers

M_PER_MM: Final = 1e-3
Y_UP: Final = np.diag([1.0, -1.0, -1.0])
"""Rotation from the camera frame (y down, z forward) to glTF's (y up, z towards the viewer)."""

SKIN_LINEAR_RGBA: Final = (0.66, 0.40, 0.29, 1.0)
"""Colour of skin in linear RGB, chosen by eye."""
SKIN_ROUGHNESS: Final = 0.65
"""Of the material model of glTF: 0 is a mirror, 1 is chalk; chosen by eye."""


class GltfBuffer:
    """The binary chunk of a file, which grows with every array, and the accessors that describe the arrays."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[Any] = []
        self.accessors: list[Any] = []

    def add(
        self, values: npt.ArrayLike, dtype: str, kind: str, *, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append an array, aligned to 4 bytes, and return the number of its accessor.

        values: (N,) or (N, width). dtype: "<f4", "u1" or "<u4", to which they are converted. kind: of glTF, such as
        "VEC3". target: ARRAY_BUFFER or ELEMENT_ARRAY_BUFFER for vertex attributes and indices. bounds: whether to give
        the smallest and the largest value of each column, which glTF demands of positions and times.
        """
        import pygltflib as gltf

        array = np.ascontiguousarray(values).astype(dtype)
        columns = array.reshape(len(array), -1)
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.views.append(gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=array.nbytes, target=target))
        self.data.extend(array.tobytes())
        component = {"<f4": gltf.FLOAT, "u1": gltf.UNSIGNED_BYTE, "<u4": gltf.UNSIGNED_INT}[dtype]
        self.accessors.append(
            gltf.Accessor(
                bufferView=len(self.views) - 1,
                componentType=component,
                count=len(array),
                type=kind,
                min=columns.min(axis=0).tolist() if bounds else None,
                max=columns.max(axis=0).tolist() if bounds else None,
            )
        )
        return len(self.accessors) - 1

    def add_mesh(self, positions_m: npt.ArrayLike, normals: npt.ArrayLike) -> dict[str, int]:
        """Append positions (V, 3) in metres and unit normals (V, 3); returns the accessors by vertex attribute."""
        import pygltflib as gltf

        return {
            "POSITION": self.add(positions_m, "<f4", "VEC3", target=gltf.ARRAY_BUFFER, bounds=True),
            "NORMAL": self.add(normals, "<f4", "VEC3", target=gltf.ARRAY_BUFFER),
        }

    def add_target(self, displacements_m: npt.ArrayLike) -> Any:
        """Append the displacements (V, 3) of a morph target in metres; returns its attributes."""
        import pygltflib as gltf

        place = self.add(displacements_m, "<f4", "VEC3", target=gltf.ARRAY_BUFFER, bounds=True)
        return gltf.Attributes(POSITION=place)

    def add_skin(self, indices: npt.ArrayLike, weights: npt.ArrayLike) -> dict[str, int]:
        """Append joint indices and skinning weights (V, K), in sets of four; returns the accessors by attribute."""
        import pygltflib as gltf

        attributes = {}
        joints, shares = np.asarray(indices), np.asarray(weights)
        for number, first in enumerate(range(0, shares.shape[1], 4)):
            for name, values, dtype in (("JOINTS", joints, "u1"), ("WEIGHTS", shares, "<f4")):
                four = values[:, first : first + 4]
                padded = np.pad(four, ((0, 0), (0, 4 - four.shape[1])))
                attributes[f"{name}_{number}"] = self.add(padded, dtype, "VEC4", target=gltf.ARRAY_BUFFER)
        return attributes

    def add_faces(self, faces: Integers) -> int:
        """Append triangles (F, 3); returns the number of their accessor."""
        import pygltflib as gltf

        return self.add(faces.ravel(), "<u4", "SCALAR", target=gltf.ELEMENT_ARRAY_BUFFER)

    def write(self, path: Path, *, generator: str, copyright: str | None = None, **parts: Any) -> None:
        """Write a .glb with one scene.

        generator: the program that made it. copyright: licence of the mesh. parts: lists of pygltflib's objects, such
        as nodes and meshes, by their names in glTF; the scene's roots are `roots`.
        """
        import pygltflib as gltf

        document = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator=generator, copyright=copyright),
            scene=0,
            scenes=[gltf.Scene(name="hand", nodes=parts.pop("roots"))],
            materials=[_skin_material()],
            accessors=self.accessors,
            bufferViews=self.views,
            buffers=[gltf.Buffer(byteLength=len(self.data))],
            **parts,
        )
        document.set_binary_blob(bytes(self.data))
        path.write_bytes(b"".join(document.save_to_bytes()))


def hand_mesh(name: str, attributes: dict[str, int], indices: int) -> Any:
    """A mesh of one primitive with the skin's material, from the accessors of its attributes and faces."""
    import pygltflib as gltf

    primitive = gltf.Primitive(attributes=gltf.Attributes(**attributes), indices=indices, material=0)
    return gltf.Mesh(name=name, primitives=[primitive])


def children_of(parents: Integers, joint: int) -> list[int]:
    """The joints whose parent is a joint; parents: (J,)."""
    return [int(child) for child in np.flatnonzero(parents == joint)]


def _skin_material() -> Any:
    import pygltflib as gltf

    surface = gltf.PbrMetallicRoughness(
        baseColorFactor=list(SKIN_LINEAR_RGBA), metallicFactor=0.0, roughnessFactor=SKIN_ROUGHNESS
    )
    return gltf.Material(name="skin", pbrMetallicRoughness=surface)
