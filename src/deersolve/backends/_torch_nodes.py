"""The nodes of a PyTorch graph that stand for a solution, so that backward is one transposed solve."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

from ..errors import InputError
from .columns import passed
from .generic import Later
from .trees import tree_leaves, tree_map

TOO_HIGH = (
    "a third derivative by backward: expected at most the second. Nested torch.func.grad, and JAX, have every order."
)
IN_BLOCKS = (
    "a second derivative: expected the first, as the Jacobians do not fit the memory and are computed in blocks. "
    "Solve with a method of more memory, as Auto(memory=None)."
)

DEVICES = ("cpu", "cuda")


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Switch autocast and TF32 off: with either no iterate reaches the roundoff that certifies."""
    with contextlib.ExitStack() as stack:
        for products in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
            stack.enter_context(_ieee(products))
        for device in DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def as_written() -> contextlib.AbstractContextManager[Any]:
    """Run what ``torch.compile`` made of f as it was written: its own backward may run only once."""
    if "torch._dynamo" not in sys.modules:  # without it nobody compiles, and its import is slow
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextlib.contextmanager
def _ieee(products: Any) -> Iterator[None]:
    """Keep the matrix products of one library in their own dtype."""
    name, exact = ("fp32_precision", "ieee") if hasattr(products, "fp32_precision") else ("allow_tf32", False)
    before = getattr(products, name, exact)
    inherits = before == "none" and torch.backends.fp32_precision in ("none", "ieee")
    if before == exact or inherits:
        yield
        return
    setattr(products, name, exact)
    try:
        yield
    finally:
        setattr(products, name, before)


class Order:
    """Whether anybody has asked a graph for more than first derivatives, and the linear solves that they share."""

    is_higher = False
    linear: Any = None


class Slot:
    """The place of a tensor in a tree, while a graph saves it."""


def solution(before: Any, r: Any, y: Any, later: Later | None, order: Order | None) -> Any:
    """Return y as the solution of residual(y; theta) = 0 on the graph of r, which is the residual at y.

    ``later`` holds what the linear solves are made of when they are asked for, and how: the tensors are saved as those
    of any other node are, so that a change in place is an error and not another gradient.
    """
    held, made = later or (None, lambda held: held)
    leaves = [a.detach() for a in tree_leaves(held) if isinstance(a, torch.Tensor)]
    places = tree_map(lambda a: Slot() if isinstance(a, torch.Tensor) else a, held)

    def filled(saved: Any) -> Any:
        rest = iter(saved)
        return made(tree_map(lambda a: next(rest) if isinstance(a, Slot) else a, places))

    return Solution.apply(before, r, y, (leaves, filled), order)


class Solution(torch.autograd.Function):  # type: ignore[misc]
    """y as the solution of residual(y; theta) = 0: backward is one transposed solve with G at y.

    Its derivative leaves out that G moves with y: in the second of two such nodes what G multiplies is zero to first
    order, and so is u in the first, which takes the linear solves of the second.
    """

    @staticmethod
    def forward(ctx: Any, before: Any, r: Any, y: Any, later: Any, order: Order | None) -> Any:
        ctx.set_materialize_grads(False)
        leaves, ctx.linear = later
        ctx.order = order
        out = y.detach()
        ctx.save_for_backward(out, *leaves)
        return out

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        if c is None:
            return (None,) * 5
        y, *saved = ctx.saved_tensors
        order = ctx.order or Order()
        if torch.is_grad_enabled():
            if ctx.order is None:
                raise InputError(IN_BLOCKS)
            order.is_higher = True
        with torch.no_grad(), full_precision():
            linear = order.linear or ctx.linear(saved)
            u = linear.transpose(c)
        if order.is_higher:
            order.linear = linear
        if torch.is_grad_enabled():
            u = Transposed.apply(c, u, y, linear.solve)
        return c if order.is_higher else None, u, None, None, None


class Weightless(torch.autograd.Function):  # type: ignore[misc]
    """Zeros that take no memory in the place of values that nobody reads: what their derivative is, theirs is."""

    @staticmethod
    def forward(ctx: Any, values: Any) -> Any:
        return values.new_zeros(()).expand(values.shape)

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        return c


class Gate(torch.autograd.Function):  # type: ignore[misc]
    """y, constant while only first derivatives are asked for: those to y cancel, so they are not computed."""

    @staticmethod
    def forward(ctx: Any, y: Any, order: Order) -> Any:
        ctx.order = order
        return y.clone()

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        return c if ctx.order.is_higher else None, None


class Transposed(torch.autograd.Function):  # type: ignore[misc]
    """u with A^T u = b, known by now: its derivative is a solve with A, and has no other."""

    @staticmethod
    def forward(ctx: Any, b: Any, u: Any, y: Any, solve: Any) -> Any:
        ctx.save_for_backward(y)
        ctx.solve = solve
        return u.clone()

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        (y,) = ctx.saved_tensors
        with torch.no_grad(), full_precision():
            z = ctx.solve(c)
        return Refused.apply(z, y, TOO_HIGH) if torch.is_grad_enabled() else z, None, None, None


class Refused(torch.autograd.Function):  # type: ignore[misc]
    """Values that nobody may differentiate."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Any, like: Any, reason: str) -> Any:
        return values.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)
        ctx.reason = inputs[2]

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        if c is not None:
            raise InputError(ctx.reason)
        return None, None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Any:
        return torch.full_like(changes[1], torch.nan)  # forward mode meets it also where nobody does


class Guard(torch.autograd.Function):  # type: ignore[misc]
    """y, whose derivatives pass :func:`passed`, in every mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(y: Any, usable: Any) -> Any:
        return y.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx: Any, c: Any) -> Any:
        return passed(c, *ctx.saved_tensors), None

    @staticmethod
    def jvp(ctx: Any, change: Any, _: Any) -> Any:
        return passed(change, *ctx.saved_tensors)
