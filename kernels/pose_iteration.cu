// One iteration of Levenberg-Marquardt for all poses of a batch, as a GPU runs it; minimise_poses.cpp has a CPU's.
//
//   solve_panel            a thread for each row of a pose's system, once for each 16 parameters (solve_damped.cu)
//   move_poses             for each joint: the pose after the step, and the joint's transform
//   pose_points            for each point: where it is, and whether that is free space; for each articulated joint and
//                          each proportion: how it moves the hand; for each pose: what is expected of it
//   compare_points         for each observed point: the nearest vertex; for each bone: the joints that collide with it
//   normal_equations_grid  for each point: its part of the system (normal_equations.cu)
//   keep_lower             for each entry of a pose and its system: the new one where the cost fell, else the one before
//
// Nothing in a launch waits for another thread of it, so there are no barriers; the order of launches is all that is
// needed, and nothing goes to the host in between. Terms and normal equations are sums of atomics.
//
// Points are the V vertices, then the M keypoints, U in all. Poses of iteration n are in row n of their arrays:
// angles (N, B, A, 3) | rotation (N, B, 3, 3) | translation (N, B, 3) | scale (N, B) | proportions (N, B, S)
// terms, found_terms (TERMS, B), in the order: points, silhouette, collision, limits, prior, size, votes, temporal
#include "closest_points.h"
#include "collision.h"
#include "elementary.h"
#include "free_space.h"
#include "joint_limits.h"
#include "kinematics.h"
#include "pose_priors.h"
#include "pose_step.h"
#include "skinning.h"
#include "voted_joints.h"

#define TERMS 8

// A pose before a step, of the hypothesis `pose` of all rows, and the step; nullptr: none
struct Moving {
    const real *angles, *rotation, *translation, *scale, *proportions, *step;
    Bounds bounds;
};

DEVICE real new_angle(const Moving* m, const int* columns, int i) {
    return m->step == nullptr || columns[i] < 0 ? m->angles[i] : moved_angle(m->angles[i], m->step[columns[i]], &m->bounds);
}

DEVICE real new_proportion(const Moving* m, int s, int S, int P) {
    return m->step == nullptr ? m->proportions[s]
                              : moved_proportion(m->proportions[s], m->step[P - S + s], &m->bounds);
}

DEVICE void new_place(const Moving* m, real* rotation, real* translation, real* scale) {
    if (m->step != nullptr) {
        moved_rotation(m->rotation, m->step, &m->bounds, rotation);
        moved_translation(m->translation, m->step + 3, &m->bounds, translation);
        *scale = moved_scale(*m->scale, m->step[RIGID - 1], &m->bounds);
        return;
    }
    for (int i = 0; i < 9; ++i) rotation[i] = m->rotation[i];
    for (int i = 0; i < 3; ++i) translation[i] = m->translation[i];
    *scale = *m->scale;
}

// Where a joint's bind position is in the pose's proportions. bind (J, 3, 4) | joint_basis (S, J, 3)
DEVICE void shaped_position(const Moving* m, const real* bind, const real* joint_basis, int joint, int J, int S, int P,
                            real* position) {
    for (int r = 0; r < 3; ++r) position[r] = bind[12 * joint + 4 * r + 3];
    for (int s = 0; s < S; ++s) {
        const real amount = new_proportion(m, s, S, P);
        for (int r = 0; r < 3; ++r) position[r] += amount * joint_basis[3 * ((long long)s * J + joint) + r];
    }
}

