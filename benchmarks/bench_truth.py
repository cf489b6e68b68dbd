"""How true are the answers of an initial value solver at a tolerance? DETEST, STIFF DETEST, the Bari test set.

``python benchmarks/bench_truth.py [solver] [detest] [stiff] [bari] [names of problems] [1e-3] [1e-6] [1e-9]``; the
solver is ``deersolve`` (as given by default), or SciPy's RK45, DOP853, Radau, BDF or LSODA, all with their defaults;
without names all 65 problems, without numbers all three relative tolerances. The absolute tolerance is 1e-3 times
that, times the size of the smallest component that matters (``size`` of ``ivp_sets``, 1 where nothing is said).

An error is that at the end, the largest of |y_i - reference_i| / (atol + rtol largest |y_i| on the way): 1 is the
tolerance. Every solve has a process and LIMIT
seconds of its own, so that a hang is a result; times are those of a second solve. A solve is *wrong in
silence* if it is off by more than 100 tolerances and neither failed nor warned.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
import warnings

import numpy as np
import scipy.integrate

import deersolve as ds
from ivp_sets import PROBLEMS, SETS
from timing import header, table

LIMIT = 60.0
RTOLS = (1e-3, 1e-6, 1e-9)
GOOD, FAIR = 10.0, 100.0
RIVALS = ("RK45", "DOP853", "Radau", "BDF", "LSODA")


def solve(solver, problem, rtol):
    span, y0 = (0.0, problem.t_end), np.array(problem.y0)
    options = {"rtol": rtol, "atol": problem.atol(rtol)}
    if solver == "deersolve":
        return ds.solve_ivp(problem.fun, span, y0, **options)
    return scipy.integrate.solve_ivp(problem.fun, span, y0, method=solver, **options)


def attempt(solver, problem, rtol):
    """Return the error, what was said, and the seconds that it took."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found = solve(solver, problem, rtol)
        except Exception as error:  # whatever it is, it is the result
            return float("nan"), f"{type(error).__name__}: {error}", time.perf_counter() - start
    took = time.perf_counter() - start
    if not found.success:
        return float("nan"), f"status {found.status}: {found.message}", took
    warned = [w for w in seen if issubclass(w.category, ds.DiscretisationWarning)]
    return problem.error(found.y[:, -1], rtol), "warned" if warned else "", took


def twice(solver, problem, rtol):
    """Return what a first solve found, and the seconds of a second one: the first may compile."""
    error, said, took = attempt(solver, problem, rtol)
    return error, said, attempt(solver, problem, rtol)[2] if took < LIMIT / 4 and not said else took


def in_a_process(solver, problem, rtol):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=lambda: there.send(twice(solver, problem, rtol)), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(LIMIT) else (float("nan"), f"more than {LIMIT:.0f} s", LIMIT)
    except EOFError:
        return float("nan"), "the process died", float("nan")
    finally:
        process.kill()
        process.join()


def verdict(error, said):
    if said == "" and not error <= FAIR:
        return "SILENT"
    return said.split(":")[0] if said else ""


def summary(results):
    rows = []
    for rtol, found in results.items():
        errors = np.array([error for error, _, _ in found.values()])
        said = [word for _, word, _ in found.values()]
        slow = sum(word.startswith("more than") for word in said)
        honest = sum(bool(word) for word in said) - slow
        silent = [name for name, (error, word, _) in found.items() if verdict(error, word) == "SILENT"]
        shares = [f"{100 * np.mean(errors <= bound):.0f} %" for bound in (GOOD, FAIR)]
        total = f"{np.nansum([t for _, _, t in found.values()]):.1f}"
        median = 1e3 * statistics.median(t for _, _, t in found.values())
        middle = f"{np.nanmedian(errors):.2g}"
        rows.append(
            [f"{rtol:.0e}", len(found), *shares, middle, honest, slow, len(silent), median, total, *[", ".join(silent)]]
        )
    titles = [
        "rtol",
        "solves",
        "<= 10",
        "<= 100",
        "median error",
        "honest failures",
        f"over {LIMIT:.0f} s",
        "wrong in silence",
    ]
    return table([*titles, "median ms", "all, s", "silent"], rows)


def main():
    words = sys.argv[1:]
    solver = next((word for word in words if word in RIVALS), "deersolve")
    rtols = [float(word) for word in words if word.startswith("1e-")] or RTOLS
    chosen = [p for name, problems in SETS.items() if name in words for p in problems]
    chosen += [PROBLEMS[word] for word in words if word in PROBLEMS]
    known = {solver, "deersolve", *SETS, *PROBLEMS}
    unknown = [word for word in words if word not in known and not word.startswith("1e-")]
    if unknown or (solver == "deersolve" and "solve_ivp" not in ds.__all__):
        sys.exit(f"unknown: {unknown or 'deersolve.solve_ivp'}")
    chosen = chosen or list(PROBLEMS.values())
    for name in ("B5", "SD2"):  # imports and what is compiled, in the parent of all processes
        attempt(solver, PROBLEMS[name], 1e-3)
    print(header("deersolve", "numpy", "scipy"), f"\n\n{solver}: error in tolerances, ms, and what was said\n")
    results = {rtol: {} for rtol in rtols}
    messages = {}
    titles = ["", "n", *(f"{rtol:.0e}" for rtol in rtols)]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for problem in chosen:
        cells = []
        for rtol in rtols:
            error, said, took = results[rtol][problem.name] = in_a_process(solver, problem, rtol)
            cells.append(f"{error:.2g}, {1e3 * took:.0f} {verdict(error, said)}")
            if said:
                messages.setdefault(said, []).append(f"{problem.name} at {rtol:.0e}")
        print(f"| {problem.name} | {len(problem.y0)} | " + " | ".join(cells) + " |", flush=True)
    print("\n" + summary(results))
    print("\n" + "\n".join(f"- {', '.join(where)}: {said}" for said, where in messages.items()))


if __name__ == "__main__":
    main()
