"""Initial value problems to an error: medians in turns, every rival at the loosest setting that reaches it.

``python benchmarks/bench_ivp.py [lv] [pendulum] [lorenz] [kepler] [vdp100] [robertson] [hires] [ensemble] [jax]
[torch] [rates] [loop]``; without names, all. Single problems on NumPy: to 1e-8 against odeint, LSODA, RK45 and DOP853,
stiff ones to 1e-6 against Radau, BDF, LSODA and odeint. ``ensemble``: 1,000 pendulums until t = 20 to 1e-6 on NumPy
against a loop of odeint calls; ``jax``: the same, compiled, against diffrax vmapped; ``torch``: against torchdiffeq.
``rates``: Robertson's equation with 10,000 sets of rates on JAX against Kvaerno5 vmapped. ``loop``: a `Recurrence` of
one RK4 step of 1,000 pendulums, 800 steps, against the loop by hand. A rival that is not installed is left out.

An error is the largest over the times of evaluation, of each component relative to its largest value, of the worst
component (and element). Settings are rtol = 10^(-k/2), of ensembles 10^-k; atol is 1e-3 of that, times the size of
the smallest component.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings

import numpy as np
import scipy.integrate
import scipy.special

import deersolve as ds
from ivp_sets import PROBLEMS
from timing import compare, header, table

SETTINGS = [10.0 ** (-k / 2) for k in range(6, 27)]
DECADES = [10.0**-k for k in range(5, 12)]  # of ensembles, where a setting may have to be compiled


class Case:
    """y' = fun(t, y) from y0 at the times; ``known`` is y at the last one, to the digits of two independent methods."""

    def __init__(self, fun, y0, times, known, target, size=1.0):
        self.fun, self.y0, self.times, self.known = fun, np.array(y0), times, np.array(known)
        self.target, self.size = target, size
        self.is_stiff = target > 1e-7

    def reference(self):
        method, rtol = ("Radau", 1e-11) if self.is_stiff else ("DOP853", 1e-13)
        y = self.scipy(method, rtol)
        off = (np.abs(y[:, -1] - self.known) / np.abs(y).max(axis=1)).max()
        assert off < 1e-3 * self.target, f"the reference is off by {off:.1e} at the end"
        return y

    def scipy(self, method, rtol):
        return self._found(scipy.integrate.solve_ivp, method, rtol)

    def ours(self, method, rtol):
        return self._found(ds.solve_ivp, method, rtol)

    def _found(self, solver, method, rtol):
        options = {"rtol": rtol, "atol": 1e-3 * self.size * rtol, "t_eval": self.times}
        found = solver(self.fun, (0.0, self.times[-1]), self.y0, method=method, **options)
        if not found.success:
            raise ArithmeticError(found.message)
        return found.y

    def odeint(self, rtol):
        options = {"rtol": rtol, "atol": 1e-3 * self.size * rtol, "mxstep": 100_000}
        return scipy.integrate.odeint(self.fun, self.y0, self.times, tfirst=True, **options).T


def row(*parts):
    return np.array(parts)


def lotka_volterra():
    def fun(t, y):
        return row(1.5 * y[0] - y[0] * y[1], y[0] * y[1] - 3.0 * y[1])

    return Case(fun, (1.0, 1.0), np.linspace(0, 10, 101), (1.0263447675750899, 0.9096910781360402), 1e-8)


def pendulum():
    known = (-1.6445675165127094, -0.8275778409430459)
    return Case(lambda t, y: row(y[1], -np.sin(y[0])), (2.0, 0.0), np.linspace(0, 20, 101), known, 1e-8)


def lorenz():
    def fun(t, y):
        return row(10.0 * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - 8.0 / 3.0 * y[2])

    known = (-8.17349993224225, -9.562023686798799, 24.620702049679664)
    return Case(fun, (1.0, 1.0, 1.0), np.linspace(0, 2, 101), known, 1e-8)


def kepler():
    start = (0.5, 0.0, 0.0, 3.0**0.5)
    return Case(PROBLEMS["D3"].fun, start, np.linspace(0, 6 * np.pi, 101), start, 1e-8)


