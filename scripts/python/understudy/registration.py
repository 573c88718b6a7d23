"""The Gymnasium ids: one for every built-in task, and Understudy/Model-v0.

The names are kept here, so that registering loads no library; a test holds them against the
library's list of tasks.
"""

from __future__ import annotations

import sys
from types import ModuleType

IDS = {
    "pointmaze": "PointMaze",
    "pointmaze_medium": "PointMazeMedium",
    "wall": "Wall",
    "wall_random": "WallRandom",
    "pusht": "PushT",
    "reacher": "Reacher",
    "arm_reach": "ArmReach",
    "arm_cube": "ArmCube",
    "rope": "Rope",
    "granular": "Granular",
}


def add(registration: ModuleType) -> None:
    """Adds the ids to Gymnasium's registry; `registration` is gymnasium.envs.registration."""
    for task, title in IDS.items():
        name = f"Understudy/{title}-v0"
        if name not in registration.registry:
            registration.register(
                id=name,
                entry_point="understudy.envs:Env",
                vector_entry_point="understudy.envs:VectorEnv",
                kwargs={"name": f"sim:{task}"},
            )
    if "Understudy/Model-v0" not in registration.registry:
        registration.register(
            id="Understudy/Model-v0",
            entry_point="understudy.envs:model_env",
            vector_entry_point="understudy.envs:model_vector_env",
        )


def register_envs() -> None:
    """The same for the registry of this process, which `import understudy` does by itself."""
    import gymnasium  # noqa: F401

    add(sys.modules["gymnasium.envs.registration"])
