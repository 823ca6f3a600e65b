"""Tensors as arrays and back, without a copy: NumPy on the CPU, CuPy by DLPack on PyTorch's current stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from handopt.backend import Array, from_dlpack, resolve_device, using_stream
from handopt.errors import ShapeError

Tensor = Any


def as_array(tensor: Tensor) -> Array:
    """A tensor's memory as an array of NumPy or CuPy. Only a tensor that is not contiguous is copied."""
    plain = tensor.detach() if tensor.requires_grad else tensor
    if not plain.is_contiguous():
        plain = plain.contiguous()
    if plain.is_cpu:
        return plain.numpy()
    if not plain.is_cuda:
        raise ShapeError(f"expected tensors on one device, the CPU or a CUDA GPU, got one on {plain.device}")
    return from_dlpack(plain)


def as_tensor(array: Array) -> Tensor:
    """An array's memory as a tensor, on the same device."""
    return torch.from_dlpack(array) if hasattr(array, "get") else torch.from_numpy(array)


def on_arrays(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What an op of handopt.ops returns for tensors, as tensors: a tuple where the op returns several arrays.

    arguments: tensors, lists of tensors, and anything else, which is passed on as it is
    """
    first = arguments[0][0] if isinstance(arguments[0], list) else arguments[0]
    if not first.is_cuda:
        return _converted(call, arguments)
    with current_stream(first.device):
        return _converted(call, arguments)


def _converted(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    found = call(*map(_plain, arguments))
    return tuple(map(as_tensor, found)) if isinstance(found, tuple) else as_tensor(found)


def _plain(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor):
        return as_array(argument)
    if isinstance(argument, list) and argument and isinstance(argument[0], torch.Tensor):
        return [as_array(each) for each in argument]
    return argument


@contextmanager
def current_stream(device: Any) -> Iterator[None]:
    """Let CuPy work on the stream that PyTorch works on. Raises DeviceError without CuPy."""
    found = resolve_device(f"cuda:{device.index}")
    with using_stream(found, int(torch.cuda.current_stream(device).cuda_stream)):
        yield
