"""Depth images as what the losses compare posed hands with, in tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from handopt.backend import Device
from handopt.config import Config
from handopt.errors import HandoptError, ShapeError
from handopt.input.camera import Camera
from handopt.objective.descent_objective import MAX_POINTS
from handopt.objective.targets import FitTargets, build_targets
from handopt.observation.observation import Observation
from handopt.observation.observe import observe
from handopt.rig import Rig, default_rig
from handopt.torch.arrays import Tensor
from handopt.torch.image_ops import render_depth


@dataclass(frozen=True, eq=False)
class DepthTarget:
    """I observed hands in the camera frame, and which of them each of B poses is compared with.

    image_index: (B,) int32; points: (I, N, 3) mm on the hand; coefficients: (I, 6) of each crop, as in project
    splats: (I, M, 3) crop coordinates; field: (I, S, S) mm, distance to where the hand may be; mm_per_px: (I,)
    weight: (I, S, S) of each pixel in the depth loss; centre: (I, 3) mm, of the palm
    size: S, the crop's side in pixels
    """

    image_index: Tensor
    points: Tensor
    coefficients: Tensor
    splats: Tensor
    field: Tensor
    mm_per_px: Tensor
    weight: Tensor
    centre: Tensor
    size: int
    _images: dict[float, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        depths_mm: Sequence[Any],
        cameras: Camera | Sequence[Camera],
        *,
        masks: Sequence[Any] | None = None,
        centers: Sequence[Any] | None = None,
        rig: Rig | None = None,
        config: Config | None = None,
        seed: int = 0,
        dtype: Any = torch.float32,
        device: Any = "cpu",
    ) -> "DepthTarget":
        """Find the hand in each depth image, as handopt.fit does, and keep what the losses need.

        depths_mm: I images (H, W) mm, 0 where there is no measurement, tensors or arrays; cameras: one, or one of each
        masks, centers: of each image what handopt.fit takes as mask and center, None where it is not known
        rig: whose vertices the rendered observation is as dense as, the default one if None; seed: of the points drawn
        Raises ObservationError, which names the image, where no hand is found, and what handopt.fit raises for images
        and cameras that make no sense.
        """
        config, count = config or Config(), len(depths_mm)
        cameras = [cameras] * count if isinstance(cameras, Camera) else list(cameras)
        hints = {"cameras": cameras, "masks": masks or [None] * count, "centers": centers or [None] * count}
        for name, given in hints.items():
            if len(given) != count:
                raise ShapeError(f"{name}: expected one for each of {count} images, got {len(given)}")
        if count == 0:
            raise ShapeError("depths_mm: expected at least one image")
        observed = [_observed(i, depths_mm[i], *(each[i] for each in hints.values())) for i in range(count)]
        views = [(each, each.crop(config.crop_px, config.crop_half_mm), False) for each in observed]
        rng, spacing = np.random.default_rng(seed), (rig or default_rig("right")).vertex_spacing_mm
        targets = build_targets(views, spacing, config, rng, Device("cpu"), np.float64)
        return cls.from_fit(targets, dtype, device)

    @classmethod
    def from_fit(cls, targets: FitTargets, dtype: Any = torch.float32, device: Any = "cpu") -> "DepthTarget":
        """The targets of a fit as tensors, one pose for each image."""
        names = [each.name for each in fields(cls) if each.name not in ("image_index", "size", "_images")]
        tensors = {name: torch.as_tensor(getattr(targets, name)).to(device, dtype) for name in names}
        index = torch.arange(len(targets.points), dtype=torch.int32, device=device)
        return cls(image_index=index, size=targets.size, **tensors)

    def __len__(self) -> int:
        return len(self.image_index)

    def to(self, *where: Any) -> "DepthTarget":
        """The same target on another device or in another precision."""
        whole = ("size", "_images")
        moved = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in whole}
        moved = {name: tensor.to(*where) for name, tensor in moved.items()}
        moved["image_index"] = moved["image_index"].to(torch.int32)
        return replace(self, **moved, _images={})

    def select(self, rows: Sequence[int] | Tensor) -> "DepthTarget":
        """The target for other poses: rows (B,) of this one, each as often as it is named. Images are not copied."""
        rows = torch.as_tensor(rows, device=self.image_index.device)
        return replace(self, image_index=self.image_index[rows].contiguous())

    def compared(self, radius_px: float) -> tuple[Tensor, ...]:
        """What hand_terms compares hands with; of the points at most 1000, as handopt's gradient descent."""
        image, points = self.image(radius_px), self.points[:, :MAX_POINTS].contiguous()
        return self.image_index, self.coefficients, image, self.field, self.mm_per_px, self.weight, points

    def image(self, radius_px: float) -> Tensor:
        """Observed closeness (I, S, S), splatted like the model (why: kernels/README.md). It is made once."""
        if radius_px not in self._images:
            with torch.no_grad():
                self._images[radius_px] = render_depth(self.splats, radius_px, self.size)[0]
        return self._images[radius_px]


def _observed(number: int, depth_mm: Any, camera: Camera, mask: Any, center: Any) -> Observation:
    """The most plausible hand of an image. Raises what observe raises, with the image's number."""
    depth = np.asarray(depth_mm.detach().cpu() if isinstance(depth_mm, torch.Tensor) else depth_mm)
    try:
        return observe(depth, camera, mask=mask, center=center)[0]
    except HandoptError as error:
        raise type(error)(f"image {number}: {error}") from error
