// Levenberg-Marquardt for poses in one call: each pose has all its iterations in one thread, without Python in between.
//
// A CPU's schedule; pose_iteration.cu has a GPU's. The kernels are called as they are, with a batch of one, so that what
// a pose needs stays in the cache of its thread.
//
//   cost = points + silhouette + collision + limits + prior + size + votes + temporal
//   points      points_weight closest_points        collision   collision_weight collision, NaN where joints are
//   silhouette  silhouette_weight free_space_loss   limits      limits_weight joint_limits
//   prior, size, temporal: pose_priors.h            votes       votes_weight vote_loss (voted_joints.h), the mean
//
// A step solves (H + damping diag H) p = -g and is kept where the cost falls; a trial that is refused is not linearised.
// The arrays are those of the kernels. Compiled without fused products, as NumPy computes.
#define STANDARD_FUNCTIONS
#include "pose_priors.h"
#include "pose_step.h"
#include "vertex_normal_equations.h"
#include "voted_joints.h"

#if IMAGE_KERNELS
#define MAX_PARAMETERS 80  // as in normal_equations.cu
#define TERMS 8
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
KERNEL(blend_shapes)(const real*, const real*, const real*, real*, int, int, int);
KERNEL(solve_damped)(const real*, const real*, const real*, const real*, real*, real*, int, int);

// What all poses share: a hand, images, and what their terms are weighted by
struct Problem {
    const real *bind, *rest, *keypoints;
    const int *parents, *articulated;
    const real* rest_normals;
    const int* indices;
    const real* weights;
    const int* keypoint_joints;
    const real* ones;
    const int* bones;
    const real *lower, *upper, *observed, *coefficients, *field, *nearest_depth, *mm_per_px, *joint_basis, *vertex_basis,
        *keypoint_basis;
    const int *ancestry, *columns;
    const real* votes;  // (I, M, 4)
    Priors priors;
    real points_weight, sigma, plane, silhouette_weight, free_space, front, margin, collision_weight, radius,
        limits_weight, votes_weight;
    int J, V, K, A, M, N, O, W, D, S, P;
};

// A pose: angles (A, 3), rotation (3, 3), translation (3), scale, proportions (S), one behind the other
struct Parts {
    int rotation, translation, scale, proportions, all;
};

DEVICE Parts parts_of(const Problem* p) {
    const int rotation = 3 * p->A, scale = rotation + 12;
    return Parts{rotation, rotation + 9, scale, scale + 1, scale + 1 + p->S};
}

// What one thread needs for one pose. Its size is handopt.ops.minimise_poses's.
struct Memory {
    real *transforms, *vertices, *normals, *joints, *search, *vertex_equations, *joint_equations, *sums, *axes,
        *positions, *jacobian, *offsets, *bind, *rest, *keypoints, *state, *trial, *hessian, *gradient, *more_hessian,
        *more_gradient, *factor, *step;
    int *numbers, *nearest;
};

DEVICE Memory memory_of(const Problem* p, real* reals, int* numbers) {
    Memory memory;
    real* next = reals;
    const auto take = [&next](long long count) {
        real* here = next;
        next += count;
        return here;
    };
    const long long J = p->J, V = p->V, M = p->M, A = p->A, S = p->S, P = p->P;
    memory.transforms = take(12 * J);
    memory.vertices = take(3 * V);
    memory.normals = take(3 * V);
    memory.joints = take(3 * M);
    memory.search = take(3 * V);
    memory.vertex_equations = take(VERTEX_NORMAL_EQUATIONS * V);
    memory.joint_equations = take(VERTEX_NORMAL_EQUATIONS * M);
    memory.sums = take(MAX_PARAMETERS * MAX_PARAMETERS);
    memory.axes = take(9 * A);
    memory.positions = take(3 * A);
    memory.jacobian = take(3 * J * S);
    memory.offsets = take(6 * J);
    memory.bind = take(12 * J);
    memory.rest = take(3 * V);
    memory.keypoints = take(3 * M);
    memory.state = take(3 * A + 13 + S);
    memory.trial = take(3 * A + 13 + S);
    memory.hessian = take(P * P);
    memory.gradient = take(P);
    memory.more_hessian = take(P * P);
    memory.more_gradient = take(P);
    memory.factor = take(P * P);
    memory.step = take(P);
    memory.numbers = numbers;
    memory.nearest = numbers + p->V;
    return memory;
}

