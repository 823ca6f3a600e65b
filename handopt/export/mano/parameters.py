"""Write the parameters of MANO of fits and tracks: an .npz file, a row for each hand."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from handopt import atomic_folder
from handopt.errors import OutputError
from handopt.export.labels.formats import Exported, check_output
from handopt.export.labels.records import LabelRecord, read_records
from handopt.export.mano.layer import POSE, Layer
from handopt.export.mano.registration import (
    EXACT_PRIOR_M,
    M_PER_MM,
    PRIOR_M,
    Registration,
    posed_start,
    register,
    sampled,
    solve,
)
from handopt.rig.joints import from_mano_order
from handopt.rig.mano_file import MANO_TIPS, ManoModel
from handopt.rig.mano_rig import named_for, read_hand_model, side_of
from handopt.rig.skinned import Skinned
from handopt.typing import Floats, ReadProgress, Side

MANO_FORMAT: Final = "handopt.mano/1"
_FRAMES_FOR_BETAS: Final = 8
"""Frames of a track from which its betas are found; they are the same in all frames."""
_CONVENTIONS: Final = (
    "Lengths in m in the camera's frame (x right, y down, z forward), axis-angles in rad, joints in MANO's order. "
    "hand_pose_flat_hand_mean_true is for layers with flat_hand_mean=True (zero is the flat hand), "
    "hand_pose_flat_hand_mean_false for layers with flat_hand_mean=False, which add hands_mean; both without PCA. "
    "global_orient turns about the wrist of the shaped rest pose, and transl is added last, as in smplx."
)


@dataclass(frozen=True, eq=False)
class ManoHand:
    """MANO's parameters of one hand, and how far its surface lies from the fitted one.

    global_orient: (3,); hand_pose: (45,) with a flat hand at zero; betas: (S,); transl_m: (3,); joints_m: (21, 3) in
    handopt's order; distances_mm: (n,) of corresponding points.
    """

    global_orient: Floats
    hand_pose: Floats
    betas: Floats
    transl_m: Floats
    joints_m: Floats
    distances_mm: Floats


def export_mano(
    results: Sequence[Path | str],
    output: Path | str,
    *,
    mano: Path | str | None,
    min_confidence: float = 0.0,
    only: Collection[str] | None = None,
    overwrite: bool = False,
    progress: ReadProgress = lambda _part, _done, _total: None,
) -> Exported:
    """Write MANO's parameters of the hands of results, by least squares on corresponding points of the surfaces.

    results: folders of `handopt fit` and `handopt track`, or folders of such folders, fitted with any rig. output: an
    .npz file. mano: MANO_RIGHT.pkl or MANO_LEFT.pkl (or .npz); the other side's lies beside it. min_confidence: results
    below it are left out. only: names of results below the folder that was given, all if None. Raises OutputError,
    LabelError, and RigError for a damaged model.
    """
    output = Path(output)
    if output.suffix.lower() != ".npz":
        raise OutputError(f"{output} does not end in .npz: change output= or format='mano'")
    if mano is None:
        raise OutputError("mano= is missing: your own MANO_RIGHT.pkl or MANO_LEFT.pkl (https://mano.is.tue.mpg.de)")
    check_output(output, overwrite=overwrite, single=True)
    records, left_out = read_records(
        [Path(each) for each in results], min_confidence=min_confidence, only=only, progress=progress
    )
    _require_meshes(records)
    models = {side: _model(Path(mano), cast(Side, side), records) for side in sorted({each.hand for each in records})}
    if len({each.shapedirs.shape[2] for each in models.values()}) > 1:
        raise OutputError(f"the right and the left model beside mano='{mano}' have different numbers of betas")
    hands = _hands(records, models, progress)
    notes = [f"{model.name}: {note}" for model in models.values() for note in model.notes]
    distances = np.array([each.distances_mm.mean() for each in hands])
    notes.append(
        f"MANO's surface lies {distances.mean():.2f} mm from the fitted one on average, "
        f"{distances.max():.2f} mm in the worst of {len(hands)}."
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder.written_file(output) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **_arrays(records, hands, models, notes))
    return Exported(output, len(records), left_out, tuple(notes))


def _require_meshes(records: Sequence[LabelRecord]) -> None:
    bare = [record for record in records if not record.has_arrays]
    if bare:
        raise OutputError(
            f"{bare[0].folder} has no arrays of the mesh (trace.npz), one of {len(bare)} such results: "
            "fit again, or leave them out of RESULTS"
        )


def _model(path: Path, side: Side, records: Sequence[LabelRecord]) -> ManoModel:
    """The model of a side: the file itself, or the one beside it that is named for the side. Raises OutputError."""
    for candidate in dict.fromkeys((path, named_for(path, side))):
        if candidate != path and not candidate.is_file():
            continue
        model = read_hand_model(candidate)
        if model.tips != MANO_TIPS:
            raise OutputError(f"mano='{candidate}' is a hand of a body: give MANO's own MANO_{side.upper()}.pkl")
        if side_of(model) == side:
            return model
    count = sum(record.hand == side for record in records)
    raise OutputError(
        f"{count} of the hands are {side} hands, and neither mano='{path}' nor {named_for(path, side).name} "
        f"beside it is a {side} model: put MANO_{side.upper()}.pkl there"
    )


def _hands(records: Sequence[LabelRecord], models: dict[str, ManoModel], progress: ReadProgress) -> list[ManoHand]:
    """MANO's hands of records, in their order; those of one track share their betas."""
    layers = {side: Layer.of(model) for side, model in models.items()}
    known: dict[bytes, Registration] = {}
    found: dict[int, ManoHand] = {}
    rows_of: dict[Path, list[int]] = {}
    for row, record in enumerate(records):
        rows_of.setdefault(record.folder, []).append(row)
    for rows in rows_of.values():
        film, _ = records[rows[0]].film()
        model, layer = models[records[rows[0]].hand], layers[records[rows[0]].hand]
        key = _topology(film.hand) + records[rows[0]].hand.encode()
        if key not in known:
            known[key] = register(model, layer, film.hand)
        betas = None
        if len(rows) > 1:
            some = [
                fit_mano(model, layer, known[key], *_posed(records[row])) for row in sampled(rows, _FRAMES_FOR_BETAS)
            ]
            betas = np.mean([each.betas for each in some], axis=0)
        for row in rows:
            found[row] = fit_mano(model, layer, known[key], *_posed(records[row]), betas=betas)
            progress("hands", len(found), len(records))
    return [found[row] for row in range(len(records))]


