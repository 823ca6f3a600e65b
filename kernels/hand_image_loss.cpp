// One image-iteration in one pass: skin, project, splat, compare, collide, and all gradients (skinning.cu, projection.cu,
// splat.cu, image_losses.cu and collision.cu have the equations).
//
// A CPU's schedule; a GPU runs those ops one by one. One image per thread, or the two halves of a single one on two:
// its rows are cut in two parts of about equal work, wherever they run, so that results depend on no number of threads.
// What makes it fast:
//   - Transforms as columns: four columns of four reals blend, and add up their gradients, without shuffles.
//   - Points in the order of their first row, so that the part of the image that a splat touches is in the cache.
//   - Splats compare u = sqrt(1 - z) s, whose square is their value: a subtraction a pixel. The buffers have margins, so
//     that each splat has the same number of rows and of vectors, and no branches.
//   - Winners collect sums of u (dx, dy, u) times the loss's slope, row by row, while the row is in the cache.
//
// transforms (B, J, 3, 4) | rest (V, 3) | indices, weights (V, K) | coefficients (B, 6) | target, pixel_weight (I, S, S)
// index (B) int | joint_rest (M, 3), joint_indices (M) int, bones (N, 2) int: joints for the collision term
#include "collision.h"
#include "held_memory.h"
#include "robust.h"

#if IMAGE_KERNELS
template <int BYTES>
struct WholeNumber {
    typedef int type;
};
template <>
struct WholeNumber<8> {
    typedef long long type;
};
typedef WholeNumber<sizeof(real)>::type whole;  // as wide as a real, so that one comparison selects both
#define SPLAT_LANES 8
typedef real reals4 __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real reals8 __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef whole wholes8 __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));
#define PARTS 2
#ifndef PRAGMA
#define PRAGMA(text) _Pragma(#text)
#endif
// Both parts of an image: on two threads where it is the only one
#ifdef _OPENMP
#define FOR_EACH_PART(threads, stage)                               \
    if ((threads) > 1) {                                            \
        PRAGMA(omp parallel for schedule(static) num_threads(PARTS)) \
        for (int part = 0; part < PARTS; ++part) stage;             \
    } else {                                                        \
        for (int part = 0; part < PARTS; ++part) stage;             \
    }
#else
#define FOR_EACH_PART(threads, stage) \
    for (int part = 0; part < PARTS; ++part) stage;
#endif

// Sizes of one image's problem, and where its scratch lies
struct HandImage {
    const real *transforms, *rest, *weights, *coefficients, *target, *pixel_weight;
    const int *indices, *by_count;  // by_count (V): vertices by their number of weights, so that loops run alike
    int J, V, K, S, perspective;
    real radius, inverse_r2, delta;
    int reach, vectors, stride;  // rows of a splat, vectors of a row, and reals of a row with its margins
    // scratch
    real *columns, *points, *sorted, *fields[PARTS], *sums[PARTS], *grad_columns[PARTS];
    whole* winners[PARTS];
    int *first_row, *place, *seen, *starts;
    // what the stages tell one another
    int threads, count, cut;
    real loss[PARTS];
};

// Blended columns of one vertex: column c is sum_k w_k M_k's column c
DEVICE void blend_columns(const HandImage& h, int v, reals4* blended) {
    const int* joints = h.indices + (long long)v * h.K;
    const real* w = h.weights + (long long)v * h.K;
    reals4 sums[4] = {{0}, {0}, {0}, {0}};
    for (int k = 0; k < h.K; ++k) {
        if (w[k] == 0) break;
        const reals4* m = (const reals4*)(h.columns + 16 * (long long)joints[k]);
        for (int c = 0; c < 4; ++c) sums[c] += w[k] * m[c];
    }
    for (int c = 0; c < 4; ++c) blended[c] = sums[c];
}

DEVICE reals4 pose_vertex(const reals4* blended, const real* p) {
    return blended[0] * p[0] + blended[1] * p[1] + blended[2] * p[2] + blended[3];
}

// Transforms as columns: (J, 4, 4), column by column, the last row 0
DEVICE void set_columns(HandImage& h) {
    for (int j = 0; j < h.J; ++j)
        for (int c = 0; c < 4; ++c) {
            for (int r = 0; r < 3; ++r) h.columns[16 * j + 4 * c + r] = h.transforms[12 * j + 4 * r + c];
            h.columns[16 * j + 4 * c + 3] = 0;
        }
}

