"""Forward-mode derivatives against central differences, closed forms and NumPy's semantics."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.special
from array_api_compat import array_namespace
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deersolve.backends.dual import DualArray, value_and_tangents

try:
    import array_api_strict as strict
except ImportError:
    strict = None  # with the core alone: the cases of NumPy run, the others skip

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 3))
MASK = np.array([True, False, True])

LIBRARIES = {
    "numpy": np.asarray,
    "strict": lambda a: strict.asarray(a),
    "strict-device1": lambda a: strict.asarray(a, device=strict.Device("device1")),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    if request.param != "numpy" and strict is None:
        pytest.skip("array_api_strict is not installed")
    return LIBRARIES[request.param]


def to_numpy(a):
    if not hasattr(a, "to_device") or isinstance(a, (np.ndarray, np.generic)):
        return np.asarray(a)
    return np.from_dlpack(a.to_device(strict.Device("CPU_DEVICE")))


def differences(f, ys, step=STEP):
    """Central differences, in NumPy, along every component of the last axes."""
    out = []
    for p, y in enumerate(ys):
        for k in range(y.shape[-1]):
            h = np.zeros_like(y)
            h[..., k] = step
            plus, minus = ([*ys[:p], y + d, *ys[p + 1 :]] for d in (h, -h))
            out.append((np.asarray(f(*plus)) - np.asarray(f(*minus))) / (2 * step))
    return np.stack(out)


def check(f, *ys, library=np.asarray):
    """Compare with central differences, whose error shrinks with the square of the step."""
    value, tangents = value_and_tangents(f, tuple(library(y) for y in ys))
    expected = np.asarray(f(*ys))
    assert type(value) is type(library(ys[0])) or np.isscalar(value)
    assert tuple(tangents.shape) == (sum(y.shape[-1] for y in ys), *expected.shape)
    assert tangents.dtype == value.dtype
    np.testing.assert_allclose(to_numpy(value), expected, rtol=64 * EPS, atol=64 * EPS)
    reference = differences(f, ys)
    tolerance = 1e2 * STEP**2 * max(1.0, float(np.abs(reference).max(initial=0)))
    tolerance += np.abs(differences(f, ys, 2 * STEP) - reference)
    assert np.all(np.abs(to_numpy(tangents) - reference) <= tolerance)
    return value, tangents


def uniform(low, high, shape=(4, 3), seed=1):
    return np.random.default_rng(seed).uniform(low, high, shape)


# -- elementwise -------------------------------------------------------------------------------

STANDARD_UNARY = {
    **dict.fromkeys(["exp", "expm1", "sin", "cos", "sinh", "cosh", "tanh", "asinh"], (-1, 1)),
    **dict.fromkeys(["atan", "square", "negative", "positive", "tan", "asin", "acos"], (-0.9, 0.9)),
    **dict.fromkeys(["log", "log1p", "log2", "log10", "sqrt", "reciprocal", "abs"], (0.5, 2)),
    "acosh": (1.5, 3),
    "atanh": (-0.8, 0.8),
}
NUMPY_UNARY = {
    **dict.fromkeys(["arcsin", "arccos", "arctan", "arctanh", "exp2", "sinc"], (-0.8, 0.8)),
    **dict.fromkeys(["arcsinh", "radians", "degrees", "deg2rad", "rad2deg"], (-1, 1)),
    **dict.fromkeys(["cbrt", "fabs", "absolute"], (0.5, 2)),
    "arccosh": (1.5, 3),
}
SCIPY_UNARY = {
    **dict.fromkeys(["expit", "log_expit", "erf", "erfc", "ndtr"], (-2, 2)),
    "logit": (0.2, 0.8),
}


@pytest.mark.parametrize("name", STANDARD_UNARY)
def test_standard_unary(name, library):
    y = uniform(*STANDARD_UNARY[name])
    check(lambda y: getattr(array_namespace(y), name)(y), y, library=library)


@pytest.mark.parametrize("name", NUMPY_UNARY)
def test_numpy_unary(name):
    check(getattr(np, name), uniform(*NUMPY_UNARY[name]))


@pytest.mark.parametrize("name", SCIPY_UNARY)
def test_scipy_unary(name):
    check(getattr(scipy.special, name), uniform(*SCIPY_UNARY[name]))


def test_abs_of_negative_values(library):
    check(lambda y: abs(y) + (-y) * (+y), uniform(-2, -0.5), library=library)


BINARY = ["add", "subtract", "multiply", "divide", "pow", "atan2", "hypot", "logaddexp"]
BINARY += ["maximum", "minimum", "remainder", "copysign"]
SHAPES = [((4, 3), (4, 3)), ((4, 3), (3,)), ((2, 1, 3), (4, 3)), ((1, 3), (4, 3)), ((3,), (3,))]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_standard_binary(name, shapes, library):
    a, b = uniform(0.5, 1.5, shapes[0], 2), uniform(1.6, 2.5, shapes[1], 3)

    def apply(x, y):
        return getattr(array_namespace(x if isinstance(x, DualArray) else y), name)(x, y)

    check(apply, a, b, library=library)  # inputs need not share a batch: it is lazy
    check(lambda y: apply(y, on(y, b)), a, library=library)
    check(lambda y: apply(on(y, a), y), b, library=library)


@pytest.mark.parametrize("name", ["power", "true_divide", "arctan2", "mod", "fmod", "float_power"])
def test_numpy_binary(name):
    a, b = uniform(0.5, 1.5, seed=2), uniform(1.6, 2.5, (3,), seed=3)
    check(getattr(np, name), a, b)
    check(lambda y: getattr(np, name)(y, b), a)
    check(lambda y: getattr(np, name)(a, y), b)


@pytest.mark.parametrize("name", ["fmax", "fmin"])
def test_fmax_ignores_nan(name):
    f = getattr(np, name)
    constant = np.array([0.3, math.nan, 5.0])
    y = uniform(1, 2)
    check(lambda y: f(y, constant), y)
    check(lambda y: f(constant, y), y)


OPERATORS = {
    "scalars": lambda y: (2 + y) * 3 - 1 / (y + 4) + (y - 2) / 3 + 5 - y,
    "powers": lambda y: y**2 + y**3 + y**-1 + y**0.5 + 2**y + y**0 + y**1 + 2.5 ** (-y),
    "modulo": lambda y: y % 0.7 + 5 % y,
    "self": lambda y: y * y / (y + y) - y**y,
    "signs": lambda y: -y + +y - abs(-y),
    "ones": lambda y: y * 1 + y * -1 + (-1) * y / 1 + y * True,
    "floor": lambda y: y * (y // 0.4) + 3 // y,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name, library):
    if name == "ones" and library is not np.asarray:
        pytest.skip("the standard has no arithmetic of floats with booleans")
    check(OPERATORS[name], uniform(0.5, 1.4, seed=5), library=library)


@pytest.mark.parametrize("order", ["left", "right"])
def test_operators_with_plain_arrays(order, library):
    """Plain arrays come first or second, array-api-strict's too, which never defer."""

    def f(y):
        c = library(W[0]) + 2 if isinstance(y, DualArray) else W[0] + 2
        m = library(W) if isinstance(y, DualArray) else W
        if order == "left":
            return c + y + c * y + c / y + c - y + abs(c) ** y + c % y + (c + y) @ m
        return y + c + y * c + y / c + y - c + y ** abs(c) + y % c + m @ y[0, ...]

    check(f, uniform(3.1, 3.4), library=library)


