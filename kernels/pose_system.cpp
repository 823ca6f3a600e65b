// One evaluation of Levenberg-Marquardt in one call: the kernels of a pose's terms and of their normal equations, one
// after the other for each pose.
//
// A CPU's schedule; a GPU runs those kernels one by one. It calls them as they are, with a batch of one, so that results
// are those of the ops to the bit; what a pose needs stays in the cache of its thread, and two poses can be computed at
// once. The order is that of handopt.objective.least_squares. Compiled without fused products, as NumPy computes.
//
//   points      points_weight closest_points        collision   collision_weight collision, NaN where joints are
//   silhouette  silhouette_weight free_space_loss   limits      limits_weight joint_limits
//
// With derivatives: H and g of the points, the silhouette and collisions (normal_equations.cu).
// The arrays are those of the kernels; keypoints are rest points of the joints, keypoint_basis (S, M, 3) mm is how they
// move with the proportions. bind, rest and keypoints of pose b lie at b * stride, 0 where all poses share them.
#include "target.h"
#include "vertex_normal_equations.h"

#if IMAGE_KERNELS
#define MAX_PARAMETERS 80  // as in normal_equations.cu
#define RUN(name) JOIN(name, SUFFIX)

KERNEL(kinematics_forward)(const real*, const real*, const real*, const real*, const int*, const int*, const real*,
                           real*, int, int, int, int, int);
KERNEL(skin_forward)(const real*, const real*, const int*, const real*, real*, int, int, int, int, int);
KERNEL(skin_normals)(const real*, const real*, const int*, const real*, real*, int, int, int, int);
KERNEL(closest_points_search)(const real*, const int*, const real*, const real*, real*, int*, int*, int, int, int);
KERNEL(closest_points_forward)(const real*, const int*, const real*, const real*, const int*, real*, real, real, int,
                               int, int);
KERNEL(closest_points_normal_equations)(const real*, const real*, const int*, const real*, const real*, const int*,
                                        real*, real, real, int, int, int);
KERNEL(free_space_forward)(const real*, const int*, const real*, const real*, const real*, const real*, real*, real,
                           real, real, int, int, int);
KERNEL(free_space_normal_equations)(const real*, const real*, const int*, const real*, const real*, const real*,
                                    const real*, real*, real, real, real, int, int, int);
KERNEL(collision_forward)(const real*, const int*, real*, real, int, int, int);
KERNEL(collision_normal_equations)(const real*, const real*, const int*, real*, real, int, int, int);
KERNEL(joint_limits_forward)(const real*, const real*, const real*, real*, int, int);
KERNEL(pose_axes)(const real*, const real*, const real*, const int*, const int*, const real*, const real*, real*,
                  real*, real*, int, int, int, int, int, int);
KERNEL(normal_equations)(const real*, const real*, const real*, const real*, const real*, const int*, const real*,
                         const int*, const int*, const real*, const real*, const real*, const real*, real*, real*,
                         real*, int, int, int, int, int, int, int, int, int);

// What one thread needs for one pose. Its sizes are handopt.ops.pose_system's.
struct PoseMemory {
    real *transforms, *vertices, *normals, *joints, *search, *vertex_equations, *joint_equations, *sums, *axes,
        *positions, *jacobian, *hessian, *gradient;
    int *numbers, *nearest;
};

DEVICE PoseMemory pose_memory(real* reals, int* numbers, int J, int V, int M, int A, int S, int P) {
    PoseMemory memory;
    real* next = reals;
    const auto take = [&next](long long count) {
        real* here = next;
        next += count;
        return here;
    };
    memory.transforms = take(12 * J);
    memory.vertices = take(3 * (long long)V);
    memory.normals = take(3 * (long long)V);
    memory.joints = take(3 * M);
    memory.search = take(3 * (long long)V);
    memory.vertex_equations = take(VERTEX_NORMAL_EQUATIONS * (long long)V);
    memory.joint_equations = take(VERTEX_NORMAL_EQUATIONS * M);
    memory.sums = take(MAX_PARAMETERS * MAX_PARAMETERS);
    memory.axes = take(9 * A);
    memory.positions = take(3 * A);
    memory.jacobian = take(3 * (long long)J * S);
    memory.hessian = take(P * P);
    memory.gradient = take(P);
    memory.numbers = numbers;
    memory.nearest = numbers + V;
    return memory;
}

DEVICE bool are_finite(const real* values, int count) {
    bool finite = true;
    for (int i = 0; i < count; ++i) finite = finite && values[i] - values[i] == 0;
    return finite;
}

