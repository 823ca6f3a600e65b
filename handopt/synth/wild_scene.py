"""The scene of an image of level wild: what is in it, where it is, and its clean depth and labels."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from handopt.assess.visibility import visible_joints
from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, BODY, FOREARM, HAND, OBJECT, OTHER_HAND
from handopt.ops.rasterise import rasterise_faces
from handopt.rig import Rig
from handopt.synth.arms import Arm, aimed, arm_mesh, sample_arm, wrist_bend
from handopt.synth.crops import Crop, cropped, patchy, ranged
from handopt.synth.forearm import bend_wrist
from handopt.synth.grasp import Grasp, sample_grasp
from handopt.synth.hand_volume import volume_of
from handopt.synth.poses import LEVELS, HandSample, draw_pose
from handopt.synth.scene import Scene, posed, render_mesh
from handopt.synth.second_hand import SecondHand, sample_second_hand
from handopt.synth.subject import Subject
from handopt.synth.surroundings import (
    Part,
    Wall,
    sample_body,
    sample_table,
    sample_thighs,
    sample_wall,
    upwards,
)
from handopt.synth.viewpoints import View, place_hand, sample_elbow, sample_shoulder, sample_view, turn_to
from handopt.synth.wild_config import CONFIG
from handopt.typing import Bools, FloatImage, Floats, Mask

_CROPS: Final[tuple[Crop, ...]] = ("none", "wrist", "cube")


@dataclass(frozen=True)
class Content:
    """What an image shows. crop: "none", or how a segmentation has cut it; without a forearm it is cut at the wrist."""

    view: View
    held: bool
    other_hand: bool
    forearm: bool
    background: bool
    wall: bool
    table: bool
    body: bool
    thighs: bool
    crop: Crop


@dataclass(frozen=True)
class WildScene:
    """A right hand with everything around it. mask: (H, W) labels of scene.depth; visible: (21,) joints that nothing
    hides; background: whether anything is seen around hands, arms and object; tries: views that were drawn until enough
    of the hand was seen."""

    scene: Scene
    mask: Mask
    hand: HandSample
    visible: Bools
    arm: Arm | None
    grasp: Grasp | None
    other: SecondHand | None
    background: bool
    tries: int


@dataclass(frozen=True)
class _Foreground:
    """The hand, its arm, what it holds and the other hand, in the camera frame."""

    hand: HandSample
    translation: Floats
    vertices: Floats
    joints: Floats
    parts: list[Part]
    shoulder: Floats | None
    elbow: Floats
    other: SecondHand | None

    @property
    def kept_free(self) -> Floats:
        """Points (n, 3) of both hands and of the object, which no table, body or thigh may cut."""
        kept = [part.points for part in self.parts if part.label in (HAND, OBJECT)]
        return np.concatenate(kept if self.other is None else [*kept, self.other.meshes[0][0]])


def sample_content(
    rng: np.random.Generator,
    *,
    held: bool | None = None,
    other_hand: bool | None = None,
    forearm: bool | None = None,
    background: bool | None = None,
) -> Content:
    """Draw what an image shows, but for what is given.

    Images with a second hand are not cropped, and neither are those that have to show something around the hand.
    """
    view = sample_view(rng)
    chance = rng.random(8)
    crop = _CROPS[int(rng.choice(len(_CROPS), p=[CONFIG.crop.shares[name] for name in _CROPS]))]
    if forearm is not None:
        crop = ("none" if crop == "wrist" else crop) if forearm else "wrist"
    other = bool(chance[1] < CONFIG.other_share) if other_hand is None else other_hand
    if other_hand or (background and forearm is not False):
        crop = "none"
    around = bool(chance[2] < CONFIG.background_share) if background is None else background
    around = around and crop != "wrist"
    table = around and bool(chance[4] < CONFIG.table_share[view])
    return Content(
        view=view,
        held=bool(chance[0] < CONFIG.held_share) if held is None else held,
        other_hand=other and crop == "none",
        forearm=crop != "wrist",
        background=around,
        wall=around and bool(chance[3] < CONFIG.wall_share),
        table=table,
        body=around and bool(chance[5] < CONFIG.body_share[view]),
        thighs=around and view == "egocentric" and not table and bool(chance[6] < CONFIG.thighs_share),
        crop=crop,
    )


def sample_scene(rng: np.random.Generator, content: Content, subject: Subject, base: Rig, camera: Camera) -> WildScene:
    """Draw a right hand and everything around it. base: the rig of all subjects. Raises ConfigError.

    Views are drawn anew until enough of the hand is seen, and poses until there is such a view.
    """
    dressed = subject.dress(base)
    factor = min(1.0, CONFIG.coarse_px / camera.width)
    coarse = camera.sized(round(camera.width * factor), max(1, round(camera.height * factor)))
    tries = 0
    for _ in range(CONFIG.poses):
        arm = sample_arm(rng)
        rig = bend_wrist(arm.forearm, dressed)
        angles, gesture, grasp = _pose(rng, content, subject, rig, base)
        for _ in range(CONFIG.views):
            tries += 1
            elbow = sample_elbow(rng, content.view)
            limb = turn_to(elbow, rng.uniform(-np.pi, np.pi))
            arm = aimed(arm, limb.T @ sample_shoulder(rng, content.view))
            wrist = limb @ wrist_bend(arm.forearm).T
            hand = HandSample(subject, angles, wrist @ rig.bind[0, :, :3].T, gesture, tries)
            front = _foreground(rng, content, hand, (base, dressed, rig), arm, grasp, elbow, camera)
            if front is None or not _enough(front, rig, coarse):
                continue
            wild = _rendered(rng, content, front, rig, arm, grasp, camera, tries)
            if content.other_hand == (wild.other is not None):
                return wild
    raise ConfigError(f"something hides the hand in {tries} draws: change seed=")


def _pose(
    rng: np.random.Generator, content: Content, subject: Subject, rig: Rig, base: Rig
) -> tuple[Floats, str, Grasp | None]:
    """Angles (15, 3), the gesture's name, and what the hand holds."""
    if content.held:
        grasp = sample_grasp(rng, rig, base, volume_of(base).of(subject.proportions), subject.scale)
        return grasp.angles_rad, f"hold_{grasp.object.kind}", grasp
    level = LEVELS[int(rng.choice(len(LEVELS), p=[CONFIG.level_share[name] for name in LEVELS]))]
    gesture, angles, _ = draw_pose(rng, level, subject, base, gesture_share=CONFIG.gesture_share)
    return angles, gesture, None


