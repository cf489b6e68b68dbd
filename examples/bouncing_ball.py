"""A ball that bounces: each flight ends at an event, the next one begins with the speed turned round.

Between two bounces height and speed obey

    h' = v,        v' = -g;

at the ground v becomes -e v, with a coefficient of restitution e. A flight is a solve with a terminal event, and a
bounce a restart from there; ``DenseOutput.then`` makes one function of time of all flights, in which v jumps. From
height H the n-th bounce is, in closed form, at

    t_n = sqrt(2 H / g) (1 + 2 (e + e^2 + ... + e^{n-1})),

so that infinitely many of them are over at a finite time. On PyTorch, where it is installed, the same chain of solves
gives the derivative of the last of these times by e, through all bounces before it.

Run: python examples/bouncing_ball.py [picture.png]
"""

import importlib.util
import sys

import numpy as np

import deersolve as ds

G, H, E = 9.81, 2.0, 0.8  # m/s^2, m, 1
BOUNCES = 6
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def flies(t, y):
    return [y[1], -G]


def on_the_ground(t, y):
    return y[0]


on_the_ground.terminal, on_the_ground.direction = True, -1


def bouncing(y, e):
    """Return the flights until the last bounce, from y = (height, speed) of any library."""
    turned = ds.array_namespace(y).stack
    t, flights = 0.0, []
    for _ in range(BOUNCES):
        flight = ds.solve_ivp(flies, (0.0, 10.0), y, events=on_the_ground, **TOLERANCE)
        t = t + flight.t_events[0][0]
        flights.append((t, flight))
        y = turned([0.0 * y[0], -e * flight.y_events[0][0, 1]])
    return flights


def in_one(flights):
    """Return height and speed as one function of time."""
    starts = [0.0, *(t for t, _ in flights[:-1])]
    outputs = [ds.DenseOutput(start + f.solution.dense.t, f.solution.dense.coefficients)
               for start, (_, f) in zip(starts, flights, strict=True)]  # fmt: skip
    return outputs[0].then(*outputs[1:])


def exact(e, n):
    return np.sqrt(2 * H / G) * (1 + 2 * sum(e**k for k in range(1, n)))


def by_torch():
    """Return the derivative of the time of the last bounce by e."""
    import torch

    e = torch.tensor(E, dtype=torch.float64, requires_grad=True)
    t, _ = bouncing(torch.tensor([H, 0.0], dtype=torch.float64), e)[-1]
    t.backward()
    return float(e.grad)


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, y, times):
    import matplotlib.pyplot as plt

    t = np.linspace(0.0, times[-1], 1000)
    fig, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    for k, label in enumerate(("height (m)", "speed (m/s)")):
        axes[k].plot(t, y(t)[:, k], color=f"C{k}")
        axes[k].set(ylabel=label)
    axes[0].plot(times, np.zeros_like(times), "k.")
    axes[0].set_title("A ball that bounces")
    axes[1].set(xlabel="time (s)")
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    flights = bouncing(np.array([H, 0.0]), E)
    times = np.array([t for t, _ in flights])
    expected = np.array([exact(E, n + 1) for n in range(BOUNCES)])
    print("bounces at", np.round(times, 4), "s")
    print(f"largest distance from the closed form {np.abs(times - expected).max():.1e} s")
    check("the bounces are where they should be", np.abs(times - expected).max() < 1e-8)

    y = in_one(flights)
    before, after = y(times[2], side="left")[1], y(times[2])[1]
    print(f"speed at the third bounce: {before:.4f} m/s before it, {after:.4f} m/s behind it")
    check("the speed is turned round there", abs(after + E * before) < 1e-9)

    if importlib.util.find_spec("torch"):
        slope, known = by_torch(), np.sqrt(2 * H / G) * 2 * sum(k * E ** (k - 1) for k in range(1, BOUNCES))
        print(f"dt/de of the last bounce: {slope:.9f} s by backward, {known:.9f} s in closed form")
        check("the derivative passes through all bounces", abs(slope - known) < 1e-7 * known)
    if len(sys.argv) > 1:
        plot(sys.argv[1], y, times)