def test_comparisons_give_plain_booleans(library):
    def f(y):
        xp = array_namespace(y)
        masks = [
            y > 1,
            y >= 1,
            y < 1,
            y <= 1,
            y == 1,
            y != 1,
            xp.isnan(y),
            xp.isfinite(y),
            y.__lt__(1),
        ]
        masks += [on(y, np.ones(3)) > y, y <= on(y, np.ones(3))]
        assert not any(isinstance(mask, DualArray) for mask in masks)
        return xp.where(masks[0], y * y, -y)

    check(f, uniform(0.5, 1.5), library=library)


def test_step_functions_are_constants(library):
    def f(y):
        xp = array_namespace(y)
        steps = [xp.floor(y), xp.ceil(y), xp.round(y), xp.trunc(y), xp.sign(y)]
        assert not any(isinstance(step, DualArray) for step in steps)
        return y * sum(steps)

    check(f, uniform(0.6, 0.9), library=library)


# -- points where care is needed ---------------------------------------------------------------


def diagonal(f, y):
    """Differentiate an elementwise function at the points of a vector."""
    y = np.asarray(y, dtype=float)[:, None]
    return value_and_tangents(f, (y,))[1][0, :, 0]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda y: y**2, [0.0, 2.0]),
        (lambda y: y**1, [1.0, 1.0]),
        (lambda y: y**0, [0.0, 0.0]),
        (lambda y: y**2.5, [0.0, 2.5]),
        (lambda y: np.power(y, np.array([0.0])), [0.0, 0.0]),
        (lambda y: np.power(y, np.array([1.0])), [1.0, 1.0]),
        (lambda y: y ** np.array([2]), [0.0, 2.0]),
        (lambda y: 0.0 ** (y + 1), [0.0, 0.0]),
        (lambda y: np.zeros(1) ** (y + 1), [0.0, 0.0]),
        (lambda y: np.sqrt(y), [math.inf, 0.5]),
        (lambda y: np.cbrt(y), [math.inf, 1 / 3]),
        (lambda y: np.where(y > 0, np.sqrt(y), 0), [0.0, 0.5]),
        (lambda y: np.where(y > 0, y * np.log(y), y), [1.0, 1.0]),
        (lambda y: np.abs(y), [0.0, 1.0]),
        (lambda y: np.hypot(y, y * 0), [0.0, 1.0]),
        (lambda y: np.linalg.norm(y, axis=-1, keepdims=True), [0.0, 1.0]),
        (lambda y: np.sinc(y), [0.0, -1.0]),
        (lambda y: np.maximum(y, 0), [1.0, 1.0]),
        (lambda y: np.minimum(np.log(y), y), [math.inf, 1.0]),
        (lambda y: np.clip(y, 0.5, 2), [0.0, 1.0]),
        (lambda y: np.prod(np.concatenate([y, y, y + 1], axis=-1), axis=-1)[:, None], [0.0, 5.0]),
    ],
)
def test_derivatives_at_zero_and_one(f, expected):
    np.testing.assert_allclose(diagonal(f, [0.0, 1.0]), expected, rtol=4 * EPS, atol=4 * EPS)


