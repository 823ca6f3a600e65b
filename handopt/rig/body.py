"""The hand of a character: which of its skins and joints belong to it, cut off at the wrist."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from handopt.errors import RigError
from handopt.rig.axes import guess_side
from handopt.rig.gltf import SkinnedMesh
from handopt.rig.joints import CANONICAL, CHAINS, KEYPOINT_JOINTS, canonical_name, resolve
from handopt.rig.skeleton import FoundHand, Skeleton, find_hands
from handopt.typing import Floats

_OWN_SHARE: Final = 0.5  # of a vertex' weights with which it belongs to the hand
_TIP_DEPTH: Final = 0.04
"""Depth of a tip under the skin as a share of the hand's length: 7 mm of 180 mm, as handopt.rig.anatomy has it."""
_TIP_COSINE: Final = 0.25  # of a tip's direction and that of the bone before: 75 degrees of flexion are none at rest
_TIP_SHARE: Final = (0.1, 2.5)  # of the distance of a tip, relative to the bone before
_LAST_BONE: Final = 0.8  # length of a bone without a tip and without skin, relative to the one before


@dataclass(frozen=True, eq=False)
class CutHand:
    """A hand's own mesh and joints. joints: by canonical name, rows of the mesh's; notes: what was concluded."""

    mesh: SkinnedMesh
    joints: dict[str, int]
    notes: tuple[str, ...]


def cut_hand(
    meshes: Sequence[SkinnedMesh], mapping: dict[str, str], side: str | None, part: str | None, where: str
) -> CutHand:
    """Find the hand of a file's skins, and leave out what does not belong to it.

    mapping: canonical names to those of the file, which take precedence; side: wanted; part: name of the wrist's joint,
    or right or left. Raises RigError where there is no hand, or where there are several and none is chosen.
    """
    wanted = part if part in ("right", "left") else side
    candidates: list[tuple[int, FoundHand, int]] = []
    failures: list[RigError] = []
    for number, mesh in enumerate(meshes):
        try:
            hands = _hands_of(mesh, mapping, wanted, where)
        except RigError as error:
            failures.append(error)
            continue
        candidates += [(number, hand, _moved(mesh, hand)) for hand in hands]
    candidates = [each for each in candidates if each[2] or len(meshes) == 1]
    if not candidates:
        raise failures[0] if failures else RigError(f"{where}: no mesh follows the hands of its skeleton")
    chosen = _chosen(meshes, candidates, wanted, part, where)
    number, hand, _ = max((each for each in candidates if each in chosen), key=lambda each: each[2])
    return _cut(meshes[number], hand)


def _hands_of(mesh: SkinnedMesh, mapping: dict[str, str], side: str | None, where: str) -> list[FoundHand]:
    """The hands of one skin. side: wanted. Raises RigError."""
    try:
        return [FoundHand(None, resolve(mesh.joint_names, mapping, where), "")]
    except RigError as error:
        known = sum(canonical_name(name) in CANONICAL for name in mesh.joint_names)
        has_tree = mesh.parents is not None and (mesh.parents >= 0).any()
        if mapping or not has_tree:
            raise
        try:
            return find_hands(_skeleton(mesh), where, side)
        except RigError:
            if known >= len(KEYPOINT_JOINTS) // 2:
                raise error from None
            raise


def _skeleton(mesh: SkinnedMesh) -> Skeleton:
    assert mesh.parents is not None
    moves = np.zeros(len(mesh.joint_names), bool)
    used = mesh.joints[mesh.weights > 0]
    moves[used[(used >= 0) & (used < len(moves))]] = True
    return Skeleton(mesh.joint_names, mesh.parents, _positions(mesh), moves)


def _positions(mesh: SkinnedMesh) -> Floats:
    """(J, 3) of the bind pose, in the file's unit; zeros where a matrix cannot be inverted."""
    result = np.zeros((len(mesh.inverse_binds), 3))
    for row, inverse in zip(result, mesh.inverse_binds, strict=True):
        if np.isfinite(inverse).all() and abs(np.linalg.det(inverse[:3, :3])) > 0:
            row[:] = -np.linalg.solve(inverse[:3, :3], inverse[:3, 3])
    return result


