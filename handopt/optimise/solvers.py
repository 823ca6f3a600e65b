"""Solvers of gradient descent: they turn a gradient into a step, for each hypothesis of a batch independently."""

from typing import Any

from handopt.backend import Array, namespace_of
from handopt.config import Steps
from handopt.hand_model import MAX_SCALE, MIN_SCALE, Pose, exponential
from handopt.objective.energy import Gradient


class Solver:
    """A step from a gradient, with one state per group of parameters. A solver serves one stage only."""

    def __init__(self, steps: Steps) -> None:
        """steps: sizes per iteration and group, which step() multiplies by its factor."""
        self.steps = steps
        self._state: dict[str, tuple[Array, ...]] = {}

    def step(self, pose: Pose, gradient: Gradient, factor: float, free_scale: bool, rest: Array | None = None) -> None:
        """Move the poses, and the rest vertices if they are given, in place."""
        pose.angles -= factor * self.steps.angles_rad * self.direction("angles", gradient.angles)
        pose.translation -= factor * self.steps.translation_mm * self.direction("translation", gradient.translation)
        turn = exponential(-factor * self.steps.rotation_rad * self.direction("rotation", gradient.rotation))
        pose.rotation = namespace_of(turn).ascontiguousarray(turn @ pose.rotation)
        if free_scale:
            pose.scale -= factor * self.steps.scale * self.direction("scale", gradient.scale)
            pose.scale.clip(MIN_SCALE, MAX_SCALE, out=pose.scale)
        if rest is not None:
            rest -= factor * self.steps.vertices_mm * self.direction("rest", gradient.rest)

    def direction(self, group: str, gradient: Array) -> Array:
        """The step of one group, of size about 1."""
        raise TypeError("Solver is abstract: use Adam or Momentum")


class Adam(Solver):
    """Adam (Kingma and Ba, 2015): moments of the gradient and its square, per parameter, with bias correction."""

    beta1, beta2, epsilon = 0.8, 0.95, 1e-8

    def direction(self, group: str, gradient: Array) -> Array:
        """Bias-corrected mean over root mean square."""
        xp = namespace_of(gradient)
        first, second, count = self._state.get(group, (xp.zeros_like(gradient), xp.zeros_like(gradient), None))
        count = xp.zeros(len(gradient) if group != "rest" else 1, gradient.dtype) if count is None else count
        count = count + 1
        first = self.beta1 * first + (1 - self.beta1) * gradient
        second = self.beta2 * second + (1 - self.beta2) * gradient**2
        self._state[group] = first, second, count
        age = count.reshape(-1, *[1] * (gradient.ndim - 1))
        return (first / (1 - self.beta1**age)) / (xp.sqrt(second / (1 - self.beta2**age)) + self.epsilon)


class Momentum(Solver):
    """Gradient descent with momentum (Polyak, 1964), each group scaled to its largest gradient so far.

    The largest step of a group is then its step size times the factor, as with Adam, but a group's components keep
    their proportions.
    """

    decay, memory = 0.9, 0.95

    def direction(self, group: str, gradient: Array) -> Array:
        """Decayed sum of gradients over their largest component."""
        xp = namespace_of(gradient)
        rows = (1, -1) if group == "rest" else (len(gradient), -1)
        flat = gradient.reshape(rows)
        velocity, largest = self._state.get(group, (xp.zeros_like(flat), xp.zeros((len(flat), 1), flat.dtype)))
        largest = xp.maximum(self.memory * largest, xp.abs(flat).max(axis=1, keepdims=True))
        velocity = self.decay * velocity + (1 - self.decay) * flat / xp.maximum(largest, 1e-20)
        self._state[group] = velocity, largest
        return velocity.reshape(gradient.shape)


SOLVERS: dict[str, Any] = {"adam": Adam, "momentum": Momentum}
