"""Functions of one element: tables of their derivatives, of their branches, and of those that are constant."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .array import RULES, VIEWS, DualArray, duals_in, pad, result, rule, split, strip

# d f(x) / dx from (xp, x, y = f(x)).
UNARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "exp": lambda xp, x, y: y,
    "expm1": lambda xp, x, y: y + 1,
    "exp2": lambda xp, x, y: y * math.log(2),
    "log": lambda xp, x, y: 1 / x,
    "log1p": lambda xp, x, y: 1 / (1 + x),
    "log2": lambda xp, x, y: 1 / (x * math.log(2)),
    "log10": lambda xp, x, y: 1 / (x * math.log(10)),
    "sqrt": lambda xp, x, y: 0.5 / y,
    "cbrt": lambda xp, x, y: 1 / (3 * y * y),
    "square": lambda xp, x, y: 2 * x,
    "reciprocal": lambda xp, x, y: -y * y,
    "sin": lambda xp, x, y: xp.cos(x),
    "cos": lambda xp, x, y: -xp.sin(x),
    "tan": lambda xp, x, y: 1 + y * y,
    "asin": lambda xp, x, y: 1 / xp.sqrt((1 - x) * (1 + x)),
    "acos": lambda xp, x, y: -1 / xp.sqrt((1 - x) * (1 + x)),
    "atan": lambda xp, x, y: 1 / (1 + x * x),
    "sinh": lambda xp, x, y: xp.cosh(x),
    "cosh": lambda xp, x, y: xp.sinh(x),
    "tanh": lambda xp, x, y: 1 - y * y,
    "asinh": lambda xp, x, y: 1 / xp.sqrt(1 + x * x),
    "acosh": lambda xp, x, y: 1 / xp.sqrt((x - 1) * (x + 1)),
    "atanh": lambda xp, x, y: 1 / ((1 - x) * (1 + x)),
    "abs": lambda xp, x, y: xp.sign(x),
    "negative": lambda xp, x, y: -1,
    "positive": lambda xp, x, y: 1,
    "deg2rad": lambda xp, x, y: math.pi / 180,
    "rad2deg": lambda xp, x, y: 180 / math.pi,
    "sinc": lambda xp, x, y: (xp.cos(math.pi * x) - y) / xp.where(x == 0, 1.0, x),
    "expit": lambda xp, x, y: y * (1 - y),
    "log_expit": lambda xp, x, y: -xp.expm1(y),
    "logit": lambda xp, x, y: 1 / (x * (1 - x)),
    "erf": lambda xp, x, y: 2 / math.sqrt(math.pi) * xp.exp(-x * x),
    "erfc": lambda xp, x, y: -2 / math.sqrt(math.pi) * xp.exp(-x * x),
    "ndtr": lambda xp, x, y: xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
}


def _pow_base(xp: Any, a: Any, b: Any, y: Any) -> Any:
    if isinstance(b, (int, float, complex)):
        return b * a ** (b - 1 if b else 0)
    return b * a ** xp.where(b == 0, 0.0, b - 1)


def _pow_exponent(xp: Any, a: Any, b: Any, y: Any) -> Any:
    """Return log(a) y, and 0 at a = 0."""
    if isinstance(a, (int, float)):
        return math.log(a) * y if a > 0 else y * (math.nan if a else 0)
    return xp.log(xp.where(a == 0, 1.0, a)) * y


# d f(a, b) / da and / db from (xp, a, b, y = f(a, b)); None for zero.
Slope = Callable[..., Any] | None
BINARY: dict[str, tuple[Slope, Slope]] = {
    "add": (lambda xp, a, b, y: 1, lambda xp, a, b, y: 1),
    "subtract": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -1),
    "multiply": (lambda xp, a, b, y: b, lambda xp, a, b, y: a),
    "divide": (lambda xp, a, b, y: 1 / b, lambda xp, a, b, y: -y / b),
    "pow": (_pow_base, _pow_exponent),
    "float_power": (_pow_base, _pow_exponent),
    "atan2": (lambda xp, a, b, y: b / (a * a + b * b), lambda xp, a, b, y: -a / (a * a + b * b)),
    "hypot": (lambda xp, a, b, y: a / xp.where(y == 0, 1.0, y), lambda xp, a, b, y: b / xp.where(y == 0, 1.0, y)),
    "logaddexp": (lambda xp, a, b, y: xp.exp(a - y), lambda xp, a, b, y: xp.exp(b - y)),
    "copysign": (lambda xp, a, b, y: xp.sign(y) * xp.sign(a), None),
    "remainder": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -xp.floor(a / b)),
    "fmod": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -xp.trunc(a / b)),
}

# Where the first operand is the result (elsewhere it is the second).
BRANCHES: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": lambda a, b: a >= b,
    "minimum": lambda a, b: a <= b,
    "fmax": lambda a, b: (a >= b) | (b != b),
    "fmin": lambda a, b: (a <= b) | (b != b),
}

# Functions whose result is locally constant, or does not depend on the values at all.
CONSTANT = """
    floor ceil trunc fix rint round around sign signbit floor_divide heaviside isnan isinf isfinite
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not isclose allclose array_equal argmax argmin argsort searchsorted digitize nonzero
    count_nonzero any all shape ndim size result_type can_cast isdtype iscomplexobj isrealobj
