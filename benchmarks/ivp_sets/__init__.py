"""Sets of initial value problems whose solutions are known: DETEST, STIFF DETEST and the Bari test set."""

from .bari import BARI
from .detest import DETEST
from .records import Problem
from .stiff_detest import STIFF_DETEST

SETS = {"detest": DETEST, "stiff": STIFF_DETEST, "bari": BARI}
PROBLEMS = {problem.name: problem for problems in SETS.values() for problem in problems}

__all__ = ["BARI", "DETEST", "PROBLEMS", "SETS", "STIFF_DETEST", "Problem"]
