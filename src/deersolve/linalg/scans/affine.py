"""The affine recurrence and its adjoint: normal form, a way to run it, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ...backends.namespace import Array, array_namespace
from ...backends.registration import Registry
from ..host import family
from ..structure import Structure
from .choose import pick
from .normal_form import NormalForm, normal_form
from .own import Probe, guarded, like, noted

Way: TypeAlias = Callable[[tuple[Array, ...], tuple[int, ...], Array], Array]
"""``way(As, lags, b) -> y`` runs ``y_i = sum_p A_p[i - k_p] y_{i-k_p} + b_i`` from zero history.

It is given the normal form (:mod:`deersolve.linalg.scans.normal_form`) and nothing else:

- b : array, shape (*B, T, n), not empty; y has the same shape, dtype and device;
- As : arrays of one kind, either all dense, shape (*B', T - k_p, n, n), or all diagonal, shape
  (*B', T - k_p, n), where every axis of B' is that of B or 1. Row j belongs to point j + k_p;
- lags : distinct, ascending, at least one, each from 1 to T - 1.
"""

_names = ("associative", "blelloch", "cuda", "lapack", "lax", "numba", "sequential")
ways: Registry[Way] = Registry("scan", "deersolve.linalg.scans", {name: name for name in _names})


def register(name: str, *, replace: bool = False) -> Callable[[Way], Way]:
    """Return the decorator that makes a way known under ``name``; ``replace`` allows one that is taken."""
    return lambda way: ways.add(name, way, replace=replace)


def affine_scan(As: tuple[Structure, ...], lags: tuple[int, ...], b: Array, *, way: str | Way | None = None) -> Array:
    """Return ``y_i = sum_p A_{p,i} y_{i-k_p} + b_i`` with ``y_j = 0`` for ``j < 0``.

    Parameters
    ----------
    As : tuple of Structure
        The coefficients at every point, grid shape (*B, T); batch axes may be missing or 1.
        ``A_{p,i}`` with ``i < k_p`` is not used, whatever it holds.
    lags : tuple of int
        The lags k_p >= 1, one for each structure.
    b : array, shape (*B, T, n)
    way : str or callable, optional
        A name in ``ways``, or a function like them; by default the one that :func:`which_scan` explains. On PyTorch,
        where derivatives are recorded or functions transformed, a way that those cannot follow is left for the default.

    Returns
    -------
    array, shape (*B, T, n)
        y; it is b itself where no coefficient is used.

    Raises
    ------
    InputError
        If shapes do not match, the named way cannot run this recurrence, or returns what is not like b.
    UnknownKeyError
        If there is no such way.

    Examples
    --------
    >>> import numpy as np
    >>> from deersolve.linalg.scans import affine_scan
    >>> from deersolve.linalg.structure import Diagonal
    >>> half = Diagonal(np.full((4, 1), 0.5))
    >>> affine_scan((half,), (1,), np.ones((4, 1)))[:, 0].tolist()
    [1.0, 1.5, 1.75, 1.875]
    """
    form = normal_form(tuple(As), tuple(lags), b)
    return form.restore(_run(form, way))


def affine_scan_transposed(
    As: tuple[Structure, ...], lags: tuple[int, ...], c: Array, *, way: str | Way | None = None
) -> Array:
    """Return the adjoint, ``l_i = c_i + sum_p A_{p,i+k_p}^T l_{i+k_p}``; ``l_j = 0`` past the end.

    Parameters
    ----------
    As, lags, way
        As for :func:`affine_scan`.
    c : array, shape (*B, T, n)

    Returns
    -------
    array, shape (*B, T, n)
        l; ``<c, affine_scan(b)> = <l, b>`` for every b.

    Notes
    -----
    With time reversed it is a forward scan: only views of As change.
    """
    form = normal_form(tuple(As), tuple(lags), c)
    if not form.lags:
        return form.restore(_run(form, way))
    flipped = _run(form.reversed(), way)
    return form.restore(array_namespace(flipped).flip(flipped, axis=-2))


def _run(form: NormalForm, way: str | Way | None) -> Array:
    if isinstance(way, str):
        ways.check(way)
    if not form.lags:
        return form.b
    run = way if callable(way) else ways[pick(form, way)[0]]
    name = way if isinstance(way, str) else getattr(run, "__name__", str(run))
    is_own = run in own_ways(way)
    As, b = (tuple(map(guarded, form.As)), guarded(form.b)) if is_own else (form.As, form.b)
    with _full_precision(form.b), noted(name) if is_own else contextlib.nullcontext():
        y = run(As, form.lags, b)
        return like(y, form.b, name) if is_own else y


def own_ways(way: str | Way | None) -> tuple[Way, ...]:
    """Return the ways that are not built in among that one and those the table may choose."""
    named = [key for key in (*_names, way) if isinstance(key, str) and ways.is_own(key)]
    return (*(ways[key] for key in named), *([way] if callable(way) else []))


def probe(way: str | Way | None) -> Probe:
    """Return a way that runs that one, by default that of the table, and keeps how far off it is."""

    def which(As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Way:
        return way if callable(way) else ways[pick(NormalForm(As, lags, b, lambda y: y), way)[0]]

    return Probe(str(way or "of the table"), which)


@contextlib.contextmanager
def _full_precision(b: Array) -> Iterator[None]:
    """Forbid TF32 and bfloat16 in the products of JAX: they ruin matrix scans."""
    if family(b) != "jax":
        yield
        return
    import jax

    with jax.default_matmul_precision("highest"):
        yield
