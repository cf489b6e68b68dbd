"""Where the Jacobian comes from: ``jac`` checked against a difference, and what to do where AD cannot follow f."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, dtype_name
from ..errors import FunctionError
from ..linalg.structure import Structure, as_structure
from .checks.probe import stretch
from .equation import System

Functions = dict[str, Callable[..., Any]]
NOISE = 64  # in units of eps of f: what f may differ by between two near points
AGREEMENT = 100  # in units of eps^(2/3), the error of a central difference of a function of size and curvature 1
COMPLEX_STEP = 1e-30  # its square is lost beside 1 in every precision, so that no difference is taken


def derivative_of(system: System, check: bool = True) -> tuple[Functions, str]:
    """Return the functions of the system, with a ``jac`` where it needs one, and the name of the derivative.

    Dual numbers follow f through the functions of the library. Where f leaves them (a compiled function, a
    special function they do not know), the complex step d f / d y = Im f(y + i h e) / h (Squire and Trapp,
    SIAM Review 40, 1998) takes over if it agrees with a difference on a stretch of the grid, else central
    differences do. The certificate does not depend on which.

    Raises
    ------
    FunctionError
        If the user's ``jac`` is not the Jacobian of f.
    """
    functions, backend = system.functions, system.backend
    if backend.compiles:  # a program of f holds its derivatives already
        functions = {name: g for name, g in functions.items() if name != "columns"}
    if "jac" in functions and check:
        _check(system)
    if backend.derivative != "dual numbers":
        return functions, "analytic" if "jac" in functions else backend.derivative
    made, name = functions, "analytic"
    if "jac" not in functions:
        jac, name = followed(backend, functions["f"], *stretch(system))
        made = functions if jac is None else {**functions, "jac": jac}
    if "ends" in functions:
        at = tuple(y[..., -1:, :] for y in system.shifted(system.data.guess))
        jac, by = followed(backend, conditions_of(functions["ends"]), at, None)
        if jac is not None:
            made, name = {**made, "ends_jac": jac}, f"{name}, of the conditions {by}"
    return made, name


def followed(
    backend: Backend, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree
) -> tuple[Callable[..., tuple[Array, ...]] | None, str]:
    """Return None where the backend's derivative follows f, else the Jacobians of f by steps; and what it is called."""
    try:
        backend.jacobians(f, ys, x)
    except Exception:  # of whatever type: with numbers f works
        for jac, name in ((complex_step(f), "complex step"), (differences(f), "central differences")):
            if _agrees(f, jac, ys, x):
                return jac, name
        raise
    return None, backend.derivative


def conditions_of(ends: Callable[..., Array]) -> Callable[..., Array]:
    """Return conditions on two ends as a function with an x, which they do not have."""
    return lambda a, b, _: ends(a, b)


def complex_step(f: Callable[..., Array]) -> Callable[..., tuple[Array, ...]]:
    """Return the Jacobians of an analytic f by steps along the imaginary axis, exact to roundoff."""

    def slope(args: tuple[Array, ...], x: Tree, direction: tuple[Array, ...]) -> Array:
        xp = array_namespace(args[0])
        kind = xp.complex64 if dtype_name(args[0]) == "float32" else xp.complex128
        raised = (
            xp.astype(y, kind) + 1j * COMPLEX_STEP * xp.astype(d, kind) for y, d in zip(args, direction, strict=True)
        )
        return xp.imag(f(*raised, x)) / COMPLEX_STEP

    return _columns(slope)


def differences(f: Callable[..., Array]) -> Callable[..., tuple[Array, ...]]:
    """Return the Jacobians of f by central differences, to about eps^(2/3)."""

    def slope(args: tuple[Array, ...], x: Tree, direction: tuple[Array, ...]) -> Array:
        return difference(f, args, x, direction)

    return _columns(slope)


def difference(f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, direction: tuple[Array, ...]) -> Array:
    """Return the central difference of f along a direction, with a step of eps^(1/3) of the size of y."""
    xp = array_namespace(ys[0])
    eps = float(xp.finfo(ys[0].dtype).eps)
    peak = xp.max(xp.abs(ys[0]), axis=-1, keepdims=True)
    h = eps ** (1 / 3) * xp.where(peak > eps, peak, xp.ones_like(peak))
    up = f(*(y + h * d for y, d in zip(ys, direction, strict=True)), x)
    down = f(*(y - h * d for y, d in zip(ys, direction, strict=True)), x)
    return (up - down) / (2 * h)