def vdp100():
    def fun(t, y):
        return row(y[1], 100.0 * (1.0 - y[0] ** 2) * y[1] - y[0])

    known = (1.9989355768358275, -0.006672462034821017)
    return Case(fun, (2.0, 0.0), np.linspace(0, 163, 201), known, 1e-6)


def robertson():
    times = np.concatenate([[0.0], np.logspace(-5, 5, 100)])
    known = (0.01786592114213, 7.2747514684490e-08, 0.98213400611036)
    return Case(PROBLEMS["Robertson"].fun, (1.0, 0.0, 0.0), times, known, 1e-6, 1e-5)


def hires():
    p, T = PROBLEMS["HIRES"], 321.8122
    times = np.concatenate([[0.0], np.logspace(-3, np.log10(T), 100)])
    times[-1] = T
    return Case(p.fun, p.y0, times, p.published, 1e-6, p.size)


SINGLE = {
    "lv": lotka_volterra,
    "pendulum": pendulum,
    "lorenz": lorenz,
    "kepler": kepler,
    "vdp100": vdp100,
    "robertson": robertson,
    "hires": hires,
}


def loosest(runs, error, target, settings):
    """Return the first setting of every run(rtol) whose error is at most the target, and that error."""
    found = {}
    for name, run in runs.items():
        for rtol in settings:
            try:
                off = error(run(rtol))
            except (ArithmeticError, ds.DeerError):
                continue
            if off <= target:
                found[name] = rtol, off
                break
        else:
            print(f"{name}: no setting reaches {target:.0e}")
    return found


def timed(title, runs, error, target, repeats=0):
    """Return the rows of a table: the runs at their settings in turns, as times the first that is ours."""
    found = loosest(runs, error, target, DECADES if repeats else SETTINGS)
    times = compare({name: (lambda n=name, r=rtol: runs[n](r)) for name, (rtol, _) in found.items()}, repeats or 7)
    base = next((times[name].median for name in found if name.startswith("ours")), float("nan"))
    return [
        [title, name, f"{rtol:.0e}", f"{off:.1e}", 1e3 * times[name].median, f"{times[name].median / base:.2f}"]
        for name, (rtol, off) in found.items()
    ]


def single(name):
    case = SINGLE[name]()
    known = case.reference()
    largest = np.abs(known).max(axis=1, keepdims=True)
    runs = {"ours": lambda r: case.ours("auto", r)}
    for method in ("Radau",) if case.is_stiff else ("DOP853", "RK45"):
        runs[f"ours, {method}"] = lambda r, m=method: case.ours(m, r)
    runs["odeint"] = case.odeint
    for method in ("Radau", "BDF", "LSODA") if case.is_stiff else ("DOP853", "RK45", "LSODA"):
        runs[f"SciPy {method}"] = lambda r, m=method: case.scipy(m, r)
    return timed(name, runs, lambda y: float((np.abs(y - known) / largest).max()), case.target)


# Ensembles ---------------------------------------------------------------------------------------------------------

COUNT, T, TARGET = 1000, 20.0, 1e-6
ANGLES = np.linspace(0.1, 2.5, COUNT)


def pendulums_exact():
    """Return (theta, theta') at T of pendulums let go at ANGLES: sin(theta / 2) = k cd(t, k), k = sin(angle / 2)."""
    k = np.sin(ANGLES / 2)
    sn, cn, dn, _ = scipy.special.ellipj(T, k**2)
    return np.stack([2 * np.arcsin(k * cn / dn), -2 * k * np.sqrt(1 - k**2) * sn / dn], axis=-1)


def error_at_the_end(known):
    largest = np.abs(known).max(axis=0)
    return lambda y: float((np.abs(np.asarray(y) - known) / largest).max())


def swing(xp):
    return lambda y, t, params: xp.stack([y[..., 1], -xp.sin(y[..., 0])], axis=-1)


def ours_at_the_end(f, y0, times, rtol, x=None, **options):
    problem = ds.InitialValueProblem(f, times, y0, x)
    return ds.solve(problem, rtol=rtol, **{"atol": 1e-3 * rtol, **options}).y[..., -1, :]


