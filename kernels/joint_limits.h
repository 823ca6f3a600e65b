// An angle against its limits; joint_limits.cu has the equation.
#pragma once
#include "linear.h"

// How far it is above the upper, or, negative, below the lower
DEVICE real overshoot(real angle, real lower, real upper) {
    return max_real(0, angle - upper) - max_real(0, lower - angle);
}
