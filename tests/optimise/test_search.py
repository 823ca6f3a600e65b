"""What a search tells of the votes of the network of proposals, for right and left hands and other sizes."""

from typing import Any

import numpy as np
import pytest
from support.compare import assert_close
from support.examples import example

from handopt.assess.confidence import USUAL_VOTE_DISTANCE
from handopt.config import Config
from handopt.fitting import fit
from handopt.objective.targets import FitTargets, build_targets
from handopt.observation.other_pixels import OtherPixels
from handopt.optimise import search as module
from handopt.optimise.search import SearchResult
from handopt.optimise.second_looks import read_twice
from handopt.optimise.views import CroppedObservation
from handopt.proposals.propose import propose_and_look
from handopt.proposals.voted_poses import VotedJoints
from handopt.result import FitResult
from handopt.synth.wild import WildSettings, generate_wild


def fitted(mirrored: bool) -> tuple[FitResult, SearchResult]:
    """A fit of an example or of its mirror image, and what its search has found."""
    found: list[SearchResult] = []
    plain = module.ImageSearch.run

    def run(self: Any) -> Any:
        found.append((yield from plain(self)))
        return found[-1]

    seen = example("open")
    depth, camera = seen.depth_mm, seen.camera
    if mirrored:
        depth, camera = np.ascontiguousarray(depth[:, ::-1]), camera.mirrored()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.ImageSearch, "run", run)
        result = fit(depth, camera, hand="left" if mirrored else "right", device="cpu")
    return result, found[0]


def test_a_left_hand_is_as_far_from_the_votes_as_its_mirror_image() -> None:
    distances = []
    for result, found in (fitted(mirrored=False), fitted(mirrored=True)):
        assert found.voted is not None
        assert np.linalg.norm(found.voted.places_mm - result.joints_mm, axis=1).mean() < 12.0, "in the image's frame"
        assert result.confidence_features.vote_distance == found.voted.distance(
            result.joints_mm, result.joint_visible
        ), "of the visible joints"
        distances.append(result.confidence_features.vote_distance)
    assert distances[0] == pytest.approx(distances[1], abs=0.1)
    assert 0 < distances[0] < 1


def test_the_votes_of_a_reading_of_another_size_are_rescaled_with_its_hand() -> None:
    _, found = fitted(mirrored=False)
    assert found.voted is not None
    larger = found.rescaled(1.3)
    assert larger.voted is not None
    assert_close(larger.voted.places_mm, 1.3 * found.voted.places_mm, of_max=1e-12, reason="float64")
    ratio = larger.voted.distance(larger.best.joints_mm) / found.voted.distance(found.best.joints_mm)
    assert 1 < ratio < 1.3, "distances and radii have grown alike, but for the least distance"
    assert found.rescaled(1.0) is found


def test_without_proposals_there_are_no_votes() -> None:
    seen = example("open")
    result = seen.fit(config=Config(), start=seen.truth)
    assert result.confidence_features.vote_distance == USUAL_VOTE_DISTANCE
    assert seen.fit().confidence_features.vote_distance == USUAL_VOTE_DISTANCE, "gradient descent"


def test_a_second_search_looks_twice_at_held_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rendered hand that holds something: what the second look sees is what the search compares poses with."""
    seen = []

    def remembered(*given: Any, **how: Any) -> list[OtherPixels]:
        seen.append(read_twice(*given, **how))
        return seen[-1]

    targets = []

    def remembered_targets(views: list[CroppedObservation], *given: Any, **voted: Any) -> FitTargets:
        targets.append((views, voted["voted"]))
        return build_targets(views, *given, **voted)

    monkeypatch.setattr(module, "read_twice", remembered)
    monkeypatch.setattr(module, "build_targets", remembered_targets)
    results = []
    for index in range(6):
        sample = generate_wild(WildSettings(seed=990101, held=True), index).sample
        results.append(fit(sample.counts.astype(np.float32), sample.scene.camera, device="cpu"))
    found = [each for several in seen for each in several]
    again = [each for each in found if each.reading.wider is not None]
    assert again
    assert all(each.evidence is not None for each in again)
    assert any(result.observation.holds == "object" for result in results)
    for result in results:
        other = result.observation.other
        assert other is None or not (other & result.observation.mask).any(), "what is the hand's is nothing else"
    assert_votes_of_all_views_where_some_are_labelled(targets)


def assert_votes_of_all_views_where_some_are_labelled(
    targets: list[tuple[list[CroppedObservation], dict[int, VotedJoints]]],
) -> None:
    labelled = 0
    for views, voted in targets:
        known = any(observation.labels is not None for observation, _, _ in views)
        labelled += known
        assert set(voted) == (set(range(len(views))) if known else set())
        for number, joints in voted.items():
            observation, _, mirrored = views[number]
            seen = propose_and_look(observation.mirrored() if mirrored else observation, 24)[1]
            assert_close(
                joints.places_mm, seen.places_mm, atol=1e-6, reason="in the frame of the targets, a right hand"
            )
            assert_close(joints.radius_mm, seen.radius_mm, rtol=1e-6, reason="the same look")
    assert labelled


def test_votes_are_joints_with_radii() -> None:
    _, found = fitted(mirrored=False)
    assert isinstance(found.voted, VotedJoints)
    assert found.voted.places_mm.shape == (21, 3)
    assert (found.voted.radius_mm > 0).all()
