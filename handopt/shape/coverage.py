"""How well images cover the skin: how often each vertex is visible, and how frontally."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.typing import Faces, Floats

if TYPE_CHECKING:
    from handopt.observation.observation import Observation


@dataclass(frozen=True)
class CoverageConstants:
    """When images show a vertex. Chosen by hand."""

    same_surface_mm: float = 4.0  # how far a vertex may lie behind what its ray hits first; twice that off the depth
    half_confidence: float = 1.0  # frontal views of a vertex that make its confidence 1/2
    covered: float = 0.2  # frontal views from which on a vertex counts as covered


CONSTANTS: Final = CoverageConstants()


def frontal_views(vertices_mm: Sequence[Floats], faces: Faces, observations: "Sequence[Observation]") -> Floats:
    """The number of views of each vertex (V,), each counted by the cosine of its angle to the surface.

    vertices_mm: (V, 3) in the camera frame of each image. A view counts where the vertex is the first thing on its ray,
    and the image has measured the hand there at about the same depth.
    """
    import igl

    from handopt.ops.rasterise import rasterise

    views, whole = np.zeros(len(vertices_mm[0])), faces.astype(np.int64)
    for posed, observation in zip(vertices_mm, observations, strict=True):
        camera = observation.camera
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        nearest = rasterise(np.ascontiguousarray(posed[None]), np.ascontiguousarray(faces), numbers)[0]
        pixels = np.rint(np.asarray(camera.project(posed))).astype(int)
        column, row = np.clip(pixels[:, 0], 0, camera.width - 1), np.clip(pixels[:, 1], 0, camera.height - 1)
        inside = (pixels[:, 0] == column) & (pixels[:, 1] == row)
        measured = observation.depth_mm[row, column]
        hit = inside & (posed[:, 2] < nearest[row, column] + CONSTANTS.same_surface_mm) & observation.mask[row, column]
        hit &= np.abs(posed[:, 2] - measured) < 2 * CONSTANTS.same_surface_mm
        towards = -posed / np.linalg.norm(posed, axis=1, keepdims=True)
        views += hit * np.maximum(
            0, np.einsum("vc,vc->v", igl.per_vertex_normals(np.ascontiguousarray(posed), whole), towards)
        )
    return views


def confidence_of(views: Floats) -> Floats:
    """Confidence (V,) of vertices with so many frontal views (V,): 0 without any, towards 1 with many."""
    return np.asarray(views / (views + CONSTANTS.half_confidence))