// A thread for each joint, which follows the chain from the root to its joint by itself.
// from_...: poses at row `from`, `step` (B, P) of them if `moves`, else they stay | ancestry (J, D), columns (A, 3)
// overwrites row `to` of angles ... proportions, shaped_bind (B, J, 3, 4), transforms (B, J, 3, 4), and found_terms by 0
KERNEL(move_poses)(const real* from_angles, const real* from_rotation, const real* from_translation,
                   const real* from_scale, const real* from_proportions, const real* step, const int* columns,
                   const int* articulated, const int* ancestry, const real* bind, const real* joint_basis, real* angles,
                   real* rotation, real* translation, real* scale, real* proportions, real* shaped_bind,
                   real* transforms, real* found_terms, real turn, real shift, real relative, real smallest_scale,
                   real largest_scale, real proportion, int moves, int from, int to, int B, int J, int A, int D, int S,
                   int P) {
    FOR_EACH_IN_IMAGE(b, B, j, J) {
        const long long before = (long long)from * B + b, after = (long long)to * B + b, joint = (long long)b * J + j;
        const Moving m = {from_angles + 3 * A * before, from_rotation + 9 * before, from_translation + 3 * before,
                          from_scale + before, from_proportions + S * before,
                          moves ? step + (long long)P * b : nullptr,
                          {turn, shift, relative, smallest_scale, largest_scale, proportion}};
        real place[9], at[3], size, wrist[3], position[3], g[12] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
        new_place(&m, place, at, &size);
        const int* above = ancestry + D * j;
        int depth = 0;
        while (depth < D && above[depth] >= 0) ++depth;
        for (int d = depth - 1; d >= 0; --d) {
            const int row = above[d], link = articulated[row];
            real rest[9], turned_by[3], parent[12];
            linear_part(bind + 12 * link, rest);
            shaped_position(&m, bind, joint_basis, link, J, S, P, position);
            for (int k = 0; k < 3; ++k) turned_by[k] = new_angle(&m, columns, 3 * row + k);
            for (int k = 0; k < 12; ++k) parent[k] = g[k];
            chain_link(rest, position, turned_by, 1, parent, g);
            for (int k = 0; k < 3 && link == j; ++k) angles[3 * (A * after + row) + k] = turned_by[k];
        }
        shaped_position(&m, bind, joint_basis, 0, J, S, P, wrist);
        into_camera(g, wrist, place, at, size, transforms + 12 * joint);
        shaped_position(&m, bind, joint_basis, j, J, S, P, position);
        for (int r = 0; r < 3; ++r) {
            for (int c = 0; c < 3; ++c) shaped_bind[12 * joint + 4 * r + c] = bind[12 * j + 4 * r + c];
            shaped_bind[12 * joint + 4 * r + 3] = position[r];
        }
        if (j != 0) continue;
        for (int i = 0; i < 9; ++i) rotation[9 * after + i] = place[i];
        for (int i = 0; i < 3; ++i) translation[3 * after + i] = at[i];
        scale[after] = size;
        for (int s = 0; s < S; ++s) proportions[S * after + s] = new_proportion(&m, s, S, P);
        for (int i = 0; i < TERMS; ++i) found_terms[(long long)i * B + b] = 0;
    }
}

// One point's rest position in the pose's proportions. rest (U, 3) | basis (S, U, 3) | proportions (S)
DEVICE void shaped_point(const real* rest, const real* basis, const real* proportions, int u, int U, int S, real* p) {
    for (int r = 0; r < 3; ++r) p[r] = rest[3 * u + r];
    for (int s = 0; s < S; ++s)
        for (int r = 0; r < 3; ++r) p[r] += proportions[s] * basis[3 * ((long long)s * U + u) + r];
}

// The loss of the joint limits
DEVICE real beyond_limits(const Priors* p, const real* angles) {
    real sum = 0;
    for (int i = 0; i < 3 * p->A; ++i) {
        const real over = overshoot(angles[i], p->lower[i], p->upper[i]);
        sum += over * over;
    }
    return sum;
}

// The four terms that need no image. terms: of the pose, B apart | h, g: nullptr where derivatives are not asked for
DEVICE void expect_pose(const Priors* p, const real* angles, const real* rotation, const real* translation, real scale,
                        const real* proportions, const real* expected, real* terms, int B, real* h, real* g) {
    terms[3LL * B] = p->limits_weight * beyond_limits(p, angles);
    terms[4LL * B] = angle_prior(p, angles, expected, h, g);
    terms[5LL * B] = size_prior(p, logarithm(scale), proportions, h, g);
    terms[7LL * B] = temporal_prior(p, angles, rotation, translation, h, g);
}

