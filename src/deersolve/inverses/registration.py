"""The registry of rules, whose keys are ``"<L>.<rule>"``, and the paper's callable as one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..backends.namespace import Array
from ..backends.registration import Registry
from ..errors import mismatch
from ..grids.shifters import takes_keywords
from ..linalg.structure import Structure
from .base import DECLARED, Rule
from .homes import HOMES

registry: Registry[Rule] = Registry("inverses", "deersolve.inverses", HOMES)


class PaperForm(Rule):
    """The paper's inverse operator, ``y_next = L_G^{-1}[rhs]``, given as ``(Gs, rhs) -> y``.

    It has no L of its own, so the size of a step stands for the residual.
    """

    has_residual: ClassVar[bool] = False

    def __init__(self, function: Callable[..., Array], wants_domain: bool) -> None:
        self.function = function
        self.wants_domain = wants_domain
        self.key = getattr(function, "__name__", "a callable")
        for name in DECLARED:  # an attribute of the function says it
            setattr(self, name, getattr(function, name, None))

    def inverse(self, Gs: tuple[Structure, ...], rhs: Array, data: Any) -> Array:
        """Return ``L_G^{-1}[rhs]``."""
        where = {"grid": data.grid.seen, "boundary": data.boundary} if self.wants_domain else {}
        return self.checked("L_G^{-1}", self.function(Gs, rhs, **where), rhs)

    def correction(
        self, Gs: tuple[Structure, ...], y: Array, ys: tuple[Array, ...], fy: Array, data: Any
    ) -> tuple[Array, Array]:
        """Return the step ``L_G^{-1}[f + sum_p G_p y_p] - y``, as residual and as correction."""
        rhs = fy
        for G, y_p in zip(Gs, ys, strict=True):
            rhs = rhs + (G @ y_p)
        delta = self.inverse(Gs, rhs, data) - y
        return delta, delta


def register(key: str, *, structures: tuple[type, ...], exact: bool, replace: bool = False) -> Callable[[Any], Any]:
    """Register a rule under ``"<L>.<name>"``: a class with residual and solve, or the paper's callable.

    Parameters
    ----------
    key : str
        For example "ddt.mine"; ``solve(problem, inverse="mine")`` finds it for a problem in d/dt.
    structures : tuple of type
        The structures of G that it solves for exactly.
    exact : bool
        Whether y, once converged, is the same for every G; ``testing.check_inverse`` tests the claim.
    replace : bool
        Whether it may take the place of another rule of that key, one that is built in included.

    Returns
    -------
    callable
        A decorator of a class with ``residual`` and ``solve``, or of a function ``(Gs, rhs, *, grid, boundary) -> y``.

    Raises
    ------
    InputError
        If what is decorated has neither form, ``structures`` is no tuple of structures, or the key is taken.
    """
    kinds = structures if isinstance(structures, tuple | list) else [None]
    if not all(isinstance(kind, type) and issubclass(kind, Structure) for kind in kinds):
        raise mismatch("structures", "a tuple of subclasses of ds.Structure, such as (Dense,)", repr(structures))

    def decorate(thing: Any) -> Any:
        made = _made(thing)
        made.key, made.structures, made.exact = key, tuple(structures), exact
        made.is_builtin = thing.__module__.startswith("deersolve.")
        registry.add(key, made, replace=replace, source=thing)
        return thing

    return decorate


def _made(thing: Any) -> Rule:
    if isinstance(thing, Rule):
        return thing
    if isinstance(thing, type) and issubclass(thing, Rule):
        return thing()
    if isinstance(thing, type) and hasattr(thing, "residual") and hasattr(thing, "solve"):
        mixed: Rule = type(thing.__name__, (thing, Rule), {})()
        return mixed
    if callable(thing) and not isinstance(thing, type):
        return rule_of(thing)
    raise mismatch("register", "a class with residual and solve, or a callable (Gs, rhs) -> y", repr(thing))


def rule_of(inverse: Any, family: str = "") -> Rule:
    """Return the rule that a user named, made, or gave as the paper's callable ``(Gs, rhs) -> y``."""
    if isinstance(inverse, Rule):
        return inverse
    if isinstance(inverse, str):
        short = inverse if "." in inverse or not family else f"{family}.{inverse}"
        return registry[short]
    if callable(inverse) and not isinstance(inverse, type):
        return PaperForm(inverse, takes_keywords(inverse, "grid", "boundary"))
    advice = "Derive its class from ds.inverses.Rule and pass an object of it, or register the class and pass its key."
    raise mismatch("inverse", "a name, a rule or a callable (Gs, rhs) -> y", repr(inverse), advice)
