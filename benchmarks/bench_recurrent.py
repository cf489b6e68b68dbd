"""Layers of ``deersolve.torch`` against those of ``torch.nn``, and a scan of a cell against the loop by hand.

    python benchmarks/bench_recurrent.py [layers] [scan] [pararnn] [--quick]

Milliseconds, float32: forward without a graph, and forward and backward. "ours" is what "auto" takes.
"pararnn", where it is asked for, needs ``pip install pararnn-torch`` in an environment of its own: its diagonal GRU.
"""

from __future__ import annotations

import itertools
import sys

import torch

import deersolve as ds
import deersolve.torch
from timing import compare, header

QUICK = "--quick" in sys.argv
ASKED = {name for name in sys.argv[1:] if not name.startswith("-")} or {"layers", "scan"}
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


def scans():
    """Print the table of a cell in a scan and in the loop that one would write."""
    print("\n| n, B, T | forward, loop | scan | times | and backward, loop | scan | times |\n|" + "---|" * 7)
    for n, B, T in ((1, 1, 3000), (4, 1, 3000), (16, 1, 1000), (4, 16, 512), (8, 64, 512), (32, 64, 256)):
        cell, x, h0 = torch.nn.GRUCell(n, n), torch.randn(T, B, n), torch.zeros(B, n)

        def by_hand(cell=cell, x=x, h0=h0):
            h, out = h0, []
            for row in x:
                h = cell(row, h)
                out.append(h)
            return torch.stack(out)

        def scan(cell=cell, x=x, h0=h0):
            return ds.scan(cell, h0, x, batch_axis=0)[1]

        row(f"{n}, {B}, {T}", cell, cell, [by_hand, scan])


def diagonal():
    """Print the table of the diagonal GRU of pararnn-torch: its Newton steps and its loop, and ours of its cell."""
    import pararnn

    print("\n| n, way | forward, theirs | ours | times | and backward, theirs | ours | times |\n|" + "---|" * 7)
    for n in (64,) if QUICK else (64, 256):
        cell, x = pararnn.ParaGRU(n, n), torch.randn(8, 2048, n)
        h0 = torch.zeros(8, n)

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


if __name__ == "__main__":
    print(header())
    if "layers" in ASKED:
        layers()
    if "scan" in ASKED:
        scans()
    if "pararnn" in ASKED:
        diagonal()
