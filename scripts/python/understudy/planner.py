"""Planners: from an env with a goal to the action blocks that should be played next."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy._library import Owned, array, as_path, check, ffi, lib, listed, pointer
from understudy._settings import PlannerSettings
from understudy.hooks import hooked
from understudy.own import PlannerClass, PlannerFunction, World, WorldEnv
from understudy.settings import fill
from understudy.slots import Slots


class Planner(Owned):
    """The planner `name` ("cem", "random", or a callable that is given a `Plan` and gives actions)
    for all slots of an env, which it imagines in: `Slots` of a simulator or of a model, or a
    `World` of your own with `slots` slots.

    The same seed, episodes and states give the same plans for any other slots and threads.
    """

    def __init__(self, name: str | PlannerFunction, env: Slots | World, *, seed: int = 0,
                 slots: int = 1, **settings: Unpack[PlannerSettings]) -> None:
        super().__init__(f"planner {getattr(name, '__name__', name)}")
        self._env: Slots | WorldEnv = env if isinstance(env, Slots) else WorldEnv(env, slots)
        self._own(self._env, lambda _: None)
        self._pool = self._own(lib.us_pool_create(1), lib.us_pool_destroy)
        c = ffi.new("UsPlannerConfig*")
        c[0] = lib.us_planner_defaults()
        fill(lib.us_planner_settings, c, settings, [])
        c.seed, c.pool = seed, self._pool
        out = ffi.new("UsPlanner**")
        e = self._env._alive()
        if callable(name):
            own = PlannerClass(name)
            self._own(own, lambda _: None)
            with own.making() as cls:
                check(lib.us_planner_make(cls, e, c, out))
        else:
            check(lib.us_planner_create(as_path(name), e, c, out))
        self._pointer = self._own(out[0], lib.us_planner_destroy)
        self.slots: int = self._env.slots
        self.replan: int = c.replan  # blocks of a plan
        self._shape = (self.replan, self._env.block, self._env.action)

    @property
    def env(self) -> Slots | WorldEnv:
        """What it imagines in: shown observations and goals through observe and set_goal."""
        return self._env

    def start(self, episodes: ArrayLike | None = None, slots: ArrayLike | None = None) -> None:
        """Begins episodes in the listed slots (n) and forgets their last plans; episodes (n) name
        their random numbers, the slots' own by default."""
        ids = listed(slots, self.slots)
        e = array(ids if episodes is None else episodes, (len(ids),), np.uint64, "episodes")
        with self._lock:
            check(lib.us_planner_start(self._alive(), len(ids), pointer(ids, "int"),
                                       pointer(e, "uint64_t")))

    def plan(self, slots: ArrayLike | None = None) -> NDArray[np.float32]:
        """The action blocks (n, replan, K, A) to play from the present state of the listed slots.
        Ctrl-C ends it."""
        ids = listed(slots, self.slots)
        out = np.empty((len(ids), *self._shape), np.float32)
        with self._lock, self._env._lock, hooked() as call:
            self._env._alive()
            lib.us_planner_plan(self._alive(), len(ids), pointer(ids, "int"), pointer(out, "float"))
            call.check(0)
        return out

    @property
    def candidate_steps(self) -> int:
        """Blocks imagined so far, all slots and candidates."""
        return int(self._alive().candidate_steps)
