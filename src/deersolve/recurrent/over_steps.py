"""A step of a scan as f of a whole trajectory: all leaves of a carry in one row."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from ..backends.agreement import AGREEMENT, equal
from ..backends.generic import Backend
from ..backends.namespace import Array, array_namespace, moved
from .inputs import Inputs
from .step import Step

CHECKED = 4  # steps at which the step of many has to be that of one


@dataclasses.dataclass(frozen=True)
class Packing:
    """Leaves (*S, *shape) side by side as rows (*S, n)."""

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    dtype: Any

    def rows(self, leaves: list[Array]) -> Array:
        """Return one array (*S, n)."""
        xp, parts = array_namespace(leaves[0]), []
        for leaf, shape in zip(leaves, self.shapes, strict=True):
            lead = leaf.shape[: leaf.ndim - len(shape)]
            parts.append(xp.astype(xp.reshape(leaf, (*lead, math.prod(shape))), self.dtype, copy=False))
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)

    def leaves(self, rows: Array) -> list[Array]:
        """Return the leaves of rows (*S, n)."""
        xp, made, at = array_namespace(rows), [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size = math.prod(shape)
            leaf = xp.reshape(rows[..., at : at + size], (*rows.shape[:-1], *shape))
            real = dtype != rows.dtype and xp.isdtype(rows.dtype, "complex floating")
            made.append(xp.astype(xp.real(leaf) if real else leaf, dtype, copy=False))
            at += size
        return made


@dataclasses.dataclass(frozen=True)
class OverSteps:
    """f of the contract, y (*B, T, n) and a dict of inputs; what is meant is the step, at each time by itself.

    ``is_rows`` calls the step once, with the times beside the elements of the batch; ``is_single`` forbids that.
    """

    step: Step
    packing: Packing
    inputs: tuple[tuple[int, ...], ...]
    is_rows: bool = False
    is_single: bool = False
    adapter: ClassVar[str] = "ds.scan"
    contract: ClassVar[str] = "f(carry, x) -> (carry, y), each step by itself, and each element of a batch"

    @property
    def way(self) -> str:
        """How the step is called, where that is worth a word."""
        return "" if self.is_rows or self.step.backend.compiles else "step by step"

    def __call__(self, y: Array, x: Any, params: Any) -> Array:
        """Return the carry behind every step, (*B, T, n)."""
        return self.packing.rows(self.made(y, x, params)[0])

    def made(self, y: Array, x: Any, params: Any) -> tuple[list[Array], list[Array]]:
        """Return the leaves of the carry behind every step, and those of what a step gives, all (*B, T, ...)."""
        return self._rows(y, x, params) if self.is_rows else self._mapped(y, x, params)

    def _rows(self, y: Array, x: dict[str, Array], params: Any) -> tuple[list[Array], list[Array]]:
        lead, xp = tuple(y.shape[:-1]), array_namespace(y)
        N = math.prod(lead)

        def flat(a: Array) -> Array:
            return xp.reshape(xp.broadcast_to(a, (*lead, a.shape[-1])), (N, a.shape[-1]))

        made = self._called(flat(y), {name: flat(a) for name, a in x.items()}, params)
        return tuple([xp.reshape(a, (*lead, *a.shape[1:])) for a in leaves] for leaves in made)  # type: ignore[return-value]

    def _mapped(self, y: Array, x: dict[str, Array], params: Any) -> tuple[list[Array], list[Array]]:
        lead = tuple(y.shape[:-1])
        y, x = moved(y, -2, 0), {name: self._of_times(a, lead) for name, a in x.items()}

        def at_one_time(y: Array, x: Any) -> Any:
            return self._called(y, x, params)

        made = self.step.backend.vmap(at_one_time, (y, x))
        return tuple([moved(a, 0, len(lead) - 1) for a in leaves] for leaves in made)  # type: ignore[return-value]

    def _of_times(self, a: Array, lead: tuple[int, ...]) -> Array:
        xp = array_namespace(a)
        return moved(xp.broadcast_to(a, (*lead, a.shape[-1])), -2, 0)

    def _called(self, y: Array, x: dict[str, Array], params: Any) -> tuple[list[Array], list[Array]]:
        """Return what the step makes of rows (*S, n), and of inputs beside them."""
        given, xp = (x[str(k)] for k in range(len(self.inputs))), array_namespace(y)
        xs = [xp.reshape(a, (*a.shape[:-1], *shape)) for a, shape in zip(given, self.inputs, strict=True)]
        flags = {name: x[name][..., 0] if name in x else None for name in ("holds", "begins")}
        start = self.packing.leaves(x["start"]) if "start" in x else []
        new, out = self.step(self.packing.leaves(y), Inputs(xs, **flags), start, params)
        return new, out

    def tuned(self, backend: Backend, ys: tuple[Array, ...], x: Any, params: Any) -> OverSteps:
        """Return the fastest way to call the step that has the values of one call for each, on a stretch of steps."""
        rows = dataclasses.replace(self, is_rows=True)
        may = not (backend.compiles or self.is_single)
        return rows if may and rows.holds(ys[0], x, params) else self

    def holds(self, y: Array, x: Any, params: Any) -> bool:
        """Return whether rows have the values of one call for each of a few steps."""
        T, xp = y.shape[-2], array_namespace(y)
        picks = sorted({round(k * (T - 1) / (CHECKED - 1)) for k in range(CHECKED)})

        def some(a: Array) -> Array:
            return a if a.shape[-2] == 1 else xp.stack([a[..., i, :] for i in picks], axis=-2)

        y, x = some(y), {name: some(a) for name, a in x.items()}
        try:
            found = self._rows(y, x, params)
        except Exception:
            return False
        with self.step.backend.frozen():
            meant = [self._called(y[..., k, :], {n: a[..., min(k, a.shape[-2] - 1), :] for n, a in x.items()}, params)
                     for k in range(len(picks))]  # fmt: skip
        for k, one in enumerate(meant):
            for many, single in zip([*found[0], *found[1]], [*one[0], *one[1]], strict=True):
                at = many[(*(slice(None) for _ in y.shape[:-2]), k)]
                if tuple(at.shape) != tuple(single.shape) or not _same(at, single):
                    return False
        return True

    def otherwise(self, ys: tuple[Array, ...], x: Any, params: Any) -> OverSteps | None:
        """Return f step by step where one call for all does not have its values, else None."""
        if not self.is_rows or self.holds(ys[0], x, params):
            return None
        return dataclasses.replace(self, is_rows=False, is_single=True)


def _same(a: Array, b: Array) -> bool:
    xp = array_namespace(a)
    if not xp.isdtype(a.dtype, ("real floating", "complex floating")):
        return bool(xp.all(a == b))
    return equal(xp.reshape(a, (-1,)), xp.reshape(b, (-1,)), AGREEMENT)
