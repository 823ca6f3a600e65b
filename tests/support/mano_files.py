"""Build a file of MANO's exact layout from the default hand, with random smooth bases, and pickle it as MANO does.

The names of chumpy and SciPy are written by classes that only pretend to be theirs; the model's arrays are our own.
"""

import io
import pickle
import pickletools
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import igl
import numpy as np
from numpy.typing import NDArray

from handopt.rig import Rig, default_rig
from handopt.rig.joints import JOINT_TABLE

Floats = NDArray[np.float64]

VERTICES, FACES = 778, 1538
TIP_VERTICES = (745, 317, 444, 556, 673)
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
JOINTS = [joint.webxr for joint in sorted((j for j in JOINT_TABLE if j.mano is not None), key=lambda j: j.mano or 0)]


@cache
def mano_arrays(side: str = "right", seed: int = 0) -> dict[str, Any]:
    """The arrays of a file of MANO by name; a left model is the mirror image of the right one. Not to be changed."""
    rig = default_rig("right")
    rng = np.random.default_rng(seed)
    vertices, faces, origin = _decimated(rig)
    names = list(rig.joint_names)
    weights = _weights(rig, origin, [names.index(name) for name in JOINTS[:16]])
    joints = rig.bind[[names.index(name) for name in JOINTS[:16]], :, 3]
    order = _order_of_tips(vertices, rig.bind[[names.index(name) for name in JOINTS[16:]], :, 3])
    vertices, weights, faces = vertices[order], weights[order], np.argsort(order)[faces]
    for tip, row in zip(TIP_VERTICES, (15, 3, 6, 12, 9), strict=True):
        weights[tip] = np.eye(16)[row]
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # fingers along -x, as MANO's right hand
    template, joints = vertices @ turn.T / 1000, joints @ turn.T / 1000
    centre = template.mean(axis=0)
    template, joints = template - centre + [0.03, 0.005, 0.01], joints - centre + [0.03, 0.005, 0.01]
    shapedirs = np.stack([_smooth(rng, template, 0.003 / (1 + 0.3 * k)) for k in range(10)], axis=2)
    shapedirs[:, :, 0] = 0.04 * (template - joints[0])  # the first is the size
    posedirs = np.stack([_smooth(rng, template, 0.001) for _ in range(135)], axis=2)
    posedirs[list(TIP_VERTICES)] = 0
    arrays = {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": posedirs,
        "J_regressor": _regressor(template, joints),
        "weights": weights,
        "kintree_table": np.array([np.array(PARENTS) % 2**32, np.arange(16)], np.uint32),
        "hands_mean": rng.normal(0, 0.2, 45),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
    }
    return arrays if side == "right" else _mirrored(arrays)


def write_mano(path: Path, arrays: dict[str, Any], *, chumpy: bool = False, protocol: int = 2) -> Path:
    """Pickle a model as MANO's files are: a sparse J_regressor, and with chumpy arrays in chumpy's classes."""
    document: dict[str, Any] = dict(arrays, bs_style="lbs", bs_type="lrotmin")
    with pretended_classes() as (sparse, ch, select):
        document["J_regressor"] = sparse(arrays["J_regressor"])
        if chumpy:
            count = arrays["shapedirs"].shape[2]
            many = np.concatenate([arrays["shapedirs"], arrays["shapedirs"][..., :2]], axis=2)
            idxs = np.arange(many.size).reshape(many.shape)[..., :count].ravel()
            document["v_template"] = ch(arrays["v_template"])
            document["posedirs"] = ch(arrays["posedirs"])
            document["shapedirs"] = select(ch(many), idxs, arrays["shapedirs"].shape)
        if protocol == 2:
            path.write_bytes(python2_pickle(document))
        else:
            path.write_bytes(pickle.dumps(document, protocol))
    return path


def python2_pickle(document: Any) -> bytes:
    """A pickle as Python 2 writes it: protocol 2, bytes as its strings, modules by their old names."""
    stream = io.BytesIO()
    pickler: Any = pickle._Pickler(stream, protocol=2, fix_imports=True)
    pickler.dispatch = dict(pickler.dispatch)

    def save_bytes(self: Any, value: bytes) -> None:
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)

    def save_text(self: Any, value: str) -> None:
        save_bytes(self, value.encode("latin1"))

    pickler.dispatch[bytes], pickler.dispatch[str] = save_bytes, save_text
    pickler.dump(document)
    data = stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    pickletools.dis(data, io.StringIO())  # it is well formed
    return data


