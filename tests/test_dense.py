"""Dense output against SciPy's piecewise polynomials: sides, derivatives, batches, gradients, the ends of the span."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PPoly

import deersolve as ds

RNG = np.random.default_rng(0)


def pieces(B=(), N=7, d=4, n=3, ahead=1.0):
    """Return a grid and coefficients of random polynomials, which jump at each point."""
    t = ahead * np.cumsum(0.1 + RNG.uniform(size=(*B, N + 1)), axis=-1)
    return t, RNG.normal(size=(*B, N, d + 1, n))


def by_scipy(t, c, times, derivative=0):
    """Return the values of one element at times that are no points of the grid; PPoly counts powers of t, downwards."""
    order = np.argsort(t)
    h = np.diff(t)
    powers = (c / h[:, None, None] ** np.arange(c.shape[1])[:, None])[:, ::-1].swapaxes(0, 1)
    if t[0] < t[-1]:
        return PPoly(powers, t)(times, derivative)
    turned = np.array([PPoly(powers[:, i : i + 1], [t[i], t[i] + 1])(times, derivative) for i in range(len(h))])
    where = len(h) - np.searchsorted(t[order], times)
    return turned[where, np.arange(len(times))]


def between(t, M=20):
    """Return times of the span of a grid, none of which is one of its points."""
    return t[..., :1] + (t[..., -1:] - t[..., :1]) * RNG.uniform(0.01, 0.99, size=M)


@pytest.mark.cases_backend("jax", "2-B1-1.0")
@pytest.mark.parametrize("ahead", [1.0, -1.0])
@pytest.mark.parametrize("B", [(), (2, 3)])
@pytest.mark.parametrize("derivative", [0, 2])
def test_it_is_that_of_scipy(lib, B, derivative, ahead):
    t, c = pieces(B, ahead=ahead)
    times = between(t)
    found = ds.DenseOutput(lib.asarray(t), lib.asarray(c))(lib.asarray(times), derivative)
    assert found.shape == (*B, 20, 3)
    for k in np.ndindex(B):
        expected = by_scipy(t[k], c[k], times[k], derivative)
        np.testing.assert_allclose(lib.to_numpy(found)[k], expected, rtol=1e-10, atol=1e-10)


def test_a_number_a_row_of_times_and_one_grid_for_a_batch(lib):
    t, c = pieces((2, 3))
    t = t[0, 0]
    dense = ds.DenseOutput(lib.asarray(t), lib.asarray(c))
    times = between(t)
    rows = lib.to_numpy(dense(lib.asarray(times)))
    assert rows.shape == (2, 3, 20, 3)
    np.testing.assert_allclose(rows[1, 2], by_scipy(t, c[1, 2], times), rtol=1e-10)
    np.testing.assert_array_equal(lib.to_numpy(dense(float(times[4]))), rows[..., 4, :])
    one = ds.DenseOutput(lib.asarray(t), lib.asarray(c[1, 2]))
    many = lib.to_numpy(one(lib.asarray(times.reshape(4, 5))))
    np.testing.assert_array_equal(many.reshape(20, 3), rows[1, 2])


@pytest.mark.parametrize("ahead", [1.0, -1.0])
def test_at_points_of_the_grid_it_has_their_values_on_both_sides(lib, ahead):
    t, c = pieces((2,), ahead=ahead)
    t[:, 3] = t[:, 2]  # a jump, of which the polynomial between is not seen
    dense = ds.DenseOutput(lib.asarray(t), lib.asarray(c))
    right, left = (lib.to_numpy(dense(lib.asarray(t), side=side)) for side in ("right", "left"))
    begins, ends = [0, 1, 3, 3, 4, 5, 6], [0, 1, 1, 3, 4, 5, 6]
    np.testing.assert_array_equal(right[:, :7], c[:, begins, 0])
    np.testing.assert_allclose(left[:, 1:], c[:, ends].sum(axis=-2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(right[:, 7], left[:, 7], rtol=1e-15)
    np.testing.assert_array_equal(left[:, 0], c[:, 0, 0])


def test_intervals_that_fill_up_an_element_are_not_seen(lib):
    t, c = pieces()
    longer = np.concatenate([t, t[-1:], t[-1:]])
    filled = np.concatenate([c, np.full_like(c[:2], np.nan)])
    times = lib.asarray([t[-2], t[-1]])
    for derivative in (0, 1):
        expected = ds.DenseOutput(lib.asarray(t), lib.asarray(c))(times, derivative)
        found = ds.DenseOutput(lib.asarray(longer), lib.asarray(filled))(times, derivative)
        np.testing.assert_array_equal(lib.to_numpy(found), lib.to_numpy(expected))


def test_outside_of_the_span(lib):
    t, c = pieces((2,))
    t -= t[:, :1]
    t *= np.array([[1.0], [2.0]]) / t[:, -1:]
    dense = ds.DenseOutput(lib.asarray(t), lib.asarray(c))
    found = lib.to_numpy(dense(lib.asarray([0.5, 1.5])))
    assert np.isnan(found[0, 1]).all()
    assert np.isfinite(found[1]).all()
    with pytest.raises(ds.InputError, match=r"times within the span \[0, 2\].*; received 2.5"):
        dense(2.5)
    with pytest.raises(ds.InputError, match=r"received 1.5"):
        dense(lib.asarray([[1.5], [1.5]]))
    beyond = 2.0 * (1 + 2 * np.finfo(float).eps)
    assert np.isfinite(lib.to_numpy(dense(beyond))[1]).all()


@pytest.mark.skip_backend("numpy", reason="no derivatives")
@pytest.mark.skip_backend("strict", reason="no derivatives")
@pytest.mark.skip_backend("cupy", reason="no derivatives")
@pytest.mark.cases_backend("jax")
def test_derivatives_by_times_and_coefficients(lib):
    t, c = pieces((2,), N=3, n=2)
    times, weights = between(t, 4), RNG.normal(size=(2, 4, 2))

    def total(times, c):
        return (ds.DenseOutput(lib.asarray(t), c)(times) * lib.asarray(weights)).sum()

    if lib.is_jax:
        import jax

        by_times, by_c = jax.jit(jax.grad(total, argnums=(0, 1)))(lib.asarray(times), lib.asarray(c))
        outside = jax.jit(ds.DenseOutput(lib.asarray(t), lib.asarray(c)).__call__)(lib.asarray([99.0]))
        assert np.isnan(lib.to_numpy(outside)).all()
    else:
        leaves = [lib.asarray(a).requires_grad_() for a in (times, c)]
        total(*leaves).backward()
        by_times, by_c = (leaf.grad for leaf in leaves)
    slopes = np.stack([by_scipy(t[k], c[k], times[k], 1) for k in range(2)])
    np.testing.assert_allclose(lib.to_numpy(by_times), (slopes * weights).sum(axis=-1), rtol=1e-10)
    expected = np.zeros_like(c)
    for k, m in np.ndindex(2, 4):
        i = np.searchsorted(t[k], times[k, m]) - 1
        theta = (times[k, m] - t[k, i]) / (t[k, i + 1] - t[k, i])
        expected[k, i] += theta ** np.arange(5)[:, None] * weights[k, m]
    np.testing.assert_allclose(lib.to_numpy(by_c), expected, rtol=1e-10, atol=1e-12)


def test_bad_arguments_and_a_solution_without():
    t, c = pieces()
    dense = ds.DenseOutput(t, c)
    for bad, message in (({"derivative": -1}, "derivative"), ({"side": "up"}, "'left' or 'right'")):
        with pytest.raises(ds.InputError, match=message):
            dense(t[0], **bad)
    with pytest.raises(ds.InputError, match="finite"):
        dense(np.nan)
    sol = ds.solve(ds.InitialValueProblem(lambda y, t, p: -y, np.linspace(0.0, 1.0, 11), np.ones(1)))
    assert sol.grid is sol.t
    with pytest.raises(ds.InputError, match=r"a solution to a tolerance.*rtol"):
        sol(0.5)


@pytest.mark.parametrize("ahead", [1.0, -1.0])
@pytest.mark.parametrize("side", ["left", "right"])
def test_one_element_is_looked_up_as_one_of_a_batch(lib, side, ahead):
    """Where Python knows the grid, a number and a row of times have their own way: to the last bit the same."""
    t, c = pieces(ahead=ahead)
    t[3] = t[2]
    t = np.append(t, t[-1])
    c = np.append(c, 0 * c[:1], axis=0)
    times = np.append(between(t), t)
    alone = ds.DenseOutput(lib.asarray(t), lib.asarray(c))
    batch = ds.DenseOutput(lib.asarray(t), lib.asarray(np.stack([c, c])))
    for derivative in (0, 1):
        expected = lib.to_numpy(batch(lib.asarray(times), derivative, side=side))[1]
        np.testing.assert_array_equal(lib.to_numpy(alone(lib.asarray(times), derivative, side=side)), expected)
        rows = [lib.to_numpy(alone(float(at), derivative, side=side)) for at in times]
        np.testing.assert_array_equal(rows, expected)
