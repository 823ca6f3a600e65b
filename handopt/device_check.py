"""A small fit on each device, compared with the same one in double precision on the CPU."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handopt.assets import asset
from handopt.backend import Device, cuda_devices, to_device, to_numpy, using
from handopt.config import Config, LMSettings
from handopt.errors import DeviceError, KernelError
from handopt.hand_model import Hand, Pose
from handopt.input.camera import Camera
from handopt.input.depth import read_depth
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import build_targets
from handopt.observation.observation import Observation
from handopt.observation.observe import observe
from handopt.optimise.pose_fit import fit_poses
from handopt.rig import default_rig
from handopt.typing import Floats

EXAMPLE: Final = "examples/open"
TOLERANCE_MM: Final = 0.1
"""Largest distance of a joint that counts as right: single precision moves it by about 0.001 mm."""
_TURNED_RAD, _MOVED_MM = 0.15, 8.0  # how far from the true pose the fit starts
_SETTINGS = LMSettings(iterations=15, sigma_mm=20.0)


@dataclass(frozen=True)
class DeviceCheck:
    """What the check of one device found. distance_mm: of the worst joint, None where problem says why not."""

    device: str
    distance_mm: float | None
    problem: str | None

    @property
    def is_right(self) -> bool:
        """Whether the device can be trusted."""
        return self.problem is None


def check_devices() -> Iterator[DeviceCheck]:
    """Check the CPU and each GPU: the joints of a short fit of an image that comes with handopt."""
    devices = [Device("cpu"), *(Device("cuda", index) for index in range(cuda_devices()))]
    observation, start = _example()
    expected = _fitted(Device("cpu"), np.float64, observation, start)
    for device in devices:
        try:
            with using(device):
                apart = _fitted(device, np.float32, observation, start) - expected
            distance = float(np.linalg.norm(apart, axis=1).max())
        except (DeviceError, KernelError) as error:
            yield DeviceCheck(str(device), None, str(error))
            continue
        is_close = distance <= TOLERANCE_MM  # not so for NaN
        problem = None if is_close else f"a joint is {distance:.3g} mm from where double precision has it"
        yield DeviceCheck(str(device), distance, problem)


def _example() -> tuple[Observation, dict[str, Floats]]:
    """The hand in an example, and a pose that is not far from its own."""
    said: dict[str, Any] = json.loads(asset(f"{EXAMPLE}.json").read_text(encoding="utf-8"))
    depth = read_depth(asset(f"{EXAMPLE}.png"), unit=said["unit_mm"])
    pose = {
        "angles": np.array([said["angles_rad"]]) + _TURNED_RAD * (np.arange(45).reshape(1, 15, 3) % 2),
        "rotation": np.array([said["rotation"]]),
        "translation": np.array([said["translation_mm"]]) + _MOVED_MM,
        "scale": np.ones(1),
    }
    return observe(depth.depth_mm, Camera(**said["camera"]))[0], pose


def _fitted(device: Device, dtype: type, observation: Observation, start: dict[str, Floats]) -> Floats:
    """Joints (21, 3) mm of the fit."""
    config, rig = Config(), default_rig("right")
    crop = observation.crop(config.crop_px, config.crop_half_mm)
    rng = np.random.default_rng(0)
    targets = build_targets([(observation, crop, False)], rig.vertex_spacing_mm, config, rng, device, dtype)
    hand = Hand.of(rig, device, dtype)
    real = {name: to_device(values, device, dtype) for name, values in start.items()}
    image, proportions = to_device(np.zeros(1), device, np.int32), to_device(np.zeros((1, 0)), device, dtype)
    pose = Pose(**real, image=image, proportions=proportions)
    found = fit_poses(LeastSquares(hand, targets, config), pose, _SETTINGS)
    return np.asarray(to_numpy(hand.joints(hand.transforms(found.state)))[0], np.float64)
