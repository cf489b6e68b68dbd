"""Exact forward-mode derivatives for NumPy, CuPy and array-api-strict arrays.

A `DualArray` carries a value of shape ``S`` and a tangent of shape ``(m, *S')``, one
slice per direction, where ``S'`` has the value's number of axes and broadcasts against
``S``.  Tangents stay lazy (axes of size 1) for as long as an operation allows: a seed is
``(m, 1, ..., 1, n)`` however large the batch.  Every rule is one vectorised call over the
leading axis of the tangent, and axes are counted from the end so that the same call serves
value and tangent.

A derivative is never dropped in silence: a function without a rule raises `TypeError`, and
so does every conversion to a plain array or a Python number.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, reduce
from itertools import pairwise
from typing import Any

from array_api_compat import array_namespace
from array_api_compat import device as device_of

__all__ = ["DualArray", "value_and_tangents"]

# What an assignment into a dual may do: FROZEN raises (the memory may belong to the caller or
# to another dual), PRIVATE copies first, OWNED writes through (so views alias as usual).
FROZEN, PRIVATE, OWNED = "frozen", "private", "owned"


_IN_SUBCLASSES: tuple[str, ...] = ()  # slots are left to the classes that `_concrete` makes


@cache
def _concrete(array_type: type) -> type:
    """Make the class of duals for one array type.

    Arrays that reject unknown operands outright, as array-api-strict's do, still defer to a
    subclass's reflected operator, so for them the class also derives from the array type.
    """
    defers = hasattr(array_type, "__array_ufunc__") or hasattr(array_type, "__array_priority__")
    bases = (DualArray,) if defers else (DualArray, array_type)
    return type("DualArray", bases, {"__slots__": ("value", "tangent", "state")})


class DualArray:
    """An array with its derivatives along ``m`` directions.

    Parameters
    ----------
    value : array of shape S
        The plain array, of a real floating dtype.
    tangent : array of shape (m, *S')
        Its derivatives; ``S'`` has as many axes as ``S`` and broadcasts against it.
    state : str
        Who else may share the memory; see the constants of this module.

    """

    __slots__ = _IN_SUBCLASSES
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 1000.0
    value: Any
    tangent: Any
    state: str

    def __new__(cls, value: Any, tangent: Any, state: str = PRIVATE) -> "DualArray":
        array_type: Any = type(value)
        dual: DualArray = object.__new__(_concrete(array_type))
        return dual

    def __init__(self, value: Any, tangent: Any, state: str = PRIVATE) -> None:
        if not array_namespace(value).isdtype(value.dtype, "real floating"):
            raise TypeError(f"derivatives need real floating-point arrays, got {value.dtype}")
        self.value, self.tangent, self.state = value, tangent, state

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: len(self.value.shape))
    size = property(lambda self: math.prod(self.value.shape))
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: device_of(self.value))
    mT = property(lambda self: _VIEWS["matrix_transpose"](_namespace(self), self))
    T = property(lambda self: _VIEWS["permute_dims"](_namespace(self), self))
    real = property(lambda self: self)
    imag = property(lambda self: self.value * 0)

    def __repr__(self) -> str:
        return f"DualArray({self.value!r}, tangents={self.tangent.shape[0]})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Iterator["DualArray"]:
        return (self[i, ...] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "this value is being differentiated and cannot become a plain array or number: use "
            "array functions throughout (stack, not array([...]); zeros_like(y), not zeros(n))"
        )

    __float__ = __int__ = __complex__ = __index__ = __array__

    def __array_namespace__(self, *, api_version: str | None = None) -> "_Namespace":
        return _Namespace(_namespace(self))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"no derivative rule for {ufunc.__name__}.{method}")
        return _call(ufunc.__name__, ufunc, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _call(func.__name__, func, args, kwargs)

    def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        name = kernel.name.removeprefix("cupyx_scipy_special_").removeprefix("cupy_")
        return _call(name, kernel, args, kwargs)

    def __getitem__(self, key: Any) -> "DualArray":
        value = self.value[key]
        index = _basic_index(self, key)
        if index is not None:
            return _view(self, value, self.tangent[index])
        dense = _widen(self)  # arrays as indices: whatever they mean for the value, per direction
        slices = [dense[k, ...][key] for k in range(dense.shape[0])]
        return DualArray(value, _namespace(self).stack(slices))

    def __setitem__(self, key: Any, item: Any) -> None:
        if self.state == FROZEN:
            raise TypeError(
                "while f is differentiated, its inputs and arrays that share memory with others "
                "cannot be changed in place: write `a = a + b`, or change a.copy()"
            )
        if self.state == PRIVATE:
            fresh = self.copy()
            self.value, self.tangent, self.state = fresh.value, fresh.tangent, OWNED
        value, tangent = _split(item)
        self.value[key] = value
        for k in range(self.tangent.shape[0]):
            self.tangent[k, ...][key] = 0.0 if tangent is None else tangent[k, ...]

    def copy(self) -> "DualArray":
        """Return a copy that shares no memory and may be assigned into."""
        xp = _namespace(self)
        tangent = xp.asarray(_widen(self), copy=True)
        return DualArray(xp.asarray(self.value, copy=True), tangent, OWNED)

    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        """Cast: floating dtypes keep the derivatives, others give a plain (constant) array."""
        return _astype(_namespace(self), self, dtype)

    def conj(self) -> "DualArray":
        """Return the array itself, which is real."""
        return self

    def reshape(self, *shape: Any) -> "DualArray":
        """Reshape, with the sizes as one tuple or as separate arguments."""
        dual: DualArray = _reshape(_namespace(self), self, shape[0] if len(shape) == 1 else shape)
        return dual

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes, given as one tuple or separately; reverse them by default."""
        order = axes[0] if len(axes) == 1 else axes or None
        return _VIEWS["permute_dims"](_namespace(self), self, order)


# -- building blocks ----------------------------------------------------------------------------


def _namespace(x: DualArray) -> Any:
    return array_namespace(x.value)


def _split(x: Any) -> tuple[Any, Any]:
    """Separate an operand into its value and its tangent, None for a constant."""
    return (x.value, x.tangent) if isinstance(x, DualArray) else (x, None)


def _duals(x: Any) -> list[DualArray]:
    """List the duals in arguments, however nested."""
    if isinstance(x, DualArray):
        return [x]
    if isinstance(x, dict):
        x = x.values()
    elif not isinstance(x, (list, tuple)):
        return []
    return [dual for item in x for dual in _duals(item)]


def _strip(x: Any) -> Any:
    """Replace the duals in arguments by their values."""
    if isinstance(x, (list, tuple)):
        return type(x)([_strip(item) for item in x])
    return _split(x)[0]


def _pad(tangent: Any, ndim: int) -> Any:
    """Give a tangent the axes of a value with `ndim` axes."""
    missing = ndim + 1 - len(tangent.shape)
    return tangent[(slice(None), *(None,) * missing, ...)] if missing > 0 else tangent


def _widen(x: DualArray, axes: Sequence[int] | None = None) -> Any:
    """Broadcast the tangent along some axes (counted from the end; all by default)."""
    shape = list(x.tangent.shape)
    for axis in range(-x.ndim, 0) if axes is None else axes:
        shape[axis] = x.shape[axis]
    same = tuple(shape) == tuple(x.tangent.shape)
    return x.tangent if same else _namespace(x).broadcast_to(x.tangent, tuple(shape))


def _view(x: DualArray, value: Any, tangent: Any) -> DualArray:
    """Make a dual that may share memory with `x`; writable only if it aliases faithfully."""
    if x.state == PRIVATE:
        x.state = FROZEN
    return DualArray(value, tangent, x.state)


def _map(x: Any, f: Callable[[Any], Any]) -> Any:
    """Apply a linear function that sees only trailing axes and may return a view."""
    return _view(x, f(x.value), f(x.tangent)) if isinstance(x, DualArray) else f(x)


def _negative(axis: Any, ndim: int) -> Any:
    """Count an axis, or each of a tuple of axes, from the end."""
    if isinstance(axis, (tuple, list)):
        return tuple(_negative(a, ndim) for a in axis)
    axis = operator.index(axis)
    return axis - ndim if axis >= 0 else axis


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """List axes counted from the end, all of them for None."""
    if axis is None:
        return tuple(range(-ndim, 0))
    axes: Any = _negative(axis, ndim)
    return axes if isinstance(axes, tuple) else (axes,)


def _basic_index(x: DualArray, key: Any) -> tuple[Any, ...] | None:
    """Translate a basic index into one for the lazy tangent, None for array indices."""
    keys: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        if not (k is None or k is Ellipsis or isinstance(k, slice)):
            if isinstance(k, (bool, list)) or getattr(k, "shape", ()) != ():
                return None
            try:
                k = operator.index(k)
            except TypeError:
                return None
        keys.append(k)
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    fill = x.ndim - sum(k is not None and k is not Ellipsis for k in keys)
    keys[at : at + 1] = [slice(None)] * fill
    index: list[Any] = [slice(None)]
    sizes = iter(x.tangent.shape[1:])
    for k in keys:
        if k is not None and next(sizes) == 1:
            k = slice(None) if isinstance(k, slice) else 0
        index.append(k)
    return tuple(index)


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """Slice along one axis, counted from the end."""
    return x[(..., slice(start, stop), *(slice(None),) * (-1 - axis))]


def _result(value: Any, *parts: Any) -> Any:
    """Combine a value with the sum of its tangent's parts; a plain value if there is none."""
    present = [part for part in parts if part is not None]
    return DualArray(value, reduce(operator.add, present)) if present else value


# -- elementwise functions ----------------------------------------------------------------------

# d f(x) / dx from (xp, x, y = f(x)).
_UNARY: dict[str, Callable[[Any, Any, Any], Any]] = {
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
    "fabs": lambda xp, x, y: xp.sign(x),
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
    if isinstance(b, (int, float)):
        return b * a ** (b - 1 if b else 0)
    return b * a ** xp.where(b == 0, 0.0, b - 1)


def _pow_exponent(xp: Any, a: Any, b: Any, y: Any) -> Any:
    """Return log(a) y, and 0 at a = 0."""
    if isinstance(a, (int, float)):
        return math.log(a) * y if a > 0 else y * (math.nan if a else 0)
    return xp.log(xp.where(a == 0, 1.0, a)) * y


# d f(a, b) / da and / db from (xp, a, b, y = f(a, b)); None for zero.
_Partial = Callable[[Any, Any, Any, Any], Any] | None
_BINARY: dict[str, tuple[_Partial, _Partial]] = {
    "add": (lambda xp, a, b, y: 1, lambda xp, a, b, y: 1),
    "subtract": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -1),
    "multiply": (lambda xp, a, b, y: b, lambda xp, a, b, y: a),
    "divide": (lambda xp, a, b, y: 1 / b, lambda xp, a, b, y: -y / b),
    "pow": (_pow_base, _pow_exponent),
    "float_power": (_pow_base, _pow_exponent),
    "atan2": (
        lambda xp, a, b, y: b / (a * a + b * b),
        lambda xp, a, b, y: -a / (a * a + b * b),
    ),
    "hypot": (
        lambda xp, a, b, y: a / xp.where(y == 0, 1.0, y),
        lambda xp, a, b, y: b / xp.where(y == 0, 1.0, y),
    ),
    "logaddexp": (lambda xp, a, b, y: xp.exp(a - y), lambda xp, a, b, y: xp.exp(b - y)),
    "copysign": (lambda xp, a, b, y: xp.sign(y) * xp.sign(a), None),
    "remainder": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -xp.floor(a / b)),
    "fmod": (lambda xp, a, b, y: 1, lambda xp, a, b, y: -xp.trunc(a / b)),
}