def test_log_expit_keeps_precision_in_the_tail():
    got = diagonal(scipy.special.log_expit, [40.0])
    np.testing.assert_allclose(got, math.exp(-40) / (1 + math.exp(-40)), rtol=8 * EPS)


def test_ties_are_deterministic(library):
    _, t = value_and_tangents(lambda y: array_namespace(y).max(y, axis=-1, keepdims=True), (library([[2.0, 2.0]]),))
    assert to_numpy(t)[:, 0, 0].tolist() == [1.0, 0.0]


# -- structure ---------------------------------------------------------------------------------


def on(y, a):
    """Put a constant into the library and on the device of `y`."""
    if not isinstance(y, DualArray):
        return a
    return y.__array_namespace__().asarray(a, device=y.device)


STRUCTURE = {
    "sum": lambda xp, y: xp.sum(y * y),
    "sum-lazy-axis": lambda xp, y: xp.sum(y, axis=0),
    "sum-lazy-tuple": lambda xp, y: xp.sum(y, axis=(0, -2), keepdims=True) * y,
    "sum-last": lambda xp, y: xp.sum(y, axis=-1, keepdims=True) / y,
    "mean": lambda xp, y: xp.mean(y, axis=1) + xp.mean(y),
    "var": lambda xp, y: xp.var(y, axis=-1) + xp.std(y, axis=0, correction=1)[:, 0],
    "prod": lambda xp, y: xp.prod(y, axis=-1) + xp.prod(y[..., :1, 0]),
    "max": lambda xp, y: xp.max(y, axis=-1) + xp.min(y) + xp.max(y, axis=(0, 1))[0],
    "min-batch": lambda xp, y: xp.min(y, axis=0, keepdims=True) * y,
    "cumulative_sum": lambda xp, y: xp.cumulative_sum(y, axis=0) + xp.cumulative_sum(y, axis=-1),
    "reshape": lambda xp, y: xp.reshape(y, (2, 2, 6)) * xp.reshape(y, (-1, 1))[:6, 0],
    "reshape-batch": lambda xp, y: xp.reshape(y, (2, 4, 3, 1)),
    "permute": lambda xp, y: xp.permute_dims(y, (2, 0, 1)) + xp.permute_dims(y[0, ...], (1, 0))[:, :1, None],
    "matrix_transpose": lambda xp, y: xp.matrix_transpose(y) @ y + y.mT @ y,
    "moveaxis": lambda xp, y: xp.moveaxis(y, 0, -1) * xp.mean(xp.moveaxis(y, -1, 0)),
    "moveaxis-many": lambda xp, y: xp.moveaxis(y, (0, 1), (1, 2)),
    "expand": lambda xp, y: xp.expand_dims(y, axis=1) * xp.expand_dims(y, axis=-2),
    "squeeze": lambda xp, y: xp.squeeze(y[:1, ...], axis=0) * y,
    "flip": lambda xp, y: xp.flip(y, axis=-1) * xp.flip(y, axis=(0, 1)) + xp.flip(y),
    "roll": lambda xp, y: xp.roll(y, 1, axis=-1) + xp.roll(y, 1) + xp.roll(y, (1, 2), axis=(0, 2)),
    "concat-last": lambda xp, y: xp.concat([y, y[..., :1] ** 2, on(y, np.ones((2, 4, 1)))], axis=-1),
    "concat-batch": lambda xp, y: xp.concat([y, y * y, on(y, np.ones((1, 4, 3)))], axis=0),
    "concat-lazy": lambda xp, y: xp.concat([y, 2 * y], axis=1),
    "concat-flat": lambda xp, y: xp.concat([y, on(y, np.ones((2, 2))), y[0, ...]], axis=None),
    "stack-last": lambda xp, y: xp.stack([y[..., 1], y[..., 0] * y[..., 2]], axis=-1),
    "stack-first": lambda xp, y: xp.stack([y, on(y, np.ones((2, 4, 3)))]),
    "broadcast_to": lambda xp, y: xp.broadcast_to(y, (5, 2, 4, 3)),
    "broadcast_arrays": lambda xp, y: xp.broadcast_arrays(y, y[0, 0, :])[1] * y,
    "take": lambda xp, y: xp.take(y, on(y, np.array([2, 0, 0])), axis=-1) + xp.take(y, on(y, np.array([1])), axis=0),
    "take_along_axis": lambda xp, y: xp.take_along_axis(y, on(y, np.argsort(-RNG_ORDER, axis=1)), axis=1),
    "repeat": lambda xp, y: xp.repeat(y, 2, axis=0) + xp.repeat(y, 2, axis=0)[::-1, ...],
    "tile": lambda xp, y: xp.tile(y, (2, 1, 2)),
    "diff": lambda xp, y: xp.diff(y, axis=-1) + xp.diff(y, axis=-1, n=1) ** 2,
    "clip": lambda xp, y: xp.clip(y, 0.7, 1.2),
    "where-plain": lambda xp, y: xp.where(on(y, MASK), y, on(y, np.ones(3))) + xp.where(on(y, MASK), 1.0, y),
    "where-rank": lambda xp, y: xp.where(on(y, np.ones((5, 1, 1, 1), bool)), y[0, 0, :], y * y),
    "matmul": lambda xp, y: y @ on(y, W),
    "matmul-left": lambda xp, y: xp.matmul(on(y, W[:, :4] @ np.ones((3, 4))), y),
    "matmul-both": lambda xp, y: (y @ on(y, W)) @ xp.matrix_transpose(y),
    "matmul-vector": lambda xp, y: (y @ y[0, 0, :]) + (y[0, 0, :] @ xp.matrix_transpose(y)),
    "matmul-vectors": lambda xp, y: y[0, 0, :] @ y[1, 2, :] * y,
    "matmul-column": lambda xp, y: (on(y, W) @ y[..., None])[..., 0],
    "matmul-batch": lambda xp, y: y[..., None, :] @ on(y, np.broadcast_to(W, (2, 4, 3, 3))),
    "vecdot": lambda xp, y: xp.vecdot(y, y) + xp.vecdot(y, on(y, W[0])),
    "tensordot": lambda xp, y: (
        xp.tensordot(y, on(y, W), axes=1) + xp.tensordot(y, y, axes=((2, 1), (2, 1)))[:, :1, None]
    ),
    "tensordot-right": lambda xp, y: xp.tensordot(on(y, W), y, axes=((1,), (2,))),
    "outer": lambda xp, y: xp.linalg.outer(y[0, 0, :], y[0, 1, :]) + y[0, :3, :],
    "cross": lambda xp, y: xp.linalg.cross(y, xp.flip(y, axis=0)),
    "vector_norm": lambda xp, y: xp.linalg.vector_norm(y, axis=-1) + xp.linalg.vector_norm(y),
    "solve": lambda xp, y: xp.linalg.solve(on(y, W + 4 * np.eye(3)) + y[..., None], y[..., None])[..., 0],
    "solve-vector": lambda xp, y: xp.linalg.solve(on(y, W + 4 * np.eye(3)), y[0, 0, :]) * y,
    "inv": lambda xp, y: xp.linalg.inv(y[..., None] * y[..., None, :] + on(y, np.eye(3))),
    "sort": lambda xp, y: xp.sort(y, axis=-1),
    "likes": lambda xp, y: xp.zeros_like(y) + xp.ones_like(y) * y + xp.full_like(y, 3) - xp.empty_like(y) * 0,
    "astype": lambda xp, y: xp.astype(y, xp.float64) + xp.astype(xp.astype(y, xp.int64), xp.float64),
    "asarray": lambda xp, y: xp.asarray(y) * xp.asarray(y, copy=True),
    "constants": lambda xp, y: xp.pi * y + xp.e + on(y, np.arange(3.0)) * xp.finfo(y.dtype).max ** 0,
}
RNG_ORDER = uniform(0, 1, (2, 4, 3), 9)
Y = uniform(0.5, 1.5, (2, 4, 3), 8)


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name, library):
    def f(y):
        return STRUCTURE[name](array_namespace(y), y)

    with np.errstate(over="ignore"):
        check(f, Y, library=library)


