"""``RNN`` of :mod:`flax.nnx`, solved for all steps at once where that is faster.

Constructor, arguments and results are those of ``flax.nnx.RNN``, and so are the weights, which its cell holds: replace
``nnx.RNN`` by ``deersolve.flax.RNN``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.recurrent import flip_sequences

from .errors import mismatch
from .newton.methods import Newton, method_of
from .recurrent.scan import scan

__all__ = ["RNN"]


class RNN(nnx.RNN):  # type: ignore[misc]
    """``flax.nnx.RNN``: carry_t, y_t = cell(carry_{t-1}, x_t), the outputs of all steps.

    Parameters
    ----------
    cell : nnx.Module
        Such as ``nnx.GRUCell``, or one of your own: ``cell(carry, x) -> (carry, y)``, ``initialize_carry`` and
        ``num_feature_axes``. The axes of a batch come first in the carry, x and y; a cell treats its elements each by
        itself.
    time_major, return_carry, reverse, keep_order, unroll, state_axes, broadcast_rngs, rngs
        Those of ``flax.nnx.RNN``.
    method
        That of :func:`deersolve.scan`. A cell that updates variables of its own (statistics of a batch, the counts of a
        random number generator, as dropout in training) has steps that cannot be taken at once: "auto" runs the loop of
        ``flax.nnx.RNN`` itself.

    Raises
    ------
    InputError
        If Newton's method is asked for and the cell updates its own variables, or has others at each step.
    ConvergenceError
        If Newton's method was asked for and fails, outside of ``jax.jit``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from deersolve.flax import RNN
    >>> cell = nnx.GRUCell(3, 2, rngs=nnx.Rngs(0))
    >>> theirs, ours = nnx.RNN(cell), RNN(cell, method="newton")
    >>> x = jnp.ones((4, 50, 3))
    >>> ours(x).shape, bool(jnp.allclose(ours(x), theirs(x), atol=1e-6))
    ((4, 50, 2), True)
    """

    def __init__(self, cell: Any, *, method: Any = "auto", **options: Any) -> None:
        """Take what ``flax.nnx.RNN`` takes, and a method of :func:`deersolve.scan`."""
        super().__init__(cell, **options)
        self.method = method_of(method)

    def __call__(  # noqa: PLR0913 - the arguments of flax.nnx.RNN
        self,
        inputs: Any,
        *,
        initial_carry: Any = None,
        seq_lengths: Any = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Any = None,
    ) -> Any:
        """Return the outputs, or the last carry and the outputs, as ``flax.nnx.RNN`` does."""
        given = {"return_carry": return_carry, "time_major": time_major, "reverse": reverse, "keep_order": keep_order}
        chosen = {name: getattr(self, name) if value is None else value for name, value in given.items()}
        time = 0 if chosen["time_major"] else inputs.ndim - self.cell.num_feature_axes - 1
        shape = (*inputs.shape[:time], *inputs.shape[time + 1 :])
        if initial_carry is None:
            rngs = self.rngs if rngs is None else rngs
            rngs = rngs.carry.fork() if isinstance(rngs, nnx.Rngs) else rngs
            initial_carry = self.cell.initialize_carry(shape, rngs)
        batch = shape[: len(shape) - self.cell.num_feature_axes]
        why = self._why_loop(initial_carry, jax.ShapeDtypeStruct(shape, inputs.dtype), batch)
        if why:
            if isinstance(self.method, Newton):
                raise mismatch("cell", "steps that can be taken at once", why, 'method="auto" runs the loop.')
            return super().__call__(inputs, initial_carry=initial_carry, seq_lengths=seq_lengths, **chosen)
        flipped = functools.partial(
            flip_sequences, seq_lengths=seq_lengths, num_batch_dims=len(batch), time_major=chosen["time_major"]
        )
        x = jnp.moveaxis(flipped(inputs) if chosen["reverse"] else inputs, time, 0)
        carry, outputs = self._at_once(x, initial_carry, batch, seq_lengths if chosen["return_carry"] else None)
        outputs = jax.tree.map(lambda a: jnp.moveaxis(a, 0, time), outputs)
        outputs = jax.tree.map(flipped, outputs) if chosen["reverse"] and chosen["keep_order"] else outputs
        return (carry, outputs) if chosen["return_carry"] else outputs

    def _why_loop(self, carry: Any, x: Any, batch: tuple[int, ...]) -> str:
        """Return why the steps cannot be taken at once; "" where they can."""
        if any(jnp.shape(a)[: len(batch)] != batch for a in jax.tree.leaves(carry)):
            return f"a carry without the axes of the batch, {batch}"
        graphdef, state = nnx.split(self.cell)
        if any(isinstance(self.state_axes.map_prefix(*pair), int) for pair in nnx.to_flat_state(state)):
            return "one with other variables at each step (state_axes)"
        changed: set[tuple[Any, ...]] = set()

        def once(state: Any, carry: Any, x: Any) -> Any:
            cell = nnx.merge(graphdef, state, copy=True)
            made = cell(carry, x)
            before, after = (dict(nnx.to_flat_state(s)) for s in (state, nnx.state(cell)))
            kept = {path for path in before.keys() & after if after[path].get_value() is before[path].get_value()}
            changed.update((before.keys() | after.keys()) - kept)
            return made

        jax.eval_shape(once, state, carry, x)
        names = sorted(".".join(map(str, path)) for path in changed)
        return f"one that updates {', '.join(names)}" if names else ""

    def _at_once(self, x: Any, carry: Any, batch: tuple[int, ...], seq_lengths: Any) -> tuple[Any, Any]:
        """Return the last carry, with lengths those of each element, and the outputs, (T, *batch, ...)."""
        count, axes = math.prod(batch), len(batch)

        def one_axis(a: Any, lead: int) -> Any:
            return jnp.reshape(a, (*a.shape[:lead], count, *a.shape[lead + axes :]))

        def all_axes(a: Any, lead: int) -> Any:
            return jnp.reshape(a, (*a.shape[:lead], *batch, *a.shape[lead + 1 :]))

        @nnx.split_rngs(splits=1, only=self.broadcast_rngs, squeeze=True)  # type: ignore[untyped-decorator]
        def scanned(cell: Any) -> Any:
            graphdef, state = nnx.split(cell)
            return scan(
                _step(graphdef, seq_lengths is not None),
                jax.tree.map(lambda a: one_axis(a, 0), carry),
                one_axis(x, 1),
                batch_axis=0,
                params=state,
                unroll=self.unroll,
                method=self.method,
            )

        last, made = scanned(self.cell)
        last, made = (jax.tree.map(lambda a, k=k: all_axes(a, k), tree) for k, tree in enumerate((last, made)))
        if seq_lengths is None:
            return last, made
        carries, outputs = made
        rows = jnp.arange(x.shape[1])
        return jax.tree.map(lambda a: a[seq_lengths - 1, rows], carries), outputs


@functools.lru_cache(maxsize=64)
def _step(graphdef: Any, keeps: bool) -> Callable[..., Any]:
    """Return the cell as a step with its variables as parameters; its carry is an output too where that is kept."""

    def step(carry: Any, x: Any, state: Any) -> Any:
        carry, y = nnx.merge(graphdef, state, copy=True)(carry, x)
        return carry, (carry, y) if keeps else y

    return step
