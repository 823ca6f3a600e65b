"""What is expected of a hand's surface before it is seen: a smooth random field, alike on opposite sides."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.typing import Floats

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from handopt.rig import Rig


SIGMA_MM: Final = 2.0
"""Standard deviation of the surface's distance from what scale and proportions make of the generic hand."""
RANGE_MM: Final = 28.0
"""Distance along the skin at which two offsets are hardly related any more (correlation 0.14)."""
SLIDE_MM: Final = 0.8
"""Standard deviation of offsets along the skin, which images hardly show."""
OPPOSITE_MM: Final = 2.5
"""Standard deviation of the difference of the offsets of opposite sides of a finger or the palm."""
MAX_THROUGH_MM: Final = 40.0
_LEAST_AREA = 0.2  # of the mean; an obtuse sliver's share of the surface can be next to nothing


@dataclass(frozen=True)
class SurfacePrior:
    """precision: (3 V, 3 V), half of whose quadratic form is the negative logarithm of an offset field's density."""

    precision: "csc_array"

    def cost(self, offsets_mm: Floats) -> float:
        """The quadratic form of offsets (V, 3)."""
        flat = offsets_mm.ravel()
        return float(flat @ (self.precision @ flat))


def surface_prior(rig: "Rig") -> SurfacePrior:
    """The prior of a rig's offset field.

    Each coordinate is a Matern field of the mesh (Lindgren, Rue and Lindstroem, 2011: precision
    t^2 (k^2 M + L) M^-1 (k^2 M + L) with L the cotangent Laplacian of the intrinsic Delaunay triangulation and M the
    vertices' areas), offsets along the skin are held small, and opposite sides move alike, outward or inward.
    """
    from scipy.sparse import csc_array, diags_array, eye_array, kron

    laplacian, areas = _laplacian(rig)
    kappa = np.sqrt(8.0) / RANGE_MM
    stiffness = csc_array(kappa**2 * diags_array(areas) + laplacian)
    tau2 = 1.0 / (4.0 * np.pi * kappa**2 * SIGMA_MM**2)
    field = tau2 * (stiffness @ diags_array(1.0 / areas) @ stiffness)
    precision = kron(field, eye_array(3), format="csc")
    outer = np.eye(3) - rig.normals[:, :, None] * rig.normals[:, None, :]
    # So many independent pieces does a field of this range have on the mesh; each holds its share of the slide.
    share = areas / (np.pi * (RANGE_MM / 2) ** 2) / SLIDE_MM**2
    precision = precision + block_diagonal(outer * share[:, None, None])
    pairs = _opposites(rig)
    weight = areas / (np.pi * (RANGE_MM / 2) ** 2) / OPPOSITE_MM**2
    return SurfacePrior(csc_array(precision + pairs.T @ diags_array(weight) @ pairs))


def block_diagonal(blocks: Floats) -> "csc_array":
    """A sparse (3 V, 3 V) matrix of blocks (V, 3, 3)."""
    from scipy.sparse import csc_array

    rows = 3 * np.arange(len(blocks))[:, None, None] + np.arange(3)[None, :, None]
    columns = 3 * np.arange(len(blocks))[:, None, None] + np.arange(3)[None, None, :]
    rows, columns = (np.broadcast_to(each, blocks.shape).ravel() for each in (rows, columns))
    return csc_array((blocks.ravel(), (rows, columns)), shape=(3 * len(blocks), 3 * len(blocks)))


def _laplacian(rig: "Rig") -> tuple["csc_array", Floats]:
    """Cotangent Laplacian (V, V), positive, of the intrinsic Delaunay triangulation, and the vertices' areas (V,)."""
    import igl
    from scipy.sparse import csc_array

    faces = rig.faces.astype(np.int64)
    cotangents = igl.intrinsic_delaunay_cotmatrix(np.array(rig.rest_mm), faces)[0]
    areas = igl.massmatrix(np.array(rig.rest_mm), faces, igl.MASSMATRIX_TYPE_BARYCENTRIC).diagonal()
    return csc_array(-cotangents), np.maximum(areas, _LEAST_AREA * areas.mean())


def _opposites(rig: "Rig") -> "csc_array":
    """(V, 3 V): how much farther a vertex moves outward than the skin that lies opposite of it, through the flesh."""
    import igl
    from scipy.sparse import csc_array

    vertices, faces = np.array(rig.rest_mm), rig.faces.astype(np.int64)
    rows, columns, values = [], [], []
    for vertex, normal in enumerate(rig.normals):
        start = vertices[vertex] - 0.5 * normal
        hits = igl.ray_mesh_intersect(start, np.array(-normal), vertices, faces) or []
        far = [hit for hit in hits if 1.0 < hit[1] < MAX_THROUGH_MM and vertex not in faces[hit[0]]]
        if not far:
            continue
        face, _, u, v = far[0]
        across = np.array([1 - u - v, u, v]) @ rig.normals[faces[face]]
        if across @ normal > -0.3:  # it does not face away, so it is no other side
            continue
        parts = [(vertex, normal)]
        parts += [(k, -share * rig.normals[k]) for k, share in zip(faces[face], (1 - u - v, u, v), strict=True)]
        for place, vector in parts:
            rows += [vertex] * 3
            columns += [3 * place, 3 * place + 1, 3 * place + 2]
            values += list(vector)
    count = len(vertices)
    return csc_array((values, (rows, columns)), shape=(count, 3 * count))