def _foreground(
    rng: np.random.Generator,
    content: Content,
    hand: HandSample,
    rigs: tuple[Rig, Rig, Rig],
    arm: Arm,
    grasp: Grasp | None,
    elbow: Floats,
    camera: Camera,
) -> _Foreground | None:
    """Place a hand with its arm, its object and the other hand; None where the two hands or arms run into each other.

    rigs: of all subjects, dressed for the subject, and with the wrist bent as well
    """
    base, dressed, rig = rigs
    vertices, joints = posed(hand, rig)
    translation = place_hand(rng, vertices, camera)
    vertices, joints = vertices + translation, joints + translation
    parts = [Part(HAND, vertices, rig.faces)]
    points, faces = arm_mesh(arm, rig)
    limb = hand.scale * (points - rig.bind[0, :, 3]) @ hand.rotation.T + translation
    parts.append(Part(FOREARM, limb, faces))
    if grasp is not None:
        points, faces = grasp.mesh()
        turn = hand.rotation @ rig.bind[0, :, :3]
        parts.append(Part(OBJECT, hand.scale * points @ turn.T + translation, faces))
    shoulder = None if arm.upper is None else limb[-1]
    other = None
    if content.other_hand:
        other = sample_second_hand(rng, hand.subject, base, dressed, vertices, parts, camera)
        if other is None:
            return None
        parts += [Part(OTHER_HAND, *mesh) for mesh in other.meshes]
    return _Foreground(hand, translation, vertices, joints, parts, shoulder, elbow, other)


def _enough(front: _Foreground, rig: Rig, camera: Camera) -> bool:
    """Whether enough of the hand is seen, in a coarse image."""
    depth, mask = render_parts(front.parts, camera)
    silhouette = render_mesh(front.vertices, rig.faces, camera) > 0
    if np.count_nonzero(mask == HAND) < CONFIG.least_visible_share * np.count_nonzero(silhouette):
        return False
    return bool(_visible(front.joints, depth, mask, camera, front.hand.scale).sum() >= CONFIG.least_visible_joints)


