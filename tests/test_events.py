"""Events on dense output whose roots are known: polynomials, cut into intervals; gradients against differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.polynomial import Polynomial
from scipy.optimize import brentq

import deersolve as ds
from deersolve.adaptive.events import cut, events_of, located, root
from deersolve.backends import backend_of

ROOTS = np.array([0.31, 0.5, 1.17, 1.24, 2.9])  # 0.5 is a point of the grid, 1.17 and 1.24 are in a quarter of one step
GRID = np.array([0.0, 0.5, 1.1, 1.9, 2.4, 3.0])
ZERO = Polynomial([0.0] * 5 + [1e-300])  # it makes lists of coefficients as long as any


def pieces(poly, grid):
    """Return the coefficients of a polynomial of degree 5 at most on each interval, (N, 6)."""
    return np.array([(poly(Polynomial([a, b - a])) + ZERO).coef for a, b in itertools.pairwise(grid)])


def dense(lib, *polys, grid=GRID):
    """Return dense output whose components are polynomials."""
    c = np.stack([pieces(poly, grid) for poly in polys], axis=-1)
    return ds.DenseOutput(lib.asarray(grid), lib.asarray(c))


WAVE = Polynomial.fromroots(ROOTS)
LINE = Polynomial([0.0, 1.0])


def first(t, y):
    return y[0]


def made(function, **attributes):
    """Return a copy of an event with other attributes."""

    def event(t, y, *args):
        return function(t, y, *args)

    vars(event).update(attributes)
    return event


def times(lib, found):
    return lib.to_numpy(found.t)[..., : int(np.max(lib.to_numpy(found.count)))]


@pytest.mark.cases_backend("jax")
@pytest.mark.parametrize(("direction", "which"), [(0, slice(None)), (1, slice(0, None, 2)), (-1, slice(1, None, 2))])
def test_roots_to_roundoff_in_their_direction(lib, direction, which):
    out = dense(lib, WAVE, LINE)
    (found,), last = located(out, events_of(made(first, direction=direction)))
    np.testing.assert_allclose(times(lib, found), ROOTS[which], rtol=1e-13)
    np.testing.assert_allclose(lib.to_numpy(found.y)[: len(ROOTS[which]), 1], ROOTS[which], rtol=1e-13)
    assert np.isinf(lib.to_numpy(last))


def test_a_grid_that_descends(lib):
    out = dense(lib, WAVE, grid=GRID[::-1])
    (up, down), _ = located(out, events_of([made(first, direction=1), made(first, direction=-1)]))
    np.testing.assert_allclose(times(lib, up), ROOTS[1::2][::-1], rtol=1e-13)
    np.testing.assert_allclose(times(lib, down), ROOTS[0::2][::-1], rtol=1e-13)


@pytest.mark.deep_backend("jax")
def test_elements_of_a_batch_have_their_own(lib):
    one = dense(lib, WAVE)
    xp, c = lib.xp, one.coefficients
    lifted = xp.concat([c[..., :1, :] - 0.15, c[..., 1:, :]], axis=-2)
    out = ds.DenseOutput(one.t, xp.stack([c, lifted, 0 * c + 1.0]))
    (found, third), last = located(out, events_of([first, made(first, terminal=3)]))
    expected = sorted(r.real for r in (WAVE - 0.15).roots() if abs(r.imag) < 1e-12 and 0 < r.real < 3)
    t = lib.to_numpy(found.t)
    np.testing.assert_allclose(t[0, :3], ROOTS[:3], rtol=1e-13)
    np.testing.assert_allclose(t[1, : len(expected)], expected, rtol=1e-12)
    counts = [3, len(expected), 0]
    assert lib.to_numpy(found.count).tolist() == lib.to_numpy(third.count).tolist() == counts
    assert np.isnan(t[2]).all()
    np.testing.assert_allclose(lib.to_numpy(last)[:, 0], [ROOTS[2], np.inf, np.inf], rtol=1e-13)
    ended = cut(out, last)
    inside = lib.asarray(np.linspace(0.0, ROOTS[2], 9))
    np.testing.assert_allclose(lib.to_numpy(ended(inside)), lib.to_numpy(out(inside)), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(lib.to_numpy(ended.t)[0, -3:], [ROOTS[2]] * 3, rtol=1e-13)
    np.testing.assert_allclose(lib.to_numpy(ended.y)[0, -3:, 0], 0.0, atol=1e-13)


def test_what_ends_first_ends_all():
    numpy = np_library()
    out = dense(numpy, WAVE, LINE)
    late, early = made(lambda t, y: t - 2.0, terminal=True), made(lambda t, y: y[1] - 1.0, terminal=1)
    (found, a, b), last = located(out, events_of([first, late, early]))
    assert times(numpy, found).tolist() == pytest.approx([0.31, 0.5])
    assert (int(a.count), int(b.count), float(last[0])) == (0, 1, pytest.approx(1.0))
    ended = cut(out, last)
    assert ended.t.tolist() == pytest.approx([0.0, 0.5, 1.0])
    with pytest.raises(ds.InputError, match="within the span"):
        ended(1.5)


def test_zero_at_the_start_counts_as_for_scipy_and_at_a_point_once():
    numpy = np_library()
    out = dense(numpy, Polynomial.fromroots([0.0, 1.1]))
    for direction, expected in ((0, [0.0, 1.1]), (1, [1.1]), (-1, [0.0])):
        (found,), _ = located(out, events_of(made(first, direction=direction)))
        assert times(numpy, found).tolist() == pytest.approx(expected, abs=1e-15)


def test_events_of_any_form():
    numpy = np_library()
    out = dense(numpy, WAVE, LINE)

    def branch(t, y):
        return -1.0 if t < 1.0 else y[1] - 2.0

    (jump, row, shifted), _ = located(out, events_of([branch, lambda t, y: y[:1], lambda t, y: t - 1.0]), ())
    assert times(numpy, jump).tolist() == pytest.approx([2.0])
    np.testing.assert_allclose(times(numpy, row), ROOTS)
    assert times(numpy, shifted).tolist() == pytest.approx([1.0])
    (found,), _ = located(out, events_of(lambda t, y, a: y[1] - a), (0.7,))
    assert times(numpy, found).tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("y", r"events\[0\]: expected event\(t, y\)"),
        (made(first, terminal="yes"), "terminal"),
        (made(first, terminal=-1), "terminal"),
        (made(first, direction="up"), "direction"),
        (lambda t, y: y, r"an event: expected .*returns a number; received shape \(2,\)"),
        (lambda t, y: [y[0]], "received list"),
    ],
)
def test_what_is_no_event(event, message):
    with pytest.raises(ds.InputError, match=message):
        located(dense(np_library(), WAVE, LINE), events_of([event]))


@pytest.mark.skip_backend("numpy", reason="no derivatives")
@pytest.mark.skip_backend("strict", reason="no derivatives")
@pytest.mark.skip_backend("cupy", reason="no derivatives")
@pytest.mark.cases_backend("jax")
def test_the_derivative_of_an_event_is_that_of_the_implicit_function_theorem(lib):
    """Of p WAVE(t) - q = 0: dt/dp = -WAVE / (p WAVE'), dt/dq = 1 / (p WAVE'); y_1 = t has the same."""
    c = dense(lib, WAVE, LINE).coefficients
    p, q = lib.asarray(1.7), lib.asarray(-0.1)
    scale = lib.asarray([[[1.0, 0.0]]])

    def both(p, q):
        out = ds.DenseOutput(lib.asarray(GRID), c * (1.0 - scale + p * scale))
        (found,), _ = located(out, events_of(lambda t, y, q: y[0] - q), (q,))
        return found.t[0], found.y[0, 1]

    if lib.is_jax:
        import jax

        value, gradients = both(p, q), jax.jit(jax.jacobian(both, argnums=(0, 1)))(p, q)
    else:
        import torch

        leaves = [a.requires_grad_() for a in (p, q)]
        value = both(*leaves)
        gradients = [torch.autograd.grad(v, leaves, retain_graph=True) for v in value]
    t = float(lib.to_numpy(value[0]))
    assert 1.7 * WAVE(t) == pytest.approx(-0.1, abs=1e-13)
    slope = 1.7 * WAVE.deriv()(t)
    for by_p, by_q in gradients:
        np.testing.assert_allclose(lib.to_numpy(by_p), -WAVE(t) / slope, rtol=1e-10)
        np.testing.assert_allclose(lib.to_numpy(by_q), 1 / slope, rtol=1e-10)


def test_the_search_for_a_root_against_brentq(lib):
    functions = [
        lambda x, xp: x**3 - 0.2,
        lambda x, xp: xp.exp(20 * x) - 1e4,
        lambda x, xp: xp.where(x < 0.7, -1.0 + 0 * x, 1.0),
        lambda x, xp: (x - 0.4) ** 9,
    ]
    calls = []

    def g(x):
        calls.append(1)
        return lib.xp.stack([f(x[k], lib.xp) for k, f in enumerate(functions)])

    a, b = lib.asarray([0.0] * 4), lib.asarray([1.0] * 4)
    found = lib.to_numpy(root(backend_of(a), g, a, b, g(a), g(b)))
    expected = [brentq(lambda x, f=f: float(f(np.asarray(x), np)), 0.0, 1.0, xtol=1e-15) for f in functions[:3]]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-14)
    assert abs(found[3] - 0.4) < 1e-2  # flat: g is 0 to roundoff
    assert len(calls) <= 62


def np_library():
    from tests.conftest import library

    return library("numpy")
