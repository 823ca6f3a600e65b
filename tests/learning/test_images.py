"""Images to learn from: they agree with their labels, before and after augmentation; the kinematics are the rig's."""

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.compare import assert_close

from handopt.errors import RigError
from handopt.ops.kinematics import forward_kinematics
from handopt.ops.skinning import skin
from handopt.proposals.features import network_input
from handopt.rig import default_rig, with_default_keypoints, with_proportions

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import augment, images  # noqa: E402
from handopt.learning.encode import encoded, tensors  # noqa: E402
from handopt.learning.losses import LABELS  # noqa: E402
from handopt.learning.people import OnePerson, People  # noqa: E402
from handopt.learning.skeleton import Skeleton  # noqa: E402


def tensor(values: np.ndarray) -> Any:
    return torch.tensor(values, dtype=torch.float32)


@pytest.fixture(scope="module")
def rendered() -> images.Arrays:
    return images.with_unknown_labels(images.render_images(People(images.sample_poses(20, 4, 1)), 100, 4, 1))


def test_keypoints_are_those_of_the_rig(rng: np.random.Generator) -> None:
    rig = default_rig("right")
    proportions = rng.uniform(-0.08, 0.08, 13)
    shaped = with_proportions(rig, proportions)
    angles = rng.uniform(rig.limits.lower, rig.limits.upper, (3, 15, 3))
    rotation, wrist = Rotation.random(3, random_state=1).as_matrix(), rng.normal(0, 50, (3, 3))
    scale = np.array([0.9, 1.0, 1.1])
    transforms = forward_kinematics(angles, rotation, wrist, scale, rig.parents, rig.articulated, shaped.bind)
    joints = skin(transforms, np.array(shaped.keypoints_mm), np.array(rig.keypoint_joints)[:, None], np.ones((21, 1)))
    pose = (tensor(values) for values in (rotation, angles, wrist, scale, np.tile(proportions, (3, 1))))
    found = Skeleton(rig).keypoints(*pose)
    assert_close(found.numpy(), joints, atol=1e-3, reason="float32, and bind matrices that carry 1e-7 of scale")


def test_images_show_the_hands_of_their_labels(rendered: images.Arrays) -> None:
    views, labels = tensors(rendered)
    offset = views.offset
    pose = (labels[name] for name in LABELS)
    rotation, angles, wrist, scale, proportions = pose
    joints = Skeleton(default_rig("right")).keypoints(rotation, angles, wrist, scale, proportions)
    seen = ~offset.isnan()
    assert rendered["offset"].shape == (100, 64, 64)
    assert (seen.sum((1, 2)) >= 150).all()
    assert offset[seen].abs().max() < 120
    middle = torch.stack([joints[..., axis].mean(1) for axis in range(3)], dim=1)
    assert middle.norm(dim=1).median() < 45, "the view is centred on the hand"
    # The joints lie on the hand's pixels or beside them, 0 to 40 mm below the skin, were they not hidden or cut off.
    column, row = ((joints[..., axis] / 3.75 + 31.5).round().long().clamp(0, 63) for axis in range(2))
    skin_mm = offset[torch.arange(100)[:, None], row, column]
    below = joints[..., 2] - skin_mm
    assert (below[~below.isnan()] > -15).float().mean() > 0.95
    assert (~below.isnan()).float().mean() > 0.7
    # A joint that is visible has no more than its own flesh before it.
    visible = torch.from_numpy(rendered["visible"])
    known = ~below.isnan()
    assert known[visible].float().mean() > 0.93, "but for perspective: 0.94 to 0.96, for five seeds"
    assert (below[visible & known] < 25).float().mean() > 0.97
    assert (below[~visible & known] > 8).float().mean() > 0.95
    assert 0.3 < visible.float().mean() < 0.95


