"""SciPy's functions of one point, ``fun(t, y)`` and ``bc(ya, yb)``, as f and ends of the package."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from ..backends import backend_of
from ..backends.agreement import AGREEMENT, equal
from ..backends.namespace import Array, Tree, array_namespace
from ..errors import FunctionError, mismatch

CHECKED = 12  # points at which fun of many has to be fun of one
MAPPED = (
    "What vmap cannot follow has to be written with functions of the library: where(t < 5, a, b) for `if t < 5`, "
    "stack([...]) for an array that is filled, maximum for max, the library's sin for math.sin."
)
CONTRACT = "fun(t, y) of a number t and y of shape (n,), which returns n numbers, each point by itself"


@dataclasses.dataclass(frozen=True)
class FromScipy:
    """f from ``fun(t, y)``: what is meant is fun at every point by itself; ``is_whole`` calls it once for all.

    That was found for y of a ``rank``. ``is_single`` forbids it: fun was found to have other values. ``reuses``: fun
    returns the same array each time.

    A point is a number t and y of shape (n,), as solve_ivp has it, or a column of each (``is_column``), as solve_bvp.
    """

    fun: Callable[..., Any]
    vectorized: bool = False
    unknowns: int = 0
    is_column: bool = False
    is_whole: bool = False
    is_single: bool = False
    reuses: bool = False
    rank: int = 0
    adapter: ClassVar[str] = "ds.from_scipy"
    contract: ClassVar[str] = CONTRACT

    @property
    def __name__(self) -> str:
        return getattr(self.fun, "__name__", type(self.fun).__name__)

    @property
    def way(self) -> str:
        """How fun is called, where that is worth a word."""
        return "" if self.is_whole or self.vectorized else "point by point"

    def __call__(self, y: Array, x: Any, params: Any) -> Array:
        """Return f over (*B, T, n)."""
        t, extra = _time(x), _extra(params)
        return self._whole(y, t, extra) if self.is_whole or self.vectorized else self._mapped(y, t, extra)

    def of_one(self, params: Any, like: Array) -> Callable[[float, Array], Array]:
        """Return fun of one time and y (n,), an array like ``like``: what a loop calls at every step."""
        fun, extra, shape, dtype = self.fun, _extra(params), tuple(like.shape), like.dtype
        if self.unknowns or self.is_column:
            return lambda t, y: self._at_point(y, backend_of(like).convert(t, like, dtype), extra)
        listed = backend_of(like).listed

        def slope(t: float, y: Array) -> Array:
            made = fun(t, y, *extra)
            if getattr(made, "shape", None) == shape and made.dtype == dtype:
                return made
            try:
                row = listed(made, like) if isinstance(made, list | tuple) else made
            except (TypeError, ValueError):
                row = made
            return row if getattr(row, "shape", None) == shape and row.dtype == dtype else _row(row, y)

        return (lambda t, y: slope(t, y) + 0) if self.reuses else slope

    def conditions(self, u_a: Array, u_b: Array, params: Any) -> Array:
        """Return ``bc(ya, yb)`` for arrays (*B, 1, n)."""
        extra, n = _extra(params), u_a.shape[-1] - self.unknowns

        def at(a: Array, b: Array) -> Array:
            p = (a[n:],) if self.unknowns else ()
            return _row(self.fun(a[:n], b[:n], *p, *extra), a)

        rows = [_rows(u, u.shape) for u in (u_a, u_b)]
        return array_namespace(u_a).reshape(backend_of(u_a).vmap(at, tuple(rows)), u_a.shape)

    def tuned(self, backend: Any, ys: tuple[Array, ...], x: Tree, params: Any) -> FromScipy:
        """Return the fastest way to call fun that has the values of one call for each point, on a stretch of the grid.

        Raises
        ------
        FunctionError
            If fun fails at a point, or where vmap calls it.
        """
        if self.vectorized or self.is_single or (self.is_whole and self.rank == ys[0].ndim):
            return self
        args = (ys[0], _time(x), _extra(params))
        if backend.compiles:
            return self._of_a_kind(lambda f: f._mapped(*args), MAPPED)
        held = list[bool]()
        one = self._of_a_kind(lambda f: held.append(dataclasses.replace(f, is_whole=True).holds(ys[0], x, params)), "")
        one = dataclasses.replace(one, is_whole=held[-1], rank=ys[0].ndim)
        one = dataclasses.replace(one, reuses=one.reuses or one._overwrites(*args))
        if held[-1]:
            return one
        if backend.derivative != "dual numbers":
            one._of_a_kind(lambda f: f._mapped(*args), MAPPED)
        return one

    def holds(self, y: Array, x: Tree, params: Any) -> bool:
        """Return whether f has the values of one call for each of a few points: the first, the last, some between."""
        t, extra = _time(x), _extra(params)
        Y, ts = _rows(y, y.shape), _rows(t, y.shape)
        picks = sorted({round(k * (Y.shape[0] - 1) / (CHECKED - 1)) for k in range(CHECKED)})
        expected = array_namespace(y).stack([self._at_point(Y[i, ...], ts[i, 0], extra) + 0 for i in picks])
        try:
            found = _rows(self._whole(y, t, extra), y.shape)
        except Exception:
            return False
        return equal(array_namespace(y).stack([found[i, ...] for i in picks]), expected, AGREEMENT)

    def otherwise(self, ys: tuple[Array, ...], x: Tree, params: Any) -> FromScipy | None:
        """Return f point by point where one call for all does not have its values, else None."""
        if not self.is_whole or self.holds(ys[0], x, params):
            return None
        return dataclasses.replace(self, is_whole=False, is_single=True)

    def _overwrites(self, y: Array, t: Array, extra: tuple[Any, ...]) -> bool:
        """Return whether what fun has returned at one point is another after it was called at another."""
        Y, ts = _rows(y, y.shape), _rows(t, y.shape)
        first = self._at_point(Y[0, ...], ts[0, 0], extra)
        kept = first + 0
        self._at_point(Y[-1, ...], ts[-1, 0], extra)
        return not equal(first, kept, 0.0)

    def _of_a_kind(self, call: Callable[[FromScipy], Any], advice: str) -> FromScipy:
        """Return this, or of columns if fun can only be called with those."""
        try:
            call(self)
        except Exception as error:
            columns = dataclasses.replace(self, is_column=True)
            try:
                call(columns)
            except Exception:
                raise _failed(error, advice) from error
            return columns
        return self

    def _mapped(self, y: Array, t: Array, extra: tuple[Any, ...]) -> Array:
        rows = backend_of(y).vmap(lambda y, t: self._at_point(y, t[0], extra), (_rows(y, y.shape), _rows(t, y.shape)))
        return array_namespace(rows).reshape(rows, y.shape)

    def _at_point(self, y: Array, t: Array, extra: tuple[Any, ...]) -> Array:
        n, xp = y.shape[0] - self.unknowns, array_namespace(y)
        parts = (y[:n], y[n:]) if self.unknowns else (y,)
        if self.is_column:
            made = self.fun(xp.reshape(t, (1,)), *(part[:, None] for part in parts), *extra)
        else:
            made = self.fun(t, *parts, *extra)
        row = _row(made, parts[0])
        return self._with_unknowns(row + 0 if self.reuses else row, y)

    def _whole(self, y: Array, t: Array, extra: tuple[Any, ...]) -> Array:
        xp, n = array_namespace(y), y.shape[-1] - self.unknowns
        first = xp.permute_dims(y, (y.ndim - 1, *range(y.ndim - 1)))
        parts = (first[:n, ...], first[n:, ...]) if self.unknowns else (first,)
        out = self.fun(t[..., 0], *parts, *extra)
        if isinstance(out, list | tuple):
            flat = xp.zeros_like(y[..., 0])
            made = xp.stack([flat + part for part in out], axis=-1)
        else:
            made = xp.permute_dims(out, (*range(1, out.ndim), 0))
        expected = (*y.shape[:-1], n)
        if tuple(made.shape) != expected:
            raise _of_shape((n, *y.shape[:-1]), getattr(out, "shape", made.shape))
        return self._with_unknowns(_cast(made, y), y)

    def _with_unknowns(self, made: Array, y: Array) -> Array:
        """Return the slopes with those of the unknown numbers, 0, behind them."""
        if not self.unknowns:
            return made
        xp = array_namespace(y)
        return xp.concat([made, xp.zeros_like(y[..., y.shape[-1] - self.unknowns :])], axis=-1)


def _extra(params: Any) -> tuple[Any, ...]:
    """Return params as SciPy's ``args``."""
    return () if params is None else params if isinstance(params, tuple) else (params,)


