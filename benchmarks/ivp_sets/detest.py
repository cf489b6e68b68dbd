"""DETEST: 25 equations without stiffness on [0, 20].

T. E. Hull, W. H. Enright, B. M. Fellen, A. E. Sedgwick, Comparing numerical methods for ordinary differential
equations, SIAM J. Numer. Anal. 9 (1972). ``published`` are the values at t = 20 of W. H. Enright, J. D. Pryce, Two
FORTRAN packages for assessing initial value methods, ACM TOMS 13 (1987), Algorithm 648.
"""

from __future__ import annotations

import numpy as np

from .records import Problem, linear
from .records import row as stacked

T = 20.0


def row(*parts):
    return stacked(parts)


def tridiagonal(below, diagonal, above):
    return np.diag(diagonal) + np.diag(below, -1) + np.diag(above, 1)


def unit(n):
    return (1.0,) + (0.0,) * (n - 1)


def orbit(t, y):
    r3 = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return row(y[2], y[3], -y[0] / r3, -y[1] / r3)


def rings(t, y):  # B4
    r = np.sqrt(y[0] ** 2 + y[1] ** 2)
    return row(-y[1] - y[0] * y[2] / r, y[0] - y[1] * y[2] / r, y[0] / r)


K2, M0 = 2.95912208286, 1.00000597682
MASSES = np.array([0.954786104043e-3, 0.285583733151e-3, 0.437273164546e-4, 0.517759138449e-4, 0.277777777778e-5])
PLANETS = """
3.42947415189 3.35386959711 1.35494901715 6.64145542550 5.97156957878 2.18231499728 11.2630437207 14.6952576794
6.27960525067 -30.1552268759 1.65699966404 1.43785752721 -21.1238353380 28.4465098142 15.3882659679
-.557160570446 .505696783289 .230578543901 -.415570776342 .365682722812 .169143213293 -.325325669158 .189706021964
.0877265322780 -.0240476254170 -.287659532608 -.117219543175 -.176860753121 -.216393453025 -.0148647893090
"""


def planets(t, y):
    """C5: the sun and five outer planets, with position (planet, axis, ...) relative to the sun."""
    q = y[:15].reshape((5, 3, *y.shape[1:]))
    m = MASSES.reshape((5, 1) + (1,) * (y.ndim - 1))
    r3 = (q**2).sum(axis=1, keepdims=True) ** 1.5
    apart = q[None] - q[:, None]  # from planet j, second axis, as seen from planet i
    d2 = (apart**2).sum(axis=2, keepdims=True)
    d2[np.arange(5), np.arange(5)] = 1.0
    pull = (m[None] * apart / d2**1.5).sum(axis=1)
    drag = (m * q / r3).sum(axis=0) - m * q / r3
    force = K2 * (pull - (M0 + m) * q / r3 - drag)
    return np.concatenate([y[15:], force.reshape((15, *y.shape[1:]))])


_C4 = tuple(tridiagonal([1.0] * (n - 1), [-2.0] * n, [1.0] * (n - 1)) for n in (10, 51))
_MOVES = np.arange(1.0, 10.0)


def _d(name, e, published):
    y0 = (1.0 - e, 0.0, 0.0, ((1.0 + e) / (1.0 - e)) ** 0.5)
    return Problem(name, orbit, y0, T, False, published=published)


