"""Who wants to hear of each step while a solve runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Call ``listener(step, correction)`` with the worst relative correction of each step; None for silence.

    Steps inside a compiled loop are not told.
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def listener() -> Listener | None:
    """Return who listens, or None."""
    return _listener.get()
