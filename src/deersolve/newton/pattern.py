"""Whether the components of f fall apart into small blocks, each of which knows itself alone.

Cells that act on each component by itself (a minGRU, an LRU) do, and those with a pair of states each (an LSTM without
mixing). Their Jacobians cost one derivative for each component of a block, not one for each of y.

Where the library has no operations to look at, derivatives along sums of directions tell: with every block's direction
times a power of two of its own, which is exact, those of f are what they were times these, or f couples blocks. The
powers are in no order, and each has its inverse beside it, so that couplings do not cancel by coefficients that one
would choose, 1 and 2 of two neighbours or 1 and -1; and directions are as long as components are large, so that a
coupling is judged by what it does, in whatever units.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from ..backends.namespace import Array, Tree, array_namespace
from ..backends.trees import tree_map
from ..linalg.layout import Layout
from ..linalg.structure import BlockDiagonal, Diagonal
from .checks.probe import stretch
from .equation import System

LEAST = 8  # components from which the whole Jacobian costs more
SIZES = (1, 2, 3, 4)  # of blocks that are looked for
POINTS = 3  # at which numbers are looked at before the solve; behind it they are at all
POWERS = 64  # of two, by which the directions of blocks differ
AGREEMENT = 8  # in units of eps: rounding of a product that is another one in every place of an array


def layout_of(system: System) -> Layout | None:
    """Return the layout of the smallest blocks of a loop that are all of its Jacobians, as far as can be seen here."""
    rule, n = system.rule, system.data.guess.shape[-1]
    takes = rule.is_loop and rule.is_builtin and {Diagonal, BlockDiagonal} <= {*rule.structures}
    if n < LEAST or not takes or "jac" in system.functions or "columns" in system.functions:
        return None
    ys, x = stretch(system)
    ys, x = tree_map(_few, (tuple(_apart(y, system) for y in ys), x))
    is_seen = system.backend.is_concrete((ys, x))
    for layout in _candidates(n):
        known = system.backend.keeps_apart(system.functions["f"], ys, x, layout.numbers(n))
        if known or (known is None and is_seen and _agree(system, layout, ys, x)):
            return layout
    return None


def is_kept(system: System, y: Array) -> bool:
    """Return whether blocks are all of the Jacobians at y, at every point."""
    layout, backend = system.layout, system.backend
    if layout is None or backend.compiles:  # operations have told
        return True
    with backend.frozen():
        return _agree(system, layout, system.shifted(backend.without_gradient(y)), system.data.x)


def _candidates(n: int) -> Iterator[Layout]:
    for size in SIZES:
        if n % size == 0:
            yield from (Layout(size, strided) for strided in (False, True)[: 2 if size > 1 else 1])


def _agree(system: System, layout: Layout, ys: tuple[Array, ...], x: Tree) -> bool:
    """Return whether the derivatives along directions times powers of two are those along the directions times them."""
    xp, n, y, backend = array_namespace(ys[0]), ys[0].shape[-1], ys[0], system.backend
    sizes, eps = _sizes(ys, system), float(xp.finfo(y.dtype).eps)
    seeds = layout.seeds(n, y) * (1 / sizes if backend.by_rows else sizes)
    weights = [backend.convert([2.0**k for k in powers], y, y.dtype) for powers in _powers(layout.numbers(n))]
    every = xp.concat([seeds, *(seeds * w for w in weights)], axis=0)
    try:
        _, made = backend.along_seeds(system.functions["f"], ys, x, every)
    except Exception:  # what f raises here it raises again, where it is called next
        return False
    for rows in made:
        first = rows[..., : layout.size, :]
        for k, w in enumerate(weights, start=1):
            found, meant = rows[..., k * layout.size : (k + 1) * layout.size, :], first * w
            holds = xp.all(xp.abs(found - meant) <= AGREEMENT * eps * xp.abs(meant))
            if not (system.backend.is_concrete(holds) and bool(holds)):  # what f holds may be mapped over
                return False
    return True


def _sizes(ys: tuple[Array, ...], system: System) -> Array:
    """Return a power of two for every component, about as large as it becomes beside the others."""
    xp, n = array_namespace(*ys), ys[0].shape[-1]
    largest = xp.max(xp.stack([xp.max(xp.reshape(xp.abs(y), (-1, n)), axis=0) for y in ys]), axis=0)
    powers = [math.frexp(a)[1] for a in system.backend.to_numpy(largest).tolist()]  # 0 of what is 0 or not finite
    middle = sum(powers) // n
    return system.backend.convert([2.0 ** (k - middle) for k in powers], ys[0], ys[0].dtype)


def _powers(blocks: list[int]) -> list[list[int]]:
    """Return powers of two for every component, lists that tell every block from every other, and inverses."""
    count = max(blocks) + 1
    places = random.Random(0).sample(range(count), count)
    digits = max(1, math.ceil(math.log(count, POWERS) - 1e-9))
    found = [[places[k] // POWERS**d % POWERS - POWERS // 2 for k in blocks] for d in range(digits)]
    return [[sign * k for k in powers] for powers in found for sign in (1, -1)]


def _few(a: Array) -> Array:
    """Return the first entries along every axis but the last."""
    return a[(*(slice(min(POINTS, size)) for size in a.shape[:-1]), ...)]


def _apart(y: Array, system: System) -> Array:
    """Return y, every number moved by a share of its size and of 1, so that what f does with most numbers shows."""
    xp = array_namespace(y)
    places = xp.reshape(xp.arange(math.prod(y.shape), dtype=y.dtype, device=system.backend.placement(y)), y.shape)
    return y + 0.3 * xp.sin(1 + 2 * places) * (xp.abs(y) + 1)
