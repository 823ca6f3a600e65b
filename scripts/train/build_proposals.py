#!/usr/bin/env python3
"""Build assets/proposals.npz, from which handopt proposes starts: a trained network and a bank of rendered poses.

Draws random hands, renders each as handopt.proposals.features sees an observation, describes the images by the
principal axes of the network's features, and stores descriptions, poses and the network in few bytes. The same seed and
model give the same file. The model comes from handopt train. 160,000 poses take 13 minutes and 3 GB of memory on 2 busy
cores.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from handopt.learning.images import EMPTY, UNIT_MM, Arrays, render_images, sample_poses
from handopt.proposals.bank import (
    ANGLE_STEP_RAD,
    ASSET,
    FORMAT,
    NETWORK,
    QUATERNION_STEP,
    SCALE_STEP,
    WRIST_STEP_MM,
)
from handopt.proposals.features import network_input
from handopt.proposals.model_file import load_model
from handopt.proposals.network import Network
from handopt.rig import default_rig
from handopt.typing import Reals

PROJECT = Path(__file__).resolve().parents[2]
AXES_FROM = 20_000  # images from which the principal axes are computed
BATCH = 256


def main(arguments: list[str] | None = None) -> None:
    """Render, describe, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what handopt train wrote")
    parser.add_argument("-o", "--output", type=Path, default=PROJECT / "assets" / ASSET)
    parser.add_argument("--images", type=int, default=160_000, help="poses in the bank")
    parser.add_argument(
        "--poses", type=int, default=40_000, help="distinct hand poses; each is seen from several sides"
    )
    parser.add_argument("--axes", type=int, default=40, help="numbers that describe an image")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    network = load_model(options.model).network
    poses = sample_poses(options.poses, options.seed, options.processes)
    images = render_images(poses, options.images, options.seed, options.processes)
    bank = compress(images, network, options.axes)
    weights = {name: each.astype(np.float16) for name, each in network.weights.items()}
    weights["metadata"] = np.array(json.dumps(network.metadata))
    bank |= {NETWORK + name: each for name, each in weights.items()}
    np.savez_compressed(options.output, format=np.int64(FORMAT), seed=np.int64(options.seed), **bank)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {len(bank['scales'])} poses, {size:.1f} MB, {time.perf_counter() - started:.0f} s")


def compress(images: Arrays, network: Network, axes_count: int) -> Arrays:
    """Turn images and poses, as render_images gives them, into the arrays of a bank."""
    offsets = images["offset"]
    described = np.concatenate(
        [_described(offsets[first : first + BATCH], network) for first in range(0, len(offsets), BATCH)]
    )
    mean = described[:AXES_FROM].mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((described[:AXES_FROM] - mean).T))
    axes = vectors[:, ::-1][:, :axes_count].astype(np.float32)
    descriptions = (described - mean) @ axes
    step = float(np.percentile(np.abs(descriptions), 99.99) / 127)
    limits = default_rig("right").limits
    middle, free = 0.5 * (limits.lower + limits.upper), limits.free.ravel()
    return {
        "descriptions": _whole(descriptions / step, np.int8),
        "step": np.float32(step),
        "mean": mean.astype(np.float32),
        "axes": axes,
        "middle": middle.ravel().astype(np.float32),
        "angles": _whole(
            (images["angles"] - middle.astype(np.float32)).reshape(-1, 45)[:, free] / ANGLE_STEP_RAD, np.int8
        ),
        "quaternions": _whole(
            np.roll(Rotation.from_matrix(images["rotation"]).as_quat(canonical=True), 1, axis=1) / QUATERNION_STEP,
            np.int16,
        ),
        "wrists": _whole(images["wrist"] / WRIST_STEP_MM, np.int16),
        "scales": _whole((images["scale"] - 1) / SCALE_STEP, np.int8),
    }


def _described(offset: NDArray[np.int16], network: Network) -> NDArray[np.float32]:
    return network.features(network_input(np.where(offset == EMPTY, np.nan, offset * np.float32(UNIT_MM))))


def _whole(values: Reals, kind: type) -> NDArray[np.integer]:
    limits = np.iinfo(kind)
    return np.rint(values).clip(limits.min, limits.max).astype(kind)


if __name__ == "__main__":
    main(sys.argv[1:])
