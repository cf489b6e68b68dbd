"""What a user gave, as arrays of one library, device and dtype, with the axes that they broadcast over."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from ..errors import InputError, LibraryError, mismatch
from . import backend_of
from .generic import Backend
from .namespace import Array, Tree, array_namespace, dtype_name, padded
from .pairs import is_complex
from .trees import tree_leaves, tree_map

UNUSABLE = (TypeError, ValueError, RuntimeError, OverflowError)
"""What libraries raise of numbers, shapes or dtypes that do not fit."""


REAL, COMPLEX = ("float32", "float64"), ("complex64", "complex128")
"""The dtypes that Newton's method runs in, and those of a state that is laid out in pairs of them."""


def state(given: Any, name: str, kinds: tuple[str, ...] = REAL) -> tuple[Array, Backend]:
    """Return y0 (or the guess) as an array of finite numbers, and its backend."""
    if isinstance(given, numbers.Complex | list | tuple):
        given = _listed(given, name)
    given, backend = plain(given, name)
    kind = dtype_name(given)
    if "float16" in kind:
        raise LibraryError(
            f"{name}: expected float32 or float64; received {kind}. Newton's method stalls at the roundoff of "
            "half precision (about 3e-3); convert with float32 and cast the result back."
        )
    if kind not in kinds:
        advice = "Write 1.0 instead of 1, or convert it."
        advice = SPLIT if "complex" in kind else advice
        raise LibraryError(f"{name}: expected float32 or float64; received {kind}. {advice}")
    if given.ndim < 1 or 0 in given.shape:
        raise mismatch(name, "shape (*B, n) with n >= 1", tuple(given.shape))
    finite(given, name, backend)
    return given, backend


def in_floats(given: Any, name: str) -> Any:
    """Return what a user gave, whole numbers in the floating-point dtype that their library has by default."""
    given = _listed(given, name) if isinstance(given, numbers.Complex | list | tuple) else given
    a, _ = plain(given, name)
    xp = array_namespace(a)
    return xp.astype(a, xp.asarray(0.5).dtype) if xp.isdtype(a.dtype, ("integral", "bool")) else given


SPLIT = (
    "Complex numbers begin with a complex y0 or u0, or where there is none with a complex guess or condition; then the "
    "guess, conditions, x and params may be complex, but times, points and coefficients are real."
)


def beside(value: Any, like: Array, backend: Backend, name: str, cast: bool = True) -> Array:
    """Return ``value`` as an array of finite real numbers, of the library, device and dtype of ``like``.

    With ``cast=False`` a floating-point dtype stays what it is: a grid may be wider than y.
    """
    a = alike(value, like, backend, name, cast)
    xp = array_namespace(a)
    if not xp.isdtype(a.dtype, "real floating"):
        if not xp.isdtype(a.dtype, "integral"):
            raise mismatch(
                name, "real numbers", dtype_name(a), SPLIT if xp.isdtype(a.dtype, "complex floating") else ""
            )
        a = xp.astype(a, like.dtype)
    if 0 in a.shape:
        raise mismatch(name, "at least one number", f"an empty array of shape {tuple(a.shape)}")
    finite(a, name, backend)
    return a


def alike(value: Any, like: Array, backend: Backend, name: str, cast: bool = True) -> Array:
    """Return ``value`` as an array of the library and device of ``like``, and of its dtype where it is a float.

    Nothing is asked of the numbers: x may be NaN where f does not look, and may hold integers, bools or complex
    numbers, which f sees as they are.
    """
    if isinstance(value, numbers.Complex | list | tuple):
        return _converted(value, like, backend, name)
    if not hasattr(value, "shape"):
        advice = "Give its values at the points." if callable(value) else ""
        raise mismatch(name, f"an array of {backend.name}, or a number", type(value).__name__, advice)
    value, own = plain(value, name)
    if own is not backend and not backend.accepts(value):
        raise LibraryError(
            f"{name}: expected an array of {backend.name}, like y0; received one of {own.name}. "
            "Convert it: the library of y0 decides."
        )
    if own is not backend:
        value = backend.convert(value, like, None)
    xp = array_namespace(like)
    if backend.placement(value) != backend.placement(like):
        raise LibraryError(
            f"{name}: expected device {backend.device(like)}, like y0; received {backend.device(value)}."
        )
    floating = xp.isdtype(value.dtype, "real floating")
    return xp.astype(value, like.dtype) if cast and floating and value.dtype != like.dtype else value


