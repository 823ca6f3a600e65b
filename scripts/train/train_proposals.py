#!/usr/bin/env python3
"""Train the network that proposes poses, for scripts/train/build_proposals.py. Needs PyTorch: pip install '.[train]'.

Everything is made from a seed: poses without overlaps, renders of them (kept in memory), and the training itself.
The shipped network took 3 minutes to render (2 busy cores) and 37 minutes to train (1 busy core), and 4 GB of memory.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    sys.exit(
        "train_proposals.py needs PyTorch, which is not installed: pip install '.[train]' in handopt's source folder"
    )

from numpy.typing import NDArray
from proposal_augment import augment
from proposal_images import EMPTY, UNIT_MM, Arrays, render_images, sample_poses
from proposal_model import Network, Skeleton, errors, loss
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from handopt.proposals.features import OFFSET_SCALE_MM
from handopt.proposals.network import VERSION
from handopt.rig import default_rig

HELD_OUT = 4096
LABELS = ("angles", "rotation", "wrist", "scale", "proportions")
BATCH = 128
RATE, WARM_UP_STEPS, WEIGHT_DECAY = 2e-3, 300, 0.02
TEMPERATURE_MM = (30.0, 2.5)
COOLED_AT = 0.6
AVERAGE = 0.998
REPORT_STEPS = 250


def main(arguments: list[str] | None = None) -> None:
    """Train with the options of a command line."""
    options = _options(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    begun = time.perf_counter()
    train, held_out = dataset(options)
    _say(f"{len(train['scale'])} images after {time.perf_counter() - begun:.0f} s")
    rig = default_rig("right")
    network = Network(options.heads, int(rig.limits.free.sum())).to(memory_format=torch.channels_last)
    average = fit(network, Skeleton(rig), train, held_out, options)
    scores = save(average, evaluate(average, Skeleton(rig), held_out), options)
    size = options.output.stat().st_size / 2**20
    _say(f"{options.output}: {size:.1f} MB after {time.perf_counter() - begun:.0f} s; {scores}")


def save(network: Network, scores: dict[str, float], options: argparse.Namespace) -> dict[str, float]:
    """Write a network, with how it was made and what it scores."""
    metadata = {
        "version": VERSION,
        "heads": network.heads,
        "stages": len(network.stages),
        "seed": options.seed,
        "poses": options.poses,
        "images": options.images,
        "steps": options.steps,
        "batch": BATCH,
        "rate": options.rate,
        "temperature_mm": options.temperature,
        "held_out": scores,
    }
    np.savez_compressed(options.output, metadata=json.dumps(metadata), **network.export())
    return scores


def dataset(options: argparse.Namespace) -> tuple[Arrays, Arrays]:
    """Render the images to train with and the held-out ones, or read them from the cache."""
    if options.cache and options.cache.exists():
        with np.load(options.cache) as file:
            arrays = {name: file[name] for name in file.files}
    else:
        poses = sample_poses(options.poses, options.seed, options.threads)
        _say(f"{len(poses)} poses")
        arrays = render_images(poses, options.images + HELD_OUT, options.seed, options.threads)
        if options.cache:
            np.savez(options.cache, **arrays)
    # Chunks of one subject are not split: the held-out images show other subjects, if in poses of the same pool.
    return {name: values[HELD_OUT:] for name, values in arrays.items()}, {
        name: values[:HELD_OUT] for name, values in arrays.items()
    }


def fit(network: Network, skeleton: Skeleton, train: Arrays, held_out: Arrays, options: argparse.Namespace) -> Network:
    """Train for options.steps steps; the temperature falls to TEMPERATURE_MM[1], the rate to 0.

    Returns the running average of the weights, which is also written to the output every REPORT_STEPS steps.
    """
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE), use_buffers=True)
    rng = np.random.default_rng(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=WEIGHT_DECAY)
    begun, losses = time.perf_counter(), []
    order = rng.permutation(len(train["scale"]))
    at = 0
    for step in range(options.steps):
        share = step / options.steps
        rate = options.rate * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + np.cos(np.pi * share))
        for group in optimiser.param_groups:
            group["lr"] = rate
        cooling = min(1.0, share / COOLED_AT)
        temperature = options.temperature ** (1 - cooling) * TEMPERATURE_MM[1] ** cooling
        if at + BATCH > len(order):
            order, at = rng.permutation(len(order)), 0
        rows = np.sort(order[at : at + BATCH])
        at += BATCH
        rows = rng.permutation(rows)
        network.train()
        offset, labels = augment(*tensors(train, rows), generator)
        value = loss(*errors(skeleton, network(encoded(offset)), labels), temperature)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 50.0)
        optimiser.step()
        if step >= min(WARM_UP_STEPS, options.steps // 2):
            average.update_parameters(network)
        losses.append(value.item())
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == options.steps:
            spent = time.perf_counter() - begun
            scores = save(average.module, evaluate(average.module, skeleton, held_out, 1024), options)
            _say(f"step {step + 1}, {spent:.0f} s, loss {np.mean(losses):.2f}, T {temperature:.1f}: {scores}")
            losses.clear()
    return average.module


def evaluate(network: Network, skeleton: Skeleton, images: Arrays, count: int = HELD_OUT) -> dict[str, float]:
    """Mean joint error in mm of the best head and of the first one, and shares of rotations within 30 degrees."""
    network.eval()
    found: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for rows in np.array_split(np.arange(min(count, len(images["scale"]))), 8):
            offset, labels = tensors(images, rows)
            heads = network(encoded(offset))
            rotation, angles, wrist, log_scale, logit = skeleton.unpack(heads)
            proportions = labels["proportions"][:, None].expand(-1, heads.shape[1], -1)
            joints = skeleton.keypoints(rotation, angles, wrist, log_scale.exp(), proportions)
            target = skeleton.keypoints(*(labels[n] for n in ("rotation", "angles", "wrist", "scale", "proportions")))
            error = (joints - target[:, None]).norm(dim=-1).mean(-1)
            trace = (rotation * labels["rotation"][:, None]).sum((-1, -2))
            turned = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
            best, first = error.argmin(1, keepdim=True), logit.argmax(1, keepdim=True)
            found.append(tuple(each.gather(1, pick)[:, 0] for pick in (best, first) for each in (error, turned)))
    best, best_turn, first, first_turn = (torch.cat(each) for each in zip(*found, strict=True))
    return {
        "best_mm": round(float(best.mean()), 2),
        "best_good": round(float(((best < 25) & (best_turn < 30)).float().mean()), 4),
        "first_mm": round(float(first.mean()), 2),
        "first_good": round(float(((first < 25) & (first_turn < 30)).float().mean()), 4),
    }


def tensors(images: Arrays, rows: NDArray[np.int64]) -> tuple[Tensor, dict[str, Tensor]]:
    """Offsets (B, 64, 64) mm, NaN where no hand is, and labels."""
    counts = torch.from_numpy(images["offset"][rows])
    offset = torch.where(counts == int(EMPTY), torch.nan, counts.float() * UNIT_MM)
    return offset, {name: torch.from_numpy(images[name][rows]) for name in LABELS}


def encoded(offset: Tensor) -> Tensor:
    """handopt.proposals.features.network_input, in PyTorch."""
    seen = ~offset.isnan()
    return torch.stack([seen.float(), torch.where(seen, offset, 0.0) / OFFSET_SCALE_MM], dim=-1)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write the network (.npz)")
    parser.add_argument("--seed", type=int, default=1, help="of poses, images and training")
    parser.add_argument("--poses", type=int, default=40_000, help="distinct poses")
    parser.add_argument("--images", type=int, default=200_000, help="distinct images, 8 KB of memory each")
    parser.add_argument("--steps", type=int, default=4_000, help=f"batches of {BATCH} images")
    parser.add_argument("--rate", type=float, default=RATE, help="the highest learning rate")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE_MM[0], help="the first temperature, mm")
    parser.add_argument("--heads", type=int, default=16, help="hypotheses for an image")
    parser.add_argument("--threads", type=int, default=2, help="processes that render, threads that train")
    parser.add_argument("--cache", type=Path, help="an .npz file to keep the images in, or to read them from")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
