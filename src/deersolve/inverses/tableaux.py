"""Runge-Kutta pairs: the numbers of explicit rules with an estimate of their error and a continuous extension.

    Y_k = y + h sum_{l < k} a_kl F_l,    F_k = f(t + c_k h, Y_k),    y(t + theta h) ~ y + h sum_k F_k sum_j p_kj theta^j

The last stage that a step needs is at its end: Y of it is the new y, and F of it the first one of the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

Rows = tuple[tuple[float, ...], ...]
ROUNDOFF = 1e-14  # of a sum of a row


@dataclass(frozen=True)
class Pair:
    """An explicit rule.

    Attributes
    ----------
    order : int
        That of y at the end of a step.
    rows : tuple of tuple of float
        a_kl, of the stages of a step, then of those of the continuous extension alone.
    errors : tuple of tuple of float
        ``h sum_k e_k F_k``: estimates of the error of a step, the one to judge by first.
    error_order : int
        A step of half the length has an error of ``2^-error_order`` of it.
    extension : tuple of tuple of float
        p_kj for j = 1, 2, ..., a row for each stage.
    bound : float
        About the largest |lambda h| for which it is stable on the real axis.
    """

    order: int
    rows: Rows
    errors: Rows
    error_order: int
    extension: Rows
    bound: float

    @property
    def stages(self) -> int:
        """How many stages a step has, f at its end included."""
        return len(self.errors[0])

    @property
    def nodes(self) -> tuple[float, ...]:
        """c_k = sum_l a_kl, at the end of a step exactly 1."""
        sums = [sum(row) for row in self.rows]
        return tuple(1.0 if abs(c - 1) < ROUNDOFF else c for c in sums)


def _rows(text: str) -> Rows:
    return tuple(tuple(float(part) for part in row.split()) for row in text.split(";"))


def _times(rows: Rows, at_zero: int, at_one: int) -> Rows:
    """Return polynomials, by their coefficients, times ``theta^at_zero (1 - theta)^at_one``."""
    for _ in range(at_one):
        rows = tuple(tuple(a - b for a, b in zip((*row, 0.0), (0.0, *row), strict=True)) for row in rows)
    return tuple((0.0,) * at_zero + row for row in rows)


def _sum(*terms: Rows) -> Rows:
    """Return the sums of polynomials, each row filled up to the longest."""
    size = max(len(row) for rows in terms for row in rows)
    filled = [[row + (0.0,) * (size - len(row)) for row in rows] for rows in terms]
    return tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*filled, strict=True))


DORMAND_PRINCE_5 = Pair(
    order=5,
    rows=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    errors=((-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),),
    error_order=5,
    extension=(
        (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
    bound=2.6,
)
"""J. R. Dormand and P. J. Prince, J. Comput. Appl. Math. 6 (1980) 19; continuous of order 4 and of the smallest error
there, L. F. Shampine, Math. Comp. 46 (1986) 135."""

_STAGES_8: Rows = (
    (),
    *_rows("""
0.05260015195876773 ;
0.0197250569845379 0.0591751709536137 ;
0.02958758547680685 0 0.08876275643042054 ;
0.2413651341592667 0 -0.8845494793282861 0.924834003261792 ;
0.037037037037037035 0 0 0.17082860872947386 0.12546768756682242 ;
0.037109375 0 0 0.17025221101954405 0.06021653898045596 -0.017578125 ;
0.03709200011850479 0 0 0.17038392571223998 0.10726203044637328 -0.015319437748624402 0.008273789163814023 ;
0.6241109587160757 0 0 -3.3608926294469414 -0.868219346841726 27.59209969944671 20.154067550477894
-43.48988418106996 ;
0.47766253643826434 0 0 -2.4881146199716677 -0.590290826836843 21.230051448181193 15.279233632882423
-33.28821096898486 -0.020331201708508627 ;
-0.9371424300859873 0 0 5.186372428844064 1.0914373489967295 -8.149787010746927 -18.52006565999696
22.739487099350505 2.4936055526796523 -3.0467644718982196 ;
2.273310147516538 0 0 -10.53449546673725 -2.0008720582248625 -17.9589318631188 27.94888452941996
-2.8589982771350235 -8.87285693353063 12.360567175794303 0.6433927460157636 ;
0.054293734116568765 0 0 0 0 4.450312892752409 1.8915178993145003 -5.801203960010585 0.3111643669578199
-0.1521609496625161 0.20136540080403034 0.04471061572777259 ;
0.056167502283047954 0 0 0 0 0 0.25350021021662483 -0.2462390374708025 -0.12419142326381637 0.15329179827876568
0.00820105229563469 0.007567897660545699 -0.008298 ;
0.03183464816350214 0 0 0 0 0.028300909672366776 0.053541988307438566 -0.05492374857139099 0 0
-0.00010834732869724932 0.0003825710908356584 -0.00034046500868740456 0.1413124436746325 ;
-0.42889630158379194 0 0 0 0 -4.697621415361164 7.683421196062599 4.06898981839711 0.3567271874552811 0 0 0
-0.0013990241651590145 2.9475147891527724 -9.15095847217987
"""),
)
_ERRORS_8 = _rows("""
0.01312004499419488 0 0 0 0 -1.2251564463762044 -0.4957589496572502 1.6643771824549864 -0.35032884874997366
0.3341791187130175 0.08192320648511571 -0.022355307863886294 0 ;
-0.18980075407240762 0 0 0 0 4.450312892752409 1.8915178993145003 -5.801203960010585 -0.4226823213237919
-0.1521609496625161 0.20136540080403034 0.02265179219836082 0
""")
_EXTENSION_8 = _rows("""
-8.428938276109013 0 0 0 0 0.5667149535193777 -3.0689499459498917 2.38466765651207 2.117034582445028
-0.871391583777973 2.2404374302607883 0.6315787787694688 -0.08899033645133331 18.148505520854727
-9.194632392478356 -4.436036387594894 ;
10.427508642579134 0 0 0 0 242.28349177525817 165.20045171727028 -374.5467547226902 -22.113666853125306
7.733432668472264 -30.674084731089398 -9.332130526430229 15.697238121770845 -31.139403219565178
-9.35292435884448 35.81684148639408 ;
19.985053242002433 0 0 0 0 -387.0373087493518 -189.17813819516758 527.8081592054236 -11.57390253995963
6.8812326946963 -1.0006050966910838 0.7777137798053443 -2.778205752353508 -60.19669523126412 84.32040550667716
11.99229113618279 ;
-25.69393346270375 0 0 0 0 -154.18974869023643 -231.5293791760455 357.6391179106141 93.40532418362432
-37.45832313645163 104.0996495089623 29.8402934266605 -43.53345659001114 96.32455395918828 -39.17726167561544
-149.72683625798564
""")


def _extension_of_8() -> Rows:
    """Return the extension of order 7 from its nested form in theta and 1 - theta."""
    count = len(_STAGES_8)

    def of(*weights: float) -> Rows:
        return tuple((w,) for w in (*weights, *(0.0,) * (count - len(weights))))

    def scaled(rows: Rows, by: float) -> Rows:
        return tuple(tuple(by * w for w in row) for row in rows)

    rise, first, last = of(*_STAGES_8[12]), of(1.0), of(*(0.0,) * 12, 1.0)
    nested = [rise, _sum(first, scaled(rise, -1.0)), _sum(scaled(rise, 2.0), scaled(first, -1.0), scaled(last, -1.0))]
    nested += [of(*row) for row in _EXTENSION_8]
    terms = [_times(rows, k // 2, (k + 1) // 2) for k, rows in enumerate(nested)]
    return _sum(*terms)


DORMAND_PRINCE_8 = Pair(8, _STAGES_8, _ERRORS_8, 8, _extension_of_8(), 5.0)
"""DOP853: E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, 2nd ed. (1993), section II.5
and II.6, the numbers of their program: errors of order 5 and 3, which are judged by together; continuous of order 7."""

PAIRS = {"dopri5": DORMAND_PRINCE_5, "dopri8": DORMAND_PRINCE_8}
