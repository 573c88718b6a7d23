"""Torch and what stands on it: a world model behind the planners, tensors, Stable-Baselines3.

Run by `scripts/test.sh interop`, where a missing package is a failure.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
import understudy
from stable_baselines3.common.env_checker import check_env
from understudy.registration import IDS


class Learnt(understudy.World):
    """A world model in torch: the state a block later from the state and the block's actions."""

    name, task, block, action, state = "torch", "pointmaze", 5, 2, 4

    def __init__(self, data: understudy.Dataset, steps: int = 1500) -> None:
        torch.manual_seed(1)
        torch.set_num_threads(1)
        x, y = [], []
        for e in data:
            for t in range(len(e.states) - self.block):
                x.append(np.concatenate([e.states[t], e.actions[t : t + self.block].ravel()]))
                y.append(e.states[t + self.block] - e.states[t])
        inputs, targets = torch.tensor(np.float32(x)), torch.tensor(np.float32(y))
        self.net = torch.nn.Sequential(
            torch.nn.Linear(14, 128), torch.nn.SiLU(), torch.nn.Linear(128, 128), torch.nn.SiLU(),
            torch.nn.Linear(128, 4))
        optimiser = torch.optim.Adam(self.net.parameters(), 2e-3)
        for _ in range(steps):
            rows = torch.randint(len(inputs), (256,))
            loss = (self.net(inputs[rows]) - targets[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def open(self, slots: int) -> None:
        self.at, self.goal = torch.zeros(slots, 4), torch.zeros(slots, 4)

    def observe(self, slots: Any, seen: Any) -> None:
        self.at[slots] = torch.tensor(seen.state, dtype=torch.float32)

    def set_goal(self, slots: Any, seen: Any) -> None:
        self.goal[slots] = torch.tensor(seen.state, dtype=torch.float32)

    def rollout(self, slots: Any, actions: Any) -> Any:
        rewards = np.empty(actions.shape[:3], np.float32)
        for i, slot in enumerate(slots):  # one slot at a time, so that no other changes its bits
            state = self.at[slot].expand(actions.shape[1], 4)
            for h in range(actions.shape[2]):
                block = torch.tensor(actions[i, :, h]).flatten(1)
                with torch.no_grad():
                    state = state + self.net(torch.cat([state, block], dim=1))
                rewards[i, :, h] = -(state - self.goal[slot])[:, :2].norm(dim=1).numpy()
        return rewards


@pytest.fixture(scope="module")
def world(train: Path) -> Learnt:
    with understudy.Dataset(train) as data:
        return Learnt(data)


def test_world_model_in_torch(world: Learnt, held: Path, work: Path) -> None:
    told = []
    for batch in (1, 32):
        path = work / f"torch{batch}.json"
        found = understudy.evaluate(world, held, episodes=32, batch=batch, rows="state,random",
                                    json=path, progress=False)
        row = json.loads(path.read_text())["rows"]["state"]
        told.append({k: v for k, v in row.items() if "second" not in k and k != "time"})
    assert told[0] == told[1]
    learnt, floor = found.rate("state", "last_step"), found.rate("random", "last_step")
    assert learnt.low > floor.high, (learnt, floor)


def test_tensors(held: Path) -> None:
    frames = understudy.Dataset(held).pixels(0, 3)
    encoder = understudy.Encoder()
    found = encoder.encode(torch.from_dlpack(frames))
    np.testing.assert_array_equal(found, encoder.encode(frames))
    assert torch.from_dlpack(found).shape == (3, encoder.tokens, encoder.dim)
    env = understudy.make("pointmaze")
    env.reset(seed=1)
    env.step(torch.zeros(10))  # type: ignore[arg-type]


@pytest.mark.parametrize("title", IDS.values())
def test_stable_baselines_checks(title: str) -> None:
    settings: list[dict[str, Any]] = [{}, {"obs": "pixels", "render_mode": "rgb_array"},
                                      {"obs": "latent", "encoder": "default"}]
    for s in settings:
        env = gymnasium.make(f"Understudy/{title}-v0", **s)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env.unwrapped)
        env.close()


def test_agent_learns_in_the_model(model: Path) -> None:
    """Stable-Baselines3 takes both: a few steps of SAC with hindsight in the model, then a look at
    the simulator through the same spaces."""
    env = gymnasium.make("Understudy/Model-v0", model=model, steps=50)
    check_env(env.unwrapped)
    agent = stable_baselines3.SAC("MultiInputPolicy", env, learning_starts=60, seed=1, device="cpu",
                                  replay_buffer_class=stable_baselines3.HerReplayBuffer)
    agent.learn(120)
    outside = gymnasium.make("Understudy/PointMaze-v0", obs="latent", encoder=model, steps=50)
    seen, _ = outside.reset(seed=1)
    action, _ = agent.predict(seen, deterministic=True)
    assert outside.action_space.contains(action)
