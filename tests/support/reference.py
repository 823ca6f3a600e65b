"""Slow float64 twins of the ops: explicit loops straight from the equations, written without a look at the kernels.

Each twin has the name and the arguments of its op. Equations are those of Dibra, Wolf, Oeztireli and Gross (3DV 2017).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

NEAR_MM = 1.0
SAME_DEPTH = 1e-12
"""Relative difference of depths that is rounding."""


def rotation_about(axis: int, angle: float) -> Floats:
    """Right-handed rotation (3, 3) by angle (radians) about a coordinate axis (0, 1, 2 = x, y, z)."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[j, j] = matrix[k, k] = np.cos(angle)
    matrix[j, k] = -np.sin(angle)
    matrix[k, j] = np.sin(angle)
    return matrix


def exponential(vector: Floats) -> Floats:
    """Rotation (3, 3) by |vector| radians about vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def homogeneous(matrix: Floats) -> Floats:
    """(3, 4) -> (4, 4)."""
    return np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])


def joint_rotation(angles: Floats, side: int) -> Floats:
    """Local rotation of [twist, abduction, flexion]: twist about z, then flexion about -x, then abduction about y."""
    twist, abduction, flexion = angles
    return rotation_about(1, side * abduction) @ rotation_about(0, -flexion) @ rotation_about(2, side * twist)


def forward_kinematics(
    angles: Floats,
    rotation: Floats,
    translation: Floats,
    scale: Floats,
    parents: Ints,
    articulated: Ints,
    bind: Floats,
    side: int,
) -> Floats:
    """Skinning transforms (B, J, 3, 4), rest rig -> camera frame: camera = scale R (rig - wrist) + translation.

    bind: (J, 3, 4), or (B, J, 3, 4) where each image has its own.
    """
    row_of_joint = {int(joint): row for row, joint in enumerate(articulated)}
    out = np.zeros((len(angles), len(parents), 3, 4))
    for b in range(len(angles)):
        own = bind[b] if bind.ndim == 4 else bind
        wrist = own[0, :, 3]
        posed: list[Floats] = []
        for j, parent in enumerate(parents):
            rest = homogeneous(own[j])
            local = np.eye(4)
            if j in row_of_joint:
                local[:3, :3] = joint_rotation(angles[b, row_of_joint[j]], side)
            to_parent = rest if parent < 0 else np.linalg.inv(homogeneous(own[parent])) @ rest
            above = np.eye(4) if parent < 0 else posed[parent]
            posed.append(above @ to_parent @ local)
            rig = posed[j] @ np.linalg.inv(rest)
            out[b, j, :, :3] = scale[b] * rotation[b] @ rig[:3, :3]
            out[b, j, :, 3] = scale[b] * rotation[b] @ (rig[:3, 3] - wrist) + translation[b]
    return out


def skin(transforms: Floats, rest: Floats, indices: Ints, weights: Floats) -> Floats:
    """Posed points (B, V, 3), Eq. 1: f_bi = sum_j w_ij M_bj p_i. rest: (V, 3), or (B, V, 3)."""
    out = np.zeros((len(transforms), *rest.shape[-2:]))
    for b in range(len(transforms)):
        own = rest[b] if rest.ndim == 3 else rest
        for i, point in enumerate(np.insert(own, 3, 1.0, axis=1)):
            for j, weight in zip(indices[i], weights[i], strict=True):
                out[b, i] += weight * (transforms[b, j] @ point)
    return out


def blend_shapes(base: Floats, basis: Floats, coefficients: Floats) -> Floats:
    """Points (B, N, 3): base_n + sum_s coefficients_bs basis_sn."""
    return np.stack([base + sum(c * moved for c, moved in zip(own, basis, strict=True)) for own in coefficients])


def skin_normals(transforms: Floats, rest_normals: Floats, indices: Ints, weights: Floats) -> Floats:
    """Unit normals (B, V, 3): the blended linear parts applied to the rest normals."""
    out = np.zeros((len(transforms), len(rest_normals), 3))
    for b in range(len(transforms)):
        for i in range(len(rest_normals)):
            for j, weight in zip(indices[i], weights[i], strict=True):
                out[b, i] += weight * (transforms[b, j, :, :3] @ rest_normals[i])
            out[b, i] /= np.linalg.norm(out[b, i])
    return out


def project(points: Floats, coefficients: Floats, perspective: bool = True) -> Floats:
    """Crop coordinates (B, V, 3): column ax X/Z + bx, row ay Y/Z + by, depth az Z + bz; without /Z if affine."""
    out = np.zeros(points.shape)
    for b in range(points.shape[0]):
        ax, bx, ay, by, az, bz = coefficients[b]
        for i, (x, y, z) in enumerate(points[b]):
            depth = z if perspective else 1.0
            out[b, i] = ax * x / depth + bx, ay * y / depth + by, az * z + bz
    return out


def render_depth(points: Floats, radius: float, size: int) -> tuple[Floats, Ints]:
    """Closeness and winning point (B, S, S), Eq. 9 and 10, every point at every pixel; -1 where nothing is hit."""
    image = np.zeros((len(points), size, size))
    winners = np.full((len(points), size, size), -1, np.int32)
    column, row = np.meshgrid(np.arange(size), np.arange(size))
    for b in range(len(points)):
        for k, (x, y, z) in enumerate(points[b]):
            if not np.isfinite([x, y, z]).all():
                continue
            falloff = np.maximum(0.0, 1 - ((column - x) ** 2 + (row - y) ** 2) / radius**2) ** 2
            closeness = max(0.0, 1 - z) * falloff
            better = closeness > image[b]
            image[b][better] = closeness[better]
            winners[b][better] = k
    return image, winners


def huber(error: float, delta: float) -> float:
    """|e| - delta / 2 beyond delta, e^2 / (2 delta) within; |e| if delta is 0."""
    if abs(error) > delta or delta == 0:
        return abs(error) - delta / 2
    return error * error / (2 * delta)


def depth_loss(
    image: Floats, target: Floats, image_index: Ints, delta: float = 0.0, weight: Floats | None = None
) -> Floats:
    """Weighted mean Huber error (B,) of each rendered image against the target it belongs to."""
    out = np.zeros(len(image))
    for b, t in enumerate(image_index):
        for at in np.ndindex(*image.shape[1:]):
            factor = 1.0 if weight is None else weight[t][at]
            out[b] += factor * huber(image[b][at] - target[t][at], delta)
        out[b] /= image[b].size
    return out


def bilinear(field: Floats, x: float, y: float) -> float:
    """Field (S, S) at column x, row y, both within [0, S - 1]."""
    j, i = int(x), int(y)
    right, below = min(j + 1, field.shape[1] - 1), min(i + 1, field.shape[0] - 1)
    u, v = x - j, y - i
    upper = (1 - u) * field[i, j] + u * field[i, right]
    lower = (1 - u) * field[below, j] + u * field[below, right]
    return float((1 - v) * upper + v * lower)


def silhouette_loss(points: Floats, field: Floats, image_index: Ints, mm_per_px: Floats) -> Floats:
    """Mean squared distance (B,) in mm^2 of crop points to the silhouette.

    field: (I, S, S) mm, read at the nearest position of the grid; beyond, the distance to it is added.
    """
    out = np.zeros(len(points))
    for b, t in enumerate(image_index):
        last = field.shape[1] - 1
        for x, y, _ in points[b]:
            inside_x, inside_y = min(max(x, 0.0), last), min(max(y, 0.0), last)
            outside = float(np.hypot(x - inside_x, y - inside_y))
            out[b] += (bilinear(field[t], inside_x, inside_y) + mm_per_px[t] * outside) ** 2
        out[b] /= points.shape[1]
    return out


def nearest_distance(depths: Floats, column: float, row: float) -> float:
    """The depth (mm) at the pixel around a position; 0 beyond the image."""
    i, j = int(np.floor(row + 0.5)), int(np.floor(column + 0.5))
    inside = 0 <= i < len(depths) and 0 <= j < len(depths)
    return float(depths[i, j]) if inside else 0.0


def free_space_loss(
    posed: Floats,
    image_index: Ints,
    coefficients: Floats,
    field: Floats,
    nearest_depth: Floats,
    mm_per_px: Floats,
    sigma: float,
    front: float = 1.0,
    margin: float = 0.0,
) -> Floats:
    """Mean robust distance (B,) of vertices from where they may be seen: beside the hand, and before its surface."""
    out = np.zeros(len(posed))
    last = field.shape[1] - 1
    for b, t in enumerate(image_index):
        for x, y, z in posed[b]:
            if not z > 0:
                continue
            column, row = (
                coefficients[t][0] * x / z + coefficients[t][1],
                coefficients[t][2] * y / z + coefficients[t][3],
            )
            inside = min(max(column, 0.0), last), min(max(row, 0.0), last)
            beyond = float(np.hypot(column - inside[0], row - inside[1]))
            beside = bilinear(field[t], *inside) + mm_per_px[t] * beyond
            depth = nearest_distance(nearest_depth[t], column, row)
            before = max(0.0, depth - margin - z) if depth > 0 else 0.0
            out[b] += robust(beside**2, sigma) + front * robust(before**2, sigma)
        out[b] /= posed.shape[1]
    return out


def robust(error: float, sigma: float) -> float:
    """Geman and McClure's function of a squared residual."""
    return sigma**2 * error / (sigma**2 + error)


