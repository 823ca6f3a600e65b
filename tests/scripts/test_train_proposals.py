"""Training the proposals: images and labels agree, the kinematics are the rig's, and a tiny run writes a network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.compare import assert_close

from handopt.ops.kinematics import forward_kinematics
from handopt.ops.skinning import skin
from handopt.proposals.features import network_input
from handopt.proposals.network import Network, network_from_arrays
from handopt.rig import default_rig, with_proportions

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

import proposal_augment  # noqa: E402
import proposal_images  # noqa: E402
import proposal_model  # noqa: E402
import train_proposals  # noqa: E402


def read(path: Path) -> Network:
    with np.load(path) as file:
        return network_from_arrays({name: file[name] for name in file.files})


def tensor(values: np.ndarray) -> Any:
    return torch.tensor(values, dtype=torch.float32)


@pytest.fixture(scope="module")
def images() -> proposal_images.Arrays:
    return proposal_images.render_images(proposal_images.sample_poses(20, 4, 1), 100, 4, 1)


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
    found = proposal_model.Skeleton(rig).keypoints(*pose)
    assert_close(found.numpy(), joints, atol=1e-3, reason="float32, and bind matrices that carry 1e-7 of scale")


def test_images_show_the_hands_of_their_labels(images: proposal_images.Arrays) -> None:
    offset, labels = train_proposals.tensors(images, np.arange(100))
    pose = (labels[name] for name in train_proposals.LABELS)
    angles, rotation, wrist, scale, proportions = pose
    joints = proposal_model.Skeleton(default_rig("right")).keypoints(rotation, angles, wrist, scale, proportions)
    seen = ~offset.isnan()
    assert images["offset"].shape == (100, 64, 64)
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


def test_images_do_not_depend_on_the_number_of_processes() -> None:
    poses = proposal_images.sample_poses(5, 1, 1)
    one, two = (proposal_images.render_images(poses, 70, 1, processes) for processes in (1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_quarter_turns_and_shifts_move_labels_along(images: proposal_images.Arrays) -> None:
    offset, labels = train_proposals.tensors(images, np.arange(100))
    moved, changed = proposal_augment._moved(offset, labels, torch.Generator().manual_seed(0))
    skeleton = proposal_model.Skeleton(default_rig("right"))
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


def test_augmentation_keeps_most_of_a_hand(images: proposal_images.Arrays) -> None:
    offset, labels = train_proposals.tensors(images, np.arange(100))
    spoiled, changed = proposal_augment.augment(offset, labels, torch.Generator().manual_seed(0))
    assert changed.keys() == labels.keys()
    area = (~spoiled.isnan()).sum((1, 2)) / (~offset.isnan()).sum((1, 2))
    assert area.min() > 0.1
    assert 0.7 < area.median() < 1.1
    assert np.array_equal(train_proposals.encoded(spoiled).numpy(), network_input(spoiled.numpy()))


def test_the_best_head_learns(rng: np.random.Generator) -> None:
    error = tensor(np.array([[10.0, 40.0, 80.0]])).requires_grad_()
    logit = torch.zeros(1, 3, requires_grad=True)
    proposal_model.loss(error, logit, 2.0).backward()
    assert error.grad is not None
    assert error.grad[0, 0] > 0.99
    proposal_model.loss(error, logit, 30.0).backward()
    assert error.grad[0, 1] > 0.2, "others learn as well at a high temperature"
    assert logit.grad is not None
    assert logit.grad[0].argmin() == 0, "the best head's score rises"


def test_a_tiny_run_writes_the_network_that_it_trained(
    images: proposal_images.Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_proposals, "HELD_OUT", 32)
    monkeypatch.setattr(train_proposals, "BATCH", 16)
    cache, output = tmp_path / "images.npz", tmp_path / "network.npz"
    np.savez(cache, **images)
    arguments = ["--steps", "4", "--heads", "3", "--threads", "1", "--cache", str(cache), "-o", str(output)]
    train_proposals.main(arguments)
    network = read(output)
    assert (network.heads, network.metadata["steps"]) == (3, 4)
    assert network.metadata["held_out"]["best_mm"] > 0
    first = {name: values.tobytes() for name, values in network.weights.items()}
    train_proposals.main(arguments)
    assert first == {name: values.tobytes() for name, values in read(output).weights.items()}, "from the seed"


def test_the_exported_network_computes_what_torch_does(images: proposal_images.Arrays, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = proposal_model.Network(4, 22, (3, 4, 5), 8)
    offset, _ = train_proposals.tensors(images, np.arange(20))
    model.train()
    for _ in range(3):
        model(train_proposals.encoded(offset))
    model.eval()
    options = train_proposals._options(["-o", str(tmp_path / "network.npz")])
    train_proposals.save(model, {}, options)
    with torch.no_grad():
        expected = model(train_proposals.encoded(offset)).numpy()
    network = read(options.output)
    found = network.hypotheses(network.features(network_input(offset.numpy())))
    assert_close(found, expected, of_max=2e-3, reason="weights are stored as float16")
