"""Read MANO's hand from its own files, and from the files of SMPL-H and SMPL-X, whose hands are MANO's.

The files are Python 2 or 3 pickles or .npz; nothing in them is executed (handopt.rig.inert_pickle). Equations and
layout: Romero, Tzionas, Black, Embodied Hands (SIGGRAPH Asia 2017).
"""

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.input.npy import read_npy_array, read_npy_header
from handopt.rig.anatomy import MIRROR
from handopt.rig.files import opened
from handopt.rig.inert_pickle import array_of, read_pickle
from handopt.typing import Floats, Ints, Side

JOINTS: Final = 16
MAX_BETAS: Final = 10
"""Shape directions that are used: those of MANO; SMPL-X has 300, most of which say nothing of a hand."""
MAX_BYTES: Final = 544 << 20
"""Of a file: the largest, SMPL-X as a pickle, has about 540 MB."""
MAX_ARRAY_BYTES: Final = 256 << 20
"""Of all arrays that are used: those of SMPL-X have 232 MB. With these bounds reading takes less than 1 GiB."""
MANO_TIPS: Final = (745, 317, 444, 556, 673)
"""Vertices at the tips, thumb to little finger, as layers of MANO take them by convention."""

_REQUIRED = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
MANO_PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
_MOST_VERTICES = 100_000


@dataclass(frozen=True)
class _Body:
    """Where the hands of a body are: wrist, first finger joint, and tips (thumb to little finger) of each side."""

    name: str
    wrists: dict[Side, int]
    fingers: dict[Side, int]
    tips: dict[Side, tuple[int, ...]]


_BODIES: Final = {
    (6890, 52): _Body(
        "SMPL-H",
        {"left": 20, "right": 21},
        {"left": 22, "right": 37},
        {"left": (2746, 2319, 2445, 2556, 2673), "right": (6191, 5782, 5905, 6016, 6133)},
    ),
    (10475, 55): _Body(
        "SMPL-X",
        {"left": 20, "right": 21},
        {"left": 25, "right": 40},
        {"left": (5361, 4933, 5058, 5169, 5286), "right": (8079, 7669, 7794, 7905, 8022)},
    ),
}


@dataclass(frozen=True, eq=False)
class ManoModel:
    """MANO's arrays as in the file, metres; joints: wrist, then index, middle, little, ring finger and thumb, 3 each.

    template: (V, 3); faces: (F, 3); shapedirs: (V, 3, S); posedirs: (V, 3, 135); joints: (16, 3) of the template;
    joint_shapedirs: (16, 3, S), how betas move them; weights: (V, 16); tips: (5,) vertices, thumb to little finger;
    hand_mean: (45,), hand_components: (45, 45) of the axis-angles of the pose, zeros and the identity where the file
    has none; notes: what reading assumed or changed, as sentences.
    """

    name: str
    template: Floats
    faces: Ints
    shapedirs: Floats
    posedirs: Floats
    joints: Floats
    joint_shapedirs: Floats
    weights: Floats
    tips: tuple[int, ...]
    hand_mean: Floats
    hand_components: Floats
    notes: tuple[str, ...] = ()

    @property
    def tip_positions(self) -> Floats:
        """(5, 3) m of the template, thumb to little finger."""
        return self.template[list(self.tips)]


