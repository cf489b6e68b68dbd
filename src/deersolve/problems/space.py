"""What equations in space have in common: points along axes, and conditions on the sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ..backends.generic import Backend
from ..backends.namespace import Array
from ..errors import InputError, check_flag, mismatch
from ..grids.base import Data
from ..grids.box import AXES, SIDES
from ..grids.conditions import Condition, components_of, parts_of, width_of
from ..grids.faces import Conserved, check_flux
from ..grids.fluxes import reach_of
from ..grids.make_box import in_a_box
from ..grids.shifters import Along, identity
from .base import Problem

if TYPE_CHECKING:
    from .complex_state import Pairs

Flux = Callable[..., Array]


class SpaceProblem(Problem):
    """An equation on axes of space, "s", "r", ..., with a condition at both ends of each.

    Attributes
    ----------
    edges : dict of array
        The points of every axis, or the edges of cells, by its name.
    sides : dict
        The conditions by the names of the sides.
    coefficients : dict
        Those of the derivatives by their names.
    fluxes : tuple
        The numerical flux along each axis, or None.
    """

    edges: dict[str, Any]
    sides: dict[str, Any]
    coefficients: dict[str, Any]
    fluxes: tuple[Flux | None, ...]
    marches: ClassVar[bool] = False

    def __init__(
        self, f: Any, points: tuple[Any, ...], coefficients: dict[str, Any], fluxes: Any = None, **given: Any
    ) -> None:
        """Take ``sides`` and ``cells`` of what is given, and raise unless they are such; the rest is any problem's."""
        sides, cells, d = given.pop("sides"), given.pop("cells"), len(points)
        fluxes = (None,) * d if fluxes is None else fluxes
        check_flag("cells", cells)
        check_flux(fluxes, cells)
        passing = [flux for flux in fluxes if flux is not None]
        count = d + sum(2 * reach_of(flux) for flux in passing)
        f = Conserved(f, fluxes) if passing else f
        super().__init__(f, shift=(identity, *map(Along, range(count))), **given)
        for names in SIDES[:d]:
            check_ends(sides, names)
        space, times = tuple(AXES[:d]), ("t",) if self.marches else ()
        check_fields(self.x, (*times, *space))
        self.fields = dict.fromkeys(coefficients, (*space, "k"))
        for axis, names in zip(space, SIDES, strict=False):
            self.fields |= dict.fromkeys(names, (*times, *(a for a in space if a != axis), "k"))
        self.fields["x"] = (*times, *space, "k")
        self.axes, self.family = (*times, *space), self.inverse.partition(".")[0]
        self.coefficients, self.fluxes, self.cells = coefficients, fluxes, cells
        self.edges, self.sides = dict(zip(space, points, strict=True)), sides

    def __getattr__(self, name: str) -> Any:
        """Return the points of an axis, or the condition on a side."""
        held = vars(self)
        for part in ("edges", "sides"):
            if name in held.get(part, ()):
                return held[part][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def given(self, name: str) -> Any:
        """Return a field as it was given: of conditions their right-hand sides, a tuple only of those of a tuple."""
        if name in self.coefficients:
            return self.coefficients[name]
        if name not in self.sides:
            return super().given(name)
        side = self.sides[name]
        values = tuple(part.robin[-1] for part in parts_of(side) if part.given)
        if isinstance(side, tuple) or not values:
            return values or None
        return [*values[0]] if isinstance(values[0], tuple) else values[0]

    def held(self) -> list[Any]:
        """Return what is given at the sides."""
        return [self.given(name) for name in self.sides]

    def components(self) -> int:
        """Return how many components there are by conditions and coefficients."""
        return max(components_of(tuple(self.sides.values())), *map(width_of, self.coefficients.values()))

    def in_pairs(self, pairs: Pairs) -> Problem:
        """Return the problem of pairs of real numbers, as they are laid out."""
        new = cast("SpaceProblem", super().in_pairs(pairs))
        if any(flux is not None for flux in self.fluxes):
            new.f = cast("Conserved", self.f).around(pairs.function)
        new.coefficients = {name: pairs.apart(name, value) for name, value in self.coefficients.items()}
        new.sides = {name: self._in_pairs(pairs, name, side) for name, side in self.sides.items()}
        return new

    def _in_pairs(self, pairs: Pairs, name: str, side: Any) -> Any:
        """Return the conditions at a side for both parts of each component."""
        values = pairs.apart(name, self.given(name))
        if not isinstance(side, tuple):
            return side.of_pairs(values)
        parts = iter(values)
        return tuple(p.of_pairs(next(parts)) if p.given else p for part in side for p in (part, part))

    def points(self) -> dict[str, Any]:
        """Return the points, or edges, of each axis."""
        return dict(self.edges)

    def discretise(self, y_guess: Any, rule: Any) -> tuple[Backend, Data]:
        """Return the backend, and grid, data and guess as the solver takes them."""
        return in_a_box(self, y_guess)


def check_ends(sides: dict[str, Any], names: tuple[str, str]) -> None:
    """Raise unless both are conditions, both or none periodic."""
    for name in names:
        parts = parts_of(sides[name])
        is_known = parts and all(isinstance(part, Condition) for part in parts)
        if not is_known or (isinstance(sides[name], tuple) and any(part.is_ring for part in parts)):
            listed = "Dirichlet(...), Neumann(...), Robin(...), NoFlux()"
            expected = f"{listed}, a tuple of one for each component, or Periodic() for all"
            raise mismatch(name, expected, repr(sides[name]))
    rings = [parts_of(sides[name])[0].is_ring for name in names]
    if rings[0] is not rings[1]:
        there, here = names if rings[0] else reversed(names)
        raise InputError(f"{here}: expected Periodic() as at the {there}; received {sides[here]!r}.")


def check_fields(x: Any, coordinates: tuple[str, ...]) -> None:
    """Raise unless x is None, or a dict without the names of coordinates."""
    if x is not None and not isinstance(x, dict):
        raise mismatch("x", "a dict of arrays beside the coordinates", type(x).__name__)
    if not all(isinstance(name, str) for name in x or ()):
        raise mismatch("x", "a dict with names as keys", repr([*(x or ())]))
    for name in set(x or ()) & set(coordinates):
        raise mismatch("x", f"names beside {', '.join(coordinates)}, which are the coordinates", repr(name))


def on_axes(points: Any, sides: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return points for each axis, and the conditions by the names of the sides; raise unless they fit."""
    if not isinstance(points, tuple | list) or not 1 <= len(points) <= len(AXES):
        raise mismatch("points", "a tuple of one to three arrays, (s, r, q)", type(points).__name__)
    pairs = ((sides, sides),) * len(points) if isinstance(sides, Condition) else sides
    is_right = isinstance(pairs, tuple | list) and len(pairs) == len(points)
    if not is_right or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise mismatch("sides", f"a pair of conditions for each of {len(points)} axes, or one for all", repr(sides))
    named = [dict(zip(names, pair, strict=True)) for names, pair in zip(SIDES, pairs, strict=False)]
    return tuple(points), {name: side for pair in named for name, side in pair.items()}


def two_axes(points: Any) -> tuple[Any, Any]:
    """Return two arrays of points; raise unless they are two."""
    if not isinstance(points, tuple | list) or len(points) != 2:
        raise mismatch("points", "two arrays, (s, r)", type(points).__name__)
    return tuple(points)
