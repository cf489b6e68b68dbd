"""Random problems, every method: whatever is CONVERGED satisfies each of its steps, or agrees with the loop.

Sizes of components differ by up to 2^40. ``python -m tests.test_never_wrong`` tries a thousand and prints the count,
``python -m tests.test_never_wrong 10000`` as many.
"""

from __future__ import annotations

import collections
import sys
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import deersolve as ds

METHODS = {
    "auto": ds.Auto(),
    "loop": ds.Sequential(),
    "whole": ds.Newton(),
    "whole, few steps": ds.Newton(max_steps=4),
    "windows of 7": ds.Newton(window=7),
    "windows": ds.Newton(window=100),
    "diagonal": ds.Newton(structure="diagonal", max_steps=40),
    "Jacobi": ds.Newton(structure="zero", max_steps=40),
    "Picard": ds.Newton(structure="picard", max_steps=40),
    "Hutchinson": ds.Newton(structure="hutchinson", max_steps=40),
    "line search": ds.Newton(step=ds.LineSearch(), max_steps=40),
    "Levenberg-Marquardt": ds.Newton(step=ds.LevenbergMarquardt(), max_steps=40),
    "little memory": ds.Auto(memory=1),
}
THETA = {"trapezoid": 0.5, "backward_euler": 1.0}
EXAMPLES = int(sys.argv[1] if len(sys.argv) > 1 else 1000) if __name__ == "__main__" else 150
seen: collections.Counter[str] = collections.Counter()


def terms(y, x, p):
    """Return the terms of f, whose sum is f: smooth, growing, with a kink, with jumps, coupled."""
    xp, (a, b, c, d, e) = ds.array_namespace(y), p
    mixed = xp.concat([y[..., 1:], y[..., :1]], axis=-1)
    return a * xp.tanh(b * mixed), c * y * y, d * xp.abs(y), e * xp.floor(y), x


def f(y, x, p):
    return sum(terms(y, x, p)[1:], terms(y, x, p)[0])


def slopes(y, p):
    """Return bounds of |df| |y|, whose rounding f cannot avoid."""
    a, b, c, d, e = map(abs, p)
    return a * b * np.max(np.abs(y), axis=-1, keepdims=True) + 2 * c * y * y + d * np.abs(y) + e * np.abs(y)


def misses(kind, y, y0, x, t, p):
    """Return by how much each step is missed, in units of eps and of its terms: in twice the digits."""
    eps = np.finfo(y.dtype).eps
    wide = np.longdouble
    y, y0, x, p = y.astype(wide), y0.astype(wide), x.astype(wide), [wide(q) for q in p]
    if kind == "recurrence":
        before = np.concatenate([y0[None], y[:-1]])
        parts = terms(before, x, p)
        off, size = f(before, x, p) - y, sum(map(np.abs, parts)) + np.abs(y) + slopes(before, p)
    else:
        theta, D = THETA[kind], np.diff(t.astype(wide))[:, None]
        weigh = lambda v: np.abs(D) * ((1 - theta) * v[:-1] + theta * v[1:])  # noqa: E731
        off = y[1:] - y[:-1] - D * ((1 - theta) * f(y, x, p)[:-1] + theta * f(y, x, p)[1:])
        size = np.abs(y[1:]) + np.abs(y[:-1]) + weigh(sum(map(np.abs, terms(y, x, p))) + slopes(y, p))
    with np.errstate(invalid="ignore"):
        ratio = np.where(off == 0, 0, np.abs(off) / np.where(size > 0, size, np.finfo(float).tiny))
    return float(np.max(ratio)) / eps


def agrees(sol, problem, more):
    """Return whether each component is that of the loop to 100 times the tolerance, where its correction certifies."""
    loop = ds.solve(problem, method="sequential", on_failure="return", check_inputs=False, **more)
    tolerance = float(np.finfo(sol.y.dtype).eps) ** (2 / 3)
    off, peak = (np.max(np.abs(v), axis=0) for v in (sol.y - loop.y, loop.y))
    return loop.status == 0 and np.all(off <= 100 * tolerance * peak)


@given(
    kind=st.sampled_from(["recurrence", "recurrence", *THETA]), method=st.sampled_from(sorted(METHODS)),
    dtype=st.sampled_from(["float32", "float64"]), n=st.integers(1, 3), T=st.integers(2, 300),
    a=st.floats(-4, 4), b=st.floats(-8, 8), c=st.sampled_from([0.0, 0.0, 0.01, 0.3, -1.0]),
    d=st.sampled_from([0.0, 0.0, 0.5, -1.0]), e=st.sampled_from([0.0, 0.0, 0.0, 0.5]),
    last=st.sampled_from([0.1, 1.0, 10.0, 100.0]), spread=st.sampled_from([0, 0, 20, 40, -40]),
    seed=st.integers(0, 9999),
)  # fmt: skip
@settings(max_examples=EXAMPLES, deadline=None)
def test_whatever_converged_satisfies_every_step(kind, method, dtype, n, T, a, b, c, d, e, last, spread, seed):
    rng = np.random.default_rng(seed)
    p = tuple(float(np.dtype(dtype).type(q)) for q in (a, b, c, d, e))
    y0, x = rng.normal(size=n).astype(dtype), rng.normal(size=(T, n)).astype(dtype)
    t = np.linspace(0.0, last, T).astype(dtype)
    sizes = (2.0 ** (spread * np.arange(n) / max(n - 1, 1)).round()).astype(dtype)  # a power of 2 rounds nothing

    def of_sizes(y, x, p):
        return sizes * f(y / sizes, x, p)

    if kind == "recurrence":
        problem, more = ds.Recurrence(of_sizes, sizes * y0, x, p), {}
    else:
        problem, more = ds.InitialValueProblem(of_sizes, t, sizes * y0, x, p), {"inverse": kind}
    if method == "Picard" and kind != "recurrence":
        method = "Jacobi"  # which is what Picard's iteration is called there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sol = ds.solve(problem, method=METHODS[method], on_failure="return", check_inputs=False, **more)
    seen[ds.Status(int(sol.status)).name] += 1
    if sol.status == 0:
        assert np.all(np.isfinite(sol.y))
        roundoff = 128  # about 12 operations of f, summed in two ways
        assert misses(kind, sol.y / sizes, y0, x, t, p) <= roundoff or agrees(sol, problem, more)


if __name__ == "__main__":
    test_whatever_converged_satisfies_every_step()
    sys.stdout.write(f"{sum(seen.values())} problems, none wrong: {dict(seen)}\n")