NUMPY_STYLE = {
    "sum": lambda y: np.sum(y, 0) + y.sum(axis=-1)[:1].sum() + np.sum(y, axis=1, keepdims=True)[0],
    "cumsum": lambda y: np.cumsum(y, axis=1) + y.cumsum(-1) + np.cumsum(y)[:3],
    "concatenate": lambda y: np.concatenate((y, y), axis=1) * np.concatenate([y, y], 1),
    "stacks": lambda y: np.hstack([y, y]) + np.vstack([y[0, 0], y[1, 1]])[:, None, :1],
    "stack-scalars": lambda y: np.stack([y[0, 0, 1], 0.0, y[0, 0, 2] * y[0, 0, 1]]),
    "transpose": lambda y: np.transpose(y, (0, 2, 1)) + y.transpose(0, 2, 1) + y.T.T.mT + np.transpose(y).T.mT,
    "swapaxes": lambda y: np.swapaxes(y, 0, -1) + y.swapaxes(0, 2),
    "dot": lambda y: np.dot(y, W) + y.dot(W) + np.dot(2.0, y),
    "dot-nd": lambda y: np.dot(W, y.mT)[:, 0],
    "einsum": lambda y: np.einsum("...i,ij->...j", y, W) + np.einsum("bti,ij->btj", y, W, optimize=True),
    "einsum-sum": lambda y: np.einsum("bti,bti->i", y, y) + np.einsum("bti->i", y),
    "einsum-three": lambda y: np.einsum("bti,ij,btj->bt", y, W, y),
    "einsum-implicit": lambda y: np.einsum("ij,btj", W, y) + np.einsum("...i,...i", y, y)[0, 0],
    "einsum-diagonal": lambda y: np.einsum("bii->bi", y[:, :3]) + np.einsum("bii->b", y[:, :3])[:, None],
    "norm": lambda y: np.linalg.norm(y, axis=-1) + np.linalg.norm(y) + np.linalg.norm(y, axis=(0, 1))[0],
    "reshape": lambda y: y.reshape(2, -1) + y.reshape((2, 12)) + np.reshape(y, (2, 12)) + y.ravel()[:12],
    "squeeze": lambda y: np.squeeze(y[:1]) + y[:1].squeeze() + np.squeeze(y[:, :1])[0],
    "methods": lambda y: y.max(-1) + y.min(axis=-1) + y.mean(-1) + y.prod(-1) + y.std(-1) + y.var(-1, ddof=1),
    "amax": lambda y: np.amax(y, axis=-1) + np.max(y, -1) + np.amin(y, -1),
    "clip": lambda y: y.clip(0.7, 1.2) + np.clip(y, a_min=None, a_max=1.1) + np.clip(y, 0.8, None),
    "split": lambda y: np.split(y, 3, axis=-1)[1] * np.split(y, [1], axis=1)[0],
    "take": lambda y: y.take([0, 1], axis=-1) + np.take(y, 1, axis=-1)[..., None] + np.take(y, [3, 4]),
    "atleast": lambda y: np.atleast_1d(y[0, 0, 0]) * np.atleast_2d(y[0, 0]) * np.atleast_1d(y),
    "repeat": lambda y: np.repeat(y, 2) + np.repeat(y, [2] * 24) + y.repeat(2, axis=-1).ravel(),
    "tile": lambda y: np.tile(y, 2) + np.tile(y, (1, 1, 2)),
    "diff": lambda y: np.diff(y, 2) + np.diff(y, n=2, axis=-1),
    "real": lambda y: np.real(y) + np.conj(y) + y.real + y.conj() + np.imag(y) + y.imag,
    "copy": lambda y: np.copy(y) * y.copy(),
    "astype": lambda y: y.astype(np.float64) * y.astype(int),
    "iterate": lambda y: sum(row * (i + 1) for i, row in enumerate(y)) * len(y),
    "linear": lambda y: np.inner(W, W)[0] * y,
    "control": lambda y: y * 2 if y.sum() > 0 and np.any(y > 0) and y.shape[0] == 2 else y,
    "generic": lambda y: y * np.float64(2) + np.float64(3) * y ** np.float64(2) + np.float64(2) ** y,
    "lists": lambda y: y * [1.0, 2.0, 3.0] + np.add([1, 2, 3], y) + np.maximum(y, [1.0, 0.0, 2.0]),
    "ufuncs": lambda y: np.multiply(W[0], np.tanh(y)) + np.expm1(W[0] * y) + np.reciprocal(y),
}


