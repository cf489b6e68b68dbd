"""Any linear operator, from matrices."""

from __future__ import annotations

import copy
import math
from typing import Any

from ..backends import backend_of
from ..backends.given import beside
from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import record, tree_map
from ..errors import InputError, check_whole, mismatch
from ..grids.shifters import identity
from ..linalg.host import constant
from ..linalg.matrices import Matrix, read
from ..linalg.matrix_lu import Equations, largest_of_rows
from ..linalg.structure import Dense, Diagonal, Structure
from .base import Rule

NAMES = ("given", "shifts")
PAIR = "What a signal is added is declared: shifts=((ds.identity, 0.0),)."


@record
class Known:
    """What is added to the rows, and to each shifted signal; None for nothing."""

    given: Array | None
    shifts: tuple[Array | None, ...]


class Operator(Rule):
    """L y = M f(S_1 y + s_1, ..., S_P y + s_P, x, params) + given, of matrices L, M, S_p on the points of a grid.

    For :class:`Problem`: ``ds.Problem(f, shift=op.shifts, inverse=op)``.

    Parameters
    ----------
    L : matrix, shape (N, N) or (N n, N n)
        On the N points of the grid, row by row for several axes. A matrix of N rows acts on each of the n components of
        y alike; one of N n rows on all of them, the components of a point next to each other. Dense, SciPy sparse, or a
        linear function: a ``scipy.sparse.linalg.LinearOperator``, or a callable of a NumPy array of ``shape``, of which
        the matrix is made by N calls.
    M : matrix, optional
        What each row takes of f; by default the identity. A row of zeros is for a condition: ``L y = given`` alone.
    shifts : tuple of ds.identity, matrix or (matrix, array)
        Each S_p, or the pair of S_p and what is added to the signal, s_p, which broadcasts to y.
    shape : int or tuple of int, optional
        The number of points on each axis R of the grid; by default one axis of as many points as L has rows.
    given : array, optional
        What is added to the rows, such as values at an end: it broadcasts to y, (*B, *R, n).

    Attributes
    ----------
    shifts : tuple of callable
        The shifters S_p, for ``Problem(shift=...)``.

    Raises
    ------
    InputError
        If a matrix has another size, is not finite, or is a function that is not linear; if a row of L and M or a point
        is in no equation. From ``solve``: if ``y_guess`` does not have the shape (*B, *R, n).

    Notes
    -----
    y_guess is always needed: it tells the library, the dtype, the batch and n. The problem's ``boundary`` takes the
    place of ``given``, or as a dict ``{"given": ..., "shifts": (s_1, ..., s_P)}`` of both (None for nothing); it may
    have batch axes. Derivatives pass through ``given`` and s_p on JAX and PyTorch, and by ``ds.sensitivity`` and
    ``ds.adjoint`` of ``"boundary"`` on every library. The matrices are constants.

    The linear equations are solved on the host, in float64, by LAPACK for small, full and banded matrices and by
    SuperLU for others, with steps of refinement; where the matrix is singular to working precision the status is
    SINGULAR. Factors are kept for the same G. Products with the matrices stay in the library.

    References
    ----------
    Lim, Zhu, Selfridge, Kasim, arXiv 2309.12252, equations 1 to 3.

    Examples
    --------
    y'' = exp(y), y(0) = y(1) = 0, on the points between:

    >>> import numpy as np
    >>> import deersolve as ds
    >>> h = 0.01
    >>> L = (np.eye(99, k=1) - 2 * np.eye(99) + np.eye(99, k=-1)) / h**2
    >>> op = ds.Operator(L)
    >>> bratu = ds.Problem(lambda y, x, params: np.exp(y), shift=op.shifts, inverse=op)
    >>> y = ds.solve(bratu, np.zeros((99, 1))).y
    >>> bool(np.abs(L @ y - np.exp(y)).max() < 1e-10)
    True
    """

    axes: int
    key = "operator"
    structures = (Dense, Diagonal)
    exact = True
    doubt = ""

    def __init__(
        self, L: Any, M: Any = None, shifts: Any = (identity,), *, shape: Any = None, given: Any = None
    ) -> None:
        sizes = None if shape is None else _sizes(shape)
        L = read(L, "L", sizes)
        self.shape = (L.shape[0],) if sizes is None else sizes
        M = None if M is None else read(M, "M", self.shape)
        pairs = [_pair(S, f"shifts[{p}]", self.shape) for p, S in enumerate(_listed(shifts))]
        self.axes: int = len(self.shape)
        self.given, self.added = given, tuple(s for _, s in pairs)
        self._check({"L": L, "M": M, **{f"shifts[{p}]": S for p, (S, _) in enumerate(pairs)}})
        self.L, self.M = Matrix(L, self.axes), None if M is None else Matrix(M, self.axes)
        self.unit = largest_of_rows(L).reshape(*self.shape, -1)
        Ss = tuple(S for S, _ in pairs)
        self.equations = Equations(L, M, Ss, math.prod(self.shape))
        self.shifts = tuple(
            identity if S is None and s is None else Shifted(p, None if S is None else Matrix(S, self.axes))
            for p, (S, s) in enumerate(pairs)
        )

    def in_pairs(self, paired: Any, boundary: Any) -> tuple[Rule, Any]:
        """Return the same for pairs: a real matrix acts on real and imaginary parts alike."""
        if self.components != 1:
            received = f"one on {self.components} components"
            raise mismatch("a complex state", "matrices of as many rows as there are points", received)
        new = copy.copy(self)
        new.given, new.added = paired(self.given), tuple(map(paired, self.added))
        named = boundary if isinstance(boundary, dict) else {"given": boundary}
        made = {k: tuple(map(paired, v)) if k == "shifts" else paired(v) for k, v in named.items()}
        return new, None if boundary is None else made

    def prepared(self, boundary: Any, guess: Array) -> Any:
        """Return what is given as arrays beside the guess; raise if a shape does not fit."""
        by, (*R, n) = backend_of(guess), guess.shape[-1 - self.axes :]
        if guess.ndim <= self.axes or tuple(R) != self.shape:
            expected = f"shape (*B, {', '.join(map(str, self.shape))}, n): the grid of the operator, and n components"
            is_wide = math.prod(guess.shape[-2:]) == self.shape[0]
            advice = f"Of matrices on points and components give shape={guess.shape[-2]}." if is_wide else ""
            raise mismatch("y_guess", expected, tuple(guess.shape), advice)
        if self.components not in (1, n):
            raise mismatch("y_guess", f"n = {self.components} components, as the matrices have", f"n = {n}")

        def array(a: Any) -> Array | None:
            return a if a is None else beside(a, guess, by, "boundary")

        named = self._by_name(boundary)
        arrays = {k: tuple(map(array, v)) if k == "shifts" else array(v) for k, v in named.items()}
        return self.laid(arrays, guess)

    def laid(self, named: Any, guess: Array) -> Known:
        """Return what is given, arrays beside the guess by their names, with what the operator has itself."""
        named, by = self._by_name(named), backend_of(guess)

        def own(a: Any, name: str) -> Array:
            return a if a is None or name in named else beside(constant(a, guess), guess, by, name)

        given = own(named.get("given", self.given), "given")
        added = [own(s, "shifts") for s in named.get("shifts", self.added)]
        return Known(_over(given, guess, "given"), tuple(_over(s, guess, "shifts") for s in added))

    def residual(self, y: Array, fy: Array, *, grid: Any, boundary: Known, **kw: Any) -> Array:
        """Return ``M f + given - L y``, each row in the unit of y: over the largest of its entries in L."""
        rows = (fy if self.M is None else self.M(fy)) - self.L(y)
        return self._in_unit(rows if boundary.given is None else rows + boundary.given)

    def magnitude(self, y: Array, fy: Array, *, grid: Any, boundary: Known) -> Array:
        """Return ``|M| fy + |given| + |L| y``."""
        terms = (fy if self.M is None else self.M.sizes(fy)) + self.L.sizes(y)
        return self._in_unit(terms if boundary.given is None else terms + array_namespace(y).abs(boundary.given))

    def _in_unit(self, rows: Array) -> Array:
        return rows / constant(self.unit, rows)

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Any, boundary: Any) -> Array:
        """Return delta to roundoff; NaN for an element whose matrix is singular."""
        return self.equations.solve(_entries(Gs), r * constant(self.unit, r))

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Any, boundary: Any) -> Array:
        """Return u by the transposed equations, likewise."""
        return self.equations.solve(_entries(Gs), c, transposed=True) * constant(self.unit, c)

    def weights(self, u: Array, *, grid: Any = None, boundary: Any = None) -> Array:
        """Return ``M^T u``, in the unit of the rows."""
        u = self._in_unit(u)
        return u if self.M is None else self.M.transposed(u)

    def pulled(self, boundary: Any, Gs: tuple[Structure, ...], u: Array) -> Any:
        """Return u for ``given``, and ``-G_p^T M^T u`` for s_p."""
        whole = {"given": self._in_unit(u), "shifts": tuple(-(G.mT @ self.weights(u)) for G in Gs)}
        return tree_map(lambda _, bar: bar, boundary, whole if isinstance(boundary, dict) else whole["given"])

    def determines(self, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any) -> Array:
        """Return of which elements the matrix is regular."""
        xp = array_namespace(like)
        found = self.equations.solve(_entries(Gs), xp.zeros_like(like))
        return xp.all(xp.isfinite(found), axis=tuple(range(-1 - self.axes, 0)))

    def _by_name(self, boundary: Any) -> dict[str, Any]:
        """Return what a problem has as its boundary by name."""
        named = boundary if isinstance(boundary, dict) else {} if boundary is None else {"given": boundary}
        unknown = [name for name in named if name not in NAMES]
        if unknown:
            raise mismatch("boundary", "an array, or a dict of 'given' and 'shifts'", f"the key {unknown[0]!r}")
        added = named.get("shifts", self.added)
        if not isinstance(added, tuple | list) or len(added) != len(self.added):
            raise mismatch("boundary['shifts']", f"a tuple of {len(self.added)}, one for each shift", repr(added))
        for p, (shift, s) in enumerate(zip(self.shifts, added, strict=True)):
            if shift is identity and s is not None:
                raise mismatch(f"boundary['shifts'][{p}]", "None beside ds.identity", "an array", PAIR)
        return named

    def _check(self, matrices: dict[str, Any]) -> None:
        """Raise unless sizes agree, each row says something and each point is in one."""
        import numpy as np

        N = math.prod(self.shape)
        wide = {name: A.shape[0] for name, A in matrices.items() if A is not None and A.shape[0] != N}
        self.components = max(wide.values(), default=N) // N
        for name, rows in wide.items():
            if rows != N * self.components or self.components == 1:
                where = f"on {N} points, those of shape {self.shape}"
                raise mismatch(name, f"a matrix ({N}, {N}), or ({N} n, {N} n) for n components, {where}", (rows, rows))
        L, M, *Ss = (None if A is None else self._wide(A) for A in matrices.values())
        assert L is not None
        ones = np.ones(L.shape[0])
        of_rows, of_f = (ones, ones) if M is None else (abs(M).sum(axis=1), abs(M).sum(axis=0))
        of_y = [of_f if S is None else abs(S).T @ of_f for S in Ss]
        empty = np.nonzero(abs(L).sum(axis=1) + of_rows == 0)[0]
        unused = np.nonzero(abs(L).sum(axis=0) + sum(of_y) == 0)[0]
        if empty.size:
            raise InputError(f"Operator: row {empty[0]} of L and of M is 0: it says nothing of y. Give it a condition.")
        if unused.size:
            raise InputError(f"Operator: column {unused[0]} of L and of every M S is 0: no equation knows that y.")

    def _wide(self, A: Any) -> Any:
        from scipy.sparse import eye_array, kron

        n = self.components * math.prod(self.shape) // A.shape[0]
        return A if n == 1 else kron(A, eye_array(n), format="csr")

    def __repr__(self) -> str:
        M = "" if self.M is None else f", M with {self.M.A.nnz}"
        return f"Operator(shape={self.shape}, L with {self.L.A.nnz} entries{M}, {len(self.shifts)} shifts)"