// The hand that a pose has: as it is, or in the pose's proportions
struct Shaped {
    const real *bind, *rest, *keypoints;
};

DEVICE Shaped shaped_hand(const Problem* p, const real* proportions, const Memory* m) {
    if (p->S == 0) return Shaped{p->bind, p->rest, p->keypoints};
    real *offsets = m->offsets, *moved = m->offsets + 3 * p->J;
    for (int j = 0; j < p->J; ++j)
        for (int r = 0; r < 3; ++r) offsets[3 * j + r] = p->bind[12 * j + 4 * r + 3];
    RUN(blend_shapes)(offsets, p->joint_basis, proportions, moved, 1, p->S, 3 * p->J);
    RUN(blend_shapes)(p->rest, p->vertex_basis, proportions, m->rest, 1, p->S, 3 * p->V);
    memcpy(m->bind, p->bind, 12 * (size_t)p->J * sizeof(real));
    for (int j = 0; j < p->J; ++j)
        for (int r = 0; r < 3; ++r) m->bind[12 * j + 4 * r + 3] = moved[3 * j + r];
    for (int k = 0; k < p->M; ++k)
        for (int r = 0; r < 3; ++r) {
            const int joint = p->keypoint_joints[k];
            const real offset = p->keypoints[3 * k + r] - p->bind[12 * joint + 4 * r + 3];
            m->keypoints[3 * k + r] = moved[3 * joint + r] + offset;
        }
    return Shaped{m->bind, m->rest, m->keypoints};
}

DEVICE bool are_finite(const real* values, int count) {
    bool finite = true;
    for (int i = 0; i < count; ++i) finite = finite && values[i] - values[i] == 0;
    return finite;
}

DEVICE const real* votes_of(const Problem* p, const int* image) { return p->votes + VOTE * (long long)p->M * *image; }

// overwrites terms (TERMS) but the priors; leaves in memory what linearise needs
DEVICE void evaluate(const Problem* p, const real* pose, const int* image, const Shaped* hand, const Memory* m,
                     real* terms) {
    const Parts at = parts_of(p);
    const int J = p->J, V = p->V, M = p->M, O = p->O;
    RUN(kinematics_forward)
    (pose, pose + at.rotation, pose + at.translation, pose + at.scale, p->parents, p->articulated, hand->bind,
     m->transforms, 1, 0, 1, J, p->A);
    RUN(skin_forward)(m->transforms, hand->rest, p->indices, p->weights, m->vertices, 0, 1, J, V, p->K);
    RUN(skin_normals)(m->transforms, p->rest_normals, p->indices, p->weights, m->normals, 1, J, V, p->K);
    RUN(skin_forward)(m->transforms, hand->keypoints, p->keypoint_joints, p->ones, m->joints, 0, 1, J, M, 1);
    RUN(closest_points_search)
    (p->observed, image, m->vertices, m->normals, m->search, m->numbers, m->nearest, 1, O, V);
    real loss[4] = {0, 0, 0, 0};
    RUN(closest_points_forward)
    (p->observed, image, m->vertices, m->normals, m->nearest, loss, p->sigma, p->plane, 1, O, V);
    RUN(free_space_forward)
    (m->vertices, image, p->coefficients, p->field, p->nearest_depth, p->mm_per_px, loss + 1, p->free_space, p->front,
     p->margin, 1, V, p->W);
    RUN(collision_forward)(m->joints, p->bones, loss + 2, p->radius, 1, M, p->N);
    RUN(joint_limits_forward)(pose, p->lower, p->upper, loss + 3, 1, 3 * p->A);
    terms[0] = p->points_weight * loss[0];
    terms[1] = p->silhouette_weight * loss[1];
    terms[2] = are_finite(m->joints, 3 * M) ? p->collision_weight * loss[2] : (real)NAN;
    terms[3] = p->limits_weight * loss[3];
    const real* votes = votes_of(p, image);
    real voted = 0;
    for (int k = 0; k < M; ++k) voted += vote_loss(votes + VOTE * k, m->joints + 3 * k);
    terms[6] = p->votes_weight * voted / M;
}

