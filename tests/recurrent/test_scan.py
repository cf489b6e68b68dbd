"""ds.scan against a loop in NumPy, and jax.lax.scan."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deersolve as ds
from deersolve.backends import registry

METHODS = ("auto", "sequential", "newton")
T, B, n = 7, 3, 2
rng = np.random.default_rng(19)
W, X, H, P = (rng.normal(size=shape) for shape in ((n, n), (T, B, n), (B, n), (B, 1)))


def cell(xp, W):
    """A state of two leaves, and outputs that are not the state."""

    def step(carry, x):
        h, p = carry["h"], carry["p"]
        new = xp.tanh(h @ W + x + p)
        q = 0.5 * p + xp.sin(new[..., :1])
        return {"h": new, "p": q}, (new - h, q[..., 0])

    return step


def looped(step, carry, xs, length, reverse=False, lengths=None, reset=None):
    """What every way has to give: Python's loop, with ragged ends and restarts for each element of the batch."""
    start, outputs = carry, [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        holds = np.ones(B, bool) if lengths is None else i < np.asarray(lengths)
        if reset is not None:
            carry = {k: np.where((reset[i] & holds)[:, None], start[k], carry[k]) for k in carry}
        new, y = step(carry, xs[i])
        carry = {k: np.where(holds[:, None], new[k], carry[k]) for k in carry}
        outputs[i] = [np.where(holds.reshape(-1, *(1,) * (a.ndim - 1)), a, 0.0) for a in y]
    return carry, [np.stack(parts) for parts in zip(*outputs, strict=True)]


def agree(lib, found, expected):
    (carry, ys), (meant, outputs) = found, expected
    for a, b in zip([carry["h"], carry["p"], *ys], [meant["h"], meant["p"], *outputs], strict=True):
        np.testing.assert_allclose(lib.to_numpy(a), b, rtol=0, atol=1e-13)


@pytest.mark.cases_backend("jax", "True-0-newton")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("reverse", [False, True])
def test_is_the_loop(lib, reverse, axis, method):
    init = {"h": lib.asarray(H), "p": lib.asarray(P)}
    made = ds.scan(cell(lib.xp, lib.asarray(W)), init, lib.asarray(X), reverse=reverse, batch_axis=axis, method=method)
    agree(lib, made, looped(cell(np, W), {"h": H, "p": P}, X, T, reverse))


@pytest.mark.cases_backend("jax", "newton")
@pytest.mark.parametrize("method", METHODS)
def test_ragged_batches_with_episodes(lib, method):
    lengths, reset = [T, 3, 0], rng.random((T, B)) < 0.4
    xs = np.where(np.arange(T)[:, None, None] < np.reshape(lengths, (1, B, 1)), X, np.nan)
    init = {"h": lib.asarray(H), "p": lib.asarray(P)}
    options = {"lengths": lengths, "reset": lib.asarray(reset, None), "batch_axis": 0, "method": method}
    for reverse in (False, True):
        made = ds.scan(cell(lib.xp, lib.asarray(W)), init, lib.asarray(xs), reverse=reverse, **options)
        agree(lib, made, looped(cell(np, W), {"h": H, "p": P}, np.nan_to_num(xs), T, reverse, lengths, reset))


@pytest.mark.deep_backend("strict")
@pytest.mark.cases_backend("jax")
def test_complex_carries_and_inputs_of_any_kind(lib):
    """A linear recurrent unit with poles in the disc, and a table looked up by whole numbers."""
    poles, table = np.array([0.9 * np.exp(0.3j), 0.5j]), rng.normal(size=(5, 2))
    words = rng.integers(0, 5, size=T)
    at, weights, levels = (lib.asarray(a, None) for a in (poles, table, words))

    def step(h, k):
        h = at * h + weights[k]
        return h, h.real

    last, ys = (ds.scan(step, lib.asarray(np.zeros(2, complex), None), levels, method=m) for m in METHODS[1:])
    h, outputs = np.zeros(2, complex), []
    for k in words:
        h = poles * h + table[k]
        outputs.append(h.real)
    for carry, y in (last, ys):
        np.testing.assert_allclose(lib.to_numpy(carry), h, rtol=0, atol=1e-13)
        np.testing.assert_allclose(lib.to_numpy(y), outputs, rtol=0, atol=1e-13)


@settings(max_examples=10)
@given(st.integers(0, 6), st.booleans(), st.sampled_from(METHODS))
def test_no_inputs_and_no_steps(length, reverse, method):
    last, ys = ds.scan(lambda c, _: (c / 2, c), np.ones(1), length=length, reverse=reverse, method=method)
    halves = 0.5 ** np.arange(length)[:, None]
    np.testing.assert_array_equal(last, [0.5**length])
    np.testing.assert_array_equal(ys, halves[::-1] if reverse else halves)


def test_a_carry_of_whole_numbers_takes_the_loop():
    (count, total), ys = ds.scan(lambda c, x: ((c[0] + 1, c[1] + x), c[0]), (np.array(0), np.array(0.0)), np.ones(4))
    assert (int(count), float(total), ys.tolist()) == (4, 4.0, [0, 1, 2, 3])
    with pytest.raises(ds.InputError, match="floating-point numbers beside Newton's method"):
        ds.scan(lambda c, x: (c + 1, c), np.array(0), length=3, method="newton")


def test_a_step_that_branches_on_numbers():
    """It cannot be called at many steps at once: told by its values, not by an error alone."""

    def step(c, x):
        c = c / 2 if float(np.sum(x)) > 0 else c + 1
        return c, c

    xs = np.array([1.0, -1.0, 1.0, -1.0, -1.0])
    for method in METHODS:
        _, ys = ds.scan(step, np.ones(1), xs, method=method)
        assert ys[:, 0].tolist() == [0.5, 1.5, 0.75, 1.75, 2.75]


class TestRefuses:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"xs": None}, "length"),
            ({"length": 3}, "length: expected 7"),
            ({"xs": {"a": X, "b": X[:3]}}, "one length"),
            ({"lengths": [1, 2]}, r"lengths: expected shape \(3,\)"),
            ({"lengths": [1, 2, 8]}, "from 0 to T = 7"),
            ({"lengths": [1.0, 2.0, 3.0]}, "whole numbers"),
            ({"reset": np.zeros((T, B, 1), bool)}, "reset: expected shape"),
            ({"reset": np.zeros(T)}, "reset: expected flags"),
            ({"batch_axis": 1, "xs": X}, "batch_axis: expected leaves with one size"),
            ({"batch_axis": -1}, "batch_axis: expected None or an axis"),
            ({"method": "parallel"}, "no method is named"),
        ],
    )
    def test_what_does_not_fit(self, options, message):
        given = {"xs": X, "batch_axis": 0} | options
        with pytest.raises(ds.DeerError, match=message):
            ds.scan(cell(np, W), {"h": H, "p": P}, given.pop("xs"), **given)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (lambda c, x: c, "a pair back"),
            (lambda c, x: ([c], c), "a carry like init"),
            (lambda c, x: (c[:1], c), r"expected shape \(3, 2\)"),
            (lambda c, x: (c.astype(np.float32), c), "dtype float64"),
        ],
    )
    def test_a_step_that_is_none(self, step, message, method):
        with pytest.raises(ds.InputError, match=message):
            ds.scan(step, H, X, batch_axis=0, method=method)

    def test_newton_where_it_fails(self):
        """A map that Newton's method does not solve ends by the loop, or with an error where it was asked for."""
        with pytest.raises(ds.FunctionError):
            ds.scan(lambda c, x: (c + np.random.default_rng().normal(), c), np.ones(1), length=5, method="newton")