def ensemble():
    y0, times = np.stack([ANGLES, 0 * ANGLES], axis=-1), np.array([0.0, T])

    def loop(rtol):
        def fun(t, y):
            return [y[1], -np.sin(y[0])]

        options = {"rtol": rtol, "atol": 1e-3 * rtol, "tfirst": True, "mxstep": 100_000}
        return np.stack([scipy.integrate.odeint(fun, start, times, **options)[-1] for start in y0])

    runs = {"ours, NumPy": lambda r: ours_at_the_end(swing(np), y0, times, r), "loop of odeint": loop}
    return timed(f"{COUNT} pendulums", runs, error_at_the_end(pendulums_exact()), TARGET, 5)


def with_jax():
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy


def diffrax_at_the_end(solver, rate, t_end, rtol, atol):
    """Return a compiled function of (y0, args), the y(t_end) of every element, each with steps of its own."""
    import diffrax as dx

    jax, _ = with_jax()
    more = {"stepsize_controller": dx.PIDController(rtol=rtol, atol=atol), "max_steps": 100_000}

    def one(y0, args):
        return dx.diffeqsolve(dx.ODETerm(rate), solver, 0.0, t_end, None, y0, args, **more).ys[-1]

    return jax.jit(jax.vmap(one))


def cached(make):
    """Return run(rtol) of make(rtol), which compiles; every setting is compiled once."""
    made = {}

    def run(rtol):
        if rtol not in made:
            made[rtol] = make(rtol)
        return made[rtol]()

    return run


def on_jax():
    jax, jnp = with_jax()
    y0, times = jnp.stack([jnp.asarray(ANGLES), 0 * jnp.asarray(ANGLES)], axis=-1), jnp.asarray([0.0, T])

    def ours(rtol):
        compiled = jax.jit(lambda y0: ours_at_the_end(swing(jnp), y0, times, rtol))
        return lambda: compiled(y0)

    runs = {"ours, JAX": cached(ours)}
    if importlib.util.find_spec("diffrax"):
        import diffrax as dx

        def rate(t, y, args):
            return jnp.stack([y[1], -jnp.sin(y[0])])

        for solver in (dx.Tsit5(), dx.Dopri8()):

            def vmapped(rtol, solver=solver):
                compiled = diffrax_at_the_end(solver, rate, T, rtol, 1e-3 * rtol)
                return lambda: compiled(y0, None)

            runs[f"diffrax {type(solver).__name__}"] = cached(vmapped)
    return timed(f"{COUNT} pendulums", runs, error_at_the_end(pendulums_exact()), TARGET, 5)


def on_torch():
    import torch

    y0, times = torch.tensor(np.stack([ANGLES, 0 * ANGLES], axis=-1)), torch.tensor([0.0, T], dtype=torch.float64)
    runs = {"ours, PyTorch": lambda r: ours_at_the_end(swing(torch), y0, times, r)}
    if importlib.util.find_spec("torchdiffeq"):
        from torchdiffeq import odeint

        def rate(t, y):
            return torch.stack([y[..., 1], -torch.sin(y[..., 0])], dim=-1)

        for method in ("dopri5", "dopri8"):
            runs[f"torchdiffeq {method}"] = lambda r, m=method: odeint(
                rate, y0, times, rtol=r, atol=1e-3 * r, method=m
            )[-1]
    else:
        print("torchdiffeq is not installed")
    return timed(f"{COUNT} pendulums", runs, error_at_the_end(pendulums_exact()), TARGET, 5)


SETS_OF_RATES, LAST, SAMPLE = 10_000, 1e5, 20


