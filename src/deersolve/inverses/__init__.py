"""Rules: how L is discretised and how the linear equation with G at every point is solved."""

from .assembled import assembled
from .base import Rule
from .registration import PaperForm, register, registry, rule_of

__all__ = ["PaperForm", "Rule", "assembled", "register", "registry", "rule_of"]
