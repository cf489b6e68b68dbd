"""What is asked of a way that is not built in: an array like b, and one that solves the recurrence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ...backends import backend_of
from ...backends.namespace import Array, array_namespace
from ...errors import mismatch
from .lag_one import zeros

if TYPE_CHECKING:
    from .affine import Way


def like(y: Any, b: Array, name: str) -> Array:
    """Return the result of a way; raise unless it has the library, shape and dtype of b."""
    expected = (backend_of(b).name, tuple(b.shape), b.dtype)
    is_array = hasattr(y, "shape") and hasattr(y, "dtype")
    received = (backend_of(y).name, tuple(y.shape), y.dtype) if is_array else type(y).__name__
    if received != expected:
        raise mismatch(f"the scan {name!r}", f"y like b, {_shown(expected)}", _shown(received))
    return y


@contextlib.contextmanager
def noted(name: str) -> Iterator[None]:
    """Add to an error that a way raises whose it is."""
    try:
        yield
    except Exception as error:
        error.add_note(f"The scan {name!r}, which is not built in, raised this error. It may not write to As and b.")
        raise


def _shown(kind: Any) -> str:
    return f"{kind[1]} of {kind[2]} on {kind[0]}" if isinstance(kind, tuple) else f"a {kind}"


def guarded(a: Array) -> Array:
    """Return an array of NumPy that cannot be written to; that of another library as it is."""
    if backend_of(a).name != "numpy":
        return a
    view = a.view()
    view.flags.writeable = False
    return view


def put_back(As: tuple[Array, ...], lags: tuple[int, ...], b: Array, y: Array) -> Array:
    """Return ``|y_i - sum_p A_p[i - k_p] y_{i-k_p} - b_i|`` relative to the sum of its terms, the largest, (*B,).

    A row whose terms overflow is not judged.
    """
    xp = array_namespace(b)
    total, size = b, xp.abs(b)
    for A, k in zip(As, lags, strict=True):
        past, none = y[..., :-k, :], zeros((*y.shape[:-2], k, y.shape[-1]), y)
        for whole, a, v in ((False, A, past), (True, xp.abs(A), xp.abs(past))):
            term = xp.matmul(a, v[..., None])[..., 0] if A.ndim > b.ndim else a * v
            term = xp.concat([none, term], axis=-2)
            total, size = (total, size + term) if whole else (total + term, size)
    off = xp.where(xp.isfinite(size), xp.abs(y - total) / (size + xp.abs(y)), 0.0)
    return xp.max(xp.where(size + xp.abs(y) == 0, 0.0, off), axis=(-2, -1))


class Probe:
    """A way that keeps, in ``off``, how far each of its results is from the recurrence, each (*B,)."""

    def __init__(self, name: str, way: Callable[[tuple[Array, ...], tuple[int, ...], Array], Way]) -> None:
        self.name = self.__name__ = name
        self.way, self.off = way, list[Array]()

    def __call__(self, As: tuple[Array, ...], lags: tuple[int, ...], b: Array) -> Array:
        """Run the way, and put what it returns back into the recurrence; a change of b counts as well."""
        xp, before = array_namespace(b), b + 0
        y = like(self.way(As, lags, b)(As, lags, b), before, self.name)
        changed = xp.any(b != before, axis=(-2, -1))
        self.off.append(xp.where(changed, xp.inf, put_back(As, lags, before, y)))
        return y
