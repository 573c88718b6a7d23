"""Understudy: learned world models that stand in for MuJoCo simulators.

    import understudy
    env = understudy.make("pointmaze", render_mode="rgb_array")
    observation, info = env.reset(seed=1)
    picture = env.render()

Everything here is a thin skin over the C library, whose headers are the manual of what it does.
Nothing is loaded before its first use: `import understudy` reads no library and no numpy.

Environments  make, make_vec, Env, VectorEnv, Slots; gymnasium ids "Understudy/PointMaze-v0", ...
Jobs          collect, pretrain, finetune, evaluate
Exchange      understudy.exchange: LeRobot, Minari and DINO-WM in, LeRobot and Minari out
Parts         Planner, Encoder, Model, Dataset, DatasetWriter, Picture
Your own      World (a model or simulator that planners imagine in), and callables as policies and
              planners
Of others     understudy.torch (windows for its loaders, models as modules), understudy.sb3 (slots for
              agents of Stable-Baselines3), which are imported by their names
Errors        Error and what derives from it, in understudy.errors
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy import errors as errors
    from understudy.dataset import Dataset, DatasetWriter, Episode
    from understudy.envs import Env, VectorEnv, make, make_vec, register_envs
    from understudy.errors import Error
    from understudy.hooks import Progress
    from understudy.jobs import collect, evaluate, finetune, pretrain
    from understudy.model import Encoder, Model
    from understudy.own import World
    from understudy.picture import Picture
    from understudy.planner import Planner
    from understudy.slots import Slots
    from understudy.task_list import tasks

# Where a name comes from when it is first asked for.
_PLACES = {
    "dataset": ("Dataset", "DatasetWriter", "Episode"),
    "envs": ("Env", "VectorEnv", "make", "make_vec", "register_envs"),
    "errors": ("Error",),
    "hooks": ("Progress",),
    "jobs": ("collect", "evaluate", "finetune", "pretrain"),
    "model": ("Encoder", "Model"),
    "own": ("World",),
    "picture": ("Picture",),
    "planner": ("Planner",),
    "slots": ("Slots",),
    "task_list": ("tasks",),
}
_HOME = {name: home for home, names in _PLACES.items() for name in names}

__all__ = [
    "Dataset", "DatasetWriter", "Encoder", "Env", "Episode", "Error", "Model", "Picture",
    "Planner", "Progress", "Slots", "VectorEnv", "World", "collect", "errors", "evaluate",
    "finetune", "make", "make_vec", "pretrain", "register_envs", "tasks", "version",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"understudy.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name == "errors":
        return importlib.import_module("understudy.errors")
    raise AttributeError(f"module 'understudy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def version() -> str:
    """The version of the package and its library, "0.1.0"."""
    from importlib.metadata import version as installed

    return installed("understudy")


def _register() -> None:
    """Makes the ids known to Gymnasium: now where it is loaded, else when it is."""
    if "gymnasium.envs.registration" in sys.modules:
        from understudy.registration import register_envs

        register_envs()
    else:
        from understudy._later import Later

        sys.meta_path.insert(0, Later())


_register()