def closest_points(
    observed: Floats, image_index: Ints, posed: Floats, normals: Floats, sigma: float, plane: float = 0.5
) -> tuple[Floats, Ints]:
    """Robust mean squared distance (B,) of observed points to their nearest visible vertex, and that vertex.

    Geman-McClure, sigma^2 e / (sigma^2 + e), of e = plane (n . d)^2 + (1 - plane) |d|^2. Visible are vertices whose
    normals face the camera; a point of an image without any has -1 and counts sigma^2.
    """
    out = np.zeros(len(posed))
    found = np.full((len(posed), observed.shape[1]), -1, np.int32)
    for b, t in enumerate(image_index):
        facing = np.flatnonzero(np.sum(normals[b] * posed[b], axis=1) < 0)
        for n, point in enumerate(observed[t]):
            if len(facing) == 0:
                out[b] += sigma**2
                continue
            found[b, n] = facing[np.argmin(np.sum((posed[b, facing] - point) ** 2, axis=1))]
            away = point - posed[b, found[b, n]]
            error = plane * (normals[b, found[b, n]] @ away) ** 2 + (1 - plane) * (away @ away)
            out[b] += robust(error, sigma)
        out[b] /= observed.shape[1]
    return out, found


def segment_terms(a: Floats, b: Floats, p: Floats, radius: float, length: float | None = None) -> tuple[float, float]:
    """f1 and f2 of one bone a-b and one joint p, Eq. 14-18: how far p is within the bone's ends and its radius.

    length: what to take for the length of the bone, instead of its own.
    """
    middle, length = (a + b) / 2, float(np.linalg.norm(b - a)) if length is None else length
    along = float((b - a) @ (p - middle)) / length
    dist_h = along**2
    dist_r = float((p - middle) @ (p - middle)) - dist_h
    return (length / 2) ** 2 - dist_h, radius**2 - dist_r