def test_images_do_not_depend_on_the_number_of_processes() -> None:
    poses = images.sample_poses(5, 1, 1)
    one, two = (images.render_images(People(poses), 70, 1, processes) for processes in (1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_images_of_a_person_show_hands_like_theirs_some_as_frames_have_shown_them() -> None:
    poses, shown = images.sample_poses(20, 2, 1), images.sample_poses(3, 3, 1)
    turns = Rotation.random(3, random_state=1).as_matrix()
    person = OnePerson(poses, 0.7, np.full(13, 0.1), shown, turns)
    rendered = images.render_images(person, 512, 4, 1)
    size = np.log(rendered["scale"] / 0.7)
    assert 0.01 < size.std() < 0.05
    assert abs(size.mean()) < 0.01
    off = np.abs(rendered["proportions"] - 0.1)
    assert 0 < off.mean() < 0.03
    away = np.abs(rendered["angles"][:, None] - shown).mean(axis=(2, 3)).min(axis=1)
    assert 0.2 < (away < 0.06).mean() < 0.8, "the other poses are any"
    palm = np.linalg.norm(rendered["keypoints"][:, 9] - rendered["keypoints"][:, 0], axis=-1)
    generic = default_rig("right").keypoints_mm
    assert abs(np.median(palm) / np.linalg.norm(generic[9] - generic[0]) - 0.7) < 0.1


def test_there_are_as_many_images_as_asked_for_however_small_the_hands_are(monkeypatch: pytest.MonkeyPatch) -> None:
    poses = images.sample_poses(20, 2, 1)
    person = OnePerson(poses, 0.6, np.zeros(13), poses, Rotation.random(20, random_state=1).as_matrix())
    monkeypatch.setattr(images, "MIN_AREA_PX", 300)
    rendered = images.render_images(person, 256, 4, 1)
    assert len(rendered["scale"]) == 256
    assert ((rendered["offset"] != images.EMPTY).sum(axis=(1, 2)) >= 100).all()


def test_keypoints_that_are_no_joints_are_refused() -> None:
    with pytest.raises(RigError, match="a network learns joints, and its keypoints lie elsewhere: use keypoints rig"):
        Skeleton(with_default_keypoints(default_rig("right")))


def test_quarter_turns_and_shifts_move_labels_along(rendered: images.Arrays) -> None:
    views, labels = tensors(rendered)
    shifted, changed = augment._moved(views, labels, torch.Generator().manual_seed(0))
    offset, moved = views.offset, shifted.offset
    skeleton = Skeleton(default_rig("right"))
    names = ("rotation", "angles", "wrist", "scale", "proportions")
    before, after = (skeleton.keypoints(*(each[name] for name in names)) for each in (labels, changed))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for turns, rows in enumerate(np.array_split(np.arange(100), 4)):
        turned = before[rows].numpy() @ np.linalg.matrix_power(quarter, turns).T
        shift = after[rows].numpy() - turned
        assert np.abs(shift - shift.mean(axis=1, keepdims=True)).max() < 1e-3
        # The image of each hand has moved as far as its joints.
        for row, by in zip(rows, shift.mean(axis=1), strict=True):
            for axis, pixels in ((0, (1, 0)), (1, (0, 1))):
                centres = []
                for image, k in ((offset[row].numpy(), turns), (moved[row].numpy(), 0)):
                    spots = np.argwhere(~np.isnan(image))[:, ::-1] - 31.5
                    centres.append(spots @ np.linalg.matrix_power(quarter[:2, :2], k).T @ pixels)
                if len(centres[0]) == len(centres[1]):
                    assert abs(centres[1].mean() - centres[0].mean() - by[axis] / 3.75) < 1.5


def test_augmentation_keeps_most_of_a_hand(rendered: images.Arrays) -> None:
    views, labels = tensors(rendered)
    spoiled, changed = augment.augment(views, labels, torch.Generator().manual_seed(0))
    assert changed.keys() == labels.keys()
    area = (~spoiled.offset.isnan()).sum((1, 2)) / (~views.offset.isnan()).sum((1, 2))
    assert area.min() > 0.1
    assert 0.7 < area.median() < 1.1
    assert np.array_equal(encoded(spoiled).numpy(), network_input(spoiled.offset.numpy()))
