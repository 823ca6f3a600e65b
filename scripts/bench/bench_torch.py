#!/usr/bin/env python3
"""What PyTorch's autograd costs on top of handopt's ops, and what the same loss costs in plain PyTorch.

Two comparisons at B poses of one image, float32, one thread, in one run, with the versions taking turns:

1. The whole loss with all gradients (angles, rotation, translation, scale): HandLayer and SelfSupervisedLoss through
   autograd, against handopt.objective.descent_objective, which chains the array ops and their backwards by hand.
   And against the same in plain PyTorch, where points are splatted into windows of pixels around each of them.
2. Skinning, projection, splats, absolute difference and collision alone, with gradients by transforms and rest
   vertices: handopt.torch's operators through autograd, against plain PyTorch.

Printed are medians in ms with their quartiles, and ratios. Needs PyTorch.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import handopt
from handopt.backend import Device, set_cpu_threads
from handopt.config import Config
from handopt.hand_model import Hand, Pose
from handopt.objective.descent_objective import MAX_POINTS, DescentObjective
from handopt.objective.targets import build_targets

try:
    import torch

    from handopt.torch import (
        DepthTarget,
        HandLayer,
        SelfSupervisedLoss,
        axis_angle_to_matrix,
        collision,
        project,
        skin,
        splat_loss,
    )
    from handopt.torch.matrix_kinematics import matrix_kinematics
    from handopt.torch.rotations import angles_to_matrix
except ImportError as error:
    sys.exit(f"{Path(__file__).name} needs PyTorch: {error}")

EXAMPLE = Path(__file__).resolve().parents[2] / "assets" / "examples" / "open.png"
WARM_UP = 5


class PlainPyTorch:
    """Both losses in plain PyTorch: points are splatted into windows, and each pixel's winner is differentiated."""

    def __init__(self, layer: Any, target: Any, image: Any, config: Config, radius: float) -> None:
        self.layer, self.observed, self.config = layer, target, config
        self.axes = layer.joint_axes
        self.size, self.radius, self.reach, self.bone_mm = target.size, radius, int(np.ceil(radius)), 0.0
        self.target, self.coefficients = image[0].flatten(), target.coefficients[0]
        self.bone_mm, count = config.collision_radius_mm, len(layer.rest)
        dense = torch.zeros(count, len(layer.parents))
        self.weights = dense.scatter_add(1, layer.indices.long(), layer.weights)
        self.joints, self.keypoints = layer.keypoint_joints[:, 0].long(), layer.keypoints
        self.ends = layer.bones.long().T
        k = torch.arange(len(self.keypoints))
        self.others = ((k != self.ends[0][:, None]) & (k != self.ends[1][:, None])).float()
        self.steps, self.numbers = torch.arange(2 * self.reach), torch.arange(count)
        pixels = torch.arange(self.size**2)
        self.columns, self.rows = (pixels % self.size).float(), (pixels // self.size).float()

    def __call__(self, transforms: Any, rest: Any) -> Any:
        """(B,): the mean absolute difference of closeness, and collisions in (10 mm)^2."""
        points = self.projected(self.skinned(transforms, rest))
        difference = (self.rendered(points) - self.target).abs().mean(1)
        return difference + self.collisions(transforms) / 100

    def skinned(self, transforms: Any, rest: Any) -> Any:
        """Vertices (B, V, 3) mm."""
        blended = (self.weights @ transforms.flatten(2)).unflatten(2, (3, 4))
        return (blended[..., :3] * rest[:, None]).sum(-1) + blended[..., 3]

    def projected(self, posed: Any) -> Any:
        """Points (B, V, 3) in the crop."""
        ax, bx, ay, by, az, bz = self.coefficients
        x, y, z = posed.unbind(-1)
        return torch.stack([ax * x / z + bx, ay * y / z + by, az * z + bz], dim=-1)

    def whole(self, loss: Any, pose: Any, translation: Any, scale: Any) -> Any:
        """(B,): the terms of a SelfSupervisedLoss, whose numbers are taken, of Euler poses."""
        layer, angles = self.layer, torch.where(self.layer.free > 0, pose[:, 1:], pose[:, 1:].detach())
        turns = self.axes @ angles_to_matrix(angles, layer.side) @ self.axes.mT
        rigid = (axis_angle_to_matrix(pose[:, 0]), translation, scale)
        transforms = matrix_kinematics(turns, *rigid, layer.articulated, layer.last_turned, layer.bind)
        vertices = self.skinned(transforms, layer.rest)
        points = self.projected(vertices)
        error = (self.rendered(points) - self.target).abs()
        delta, weight = self.config.huber, self.observed.weight[0].flatten()
        depth = (weight * torch.where(error <= delta, error**2 / (2 * delta), error - delta / 2)).mean(1)
        grid = points[:, None, :, :2] * (2 / (self.size - 1)) - 1
        field = self.observed.field[:1, None].expand(len(pose), -1, -1, -1)
        distance = torch.nn.functional.grid_sample(field, grid, align_corners=True)  # all points are in the crop
        over = (layer.lower - angles).clamp(min=0) ** 2 + (angles - layer.upper).clamp(min=0) ** 2
        deviation = torch.addmm(loss.whiten_offset, angles.flatten(1), loss.whiten)
        terms = (
            depth,
            distance.square().mean((1, 2, 3)),
            self.to_surface(loss, transforms, vertices),
            self.collisions(transforms),
            over.sum((1, 2)),
            deviation.square().sum(1) + loss.least_prior,
            scale.log() ** 2,
        )
        return loss.factors @ torch.stack(terms)

    def to_surface(self, loss: Any, transforms: Any, vertices: Any) -> Any:
        """(B,) mm^2: the robust distance of observed points to the nearest vertex that faces the camera."""
        sigma, plane = loss.sigma_mm, self.config.plane
        observed = self.observed.points[0, :MAX_POINTS]
        with torch.no_grad():
            blended = (self.weights @ transforms.flatten(2)).unflatten(2, (3, 4))
            normals = (blended[..., :3] @ self.layer.rest_normals[..., None])[..., 0]
            normals = torch.nn.functional.normalize(normals, dim=-1)
            hidden = (normals * vertices).sum(-1) >= 0
            apart = torch.cdist(observed.expand(len(vertices), -1, -1), vertices)
            nearest = apart.masked_fill_(hidden[:, None], torch.inf).argmin(2)[..., None].expand(-1, -1, 3)
            normals = normals.gather(1, nearest)
        off = observed - vertices.gather(1, nearest)
        square = plane * (normals * off).sum(-1) ** 2 + (1 - plane) * (off * off).sum(-1)
        return (sigma**2 * square / (sigma**2 + square)).mean(1)

    def rendered(self, points: Any) -> Any:
        """Closeness (B, S * S): windows, the winner of each pixel without a gradient, and its closeness with one."""
        count, side, reach = len(points), self.size + 2 * self.reach, self.reach
        with torch.no_grad():
            first = (points[..., :2].floor().long() - (reach - 1)).clamp(-reach, self.size - reach)
            u, v = first[..., 0, None] + self.steps, first[..., 1, None] + self.steps
            dx, dy = (((each - points[..., axis, None]) / self.radius) ** 2 for axis, each in enumerate((u, v)))
            phi = (1 - dy[..., :, None] - dx[..., None, :]).clamp_(min=0).square_()
            phi = ((1 - points[..., 2]).clamp(min=0)[..., None, None] * phi).flatten(1)
            rows, columns = ((each + reach).clamp_(0, side - 1) for each in (v, u))
            index = (rows[..., :, None] * side + columns[..., None, :]).flatten(1)
            best = torch.zeros(count, side * side).scatter_reduce_(1, index, phi, "amax")
            wins = (phi == best.gather(1, index)) & (phi > 0)
            image, place = wins.nonzero(as_tuple=True)
            winner = torch.zeros(count, side * side, dtype=torch.int64)
            winner[image, index[image, place]] = place // (4 * reach * reach)
            best, winner = (
                each.view(-1, side, side)[:, reach:-reach, reach:-reach].flatten(1) for each in (best, winner)
            )
            image, pixel = (best > 0).nonzero(as_tuple=True)
            winner = winner[image, pixel]
        chosen = points.flatten(0, 1).index_select(0, image * points.shape[1] + winner)
        dx, dy = self.columns[pixel] - chosen[:, 0], self.rows[pixel] - chosen[:, 1]
        phi = (1 - (dx * dx + dy * dy) / self.radius**2).clamp(min=0) ** 2
        flat = torch.zeros(count * self.size**2)
        closeness = (1 - chosen[:, 2]).clamp(min=0) * phi
        return flat.index_put((image * self.size**2 + pixel,), closeness).view(count, -1)

    def collisions(self, transforms: Any) -> Any:
        """(B,) mm^2 (paper, Eq. 14 to 19)."""
        chosen = transforms[:, self.joints]
        joints = (chosen[..., :3] * self.keypoints[:, None]).sum(-1) + chosen[..., 3]
        a, b = joints[:, self.ends[0]], joints[:, self.ends[1]]
        along, off = b - a, joints[:, None] - 0.5 * (a + b)[:, :, None]
        square = (along * along).sum(-1)[..., None]
        on_axis = (along[:, :, None] * off).sum(-1) ** 2 / square
        across = self.bone_mm**2 - ((off * off).sum(-1) - on_axis)
        depth = torch.minimum(square / 4 - on_axis, across).clamp(min=0) * self.others
        return depth.sum((1, 2)) / len(self.keypoints)


def take_turns(calls: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Milliseconds of each call, `rounds` of each, one after the other."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + WARM_UP):
        for name, call in calls.items():
            begin = clock()
            call()
            if number >= WARM_UP:
                times[name].append(1e3 * (clock() - begin))
    return {name: np.percentile(each, [50, 25, 75, 0]) for name, each in times.items()}


def report(times: dict[str, Any], *pairs: tuple[str, str]) -> None:
    for name, (median, low, high, least) in times.items():
        print(f"{name}\tmedian {median:.2f} ms, quartiles {low:.2f} to {high:.2f}, least {least:.2f}")
    for one, other in pairs:
        ratios = times[one] / times[other]
        print(f"{one} / {other}\t{ratios[0]:.2f} of medians, {ratios[3]:.2f} of least times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="poses that are compared with the image")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--cpu-time", action="store_true", help="count the thread's own time: for a busy machine")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    torch.set_num_threads(1)
    set_cpu_threads(1)
    count, rng, config = arguments.batch, np.random.default_rng(arguments.seed), Config()
    image = handopt.read_image(str(EXAMPLE))
    result = handopt.fit(image.depth_mm, image.camera, hand=image.hand, shape="scale")
    layer = HandLayer(image.hand or "right", "euler")
    loss = SelfSupervisedLoss(layer, config)
    observation = handopt.observe(image.depth_mm, image.camera)[0]
    view = (observation, observation.crop(config.crop_px, config.crop_half_mm), False)
    targets = build_targets([view], layer.rig.vertex_spacing_mm, config, np.random.default_rng(0), Device("cpu"))
    target = DepthTarget.from_fit(targets).select([0] * count)

    hand, stage = Hand.of(layer.rig, Device("cpu")), config.stages[-1]
    objective = DescentObjective(hand, targets, config)
    level = objective.level(stage.radius_px, stage.sigma_mm, stage.depth)
    angles, move = result.angles_rad + 0.15 * rng.normal(size=(count, 15, 3)), 5 * rng.normal(size=(count, 3))
    rotation = np.repeat(result.rotation[None], count, axis=0)
    arrays = [np.ascontiguousarray(each, np.float32) for each in (angles, rotation, result.translation_mm + move)]
    rest = (np.ones(count, np.float32), np.zeros(count, np.int32), np.zeros((count, 0), np.float32))
    pose = Pose(arrays[0], arrays[1], arrays[2], rest[0], rest[1], rest[2])
    moving = [layer.pose_of(rotation, angles), torch.tensor(arrays[2]), torch.ones(count)]
    for each in moving:
        each.requires_grad_()

    def through_autograd() -> Any:
        for each in moving:
            each.grad = None
        total = loss(layer(*moving), target)
        total.sum().backward()
        return total

    expected = sum(objective.terms_and_gradient(pose, level)[0].values())
    np.testing.assert_allclose(through_autograd().detach().numpy(), expected, rtol=1e-4)
    gradients = [each.grad.clone() for each in moving]
    plain = PlainPyTorch(layer, target, target.image(stage.radius_px), config, stage.radius_px)

    def in_plain_pytorch() -> Any:
        for each in moving:
            each.grad = None
        total = plain.whole(loss, *moving)
        total.sum().backward()
        return total

    np.testing.assert_allclose(in_plain_pytorch().detach().numpy(), expected, rtol=1e-3)
    for one, other in zip(gradients, moving, strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-2, atol=1e-2 * float(one.abs().max()))
    calls = {"array ops": lambda: objective.terms_and_gradient(pose, level), "autograd": through_autograd}
    print(f"the whole loss, B = {count}")
    report(take_turns(calls, arguments.rounds, clock), ("autograd", "array ops"))
    calls = {"autograd": through_autograd, "plain PyTorch": in_plain_pytorch}
    report(take_turns(calls, max(10, arguments.rounds // 5), clock), ("plain PyTorch", "autograd"))
    compare_with_plain(layer, layer(*moving).transforms.detach(), target, config, arguments.rounds, clock)


def compare_with_plain(
    layer: Any, transforms: Any, target: Any, config: Config, rounds: int, clock: Callable[[], float]
) -> None:
    """The second comparison, at the transforms (B, J, 3, 4) of the first."""
    radius, coefficients = 5.0, target.coefficients[target.image_index.long()]
    closeness = target.image(radius)
    plain = PlainPyTorch(layer, target, closeness, config, radius)
    moving = [transforms.requires_grad_(), layer.rest.clone().requires_grad_()]

    def with_operators(given: Any, rest: Any) -> Any:
        points = project(skin(given, rest, layer.indices, layer.weights), coefficients)
        joints = skin(given, layer.keypoints, layer.keypoint_joints, layer.ones)
        overlap = collision(joints, layer.bones, config.collision_radius_mm)
        return splat_loss(points, closeness, target.image_index, radius) + overlap / 100

    def timed(call: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            for each in moving:
                each.grad = None
            found = call(*moving)
            found.sum().backward()
            return found

        return run

    gradients = []
    for call in (with_operators, plain):
        found = timed(call)().detach()
        gradients.append([found, *(each.grad.clone() for each in moving)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
    print(f"skin, project, splat at {radius} px, difference and collision, B = {len(transforms)}")
    calls = {"handopt.torch": timed(with_operators), "plain PyTorch": timed(plain)}
    report(take_turns(calls, max(10, rounds // 3), clock), ("plain PyTorch", "handopt.torch"))


if __name__ == "__main__":
    main()
