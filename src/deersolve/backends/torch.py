"""PyTorch: Jacobians by ``torch.func``, eager loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..record import tree_map
from ..typing import Array, Tree
from . import registry
from .generic import Backend, Functions, Solver, split_columns


class Torch(Backend):
    """PyTorch tensors, on any device."""

    name = "torch"
    derivative = "automatic differentiation"

    def jacobians(self, f: Callable[..., Array], ys: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """Return ``f(*ys)`` and its Jacobians: one forward-mode derivative a column, batched by vmap."""
        sizes = [y.shape[-1] for y in ys]
        seeds = torch.eye(sum(sizes), dtype=ys[0].dtype, device=ys[0].device).split(sizes, dim=-1)

        def column(*directions: Array) -> tuple[Array, Array]:
            tangents = tuple(d.expand_as(y) for d, y in zip(directions, ys, strict=True))
            out: tuple[Array, Array] = torch.func.jvp(f, ys, tangents)
            return out

        if sum(sizes) == 1:
            fy, tangent = column(*(s[0] for s in seeds))
            return fy, (tangent[..., None],)
        fy, columns = torch.func.vmap(column, out_dims=(None, -1))(*seeds)
        return fy, split_columns(columns, ys)

    def without_gradient(self, tree: Tree) -> Tree:
        """Detach every tensor of the tree."""
        return tree_map(lambda a: a.detach() if isinstance(a, torch.Tensor) else a, tree)

    def records(self, compute: Callable[[], Array]) -> bool:
        """Return whether a graph is recorded, by autograd or by a transform of ``torch.func``."""
        if not torch.is_grad_enabled():
            return False
        result = compute()
        return bool(result.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(result))

    def vmap(self, f: Callable[..., Array], args: tuple[Tree, ...]) -> Array:
        """Map f over the first axis of every tensor."""
        dims = tuple(None if a is None else 0 for a in args)
        return torch.func.vmap(f, in_dims=dims)(*args)

    def call(self, solver: Solver, functions: Functions, arrays: Tree) -> Any:
        """Return ``solver(functions, frozen functions, arrays)``; the frozen ones record no graph."""
        plain = {name: f for name, (f, _) in functions.items()}

        def freeze(f: Callable[..., Any]) -> Callable[..., Any]:
            def frozen(*args: Any) -> Any:
                with torch.no_grad():
                    return f(*args)

            return frozen

        return solver(plain, {name: freeze(f) for name, f in plain.items()}, arrays)

    def linear_solve(self, matrices: Array, rhs: Array) -> Array:
        """Solve ``(*S, n, n)`` systems; a singular one gives NaN."""
        if matrices.shape[-1] == 1:
            return rhs / matrices
        result, info = torch.linalg.solve_ex(matrices, rhs)
        return torch.where((info != 0)[..., None, None], torch.nan, result)

    def device_kind(self, array: Array) -> str:
        """Return "cpu" or "gpu"."""
        return "cpu" if array.device.type == "cpu" else "gpu"

    def convert(self, value: Any, like: Array, dtype: Any) -> Array:
        """Return a tensor on the device of ``like``."""
        return torch.as_tensor(value, dtype=dtype, device=like.device)


registry.add("torch", Torch())
