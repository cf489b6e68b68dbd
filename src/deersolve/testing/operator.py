"""What an inverse operator claims, on the grid, the shifters and the boundary data of a problem: row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..backends.namespace import Array
from ..backends.trees import tree_leaves, tree_map
from ..grids.shifters import BuiltIn
from ..linalg.structure import Dense, Structure
from ..newton.causality import reach_of
from .report import Report
from .trial import MOST, Matrices, Trial, data_of

LINEAR = 1e3  # in units of eps cond: what a linear solve may be off
SIZES = (0.01, 100.0)  # of the terms that are there: what a rule may say of their size
Gs_ = tuple[Structure, ...]


def check_operator(report: Report, trial: Trial) -> None:
    """Check residual, solves and sizes of a rule against the matrices that residual and shifters are."""
    report.below("shapes", partial(_shapes, trial), 0)
    report.below("arguments", partial(_writes, trial), 0)
    if report["shapes"].holds and report["arguments"].holds:
        report.below("shift: linear", partial(_affine_shift, trial), 1e3 * trial.eps)
        if trial.rule.has_residual:
            _check_residual(report, trial)
            _check_solves(report, trial)
        else:
            report.below("inverse", partial(_off_fixed_point, trial), trial.eps**0.5)
        _check_batch(report, trial)
        if trial.rule.is_builtin and all(isinstance(s, BuiltIn) for s in trial.system.shift):
            report.skip("boundary data", "rule and shifters of the package")
        else:
            report.below("boundary data", partial(_deaf, trial), 0)


def _check_residual(report: Report, trial: Trial) -> None:
    report.below("residual: affine", partial(_affine, trial), 1e3 * trial.eps)
    _reach(report, trial)
    report.below("residual: NaN", lambda: _hides_nan(trial, _residual_of(trial)), 0)
    if trial.is_small:
        text = "{} to {:.0f}, the largest of each row of L".format(*SIZES)
        report.judge("residual: unit", text, partial(_unit, trial), lambda v: SIZES[0] <= v <= SIZES[1], "{:.1e}")
    if not trial.is_small:
        report.skip("magnitude", f"{trial.size:,} numbers, of which no matrix is made (at most {MOST})")
    elif not (trial.rule.offers("magnitude") and trial.rule.exact):
        report.skip("magnitude", "the rule does not say how large its terms are")
    else:
        low, high = SIZES
        text = f"{low} to {high:.0f} times |L| y + |M| f"
        report.judge("magnitude", text, partial(_magnitude, trial), lambda v: low <= v <= high, "{:.1e}")


def _check_solves(report: Report, trial: Trial) -> None:
    rule, where = trial.rule, trial.system.where
    solve = partial(rule.solve, **where)
    if trial.is_small:
        for kind in rule.structures:
            sized = trial.sized(kind)
            report.below(f"solve[{sized.name}]", partial(_off_matrix, trial, solve, sized), LINEAR)
    else:
        report.below("solve[products]", partial(_off_products, trial, solve), trial.eps**0.5)
    report.below("solve: linear", partial(_linear, trial, solve), 1e6 * trial.eps)
    report.below("solve: homogeneous", partial(_homogeneous, trial), 1e6 * trial.eps)
    report.below("solve: other G", partial(_stale, trial, solve), 1e6 * trial.eps)
    report.below("solve: NaN", lambda: _hides_nan(trial, partial(solve, trial.random_Gs())), 0)
    if rule.offers("solver") and trial.is_small:
        factored = lambda Gs, r: rule.solver(Gs, r, **where)(r)  # noqa: E731
        report.below("solver", partial(_off_matrix, trial, factored, Dense), LINEAR)
    if not rule.offers("transpose"):
        report.skip("transpose", "the rule has none: no adjoint")
    elif trial.is_small:
        report.below("transpose", partial(_off_matrix, trial, partial(rule.transpose, **where), Dense, True), LINEAR)
    else:
        report.below("transpose", partial(_off_adjoint, trial), trial.eps**0.5)


# ------------------------------------------------------------------------------- what is returned


def _calls(trial: Trial) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...], tuple[int, ...]]]:
    """Yield what a rule and its shifters offer, with arguments, and the shape to expect."""
    rule, where = trial.rule, trial.system.where
    y, f, r = (trial.array(trial.random(like=s)) for s in (None, trial.signals[0], None))
    Gs, shape = trial.random_Gs(), tuple(y.shape)
    if rule.has_residual:
        yield "residual", partial(rule.residual, **trial.system.at(Gs), **where), (y, f), shape
        yield "solve", partial(rule.solve, **where), (Gs, r), shape
    else:
        yield "inverse", lambda Gs, rhs: rule.inverse(Gs, rhs, trial.system.data), (Gs, f), shape
    if rule.offers("transpose"):
        yield "transpose", partial(rule.transpose, **where), (Gs, r), shape
    if rule.offers("magnitude") and rule.has_residual:
        yield "magnitude", partial(rule.magnitude, **where), (abs(y), abs(f)), shape
    for k, shifter in enumerate(trial.system.shift):
        yield f"shift {k}", lambda y, s=shifter: s(y, **where), (y,), trial.signals[0]


def _shapes(trial: Trial) -> float:
    """Raise where a shape or a dtype is not that of y."""
    like = trial.system.data.guess
    for name, function, args, shape in _calls(trial):
        made = function(*args)
        for part in made if isinstance(made, tuple | list) else (made,):
            received = getattr(part, "shape", None)
            if received is None or tuple(received) != shape:
                raise AssertionError(f"{name}: expected shape {shape}; received {received or type(part).__name__}")
            if part.dtype != like.dtype:
                raise AssertionError(f"{name}: expected {like.dtype}, the dtype of y; received {part.dtype}")
    return 0.0


def _writes(trial: Trial) -> float:
    """Return how many functions write to their arguments, or return something else at the second call."""
    count = 0
    for name, function, args, _ in _calls(trial):
        before = [trial.numpy(a).copy() for a in tree_leaves(args)]
        first = [trial.numpy(a).copy() for a in tree_leaves(function(*args))]
        after = [trial.numpy(a) for a in tree_leaves(args)]
        if any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
            raise AssertionError(f"{name}: expected its arguments to stay as they are; it writes to them")
        again = [trial.numpy(a) for a in tree_leaves(function(*args))]
        count += any(trial.off(b, a) > 1e3 * trial.eps for a, b in zip(first, again, strict=True))
    return float(count)


def _reach(report: Report, trial: Trial) -> None:
    """Compare how far rows look with what rule and shifters say: windows rest on that."""
    declared = [trial.rule.reach, *(s.reach for s in trial.system.shift)]
    if None in declared or not trial.is_small:
        report.skip(
            "reach", "it is not said: no windows" if None in declared else "no matrix is made of so many numbers"
        )
        return
    for k, where in enumerate(("points back", "points ahead")):
        said = reach_of(trial.rule, trial.system.shift)[k]
        name = f"reach: {where}"
        report.judge(name, f"at most {said}", partial(float, trial.reach[k]), partial(float(said).__ge__), "{:.0f}")


def _residual_of(trial: Trial) -> Callable[[Any], Any]:
    """Return the residual as a function of f alone."""
    y, at = trial.array(trial.random()), trial.system.at(trial.random_Gs())
    return lambda f: trial.rule.residual(y, f, **at, **trial.system.where)


def _hides_nan(trial: Trial, function: Callable[[Any], Any]) -> float:
    """Return how many of some NaN, each alone, leave no trace."""
    values, hidden = trial.random(like=trial.signals[0]), 0
    if tuple(values.shape) != tuple(trial.system.data.guess.shape):
        return 0.0
    clean = np.isnan(trial.numpy(function(trial.array(values)))).any()
    for k in np.unique(np.linspace(0, values.size - 1, 5).astype(int)):
        broken = values.copy()
        broken.reshape(-1)[k] = np.nan
        try:
            hidden += not np.isnan(trial.numpy(function(trial.array(broken)))).any()
        except ValueError:  # as SciPy says of numbers that are not finite
            continue
    return float(hidden and not clean and hidden == 5)


# ------------------------------------------------------------------------------- residual and shifters


def _affine(trial: Trial) -> float:
    """Return ``R(a + b) - R(a) - R(b) + R(0)`` of (y, f), relative to its terms."""
    Gs = trial.random_Gs()
    (ya, yb), (fa, fb) = trial.random(2), trial.random(2, like=trial.signals[0])
    parts = [trial.residual(y, f, Gs) for y, f in ((ya + yb, fa + fb), (ya, fa), (yb, fb), (0 * ya, 0 * fa))]
    left = parts[0] - parts[1] - parts[2] + parts[3]
    return float(np.abs(left).max() / max(float(np.abs(p).max()) for p in parts))


def _unit(trial: Trial) -> float:
    """Return the largest entry of a row of L, that which is farthest from 1: of rows in the unit of y it is near it."""
    most = np.abs(trial.matrices(trial.random_Gs()).L).max(axis=1)
    most = most[most > 0]
    return float(most[np.argmax(np.abs(np.log(most)))]) if most.size else 1.0


def _affine_shift(trial: Trial) -> float:
    """Return the same of the shifters."""
    a, b = trial.random(2)
    worst = 0.0
    for whole, one, two, none in zip(*(trial.shifted(v) for v in (a + b, a, b, 0 * a)), strict=True):
        worst = max(worst, float(np.abs(whole - one - two + none).max() / max(float(np.abs(whole).max()), 1.0)))
    return worst


def _magnitude(trial: Trial) -> float:
    """Return what the rule says of the size of its terms, in units of it: that which is farthest from 1.

    Of terms in y and f together, and of each alone: one may hide what is wrong with the other. Of y = 1 too, whose
    differences are 0: their terms are not.
    """
    y, f = np.abs(trial.random()) + 0.5, np.abs(trial.random(like=trial.signals[0])) + 0.5
    m: Matrices = trial.assembled
    found = [1.0]
    for y_part, f_part in ((y, f), (y, 0 * f), (0 * y, f), (0 * y + 1, 0 * f)):
        there = np.abs(m.L) @ y_part.reshape(-1) + np.abs(m.M) @ f_part.reshape(-1)
        said = trial.numpy(trial.system.magnitude(trial.array(y_part), trial.array(f_part))).reshape(-1)
        if not np.isfinite(said).all() or (said < 0).any():
            return np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = said / there, said / (there + np.abs(m.g))  # what is given may be one of its terms
            found += [*np.where(low < 1, low, np.maximum(high, 1.0))[there > 0]]
    with np.errstate(divide="ignore"):
        return float(found[np.argmax(np.abs(np.log(found)))])


def _deaf(trial: Trial) -> float:
    """Return how many arrays of the boundary data, or of their values before the first point, change nothing."""
    leaves = [leaf for leaf in tree_leaves(trial.system.data.boundary) if _is_float(leaf)]
    if not leaves:
        return 0.0
    y, f, Gs = trial.random(), trial.random(like=trial.signals[0]), trial.random_Gs()

    def seen(boundary: Any) -> Array:
        system = data_of(trial.system, boundary=boundary)
        signals = [trial.numpy(a).reshape(-1) for a in system.shifted(trial.array(y))]
        if trial.rule.has_residual:
            rows = trial.residual(y, f, Gs, system)
        else:
            rows = trial.numpy(trial.rule.inverse(Gs, trial.array(f), system.data))
        return np.concatenate([*signals, rows.reshape(-1)])

    before, count = seen(trial.system.data.boundary), 0
    for leaf in leaves:
        for part in _parts(trial, leaf):
            moved = tree_map(lambda a, leaf=leaf, part=part: trial.array(part) if a is leaf else a, _boundary(trial))
            count += np.array_equal(seen(moved), before)
    return float(count)


def _boundary(trial: Trial) -> Any:
    return trial.system.data.boundary


def _is_float(leaf: Any) -> bool:
    return "float" in str(getattr(leaf, "dtype", ""))


def _parts(trial: Trial, leaf: Any) -> Iterator[Array]:
    """Yield the array with another row each: of a history that is no longer than the grid, else with all others."""
    values = trial.numpy(leaf).astype(np.float64)
    history = values.shape[-2] if values.ndim > 1 else 1
    if not trial.system.grid.marches or history > trial.system.grid.n_points:
        yield values + 1.0
        return
    for k in range(history):
        moved = values.copy()
        moved[..., k : k + 1, :] += 1.0
        yield moved


# ------------------------------------------------------------------------------- solves


def _off_matrix(trial: Trial, solve: Callable[..., Any], kind: Any, transposed: bool = False) -> float:
    """Return the difference from the solve with the assembled matrix, in units of eps cond."""
    worst = 0.0
    for Gs in (trial.random_Gs(kind), trial.random_Gs(kind, 2.0)):
        matrix = trial.matrices(Gs).of(trial.dense(Gs))
        matrix = matrix.T if transposed else matrix
        cond = float(np.linalg.cond(matrix))
        if not cond < 0.01 / trial.eps:
            continue
        r = trial.random()
        expected = np.linalg.solve(matrix, r.reshape(-1)).reshape(r.shape)
        off = trial.off(trial.numpy(solve(Gs, trial.array(r))), expected)
        worst = np.nan if not off < np.inf else max(worst, off / (trial.eps * cond))
    return worst


def _off_products(trial: Trial, solve: Callable[..., Any]) -> float:
    """Return the same without a matrix: what residual and shifters make of the solution, against r."""
    Gs, r = trial.random_Gs(), trial.random()
    delta = trial.numpy(solve(Gs, trial.array(r))).astype(np.float64)
    none = 0 * r
    moved = zip(trial.dense(Gs), trial.shifted(delta), trial.shifted(none), strict=True)
    f = -sum(np.einsum("...ij,...j->...i", G, a - b) for G, a, b in moved)
    return trial.off(trial.residual(none, 0 * f, Gs) - trial.residual(delta, f, Gs), r)


def _linear(trial: Trial, solve: Callable[..., Any]) -> float:
    """Return how far ``solve`` is from linear, in r of very different sizes."""
    Gs, (a, b) = trial.random_Gs(), trial.random(2)
    of_a, of_b = (trial.numpy(solve(Gs, trial.array(v))) for v in (a, b))
    sums = [(s, trial.numpy(solve(Gs, trial.array(s * (2.0 * a - b))))) for s in (2.0**-20, 1.0, 2.0**20)]
    return max(trial.off(found / s, 2.0 * of_a - of_b) for s, found in sums)


def _homogeneous(trial: Trial) -> float:
    """Return what the solve makes of r = 0, and how much it changes with the boundary data."""
    Gs, r = trial.random_Gs(), trial.random()
    boundary = tree_map(lambda a: a * 2 + 1 if _is_float(a) else a, trial.system.data.boundary)
    there, here = data_of(trial.system, boundary=boundary).where, trial.system.where
    found, moved, none = (
        trial.numpy(trial.rule.solve(Gs, trial.array(v), **where))
        for v, where in ((r, here), (r, there), (0 * r, here))
    )
    return max(trial.off(moved, found), float(np.abs(none).max() / np.abs(found).max()))


def _stale(trial: Trial, solve: Callable[..., Any]) -> float:
    """Return how far the solve is from that of a new G, after another G of the same arrays."""
    old, new, r = trial.random_Gs(), trial.random_Gs(), trial.array(trial.random())
    expected = trial.numpy(solve(tuple(G.map(lambda v: v + 0) for G in new), r)).copy()
    solve(old, r)
    for G, other in zip(old, new, strict=True):
        if not _is_written(G.values, other.values):
            return 0.0
    return trial.off(trial.numpy(solve(old, r)), expected)


def _is_written(array: Any, values: Any) -> bool:
    """Overwrite an array in place, where its library can."""
    try:
        array[...] = values
    except TypeError:
        return False
    return True


def _off_adjoint(trial: Trial) -> float:
    """Return ``<u, solve(v)> - <transpose(u), v>`` relative to its terms."""
    Gs, where = trial.random_Gs(), trial.system.where
    u, v = trial.random(2)
    ahead = u * trial.numpy(trial.rule.solve(Gs, trial.array(v), **where))
    back = v * trial.numpy(trial.rule.transpose(Gs, trial.array(u), **where))
    return float(abs(ahead.sum() - back.sum()) / (np.abs(ahead).sum() + np.abs(back).sum()))


# ------------------------------------------------------------------------------- batches


def _check_batch(report: Report, trial: Trial) -> None:
    """Compare a batch with its elements one by one, in front of the axes that the problem has."""
    Gs = [trial.random_Gs() for _ in range(3)]
    r = trial.random(3, like=None if trial.rule.has_residual else trial.signals[0])
    stacked = tuple(Dense(trial.array(np.stack(parts))) for parts in zip(*map(trial.dense, Gs), strict=True))

    def off(function: Callable[[Trial, Gs_, Any], Array]) -> float:
        alone = [function(trial, G, r_k) for G, r_k in zip(Gs, r, strict=True)]
        return trial.off(function(trial, stacked, r), np.stack(alone))

    try:
        _solved(trial, stacked, r)
    except Exception as error:
        report.skip("batch", f"the operator takes none ({type(error).__name__}: {error})")
        return
    report.below("batch", partial(off, _solved), 1e6 * trial.eps)
    if trial.rule.offers("transpose") and trial.rule.has_residual:
        report.below("batch: transpose", partial(off, _transposed), 1e6 * trial.eps)


def _transposed(trial: Trial, Gs: Gs_, c: Any) -> Array:
    return trial.numpy(trial.rule.transpose(Gs, trial.array(c), **trial.system.where))


def _solved(trial: Trial, Gs: Gs_, r: Any) -> Array:
    rule, r = trial.rule, trial.array(r)
    if rule.has_residual:
        return trial.numpy(rule.solve(Gs, r, **trial.system.where))
    return trial.numpy(rule.inverse(Gs, r, trial.system.data))


# ------------------------------------------------------------------------------- the paper's callable


def _off_fixed_point(trial: Trial) -> float:
    """Return how far ``y = L_G^{-1}[rhs]`` is from that by another G: of ``rhs + sum_p (H_p - G_p) S_p y``.

    Both are ``L y = rhs - sum_p G_p S_p y``, whatever L is.
    """
    worst = 0.0
    for scale in (0.4, 2.0):
        G, H = trial.random_Gs(), trial.random_Gs(scale=scale)
        rhs = trial.random(like=trial.signals[0])
        y = _solved(trial, G, rhs).astype(np.float64)
        signals = zip(trial.dense(G), trial.dense(H), trial.shifted(y), strict=True)
        moved = rhs + sum(np.einsum("...ij,...j->...i", b - a, y_p) for a, b, y_p in signals)
        off = trial.off(_solved(trial, H, moved), y)
        worst = np.nan if not off < np.inf else max(worst, off)
    return worst