class Shifted:
    """S[y] = S y + s of a matrix, s as the boundary data have it."""

    def __init__(self, place: int, S: Matrix | None) -> None:
        self.place, self.S = place, S

    def __call__(self, y: Array, *, grid: Any, boundary: Any) -> Array:
        """Return the signal, of the shape of y."""
        if not isinstance(boundary, Known):
            raise mismatch("shift", "the shifts of an Operator beside inverse= that operator", "another rule")
        signal, added = y if self.S is None else self.S(y), boundary.shifts[self.place]
        return signal if added is None else signal + added

    def __repr__(self) -> str:
        return f"Shifted({self.place})"


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    for size in sizes or (None,):
        check_whole("Operator", "each number of points in shape", size)
    return tuple(map(int, sizes))


def _listed(shifts: Any) -> list[Any]:
    """Return the shifts, one or several."""
    made = [*shifts] if isinstance(shifts, tuple | list) else [shifts]
    if not made:
        raise mismatch("shifts", "a tuple of ds.identity, matrices or pairs (matrix, array)", repr(shifts))
    return made


def _pair(shift: Any, name: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the matrix, None for the identity, and what is added to the signal, None for nothing."""
    S, added = shift if isinstance(shift, tuple) and len(shift) == 2 else (shift, None)
    if S is identity:
        return None, added
    if getattr(S, "ndim", 2) == 1:
        advice = "A pair of a matrix and what is added to its signal is one shift: shifts=((S, s),)."
        raise mismatch(name, "a matrix (N, N)", f"shape {tuple(S.shape)}", advice)
    if type(S).__module__.startswith("deersolve."):
        raise mismatch(name, "ds.identity or a matrix", repr(S), "Of a lag give the matrix, such as np.eye(N, k=-1).")
    return read(S, name, shape), added


def _over(a: Array | None, guess: Array, name: str) -> Array | None:
    """Return an array with as many axes as the guess; raise unless it broadcasts to it."""
    if a is None:
        return None
    full = (1,) * (guess.ndim - a.ndim) + tuple(a.shape)
    if len(full) > guess.ndim or any(k not in (1, size) for k, size in zip(full, guess.shape, strict=True)):
        advice = f"Components are on the last axis: {name}[:, None]." if a.ndim == 1 else ""
        raise mismatch(name, f"an array that broadcasts to y, {tuple(guess.shape)}", tuple(a.shape), advice)
    return padded(a, guess.ndim)


def _entries(Gs: tuple[Structure, ...]) -> tuple[Array, ...]:
    """Return the matrices of each G, (*B, *R, n, n), or its diagonal, (*B, *R, n, 1)."""
    if all(isinstance(G, Diagonal) for G in Gs):
        return tuple(G.diagonal()[..., None] for G in Gs)
    return tuple(G.to_dense() for G in Gs)
