"""Every way to run the affine recurrence against the loop, on every library."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deersolve.errors import InputError, UnknownKeyError
from deersolve.linalg.host import is_installed
from deersolve.linalg.scans import affine_scan, affine_scan_transposed, ways, which_scan
from deersolve.linalg.structure import BlockDiagonal, Dense, Diagonal, Structure, Zero

KINDS = {"dense": Dense, "diagonal": Diagonal, "block-diagonal": BlockDiagonal}
LIBRARIES = ("numpy", "torch", "jax", "array_api_strict", "array_api_strict:device1")
NUMPY_WAYS = ("blelloch", "lapack", "numba")
NEEDS = {"numba": "numba", "lapack": "scipy", "lax": "jax", "associative": "jax"}


@pytest.fixture(scope="module", autouse=True)
def _float64_in_jax():
    if not importlib.util.find_spec("jax"):
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def need(way: str) -> None:
    if way in NEEDS:
        pytest.importorskip(NEEDS[way])


def coefficients(rng: np.random.Generator, kind: str, batch: tuple[int, ...], T: int, n: int) -> Any:
    """Draw contractive coefficients."""
    if kind == "dense":
        return rng.normal(size=(*batch, T, n, n)) * (0.4 / n)
    if kind == "diagonal":
        return rng.uniform(-0.5, 0.5, size=(*batch, T, n))
    size = 2 if n % 2 == 0 else 1
    return rng.normal(size=(*batch, T, n // size, size, size)) * 0.2


def draw(seed: int, kind: str, batch: tuple[int, ...], T: int, n: int, lags: tuple[int, ...]) -> Any:
    """Draw (As, b), with NaN wherever A is not used."""
    rng = np.random.default_rng(seed)
    As = []
    for k in lags:
        values = coefficients(rng, kind, batch, T, n)
        np.moveaxis(values, len(batch), 0)[:k] = np.nan
        As.append(KINDS[kind](values))
    return tuple(As), rng.normal(size=(*batch, T, n))


def loop(As: tuple[Structure, ...], lags: tuple[int, ...], b: Any) -> Any:
    """The definition, written once more."""
    y, full = np.array(b), [A.to_dense() for A in As]
    for i in range(b.shape[-2]):
        for A, k in zip(full, lags, strict=True):
            if i >= k:
                y[..., i, :] += np.einsum("...rc,...c->...r", A[..., i, :, :], y[..., i - k, :])
    return y


def convert(name: str, tree: Any) -> Any:
    """Move a NumPy array or structure to a library."""
    if isinstance(tree, tuple):
        return tuple(convert(name, part) for part in tree)
    if isinstance(tree, Structure):
        return type(tree)(convert(name, tree.values))
    library, _, device = name.partition(":")
    xp = pytest.importorskip({"jax": "jax.numpy"}.get(library, library))
    if device:
        return xp.asarray(tree.tolist(), dtype=getattr(xp, tree.dtype.name), device=xp.Device(device))
    return xp.asarray(tree)


def to_numpy(a: Any) -> Any:
    """Move an array of any library and device to NumPy."""
    if type(a).__module__.startswith("array_api_strict"):
        import array_api_strict

        return np.asarray(a.to_device(array_api_strict.Device("CPU_DEVICE")))
    return np.asarray(a)


cases = {
    "seed": st.integers(0, 2**32 - 1),
    "kind": st.sampled_from(sorted(KINDS)),
    "batch": st.sampled_from([(), (1,), (3,), (2, 2)]),
    "T": st.sampled_from([1, 2, 3, 4, 5, 17, 64, 250]),
    "n": st.sampled_from([1, 2, 3, 4, 6]),
    "lags": st.sampled_from([(1,), (2,), (5,), (1, 3), (3, 1), (2, 2), (1, 200)]),
}


@pytest.mark.parametrize("way", ["sequential", *NUMPY_WAYS])
@settings(max_examples=settings.default.max_examples * 12 // 5, deadline=None)
@given(**cases)
def test_every_way_equals_the_loop(way, seed, kind, batch, T, n, lags):
    need(way)
    As, b = draw(seed, kind, batch, T, n, lags)
    expected = loop(As, lags, b)
    used = {k for k in lags if k < T}
    size = (1 if kind == "diagonal" or n == 1 else 2 if kind == "block-diagonal" else n) * max(used, default=1)
    if way == "blelloch" and size > 16 and len(used) > 1:
        with pytest.raises(InputError, match="max"):
            affine_scan(As, lags, b, way=way)
        return
    y = affine_scan(As, lags, b, way=way)
    assert y.dtype == b.dtype
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("way", [None, "sequential", *NUMPY_WAYS])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lags", [(1,), (3,), (1, 3)])
def test_transposed_is_the_adjoint(way, kind, lags):
    need(way)
    As, v = draw(1, kind, (3,), 40, 4, lags)
    u = np.random.default_rng(2).normal(size=v.shape)
    if way == "blelloch":
        As, lags = As[:1], lags[:1]
    left = np.sum(u * affine_scan(As, lags, v, way=way))
    right = np.sum(affine_scan_transposed(As, lags, u, way=way) * v)
    assert abs(left - right) <= 1e-12 * np.sum(abs(u * v))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lags", [(1,), (2,), (1, 3), (4, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library(library, kind, lags, dtype):
    As, b = draw(3, kind, (2,), 23, 4, lags)
    expected = loop(As, lags, b)
    As = tuple(type(A)(A.values.astype(dtype)) for A in As)
    there = convert(library, (As, b.astype(dtype)))
    tolerance = 200 * np.finfo(dtype).eps
    for way in (None, "sequential"):
        y = affine_scan(there[0], lags, there[1], way=way)
        lam = affine_scan_transposed(there[0], lags, there[1], way=way)
        assert type(y) is type(there[1])
        assert y.dtype == there[1].dtype
        assert y.device == there[1].device
        np.testing.assert_allclose(to_numpy(y), expected, rtol=tolerance, atol=tolerance)
        assert lam.shape == y.shape


@pytest.mark.parametrize("way", ["lax", "associative", "blelloch", "sequential"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lags", [(1,), (2,), (1, 3)])
def test_jax_jitted(way, kind, lags):
    jax = pytest.importorskip("jax")
    As, b = draw(4, kind, (2,), 19, 4, lags)
    make, values = type(As[0]), tuple(jax.numpy.asarray(A.values) for A in As)

    @jax.jit
    def run(values, b):
        return affine_scan(tuple(make(v) for v in values), lags, b, way=way)

    np.testing.assert_allclose(run(values, b), loop(As, lags, b), rtol=1e-12, atol=1e-13)


def test_jax_float64_associative_scan_inside_a_compiled_loop():
    """Jitted float64 matrix products in a scan were once wrong (jax#21628)."""
    jax = pytest.importorskip("jax")
    As, b = draw(5, "dense", (), 300, 4, (1,))
    A = jax.numpy.asarray(As[0].values)

    def body(carry, shift):
        return carry, affine_scan((Dense(A),), (1,), b + shift, way="associative")

    ys = jax.jit(lambda: jax.lax.scan(body, 0.0, jax.numpy.arange(3.0))[1])()
    for shift in range(3):
        np.testing.assert_allclose(ys[shift], loop(As, (1,), b + shift), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("way", ["lax", "associative"])
def test_jax_gradient_is_the_adjoint(way):
    jax = pytest.importorskip("jax")
    As, b = draw(6, "dense", (), 20, 3, (1,))
    A = Dense(jax.numpy.asarray(np.nan_to_num(As[0].values)))
    gradient = jax.grad(lambda b: jax.numpy.sum(affine_scan((A,), (1,), b, way=way)))(b)
    expected = affine_scan_transposed(As, (1,), np.ones_like(b))
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


@pytest.mark.parametrize("way", [None, "sequential", "blelloch"])
@pytest.mark.parametrize("T", [1, 2, 7, 40])
def test_torch_autograd(way, T):
    torch = pytest.importorskip("torch")
    As, b = draw(7, "dense", (2,), T, 3, (1,))
    values = torch.from_numpy(As[0].values).requires_grad_()
    rhs = torch.from_numpy(b).requires_grad_()
    affine_scan((Dense(values),), (1,), rhs, way=way).sum().backward()
    lam = affine_scan_transposed(As, (1,), np.ones_like(b))
    y = loop(As, (1,), b)
    np.testing.assert_allclose(rhs.grad, lam, rtol=1e-12)
    if T > 1:
        outer = lam[:, 1:, :, None] * y[:, :-1, None, :]
        np.testing.assert_allclose(values.grad[:, 1:], outer, rtol=1e-11, atol=1e-14)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_torch_transforms_take_a_differentiable_way():
    torch = pytest.importorskip("torch")
    As, b = draw(8, "dense", (3,), 30, 2, (1,))
    values, rhs = torch.from_numpy(As[0].values), torch.from_numpy(b)
    each = torch.func.vmap(lambda v, r: affine_scan((Dense(v),), (1,), r))(values, rhs)
    np.testing.assert_allclose(each, loop(As, (1,), b), rtol=1e-12)

    def scan(r):
        return affine_scan((Dense(values),), (1,), r)

    y, tangent = torch.func.jvp(scan, (rhs,), (rhs,))
    np.testing.assert_allclose(tangent, y, rtol=1e-12)
    with torch.no_grad():
        assert not scan(rhs.requires_grad_()).requires_grad


@pytest.mark.parametrize("way", [None, "sequential", *NUMPY_WAYS])
@pytest.mark.parametrize("batch", [(), (1, 1), (3,), (2, 1), (1, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_batch_of_the_coefficients_broadcasts(way, batch, kind):
    need(way)
    rng = np.random.default_rng(9)
    As, _ = draw(10, kind, batch, 12, 4, (1, 2))
    b = rng.normal(size=(2, 3, 12, 4))
    y = affine_scan(As, (1, 2), b, way=way)
    np.testing.assert_allclose(y, loop(As, (1, 2), b), rtol=1e-12, atol=1e-13)


def test_mixed_structures_and_zero_terms():
    rng = np.random.default_rng(11)
    kinds = [coefficients(rng, k, (), 15, 4) for k in ("dense", "diagonal", "block-diagonal")]
    dense, diagonal, block = Dense(kinds[0]), Diagonal(kinds[1]), BlockDiagonal(kinds[2])
    zero, b = Zero(np.zeros((15, 4))), rng.normal(size=(15, 4))
    for As in [(dense, diagonal, zero), (block, diagonal, zero), (block, dense, diagonal)]:
        np.testing.assert_allclose(affine_scan(As, (1, 2, 4), b), loop(As, (1, 2, 4), b), rtol=1e-12)
    assert affine_scan((zero,), (1,), b) is b


@pytest.mark.parametrize("shape", [(0, 2), (5, 0), (0, 5, 2)])
def test_nothing_to_scan(shape):
    b = np.zeros(shape)
    assert affine_scan((Diagonal(b),), (1,), b).shape == shape
    assert affine_scan_transposed((Diagonal(b),), (1,), b).shape == shape


@pytest.mark.parametrize("way", NUMPY_WAYS)
@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 16])
@pytest.mark.parametrize("kind", ["dense", "diagonal"])
def test_long_recurrences(way, n, kind):
    need(way)
    As, b = draw(12, kind, (), 20_011, n, (1,))
    reference = affine_scan(As, (1,), b, way="sequential")
    np.testing.assert_allclose(affine_scan(As, (1,), b, way=way), reference, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        affine_scan_transposed(As, (1,), b, way=way),
        affine_scan_transposed(As, (1,), b, way="sequential"),
        rtol=1e-11,
        atol=1e-13,
    )


def test_not_a_number_spreads_forward_only():
    As, b = draw(13, "dense", (2,), 30_000, 2, (1,))
    b[0, 10_000] = np.nan
    for way in (None, "sequential"):
        y = affine_scan(As, (1,), b, way=way)
        assert np.isfinite(y[0, :10_000]).all()
        assert np.isnan(y[0, 10_000:]).all()
        assert np.isfinite(y[1]).all()


def test_wrong_calls_say_what_is_expected():
    As, b = draw(14, "dense", (), 5, 2, (1,))
    with pytest.raises(UnknownKeyError, match="Did you mean 'sequential'"):
        affine_scan(As, (1,), b, way="sequentail")
    with pytest.raises(InputError, match="lags: expected"):
        affine_scan(As, (1, 2), b)
    with pytest.raises(InputError, match="at least 1"):
        affine_scan(As, (0,), b)
    with pytest.raises(InputError, match="Dense coefficients"):
        affine_scan(As, (1,), b[:4])
    with pytest.raises(InputError, match="broadcasts"):
        affine_scan(draw(15, "dense", (2,), 5, 2, (1,))[0], (1,), np.zeros((3, 5, 2)))


def test_which_scan_names_registered_ways():
    assert set(ways.keys()) == {"associative", "blelloch", "cuda", "lapack", "lax", "numba", "sequential"}
    assert which_scan("dense", 4, (1,), 1000, 1, "jax", "cpu", "float32")[0] == "lax"
    assert which_scan("dense", 4, (1,), 1000, 1, "jax", "gpu", np.float32)[0] == "associative"
    assert which_scan("dense", 4, (1,), 1000, 1, "array_api_strict", "cpu", "float32")[0] == "blelloch"
    assert which_scan("dense", 4, (1, 170), 1000, 1, "cupy", "cuda", "float32")[0] == "sequential"
    assert which_scan("zero", 4, (1,), 1000, 1, "numpy", "cpu", "float64")[0] == "none"
    for n in (64, 256):  # a diagonal kernel writes out no products, so that n is no limit
        expected = ("numba",) if is_installed("numba") else ("lapack", "sequential")
        assert which_scan("diagonal", n, (1,), 512, 8, "torch", "cpu", "float32")[0] in expected
    for n in (1, 4, 64):
        name, why = which_scan("dense", n, (1,), 100_000, 1, "numpy", "cpu", "float64")
        assert callable(ways[name])
        assert why


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("recorded", [False, True])
def test_the_loop_runs_on_tensors_of_every_dtype(dtype, recorded):
    torch = pytest.importorskip("torch")
    b = torch.ones((4, 2), dtype=getattr(torch, dtype), requires_grad=recorded)
    y = affine_scan((Diagonal(torch.full_like(b.detach(), 0.5)),), (1,), b, way="sequential")
    assert (y.dtype, y.requires_grad) == (b.dtype, recorded)
    assert y[:, 0].tolist() == [1.0, 1.5, 1.75, 1.875]


def test_importing_loads_no_array_library():
    libraries = {"numpy", "scipy", "torch", "jax", "numba", "array_api_compat"}
    code = f"import sys, deersolve.linalg.scans; print(sorted({libraries} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
