"""Evolution equations on one, two and three axes by one class: SciPy, derivatives, libraries, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import deersolve as ds

SIZES = (5, 4, 6)
EDGES = [np.linspace(0.0, 1.0, N + 1) for N in SIZES]
CENTRES = [0.5 * (e[1:] + e[:-1]) for e in EDGES]
START = 0.3 + 0.5 * np.sin(2 * np.pi * CENTRES[0])[:, None, None] * np.cos(2 * np.pi * CENTRES[1])[:, None] * (
    1 + np.cos(2 * np.pi * CENTRES[2])
)
RINGS = ((ds.Periodic(), ds.Periodic()),) * 3
pytestmark = pytest.mark.filterwarnings("ignore::deersolve.DiscretisationWarning")  # of five cells, and rightly


def reaction(u, *rest):
    """Return a logistic growth carried along the last axis."""
    *slopes, _, rate = rest
    return rate * u * (1 - u) - 0.3 * slopes[-1]


def in_a_box(t, u0=START, D=0.02, rate=2.0, lib=None):
    to = np.asarray if lib is None else lib.asarray
    points = tuple(map(to, EDGES))
    return ds.Evolution(reaction, to(t), points, to(u0)[..., None], D, sides=RINGS, cells=True, params=rate)


def by_solve_ivp(times):
    """Return u of the same differences in space by np.roll, to 1e-11."""

    def right(t, flat):
        u, made = flat.reshape(SIZES), 0.0
        for axis, N in enumerate(SIZES):
            made = made + 0.02 * N * N * (np.roll(u, 1, axis) - 2 * u + np.roll(u, -1, axis))
        slope = SIZES[2] * (np.roll(u, -1, 2) - np.roll(u, 1, 2)) / 2
        return (made + 2.0 * u * (1 - u) - 0.3 * slope).ravel()

    found = solve_ivp(right, (times[0], times[-1]), START.ravel(), "DOP853", times, rtol=1e-11, atol=1e-12).y
    return found.T.reshape(len(times), *SIZES)


@pytest.mark.parametrize("rule", ["trbdf2", "trapezoid", "backward_euler"])
def test_three_axes_are_those_of_solve_ivp(rule):
    off, better = [], []
    for T in (11, 21):
        t = np.linspace(0.0, 1.0, T)
        sol, expected = ds.solve(in_a_box(t), inverse=rule), by_solve_ivp(t)
        assert sol.converged
        off.append(np.abs(sol.y[..., 0] - expected).max())
        better.append(np.abs(sol.y_corrected[..., 0] - expected).max())
    order = 1 if rule == "backward_euler" else 2
    assert np.log2(off[0] / off[1]) == pytest.approx(order, abs=0.2)
    assert better[1] < off[1] / 10


def test_fewer_axes_are_those_of_the_other_signatures():
    t, s, r = np.linspace(0.0, 0.5, 6), EDGES[0], EDGES[1]
    ends = {"left": ds.Dirichlet(0.1), "right": ds.Neumann(0.2)}
    line = {"params": 2.0, "cells": True}
    one = ds.Evolution(reaction, t, (s,), START[:, 0, 0, None], 0.02, sides=(tuple(ends.values()),), **line)
    other = ds.Evolution1D(reaction, t, s, START[:, 0, 0, None], 0.02, **ends, **line)
    np.testing.assert_array_equal(ds.solve(one).y, ds.solve(other).y)
    more = {**ends, "bottom": ds.NoFlux(), "top": ds.Dirichlet(0.3)}
    sides = (tuple(ends.values()), (more["bottom"], more["top"]))
    one = ds.Evolution(reaction, t, (s, r), START[:, :, 0, None], 0.02, sides=sides, **line)
    other = ds.Evolution2D(reaction, t, (s, r), START[:, :, 0, None], 0.02, **more, **line)
    np.testing.assert_array_equal(ds.solve(one).y, ds.solve(other).y)


@pytest.mark.slow_backend("jax")
def test_every_library_finds_the_same(lib):
    t = np.linspace(0.0, 0.4, 4)
    sol = ds.solve(in_a_box(t, lib=lib))
    np.testing.assert_allclose(lib.to_numpy(sol.y), ds.solve(in_a_box(t)).y, rtol=0, atol=1e-12)


def test_derivatives_are_those_of_differences():
    t, h = np.linspace(0.0, 0.4, 4), 1e-5
    rng = np.random.default_rng(0)
    d, d_D = rng.normal(size=START.shape), 0.3
    here = in_a_box(t, D=np.array([0.02]))
    sol = ds.solve(here)
    directions = {"u0": d[..., None], "D": np.array([0.02 * d_D]), "params": 1.0}
    found = ds.sensitivity(here, sol, directions)

    def y(step):
        return ds.solve(in_a_box(t, START + step * d, 0.02 * (1 + step * d_D), 2.0 + step)).y

    np.testing.assert_allclose(found, (y(h) - y(-h)) / (2 * h), rtol=0, atol=1e-8)
    c = rng.normal(size=found.shape)
    back = ds.adjoint(here, sol, c, wrt=("u0", "D", "params"))
    total = sum(np.sum(back[name] * directions[name]) for name in directions)
    assert total == pytest.approx(np.sum(c * found), rel=1e-11)


def test_bad_input_is_named():
    t, points = np.linspace(0.0, 1.0, 3), tuple(EDGES)
    with pytest.raises(ds.InputError, match="sides: expected a pair of conditions for each of 3 axes"):
        ds.Evolution(reaction, t, points, START[..., None], sides=RINGS[:2])
    with pytest.raises(ds.InputError, match="points: expected a tuple of one to three arrays"):
        ds.Evolution(reaction, t, EDGES[0], START[..., None], sides=ds.NoFlux())
    flux = ds.central(lambda u, x, p: u)
    with pytest.raises(ds.InputError, match=r"flux: expected none.*three axes"):
        ds.Evolution(reaction, t, points, START[..., None], sides=RINGS, cells=True, flux=(flux,) * 3)
    with pytest.raises(ds.InputError, match=r"u0: expected shape \(\*B, X, Y, Z, n\)"):
        ds.solve(ds.Evolution(reaction, t, points, START, sides=RINGS, cells=True))
