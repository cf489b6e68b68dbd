"""The arguments of SciPy's solve_ivp, checked, and as the package has them."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

from ..adaptive.method import Adaptive
from ..backends import backend_of
from ..backends.given import beside, real_numbers
from ..backends.namespace import Array, array_namespace
from ..backends.registration import close_matches
from ..errors import FunctionError, InputError, UnknownKeyError, check_real, level_of_caller, mismatch
from ..inverses import rule_of

METHODS: dict[str, str | None] = {
    "auto": None,
    "RK45": "dopri5",
    "RK23": "dopri5",
    "DOP853": "dopri8",
    "Radau": "radau5",
    "BDF": None,
    "LSODA": None,
}
"""The rules that stand for SciPy's methods; None is the choice of the solver."""

NEAREST = ("RK23", "BDF", "LSODA")  # of which the package has no rule of its own
LATEST = 1e30  # a time that stands for infinity
LEAST_RTOL = 100  # in units of eps


class ArgumentError(InputError, TypeError):
    """What SciPy answers with a TypeError."""


def span_of(t_span: Any, ends: bool) -> tuple[float, float]:
    """Return the first and the last time, an infinite one as the latest number, where an event ``ends`` the solve."""
    try:
        start, end = (float(t) for t in t_span)
    except (TypeError, ValueError, RuntimeError) as error:
        raise mismatch("t_span", "two numbers, (t_0, t_end)", repr(t_span)) from error
    if math.isinf(end) and ends:
        end = math.copysign(LATEST, end)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise mismatch("t_span", "two finite numbers, or with a terminal event an infinite end", repr(t_span))
    return start, end


def times_of(t_eval: Any, span: tuple[float, float], like: Array) -> Array | None:
    """Return the times where y is wanted; raise unless they go from the first to the last of the span."""
    if t_eval is None:
        return None
    backend = backend_of(like)
    t = beside(t_eval, like, backend, "t_eval")
    if t.ndim != 1:
        raise mismatch("t_eval", "shape (M,)", tuple(t.shape))
    if backend.is_concrete(t):
        (start, end), numbers = span, backend.to_numpy(t)
        low, high = min(start, end), max(start, end)
        if not bool(((numbers >= low) & (numbers <= high)).all()):
            raise mismatch("t_eval", f"times within t_span, [{low:.15g}, {high:.15g}]", f"{numbers.tolist()}")
        steps = (numbers[1:] - numbers[:-1]) * (1 if end >= start else -1)
        if not bool((steps > 0).all()):
            raise mismatch("t_eval", "times in the order of t_span, each once", f"{numbers.tolist()}")
    return t


def args_of(args: Any) -> tuple[Any, ...] | None:
    """Return what functions are given behind y."""
    try:
        return None if args is None else tuple(args)
    except TypeError as error:
        text = f"args: expected a tuple; received {type(args).__name__}. Write args=(c,) for one."
        raise ArgumentError(text) from error


def rule_for(asked: Any) -> tuple[str | None, str]:
    """Return the rule of a method, None where the solver chooses, and what stands in for it."""
    name = asked.__name__ if isinstance(asked, type) else asked
    if not isinstance(name, str):
        raise mismatch("method", f"one of {', '.join(METHODS)}, or the name of a rule", repr(asked))
    if name not in METHODS:
        try:
            rule_of(name, "ddt")
        except UnknownKeyError as error:
            raise UnknownKeyError(f"method: there is no {name!r}." + close_matches(name, [*METHODS])) from error
        return name, ""
    rule = METHODS[name]
    stand_in = f" {name} is not here: {rule or 'the choice of the solver'} stood in." if name in NEAREST else ""
    return rule, stand_in


def tolerance_of(rtol: Any, atol: Any, like: Array, first_step: Any, max_step: Any, length: float) -> Adaptive:
    """Return the tolerance; rtol below what the dtype allows is raised to that, with a warning, as by SciPy."""
    least = LEAST_RTOL * float(array_namespace(like).finfo(like.dtype).eps)
    parts = {name: _entries(name, value, like) for name, value in (("rtol", rtol), ("atol", atol))}
    if min(parts["rtol"]) < least:
        smallest = min(parts["rtol"])
        text = (
            f"At least one element of `rtol` is too small: {smallest:.3g} is below roundoff, and raised to {least:.3g}."
        )
        warnings.warn(text, stacklevel=level_of_caller())
        parts["rtol"] = [max(r, least) for r in parts["rtol"]]
    if first_step is not None:
        check_real(
            "first_step",
            f"a number > 0 within the length of t_span, {length:.15g}",
            first_step,
            lambda h: 0 < h <= length,
        )
    if max_step is not None:
        check_real("max_step", "a number > 0", max_step, lambda h: h > 0)
    longest = None if max_step is None or math.isinf(max_step) else float(max_step)
    relative, absolute = (v[0] if len(v) == 1 else v for v in (parts["rtol"], parts["atol"]))
    return Adaptive(relative, absolute, first_step, longest)


def _entries(name: str, value: Any, like: Array) -> list[float]:
    n, entries = like.shape[-1], real_numbers(value, name)
    if len(entries) not in (1, n):
        raise mismatch(name, f"a number, or one for each of {n} components", f"{len(entries)} numbers")
    if min(entries) < 0:
        raise mismatch(name, "numbers >= 0", repr(value))
    return entries


class Calls:
    """A user's functions, and how often they were called."""

    def __init__(self, fun: Any, jac: Any) -> None:
        if not callable(fun):
            raise mismatch("fun", "fun(t, y) of a number t and y of shape (n,), which returns n numbers", repr(fun))
        self.counts = {"nfev": 0, "njev": 0}
        self.fun, self.jac = self._counted("nfev", fun), self._counted("njev", jac) if callable(jac) else jac

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        counts = self.counts

        def called(*args: Any) -> Any:
            counts[name] += 1
            return function(*args)

        return called


@dataclasses.dataclass(frozen=True)
class Jacobians:
    """df/dy of all points, (*B, T, n, n), of SciPy's jac: a function of one point, or a matrix."""

    jac: Any

    def __call__(self, y: Array, x: Array, params: Any) -> Array:
        """Return the matrices."""
        xp, backend, n = array_namespace(y), backend_of(y), y.shape[-1]
        extra = () if params is None else params

        def matrix(made: Any) -> Array:
            made = made.toarray() if hasattr(made, "toarray") else made
            made = made if hasattr(made, "shape") else backend.listed(made, y)
            made = xp.reshape(made, (1, 1)) if n == 1 and math.prod(made.shape) == 1 else made
            if tuple(made.shape) != (n, n):
                raise FunctionError(f"jac: expected df_i/dy_j of shape {(n, n)}; received {tuple(made.shape)}.")
            return xp.astype(xp.asarray(made), y.dtype)

        if not callable(self.jac):
            return xp.broadcast_to(matrix(self.jac), (*y.shape, n))
        rows, t = xp.reshape(y, (-1, n)), xp.reshape(xp.broadcast_to(x, (*y.shape[:-1], 1)), (-1,))
        made = backend.vmap(lambda y, t: matrix(self.jac(t, y, *extra)), (rows, t))
        return xp.reshape(made, (*y.shape, n))
