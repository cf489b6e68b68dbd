"""Three equations with independent references, solved on every installed array library."""

from __future__ import annotations

import functools
import importlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..backends.namespace import Array, array_namespace
from ..errors import InputError
from ..problems import InitialValueProblem, Problem, Recurrence
from ..solution.solution import Solution
from ..solution.status import Status, numbers
from ..solver import solve

N, STEPS, SEED = 4, 10_000, 0
PENDULUM_20 = (-1.6445675165127094, -0.8275778409430459)  # y(20) from y(0) = (2, 0)


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


@dataclass(frozen=True)
class Case:
    """An equation, its independent reference and the bound of the error against it."""

    name: str
    make: Callable[[Callable[[Any], Array]], Problem]
    reference: Any
    bound: float


@dataclass(frozen=True)
class Row:
    """What became of one equation on one library; times in seconds."""

    problem: str
    library: Library
    steps: int
    error: float
    bound: float
    discretisation: float | None
    time: float
    loop_time: float
    status: str

    @property
    def passed(self) -> bool:
        """Whether everything converged to within the bound."""
        return self.status == Status.CONVERGED.name and self.error <= self.bound


def cases() -> list[Case]:
    """Return the equations of the demo."""
    return [_gru(), _pendulum(), _two_lags()]


def rows(libraries: list[Library]) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Yield what comes next and the function that computes it."""
    for case in cases():
        for library in libraries:
            yield f"{case.name} on {library.name}", functools.partial(_row, case, library)


def _row(case: Case, library: Library) -> Row:
    problem = case.make(library.asarray)

    def run(method: str) -> tuple[Solution, Any]:
        sol = solve(problem, method=method, on_failure="return")
        return sol, library.to_numpy(sol.y)  # which waits for the device

    (sol, y), seconds = _timed(lambda: run("newton"), warm_up=True)
    (loop, _), loop_seconds = _timed(lambda: run("sequential"), warm_up=library.name == "jax")
    estimate = sol.stats.discretisation_error
    codes = [int(c) for s in (sol, loop) for c in numbers(s.status)]
    return Row(
        case.name,
        library,
        int(max(numbers(sol.stats.steps))),
        _error(y, case.reference),
        case.bound,
        None if estimate is None else max(numbers(estimate)),
        seconds,
        loop_seconds,
        Status(next((c for c in codes if c), 0)).name,
    )


def _timed(run: Callable[[], Any], warm_up: bool) -> tuple[Any, float]:
    """Return the result and the best of up to three times, of about a second in all."""
    result = run() if warm_up else None
    times: list[float] = []
    while len(times) < 3 and sum(times) < 1.0:
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return result, min(times)


def _error(y: Any, reference: Any) -> float:
    """Return the largest error relative to the largest |y|, of the worst component."""
    import numpy as np

    last = y if reference.ndim == 2 else y[-1]
    return float(np.max(np.abs(last - reference) / np.max(np.abs(y), axis=0)))


def _sigmoid(v: Array) -> Array:
    return 1.0 / (1.0 + array_namespace(v).exp(-v))


def _gru_cell(h: Array, x: Array, weights: Any) -> Array:
    (Wr, Wz, Wn), (Ur, Uz, Un), (br, bz, bn), (cr, cz, cn) = weights
    r = _sigmoid(x @ Wr + br + h @ Ur + cr)
    z = _sigmoid(x @ Wz + bz + h @ Uz + cz)
    n = array_namespace(h).tanh(x @ Wn + bn + r * (h @ Un + cn))
    return (1.0 - z) * n + z * h


def _gru() -> Case:
    import numpy as np

    rng = np.random.default_rng(SEED)
    W, U = (rng.uniform(-1, 1, (3, N, N)) / math.sqrt(N) for _ in range(2))
    b, c = (rng.uniform(-1, 1, (3, N)) / math.sqrt(N) for _ in range(2))
    x = rng.standard_normal((STEPS, N))

    def make(asarray: Callable[[Any], Array]) -> Problem:
        weights = [[asarray(part) for part in group] for group in (W, U, b, c)]
        return Recurrence(_gru_cell, asarray(np.zeros(N)), asarray(x), weights)

    inputs = x @ np.concatenate(W, axis=1) + b.reshape(-1)
    fused, c_fused, h = np.concatenate(U, axis=1), c.reshape(-1), np.zeros(N)
    states = np.empty((STEPS, N))
    for i in range(STEPS):
        g = h @ fused + c_fused
        r, z = np.split(1.0 / (1.0 + np.exp(-(inputs[i, : 2 * N] + g[: 2 * N]))), 2)
        h = states[i] = (1.0 - z) * np.tanh(inputs[i, 2 * N :] + r * g[2 * N :]) + z * h
    return Case("GRU, n = 4", make, states, 1e-12)


def _swing(y: Array, t: Array, params: Any) -> Array:
    xp = array_namespace(y)
    return xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)


def _pendulum() -> Case:
    import numpy as np

    def make(asarray: Callable[[Any], Array]) -> Problem:
        t, y0 = np.linspace(0.0, 20.0, 1001), np.array([2.0, 0.0])
        return InitialValueProblem(_swing, asarray(t), asarray(y0))

    return Case("pendulum", make, np.array(PENDULUM_20), 3.3e-4)


def _two_back(y_1: Array, y_2: Array, x: Array, params: Any) -> Array:
    return 0.5 * array_namespace(y_1).tanh(y_1) - 0.3 * y_2 + x


def _two_lags() -> Case:
    import numpy as np

    x = np.random.default_rng(SEED).standard_normal((STEPS, 1))
    start = [0.5, -0.5]

    def make(asarray: Callable[[Any], Array]) -> Problem:
        return Recurrence(_two_back, asarray(np.array(start)[:, None]), asarray(x), lags=(1, 2))

    y = list(start)
    for value in x[:, 0].tolist():
        y.append(0.5 * math.tanh(y[-1]) - 0.3 * y[-2] + value)
    return Case("two lags", make, np.array(y[2:])[:, None], 1e-12)
