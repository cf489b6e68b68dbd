"""The array libraries that come with a backend: what is installed, and on which device it computes best."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .namespace import Array


@dataclass(frozen=True)
class Library:
    """An array library on its best device, of the kind "cpu", "cuda", "gpu" or "tpu"."""

    name: str
    version: str
    kind: str
    device: str
    asarray: Callable[[Any], Array]
    to_numpy: Callable[[Array], Any]


def _numpy(np: Any) -> Library:
    return Library("numpy", np.__version__, "cpu", "cpu", np.asarray, np.asarray)


def _torch(torch: Any) -> Library:
    import numpy as np

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    device = f"cuda, {torch.cuda.get_device_name(0)}" if kind == "cuda" else "cpu"

    def asarray(value: Any) -> Array:
        return torch.as_tensor(np.array(value), device=kind)

    return Library("torch", torch.__version__, kind, device, asarray, lambda a: a.numpy(force=True))


def _jax(jax: Any) -> Library:
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    first = jax.devices()[0]
    device = "cpu" if first.platform == "cpu" else f"{first.platform}, {first.device_kind}"
    return Library("jax", jax.__version__, first.platform, device, jax.numpy.asarray, lambda a: np.array(a))


def _cupy(cupy: Any) -> Library:
    if not cupy.cuda.is_available():
        raise InputError(f"cupy: {cupy.__version__} is installed, but there is no device")
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return Library("cupy", cupy.__version__, "cuda", f"cuda, {name}", cupy.asarray, cupy.asnumpy)


LIBRARIES: dict[str, Callable[[Any], Library]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
}


def open_library(name: str) -> Library:
    """Return the array library of that name; JAX is told to compute in float64.

    Raises
    ------
    InputError
        If it is not installed, cannot be imported, or has no device.
    """
    try:
        return LIBRARIES[name](importlib.import_module(name))
    except ModuleNotFoundError as error:
        missing = "" if error.name == name else f"needs {error.name}, which is "
        raise InputError(f"{name}: {missing}not installed") from error
    except ImportError as error:
        raise InputError(f"{name}: installed, but its import fails ({error})") from error
