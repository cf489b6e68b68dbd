"""Layers of ``deersolve.torch`` against those of ``torch.nn``, and a scan of a cell against the loop by hand.

    python benchmarks/bench_recurrent.py [layers] [scan] [recurrence] [pararnn] [--quick] [--memory]

Milliseconds, float32: forward without a graph, and forward and backward. "ours" is what "auto" takes. With ``--memory``
the peak of forward and backward instead, each layer in a process of its own. "pararnn", where it is asked for, needs
``pip install pararnn-torch`` in an environment of its own: its diagonal GRU.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys

import torch

import deersolve as ds
import deersolve.torch
from timing import compare, header

QUICK = "--quick" in sys.argv
ASKED = {name for name in sys.argv[1:] if not name.startswith("-")} or {"layers", "scan", "recurrence"}
LONGEST = 200_000  # steps times elements of a cell of the table


def forward(run):
    """Return the run without a graph."""

    def timed():
        with torch.no_grad():
            run()

    return timed


def backward(run, module):
    """Return the run with its gradient by all weights."""

    def timed():
        module.zero_grad()
        run().sum().backward()

    return timed


def row(label, theirs, ours, runs):
    """Time both, forward, and forward and backward; print milliseconds and how many times as fast ours is."""
    repeats = 3 if QUICK else 7
    cells = []
    for kind in (lambda run, module: forward(run), backward):
        times = compare({"theirs": kind(runs[0], theirs), "ours": kind(runs[1], ours)}, repeats)
        a, b = (1e3 * times[name].median for name in ("theirs", "ours"))
        cells += [f"{a:.1f}", f"{b:.1f}", f"{a / b:.2f}"]
    print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def layers():
    """Print the table of the layers."""
    print("\n| layer, n, B, T | forward, theirs | ours | times | and backward, theirs | ours | times |\n|" + "---|" * 7)
    sizes = ((1, 4, 16), (1, 16), (128, 2000)) if QUICK else ((1, 2, 4, 8, 16, 64), (1, 16, 64), (128, 1000, 10_000))
    for kind, n, B, T in itertools.product(("GRU", "LSTM"), *sizes):
        if T * B > LONGEST or (kind == "LSTM" and QUICK):
            continue
        theirs, ours = getattr(torch.nn, kind)(n, n), getattr(deersolve.torch, kind)(n, n)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(T, B, n)
        row(f"{kind}, {n}, {B}, {T}", theirs, ours, [lambda a=a, x=x: a(x)[0] for a in (theirs, ours)])


def by_hand(cell, x, h0):
    """Return all states of the loop that one would write."""
    h, out = h0, []
    for row in x:
        h = cell(row, h)
        out.append(h)
    return torch.stack(out)


def scan(cell, x, h0):
    """Return all states by a scan."""
    return ds.scan(cell, h0, x, batch_axis=0)[1]


def recurrence(cell, x, h0):
    """Return all states as the solution of a recurrence."""
    f = ds.rowwise(lambda h, x, _: cell(x, h))
    return ds.solve(ds.Recurrence(f, h0, x.transpose(0, 1))).y


def scans(name, ours):
    """Print the table of a cell in a scan, or a recurrence, and in the loop that one would write."""
    print(f"\n| n, B, T | forward, loop | {name} | times | and backward, loop | {name} | times |\n|" + "---|" * 7)
    for n, B, T in ((1, 1, 3000), (4, 1, 3000), (16, 1, 1000), (4, 16, 512), (8, 64, 512), (32, 64, 256)):
        args = torch.nn.GRUCell(n, n), torch.randn(T, B, n), torch.zeros(B, n)
        row(f"{n}, {B}, {T}", args[0], args[0], [lambda run=run, a=args: run(*a) for run in (by_hand, ours)])


def runs(n, B, T):
    """Return what has its memory compared, by name: each a run of forward."""
    cell, x = torch.nn.GRUCell(n, n), torch.randn(T, B, n)
    return {
        "torch.nn.GRU": lambda: torch.nn.GRU(n, n)(x)[0],
        "deersolve.torch.GRU": lambda: deersolve.torch.GRU(n, n)(x)[0],
        "loop over GRUCell": lambda: by_hand(cell, x, torch.zeros(B, n)),
        "from_cell(GRUCell)": lambda: deersolve.torch.from_cell(cell)(x)[0],
    }


def peak(name, n=256, B=64, T=512):
    """Print by how many MiB forward and backward raise the peak of this process."""
    run, before = runs(n, B, T)[name], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run().sum().backward()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def memory():
    """Print the table of peaks, each measured in a process of its own."""
    print("\n| n = 256, B = 64, T = 512 | MiB | of the one above |\n|---|---|---|")
    last = 0.0
    for k, name in enumerate(runs(1, 1, 1)):
        command = [sys.executable, __file__, "--peak", name]
        found = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"| {name} | {found:.0f} | {f'{found / last:.2f}' if k % 2 else ''} |", flush=True)
        last = found


def diagonal():
    """Print the table of the diagonal GRU of pararnn-torch: its Newton steps and its loop, and ours of its cell."""
    import pararnn

    print("\n| n, way | forward, theirs | ours | times | and backward, theirs | ours | times |\n|" + "---|" * 7)
    for n in (64,) if QUICK else (64, 256):
        B = 512 // n
        cell, x, h0 = pararnn.ParaGRU(n, n), torch.randn(B, 512, n), torch.zeros(B, n)

        def ours(method, cell=cell, x=x, h0=h0):
            a_z, a_r, a_n = cell.clipped_a()

            def step(h, wx):
                z, r, g = wx.chunk(3, -1)
                z = torch.sigmoid(z + a_z * h)
                h = (1 - z) * h + z * torch.tanh(g + a_n * (torch.sigmoid(r + a_r * h) * h))
                return h, h

            return ds.scan(step, h0, cell.W_x(x).transpose(0, 1), batch_axis=0, method=method)[1].transpose(0, 1)

        for way, method in (("newton", "newton"), ("sequential", "auto")):
            theirs = pararnn.ParaRNN(cell, solver=way)
            torch.testing.assert_close(theirs(x), ours(method), atol=1e-4, rtol=1e-4)
            row(f"{n}, {way}", cell, cell, [lambda a=theirs, x=x: a(x), lambda m=method, f=ours: f(m)])


def main():
    """Print what is asked for."""
    if "--peak" in sys.argv:
        return peak(sys.argv[-1])
    print(header())
    if "--memory" in sys.argv:
        return memory()
    if "layers" in ASKED:
        layers()
    if "scan" in ASKED:
        scans("scan", scan)
    if "recurrence" in ASKED:
        scans("recurrence", recurrence)
    if "pararnn" in ASKED:
        diagonal()
    return None


if __name__ == "__main__":
    main()
