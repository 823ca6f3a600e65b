"""The prior of a hand's surface: offsets are a smooth random field, alike on opposite sides."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.typing import Floats

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from handopt.rig import Rig


@dataclass(frozen=True)
class SurfaceConstants:
    """What is expected of offsets from the generic hand of the same scale and proportions. Chosen by hand."""

    sigma_mm: float = 2.0  # standard deviation of the surface's distance from the generic hand's
    range_mm: float = 28.0  # distance along the skin at which the correlation of two offsets has fallen to 0.14
    slide_mm: float = 0.8  # standard deviation of offsets along the skin, which images hardly show
    opposite_mm: float = 2.5  # standard deviation of the difference between opposite sides of a finger or the palm
    max_thickness_mm: float = 40.0  # how far apart opposite sides may lie
    least_area: float = 0.2  # of the mean area of a vertex; without it an obtuse sliver's would be next to nothing


CONSTANTS: Final = SurfaceConstants()


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
    kappa = np.sqrt(8.0) / CONSTANTS.range_mm
    stiffness = csc_array(kappa**2 * diags_array(areas) + laplacian)
    tau2 = 1.0 / (4.0 * np.pi * kappa**2 * CONSTANTS.sigma_mm**2)
    field = tau2 * (stiffness @ diags_array(1.0 / areas) @ stiffness)
    precision = kron(field, eye_array(3), format="csc")
    outer = np.eye(3) - rig.normals[:, :, None] * rig.normals[:, None, :]
    # An independent piece of a field of this range has a disc's area; each vertex gets its share of a piece.
    share = areas / (np.pi * (CONSTANTS.range_mm / 2) ** 2) / CONSTANTS.slide_mm**2
    precision = precision + block_diagonal(outer * share[:, None, None])
    pairs = _opposites(rig)
    weight = areas / (np.pi * (CONSTANTS.range_mm / 2) ** 2) / CONSTANTS.opposite_mm**2
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
    return csc_array(-cotangents), np.maximum(areas, CONSTANTS.least_area * areas.mean())


def _opposites(rig: "Rig") -> "csc_array":
    """(V, 3 V): how much farther outward each vertex moves than the skin on the opposite side of the finger or palm."""
    import igl
    from scipy.sparse import csc_array

    vertices, faces = np.array(rig.rest_mm), rig.faces.astype(np.int64)
    rows, columns, values = [], [], []
    for vertex, normal in enumerate(rig.normals):
        start = vertices[vertex] - 0.5 * normal
        hits = igl.ray_mesh_intersect(start, np.array(-normal), vertices, faces) or []
        far = [hit for hit in hits if 1.0 < hit[1] < CONSTANTS.max_thickness_mm and vertex not in faces[hit[0]]]
        if not far:
            continue
        face, _, u, v = far[0]
        across = np.array([1 - u - v, u, v]) @ rig.normals[faces[face]]
        if across @ normal > -0.3:  # it does not face away, so it is not the opposite side
            continue
        parts = [(vertex, normal)]
        parts += [(k, -share * rig.normals[k]) for k, share in zip(faces[face], (1 - u - v, u, v), strict=True)]
        for place, vector in parts:
            rows += [vertex] * 3
            columns += [3 * place, 3 * place + 1, 3 * place + 2]
            values += list(vector)
    count = len(vertices)
    return csc_array((values, (rows, columns)), shape=(count, 3 * count))
