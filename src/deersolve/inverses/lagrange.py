"""Polynomials through given points in exact fractions: nodes, weights and interpolation, right to the last digit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

CUTS, HALVINGS = 63, 50  # an odd number of pieces, so that no root of interest is an end of one; then to 2^-50
Matrix = list[list[Fraction]]


def legendre(s: int, c: Any) -> Any:
    """Return the Legendre polynomial ``P_s(2 c - 1)``, of a fraction or a float."""
    x, before, value = 2 * c - 1, 0 * c, 0 * c + 1
    for k in range(s):
        before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
    return value


def roots(q: Callable[[Any], Any]) -> list[Fraction]:
    """Return where q changes its sign in (0, 1 - 1/63): by bisection in floats, and one Newton step in fractions."""
    found, near = [], Fraction(1, 2**30)
    for a, b in pairwise(k / CUTS for k in range(CUTS)):
        if (q(a) > 0) == (q(b) > 0):
            continue
        for _ in range(HALVINGS):
            middle = (a + b) / 2
            a, b = (middle, b) if (q(a) > 0) == (q(middle) > 0) else (a, middle)
        c = Fraction(a)
        c -= q(c) * 2 * near / (q(c + near) - q(c - near))
        found.append(Fraction(round(c * 2**80), 2**80))
    return found


def inverse(rows: Matrix) -> Matrix:
    """Return the inverse of a matrix whose leading minors are not zero, by elimination."""
    n = len(rows)
    full = [[*row, *(Fraction(i == j) for j in range(n))] for i, row in enumerate(rows)]
    for k in range(n):
        full[k] = [a / full[k][k] for a in full[k]]
        for i in range(n):
            if i != k:
                full[i] = [a - full[i][k] * b for a, b in zip(full[i], full[k], strict=True)]
    return [row[n:] for row in full]


def integrals(nodes: Sequence[Fraction], ends: Sequence[Fraction]) -> Matrix:
    """Return the weights of the values at the nodes in the integral of their polynomial from 0 to each end."""
    powers = inverse([[c**j for j in range(len(nodes))] for c in nodes])
    return [
        [sum((c ** (j + 1) / (j + 1) * row[k] for j, row in enumerate(powers)), Fraction(0)) for k in range(len(nodes))]
        for c in ends
    ]


@functools.cache
def through(nodes: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Return W with ``sum_k W_jk z_k theta^(j + 1)`` the polynomial that is 0 at 0 and z_k at the nodes."""
    exact = [Fraction(c) for c in nodes]
    powers = [[c ** (j + 1) for j in range(len(nodes))] for c in exact]
    return tuple(tuple(map(float, row)) for row in inverse(powers))
