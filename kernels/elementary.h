// The exponential, the logarithm and the arccosine, of + - * / and square roots alone.
//
// CUDA's own are made of approximations that its hardware has, then refined: instructions that what emulates a GPU does
// not know. These are the same few operations on every target, within a few units in the last place (an exponential
// beyond |x| = 1 within 4 |x| of them), and a NaN stays a NaN. A thread needs each once, so their cost does not matter.
// A file that defines STANDARD_FUNCTIONS before it includes this has those of the C++ library.
#pragma once
#include "target.h"

#ifdef STANDARD_FUNCTIONS

DEVICE real exponential(real x) { return exp(x); }
DEVICE real logarithm(real x) { return log(x); }
DEVICE real arccosine(real cosine) { return acos(cosine); }

#else

// exp(x) - 1 = x (1 + x/2 (1 + x/3 (...))) of a small x, then exp(2x) - 1 = (exp(x) - 1) (exp(x) + 1)
DEVICE real exponential(real x) {
    real part = x < 0 ? -x : x;
    int doublings = 0;
    for (; part > (real)0.125 && doublings < 16; ++doublings) part *= (real)0.5;
    real more = 0;
    for (int n = 10; n > 0; --n) more = part / n * (1 + more);
    for (; doublings > 0; --doublings) more *= 2 + more;
    return x < 0 ? 1 / (1 + more) : 1 + more;
}

// log(2^n y) = n log(2) + 2 atanh(z), z = (y - 1) / (y + 1), y from 1/2 to 2, without cancellation
DEVICE real logarithm(real x) {
    if (x <= 0) return x < 0 ? sqrt(x) : -1 / (x * x);
    if (x - x != 0) return x;  // infinite, or no number
    int doublings = 0;
    for (; x > 2; ++doublings) x *= (real)0.5;
    for (; x < (real)0.5; --doublings) x *= 2;
    const real z = (x - 1) / (x + 1);
    real sum = 0;
    for (int n = 17; n >= 0; --n) sum = sum * z * z + (real)1 / (2 * n + 1);
    return doublings * (real)0.69314718055994530942 + 2 * z * sum;
}

// 8 atan(tan(a / 8)), where tan(a / 2) = tan(a) / (1 + sqrt(1 + tan(a)^2)) and tan(a / 2)^2 = (1 - cos a) / (1 + cos a)
DEVICE real arccosine(real cosine) {
    const real size = cosine < 0 ? -cosine : cosine;
    real tangent = sqrt((1 - size) / (1 + size));
    for (int i = 0; i < 2; ++i) tangent /= 1 + sqrt(1 + tangent * tangent);
    real sum = 0;
    for (int n = 12; n >= 0; --n) sum = (real)1 / (2 * n + 1) - sum * tangent * tangent;
    const real angle = 8 * tangent * sum;
    return cosine < 0 ? (real)3.14159265358979323846 - angle : angle;
}

#endif
