"""Adapt a model to unlabelled depth frames: what `handopt adapt` does, for Python."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from handopt.atomic_folder import written_file
from handopt.errors import ConfigError, HandoptError, NumericalError, ObservationError, OutputError
from handopt.export.rig_gltf import write_rig
from handopt.learning.adapt_film import FILM_NAME, write_film
from handopt.learning.adapt_settings import SHAPES, AdaptSettings
from handopt.learning.adaptation import Adaptation
from handopt.learning.checkpoint import has_checkpoint, remove_checkpoints
from handopt.learning.fitted_frames import AdaptFrame, likely_side
from handopt.learning.frame_store import INDEX, FrameStore, full
from handopt.learning.training import Progress
from handopt.proposals.model_file import PoseModel, check_model_place, default_model
from handopt.rig import Rig, default_rig

LEAST_FRAMES: Final = 40
"""Frames with a hand that an adaptation needs. By hand: 33 to learn from and 7 to judge by."""
ALIKE_MM: Final = 3.0
"""Mean distance of joints from their mean over all frames, below which nothing is to be learned. Above any noise."""
DECIDING: Final = 12
"""Frames with a hand that say which one it is, where nobody does."""
LOOKED_AT: Final = 600
"""Frames among which they are looked for."""
SEEN_OFTEN: Final = 10
"""Frames that show a vertex from the front, from which on it is known for certain."""
HAND_NAME: Final = "hand.glb"
BLOCKS_FORMAT: Final = 3
"""Of the fitted frames; those of another one are not taken."""
FRAMES_NAME: Final = "frames"


@dataclass(frozen=True)
class Adapted:
    """What came of an adaptation.

    improved: whether the model is better than the one it began with, which it is otherwise. step: of the best model
    scores, before: on held-out frames, see handopt.learning.adapt_losses.HeldOut. frames: that were used. side: of the
    hand. problems: names of frames that were not, and why
    """

    improved: bool
    step: int
    scores: dict[str, float | None]
    before: dict[str, float | None]
    frames: int
    side: str
    problems: tuple[tuple[str, str], ...]


def adapt(
    frames: Callable[[], Iterable[AdaptFrame]],
    output: Path,
    settings: AdaptSettings | None = None,
    *,
    model: PoseModel | None = None,
    hand: str = "auto",
    shape: str = "proportions",
    seed: int = 0,
    minutes: float | None = None,
    workers: int = 1,
    threads: int = 1,
    identity: str = "",
    resume: bool = False,
    overwrite: bool = False,
    fitted: Callable[[int], bool] = lambda _: True,
    progress: Callable[[Progress], bool] = lambda _: True,
    note: Callable[[str], None] = lambda _: None,
) -> Adapted | None:
    """Adapt a model to unlabelled frames of one person's hand, and write it to a file.

    frames: called for the frames, from the first on, also when an adaptation goes on. model: to begin with, handopt's
    own network if None. hand: 'right', 'left' or 'auto'. shape: what of the hand's own shape is free, see SHAPES.
    minutes: of learning, at most. workers: processes that fit; threads: of PyTorch. identity: a text that differs for
    other frames. resume, overwrite: as in handopt.learning.train.train. fitted: called with the number of frames that
    are fitted; progress: called after each step; False stops, and the adaptation can be resumed. note: called with what
    the user should know.

    Returns None where it was stopped. Beside the model is a folder with curves, a video and hand.glb, the hand as a
    rig. Raises ObservationError for frames that cannot be learned from, NumericalError where the loss is no number,
    OutputError, ConfigError, and HandoptError where nothing can be resumed.
    """
    if shape not in SHAPES:
        raise ConfigError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")
    chosen, folder = settings or AdaptSettings(), folder_of(output)
    check_free(output, resume=resume, overwrite=overwrite)
    torch.set_num_threads(threads)
    facts = f"{BLOCKS_FORMAT} {identity} {model.digest if model else ''} {hand} {seed}"
    store = FrameStore(folder / FRAMES_NAME, facts)
    if not resume:
        _remove_leftovers(store, folder)
    anew = not _is_begun(folder)
    if resume and anew:
        raise HandoptError(f"{folder} holds no adaptation to go on from: begin one without resume=True")
    done = store.is_complete() or store.fill(
        frames(), _side_of(frames, hand, store), model, seed=seed, workers=workers, progress=fitted
    )
    if not done:
        return None
    _load_checked(store, anew=anew)
    network = (default_model() if model is None else model).network
    run = Adaptation(network, store, folder, chosen, shape=shape, seed=seed, minutes=minutes)
    if resume and has_checkpoint(folder):
        damaged = run.resume()
        if damaged is not None:
            note(damaged)
    if not len(run.labelled):
        note("No fit of these frames is certain: only the self-supervised loss and rendered images teach.")
    return _learned(run, output, model, progress)


def _load_checked(store: FrameStore, *, anew: bool) -> None:
    """Load the fitted frames. Raises HandoptError, and removes what this run began, where they teach nothing."""
    store.load()
    try:
        _check_frames(store)
    except HandoptError:
        if anew:
            store.remove()
        raise


def _learned(
    run: Adaptation, output: Path, model: PoseModel | None, progress: Callable[[Progress], bool]
) -> Adapted | None:
    """Adapt to the end, and write what came of it; None where it was stopped. Raises NumericalError, OutputError."""
    try:
        return _finish(run, output, model) if run.run(progress) else None
    except NumericalError:
        if run.improved():
            _finish(run, output, model)
        raise


def _side_of(frames: Callable[[], Iterable[AdaptFrame]], hand: str, store: FrameStore) -> str:
    """Which hand the frames show. Raises HandoptError where none of those that are looked at shows one."""
    if store.side is None:
        store.side = likely_side(islice(frames(), LOOKED_AT), DECIDING, 0) if hand == "auto" else hand
    return store.side


def _check_frames(store: FrameStore) -> None:
    """Refuse frames from which nothing can be learned. Raises ObservationError."""
    count, total = len(store), len(store) + len(store.problems)
    if count < LEAST_FRAMES:
        reasons = Counter(reason for _, reason in store.problems).most_common(1)
        why = f"; the others mostly: {reasons[0][0]}" if reasons else ""
        raise ObservationError(
            f"{count} of {total} frames show a hand, and {LEAST_FRAMES} are needed (some hundreds are better): give "
            f"more frames{why}"
        )
    small = store.small
    joints = np.einsum("nij,nkj->nki", small["view"], small["joints"] - small["camera_centre"][:, None])
    spread = float(np.linalg.norm(joints - joints.mean(axis=0), axis=-1).mean())
    if spread < ALIKE_MM:
        raise ObservationError(
            f"the {count} frames are all alike (the joints move by {spread:.1f} mm): give frames of a hand in many "
            "poses"
        )
    if store.other_side > count / 2:
        other = "left" if store.side == "right" else "right"
        raise ObservationError(
            f"{store.other_side} of {count} frames look more like a {other} hand than like a {store.side} one: say "
            f"which hand it is with hand={other!r}, or give the frames of one hand"
        )


def _finish(run: Adaptation, output: Path, model: PoseModel | None) -> Adapted:
    """Write the model, the hand and the video, and remove what only a resumed adaptation needs. Raises OutputError."""
    facts = run.facts()
    side = run.store.side or "right"
    began = {} if model is None else {"digest": model.digest, "training": model.metadata.get("training")}
    training = {
        "adapted": facts,
        "from": began,
        "hand": side,
        "shape": run.shape,
        "seed": run.seed,
        "seconds": round(run.seconds),
        "settings": run.settings.to_dict(),
    }
    scores = {name: value for name, value in facts["held_out"].items() if value is not None}
    metadata = {"heads": run.network.heads, "stages": run.network.stages, "training": training, "scores": scores}
    run.write(output, metadata)
    titles = [
        f"step {row['step']}   ·   loss {row['depth']:.2f}   ·   acceleration {row['jitter_mm']:.1f} mm"
        for row in run.history
    ]
    rows = run.filmed_rows()
    try:
        with written_file(run.folder / HAND_NAME) as partial:
            write_rig(_personal(run, side), partial, {"images": len(run.store)})
        frames = {name: each[rows] for name, each in run.store.small.items()}
        with written_file(run.folder / FILM_NAME) as partial:
            poses = [each.float().numpy() for each in run.poses]
            write_film(partial, frames, poses, titles, default_rig("right").faces)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise full(run.folder, error) from error
    _remove_leftovers(run.store, run.folder)
    return Adapted(
        run.improved(), run.best_step, facts["held_out"], facts["held_out_before"], len(run.store), side,
        tuple(run.store.problems),
    )  # fmt: skip


def _personal(run: Adaptation, side: str) -> Rig:
    """The hand as a rig, whose confidence is how often each vertex was seen from the front."""
    from dataclasses import replace

    own, small, rows = run.best_hand(), run.store.small, run.labelled[:: max(1, len(run.labelled) // 200)]
    seen = np.zeros(len(default_rig("right").rest_mm))
    if len(rows):
        given = [torch.from_numpy(small[name][rows]) for name in ("view", "rotation", "angles", "joints", "scale")]
        view, rotation, angles, joints, scale = given
        with torch.no_grad():
            hand = own(view.transpose(1, 2) @ rotation, angles, joints[:, 0], scale.log())
        towards = -torch.nn.functional.normalize(hand.vertices, dim=-1)
        seen = ((hand.normals * towards).sum(-1) > 0.5).sum(0).double().numpy()
    rig = own.rig(side)
    return replace(rig, name=f"{rig.name}, adapted", confidence=np.minimum(1.0, seen / SEEN_OFTEN))


def folder_of(output: Path) -> Path:
    """The folder beside a model: adapted-adaptation beside adapted.npz."""
    return output.with_name(f"{output.stem}-adaptation")


def check_free(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a place for a model that is taken. Worth calling before the work. Raises OutputError."""
    check_model_place(output, replace=overwrite)
    if not (resume or overwrite) and _is_begun(folder_of(output)):
        raise OutputError(
            f"{folder_of(output)} holds an adaptation that was stopped: go on with resume=True or begin anew with "
            "overwrite=True"
        )


def _is_begun(folder: Path) -> bool:
    """Whether a folder beside a model holds fitted frames of an adaptation."""
    return (folder / FRAMES_NAME / INDEX).exists()


def _remove_leftovers(store: FrameStore, folder: Path) -> Any:
    remove_checkpoints(folder)
    store.remove()
