"""Hypothesis strategies around an f of yours: for every problem class, grids, batches, libraries, dtypes, methods.

Hypothesis is imported where a strategy is made: ``pip install 'deersolve[check]'``.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..backends.trees import tree_map
from ..errors import InputError, mismatch
from ..grids.conditions import Dirichlet, Neumann, Robin
from ..newton.methods import Auto, Newton, Sequential
from ..problems import Problem, Recurrence
from .changes import changed, shortened
from .code import ASARRAY, call, code_of, function_code, made, program

Draw = Callable[[Any], Any]
MOST_POINTS = 12
FEW = 12  # numbers up to which an array prints them


def hypothesis() -> Any:
    """Return the package, or raise and say how to install it."""
    try:
        return importlib.import_module("hypothesis")
    except ModuleNotFoundError as error:
        raise InputError("Hypothesis is not installed. Try: pip install 'deersolve[check]'") from error


def _st() -> Any:
    hypothesis()
    return importlib.import_module("hypothesis.strategies")


def settings(max_examples: int = 25, **options: Any) -> Any:
    """Return ``hypothesis.settings`` for solves: no deadline, and the same examples each time where CI is set.

    Parameters
    ----------
    max_examples : int
        How many problems are drawn.
    options
        Any other option of ``hypothesis.settings``.

    Returns
    -------
    hypothesis.settings
        A decorator.
    """
    given = {"deadline": None, "derandomize": "CI" in os.environ, "max_examples": max_examples, **options}
    if given["derandomize"]:
        given.setdefault("database", None)
    return hypothesis().settings(**given)


def arrays(*shape: int, size: float = 1.0) -> Any:
    """Return a strategy of NumPy arrays of a shape, in float64, of normal numbers of that size.

    One seed is drawn, so that shapes shrink before numbers do: to zeros. A few numbers print as such, in hundredths.
    """

    def of(seed: int) -> Array:
        if seed == 0:
            return made(f"np.zeros({shape})")
        if np.prod(shape) <= FEW:
            return made(code_of(np.round(size * np.random.default_rng(seed).normal(size=shape), 2)))
        return made(f"{size} * np.random.default_rng({seed}).normal(size={shape})")

    return _st().integers(0, 2**16).map(of)


def grids(min_points: int = 2, max_points: int = MOST_POINTS, length: float = 1.0, descending: bool = False) -> Any:
    """Return a strategy of points over about a length: even ones, graded ones, and ones of random spacing.

    Parameters
    ----------
    min_points, max_points : int
        Of the number of points, which shrinks to the fewest.
    length : float
        From the first point to the last.
    descending : bool
        Whether some run backwards.
    """
    st = _st()
    forms = (
        "np.linspace(0.0, {length}, {T})",
        "{length} * np.linspace(0.0, 1.0, {T}) ** 1.5",
        "{length} / {T} * np.cumsum(np.random.default_rng({T}).uniform(0.5, 1.5, {T}))",
    )
    ends = ("{}", "-1.0 * ({})") if descending else ("{}",)
    parts = st.tuples(st.integers(min_points, max_points), st.sampled_from(forms), st.sampled_from(ends))
    return parts.map(lambda p: made(p[2].format(p[1].format(length=length, T=p[0]))))


def batches() -> Any:
    """Return a strategy of batch shapes, the empty one included."""
    return _st().sampled_from([(), (1,), (2,), (3, 2)])


def libraries(*names: str) -> Any:
    """Return a strategy of the names of those array libraries that are installed; of NumPy, PyTorch and JAX."""
    known = [name for name in names or tuple(ASARRAY) if importlib.util.find_spec(name)]
    return _st().sampled_from(known)


def dtypes() -> Any:
    """Return a strategy of "float64" and "float32"."""
    return _st().sampled_from(["float64", "float32"])


def methods() -> Any:
    """Return a strategy of methods: the whole trajectory, windows, the loop, and the default."""
    return _st().sampled_from([Newton(), Newton(window=3), Newton(reuse=0), Sequential(), Auto()])


class Drawn:
    """A problem that prints as the code that makes it."""

    code: str
    guess: Any = None

    def __repr__(self) -> str:
        return f"\n{self.code}"

    def discretise(self, y_guess: Any, rule: Any) -> Any:
        """Return what the problem does, with the guess that was drawn where there is no other."""
        return super().discretise(self.guess if y_guess is None else y_guess, rule)  # type: ignore[misc]


def problems(  # noqa: PLR0913 - what may be drawn
    f: Callable[..., Any],
    kind: type[Problem] = Recurrence,
    *,
    n: int = 2,
    batch: Any = None,
    library: Any = "numpy",
    dtype: Any = "float64",
    y_guess: Any = None,
    **given: Any,
) -> Any:
    """Return a strategy of problems with your f.

    Parameters
    ----------
    f : callable
        As the class wants it.
    kind : type
        :class:`deersolve.Recurrence`, ``InitialValueProblem``, ``TwoPointProblem``, ``BoundaryValueProblem``,
        ``Elliptic`` and its kin, ``Evolution`` and its kin, or ``Problem``.
    n : int
        How many components are drawn.
    batch : tuple of int or strategy, optional
        The batch shape of a start; by default some of all.
    library, dtype : str or strategy
        "numpy", "torch", "jax" or :func:`libraries`; "float64", "float32" or :func:`dtypes`. Arrays are made in NumPy
        and converted, yours too.
    y_guess : array or strategy, optional
        Where the method starts, for a problem that does not say it.
    given
        The arguments of the class, each a value or a strategy: ``params=``, ``y0=``, ``x=``, ``t=``, ``left=`` ...
        What is left out is drawn: starts of n components, grids of 2 to 12 points, conditions of Dirichlet
        and Robin. Not drawn are params, inputs x, ``ends``, ``shift`` and ``inverse``. ``axes=2`` draws points of two
        axes for ``Elliptic`` and ``Evolution``.

    Returns
    -------
    strategy
        Of problems whose ``repr`` is Python code that makes them, so that Hypothesis prints what can be pasted. They
        shrink to few points, even grids, no batch and zeros.

    Raises
    ------
    InputError
        If Hypothesis is not installed, or an argument has to be given.

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> from hypothesis import given
    >>> from deersolve.testing import check_equals_loop, problems, settings
    >>> def cell(h, x, W):
    ...     return np.tanh(h @ W + x)
    >>> @settings(max_examples=3)
    ... @given(problems(cell, x=np.ones((5, 2)), params=np.eye(2) / 2))
    ... def test_cell(problem):
    ...     check_equals_loop(problem)
    >>> test_cell()
    """
    st = _st()
    given = {"y_guess": y_guess, **given} if y_guess is not None else given
    names = _arguments(kind)
    unknown = {*given} - {*names, "axes", "y_guess"}
    if unknown:
        raise mismatch("problems", f"arguments of {kind.__name__}, {', '.join(names)}", ", ".join(sorted(unknown)))
    missing = [k for k in ("ends", "shift", "inverse") if k in names and k not in given]
    if missing:
        raise mismatch("problems", f"{missing[0]}= for a {kind.__name__}, a value or a strategy", "none")
    shared = {"batch": batches() if batch is None else batch, "library": library, "dtype": dtype}

    @st.composite  # type: ignore[untyped-decorator]
    def drawn(draw: Draw) -> Problem:
        chosen = {name: _drawn(draw, value) for name, value in shared.items()}
        made_of = {name: _drawn(draw, value) for name, value in given.items()}
        axes = made_of.pop("axes", 2)
        for name, default in _defaults(kind, n, axes).items():
            if name in names and name not in made_of:
                made_of[name] = draw(default(made_of, tuple(chosen["batch"])))
        return _problem(f, kind, made_of, chosen)

    return drawn()


def _drawn(draw: Draw, value: Any) -> Any:
    """Return a value, or what a strategy draws."""
    return draw(value) if isinstance(value, _st().SearchStrategy) else value


def _arguments(kind: type) -> list[str]:
    return [name for name in inspect.signature(vars(kind)["__init__"]).parameters if name not in ("self", "f")]


def _defaults(kind: type, n: int, axes: int) -> dict[str, Any]:
    """Return a strategy for each argument that is drawn where it is not given, of those drawn before and the batch."""
    st = _st()

    def points(made_of: Any, batch: Any) -> Any:
        return st.tuples(*(grids(4, 6) for _ in range(axes)))

    def start(made_of: Any, batch: Any) -> Any:
        lags = tuple(made_of.get("lags", (1,)))
        return arrays(*batch, *(() if lags == (1,) else (max(lags),)), n)

    def level(made_of: Any, batch: Any) -> Any:
        axes = made_of["points"] if "points" in made_of else (made_of["s"],)
        return arrays(*batch, *(len(a) - bool(made_of.get("cells")) for a in axes), n, size=0.5)

    def steps(made_of: Any, batch: Any) -> Any:
        return st.none() if made_of.get("x") is not None else st.integers(1, MOST_POINTS)

    simple = {
        "t": grids(),
        "s": grids(5),
        **dict.fromkeys(("left", "right", "bottom", "top"), conditions("Dirichlet", "Robin")),
        "sides": conditions("Dirichlet"),
    }
    plain = {name: partial(_same, strategy) for name, strategy in simple.items()}
    return {**plain, "points": points, "u0": level, "y0": start, "n_points": steps}


def _same(strategy: Any, made_of: Any, batch: Any) -> Any:
    return strategy


def conditions(*names: str) -> Any:
    """Return a strategy of conditions at one side, by their names; "Dirichlet", "Robin" and "Neumann" by default."""
    st = _st()
    forms: dict[str, Any] = {"Dirichlet": Dirichlet, "Robin": partial(Robin, 1.0, 0.5), "Neumann": Neumann}
    return st.tuples(st.sampled_from([forms[name] for name in names or forms]), st.integers(-100, 100)).map(
        lambda p: p[0](p[1] / 100)
    )


def _problem(f: Any, kind: type[Problem], made_of: dict[str, Any], chosen: dict[str, Any]) -> Problem:
    """Return the problem, which knows its code."""
    made_of = {k: _converted(v, chosen["library"], chosen["dtype"]) for k, v in made_of.items() if v is not None}
    guess = made_of.pop("y_guess", None)
    lines, name = function_code(f)
    body = call(kind.__name__, name, made_of)
    if guess is not None:
        body += f"\ny_guess = {code_of(guess)}"
    new: Any = type(kind.__name__, (Drawn, kind), {})(f, **made_of)
    others = [function_code(v)[0] for v in made_of.values() if callable(v)]
    new.code, new.guess = program([lines, *others], body), guess
    return new  # type: ignore[no-any-return]


def _converted(value: Any, library: str, dtype: str) -> Any:
    """Return arrays of NumPy as arrays of the library in the dtype, with their code."""

    def leaf(a: Any) -> Any:
        if not isinstance(a, np.ndarray | np.generic) or a.dtype.kind != "f":
            return a
        text = code_of(a) if a.dtype == dtype else f"({code_of(a)}).astype(np.{dtype})"
        return a if library == "numpy" and a.dtype == dtype else made(ASARRAY[library].format(text))

    return tree_map(leaf, value)


# ------------------------------------------------------------------------------- around a problem


PREFACE = "from deersolve.testing import changed, shortened\n\ngiven = problem"


def around(problem: Problem, source: str = PREFACE, most: int = 200) -> Any:
    """Return a strategy of problems beside one: on its first points, with other starts, params of other sizes.

    Parameters
    ----------
    problem : Problem
        One of yours.
    source : str
        The code that makes it, by the name ``given``, and imports what changes it.
    most : int
        The largest number of points in time.

    Returns
    -------
    strategy
        Of problems that print as code. They shrink to few points, and to the start and the params that were given.
    """
    st = _st()
    lengths = [len(p) for name, p in problem.points().items() if name in ("t", "step") and p is not None]
    longest = min([most, *lengths])

    @st.composite  # type: ignore[untyped-decorator]
    def drawn(draw: Draw) -> Problem:
        new, text = copy.copy(problem), "given"
        if lengths:
            points = draw(st.integers(2, max(longest, 2)))
            new, text = shortened(new, points), f"shortened(given, {points})"
        factor = draw(st.sampled_from([1.0, 0.5, 1.25, 0.8, 1.5, 2.0]))
        start = draw(st.sampled_from([1.0, 0.5, -1.0, 1.1, 2.0]))
        fields, words = {}, []
        if factor != 1.0 and problem.params is not None:
            fields["params"] = tree_map(lambda a: factor * a if _is_number(a) else a, problem.params)
            words.append(f"params={_scaled('given.params', problem.params, factor)}")
        if start != 1.0 and problem.start is not None:
            fields["y0"] = start * problem.start
            words.append(f"y0={start} * given.boundary.y0")
        if fields:
            new, text = changed(new, **fields), f"changed({text}, {', '.join(words)})"
        made_of: Any = type(type(problem).__name__, (Drawn, type(problem)), {})
        as_code: Any = made_of.__new__(made_of)
        vars(as_code).update(vars(new))
        vars(as_code)["code"] = f"{source}\nproblem = {text}\n"
        return as_code  # type: ignore[no-any-return]

    return drawn()


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or "float" in str(getattr(value, "dtype", ""))


def _scaled(name: str, tree: Any, factor: float) -> str:
    """Return the code of a tree with its numbers scaled."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{k!r}: {_scaled(f'{name}[{k!r}]', v, factor)}" for k, v in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        inside = ", ".join(_scaled(f"{name}[{k}]", v, factor) for k, v in enumerate(tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside},)"
    return f"{factor} * {name}" if _is_number(tree) else name