def _inside(mesh: SkinnedMesh, hand: FoundHand) -> set[int]:
    """The joints that move with the wrist."""
    if mesh.parents is None or not (mesh.parents >= 0).any():
        return set(range(len(mesh.joint_names)))
    return _skeleton(mesh).below(hand.joints["wrist"]) | set(hand.joints.values())


def _moved(mesh: SkinnedMesh, hand: FoundHand) -> int:
    """How many vertices belong to a hand."""
    return int(np.count_nonzero(_share(mesh, _inside(mesh, hand)) > _OWN_SHARE))


def _share(mesh: SkinnedMesh, inside: set[int]) -> Floats:
    """(N,) the part of each vertex' weights that belongs to some joints."""
    return np.asarray(np.where(np.isin(mesh.joints, sorted(inside)), mesh.weights, 0).sum(axis=1))


def _chosen(
    meshes: Sequence[SkinnedMesh],
    candidates: list[tuple[int, FoundHand, int]],
    side: str | None,
    part: str | None,
    where: str,
) -> list[tuple[int, FoundHand, int]]:
    """The candidates that are the hand asked for: the same one, perhaps in several skins. Raises RigError."""
    names = [meshes[number].joint_names[hand.joints["wrist"]] for number, hand, _ in candidates]
    if part is not None and part not in ("right", "left"):
        if part not in names:
            raise RigError(f"{where}: no hand has its wrist at {part!r}: it has {_listed(names)}; choose with --part")
        return [each for each, name in zip(candidates, names, strict=True) if name == part]
    if len(set(names)) == 1:
        return candidates
    sides = [hand.side or _side_of(meshes[number], hand) for number, hand, _ in candidates]
    chosen = [each for each, its in zip(candidates, sides, strict=True) if its == side]
    if side is None or len({name for name, its in zip(names, sides, strict=True) if its == side}) != 1:
        raise RigError(
            f"{where}: there are {len(set(names))} hands, {_listed(names)}: say which with --hand right or left, "
            "or by the name of its wrist with --part"
        )
    return chosen


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in dict.fromkeys(names))


def _side_of(mesh: SkinnedMesh, hand: FoundHand) -> str | None:
    """The side of a hand without a side in its names, by its geometry."""
    positions = _positions(mesh)
    places = {name: positions[row] for name, row in hand.joints.items()}
    for chain in CHAINS.values():
        places.setdefault(chain[-1], 2 * places[chain[-2]] - places[chain[-3]])
    return guess_side(places, {name: np.eye(3) for name in places})


def _cut(mesh: SkinnedMesh, hand: FoundHand) -> CutHand:
    """The hand's own vertices and joints; other joints count as the nearest of the hand's above them, or the wrist."""
    has_tree = mesh.parents is not None and bool((mesh.parents >= 0).any())
    hand, odd = _without_odd_tips(mesh, hand)
    notes = [f"the joints were found {hand.how}, wrist {mesh.joint_names[hand.joints['wrist']]!r}"] if hand.how else []
    if odd:
        notes.append(f"{', '.join(odd)} count as no tips: they do not lie before the last bones")
    if not has_tree:
        return CutHand(mesh, hand.joints, tuple(notes))
    assert mesh.parents is not None
    inside = _inside(mesh, hand)
    rows = {row: number for number, row in enumerate(hand.joints.values())}
    heir = np.zeros(len(mesh.joint_names), np.int64)  # the wrist's row is the first
    carried = []
    skeleton = _skeleton(mesh)
    for row in range(len(heir)):
        above = [each for each in skeleton.path(row) if each in rows] if row in inside else []
        heir[row] = rows[above[0]] if above else 0
        if row in inside and row not in rows and skeleton.moves[row]:
            carried.append(mesh.joint_names[row])
    if carried:
        notes.append(f"{len(carried)} more joints move with the one above them: {', '.join(carried[:4])}")
    kept = _share(mesh, inside) > _OWN_SHARE
    if not kept.all():
        notes.append(
            f"the hand was cut out at {mesh.joint_names[hand.joints['wrist']]!r}: {np.count_nonzero(kept)} of "
            f"{len(kept)} vertices are its own"
        )
    number = np.cumsum(kept) - 1
    valid = (mesh.joints >= 0) & (mesh.joints < len(heir))
    cut = replace(
        mesh,
        positions=mesh.positions[kept],
        faces=number[mesh.faces[kept[mesh.faces].all(axis=1)]],
        joints=np.where(valid, heir[np.where(valid, mesh.joints, 0)], mesh.joints)[kept],
        weights=mesh.weights[kept],
        joint_names=tuple(mesh.joint_names[row] for row in hand.joints.values()),
        inverse_binds=mesh.inverse_binds[list(hand.joints.values())],
        confidence=None if mesh.confidence is None else mesh.confidence[kept],
        shape_space=None
        if mesh.shape_space is None
        else mesh.shape_space.kept(np.flatnonzero(kept), list(hand.joints.values()), 1.0),
        pose_correctives=None
        if mesh.pose_correctives is None
        else mesh.pose_correctives.kept(np.flatnonzero(kept), list(hand.joints.values()), 1.0),
        parents=None,
    )
    return _with_tips(CutHand(cut, {name: row for row, name in enumerate(hand.joints)}, tuple(notes)))


