"""The BVP test set of J. R. Cash and F. Mazzia on a uniform grid: is what is wrong also said to be wrong?

``python benchmarks/bvp_test_set.py [points]``, 401 by default: all problems with a closed form, eps from 0.1 to
1e-4, as TwoPointProblem and as BoundaryValueProblem. Newton's method starts from the solution, so that what is left are
errors of the grid. The table has the error relative to the largest |u|, the estimate, and what was said; the last line
counts the answers that are wrong by more than 1 % in silence, and those that are right to 1 % and not trusted.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import deersolve as ds
from layers import SECOND_ORDER

WRONG = 1e-2
SIZES = (0.1, 1e-2, 1e-3, 1e-4)
KINDS = {"second_order": "BoundaryValueProblem", "first_order": "TwoPointProblem"}


def solved(layer, kind, N, eps):
    """Return the error, the solution and whether solve() warned."""
    s = layer.grid(N)
    u = layer.exact(s, eps)
    guess = u[:, None] if kind == "second_order" else np.stack([u, np.gradient(u, s)], axis=-1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sol = ds.solve(getattr(layer, kind)(s, eps), guess, on_failure="return")
    error = np.abs(sol.y[:, 0] - u).max() / np.abs(u).max()
    return error, sol, any(issubclass(w.category, ds.DiscretisationWarning) for w in seen)


def main(N):
    print("| | eps | class | error | estimate | asymptotic | status | warned |\n|---|---|---|---|---|---|---|---|")
    silent = refused = total = 0
    for number, layer in SECOND_ORDER.items():
        if layer.exact is None:
            continue
        for size in SIZES:
            eps = 1 / (1 / size + 1) if number == 16 else size  # of odd 1 / eps the solution is the only one
            for kind, name in KINDS.items():
                error, sol, warned = solved(layer, kind, N, eps)
                status, stats = ds.Status(int(sol.status)), sol.stats
                is_told = warned or status != ds.Status.CONVERGED
                total += 1
                silent += error > WRONG and not is_told
                refused += error <= WRONG and is_told
                told = f"{float(stats.discretisation_error):.1e} | {bool(stats.is_asymptotic)} | {status.name}"
                print(f"| T{number} | {size:g} | {name} | {error:.1e} | {told} | {'yes' if warned else ''} |")
    print(f"\n{total} solves: {silent} wrong in silence, {refused} right and not trusted.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 401)