def test_loops_of_jax_are_compiled_once():
    """Of new functions with other weights; one that branches on its params, or has another constant, is another."""
    jax = pytest.importorskip("jax")
    jnp, kept = jax.numpy, registry["jax"]._evaluated
    h, x = jnp.asarray(H), jnp.asarray(X)

    def last(scale, params, options):
        def step(h, x, params):
            h = jnp.tanh(h @ params["W"] * scale + x) if params["is_bounded"] else h @ params["W"] * scale + x
            return h, h

        return ds.scan(step, h, x, params=params, method="sequential", **options)[0]

    def meant(scale, W, is_bounded, lengths):
        h = H
        for i in range(T):
            new = h @ W * scale + X[i]
            h = np.where((i < np.asarray(lengths))[:, None], np.tanh(new) if is_bounded else new, h)
        return h

    for lengths in (None, [T, 3, 0]):
        options = {} if lengths is None else {"lengths": lengths, "batch_axis": 0}
        counts = []
        for k, (scale, is_bounded) in enumerate([(0.5, True), (0.5, True), (0.5 + 2**-53, True), (0.5, False)]):
            weights = np.roll(W, k)
            made = last(scale, {"W": jnp.asarray(weights), "is_bounded": is_bounded}, options)
            expected = meant(scale, weights, is_bounded, lengths or [T] * B)
            np.testing.assert_allclose(made, expected, rtol=1e-13, atol=1e-13)
            counts.append(len(kept))
        assert [b - a for a, b in itertools.pairwise(counts)] == [0, 1, 1]
    slopes = jax.grad(lambda W: last(0.5, {"W": W, "is_bounded": True}, {})[0, 0])(jnp.asarray(W))
    steps = [(meant(0.5, W + d, True, [T] * B) - meant(0.5, W - d, True, [T] * B))[0, 0] / 2e-6
             for d in np.eye(n * n).reshape(-1, n, n) * 1e-6]  # fmt: skip
    np.testing.assert_allclose(slopes.ravel(), steps, rtol=0, atol=1e-8)


def test_a_function_without_forward_mode_takes_the_loop_or_says_what_to_do():
    jax = pytest.importorskip("jax")
    xp = jax.numpy

    @jax.custom_vjp
    def act(x):
        return xp.tanh(x)

    act.defvjp(lambda x: (xp.tanh(x),) * 2, lambda t, g: (g * (1 - t * t),))
    W, xs = 0.3 * xp.eye(9) + 0.1, xp.ones((20, 9))

    def last(f, method):
        return ds.scan(lambda h, x: (f(h @ W + x),) * 2, xp.zeros(9), xs, method=method)[0]

    np.testing.assert_allclose(last(act, "auto"), last(xp.tanh, "sequential"), rtol=1e-14)
    with pytest.raises(ds.FunctionError, match=r"custom_jvp, or take the loop"):
        last(act, "newton")
