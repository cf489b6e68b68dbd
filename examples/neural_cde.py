"""Clockwise or not: spirals seen at 20 irregular times, told apart by a neural controlled differential equation.

    dy/dt = F(y) dX/dt,    y(0) = A X(0),    F(y) a matrix (n, 3) made by a network,

X = (t, u, v) goes straight from one observation to the next (Kidger et al., arXiv 2005.08926, section 3), so that dX/dt
is held from each to the next: a ds.Signal, at whose knots steps end. Solved to a tolerance, trained on PyTorch. The
derivative of the loss is compared with differences of solves to 1e-10.

Run: python examples/neural_cde.py
"""

import os

import numpy as np
import torch

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
EPOCHS, TRAIN, TEST, HIDDEN = (3, 16, 16, 4) if SMALL else (20, 256, 256, 8)
torch.set_default_dtype(torch.float64)


def spirals(count, rng):
    """Return irregular times (20,), noisy spirals (count, 20, 3), t first, and which of them turn clockwise."""
    t = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.05, 0.95, 18)]))
    turns, phase = rng.integers(0, 2, count), rng.uniform(0, 2 * np.pi, (count, 1))
    angle = phase + 2 * np.pi * t * np.where(turns, -1, 1)[:, None]
    X = np.stack([np.broadcast_to(t, angle.shape), (1 - 0.5 * t) * np.cos(angle), (1 - 0.5 * t) * np.sin(angle)], -1)
    X[..., 1:] += 0.05 * rng.normal(size=X[..., 1:].shape)
    return t, torch.tensor(X), torch.tensor(turns, dtype=torch.get_default_dtype())


class Classifier(torch.nn.Module):
    """The logit of y(1)."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, HIDDEN), torch.nn.Linear(HIDDEN, 1)
        self.field = torch.nn.Sequential(torch.nn.Linear(HIDDEN, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3 * HIDDEN))

    def forward(self, t, X, tolerance=1e-4):
        slopes = torch.diff(X, dim=1) / torch.diff(torch.as_tensor(t))[:, None]
        driven = ds.Signal(t, torch.cat([slopes, slopes[:, -1:]], 1), "hold")

        def f(y, dX, params):
            F = torch.tanh(self.field(y)).unflatten(-1, (HIDDEN, 3))
            return (F @ dX[..., None])[..., 0]

        problem = ds.InitialValueProblem(f, torch.tensor([0.0, 1.0]), self.first(X[:, 0]), x=driven)
        return self.last(ds.solve(problem, rtol=tolerance, atol=tolerance).y[:, -1])[:, 0]


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model, loss_of = Classifier(), torch.nn.functional.binary_cross_entropy_with_logits
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    (t, X, turns), (t_new, X_new, turns_new) = spirals(TRAIN, rng), spirals(TEST, rng)
    for epoch in range(EPOCHS):
        loss = loss_of(model(t, X), turns)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if epoch % 5 == 0 or epoch == EPOCHS - 1:
            print(f"epoch {epoch:2d}: loss {loss.item():.4f}", flush=True)
    with torch.no_grad():
        right = ((model(t_new, X_new) > 0) == (turns_new > 0.5)).double().mean().item()
    print(f"{right:.1%} of spirals not seen, at other times, are told right")

    weight = model.field[0].bias
    (slope,) = torch.autograd.grad(loss_of(model(t, X), turns), weight)
    with torch.no_grad():
        losses = []
        for move in (1e-5, -1e-5):
            weight[0] += move
            losses.append(loss_of(model(t, X, 1e-10), turns).item())
            weight[0] -= move
    apart = abs(slope[0].item() - (losses[0] - losses[1]) / 2e-5)
    print(f"derivative by a weight {slope[0].item():.6f}, {apart:.1e} from differences")
    if apart > 1e-3 or (not SMALL and right < 0.95):
        raise SystemExit("FAILED")
