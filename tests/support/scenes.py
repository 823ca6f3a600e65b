"""Depth images of hands made of capsules, ray-cast analytically: forearm, body, wall, clutter and a sensor's flaws."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera

Array = NDArray[np.float64]
CAMERA = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
HAND, ARM, BODY, OTHER, WALL = 1, 2, 3, 4, 5
OPEN = (0.1, 0.1, 0.1, 0.1, 0.1)
ARM_MM = 260.0

# Hand frame in mm: x towards the little finger, y from the fingers to the wrist, z away from the camera, 0 in the palm.
WRIST = np.array([0.0, 50.0, 0.0])
KNUCKLES = np.array([[-32.0, -38.0, 0.0], [-11.0, -42.0, 0.0], [11.0, -40.0, 0.0], [31.0, -32.0, 0.0]])
PHALANGES = np.array([[42.0, 25.0, 18.0], [46.0, 29.0, 19.0], [42.0, 27.0, 19.0], [33.0, 20.0, 17.0]])
SPREAD = (-0.16, -0.04, 0.08, 0.22)
THUMB = np.array([[-14.0, 42.0, -4.0], [-40.0, 18.0, -10.0], [-62.0, -8.0, -14.0], [-72.0, -32.0, -16.0]])


def turn(axis: str, angle: float) -> Array:
    """Rotation about an axis."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@dataclass
class Scene:
    """A depth image in the making. labels: what each pixel shows."""

    camera: Camera = CAMERA
    depth_mm: Array = field(init=False)
    labels: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.depth_mm = np.full((self.camera.height, self.camera.width), np.inf)
        self.labels = np.zeros(self.depth_mm.shape, np.int64)

    def capsule(self, start: Array, end: Array, radius: float, label: int) -> None:
        """Ray-cast a capsule; a ball where start and end are one."""
        camera = self.camera
        reach = max(min(start[2], end[2]) - radius, 30.0)
        ends = np.array([[end[0] / end[2], end[1] / end[2]], [start[0] / start[2], start[1] / start[2]]])
        low, high = ends.min(axis=0) - 1.5 * radius / reach, ends.max(axis=0) + 1.5 * radius / reach
        u = np.arange(*np.clip(np.array([low[0], high[0]]) * camera.fx + camera.cx, 0, camera.width).astype(int))
        v = np.arange(*np.clip(np.array([low[1], high[1]]) * camera.fy + camera.cy, 0, camera.height).astype(int))
        if not len(u) or not len(v):
            return
        x, y = np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1)
        self._put(slice(v[0], v[-1] + 1), slice(u[0], u[-1] + 1), _hit_capsule(rays, start, end, radius), label)

    def plane(self, normal: Array, distance: float, label: int) -> None:
        """Fill everything with the plane normal . p = distance."""
        camera = self.camera
        x, y = np.meshgrid(
            (np.arange(camera.width) - camera.cx) / camera.fx, (np.arange(camera.height) - camera.cy) / camera.fy
        )
        slope = x * normal[0] + y * normal[1] + normal[2]
        depth = np.where(slope > 1e-3, distance / np.maximum(slope, 1e-3), np.inf)
        self._put(slice(None), slice(None), np.where(depth < 6000, depth, np.inf), label)

    def hand(
        self,
        center: tuple[float, float, float] = (0.0, 0.0, 500.0),
        rotation: Array | None = None,
        bends: tuple[float, ...] = OPEN,
        *,
        arm: bool = True,
        size: float = 1.0,
    ) -> Array:
        """Put a hand, thumb to the left and fingers up without a rotation. bends: thumb (unused) to little finger, rad.

        Returns the 21 joints in the order of the keypoints.
        """
        place, turned = np.array(center), np.eye(3) if rotation is None else rotation

        def to_camera(points: Array) -> Array:
            return np.asarray(place + size * points @ turned.T)

        joints = [to_camera(WRIST), *to_camera(THUMB)]
        for finger, knuckle in enumerate(KNUCKLES):
            chain = [knuckle]
            for joint, length in enumerate(PHALANGES[finger]):
                pitch = bends[finger + 1] * (joint + 1)
                along = turn("z", SPREAD[finger]) @ np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
                chain.append(chain[-1] + length * along)
            joints += list(to_camera(np.array(chain)))
        for finger in range(5):
            root = joints[0]
            chain = [root, *joints[1 + 4 * finger : 5 + 4 * finger]]
            for bone, radius in enumerate((15.0, 10.0, 9.0, 8.0)):
                self.capsule(chain[bone], chain[bone + 1], size * radius, HAND)
        for near, far in ((5, 9), (9, 13), (13, 17), (2, 17), (2, 5)):
            self.capsule(joints[near], joints[far], size * 12.0, HAND)
        if arm:
            elbow = to_camera(WRIST + np.array([0.0, ARM_MM, 0.0]))
            side = size * turned @ np.array([8.0, 0.0, 0.0])
            for offset in (-side, side):
                self.capsule(joints[0] + offset, elbow + offset, size * 24.0, ARM)
        return np.array(joints)

    def person(self, shoulder: tuple[float, float, float]) -> None:
        """Put a torso and a head under and beside a shoulder."""
        joint = np.array(shoulder)
        chest, hips, neck, crown = (joint + np.array([150.0, y, 60.0]) for y in (60.0, 400.0, -160.0, -200.0))
        self.capsule(chest, hips, 150.0, BODY)
        self.capsule(joint, chest, 55.0, BODY)
        self.capsule(neck, crown, 90.0, BODY)

    def photograph(self, seed: int = 0, *, noise_mm: float = 1.0, flying: float = 0.3, holes: float = 0.006) -> Array:
        """Return the depth image as a sensor sees it, 0 = none: noise, whole mm, flying pixels, holes."""
        rng = np.random.default_rng(seed)
        depth = np.where(np.isfinite(self.depth_mm), self.depth_mm, 0.0)
        depth = np.where(depth > 0, depth + noise_mm * rng.standard_normal(depth.shape), 0.0)
        left = np.roll(depth, 1, axis=1)
        mixed = (np.abs(depth - left) > 30) & (depth > 0) & (left > 0) & (rng.random(depth.shape) < flying)
        share = rng.uniform(0.2, 0.8, depth.shape)
        depth = np.where(mixed, share * depth + (1 - share) * left, depth)
        depth[rng.random(depth.shape) < holes] = 0.0
        return np.rint(depth).astype(np.float32).astype(np.float64)

    def _put(self, rows: slice, columns: slice, depth: Array, label: int) -> None:
        nearer = depth < self.depth_mm[rows, columns]
        self.depth_mm[rows, columns][nearer] = depth[nearer]
        self.labels[rows, columns][nearer] = label


