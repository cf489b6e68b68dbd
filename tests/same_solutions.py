"""Solves whose numbers a change of the code's form must not change: saved before it, compared after it.

``python tests/same_solutions.py save FILE [LIBRARY ...]`` on the old code, ``... compare FILE [LIBRARY ...]`` on the
new one, on one machine with one set of libraries (another BLAS or XLA rounds otherwise). Trajectories agree
within 4 ulp of their scale, statuses and numbers of steps are equal. ``... calls`` prints the Python calls of a
second solve.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import torch

import deersolve as ds

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)
warnings.simplefilter("ignore")

ULPS, OF_DERIVATIVES = 4.0, 16.0
"""Of the largest number of an array; an adjoint may be of an iteration that stops at roundoff."""


def of_torch(value: Any) -> Any:
    return torch.asarray(np.array(value, dtype=np.float64))


def of_strict(value: Any) -> Any:
    return array_api_strict.asarray(np.asarray(value, dtype=np.float64))


ASARRAY: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "jax": jnp.asarray,
    "torch": of_torch,
    "strict": of_strict,
}


def to_numpy(array: Any) -> np.ndarray:
    return array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def xp_of(y: Any) -> Any:
    return ds.array_namespace(y)


def gru_like(y: Any, x: Any, params: Any) -> Any:
    xp = xp_of(y)
    gate = 1 / (1 + xp.exp(-(y @ params[0] + x)))
    return (1 - gate) * y + gate * xp.tanh(y @ params[1] + x)


def recurrence(a: Callable[[Any], Any], T: int = 200, n: int = 3) -> ds.Problem:
    params = (a(0.5 * numbers(1, n, n)), a(0.5 * numbers(2, n, n)))
    return ds.Recurrence(gru_like, a(numbers(3, 4, n)), x=a(numbers(4, 4, T, n)), params=params)


def two_lags(a: Callable[[Any], Any]) -> ds.Problem:
    def f(y1: Any, y3: Any, x: Any, params: Any) -> Any:
        return 0.5 * xp_of(y1).sin(y1) + 0.3 * y3 * (1 - 0.1 * y3) + 0.1 * x

    return ds.Recurrence(f, a(numbers(5, 3, 2)), x=a(numbers(6, 120, 2)), lags=(1, 3))


def pendulum(a: Callable[[Any], Any], N: int = 400) -> ds.Problem:
    def f(y: Any, x: Any, params: Any) -> Any:
        xp = xp_of(y)
        return xp.stack([y[..., 1], -params * xp.sin(y[..., 0])], axis=-1)

    return ds.InitialValueProblem(f, a(np.linspace(0.0, 10.0, N + 1)), a([[2.0, 0.0], [1.0, 0.5]]), params=a(1.0))


def robertson(a: Callable[[Any], Any]) -> ds.Problem:
    def f(y: Any, x: Any, params: Any) -> Any:
        xp = xp_of(y)
        u, v, w = y[..., 0], y[..., 1], y[..., 2]
        down, up, on = 0.04 * u, 1e4 * v * w, 3e7 * v * v
        return xp.stack([up - down, down - up - on, on], axis=-1)

    t = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 300)])
    return ds.InitialValueProblem(f, a(t), a([1.0, 0.0, 0.0]))


def forced(a: Callable[[Any], Any]) -> ds.Problem:
    def f(y: Any, x: Any, params: Any) -> Any:
        return -2.0 * y + xp_of(y).sin(x)

    return ds.InitialValueProblem(f, a(np.linspace(0.0, 5.0, 151)), a([[1.0], [0.5], [0.1]]))


def bratu_line(a: Callable[[Any], Any], N: int = 65) -> ds.Problem:
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Dirichlet(0.0)}
    return ds.Elliptic1D(lambda u, u_s, x, p: -p * xp_of(u).exp(u), a(np.linspace(0, 1, N)), params=a(1.0), **ends)


def coupled_line(a: Callable[[Any], Any]) -> ds.Problem:
    def f(u: Any, u_s: Any, x: Any, p: Any) -> Any:
        return u @ p + 0.1 * u * u_s + xp_of(u).sin(x["s"])

    s = np.linspace(0, 1, 41) ** 1.3
    ends = {"left": ds.Robin(1.0, 1.0, a([0.3, 0.1])), "right": ds.Neumann(0.1)}
    return ds.BoundaryValueProblem(f, a(s), a=1.0, b=0.4, c=-1.0, params=a([[1.0, 0.4], [-0.3, 2.0]]), **ends)


def ring(a: Callable[[Any], Any]) -> ds.Problem:
    s = np.linspace(0, 1, 49)
    ends = {"left": ds.Periodic(), "right": ds.Periodic()}
    f = lambda u, u_s, x, p: u + 0.1 * u**3 + 0.3 * u_s - xp_of(u).sin(2 * np.pi * x["s"])  # noqa: E731
    return ds.Elliptic1D(f, a(s), **ends)


def two_point(a: Callable[[Any], Any], conditions: Any = None) -> ds.Problem:
    def f(u: Any, x: Any, p: Any) -> Any:
        return xp_of(u).stack([u[..., 1], -xp_of(u).exp(u[..., 0])], axis=-1)

    def ends(ua: Any, ub: Any, p: Any) -> Any:
        return xp_of(ua).stack([ua[..., 0], ub[..., 0]], axis=-1)

    return ds.TwoPointProblem(f, a(np.linspace(0, 1, 61)), ends)


def sides(a: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        "left": ds.Dirichlet(a([0.0, 0.1])),
        "right": ds.Neumann(0.2),
        "bottom": ds.Robin(1.0, 1.0, 0.1),
        "top": ds.Dirichlet(0.3),
    }


def all_around(kind: Any) -> dict[str, Any]:
    return dict.fromkeys(("left", "right", "bottom", "top"), kind)


def bratu(a: Callable[[Any], Any], N: int = 34) -> ds.Problem:
    s = a(np.linspace(0, 1, N))
    f = lambda u, u_s, u_r, x, p: -p * xp_of(u).exp(u)  # noqa: E731
    return ds.Elliptic2D(f, (s, s), params=a(6.0), **all_around(ds.Dirichlet(0.0)))


def mixed_plane(a: Callable[[Any], Any], cells: bool = False) -> ds.Problem:
    s, r = np.linspace(0, 1, 14), np.linspace(0, 2, 17)

    def f(u: Any, u_s: Any, u_r: Any, x: Any, p: Any) -> Any:
        xp = xp_of(u)
        return u @ p + 0.1 * u * u_s - 0.2 * u_r + 0.1 * xp.sin(u)

    return ds.Elliptic2D(f, (a(s), a(r)), 0.7, params=a([[1.0, 0.2], [0.1, 2.0]]), cells=cells, **sides(a))


def torus(a: Callable[[Any], Any]) -> ds.Problem:
    s = np.linspace(0, 1, 17)
    wave = np.sin(2 * np.pi * s)[:, None, None] * np.cos(2 * np.pi * s)[None, :, None]
    f = lambda u, u_s, u_r, x, p: u + u**3 + 0.1 * u_s - x["wave"]  # noqa: E731
    return ds.Elliptic2D(f, (a(s), a(s)), x={"wave": a(wave)}, **all_around(ds.Periodic()))


def heat(a: Callable[[Any], Any], levels: int = 41, N: int = 64) -> ds.Problem:
    s = np.linspace(0, 1, N)
    f = lambda u, u_s, x, p: u * (1 - u) - p * u * u_s  # noqa: E731
    ends = {"left": ds.Dirichlet(0.0), "right": ds.Neumann(0.0)}
    u0 = np.sin(np.pi * s)[:, None] * np.array([1.0, 0.5])
    return ds.Evolution1D(f, a(np.linspace(0, 1, levels)), a(s), a(u0), 0.05, params=a(0.3), **ends)


def heat_ring(a: Callable[[Any], Any]) -> ds.Problem:
    s = np.linspace(0, 1, 33)
    ends = {"left": ds.Periodic(), "right": ds.Periodic()}
    f = lambda u, u_s, x, p: -u * u_s  # noqa: E731
    return ds.Evolution1D(f, a(np.linspace(0, 0.5, 21)), a(s), a(np.sin(2 * np.pi * s)[:, None]), 0.02, **ends)


def squared() -> Any:
    return ds.upwind(lambda u, x, p: u * u / 2, lambda u, x, p: abs(u))


def burgers(a: Callable[[Any], Any], flux: Any = lambda flux: flux) -> ds.Problem:
    s = np.linspace(0, 1, 41)
    around = {"left": ds.Periodic(), "right": ds.Periodic()}
    middle = (s[1:] + s[:-1]) / 2
    return ds.Evolution1D(
        None,
        a(np.linspace(0, 0.4, 21)),
        a(s),
        a(1.5 + np.sin(2 * np.pi * middle)[:, None]),
        1e-3,
        flux=flux(squared()),
        cells=True,
        **around,
    )


def heat_plane(a: Callable[[Any], Any], levels: int = 8, N: int = 34) -> ds.Problem:
    s = a(np.linspace(0, 1, N))
    u0 = np.sin(np.pi * np.linspace(0, 1, N))
    f = lambda u, u_s, u_r, x, p: u * (1 - u) + 0.1 * u_s  # noqa: E731
    start = a((u0[:, None] * u0[None, :])[..., None])
    return ds.Evolution2D(f, a(np.linspace(0, 0.5, levels)), (s, s), start, 0.05, **all_around(ds.Dirichlet(0.0)))


def gray_scott(a: Callable[[Any], Any]) -> ds.Problem:
    s = np.linspace(0, 1, 13)
    hill = np.exp(-20 * ((s[:, None] - 0.5) ** 2 + (s[None, :] - 0.5) ** 2))[..., None]

    def f(u: Any, u_s: Any, u_r: Any, x: Any, p: Any) -> Any:
        U, V = u[..., 0], u[..., 1]
        return xp_of(u).stack([-U * V * V + p * (1 - U), U * V * V - 3 * p * V], axis=-1)

    u0 = np.concatenate([1 - 0.5 * hill, 0.25 * hill], axis=-1)
    return ds.Evolution2D(
        f, a(np.linspace(0, 2, 9)), (a(s), a(s)), a(u0), a([2e-3, 1e-3]), params=a(0.04), **all_around(ds.Neumann(0.0))
    )


def carried(a: Callable[[Any], Any], flux: Any = lambda flux: flux) -> ds.Problem:
    edges = a(np.linspace(0, 1, 13))
    m = (np.arange(12) + 0.5) / 12
    u0 = 1 + 0.5 * np.sin(2 * np.pi * m)[:, None, None] * np.cos(2 * np.pi * m)[None, :, None]
    made = flux(squared())
    return ds.Evolution2D(
        None,
        a(np.linspace(0, 0.2, 9)),
        (edges, edges),
        a(u0),
        1e-3,
        flux=(made, made),
        cells=True,
        **all_around(ds.Periodic()),
    )


def own(a: Callable[[Any], Any]) -> ds.Problem:
    def inverse(Gs: Any, rhs: Any) -> Any:
        return rhs / (1 + Gs[0].diagonal())

    return ds.Problem(lambda y, x, p: p * xp_of(y).cos(y), shift=ds.identity, inverse=inverse, params=a(1.0))


CASES: dict[str, tuple[Callable[..., ds.Problem], dict[str, Any], tuple[str, ...]]] = {
    "recurrence": (recurrence, {}, ("numpy", "jax", "torch", "strict")),
    "recurrence, diagonal G": (recurrence, {"method": ds.Newton(structure=ds.Diagonal)}, ("numpy", "jax")),
    "recurrence, loop": (recurrence, {"method": "sequential"}, ("numpy", "jax", "torch")),
    "recurrence, windows": (recurrence, {"method": ds.Newton(window=50)}, ("numpy", "jax", "torch")),
    "recurrence, damped": (recurrence, {"method": ds.Newton(step=ds.LineSearch())}, ("numpy",)),
    "two lags": (two_lags, {}, ("numpy", "jax")),
    "pendulum": (pendulum, {}, ("numpy", "jax", "torch", "strict")),
    "pendulum, whole": (pendulum, {"method": ds.Newton(window=None)}, ("numpy",)),
    "pendulum, exponential": (pendulum, {"inverse": "exponential"}, ("numpy", "jax")),
    "pendulum, exponential_linear": (pendulum, {"inverse": "exponential_linear"}, ("numpy",)),
    "robertson": (robertson, {"inverse": "backward_euler"}, ("numpy", "torch")),
    "forced": (forced, {}, ("numpy", "jax")),
    "bratu on a line": (bratu_line, {}, ("numpy", "jax", "torch")),
    "coupled line": (coupled_line, {}, ("numpy", "jax", "strict")),
    "ring": (ring, {}, ("numpy", "jax")),
    "two-point": (two_point, {}, ("numpy", "jax")),
    "bratu": (bratu, {}, ("numpy", "torch")),
    "bratu, direct": (bratu, {"inverse": "direct"}, ("numpy",)),
    "mixed plane": (mixed_plane, {}, ("numpy", "jax")),
    "mixed plane of cells": (lambda a: mixed_plane(a, True), {"inverse": "direct"}, ("numpy", "strict")),
    "torus": (torus, {}, ("numpy", "torch")),
    "heat": (heat, {}, ("numpy", "jax", "torch")),
    "heat, trapezoid": (heat, {"inverse": "trapezoid"}, ("numpy",)),
    "heat, loop": (heat, {"method": "sequential"}, ("numpy",)),
    "heat on a ring": (heat_ring, {"inverse": "backward_euler"}, ("numpy", "torch")),
    "burgers, upwind": (burgers, {}, ("numpy", "torch")),
    "burgers, limited": (lambda a: burgers(a, ds.limited), {}, ("numpy",)),
    "heat in a plane": (heat_plane, {}, ("numpy",)),
    "gray-scott": (gray_scott, {"inverse": "backward_euler"}, ("numpy", "torch")),
    "carried in a plane": (carried, {}, ("numpy",)),
    "carried in a plane, limited": (lambda a: carried(a, ds.limited), {}, ("numpy",)),
    "own operator": (own, {}, ("numpy", "jax")),
}
GUESSES = {"own operator": (5, 1), "two-point": (61, 2)}
WITH_ADJOINT = {
    "recurrence",
    "pendulum",
    "bratu on a line",
    "coupled line",
    "mixed plane",
    "heat",
    "gray-scott",
    "torus",
}
"""Those whose derivative is compared too, on NumPy."""


def results(wanted: tuple[str, ...]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the name and the numbers of each solve on the libraries that are wanted."""
    for name, (make, options, libraries) in CASES.items():
        for library in (name for name in libraries if name in wanted):
            asarray = ASARRAY[library]
            guess = asarray(np.full(GUESSES[name], 0.7)) if name in GUESSES else None
            problem = make(asarray)
            sol = ds.solve(problem, guess, on_failure="return", **options)
            found = {"y": sol.y, "status": sol.status, "steps": sol.stats.steps}
            if library == "numpy" and name in WITH_ADJOINT:
                found |= {f"adjoint {i}": leaf for i, leaf in enumerate(leaves(ds.adjoint(problem, sol, sol.y)))}
            yield f"{name} on {library}", {k: to_numpy(v) for k, v in found.items()}


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the arrays of what adjoint returns, by the names of the data."""
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple | list) else [tree]:
        if isinstance(value, dict | tuple | list):
            yield from leaves(value)
        elif value is not None:
            yield value


def save(path: str, wanted: tuple[str, ...]) -> None:
    held = {f"{name}/{key}": array for name, found in results(wanted) for key, array in found.items()}
    np.savez_compressed(path, **held)
    print(f"{len({k.split('/')[0] for k in held})} solves saved")


def compare(path: str, wanted: tuple[str, ...]) -> bool:
    """Print each solve that differs, and return whether none does."""
    held, same, n = np.load(path), True, 0
    for name, found in results(wanted):
        n += 1
        for key, array in found.items():
            old, label = held[f"{name}/{key}"], f"{name}, {key}"
            if old.shape != array.shape or old.dtype != array.dtype:
                print(f"{label}: {array.dtype}{array.shape}, was {old.dtype}{old.shape}")
                same = False
            elif not np.issubdtype(array.dtype, np.floating):
                if not np.array_equal(old, array):
                    print(f"{label}: {array}, was {old}")
                    same = False
            else:
                unit = np.spacing(np.abs(old[np.isfinite(old)]).max(initial=0.0))
                ulps = float(np.abs(array - old).max(initial=0.0) / unit) if unit else 0.0
                if not ulps <= (OF_DERIVATIVES if key.startswith("adjoint") else ULPS):
                    print(f"{label}: {ulps:.1f} ulp off")
                    same = False
    print(f"{n} solves compared: {'the same' if same else 'NOT the same'}")
    return same


def calls() -> None:
    """Print the Python calls of a second solve."""
    for name in ("recurrence", "pendulum", "bratu", "heat", "heat in a plane"):
        problem, count = CASES[name][0](np.asarray), 0

        def count_calls(frame: Any, event: str, arg: Any) -> None:
            nonlocal count
            count += event == "call"

        ds.solve(problem)
        sys.setprofile(count_calls)
        ds.solve(problem)
        sys.setprofile(None)
        print(f"{name}: {count} calls")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["save", path, *wanted]:
            save(path, tuple(wanted or ASARRAY))
        case ["compare", path, *wanted]:
            sys.exit(not compare(path, tuple(wanted or ASARRAY)))
        case ["calls"]:
            calls()
        case _:
            sys.exit(__doc__)
