"""What a rule is.

A rule defines a discrete equation M f(y) - L y = 0 and solves its linearisation,

    (L + M sum_p G_p S_p) delta = r,       homogeneous boundary data for delta,

for G given at every grid point. Its key is "<L>.<rule>"; one file holds the rules of one family.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

from ..backends.namespace import Array
from ..errors import InputError, mismatch
from ..linalg.scans import Way
from ..linalg.structure import Dense, Structure

DECLARED = ("shifts", "axes", "reach", "reach_of_f", "history")
OPTIONAL = ("transpose", "magnitude", "defect", "damped", "determines", "truncation", "continues", "steps", "solver")

Called = dict[str, Callable[..., Any]]


class Rule:
    """A discrete equation and its linear solve; subclass it, or register any class with these methods.

    Attributes
    ----------
    key : str
        The name in the registry.
    structures : tuple of type
        The structures of G that ``solve`` takes.
    exact : bool
        Whether the solution of the discrete equation does not depend on G.
    order : int or None
        The order of accuracy in the step of the grid.
    is_inexact : bool
        Whether a correction solves the linear equation only in part: then the residual alone certifies.
    theta : float or None
        Of a rule ``y_{i+1} = y_i + D ((1 - theta) f_i + theta f_{i+1})`` the weight of the end of an interval.
    scans : bool
        Whether ``solve`` and ``transpose`` are scans that pass on ``way=self.scan``, so that one can be chosen.
    scan : str or None
        The name of the scan that was chosen, None for that of the table.
    advice : str
        What a user may try where it fails, a sentence; part of the message of :class:`ConvergenceError`.
    shifts : tuple of callable, int or None
        The shifters whose G ``solve`` takes, in their order, or how many signals those make; None if that is not said.
    axes : int or None
        How many axes of y belong to the grid; None for as many as the grid says, one if it says nothing.
    reach : (int, int) or None
        How many points back and ahead of its own a row looks, in y and in f. Only where nothing is ahead the equation
        is marched over: in windows, in blocks that fit ``memory``. None, if that is not said, for all at once.
    reach_of_f : (int, int) or None
        The same of f alone, where that is less: what shifters look back on is before that.
    history : int or None
        How many values are given before (at) the first point, K of ``Initial``; None for any number.
    """

    key: str = ""
    structures: tuple[type, ...] = (Dense,)
    exact: bool = True
    order: int | None = None
    is_inexact: ClassVar[bool] = False
    theta: ClassVar[float | None] = None
    advice: ClassVar[str] = ""
    scans: ClassVar[bool] = False
    scan: str | Way | None = None
    nodes: tuple[float, ...] = ()
    """Where in its interval each stage is that y holds, the last one at its end; () where y has no stages."""
    shifts: Any = None
    axes: int | None = None
    reach: tuple[int, int] | None = None
    reach_of_f: tuple[int, int] | None = None
    history: int | None = None
    is_loop: ClassVar[bool] = False
    """Whether a row says what y is by f of the points before it: then f of one point after the other solves it."""
    is_builtin: bool = False
    has_residual: ClassVar[bool] = True
    """Whether it has an L of its own."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    @property
    def doubt(self) -> str:
        """What an error says of a rule of one's own, a sentence."""
        told = f"The rule {self.key!r} is not built in: is it right? deersolve.testing.check_inverse tells. "
        return "" if self.is_builtin else told

    def offers(self, name: str) -> bool:
        """Return whether the rule has a method of its own by that name."""
        return getattr(type(self), name) is not getattr(Rule, name)

    def scanning(self, scan: str | Way | None) -> Self:
        """Return the rule with a scan of that name; itself for None."""
        if scan is None:
            return self
        if not self.scans:
            raise mismatch("scan", "a rule that scans along time, such as shift.scan or ddt.trapezoid", repr(self.key))
        made = copy.copy(self)
        made.scan = scan
        return made

    def shifts_on(self, grid: Any) -> Any:
        """Return the shifters whose G it takes on a grid, or their number, or None: ``shifts``, unless it depends."""
        return self.shifts

    @property
    def has_transpose(self) -> bool:
        """Whether a derivative is one linear solve, with a transpose of its own."""
        return self.has_residual and self.exact and self.offers("transpose")

    @property
    def knows_size(self) -> bool:
        """Whether it can say how large its terms are."""
        return self.has_residual and (self.is_builtin or self.offers("magnitude"))

    def in_pairs(self, paired: Callable[[Any], Any], boundary: Any) -> tuple[Rule, Any]:
        """Return the rule, and boundary data, for pairs of real numbers in the place of complex ones.

        Raises
        ------
        InputError
            Unless it is built in: what a rule of one's own adds to pairs is not known to be in pairs.
        """
        if self.is_builtin:
            return self, boundary
        advice = (
            "It would be given pairs of real numbers: write the equation in 2 n real components, or use ds.Operator."
        )
        raise mismatch("a complex state", "a rule of deersolve or ds.Operator", repr(self.key), advice)

    def prepared(self, boundary: Any, guess: Array) -> Any:
        """Return a user's boundary data as the rule takes them, beside y as it is guessed; raise if they do not fit."""
        return boundary

    def laid(self, boundary: Any, guess: Array) -> Any:
        """Return the same of arrays beside y, dual numbers among them."""
        return boundary

    def posed(self, functions: Called, data: Any) -> tuple[Called, Any]:
        """Return the functions of the discrete equation in the place of f and its kin, and what x is to them.

        They act on each point by itself, as f does. By default they are f itself, of x.
        """
        return functions, data.x

    def crossing(self, functions: Called, data: Any) -> tuple[Called, Any]:
        """Return what :meth:`posed` does, where f has behind its components what else is known of each step.

        Those are the coefficients of :meth:`polynomials` but the first, (*B, T, d n), of a rule with ``is_loop``.
        """
        return self.posed(functions, data)

    def advanced(self, y: Array, fy: Array, D: Array | None) -> Array:
        """Return y at the next point, of a rule with ``is_loop``: from y and f before it, and the way there, if any."""
        return fy

    def polynomials(self, y: Array, functions: Called, data: Any) -> Array:
        """Return c, (*B, T - 1, d + 1, n), with ``y(t_i + theta D_i) = sum_k c_ik theta^k`` for theta in [0, 1].

        Raises
        ------
        InputError
            If the rule says nothing of y between its points.
        """
        text = f"the rule {self.key!r} has no continuous extension; give it a method polynomials(y, functions, data)."
        raise InputError(text)

    def residual(self, y: Array, fy: Array, *, grid: Any, boundary: Any, **kw: Any) -> Array:
        """Return ``M f(y) - L y`` at every point, shape (*B, *R, n), in the units of y."""
        raise NotImplementedError

    def solve(self, Gs: tuple[Structure, ...], r: Array, *, grid: Any, boundary: Any) -> Array:
        """Return delta with ``(L + M sum_p G_p S_p) delta = r``."""
        raise NotImplementedError

    def inverse(self, Gs: tuple[Structure, ...], rhs: Array, data: Any) -> Array:
        """Return the paper's ``L_G^{-1}[rhs]``, of a rule without an L of its own."""
        raise NotImplementedError

    def solver(self, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any) -> Callable[[Array], Array]:
        """Return ``r -> solve(Gs, r)`` for arrays like ``like``, which may do once what does not depend on r."""
        return partial(self.solve, Gs, grid=grid, boundary=boundary)

    def estimator(
        self, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any
    ) -> Callable[[Array], Array]:
        """Return the same to half of the digits at least: for what only estimates, an iteration may stop early."""
        return self.solver(Gs, like, grid=grid, boundary=boundary)

    def transpose(self, Gs: tuple[Structure, ...], c: Array, *, grid: Any, boundary: Any) -> Array:
        """Return u with ``(L + M sum_p G_p S_p)^T u = c``."""
        text = f"the rule {self.key!r} has no transposed solve; give it a method transpose(Gs, c, *, grid, boundary)."
        raise InputError(text)

    def damped(self, Gs: tuple[Structure, ...], r: Array, damping: Array, *, grid: Any, boundary: Any) -> Array:
        """Return the delta of the smallest ``|r - (L + M sum_p G_p S_p) delta|^2 + damping |delta|^2``."""
        text = f"the rule {self.key!r} has no damped solve; give it a method damped(Gs, r, damping, *, grid, boundary)."
        raise InputError(text + " Or choose another step than LevenbergMarquardt.")

    def weights(self, u: Array, *, grid: Any, boundary: Any) -> Array | None:
        """Return ``M^T u``, the weights of f in ``sum(u * residual)``, or None where they are not at hand."""
        return None

    def pulled(self, boundary: Any, Gs: tuple[Structure, ...], u: Array) -> Any:
        """Return the derivative of ``sum(u * residual)`` by a user's boundary data, each of the shape of y."""
        text = f"wrt='boundary': expected a library with automatic differentiation, for the rule {self.key!r}"
        raise InputError(text + ". Use sensitivity().")

    def magnitude(self, y: Array, fy: Array, *, grid: Any, boundary: Any) -> Array:
        """Return ``|L| y + |M| fy`` for y, fy >= 0: the size of the terms of the residual."""
        return y + fy

    def refuses(self, Js: tuple[Structure, ...], *, grid: Any) -> str | None:
        """Return why there is no unique solution, whatever u, given df / dy_p at some points; None if there may be."""
        return None

    def continues(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any, boundary: Any
    ) -> tuple[Array, Array] | None:
        """Return at which points y may continue from the one before, and at which it does, (*B, *R); None if all do."""
        return None

    def stays(self, Gs: tuple[Structure, ...], *, grid: Any) -> Array:
        """Return the second of :meth:`continues` for a rule that offers it at the solution only, (*B, *R)."""
        raise NotImplementedError

    def is_mild(self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any) -> Array:
        """Return over which intervals f changes so little that :meth:`stays` surely holds on the way, (*B, T - 1)."""
        raise NotImplementedError

    def before(self, y: Array, *, grid: Any) -> Array:
        """Return what each point of y starts from, of the shape of y, for a rule with :meth:`stays`."""
        raise NotImplementedError

    def determines(self, Gs: tuple[Structure, ...], like: Array, *, grid: Any, boundary: Any) -> Array:
        """Return of which elements the linearised equation has one solution in this precision, (*B,)."""
        raise NotImplementedError

    def steps(self, Gs: tuple[Structure, ...], r: Array, *, grid: Any) -> Structure | None:
        """Return A with ``delta_i = A_i delta_{i-1}`` where r is 0, shape (*B, T, n, n), or None if there is none."""
        return None

    def defect(self, y: Array, fy: Array, *, grid: Any, boundary: Any, **kw: Any) -> tuple[Array, Array] | None:
        """Return the residual of y in a quadrature of higher order, and how far that may be wrong, or None."""
        return None

    def truncation(
        self, Gs: tuple[Structure, ...], y: Array, fy: Array, *, grid: Any, boundary: Any
    ) -> tuple[Array, Array, Array] | None:
        """Return what differences of a higher order change of the residual of y, those smoothed, and jumps of f."""
        return None

    @property
    def claims(self) -> tuple[Any, ...]:
        """What it says of itself beside numbers: two rules with other claims are never one program."""
        offered = tuple(self.offers(name) for name in OPTIONAL)
        said = [getattr(self, name) for name in (*DECLARED, "is_loop", "nodes", "theta", "advice")]
        return (self.key, self.structures, self.exact, self.is_inexact, self.has_residual, offered, str(said))

    def tried(self, Gs: tuple[Structure, ...], y: Array, fy: Array, data: Any) -> list[Any]:
        """Return what each of its methods makes of arrays like y: all that a program of them depends on."""
        where, extra = {"grid": data.grid.seen, "boundary": data.boundary}, {} if self.exact else {"Gs": Gs}
        made: list[Any] = [*self.correction(Gs, y, (y,) * len(Gs), fy, data)]
        if not self.has_residual:
            return made
        made += [self.solver(Gs, y, **where)(y), self.estimator(Gs, y, **where)(y), self.magnitude(y, fy, **where)]
        made += [self.transpose(Gs, y, **where)] if self.offers("transpose") else []
        made += [self.defect(y, fy, **extra, **where)]
        made += [self.damped(Gs, y, y[..., :1, :1] * 0, **where)] if self.offers("damped") else []
        made += [self.determines(Gs, y, **where)] if self.offers("determines") else []
        made += [self.truncation(Gs, y, fy, **where), self.continues(Gs, y, fy, **where)]
        return made

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: Any
    ) -> tuple[Array, Array]:
        """Return the residual and the correction of one step."""
        where = {"grid": data.grid.seen, "boundary": data.boundary}
        extra = {} if self.exact else {"Gs": Gs}
        r = data.grid.kept(self.checked("residual", self.residual(y, fy, **extra, **where), y))
        return r, self.solved(Gs, r, **where)

    def solved(self, Gs: tuple[Structure, ...], r: Array, **where: Any) -> Array:
        """Return what :meth:`solve` does, an array like r."""
        return self.checked("solve", self.solve(Gs, r, **where), r)

    def transposed(self, Gs: tuple[Structure, ...], c: Array, **where: Any) -> Array:
        """Return what :meth:`transpose` does, an array like c."""
        return self.checked("transpose", self.transpose(Gs, c, **where), c)

    def checked(self, name: str, made: Any, y: Array) -> Array:
        """Return what one of its methods made; raise unless that is an array like y."""
        if not self.is_builtin and (getattr(made, "shape", None), getattr(made, "dtype", None)) != (y.shape, y.dtype):
            expected = f"an array as y is, of shape {tuple(y.shape)} and dtype {y.dtype}"
            received = f"{tuple(made.shape)}, {made.dtype}" if hasattr(made, "shape") else type(made).__name__
            advice = "Numbers of grid= and boundary= have to be of that dtype, and fit that shape."
            raise mismatch(f"{name} of the rule {self.key!r}", expected, received, advice)
        return made
