"""Stiffness shows by what an explicit rule has at hand; what is not stiff is never taken for it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from tests.adaptive.test_radau import hires, robertson, vdp

from deersolve.adaptive.base import Field
from deersolve.adaptive.explicit import Explicit
from deersolve.adaptive.march import ARRIVED, Course, march
from deersolve.adaptive.march import STIFF as HELD_BACK
from deersolve.adaptive.stiffness import HITS, MISSES, Held, held_back, is_stiff
from deersolve.backends import backend_of
from deersolve.inverses.tableaux import PAIRS


def linear(xp, t, y):
    return -1e3 * (y - xp.cos(t)[..., None])


def lotka_volterra(xp, t, y):
    a, b = y[..., 0], y[..., 1]
    return xp.stack([1.5 * a - a * b, -3 * b + a * b], axis=-1)


def pendulum(xp, t, y):
    return xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)


def lorenz(xp, t, y):
    a, b, c = (y[..., i] for i in range(3))
    return xp.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)


def kepler(xp, t, y):
    cubed = xp.sum(y[..., :2] ** 2, axis=-1)[..., None] ** 1.5
    return xp.concat([y[..., 2:], -y[..., :2] / cubed], axis=-1)


def seven_bodies(xp, t, y):
    x = xp.reshape(y[..., :14], (*y.shape[:-1], 2, 7))
    way = x[..., None, :] - x[..., :, None]
    cubed = xp.sum(way**2, axis=-3) ** 1.5
    pull = way / (cubed + xp.eye(7))[..., None, :, :] * xp.arange(1.0, 8.0)
    return xp.concat([y[..., 14:], xp.reshape(xp.sum(pull, axis=-1), (*y.shape[:-1], 14))], axis=-1)


PLEIADES = [3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4, 0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0]
STIFF = {
    "vdp": (vdp, [2.0, 0.0], 163.0),
    "robertson": (robertson, [1.0, 0, 0], 1e5),
    "hires": (hires, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], 321.8),
    "linear": (linear, [1.0], 10.0),
}
EASY = {
    "lotka-volterra": (lotka_volterra, [1.0, 1.0], 10.0),
    "pendulum": (pendulum, [2.0, 0.0], 20.0),
    "lorenz": (lorenz, [1.0, 1.0, 1.0], 10.0),
    "kepler": (kepler, [0.5, 0.0, 0.0, 3**0.5], 6 * np.pi),
    "seven-bodies": (seven_bodies, [float(v) for v in PLEIADES], 3.0),
}


def watched(problem, name, rtol, most):
    """Return how the march of an explicit rule ended, and how many steps were taken."""
    f, y0, span = problem
    t, y, field = (
        np.zeros(1),
        np.array([y0]),
        Field(functools.partial(f, np), None, np.array(rtol), np.array(1e-3 * rtol)),
    )
    course = Course(backend_of(y), Explicit(PAIRS[name]), field, t, t + span, None, None, None, most, looks=True)
    with course.backend.quiet():
        trace, walker = march(course, y)
    return walker.code, int(trace.taken.sum())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("problem", STIFF)
def test_stiff_equations_are_found(problem, name):
    for rtol in (1e-3, 1e-6):
        code, steps = watched(STIFF[problem], name, rtol, 200)
        assert code == HELD_BACK
        assert HITS <= steps < 150


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("problem", EASY)
def test_others_are_not(problem, name):
    for rtol in (1e-2, 1e-4):
        assert watched(EASY[problem], name, rtol, 1000)[0] == ARRIVED


@pytest.mark.deep_backend("jax")
def test_counts_of_every_element(lib):
    held = Held(*(lib.asarray([HITS - 1, 3, 3], "int32"),) * 2)
    held = Held(held.hits, lib.asarray([0, MISSES - 1, 0], "int32"))
    held = held_back(lib.asarray([[[-4.0]], [[-1.0]], [[1.0]]]), lib.asarray([[[1.0]]] * 3), 3.25, held)
    np.testing.assert_array_equal(lib.to_numpy(held.hits), [HITS, 0, 3])
    np.testing.assert_array_equal(lib.to_numpy(held.misses), [0, MISSES, 1])
    np.testing.assert_array_equal(lib.to_numpy(is_stiff(held)), [True, False, False])
