"""How an op becomes an operator of PyTorch: `torch.ops.handopt.NAME`, with its shapes and its gradient."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from handopt.backend import known_indices
from handopt.errors import ShapeError
from handopt.torch import arrays

_LIBRARY = torch.library.Library("handopt", "DEF")
NAMES: list[str] = []
_PLAIN = (torch.Tensor, torch.nn.Parameter)
NO_SECOND = "second derivatives are not offered"


def one_each(batch: torch.Tensor, *_: Any) -> torch.Tensor:
    """The shape of results that have a number for each item of the first argument."""
    return batch.new_empty(batch.shape[0])


def like_first(of: torch.Tensor, *_: Any) -> torch.Tensor:
    """The shape of results that are as the first argument."""
    return of.new_empty(of.shape)


def like_second(_grad: torch.Tensor, of: torch.Tensor, *_: Any) -> torch.Tensor:
    """The shape of gradients by the argument that follows that of the results."""
    return of.new_empty(of.shape)


def operator(
    name: str,
    schema: str,
    run: Callable[..., Any],
    shapes: Callable[..., Any],
    *,
    gradients: Sequence[str] = (),
    keep: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    vouched: bool = False,
) -> Any:
    """Define `handopt::name`, for the CPU and CUDA, and return it.

    schema: arguments and results as PyTorch writes them; run: takes arrays of NumPy or CuPy, numbers and None
    shapes: makes the results' empty tensors from those of the arguments, for tracing (register_fake)
    gradients: which arguments have one; keep: saves what backward needs (setup_context); backward: gives a gradient for
    each argument; vouched: the first argument is a list, and index tensors are a rig's, whose values were looked at
    before
    A tensor that requires a gradient in another argument raises ShapeError.
    """
    full_name = f"handopt::{name}"
    NAMES.append(name)
    torch.library.define(full_name, schema, lib=_LIBRARY)
    arguments = [word.split()[-1].split("=")[0] for word in schema[1 : schema.index(") ->")].split(", ")]
    fixed = [(index, argument) for index, argument in enumerate(arguments) if argument not in gradients]

    def compute(*values: Any) -> Any:
        with known_indices() if vouched else nullcontext():
            return arrays.on_arrays(run, values)

    def fake(*values: Any) -> Any:
        flat = [one for each in values for one in (each if isinstance(each, list) else [each])]
        tensors = [each for each in flat if isinstance(each, torch.Tensor)]
        devices = {str(each.device) for each in tensors}
        if len(devices) > 1:
            raise ShapeError(f"handopt.torch.{name}: expected tensors on one device, got {', '.join(sorted(devices))}")
        return shapes(*values)

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        for index, argument in fixed:
            if ctx.needs_input_grad[index]:
                raise ShapeError(f"{argument}: {name} has no gradient by it; pass {argument}.detach()")
        if keep is not None:
            keep(ctx, inputs, output)

    def refuse(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(f"handopt::{name}: {NO_SECOND}")

    for device in ("CPU", "CUDA"):
        torch.library.impl(full_name, device, compute, lib=_LIBRARY)
    torch.library.register_fake(full_name, fake, lib=_LIBRARY)
    if name.endswith("_backward"):
        torch.library.register_autograd(full_name, refuse, lib=_LIBRARY)
    else:
        torch.library.register_autograd(full_name, backward or refuse, setup_context=setup, lib=_LIBRARY)
    registered = getattr(torch.ops.handopt, name).default
    return _direct(registered, compute) if vouched else registered


def _direct(registered: Any, compute: Callable[..., Any]) -> Callable[..., Any]:
    """An operator past PyTorch's dispatcher, which costs as much as an op, where nothing is traced."""

    def call(*values: Any) -> Any:
        first = values[0][0]
        traced = torch.compiler.is_compiling() or type(first) not in _PLAIN or first.is_meta
        return registered(*values) if traced else compute(*values)

    return call