@contextmanager
def pretended_classes() -> Iterator[tuple[Any, Any, Any]]:
    """Classes that pickle themselves under the names of scipy.sparse.csc.csc_matrix, chumpy's Ch and Select."""
    modules: dict[str, types.ModuleType] = {}

    def make(module: str, name: str) -> Any:
        made = type(name, (), {"__module__": module})
        modules.setdefault(module, types.ModuleType(module)).__dict__[name] = made
        return made

    csc, ch_class, select_class = (
        make("scipy.sparse.csc", "csc_matrix"),
        make("chumpy.ch", "Ch"),
        make("chumpy.reordering", "Select"),
    )

    def sparse(dense: Floats) -> Any:
        from scipy.sparse import csc_matrix

        found, made = csc_matrix(dense), csc()
        made.__dict__.update(
            _shape=dense.shape, data=found.data, indices=found.indices, indptr=found.indptr, maxprint=50
        )
        return made

    def ch(values: Floats) -> Any:
        made = ch_class()
        made.__dict__.update(x=values, _dirty_vars=set(), _itr=None, _depends_on_deps={})
        return made

    def select(inner: Any, idxs: Any, shape: tuple[int, ...]) -> Any:
        made = select_class()
        made.__dict__.update(a=inner, idxs=idxs, preferred_shape=shape)
        return made

    modules["chumpy"] = types.ModuleType("chumpy")
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield sparse, ch, select
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def mano_reference(
    arrays: dict[str, Any], pose: Floats, betas: Floats, translation: Floats, *, correctives: bool = True
) -> tuple[Floats, Floats]:
    """Vertices (778, 3) and joints (16, 3) m by the published equations (Romero et al. 2017, Eq. 2 to 8 of SMPL).

    pose: (16, 3) axis-angles, the first of the whole hand; betas: (10,). Loops, in float64.
    """
    shaped = arrays["v_template"] + arrays["shapedirs"] @ betas
    joints = arrays["J_regressor"] @ shaped
    rotations = [_rodrigues(vector) for vector in pose]
    feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    rest = shaped + (arrays["posedirs"] @ feature if correctives else 0)
    globals_: list[Floats] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        globals_.append(local if parent < 0 else globals_[parent] @ local)
    posed = np.zeros_like(rest)
    for vertex, point in enumerate(rest):
        for joint, matrix in enumerate(globals_):
            weight = arrays["weights"][vertex, joint]
            posed[vertex] += weight * (matrix[:3, :3] @ (point - joints[joint]) + matrix[:3, 3])
    return posed + translation, np.array([matrix[:3, 3] for matrix in globals_]) + translation


def _rodrigues(vector: Floats) -> Floats:
    angle = np.linalg.norm(vector)
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _decimated(rig: Rig) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    """778 of the hand's vertices with 1538 faces: a closed mesh less 14 faces at the wrist; vertices' origins."""
    points, faces, _, origin = igl.decimate(rig.rest_mm, rig.faces.astype(np.int64), 2 * VERTICES - 4)
    assert points.shape == (VERTICES, 3)
    wrist = rig.bind[0, :, 3] + 20 * rig.bind[0, :, 2]  # towards the arm
    hole = [int(np.argmin(np.linalg.norm(points[faces].mean(axis=1) - wrist, axis=1)))]
    used = set(faces[hole[0]].tolist())
    while len(hole) < len(faces) - FACES:
        for index, face in enumerate(faces):
            fresh = set(face.tolist()) - used
            edges = [set(faces[done].tolist()) & set(face.tolist()) for done in hole]
            if len(fresh) == 1 and any(len(edge) == 2 for edge in edges):
                hole.append(index)
                used |= fresh
                break
    return points, np.delete(faces, hole, axis=0), origin


def _weights(rig: Rig, origin: NDArray[Any], joints: list[int]) -> Floats:
    """(V, 16) of the nearest vertices of the rig, spread over up to six joints; metacarpals count as the wrist."""
    dense = np.zeros((len(rig.rest_mm), len(rig.joint_names)))
    np.add.at(dense, (np.arange(len(dense))[:, None], rig.skin_indices), rig.skin_weights)
    weights = dense[origin][:, joints]
    weights[:, 0] += 1 - weights.sum(axis=1)
    palm = np.flatnonzero(weights[:, 0] > 0.5)[:40]
    weights[palm] = 0.9 * weights[palm] + 0.1 * np.isin(np.arange(16), (0, 1, 4, 7, 10, 13)) / 6
    return weights / weights.sum(axis=1, keepdims=True)


def _order_of_tips(vertices: Floats, tips: Floats) -> NDArray[Any]:
    """An order of the vertices in which those nearest to the tips have MANO's numbers."""
    order = np.arange(VERTICES)
    for number, tip in zip(TIP_VERTICES, tips, strict=True):
        nearest = int(np.argmin(np.linalg.norm(vertices - tip, axis=1)))
        at = int(np.flatnonzero(order == nearest)[0])
        order[[number, at]] = order[[at, number]]
    return order


def _smooth(rng: np.random.Generator, points: Floats, size: float) -> Floats:
    """Displacements (V, 3) of a few waves of 8 to 25 cm, with a standard deviation of `size`."""
    field = np.zeros_like(points)
    for _ in range(3):
        direction = rng.normal(size=3)
        wave = 2 * np.pi / rng.uniform(0.08, 0.25) * direction / np.linalg.norm(direction)
        field += np.sin(points @ wave + rng.uniform(0, 2 * np.pi))[:, None] * rng.normal(size=3)
    return size * field / np.sqrt((field**2).mean())


def _regressor(template: Floats, joints: Floats) -> Floats:
    """(16, V): each joint as an affine combination of the 40 vertices nearest to it, by least norm."""
    regressor = np.zeros((len(joints), len(template)))
    for row, joint in zip(regressor, joints, strict=True):
        near = np.argsort(np.linalg.norm(template - joint, axis=1))[:40]
        system = np.vstack([template[near].T, np.ones(len(near))])
        row[near] = np.linalg.lstsq(system, np.append(joint, 1.0))[0]
    return regressor


def _mirrored(arrays: dict[str, Any]) -> dict[str, Any]:
    """The mirror image in x."""
    signs = np.array([-1.0, 1.0, 1.0])
    feature = np.tile(np.outer(signs, signs).ravel(), 15)
    axial = np.tile([1.0, -1.0, -1.0], 15)
    return dict(
        arrays,
        v_template=arrays["v_template"] * signs,
        f=arrays["f"][:, [0, 2, 1]],
        shapedirs=arrays["shapedirs"] * signs[:, None],
        posedirs=arrays["posedirs"] * signs[:, None] * feature,
        hands_mean=arrays["hands_mean"] * axial,
        hands_components=arrays["hands_components"] * axial,
    )
