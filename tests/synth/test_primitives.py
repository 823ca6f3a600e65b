"""Tests of solids: their signed distance against their mesh."""

import numpy as np
import pytest

from handopt.synth.held_objects import KINDS, sample_object
from handopt.synth.primitives import Solid, solid_mesh, tube_faces

SOLIDS = {
    "box": Solid("box", (20.0, 30.0, 40.0), 5.0, (3.0, -2.0, 1.0)),
    "sharp box": Solid("box", (20.0, 30.0, 40.0)),
    "ball": Solid("box", (25.0, 25.0, 25.0), 25.0),
    "cylinder": Solid("cylinder", (20.0, 20.0, 50.0), 4.0, (0.0, 5.0, 0.0)),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_the_meshs_vertices_lie_on_the_surface(name: str) -> None:
    points, faces = solid_mesh(SOLIDS[name])
    assert np.abs(SOLIDS[name].distance(points.astype(np.float32))).max() < 1e-3
    middles = points[faces].mean(axis=1)
    assert np.abs(SOLIDS[name].distance(middles.astype(np.float32))).max() < 1.0


@pytest.mark.parametrize("name", SOLIDS)
def test_the_distance_grows_by_one_for_each_millimetre_away_from_the_surface(name: str) -> None:
    solid = SOLIDS[name]
    rng = np.random.default_rng(0)
    points = rng.uniform(-120.0, 120.0, (400, 3))
    step = 1e-2
    gradient = np.stack(
        [
            (solid.distance((points + step * axis).astype(np.float32)) - solid.distance(points.astype(np.float32)))
            / step
            for axis in np.eye(3)
        ],
        axis=1,
    )
    assert np.median(np.abs(np.linalg.norm(gradient, axis=1) - 1)) < 0.01


def test_a_ball_is_as_far_as_its_centre_less_its_radius() -> None:
    points = np.array([[0.0, 0.0, 0.0], [30.0, 0.0, 0.0], [0.0, -40.0, 30.0]], np.float32)
    np.testing.assert_allclose(SOLIDS["ball"].distance(points), [-25.0, 5.0, 25.0], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_things_are_closed_and_their_shortest_side_is_along_x(kind: str) -> None:
    thing = sample_object(np.random.default_rng(1), kind)
    assert thing.kind == kind
    assert thing.size_mm[0] == min(thing.size_mm)
    assert thing.size_mm[2] == max(thing.size_mm)
    points, faces = thing.mesh()
    assert faces.max() < len(points)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()
    np.testing.assert_allclose(thing.scaled(2.0).mesh()[0], 2 * points, rtol=1e-9)


def test_fans_close_both_ends_of_a_tube() -> None:
    faces = tube_faces(3, 6)
    assert len(faces) == 2 * 2 * 6 + 2 * 4
