"""Write a hand or a character as an FBX in text (version 7.4), as far as the tests of loading need it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from support.rig_files import HandFile

_AXES = {"y up": (1, 1, 2, 1, 0, 1), "z up": (2, 1, 1, -1, 0, 1), "left-handed": (1, 1, 2, 1, 0, -1)}
"""Up axis and sign, front axis and sign, coordinate axis and sign."""


@dataclass
class FbxFile:
    """What is written. unit_m: of the file's lengths; quads: whether two triangles of a quad are written as one."""

    hand: HandFile
    unit_m: float = 0.01
    axes: str = "y up"
    skinned: bool = True
    extra_nodes: int = 0
    polygons: Sequence[Sequence[int]] | None = None
    shapes: bool = False

    def text(self) -> str:
        """The file."""
        hand, per_m = self.hand, 1 / self.unit_m
        binds = hand.binds.copy()
        binds[:, :3, 3] *= per_m
        up, up_sign, front, front_sign, coord, coord_sign = _AXES[self.axes]
        parts = [
            "; FBX 7.4.0 project file",
            "FBXHeaderExtension:  {\n\tFBXHeaderVersion: 1003\n\tFBXVersion: 7400\n}",
            "GlobalSettings:  {\n\tVersion: 1000\n\tProperties70:  {",
            *(
                f'\t\tP: "{name}", "int", "Integer", "",{value}'
                for name, value in (
                    *(("UpAxis", up), ("UpAxisSign", up_sign), ("FrontAxis", front), ("FrontAxisSign", front_sign)),
                    *(("CoordAxis", coord), ("CoordAxisSign", coord_sign)),
                )
            ),
            f'\t\tP: "UnitScaleFactor", "double", "Number", "",{100 * self.unit_m!r}',
            f'\t\tP: "OriginalUnitScaleFactor", "double", "Number", "",{100 * self.unit_m!r}',
            "\t}\n}",
            "Objects:  {",
            _geometry(hand.positions.astype(np.float64) * per_m, self.polygons or hand.faces.tolist()),
            '\tModel: 2, "Model::body", "Mesh" {\n\t\tVersion: 232\n\t}',
        ]
        links = ["1,2", "2,0"]
        parents = hand.parents or [-1] * len(hand.names)
        for row, name in enumerate(hand.names):
            local = binds[row] if parents[row] < 0 else np.linalg.inv(binds[parents[row]]) @ binds[row]
            parts.append(_limb(1000 + row, name, local))
            links.append(f"{1000 + row},{1000 + parents[row] if parents[row] >= 0 else 0}")
        for row in range(self.extra_nodes):
            parts.append(f'\tModel: {100000 + row}, "Model::node {row}", "Null" {{\n\t\tVersion: 232\n\t}}')
            links.append(f"{100000 + row},0")
        if self.skinned:
            parts.append('\tDeformer: 3, "Deformer::", "Skin" {\n\t\tVersion: 101\n\t}')
            links.append("3,1")
            for row in range(len(hand.names)):
                parts.append(_cluster(hand, row, binds[row]))
                links += [f"{5000 + row},3", f"{1000 + row},{5000 + row}"]
        if self.shapes:
            parts.append(_shape(hand.targets, per_m))
            links += ["7,1", "8,7", "9,8"]
        parts += ["}", "Connections:  {", *(f'\tC: "OO",{link}' for link in links), "}", ""]
        return "\n".join(parts)

    def write(self, path: Path) -> Path:
        """Write it."""
        path.write_text(self.text())
        return path


def _array(name: str, values: np.ndarray, depth: int = 2) -> str:
    flat = np.ravel(values)
    numbers = ",".join(str(int(each)) if flat.dtype.kind in "iu" else repr(float(each)) for each in flat)
    tabs = "\t" * depth
    return f"{tabs}{name}: *{len(flat)} {{\n{tabs}\ta: {numbers}\n{tabs}}}"


def _geometry(positions: np.ndarray, polygons: Sequence[Sequence[int]]) -> str:
    corners = [index for polygon in polygons for index in (*polygon[:-1], -polygon[-1] - 1)]
    arrays = [_array("Vertices", positions), _array("PolygonVertexIndex", np.array(corners))]
    return "\n".join(['\tGeometry: 1, "Geometry::body", "Mesh" {', *arrays, "\t}"])


def _limb(number: int, name: str, local: np.ndarray) -> str:
    scale = np.linalg.norm(local[:3, :3], axis=0)
    turn = Rotation.from_matrix(local[:3, :3] / scale).as_euler("xyz", degrees=True)
    rows = [
        f'\t\t\tP: "Lcl {what}", "Lcl {what}", "", "A",{",".join(repr(float(each)) for each in values)}'
        for what, values in (("Translation", local[:3, 3]), ("Rotation", turn), ("Scaling", scale))
    ]
    head = f'\tModel: {number}, "Model::{name}", "LimbNode" {{\n\t\tVersion: 232\n\t\tProperties70:  {{'
    return "\n".join([head, *rows, "\t\t}\n\t}"])


def _cluster(hand: HandFile, row: int, bind: np.ndarray) -> str:
    vertex, column = np.nonzero((hand.joints == row) & (hand.weights > 0))
    arrays = [
        _array("Indexes", vertex),
        _array("Weights", hand.weights[vertex, column].astype(np.float64)),
        _array("Transform", np.linalg.inv(bind).T),
        _array("TransformLink", bind.T),
    ]
    if not len(vertex):
        arrays = arrays[2:]
    return "\n".join([f'\tDeformer: {5000 + row}, "SubDeformer::", "Cluster" {{\n\t\tVersion: 100', *arrays, "\t}"])


def _shape(targets: dict[str, np.ndarray], per_m: float) -> str:
    ((name, moved),) = targets.items()
    rows = np.flatnonzero(np.abs(moved).max(axis=1) > 0)
    arrays = [
        _array("Indexes", rows),
        _array("Vertices", moved[rows].astype(np.float64) * per_m),
        _array("Normals", np.zeros((len(rows), 3))),
    ]
    return "\n".join(
        [
            '\tDeformer: 7, "Deformer::shapes", "BlendShape" {\n\t\tVersion: 100\n\t}',
            f'\tDeformer: 8, "SubDeformer::{name}", "BlendShapeChannel" {{\n\t\tVersion: 100\n\t\tDeformPercent: 0',
            _array("FullWeights", np.array([100.0])),
            "\t}",
            f'\tGeometry: 9, "Geometry::{name}", "Shape" {{\n\t\tVersion: 100',
            *arrays,
            "\t}",
        ]
    )