@pytest.mark.parametrize("name", NUMPY_STYLE)
def test_numpy_style(name):
    check(NUMPY_STYLE[name], Y)


INDICES = {
    "int": 0,
    "last": (..., 1),
    "lazy-int": (1, 2),
    "negative": (-1, slice(None), -1),
    "slice": (slice(None), slice(1, 3)),
    "stride": (slice(None, None, -1), slice(None, None, 2), slice(1, None)),
    "none": (None, ..., None, 0),
    "empty": (slice(0, 0), ..., slice(0, 2)),
    "all": (0, 1, 2),
    "ellipsis": ...,
    "numpy-int": (np.int64(1), ..., np.array(2)),
    "array": np.array([1, 0, 1]),
    "array-last": (..., np.array([2, 0])),
    "list": (slice(None), [0, 3]),
    "mask": Y > 1,
    "mask-last": (..., MASK),
    "arrays": (np.array([0, 1]), np.array([2, 3])),
    "separated": (np.array([0, 1]), slice(None), np.array([2, 1])),
    "int-separated": (0, slice(None), np.array([2, 1])),
    "matrix": (slice(None), np.array([[0, 1], [2, 3]]), None),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("dense", [False, True])
def test_getitem(name, dense):
    check(lambda y: (y * Y if dense else y)[INDICES[name]], Y)


@pytest.mark.parametrize("name", [*INDICES])
def test_getitem_of_size_one_axes(name):
    y = Y[:, :1]
    index = INDICES[name]
    try:
        y[index]
    except IndexError:
        with pytest.raises(IndexError):
            value_and_tangents(lambda y: y[index], (y,))
    else:
        check(lambda y: y[index], y)


def test_getitem_strict(library):
    keys = [(0, ...), (..., 1), (1, 2, slice(None)), (..., None, slice(None, None, -1)), (1, 1, 1)]
    for key in keys:
        check(lambda y, key=key: y[key] * 2, Y, library=library)
    check(lambda y: y[on(y, Y > 1)], Y, library=library)
    check(
        lambda y: y[on(y, np.array([1, 0])), on(y, np.array([2, 3])), on(y, np.array([0, 0]))],
        Y,
        library=library,
    )


@given(data=st.data(), dense=st.booleans())
@settings(max_examples=100, deadline=None)
def test_getitem_property(data, dense):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3))
    y = uniform(0.5, 1.5, shape)
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    check(lambda z: (z * y if dense else z)[key], y)


# -- assignment --------------------------------------------------------------------------------


@pytest.mark.parametrize("new", ["zeros_like", "empty_like", "ones_like"])
def test_assignment_into_fresh_arrays(new, library):
    def f(y):
        out = getattr(array_namespace(y), new)(y)
        out[...] = 0.0
        out[..., 0] = y[..., 1]
        out[0, ..., 1] = y[1, ..., 2] * y[0, ..., 0]
        out[1, ..., 1] = 3.0
        out[..., 0] += out[..., 1]
        out[..., 2:] = y[..., :1] ** 2
        return out

    check(f, uniform(0.5, 1.5, (2, 3)), library=library)


