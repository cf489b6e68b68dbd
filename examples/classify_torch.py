"""Handwritten digits as sequences of pixels, classified by a GRU: torch.nn's, or deersolve's in its place.

scikit-learn ships 1,797 scans of 8 x 8 pixels. A sequence has the pixels row by row up to the last one with ink,
packed. deersolve.torch.GRU has the arguments and the state_dict of torch.nn.GRU, so one word is changed. Here it is
made to solve for all steps at once, which at so few steps takes more time than PyTorch's kernel (method="auto", the
default, would take that), and starts in each epoch from the states that the same digits had in the last one.

Run: python examples/classify_torch.py [--layer torch|deersolve] [--seed 0] [--bf16] [--resume file.pt]
Without --layer both are trained, from the same weights on the same batches, and their curves compared.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence

import deersolve.torch

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
EPOCHS, TRAIN, TEST, BATCH, HIDDEN, RATE = (2, 128, 100, 64, 4, 0.03) if SMALL else (12, 1437, 360, 128, 8, 0.03)


class Classifier(torch.nn.Module):
    """Logits from the last state."""

    def __init__(self, layer):
        super().__init__()
        self.is_ours = layer == "deersolve"
        options = {"method": "newton", "warm_start": True} if self.is_ours else {}
        self.gru = (deersolve.torch if self.is_ours else torch.nn).GRU(1, HIDDEN, **options)
        self.head = torch.nn.Linear(HIDDEN, 10)

    def forward(self, pixels, index):
        _, h = self.gru(pixels, **({"index": index} if self.is_ours else {}))
        return self.head(h[-1])


def load():
    """Return sequences (T_k, 1) from 0 to 1, and labels."""
    images, labels = load_digits(return_X_y=True)
    ends = images.shape[1] - np.argmax(images[:, ::-1] > 0, axis=1)
    return [
        torch.tensor(a[:n, None] / 16, dtype=torch.float32) for a, n in zip(images, ends, strict=True)
    ], torch.tensor(labels)


def train(layer, seed, is_short, path, data):
    """Return the mean loss of each epoch, the accuracy on digits not seen, and the Newton steps of each epoch."""
    (x, labels), order = data, np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Classifier(layer)
    optimiser = torch.optim.AdamW(model.parameters(), RATE)
    losses, steps = [], []
    if path and path.exists():
        model_state, optimiser_state, losses = torch.load(path)
        model.load_state_dict(model_state)
        optimiser.load_state_dict(optimiser_state)
    for _ in range(len(losses), EPOCHS):
        run, taken = [], []
        for index in np.array_split(order.permutation(TRAIN), TRAIN // BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=is_short):
                packed = pack_sequence([x[k] for k in index], enforce_sorted=False)
                loss = functional.cross_entropy(model(packed, index).float(), labels[index])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            run.append(loss.item())
            taken += [model.gru.solution["l0"].stats.steps.float().mean().item()] if model.is_ours else []
        losses.append(float(np.mean(run)))
        steps.append(float(np.mean(taken)) if taken else 0.0)
        if path:
            torch.save((model.state_dict(), optimiser.state_dict(), losses), path)
    model.eval()
    with torch.no_grad():
        logits = model(pack_sequence(x[-TEST:], enforce_sorted=False), None)
    return losses, float((logits.argmax(-1) == labels[-TEST:]).float().mean()), steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer", choices=["torch", "deersolve"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--resume", type=Path, help="a file of the state behind each epoch; with --layer")
    asked = parser.parse_args()
    runs = {}
    for layer in [asked.layer] if asked.layer else ["torch", "deersolve"]:
        losses, right, steps = runs[layer] = train(layer, asked.seed, asked.bf16, asked.resume, load())
        print(f"{layer}: loss {losses[0]:.3f} -> {losses[-1]:.4f}, {right:.1%} of unseen digits right")
        if steps and steps[0]:
            print(f"  Newton steps of a sequence: {steps[0]:.2f} in the first epoch, {steps[-1]:.2f} in the last")
    if len(runs) == 2:
        apart = np.max(np.abs(np.subtract(runs["torch"][0], runs["deersolve"][0])))
        print(f"mean losses of an epoch are at most {apart:.1e} apart")
        if SMALL and not asked.bf16 and apart > 1e-4:
            raise SystemExit("FAILED: the curves are the same while roundoff has not grown")
