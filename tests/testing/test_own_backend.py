"""A backend of one's own is found from its arrays, takes nobody's place unasked, and is checked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.references import put_back
from tests.wrapped_arrays import Wrapped

import deersolve as ds
from deersolve import backends
from deersolve.backends import backend_of, registry
from deersolve.backends.generic import Backend
from deersolve.testing import CheckFailure, check_backend


class Mine(Backend):
    name = "mine"
    namespaces = ("wrapped",)

    def __init__(self):
        self.solved = 0

    def linear_solve(self, matrices, rhs):
        self.solved += 1
        return super().linear_solve(matrices, rhs)


@pytest.fixture
def mine():
    """Register a backend for the time of a test."""
    with put_back(registry):
        yield registry.add("mine", Mine())
    backends._found.clear()


def pendulum(y, t, params):
    xp = ds.array_namespace(y)
    return xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)


def test_it_is_found_from_its_arrays_and_used(mine):
    assert backend_of(Wrapped(1.0)) is mine
    assert backend_of(np.ones(1)).name == "numpy"
    t, y0 = np.linspace(0.0, 5.0, 101), np.array([2.0, 0.0])
    sol = ds.solve(ds.InitialValueProblem(pendulum, Wrapped(t), Wrapped(y0)))
    expected = ds.solve(ds.InitialValueProblem(pendulum, t, y0))
    assert isinstance(sol.y, Wrapped)
    assert sol.stats.derivative == "dual numbers"
    np.testing.assert_allclose(sol.y.values, expected.y, rtol=1e-12)
    assert mine.solved > 0


def test_without_one_the_array_api_serves_and_dual_numbers_follow_the_wrapper():
    report = check_backend("generic", asarray=Wrapped, to_numpy=lambda a: a.values)
    assert report["jacobians"].value <= 16


def test_the_smallest_wrapper_passes(mine):
    assert not check_backend("mine", asarray=Wrapped, to_numpy=lambda a: a.values).failed


def test_arrays_that_do_not_lead_to_it_fail_the_check(mine):
    with pytest.raises(CheckFailure, match=r"backend_of\(array\) to be 'mine'; received 'numpy'"):
        check_backend("mine", asarray=np.asarray, to_numpy=np.asarray)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "namespaces or a method owns"),
        ({"namespaces": ("numpy",)}, r"those of 'numpy'.*replace=True"),
        ({"namespaces": ("array_api_compat.torch", "torch")}, "those of 'torch'"),
        ({"namespaces": ("wrapped",), "name": "other"}, "name = 'own' in its class; received 'other'"),
    ],
)
def test_what_no_array_could_lead_to_is_refused(mine, options, text):
    made = type("Own", (Backend,), {"name": "own", **options})()
    with pytest.raises(ds.InputError, match=text):
        registry.add("own", made)
    assert "own" not in set(registry.keys())


def test_two_that_claim_the_same_arrays_are_an_error(mine):
    registry.add("other", type("Other", (Backend,), {"name": "other", "namespaces": ("wrapped",)})())
    with pytest.raises(ds.LibraryError, match="'mine' and 'other'"):
        backend_of(Wrapped(1.0))


def test_nobody_takes_the_arrays_of_numpy_unasked(mine):
    greedy = type("Greedy", (Backend,), {"name": "greedy", "owns": lambda self, array: True})
    registry.add("greedy", greedy())
    with pytest.raises(ds.LibraryError, match="'greedy' and 'numpy'"):
        backend_of(np.ones(2))


def test_the_backend_of_numpy_may_be_replaced_if_asked(mine):
    theirs = type(registry["numpy"])
    own = type("Counting", (theirs,), {"__module__": __name__, "linear_solve": Mine.linear_solve, "solved": 0})
    own.linear_solve = lambda self, a, b: (setattr(self, "solved", self.solved + 1), theirs.linear_solve(self, a, b))[1]
    with pytest.raises(ds.InputError, match="is built in"):
        registry.add("numpy", own())
    made = registry.add("numpy", own(), replace=True)
    assert backend_of(np.ones(1)) is made
    ds.solve(ds.InitialValueProblem(pendulum, np.linspace(0.0, 1.0, 11), np.array([2.0, 0.0])))
    assert made.solved > 0


def test_a_name_that_is_taken_is_replaced_if_asked_or_defined_again(mine):
    again = registry.add("mine", Mine())  # the same cell of a notebook
    assert backend_of(Wrapped(1.0)) is again
    other = type("Other", (Mine,), {"__module__": "elsewhere"})()
    with pytest.raises(ds.InputError, match=r"elsewhere.Other.* that of .*Mine.*replace=True"):
        registry.add("mine", other)
    assert registry.add("mine", other, replace=True) is registry["mine"]
