"""A right hand with its forearm before a background, as a clean depth image of its triangles."""

from dataclasses import dataclass

import numpy as np

from handopt.assess.visibility import visible_joints
from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.ops.rasterise import rasterise
from handopt.rig import Rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.synth.background import Background, sample_background
from handopt.synth.config import SYNTH
from handopt.synth.forearm import Forearm, bend_wrist, forearm_mesh
from handopt.synth.poses import HandSample
from handopt.typing import Bools, FloatImage, Floats, Ints

_CONFIG = SYNTH.scene


@dataclass(frozen=True)
class Scene:
    """A posed hand and what is around it, in the camera frame, mm.

    translation: (3,) of the wrist. vertices: (V, 3); joints: (21, 3); depth, hand_depth: (H, W) mm of everything and
    of the hand alone, 0 where there is nothing
    """

    camera: Camera
    translation: Floats
    vertices: Floats
    joints: Floats
    depth: FloatImage
    hand_depth: FloatImage

    @property
    def visible_share(self) -> float:
        """The part of the hand's silhouette that the forearm does not hide."""
        silhouette = self.hand_depth > 0
        seen = silhouette & (np.abs(self.depth - self.hand_depth) < _CONFIG.same_mm)
        return float(seen.sum() / max(silhouette.sum(), 1))

    def shows_enough(self, scale: float) -> bool:
        """Whether enough of the hand is in view that somebody could tell its pose."""
        enough = self.visible_share >= _CONFIG.min_visible_share
        return bool(enough and self.visible(scale).sum() >= _CONFIG.min_visible_joints)

    def visible(self, scale: float) -> Bools:
        """Which joints (21,) are seen: those with no more than their own flesh in front of them."""
        return visible_joints(self.joints, self.depth, self.camera, scale)


def build_scene(
    rng: np.random.Generator,
    hand: HandSample,
    rig: Rig,
    camera: Camera,
    *,
    forearm: Forearm | None = None,
    background: bool = False,
) -> Scene:
    """Place a hand at random in the image, and render it with its surroundings.

    rig: the right hand dressed for the hand's subject. Raises ConfigError where the image is too small for a hand.
    """
    vertices, joints = posed(hand, rig if forearm is None else bend_wrist(forearm, rig))
    translation = place(rng, vertices, joints, camera)
    around = sample_background(rng, vertices + translation) if background else None
    return compose(hand, rig, camera, translation, forearm, around)


def compose(
    hand: HandSample,
    rig: Rig,
    camera: Camera,
    translation: Floats,
    forearm: Forearm | None = None,
    around: Background | None = None,
) -> Scene:
    """Render a hand whose wrist is at a place (3,) of the camera frame, mm, with what is around it.

    rig: the right hand dressed for the hand's subject
    """
    vertices, joints = posed(hand, rig if forearm is None else bend_wrist(forearm, rig))
    vertices, joints = vertices + translation, joints + translation
    points, faces = vertices, rig.faces
    if forearm is not None:
        tube, tube_faces = forearm_mesh(forearm, rig)
        arm = hand.scale * (tube - rig.bind[0, :, 3]) @ hand.rotation.T + translation
        arm[:, 2] = np.maximum(arm[:, 2], _CONFIG.nearest_arm_mm)
        faces = np.concatenate([faces, tube_faces + np.int32(len(points))])
        points = np.concatenate([points, arm])
    return Scene(
        camera=camera,
        translation=translation,
        vertices=vertices,
        joints=joints,
        depth=_render(points, faces, camera, around),
        hand_depth=render_mesh(vertices, rig.faces, camera),
    )


def posed(hand: HandSample, rig: Rig) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and joints (21, 3) of a hand whose wrist is at the origin of the camera frame, mm."""
    transforms = joint_transforms(rig, hand.rotation[None], np.zeros((1, 3)), hand.angles_rad[None], [hand.scale])
    angles = hand.angles_rad[None]
    return posed_vertices(rig, transforms, angles)[0], posed_keypoints(rig, transforms, angles)[0]


def place(rng: np.random.Generator, vertices: Floats, joints: Floats, camera: Camera) -> Floats:
    """Draw a translation (3,) that keeps a hand's vertices (V, 3) inside the image, farther away if need be.

    Raises ConfigError where no distance up to 2.5 m does.
    """
    middle = joints.mean(axis=0)
    distance = float(rng.uniform(*_CONFIG.distance_mm))
    spot = rng.uniform(0.0, 1.0, 2)
    size = np.array([camera.width - 1, camera.height - 1], np.float64)
    while distance < _CONFIG.farthest_mm:
        pixel = size / 2
        for _ in range(_CONFIG.placing_rounds):
            ray = np.array([(pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy, 1.0])
            translation = distance * ray - middle
            seen = np.asarray(camera.project(vertices + translation))
            low, high = seen.min(axis=0) - pixel, seen.max(axis=0) - pixel
            first, last = _CONFIG.margin_px - low, size - _CONFIG.margin_px - high
            if not (first <= last).all():  # NaN where a vertex is behind the camera
                break
            wanted = first + spot * (last - first)
            if np.abs(wanted - pixel).max() < _CONFIG.placed_px:
                return np.asarray(translation)
            pixel = wanted
        distance *= _CONFIG.farther
    raise ConfigError(
        f"a hand does not fit into the image of {camera.width} x {camera.height} pixels with {_CONFIG.margin_px:g} "
        "around it: change camera="
    )


def render_mesh(points: Floats, faces: Ints, camera: Camera) -> FloatImage:
    """FloatImage (H, W) of triangles, mm, 0 where there are none."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return np.asarray(rasterise(np.ascontiguousarray(points[None]), faces, numbers)[0], np.float32)


def _render(points: Floats, faces: Ints, camera: Camera, around: Background | None) -> FloatImage:
    if around is None:
        return render_mesh(points, faces, camera)
    faces = np.concatenate([faces, around.faces + np.int32(len(points))])
    depth = render_mesh(np.concatenate([points, around.points]), faces, camera)
    plane = around.plane_depth(camera)
    return np.where((depth > 0) & ((plane == 0) | (depth < plane)), depth, plane)
