"""Values as Python code that can be pasted, and the problem that is made of such."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import textwrap
import weakref
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


_texts: dict[int, tuple[weakref.ref[Any], str]] = {}
"""What made an array, by its identity, as long as it lives."""


def made(text: str) -> Any:
    """Return the array that a text stands for; :func:`code_of` knows the text."""
    value = _evaluated(text)
    key = id(value)
    _texts[key] = (weakref.ref(value, lambda _: _texts.pop(key, None)), text)
    return value


def _evaluated(text: str) -> Any:
    names: dict[str, Any] = {}
    for prefix, line in IMPORTS.items():
        if prefix in text:
            exec(line, names)
    return eval(text, names)


def _remembered(value: Any) -> str | None:
    """Return the text that an array was made by, if it is still what that gives."""
    reference, text = _texts.get(id(value), (None, ""))
    if reference is None or reference() is not value:
        return None
    return text if np.array_equal(np.asarray(_evaluated(text)), np.asarray(value)) else None


def code_of(value: Any) -> str:
    """Return a value as Python code."""
    text = _remembered(value)
    if text is not None:
        return text
    if isinstance(value, np.ndarray | np.generic):
        listed = repr(value.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
        kind = "" if value.dtype in (np.float64, np.int64, bool) else f", dtype=np.{value.dtype}"
        return f"np.array({listed}{kind})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {code_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        inside = ", ".join(map(code_of, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    public = importlib.import_module("deersolve")
    if type(value).__module__.startswith("deersolve.") and not isinstance(value, type):
        named = [name for name in public.__all__ if getattr(public, name) is value]
        return f"ds.{named[0]}" if named else _record(value, public)
    if callable(value):
        return function_code(value)[1]
    try:
        plain = np.asarray(value.detach() if hasattr(value, "detach") else value)
        return ASARRAY[backend_of(value).name].format(code_of(plain))
    except (LibraryError, KeyError):
        return repr(value)


def _record(value: Any, public: Any) -> str:
    """Return a record of the package, which is made by its class or by the function of that name."""
    if not dataclasses.is_dataclass(value):
        return repr(value)
    name = type(value).__name__
    fields = [f"{f.name}={code_of(getattr(value, f.name))}" for f in dataclasses.fields(value) if f.repr]
    return f"ds.{name if name in public.__all__ else name.lower()}({', '.join(fields)})"


def function_code(f: Any) -> tuple[str, str]:
    """Return lines that make a function, an import, its source or a remark, and its name."""
    name, module = getattr(f, "__qualname__", type(f).__name__), getattr(f, "__module__", None)
    if str(type(f).__module__).startswith("deersolve."):
        return "", code_of(f)
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
