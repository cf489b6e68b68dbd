"""Where the built-in rules are."""

from __future__ import annotations

HOMES = {
    "d2dx2.blocktridiagonal": "elliptic_banded",
    "ddt.backward_euler": "theta",
    "ddt.dopri5": "explicit",
    "ddt.dopri8": "explicit",
    "ddt.exponential": "exponential",
    "ddt.exponential_left": "exponential",
    "ddt.exponential_linear": "exponential",
    "ddt.exponential_right": "exponential",
    "ddt.gauss10": "collocation",
    "ddt.gauss2": "collocation",
    "ddt.gauss4": "collocation",
    "ddt.gauss6": "collocation",
    "ddt.gauss8": "collocation",
    "ddt.radau5": "collocation",
    "ddt.radau9": "collocation",
    "ddt.trapezoid": "theta",
    "ddt.trbdf2": "runge_kutta_scan",
    "ddx.twopoint": "two_point",
    "heat.backward_euler": "runge_kutta_banded",
    "heat.trapezoid": "runge_kutta_banded",
    "heat.trbdf2": "runge_kutta_banded",
    "heat2d.backward_euler": "runge_kutta_krylov",
    "heat2d.trapezoid": "runge_kutta_krylov",
    "heat2d.trbdf2": "runge_kutta_krylov",
    "heat3d.backward_euler": "runge_kutta_krylov",
    "heat3d.trapezoid": "runge_kutta_krylov",
    "heat3d.trbdf2": "runge_kutta_krylov",
    "laplace.direct": "elliptic_sparse",
    "laplace.krylov": "elliptic_krylov",
    "laplace2d.direct": "elliptic_sparse",
    "laplace2d.krylov": "elliptic_krylov",
    "shift.scan": "recurrence",
}
"""The file that registers each built-in rule: it is imported when the rule is first asked for."""