def collision(joints: Floats, bones: Ints, radius: float, lengths: Floats | None = None) -> Floats:
    """Mean over the joints (B,) of how far each is inside each bone that it is no end of, Eq. 19.

    lengths: (B, N), what to take for the lengths of the bones, instead of their own.
    """
    out = np.zeros(len(joints))
    for b in range(len(joints)):
        for n, (i, j) in enumerate(bones):
            length = None if lengths is None else float(lengths[b, n])
            for k in range(joints.shape[1]):
                if k not in (i, j):
                    out[b] += max(0.0, min(segment_terms(joints[b, i], joints[b, j], joints[b, k], radius, length)))
        out[b] /= joints.shape[1]
    return out


def joint_limits(angles: Floats, lower: Floats, upper: Floats) -> Floats:
    """Sum of squared violations (B,): max(0, lower - angle)^2 + max(0, angle - upper)^2."""
    out = np.zeros(len(angles))
    for b in range(len(angles)):
        for at in np.ndindex(*lower.shape):
            out[b] += max(0.0, lower[at] - angles[b][at]) ** 2 + max(0.0, angles[b][at] - upper[at]) ** 2
    return out


def rasterise(points: Floats, faces: Ints, camera: tuple[float, float, float, float, int, int]) -> Floats:
    """Depth (H, W) in mm of the nearest triangle through each pixel centre, 0 where there is none.

    points: (V, 3) mm, camera frame. faces: (F, 3). camera: (fx, fy, cx, cy, width, height). A ray through the pixel
    centre is cut with the plane of each triangle and kept where all three edges agree, from either side of it.
    Triangles with a corner nearer than NEAR_MM are left out.
    """
    nearest = np.full((camera[5], camera[4]), np.inf)
    for _, box, depth, _ in _triangles(points, faces, camera):
        np.minimum(nearest[box], depth, out=nearest[box])
    return np.where(np.isfinite(nearest), nearest, 0.0)