"""


def _elementwise(slopes: tuple[Slope, ...], xp: Any, f: Any, *operands: Any) -> Any:
    """Return f(a, b) with the tangent (df / da) da + (df / db) db, and the same of one operand."""
    values, tangents = zip(*map(split, operands), strict=True)
    y = f(*values)
    terms = zip(slopes, tangents, strict=True)
    parts = (_scaled(slope(xp.plain, *values, y), t, len(y.shape)) for slope, t in terms if slope and t is not None)
    return result(y, *parts)


def _scaled(factor: Any, tangent: Any, ndim: int) -> Any:
    tangent = pad(tangent, ndim)
    if isinstance(factor, int) and abs(factor) == 1:
        return tangent if factor == 1 else -tangent
    return factor * tangent


def _branching(is_first: Callable[[Any, Any], Any], xp: Any, f: Any, a: Any, b: Any) -> DualArray:
    """Return f(a, b) with the tangents of the branches in use, so that no NaN leaks from the others."""
    (a, ta), (b, tb) = split(a), split(b)
    y = f(a, b)
    branches = (0.0 if t is None else pad(t, len(y.shape)) for t in (ta, tb))
    return DualArray(y, xp.plain.where(is_first(a, b), *branches))


def _constant(xp: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
    return f(*strip(args), **{key: strip(item) for key, item in kwargs.items()})


RULES.update({name: partial(_elementwise, (slope,)) for name, slope in UNARY.items()})
RULES.update({name: partial(_elementwise, slopes) for name, slopes in BINARY.items()})
RULES.update({name: partial(_branching, is_first) for name, is_first in BRANCHES.items()})
RULES.update(dict.fromkeys(CONSTANT.split(), _constant))
RULES.update({"copy": lambda xp, f, x: x.copy(), "imag": lambda xp, f, x: x.value * 0})
VIEWS.update(dict.fromkeys(("real", "conj"), lambda xp, f, x: x))


@rule
def _where(xp: Any, f: Any, condition: Any, a: Any, b: Any) -> Any:
    condition = strip(condition)
    if not duals_in((a, b)):
        return f(condition, a, b)
    return _branching(lambda a, b: condition, xp, partial(f, condition), a, b)


@rule
def _clip(xp: Any, f: Any, x: Any, min: Any = None, max: Any = None, **bounds: Any) -> Any:
    low, high = bounds.pop("a_min", min), bounds.pop("a_max", max)
    if bounds:
        raise TypeError(f"no derivative rule for clip with {', '.join(bounds)}")
    x = x if low is None else xp.maximum(x, low)
    return x if high is None else xp.minimum(x, high)


@rule
def _astype(xp: Any, f: Any, x: DualArray, dtype: Any, copy: bool = True, **kwargs: Any) -> Any:
    kinds = x.dtype, xp.plain.empty(0, dtype=dtype).dtype
    if [xp.isdtype(kind, "complex floating") for kind in kinds] == [True, False]:
        raise TypeError(f"no derivative rule for complex numbers made {dtype}: take their real part")
    value = f(x.value, dtype)
    is_followed = xp.isdtype(value.dtype, ("real floating", "complex floating"))
    return DualArray(value, f(x.tangent, dtype)) if is_followed else value