// The normal equations of what evaluate saw last. overwrites h (P, P), its lower triangle, and g (P)
DEVICE void linearise(const Problem* p, const real* pose, const int* image, const Shaped* hand, const Memory* m,
                      bool touching, bool voted, real* h, real* g) {
    const Parts at = parts_of(p);
    const int J = p->J, V = p->V, M = p->M, A = p->A, S = p->S, P = p->P;
    const real* place = pose + at.translation;
    memset(m->vertex_equations, 0, VERTEX_NORMAL_EQUATIONS * (size_t)V * sizeof(real));
    RUN(closest_points_normal_equations)
    (&p->points_weight, p->observed, image, m->vertices, m->normals, m->nearest, m->vertex_equations, p->sigma,
     p->plane, 1, p->O, V);
    RUN(free_space_normal_equations)
    (&p->silhouette_weight, m->vertices, image, p->coefficients, p->field, p->nearest_depth, p->mm_per_px,
     m->vertex_equations, p->free_space, p->front, p->margin, 1, V, p->W);
    RUN(pose_axes)
    (pose, m->transforms, pose + at.scale, p->parents, p->articulated, hand->bind, p->joint_basis, m->axes,
     m->positions, m->jacobian, 1, 0, 1, J, A, S);
    RUN(normal_equations)
    (m->vertex_equations, m->vertices, m->transforms, place, hand->rest, p->indices, p->weights, p->ancestry,
     p->columns, m->axes, m->positions, p->vertex_basis, m->jacobian, m->sums, h, g, 0, 1, J, V, p->K, p->D, A, S, P);
    if (!touching && !voted) return;
    memset(m->joint_equations, 0, VERTEX_NORMAL_EQUATIONS * (size_t)M * sizeof(real));
    RUN(collision_normal_equations)
    (&p->collision_weight, m->joints, p->bones, m->joint_equations, p->radius, 1, M, p->N);
    const real* votes = votes_of(p, image);
    for (int k = 0; k < M; ++k)
        add_vote(votes + VOTE * k, m->joints + 3 * k, p->votes_weight / M,
                 m->joint_equations + VERTEX_NORMAL_EQUATIONS * k);
    RUN(normal_equations)
    (m->joint_equations, m->joints, m->transforms, place, hand->keypoints, p->keypoint_joints, p->ones, p->ancestry,
     p->columns, m->axes, m->positions, p->keypoint_basis, m->jacobian, m->sums, m->more_hessian, m->more_gradient, 0, 1,
     J, M, 1, p->D, A, S, P);
    for (int i = 0; i < P * P; ++i) h[i] += m->more_hessian[i];
    for (int i = 0; i < P; ++i) g[i] += m->more_gradient[i];
}

// The terms of a pose and their sum, and its normal equations unless h is nullptr or the cost not below that of `best`
DEVICE real visit(const Problem* p, const real* pose, const int* image, const real* expected, const Memory* m,
                  const real* best, real* terms, real* h, real* g) {
    const Parts at = parts_of(p);
    const Shaped hand = shaped_hand(p, pose + at.proportions, m);
    const real log_scale = log(pose[at.scale]), *proportions = pose + at.proportions;
    evaluate(p, pose, image, &hand, m, terms);
    const Priors* priors = &p->priors;
    const real *rotation = pose + at.rotation, *translation = pose + at.translation;
    terms[4] = angle_prior(priors, pose, expected, nullptr, nullptr);
    terms[5] = size_prior(priors, log_scale, proportions, nullptr, nullptr);
    terms[7] = temporal_prior(priors, pose, rotation, translation, nullptr, nullptr);
    real cost = terms[0];
    for (int i = 1; i < TERMS; ++i) cost += terms[i];
    if (h == nullptr || (best != nullptr && !(cost < *best))) return cost;
    linearise(p, pose, image, &hand, m, terms[2] > 0, terms[6] > 0, h, g);
    angle_prior(priors, pose, expected, h, g);
    size_prior(priors, log_scale, proportions, h, g);
    temporal_prior(priors, pose, rotation, translation, h, g);
    return cost;
}

