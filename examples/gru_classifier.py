"""A GRU that classifies long sequences, trained twice: with torch.nn.GRU's loop and with deersolve, all times at once.

A sequence has 17,984 times and 6 channels, as the EigenWorms records of Lim et al. (arXiv 2309.12252, figure 4), but is
synthetic: each channel is an autoregression x_i = phi x_{i-1} + noise of variance 1, whose phi names the class. At this
length the five classes are told apart without error, so with a tenth of the labels drawn anew at random no classifier
can expect more than 1 - 0.1 * 4 / 5 = 92 %.

Both runs start from the same weights and see the same batches; each solve of deersolve starts from the states that the
same sequences had an epoch ago. PyTorch's backward of its loop is the baseline, gradients of deersolve are one
transposed solve. Both compute in float32; a run of deersolve in float64 shows how far roundoff takes each.

Run: python examples/gru_classifier.py [picture.png]
"""

import copy
import os
import sys
import time

import numpy as np
import torch
from torch.nn import functional

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
T, EPOCHS, TRAIN, TEST = (1500, 3, 40, 40) if SMALL else (17_984, 15, 80, 200)
BATCH, CHANNELS, HIDDEN = 8, 6, 4
RATES = (0.01, 0.03)  # of the cell and of the head
PHI = np.array([0.0, 0.5, 0.75, 0.9, 0.97])
FLIPPED = 0.1
EPS = 2.0**-23
BAYES = 1 - FLIPPED * (1 - 1 / len(PHI))


def draw(count, rng):
    """Return sequences (count, T, CHANNELS) of variance 1, and labels."""
    kinds = rng.integers(len(PHI), size=count)
    phi = PHI[kinds][:, None, None]
    noise = np.sqrt(1 - phi**2) * rng.normal(size=(count, T, CHANNELS))
    noise[:, 0] = rng.normal(size=(count, CHANNELS))
    x = ds.solve(ds.Recurrence(lambda y, x, p: x["phi"] * y + x["noise"], np.zeros((count, CHANNELS)),
                               {"phi": phi, "noise": noise}, jac=lambda y, x, p: x["phi"] + 0 * y)).y  # fmt: skip
    labels = np.where(rng.random(count) < FLIPPED, rng.integers(len(PHI), size=count), kinds)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def cell(h, gates, weights):
    """torch.nn.GRU's cell for all times at once, its input gates given."""
    w, b = weights
    r, z, n = gates.chunk(3, -1)
    hr, hz, hn = functional.linear(h, w, b).chunk(3, -1)
    z = torch.sigmoid(z + hz)
    return (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h


class Classifier(torch.nn.Module):
    """Logits from the means over time of the states, and from the logarithms of their mean squares."""

    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(CHANNELS, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(2 * HIDDEN, len(PHI))

    def by_loop(self, x, guess=None):
        return self.gru(x)[0]

    def by_newton(self, x, guess=None):
        g = self.gru
        gates = functional.linear(x, g.weight_ih_l0, g.bias_ih_l0)
        problem = ds.Recurrence(cell, x.new_zeros(len(x), HIDDEN), gates, (g.weight_hh_l0, g.bias_hh_l0))
        return ds.solve(problem, guess).y

    def forward(self, states):
        return self.head(torch.cat([states.mean(-2), (states**2).mean(-2).log()], -1))


def train(model, way, x, labels):
    """Return the loss of each step, the seconds since the start, and the accuracy on new sequences."""
    parts = zip((model.gru, model.head), RATES, strict=True)
    optimiser = torch.optim.Adam([{"params": part.parameters(), "lr": rate} for part, rate in parts])
    states, losses, seconds = [None] * (TRAIN // BATCH), [], []
    order = np.random.default_rng(1)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for k in order.permutation(TRAIN // BATCH):
            here = slice(k * BATCH, (k + 1) * BATCH)
            y = way(model, x[here], states[k])
            states[k] = y.detach()
            loss = functional.cross_entropy(model(y), labels[here])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - start)
    return np.array(losses), np.array(seconds)


def accuracy(model, x, labels):
    with torch.no_grad():
        return float((model(model.by_newton(x)).argmax(-1) == labels).float().mean())


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


def plot(path, runs):
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for (name, (losses, seconds)), style in zip(runs.items(), ("C1-", "C0--"), strict=True):
        left.plot(losses, style, label=name)
        right.plot(seconds, losses, style, label=name)
    left.set(xlabel="step", ylabel="training loss", title="the same curve")
    right.set(xlabel="seconds", title="in less time", xscale="log")
    left.legend(frameon=False)
    fig.savefig(path, dpi=130)


if __name__ == "__main__":
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, labels = draw(TRAIN, rng)
    first = Classifier()
    runs, models = {}, {}
    for name, way in (("torch.nn.GRU", Classifier.by_loop), ("deersolve", Classifier.by_newton)):
        models[name] = copy.deepcopy(first)
        runs[name] = train(models[name], way, x, labels)
    (loop, loop_time), (ours, our_time) = runs.values()
    exact = train(copy.deepcopy(first).double(), Classifier.by_newton, x.double(), labels)[0]
    loop_off, our_off, apart = (np.max(np.abs(a / b - 1)) for a, b in ((loop, exact), (ours, exact), (ours, loop)))
    print(f"{len(loop)} steps on {T:,} times, loss {loop[0]:.2f} -> {loop[-1]:.2f}: losses at most {apart:.1e} apart;")
    print(f"  from those in float64, torch.nn.GRU {loop_off:.1e}, deersolve {our_off:.1e}")
    print(f"torch.nn.GRU {loop_time[-1]:.1f} s, deersolve {our_time[-1]:.1f} s: {loop_time[-1] / our_time[-1]:.1f}x")
    test, truth = draw(TEST, rng)
    print(f"on {TEST} new sequences, of which no classifier can expect more than {BAYES:.0%} right:")
    for name, model in models.items():
        right = accuracy(model, test, truth)
        print(f"  {name}: {right:.1%}")
        check(f"{name} learns", SMALL or right > 0.85)
    check(
        "roundoff takes deersolve no further than the loop, in order of magnitude", our_off <= 10 * max(loop_off, EPS)
    )
    if len(sys.argv) > 1:
        plot(sys.argv[1], runs)
