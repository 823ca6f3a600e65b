"""Train a model: what `handopt train` does, for Python."""

from collections.abc import Callable
from pathlib import Path

import torch

from handopt.errors import DeviceError, OutputError
from handopt.learning.checkpoint import has_checkpoint, remove_checkpoints
from handopt.learning.image_pool import ImagePool
from handopt.learning.settings import TrainSettings
from handopt.learning.training import Progress, Training, folder_of
from handopt.proposals.model_file import PoseModel, check_model_place


def train(
    output: Path,
    settings: TrainSettings | None = None,
    *,
    seed: int = 0,
    minutes: float | None = None,
    workers: int = 1,
    threads: int = 1,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    begin: PoseModel | None = None,
    progress: Callable[[Progress], bool] = lambda _: True,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Train a model on images that are rendered on the fly, and write it to a file.

    minutes: of training, at most; else settings.steps decides alone, and the same seed and number of threads give the
    same model. workers: processes that render. threads: of PyTorch. device: 'auto', 'cpu' or 'cuda'. resume: go on from
    the last checkpoint in the folder beside the model; minutes then count from its beginning. overwrite: replace a
    model, and what a run that was stopped has left. begin: a model with whose weights this one begins, as far as it
    has the same layers. progress: called after each step; False stops the training, which can be resumed. note: called
    with what the user should know.

    Returns the scores of the model (handopt.learning.scores), empty where none was written yet. Raises OutputError,
    ConfigError, DeviceError, NumericalError where the loss is no number, and HandoptError where nothing can be resumed.
    """
    chosen, place = settings or TrainSettings(), _device(device)
    check_free(output, resume=resume, overwrite=overwrite)
    torch.set_num_threads(threads)
    training = Training(output, chosen, seed=seed, minutes=minutes, device=place, begin=begin)
    if resume:
        damaged = training.resume()
        if damaged is not None:
            note(damaged)
    else:
        remove_checkpoints(training.folder)
    finished = False

    def watched(state: Progress) -> bool:
        nonlocal finished
        finished = state.share >= 1
        return progress(state)

    with ImagePool(chosen, seed, workers) as pool:
        scores = training.run(pool, watched)
    if finished:
        remove_checkpoints(training.folder)
    return scores


def _device(name: str) -> str:
    """The device of PyTorch. Raises DeviceError."""
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    if name.startswith("cuda") and not there:
        raise DeviceError("device='cuda': PyTorch finds no CUDA device here; use 'cpu', or install its CUDA build")
    return name


def check_free(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a place for a model that is taken. Worth calling before the work. Raises OutputError."""
    check_model_place(output, replace=resume or overwrite)
    if resume or overwrite:
        return
    if has_checkpoint(folder_of(output)):
        raise OutputError(
            f"{folder_of(output)} holds a training that was stopped: go on with resume=True or begin anew with "
            "overwrite=True"
        )
