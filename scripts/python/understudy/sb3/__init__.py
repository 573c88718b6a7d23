"""Stable-Baselines3 on the native slots: `VecEnv` is a VectorEnv as its agents take it.

    from understudy.sb3 import VecEnv

    envs = understudy.make_vec("model:FOLDER", 64, autoreset_mode="SameStep")
    agent = stable_baselines3.SAC("MultiInputPolicy", VecEnv(envs, frames=2), ...)

Only this package imports stable_baselines3.
"""

from __future__ import annotations

from understudy.sb3.history import History
from understudy.sb3.vec_env import VecEnv

__all__ = ["History", "VecEnv"]
