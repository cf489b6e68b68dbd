"""The faces between the cells of an axis: what a numerical flux is given there, and the balance of every cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from ..backends.generic import Backend
from ..backends.namespace import Array, Tree, array_namespace, joined, part
from ..backends.trees import tree_map
from ..errors import mismatch
from .conditions import parts_of
from .fluxes import reach_of, within

Pushforward = Callable[[Callable[..., Array], list[Array], list[Array]], Array]


class Conserved:
    """f - H_s by what passes the faces of a cell: f(u, ...) - (H(u, u_behind) - H(u_before, u)) / h on each axis.

    The face between two cells is looked at from both sides with the same two states, so that what leaves one cell
    enters the other.

    Parameters
    ----------
    f : callable or None
        The source, ``f(u, u_s, [u_r,] x, params)``.
    fluxes : tuple of callable or None
        The numerical flux of each axis.
    """

    def __init__(self, f: Callable[..., Array] | None, fluxes: tuple[Callable[..., Array] | None, ...]) -> None:
        if f is not None and not callable(f):
            raise mismatch("f", "a callable f(u, u_s, x, params), or None with a flux", repr(f))
        self.f, self.fluxes = f, fluxes
        self.__name__ = "None" if f is None else getattr(f, "__name__", type(f).__name__)

    def __call__(self, u: Array, *given: Any) -> Array:
        """Return the rate at every point, of u, its slopes, the states around it, x and params."""
        *signals, x, params = given
        slopes, around = signals[: len(self.fluxes)], signals[len(self.fluxes) :]
        made = 0 * u if self.f is None else self.f(u, *slopes, x["cells"], params)
        for flux, faces in zip(self.fluxes, x["faces"], strict=True):
            if flux is None:
                continue
            reach = reach_of(flux)
            states = (*around[:reach], u, *around[reach : 2 * reach])
            around = around[2 * reach :]
            inflow = _passing(flux, states[:-1], faces["before"], params)
            outflow = _passing(flux, states[1:], faces["behind"], params)
            made = made - (faces["out"] * outflow - faces["in"] * inflow)
        return made

    def around(self, wrap: Callable[..., Any]) -> Conserved:
        """Return the same of a function around f, and around each flux."""
        fluxes = (None if flux is None else within(flux, partial(wrap, name="flux")) for flux in self.fluxes)
        return Conserved(None if self.f is None else wrap(self.f), tuple(fluxes))

    def columns(self, pushforward: Pushforward, u: Array, *given: Any) -> Array:
        """Return the derivatives by each component of each signal, stacked: those of every function by what it is of.

        The face behind a cell is the one before the next.
        """
        *others, x, params = given
        slopes, around = others[: len(self.fluxes)], others[len(self.fluxes) :]
        n, signals = u.shape[-1], [u, *slopes, *around]
        made: list[Any] = [0.0] * len(signals)

        def add(rows: Array, places: list[int]) -> None:
            for k, place in enumerate(places):
                made[place] = made[place] + rows[k * n : (k + 1) * n, ...]

        f = self.f
        if f is not None:
            own = [u, *slopes]
            add(_columns(pushforward, lambda *a: f(*a, x["cells"], params), own), list(range(len(own))))
        first = 1 + len(slopes)
        for k, (flux, faces) in enumerate(zip(self.fluxes, x["faces"], strict=True)):
            if flux is None:
                continue
            reach, axis = reach_of(flux), k - len(self.fluxes) - 1
            places = [*range(first, first + reach), 0, *range(first + reach, first + 2 * reach)]
            first += 2 * reach
            states = [signals[place] for place in places]
            ends = [joined([a, part(b, axis, -1, None)], axis) for a, b in itertools.pairwise(states)]
            x_there = tree_map(partial(_with_last, axis, u.shape[axis]), faces["before"], faces["behind"])
            passing = _columns(pushforward, _on(flux, x_there, params), ends)
            add(faces["in"] * part(passing, axis, None, -1), places[:-1])
            add(-faces["out"] * part(passing, axis, 1, None), places[1:])
        zero = 0 * u + array_namespace(u).stack([0 * u] * n)
        return array_namespace(u).concat([zero + rows for rows in made], axis=0)


def _with_last(axis: int, N: int, before: Array, behind: Array) -> Array:
    """Return what is before each of N cells and behind the last; what is the same along the axis stays."""
    return joined([before, part(behind, axis, -1, None)], axis) if before.shape[axis] == N else before


def _on(flux: Callable[..., Array], x: Tree, params: Any) -> Callable[..., Array]:
    """Return a flux on given faces as a function of the states alone."""
    return lambda *states: _passing(flux, states, x, params)


def _columns(pushforward: Pushforward, f: Callable[..., Array], us: list[Array]) -> Array:
    """Return the derivatives of f by each component of each u, stacked, (P n, *S, n)."""
    xp, n = array_namespace(us[0]), us[0].shape[-1]
    one = xp.astype(xp.arange(n, device=us[0].device)[:, None] == xp.arange(n, device=us[0].device), us[0].dtype)
    one = xp.reshape(one, (n, *(1 for _ in us[0].shape[:-1]), n)) + xp.stack([0 * us[0]] * n)
    directions = [xp.concat([one if q == p else 0 * one for q in range(len(us))], axis=0) for p in range(len(us))]
    return pushforward(f, us, directions)


def _passing(flux: Callable[..., Array], states: tuple[Array, ...], x: Tree, params: Any) -> Array:
    """Return what passes a face."""
    made, u = flux(*states, x, params), states[0]
    if tuple(getattr(made, "shape", ())) != tuple(u.shape):
        shape = tuple(made.shape) if hasattr(made, "shape") else type(made).__name__
        advice = "Components are on the last axis: u[..., :1], u[..., 1:], joined by xp.concat([...], axis=-1)."
        raise mismatch("flux", f"an array of the shape of u, {tuple(u.shape)}", shape, advice)
    return made


def check_flux(fluxes: Any, cells: bool) -> None:
    """Raise unless each is None or can be called, and u is in cells."""
    for flux in fluxes:
        if flux is not None and not callable(flux):
            raise mismatch("flux", "a callable flux(u_left, u_right, x, params)", repr(flux))
        if flux is not None and not cells:
            advice = "s are then the edges of cells, one more than there are numbers of u."
            raise mismatch("flux", "cells=True, as it passes the faces of cells", "cells=False", advice)


def openings_of(widths: Array, sides: tuple[Any, Any], n: int, backend: Backend) -> tuple[Array, Array]:
    """Return 1 / h of every cell, (X, n), for the face before it and the one behind; 0 where nothing may pass."""
    xp, per_length = array_namespace(widths), 1 / widths + backend.convert([[0.0] * n], widths, widths.dtype)
    first, last = (
        backend.convert([[float(part.is_open) for part in parts_of(side)]], widths, widths.dtype) for side in sides
    )
    inward = xp.concat([first * per_length[:1, :], per_length[1:, :]], axis=0)
    return inward, xp.concat([per_length[:-1, :], last * per_length[-1:, :]], axis=0)


def split(x: dict[str, Any], sizes: tuple[int, ...]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the leaves for cells, and those for the faces across each axis; what is the same along it is for both."""
    shapes = {k: tuple(getattr(a, "shape", ()))[-1 - len(sizes) : -1] for k, a in x.items()}

    def on_faces(shape: tuple[int, ...], axis: int) -> bool:
        there = [N + (k == axis) for k, N in enumerate(sizes)]
        return len(shape) == len(sizes) and all(size in (1, N) for size, N in zip(shape, there, strict=True))

    def is_between(shape: tuple[int, ...]) -> bool:
        return any(size == N + 1 for size, N in zip(shape, sizes, strict=False))

    faces = [{k: a for k, a in x.items() if on_faces(shapes[k], axis)} for axis in range(len(sizes))]
    return {k: a for k, a in x.items() if not is_between(shapes[k]) or len(shapes[k]) < len(sizes)}, faces


def both_sides(x: Tree, is_ring: bool, axis: int = -2) -> dict[str, Tree]:
    """Return x on the faces before and behind every cell along an axis, of leaves on N + 1 faces or the same on all."""

    def before(a: Array) -> Array:
        return part(a, axis, None, -1) if a.shape[axis] > 1 else a

    def behind(a: Array) -> Array:
        if a.shape[axis] == 1:
            return a
        return joined([part(a, axis, 1, -1), part(a, axis, None, 1)], axis) if is_ring else part(a, axis, 1, None)

    return {"before": tree_map(before, x), "behind": tree_map(behind, x)}