def _time(x: Any) -> Array:
    """Return the points, (*B, T, 1): the time, or s of a problem with two ends."""
    t = x["s"] if isinstance(x, dict) and set(x) == {"s"} else x
    if not hasattr(t, "shape") or t.shape[-1] != 1:
        received = f"a dict of {sorted(x)}" if isinstance(x, dict) else getattr(x, "shape", type(x).__name__)
        raise mismatch("from_scipy", "x to be the time, shape (T, 1), or the points s alone", received)
    return t


def _rows(a: Array, shape: tuple[int, ...]) -> Array:
    """Return an array over (*B, T) as rows (N, k)."""
    xp = array_namespace(a)
    full = a if a.shape[:-1] == shape[:-1] else xp.broadcast_to(a, (*shape[:-1], a.shape[-1]))
    return xp.reshape(full, (math.prod(shape[:-1]), a.shape[-1]))


def _row(made: Any, y: Array) -> Array:
    """Return what fun made of one point as an array of the shape and dtype of y."""
    xp, n = array_namespace(y), y.shape[0]
    if isinstance(made, list | tuple):
        zero = xp.zeros_like(y[0, ...])
        made = xp.stack([zero + (xp.reshape(part, ()) if hasattr(part, "shape") else part) for part in made])
    elif not hasattr(made, "shape"):
        made = xp.zeros_like(y) + made if n == 1 and made is not None else made
    shape = getattr(made, "shape", None)
    if shape is None or math.prod(shape) != n:
        raise _of_shape((n,), type(made).__name__ if shape is None else tuple(shape))
    if not (xp == array_namespace(made) or backend_of(y).accepts(made)):
        own, other = backend_of(y).name, backend_of(made).name
        raise FunctionError(f"fun, inside ds.from_scipy: expected an array of {own}, as y is; received one of {other}.")
    return _cast(made if tuple(shape) == (n,) else xp.reshape(made, (n,)), y)


def _cast(made: Array, y: Array) -> Array:
    """Return numbers in the dtype of y; of a complex one only where y is, as for a complex step."""
    if made.dtype == y.dtype:
        return made
    xp = array_namespace(made)
    if xp.isdtype(made.dtype, "complex floating") and array_namespace(y).isdtype(y.dtype, "real floating"):
        raise FunctionError(f"fun, inside ds.from_scipy: expected numbers of dtype {y.dtype}; received {made.dtype}.")
    return xp.astype(made, y.dtype)


def _of_shape(expected: tuple[int, ...], received: Any) -> FunctionError:
    return FunctionError(f"fun, inside ds.from_scipy: expected numbers of shape {expected}; received {received}.")


def _failed(error: Exception, advice: str) -> FunctionError:
    if isinstance(error, FunctionError):
        return error
    text = f"fun, inside ds.from_scipy, raised {type(error).__name__} ({error}): expected {CONTRACT}."
    return FunctionError(f"{text} {advice}".rstrip())
