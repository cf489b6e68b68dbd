"""Schroedinger's equation, i u_t = -u_ss - g |u|^2 u, on a ring: a complex state.

Linear (g = 0), a Gaussian packet that spreads, by the method of lines with a matrix of exact second derivatives; cubic
(g = 2), a soliton that keeps its shape, by finite volumes with the flux -i u_s. You see complex arrays go in and come
out, though |u|^2 has no complex derivative. Checked: both against their closed forms, the norm of the linear equation,
which the trapezoidal rule keeps to roundoff, and the gradient by the complex start against differences.

Run: python examples/schroedinger.py [picture.png]
"""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np

import deersolve as ds

IS_SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def packet(s, t):
    """A Gaussian packet at rest."""
    return np.exp(-s * s / (4 * (1 + 1j * t))) / np.sqrt(1 + 1j * t)


def soliton(s, t, v=1.5):
    """A soliton with the speed v."""
    return np.exp(1j * (v / 2 * s + (1 - v * v / 4) * t)) / np.cosh(s - v * t)


def by_lines(n=32, length=24.0):
    """Return points and the matrix of d2/ds2 of trigonometric polynomials on a ring."""
    k = 2 * np.pi * np.fft.fftfreq(n, length / n)
    matrix = np.fft.ifft(-(k[:, None] ** 2) * np.fft.fft(np.eye(n), axis=0), axis=0).real
    return length / n * (np.arange(n) - n / 2), matrix


def norm(u):
    return np.sum(abs(u) ** 2, axis=-1)


def spreading():
    s, D2 = by_lines()
    t = np.linspace(0.0, 1.0, 101)
    linear = ds.InitialValueProblem(lambda u, t, D2: 1j * (u @ D2), t, packet(s, 0.0) + 0j, params=D2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.DiscretisationWarning)  # far out u is nothing, and so is its error
        sol = ds.solve(linear)
    off, drift = abs(sol.y_corrected - packet(s, t[:, None])).max(), np.ptp(norm(sol.y)) / norm(sol.y[0])
    print(f"packet: {sol.y.shape} {sol.y.dtype}, off by {off:.1e}; its norm changes by {drift:.1e}")
    check("the packet is that of the closed form", off < 1e-5)
    check("the norm is kept to roundoff", drift < 1e-13)


def travelling(N, T):
    """Return the problem of a soliton in N cells at T times, its cells and times."""
    edges, t = np.linspace(-10.0, 14.0, N + 1), np.linspace(0.0, 2.0, T)
    h, s = edges[1] - edges[0], 0.5 * (edges[1:] + edges[:-1])

    def flux(left, right, x, g):
        return -1j * (right - left) / h

    def f(u, u_s, x, g):
        return 1j * g * abs(u) ** 2 * u

    ring = {"left": ds.Periodic(), "right": ds.Periodic(), "cells": True, "flux": flux}
    return ds.Evolution1D(f, t, edges, soliton(s, 0.0)[:, None], 0.0, params=np.array(2.0), **ring), s, t


def main():
    spreading()
    errors = []
    for N, T in ((100, 51), (200, 101)) if IS_SMALL else ((200, 101), (400, 201)):
        problem, s, t = travelling(N, T)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds.DiscretisationWarning)  # of the coarse one
            sol = ds.solve(problem, inverse="trapezoid")
        errors.append(abs(sol.y[..., 0] - soliton(s, t[:, None])).max())
        print(f"soliton in {N} cells at {T} times: off by {errors[-1]:.1e}")
    check("the soliton is that of the closed form", errors[1] < 0.02)
    check("half of both steps leave a quarter of the error", abs(errors[0] / errors[1] - 4) < 0.5)
    gradient()
    if len(sys.argv) > 1:
        sol.plot().savefig(sys.argv[1], dpi=120)


def gradient():
    """The gradient of what is right of the origin at the end, by the start, which is complex."""
    problem, s, _ = travelling(50, 26)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds.DiscretisationWarning)
        sol = ds.solve(problem)
        right = (s > 0)[:, None]
        cotangent = np.zeros_like(sol.y)
        cotangent[-1] = 2 * right * sol.y[-1]
        bar = ds.adjoint(problem, sol, cotangent, wrt="u0")["u0"]
        rng, u0, h = np.random.default_rng(0), soliton(s, 0.0)[:, None], 1e-6
        change = rng.normal(size=u0.shape) + 1j * rng.normal(size=u0.shape)

        def mass(u0):
            problem, *_ = travelling(50, 26)
            problem.boundary = ds.Initial(u0)
            return np.sum(right * abs(ds.solve(problem).y[-1]) ** 2)

        difference = (mass(u0 + h * change) - mass(u0 - h * change)) / (2 * h)
    along = np.sum((bar.conj() * change).real)
    print(f"gradient along a direction {along:.8g}, by a difference {difference:.8g}")
    check("the gradient is that of differences", abs(along / difference - 1) < 1e-5)


if __name__ == "__main__":
    main()
