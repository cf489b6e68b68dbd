"""Digits read one pixel after the other by a GRU of flax.nnx, trained with nnx.RNN or with deersolve.flax.RNN.

The 1,797 handwritten digits of UCI that scikit-learn ships, 8 x 8 pixels each, are sequences of 64 numbers; a fifth is
held back. The equation is h_t = GRU(h_{t-1}, x_t), the logits are W h_64 + b. `--layer both` starts both layers from
the same weights, with the same batches, and compares their losses.

Run: python examples/classify_flax.py [--layer flax|deersolve|both] [--method auto|newton] [--epochs 30] [--seed 0]
Needs: pip install flax optax scikit-learn
"""

import argparse
import os
import time

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from deersolve.flax import RNN

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
BATCH, HIDDEN, RATE = 64, 32, 3e-3


class Classifier(nnx.Module):
    def __init__(self, layer, rngs):
        self.rnn = layer(nnx.GRUCell(1, HIDDEN, rngs=rngs), return_carry=True)
        self.head = nnx.Linear(HIDDEN, 10, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(x)[0])


def digits(seed):
    """Return sequences (count, 64, 1) from -1 to 1 and labels, those to learn from and those held back."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x = (pixels[order, :, None] / 8 - 1).astype(np.float32)
    cut = len(order) * 4 // 5
    return (x[:cut], labels[order][:cut]), (x[cut:], labels[order][cut:])


def loss_of(model, x, labels):
    return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()


@nnx.jit
def step(model, optimizer, x, labels):
    loss, gradient = nnx.value_and_grad(loss_of)(model, x, labels)
    optimizer.update(model, gradient)
    return loss


def train(layer, epochs, seed):
    """Return the loss of each step, and the accuracy on the digits held back."""
    (x, labels), (held, truth) = digits(seed)
    model = Classifier(layer, nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(RATE)), wrt=nnx.Param)
    order, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        for rows in order.permutation(len(x) // BATCH * BATCH).reshape(-1, BATCH):
            losses.append(float(step(model, optimizer, jnp.asarray(x[rows]), jnp.asarray(labels[rows]))))
    return np.array(losses), float((model(jnp.asarray(held)).argmax(-1) == truth).mean())


def check(claim, holds):
    if not holds:
        raise SystemExit(f"FAILED: {claim}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer", choices=("flax", "deersolve", "both"), default="both")
    parser.add_argument("--method", choices=("auto", "newton"), default="auto", help="of deersolve")
    parser.add_argument("--epochs", type=int, default=1 if SMALL else 30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    layers = {"flax": nnx.RNN, "deersolve": lambda cell, **options: RNN(cell, method=given.method, **options)}
    runs = {}
    for name in layers if given.layer == "both" else (given.layer,):
        start = time.perf_counter()
        losses, right = runs[name] = train(layers[name], given.epochs, given.seed)
        seconds = time.perf_counter() - start
        tenths = " ".join(f"{part.mean():.3f}" for part in np.array_split(losses, 10))
        print(f"{name}: loss {tenths}; {right:.1%} of the digits held back right; {seconds:.1f} s")
        check(f"{name} learns", losses[-10:].mean() < losses[:10].mean())
    if len(runs) == 2:
        (theirs, _), (ours, _) = runs.values()
        print("the losses differ by at most", " ".join(f"{np.abs(a - b).max():.0e}" for a, b in
              zip(np.array_split(ours, 10), np.array_split(theirs, 10), strict=True)), "in each tenth")  # fmt: skip
        check("both take the same first steps", np.allclose(ours[:5], theirs[:5], rtol=1e-4))
