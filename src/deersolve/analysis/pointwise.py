"""The transpose of a derivative without reverse mode, for a rule that knows which weight f has at each point.

f acts on each point by itself: of x, all points are one direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..backends.namespace import Array, array_namespace, padded
from ..backends.trees import tree_leaves
from ..newton.equation import System
from ..problems import Problem
from .fields import Fields, function_of


def by_points(
    problem: Problem, system: System, fields: Fields, u: Array, weights: Array, usable: Array
) -> Iterator[Array]:
    """Yield the gradient of ``sum(u * residual)`` by every leaf, of ``weights = M^T u``."""
    xp, y, primals = array_namespace(u), system.data.guess, tree_leaves(fields)
    f = function_of(problem, system, fields, lambda system, y: system.f(*system.shifted(y)), usable)
    zeros, before = [xp.zeros_like(a) for a in primals], 0

    def along(k: int, seed: Array) -> Array:
        directions = [a[None, ...] for a in (*zeros[:k], seed, *zeros[k + 1 :])]
        return weights * system.backend.pushforward(f, primals, directions)[0, ...]

    for name, part in fields.items():
        leaves = tree_leaves(part)
        if name == "boundary":
            bars = system.rule.pulled(part, system.linearise(y).Gs, u)
            yield from map(_summed, tree_leaves(bars), leaves)
        for k, leaf in enumerate(leaves, start=before) if name != "boundary" else ():
            own = leaf.shape[-1] if name == "x" else math.prod(leaf.shape)
            eye = xp.eye(own, dtype=leaf.dtype, device=system.backend.placement(leaf))
            if name != "x":
                sums = [xp.sum(along(k, xp.reshape(eye[j, :], leaf.shape))) for j in range(own)]
                yield xp.reshape(xp.stack(sums), leaf.shape)
                continue
            seeds = [xp.broadcast_to(padded(eye[j, :], leaf.ndim), leaf.shape) for j in range(own)]
            sums = [xp.sum(along(k, seed), axis=-1, keepdims=True) for seed in seeds]
            yield xp.concat([_summed(bar, leaf[..., :1]) for bar in sums], axis=-1)
        before += len(leaves)


def _summed(bar: Array, like: Array) -> Array:
    """Return the sums over all axes that ``like`` does not have, or has once, of its shape."""
    xp, shape = array_namespace(bar), (1,) * (bar.ndim - like.ndim) + tuple(like.shape)
    shared = tuple(k for k, (size, whole) in enumerate(zip(shape, bar.shape, strict=True)) if size != whole)
    total = xp.sum(bar, axis=shared, keepdims=True) if shared else bar
    return xp.reshape(total, like.shape)
