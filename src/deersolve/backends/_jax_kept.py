"""Functions compiled once for all that have the same operations, whatever arrays they close over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ._jax_programs import callbacks, nested_constants

SIZE = 64


class Kept(OrderedDict[Any, Any]):
    """What was compiled last, by what tells it from others."""

    def of(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what the key stands for, made if it is not here."""
        if key not in self:
            self[key] = make()
            if len(self) > SIZE:
                self.popitem(last=False)
        self.move_to_end(key)
        return self[key]

    def evaluated(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args)``, traced at each call and compiled once; weights it closes over are arguments."""
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        inner = [*nested_constants(traced.jaxpr), *callbacks(traced.jaxpr)]
        if any(isinstance(c, jax.core.Tracer) for c in inner):
            return function(*args)

        def make() -> Any:
            def run(consts: list[Any], leaves: list[Any]) -> Any:
                return jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, consts))(*leaves)

            return jax.jit(run), inner  # kept so that their ids stay taken

        key = (str(traced.jaxpr), *modes(), *map(id, inner))
        run, _ = self.of(key, make)
        return jax.tree.unflatten(jax.tree.structure(shape), run(traced.consts, jax.tree.leaves(args)))


def modes() -> tuple[Any, ...]:
    """Return the settings that a program is compiled for."""
    return jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision
