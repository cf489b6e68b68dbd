"""Ten ordinary differential equations of the Bari test set for initial value problems.

F. Mazzia, C. Magherini, Test Set for Initial Value Problem Solvers, release 2.4, University of Bari (2008); most are
in E. Hairer, G. Wanner, Solving Ordinary Differential Equations I and II. ``published`` are the values at t_end of the
set, of quadruple precision. The Medical Akzo Nobel problem has 40 cells here (n = 80) instead of 200.
"""

from __future__ import annotations

import numpy as np

from .records import Problem, row
from .stiff_detest import e5, oregonator


def hires(t, y):
    a, b, c, d, e, f, g, h = y
    react = 280.0 * f * h
    return row(
        [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * (f + g),
            -react + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
            react - 1.81 * g,
            1.81 * g - react,
        ]
    )


# Rate, species that react, species that come, numbered from 1 as in J. G. Verwer, SIAM J. Sci. Comput. 15 (1994).
POLLUTION = [
    (0.35, (1,), (2, 3)),
    (26.6, (2, 4), (1,)),
    (1.23e4, (5, 2), (6, 1)),
    (8.6e-4, (7,), (5, 5, 8)),
    (8.2e-4, (7,), (8,)),
    (1.5e4, (7, 6), (5, 8)),
    (1.3e-4, (9,), (10, 5, 8)),
    (2.4e4, (9, 6), (11,)),
    (1.65e4, (11, 2), (10, 1, 12)),
    (9e3, (11, 1), (13,)),
    (0.022, (13,), (11, 1)),
    (1.2e4, (10, 2), (14, 1)),
    (1.88, (14,), (7, 5)),
    (1.63e4, (1, 6), (15,)),
    (4.8e6, (3,), (4,)),
    (3.5e-4, (4,), (16,)),
    (0.0175, (4,), (3,)),
    (1e8, (16,), (6, 6)),
    (4.44e11, (16,), (3,)),
    (1.24e3, (17, 6), (18, 5)),
    (2.1, (19,), (2,)),
    (5.78, (19,), (1, 3)),
    (0.0474, (1, 4), (19,)),
    (1.78e3, (19, 1), (20,)),
    (3.12, (20,), (1, 19)),
]
CHANGE = np.zeros((20, 25))
for _j, (_, _out, _in) in enumerate(POLLUTION):
    for _i in _out:
        CHANGE[_i - 1, _j] -= 1.0
    for _i in _in:
        CHANGE[_i - 1, _j] += 1.0
RATES = np.array([rate for rate, _, _ in POLLUTION])
FIRST = np.array([out[0] - 1 for _, out, _ in POLLUTION])
SECOND = np.array([out[-1] - 1 for _, out, _ in POLLUTION])
IS_PAIR = np.array([len(out) == 2 for _, out, _ in POLLUTION])


def pollution(t, y):
    wide = (25,) + (1,) * (y.ndim - 1)
    speed = RATES.reshape(wide) * y[FIRST] * np.where(IS_PAIR.reshape(wide), y[SECOND], 1.0)
    return np.tensordot(CHANGE, speed, axes=1)


def ring(t, y):
    """Two transformers and a ring of four diodes multiply two signals: seven voltages, eight currents."""
    c, cs, cp, r, rp, lh, l1, l2 = 1.6e-8, 2e-12, 1e-8, 25e3, 50.0, 4.45, 2e-3, 5e-4
    rg1, rg2, ri, rc = 36.3, 17.3, 50.0, 600.0
    u1, u2 = 0.5 * np.sin(2e3 * np.pi * t), 2.0 * np.sin(2e4 * np.pi * t)
    u, i = y[:7], y[7:]
    over = row(
        [
            u[2] - u[4] - u[6] - u2,
            -u[3] + u[5] - u[6] - u2,
            u[3] + u[4] + u[6] + u2,
            -u[2] - u[5] + u[6] + u2,
        ]
    )
    q = 40.67286402e-9 * np.expm1(17.7493332 * np.minimum(over, 300.0 / 17.7493332))
    return row(
        [
            (i[0] - 0.5 * i[2] + 0.5 * i[3] + i[6] - u[0] / r) / c,
            (i[1] - 0.5 * i[4] + 0.5 * i[5] + i[7] - u[1] / r) / c,
            (i[2] - q[0] + q[3]) / cs,
            (-i[3] + q[1] - q[2]) / cs,
            (i[4] + q[0] - q[2]) / cs,
            (-i[5] - q[1] + q[3]) / cs,
            (-u[6] / rp + q[0] + q[1] - q[2] - q[3]) / cp,
            -u[0] / lh,
            -u[1] / lh,
            (0.5 * u[0] - u[2] - rg2 * i[2]) / l2,
            (-0.5 * u[0] + u[3] - rg2 * i[3]) / l2,
            (0.5 * u[1] - u[4] - rg2 * i[4]) / l2,
            (-0.5 * u[1] + u[5] - rg2 * i[5]) / l2,
            (-u[0] + u1 - (ri + rg1) * i[6]) / l1,
            (-u[1] - (rc + rg1) * i[7]) / l1,
        ]
    )


def van_der_pol(t, y):
    return row([y[1], ((1.0 - y[0] ** 2) * y[1] - y[0]) / 1e-6])


def robertson(t, y):
    a, b, c = y
    first, second, third = 0.04 * a, 1e4 * b * c, 3e7 * b * b
    return row([second - first, first - second - third, third])


def pleiades(t, y):
    """Seven stars of masses 1 to 7 in a plane: x, y, x', y'."""
    q = y[:14].reshape((2, 7, *y.shape[1:]))
    apart = q[:, None] - q[:, :, None]  # to star j, third axis, from star i
    d2 = (apart**2).sum(axis=0)
    d2[np.arange(7), np.arange(7)] = 1.0
    m = np.arange(1.0, 8.0).reshape((7,) + (1,) * (y.ndim - 1))
    pull = (m * apart / d2**1.5).sum(axis=2)
    return np.concatenate([y[14:], pull.reshape((14, *y.shape[1:]))])


def beam(t, y):
    """Angles of 40 pieces of a bar that is clamped at one end and pushed at the other until t = pi."""
    n = len(y) // 2
    angle, speed = y[:n], y[n:]
    push = np.where(t <= np.pi, 1.5 * np.sin(t) ** 2, 0.0)
    ghost = np.concatenate([-angle[:1], angle, angle[-1:]])
    v = n**4 * (ghost[:-2] - 2.0 * angle + ghost[2:]) + n**2 * push * (np.cos(angle) + np.sin(angle))
    s, c = np.sin(angle[1:] - angle[:-1]), np.cos(angle[1:] - angle[:-1])
    one = np.ones_like(angle[:1])
    w = speed**2 + np.concatenate([s * v[1:], 0.0 * one]) - np.concatenate([0.0 * one, s * v[:-1]])
    diagonal = np.concatenate([one, 2.0 + 0.0 * angle[1:-1], 3.0 * one])
    w = symmetric_tridiagonal(-c, diagonal, w)
    moved = np.concatenate([c * v[1:], 0.0 * one]) + np.concatenate([0.0 * one, c * v[:-1]])
    turned = np.concatenate([s * w[1:], 0.0 * one]) - np.concatenate([0.0 * one, s * w[:-1]])
    return np.concatenate([speed, diagonal * v - moved + turned])


def symmetric_tridiagonal(beside, diagonal, w):
    """Gauss from below; the numbers of one beam as floats of Python, which are faster one by one."""
    is_plain = isinstance(w, np.ndarray) and w.ndim == 1
    beside, diagonal, w = (a.tolist() if is_plain else list(a) for a in (beside, diagonal, w))
    for i in range(len(w) - 2, -1, -1):
        factor = beside[i] / diagonal[i + 1]
        w[i] = w[i] - factor * w[i + 1]
        diagonal[i] = diagonal[i] - factor * beside[i]
    w[0] = w[0] / diagonal[0]
    for i in range(1, len(w)):
        w[i] = (w[i] - beside[i - 1] * w[i - 1]) / diagonal[i]
    return row(w)


def medical_akzo_nobel(t, y):
    """A dye moves into tissue and reacts there: u, v of each cell; what flows in stops at t = 5."""
    n = len(y) // 2
    u, v = y[::2], y[1::2]
    wide = (n,) + (1,) * (y.ndim - 1)
    z = (np.arange(1.0, n + 1.0) / n - 1.0).reshape(wide)
    alpha, beta = 2.0 * z**3 / 16.0, z**4 / 16.0
    inflow = np.where(t <= 5.0, 2.0, 0.0) + 0.0 * u[:1]
    ghost = np.concatenate([inflow, u, u[-1:]])
    react = 100.0 * u * v
    moved = alpha * (ghost[2:] - ghost[:-2]) * n / 2.0 + beta * (ghost[:-2] - 2.0 * u + ghost[2:]) * n**2
    return np.stack([moved - react, -react], axis=1).reshape(y.shape)


STARS = (3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4, 0, 0, 0, 0, 0, 1.75, -1.5, 0, 0, 0, -1.25, 1, 0, 0)
AIR = (0, 0.2, 0, 0.04, 0, 0, 0.1, 0.3, 0.01, 0, 0, 0, 0, 0, 0, 0, 0.007, 0, 0, 0)
BENT = """
-0.005792366591285007 -0.01695298550721735 -0.02769103312973094 -0.03800815655879158 -0.04790616859743763
-0.05738710435274594 -0.06645327313454617 -0.07510730581979037 -0.08335219765414992 -0.09119134654647947
-0.0986285870013209 -0.1056682200378002 -0.1123150395409595 -0.1185743552727245 -0.1244520128755561
-0.1299544113264161 -0.1350885180610398 -0.1398618819194422 -0.1442826441015242 -0.1483595472463012
-0.1521019429001447 -0.1555197978061129 -0.1586236993420229 -0.1614248603702127 -0.1639351238193223
-0.1661669673440852 -0.1681335081778558 -0.1698485080602243 -0.1713263782440888 -0.1725821847462537
-0.1736316537975654 -0.1744911773840049 -0.1751778187863392 -0.1757093178712902 -0.1761040960228576
-0.1763812607175549 -0.1765606097564671 -0.1766626352260565 -0.176708527080746 -0.1767201761075488
0.03747362681329794 0.1099117880217593 0.1798360474312799 0.2472427305442391 0.3121293820596567
0.37449473770195 0.4343386073492798 0.4916620354601748 0.5464677854586807 0.598760970262427
0.648549361111074 0.6958435169132503 0.7406572668520808 0.7830081747813241 0.8229176659201515
0.860411030519056 0.8955175502377805 0.9282708263127953 0.9587089334522034 0.9868747821728363
1.012816579961883 1.036587736679858 1.058246826481355 1.077857811433353 1.095490222005369
1.111219164294898 1.125125269286501 1.137294526609229 1.147818025153607 1.156792132004482
1.164318845130183 1.170505992596124 1.17546742429955 1.179323003228859 1.182198586299667
1.184226111223146 1.185543909805575 1.186297084203716 1.186637618908127 1.186724615113034
"""
CELLS = 40

BARI = [
    Problem(
        "HIRES",
        hires,
        (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057),
        321.8122,
        True,
        1e-2,
        (
            *(7.371312573325668e-4, 1.442485726316185e-4, 5.888729740967575e-5, 1.175651343283149e-3),
            *(2.386356198831331e-3, 6.238968252742796e-3, 2.849998395185769e-3, 2.850001604814231e-3),
        ),
    ),
    Problem(
        "Pollution",
        pollution,
        tuple(map(float, AIR)),
        60.0,
        True,
        1e-3,
        (
            *(5.646255480022769e-2, 0.1342484130422339, 4.139734331099427e-9, 5.523140207484359e-3),
            *(2.018977262302196e-7, 1.464541863493966e-7, 7.784249118997964e-2, 0.3245075353396018),
            *(7.494013383880406e-3, 1.622293157301561e-8, 1.135863833257075e-8, 2.230505975721359e-3),
            *(2.087162882798630e-4, 1.396921016840158e-5, 8.964884856898295e-3, 4.352846369330103e-18),
            *(6.899219696263405e-3, 1.007803037365946e-4, 1.772146513969984e-6, 5.682943292316392e-5),
        ),
    ),
    Problem(
        "Ring modulator",
        ring,
        (0.0,) * 15,
        1e-3,
        True,
        1e-3,
        (
            *(-0.2339057358486745e-1, -0.7367485485540825e-2, 0.2582956709291169, -0.4064465721283450),
            *(-0.4039455665149794, 0.2607966765422943, 0.1106761861269975, 0.2939904342435596e-6),
            *(-0.2840029933642329e-7, 0.7267198267264553e-3, 0.7929487196960840e-3, -0.7255283495698965e-3),
            *(-0.7941401968526521e-3, 0.7088495416976114e-4, 0.2390059075236570e-4),
        ),
    ),
    Problem(
        "Oregonator",
        oregonator,
        (1.0, 2.0, 3.0),
        360.0,
        True,
        published=(1.000814870318523, 1228.178521549917, 132.0554942846706),
    ),
    Problem("van der Pol", van_der_pol, (2.0, 0.0), 2.0, True, published=(1.706167732170469, -0.8928097010248125)),
    Problem(
        "Robertson",
        robertson,
        (1.0, 0.0, 0.0),
        1e11,
        True,
        1e-5,
        (2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050),
    ),
    Problem(
        "E5 to 1e13",
        e5,
        (1.76e-3, 0.0, 0.0, 0.0),
        1e13,
        True,
        1e-11,
        (1.152903278711829e-290, 8.867655517642120e-22, 8.854814626268838e-22, 0.0),
    ),
    Problem(
        "Pleiades",
        pleiades,
        tuple(map(float, STARS)),
        3.0,
        False,
        1.0,
        (
            *(0.3706139143970502, 3.237284092057233, -3.222559032418324, 0.6597091455775310, 0.3425581707156584),
            *(1.562172101400631, -0.7003092922212495, -3.943437585517392, -3.271380973972550, 5.225081843456543),
            *(-2.590612434977470, 1.198213693392275, -0.2429682344935824, 1.091449240428980, 3.417003806314313),
            *(1.354584501625501, -2.590065597810775, 2.025053734714242, -1.155815100160448, -0.8072988170223021),
            *(0.5952396354208710, -3.741244961234010, 0.3773459685750630, 0.9386858869551073, 0.3667922227200571),
            *(-0.3474046353808490, 2.344915448180937, -1.947020434263292),
        ),
    ),
    Problem(
        "Beam",
        beam,
        (0.0,) * 2 * CELLS,
        5.0,
        True,
        1e-2,
        tuple(map(float, BENT.split())),
        breaks=(np.pi,),
    ),
    Problem("Medical Akzo Nobel", medical_akzo_nobel, (0.0, 1.0) * CELLS, 20.0, True, 1e-2, breaks=(5.0,)),
]
