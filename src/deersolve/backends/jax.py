"""JAX: Jacobians by linearisation, compiled loops, and a bounded cache of compiled solves."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import concrete_or_error
from jax.sharding import AxisType

from ..errors import mismatch
from . import registry
from ._jax_arguments import Arguments
from ._jax_directions import forward_mode, instantiated, moving
from ._jax_kept import Kept, modes
from ._jax_loops import JaxLoops
from ._jax_points import at_each_point, following
from ._jax_programs import Programs, callbacks, nested_constants, rebuilt, whole
from ._jax_reach import keeps_apart
from ._jax_solve import solve
from ._jax_sums import Looped
from .columns import passed, split_columns, split_rows
from .compilable import Solver
from .generic import Backend, Functions, Jacobians
from .namespace import Array, Tree
from .trees import each_record, field_names


def _register(cls: type) -> None:
    arrays, statics = field_names(cls)
    jax.tree_util.register_dataclass(cls, data_fields=arrays, meta_fields=statics)


each_record(_register)


class Jax(JaxLoops, Backend):
    """JAX arrays and tracers, on any device."""

    name = "jax"
    derivative = "automatic differentiation"
    compiles = True

    def __init__(self) -> None:
        self._compiled, self._evaluated = Kept(), Kept()

    def jacobians(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree = None) -> Jacobians:
        """Return ``f(*ys, x)`` and its Jacobians: forward mode at one point, mapped over all points.

        The directions are the same at every point, so that a product with weights is made once for all.
        """
        seeds = split_columns(jnp.eye(sum(y.shape[-1] for y in ys), dtype=ys[0].dtype), ys)
        ones = (1,) * (ys[0].ndim - 1)

        def columns(ys: tuple[Array, ...], x: Tree) -> Array:
            linear = jax.linearize(lambda *ys: f(*ys, x), *ys)[1]
            return jax.vmap(lambda *e: linear(*(d.reshape(*ones, -1) for d in e)), out_axes=-1)(*seeds)

        with forward_mode():
            return f(*ys, x), split_columns(at_each_point(columns, ys, x), ys)

    def along_seeds(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, seeds: Array) -> Jacobians:
        """Return ``f(*ys, x)`` and its derivatives along seeds of every signal, all points at once."""
        with forward_mode():
            fy, linear = jax.linearize(lambda *ys: f(*ys, x), *ys)
        every = jnp.kron(jnp.eye(len(ys), dtype=seeds.dtype), seeds)
        ones = (1,) * (ys[0].ndim - 1)
        directions = [part.reshape(-1, *ones, part.shape[-1]) for part in split_columns(every, ys)]
        rows = jax.vmap(lambda *d: linear(*map(jnp.broadcast_to, d, [y.shape for y in ys])), out_axes=-2)(*directions)
        return fy, split_rows(rows, len(ys))

    def keeps_apart(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, blocks: list[int]) -> bool | None:
        """Return whether no component of f knows one of y of another block, by the operations of f."""
        with forward_mode():
            return keeps_apart(f, ys, x, blocks)

    def rematerialised(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """Return ``jax.checkpoint(function)``."""
        return cast("Callable[..., Array]", jax.checkpoint(function))

    sums = staticmethod(Looped)

    def evaluated(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args)``; outside of ``jit`` compiled once for all functions of the same operations."""
        return self._evaluated.evaluated(function, *args) if self.is_concrete(args) else function(*args)

    def flatten(self, tree: Tree) -> tuple[list[Any], Any]:
        """Return the leaves of any pytree, and its form."""
        return jax.tree_util.tree_flatten(tree)  # type: ignore[no-any-return]

    def slice(self, array: Array, start: Any, length: int, axis: int) -> Array:
        """Return ``array[start : start + length]`` along ``axis``; ``start`` may be traced."""
        return jax.lax.dynamic_slice_in_dim(array, start, length, axis % array.ndim)

    def entries(self, array: Array, axis: int) -> Callable[[Any], Array]:
        """Return ``i -> array[i : i + 1]`` along ``axis``; i may be traced."""
        return lambda i: self.slice(array, i, 1, axis)

    def without_gradient(self, tree: Tree) -> Tree:
        """Stop the gradient of every array of the tree; what a user's own objects hold was given without one."""
        return jax.tree.map(lambda a: jax.lax.stop_gradient(a) if hasattr(a, "dtype") else a, tree)

    def following(self, value: Array, other: Array) -> Array:
        """Return the value with the derivative of another, which is not computed where nobody asks for one."""
        return cast("Array", following(value, other))

    def linear_solve(self, matrices: Array, rhs: Array) -> Array:
        """Solve ``(*S, n, n)`` systems; a singular one gives numbers that are not finite."""
        return solve(matrices, rhs)

    def on_host(self, function: Callable[..., Any], like: Array, *arrays: Array) -> Array:
        """Return what a function of NumPy arrays makes of these, by a callback for all that is mapped over."""
        shape = jax.ShapeDtypeStruct(like.shape, like.dtype)
        result: Array = jax.pure_callback(
            functools.partial(_of_numpy, function), shape, *arrays, vmap_method="broadcast_all"
        )
        return result

    def is_concrete(self, tree: Tree) -> bool:
        """Return whether no leaf is a tracer that hides its numbers."""
        return all(_is_concrete(a) for a in jax.tree.leaves(tree))

    def plain(self, array: Array, name: str) -> Array:
        """Return the array; refuse axes of a mesh that have to be named in every operation."""
        if AxisType.Explicit in jax.typeof(array).sharding.mesh.axis_types:
            advice = "Make it so: jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))."
            raise mismatch(name, "an array on a mesh with automatic axes", "one with explicit axes", advice)
        return array

    def to_numpy(self, array: Array) -> Any:
        """Return the numbers as a NumPy array: inside jit, operations on constants are traced too."""
        return np.asarray(concrete_or_error(None, array))

    def convert(self, value: Any, like: Array, dtype: Any) -> Array:
        """Return a JAX array."""
        return jnp.asarray(value, dtype=dtype)

    def accepts(self, value: Any) -> bool:
        """Return whether ``value`` is a NumPy array: JAX itself takes those."""
        return type(value).__module__.split(".")[0] == "numpy"

    def device(self, array: Array) -> Any:
        """Return the platform that JAX computes on; a tracer has no device of its own."""
        devices = () if isinstance(array, jax.core.Tracer) else tuple(array.devices())
        return devices[0] if devices else jax.devices()[0]

    def placement(self, array: Array) -> Any:
        """Return None: JAX places new arrays itself, and a tracer has no device."""
        return None

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Compute in the dtype of y0: JAX multiplies float32 matrices in TF32 on a GPU, if nobody has chosen."""
        with super().quiet(), _full_precision():
            yield

    def device_kind(self, array: Array) -> str:
        """Return "cpu" or "gpu"."""
        return "cpu" if self.device(array).platform == "cpu" else "gpu"

    @whole
    def jvp(self, function: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
        """Return ``jax.jvp(function, primals, tangents)``."""
        value, tangent = jax.jvp(function, primals, jax.tree.map(instantiated, tangents))
        return value, tangent

    moving = staticmethod(moving)

    @whole
    def inverse(
        self,
        apply: Callable[[Array], Array],
        solve: Callable[[Array], Array],
        transpose: Callable[[Array], Array],
        b: Array,
    ) -> Array:
        """Return ``solve(b)``, differentiated as the inverse of ``apply`` and transposed by ``transpose``."""
        x: Array = jax.lax.custom_linear_solve(apply, b, lambda _, r: solve(r), lambda _, c: transpose(c))
        return x

    @whole
    def pushforward(self, function: Callable[..., Array], primals: list[Array], directions: list[Array]) -> Array:
        """Return the derivatives of ``function(*primals)`` along m directions, by forward mode."""
        rows: Array = jax.vmap(lambda *d: jax.jvp(function, tuple(primals), d)[1])(*directions)
        return rows

    @whole
    def pullback(self, function: Callable[..., Array], primals: list[Array], cotangent: Array) -> list[Array] | None:
        """Return the derivatives of ``sum(cotangent * function(*primals))``, by reverse mode."""
        return list(jax.vjp(function, *primals)[1](cotangent))

    @whole
    def transposed(self, linear: Callable[[Array], Array], c: Array) -> Array:
        """Return the transpose of a linear function of arrays like c, applied to c."""
        (result,) = jax.linear_transpose(linear, c)(c)
        return cast("Array", result)

    def guarded(self, y: Array, usable: Array) -> Array:
        """Return y, whose derivatives pass :func:`passed`, as its transpose does."""

        def mask(change: Array) -> Array:
            return passed(change, usable)

        return self.inverse(lambda d: d, mask, mask, y)

    @whole
    def vmap(self, f: Callable[..., Array], args: tuple[Tree, ...]) -> Array:
        """Map f over the first axis of every array."""
        return jax.vmap(f)(*args)

    def compiled(self, function: Callable[..., Array], *static: str) -> Callable[..., Array]:
        """Return ``jax.jit(function)``."""
        return _jitted(function, static)

    @whole
    def call(self, solver: Solver, functions: Functions, arrays: Tree) -> Any:
        """Return what ``solver`` makes of the functions and arrays, compiled; y has the implicit derivative.

        Each function becomes a jaxpr whose constants (weights, data it closes over) are arguments of
        the compiled solve. The cache is keyed by those jaxprs, by what their nested calls hold, and by
        the solver: weights that changed never return an old answer, and equal functions compile once.

        Where Python can look at the numbers, a short program runs first, without what :meth:`rarely` is asked for. It
        tells whether the whole one is needed, which then takes its place.
        """
        made = {
            name: [jax.make_jaxpr(f, return_shape=True)(*args) for args in jax.eval_shape(calls)]
            for name, (f, calls) in functions.items()
        }
        traced = {name: [t for t, _ in group] for name, group in made.items()}
        trees = {name: [jax.tree.structure(out) for _, out in group] for name, group in made.items()}
        constants = {name: [t.consts for t in group] for name, group in traced.items()}
        own = Arguments(solver, arrays)

        def at(theta: Tree) -> tuple[Any, Any, Tree]:
            made, arrays = own.holding(*theta[1])
            return made, rebuilt(traced, theta[0], trees), arrays

        def run(constants: Tree, numbers: Tree) -> Any:
            theta = (constants, numbers)
            made, *given = at(jax.lax.stop_gradient(theta))
            result = made.solve(*given)
            y, corrected = _implicit(self, solver, at)(theta, result)
            return dataclasses.replace(result, y=y, y_corrected=corrected)

        jaxprs = [t.jaxpr for group in traced.values() for t in group]
        inner = [c for jaxpr in jaxprs for c in (*nested_constants(jaxpr), *callbacks(jaxpr))]
        text, fixed, called = own.described()
        given = (constants, own.numbers)
        if any(isinstance(c, jax.core.Tracer) for c in inner):
            return Programs(run, inner)(self.is_concrete(given), *given)
        shapes = jax.tree.map(lambda a: (jnp.shape(a), str(jnp.result_type(a))), given)
        texts = tuple(map(str, jaxprs))
        shown = (texts, tuple(map(tuple, trees.values())), text, fixed, str(shapes))
        key = (solver.key, *shown, modes(), tuple(id(c) for c in inner))
        programs = self._compiled.of(key, lambda: Programs(run, [*inner, *called]))
        return programs(self.is_concrete(given), *given)


def _of_numpy(function: Callable[..., Any], *given: Any) -> Any:
    return function(*map(np.asarray, given))


@functools.cache
def _jitted(function: Callable[..., Array], static: tuple[str, ...]) -> Callable[..., Array]:
    return cast("Callable[..., Array]", jax.jit(function, static_argnames=static))


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Forbid TF32, unless a precision was chosen: with it Newton's method does not come to rest."""
    with jax.default_matmul_precision(jax.config.jax_default_matmul_precision or "highest"):
        yield


