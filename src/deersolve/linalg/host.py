"""NumPy views of arrays that lie in the memory of the CPU, and the way back."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any, cast

from ..backends import backend_of
from ..backends.namespace import Array, dtype_name


@functools.cache
def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def family(array: Array) -> str:
    """Return "numpy", "torch", "jax", "cupy", or "generic" for an array of any other library."""
    return backend_of(array).name


def device_name(array: Array) -> str:
    """Return "cpu", "cuda", "gpu", "tpu", ...; for a JAX tracer the default of JAX."""
    kind = family(array)
    if kind == "jax":
        import jax

        device = None if isinstance(array, jax.core.Tracer) else array.device
        return str(getattr(device, "platform", jax.default_backend()))
    if kind == "cupy":
        return "cuda"
    return str(array.device.type) if kind == "torch" else "cpu"


@functools.cache
def has_compiler(library: str) -> bool:
    """Return whether a library compiles kernels and runs them on its own arrays."""
    if library != "torch":
        return library == "cupy"
    import torch

    return torch.version.cuda is not None and hasattr(torch.cuda, "_compile_kernel")


def is_traced(array: Array) -> bool:
    """Return whether a derivative or a compiler follows an array."""
    if family(array) != "jax":
        return is_recorded(array)
    import jax

    return isinstance(array, jax.core.Tracer)


def is_recorded(*arrays: Array) -> bool:
    """Return whether an array library records or transforms what is done to one of the arrays."""
    if family(arrays[0]) != "torch":
        return False
    import torch

    functorch, unpack = torch._C._functorch, cast("Any", torch.autograd.forward_ad.unpack_dual)
    is_wrapped = getattr(functorch, "is_functorch_wrapped_tensor", lambda _: True)
    if any(is_wrapped(a) or type(a) not in (torch.Tensor, torch.nn.Parameter) for a in arrays):
        return True
    if torch.is_grad_enabled() and any(a.requires_grad for a in arrays):
        return True
    return any(unpack(a).tangent is not None for a in arrays)


def to_numpy(array: Array) -> Any:
    """Return a NumPy array that shares the memory of a NumPy array or CPU tensor."""
    return array.detach().numpy() if family(array) == "torch" else array


def in_host_memory(*arrays: Array) -> bool:
    """Return whether NumPy can see the numbers and nobody records what is done to them."""
    kind = family(arrays[0])
    if kind != "torch":
        return kind == "numpy"
    is_known = all(dtype_name(a) in ("float32", "float64") for a in arrays)
    return is_known and device_name(arrays[0]) == "cpu" and not is_recorded(*arrays)


def is_host_float(array: Any) -> bool:
    """Return whether a NumPy array holds float32 or float64."""
    return array.dtype.char in "fd"


def constant(value: Any, like: Array) -> Any:
    """Return a NumPy array of numbers as one of the library, device and dtype of ``like``, anything else as it is."""
    if not hasattr(value, "shape") or family(value) != "numpy" or value.dtype.kind not in "fiu":
        return value
    return backend_of(like).convert(value, like, like.dtype)


def from_numpy(array: Any, like: Array) -> Array:
    """Return a NumPy array as an array of the library of ``like``; the memory is shared."""
    if family(like) != "torch":
        return array
    import torch

    return torch.from_numpy(array)
