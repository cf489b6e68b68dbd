"""Values as Python code that can be pasted, and the problem that is made of such."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

import numpy as np

from ..backends import backend_of
from ..errors import LibraryError

IMPORTS = {
    "np.": "import numpy as np",
    "ds.": "import deersolve as ds",
    "jnp.": "import jax.numpy as jnp",
    "torch.": "import torch",
}
ASARRAY = {"numpy": "{}", "jax": "jnp.asarray({})", "torch": "torch.as_tensor({})"}
"""An array of NumPy as one of the library."""


@dataclasses.dataclass(frozen=True)
class Code:
    """An expression in Python, with what it is."""

    text: str
    value: Any


def made(text: str) -> Code:
    """Return what a text stands for, computed from that text."""
    names: dict[str, Any] = {"np": np}
    for prefix, line in IMPORTS.items():
        if prefix in text and prefix != "np.":
            exec(line, names)
    return Code(text, eval(text, names))


def code_of(value: Any) -> str:
    """Return a value as Python code."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, np.ndarray | np.generic):
        kind = "" if value.dtype in (np.float64, np.int64, bool) else f", dtype=np.{value.dtype}"
        return f"np.array({_listed(value.tolist())}{kind})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {code_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        inside = ", ".join(map(code_of, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and _is_ours(type(value)):
        fields = [f"{f.name}={code_of(getattr(value, f.name))}" for f in dataclasses.fields(value) if f.repr]
        return f"ds.{type(value).__name__}({', '.join(fields)})"
    if callable(value):
        return function_code(value)[1]
    try:
        plain = np.asarray(value.detach() if hasattr(value, "detach") else value)
        return ASARRAY[backend_of(value).name].format(code_of(plain))
    except (LibraryError, KeyError):
        return repr(value)


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("deersolve.")


def _listed(values: Any) -> str:
    text = repr(values)
    return text.replace("nan", "np.nan").replace("inf", "np.inf")


def function_code(f: Any) -> tuple[str, str]:
    """Return lines that make a function, an import, its source or a remark, and its name."""
    name, module = getattr(f, "__qualname__", type(f).__name__), getattr(f, "__module__", None)
    if f is getattr(__import__("deersolve"), name.lower(), None):
        return "", f"ds.{name.lower()}"
    if name.isidentifier() and module not in (None, "__main__", "builtins"):
        return f"from {module} import {name}", name
    short = name.rpartition(".")[2]
    try:
        source = textwrap.dedent(inspect.getsource(f))
    except (OSError, TypeError):
        source = ""
    if source.startswith("def ") and short.isidentifier():
        return source.rstrip(), short
    return f"f = ...  # {name} of {module}", "f"


def program(lines: list[str], body: str) -> str:
    """Return code with the imports that it needs."""
    text = "\n".join([*(line for line in lines if line), body])
    needed = [line for prefix, line in IMPORTS.items() if prefix in text]
    own = [line for line in lines if line.startswith(("import ", "from "))]
    rest = [line for line in lines if line and line not in own]
    return "\n".join([*needed, *own, "", *rest, body]).strip() + "\n"


def call(name: str, f: str, arguments: dict[str, Any]) -> str:
    """Return the construction of a problem, an argument a line."""
    rows = [f"    {f},", *(f"    {k}={code_of(v)}," for k, v in arguments.items())]
    return "\n".join([f"problem = ds.{name}(", *rows, ")"])
