"""Jacobians from a PyTorch graph: the rows of d f / d y at every grid point, by reverse mode."""

from __future__ import annotations

import contextlib

import torch

from ._torch_nodes import Gate, Order
from .namespace import Array

FEW = 4  # rows that take no longer one after the other than together, which also imports SymPy on its first call


def apart(ys: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the same signals as nodes of a graph, so that what they share with each other or with x is not counted.

    Those that no graph follows take no derivative from it but the rows that are asked for.
    """
    return tuple(y.view_as(y) if y.requires_grad else Gate.apply(y.detach().requires_grad_(), Order()) for y in ys)


def rows_of(
    fy: Array, ys: tuple[Array, ...], rows: Array | None = None, *, create_graph: bool = False
) -> tuple[Array, ...]:
    """Return d fy / d y_p of shape (*S, n, n), of an fy that was computed from each point of ys by itself.

    With rows (k, n) those times the Jacobians, (*S, k, n).
    """
    size = fy.shape[-1] if rows is None else rows.shape[0]
    if not fy.requires_grad:
        return tuple(y.new_zeros((size, *y.shape)).movedim(0, -2) for y in ys)
    rows = torch.eye(size, dtype=fy.dtype, device=fy.device) if rows is None else rows
    seeds = rows.reshape(size, *(1 for _ in fy.shape[1:]), -1).expand(size, *fy.shape)
    if size > FEW:
        with contextlib.suppress(RuntimeError):  # where f holds what cannot be batched
            return tuple(a.movedim(0, -2) for a in _pulled(fy, ys, seeds, create_graph, True))
    each = [_pulled(fy, ys, seed, create_graph, False) for seed in seeds]
    return tuple(torch.stack(pulled, dim=-2) for pulled in zip(*each, strict=True))


def _pulled(fy: Array, ys: tuple[Array, ...], seeds: Array, create_graph: bool, is_batched: bool) -> tuple[Array, ...]:
    pulled: tuple[Array, ...] = torch.autograd.grad(
        fy,
        ys,
        seeds,
        retain_graph=True,
        create_graph=create_graph,
        is_grads_batched=is_batched,
        materialize_grads=True,
    )
    return pulled


def without_hooks() -> contextlib.AbstractContextManager[None]:
    """Keep what a graph of our own saves as it is: it is gone before anybody could unpack it."""
    made: contextlib.AbstractContextManager[None]
    made = (
        torch.autograd.graph.saved_tensors_hooks(lambda a: a.detach(), lambda a: a)
        if has_hooks()
        else contextlib.nullcontext()
    )
    return made


def has_hooks() -> bool:
    """Return whether somebody packs what graphs save, as ``torch.utils.checkpoint`` and ``save_on_cpu`` do."""
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks(""):
            return False
    except RuntimeError:
        return True
