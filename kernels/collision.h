// One joint against one bone; collision.cu has the equations.
#pragma once
#include "vertex_normal_equations.h"

struct Contact {
    real along[3], q[3];  // b - a, p - mu
    real h, s, depth;     // depth: f, 0 where there is no contact
    bool at_end;          // the end face (f1) is nearer than the side (f2)
};

DEVICE void make_contact(const real* a, const real* b, const real* p, real radius, Contact* contact) {
    for (int c = 0; c < 3; ++c) {
        contact->along[c] = b[c] - a[c];
        contact->q[c] = p[c] - (a[c] + b[c]) / 2;
    }
    const real h2 = dot3(contact->along, contact->along);
    contact->depth = 0;
    if (!(h2 > 0)) return;
    contact->h = sqrt(h2);
    contact->s = dot3(contact->along, contact->q) / contact->h;
    const real dist_h = contact->s * contact->s, dist_r = dot3(contact->q, contact->q) - dist_h;
    const real f1 = h2 / 4 - dist_h, f2 = radius * radius - dist_r;
    contact->at_end = f1 < f2;
    contact->depth = max_real(0, min_real(f1, f2));
}

// The gradient of f by a, b and p, (3) each
DEVICE void contact_gradient(const Contact* contact, bool fixed_length, real* grad_a, real* grad_b, real* grad_p) {
    const real h = contact->h, s = contact->s;
    const real ds = (contact->at_end ? -2 : 2) * s;  // df/ds, from -s^2 or from -(|q|^2 - s^2)
    const real dq = contact->at_end ? 0 : -1;        // df/d|q|^2
    const real dh2 = contact->at_end && !fixed_length ? (real)0.25 : 0;
    for (int c = 0; c < 3; ++c) {
        const real u = contact->along[c] / h, q = contact->q[c];
        const real across = (fixed_length ? q : q - s * u) / h;
        grad_a[c] = ds * (-across - u / 2) - dq * q - 2 * dh2 * contact->along[c];
        grad_b[c] = ds * (across - u / 2) - dq * q + 2 * dh2 * contact->along[c];
        grad_p[c] = ds * u + 2 * dq * q;
    }
}

// The depths of all joints but a bone's own in it, summed. x (M, 3)
DEVICE real overlap(const real* x, int first, int second, real radius, int M) {
    real sum = 0;
    for (int k = 0; k < M; ++k) {
        if (k == first || k == second) continue;
        Contact contact;
        make_contact(x + 3 * first, x + 3 * second, x + 3 * k, radius, &contact);
        sum += contact.depth;
    }
    return sum;
}

// Gauss-Newton on sqrt(f), each of the three joints on its own: 3 times a joint's share bounds their joint curvature.
// The curvature has a pole at f = 0, so f is at least (radius/3)^2 in it. Bone lengths are held constant.
// accumulates equations (M, 9)
DEVICE void add_contacts(const real* x, int first, int second, real radius, real scale, int M, real* equations) {
    for (int k = 0; k < M; ++k) {
        if (k == first || k == second) continue;
        Contact contact;
        make_contact(x + 3 * first, x + 3 * second, x + 3 * k, radius, &contact);
        if (!(contact.depth > 0)) continue;
        real gradient[3][3];
        contact_gradient(&contact, true, gradient[0], gradient[1], gradient[2]);
        const real curvature = 3 / (4 * max_real(contact.depth, radius * radius / 9));
        const int ends[3] = {first, second, k};
        for (int end = 0; end < 3; ++end)
            add_residual(equations + VERTEX_NORMAL_EQUATIONS * ends[end], scale * curvature, gradient[end],
                         1 / (2 * curvature));
    }
}