// First stage: skin and project the vertices of a part. points (V, 4): x, y, sqrt(1 - z); first_row -1: renders nothing
DEVICE void place_points(HandImage& h, int part) {
    const real *k = h.coefficients, r = h.radius;
    for (int i = h.V * part / PARTS; i < h.V * (part + 1) / PARTS; ++i) {
        const int v = h.by_count[i];
        reals4 blended[4];
        blend_columns(h, v, blended);
        const reals4 f = pose_vertex(blended, h.rest + 3 * v);
        const bool behind = h.perspective && !(f[2] > 0);
        const real inverse = h.perspective ? 1 / (behind ? (real)1 : f[2]) : 1;
        const real x = k[0] * f[0] * inverse + k[1], y = k[2] * f[1] * inverse + k[3];
        const real closeness = behind ? (real)-1 : 1 - (k[4] * f[2] + k[5]);
        const bool inside = x > -r && x < h.S - 1 + r && y > -r && y < h.S - 1 + r;
        h.first_row[v] = inside && closeness > 0 && closeness < (real)1e30 ? (int)floor(y - r) + 1 + h.reach : -1;
        h.points[4 * v] = x;
        h.points[4 * v + 1] = y;
        h.points[4 * v + 2] = sqrt(closeness > 0 ? closeness : 0);
    }
}

// Second stage: points by their first row, then by index, and the cut between the parts. starts (S + 2 reach + 2)
DEVICE void sort_points(HandImage& h) {
    const int rows = h.S + 2 * h.reach + 1;
    for (int row = 0; row <= rows; ++row) h.starts[row] = 0;
    for (int v = 0; v < h.V; ++v) ++h.starts[h.first_row[v] + 1];
    h.starts[0] = 0;
    for (int row = 1; row <= rows; ++row) h.starts[row] += h.starts[row - 1];
    h.count = h.starts[rows];
    for (int v = 0; v < h.V; ++v) {
        const int row = h.first_row[v];
        h.place[v] = -1;
        if (row < 0) continue;
        const int to = h.starts[row]++;
        h.place[v] = to;
        for (int c = 0; c < 4; ++c) h.sorted[4 * to + c] = h.points[4 * v + c];
    }
    // starts[row] is now the end of row's points; half of the splats begin above the cut, less half their height
    int middle = 0;
    while (middle < rows && 2 * h.starts[middle] < h.count) ++middle;
    h.cut = min_int(h.S, max_int(0, middle - h.reach + h.reach / 2));
}

template <int VECTORS>
DEVICE void splat_rows(const HandImage& h, real* field, whole* winners, real x, real dy, real top, whole id, int n) {
    const real k = top * h.inverse_r2;
    reals8 across[VECTORS];
    const reals8 lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int i = 0; i < VECTORS; ++i) {
        const reals8 dx = lanes + (8 * i - x);
        across[i] = top - k * dx * dx;
    }
    const wholes8 mine = (wholes8){0} + id;
    const int stride = h.stride;
    for (int row = 0; row < n; ++row) {
        const real down = k * dy * dy;
        for (int i = 0; i < VECTORS; ++i) {
            reals8* f = (reals8*)(field + 8 * i);
            wholes8* w = (wholes8*)(winners + 8 * i);
            const reals8 u = across[i] - down, old = *f;
            const wholes8 wins = u > old;
            *f = wins ? u : old;
            *w = wins ? mine : *w;
        }
        field += stride;
        winners += stride;
        dy += 1;
    }
}

// The slope of the loss at the pixels of a row, into slopes, where it has a winner; returns the row's loss times S^2
DEVICE real row_slopes(const HandImage& h, const real* u, const real* t, const real* w, real* slopes) {
    real total = 0;
    int c = 0;
    if (h.delta == 0 && !w) {
        reals8 sums = {0};
        const reals8 zero = {0};
        for (; c + 8 <= h.S; c += 8) {
            const reals8 v = *(const reals8*)(u + c), e = v * v - *(const reals8*)(t + c);
            const reals8 up = e > 0 ? v : zero, down = e < 0 ? v : zero;
            sums += e > 0 ? e : -e;
            *(reals8*)(slopes + c) = up - down;
        }
        total = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
    }
    for (; c < h.S; ++c) {
        const real e = u[c] * u[c] - t[c], weight = w ? w[c] : (real)1;
        total += weight * huber(e, h.delta);
        slopes[c] = weight * huber_slope(e, h.delta) * u[c];
    }
    return total;
}