def test_assignment_by_arrays_and_masks():
    def f(y):
        out = np.zeros_like(y)
        out[:, [0, 2]] = y[:, [1, 1]]
        out[y > 1.2] = 0
        out[np.array([0, 1])] *= 2
        return out

    check(f, uniform(0.5, 1.5, (3, 4)))


def test_views_of_owned_arrays_alias():
    def f(y):
        out = np.zeros_like(y)
        view, flat = out[..., 0], out.reshape(-1)
        view[...] = y[..., 1]
        view += y[..., 2]
        flat[1] = y[0, 0] ** 2
        out.T[2, 0] = y[1, 1]
        alias = out
        alias *= y
        return out

    check(f, uniform(0.5, 1.5, (2, 3)))


def test_results_may_change_in_place_but_inputs_never(library):
    def f(y):
        h = y * y
        h += y
        h *= 2
        h[..., 0] = y[..., 1]
        c = y.copy() if isinstance(y, DualArray) else array_namespace(y).asarray(y, copy=True)
        c[..., 1] = 0.0
        full = array_namespace(y).full_like(y, 2)
        full -= y
        return h + c * full

    y = uniform(0.5, 1.5)
    kept, plain = y.copy(), library(y)
    check(f, y, library=library)
    value_and_tangents(f, (plain,))
    np.testing.assert_array_equal(to_numpy(plain), kept)


def test_functions_that_copy_leave_their_arguments_writable():
    def f(y):
        h = y * y
        new = [h.sum(axis=0), h.max(-1), np.prod(h, axis=-1), np.stack([h, h]), h @ W]
        new += [h @ W[0], np.vecdot(h, h), np.diff(h), np.cross(h, W), np.take(h, 1, axis=0)]
        for array in [h, *new]:
            array += 1
        return h * sum(array.sum() for array in new)

    check(f, uniform(0.5, 1.5, (3, 3)))


def test_lists_become_arrays():
    _, tangents = value_and_tangents(lambda y: y.__array_namespace__().asarray([y[1] * 2, 0.0, y[0]]), (np.ones(2),))
    np.testing.assert_array_equal(tangents, [[0, 0, 1], [2, 0, 0]])


def assign(y):
    y[..., 0] = 1.0
    return y


def increment(y):
    y += 1
    return y


def assign_view(y):
    y[..., 0][...] = 1.0
    return y


def shared(y):
    h = y * 2
    view = h[..., 0]
    h += 1
    return h + view[..., None]


@pytest.mark.parametrize("f", [assign, increment, assign_view, shared])
def test_unsound_in_place_changes_raise(f, library):
    with pytest.raises(TypeError, match="in place"):
        value_and_tangents(f, (library(uniform(0.5, 1.5)),))


def into_zeros(y):
    out = np.zeros(y.shape)
    out[..., 0] = y[..., 1]
    return out


def into_element(y):
    out = np.zeros(3)
    out[0] = y[0, 0]
    return out


def into_plain(y):
    out = np.zeros(y.shape)
    out += y
    return out


def into_out(y):
    return np.add(y, 1, out=np.zeros(y.shape))


