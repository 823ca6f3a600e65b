"""Images whose pixels are labelled: they agree with their poses, and the pool draws them beside others."""

import numpy as np
import pytest
from support.compare import assert_close

from handopt.rig import default_rig

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import augment  # noqa: E402
from handopt.learning.encode import encoded, tensors  # noqa: E402
from handopt.learning.image_pool import ImagePool  # noqa: E402
from handopt.learning.images import EMPTY, Arrays  # noqa: E402
from handopt.learning.labelled_images import labelled_images  # noqa: E402
from handopt.learning.losses import LABELS  # noqa: E402
from handopt.learning.settings import TrainSettings  # noqa: E402
from handopt.learning.skeleton import Skeleton  # noqa: E402
from handopt.proposals.features import from_view  # noqa: E402


@pytest.fixture(scope="module")
def made() -> Arrays:
    return labelled_images(40, (3, 0, 0))


def test_the_same_block_is_made_again(made: Arrays) -> None:
    again = labelled_images(12, (3, 0, 0))
    assert all(np.array_equal(again[name], made[name][:12]) for name in made)
    other = labelled_images(12, (3, 0, 1))
    assert not np.array_equal(other["offset"], again["offset"])


def test_keypoints_are_those_of_the_pose(made: Arrays) -> None:
    """A left hand is shown as the right hand of the mirror image, and a turned view turns the pose as well."""
    pose = (torch.from_numpy(made[name]) for name in LABELS)
    joints = Skeleton(default_rig("right")).keypoints(*pose).numpy()
    assert_close(joints[..., 2], made["keypoints"][..., 2], atol=0.05, reason="depth from the centre; float32")
    away = from_view(made["keypoints"].astype(np.float64), 600.0) - joints - [0.0, 0.0, 600.0]
    assert np.linalg.norm(away, axis=-1).mean() < 5, "the same but for the distance, of which the arrays say nothing"


def test_labels_tell_the_hand_from_other_things(made: Arrays) -> None:
    seen, measured = made["offset"] != EMPTY, made["measured"] != EMPTY
    assert (measured | ~seen).all()
    assert (made["offset"][seen] == made["measured"][seen]).all()
    assert (made["labels"][~measured] == 0).all()
    hand, thing = made["labels"][seen][:, 0].mean() / 255, made["labels"][measured & ~seen][:, 0].mean() / 255
    assert hand > 0.8 > 0.3 > thing
    assert made["labels"][..., 2].max() > 200, "objects are seen"
    assert 0.5 < made["visible"].mean() < 0.98


def test_most_of_a_labelled_view_stays_as_it_is(made: Arrays) -> None:
    views, labels = tensors(made)
    assert views.labelled.all()
    worn, _ = augment.augment(views, labels, torch.Generator().manual_seed(3))
    known = worn.labelled
    assert 0.7 < known.float().mean() < 1, "a few views lose their labels"
    area = (~worn.offset.isnan()).sum((1, 2)) / (~views.offset.isnan()).sum((1, 2))
    assert area.median() > 0.9
    image = encoded(worn)
    assert (image[~known][..., 2:] == 0).all()
    assert (image[known][..., 2].amax((1, 2)) > 0.5).float().mean() > 0.9
    assert image.isfinite().all()


def test_a_batch_has_both_kinds() -> None:
    settings = TrainSettings(
        batch=10, block_images=16, block_poses=4, first_blocks=1, pool_blocks=2, labelled_share=0.3, labelled_images=6
    )
    with ImagePool(settings, 5, 0) as pool:
        batch = pool.batch(0)
        held_out = pool.labelled_held_out()
    labelled = tensors(batch)[0].labelled.tolist()
    assert labelled == [False] * 7 + [True] * 3
    assert held_out is not None
    assert tensors(held_out)[0].labelled.all()
    with ImagePool(TrainSettings(labelled_share=0.0), 5, 0) as pool:
        assert pool.labelled_held_out() is None
