#!/usr/bin/env python3
"""Train the networks that label the pixels of a window. Needs PyTorch: pip install '.[train]'.

Everything is made from a seed: scenes of `handopt synth --level wild` and scenes without a hand, windows cut out of
them, and the training itself. No real image is used. Scenes are kept in a folder (--cache) and made only once. With
--second-look it is the network that looks again where a hand is predicted; what it sees of scenes is kept as well.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    sys.exit(
        "train_pixel_labels.py needs PyTorch, which is not installed: pip install '.[train]' in handopt's source folder"
    )

from pixel_label_augment import augment
from pixel_label_model import MENDED, SECOND_WIDTHS, Network, encoded, hand_overlap, loss, voted
from pixel_label_scenes import CHUNK, Arrays, make_scenes, read_scenes
from pixel_label_start import start_from
from pixel_label_windows import Batch, cut_windows
from second_look_layers import make_layers, with_layers
from second_look_windows import SecondBatch, cut_second_windows, rows_with_layers
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from handopt.observation.pixel_network import VERSION
from handopt.observation.second_look import CHANNELS, SIZE, second_input

HELD_OUT_FILES = 4
HELD_OUT_WINDOWS = 512
START_WINDOWS = 128
BATCH = 32
RATE, WARM_UP_STEPS, WEIGHT_DECAY = 2e-3, 200, 0.02
AVERAGE = 0.998
REPORT_STEPS = 400


def main(arguments: list[str] | None = None) -> None:
    """Train with the options of a command line."""
    options = _options(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    begun = time.perf_counter()
    files = make_scenes(options.cache, options.seed, options.scenes, options.processes)
    held_out, train = read_scenes(files[: options.held_out]), read_scenes(files[options.held_out :])
    network = Network(CHANNELS, SIZE, SECOND_WIDTHS, MENDED) if options.second_look else Network()
    network = network.to(memory_format=torch.channels_last)
    if options.second_look:
        layers = make_layers(files, options.second_look, options.seed, options.processes)
        held_out, train = (
            with_layers(scenes, some)
            for scenes, some in ((held_out, layers[: options.held_out]), (train, layers[options.held_out :]))
        )
    _say(f"{len(train['shape'])} scenes after {time.perf_counter() - begun:.0f} s")
    several = np.resize(_rows(held_out), HELD_OUT_WINDOWS)
    windows = _cut(held_out, several, np.random.default_rng(options.seed + 1))
    if options.start:
        some = _part(windows, 0, START_WINDOWS)
        start_from(network, options.start, inputs_of(some, torch.from_numpy(some.offset)))
    average = fit(network, train, windows, options)
    scores = save(average, evaluate(average, windows), options)
    size = options.output.stat().st_size / 2**20
    _say(f"{options.output}: {size:.1f} MB after {time.perf_counter() - begun:.0f} s; {scores}")


def fit(network: Network, train: Arrays, held_out: Batch, options: argparse.Namespace) -> Network:
    """Train for options.time minutes or options.steps steps, whatever ends first; the rate falls to 0.

    Returns the running average of the weights, which is also written to the output every REPORT_STEPS steps.
    """
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=WEIGHT_DECAY)
    batches = iter(DataLoader(_Batches(train, options.seed), batch_size=None, num_workers=1, prefetch_factor=4))
    begun, history = time.perf_counter(), []
    for step in range(options.steps):
        share = max(step / options.steps, (time.perf_counter() - begun) / (60 * options.time))
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = options.rate * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + np.cos(np.pi * share))
        inputs, label, targets = next(batches)
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            output = network(inputs)
        parts = loss(tuple(each.float() for each in output), label, targets)
        optimiser.zero_grad(set_to_none=True)
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        if step >= min(WARM_UP_STEPS, options.steps // 2):
            average.update_parameters(network)
        history.append([float(value.detach()) for value in parts.values()])
        if (step + 1) % REPORT_STEPS == 0:
            mean = dict(zip(parts, np.mean(history, axis=0).round(3).tolist(), strict=True))
            scores = save(average.module, evaluate(average.module, held_out), options)
            _say(f"step {step + 1}, {time.perf_counter() - begun:.0f} s, {mean}: {scores}")
            history.clear()
    return average.module


class _Batches(IterableDataset):
    """Batches of spoiled windows without end: inputs, labels and the other targets. A worker process makes them."""

    def __init__(self, scenes: Arrays, seed: int) -> None:
        self._scenes, self._seed = scenes, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
        rng, rows = np.random.default_rng(self._seed), _rows(self._scenes)
        generator = torch.Generator().manual_seed(self._seed)
        while True:
            windows = _cut(self._scenes, rng.choice(rows, BATCH), rng)
            offset, label, targets = tensors(windows)
            offset, label = augment(offset, label, generator)
            yield inputs_of(windows, offset), label, targets


def save(network: Network, scores: dict[str, float], options: argparse.Namespace) -> dict[str, float]:
    """Write a network, with how it was made and what it scores."""
    chosen = {name: getattr(options, name) for name in ("seed", "scenes", "time", "steps", "rate")}
    chosen |= {"second_look": options.second_look is not None, "start": options.start and options.start.name}
    metadata = {"version": VERSION, **chosen, "batch": BATCH, "held_out": scores}
    np.savez(options.output, metadata=json.dumps(metadata), **network.export())
    if options.keep:
        torch.save(network.state_dict(), options.keep)
    return scores


def evaluate(network: Network, windows: Batch) -> dict[str, float]:
    """How well the windows are read, without augmentation."""
    network.eval()
    found: dict[str, list[Tensor]] = {name: [] for name in ("inside", "either", "palm", "presence", "there", "side")}
    with torch.no_grad():
        for first in range(0, len(windows.offset), BATCH):
            some = _part(windows, first, BATCH)
            offset, label, targets = tensors(some)
            logits, votes, summary = network(inputs_of(some, offset))
            inside, either = hand_overlap(logits, label)
            there = targets["presence"] == 1
            palm = (voted(votes)[2][:, 0] - targets["points"][:, 0]).norm(dim=-1)
            asked = targets["presence"] >= 0
            found["inside"].append(inside[there])
            found["either"].append(either[there])
            found["palm"].append(palm[there])
            found["presence"].append(summary[asked, 0])
            found["there"].append(targets["presence"][asked])
            found["side"].append(((summary[:, 1] > 0) == (targets["side"] > 0.5))[there])
    of = {name: torch.cat(parts).float() for name, parts in found.items()}
    return {
        "hand_iou": round(float(of["inside"].sum() / of["either"].sum()), 4),
        "palm_mm": round(float(of["palm"].mean()), 2),
        "presence": round(float(((of["presence"] > 0) == (of["there"] > 0.5)).float().mean()), 4),
        "side": round(float(of["side"].mean()), 4),
    }


def tensors(windows: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Offsets (B, S, S) mm, labels (B, S, S), and the other targets."""
    targets = {name: torch.from_numpy(getattr(windows, name)) for name in ("points", "presence", "log_size", "side")}
    return torch.from_numpy(windows.offset), torch.from_numpy(windows.label).long(), targets


