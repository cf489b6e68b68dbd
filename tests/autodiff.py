"""The loop, and both modes of differentiation, of JAX and of PyTorch under the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EPS = float(np.finfo(np.float64).eps)
Derivatives = dict[str, list[np.ndarray]]


class Jax:
    """JAX; functions are compiled once for all arguments of one shape."""

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")
        self.asarray = self.jax.numpy.asarray

    def march(self, step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: tuple[Any, ...]) -> Any:
        """Return the outputs of ``carry, output = step(carry, row)`` for one row after the other."""
        return self.jax.lax.scan(step, carry, rows)[1]

    def derivatives(self, function: Callable[..., Any]) -> Callable[..., Derivatives]:
        """Return a function of (arguments, directions, cotangent) that gives the derivatives in each mode."""

        def run(args: Any, directions: Any, c: Any) -> Any:
            _, dy = self.jax.jvp(function, args, directions)
            return dy, self.jax.vjp(function, *args)[1](c)

        compiled = self.jax.jit(run)
        return lambda *given: _named(compiled(*given))


class Torch:
    """PyTorch, eager; the reverse mode both by a recorded graph and as a transformation of the function."""

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.asarray = self.torch.tensor

    def march(self, step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: tuple[Any, ...]) -> Any:
        """Return the outputs of ``carry, output = step(carry, row)`` for one row after the other."""
        outputs = []
        for row in zip(*rows, strict=True):
            carry, output = step(carry, row)
            outputs.append(output)
        return self.torch.stack(outputs)

    def derivatives(self, function: Callable[..., Any]) -> Callable[..., Derivatives]:
        """Return a function of (arguments, directions, cotangent) that gives the derivatives in each mode."""

        def run(args: Any, directions: Any, c: Any) -> Derivatives:
            _, dy = self.torch.func.jvp(function, args, directions)
            bars = self.torch.func.vjp(function, *args)[1](c)
            leaves = [a.clone().requires_grad_() for a in args]
            (c * function(*leaves)).sum().backward()
            return {**_named((dy, bars)), "backward": [a.grad.numpy() for a in leaves]}

        return run


LIBRARIES = {"jax": Jax, "torch": Torch}


def _named(pair: Any) -> Derivatives:
    return {"forward": [np.asarray(pair[0])], "reverse": [np.asarray(bar) for bar in pair[1]]}


def off(found: Derivatives, expected: Derivatives) -> float:
    """Return the largest difference of an array of derivatives, relative to the largest entry of that array."""
    errors = []
    for mode, arrays in found.items():
        theirs = expected.get(mode, expected["reverse"])
        errors += [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(arrays, theirs, strict=True)]
    return float(np.max(errors))


def growth(matrices: np.ndarray) -> float:
    """Return the largest norm of ``M_j ... M_i``: over the whole horizon it is exp(LLE T), for i <= j no less."""
    products, largest = np.empty((0, *matrices.shape[1:])), 1.0
    for M in matrices:
        products = np.concatenate([M @ products, M[None]])
        largest = max(largest, float(np.linalg.norm(products, axis=(1, 2)).max()))
    return largest


def draws(rng: np.random.Generator, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Return random arrays of the same shapes."""
    return tuple(rng.normal(size=np.shape(a)) for a in arrays)


def moved(library: Any, given: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return arguments, directions and cotangent as arrays of a library."""
    args, directions, c = given
    return tuple(map(library.asarray, args)), tuple(map(library.asarray, directions)), library.asarray(c)


def check_two_orders(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Check first and second derivatives on JAX, forward over reverse and so on, against central differences.

    A step of 1e-4 is right to 1e-8 times a third derivative, of which 1e-6 allows for the size.
    """
    from jax.test_util import check_grads

    check_grads(function, args, order=2, modes=["fwd", "rev"], atol=1e-6, rtol=1e-6, eps=1e-4)