def fit_mano(
    model: ManoModel,
    layer: Layer,
    registration: Registration,
    hand: Skinned,
    vertices_mm: Floats,
    transforms: Floats,
    *,
    betas: Floats | None = None,
) -> ManoHand:
    """MANO's parameters of one pose of another hand: vertices (V, 3) mm, transforms (J, 3, 4) of its joints.

    betas: (S,) that are known already.
    """
    targets = registration.targets(vertices_mm * M_PER_MM)
    start = posed_start(layer, registration, transforms, hand, targets)
    prior = EXACT_PRIOR_M if registration.is_mano else PRIOR_M
    parameters = solve(layer, registration.rows, targets, np.ones(len(targets)), start, prior=prior, betas=betas)
    points = layer.points(parameters)
    joints = np.concatenate([points[layer.vertices :], points[list(model.tips)]])
    return ManoHand(
        global_orient=_shortest(parameters[:3]),
        hand_pose=np.concatenate([_shortest(each) for each in parameters[3:POSE].reshape(-1, 3)]),
        betas=parameters[POSE:-3],
        transl_m=parameters[-3:],
        joints_m=from_mano_order(joints),
        distances_mm=np.linalg.norm(points[registration.rows] - targets, axis=1) / M_PER_MM,
    )


def _posed(record: LabelRecord) -> tuple[Skinned, Floats, Floats]:
    """The hand of a record, its vertices (V, 3) mm and the transforms (J, 3, 4) of its joints."""
    film, row = record.film()
    one = slice(row, row + 1)
    transforms = film.hand.transforms(
        film.rotation[one], film.translation_mm[one], film.angles_rad[one], film.scale[one]
    )
    return film.hand, film.posed(row)[0], transforms[0]


def _topology(hand: Skinned) -> bytes:
    """What two hands share whose points correspond: their faces, weights and joints."""
    from hashlib import sha256

    digest = sha256()
    for values in (hand.faces, hand.skin_indices, hand.skin_weights, hand.keypoint_joints):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.digest()


def _shortest(vector: Floats) -> Floats:
    """The axis-angle of the same rotation with an angle of at most pi."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vector).as_rotvec(), np.float64)


def _arrays(
    records: Sequence[LabelRecord], hands: Sequence[ManoHand], models: dict[str, ManoModel], notes: Sequence[str]
) -> dict[str, Any]:
    """The file's arrays by name; the README of handopt/export lists them."""
    flat = np.array([each.hand_pose for each in hands])
    means = np.array([models[record.hand].hand_mean for record in records])
    return {
        "format": np.array(MANO_FORMAT),
        "conventions": np.array(_CONVENTIONS),
        "notes": np.array(list(notes)),
        "name": np.array([record.name for record in records]),
        "hand": np.array([record.hand for record in records]),
        "confidence": np.array([record.confidence for record in records]),
        "time_s": np.array([np.nan if record.time_s is None else record.time_s for record in records]),
        "global_orient": np.array([each.global_orient for each in hands]),
        "hand_pose_flat_hand_mean_true": flat,
        "hand_pose_flat_hand_mean_false": flat - means,
        "betas": np.array([each.betas for each in hands]),
        "transl": np.array([each.transl_m for each in hands]),
        "joints_m": np.array([each.joints_m for each in hands]),
        "distance_mm": np.array([each.distances_mm.mean() for each in hands]),
        "max_distance_mm": np.array([each.distances_mm.max() for each in hands]),
    }