def inputs_of(windows: Batch, offset: Tensor) -> Tensor:
    """What the network sees of windows whose offsets may have been spoiled."""
    if not isinstance(windows, SecondBatch):
        return encoded(offset)
    return torch.from_numpy(second_input(offset.numpy(), windows.first, windows.skin_mm))


def _part(windows: Batch, first: int, count: int) -> Batch:
    return type(windows)(*(getattr(windows, each.name)[first : first + count] for each in fields(windows)))


def _rows(scenes: Arrays) -> np.ndarray:
    """The scenes of which windows can be cut."""
    return rows_with_layers(scenes) if "labels" in scenes else np.arange(len(scenes["shape"]))


def _cut(scenes: Arrays, rows: np.ndarray, rng: np.random.Generator) -> Batch:
    return cut_second_windows(scenes, rows, rng) if "labels" in scenes else cut_windows(scenes, rows, rng)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write the network (.npz)")
    parser.add_argument(
        "--cache", type=Path, required=True, help="a folder to keep the scenes in, or to read them from"
    )
    parser.add_argument(
        "--second-look",
        type=Path,
        metavar="FOLDER",
        help="train the second look, and keep there what it sees of scenes",
    )
    parser.add_argument("--seed", type=int, default=101, help="of scenes and training")
    parser.add_argument("--scenes", type=int, default=24_000, help=f"distinct scenes, in files of {CHUNK}, 0.2 MB each")
    parser.add_argument("--held-out", type=int, default=HELD_OUT_FILES, help="files of scenes that score the network")
    parser.add_argument("--time", type=float, default=75.0, help="minutes of training")
    parser.add_argument("--steps", type=int, default=100_000, help=f"most batches of {BATCH} windows")
    parser.add_argument("--rate", type=float, default=RATE, help="the highest learning rate")
    parser.add_argument("--processes", type=int, default=2, help="processes that make scenes")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    parser.add_argument("--keep", type=Path, help="where to keep the weights for --start as well (.pt)")
    parser.add_argument(
        "--start", type=Path, help="weights to start from, as --keep wrote them, or a network (.npz), perhaps narrower"
    )
    parser.add_argument(
        "--bfloat16", action="store_true", help="convolve in bfloat16: twice as fast on processors that have it"
    )
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
