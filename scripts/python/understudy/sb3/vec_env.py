"""A VectorEnv as agents of Stable-Baselines3 take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common import vec_env  # type: ignore[import-not-found, unused-ignore]

from understudy.envs import VectorEnv
from understudy.errors import UsageError
from understudy.sb3.history import History


class VecEnv(vec_env.VecEnv):  # type: ignore[misc, unused-ignore]
    """A VectorEnv for agents of Stable-Baselines3, with HerReplayBuffer or without.

    envs: of observations that are vectors, obs="state" or "latent", with
    autoreset_mode="SameStep". frames: how many of them an agent sees, as `History` has it; goals
    stay single ones. reward: "distance", that of the env, or "success", 0 where the goal is reached
    and -1 elsewhere.
    """

    def __init__(self, envs: VectorEnv, *, frames: int = 1, reward: str = "distance") -> None:
        if envs.metadata["autoreset_mode"] != AutoresetMode.SAME_STEP:
            raise UsageError('envs: expected autoreset_mode="SameStep"')
        if reward not in ("distance", "success"):
            raise UsageError(f"reward: expected distance or success, found {reward!r}")
        single: Any = envs.single_observation_space
        seen, goal = single["observation"], single["achieved_goal"]
        if len(seen.shape) != 1:
            raise UsageError(f"envs: expected observations that are vectors, found {seen.shape}")
        self.envs, self.reward = envs, reward
        self.render_mode = envs.render_mode
        self._actions: NDArray[Any] = np.zeros(0)
        self._all = np.arange(envs.num_envs)
        size, action = seen.shape[0], envs.single_action_space.shape[0]  # type: ignore[index]
        self._history = History(envs.num_envs, frames, size, action)
        if frames > 1 or seen.dtype != np.float32:
            low = np.concatenate([np.tile(seen.low, frames), np.full((frames - 1) * action, -1.0)])
            high = np.concatenate([np.tile(seen.high, frames), np.full((frames - 1) * action, 1.0)])
            seen = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        space = spaces.Dict({"observation": seen, "achieved_goal": goal, "desired_goal": goal})
        super().__init__(envs.num_envs, space, envs.single_action_space)

    def reset(self) -> dict[str, NDArray[Any]]:
        """Begins an episode in every slot, from the seeds and options that were set."""
        seen, _ = self.envs.reset(seed=self._seeds, options=self._options[0])
        self._reset_seeds()
        self._reset_options()
        self._history.begin(self._all, seen["observation"])
        return self._seen(seen)

    def _seen(self, seen: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {**seen, "observation": self._history.view(self._all)}

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions (N, K * A) for step_wait."""
        self._actions = np.asarray(actions, np.float32)

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Plays them: observations, rewards (N), dones (N) and infos (N)."""
        seen, rewards, terminated, truncated, told = self.envs.step(self._actions)
        over = np.flatnonzero(terminated | truncated)
        solved = told.get("is_success", np.zeros(self.num_envs, np.bool_)).copy()
        last = seen["observation"].copy()
        for i in over:
            last[i] = told["final_obs"][i]["observation"]
            solved[i] = told["final_info"]["is_success"][i]
        self._history.add(self._all, last, self._actions)
        infos: list[dict[str, Any]] = [{"is_success": bool(s)} for s in solved]
        if len(over):
            ends = self._history.view(over)
            for i, end in zip(over, ends, strict=True):
                infos[i]["terminal_observation"] = {**told["final_obs"][i], "observation": end}
                infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            self._history.begin(over, seen["observation"][over])
        if self.reward == "success":
            rewards = solved.astype(np.float32) - 1
        return self._seen(seen), rewards.astype(np.float32), terminated | truncated, infos

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike,
                       info: Any) -> NDArray[np.float32]:
        """The rewards (n) of goals achieved (n, M) when others (n, M) were desired."""
        success = self.reward == "success"
        found = self.envs._stage.judge(achieved_goal, desired_goal, success)
        return found.astype(np.float32) - 1 if success else found

    def close(self) -> None:
        """Frees the slots."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The present frames (H, W, 3) of all slots."""
        return self.envs.render() or [None] * self.num_envs

    def _count(self, indices: Any) -> int:
        return len(list(self._get_indices(indices)))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, which all slots share, once for each."""
        own = attr_name in ("render_mode", "spec", "compute_reward")
        return [getattr(self if own else self.envs, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of all slots."""
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None,
                   **method_kwargs: Any) -> list[Any]:
        """Calls a method, which is all slots', and gives its result once for each slot listed."""
        own = method_name == "compute_reward"
        found = getattr(self if own else self.envs, method_name)(*method_args, **method_kwargs)
        return [found] * self._count(indices)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No slot is wrapped."""
        return [False] * self._count(indices)
