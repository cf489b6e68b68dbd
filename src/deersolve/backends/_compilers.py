"""What a compiler that traces Python should leave alone."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, which ``torch.compile`` runs as it is: it would trace it only to give up at the loops."""
    hidden: list[Any] = []

    @functools.wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        dynamo: Any = sys.modules.get("torch._dynamo")  # without it nobody compiles, and its import is slow
        if dynamo is None:
            return function(*args, **options)
        if not hidden:
            hidden.append(dynamo.disable(function))
        result: R = hidden[0](*args, **options)
        return result

    return run
