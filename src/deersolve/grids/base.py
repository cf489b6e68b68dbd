"""What every grid comes with."""

from __future__ import annotations

from typing import Any

from ..backends.namespace import Array, Tree
from ..backends.trees import record


@record
class Data:
    """The arrays of a problem, ready for use: x expanded to the rank of y, the guess of full shape."""

    x: Tree
    grid: Any
    boundary: Any
    guess: Array