def finite(a: Array, name: str, backend: Backend) -> None:
    """Raise where a number is NaN or infinite; under a transformation nobody can look."""
    if not backend.is_concrete(a):
        return
    a = backend.to_numpy(a) if backend.device_kind(a) == "cpu" else a
    xp = array_namespace(a)
    holds = xp.isfinite(a)
    if bool(xp.all(holds)):
        return
    places = [int(axis[0]) for axis in xp.nonzero(~holds)] if a.ndim else []
    number = complex(a[tuple(places)]) if is_complex(a) else float(a[tuple(places)])
    value = f"{number}" + (f" at {places}" if places else "")
    raise mismatch(name, "finite numbers", value, "Leave out or replace what is missing before the solve.")


def plain(value: Any, name: str) -> tuple[Array, Backend]:
    """Return an array in the form that all functions of its library take, and its backend."""
    try:
        backend = backend_of(value)
    except LibraryError as error:
        raise LibraryError(f"{name}: {error}") from None
    return backend.plain(value, name), backend


def _entries(value: Any) -> Iterator[Any]:
    """Yield what nested lists and tuples hold."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _entries(part)
    else:
        yield value


def _is_number(entry: Any) -> bool:
    return isinstance(entry, numbers.Complex) and not isinstance(entry, bool)


def _first_array(value: Any, name: str) -> Any:
    """Return the first array among the entries of lists, or None where all are numbers; raise of anything else."""
    others = [entry for entry in _entries(value) if not _is_number(entry)]
    for entry in others:
        if not hasattr(entry, "shape"):
            raise mismatch(name, "numbers, in lists of equal lengths, or an array", repr(entry))
    return others[0] if others else None


def _listed(value: Any, name: str) -> Array:
    """Return a number or lists as an array: of NumPy, or of the library of the arrays that they hold."""
    import numpy as np

    like = _first_array(value, name)
    if like is not None:
        return _converted(value, *plain(like, name), name)
    try:
        return np.asarray(value)
    except UNUSABLE as error:
        raise mismatch(name, "lists of equal lengths, or an array", repr(value)) from error


def _converted(value: Any, like: Array, backend: Backend, name: str) -> Array:
    """Return a number or lists as an array beside ``like``; lists may hold arrays, whose derivatives they keep."""
    try:
        if _first_array(value, name) is None:
            if is_complex(value) and not is_complex(like):
                raise mismatch(name, "real numbers", repr(value), SPLIT)
            return backend.convert(value, like, like.dtype)
        return array_namespace(like).stack([alike(part, like, backend, name) for part in value])
    except InputError:
        raise
    except UNUSABLE as error:
        raise mismatch(name, "lists of equal lengths, or an array", repr(value)) from error


def real_numbers(value: Any, name: str) -> list[float]:
    """Return a number, or a row of them, as Python numbers: what an equation is made of before any array is."""
    try:
        entries = [*value] if isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1 else [value]
        found = [float(entry) for entry in entries if _is_real_number(entry) or _is_real_scalar(entry)]
    except UNUSABLE as error:  # traced
        raise mismatch(name, "numbers that are known when the equation is made", repr(value)) from error
    if not found or len(found) < len(entries) or not all(map(math.isfinite, found)):
        raise mismatch(name, "a finite number, or a row of one for each component", repr(value))
    return found


def _is_real_number(entry: Any) -> bool:
    return _is_number(entry) and not is_complex(entry)


def _is_real_scalar(entry: Any) -> bool:
    """Return whether an entry is a real number in an array without axes."""
    if getattr(entry, "shape", None) != () or not hasattr(entry, "dtype"):
        return False
    return bool(array_namespace(entry).isdtype(entry.dtype, ("real floating", "integral")))


class Given:
    """What a user gave to a problem: arrays of one library, device and dtype, which broadcast over their batch axes.

    Attributes
    ----------
    first : array
        What decides library, device and dtype.
    backend : Backend
        Its backend.
    ndim : int
        The number of axes of one element of the batch: those of the grid, and that of the components.
    guess : array or None
        The guess of y.
    """

    def __init__(self, ndim: int, **given: Any) -> None:
        """Take arrays by their names, of which the first one decides; ``y_guess`` may be None, which is none."""
        for name, first in given.items():
            if first is not None or name != "y_guess":
                break
        self.first, self.backend = state(first, name)
        self.xp, self.ndim = array_namespace(self.first), ndim
        guess = given["y_guess"]
        self.guess = guess if guess is None else self.first if guess is first else self.array("y_guess", guess)
        self._batches: list[tuple[str, tuple[int, ...]]] = []

    def array(self, name: str, value: Any, cast: bool = True) -> Array:
        """Return finite real numbers as an array beside the first; see :func:`beside`."""
        return beside(value, self.first, self.backend, name, cast)

    def of_batch(self, name: str, a: Array) -> Array:
        """Return an array with all axes of one element; what it has before them are its axes of the batch."""
        a = padded(a, self.ndim)
        self._batches.append((name, tuple(a.shape[: -self.ndim])))
        return a

    def leaf(self, name: str, value: Any, cast: bool = True) -> Array:
        """Return whatever numbers there are as an array beside the first; see :func:`alike`."""
        return alike(value, self.first, self.backend, name, cast)

    def tree(self, x: Tree, n_points: int | None = None) -> Tree:
        """Return every leaf of x with all axes of one element, over so many points if their number is known."""
        made = tree_map(lambda value: self.of_batch("x", at_points(self.leaf("x", value))), x)
        return made if n_points is None else spanning(made, n_points)

    @cached_property
    def batch(self) -> tuple[int, ...]:
        """The axes of the batch of all that was given; an error names who disagrees."""
        guesses = [] if self.guess is None else [("y_guess", tuple(self.guess.shape[: -self.ndim]))]
        return batch_of(self._batches + guesses)

    @cached_property
    def rank(self) -> int:
        """The number of axes of all of them."""
        return len(self.batch) + self.ndim

    def laid(self, tree: Tree) -> Tree:
        """Return arrays with an axis for each of the batch."""
        return tree_map(lambda a: padded(a, self.rank), tree)

    def full(self, a: Array, *sizes: int) -> Array:
        """Return an array for every element of the batch, of one that broadcasts to those sizes."""
        return self.xp.broadcast_to(a, (*self.batch, *sizes))

    def start(self, default: Array, *sizes: int) -> Array:
        """Return the guess, or the default where there is none, for every element of the batch."""
        try:
            return self.full(default if self.guess is None else self.guess, *sizes)
        except Exception as error:
            if self.guess is None:
                raise
            shape, received = (*self.batch, *sizes), tuple(self.guess.shape)
            raise mismatch("y_guess", f"an array that broadcasts to {shape}", received) from error


def at_points(leaf: Array) -> Array:
    """Return a leaf of x; raise if it has no axis for the points."""
    if leaf.ndim == 1:
        raise mismatch("x", "leaves of shape (T, k) or (*B, T, k)", f"shape {tuple(leaf.shape)}", "Use x[:, None].")
    return leaf


def batch_of(parts: list[tuple[str, tuple[int, ...]]]) -> tuple[int, ...]:
    """Broadcast batch shapes; an error names who disagrees."""
    out = [1] * max([len(shape) for _, shape in parts], default=0)
    for name, shape in parts:
        for k, size in enumerate(reversed(shape), start=1):
            if size != 1 and out[-k] not in (1, size):
                listed = ", ".join(f"{who} {s}" for who, s in parts)
                raise mismatch(name, f"batch axes that broadcast with {tuple(out)}", shape, f"Batch axes: {listed}.")
            out[-k] = max(out[-k], size)
    return tuple(out)


def spanning(x: Tree, T: int) -> Tree:
    """Return x; raise unless every leaf of it has one point, or one for each of the grid."""
    for leaf in tree_leaves(x):
        if leaf.shape[-2] not in (1, T):
            raise mismatch("x", f"1 or T = {T} points on axis -2", f"shape {tuple(leaf.shape)}")
    return x
