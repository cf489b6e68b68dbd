"""How each field of a problem with a complex state is held in real numbers, and its gradient in complex ones.

A gradient g of a complex field means d loss = Re(sum(conj(g) d field)), as in PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.namespace import Array, Tree, array_namespace, dtype_name
from ..backends.pairs import complex_of, is_complex, matrices_of_pairs, paired, repeated
from ..backends.trees import tree_map
from ..errors import mismatch
from ..grids.box import SIDES

if TYPE_CHECKING:
    from .complex_state import Pairs

REAL_COEFFICIENT = (
    "The coefficients of the derivatives are real. For u_t = i u_ss take D=0 with cells=True and the flux -i u_s, "
    "flux=lambda left, right, x, p: -1j * (right - left) / h; or an InitialValueProblem whose f takes the differences."
)


class Same:
    """A field that stays as it is."""

    def apart(self, pairs: Pairs, name: str, value: Any, field: Any) -> Any:
        """Return a value of the field, or a change of it, in real numbers."""
        return value

    def together(self, pairs: Pairs, gradient: Any, field: Any) -> Any:
        """Return the gradient by the field, of its kind."""
        return gradient


class Row(Same):
    """n numbers on the last axis, or one for all: pairs of each."""

    def apart(self, pairs: Pairs, name: str, value: Any, field: Any) -> Array:
        """Return the pairs, (..., 2n)."""
        a = pairs.numbers(name, value)
        xp = array_namespace(a)
        a = a[None] if a.ndim == 0 else a
        return paired(xp.broadcast_to(a, (*a.shape[:-1], pairs.n)) if a.shape[-1] == 1 else a)

    def together(self, pairs: Pairs, gradient: Array, field: Any) -> Array:
        """Return complex numbers, summed where one was for all."""
        z = complex_of(gradient)
        xp, is_listed = array_namespace(z), isinstance(field, list | tuple)
        shape = tuple(z.shape) if is_listed else getattr(field, "shape", ())
        if shape[-1:] != tuple(z.shape[-1:]):
            z = xp.sum(z, axis=-1, keepdims=True)
        return _as(field, xp.reshape(z, tuple(shape)))


class AtSide(Row):
    """What is given at a side: a row, or a tuple of one number for each component."""

    def apart(self, pairs: Pairs, name: str, value: Any, field: Any) -> Any:
        """Return a row of pairs, or a tuple of the parts of each."""
        if not isinstance(value, tuple):
            return super().apart(pairs, name, value, field)
        parts = [pairs.numbers(name, v) for v in value]
        return tuple(part for z in parts for part in (array_namespace(z).real(z), array_namespace(z).imag(z)))

    def together(self, pairs: Pairs, gradient: Any, field: Any) -> Any:
        """Return the gradient by the row, or by each of the tuple."""
        if not isinstance(field, tuple):
            return super().together(pairs, gradient, field)
        xp, parts = array_namespace(gradient[0]), zip(gradient[0::2], gradient[1::2], strict=True)
        joined = (complex_of(xp.stack(both, axis=-1))[..., 0] for both in parts)
        return tuple(map(_as, field, joined))


class Matrix(Same):
    """A matrix of n complex numbers."""

    def apart(self, pairs: Pairs, name: str, value: Any, field: Any) -> Array:
        """Return the matrix of pairs."""
        A = pairs.numbers(name, value)
        if A.ndim != 2:
            raise mismatch(name, "a matrix (n, n), a row for each condition", tuple(A.shape))
        return matrices_of_pairs(A)

    def together(self, pairs: Pairs, gradient: Array, field: Any) -> Array:
        """Return the sums over the places of each part."""
        g, xp = gradient, array_namespace(gradient)
        parts = [g[0::2, 0::2] + g[1::2, 1::2], g[1::2, 0::2] - g[0::2, 1::2]]
        return _as(field, complex_of(xp.stack(parts, axis=-1))[..., 0])


class Coefficient(Same):
    """Real numbers, which both parts share."""

    def apart(self, pairs: Pairs, name: str, value: Any, field: Any) -> Any:
        """Return each twice, where there is one for each component."""
        if is_complex(value):
            kind = dtype_name(value) if hasattr(value, "dtype") else repr(value)
            raise mismatch(name, "real numbers", kind, REAL_COEFFICIENT)
        if isinstance(value, list | tuple):
            xp = array_namespace(pairs.like)
            value = xp.real(pairs.numbers(name, value))
        return repeated(value) if self._is_each(pairs, value) else value

    def together(self, pairs: Pairs, gradient: Array, field: Any) -> Array:
        """Return the sums of those of both parts."""
        return gradient[..., 0::2] + gradient[..., 1::2] if self._is_each(pairs, field) else gradient

    def _is_each(self, pairs: Pairs, value: Any) -> bool:
        return getattr(value, "ndim", 0) > 0 and value.shape[-1] == pairs.n > 1


class Inputs(Same):
    """A tree, of which complex leaves are pairs on their last axis."""

    def apart(self, pairs: Pairs, name: str, value: Tree, field: Tree) -> Tree:
        """Return the tree with pairs where the field is complex."""
        return tree_map(lambda a, old: self._pairs(pairs, name, a) if is_complex(old) else a, value, field)

    def together(self, pairs: Pairs, gradient: Tree, field: Tree) -> Tree:
        """Return the tree with complex leaves."""
        return self.joined(gradient, self.flags(field))

    def flags(self, field: Tree) -> Any:
        """Return which leaves are complex; False where none is, or for a part of which none is."""
        if isinstance(field, dict):
            held: Any = {name: self.flags(part) for name, part in field.items()}
            return held if any(held.values()) else False
        if isinstance(field, list | tuple):
            held = tuple(map(self.flags, field))
            return held if any(held) else False
        return is_complex(field)

    def joined(self, tree: Tree, flags: Any) -> Tree:
        """Return a tree in which the leaves with flags are complex again."""
        if flags is False or tree is None:
            return tree
        if isinstance(flags, dict):
            return {name: self.joined(part, flags.get(name, False)) for name, part in tree.items()}
        if isinstance(flags, tuple):
            parts = list(map(self.joined, tree, flags))
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        return self._complex(tree)

    def _pairs(self, pairs: Pairs, name: str, value: Any) -> Any:
        """Return the pairs of a leaf; one without points is refused later."""
        return paired(value) if getattr(value, "ndim", 0) > 1 else value

    def _complex(self, leaf: Array) -> Array:
        return complex_of(leaf)


class Parameters(Inputs):
    """A tree, of which complex leaves have an axis more, of their parts."""

    def _pairs(self, pairs: Pairs, name: str, value: Any) -> Any:
        value = value if hasattr(value, "shape") else pairs.numbers(name, value)
        return paired(value[..., None])

    def _complex(self, leaf: Array) -> Array:
        return complex_of(leaf)[..., 0]


def _as(field: Any, z: Array) -> Array:
    """Return a gradient by real numbers where the field is real."""
    return z if is_complex(field) else array_namespace(z).real(z)


_row, _coefficient, _matrix, _side = Row(), Coefficient(), Matrix(), AtSide()
LAYOUTS: dict[str, Any] = {
    **dict.fromkeys(("y0", "u0", "value"), _row),
    **dict.fromkeys(("first", "last"), _matrix),
    **dict.fromkeys(("D", "a", "b", "c"), _coefficient),
    **dict.fromkeys((name for pair in SIDES for name in pair), _side),
    "x": Inputs(),
    "params": Parameters(),
    "t": Same(),
}
"""By the names of the fields."""
