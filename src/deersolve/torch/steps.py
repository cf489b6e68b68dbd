"""One step of each layer of :mod:`torch.nn`, of gates that are known for all steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

Weights = tuple[Tensor | None, ...]
"""W_hh, b_hh, W_hr; None where the layer has none."""


def tanh(h: Tensor, gates: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return h' = tanh(gates + W_hh h + b_hh)."""
    h = torch.tanh(gates + linear(h, weights[0], weights[1]))
    return h, h


def relu(h: Tensor, gates: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return h' = max(0, gates + W_hh h + b_hh)."""
    h = torch.relu(gates + linear(h, weights[0], weights[1]))
    return h, h


def gru(h: Tensor, gates: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return h' = (1 - z) tanh(g_n + r (W_hn h + b_hn)) + z h."""
    r, z, n = gates.chunk(3, -1)
    hr, hz, hn = linear(h, weights[0], weights[1]).chunk(3, -1)
    z = torch.sigmoid(z + hz)
    h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
    return h, h


def lstm(state: tuple[Tensor, Tensor], gates: Tensor, weights: Weights) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return c' = f c + i g and h' = o tanh(c'), projected where there is a W_hr."""
    h, c = state
    i, f, g, o = (gates + linear(h, weights[0], weights[1])).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    h = h if weights[2] is None else linear(h, weights[2])
    return (h, c), h