// overwrites moved: the pose after a step (P)
DEVICE void move(const Problem* p, const real* pose, const real* step, const Bounds* bounds, real* moved) {
    const Parts at = parts_of(p);
    for (int i = 0; i < 3 * p->A; ++i) {
        const int column = p->columns[i];
        moved[i] = column < 0 ? pose[i] : moved_angle(pose[i], step[column], bounds);
    }
    moved_rotation(pose + at.rotation, step, bounds, moved + at.rotation);
    moved_translation(pose + at.translation, step + 3, bounds, moved + at.translation);
    moved[at.scale] = moved_scale(pose[at.scale], step[RIGID - 1], bounds);
    for (int s = 0; s < p->S; ++s)
        moved[at.proportions + s] = moved_proportion(pose[at.proportions + s], step[p->P - p->S + s], bounds);
}

// Where poses are read and kept: those of iteration n at row n, or all at row 0
struct Trace {
    real *angles, *rotation, *translation, *scale, *proportions, *terms;
    int rows, B;
};

DEVICE void keep(const Problem* p, const Trace* trace, int n, int b, const real* pose, const real* terms) {
    const Parts at = parts_of(p);
    const long long row = (long long)(trace->rows > 1 ? n : 0) * trace->B + b;
    memcpy(trace->angles + 3 * p->A * row, pose, 3 * (size_t)p->A * sizeof(real));
    memcpy(trace->rotation + 9 * row, pose + at.rotation, 9 * sizeof(real));
    memcpy(trace->translation + 3 * row, pose + at.translation, 3 * sizeof(real));
    trace->scale[row] = pose[at.scale];
    memcpy(trace->proportions + p->S * row, pose + at.proportions, (size_t)p->S * sizeof(real));
    for (int i = 0; i < TERMS; ++i) trace->terms[(TERMS * (row - b) + (long long)i * trace->B) + b] = terms[i];
}

struct Schedule {
    int iterations, linearised;
    real first, lowest, highest, accepted, refused;
};

// Returns whether any step lowered the cost; the pose, its normal equations and its terms are left in memory.
DEVICE bool minimise(const Problem* p, const Schedule* schedule, const Bounds* bounds, const Trace* trace,
                     const real* free, const int* image, const real* expected, int b, Memory* m) {
    real terms[TERMS], trial_terms[TERMS], damping = schedule->first;
    const bool wanted = schedule->iterations > 0 || schedule->linearised;
    real cost = visit(p, m->state, image, expected, m, nullptr, terms, wanted ? m->hessian : nullptr, m->gradient);
    if (cost != cost) cost = (real)INFINITY;
    keep(p, trace, 0, b, m->state, terms);
    bool improved = false;
    for (int n = 1; n <= schedule->iterations; ++n) {
        const bool last = n == schedule->iterations;
        RUN(solve_damped)(m->hessian, m->gradient, &damping, free, m->factor, m->step, 1, p->P);
        move(p, m->state, m->step, bounds, m->trial);
        const real found = visit(p, m->trial, image, expected, m, &cost, trial_terms,
                                 last && !schedule->linearised ? nullptr : m->hessian, m->gradient);
        const bool accepted = found < cost;
        if (accepted) {
            real* before = m->state;
            m->state = m->trial;
            m->trial = before;
            memcpy(terms, trial_terms, sizeof terms);
            cost = found;
            improved = true;
        }
        damping = within(damping * (accepted ? schedule->accepted : schedule->refused), schedule->lowest,
                         schedule->highest);
        keep(p, trace, n, b, m->state, terms);
    }
    return improved;
}

