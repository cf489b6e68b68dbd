"""check_backend: the primitives of a backend against NumPy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends import backend_of, registry
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace
from ..backends.trees import record
from ..errors import mismatch
from .report import Report

NAMESPACES = {
    "numpy": "array_api_compat.numpy",
    "torch": "array_api_compat.torch",
    "jax": "jax.numpy",
    "cupy": "array_api_compat.cupy",
    "generic": "array_api_strict",
}

Convert = Callable[[Any], Any]


def check_backend(name: str, *, asarray: Convert | None = None, to_numpy: Convert | None = None) -> Report:
    """Check every primitive of a backend against NumPy.

    Parameters
    ----------
    name : str
        A key of ``deersolve.backends.registry``.
    asarray : callable, optional
        From a NumPy array to one of the library, on the device to test; needed for a library that
        does not come with the package. float32 lowers the demands accordingly.
    to_numpy : callable, optional
        And back.

    Returns
    -------
    Report
        Differences relative to the largest entry, in units of the roundoff of the dtype:
        "jacobians", "linear_solve[n]", "singular", "while_loop", "scan", "slice", "any_true",
        "without_gradient", "vmap", "placement", "call", and "found": it is what :func:`backend_of` finds.

    Raises
    ------
    CheckFailure
        If a primitive does something else.

    Examples
    --------
    >>> from deersolve.testing import check_backend
    >>> check_backend("numpy").failed
    []
    """
    backend = registry[name]
    check = _Checks(backend, asarray or asarray_of(name), to_numpy or numbers_of)
    report = Report(f"the backend {name!r}")
    # array-api-strict computes with NumPy.
    with backend.quiet(), np.errstate(all="ignore"):
        for n in (1, 2, 3, 5):
            report.below(f"linear_solve[{n}]", partial(check.linear_solve, n), 1e4)
        report.below("singular", check.singular, 1e2)
        for primitive in (check.jacobians, check.scan, check.vmap):
            report.below(primitive.__name__, primitive, 16)
        for primitive in (check.while_loop, check.slice, check.on_host, check.without_gradient, check.call):
            report.below(primitive.__name__, primitive, 0)
        report.below("any_true", check.any_true, 0)
        report.below("placement", check.placement, 0)
        report.below("found", check.found, 0)
    return report.finish()


def asarray_of(name: str) -> Convert:
    """Return what makes an array of NumPy one of the library of a built-in backend."""
    if name not in NAMESPACES:
        raise mismatch("check_backend", "asarray= for a backend of your own", repr(name))
    xp = importlib.import_module(NAMESPACES[name])

    def asarray(value: Any) -> Array:
        return xp.asarray(np.array(value))

    return asarray


def numbers_of(value: Any) -> Any:
    """Return an array of the library of a built-in backend as one of NumPy."""
    if type(value).__module__.partition(".")[0] == "cupy":
        return value.get()
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


class _Checks:
    """Each method returns a difference from NumPy, in units of eps."""

    def __init__(self, backend: Backend, asarray: Convert, to_numpy: Convert) -> None:
        self.backend, self.asarray, self.to_numpy = backend, asarray, to_numpy
        self.rng = np.random.default_rng(0)
        self.like = asarray(np.ones((2, 3)))
        self.eps = float(array_namespace(self.like).finfo(self.like.dtype).eps)

    def off(self, found: Array, expected: Any) -> float:
        """Return the largest difference relative to the largest entry, in units of eps."""
        found, expected = self.to_numpy(found), np.asarray(expected)
        if found.shape != expected.shape:
            raise AssertionError(f"expected shape {expected.shape}; received {found.shape}")
        scale = max(float(np.abs(expected).max()), float(np.finfo(np.float64).tiny))
        return float(np.abs(found - expected).max()) / (scale * self.eps)

    def found(self) -> float:
        """Expect arrays of the library to lead to the backend."""
        found = backend_of(self.like)
        if found is not self.backend:
            expected = self.backend.name
            raise AssertionError(f"expected backend_of(array) to be {expected!r}; received {found.name!r}")
        return 0.0

    def jacobians(self) -> float:
        a, b = self.rng.normal(size=(2, 2, 5, 2))
        x = self.rng.normal(size=(1, 5, 2))  # one for all of the batch

        def f(a: Array, b: Array, x: Array) -> Array:
            xp = array_namespace(a)
            rows = [a[..., 0] * b[..., 1] * x[..., 0], xp.sin(a[..., 1]) + b[..., 0] ** 2 + x[..., 1]]
            return xp.stack(rows, axis=-1)

        zero = np.zeros_like(a[..., 0])
        da = [[b[..., 1] * x[..., 0], zero], [zero, np.cos(a[..., 1])]]
        db = [[zero, a[..., 0] * x[..., 0]], [2 * b[..., 0], zero]]
        fy, (ja, jb) = self.backend.jacobians(f, (self.asarray(a), self.asarray(b)), self.asarray(x))
        expected = [np.moveaxis(np.array(d), (0, 1), (-2, -1)) for d in (da, db)]
        pairs = [(fy, f(a, b, x)), (ja, expected[0]), (jb, expected[1])]
        return max(self.off(found, e) for found, e in pairs)

    def linear_solve(self, n: int) -> float:
        m = self.rng.normal(size=(4, 3, n, n)) + 3 * np.eye(n)
        rhs = self.rng.normal(size=(4, 3, n, 2))
        found = self.backend.linear_solve(self.asarray(m), self.asarray(rhs))
        return self.off(found, np.linalg.solve(m, rhs))

    def singular(self) -> float:
        """Expect something that is not finite for a singular matrix, and the others unharmed."""
        worst = 0.0
        for n in (1, 2, 3):
            m = np.stack([np.eye(n), np.ones((n, n)) * (n > 1), 2 * np.eye(n)])
            found = self.backend.linear_solve(self.asarray(m), self.asarray(np.ones((3, n, 1))))
            if np.isfinite(self.to_numpy(found)[1]).all():
                raise AssertionError(f"expected NaN or infinity for a singular matrix, n = {n}")
            expected = np.stack([np.ones((n, 1)), np.ones((n, 1)) / 2])
            worst = max(worst, self.off(found[::2, ...], expected))
        return worst

    def while_loop(self) -> float:
        xp = array_namespace(self.like)

        def cond(state: tuple[Array, Array]) -> Array:
            return xp.any(state[0] < 7)

        def body(state: tuple[Array, Array]) -> tuple[Array, Array]:
            count, total = state
            return xp.where(count < 7, count + 1, count), total + count

        count, total = self.backend.while_loop(cond, body, (self.like, self.like * 0))
        return max(self.off(count, np.full((2, 3), 7)), self.off(total, np.full((2, 3), 21)))

    def scan(self) -> float:
        steps = self.rng.normal(size=(6, 3))
        table = self.asarray(steps)

        def body(carry: Array, i: Any) -> tuple[Array, dict[str, Array]]:
            carry = carry + self.backend.slice(table, i, 1, -2)[0, ...]
            return carry, {"sum": carry}

        last, out = self.backend.scan(body, table[0, ...] * 0, 6)
        sums = np.cumsum(steps, axis=0)
        return max(self.off(last, sums[-1]), self.off(out["sum"], sums))

    def slice(self) -> float:
        a = self.rng.normal(size=(4, 5, 6)).astype(np.float32).astype(np.float64)
        array, cut = self.asarray(a), self.backend.slice
        pairs = [
            (cut(array, 1, 3, -2), a[:, 1:4]),
            (cut(array, 2, 4, -1), a[..., 2:]),
            (cut(array, 0, 2, 0), a[:2]),
        ]
        return max(self.off(found, expected) for found, expected in pairs)

    def on_host(self) -> float:
        a, b = self.rng.normal(size=(2, 4, 3)).astype(np.float32).astype(np.float64)
        found = self.backend.on_host(np.copysign, self.asarray(a), self.asarray(a), self.asarray(b))
        return self.off(found, np.copysign(a, b))

    def any_true(self) -> float:
        judge = self.backend.any_true
        flags = [bool(judge(self.like < 0)), bool(judge(self.like[0, 0] < 0))]
        mixed = self.asarray(np.array([1.0, -1.0])) > 0
        return 0.0 if not any(flags) and bool(judge(mixed)) else np.inf

    def without_gradient(self) -> float:
        tree = self.backend.without_gradient({"a": self.like, "b": (self.like + 1, None)})
        ones = np.ones((2, 3))
        return max(self.off(tree["a"], ones), self.off(tree["b"][0], ones + 1))

    def vmap(self) -> float:
        a, b = self.rng.normal(size=(2, 4, 3))
        found = self.backend.vmap(lambda u, v: u * v, (self.asarray(a), self.asarray(b)))
        return self.off(found, a * b)

    def placement(self) -> float:
        xp = array_namespace(self.like)
        new = xp.zeros((2, 3), dtype=self.like.dtype, device=self.backend.placement(self.like))
        return self.off(self.like + new, np.ones((2, 3)))

    def call(self) -> float:
        """Expect the solver to be run with f, also after an array that f closes over changed."""
        solver = _Double()
        found = []
        for factor in (2.0, 3.0):
            weight = self.like * factor

            def f(y: Array, weight: Array = weight) -> Array:
                return y * weight

            found.append(self.backend.call(solver, {"f": (f, lambda: [(self.like,)])}, self.like).y)
        ones = np.ones((2, 3))
        return max(self.off(a, e * ones) for a, e in zip(found, (4.0, 6.0), strict=True))


@record
class _Result:
    """What a solver returns."""

    y: Array
    y_corrected: Any = None


class _Double:
    """A solver: twice f of the array."""

    key = "deersolve.testing.double"
    cacheable = True
    operator = None

    def with_operator(self, operator: Any, /) -> Any:
        return self

    def tried(self, arrays: Any, /) -> list[Any]:
        return []

    def solve(self, functions: Any, arrays: Any, /) -> Any:
        return _Result(functions["f"](arrays) * 2)

    def attach(self, functions: Any, arrays: Any, result: Any, /) -> Any:
        return result

    def tangent(self, by: Any, at: Any, theta: Any, direction: Any, result: Any, /) -> Any:
        return 0 * result.y, None
