#!/usr/bin/env python3
"""An agent that learns in the model alone, scored in the simulator.

    scripts/bench/agent_in_model.py --model DIR --data HELDOUT.h5 [--inside simulator]

Trains SAC of Stable-Baselines3 with hindsight, with fixed settings, in the model's env or, with
--inside simulator, in the model's task itself, through the same spaces: features of the two newest
frames and of the goal, a block an action. The reward is 0 where the goal is reached, as the model's
success head or the simulator's rule says, and -1 elsewhere. Then `evaluate` plays the agent in the
simulator on held-out pairs of the protocol dinoworld, in a planner's place, beside uniform actions.
Prints both rates of pairs solved after some env step, and McNemar's exact p.

One frame does not tell how fast things move, so a policy sees two; numbers of latents vary a
hundred times as much as others, so it sees them whitened; and entropy, which starts at a tenth of
its usual weight, else hides a reward of -1 for thousands of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import Any

import numpy as np
import stable_baselines3
import torch
import understudy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from understudy.sb3 import History, VecEnv

SLOTS, FRAMES, COMPONENTS, BUDGET = 16, 2, 24, 50


class Features(BaseFeaturesExtractor):  # type: ignore[misc, unused-ignore]
    """Latents in the principal components of the starts that the model knows, each in its own
    deviations, since some numbers of a latent vary a hundred times as much as others; then the
    block of actions."""

    def __init__(self, space: Any, starts: Any) -> None:
        self.size = starts.shape[1]
        self.rest = space["observation"].shape[0] - FRAMES * self.size
        super().__init__(space, (FRAMES + 1) * COMPONENTS + self.rest)
        mean = starts.mean(0)
        _, deviations, components = np.linalg.svd(starts - mean, full_matrices=False)
        to = (components / deviations[:, None])[:COMPONENTS].T * len(starts) ** 0.5
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("components", torch.tensor(to))

    def forward(self, seen: Any) -> Any:
        frames = seen["observation"][:, : FRAMES * self.size].unflatten(1, (FRAMES, self.size))
        latents = torch.cat([frames, seen["desired_goal"][:, None]], 1)
        parts = ((latents - self.mean) @ self.components).clamp(-5, 5).flatten(1)
        return torch.cat([parts, seen["observation"][:, FRAMES * self.size :]], 1)


class Actor(understudy.World):
    """What the simulator shows an agent, and the blocks that it answers with."""

    name = "agent"

    def __init__(self, agent: Any, model: understudy.Model) -> None:
        self.agent, self.encoder = agent, model.encoder
        self.task, self.block, self.action = model.task, model.block, model.action
        self.height, self.width = model.encoder.height, model.encoder.width
        self.size = model.tokens * model.dim

    def open(self, slots: int) -> None:
        self.seen = History(slots, FRAMES, self.size, self.block * self.action)
        self.now, self.goal = np.zeros((2, slots, self.size), np.float32)

    def encode(self, seen: Any) -> Any:
        return self.encoder.encode(seen.pixels).reshape(-1, self.size)

    def observe(self, slots: Any, seen: Any) -> None:
        self.now[slots] = frame = self.encode(seen)
        first, actions = seen.first, seen.actions.reshape(len(slots), -1)
        self.seen.begin(slots[first], frame[first])
        self.seen.add(slots[~first], frame[~first], actions[~first])

    def set_goal(self, slots: Any, seen: Any) -> None:
        self.goal[slots] = self.encode(seen)

    def act(self, plan: Any) -> Any:
        s = plan.slots
        seen = {"observation": self.seen.view(s), "achieved_goal": self.now[s],
                "desired_goal": self.goal[s]}
        found = self.agent.predict(seen, deterministic=True)[0]
        return found.reshape(len(s), plan.replan, self.block, self.action)


def learn(a: Any, model: understudy.Model) -> Any:
    """The agent, after so many blocks in all slots together."""
    settings: dict[str, Any] = {"autoreset_mode": "SameStep", "steps": BUDGET, "threads": 1}
    if a.inside == "model":
        envs = understudy.make_vec(f"model:{a.model}", SLOTS, **settings)
    else:
        envs = understudy.make_vec(model.task, SLOTS, obs="latent", encoder=a.model, **settings)
    starts = model.contexts.reshape(-1, model.tokens * model.dim)
    policy = {"features_extractor_class": Features, "net_arch": [128, 128],
              "features_extractor_kwargs": {"starts": starts}}
    agent = stable_baselines3.SAC(
        "MultiInputPolicy", VecEnv(envs, frames=FRAMES, reward="success"), learning_rate=1e-3,
        batch_size=128, gamma=0.95, tau=0.01, ent_coef="auto_0.1", learning_starts=1600,
        train_freq=1, gradient_steps=8, seed=a.seed, device="cpu", verbose=a.verbose,
        policy_kwargs=policy,
        replay_buffer_class=stable_baselines3.HerReplayBuffer)
    agent.learn(a.steps, log_interval=100)
    return agent


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--inside", choices=["model", "simulator"], default="model")
    parser.add_argument("--steps", type=int, default=8000, help="blocks, in all slots together")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", type=int, default=0, help="1: success rates of the training")
    a = parser.parse_args()
    torch.set_num_threads(1)
    with understudy.Model(a.model, threads=1) as model:
        began = time.time()
        agent = learn(a, model)
        learnt = time.time() - began
        actor = Actor(agent, model)
        found = understudy.evaluate(
            actor, a.data, planner=actor.act, episodes=a.pairs, threads=1, protocol="dinoworld",
            rows="model,random", progress=False)
    ours, floor = (found.rows[row].first_hit >= 0 for row in ("model", "random"))
    counts = int((ours & ~floor).sum()), int((floor & ~ours).sum())
    n = sum(counts)
    p = min(1.0, 2 * sum(math.comb(n, k) for k in range(min(counts) + 1)) / 2**n)
    print(json.dumps({
        "inside": a.inside, "steps": a.steps, "seed": a.seed, "pairs": len(ours),
        "agent": round(float(ours.mean()), 3), "random": round(float(floor.mean()), 3),
        "agent_alone": counts[0], "random_alone": counts[1], "p": p, "seconds": round(learnt)}))


if __name__ == "__main__":
    main()