// A thread for each point, articulated joint and proportion, and for each pose; the last three where derivatives are
// asked for, but for the terms of a pose.
// rest (U, 3) | basis (S, U, 3) | indices, weights (U, K) | rest_normals (V, 3) | expected (B, A, 3), the others of the
// priors as in pose_priors.h
// votes (I, M, 4)
// overwrites posed and shaped_rest (B, U, 3), normals (B, V, 3), equations (B, U, 9), axes (B, A, 3 angles, 3),
// joint_positions (B, A, 3), bind_jacobian (B, J, 3, S), found_terms of limits and priors
// accumulates found_terms of the silhouette and the votes, found_hessian (B, P, P), found_gradient (B, P)
KERNEL(pose_points)(const real* angles, const real* rotation, const real* translation, const real* scale,
                    const real* proportions, const real* shaped_bind, const real* transforms, const real* rest,
                    const real* basis, const int* indices, const real* weights, const real* rest_normals,
                    const int* parents, const int* articulated, const real* joint_basis, const int* index,
                    const real* coefficients, const real* field, const real* nearest_depth, const real* mm_per_px,
                    const real* votes, const real* expected, const real* precision, const int* followers, const real* shape_mean,
                    const real* shape_precision, const real* temporal_pose, const real* temporal_weight,
                    const real* temporal_width, const real* lower, const real* upper, const int* columns, real* posed,
                    real* shaped_rest, real* normals, real* equations, real* axes, real* joint_positions,
                    real* bind_jacobian, real* found_terms, real* found_hessian, real* found_gradient,
                    real silhouette_weight, real free_space, real front, real margin, real limits_weight,
                    real votes_weight, real prior_weight, real follow_share, real follow_precision, real size_weight,
                    real proportion_weight, int has_shape, int has_temporal, int derivatives, int to, int B, int J,
                    int U, int V, int K, int A, int S, int P, int F, int W) {
    FOR_EACH_IN_IMAGE(b, B, item, U + 1 + A + S) {
        const long long pose = b, row = (long long)to * B + b;
        const real* m = transforms + 12 * pose * J;
        if (item < U) {
            const long long point = pose * U + item;
            real t[12], *x = posed + 3 * point, *q = equations + VERTEX_NORMAL_EQUATIONS * point;
            shaped_point(rest, basis, proportions + S * row, item, U, S, shaped_rest + 3 * point);
            blend(m, indices + (long long)item * K, weights + (long long)item * K, K, t);
            transformed(t, shaped_rest + 3 * point, x);
            for (int i = 0; i < VERTEX_NORMAL_EQUATIONS; ++i) q[i] = 0;
            if (item >= V) {
                const int M = U - V;
                const real* vote = votes + VOTE * ((long long)index[b] * M + item - V);
                const real loss = vote_loss(vote, x);
                if (loss != 0) ADD(found_terms + 6LL * B + b, votes_weight * loss / M);
                if (derivatives) add_vote(vote, x, votes_weight / M, q);
                continue;
            }
            turned(t, rest_normals + 3 * item, normals + 3 * (pose * V + item));
            const long long image = index[b], at = image * W * W;
            const real* k = coefficients + 6 * image;
            Place place;
            if (!make_place(x, k, field + at, nearest_depth + at, mm_per_px[image], margin, W, &place)) continue;
            const real loss = place_loss(&place, free_space, front);
            if (loss != 0) ADD(found_terms + B + b, silhouette_weight * loss / V);
            if (derivatives) add_place(&place, x, k, silhouette_weight / V, free_space, front, q);
        } else if (item == U) {
            const Priors priors = {
                precision, followers, shape_mean, shape_precision, temporal_pose, temporal_weight, temporal_width, lower,
                upper, columns, prior_weight, follow_share, follow_precision, size_weight, proportion_weight,
                limits_weight, has_shape, has_temporal, A, S, P, F};
            expect_pose(&priors, angles + 3 * A * row, rotation + 9 * row, translation + 3 * row, scale[row],
                        proportions + S * row, expected + 3 * A * pose, found_terms + b, B,
                        derivatives ? found_hessian + pose * P * P : nullptr,
                        derivatives ? found_gradient + pose * P : nullptr);
        } else if (derivatives && item <= U + A) {
            const int a = item - U - 1, j = articulated[a];
            joint_axes(angles + 3 * (A * row + a), m, scale[row], j, parents[j], shaped_bind + 12 * pose * J, 1,
                       axes + 9 * (pose * A + a), joint_positions + 3 * (pose * A + a));
        } else if (derivatives) {
            const int s = item - U - 1 - A;
            offset_jacobian(m, parents, joint_basis + 3 * (long long)s * J, J, S, s, bind_jacobian + 3 * S * pose * J);
        }
    }
}

// What LANES observed points say of a pose. observed: (count, 3) of them
DEVICE void match(const real* observed, int count, const real* x, const real* normals, real weight, real sigma,
                  real plane, int V, int derivatives, real* equations, real* term) {
    Search search;
    start_search(&search, observed, count);
    search_facing(&search, x, normals, V);
    real sum = 0;
    for (int lane = 0; lane < count; ++lane) {
        const int v = search.winner[lane];
        if (v < 0) {
            sum += sigma * sigma;
            continue;
        }
        real difference[3], along;
        const real* normal = normals + 3 * v;
        const real e = closest_error(observed + 3 * lane, x + 3 * v, normal, plane, difference, &along);
        sum += robust(e, sigma);
        if (derivatives)
            add_closest(difference, normal, along, e, weight, sigma, plane, equations + VERTEX_NORMAL_EQUATIONS * v);
    }
    ADD(term, weight * sum);
}

