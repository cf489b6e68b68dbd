"""The primitives in pure Array API, with Jacobians by dual numbers; other backends refine them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import InputError
from . import registry
from .columns import split_columns, split_rows
from .compilable import Solver
from .loops import Loops
from .namespace import Array, Tree, array_namespace
from .sums import Stages, Sums
from .trees import Form, stacked, tree_leaves, tree_map

Functions = dict[str, tuple[Callable[..., Any], Callable[[], list[tuple[Any, ...]]]]]
"""A user's functions by name, each with what makes the arguments it will be called with."""

SMALL = 32  # rows of a matrix that a GPU's matmul is slow for
ON_HOST = (
    "a solve on the host: expected arrays of numbers; received some that a transformation follows. On PyTorch use "
    "backward() instead of torch.func or forward mode, a batch axis instead of vmap, or a rule that does not leave the "
    "library (laplace2d.krylov)."
)
Jacobians = tuple[Array, tuple[Array, ...]]
Deferred = tuple[Array, Callable[[], tuple[Array, ...]]]
"""f at every grid point, and what gives d f / d y_p when it is asked for, of n components at a point or of all."""
Later = tuple[Tree, Callable[[Tree], Any]]
"""Arrays, and what makes of them the inverse of a linear operator and its transpose, both as functions."""


