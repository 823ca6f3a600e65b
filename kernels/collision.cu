// Collision of joints with bones (paper, Eq. 14 to 22, corrected: the printed Eq. 20 to 22 increase the loss).
//
//   bone with end joints a, b and length h, another joint p, mu = (a + b)/2, s = (b - a)^T (p - mu) / h
//   dist_h = s^2,  dist_r = |p - mu|^2 - s^2,  f = max(0, min((h/2)^2 - dist_h, r^2 - dist_r))
//   L = 1/m sum over bones and over joints that are not an end of the bone
//
// h held constant:  d dist_h = 2/h s {a: a - p, b: p - b, p: b - a},
//                   d dist_r = {a, b: mu - p, p: 2 (p - mu)} - d dist_h
// h free:           u = (b - a)/h, q = p - mu, q' = q - s u:  ds = {a: -q'/h - u/2, b: q'/h - u/2, p: u},
//                   and (h/2)^2 adds {a: -(b - a)/2, b: (b - a)/2}
//
// joints (B, M, 3) mm | bones (N, 2) int | radius r in mm
#include "collision.h"

// accumulates loss (B)
KERNEL(collision_forward)(const real* joints, const int* bones, real* loss, real radius, int B, int M, int N) {
    FOR_EACH_IN_IMAGE(b, B, n, N) {
        const real sum = overlap(joints + 3 * (long long)b * M, bones[2 * n], bones[2 * n + 1], radius, M);
        if (sum > 0) ADD(loss + b, sum / M);
    }
}

// accumulates grad_joints (B, M, 3)
KERNEL(collision_backward)(const real* grad_loss, const real* joints, const int* bones, real* grad_joints, real radius,
                           int fixed_length, int B, int M, int N) {
    FOR_EACH_IN_IMAGE(b, B, n, N) {
        const real* x = joints + 3 * (long long)b * M;
        real* grad = grad_joints + 3 * (long long)b * M;
        const int first = bones[2 * n], second = bones[2 * n + 1];
        const real grad_contact = grad_loss[b] / M;
        for (int k = 0; k < M; ++k) {
            if (k == first || k == second) continue;
            Contact contact;
            make_contact(x + 3 * first, x + 3 * second, x + 3 * k, radius, &contact);
            if (!(contact.depth > 0)) continue;
            real grad_a[3], grad_b[3], grad_p[3];
            contact_gradient(&contact, fixed_length, grad_a, grad_b, grad_p);
            for (int c = 0; c < 3; ++c) {
                ADD(grad + 3 * first + c, grad_contact * grad_a[c]);
                ADD(grad + 3 * second + c, grad_contact * grad_b[c]);
                ADD(grad + 3 * k + c, grad_contact * grad_p[c]);
            }
        }
    }
}

// accumulates vertex_normal_equations (B, M, 9), see vertex_normal_equations.h
KERNEL(collision_normal_equations)(const real* grad_loss, const real* joints, const int* bones,
                                   real* vertex_normal_equations, real radius, int B, int M, int N) {
    FOR_EACH_IN_IMAGE(b, B, n, N) {
        const long long at = (long long)b * M;
        add_contacts(joints + 3 * at, bones[2 * n], bones[2 * n + 1], radius, grad_loss[b] / M, M,
                     vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * at);
    }
}