def _columns(slope: Callable[..., Array]) -> Callable[..., tuple[Array, ...]]:
    """Return a ``jac`` that stacks the slopes along every component of every shifted signal."""

    def jac(*args: Any) -> tuple[Array, ...]:
        *signals, x = args
        ys = tuple(signals)
        xp = array_namespace(ys[0])

        def unit(p: int, k: int) -> tuple[Array, ...]:
            places = [xp.arange(y.shape[-1], device=y.device) for y in ys]
            chosen = (
                xp.astype((at == k) & (q == p), y.dtype) for q, (at, y) in enumerate(zip(places, ys, strict=True))
            )
            return tuple(xp.zeros_like(y) + e for y, e in zip(ys, chosen, strict=True))

        return tuple(
            xp.stack([slope(ys, x, unit(p, k)) for k in range(y.shape[-1])], axis=-1) for p, y in enumerate(ys)
        )

    return jac


def _check(system: System) -> None:
    """Compare the user's ``jac`` with a difference on a stretch of the grid."""
    ys, x = stretch(system)
    f, jac = system.functions["f"], system.functions["jac"]
    if not system.backend.is_concrete((ys, x, f(*ys, x))):
        return
    made = jac(*ys, x)
    parts = tuple(made) if isinstance(made, tuple | list) else (made,)
    n = ys[0].shape[-1]
    shapes = [(*J.places, J.n, J.n) if isinstance(J, Structure) else tuple(getattr(J, "shape", ())) for J in parts]
    expected = [(*y.shape[:-1], n, n) for y in ys]
    if len(parts) != len(ys) or any(s not in (e, e[:-1]) for s, e in zip(shapes, expected, strict=False)):
        raise FunctionError(
            f"jac: expected {len(ys)} array(s) d f_i / d y_j of shape {tuple(expected[0])} on this stretch of the "
            f"grid, or {tuple(expected[0][:-1])} for a diagonal Jacobian, or a Structure; received {shapes}."
        )
    if not _agrees(f, lambda *args: parts, ys, x):
        raise FunctionError(
            "jac is not the Jacobian of f: it disagrees with a difference of f at most points of a stretch of the "
            "grid. Entry [..., i, j] is d f_i / d y_j. To simplify a Jacobian on purpose use Newton(structure=...), "
            "since gradients need the whole."
        )


def _agrees(f: Callable[..., Array], jac: Callable[..., Any], ys: tuple[Array, ...], x: Tree) -> bool:
    """Return whether the slope along one direction is that of a difference, at most points: f may have kinks."""
    xp = array_namespace(ys[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that an imaginary part is cast away
            parts = tuple(jac(*ys, x))
    except (TypeError, ValueError, Warning):
        return False
    direction = tuple(xp.where(y < 0, -xp.ones_like(y), xp.ones_like(y)) * (1 - 0.3 * p) for p, y in enumerate(ys))
    found = xp.zeros_like(ys[0])
    for J, d in zip(parts, direction, strict=True):
        found = found + (as_structure(J, d) @ d)
    expected = difference(f, ys, x, direction)
    fy = f(*ys, x)
    size = xp.abs(expected) + xp.abs(found) + xp.abs(fy) / xp.max(xp.abs(ys[0]) + 1, axis=-1, keepdims=True)
    eps = float(xp.finfo(ys[0].dtype).eps)
    tol, peak = AGREEMENT * eps ** (2 / 3), xp.max(xp.abs(ys[0]), axis=-1, keepdims=True)
    noise = NOISE * eps * xp.abs(fy) / (eps ** (1 / 3) * xp.where(peak > eps, peak, 1.0))  # of f in the difference
    close = (xp.abs(found - expected) <= tol * (1 + size) + noise) | ~xp.isfinite(expected)
    return bool(xp.sum(xp.astype(close, xp.int64)) * 2 > math.prod(close.shape))