def _hit_capsule(rays: Array, start: Array, end: Array, radius: float) -> Array:
    """Depth at which rays (..., 3) with z = 1 from the origin first meet a capsule, inf where they miss it."""
    depth = np.full(rays.shape[:-1], np.inf)
    squared = np.einsum("...i,...i->...", rays, rays)
    axis = end - start
    length = float(axis @ axis)
    if length > 0:
        along, across = rays @ axis, rays @ start
        a = length * squared - along**2
        b = -length * across + float(axis @ start) * along
        c = length * float(start @ start) - float(axis @ start) ** 2 - radius**2 * length
        inside = b * b - a * c
        t = (-b - np.sqrt(np.maximum(inside, 0))) / np.maximum(a, 1e-9)
        position = t * along - float(axis @ start)
        side = (inside > 0) & (position > 0) & (position < length) & (t > 0)
        depth[side] = t[side]
    for centre in (start, end):
        b = -(rays @ centre)
        inside = b * b - squared * (float(centre @ centre) - radius**2)
        t = (-b - np.sqrt(np.maximum(inside, 0))) / squared
        ball = (inside > 0) & (t > 0) & (t < depth)
        depth[ball] = t[ball]
    return depth


def open_hand(seed: int = 0) -> tuple[Scene, Array]:
    """An open hand with a forearm half a metre before a wall; the scene and its photograph."""
    scene = Scene()
    scene.hand()
    scene.plane(np.array([0.0, 0.0, 1.0]), 900.0, WALL)
    return scene, scene.photograph(seed)
