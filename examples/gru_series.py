"""A gated recurrent unit (GRU) over 43 years of weekly CO2 at Mauna Loa: h_i = GRU(x_i, h_{i-1}).

The GRUs are those of PyTorch and Equinox, unchanged; the series is the record of 1958 to 2001 that
ships in statsmodels, standardised. You see

* two adapters: ``ds.rowwise`` for a cell of rows (N, n), as torch.nn's are, and ``ds.pointwise``
  for a cell of one point (n,), as Equinox's are;
* how few Newton steps replace 2284 sequential ones, and that in float32 the result is the loop's
  to roundoff;
* that the gradient of a loss with respect to the weights flows through ``ds.solve`` in both
  libraries and is the one that backpropagation through the loop finds.

Run: python examples/gru_series.py [picture.png]
"""

import os
import sys

import numpy as np

import deersolve as ds

try:
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import statsmodels.api as sm
    import torch
except ImportError as error:
    raise SystemExit(f"{error}. Needed: pip install statsmodels torch jax equinox") from error

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
HIDDEN = 4 if SMALL else 8


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def co2():
    """Return the years and the standardised series; gaps of some weeks are interpolated."""
    ppm = sm.datasets.co2.load_pandas().data["co2"].interpolate()
    ppm = ppm.iloc[:300] if SMALL else ppm
    years = ppm.index.year + ppm.index.day_of_year / 365.25
    return years.to_numpy(), ((ppm - ppm.mean()) / ppm.std()).to_numpy(np.float32)[:, None]


def relative(a, b):
    return float(abs(a - b).max() / abs(b).max())


def report(name, sol, error, gradient_error):
    print(f"{name}: {int(sol.stats.steps)} Newton steps for {sol.y.shape[0]} points, n = {HIDDEN}")
    print(f"    states {error:.0e}, gradient {gradient_error:.0e} from the loop's (relative)")
    check(f"the states of {name} agree with the loop", error < 1e-5)
    check(f"the gradient of {name} agrees with the loop", gradient_error < 1e-4)


def with_torch(series):
    torch.manual_seed(0)
    x = torch.from_numpy(series)
    gru = torch.nn.GRU(1, HIDDEN)  # PyTorch's own loop: the reference
    cell = torch.nn.GRUCell(1, HIDDEN)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in gru.state_dict().items()})

    f = ds.rowwise(lambda h, x, params: cell(x, h))
    sol = ds.solve(ds.Recurrence(f, torch.zeros(HIDDEN), x), method="newton")
    loop, _ = gru(x)

    (sol.y**2).mean().backward()
    (loop**2).mean().backward()
    pairs = zip(cell.parameters(), gru.parameters(), strict=True)
    gradient_error = max(relative(a.grad, b.grad) for a, b in pairs)
    report("PyTorch", sol, relative(sol.y.detach(), loop.detach()), gradient_error)
    return sol.y.detach().numpy()


def with_equinox(series):
    x = jnp.asarray(series)
    cell = eqx.nn.GRUCell(1, HIDDEN, key=jax.random.key(0))

    def deer(cell):
        f = ds.pointwise(lambda h, x, cell: cell(x, h))
        return ds.solve(ds.Recurrence(f, jnp.zeros(HIDDEN), x, params=cell), method="newton")

    def loop(cell):
        return jax.lax.scan(lambda h, x: (cell(x, h),) * 2, jnp.zeros(HIDDEN), x)[1]

    gradient = eqx.filter_jit(eqx.filter_grad(lambda cell: (deer(cell).y ** 2).mean()))(cell)
    expected = eqx.filter_jit(eqx.filter_grad(lambda cell: (loop(cell) ** 2).mean()))(cell)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True)
    sol = deer(cell)
    report("Equinox", sol, relative(sol.y, loop(cell)), max(relative(a, b) for a, b in pairs))


def plot(path, years, series, states):
    import matplotlib.pyplot as plt

    fig, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    top.plot(years, series, color="k", lw=0.8)
    top.set(ylabel="CO2, standardised", title="Weekly CO2 at Mauna Loa through an untrained GRU")
    bottom.plot(years, states[:, :4], lw=0.8, label=[f"$h_{k}$" for k in range(4)])
    bottom.set(xlabel="year", ylabel="hidden state")
    bottom.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, 1.15), frameon=False)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    years, series = co2()
    states = with_torch(series)
    with_equinox(series)
    if len(sys.argv) > 1:
        plot(sys.argv[1], years, series, states)
