"""PyTorch: Jacobians by reverse mode, eager loops."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch._C import _functorch as functorch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from ..errors import InputError, mismatch
from . import registry
from ._torch_nodes import Gate, Guard, Order, Refused, Weightless, as_written, full_precision, solution
from ._torch_rows import apart, has_hooks, rows_of, without_hooks
from .generic import ON_HOST, Backend, Deferred, Jacobians, Later
from .namespace import Array, Tree
from .sums import Rows, Sums
from .trees import tree_map

FEW = 2**15  # numbers that an operation does not divide among threads, which would wait for one another


class Torch(Backend):
    """PyTorch tensors, on any device."""

    name = "torch"
    derivative = "automatic differentiation"
    unbound = staticmethod(torch.unbind)
    records = True

    def jacobians(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree = None) -> Jacobians:
        """Return ``f(*ys, x)`` and its Jacobians: one reverse-mode derivative a row."""
        return _pulled_back(f, ys, x, None)

    by_rows = True

    def along_seeds(self, f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, seeds: Array) -> Jacobians:
        """Return ``f(*ys, x)`` and the seeds times its Jacobians: one reverse-mode derivative a seed."""
        return _pulled_back(f, ys, x, seeds)

    def deferred(self, f: Callable[..., Array], ys: tuple[Array, ...]) -> Deferred | None:
        """Return ``f(*ys)`` on the graph, and what gives its Jacobians from that graph, as long as nobody frees it."""
        if has_hooks():  # what they unpack may be computed afresh, which is not to happen for each row
            return None
        here = apart(ys)
        fy = f(*here)
        return fy, lambda: rows_of(fy, here)

    def without_gradient(self, tree: Tree) -> Tree:
        """Detach every tensor of the tree."""
        return tree_map(lambda a: a.detach() if isinstance(a, torch.Tensor) else a, tree)

    def any_true(self, flag: Array) -> bool:
        """Return whether a flag holds anywhere, under ``torch.func.vmap`` for any part that is mapped over."""
        return super().any_true(_layers(flag)[-1] if isinstance(flag, torch.Tensor) else flag)

    def entries(self, array: Array, axis: int) -> Callable[[Any], Array]:
        """Return ``i -> array[i : i + 1]`` along ``axis``."""
        entries: Sequence[Array] = array.split(1, axis)
        return entries.__getitem__

    def rematerialised(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """Return the function, checkpointed where a graph is recorded; transforms of ``torch.func`` keep all."""

        def light(*args: Any) -> Array:
            if not _has_graph_only():
                return function(*args)
            with set_checkpoint_early_stop(False):  # the function may look at what it makes when it is called again
                made: Array = checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
            return made

        return light

    def weightless(self, rows: Array) -> Array:
        """Return zeros without memory of their own; transforms of ``torch.func`` keep the rows."""
        if not _has_graph_only():
            return rows
        zeros: Array = Weightless.apply(rows)
        return zeros

    def can_write(self, tree: Tree) -> bool:
        """Return whether neither a graph nor a transform follows the tensors."""
        return not torch.is_grad_enabled() and not _in_forward_mode() and self.is_concrete(tree)

    def is_concrete(self, tree: Tree) -> bool:
        """Return whether no tensor of the tree is mapped over by ``torch.func.vmap``."""
        tensors: list[Array] = []
        tree_map(lambda a: tensors.append(a) if isinstance(a, torch.Tensor) else None, tree)
        return not any(functorch.is_batchedtensor(layer) for a in tensors for layer in _layers(a))

    def sums(self, rows: Sequence[Sequence[float]], like: Array) -> Sums:
        """Return what holds tensors like ``like`` side by side, where no graph follows them."""
        if not self.can_write(like):
            return super().sums(rows, like)
        stack = torch.empty((max(map(len, rows)), *like.shape), dtype=like.dtype, device=like.device)
        return Rows(rows, stack, lambda row: torch.tensor(row, dtype=like.dtype, device=like.device).matmul)

    @contextlib.contextmanager
    def undivided(self, numbers: int) -> Iterator[None]:
        """Work in one thread, if arrays are of few numbers."""
        threads = torch.get_num_threads()
        if numbers > FEW or threads == 1:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def recorded(self, compute: Callable[[], Array]) -> Array | None:
        """Return what is computed if a graph, a transform of ``torch.func`` or forward mode follows it, else None."""
        if not torch.is_grad_enabled() and not _in_forward_mode():
            return None
        result = compute()
        return result if any(map(_is_followed, _layers(result))) else None

    def orders(self, recorded: Array) -> int:
        """Return one for each transform of ``torch.func`` and for forward mode, and two or three for a graph."""
        layers = _layers(recorded)
        transforms = sum(functorch.is_gradtrackingtensor(layer) for layer in layers)
        if layers[-1].requires_grad:
            return max(2 + transforms, 3)
        return max(transforms, 1)

    def implicit(self, y: Array, r: Array, later: Later | None, again: Callable[[Array], Any] | None) -> Any:
        """Return y as one node of the graph, or None inside ``torch.func`` and forward mode.

        Of two such nodes the second is evaluated at the first, so that y follows theta in the derivative of the
        derivative. Where only a first one is asked for, the first node is not visited.
        """
        if _is_wrapped(r) or _is_dual(r):
            return None
        if again is None:
            return solution(None, r, y, later, None)
        order = Order()
        before = solution(y, r, y, None, order)
        r, later = again(Gate.apply(before, order))
        return solution(before, r, y, later, order)

    def pushforward(self, function: Callable[..., Array], primals: list[Array], directions: list[Array]) -> Array:
        """Return the derivatives of ``function(*primals)`` along m directions, by forward mode."""
        at = tuple(a.contiguous() for a in primals)  # a number that is repeated cannot be dual
        rows = [torch.func.jvp(function, at, d)[1] for d in zip(*directions, strict=True)]
        return torch.stack(rows)

    def pullback(self, function: Callable[..., Array], primals: list[Array], cotangent: Array) -> list[Array] | None:
        """Return the derivatives of ``sum(cotangent * function(*primals))``, by reverse mode."""
        return list(torch.func.vjp(function, *primals)[1](cotangent))

    def refused(self, values: Array, like: Array, reason: str) -> Array:
        """Return the values on the graph of ``like``; a derivative of them raises :class:`InputError`."""
        refused: Array = Refused.apply(values, like, reason)
        return refused

    def guarded(self, y: Array, usable: Array) -> Array:
        """Return y, whose derivatives pass :func:`deersolve.backends.generic.passed`."""
        guarded: Array = Guard.apply(y, usable)
        return guarded

    def vmap(self, f: Callable[..., Array], args: tuple[Tree, ...]) -> Array:
        """Map f over the first axis of every tensor."""
        dims = tuple(None if a is None else 0 for a in args)
        return torch.func.vmap(f, in_dims=dims)(*args)

    def cell(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``RNNCell``, ``GRUCell`` and ``LSTMCell`` as f(carry, x) -> (carry, h); others as they are."""
        if not isinstance(f, torch.nn.RNNCellBase):
            return f

        def step(carry: Any, x: Array) -> Any:
            new = f(x, carry)
            return new, new[0] if isinstance(new, tuple) else new

        return step

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Compute in the dtype of y0, whatever autocast and the settings for TF32 ask for; call f as it was written."""
        with super().quiet(), full_precision(), as_written():
            yield

    def frozen(self) -> contextlib.AbstractContextManager[Any]:
        """Record no graph: ``torch.no_grad()``."""
        context: contextlib.AbstractContextManager[Any] = torch.no_grad()
        return context

    def on_host(self, function: Callable[..., Any], like: Array, *arrays: Array) -> Array:
        """Return what a function of NumPy arrays makes of these; refuse where a graph or a transform follows them."""
        follows = torch.is_grad_enabled() or _in_forward_mode()
        if follows and any(map(_is_followed, (layer for a in arrays for layer in _layers(a)))):
            raise InputError(ON_HOST)
        return super().on_host(function, like, *arrays)

    def linear_solve(self, matrices: Array, rhs: Array) -> Array:
        """Solve ``(*S, n, n)`` systems; a singular one gives NaN."""
        if matrices.shape[-1] == 1:
            return rhs / matrices
        result, info = torch.linalg.solve_ex(matrices, rhs)
        return torch.where((info != 0)[..., None, None], torch.nan, result)

    def plain(self, array: Array, name: str) -> Array:
        """Return the tensor; refuse those whose numbers do not lie side by side."""
        if array.layout is not torch.strided or array.is_nested or array.is_quantized or array.is_meta:
            advice = "Give a tensor with all of its numbers, such as x.to_dense()."
            kind = "nested" if array.is_nested else f"{array.layout} on {array.device}"
            raise mismatch(name, "a dense tensor", f"one that is {kind}", advice)
        return array

    def to_numpy(self, array: Array) -> Any:
        """Return the numbers as a NumPy array, cut from any graph and transform."""
        bare = _layers(array)[-1]
        if functorch.peek_interpreter_stack() is None:
            return bare.numpy(force=True)
        return np.asarray(bare.tolist(), dtype=str(bare.dtype).removeprefix("torch."))  # a transform hides the storage

    def device_kind(self, array: Array) -> str:
        """Return "cpu" or "gpu"."""
        return "cpu" if array.device.type == "cpu" else "gpu"

    def convert(self, value: Any, like: Array, dtype: Any) -> Array:
        """Return a tensor on the device of ``like``."""
        return torch.as_tensor(value, dtype=dtype, device=like.device)


def _has_graph_only() -> bool:
    """Return whether a graph is recorded, and no transform or forward mode follows."""
    return torch.is_grad_enabled() and is_plain()


def is_plain() -> bool:
    """Return whether no transform and no forward mode follows."""
    return not _in_forward_mode() and functorch.peek_interpreter_stack() is None


def _in_forward_mode() -> bool:
    return bool(forward_ad._current_level >= 0)


def _is_wrapped(tensor: Array) -> bool:
    return bool(functorch.is_functorch_wrapped_tensor(tensor))


def _layers(tensor: Array) -> list[Array]:
    """Return the tensor, what it wraps under the transforms of ``torch.func``, and so on to the numbers."""
    layers = [tensor]
    while _is_wrapped(layers[-1]):
        layers.append(functorch.get_unwrapped(layers[-1]))
    return layers


def _is_followed(layer: Array) -> bool:
    """Return whether one layer of a tensor takes part in a derivative."""
    is_followed = layer.requires_grad or functorch.is_gradtrackingtensor(layer)
    return bool(is_followed or (not functorch.is_batchedtensor(layer) and _is_dual(layer)))


def _is_dual(tensor: Array) -> bool:
    return forward_ad.unpack_dual(tensor).tangent is not None


def _pulled_back(f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, rows: Array | None) -> Jacobians:
    """Return ``f(*ys, x)`` and its Jacobians, or rows times them."""
    if not is_plain():
        return _by_transforms(f, ys, x, rows)
    try:
        return _by_graph(f, ys, x, rows)
    except RuntimeError as error:
        if "nference tensor" not in str(error):
            raise
        return _by_transforms(f, ys, x, rows)  # a graph takes none of those that were made in inference mode


def _by_graph(f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, rows: Array | None) -> Jacobians:
    """Return the same, with their own derivatives where somebody may ask for those."""
    is_followed = torch.is_grad_enabled()
    with contextlib.nullcontext() if is_followed else without_hooks(), torch.enable_grad():
        here = apart(ys)
        fy = f(*here, x)
        made = rows_of(fy, here, rows, create_graph=is_followed)
    return fy if is_followed else fy.detach(), made


def _by_transforms(f: Callable[..., Array], ys: tuple[Array, ...], x: Tree, rows: Array | None) -> Jacobians:
    """Return the same, inside other transforms."""
    fy, pullback = torch.func.vjp(lambda *ys: f(*ys, x), *ys)
    n = fy.shape[-1]
    if n == 1 and rows is None:
        return fy, tuple(row[..., None, :] for row in pullback(torch.ones_like(fy)))
    seeds = torch.eye(n, dtype=fy.dtype, device=fy.device) if rows is None else rows
    pulled = torch.func.vmap(lambda seed: pullback(seed.expand_as(fy)))(seeds)
    return fy, tuple(row.movedim(0, -2) for row in pulled)  # other out_dims fail where f ignores an argument


registry.add("torch", Torch())