// A thread for LANES observed points, and for each bone. The collision term becomes NaN where a keypoint is not finite.
// observed (I, O, 3) | bones (N, 2) | accumulates equations (B, U, 9) and two of found_terms
KERNEL(compare_points)(const real* observed, const int* index, const real* posed, const real* normals, const int* bones,
                       real* equations, real* found_terms, real points_weight, real sigma, real plane,
                       real collision_weight, real radius, int derivatives, int B, int O, int U, int V, int N) {
    const int groups = (O + LANES - 1) / LANES, M = U - V;
    FOR_EACH_IN_IMAGE(b, B, item, groups + N) {
        const long long pose = b;
        const real *x = posed + 3 * pose * U, *keypoints = x + 3 * V;
        real* q = equations + VERTEX_NORMAL_EQUATIONS * pose * U;
        if (item < groups) {
            const int first = item * LANES;
            match(observed + 3 * ((long long)index[b] * O + first), min_int(LANES, O - first), x, normals + 3 * pose * V,
                  points_weight / O, sigma, plane, V, derivatives, q, found_terms + b);
            continue;
        }
        const int n = item - groups, first = bones[2 * n], second = bones[2 * n + 1];
        real sum = collision_weight * overlap(keypoints, first, second, radius, M) / M;
        for (int i = 0; i < 3 * M && n == 0; ++i) sum += keypoints[i] - keypoints[i];
        if (sum != 0) ADD(found_terms + 2LL * B + b, sum);
        if (derivatives)
            add_contacts(keypoints, first, second, radius, collision_weight / M, M, q + VERTEX_NORMAL_EQUATIONS * V);
    }
}

// The sum of a pose's terms, B apart
DEVICE real sum_terms(const real* terms, int B) {
    real sum = terms[0];
    for (int i = 1; i < TERMS; ++i) sum += terms[(long long)i * B];
    return sum;
}

DEVICE void keep(bool accepted, const real* before, real* after, int i) {
    if (!accepted) after[i] = before[i];
}

// A thread for each entry. The row `to` of the poses has what was tried; without `moves` it is the start, which is kept.
// A cost that is not finite never counts as lower, and one that is no number as infinite.
// updates row `to` of the poses and of terms (N, TERMS, B), damping (B), improved (B) int; if `derivatives`, hessian
// (B, P, P) and gradient (B, P), and empties found_hessian and found_gradient for what comes next
KERNEL(keep_lower)(real* angles, real* rotation, real* translation, real* scale, real* proportions, real* terms,
                   const real* found_terms, real* found_hessian, real* found_gradient, real* hessian, real* gradient,
                   real* damping, int* improved, real first_damping, real lowest_damping, real highest_damping,
                   real accepted, real refused, int moves, int derivatives, int to, int B, int A, int S, int P) {
    const int entries = max_int(derivatives ? P * P : 9, max_int(3 * A, S));
    FOR_EACH_IN_IMAGE(b, B, i, entries) {
        const long long pose = b, after = (long long)to * B + b, before = moves ? after - B : after;
        const long long now = (long long)TERMS * to * B + b, then = moves ? now - (long long)TERMS * B : now;
        const real found = sum_terms(found_terms + b, B), cost = moves ? sum_terms(terms + then, B) : 0;
        const bool falls = !moves || (cost != cost ? found - found == 0 : found < cost);
        if (derivatives && i < P * P) {
            const long long at = pose * P * P + i;
            if (falls) hessian[at] = found_hessian[at];
            found_hessian[at] = 0;
        }
        if (derivatives && i < P) {
            if (falls) gradient[pose * P + i] = found_gradient[pose * P + i];
            found_gradient[pose * P + i] = 0;
        }
        if (i < 3 * A) keep(falls, angles + 3 * A * before, angles + 3 * A * after, i);
        if (i < 9) keep(falls, rotation + 9 * before, rotation + 9 * after, i);
        if (i < 3) keep(falls, translation + 3 * before, translation + 3 * after, i);
        if (i < S) keep(falls, proportions + S * before, proportions + S * after, i);
        const long long term = (long long)i * B;
        if (i < TERMS) terms[now + term] = falls ? found_terms[term + b] : terms[then + term];
        if (i > 0) continue;
        keep(falls, scale + before, scale + after, 0);
        improved[b] = moves ? improved[b] || falls : 0;
        const real factor = falls ? accepted : refused;
        damping[b] = moves ? within(damping[b] * factor, lowest_damping, highest_damping) : first_damping;
    }
}
