"""Load a rig from a file of any kind: name its joints, weld its seams, check weights, binds, units and side."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np

from handopt.assets import asset
from handopt.errors import RigError, closest
from handopt.files import UnreadableError, exists, read_bytes, read_toml
from handopt.rig.axes import conform_axes, guess_side
from handopt.rig.body import CutHand, cut_hand
from handopt.rig.bounds import check_mesh
from handopt.rig.extras import limits_of, personal
from handopt.rig.gltf import SkinnedMesh, read_skinned_meshes
from handopt.rig.joints import ANGLE_JOINTS, DIGITS, chain_parents, read_mapping, resolve, side_in_names
from handopt.rig.model import AXES, MAX_WEIGHTS, Limits, Rig
from handopt.rig.weights import joint_weights, strongest_weights
from handopt.rig.weld import weld
from handopt.typing import Floats

_MANO_SUFFIXES: Final = (".pkl", ".npz")
_FBX_SUFFIX: Final = ".fbx"
_SCALE_TOLERANCE = 1e-3
_SHORTEST_BONE = 0.005
_FLATTEST_PALM = 0.01
_LEAST_SHAPE_MM = 0.1  # that a shape direction moves any vertex of the hand
_LONGEST_LICENCE: Final = 1 << 20
_NO_AXES = 1e-6  # largest difference of the joints' rotations where all of them are the same
_UNITS: Final = (("metres", 0.1, 0.3, 1000.0), ("centimetres", 10.0, 30.0, 10.0), ("millimetres", 100.0, 300.0, 1.0))
"""Unit, shortest and longest hand (wrist to tip of the middle finger) in it, and its length in mm."""


def load_rig(
    path: Path | str | None = None,
    side: str | None = None,
    mapping: Path | None = None,
    limits: str = "default",
    part: str | None = None,
) -> Rig:
    """Load a rigged hand from a file; the hand that comes with handopt if path is None.

    path: .glb, .gltf, .vrm or .fbx, or a .pkl or .npz of MANO, SMPL-H or SMPL-X, of which nothing is executed.
    side: "right", "left" or None (told from the geometry; right for handopt's own hand). mapping: TOML or JSON file
    {canonical name = "joint name in the file"} for rigs with other names. part: of a character with several hands, the
    name of the wrist's joint, or right or left. limits: a set of the limits.toml beside the
    model, or else of handopt's own; with "default" a hand of handopt shape keeps those of its file. Raises RigError
    with what is wrong with the file.
    """
    if side not in (None, "right", "left"):
        raise RigError(f"the side must be 'right' or 'left', not {side!r}")
    path = asset(f"hands/{side or 'right'}.glb") if path is None else Path(path)
    where = str(path)
    read = _read(path, read_mapping(mapping) if mapping else {}, side, part)
    mesh, source_notes = read.mesh, read.notes
    own = personal(mesh.extras)
    beside = path.with_name("limits.toml")
    chosen = (
        limits_of(own, where)
        if own is not None and limits == "default"
        else load_limits(limits, beside if exists(beside) else None)
    )
    rig = _rig_of(mesh, read.joints, part if part in ("right", "left") else side, path, chosen)
    notes = [*source_notes, *rig.notes]
    if not rig.is_closed:
        notes.append("the mesh is not closed: some edges do not have two faces")
    return replace(rig, licence=mesh.copyright or _licence_beside(path), notes=tuple(notes))


def _rig_of(mesh: SkinnedMesh, found: dict[str, int], side: str | None, path: Path, limits: Limits) -> Rig:
    """The rig of a file's mesh whose joints are known. Raises RigError."""
    where, names = str(path), tuple(found)
    bind = _binds(mesh.inverse_binds, found, where)
    unit, mm = _unit(dict(zip(names, bind[:, :, 3], strict=True)), mesh.joint_names[found["wrist"]], where)
    bind[:, :, 3] *= mm
    notes = [] if unit == "metres" else [f"the model's unit was taken to be {unit}, from the size of the hand"]

    weights, weight_notes = joint_weights(mesh, found, where)
    check_mesh(mesh.positions * mm, mesh.faces, dict(zip(names, bind[:, :, 3], strict=True)), where)
    rest, faces, keep, mesh_notes = weld(mesh.positions * mm, mesh.faces, weights, where)
    own_skinning = mesh.shape_space is not None or mesh.pose_correctives is not None
    most = max(MAX_WEIGHTS, np.count_nonzero(weights, axis=1).max()) if own_skinning else MAX_WEIGHTS
    indices, strongest, trim_notes = strongest_weights(weights[keep], most)

    positions = dict(zip(names, bind[:, :, 3], strict=True))
    rotations = dict(zip(names, bind[:, :, :3], strict=True))
    chosen, side_notes = _side(positions, rotations, side, mesh, path)
    axes, axis_notes = conform_axes(positions, rotations, chosen)
    if axis_notes and np.ptp(bind[:, :, :3], axis=0).max() < _NO_AXES:
        axis_notes = ["the model's joints have no axes of their own: they were computed from its rest pose"]
    bind[:, :, :3] = [axes[name] for name in names]
    return Rig(
        name=path.stem,
        side=chosen,
        rest_mm=rest,
        faces=faces.astype(np.int32),
        skin_indices=indices.astype(np.int32),
        skin_weights=strongest,
        joint_names=names,
        parents=np.array(chain_parents(names)),
        bind=bind,
        limits=limits,
        notes=(*notes, *weight_notes, *mesh_notes, *trim_notes, *side_notes, *axis_notes),
        confidence=None if mesh.confidence is None else mesh.confidence[keep],
        shape_space=None
        if mesh.shape_space is None
        else mesh.shape_space.kept(keep, list(found.values()), mm).largest(_LEAST_SHAPE_MM),
        pose_correctives=None
        if mesh.pose_correctives is None
        else mesh.pose_correctives.kept(keep, list(found.values()), mm).in_frames(
            np.stack([axes[name] for name in ANGLE_JOINTS])
        ),
        source_names=tuple(mesh.joint_names[row] for row in found.values()),
    )


def _read(path: Path, mapping: dict[str, str], side: str | None, part: str | None) -> CutHand:
    """The hand of a file of any kind. Raises RigError."""
    if path.suffix.lower() in _MANO_SUFFIXES:
        from handopt.rig.mano_rig import read_mano_mesh

        wanted = part if part in ("right", "left") else side
        mesh, notes = read_mano_mesh(path, cast(Literal["right", "left"] | None, wanted))
        return CutHand(mesh, resolve(mesh.joint_names, {}, str(path)), notes)
    if path.suffix.lower() == _FBX_SUFFIX:
        from handopt.rig.fbx import read_fbx_meshes

        meshes, notes = read_fbx_meshes(path)
        cut = cut_hand(meshes, mapping, side, part, str(path))
        return replace(cut, notes=(*notes, *cut.notes))
    return cut_hand(read_skinned_meshes(path), mapping, side, part, str(path))


@lru_cache(maxsize=8)
def default_rig(side: str = "right", limits: str = "default") -> Rig:
    """The hand that comes with handopt, "right" or "left", loaded once. Raises RigError."""
    return load_rig(None, side, None, limits)


def load_limits(name: str = "default", path: Path | None = None) -> Limits:
    """The set of joint limits called `name` in a TOML file, or in handopt's own. Raises RigError."""
    path = path or asset("hands/limits.toml")
    try:
        sets = read_toml(path)
    except UnreadableError as error:
        raise RigError(f"the limits file {path} cannot be read: {error.reason}") from error
    if name not in sets:
        close = closest(name, list(sets))
        hint = "" if close is None else f"; did you mean {close!r}?"
        raise RigError(f"{path} has no limits called {name!r}, only {', '.join(sorted(sets))}{hint}")
    try:
        bounds = np.array([[sets[name][digit][axis] for axis in AXES] for digit in DIGITS], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise RigError(f"{path}: the limits {name!r} are incomplete or no numbers ({error})") from error
    if bounds.shape != (len(DIGITS), len(AXES), 3, 2):
        raise RigError(f"{path}: the limits {name!r} need three pairs [lower, upper] for each axis of each digit")
    rows = bounds.transpose(0, 2, 1, 3).reshape(15, 3, 2)
    return Limits(name, rows[..., 0], rows[..., 1])


def _binds(inverse_binds: Floats, found: dict[str, int], where: str) -> Floats:
    """(J, 3, 4) joint -> rig of the joints found, in file units, without their scale."""
    result = np.empty((len(found), 3, 4))
    for row, (name, index) in enumerate(found.items()):
        inverse = inverse_binds[index]
        if not np.isfinite(inverse).all() or np.abs(inverse[3] - [0, 0, 0, 1]).max() > 1e-6:
            raise RigError(f"{where}: the inverse bind matrix of {name} is not a finite affine matrix")
        left, scales, right = np.linalg.svd(inverse[:3, :3])
        if scales[2] < 1e-9 * max(scales[0], 1e-9):
            raise RigError(f"{where}: the inverse bind matrix of {name} cannot be inverted")
        if scales[0] / scales[2] - 1 > _SCALE_TOLERANCE:
            raise RigError(
                f"{where}: the bind matrix of {name} scales its joint unevenly: apply the scale in the modelling tool"
            )
        if np.linalg.det(left @ right) < 0:
            raise RigError(
                f"{where}: the bind matrix of {name} mirrors its joint: apply the scale in the modelling tool"
            )
        result[row, :, :3] = (left @ right).T
        result[row, :, 3] = -np.linalg.solve(inverse[:3, :3], inverse[:3, 3])
    return result


def _unit(positions: dict[str, Floats], wrist: str, where: str) -> tuple[str, float]:
    """The file's unit and its length in mm, from the size of the hand; also checks that the joints lie apart."""
    length = float(np.linalg.norm(positions["middle-finger-tip"] - positions["wrist"]))
    names = list(positions)
    for name, parent in zip(names, chain_parents(names), strict=True):
        if parent >= 0 and np.linalg.norm(positions[name] - positions[names[parent]]) <= _SHORTEST_BONE * length:
            raise RigError(f"{where}: the joints {names[parent]} and {name} lie in the same place")
    across = positions["pinky-finger-phalanx-proximal"] - positions["index-finger-phalanx-proximal"]
    forward = positions["middle-finger-phalanx-proximal"] - positions["wrist"]
    if np.linalg.norm(np.cross(across, forward)) <= _FLATTEST_PALM * length**2:
        raise RigError(f"{where}: the palm has no width: the index, the little finger and the wrist lie in a line")
    for unit, shortest, longest, mm in _UNITS:
        if shortest <= length <= longest:
            return unit, mm
    raise RigError(
        f"{where}: the hand is {length:.4g} units long from the wrist, for which {wrist!r} was taken, to the tip of "
        "the middle finger; scale the model to metres (0.1 to 0.3), or name the joints in a mapping file (--joint-map) "
        "if others are meant"
    )


def _side(
    positions: dict[str, Floats], rotations: dict[str, Floats], side: str | None, mesh: SkinnedMesh, path: Path
) -> tuple[Literal["right", "left"], list[str]]:
    """The rig's side, by geometry, else as demanded, else by the names in the file."""
    notes = []
    guess = guess_side(positions, rotations)
    if guess is None:
        named = side_in_names([path.stem, mesh.mesh_name, *mesh.joint_names])
        guess = side or named
        if guess is None:
            raise RigError(
                f"{path}: whether this is a right or a left hand cannot be told: use side='right' or side='left'"
            )
        notes.append(f"the side ({guess}) was taken from {'the option' if side else 'names in the file'}")
    if side is not None and guess != side:
        raise RigError(
            f"{path}: the model is a {guess} hand, but a {side} hand was asked for: "
            f"use side={guess!r} or pass the other file"
        )
    return cast(Literal["right", "left"], guess), notes


def _licence_beside(path: Path) -> str:
    """Title and copyright line of a LICENSE file beside the model, or nothing."""
    for beside in sorted(path.parent.glob("LICEN[SC]E*")):
        try:
            text = read_bytes(beside, _LONGEST_LICENCE).decode("utf-8", "replace")
        except UnreadableError:
            continue
        lines = [line.strip("# \t") for line in text.splitlines()]
        lines = [line for line in lines if line]
        copyrights = [line for line in lines if line.lower().startswith("copyright")]
        return ", ".join([*lines[:1], *copyrights[:1]])
    return ""
