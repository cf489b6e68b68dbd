"""Peak resident memory of solves and of their gradients, one process each, over that of the imports and the data.

Run as ``python benchmarks/bench_memory.py``; ``--quick`` shrinks the sizes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from timing import header, table

HERE = Path(__file__).parent
CASES = {
    "NumPy n=2, auto, forward": ("numpy", 2, "auto", False),
    "NumPy n=2, newton, forward": ("numpy", 2, "newton", False),
    "torch n=2, newton, forward": ("torch", 2, "newton", False),
    "torch n=2, newton, forward and backward": ("torch", 2, "newton", True),
    "JAX n=2, newton, forward": ("jax", 2, "newton", False),
    "JAX n=2, newton, forward and backward": ("jax", 2, "newton", True),
    "JAX n=2, sequential, forward and backward": ("jax", 2, "sequential", True),
}


def peak() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(library: str, n: int, T: int, method: str, backward: bool) -> float:
    """Solve once on a short grid, to load everything, then on T points; return the growth of the peak in MB."""
    import numpy as np

    import deersolve as ds
    from bench_solve import draw, gru

    weights, x = draw(n, T)
    if library == "numpy":

        def run(x):
            return ds.solve(ds.Recurrence(gru, np.zeros(n), x, weights), method=method).y

    elif library == "torch":
        import torch

        weights, x = tuple(torch.tensor(w, requires_grad=backward) for w in weights), torch.tensor(x)

        def run(x):
            y = ds.solve(ds.Recurrence(gru, torch.zeros(n, dtype=x.dtype), x, weights), method=method).y
            if backward:
                y.square().sum().backward()

    else:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        weights, x = tuple(map(jnp.asarray, weights)), jnp.asarray(x)

        def loss(weights, x):
            return (ds.solve(ds.Recurrence(gru, jnp.zeros(n), x, weights), method=method).y ** 2).sum()

        compiled = jax.jit(jax.grad(loss) if backward else loss)

        def run(x):
            jax.block_until_ready(compiled(weights, x))

    run(x[:1000])
    before = peak()
    run(x)
    return peak() - before


def main() -> None:
    """Print the table."""
    print(header("deersolve", "numpy", "torch", "jax", "numba"))
    sizes = (30_000, 100_000) if "--quick" in sys.argv else (100_000, 300_000, 1_000_000)
    rows = []
    for name, case in CASES.items():
        found = []
        for T in sizes:
            code = f"import bench_memory as b; print(b.measure{(case[0], case[1], T, *case[2:])})"
            ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
            found.append(f"{float(ran.stdout):.0f}")
        rows.append([name, *found])
    print("\n" + table(["MB", *(f"T = {T:,}" for T in sizes)], rows))


if __name__ == "__main__":
    main()
