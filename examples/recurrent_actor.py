"""An actor that has to remember: a cue at the door tells which way to turn at the end of a corridor (Bakker's T-maze).

Rollouts hold many episodes behind one another. Acting goes step by step. Learning takes the states of all steps at
once, by ds.scan with reset= at the first step of each episode, and generalised advantages (Schulman et al., arXiv
1506.02438), A_t = delta_t + gamma lambda A_{t+1}, by a scan that goes back. Without memory half of the turns are
right.

Run: python examples/recurrent_actor.py
"""

import os

import torch
from torch.nn import functional

import deersolve as ds

SMALL = bool(os.environ.get("DEERSOLVE_SMALL"))
UPDATES, STEPS, ENVS, HIDDEN = 3 if SMALL else 50, 128, 16, 8
GAMMA, LAMBDA, SHORTEST, LONGEST = 0.95, 0.9, 3, 7


class Mazes:
    """Corridors side by side; an observation is (cue, is at the end)."""

    def __init__(self):
        self.at, self.length, self.cue = (torch.zeros(ENVS) for _ in range(3))
        self.begin(torch.ones(ENVS, dtype=torch.bool))

    def begin(self, where):
        self.at = torch.where(where, 0, self.at)
        self.length = torch.where(where, torch.randint(SHORTEST, LONGEST + 1, (ENVS,)), self.length)
        self.cue = torch.where(where, 2.0 * torch.randint(2, (ENVS,)) - 1, self.cue)

    def seen(self):
        return torch.stack([self.cue * (self.at == 0), (self.at == self.length).float()], -1)

    def step(self, action):
        """Walk on, or turn at the end: return the reward, and whether the episode is over."""
        is_over = self.at == self.length
        reward = torch.where(is_over, torch.where(2 * action - 1 == self.cue, 1.0, -1.0), 0.0)
        self.at = self.at + 1
        self.begin(is_over)
        return reward, is_over


def rollout(cell, actor):
    """Return what was seen, done and earned at all steps, (T, B), which ended an episode, and which began one."""
    mazes, h, begins, rows = Mazes(), torch.zeros(ENVS, HIDDEN), torch.ones(ENVS, dtype=torch.bool), []
    with torch.no_grad():
        for _ in range(STEPS):
            seen = mazes.seen()
            h = cell(seen, torch.where(begins[:, None], 0.0, h))
            action = torch.distributions.Categorical(logits=actor(h)).sample()
            reward, is_over = mazes.step(action)
            rows.append((seen, action, reward, is_over, begins))
            begins = is_over
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def advantages(rewards, values, is_over):
    """Return A_t; what an episode that is not over has still to come behind the rollout is taken as 0."""
    goes_on = 1.0 - is_over.float()
    after = torch.cat([values[1:], torch.zeros(1, ENVS)])
    deltas = rewards + GAMMA * goes_on * after - values
    step = lambda A, x: (x[0] + GAMMA * LAMBDA * x[1] * A,) * 2  # noqa: E731
    return ds.scan(step, torch.zeros(ENVS), (deltas, goes_on), reverse=True)[1]


def loss_of(cell, actor, critic, made, method="newton"):
    seen, actions, rewards, is_over, begins = made
    _, states = ds.scan(cell, torch.zeros(ENVS, HIDDEN), seen, reset=begins, batch_axis=0, method=method)
    values, policy = critic(states)[..., 0], torch.distributions.Categorical(logits=actor(states))
    A = advantages(rewards, values.detach(), is_over)
    gain = (policy.log_prob(actions) * (A - A.mean()) / (A.std() + 1e-6)).mean()
    return functional.mse_loss(values, A + values.detach()) - gain - 0.01 * policy.entropy().mean()


if __name__ == "__main__":
    torch.manual_seed(0)
    parts = cell, actor, critic = torch.nn.GRUCell(2, HIDDEN), torch.nn.Linear(HIDDEN, 2), torch.nn.Linear(HIDDEN, 1)
    weights = [p for part in parts for p in part.parameters()]
    optimiser = torch.optim.Adam(weights, 0.02)
    made = rollout(cell, actor)
    ours, loop = (torch.autograd.grad(loss_of(*parts, made, method), weights) for method in ("newton", "sequential"))
    apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, loop, strict=True))
    print(f"the gradient is {apart:.1e} from that of the loop")
    for k in range(UPDATES):
        made = rollout(cell, actor)
        right = float((made[2][made[3]] > 0).float().mean())
        loss = loss_of(*parts, made)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if k % 10 == 0 or k == UPDATES - 1:
            print(f"update {k}: {right:.0%} of the turns right")
    if apart > 1e-4 or not (SMALL or right > 0.95):
        raise SystemExit("FAILED: the gradient is that of the loop, and the actor remembers")