def rates():
    """(0.04, 1e4, 3e7), each times a number between 1 / 3 and 3; errors of SAMPLE of them, by Radau at 1e-10."""
    jax, jnp = with_jax()
    drawn = np.random.default_rng(0).uniform(-1.0, 1.0, (SETS_OF_RATES, 3))
    k = np.array([0.04, 1e4, 3e7]) * 3.0**drawn
    y0, times = jnp.asarray(np.tile([1.0, 0.0, 0.0], (SETS_OF_RATES, 1))), jnp.asarray([0.0, LAST])

    def change(y, k):
        first, second, third = k[..., 0] * y[..., 0], k[..., 1] * y[..., 1] * y[..., 2], k[..., 2] * y[..., 1] ** 2
        return second - first, first - second - third, third

    tight = {"method": "Radau", "rtol": 1e-10, "atol": 1e-16}
    sample = range(0, SETS_OF_RATES, SETS_OF_RATES // SAMPLE)
    known = np.stack(
        [
            scipy.integrate.solve_ivp(
                lambda t, y, i=i: np.array(change(y, k[i])), (0.0, LAST), [1.0, 0.0, 0.0], **tight
            ).y[:, -1]
            for i in sample
        ]
    )
    measure = error_at_the_end(known)
    given = jnp.asarray(k)

    def ours(rtol):
        def f(y, k, params):
            return jnp.stack(change(y, k), axis=-1)

        options = {"atol": 1e-8 * rtol, "inverse": "radau9"}
        compiled = jax.jit(lambda k: ours_at_the_end(f, y0, times, rtol, k[:, None, :], **options))
        return lambda: compiled(given)

    runs = {"ours, JAX": cached(ours)}
    if importlib.util.find_spec("diffrax"):
        import diffrax as dx

        def rate(t, y, k):
            return jnp.stack(change(y, k))

        def vmapped(rtol):
            compiled = diffrax_at_the_end(dx.Kvaerno5(), rate, LAST, rtol, 1e-8 * rtol)
            return lambda: compiled(y0, given)

        runs["diffrax Kvaerno5"] = cached(vmapped)
    title = f"{SETS_OF_RATES} sets of Robertson's rates"
    return timed(title, runs, lambda y: measure(np.asarray(y)[list(sample)]), TARGET, 3)


# A recurrence of a large batch -------------------------------------------------------------------------------------

STEPS = 800


def rk4(rate, D):
    """Return one step of the classical method, for y of any shape."""

    def step(y, x=None, params=None):
        k1 = rate(y, None, None)
        k2 = rate(y + D / 2 * k1, None, None)
        k3 = rate(y + D / 2 * k2, None, None)
        k4 = rate(y + D * k3, None, None)
        return y + D / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


def by_hand(xp, step, y0):
    def run():
        y, rows = y0, []
        for _ in range(STEPS):
            y = step(y)
            rows.append(y)
        return xp.stack(rows, -2)

    return run


def loops():
    """Return the rows of all three libraries; errors are those from the loop by hand."""
    import torch

    jax, jnp = with_jax()
    start, rows = np.stack([ANGLES, 0 * ANGLES], axis=-1), []
    for xp, asarray in ((np, np.asarray), (torch, torch.asarray), (jnp, jnp.asarray)):
        step, y0 = rk4(swing(xp), T / STEPS), asarray(start)
        ours, theirs = lambda y0, step=step: ds.solve(ds.Recurrence(step, y0, n_points=STEPS)).y, by_hand(xp, step, y0)
        if xp is jnp:
            scan = jax.jit(lambda y0, step=step: jax.lax.scan(lambda y, _: (step(y),) * 2, y0, length=STEPS)[1])
            ours, theirs = jax.jit(ours), lambda scan=scan, y0=y0: scan(y0)
        runs = {"ours": lambda ours=ours, y0=y0: ours(y0), "by hand": theirs}
        a, b = (np.asarray(run()) for run in runs.values())
        off, times = float(np.abs(a - (np.moveaxis(b, 0, 1) if xp is jnp else b)).max()), compare(runs, 11)
        rows += [[f"RK4 on {xp.__name__}", name, "-", f"{off:.0e}", 1e3 * times[name].median,
                  f"{times[name].median / times['ours'].median:.2f}"] for name in runs]  # fmt: skip
    return rows


SECTIONS = {**{name: (lambda n=name: single(n)) for name in SINGLE}, "ensemble": ensemble}
SECTIONS |= {"jax": on_jax, "torch": on_torch, "rates": rates, "loop": loops}


def main():
    warnings.simplefilter("ignore", ds.DiscretisationWarning)
    warnings.simplefilter("ignore", scipy.integrate.ODEintWarning)
    unknown = set(sys.argv[1:]) - set(SECTIONS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    print(header("deersolve", "numpy", "scipy", "jax", "diffrax", "torch", "torchdiffeq") + "\n")
    titles = ["", "", "rtol", "error", "ms", "times ours"]
    for name in sys.argv[1:] or SECTIONS:
        print(table(titles, SECTIONS[name]()) + "\n", flush=True)


if __name__ == "__main__":
    main()
