"""Numbers that an operator holds: derivatives follow them, or there is an error.

All tests solve h cos(s y) + g = k y at three points, the numbers in different places: k in the rule, s in a shifter,
h in a grid of one's own, g in boundary data.
"""

import importlib.util

import numpy as np
import pytest

import deersolve as ds

AT = np.array([1.1, 0.7, 0.2, 2.0])  # h, s, g, k


def root(at=AT):
    """Return y and dy / d(h, s, g, k)."""
    (h, s, g, k), y = at, 0.5
    for _ in range(50):
        y -= (k * y - h * np.cos(s * y) - g) / (k + h * s * np.sin(s * y))
    return y, np.array([np.cos(s * y), -h * y * np.sin(s * y), 1.0, -y]) / (k + h * s * np.sin(s * y))


class Grid:
    def __init__(self, h):
        self.h, self.name = h, "a name"


class Scaled(ds.inverses.Rule):
    key, structures, exact = "mine.scaled", (ds.Dense,), True

    def __init__(self, k, s):
        self.k, self.held = k, {"s": [s]}

    def residual(self, y, fy, *, grid, boundary):
        return grid.h * fy + boundary["g"] - self.k * y

    def solve(self, Gs, r, *, grid, boundary):
        return r / (self.k + grid.h * self.held["s"][0] * Gs[0].diagonal())

    def transpose(self, Gs, c, *, grid, boundary):
        return self.solve(Gs, c, grid=grid, boundary=boundary)


def by_rule(h, s, g, k):
    return {"shift": lambda y: s * y, "inverse": Scaled(k, s), "grid": Grid(h), "boundary": {"g": g, "kind": "a word"}}


def by_methods(h, s, g, k):
    """A class made inside a call: its methods hold the numbers."""

    class Inside(Scaled):
        def __init__(self):
            pass

        def residual(self, y, fy, *, grid, boundary):
            return h * fy + g - k * y

        def solve(self, Gs, r, *, grid, boundary):
            return r / (k + h * s * Gs[0].diagonal())

    return {"shift": (lambda y, by=s: by * y,), "inverse": Inside()}


def by_callable(h, s, g, k):
    """The paper's plain L_G^{-1}."""

    def inverse(Gs, rhs, *, grid, boundary):
        return (grid.h * rhs + boundary["g"]) / (k + grid.h * s * Gs[0].diagonal())

    return {"shift": lambda y: s * y, "inverse": inverse, "grid": Grid(h), "boundary": {"g": g}}


KINDS = [by_rule, by_methods, by_callable]


def problem(kind, at):
    def f(y, x, params):
        return ds.array_namespace(y).cos(y)

    return ds.Problem(f, **kind(*at))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["graph", "grad"])
def test_a_graph_follows_what_an_operator_holds(kind, way):
    import torch

    def loss(at):
        return torch.sum(ds.solve(problem(kind, at), torch.ones((3, 1), dtype=torch.float64)).y)

    slopes = root()[1]
    at = torch.asarray(AT).requires_grad_(way == "graph")
    if way == "graph":
        loss(at).backward()
        found = at.grad
    else:
        found = torch.func.grad(loss)(at)
    np.testing.assert_allclose(found.numpy(), 3 * slopes, rtol=1e-12)


needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


@needs_jax
@pytest.mark.parametrize("kind", [by_rule, pytest.param(by_methods, marks=pytest.mark.slow), by_callable])
def test_transformations_follow_what_an_operator_holds(kind):
    """And a second call with other numbers compiles nothing."""
    import jax
    import jax.numpy as jnp

    from deersolve.backends import registry

    def loss(at):
        return jnp.sum(ds.solve(problem(kind, at), jnp.ones((3, 1))).y)

    value, slopes = jax.value_and_grad(loss)(jnp.asarray(AT))
    before = len(registry["jax"]._compiled)
    other = AT * [1.05, 0.9, 1.1, 1.2]
    for at in (AT, other):
        value, slopes = jax.value_and_grad(loss)(jnp.asarray(at))
        y, expected = root(at)
        assert float(value) == pytest.approx(3 * y, rel=1e-14)
        np.testing.assert_allclose(slopes, 3 * expected, rtol=1e-12)
    assert len(registry["jax"]._compiled) == before


HIDDEN = {}


@needs_jax
@pytest.mark.parametrize("transform", ["grad", "jit"])
def test_a_traced_number_that_cannot_be_found_is_an_error(transform):
    import jax
    import jax.numpy as jnp

    class Hiding(Scaled):
        def __init__(self):
            pass

        k = property(lambda self: HIDDEN["k"])
        held = {"s": [1.0]}  # noqa: RUF012

    def solved(k):
        HIDDEN["k"] = k
        made = ds.Problem(
            lambda y, x, p: jnp.cos(y), shift=ds.identity, inverse=Hiding(), grid=Grid(1.0), boundary={"g": 0.0}
        )
        return ds.solve(made, jnp.ones((3, 1)), on_failure="return").y[0, 0]

    with pytest.raises(ds.InputError, match="a traced number in a rule or shifter"):
        getattr(jax, transform)(solved)(2.0)


@pytest.mark.parametrize("kind", [by_rule])
def test_derivatives_by_grids_and_boundary_data_of_ones_own(lib, kind):
    if lib.is_jax:
        pytest.skip("its program is that of the test above")
    at = [lib.asarray(v) for v in AT]
    made = problem(kind, at)
    start = lib.asarray(np.ones((3, 1)))
    sol, (_, slopes) = lib.solve(made, start), root()
    one = lib.asarray(1.0)
    for name, part, expected in (("grid", "h", slopes[0]), ("boundary", "g", slopes[2])):
        dy = ds.sensitivity(made, sol, {name: {part: one}})
        np.testing.assert_allclose(lib.to_numpy(dy), expected, rtol=1e-12)
        bar = ds.adjoint(made, sol, start, wrt=name)[name]
        np.testing.assert_allclose(lib.to_numpy(bar[part]), 3 * expected, rtol=1e-12)
    with pytest.raises(ds.InputError, match="unknown field 'sides'"):
        ds.sensitivity(made, sol, {"sides": one})
