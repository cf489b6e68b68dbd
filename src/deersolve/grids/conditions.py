"""What is given at the ends and sides of space."""

from __future__ import annotations

from typing import Any

from ..backends.trees import record, static


@record
class Dirichlet:
    """u = value at one side.

    Attributes
    ----------
    value : number or array
        Of shape (n,) or (*B, n), or what broadcasts to that.
    """

    value: Any = 0.0


@record
class Neumann:
    """du/dn = slope at one side, n the outward normal: at the left, du/ds = -slope.

    Attributes
    ----------
    slope : number or array
        As the value of :class:`Dirichlet`.
    """

    slope: Any = 0.0


@record
class Robin:
    """a u + b du/dn = value at one side, n the outward normal.

    Attributes
    ----------
    a, b : float or tuple of float
        The same for all components, or one for each. Where b is 0 the condition is Dirichlet's.
    value : number or array
        As the value of :class:`Dirichlet`.
    """

    a: Any = static()
    b: Any = static()
    value: Any = 0.0


@record
class NoFlux:
    """Nothing passes one side: neither by diffusion nor, where a problem has one, by its ``flux``.

    Without a ``flux`` it is ``Neumann(0)``.
    """


@record
class Periodic:
    """u at one side is u at the other; both sides have to say so."""


@record
class Coupled:
    """first @ u(a) + last @ u(b) = value, n conditions on the two ends of n components.

    A condition on one end alone has a row of zeros in the matrix of the other.

    Attributes
    ----------
    first, last : array, shape (n, n)
        A row for each condition.
    value : number or array
        Of shape (n,) or (*B, n).
    """

    first: Any
    last: Any
    value: Any = 0.0