class Backend(Loops):
    """What an array library must supply for every algorithm of the package to run on it."""

    name = "generic"
    namespaces: tuple[str, ...] = ()  # of a backend that is not built in: by whose __name__ its arrays are known
    derivative = "dual numbers"
    records = False  # whether arrays carry a graph of what they were made from
    compiles = False  # whether call() runs where Python cannot look
    in_cache: int | None = None  # the numbers of an intermediate result above which it pays to work in parts

    def owns(self, array: Any) -> bool:
        """Return whether an array is of this library: it is asked once about each type, if it is not built in."""
        made = getattr(array, "__array_namespace__", None)
        return made is not None and getattr(made(), "__name__", "") in self.namespaces

    def jacobians(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree = None) -> Jacobians:
        """Return ``f(*ys, x)`` and d f / d y_p at every grid point, fused.

        Parameters
        ----------
        f : callable
            A function of P arrays ``(*S, n)`` and of x that acts on every point by itself.
        ys : tuple of array, each of shape (*S, n_p)
            Where to evaluate it.
        x : tree of array, each of the rank of ys
            What else it is given; axes of S may be 1.

        Returns
        -------
        fy : array, shape (*S, n)
        jacobians : tuple of array, each of shape (*S, n, n_p)
        """
        from .dual import value_and_tangents

        fy, tangents = value_and_tangents(lambda *ys: f(*ys, x), ys)
        xp = array_namespace(fy)
        return fy, split_columns(xp.moveaxis(tangents, 0, -1), ys)

    by_rows = False  # whether derivatives along seeds are the seeds times the Jacobians, else those times the seeds

    def along_seeds(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, seeds: Array) -> Jacobians:
        """Return ``f(*ys, x)`` and each d f / d y_p times the seeds (k, n), or those times it, as rows (*S, k, n)."""
        from .dual import value_and_tangents

        fy, tangents = value_and_tangents(lambda *ys: f(*ys, x), ys, seeds)
        return fy, split_rows(array_namespace(fy).moveaxis(tangents, 0, -2), len(ys))

    def keeps_apart(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, blocks: list[int]) -> bool | None:
        """Return whether no component of f knows one of y of another block, at any y; None if numbers have to tell."""
        return None

    def rematerialised(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """Return the function, of which a graph of derivatives keeps the arguments only."""
        return function

    def weightless(self, rows: Array) -> Array:
        """Return an array in the place of ``rows`` in a graph of derivatives; its numbers are not used."""
        return rows

    def evaluated(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args)``, of arrays, compiled where the library compiles."""
        return function(*args)

    def flatten(self, tree: Tree) -> tuple[list[Any], Any]:
        """Return the leaves of a tree, and its form, whose ``unflatten`` makes a tree of leaves."""
        return tree_leaves(tree), Form(tree)

    def cell(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return a layer of the library that takes a step as ``f(carry, x) -> (carry, y)``; others as they are."""
        return f

    def sums(self, rows: Sequence[Sequence[float]], like: Array) -> Sums:
        """Return what holds arrays like ``like`` and sums them by rows of weights."""
        return Sums(rows, like)

    def undivided(self, numbers: int) -> contextlib.AbstractContextManager[Any]:
        """Return a context for work on arrays of so many numbers, which are not to be divided where those are few."""
        return contextlib.nullcontext()

    def stages(self, rows: Sequence[Sequence[float]], like: Array) -> Stages:
        """Return what holds the stages of a step of one element, like ``like``, and sums them by rows of weights."""
        return Stages(rows, like)

    def slice(self, array: Array, start: Any, length: int, axis: int) -> Array:
        """Return ``array[start : start + length]`` along ``axis``; ``start`` may be traced."""
        where = [slice(None)] * array.ndim
        where[axis] = slice(start, start + length)
        return array[tuple(where)]

    def entries(self, array: Array, axis: int) -> Callable[[Any], Array]:
        """Return what gives ``array[i : i + 1]`` along ``axis`` for each i, at no cost to speak of."""
        xp = array_namespace(array)
        entries: list[Array] = xp.unstack(xp.expand_dims(array, axis=axis), axis=axis - 1)
        return entries.__getitem__

    def without_gradient(self, tree: Tree) -> Tree:
        """Return the same values, cut from any graph of derivatives."""
        return tree

    def following(self, value: Array, other: Array) -> Array:
        """Return the value with the derivative of another."""
        return value + (other - self.without_gradient(other))

    def matvec(self, matrices: Array, v: Array) -> Array:
        """Return the products of ``(*S, n, n)`` with ``(*S, n)``, on a GPU by one sum unless n is large.

        There libraries multiply many small matrices at a fraction of the speed of memory, and may round to TF32.
        """
        xp = array_namespace(matrices, v)
        if matrices.shape[-2:] == (1, 1):
            return matrices[..., 0] * v
        if matrices.shape[-1] <= SMALL and self.device_kind(matrices) == "gpu":
            return xp.sum(matrices * v[..., None, :], axis=-1)
        return xp.matmul(matrices, v[..., None])[..., 0]

    def on_host(self, function: Callable[..., Any], like: Array, *arrays: Array) -> Array:
        """Return what a function of NumPy arrays makes of these, an array like ``like``; no derivative passes it."""
        if not self.is_concrete(arrays):
            raise InputError(ON_HOST)
        return self.convert(function(*(self.to_numpy(a) for a in arrays)), like, like.dtype)

    def linear_solve(self, matrices: Array, rhs: Array) -> Array:
        """Solve ``matrices @ z = rhs`` for ``(*S, n, n)`` and ``(*S, n, k)``; a singular one gives NaN."""
        xp = array_namespace(matrices, rhs)
        if matrices.shape[-1] == 1:
            return rhs / matrices
        try:
            return xp.linalg.solve(matrices, rhs)
        except Exception as error:
            if "ingular" not in f"{type(error).__name__} {error}":
                raise
            regular = xp.isfinite(1 / xp.linalg.det(matrices))[..., None, None]
            eye = xp.zeros_like(matrices) + xp.eye(
                matrices.shape[-1], dtype=matrices.dtype, device=self.device(matrices)
            )
            safe = xp.where(regular, matrices, eye)
            return xp.where(regular, xp.linalg.solve(safe, rhs), xp.nan)

    def frozen(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which no graph of derivatives is recorded."""
        return contextlib.nullcontext()

    def is_concrete(self, tree: Tree) -> bool:
        """Return whether every array of the tree holds numbers that Python may look at."""
        return True

    def numbers(self, t: Array, like: Array) -> list[float] | None:
        """Return times (N,) of float64 as numbers of Python, where sums of ``like`` with those are as with arrays."""
        return None

    def to_numpy(self, array: Array) -> Any:
        """Return the numbers of a concrete array as a NumPy array, in any context and from any device."""
        import numpy as np

        return np.from_dlpack(array)

    def plain(self, array: Array, name: str) -> Array:
        """Return what a user gave in the form that all functions take; raise where there is no such form."""
        return array

    def is_array(self, value: Any) -> bool:
        """Return whether the value is an array of this library."""
        from . import backend_of

        return hasattr(value, "shape") and backend_of(value) is self

    def convert(self, value: Any, like: Array, dtype: Any) -> Array:
        """Return ``value`` as an array of this library beside ``like``; numbers and lists are welcome."""
        xp = array_namespace(like)
        return xp.asarray(value, dtype=dtype, device=self.device(like))

    def listed(self, numbers: Any, like: Array) -> Array:
        """Return a list of numbers as an array of the kind of ``like``, fast."""
        return self.convert(numbers, like, like.dtype)

    def accepts(self, value: Any) -> bool:
        """Return whether an array of another library may stand beside those of this one."""
        return False

    def device(self, array: Array) -> Any:
        """Return the device of an array, in the library's own terms."""
        import array_api_compat

        return array_api_compat.device(array)

    def placement(self, array: Array) -> Any:
        """Return what to pass as ``device=`` for a new array beside ``array``."""
        return self.device(array)

    def device_kind(self, array: Array) -> str:
        """Return "cpu" or "gpu"."""
        return "gpu" if "cuda" in str(self.device(array)).lower() else "cpu"

    def recorded(self, compute: Callable[[], Array]) -> Array | None:
        """Return what ``compute`` returns if somebody may ask for derivatives of it, else None."""
        return None

    def orders(self, recorded: Array) -> int:
        """Return the highest derivative that may be asked of what :meth:`recorded` returned."""
        return 1

    def deferred(self, f: Callable[..., Array], ys: tuple[Array, ...]) -> Deferred | None:
        """Return ``f(*ys)`` and its Jacobians later, where a graph keeps what they need, else None."""
        return None

    def implicit(self, y: Array, r: Array, later: Later | None, again: Callable[[Array], Any] | None) -> Any:
        """Return y as the solution of ``residual(y) = 0`` on the graph, or None where the graph cannot hold it.

        ``r`` is the residual at y, recorded; ``later`` gives the inverse of ``-d residual / d y`` and its transpose.
        Where two derivatives may be asked for, ``again`` gives both at another y; each has its price in memory.
        """
        return None

    def pushforward(self, function: Callable[..., Array], primals: list[Array], directions: list[Array]) -> Array:
        """Return the derivatives of ``function(*primals)`` along m directions, each ``(m, *S)``, stacked.

        By dual numbers; by central differences, to about eps^(2/3), where those cannot follow the function.
        """
        from .dual import DualArray

        xp, m = array_namespace(primals[0]), directions[0].shape[0]
        try:
            out = function(*(DualArray(a, d) for a, d in zip(primals, directions, strict=True)))
            tangent = out.tangent if isinstance(out, DualArray) else xp.zeros_like(out)
            return xp.broadcast_to(tangent, (m, *out.shape))
        except (TypeError, ValueError, AttributeError):
            rows = [self._difference(function, primals, [d[k, ...] for d in directions]) for k in range(m)]
            return xp.stack(rows)

    @staticmethod
    def _difference(function: Callable[..., Array], primals: list[Array], direction: list[Array]) -> Array:
        xp = array_namespace(primals[0])
        h = float(xp.finfo(primals[0].dtype).eps) ** (1 / 3)
        size = max((float(xp.max(xp.abs(a))) for a in primals if 0 not in a.shape), default=1.0) or 1.0
        most = max((float(xp.max(xp.abs(d))) for d in direction if 0 not in d.shape), default=1.0) or 1.0
        h = h * size / most
        up, down = (function(*(a + s * h * d for a, d in zip(primals, direction, strict=True))) for s in (1.0, -1.0))
        return (up - down) / (2 * h)

    def pullback(self, function: Callable[..., Array], primals: list[Array], cotangent: Array) -> list[Array] | None:
        """Return the derivatives of ``sum(cotangent * function(*primals))``, or None without reverse mode."""
        return None

    def beside(self, array: Array, others: Any) -> Array:
        """Return the array in the kind of number of the others: a dual one where they are."""
        from .dual import DualArray, tangent_of

        duals = [a for a in others if isinstance(a, DualArray)]
        return DualArray(array, tangent_of(array, duals[0])) if duals else array

    def refused(self, values: Array, like: Array, reason: str) -> Array:
        """Return the values on the graph of ``like``; a derivative of them raises :class:`InputError`."""
        return values

    def guarded(self, y: Array, usable: Array) -> Array:
        """Return y; derivatives of batch elements that are not usable are NaN, or zero where nothing asks for them."""
        return y

    def vmap(self, f: Callable[..., Array], args: tuple[Tree, ...]) -> Array:
        """Map f over the first axis of every array of ``args``; here a loop."""
        count = tree_leaves(args)[0].shape[0]
        rows = [f(*(tree_map(lambda a, i=i: a[i, ...], arg) for arg in args)) for i in range(count)]
        return stacked(rows)

    def call(self, solver: Solver, functions: Functions, arrays: Tree) -> Any:
        """Return what ``solver`` makes of the functions and arrays; a backend with a compiler compiles it."""
        plain = {name: f for name, (f, _) in functions.items()}
        result = solver.solve(plain, arrays)
        return solver.attach(plain, arrays, result)

    def compiled(self, function: Callable[..., Array], *static: str) -> Callable[..., Array]:
        """Return a function of arrays, compiled as a whole where the library can; the named arguments are no arrays."""
        return function

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hold back the warnings of overflow and NaN, of NumPy or of a library built on it: the status reports them."""
        import numpy as np

        with np.errstate(all="ignore"):
            yield


registry.add("generic", Backend())
