"""The array type, whose operators, methods and functions all follow one table of rules."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from array_api_compat import device as device_of

from ..namespace import array_namespace

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""How functions act on duals: ``rule(xp, f, *args, **kwargs)``, with f of plain arrays and the namespace of duals."""
VIEWS: dict[str, Rule] = {}
"""The rules whose results may share memory with their arguments."""
COMPLEX: dict[str, Rule | None] = {}
"""What there is of complex numbers: the rules that are others than of real ones, and the names of those that hold."""

FROZEN, PRIVATE, OWNED = "frozen", "private", "owned"
"""What an assignment into a dual does: it raises (the memory may belong to the caller or to another dual), copies
first, or writes through (so that views alias as usual)."""


def _pairs(text: str) -> dict[str, str]:
    """Read a table of "key:value", where a word alone is both."""
    return {word.split(":")[0]: word.split(":")[-1] for word in text.split()}


ARITHMETIC = _pairs("add:add subtract:sub multiply:mul divide:truediv pow:pow remainder:mod matmul:matmul")
COMPARISONS = _pairs("equal:eq not_equal:ne less:lt less_equal:le greater:gt greater_equal:ge floor_divide:floordiv")
PYTHON = {name: getattr(operator, short) for name, short in {**ARITHMETIC, **COMPARISONS}.items()}
"""Python's operators take numbers in every library and are the fastest way to a power."""

METHODS = _pairs("""
    sum mean max min prod var std cumsum ravel squeeze swapaxes transpose reshape astype conj dot clip take repeat
    argmax argmin argsort any all round nonzero __neg__:negative __pos__:positive __abs__:abs
""")
NUMPY_NAMES = _pairs("""
    arcsin:asin arccos:acos arctan:atan arcsinh:asinh arccosh:acosh arctanh:atanh arctan2:atan2
    absolute:abs fabs:abs power:pow true_divide:divide mod:remainder radians:deg2rad degrees:rad2deg
    conjugate:conj concatenate:concat transpose:permute_dims cumsum:cumulative_sum amax:max amin:min
    empty_like:zeros_like
""")


def rule(function: Rule) -> Rule:
    """Put ``_name``, the rule of a function ``name``, into the table."""
    RULES[function.__name__.removeprefix("_")] = function
    return function


def view_rule(function: Rule) -> Rule:
    """Put ``_name`` into the table of the rules that may share memory."""
    VIEWS[function.__name__.removeprefix("_")] = function
    return function


def call(name: str, f: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function of the values' library, or its rule where there are duals."""
    duals = duals_in(args) + duals_in(kwargs) if kwargs else duals_in(args)
    if not duals:
        return f(*args, **kwargs)
    if kwargs.pop("out", None) is not None:
        raise TypeError(f"{name}: a value being differentiated cannot go into `out` (or by `a += y`)")
    xp, name = namespace_of(duals[0]), NUMPY_NAMES.get(name, name)
    f = PYTHON.get(name) or getattr(xp.plain, name, f)
    rule = _own_rule(name) if any(_is_complex(dual.value) for dual in duals) else None
    if rule is None and name in VIEWS:
        return VIEWS[name](xp, f, *args, **kwargs)
    rule = rule or RULES.get(name)
    if rule is None:
        raise TypeError(f"no derivative rule for the function {name!r}")
    states = [dual.state for dual in duals]
    made = rule(xp, f, *args, **kwargs)
    for dual, state in zip(duals, states, strict=True):  # views made on the way are gone
        dual.state = state
    if isinstance(made, DualArray) and made.state == FROZEN:
        made.state = PRIVATE
    return made


def _own_rule(name: str) -> Rule | None:
    """Return the rule that a function has of complex numbers alone, None where it is that of real ones."""
    if name not in COMPLEX:
        raise TypeError(f"no derivative rule for the function {name!r} of complex numbers")
    return COMPLEX[name]


def method(name: str) -> Callable[..., Any]:
    """Return the function of that name as a method of its first argument."""
    return lambda self, *args, **kwargs: call(name, None, (self, *args), kwargs)


class Namespace:
    """The array namespace of duals: that of plain arrays with the rules added.

    It equals the namespace that it extends, so that `array_namespace` accepts duals beside plain arrays.
    """

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __eq__(self, other: object) -> bool:
        return bool(self.plain == (other.plain if isinstance(other, Namespace) else other))

    def __hash__(self) -> int:
        return hash(self.plain)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.plain, name)
        if name in ("linalg", "fft"):
            return Namespace(attribute)
        if not callable(attribute) or isinstance(attribute, type):
            return attribute
        return lambda *args, **kwargs: call(name, attribute, args, kwargs)