def rasterise_faces(
    points: Floats, faces: Ints, camera: tuple[float, float, float, float, int, int]
) -> tuple[Ints, Floats]:
    """The first of the nearest triangles through each pixel centre (H, W), -1 where there is none, and the barycentric
    coordinates (H, W, 3) of the point in it; see rasterise.
    """
    nearest = rasterise(points, faces, camera)
    face, weights = np.full(nearest.shape, -1, np.int32), np.zeros((*nearest.shape, 3))
    for index, box, depth, volumes in _triangles(points, faces, camera):
        shares = np.moveaxis(volumes, 0, -1)
        first = (face[box] < 0) & np.isfinite(depth) & (depth <= nearest[box] * (1 + SAME_DEPTH))
        face[box][first] = index
        weights[box][first] = shares[first] / shares[first].sum(axis=1, keepdims=True)
    return face, weights


def _triangles(
    points: Floats, faces: Ints, camera: tuple[float, float, float, float, int, int]
) -> Iterator[tuple[int, tuple[slice, slice], Floats, Floats]]:
    """Of each triangle its number, the box of pixels (h, w) around it, the depth (h, w) where the rays through them
    meet it, infinite where they do not, and the volumes (3, h, w) of each ray with two corners.
    """
    fx, fy, cx, cy, width, height = camera
    corners = points[faces]
    usable = np.isfinite(corners).all((1, 2)) & (corners[:, :, 2] >= NEAR_MM).all(1)
    numbers, corners = np.flatnonzero(usable), corners[usable]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    # volume of (ray, corner, corner): its sign tells on which side of an edge the ray passes
    normals = np.cross(b - a, c - a)
    products = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b), normals], axis=1)[..., None, None]
    offsets = np.sum(normals * a, axis=1)
    u, v = fx * corners[:, :, 0] / corners[:, :, 2] + cx, fy * corners[:, :, 1] / corners[:, :, 2] + cy
    first = np.ceil(np.maximum(np.stack([u.min(1), v.min(1)], 1), 0.0)).astype(int)
    last = np.floor(np.minimum(np.stack([u.max(1), v.max(1)], 1), (width - 1, height - 1))).astype(int)
    rays_x, rays_y = (np.arange(width) - cx) / fx, ((np.arange(height) - cy) / fy)[:, None]
    for f in np.flatnonzero((first <= last).all(1)):
        box = slice(first[f, 1], last[f, 1] + 1), slice(first[f, 0], last[f, 0] + 1)
        x, y, z = products[f].swapaxes(0, 1)
        values = x * rays_x[box[1]] + y * rays_y[box[0]] + z
        volumes, facing = values[:3], values[3]
        inside = (volumes * facing >= 0).all(axis=0) & (facing != 0)
        depth = np.full(inside.shape, np.inf)
        np.divide(offsets[f], facing, out=depth, where=inside)
        yield int(numbers[f]), box, depth, volumes