# Where the first operand is the result (elsewhere it is the second).
_SELECT: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": lambda a, b: a >= b,
    "minimum": lambda a, b: a <= b,
    "fmax": lambda a, b: (a >= b) | (b != b),
    "fmin": lambda a, b: (a <= b) | (b != b),
}

# Python's operators take numbers in every library and are the fastest way to a power.
_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("add", operator.add),
    "subtract": ("sub", operator.sub),
    "multiply": ("mul", operator.mul),
    "divide": ("truediv", operator.truediv),
    "pow": ("pow", operator.pow),
    "remainder": ("mod", operator.mod),
    "matmul": ("matmul", operator.matmul),
}


def _scaled(factor: Any, tangent: Any, ndim: int) -> Any:
    tangent = _pad(tangent, ndim)
    if isinstance(factor, int) and abs(factor) == 1:
        return tangent if factor == 1 else -tangent
    return factor * tangent


def _unary(name: str, f: Callable[[Any], Any], x: DualArray) -> DualArray:
    y = f(x.value)
    return DualArray(y, _scaled(_UNARY[name](_namespace(x), x.value, y), x.tangent, x.ndim))


def _binary(name: str, f: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    xp = _namespace(_duals((a, b))[0])
    (a, ta), (b, tb) = _split(a), _split(b)
    y = f(a, b)
    if name in _SELECT:
        return _selected(xp, _SELECT[name](a, b), y, ta, tb)
    da, db = _BINARY[name]
    ndim = len(y.shape)
    return _result(
        y,
        None if ta is None or da is None else _scaled(da(xp, a, b, y), ta, ndim),
        None if tb is None or db is None else _scaled(db(xp, a, b, y), tb, ndim),
    )


def _selected(xp: Any, mask: Any, y: Any, ta: Any, tb: Any) -> DualArray:
    """Attach the tangents of the branches in use, so that no NaN leaks from the others."""
    branches = (0.0 if t is None else _pad(t, len(y.shape)) for t in (ta, tb))
    return DualArray(y, xp.where(mask, *branches))


def _where(xp: Any, condition: Any, a: Any, b: Any) -> Any:
    condition, (a, ta), (b, tb) = _split(condition)[0], _split(a), _split(b)
    y = xp.where(condition, a, b)
    return y if ta is None and tb is None else _selected(xp, condition, y, ta, tb)


def _clip(xp: Any, x: Any, min: Any = None, max: Any = None, **bounds: Any) -> Any:
    low, high = bounds.pop("a_min", min), bounds.pop("a_max", max)
    if bounds:
        raise TypeError(f"no derivative rule for clip with {', '.join(bounds)}")
    x = x if low is None else _binary("maximum", xp.maximum, x, low)
    return x if high is None else _binary("minimum", xp.minimum, x, high)


# -- shapes, joins and reductions ---------------------------------------------------------------


def _reshape(xp: Any, x: Any, shape: Any, **kwargs: Any) -> Any:
    """Reshape; leading axes that stay as they are stay lazy."""
    value = xp.reshape(x.value, (shape,) if isinstance(shape, int) else tuple(shape), **kwargs)
    new, keep = tuple(value.shape), 0
    while keep < min(x.ndim, len(new)) and x.shape[keep] == new[keep]:
        keep += 1
    wide = _widen(x, range(keep - x.ndim, 0))
    return _view(x, value, xp.reshape(wide, (*wide.shape[: keep + 1], *new[keep:]), **kwargs))


def _permute(xp: Any, x: DualArray, axes: Any = None) -> DualArray:
    order = range(x.ndim)[::-1] if axes is None else [a % x.ndim for a in axes]
    tangent = xp.permute_dims(x.tangent, (0, *(a + 1 for a in order)))
    return _view(x, xp.permute_dims(x.value, tuple(order)), tangent)


def _moveaxis(xp: Any, x: DualArray, source: Any, destination: Any) -> Any:
    source, destination = _negative(source, x.ndim), _negative(destination, x.ndim)
    return _map(x, lambda a: xp.moveaxis(a, source, destination))


def _swapaxes(xp: Any, x: DualArray, i: int, j: int) -> DualArray:
    order = list(range(x.ndim))
    order[i], order[j] = order[j], order[i]
    return _permute(xp, x, order)


def _expand_dims(xp: Any, x: Any, axis: Any = 0) -> Any:
    axis = _negative(axis, len(x.shape) + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    return _map(x, lambda a: xp.expand_dims(a, axis=axis))


def _broadcast_to(xp: Any, x: Any, shape: Any) -> Any:
    if not isinstance(x, DualArray):
        return xp.broadcast_to(x, shape)
    value = xp.broadcast_to(x.value, shape)
    return _view(x, value, _pad(x.tangent, len(value.shape)))


def _broadcast_arrays(xp: Any, *arrays: Any) -> list[Any]:
    shape = xp.broadcast_arrays(*_strip(arrays))[0].shape
    return [_broadcast_to(xp, a, shape) for a in arrays]


def _atleast(ndim: int, xp: Any, x: Any) -> Any:
    missing = max(0, ndim - len(x.shape))
    return _map(x, lambda a: a) if not missing else _expand_dims(xp, x, tuple(range(missing)))


def _along(name: str, extra: int, xp: Any, x: DualArray, *args: Any, **kwargs: Any) -> Any:
    """Apply a linear function along axes, its `axis` being the argument after `extra` others."""
    unknown = set(kwargs) - {"axis", "keepdims", "dtype", "include_initial", "shift"}
    if unknown:
        raise TypeError(f"no derivative rule for {name} with {', '.join(sorted(unknown))}")
    axis = args[extra] if len(args) > extra else kwargs.pop("axis", None)
    if axis is None and name == "squeeze":
        axis = tuple(i for i, n in enumerate(x.shape) if n == 1)
    elif axis is None and name not in ("sum", "mean", "flip"):  # these mean the flat array
        flat = _along(name, extra, xp, _reshape(xp, x, (-1,)), *args[:extra], axis=-1, **kwargs)
        return _reshape(xp, flat, x.shape) if name == "roll" else flat
    f, axes = getattr(xp, name), _axes(axis, x.ndim)
    kwargs["axis"] = axes[0] if isinstance(axis, int) else axes
    value = f(x.value, *args[:extra], **kwargs)
    return _view(x, value, f(_widen(x, axes), *args[:extra], **kwargs))


def _diff(xp: Any, x: Any, n: int = 1, axis: int = -1) -> Any:
    axis = _negative(axis, len(x.shape))
    return reduce(lambda a, _: _cut(a, axis, 1, None) - _cut(a, axis, None, -1), range(n), x)


def _tile(xp: Any, x: DualArray, reps: Any) -> DualArray:
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    value = xp.tile(x.value, reps)
    ndim = len(value.shape)
    reps = (1,) * (ndim + 1 - len(reps)) + reps
    return DualArray(value, xp.tile(_pad(_widen(x), ndim), reps))


def _split_parts(xp: Any, x: Any, sections: Any, axis: int = 0) -> list[Any]:
    axis = _negative(axis, x.ndim)
    if isinstance(sections, int):
        if x.shape[axis] % sections:
            raise ValueError("array split does not result in an equal division")
        sections = range(0, x.shape[axis], x.shape[axis] // sections)[1:]
    edges = [None, *sections, None]
    return [_cut(x, axis, *edge) for edge in pairwise(edges)]


def _concat(xp: Any, arrays: Any, axis: int | None = 0) -> DualArray:
    like = _duals(arrays)[0]
    arrays = [a if hasattr(a, "shape") else _constant(xp, like, a) for a in arrays]
    if axis is None:
        arrays, axis = [_call("reshape", xp.reshape, (a, (-1,)), {}) for a in arrays], 0
    value = xp.concat(_strip(arrays), axis=axis)
    axis, m = _negative(axis, len(value.shape)), like.tangent.shape[0]
    tangents = []
    for a in arrays:
        if isinstance(a, DualArray):
            tangents.append(_widen(a, (axis,)))
            continue
        shape = [m, *(1,) * len(a.shape)]
        shape[axis] = a.shape[axis]
        tangents.append(xp.zeros(tuple(shape), dtype=like.dtype, device=like.device))
    # One size for every other axis: lazy only where all tangents are.
    common = [next((n for n in sizes if n != 1), 1) for sizes in zip(*(t.shape for t in tangents), strict=True)]
    wide = []
    for t in tangents:
        common[axis] = t.shape[axis]
        wide.append(xp.broadcast_to(t, tuple(common)))
    return DualArray(value, xp.concat(wide, axis=axis))


def _stack(xp: Any, arrays: Any, axis: int = 0) -> DualArray:
    like = _duals(arrays)[0]
    arrays = [a if hasattr(a, "shape") else _constant(xp, like, a) for a in arrays]
    return _concat(xp, [_expand_dims(xp, a, axis) for a in arrays], axis)


def _constant(xp: Any, like: DualArray, x: Any) -> Any:
    return xp.asarray(x, dtype=like.dtype, device=like.device)


def _like(xp: Any, x: DualArray, fill: Any = 0, dtype: Any = None, device: Any = None) -> Any:
    """Make a fresh array like `x` that may be assigned into."""
    value = xp.zeros_like(x.value, dtype=dtype, device=device)
    if not xp.isdtype(value.dtype, "real floating"):
        return xp.full_like(value, fill)
    shape = (x.tangent.shape[0], *x.shape)
    tangent = xp.zeros(shape, dtype=value.dtype, device=device_of(value))
    fresh = DualArray(value, tangent, OWNED)
    if isinstance(fill, DualArray) or fill != 0:
        fresh[...] = fill
    return fresh


def _astype(xp: Any, x: DualArray, dtype: Any, copy: bool = True, **kwargs: Any) -> Any:
    value = xp.astype(x.value, dtype)
    if not xp.isdtype(value.dtype, "real floating"):
        return value
    return DualArray(value, xp.astype(x.tangent, dtype))


def _asarray(xp: Any, x: Any, dtype: Any = None, copy: bool | None = None, **kwargs: Any) -> Any:
    if not isinstance(x, DualArray):
        return _stack(xp, [_asarray(xp, item) if _duals(item) else item for item in x])
    x = x if dtype is None or dtype == x.dtype else _astype(xp, x, dtype)
    return x.copy() if copy else x


def _take_along(xp: Any, x: DualArray, indices: Any, axis: int = -1) -> DualArray:
    axis = _negative(axis, x.ndim)
    value = xp.take_along_axis(x.value, indices, axis=axis)
    tangent = xp.take_along_axis(_widen(x, (axis,)), indices[None, ...], axis=axis)
    return DualArray(value, tangent)


def _extremum(name: str, xp: Any, x: DualArray, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the maximum or minimum, with the tangent of its first occurrence."""
    axes, pick = _axes(axis, x.ndim), getattr(xp, f"arg{name}")
    for a in axes:
        x = _take_along(xp, x, xp.expand_dims(pick(x.value, axis=a), axis=a), a)
    return x if keepdims else _along("squeeze", 0, xp, x, axes)


def _prod(xp: Any, x: DualArray, axis: Any = None, keepdims: bool = False) -> Any:
    axes = _axes(axis, x.ndim)
    for a in axes:
        x = reduce(operator.mul, [_cut(x, a, i, i + 1) for i in range(x.shape[a])])
    return x if keepdims else _along("squeeze", 0, xp, x, axes)


def _var(xp: Any, x: DualArray, axis: Any = None, keepdims: bool = False, **kwargs: Any) -> Any:
    lost = kwargs.pop("ddof", kwargs.pop("correction", 0))
    if kwargs:
        raise TypeError(f"no derivative rule for var with {', '.join(kwargs)}")
    deviation: Any = x - _along("mean", 0, xp, x, axis=axis, keepdims=True)
    total = _along("sum", 0, xp, deviation * deviation, axis=axis, keepdims=keepdims)
    return total / (math.prod(x.shape[a] for a in _axes(axis, x.ndim)) - lost)


def _std(xp: Any, x: DualArray, *args: Any, **kwargs: Any) -> DualArray:
    return _unary("sqrt", xp.sqrt, _var(xp, x, *args, **kwargs))


def _norm(xp: Any, x: DualArray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> DualArray:
    """Return the Euclidean norm over the axes, with the derivative 0 at 0."""
    spectral = ord == 2 and len(_axes(axis, x.ndim)) > 1
    if ord not in (None, 2, "fro") or spectral:
        raise TypeError("only the Euclidean (2- and Frobenius) norm has a derivative rule")
    axes = _axes(axis, x.ndim)
    y = xp.linalg.vector_norm(x.value, axis=axes, keepdims=keepdims)
    t = xp.sum(x.value * x.tangent, axis=axes, keepdims=keepdims)
    return DualArray(y, t / xp.where(y == 0, 1.0, y))


def _vector_norm(xp: Any, x: DualArray, ord: Any = 2, **kwargs: Any) -> DualArray:
    return _norm(xp, x, None if ord == 2 else ord, **kwargs)


# -- products and linear algebra ----------------------------------------------------------------


def _matmul(xp: Any, a: Any, b: Any) -> Any:
    y = operator.matmul(*_strip((a, b)))
    vectors = tuple(-2 + i for i, x in enumerate((a, b)) if len(x.shape) == 1)
    a = _expand_dims(xp, a, 0) if -2 in vectors else a
    b = _expand_dims(xp, b, 1) if -1 in vectors else b
    (va, ta), (vb, tb) = _split(a), _split(b)
    ndim = max(len(va.shape), len(vb.shape))
    ta = None if ta is None else _pad(_widen(a, (-1,)), ndim) @ vb
    tb = None if tb is None else va @ _pad(_widen(b, (-2,)), ndim)
    return _result(y, *(t if t is None else xp.squeeze(t, axis=vectors) for t in (ta, tb)))


def _dot(xp: Any, a: Any, b: Any) -> Any:
    left, right = (len(getattr(x, "shape", ())) for x in (a, b))
    if not left or not right:
        return a * b
    if right <= 2:
        return _matmul(xp, a, b)
    return _tensordot(xp, a, b, ((left - 1,), (right - 2,)))


def _vecdot(xp: Any, a: Any, b: Any, axis: int = -1) -> Any:
    a, b = _broadcast_arrays(xp, a, b)
    return _along("sum", 0, xp, a * b, axis=axis)


def _tensordot(xp: Any, a: Any, b: Any, axes: Any = 2) -> Any:
    (va, ta), (vb, tb) = _split(a), _split(b)
    na, nb = len(va.shape), len(vb.shape)
    left, right = (range(na - axes, na), range(axes)) if isinstance(axes, int) else axes
    left, right = (
        tuple(i + n for i in _axes(tuple(s) if hasattr(s, "__iter__") else s, n)) for s, n in ((left, na), (right, nb))
    )
    y = xp.tensordot(va, vb, axes=(left, right))
    if ta is not None:
        wide = _widen(a, [i - na for i in left])
        ta = xp.tensordot(wide, vb, axes=(tuple(i + 1 for i in left), right))
    if tb is not None:
        wide = _widen(b, [i - nb for i in right])
        tb = xp.tensordot(va, wide, axes=(left, tuple(i + 1 for i in right)))
        tb = xp.moveaxis(tb, na - len(left), 0)
    return _result(y, ta, tb)


def _outer(xp: Any, a: Any, b: Any) -> Any:
    a, b = (_call("reshape", xp.reshape, (x, (-1,)), {}) for x in (a, b))
    return a[:, None] * b[None, :]


def _cross(xp: Any, a: Any, b: Any, axis: int = -1) -> Any:
    a, b = _broadcast_arrays(xp, a, b)
    if a.shape[axis] != 3:
        raise TypeError("the cross product has a derivative rule for 3 components only")
    a1, a2, b1, b2 = (_call("roll", xp.roll, (x, shift), {"axis": axis}) for x in (a, b) for shift in (-1, 1))
    return a1 * b2 - a2 * b1


def _einsum(xp: Any, subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    if not isinstance(subscripts, str):
        raise TypeError("einsum is differentiated with its subscripts as a string only")
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "").replace(".", "")
        once = sorted(c for c in letters if letters.count(c) == 1)
        out = ("..." if "..." in terms else "") + "".join(once)
    inputs = terms.split(",")
    new = next(c for c in "zyxwvutsrqponmlkjihgfedcbaZ" if c not in terms)
    values, parts = list(_strip(operands)), []
    for i, (term, x) in enumerate(zip(inputs, operands, strict=True)):
        if not isinstance(x, DualArray):
            continue
        head, _, tail = term.partition("...")
        named = [(c, k) for k, c in enumerate(head)] + [(c, k - len(tail)) for k, c in enumerate(tail)]
        # Axes may stay lazy if they are neither summed nor repeated in their term.
        bound = [k for c, k in named if c not in out or term.count(c) > 1]
        wide = _widen(x, [_negative(k, x.ndim) for k in bound])
        labels = ",".join([*inputs[:i], new + term, *inputs[i + 1 :]])
        arrays = [*values[:i], wide, *values[i + 1 :]]
        parts.append(xp.einsum(f"{labels}->{new}{out}", *arrays, **kwargs))
    return _result(xp.einsum(subscripts, *values, **kwargs), *parts)


def _solve(xp: Any, a: Any, b: Any) -> Any:
    (va, ta), (vb, tb) = _split(a), _split(b)
    x = xp.linalg.solve(va, vb)
    vector = len(vb.shape) == 1
    ndim = max(len(va.shape), len(vb.shape) + vector)
    column = x[..., None] if vector else x
    ta = None if ta is None else -_pad(_widen(a, (-2, -1)), ndim) @ column
    if tb is not None:
        tb = _widen(b, (-1,) if vector else (-2,))
        tb = _pad(tb[..., None] if vector else tb, ndim)
    rhs = [t for t in (ta, tb) if t is not None]
    t = xp.linalg.solve(va, reduce(operator.add, rhs))
    return DualArray(x, t[..., 0] if vector else t)


def _inv(xp: Any, a: DualArray) -> DualArray:
    y = xp.linalg.inv(a.value)
    return DualArray(y, -(y @ _widen(a, (-2, -1)) @ y))


# -- dispatch -----------------------------------------------------------------------------------

# Rules, called as rule(xp, *args, **kwargs) with the namespace `xp` of the values, whose results
# may share memory with their arguments.
_VIEWS: dict[str, Callable[..., Any]] = {
    "reshape": _reshape,
    "ravel": lambda xp, x: _reshape(xp, x, (-1,)),
    "permute_dims": _permute,
    "matrix_transpose": lambda xp, x: _swapaxes(xp, x, -2, -1),
    "swapaxes": _swapaxes,
    "moveaxis": _moveaxis,
    "expand_dims": _expand_dims,
    "squeeze": partial(_along, "squeeze", 0),
    "flip": partial(_along, "flip", 0),
    "broadcast_to": _broadcast_to,
    "broadcast_arrays": _broadcast_arrays,
    "atleast_1d": partial(_atleast, 1),
    "atleast_2d": partial(_atleast, 2),
    "split": _split_parts,
    "asarray": _asarray,
    "real": lambda xp, x: x,
    "conj": lambda xp, x: x,
}

# Rules whose results are new.
_RULES: dict[str, Callable[..., Any]] = {
    "where": _where,
    "clip": _clip,
    "sum": partial(_along, "sum", 0),
    "mean": partial(_along, "mean", 0),
    "cumulative_sum": partial(_along, "cumulative_sum", 0),
    "take": partial(_along, "take", 1),
    "roll": partial(_along, "roll", 1),
    "repeat": partial(_along, "repeat", 1),
    "diff": _diff,
    "tile": _tile,
    "concat": _concat,
    "stack": _stack,
    "hstack": lambda xp, xs: _concat(xp, [_atleast(1, xp, x) for x in xs], int(xs[0].ndim > 1)),
    "vstack": lambda xp, xs: _concat(xp, [_atleast(2, xp, x) for x in xs]),
    "zeros_like": _like,
    "empty_like": _like,
    "ones_like": lambda xp, x, **kwargs: _like(xp, x, 1, **kwargs),
    "full_like": _like,
    "astype": _astype,
    "copy": lambda xp, x: x.copy(),
    "imag": lambda xp, x: x.imag,
    "take_along_axis": _take_along,
    "sort": lambda xp, x, axis=-1: _take_along(xp, x, xp.argsort(x.value, axis=axis), axis),
    "max": partial(_extremum, "max"),
    "min": partial(_extremum, "min"),
    "prod": _prod,
    "var": _var,
    "std": _std,
    "norm": _norm,
    "vector_norm": _vector_norm,
    "matmul": _matmul,
    "dot": _dot,
    "vecdot": _vecdot,
    "tensordot": _tensordot,
    "outer": _outer,
    "cross": _cross,
    "einsum": _einsum,
    "solve": _solve,
    "inv": _inv,
}

# NumPy's names for the standard's functions.
_ALIASES = {
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "arctan2": "atan2",
    "absolute": "abs",
    "power": "pow",
    "true_divide": "divide",
    "mod": "remainder",
    "radians": "deg2rad",
    "degrees": "rad2deg",
    "conjugate": "conj",
    "concatenate": "concat",
    "transpose": "permute_dims",
    "cumsum": "cumulative_sum",
    "amax": "max",
    "amin": "min",
}

# Functions whose result is locally constant, or does not depend on the values at all.
_CONSTANT_NAMES = """
    floor ceil trunc fix rint round around sign signbit floor_divide heaviside isnan isinf isfinite
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not isclose allclose array_equal argmax argmin argsort searchsorted digitize nonzero
    count_nonzero any all shape ndim size result_type can_cast isdtype iscomplexobj isrealobj
"""
_CONSTANT = frozenset(_CONSTANT_NAMES.split())


def _call(name: str, f: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function of the value's library, or its rule where there are duals."""
    duals = _duals((args, kwargs))
    if not duals:
        return f(*args, **kwargs)
    kwargs = dict(kwargs)
    if kwargs.pop("out", None) is not None:
        raise TypeError(f"{name}: a value being differentiated cannot go into `out` (or by `a += y`)")
    xp, name = _namespace(duals[0]), _ALIASES.get(name, name)
    f = getattr(xp, name, f)
    if name in _VIEWS:
        return _VIEWS[name](xp, *args, **kwargs)
    if name in _RULES:
        states = [dual.state for dual in duals]
        result = _RULES[name](xp, *args, **kwargs)
        for dual, state in zip(duals, states, strict=True):  # views made on the way are gone
            dual.state = state
        if isinstance(result, DualArray) and result.state == FROZEN:
            result.state = PRIVATE
        return result
    if name in _CONSTANT:
        return f(*_strip(args), **{key: _strip(item) for key, item in kwargs.items()})
    if name in _UNARY:
        return _unary(name, f, *args, **kwargs)
    if name in _BINARY or name in _SELECT:
        return _binary(name, _OPERATORS.get(name, (name, f))[1], *args, **kwargs)
    raise TypeError(f"no derivative rule for the function {name!r}")


class _Namespace:
    """The array namespace of duals: the values' namespace with the rules added.

    It equals the namespace that it extends, so that `array_namespace` accepts duals beside
    plain arrays.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __eq__(self, other: object) -> bool:
        return bool(self._xp == getattr(other, "_xp", other))

    def __hash__(self) -> int:
        return hash(self._xp)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._xp, name)
        if name in ("linalg", "fft"):
            return _Namespace(attribute)
        if not callable(attribute) or isinstance(attribute, type):
            return attribute
        return lambda *args, **kwargs: _call(name, attribute, args, kwargs)


# -- operators and methods ----------------------------------------------------------------------


def _operate(name: str, a: Any, b: Any) -> Any:
    if name == "matmul":
        return _call(name, operator.matmul, (a, b), {})
    return _binary(name, _OPERATORS[name][1], a, b)


def _update(name: str, a: DualArray, b: Any) -> DualArray:
    new = _operate(name, a, b)
    if a.state == PRIVATE and (new.shape, new.dtype) == (a.shape, a.dtype):
        a.value, a.tangent = new.value, new.tangent
    else:
        a[...] = new
    return a


def _operator(rule: Callable[..., Any], name: str, swap: bool = False) -> Callable[..., Any]:
    return lambda a, b: rule(name, b, a) if swap else rule(name, a, b)


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: _call(name, None, (self, *args), kwargs)


_METHODS = """
    sum mean max min prod var std cumsum ravel squeeze swapaxes dot clip take repeat
    argmax argmin argsort any all round nonzero
"""

for _name, (_short, _) in _OPERATORS.items():
    setattr(DualArray, f"__{_short}__", _operator(_operate, _name))
    setattr(DualArray, f"__r{_short}__", _operator(_operate, _name, swap=True))
    setattr(DualArray, f"__i{_short}__", _operator(_update, _name))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "floordiv"):
    _compare = _operator(lambda name, a, b: getattr(operator, name)(*_strip((a, b))), _name)
    setattr(DualArray, f"__{_name}__", _compare)
DualArray.__rfloordiv__ = lambda a, b: b // a.value  # type: ignore[attr-defined]
for _name, _function in {"neg": "negative", "pos": "positive", "abs": "abs"}.items():
    setattr(DualArray, f"__{_name}__", _method(_function))
for _name in _METHODS.split():
    setattr(DualArray, _name, _method(_name))


# -- entry point --------------------------------------------------------------------------------


def value_and_tangents(f: Callable[..., Any], ys: Sequence[Any]) -> tuple[Any, Any]:
    """Evaluate a function together with its exact derivatives along every input component.

    Parameters
    ----------
    f : callable
        Maps the P arrays of `ys` to one array of shape (*S, n_out), each batch element by
        itself.
    ys : sequence of P arrays
        The inputs, input p of shape (*S, n_p) and a real floating dtype.

    Returns
    -------
    value : array of shape (*S, n_out)
        ``f(*ys)``.
    tangents : array of shape (m, *S, n_out), with m = sum of the n_p
        Slice k is the derivative of the value with respect to component k of the inputs, taken
        one after the other.  It may be a read-only broadcast view.

    Raises
    ------
    TypeError
        If `f` does something to its inputs that has no derivative rule, or does not return one
        array.

    """
    import numpy as np  # here, so that importing this module loads no array library

    if _duals(list(ys)):
        raise TypeError("derivatives of derivatives are not supported")
    xp = array_namespace(*ys)
    m, start, duals = sum(y.shape[-1] for y in ys), 0, []
    for y in ys:
        n = y.shape[-1]
        seed = xp.eye(m, n, k=-start, dtype=y.dtype, device=device_of(y))
        duals.append(DualArray(y, xp.reshape(seed, (m, *(1,) * (y.ndim - 1), n)), FROZEN))
        start += n
    # A derivative may be infinite where the value is not, as that of sqrt(x) is at 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        out = f(*duals)
    if not hasattr(out, "shape"):
        raise TypeError(f"the function must return one array, not {type(out).__name__}")
    value, tangent = _split(out)
    if tangent is None:
        shape = (m, *(1,) * len(value.shape))
        tangent = xp.zeros(shape, dtype=value.dtype, device=device_of(value))
    if tangent.dtype != value.dtype:
        tangent = xp.astype(tangent, value.dtype)
    return value, xp.broadcast_to(tangent, (m, *value.shape))
