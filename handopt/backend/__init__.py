"""Devices, argument checks and kernel launches, on the CPU and on CUDA. The only room that imports cupy."""

from handopt.backend.arguments import Arguments, known_indices
from handopt.backend.copies_ahead import COPIES_VARIABLE, CopiesAhead, PendingCopy, prepares_ahead
from handopt.backend.cuda_graphs import GRAPHS_VARIABLE, copy_arrays, launched, split
from handopt.backend.devices import (
    Array,
    Device,
    cuda_devices,
    cuda_problem,
    device_of,
    from_dlpack,
    namespace,
    namespace_of,
    resolve_device,
    sparse_to_device,
    to_device,
    to_numpy,
    using,
    using_stream,
)
from handopt.backend.launch import launch, schedule
from handopt.backend.launch_cpu import (
    LIBRARY_VARIABLE,
    Library,
    cpu_threads,
    library,
    library_problem,
    one_cpu_thread,
    set_cpu_threads,
    some_cpu_threads,
    threads_for_poses,
)
from handopt.backend.launch_cuda import CUDA_BLOCK, CUDA_MAX_BLOCKS, nvrtc_options
from handopt.backend.signatures import SIGNATURES
from handopt.backend.sources import cuda_sources, kernel_folder, source_hash

__all__ = [
    "COPIES_VARIABLE",
    "CUDA_BLOCK",
    "CUDA_MAX_BLOCKS",
    "GRAPHS_VARIABLE",
    "LIBRARY_VARIABLE",
    "SIGNATURES",
    "Arguments",
    "Array",
    "CopiesAhead",
    "Device",
    "Library",
    "PendingCopy",
    "copy_arrays",
    "cpu_threads",
    "cuda_devices",
    "cuda_problem",
    "cuda_sources",
    "device_of",
    "from_dlpack",
    "kernel_folder",
    "known_indices",
    "launch",
    "launched",
    "library",
    "library_problem",
    "namespace",
    "namespace_of",
    "nvrtc_options",
    "one_cpu_thread",
    "prepares_ahead",
    "resolve_device",
    "schedule",
    "set_cpu_threads",
    "some_cpu_threads",
    "source_hash",
    "sparse_to_device",
    "split",
    "threads_for_poses",
    "to_device",
    "to_numpy",
    "using",
    "using_stream",
]