UNSUPPORTED = {
    "into_zeros": (into_zeros, "plain array"),
    "into_element": (into_element, "array element"),
    "into_plain": (into_plain, "out"),
    "into_out": (into_out, "out"),
    "array": (lambda y: np.array([y[0, 0], y[0, 1]]), "plain array"),
    "asarray": (lambda y: np.asarray(y), "plain array"),
    "float": (lambda y: np.full(3, float(y[0, 0])), "plain array"),
    "math": (lambda y: np.full(3, math.exp(y[0, 0])), "plain array"),
    "int": (lambda y: np.full(3, int(y[0, 0])), "plain array"),
    "function": (lambda y: np.interp(y, [0.0, 1.0], [0.0, 1.0]), "interp"),
    "ufunc": (scipy.special.gammaln, "gammaln"),
    "reduce": (lambda y: np.add.reduce(y), "add.reduce"),
    "namespace": (lambda y: y.__array_namespace__().cumulative_prod(y), "cumulative_prod"),
    "linalg": (lambda y: np.linalg.det(y @ y.mT), "det"),
    "fft": (lambda y: np.fft.fft(y), "fft"),
    "keyword": (lambda y: np.sum(y, where=y > 0), "where"),
    "prepend": (lambda y: np.diff(y, prepend=0), "prepend"),
    "complex": (lambda y: y * 1j, "complex"),
    "list": (lambda y: [y, y], "list"),
    "none": (lambda y: None, "NoneType"),
    "number": (lambda y: 1.0, "float"),
    "hash": (lambda y: {y: 1}, "unhashable"),
    "ord": (lambda y: np.linalg.norm(y, ord=1, axis=-1), "norm"),
    "spectral": (lambda y: np.linalg.norm(y, 2), "norm"),
    "sublists": (lambda y: np.einsum(y, [0, 1]), "einsum"),
    "ufunc-where": (lambda y: np.exp(y, where=y > 0), "where"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_no_derivative_is_dropped_in_silence(name):
    f, match = UNSUPPORTED[name]
    with pytest.raises((TypeError, ValueError), match=match):
        value_and_tangents(f, (uniform(0.5, 1.5),))


@pytest.mark.parametrize("dtype", ["int64", "complex128", "bool"])
def test_inputs_must_be_real_floating(dtype):
    with pytest.raises(TypeError, match="real floating"):
        value_and_tangents(lambda y: y, (np.ones(3, dtype=dtype),))


@pytest.mark.skipif(strict is None, reason="array_api_strict is not installed")
def test_plain_values_into_strict_arrays_raise():
    def f(y):
        out = strict.zeros(y.shape)
        out[..., 0] = y[..., 1]
        return out

    with pytest.raises((TypeError, AttributeError)):
        value_and_tangents(f, (strict.ones((2, 3)),))


# -- the entry point ---------------------------------------------------------------------------


def sigmoid(xp, a):
    return 1 / (1 + xp.exp(-a))


def gru(y, x, p):
    xp = array_namespace(y)
    r = sigmoid(xp, x @ p["Wr"] + y @ p["Ur"])
    z = sigmoid(xp, x @ p["Wz"] + y @ p["Uz"])
    c = xp.tanh(x @ p["Wc"] + (r * y) @ p["Uc"])
    return (1 - z) * y + z * c


def gru_jacobian(y, x, p):
    """Differentiate the GRU by hand; entry [j, t, i] is that of output i by input j."""
    r = sigmoid(np, x @ p["Wr"] + y @ p["Ur"])
    z = sigmoid(np, x @ p["Wz"] + y @ p["Uz"])
    c = np.tanh(x @ p["Wc"] + (r * y) @ p["Uc"])
    eye = np.eye(y.shape[-1])
    dr = np.einsum("ji,ti->tji", p["Ur"], r * (1 - r))
    dz = np.einsum("ji,ti->tji", p["Uz"], z * (1 - z))
    dry = dr * y[:, None, :] + eye * r[:, None, :]
    dc = np.einsum("tji,ik->tjk", dry, p["Uc"]) * (1 - c * c)[:, None, :]
    total = eye * (1 - z)[:, None, :] + dz * (c - y)[:, None, :] + dc * z[:, None, :]
    return np.moveaxis(total, 1, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gru_against_its_analytic_jacobian(dtype, library):
    rng = np.random.default_rng(3)
    n, k, steps = 4, 3, 50
    p = {f"{w}{g}": rng.normal(size=(k if w == "W" else n, n)) for w in "WU" for g in "rzc"}
    y, x = rng.normal(size=(steps, n)), rng.normal(size=(steps, k))
    q = {name: library(a.astype(dtype)) for name, a in p.items()}
    args = library(y.astype(dtype)), library(x.astype(dtype))
    value, tangents = value_and_tangents(lambda y: gru(y, args[1], q), args[:1])
    assert value.dtype == tangents.dtype == args[0].dtype
    tolerance = 256 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(to_numpy(value), gru(y, x, p), rtol=0, atol=tolerance)
    np.testing.assert_allclose(to_numpy(tangents), gru_jacobian(y, x, p), rtol=0, atol=tolerance)


def test_several_inputs_share_the_leading_axis(library):
    a, b = uniform(0.5, 1.5, (5, 2)), uniform(0.5, 1.5, (5, 3), 4)

    def f(a, b):
        xp = array_namespace(a)
        return xp.concat([a * b[..., :2], xp.sum(b, axis=-1, keepdims=True) * a[..., :1]], axis=-1)

    check(f, a, b, library=library)
    check(lambda a, b: b * 2, a, b, library=library)
    check(lambda a, b: a * 2, a, b, library=library)


def test_a_function_without_dependence_has_zero_tangents(library):
    constant = library(np.ones((4, 2)))
    value, tangents = value_and_tangents(lambda y: constant, (library(uniform(0, 1)),))
    assert value is constant
    assert tuple(tangents.shape) == (3, 4, 2)
    assert not np.any(to_numpy(tangents))


def test_empty_batches_and_single_states(library):
    _, tangents = value_and_tangents(lambda y: y * y, (library(np.ones((0, 3))),))
    assert tuple(tangents.shape) == (3, 0, 3)
    check(lambda y: y * y[::-1], uniform(0, 1, (3,)), library=library)


SEEDS = {
    "matmul": lambda y: y @ W,
    "scale": lambda y: 2 * y + Y,
    "slice": lambda y: y[0, 1:, :2],
    "concat": lambda y: np.concatenate([y, np.ones((2, 4, 1))], axis=-1),
    "stack": lambda y: np.stack([y[..., 0], -y[..., 1]], axis=-1),
    "reshape": lambda y: y.reshape(2, 4, 3, 1),
    "einsum": lambda y: np.einsum("bti,ij->btj", y, W),
}


@pytest.mark.parametrize("name", SEEDS)
def test_linear_functions_keep_the_batch_lazy(name):
    seen = []
    value_and_tangents(lambda y: seen.append(SEEDS[name](y)) or seen[0], (Y,))
    assert seen[0].tangent.size <= 3 * 3 * 3


FLOAT32 = {
    "scalars": lambda y: 2 * y + 1.5 - y / 3 + y**2 + 2**y + 1 / y + np.float32(2) * y,
    "functions": lambda y: np.tanh(y) * np.maximum(y, 0) + np.clip(y, 0.1, 0.9) + np.log10(y),
    "special": lambda y: scipy.special.erf(y) + scipy.special.expit(y) + np.exp2(y) + np.sinc(y),
    "joins": lambda y: np.concatenate([y, np.ones((4, 1), np.float32)], -1) + y.mean() + y.std(),
    "norm": lambda y: y / np.linalg.norm(y) + np.where(y > 0.6, y, 0) + np.deg2rad(y),
    "branches": lambda y: np.where(y > 0, 1.0, y) + np.hypot(y, 1) + np.arctan2(y, 2),
}


@pytest.mark.parametrize("name", FLOAT32)
def test_float32_is_preserved(name):
    seen = []

    def f(y):
        seen.append(FLOAT32[name](y))
        return seen[-1]

    y = uniform(0.5, 1.5).astype(np.float32)
    value, tangents = value_and_tangents(f, (y,))
    assert value.dtype == tangents.dtype == seen[0].tangent.dtype == np.float32
    expected = differences(FLOAT32[name], [y.astype(np.float64)])
    np.testing.assert_allclose(tangents, expected, rtol=0, atol=1e-5)


def test_mixed_precision_follows_the_value():
    w = np.ones(3)
    value, tangents = value_and_tangents(lambda y: y + w, (np.ones((2, 3), np.float32),))
    assert value.dtype == tangents.dtype == np.float64


def test_attributes():
    def f(y):
        assert (y.shape, y.ndim, y.size, len(y)) == ((2, 4, 3), 3, 24, 2)
        assert (y.dtype, y.device) == (np.float64, "cpu")
        assert y.T.shape == (3, 4, 2)
        assert y.mT.shape == (2, 3, 4)
        assert repr(y).startswith("DualArray(array(")
        assert np.shape(y) == (2, 4, 3)
        with pytest.raises(TypeError, match="unsized"):
            len(y[0, 0, 0])
        with pytest.raises(AttributeError):
            getattr(y.__array_namespace__(), f"no_such_{1}")
        return y

    value_and_tangents(f, (Y,))


def test_namespace_of_duals_beside_plain_arrays(library):
    def f(y):
        return array_namespace(y, on(y, W)).tanh(y)

    check(f, Y, library=library)
    check(lambda y: array_namespace(W, y).matrix_transpose(y), Y)


def test_nested_derivatives_raise():
    with pytest.raises(TypeError, match="derivatives of derivatives"):
        value_and_tangents(lambda y: value_and_tangents(np.tanh, (y,))[0], (Y,))


def test_cupy_kernels_dispatch_by_name():
    class Kernel:
        name = "cupy_tanh"

        def __call__(self, x):
            return np.tanh(x)

    seen = []

    def f(y):
        seen.append(y.__cupy_override_elementwise_kernel__(Kernel(), y))
        return seen[0]

    _, tangents = value_and_tangents(f, (Y,))
    np.testing.assert_allclose(tangents, np.eye(3)[:, None, None, :] / np.cosh(Y) ** 2, rtol=16 * EPS)


def test_import_loads_no_array_library():
    code = "import sys, deersolve.backends.dual; sys.exit(bool({'numpy', 'torch', 'jax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- random compositions -----------------------------------------------------------------------

UNARY_STEPS = [
    np.tanh,
    np.sin,
    scipy.special.expit,
    lambda a: a @ W,
    lambda a: a[..., ::-1],
    lambda a: np.roll(a, 1, axis=-1),
    lambda a: a / (1 + a**2),
    lambda a: np.where(MASK, a, 0.5 * a),
    lambda a: a - a.mean(axis=-1, keepdims=True),
    lambda a: np.concatenate([a[..., 1:], a[..., :1]], axis=-1),
    lambda a: np.stack([a[..., 2], a[..., 0], -a[..., 1]], axis=-1),
    lambda a: np.logaddexp(0, a),
    lambda a: a.sum(axis=0, keepdims=True),
]
BINARY_STEPS = [
    np.add,
    np.multiply,
    np.subtract,
    lambda a, b: a / (2 + np.cos(b)),
    lambda a, b: np.arctan2(a, 2 + b * b),
    lambda a, b: np.einsum("...i,...i->...", a, b)[..., None] * W[0],
    lambda a, b: np.hypot(a, 1 + b * b),
    lambda a, b: a[..., :1] * b,
]


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=7,
    ),
    st.sampled_from([(3,), (1, 3), (4, 3), (2, 1, 3)]),
    st.integers(0, 2**16),
)
@settings(max_examples=200, deadline=None)
def test_random_compositions(steps, shape, seed):
    y = np.random.default_rng(seed).normal(size=shape)

    def f(y):
        terms = [y]
        for kind, i, j in steps:
            a, b = terms[i % len(terms)], terms[j % len(terms)]
            if kind < len(UNARY_STEPS):
                if kind == len(UNARY_STEPS) - 1 and a.ndim == 1:
                    continue
                terms.append(UNARY_STEPS[kind](a))
            else:
                terms.append(BINARY_STEPS[kind - len(UNARY_STEPS)](a, b))
        return terms[-1]

    assume(np.abs(f(y)).max() < 50)
    check(f, y) if np.abs(differences(f, [y])).max() < 50 else assume(False)
