"""The training loop of the network that proposes poses: steps, scores, checkpoints, curves, and the model's file."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from handopt.errors import NumericalError, OutputError
from handopt.learning.augment import augment
from handopt.learning.checkpoint import load_checkpoint, save_checkpoint
from handopt.learning.curves import write_curves
from handopt.learning.encode import encoded, tensors
from handopt.learning.image_pool import ImagePool
from handopt.learning.images import Arrays
from handopt.learning.losses import compare, hypothesis_loss, joint_loss, votes_loss
from handopt.learning.network import PLACES, Network
from handopt.learning.scores import score
from handopt.learning.settings import TrainSettings
from handopt.learning.skeleton import Skeleton
from handopt.learning.warm_start import as_tensors, begin_with
from handopt.proposals.model_file import PoseModel, save_model
from handopt.rig import default_rig

STEP: Final = 4
"""What the generator of a step's augmentation is for, beside those of poses, images and rows."""


@dataclass(frozen=True)
class Progress:
    """How far a training or an adaptation is. share: 0..1 of its steps or its time; scores: the last ones."""

    step: int
    share: float
    scores: dict[str, float]


class Training:
    """A training run: its network, and how far it is. Made anew, or from the checkpoint of one that was stopped."""

    def __init__(
        self,
        output: Path,
        settings: TrainSettings,
        *,
        seed: int = 0,
        minutes: float | None = None,
        device: str = "cpu",
        begin: PoseModel | None = None,
    ) -> None:
        """output: where the model goes. minutes: of training, at most. device: of PyTorch, 'cpu' or 'cuda'.

        begin: another model, with whose weights the network begins
        """
        self.output, self.folder = output, folder_of(output)
        self.settings, self.seed, self.minutes, self.device = settings, seed, minutes, device
        torch.manual_seed(seed)
        rig = default_rig("right")
        self.skeleton = Skeleton(rig).to(device)
        network = Network(settings.heads, int(rig.limits.free.sum()))
        self.network = network.to(device=device, memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
        )
        self.step, self.seconds, self._begin = 0, 0.0, begin
        self._begun_with = None if begin is None else begin.digest
        self.history: list[dict[str, float]] = []
        self._losses: list[float] = []

    def resume(self) -> str | None:
        """Go on from the folder's checkpoint; a note where the newest one was damaged. Raises HandoptError."""
        state, note = load_checkpoint(self.folder)
        asked = {"settings": self.settings.to_dict(), "seed": self.seed}
        if self._begin is not None:
            asked["begun_with"] = self._begun_with
        differing = [name.replace("begun_with", "first weights") for name in asked if state.get(name) != asked[name]]
        if differing:
            raise OutputError(
                f"{self.folder} was begun with other {' and '.join(differing)}: give the same, or begin anew with "
                "overwrite=True"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.history, self._losses = list(state["history"]), list(state["losses"])
        self._begun_with = state.get("begun_with")
        return note

    def run(self, pool: ImagePool, progress: Callable[[Progress], bool]) -> dict[str, float]:
        """Train to the end, and write the model.

        progress: called after each step; the training stops, with a checkpoint, where it says so by False.
        Returns the scores of the model. Raises NumericalError, which leaves the last good model, and OutputError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        held_out = pool.held_out(), pool.labelled_held_out()
        if self._begin is not None and self.step == 0:
            self._begin_with(self._begin, pool.batch(0))
        saved = started = time.monotonic()
        before = self.seconds
        share = self._share()
        while share < 1:
            self._train(pool.batch(self.step), share)
            self.step += 1
            now = time.monotonic()
            self.seconds = before + now - started
            share = self._share()
            if self.step % self.settings.report_steps == 0 or share >= 1:
                self._report(held_out)
            going_on = progress(Progress(self.step, share, self.history[-1] if self.history else {}))
            if not going_on or now - saved > self.settings.checkpoint_s:
                self._save_checkpoint()
                saved = now
            if not going_on:
                break
        return self.history[-1] if self.history else {}

    def _begin_with(self, begin: PoseModel, images: Arrays) -> None:
        """Take the weights of another model. Raises OutputError where its layers are wider, or more or fewer."""
        weights, stages = begin.network.weights, len(self.network.stages)
        if begin.network.stages != stages:
            raise OutputError(
                f"the model to begin with has {begin.network.stages} stages, here there are {stages}: begin with "
                "another one"
            )
        for name, mine in self.network.export().items():
            if name in weights and any(a > b for a, b in zip(weights[name].shape, mine.shape, strict=True)):
                raise OutputError(
                    f"the model to begin with has a wider layer ({name} is {weights[name].shape}, here {mine.shape}): "
                    f"begin with another one, or set heads to {begin.network.heads} in config= if it is the head's"
                )
        view = encoded(tensors(images)[0]).to(self.device)
        begin_with(self.network, self.network.named_layers(), as_tensors(weights, self.device), view, {"dense": PLACES})
        self.average.module.load_state_dict(self.network.state_dict())

    def _share(self) -> float:
        of_time = 0.0 if self.minutes is None else self.seconds / (60 * self.minutes)
        return max(self.step / self.settings.steps, of_time)

    def _train(self, images: Arrays, share: float) -> None:
        """One step. Raises NumericalError."""
        settings = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate_at(self.step, share)
        drawn = np.random.default_rng((self.seed, STEP, self.step)).integers(2**62)
        generator = torch.Generator().manual_seed(int(drawn))
        views, labels = augment(*tensors(images), generator)
        labels = {name: each.to(self.device) for name, each in labels.items()}
        self.network.train()
        view = encoded(views).to(self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=settings.bfloat16):
            heads, joints, votes = self.network(view)
        found = compare(self.skeleton, heads, labels)
        value = hypothesis_loss(found, settings.temperature_at(share)) + joint_loss(found, joints, labels["visible"])
        value = value + votes_loss(votes, labels["keypoints"])
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.largest_gradient)
        loss = float(value.detach())
        if not math.isfinite(loss):
            raise NumericalError(
                f"the loss of step {self.step} is {loss}: lower the rate, now {settings.rate:g}, with config=; "
                f"{self.output} has the model of the last report, if there was one"
            )
        self.optimiser.step()
        if self.step >= min(settings.warm_up_steps, settings.steps // 2):
            self.average.update_parameters(self.network)
        self._losses.append(loss)

    def _report(self, held_out: tuple[Arrays, Arrays | None]) -> None:
        """Score the average of the weights, and write model and curves. Raises OutputError."""
        rendered, labelled = held_out
        scores = score(self.average.module, self.skeleton, rendered, self.device)
        if labelled is not None:
            of_labelled = score(self.average.module, self.skeleton, labelled, self.device)
            scores |= {f"labelled_{name}": of_labelled[name] for name in ("likeliest_mm", "votes_mm")}
        row = {"step": self.step, "seconds": round(self.seconds, 1), "loss": round(float(np.mean(self._losses)), 4)}
        self.history.append({**row, **scores})
        self._losses.clear()
        training = {"seed": self.seed, "seconds": round(self.seconds), "step": self.step, **self.settings.to_dict()}
        training |= {} if self._begun_with is None else {"begun_with": self._begun_with}
        metadata = {
            "heads": self.settings.heads,
            "stages": len(self.average.module.stages),
            "training": training,
            "scores": scores,
        }
        save_model(self.output, self.average.module.export(), metadata, overwrite=True)
        self._write(lambda: write_curves(self.folder, self.history))

    def _save_checkpoint(self) -> None:
        state: dict[str, Any] = {
            "settings": self.settings.to_dict(),
            "seed": self.seed,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "losses": self._losses,
            "begun_with": self._begun_with,
        }
        self._write(lambda: save_checkpoint(self.folder, state))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror or error}; free some space") from error


def folder_of(output: Path) -> Path:
    """The folder of checkpoints and curves beside a model: base-training beside base.npz."""
    return output.with_name(f"{output.stem}-training")
