"""understudy.sb3: agents of Stable-Baselines3 see what the native slots show.

Run by `scripts/test.sh interop`, where a missing package is a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch
import understudy
from understudy.sb3 import History, VecEnv

torch.set_num_threads(1)


def vec(name: str, n: int, **settings: Any) -> understudy.VectorEnv:
    return understudy.make_vec(name, n, autoreset_mode="SameStep", steps=15, **settings)


def test_frames_and_blocks_in_a_row() -> None:
    h, one = History(3, 3, 2, 1), np.array([1])
    h.begin(np.arange(3), np.ones((3, 2)))
    assert h.view(one).tolist() == [[1] * 6 + [0] * 2]
    h.add(one, np.array([[2, 2]]), np.array([[7]]))
    h.add(one, np.array([[3, 3]]), np.array([[8]]))
    assert h.view(one).tolist() == [[3, 3, 2, 2, 1, 1, 8, 7]]
    assert h.view(np.array([0, 2])).tolist() == [[1] * 6 + [0] * 2] * 2
    h.begin(one, np.array([[5, 5]]))
    assert h.view(one).tolist() == [[5] * 6 + [0] * 2]
    with pytest.raises(understudy.Error, match="frames"):
        History(1, 0, 2, 1)


def test_agents_see_the_slots() -> None:
    """Observations, rewards and ends are the VectorEnv's; the last frame of an episode comes in the
    info, and the next begins without a past."""
    envs, plain = VecEnv(vec("pointmaze", 4), frames=2), vec("pointmaze", 4)
    envs.seed(3)
    seen, (wanted, _) = envs.reset(), plain.reset(seed=3)
    size, rng = wanted["observation"].shape[1], np.random.default_rng(1)
    before, ended = wanted["observation"], 0
    for _ in range(7):
        actions = rng.uniform(-1, 1, (4, 10)).astype(np.float32)
        seen, rewards, dones, infos = envs.step(actions)
        wanted, reward, terminated, truncated, told = plain.step(actions)
        assert envs.observation_space.contains({k: v[0] for k, v in seen.items()})
        np.testing.assert_array_equal(rewards, reward.astype(np.float32))
        np.testing.assert_array_equal(dones, terminated | truncated)
        np.testing.assert_array_equal(seen["desired_goal"], wanted["desired_goal"])
        now = np.float32(wanted["observation"])
        np.testing.assert_array_equal(seen["observation"][:, :size], now)
        for i in range(4):
            row = seen["observation"][i]
            if not dones[i]:
                np.testing.assert_array_equal(row[size : 2 * size], np.float32(before[i]))
                np.testing.assert_array_equal(row[2 * size :], actions[i])
                continue
            ended += 1
            np.testing.assert_array_equal(row[size:], [*now[i], *[0] * 10])
            last = infos[i]["terminal_observation"]["observation"]
            final = told["final_obs"][i]["observation"]
            np.testing.assert_array_equal(last[:size], np.float32(final))
            np.testing.assert_array_equal(last[2 * size :], actions[i])
            assert infos[i]["TimeLimit.truncated"] == (truncated[i] and not terminated[i])
            assert infos[i]["is_success"] == told["final_info"]["is_success"][i]
        before = wanted["observation"]
    assert ended >= 8
    envs.close()


def test_success_as_a_reward(model: Path) -> None:
    envs = VecEnv(vec(f"model:{model}", 8), reward="success")
    envs.seed(3)
    seen = envs.reset()
    goals = seen["desired_goal"]
    assert envs.compute_reward(goals, goals, [{}] * 8).tolist() == [0] * 8
    found = envs.env_method("compute_reward", goals, goals[::-1].copy(), [{}] * 8, indices=[0])
    assert len(found) == 1 and set(found[0].tolist()) <= {0, -1}
    for _ in range(6):
        _, rewards, dones, infos = envs.step(np.zeros((8, 10), np.float32))
        for i in range(8):
            assert rewards[i] == (0 if infos[i]["is_success"] else -1)
            assert dones[i] or not infos[i]["is_success"]
    distance = VecEnv(vec(f"model:{model}", 2))
    assert distance.compute_reward(goals[:1], goals[1:2], [{}])[0] < 0
    for settings, told in (({"frames": 0}, "frames"), ({"reward": "none"}, "distance or success")):
        with pytest.raises(understudy.Error, match=told):
            VecEnv(vec("pointmaze", 1), **settings)  # type: ignore[arg-type]
    with pytest.raises(understudy.Error, match="SameStep"):
        VecEnv(understudy.make_vec("pointmaze", 1))
    with pytest.raises(understudy.Error, match="vectors"):
        VecEnv(vec("pointmaze", 1, obs="pixels"))


def test_agents_learn_on_slots(model: Path) -> None:
    envs = VecEnv(vec(f"model:{model}", 4), frames=2, reward="success")
    buffer = stable_baselines3.HerReplayBuffer
    agent: Any = stable_baselines3.SAC("MultiInputPolicy", envs, learning_starts=40, seed=1,
                                       device="cpu", batch_size=16, replay_buffer_class=buffer)
    agent.learn(80)
    agent = stable_baselines3.PPO("MultiInputPolicy", envs, n_steps=8, batch_size=16, device="cpu")
    agent.learn(32)
    assert agent.predict(envs.reset())[0].shape == (4, 10)
