"""The loop of an adaptation: steps, scores on held-out frames, checkpoints, curves, and the adapted model's file."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from handopt.errors import NumericalError, OutputError
from handopt.learning.adapt_curves import write_adapt_curves
from handopt.learning.adapt_losses import (
    HeldOut,
    believed,
    consecutive,
    fits_loss,
    posed,
    smooth_loss,
    target_of,
    worth,
)
from handopt.learning.adapt_settings import WITH_PROPORTIONS, AdaptSettings
from handopt.learning.adaptable import AdaptableNetwork
from handopt.learning.checkpoint import load_checkpoint, save_checkpoint
from handopt.learning.fitted_frames import rows_of
from handopt.learning.frame_store import FrameStore, full
from handopt.learning.image_pool import PERSONAL, TRAINING
from handopt.learning.own_hand import OwnHand
from handopt.learning.people import OnePerson
from handopt.learning.rehearsal import Rehearsal
from handopt.learning.skeleton import Skeleton
from handopt.learning.training import Progress
from handopt.proposals.model_file import save_model
from handopt.proposals.network import Network
from handopt.rig import default_rig
from handopt.torch import SelfSupervisedLoss
from handopt.typing import AnyArray, Floats

RUN, OF_RUNS, RUN_LENGTH = 5, 6, 10
"""Of every 6 runs of 10 frames the last is held out."""
MOST_HELD_OUT: Final = 240
"""Held-out frames that are scored, at most."""
LEAST_LABELLED: Final = 8
"""Held-out frames with a believed fit, from which on the distance from fits decides as well."""
FILMED: Final = 4
STAGES: Final = (0, 2, -1)
"""Stages of the descent that the self-supervised loss goes through in thirds of the adaptation, coarse to fine."""


class Adaptation:
    """A model that learns from fitted frames."""

    def __init__(
        self,
        network: Network,
        store: FrameStore,
        folder: Path,
        settings: AdaptSettings,
        *,
        shape: str,
        seed: int,
        minutes: float | None,
        device: str = "cpu",
    ) -> None:
        """store: of frames, loaded. folder: of checkpoints and curves."""
        self.store, self.folder, self.settings = store, folder, settings
        self.seed, self.minutes, self.shape = seed, minutes, shape
        torch.manual_seed(seed)
        self.skeleton = Skeleton(default_rig("right"))
        self.began, self.network = network, AdaptableNetwork(network)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
        self.trusted = believed(store.small, settings)
        self.training, held_out = split(store.small["number"])
        self._places = rows_of({name: store.small[name] for name in ("number", "camera_centre")}, self.training)
        self.held_out = HeldOut(store, some_runs(held_out), self.trusted, settings)
        self.labelled = self.training[self.trusted[self.training]]
        scale, self._first_proportions = self._first_shape()
        self.own = OwnHand(shape, scale, self._first_proportions if shape in WITH_PROPORTIONS else None)
        groups = [{"params": list(self.network.parameters()), "lr": settings.rate}, *self.own.groups(settings)]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self.loss = SelfSupervisedLoss(self.own.layer)
        self.step, self.seconds, self.best_step = 0, 0.0, 0
        self.history: list[dict[str, float]] = []
        self.poses: list[Tensor] = []
        self.best: dict[str, Tensor] | None = None
        self.best_own: dict[str, Tensor] = {}
        self._losses: list[list[float]] = []
        self._rehearsed = Rehearsal(settings, (seed, TRAINING), settings.steps_per_block)
        self._personal = Rehearsal(settings, (seed, PERSONAL), settings.steps_per_personal_block, self._person)
        self._rendered_shape = self._shape_now()

    def _first_shape(self) -> tuple[float, Floats | None]:
        """Size and proportions that the believed fits agree on."""
        rows, arrays = self.labelled, self.store.small
        if len(rows) == 0 or self.shape == "none":
            return 1.0, None
        return float(np.median(arrays["scale"][rows])), np.median(arrays["proportions"][rows], axis=0)

    def _shape_now(self) -> tuple[float, list[float]]:
        """Size and proportions of the person's hand as they are known now."""
        found = self.own.proportions if self.own.proportions.requires_grad else self._first_proportions
        return float(self.own.log_scale.detach().exp()), [] if found is None else found.tolist()

    def _person(self, poses: Floats) -> OnePerson:
        """Whose hand is rendered: of the rendered shape, in such poses and those of believed fits."""
        scale, proportions = self._rendered_shape
        seen = (self.store.small[name][self.labelled].astype(np.float64) for name in ("angles", "rotation"))
        return OnePerson(poses, scale, np.array(proportions), *seen)

    # ------------------------------------------------------------------------------------------- the loop

    def run(self, progress: Callable[[Progress], bool]) -> bool:
        """Adapt to the end; whether it was reached. progress: called after each step; False stops with a checkpoint.

        Raises NumericalError, OutputError.
        """
        if not self.history:
            self._report()
        saved = started = time.monotonic()
        before, share = self.seconds, self._share()
        while share < 1 and not self._exhausted():
            self._step(share)
            self.step += 1
            now = time.monotonic()
            self.seconds = before + now - started
            share = self._share()
            if self.step % self.settings.report_every == 0 or share >= 1:
                self._report()
            going_on = progress(Progress(self.step, share, self.history[-1]))
            if not going_on or now - saved > self.settings.checkpoint_s:
                self._save_checkpoint()
                saved = now
            if not going_on:
                return False
        return True

    def _share(self) -> float:
        of_time = 0.0 if self.minutes is None else self.seconds / (60 * self.minutes)
        return max(self.step / self.settings.iterations, of_time)

    def _exhausted(self) -> bool:
        """Whether held-out frames have not got better for long."""
        return self.step - self.best_step >= self.settings.patience * self.settings.report_every

    def _step(self, share: float) -> None:
        """One step. Raises NumericalError."""
        settings = self.settings
        self.optimiser.param_groups[0]["lr"] = settings.rate_at(self.step, share)
        self.network.train()
        rng = np.random.default_rng((self.seed, 7, self.step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        parts = self._parts(rng, generator, share)
        weights = (settings.fits, settings.depth, settings.smooth, settings.rehearse, settings.personal)
        total = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        self.optimiser.zero_grad(set_to_none=True)
        assert isinstance(total, Tensor)
        value = float(total.detach())
        self._check_finite(value, f"the loss of step {self.step}")
        if total.requires_grad:
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.largest_gradient)
            self.optimiser.step()
        self.own.clamp()
        for each in (self.own.log_scale, self.own.proportions, self.own.offsets):
            self._check_finite(float(each.detach().sum()), f"the shape of the hand after step {self.step}")
        self.average.update_parameters(self.network)
        self._losses.append([float(part.detach()) for part in parts])

    def _check_finite(self, value: float, what: str) -> None:
        """Raise NumericalError where a value is no number."""
        if not math.isfinite(value):
            raise NumericalError(
                f"{what} is {value}: lower the rate, now {self.settings.rate:g}, with config=; the last model that was "
                "better on held-out frames, if there was one, was kept"
            )

    def _parts(self, rng: np.random.Generator, generator: torch.Generator, share: float) -> tuple[Tensor, ...]:
        """The distance from fits, the loss against depth, and the acceleration, of frames that are drawn; and the
        distance from the labels of rendered images, of any hand and of this person's."""
        settings, small = self.settings, self.store.small
        fits = depth = smooth = rehearsed = own = torch.zeros(())
        if settings.fits and len(self.labelled):
            drawn = rng.choice(self.labelled, settings.windows * settings.window)
            given = rows_of(small, drawn)
            fits = fits_loss(self.network, self.skeleton, given, generator, settings.temperature_mm)
        if settings.depth or settings.smooth:
            first = rng.integers(len(self.training) - settings.window + 1, size=settings.windows)
            rows = self.training[(first[:, None] + np.arange(settings.window)).ravel()]
            hand, joints = posed(self.network, self.skeleton, self.own, rows_of(small, rows))
            together = consecutive(self._places, first, settings.window, settings.still_mm)
            smooth = smooth_loss(joints, together, settings.window)
            if settings.depth:
                self.loss.set_stage(STAGES[min(len(STAGES) - 1, int(len(STAGES) * share))])
                depth = self.loss(hand, target_of(self.store.targets(rows))).log1p().mean()
        if settings.rehearse:
            given = self._rehearsed.drawn(self.step, rng)
            rehearsed = fits_loss(self.network, self.skeleton, given, generator, settings.temperature_mm)
        if settings.personal and self._first_proportions is not None:
            # A block shows the shape of its first step, which checkpoints keep: so a stop changes nothing
            if self.step % self._personal.steps_per_block == 0:
                self._rendered_shape = self._shape_now()
            given = self._personal.drawn(self.step, rng)
            own = fits_loss(self.network, self.skeleton, given, generator, settings.temperature_mm)
        return fits, depth, smooth, rehearsed, own

    # ------------------------------------------------------------------------------- scores, curves, files

    def _report(self) -> None:
        """Score the model on held-out frames, and keep it where it is the best. Raises OutputError."""
        network = self._blended()
        scores = self.held_out.score(network, self.skeleton)
        base = {name: self.history[0][name] for name in scores} if self.history else scores
        value, fine = worth(scores, base, int(self.held_out.trusted.sum()), LEAST_LABELLED)
        least = min((row["worth"] for row in self.history if row["kept"]), default=math.inf)
        kept = fine and value < least
        means = np.mean(self._losses, axis=0).tolist() if self._losses else [math.nan] * 5
        row = {"step": self.step, "seconds": round(self.seconds, 1), **scores, "worth": value, "kept": float(kept)}
        row |= dict(zip(("of_fits", "of_depth", "of_smooth", "of_rehearsed", "of_personal"), means, strict=True))
        row["scale"] = float(self.own.log_scale.detach().exp())
        self.history.append(row)
        self._losses.clear()
        self.poses.append(self._filmed(network))
        if kept:
            self.best, self.best_own = _copy(network.state_dict()), _copy(self.own.state_dict())
            self.best_step = self.step
        try:
            write_adapt_curves(self.folder, self.history)
        except OSError as error:
            raise full(self.folder, error) from error

    def _blended(self) -> AdaptableNetwork:
        """The average of the weights, less of it and more of those that it began with (blend)."""
        blended, learned = AdaptableNetwork(self.began), self.average.module.state_dict()
        share = self.settings.blend
        mixed = {name: torch.lerp(each, learned[name], share) for name, each in blended.state_dict().items()}
        blended.load_state_dict(mixed)
        return blended

    def _filmed(self, network: Any) -> Tensor:
        """Vertices (F, V, 3) mm, in the frames of their views, that the network sees in frames for the video."""
        rows = self.filmed_rows()
        arrays = rows_of(self.store.small, rows)
        network.eval()
        with torch.no_grad():
            hand, _ = posed(network, self.skeleton, self.own, arrays)
            view = torch.from_numpy(arrays["view"])
            return (hand.vertices @ view.transpose(1, 2)).half()

    def filmed_rows(self) -> AnyArray:
        """Held-out frames of the video, evenly spread."""
        rows = self.held_out.rows
        return np.asarray(rows[np.linspace(0, len(rows) - 1, min(FILMED, len(rows))).astype(np.int64)])

    def improved(self) -> bool:
        """Whether a model was found that is better on held-out frames than the one that it began with."""
        return self.best is not None and self.best_step > 0

    def best_hand(self) -> OwnHand:
        """The person's hand as it was when the best model was found."""
        hand = OwnHand(self.shape)
        hand.load_state_dict(self.best_own or self.own.state_dict())
        return hand

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        """Write the best model to a file; nobody's labels show that it may be surer of joints than the one it began
        with, so it is not. Raises OutputError."""
        best = AdaptableNetwork(self.began)
        if self.best is not None:
            before = self.held_out.log_radii(best)
            best.load_state_dict(self.best)
            best.widen_radii((before - self.held_out.log_radii(best)).clamp_min(0.0))
        save_model(path, best.export(), metadata, overwrite=True)

    def facts(self) -> dict[str, Any]:
        """How the model came about, for its file."""
        chosen = next(row for row in self.history if row["step"] == self.best_step)
        names = ("depth", "fits_mm", "jitter_mm")
        plain = {name: _plain(chosen[name]) for name in names}
        before = {name: _plain(self.history[0][name]) for name in names}
        return {"step": self.best_step, "frames": len(self.store), "held_out": plain, "held_out_before": before}

    # -------------------------------------------------------------------------------------- checkpoints

    def _save_checkpoint(self) -> None:
        state: dict[str, Any] = {
            "settings": self.settings.to_dict(), "seed": self.seed, "shape": self.shape,
            "identity": self.store.identity, "network": self.network.state_dict(),
            "average": self.average.state_dict(), "own": self.own.state_dict(),
            "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds,
            "best": self.best, "best_own": self.best_own,
            "best_step": self.best_step, "history": self.history, "losses": self._losses,
            "poses": self.poses, "rendered_shape": self._rendered_shape,
        }  # fmt: skip
        try:
            save_checkpoint(self.folder, state)
        except OSError as error:
            raise full(self.folder, error) from error

    def resume(self) -> str | None:
        """Go on from the folder's checkpoint; a note where the newest one was damaged. Raises HandoptError."""
        state, note = load_checkpoint(self.folder)
        asked = {
            "settings": self.settings.to_dict(), "seed": self.seed, "shape": self.shape,
            "identity": self.store.identity,
        }  # fmt: skip
        differing = [name for name, value in asked.items() if state.get(name) != value]
        if differing:
            names = " and ".join("frames" if name == "identity" else name for name in differing)
            raise OutputError(
                f"{self.folder} was begun with other {names}: give the same, or begin anew with overwrite=True"
            )
        for name, module in (("network", self.network), ("average", self.average), ("own", self.own)):
            module.load_state_dict(state[name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.best_step = int(state["step"]), float(state["seconds"]), int(state["best_step"])
        self.best, self.best_own = state["best"], state["best_own"]
        self.history, self.poses = list(state["history"]), list(state["poses"])
        self._losses, self._rendered_shape = list(state["losses"]), state["rendered_shape"]
        return note


def split(numbers: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Rows (N,) that are learned from, and rows that are held out, in runs. numbers: (N,) of the frames."""
    held = np.arange(len(numbers)) // RUN_LENGTH % OF_RUNS == RUN
    if not held.any():
        held = np.arange(len(numbers)) >= len(numbers) - max(1, len(numbers) // OF_RUNS)
    return np.flatnonzero(~held), np.flatnonzero(held)


def some_runs(held_out: AnyArray) -> AnyArray:
    """Of held-out rows (N,) at most MOST_HELD_OUT, in whole runs that are spread evenly."""
    runs = np.split(held_out, np.flatnonzero(np.diff(held_out) != 1) + 1)
    most = max(1, MOST_HELD_OUT // RUN_LENGTH)
    chosen = np.unique(np.linspace(0, len(runs) - 1, min(most, len(runs))).astype(np.int64))
    return np.concatenate([runs[number] for number in chosen])


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in state.items()}


def _plain(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