def _rendered(
    rng: np.random.Generator,
    content: Content,
    front: _Foreground,
    rig: Rig,
    arm: Arm,
    grasp: Grasp | None,
    camera: Camera,
    tries: int,
) -> WildScene:
    """Put the hand into a room, and render all of it."""
    parts, wall = _room(rng, content, front)
    depth, mask = render_parts([*front.parts, *parts], camera)
    if wall is not None:
        beyond = wall_depth(wall, camera)
        behind = (beyond > 0) & ((depth == 0) | (depth > beyond))
        depth, mask = np.where(behind, beyond, depth), np.where(behind, np.uint8(BACKGROUND), mask)
    depth, mask = patchy(rng, depth, mask)
    depth, mask = ranged(rng, depth, mask, front.vertices)
    wrist = front.joints[0]
    depth, mask = cropped(rng, content.crop, depth, mask, camera, wrist, front.elbow, front.vertices, front.hand.scale)
    scene = Scene(
        camera=camera,
        translation=front.translation,
        vertices=front.vertices,
        joints=front.joints,
        depth=depth,
        hand_depth=render_mesh(front.vertices, rig.faces, camera),
    )
    visible = _visible(front.joints, depth, mask, camera, front.hand.scale)
    shown = bool((mask == FOREARM).any())
    other = front.other
    if other is not None:
        seen = _visible(other.joints, depth, mask, camera, front.hand.scale, label=OTHER_HAND)
        enough = np.count_nonzero(mask == OTHER_HAND) >= CONFIG.least_other_px
        other = replace(other, visible=seen) if enough else None
    around = bool(((depth > 0) & ((mask == BACKGROUND) | (mask == BODY))).any())
    return WildScene(scene, mask, front.hand, visible, arm if shown else None, grasp, other, around, tries)


def _room(rng: np.random.Generator, content: Content, front: _Foreground) -> tuple[list[Part], Wall | None]:
    """What is around a hand: a wall where there should be something and nothing else came out."""
    parts: list[Part] = []
    up = upwards(rng, content.view)
    if content.table:
        parts += sample_table(rng, up, front.vertices, front.kept_free, BACKGROUND)
    if content.body:
        parts += sample_body(rng, up, front.kept_free, front.shoulder, BODY)
    if content.thighs:
        parts += sample_thighs(rng, up, front.kept_free, BODY)
    wall = content.wall or (content.background and not parts)
    return parts, sample_wall(rng, np.concatenate([part.points for part in front.parts])) if wall else None


def render_parts(parts: list[Part], camera: Camera) -> tuple[FloatImage, Mask]:
    """Depth (H, W) mm of meshes, 0 where there is none, and the labels (H, W) of what is seen."""
    counts = np.cumsum([0, *(len(part.points) for part in parts)])
    faces = np.concatenate([part.faces + np.int32(first) for part, first in zip(parts, counts, strict=False)])
    points = np.concatenate([part.points for part in parts])
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    surface = rasterise_faces(np.ascontiguousarray(points[None]), faces.astype(np.int32), numbers)
    of_face = np.repeat(np.array([part.label for part in parts], np.uint8), [len(part.faces) for part in parts])
    label = np.append(of_face, np.uint8(BACKGROUND))  # -1: no face
    return np.asarray(surface.depth[0], np.float32), label[surface.face[0]]


def wall_depth(wall: Wall, camera: Camera) -> FloatImage:
    """Depth (H, W) mm of a wall, 0 where it is not seen."""
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)
    slope = np.float32(wall.normal[0]) * x + (np.float32(wall.normal[1]) * y + np.float32(wall.normal[2]))[:, None]
    depth = np.float32(wall.distance) / np.maximum(slope, np.float32(1e-3))
    return np.where(depth < np.float32(CONFIG.farthest_mm), depth, np.float32(0.0))


def _visible(joints: Floats, depth: FloatImage, mask: Mask, camera: Camera, scale: float, label: int = HAND) -> Bools:
    """Which joints (21,) are seen: with no more than their own flesh in front of them, and nothing of other things."""
    pixels = np.rint(camera.project(joints)).astype(int)
    columns, rows = np.clip(pixels[:, 0], 0, camera.width - 1), np.clip(pixels[:, 1], 0, camera.height - 1)
    foreign = [each for each in (HAND, OBJECT, OTHER_HAND, BODY) if each != label]
    return np.asarray(visible_joints(joints, depth, camera, scale) & ~np.isin(mask[rows, columns], foreign))