def _without_odd_tips(mesh: SkinnedMesh, hand: FoundHand) -> tuple[FoundHand, list[str]]:
    """The hand without tips that are none, such as the ends of bones whose direction a program has made up."""
    if not hand.how:
        return hand, []  # a file of handopt's own names means what it says
    positions, odd = _positions(mesh), []
    for chain in CHAINS.values():
        if chain[-1] not in hand.joints:
            continue
        before, last, tip = (positions[hand.joints[name]] for name in chain[-3:])
        bone, end = last - before, tip - last
        length, reach = max(float(np.linalg.norm(bone)), 1e-12), max(float(np.linalg.norm(end)), 1e-12)
        share, cosine = reach / length, float(bone @ end) / (reach * length)
        if cosine < _TIP_COSINE or not _TIP_SHARE[0] <= share <= _TIP_SHARE[1]:
            odd.append(chain[-1])
    joints = {name: row for name, row in hand.joints.items() if name not in odd}
    return replace(hand, joints=joints), [mesh.joint_names[hand.joints[name]] for name in odd]


def _with_tips(cut: CutHand) -> CutHand:
    """The hand with a tip at the end of each digit that has none: under the skin that its last bone moves."""
    mesh, joints = cut.mesh, dict(cut.joints)
    missing = [chain for chain in CHAINS.values() if chain[-1] not in joints]
    if not missing:
        return cut
    positions = _positions(mesh)
    middle = [positions[joints[name]] for name in CHAINS["middle"][1:-1]]
    length = np.linalg.norm(middle[0] - positions[joints["wrist"]]) + np.linalg.norm(middle[2] - middle[0]) * 1.5
    names, binds = list(mesh.joint_names), list(mesh.inverse_binds)
    for chain in missing:
        before, last = (positions[joints[name]] for name in chain[-3:-1])
        bone = float(np.linalg.norm(last - before))
        along = (last - before) / max(bone, 1e-12)
        own = _share(mesh, {joints[chain[-2]]}) > _OWN_SHARE
        reach = float(((mesh.positions[own] - last) @ along).max(initial=0)) - _TIP_DEPTH * length
        shift = np.eye(4)
        place = last + max(reach, 0.3 * bone if own.any() else _LAST_BONE * bone) * along
        inverse = mesh.inverse_binds[joints[chain[-2]]]
        shift[:3, 3] = last - place
        joints[chain[-1]] = len(names)
        names.append("")
        binds.append(inverse @ shift)
    space = mesh.shape_space
    if space is not None:
        moved = [space.joints[:, joints[chain[-2]]] for chain in missing]
        space = replace(space, joints=np.concatenate([space.joints, np.stack(moved, axis=1)], axis=1))
    moves = mesh.pose_correctives
    if moves is not None:  # a tip that was made moves with its bone alone
        still = np.zeros((len(moves.joints), len(missing), 3))
        moves = replace(moves, joints=np.concatenate([moves.joints, still], axis=1))
    note = f"{len(missing)} tips are missing: they were put {_TIP_DEPTH:.0%} of the hand's length under the skin"
    full = replace(
        mesh, joint_names=tuple(names), inverse_binds=np.array(binds), shape_space=space, pose_correctives=moves
    )
    ordered = {name: joints[name] for name in CANONICAL if name in joints}
    return CutHand(full, ordered, (*cut.notes, note))