// Third stage: render rows first..end of the image, compare them, and sum up each point's share. sums (V, 4) by sorted
// place: slope u (dx, dy, u, 1)
DEVICE void render_part(HandImage& h, int part) {
    const int first = part ? h.cut : 0, end = part ? h.S : h.cut;
    const int buffer = h.threads > 1 ? part : 0;
    real *field = h.fields[buffer], *sums = h.sums[part];
    whole* winners = h.winners[buffer];
    h.loss[part] = 0;
    for (int k = 0; k < 4 * h.count; ++k) sums[k] = 0;
    if (first >= end) return;
    // rows first - reach..end + reach are kept; those beyond the part are margins that nobody reads
    const int left = h.reach, margin = h.reach * h.stride, cells = (end - first) * h.stride;
    for (int k = 0; k < cells; ++k) field[margin + k] = 0;
    for (int k = 0; k < cells; ++k) winners[margin + k] = -1;
    const int from = h.starts[first], to = h.starts[end + h.reach - 1];  // first rows > first - reach
    for (int e = from; e < to; ++e) {
        const real x = h.sorted[4 * e], y = h.sorted[4 * e + 1], top = h.sorted[4 * e + 2];
        const int row = (int)floor(y - h.radius) + 1, column = (int)floor(x - h.radius) + 1;
        const long long at = (long long)(row - first + h.reach) * h.stride + column + left;
        real *f = field + at, dx = x - column, dy = row - y;
        whole* w = winners + at;
        if (h.vectors == 1)
            splat_rows<1>(h, f, w, dx, dy, top, e, h.reach);
        else if (h.vectors == 2)
            splat_rows<2>(h, f, w, dx, dy, top, e, h.reach);
        else
            for (int i = 0; i < h.vectors; ++i) splat_rows<1>(h, f + 8 * i, w + 8 * i, dx - 8 * i, dy, top, e, h.reach);
    }
    real* slopes = field;  // the first row of the margin
    for (int row = first; row < end; ++row) {
        const long long at = (long long)(row - first + h.reach) * h.stride + left, pixel = (long long)row * h.S;
        const real* u = field + at;
        const whole* w = winners + at;
        h.loss[part] +=
            row_slopes(h, u, h.target + pixel, h.pixel_weight ? h.pixel_weight + pixel : nullptr, slopes);
        const real* sorted = h.sorted;
        for (int c = 0, S = h.S; c < S; ++c) {
            if (w[c] < 0) continue;
            const real* q = sorted + 4 * w[c];
            const reals4 share = {c - q[0], row - q[1], u[c], 1};
            reals4* sum = (reals4*)(sums + 4 * w[c]);
            *sum += slopes[c] * share;
        }
    }
}

// Fourth stage: from the sums of half of the points to the transforms, as columns, and to the rest vertices
DEVICE void pull_back(HandImage& h, int part, real grad_mean, real* grad_rest) {
    const real* k = h.coefficients;
    real* grad_columns = h.grad_columns[part];
    for (int c = 0; c < 16 * h.J; ++c) grad_columns[c] = 0;
    // The points that show, gathered without a branch
    const int begin = h.V * part / PARTS, end = h.V * (part + 1) / PARTS;
    int *seen = h.seen + begin, count = 0;
    for (int i = begin; h.count > 0 && i < end; ++i) {
        const int v = h.by_count[i], e = max_int(h.place[v], 0);
        real* s = h.sums[0] + 4 * e;
        for (int c = 0; c < 3; ++c) h.points[4 * v + c] = s[c] + h.sums[1][4 * e + c];
        const real* total = h.points + 4 * v;
        seen[count] = v;
        count += (int)(h.place[v] >= 0) & ((int)(total[0] != 0) | (int)(total[1] != 0) | (int)(total[2] != 0));
    }
    for (int i = 0; i < count; ++i) {
        const int v = seen[i], e = h.place[v];
        const real* s = h.points + 4 * v;
        const real top = h.sorted[4 * e + 2], lateral = 4 * grad_mean * top * h.inverse_r2, *p = h.rest + 3 * v;
        real g[3] = {k[0] * lateral * s[0], k[2] * lateral * s[1], -k[4] * grad_mean * s[2] / (top * top)};
        reals4 blended[4];
        if (h.perspective || grad_rest) blend_columns(h, v, blended);
        if (h.perspective) {
            const reals4 f = pose_vertex(blended, p);
            const real inverse = 1 / f[2];
            g[0] *= inverse;
            g[1] *= inverse;
            g[2] -= (g[0] * f[0] + g[1] * f[1]) * inverse;
        }
        for (int c = 0; grad_rest && c < 3; ++c)
            grad_rest[3 * v + c] = blended[c][0] * g[0] + blended[c][1] * g[1] + blended[c][2] * g[2];
        const reals4 grad_vertex = {g[0], g[1], g[2], 0};
        const reals4 outer[4] = {grad_vertex * p[0], grad_vertex * p[1], grad_vertex * p[2], grad_vertex};
        const int* joints = h.indices + (long long)v * h.K;
        const real* w = h.weights + (long long)v * h.K;
        for (int n = 0; n < h.K; ++n) {
            if (w[n] == 0) break;
            reals4* m = (reals4*)(grad_columns + 16 * (long long)joints[n]);
            for (int c = 0; c < 4; ++c) m[c] += w[n] * outer[c];
        }
    }
}