def _implicit(backend: Jax, solver: Solver, at: Callable[[Tree], Any]) -> Callable[..., tuple[Array, Any]]:
    """Return a function of (theta, result) that gives y and y_corrected, with the derivatives of the solution.

    It does no work until one is asked for. The rule calls the function itself, so that y follows theta in derivatives
    of every order.
    """

    def known(theta: Tree, result: Any) -> tuple[Array, Any]:
        return result.y, result.y_corrected

    solution = jax.custom_jvp(known)

    def rule(primals: tuple[Tree, Any], tangents: tuple[Tree, Any]) -> tuple[Any, Any]:
        theta, result = primals
        y, corrected = solution(theta, result)
        here = dataclasses.replace(result, y=y, y_corrected=corrected)
        with _full_precision():
            return (y, corrected), solver.tangent(backend, at, theta, tangents[0], here)

    solution.defjvp(rule, symbolic_zeros=True)
    return cast("Callable[..., tuple[Array, Any]]", solution)


def _is_concrete(a: Any) -> bool:
    """Return whether Python may look at the numbers: also those of a tracer of eager grad or jvp."""
    if not isinstance(a, jax.core.Tracer):
        return True
    try:
        concrete_or_error(None, a)
    except jax.errors.ConcretizationTypeError:
        return False
    return True


registry.add("jax", Jax())