// B poses, from which it starts at row 0 of the trace; rows: 1, or one for each iteration and the start
// expected (B, A, 3) | free (P) | followers (F, 2) rows of angles | temporal_pose: a pose with its parts in a row
// updates trace_angles (rows, B, A, 3), trace_rotation, trace_translation, trace_scale, trace_proportions
// overwrites terms (rows, TERMS, B), improved (B) int, and if linearised hessian (B, P, P), gradient (B, P)
// scratch (threads, scratch_size) | scratch_numbers (threads, numbers_size) int
KERNEL(minimise_poses)(real* trace_angles, real* trace_rotation, real* trace_translation, real* trace_scale,
                       real* trace_proportions, real* terms, const int* index, const real* expected, const real* free,
                       const real* bind, const real* rest, const real* keypoints, const int* parents,
                       const int* articulated, const real* rest_normals, const int* indices, const real* weights,
                       const int* keypoint_joints, const real* ones, const int* bones, const real* lower,
                       const real* upper, const real* observed, const real* coefficients, const real* field,
                       const real* nearest_depth, const real* mm_per_px, const real* joint_basis,
                       const real* vertex_basis, const real* keypoint_basis, const int* ancestry, const int* columns,
                       const real* votes, const real* precision, const int* followers, const real* shape_mean,
                       const real* shape_precision, const real* temporal_pose, const real* temporal_weight,
                       const real* temporal_width,
                       int* improved, real* hessian, real* gradient, real* scratch, int* scratch_numbers,
                       real points_weight, real sigma, real plane, real silhouette_weight, real free_space, real front,
                       real margin, real collision_weight, real radius, real limits_weight, real votes_weight,
                       real prior_weight, real follow_share, real follow_precision, real size_weight,
                       real proportion_weight,
                       real first_damping, real lowest_damping, real highest_damping, real accepted, real refused,
                       real turn, real shift, real relative, real smallest_scale, real largest_scale, real proportion,
                       int has_shape, int has_temporal, int iterations, int linearised, int rows, int threads,
                       int scratch_size, int numbers_size, int B, int J, int V, int K, int A, int M, int N, int O, int W,
                       int D, int S, int P, int F) {
    const Priors priors = {
        precision, followers, shape_mean, shape_precision, temporal_pose, temporal_weight, temporal_width, lower, upper,
        columns, prior_weight, follow_share, follow_precision, size_weight, proportion_weight, limits_weight, has_shape,
        has_temporal, A, S, P, F};
    const Problem problem = {
        bind, rest, keypoints, parents, articulated, rest_normals, indices, weights, keypoint_joints, ones, bones,
        lower, upper, observed, coefficients, field, nearest_depth, mm_per_px, joint_basis, vertex_basis,
        keypoint_basis, ancestry, columns, votes, priors, points_weight, sigma, plane, silhouette_weight, free_space,
        front, margin, collision_weight, radius, limits_weight, votes_weight, J, V, K, A, M, N, O, W, D, S, P};
    const Schedule schedule = {iterations, linearised, first_damping, lowest_damping, highest_damping, accepted, refused};
    const Bounds bounds = {turn, shift, relative, smallest_scale, largest_scale, proportion};
    const Trace trace = {trace_angles, trace_rotation, trace_translation, trace_scale, trace_proportions, terms, rows, B};
    const Parts at = parts_of(&problem);
// In a GPU's schedule the kernels that are called have no team of their own: they would take this one's THREAD_INDEX.
#if defined(_OPENMP) && !defined(HANDOPT_EMULATE_CUDA)
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
#else
    (void)threads;
#endif
    for (int b = 0; b < B; ++b) {
        Memory m = memory_of(&problem, scratch + (long long)THREAD_INDEX * scratch_size,
                             scratch_numbers + (long long)THREAD_INDEX * numbers_size);
        memcpy(m.state, trace_angles + 3 * (long long)b * A, 3 * (size_t)A * sizeof(real));
        memcpy(m.state + at.rotation, trace_rotation + 9 * (long long)b, 9 * sizeof(real));
        memcpy(m.state + at.translation, trace_translation + 3 * (long long)b, 3 * sizeof(real));
        m.state[at.scale] = trace_scale[b];
        memcpy(m.state + at.proportions, trace_proportions + (long long)b * S, (size_t)S * sizeof(real));
        improved[b] = minimise(&problem, &schedule, &bounds, &trace, free, index + b, expected + 3 * (long long)b * A, b,
                               &m);
        if (!linearised) continue;
        memcpy(hessian + (long long)b * P * P, m.hessian, (size_t)P * P * sizeof(real));
        memcpy(gradient + (long long)b * P, m.gradient, (size_t)P * sizeof(real));
    }
}
#endif