// overwrites points, silhouette, collision and limits (B), and with derivatives hessian (B, P, P) and gradient (B, P)
// scratch (threads, scratch_size) | scratch_numbers (threads, numbers_size) int
KERNEL(pose_system)(const real* angles, const real* rotation, const real* translation, const real* scale,
                    const int* index, const real* bind, const real* rest, const real* keypoints, const int* parents,
                    const int* articulated, const real* rest_normals, const int* indices, const real* weights,
                    const int* keypoint_joints, const real* ones, const int* bones, const real* lower,
                    const real* upper, const real* observed, const real* coefficients, const real* field,
                    const real* nearest_depth, const real* mm_per_px, const real* joint_basis,
                    const real* vertex_basis, const real* keypoint_basis, const int* ancestry, const int* columns,
                    real* points, real* silhouette, real* collision, real* limits, real* hessian, real* gradient,
                    real* scratch, int* scratch_numbers, real points_weight, real sigma, real plane,
                    real silhouette_weight, real free_space, real front, real margin, real collision_weight,
                    real radius, real limits_weight, int derivatives, int bind_stride, int rest_stride,
                    int keypoint_stride, int threads, int scratch_size, int numbers_size, int B, int J, int V, int K,
                    int A, int M, int N, int O, int W, int D, int S, int P) {
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
#else
    (void)threads;
#endif
    for (int b = 0; b < B; ++b) {
        const PoseMemory m =
            pose_memory(scratch + (long long)THREAD_INDEX * scratch_size,
                        scratch_numbers + (long long)THREAD_INDEX * numbers_size, J, V, M, A, S, P);
        const real *angle = angles + 3 * (long long)b * A, *place = translation + 3 * b, *size = scale + b,
                   *own_bind = bind + (long long)b * bind_stride, *own_rest = rest + (long long)b * rest_stride,
                   *own_keypoints = keypoints + (long long)b * keypoint_stride;
        const int* image = index + b;
        RUN(kinematics_forward)
        (angle, rotation + 9 * (long long)b, place, size, parents, articulated, own_bind, m.transforms, 1, 0, 1, J, A);
        RUN(skin_forward)(m.transforms, own_rest, indices, weights, m.vertices, 0, 1, J, V, K);
        RUN(skin_normals)(m.transforms, rest_normals, indices, weights, m.normals, 1, J, V, K);
        RUN(skin_forward)(m.transforms, own_keypoints, keypoint_joints, ones, m.joints, 0, 1, J, M, 1);
        RUN(closest_points_search)
        (observed, image, m.vertices, m.normals, m.search, m.numbers, m.nearest, 1, O, V);

        real loss[4] = {0, 0, 0, 0};
        RUN(closest_points_forward)
        (observed, image, m.vertices, m.normals, m.nearest, loss, sigma, plane, 1, O, V);
        RUN(free_space_forward)
        (m.vertices, image, coefficients, field, nearest_depth, mm_per_px, loss + 1, free_space, front, margin, 1, V, W);
        RUN(collision_forward)(m.joints, bones, loss + 2, radius, 1, M, N);
        RUN(joint_limits_forward)(angle, lower, upper, loss + 3, 1, 3 * A);
        points[b] = points_weight * loss[0];
        silhouette[b] = silhouette_weight * loss[1];
        collision[b] = are_finite(m.joints, 3 * M) ? collision_weight * loss[2] : (real)NAN;
        limits[b] = limits_weight * loss[3];
        if (!derivatives) continue;

        real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        memset(m.vertex_equations, 0, VERTEX_NORMAL_EQUATIONS * (size_t)V * sizeof(real));
        RUN(closest_points_normal_equations)
        (&points_weight, observed, image, m.vertices, m.normals, m.nearest, m.vertex_equations, sigma, plane, 1, O, V);
        RUN(free_space_normal_equations)
        (&silhouette_weight, m.vertices, image, coefficients, field, nearest_depth, mm_per_px, m.vertex_equations,
         free_space, front, margin, 1, V, W);
        RUN(pose_axes)
        (angle, m.transforms, size, parents, articulated, own_bind, joint_basis, m.axes, m.positions, m.jacobian, 1, 0,
         1, J, A, S);
        RUN(normal_equations)
        (m.vertex_equations, m.vertices, m.transforms, place, own_rest, indices, weights, ancestry, columns, m.axes,
         m.positions, vertex_basis, m.jacobian, m.sums, h, g, 0, 1, J, V, K, D, A, S, P);
        if (!(collision[b] > 0)) continue;
        memset(m.joint_equations, 0, VERTEX_NORMAL_EQUATIONS * (size_t)M * sizeof(real));
        RUN(collision_normal_equations)(&collision_weight, m.joints, bones, m.joint_equations, radius, 1, M, N);
        RUN(normal_equations)
        (m.joint_equations, m.joints, m.transforms, place, own_keypoints, keypoint_joints, ones, ancestry, columns,
         m.axes, m.positions, keypoint_basis, m.jacobian, m.sums, m.hessian, m.gradient, 0, 1, J, M, 1, D, A, S, P);
        for (int i = 0; i < P * P; ++i) h[i] += m.hessian[i];
        for (int i = 0; i < P; ++i) g[i] += m.gradient[i];
    }
}
#endif