NONE: tuple[str, ...] = ()  # slots are left to the classes that `_concrete` makes


@cache
def _concrete(array_type: type) -> type:
    """Make the class of duals for one array type.

    Arrays that reject unknown operands outright, as array-api-strict's do, still defer to a
    subclass's reflected operator, so for them the class also derives from the array type,
    but is not made like one.
    """
    defers = hasattr(array_type, "__array_ufunc__") or hasattr(array_type, "__array_priority__")
    bases = (DualArray,) if defers else (DualArray, array_type)
    own = {"__slots__": ("value", "tangent", "state"), "__init__": lambda *_, **__: None}
    return type("DualArray", bases, own)


@cache
def _is_a(kind: str, xp: Any, dtype: Any) -> bool:
    return bool(xp.isdtype(dtype, kind))


def _is_complex(array: Any) -> bool:
    return _is_a("complex floating", array_namespace(array), array.dtype)


class DualArray:
    """An array with its derivatives along ``m`` directions.

    Parameters
    ----------
    value : array of shape S
        The plain array, of a real or complex floating dtype.
    tangent : array of shape (m, *S')
        Its derivatives; ``S'`` has as many axes as ``S`` and broadcasts against it.
    state : str
        Who else may share the memory; see the constants of this module.

    """

    __slots__ = NONE
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 1000.0
    value: Any
    tangent: Any
    state: str

    def __new__(cls, value: Any, tangent: Any, state: str = PRIVATE) -> DualArray:
        if _is_complex(value):
            tangent = tangent if _is_complex(tangent) else array_namespace(value).astype(tangent, value.dtype)
        elif not _is_a("real floating", array_namespace(value), value.dtype):
            raise TypeError(f"derivatives need floating-point arrays, got {value.dtype}")
        array_type: Any = type(value)
        dual: DualArray = object.__new__(_concrete(array_type))
        dual.value, dual.tangent, dual.state = value, tangent, state
        return dual

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: len(self.value.shape))
    size = property(lambda self: math.prod(self.value.shape))
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: device_of(self.value))
    mT = property(method("matrix_transpose"))
    T = property(method("permute_dims"))
    real = property(method("real"))
    imag = property(method("imag"))

    def __repr__(self) -> str:
        return f"DualArray({self.value!r}, tangents={self.tangent.shape[0]})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[DualArray]:
        return (self[i, ...] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "this value is being differentiated and cannot become a plain array or number: use "
            "array functions throughout (stack, not array([...]); zeros_like(y), not zeros(n))"
        )

    __float__ = __int__ = __complex__ = __index__ = __array__

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return namespace_of(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"no derivative rule for {ufunc.__name__}.{method}")
        return call(ufunc.__name__, ufunc, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call(func.__name__, func, args, kwargs)

    def __cupy_override_elementwise_kernel__(self, kernel: Any, *args: Any, **kwargs: Any) -> Any:
        name = kernel.name.removeprefix("cupyx_scipy_special_").removeprefix("cupy_")
        return call(name, kernel, args, kwargs)

    def __getitem__(self, key: Any) -> DualArray:
        value = self.value[key]
        index = _basic_index(self, key)
        if index is not None:
            return view(self, value, self.tangent[index])
        dense = widen(self)  # arrays as indices: whatever they mean for the value, per direction
        slices = [dense[k, ...][key] for k in range(dense.shape[0])]
        return DualArray(value, namespace_of(self).plain.stack(slices))

    def __setitem__(self, key: Any, item: Any) -> None:
        if self.state == FROZEN:
            raise TypeError(
                "while f is differentiated, its inputs and arrays that share memory with others "
                "cannot be changed in place: write `a = a + b`, or change a.copy()"
            )
        if self.state == PRIVATE:
            fresh = self.copy()
            self.value, self.tangent, self.state = fresh.value, fresh.tangent, OWNED
        value, tangent = split(item)
        if hasattr(value, "shape") and _is_complex(value) and not _is_complex(self.value):
            raise TypeError("a complex number cannot be written into an array of real ones")
        self.value[key] = value
        for k in range(self.tangent.shape[0]):
            self.tangent[k, ...][key] = 0.0 if tangent is None else tangent[k, ...]

    def copy(self) -> DualArray:
        """Return a copy that shares no memory and may be assigned into."""
        xp = namespace_of(self).plain
        tangent = xp.asarray(widen(self), copy=True)
        return DualArray(xp.asarray(self.value, copy=True), tangent, OWNED)


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    return lambda a, b: call(name, None, (b, a), {})


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def update(a: DualArray, b: Any) -> DualArray:
        new = call(name, None, (a, b), {})
        if a.state == PRIVATE and (new.shape, new.dtype) == (a.shape, a.dtype):
            a.value, a.tangent = new.value, new.tangent
        else:
            a[...] = new
        return a

    return update


for _name, _short in {**ARITHMETIC, **COMPARISONS}.items():
    setattr(DualArray, f"__{_short}__", method(_name))
for _name, _short in {**ARITHMETIC, "floor_divide": "floordiv"}.items():
    setattr(DualArray, f"__r{_short}__", _reflected(_name))
for _name, _short in ARITHMETIC.items():
    setattr(DualArray, f"__i{_short}__", _in_place(_name))
for _short, _name in METHODS.items():
    setattr(DualArray, _short, method(_name))


# -- what the rules are made of -----------------------------------------------------------------


_namespace = cache(Namespace)


def namespace_of(x: DualArray) -> Namespace:
    """Return the namespace of duals of one library."""
    return _namespace(array_namespace(x.value))


def split(x: Any) -> tuple[Any, Any]:
    """Separate an operand into its value and its tangent, None for a constant."""
    return (x.value, x.tangent) if isinstance(x, DualArray) else (x, None)


def duals_in(x: Any) -> list[DualArray]:
    """List the duals in arguments, however nested."""
    if isinstance(x, DualArray):
        return [x]
    if isinstance(x, (list, tuple)):
        return [dual for item in x for dual in duals_in(item)]
    return duals_in(list(x.values())) if isinstance(x, dict) else []


def strip(x: Any) -> Any:
    """Replace the duals in arguments by their values."""
    if isinstance(x, (list, tuple)):
        return type(x)([strip(item) for item in x])
    return split(x)[0]


def result(value: Any, *parts: Any) -> Any:
    """Combine a value with the sum of its tangent's parts; a plain value if there is none."""
    present = [part for part in parts if part is not None]
    return DualArray(value, sum(present[1:], present[0])) if present else value


def view(x: DualArray, value: Any, tangent: Any) -> DualArray:
    """Make a dual that may share memory with `x`; writable only if it aliases faithfully."""
    if x.state == PRIVATE:
        x.state = FROZEN
    return DualArray(value, tangent, x.state)


def tangent_of(x: Any, like: DualArray) -> Any:
    """Return the tangent of an array, zero for a constant beside a dual."""
    if isinstance(x, DualArray):
        return x.tangent
    shape = (like.tangent.shape[0], *(1,) * len(x.shape))
    return namespace_of(like).plain.zeros(shape, dtype=like.dtype, device=like.device)


def pad(tangent: Any, ndim: int) -> Any:
    """Give a tangent the axes of a value with `ndim` axes."""
    missing = ndim + 1 - len(tangent.shape)
    return tangent[(slice(None), *(None,) * missing, ...)] if missing > 0 else tangent


def widen(x: DualArray, axes: Sequence[int] | None = None) -> Any:
    """Broadcast the tangent along some axes (counted from the end; all by default)."""
    shape = list(x.tangent.shape)
    for axis in range(-x.ndim, 0) if axes is None else axes:
        shape[axis] = x.shape[axis]
    same = tuple(shape) == tuple(x.tangent.shape)
    return x.tangent if same else namespace_of(x).plain.broadcast_to(x.tangent, tuple(shape))


def from_end(axis: Any, ndim: int) -> Any:
    """Count an axis, or each of a tuple of axes, from the end."""
    if isinstance(axis, (tuple, list)):
        return tuple(from_end(a, ndim) for a in axis)
    axis = operator.index(axis)
    return axis - ndim if axis >= 0 else axis


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """List axes counted from the end, all of them for None."""
    axes = from_end(tuple(range(ndim)) if axis is None else axis, ndim)
    return axes if isinstance(axes, tuple) else (axes,)


def _basic_index(x: DualArray, key: Any) -> tuple[Any, ...] | None:
    """Translate a basic index into one for the lazy tangent, None for array indices."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, (bool, list)) or getattr(k, "shape", ()) != () for k in keys):
        return None
    try:
        keys = [k if k is None or k is Ellipsis or isinstance(k, slice) else operator.index(k) for k in keys]
    except TypeError:
        return None
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    fill = x.ndim - sum(k is not None and k is not Ellipsis for k in keys)
    keys[at : at + 1] = [slice(None)] * fill
    sizes = iter(x.tangent.shape[1:])
    for i, k in enumerate(keys):
        if k is not None and next(sizes) == 1:
            keys[i] = slice(None) if isinstance(k, slice) else 0
    return (slice(None), *keys)