def read_mano(path: Path, side: Side | None = None) -> ManoModel:
    """Read a model of MANO, or the hand of a side out of a model of SMPL-H or SMPL-X.

    Raises RigError for a file that is damaged or something else, and for a body without a side.
    """
    where = str(path)
    arrays = _read_arrays(path)
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise RigError(
            f"{where}: this is no model of MANO, SMPL-H or SMPL-X: it lacks {', '.join(missing)}; "
            "pass the file as its site gives it, such as MANO_RIGHT.pkl"
        )
    _check_shapes(arrays, where)
    count, joints = arrays["weights"].shape
    if joints == JOINTS:
        return _hand(arrays, where, path.stem)
    body = _BODIES.get((count, joints))
    if body is None:
        raise RigError(
            f"{where}: a model of {count} vertices and {joints} joints is not known: "
            "MANO has 16 joints, SMPL-H 6890 vertices and 52 joints, SMPL-X 10475 vertices and 55 joints"
        )
    if side is None:
        raise RigError(f"{where}: {body.name} has two hands: say which with --hand right or --hand left")
    return _hand_of_body(arrays, body, side, where, path.stem)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The numeric arrays of a pickle or .npz by name."""
    where = str(path)
    with opened(path, MAX_BYTES) as file:
        if file.read(4) == b"PK\x03\x04":
            return _read_npz(path)
        file.seek(0)
        found = read_pickle(file, where)
    if not isinstance(found, Mapping):
        raise RigError(
            f"{where}: the pickle holds a {type(found).__name__}, not a model's table of arrays: pass the file as its "
            "site gives it, such as MANO_RIGHT.pkl"
        )
    entries = {name: found[name] for name in (*_REQUIRED, *_OPTIONAL) if name in found}
    del found  # what is not used need not be kept
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in entries.items():
        _keep(arrays, name, array_of(entry, where), where)
    return arrays


def _keep(arrays: dict[str, NDArray[Any]], name: str, values: NDArray[Any] | None, where: str) -> None:
    """Add an array, if it is one, unless all are too large together."""
    if values is None:
        return
    arrays[name] = values
    if sum(each.nbytes for each in arrays.values()) > MAX_ARRAY_BYTES:
        raise RigError(f"{where}: its arrays take more than {MAX_ARRAY_BYTES >> 20} MiB, too many for a model")


_OPTIONAL = tuple(f"hands_{part}{side}" for part in ("mean", "components") for side in ("", "l", "r"))


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz; an array of objects is a pickle, which is read as such."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = [name for name in (*_REQUIRED, *_OPTIONAL) if name in members]
            if not wanted:
                raise RigError(f"{path}: this .npz is no model of MANO, SMPL-H or SMPL-X: {_other_npz(set(members))}")
            if any(members[name].flag_bits & 1 for name in wanted):
                raise RigError(f"{path}: the .npz is encrypted: give it without a password")
            if sum(members[name].file_size for name in wanted) > MAX_ARRAY_BYTES:
                raise RigError(f"{path}: its arrays take more than {MAX_ARRAY_BYTES >> 20} MiB, too many for a model")
            for name in wanted:
                values = _read_npy(path, archive.read(members[name]), f"{path}: {name}")
                _keep(arrays, name, values, str(path))
    except RigError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise almost anything on damaged files
        raise RigError(f"{path}: the .npz is truncated, encrypted or damaged ({error}); copy it again") from error
    return arrays


def is_model_archive(path: Path) -> bool:
    """Whether a file is an .npz that has a template's vertices, as models of MANO, SMPL-H and SMPL-X have."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "v_template.npy" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _other_npz(members: set[str]) -> str:
    """What an archive without any array of a model is, and what to give instead."""
    if "stem.weight" in members:
        return "it is a network of handopt train, which --proposals takes"
    if any(name.startswith("rig_") for name in members):
        return "it holds the arrays of a result of handopt; give the rig that was fitted"
    return f"it holds {', '.join(sorted(members)[:3])}; give the file as its site gives it"


def _read_npy(path: Path, data: bytes, where: str) -> NDArray[Any] | None:
    stream = io.BytesIO(data)
    shape, _, dtype = read_npy_header(path, stream)
    if dtype.hasobject:
        return array_of(read_pickle(stream, where), where)
    if math.prod(shape) * dtype.itemsize > len(data):
        raise RigError(f"{where} announces shape {shape}, but is shorter; copy the file again")
    stream.seek(0)
    return read_npy_array(path, stream)