// Joints and bones of the collision term
struct Skeleton {
    const real* rest;
    const int *indices, *bones;
    int M, N, fixed_length;
    real radius, weight;
};

// Adds the collision term to the gradient of the transforms and returns its loss. joints, grad (M, 3) scratch
DEVICE real collide(const Skeleton& s, const real* transforms, real grad_loss, real* joints, real* grad,
                    real* grad_transforms) {
    for (int k = 0; k < s.M; ++k) {
        const real *m = transforms + 12 * s.indices[k], *p = s.rest + 3 * k;
        for (int r = 0; r < 3; ++r) {
            joints[3 * k + r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
            grad[3 * k + r] = 0;
        }
    }
    const real share = s.weight / s.M, grad_contact = grad_loss * share;
    real loss = 0;
    for (int n = 0; n < s.N; ++n) {
        const int first = s.bones[2 * n], second = s.bones[2 * n + 1];
        for (int k = 0; k < s.M; ++k) {
            if (k == first || k == second) continue;
            Contact contact;
            make_contact(joints + 3 * first, joints + 3 * second, joints + 3 * k, s.radius, &contact);
            if (!(contact.depth > 0)) continue;
            loss += share * contact.depth;
            real grad_a[3], grad_b[3], grad_p[3];
            contact_gradient(&contact, s.fixed_length, grad_a, grad_b, grad_p);
            for (int c = 0; c < 3; ++c) {
                grad[3 * first + c] += grad_contact * grad_a[c];
                grad[3 * second + c] += grad_contact * grad_b[c];
                grad[3 * k + c] += grad_contact * grad_p[c];
            }
        }
    }
    for (int k = 0; k < s.M; ++k) {
        real* m = grad_transforms + 12 * s.indices[k];
        const real* p = s.rest + 3 * k;
        for (int r = 0; r < 3; ++r) {
            for (int c = 0; c < 3; ++c) m[4 * r + c] += grad[3 * k + r] * p[c];
            m[4 * r + 3] += grad[3 * k + r];
        }
    }
    return loss;
}

// One block for all of an image's scratch, reals first; returns its bytes, and sets the pointers where base is given
DEVICE size_t lay_out(HandImage& h, char* base) {
    const size_t cells = (size_t)(h.S + 2 * h.reach) * h.stride, V = h.V, J = h.J;
    size_t at = 0;
#define TAKE(pointer, type, n)                    \
    if (base) pointer = (type*)(base + at);       \
    at += ((n) * sizeof(type) + 63) / 64 * 64;
    TAKE(h.columns, real, 16 * J)
    TAKE(h.points, real, 4 * V)
    TAKE(h.sorted, real, 4 * V)
    for (int part = 0; part < PARTS; ++part) {
        TAKE(h.fields[part], real, cells)
        TAKE(h.winners[part], whole, cells)
        TAKE(h.sums[part], real, 4 * V)
        TAKE(h.grad_columns[part], real, 16 * J)
    }
    TAKE(h.first_row, int, V)
    TAKE(h.place, int, V)
    TAKE(h.seen, int, V)
    TAKE(h.starts, int, h.S + 2 * h.reach + 4)
#undef TAKE
    return at;
}

// Vertices by their number of weights, then by index: overwrites by_count (V); counts (V + K + 2) scratch
DEVICE void sort_by_weights(const real* weights, int V, int K, int* by_count, int* counts) {
    int* starts = counts + V;
    for (int n = 0; n < K + 2; ++n) starts[n] = 0;
    for (int v = 0; v < V; ++v) {
        const real* w = weights + (long long)v * K;
        int count = 0, go = 1;
        for (int k = 0; k < K; ++k) {
            go &= (int)(w[k] != 0);
            count += go;
        }
        counts[v] = count;
        ++starts[count + 1];
    }
    for (int n = 1; n < K + 2; ++n) starts[n] += starts[n - 1];
    for (int v = 0; v < V; ++v) by_count[starts[counts[v]]++] = v;
}

// What all images share, and where the results go
struct Batch {
    const real *grad_loss, *transforms, *coefficients, *target, *pixel_weight;
    const int* index;
    real *loss, *grad_transforms, *grad_rest_images;
    int weighted, with_rest, threads;
    size_t bytes;
};

DEVICE void run_image(const HandImage& common, const Skeleton& skeleton, const Batch& batch, int b) {
    const int S = common.S, V = common.V, J = common.J, threads = batch.threads;
    char* base = held_memory(1, batch.bytes);
    HandImage h = common;
    h.threads = threads;
    h.transforms = batch.transforms + 12 * (long long)b * J;
    h.coefficients = batch.coefficients + 6 * (long long)b;
    h.target = batch.target + (long long)batch.index[b] * S * S;
    h.pixel_weight = batch.weighted ? batch.pixel_weight + (long long)batch.index[b] * S * S : nullptr;
    real* joints = (real*)(base + lay_out(h, base));
    const real grad_mean = batch.grad_loss[b] / ((real)S * S);
    real *grad = batch.grad_transforms + 12 * (long long)b * J,
         *grad_rest = batch.with_rest ? batch.grad_rest_images + 3 * (long long)b * V : nullptr;
    set_columns(h);
    for (int k = 0; batch.with_rest && k < 3 * V; ++k) grad_rest[k] = 0;
    FOR_EACH_PART(threads, place_points(h, part))
    sort_points(h);
    FOR_EACH_PART(threads, render_part(h, part))
    FOR_EACH_PART(threads, pull_back(h, part, grad_mean, grad_rest))
    for (int j = 0; j < J; ++j)
        for (int r = 0; r < 3; ++r)
            for (int c = 0; c < 4; ++c) {
                const int at = 16 * j + 4 * c + r;
                grad[12 * j + 4 * r + c] = h.grad_columns[0][at] + h.grad_columns[1][at];
            }
    batch.loss[b] = (h.loss[0] + h.loss[1]) / ((real)S * S);
    if (skeleton.N > 0)
        batch.loss[b] += collide(skeleton, h.transforms, batch.grad_loss[b], joints, joints + 3 * skeleton.M, grad);
}

// overwrites loss (B), grad_transforms (B, J, 3, 4) and, if with_rest, grad_rest_images (B, V, 3), whose sum over b is
// Eq. 8. Gradients are those of loss times grad_loss (B).
KERNEL(hand_image_loss)(const real* grad_loss, const real* transforms, const real* rest, const int* indices,
                        const real* weights, const real* coefficients, const real* target, const real* pixel_weight,
                        const int* index, const real* joint_rest, const int* joint_indices, const int* bones,
                        real* loss, real* grad_transforms, real* grad_rest_images, real radius, real delta,
                        real collision_radius, real collision_weight, int fixed_length, int perspective, int weighted,
                        int with_rest, int B, int J, int V, int K, int S, int M, int N) {
    HandImage common = {};
    common.rest = rest;
    common.indices = indices;
    common.weights = weights;
    common.J = J;
    common.V = V;
    common.K = K;
    common.S = S;
    common.perspective = perspective;
    common.radius = radius;
    common.inverse_r2 = 1 / (radius * radius);
    common.delta = delta;
    common.reach = (int)ceil(2 * radius);
    common.vectors = (common.reach + 7) / 8;
    common.stride = (common.reach + S + 8 * common.vectors + 7) / 8 * 8;
    int* by_count = (int*)held_memory(0, (2 * (size_t)V + K + 2) * sizeof(int));
    sort_by_weights(weights, V, K, by_count, by_count + V);
    common.by_count = by_count;
    const size_t bytes = lay_out(common, nullptr) + 2 * (size_t)(3 * M + 1) * sizeof(real) + 128;
    const Skeleton skeleton = {joint_rest, joint_indices, bones, M, N, fixed_length, collision_radius, collision_weight};
#ifdef _OPENMP
    const int threads = B > 1 ? 1 : omp_get_max_threads();
#else
    const int threads = 1;
#endif
    const Batch batch = {grad_loss, transforms, coefficients, target, pixel_weight, index, loss, grad_transforms,
                         grad_rest_images, weighted, with_rest, threads, bytes};
    // A single image is not in a parallel region: its parts would be threads that are made anew each time.
    if (B == 1) {
        run_image(common, skeleton, batch, 0);
        return;
    }
    FOR_EACH_IMAGE(b, B) { run_image(common, skeleton, batch, b); }
}
#endif
