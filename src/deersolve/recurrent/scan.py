"""``scan`` with the arguments and the meaning of :func:`jax.lax.scan`, on every array library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import backend_of
from ..backends._compilers import untraced
from ..backends.generic import Backend
from ..backends.namespace import Array
from ..backends.trees import tree_leaves
from ..errors import check_flag, check_whole, is_whole, mismatch
from ..newton.methods import method_of
from .inputs import Inputs, begins_of, holds_of
from .step import Step
from .ways import Scanned, run


def scan(  # noqa: PLR0913 - the signature of lax.scan, and what ragged batches and episodes need
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    reset: Any = None,
    batch_axis: int | None = None,
    params: Any = None,
    unroll: int = 1,
    method: Any = "auto",
) -> tuple[Any, Any]:
    """Return the last carry and all y of carry_i, y_i = f(carry_{i-1}, x_i), i = 0 ... T - 1.

    What :func:`jax.lax.scan` returns, by its loop or by Newton's method on all steps at once, whichever is faster.

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``, or ``f(carry, x, params)`` where there are params. The carry has the form, the
        shapes and the dtypes of ``init``. A cell of ``torch.nn`` (``GRUCell``) is taken as it is; its y is its h.
    init : tree of arrays
        The carry before the first step. Its library is the one that computes.
    xs : tree of arrays, optional
        Inputs, each (T, ...): f gets one entry of each at a step.
    length : int, optional
        T, needed where there are no xs.
    reverse : bool
        Whether to go from the last step to the first. y_i stays at its place i.
    lengths : array of int, shape (B,), or int, optional
        How many steps each element of the batch has. Behind them the carry is held and y is 0; what xs hold there,
        NaN included, has no effect, and a derivative of 0. Inside of ``jax.jit`` nobody sees the numbers: above T they
        are T, below 0 they are 0.
    reset : array of bool, shape (T,) or (T, B), optional
        Whether a step starts from ``init``: the first of an episode.
    batch_axis : int, optional
        The axis of ``init`` on which elements stand that f treats each by itself, 0 for (B, n); in xs and y it is the
        one behind time. Newton's method then solves B equations of n unknowns, without it one of all of them.
    params : any, optional
        Passed to f, where derivatives by it are wanted of a function that does not close over it.
    unroll : int
        How many steps of the loop are compiled as one, on JAX.
    method : "auto", "newton", "sequential", Newton, Sequential or Auto
        "auto" takes the loop where that is faster, or where f cannot be called at many steps at once.

    Returns
    -------
    carry : tree of arrays
        The last carry.
    ys : tree of arrays
        What f gave as y at every step, each (T, ...).

    Raises
    ------
    InputError
        If xs have no common T, lengths or reset do not fit, or f returns no pair or another form of carry.
    ConvergenceError
        If Newton's method was asked for and fails. "auto" takes the loop then.

    References
    ----------
    Lim, Zhu, Selfridge, Kasim, "Parallelizing non-linear sequential models over the sequence length",
    arXiv 2309.12252.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> def average(mean, x):
    ...     mean = 0.5 * mean + 0.5 * x
    ...     return mean, x - mean
    >>> last, deviations = ds.scan(average, np.zeros(2), np.ones((4, 2)))
    >>> last
    array([0.9375, 0.9375])
    >>> deviations[:, 0]
    array([0.5   , 0.25  , 0.125 , 0.0625])
    """
    return scanned(
        f,
        init,
        xs,
        length,
        reverse=reverse,
        lengths=lengths,
        reset=reset,
        batch_axis=batch_axis,
        params=params,
        unroll=unroll,
        method=method,
    )[:2]


@untraced
def scanned(  # noqa: PLR0913 - as scan
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    lengths: Any = None,
    reset: Any = None,
    batch_axis: int | None = None,
    params: Any = None,
    unroll: int = 1,
    method: Any = "auto",
    y_guess: Any = None,
) -> Scanned:
    """Return what :func:`scan` does, and the solution of Newton's method, which starts from a guess, (*B, T, n)."""
    check_flag("reverse", reverse)
    check_whole("scan", "unroll", unroll)
    backend, leaves, carry = _leaves(init, xs)
    x_leaves, inputs = backend.flatten(xs)
    T = _length(x_leaves, length)
    batch = _batch(leaves, x_leaves, batch_axis)
    step = Step(backend, backend.cell(f), carry, inputs, leaves, batch_axis)
    holds, begins = holds_of(lengths, T, batch, leaves[0]), begins_of(reset, T, batch, leaves[0])
    given = Inputs(step.moved_behind_time(x_leaves, back=True), holds, begins).without_padding()
    return run(step, given.reversed() if reverse else given, params, T, method_of(method), reverse, unroll, y_guess)


def _leaves(init: Any, xs: Any) -> tuple[Backend, list[Array], Any]:
    """Return the backend, and the leaves of the first carry with their form; NumPy's arrays become those of another."""
    arrays = [a for a in (*tree_leaves(init), *tree_leaves(xs)) if hasattr(a, "shape")]
    like = next(
        (a for a in arrays if not isinstance(a, np.ndarray | np.generic)), arrays[0] if arrays else np.zeros(())
    )
    backend = backend_of(like)
    leaves, form = backend.flatten(init)
    if not leaves:
        raise mismatch("init", "a tree of arrays or numbers", repr(init))
    try:
        dtypes = [like.dtype if isinstance(a, float) else None for a in leaves]
        leaves = [
            a if backend.is_array(a) else backend.convert(np.asarray(a), like, dtype)
            for a, dtype in zip(leaves, dtypes, strict=True)
        ]
    except (TypeError, ValueError, RuntimeError) as error:
        raise mismatch("init", "a tree of arrays or numbers", repr(init)) from error
    return backend, leaves, form


def _length(leaves: list[Array], length: Any) -> int:
    """Return T."""
    for a in leaves:
        if not getattr(a, "ndim", 0):
            raise mismatch("xs", "arrays with an axis of time, (T, ...)", repr(a))
    found = sorted({int(a.shape[0]) for a in leaves})
    if len(found) > 1:
        raise mismatch("xs", "arrays of one length on their first axis, time", found)
    if length is None and not found:
        raise mismatch("length", "the number of steps, where there are no xs", "None")
    if length is not None:
        if not is_whole(length) or length < 0:
            raise mismatch("length", "a whole number >= 0", repr(length))
        if found and found != [int(length)]:
            raise mismatch("length", f"{found[0]}, that of xs", length)
    return int(length) if length is not None else found[0]


def _batch(carry: list[Array], xs: list[Array], axis: int | None) -> tuple[int, ...]:
    """Return the axis of the batch, or no axis."""
    if axis is None:
        return ()
    if not is_whole(axis) or axis < 0:
        raise mismatch("batch_axis", "None or an axis >= 0 of every leaf of init", repr(axis))
    found = {tuple(a.shape[axis : axis + 1]) for a in carry} | {tuple(a.shape[axis + 1 : axis + 2]) for a in xs}
    expected = f"leaves with one size on axis {axis} of init, and on axis {axis + 1} of xs"
    if () in found:
        raise mismatch(
            "batch_axis", expected, "one without that axis", "A counter of all steps is to be one of each element."
        )
    if len(found) != 1:
        raise mismatch("batch_axis", expected, f"sizes {sorted(size for (size,) in found)}")
    return found.pop()