def _check_shapes(arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Refuse arrays that do not belong together or hold NaN. Raises RigError."""
    for name in ("v_template", "weights"):
        if arrays[name].ndim != 2:
            raise RigError(f"{where}: {name} has shape {arrays[name].shape}, expected two axes")
    vertices, joints = len(arrays["v_template"]), arrays["weights"].shape[-1]
    expected: dict[str, tuple[int | None, ...]] = {
        "v_template": (vertices, 3),
        "f": (None, 3),
        "shapedirs": (vertices, 3, None),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
    }
    for name, shape in expected.items():
        values = arrays[name]
        if values.dtype.kind not in "fiu":
            raise RigError(f"{where}: {name} holds no real numbers but {values.dtype}")
        fits = len(shape) == values.ndim and all(a in (None, b) for a, b in zip(shape, values.shape, strict=True))
        if not fits or values.shape[-1] == 0 or vertices > _MOST_VERTICES:
            listed = ", ".join("any" if size is None else str(size) for size in shape)
            raise RigError(f"{where}: {name} has shape {values.shape}, expected ({listed}): pass one whole model")
        if not np.isfinite(values).all():
            raise RigError(f"{where}: {name} contains NaN or infinite numbers; export the model again")
    if arrays["f"].min() < 0 or arrays["f"].max() >= vertices:
        raise RigError(f"{where}: a face refers to vertex {arrays['f'].max()} of {vertices}")


def _hand(arrays: Mapping[str, NDArray[Any]], where: str, name: str) -> ManoModel:
    parents = arrays["kintree_table"][0].astype(np.int64)
    if tuple(int(parent) for parent in parents[1:]) != MANO_PARENTS[1:]:
        raise RigError(f"{where}: the joints of kintree_table are not MANO's five chains of three joints")
    template = arrays["v_template"].astype(np.float64)
    if len(template) <= max(MANO_TIPS):
        raise RigError(f"{where}: a hand of MANO has 778 vertices, not {len(template)}")
    shapedirs = arrays["shapedirs"][..., :MAX_BETAS].astype(np.float64)
    regressor = arrays["J_regressor"].astype(np.float64)
    return ManoModel(
        name=name,
        template=template,
        faces=arrays["f"].astype(np.int32),
        shapedirs=shapedirs,
        posedirs=arrays["posedirs"].astype(np.float64),
        joints=regressor @ template,
        joint_shapedirs=np.einsum("jv,vds->jds", regressor, shapedirs),
        weights=arrays["weights"].astype(np.float64),
        tips=MANO_TIPS,
        hand_mean=_optional(arrays, "hands_mean", np.zeros(45)),
        hand_components=_optional(arrays, "hands_components", np.eye(45)),
        notes=_notes_on_betas(arrays["shapedirs"].shape[2]),
    )


def _optional(arrays: Mapping[str, NDArray[Any]], name: str, otherwise: Floats) -> Floats:
    values = arrays.get(name)
    if values is None or values.dtype.kind not in "fiu" or values.shape != otherwise.shape:
        return otherwise
    return values.astype(np.float64) if np.isfinite(values).all() else otherwise


def _notes_on_betas(count: int) -> tuple[str, ...]:
    return () if count <= MAX_BETAS else (f"the first {MAX_BETAS} of the model's {count} shape directions are used",)


def _hand_of_body(arrays: Mapping[str, NDArray[Any]], body: _Body, side: Side, where: str, name: str) -> ManoModel:
    """Cut a hand off a body: vertices that mostly follow it; what follows the arm as well then follows the wrist."""
    wrist, first = body.wrists[side], body.fingers[side]
    own = [wrist, *range(first, first + JOINTS - 1)]
    parents = arrays["kintree_table"][0].astype(np.int64)
    relative = [wrist if parent == 0 else first + parent - 1 for parent in MANO_PARENTS[1:]]
    if [int(parent) for parent in parents[first : first + JOINTS - 1]] != relative:
        raise RigError(f"{where}: the joints of kintree_table are not those of {body.name}")
    weights = arrays["weights"][:, own].astype(np.float64)
    kept = np.flatnonzero(weights.sum(axis=1) > 0.5)
    number = np.full(len(weights), -1)
    number[kept] = np.arange(len(kept))
    tips = number[list(body.tips[side])]
    faces = number[arrays["f"].astype(np.int64)]
    faces = faces[(faces >= 0).all(axis=1)]
    if tips.min(initial=0) < 0 or not len(faces):
        raise RigError(f"{where}: the {side} hand of {body.name} cannot be cut out: its tips follow other joints")
    weights = weights[kept]
    weights[:, 0] += np.maximum(1 - weights.sum(axis=1), 0)
    shapedirs = arrays["shapedirs"][..., :MAX_BETAS].astype(np.float64)
    regressor = arrays["J_regressor"][own].astype(np.float64)
    template = arrays["v_template"].astype(np.float64)
    joint_shapedirs = np.einsum("jv,vds->jds", regressor, shapedirs)
    rows = 9 * (first - 1) + np.arange(9 * (JOINTS - 1))
    letter = side[0]
    return ManoModel(
        name=f"{name}-{side}",
        template=template[kept],
        faces=faces.astype(np.int32),
        shapedirs=shapedirs[kept] - joint_shapedirs[0],  # the wrist stays where it is
        posedirs=arrays["posedirs"][kept][..., rows].astype(np.float64),
        joints=regressor @ template,
        joint_shapedirs=joint_shapedirs - joint_shapedirs[0],
        weights=weights,
        tips=tuple(int(tip) for tip in tips),
        hand_mean=_optional(arrays, f"hands_mean{letter}", np.zeros(45)),
        hand_components=_optional(arrays, f"hands_components{letter}", np.eye(45)),
        notes=(
            f"the {side} hand was cut out of a body of {body.name} at the wrist",
            *_notes_on_betas(arrays["shapedirs"].shape[2]),
        ),
    )


def with_sign_of_left(model: ManoModel, beside: ManoModel | None) -> ManoModel:
    """A left model with the sign of its shape directions in x corrected where it is that of the released file.

    The released MANO_LEFT.pkl has the x of the right hand's shapedirs (smplx issue 48), so that a hand grows along two
    axes and shrinks along the third. beside: the right model if it lies beside; without it, a wrong sign is told by
    the first direction, which is the hand's size: it must stretch the hand in x as it does in the other axes.
    """
    if beside is not None and beside.shapedirs.shape == model.shapedirs.shape:
        size = np.abs(model.shapedirs[:, 0]).mean()
        is_wrong = np.abs(model.shapedirs[:, 0] - beside.shapedirs[:, 0]).mean() < 0.1 * size
    else:
        centred = model.template - model.template.mean(axis=0)
        first = model.shapedirs[:, :, 0]
        stretch = (centred * (first - first.mean(axis=0))).sum(axis=0) / (centred**2).sum(axis=0)
        largest = np.argmax(np.abs(stretch[1:])) + 1
        is_wrong = bool(stretch[0] * stretch[largest] < 0)
    if not is_wrong:
        return model
    return replace(
        model,
        shapedirs=model.shapedirs * MIRROR[:, None],
        joint_shapedirs=model.joint_shapedirs * MIRROR[:, None],
        notes=(*model.notes, "the released left model's shape directions have the wrong sign in x: it was corrected"),
    )
