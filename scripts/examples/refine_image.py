#!/usr/bin/env python3
"""Refine a hand's pose on one depth image in PyTorch, and compare it with handopt.fit from the same start.

The start is a pose that is wrong: the fitted one, turned by some 10 degrees, moved by 10 mm and with other angles. Both
refine it; printed are the mean distances of the 21 joints in mm. Needs PyTorch: pip install 'handopt[torch]'.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

import handopt
from handopt.config import DescentStage, Weights

try:
    import torch

    from handopt.torch import DepthTarget, HandLayer, SelfSupervisedLoss
except ImportError as error:
    sys.exit(f"{Path(__file__).name} needs PyTorch: {error}")

ITERATIONS = 50  # of each stage, from coarse to fine
FINE = handopt.Config(
    plane=0.9,
    weights=Weights(silhouette=1.0, prior=0.001),
    stages=(DescentStage(iterations=ITERATIONS, radius_px=3.5, sigma_mm=5.0, step=0.15, top_k_out=1, depth=0.05),),
)
"""The last stage: what the least squares of handopt.fit end with, where closest points on planes decide. By hand."""


def refine(depth_mm: Any, camera: handopt.Camera, start: handopt.Start, side: str) -> Any:
    """Joints (21, 3) mm and loss of a pose that is refined from a start."""
    layer = HandLayer(side, "euler")
    target = DepthTarget.of([depth_mm], camera)
    pose = layer.pose_of(np.asarray(start.rotation)[None], np.asarray(start.angles_rad)[None]).requires_grad_()
    place = torch.tensor(start.translation_mm, dtype=torch.float32)[None].requires_grad_()
    size = torch.zeros(1, requires_grad=True)  # the logarithm of the scale
    shape = torch.zeros(1, len(layer.shape_names), requires_grad=True)
    rates = ((pose, 0.06), (place, 3.0), (size, 0.02), (shape, 0.02))
    for config in (handopt.Config(), FINE):
        loss = SelfSupervisedLoss(layer, config)
        for stage, settings in enumerate(config.stages):
            loss.set_stage(stage)
            optimiser = torch.optim.Adam([{"params": [each], "lr": rate * settings.step} for each, rate in rates])
            for _ in range(ITERATIONS):
                optimiser.zero_grad()
                hand = layer(pose, place, size.exp(), shape)
                total = loss(hand, target).sum()
                total.backward()
                optimiser.step()
    return hand.joints[0].detach().numpy(), float(total.detach())


def disturbed(result: handopt.FitResult, seed: int) -> handopt.Start:
    """A pose that is off: by 10 degrees, by 10 mm, and by 0.2 rad in each angle (standard deviations of the last)."""
    rng = np.random.default_rng(seed)
    turn, move = (each / np.linalg.norm(each) for each in rng.normal(size=(2, 3)))
    limits = result.rig.limits
    angles = result.angles_rad + 0.2 * rng.normal(size=(15, 3)) * limits.free
    return handopt.Start(
        Rotation.from_rotvec(np.radians(10) * turn).as_matrix() @ result.rotation,
        result.translation_mm + 10 * move,
        np.clip(angles, limits.lower, limits.upper),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", help="depth images that `handopt fit` reads without options")
    parser.add_argument("--seed", type=int, default=0, help="of the start")
    arguments = parser.parse_args()
    print("image\tstart to fit, mm\trefined to fit, mm\tloss")
    for path in arguments.images:
        image = handopt.read_image(path)
        hand = image.hand or "right"
        start = disturbed(handopt.fit(image.depth_mm, image.camera, hand=hand), arguments.seed)
        fitted = handopt.fit(image.depth_mm, image.camera, hand=hand, start=start)
        layer = HandLayer(hand, "euler")
        where = torch.tensor(start.translation_mm, dtype=torch.float32)[None]
        pose = layer.pose_of(np.asarray(start.rotation)[None], np.asarray(start.angles_rad)[None])
        first = layer(pose, where).joints[0].numpy()
        joints, loss = refine(image.depth_mm, image.camera, start, hand)
        apart = [np.linalg.norm(each - fitted.joints_mm, axis=1).mean() for each in (first, joints)]
        print(f"{path}\t{apart[0]:.2f}\t{apart[1]:.2f}\t{loss:.3f}")


if __name__ == "__main__":
    main()