DETEST = [
    Problem("A1", lambda t, y: -y, (1.0,), T, False, published=(2.061153353012535e-09,)),
    Problem("A2", lambda t, y: -0.5 * y**3, (1.0,), T, False, published=(2.182178902359887e-01,)),
    Problem("A3", lambda t, y: y * np.cos(t), (1.0,), T, False, published=(2.491650271850414e00,)),
    Problem("A4", lambda t, y: y / 4.0 * (1.0 - y / 20.0), (1.0,), T, False, published=(1.773016648131483e01,)),
    Problem("A5", lambda t, y: (y - t) / (y + t), (4.0,), T, False, published=(-7.887826688964196e-01,)),
    Problem(
        "B1",
        lambda t, y: row(2.0 * (y[0] - y[0] * y[1]), y[0] * y[1] - y[1]),
        (1.0, 3.0),
        T,
        False,
        published=(6.761876008576667e-01, 1.860816099640036e-01),
    ),
    linear(
        "B2",
        tridiagonal([1.0, 1.0], [-1.0, -2.0, -1.0], [1.0, 1.0]),
        (2.0, 0.0, 1.0),
        T,
        False,
        published=(1.000000001030576, 1.0, 9.999999989694235e-01),
    ),
    Problem(
        "B3",
        lambda t, y: row(-y[0], y[0] - y[1] ** 2, y[1] ** 2),
        (1.0, 0.0, 0.0),
        T,
        False,
        published=(2.061153488557776e-09, 5.257228022048349e-02, 9.474277177183630e-01),
    ),
    Problem(
        "B4",
        rings,
        (3.0, 0.0, 0.0),
        T,
        False,
        published=(9.826950928005993e-01, 2.198447081694832e00, 9.129452507276399e-01),
    ),
    Problem(
        "B5",
        lambda t, y: row(y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]),
        (0.0, 1.0, 1.0),
        T,
        False,
        published=(-9.396570798729192e-01, -3.421177754000779e-01, 7.414126596199957e-01),
    ),
    linear(
        "C1",
        tridiagonal([1.0] * 9, [-1.0] * 9 + [0.0], [0.0] * 9),
        unit(10),
        T,
        False,
        published=(2.061153622240064e-09, 4.122307244619555e-08, 4.122307244716968e-07, 2.748204829855288e-06),
    ),
    linear(
        "C2",
        tridiagonal(_MOVES, [*-_MOVES, 0.0], [0.0] * 9),
        unit(10),
        T,
        False,
        published=(2.061153577984930e-09, 2.061153573736588e-09, 2.061153569488245e-09, 2.061153565239902e-09),
    ),
    linear(
        "C3",
        _C4[0],
        unit(10),
        T,
        False,
        published=(2.948119211022058e-03, 5.635380154844266e-03, 7.829072515926013e-03, 9.348257908594937e-03),
    ),
    linear(
        "C4",
        _C4[1],
        unit(51),
        T,
        False,
        published=(3.124111453721466e-03, 6.015416842150318e-03, 8.470021834842650e-03, 1.033682931733337e-02),
    ),
    Problem(
        "C5",
        planets,
        tuple(map(float, PLANETS.split())),
        T,
        False,
        published=(
            -4.792730224323733,
            -2.420550725448973,
            -9.212509306014886e-01,
            -4.217310404035213,
            7.356202947498970,
        ),
    ),
    _d("D1", 0.1, (2.198835352008397e-01, 9.427076846341813e-01, -9.787659841058176e-01, 3.287977990962036e-01)),
    _d("D2", 0.3, (-1.777027357140412e-01, 9.467784719905892e-01, -1.030294163192969e00, 1.211074890053952e-01)),
    _d("D3", 0.5, (-5.780432953035361e-01, 8.633840009194193e-01, -9.595083730380727e-01, -6.504915126712089e-02)),
    _d("D4", 0.7, (-9.538990293416394e-01, 6.907409024219432e-01, -8.212674270877433e-01, -1.539574259125825e-01)),
    _d("D5", 0.9, (-1.295266250987574e00, 4.003938963792321e-01, -6.775390924707566e-01, -1.270838154278686e-01)),
    Problem(
        "E1",
        lambda t, y: row(y[1], -(y[1] / (t + 1.0) + (1.0 - 0.25 / (t + 1.0) ** 2) * y[0])),
        (0.79788456080286536 * 0.84147098480789651, 0.79788456080286536 * 0.11956681346419146),
        T,
        False,
        published=(1.456723600728308e-01, -9.883500195574063e-02),
    ),
    Problem(
        "E2",
        lambda t, y: row(y[1], (1.0 - y[0] ** 2) * y[1] - y[0]),
        (2.0, 0.0),
        T,
        False,
        published=(2.008149762174948, -4.250887527320057e-02),
    ),
    Problem(
        "E3",
        lambda t, y: row(y[1], y[0] ** 3 / 6.0 - y[0] + 2.0 * np.sin(2.78535 * t)),
        (0.0, 0.0),
        T,
        False,
        published=(-1.004178858647128e-01, 2.411400132095954e-01),
    ),
    Problem(
        "E4",
        lambda t, y: row(y[1], 0.032 - 0.4 * y[1] ** 2),
        (30.0, 0.0),
        T,
        False,
        published=(3.395091444646555e01, 2.767822659672869e-01),
    ),
    Problem(
        "E5",
        lambda t, y: row(y[1], np.sqrt(1.0 + y[1] ** 2) / (25.0 - t)),
        (0.0, 0.0),
        T,
        False,
        published=(1.411797390542629e01, 2.400000000000002),
    ),
]
