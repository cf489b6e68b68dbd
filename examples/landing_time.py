"""A drag coefficient from the time at which a ball lands: a fit through an event.

A ball thrown upwards with speed v_0 obeys, with the drag of the air,

    h' = v,        v' = -g - c v |v|,

and lands at a time t_e(c), where h = 0. A stopwatch says when; which c is that? Newton's method needs dt_e/dc, which
by the implicit function theorem is

    dt_e/dc = -(dh/dc) / h'        at t_e,

and dh/dc is one more linear solve. On NumPy ``ds.sensitivity`` has it. On PyTorch, where it is installed, the time of
the event carries its own derivative, and ``backward`` finds it; on JAX ``jax.value_and_grad`` of the same ``landing``
does. All find the c that the measurement was made with.

c has a closed form to compare with: upwards v is a tangent, downwards a hyperbolic tangent of time.

Run: python examples/landing_time.py [picture.png]
"""

import importlib.util
import sys

import numpy as np

import deersolve as ds

G, SPEED = 9.81, 25.0  # m/s^2, m/s
TRUE, GUESS = 0.02, 0.005  # 1/m
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def flies(t, y, c):
    xp = ds.array_namespace(y)
    return xp.stack([y[1], -G - c * y[1] * abs(y[1])])


def lands(t, y, c):
    return y[0]


lands.terminal, lands.direction = True, -1


def landing(c, y0):
    """Return when it lands, and its speed then."""
    flight = ds.solve_ivp(flies, (0.0, 10.0), y0, args=(c,), events=lands, **TOLERANCE)
    return flight.t_events[0][0], flight.y_events[0][0, 1]


def exact(c):
    """Return when it lands, in closed form."""
    k, w = np.sqrt(c / G), np.sqrt(c * G)
    height = np.log(1 + c * SPEED**2 / G) / (2 * c)
    return np.arctan(k * SPEED) / w + np.arccosh(np.exp(c * height)) / w


def by_numpy(c):
    """Return t_e and dt_e/dc: the solve until t_e once more, and its sensitivity there."""
    y0 = np.array([0.0, SPEED])
    t, speed = landing(c, y0)

    def f(y, x, c):
        return np.stack([y[..., 1], -G - c * y[..., 1] * np.abs(y[..., 1])], axis=-1)

    problem = ds.InitialValueProblem(f, np.array([0.0, t]), y0, params=np.array(c))
    dy = ds.sensitivity(problem, ds.solve(problem, **TOLERANCE), {"params": np.array(1.0)})
    return float(t), float(-dy[-1, 0] / speed)


def by_torch(c):
    import torch

    c = torch.tensor(c, dtype=torch.float64, requires_grad=True)
    t, _ = landing(c, torch.tensor([0.0, SPEED], dtype=torch.float64))
    t.backward()
    return float(t.detach()), float(c.grad)


def fitted(time_and_slope, measured):
    """Return c by Newton's method for log(c), and the steps it took."""
    c = [GUESS]
    while len(c) < 20:
        t, slope = time_and_slope(c[-1])
        c.append(c[-1] * np.exp((measured - t) / (c[-1] * slope)))
        if abs(c[-1] - c[-2]) < 1e-6 * c[-1]:  # the next step would be the square of this one
            break
    return c


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, steps):
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for k, c in enumerate(steps):
        y0 = np.array([0.0, SPEED])
        flight = ds.solve_ivp(flies, (0.0, 10.0), y0, args=(c,), events=lands, dense_output=True, **TOLERANCE)
        t = np.linspace(0.0, flight.t[-1], 200)
        left.plot(t, flight.sol(t)[0], label=f"step {k}, c = {c:.5f} / m")
    left.axvline(exact(TRUE), color="0.7", zorder=0)
    left.set(xlabel="time (s)", ylabel="height (m)", title="Flights on the way to the measured time (grey)")
    left.legend(fontsize="small")
    right.semilogy(np.abs(np.array(steps) / TRUE - 1), "o-")
    right.set(xlabel="step of Newton's method", ylabel="relative error of c")
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    measured = exact(TRUE)
    for name, module, way in (("NumPy", "numpy", by_numpy), ("PyTorch", "torch", by_torch)):
        if not importlib.util.find_spec(module):
            continue
        steps = fitted(way, measured)
        print(f"{name}: c = {steps[-1]:.10f} / m after {len(steps) - 1} steps, {abs(steps[-1] / TRUE - 1):.1e} off")
        check(f"{name} finds the coefficient", abs(steps[-1] / TRUE - 1) < 1e-7)

    difference = (exact(TRUE + 1e-6) - exact(TRUE - 1e-6)) / 2e-6
    slope = by_numpy(TRUE)[1]
    print(f"dt/dc = {slope:.6f} s m, by differences of the closed form {difference:.6f} s m")
    check("the derivative of the event time is right", abs(slope / difference - 1) < 1e-6)
    if len(sys.argv) > 1:
        plot(sys.argv[1], fitted(by_numpy, measured))
