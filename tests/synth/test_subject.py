"""Tests of random people."""

import numpy as np
import pytest

from handopt.errors import ConfigError
from handopt.rig import PROPORTION_NAMES, default_rig
from handopt.synth.subject import Subject, sample_subject, surface_field

RIG = default_rig("right")


def test_people_differ_within_the_stated_ranges() -> None:
    rng = np.random.default_rng(3)
    people = [sample_subject(rng) for _ in range(400)]
    scales = np.array([person.scale for person in people])
    assert 0.85 <= scales.min() < 0.87
    assert 1.13 < scales.max() <= 1.15
    proportions = np.array([person.proportions for person in people])
    bounds = np.array([0.05 if name.startswith("palm") else 0.08 for name in PROPORTION_NAMES])
    assert (np.abs(proportions) <= bounds).all()
    assert (np.abs(proportions).max(axis=0) > 0.95 * bounds).all()
    assert np.abs(np.corrcoef(proportions.T) - np.eye(len(bounds))).max() < 0.25


@pytest.mark.parametrize("rms_mm", [0.5, 2.0, 4.0])
def test_a_surface_has_its_rms_in_the_size_of_the_hand_and_leaves_the_joints(rms_mm: float) -> None:
    subject = Subject(1.15, np.zeros(13), rms_mm, 8)
    dressed = subject.dress(RIG)
    moved = subject.scale * np.linalg.norm(dressed.rest_mm - RIG.rest_mm, axis=1)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(rms_mm, rel=1e-6)
    np.testing.assert_array_equal(dressed.bind, RIG.bind)


def test_a_surface_is_smooth_but_no_more_than_a_bump_wide() -> None:
    heights = np.einsum("vi,vi->v", surface_field(RIG, 2.0, 5), RIG.normals)
    distance = np.linalg.norm(RIG.rest_mm[:, None] - RIG.rest_mm, axis=2)
    product = heights[:, None] * heights / np.mean(heights**2)

    def correlation(low: float, high: float) -> float:
        return float(product[(distance > low) & (distance <= high)].mean())

    assert correlation(0.0, 5.0) > 0.85
    assert 0.1 < correlation(12.0, 18.0) < 0.75
    assert abs(correlation(50.0, 70.0)) < 0.25


def test_surfaces_differ_by_seed_and_are_mirrored_with_the_rig() -> None:
    first, second = surface_field(RIG, 2.0, 1), surface_field(RIG, 2.0, 2)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.4
    np.testing.assert_allclose(surface_field(RIG.mirrored(), 2.0, 1) * [-1, 1, 1], first, atol=1e-9)


def test_no_surface_is_proportions_alone_and_closes_no_gap() -> None:
    subject = sample_subject(np.random.default_rng(0), 3.0)
    plain = Subject(subject.scale, subject.proportions).dress(RIG)
    assert subject.dress(RIG).is_closed
    assert not np.array_equal(plain.rest_mm, subject.dress(RIG).rest_mm)
    np.testing.assert_array_equal(plain.bind, subject.dress(RIG).bind)


@pytest.mark.parametrize("rms_mm", [-0.1, 4.1, float("nan")])
def test_an_impossible_surface_is_refused(rms_mm: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 4 mm"):
        sample_subject(np.random.default_rng(0), rms_mm)
