"""Gymnasium's Env and VectorEnv over the library's slots.

Simulator and model have the same spaces. An action is a block, Box(-1, 1, (K * A,)) float32. An
observation is Dict(observation, achieved_goal, desired_goal), of one of three kinds:

    obs="state"   the simulator's state (S,), goals are the task's measures (M,), float64
    obs="pixels"  frames (H, W, 3) uint8, goals too
    obs="latent"  features of the frozen encoder (G * D,) float32, goals too

`latent` is what a simulator (with `encoder`) and the model that stands in for it share, so that a
policy of one runs on the other. The reward is minus a distance to the goal: the task's of states,
else that of latents, in a simulator too where it has an encoder; then compute_reward gives the
same. A simulator of frames without one has the task's reward and no compute_reward. An episode ends
when its goal is reached (terminated), its state has diverged (terminated, reward -inf) or `steps`
env steps are over (truncated).
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from understudy._library import array, as_path, check, ffi, lib, pointer, text
from understudy._window import Window, displayed
from understudy.dataset import files
from understudy.errors import UnsupportedError, UsageError
from understudy.registration import register_envs as register_envs
from understudy.slots import Slots, step_struct

# What agents see: observation, achieved_goal, desired_goal.
Seen: TypeAlias = dict[str, NDArray[Any]]

# Beyond these a state has diverged (mjMAXVAL), and an encoder's weights are refused as broken
# (US_LATENT_MOST): the bounds of what has none in itself.
_MOST = {"float64": 1e10, "float32": 1e6}


def _box(s: Any) -> spaces.Box:
    name = text(s.dtype)
    shape: tuple[int, ...] = tuple(s.shape[i] for i in range(s.rank))
    if len(shape) == 2:  # tokens one behind the other, as agents' networks take them
        shape = (shape[0] * shape[1],)
    dtype: Any = np.dtype(name).type
    most = _MOST.get(name, s.high)
    return spaces.Box(dtype(max(s.low, -most)), dtype(min(s.high, most)), shape, dtype)


class Stage:
    """What Env and VectorEnv share: the slots, their spaces, goals, and views of them."""

    def __init__(self, name: str, n: int, *, obs: str | None, block: int, size: int, steps: int,
                 encoder: str | os.PathLike[str] | None, threads: int, gl: str | None,
                 device: str | None, fast: bool, render_mode: str | None) -> None:
        if ":" not in name:
            name = f"sim:{name}"
        if name.startswith("mjcf:"):
            name = f"sim:{name}"
        if obs is None:
            obs = "state" if name.startswith("sim:") else "latent"
        if steps < 1:
            raise UsageError(f"steps: expected at least 1, found {steps}")
        modes = (None, "rgb_array", "human")[: 3 if n == 1 else 2]
        if render_mode not in modes:
            raise UsageError(f"render_mode: expected one of {modes}, found {render_mode!r}")
        kinds = [text(lib.us_obs_names[k]) for k in range(lib.US_OBS_COUNT)]
        if obs not in kinds:
            raise UsageError(f"obs: expected one of {', '.join(kinds)}, found {obs!r}")
        self.kind = kinds.index(obs)
        drawn = obs != "state" or render_mode is not None
        self.env = env = Slots(
            name, n, block=block, height=size, limit=steps, threads=threads, gl=gl, device=device,
            fast=fast, goals=True, encoder=encoder, pixels=drawn and name.startswith("sim:"))
        self.n = n
        out = ffi.new("UsSpaces*")
        check(lib.us_env_spaces(env._alive(), self.kind, out))
        self.action = _box(out.action)
        goal = _box(out.goal)
        self.space = spaces.Dict(
            {"observation": _box(out.observation), "achieved_goal": goal, "desired_goal": goal}
        )
        self.goal = goal
        if lib.us_env_judges(env._alive()) != 0:
            warnings.warn(text(lib.us_message()), stacklevel=4)
        self._all = pointer(env._all, "int")
        # A single slot is an Env's, or the one of a VectorEnv.
        self._fits = ((n, *self.action.shape), self.action.shape)[: 2 if n == 1 else 1]
        self._flat = np.zeros(n * env.block * env.action, np.float32)
        self._to = pointer(self._flat, "float")
        self.reward = np.zeros(n, np.float32)
        self._ends = {k: np.zeros(n, np.uint8) for k in ("terminated", "truncated")}
        self.terminated, self.truncated = (self._ends[k].view(np.bool_) for k in self._ends)
        self._success = np.zeros((n, env.block), np.uint8)
        self.success = self._success[:, -1].view(np.bool_)
        parts: dict[str, NDArray[Any]] = {"reward": self.reward, "success": self._success}
        parts |= self._ends
        self._step = step_struct(parts)
        see = self.space["observation"]
        self._shapes: list[tuple[tuple[int, ...], Any]] = [
            (tuple(see.shape or ()), see.dtype), (goal.shape, goal.dtype)]

    def reset(self, mask: NDArray[np.bool_], seeds: NDArray[np.uint64], goals: list[Any]) -> None:
        """Begins episodes in the masked slots, each with a goal drawn from its seed or the one that
        is given."""
        with self.env._lock:
            lib.us_env_reset(self.env._alive(), pointer(mask.view(np.uint8), "uint8_t"),
                             pointer(seeds, "uint64_t"))
        for slot, goal in enumerate(goals):
            if mask[slot] and goal is not None:
                self.set_goal(slot, goal)

    def set_goal(self, slot: int, goal: Any) -> None:
        """A goal in one slot: a frame (H, W, 3) uint8, features (G, D) or, with obs="latent", (G *
        D,); a state (S,), the path of a picture, or (FILE.h5, row)."""
        env = self.env
        if isinstance(goal, tuple) and len(goal) == 2:
            goal = f"{os.fspath(goal[0])}:{int(goal[1])}"
        if isinstance(goal, (str, os.PathLike)):
            g = ffi.new("UsGoal*")
            with files, env._lock:
                e = env._alive()
                sim = e if env.is_sim else ffi.NULL
                check(lib.us_goal_read(as_path(goal), sim, env.height, env.width, g))
                try:
                    o = ffi.new("UsObs*", lib.us_goal_obs(g))
                    check(lib.us_env_set_goal(e, 1, ffi.new("int*", slot), o))
                finally:
                    lib.us_goal_free(g)
            return
        found = np.asarray(goal)
        if found.dtype == np.uint8 and found.ndim == 3:
            env.set_goal(pixels=found[None], slots=[slot])
        elif found.ndim == 2 or (found.ndim == 1 and self.kind == lib.US_OBS_latent):
            env.set_goal(latent=found.reshape(1, env.tokens, -1), slots=[slot])
        elif found.ndim == 1:
            env.set_goal(state=found[None], slots=[slot])
        else:
            raise UsageError("goal: expected a frame (H, W, 3) uint8, features (G, D), a state (S,), "
                             f"a path or (file, row), found {found.dtype} {found.shape}")

    def play(self, actions: Any) -> None:
        """Plays a block in every slot: actions (n, K * A), or (K * A,) of a single one."""
        a = np.asarray(actions, np.float32)
        if a.size != self._flat.size or a.shape not in self._fits:
            wanted = self._fits[-1]
            raise UsageError(f"actions: expected the shape {wanted}, found {a.shape}")
        a = a.reshape(-1)
        if not math.isfinite(a.dot(a)):
            raise UsageError("actions: expected finite numbers")
        self._flat[:] = a
        with self.env._lock:
            lib.us_env_step(self.env._alive(), self._to, self._step)

    def view(self) -> Seen:
        """What agents see in all slots, in new arrays."""
        (s, t), (u, v) = self._shapes
        n = self.n
        a, b, c = np.empty((n, *s), t), np.empty((n, *u), v), np.empty((n, *u), v)
        self._view(n, self._all, a, b, c)
        return {"observation": a, "achieved_goal": b, "desired_goal": c}

    def one(self) -> Seen:
        """The same of a single slot, without the axis of slots."""
        (s, t), (u, v) = self._shapes
        a, b, c = np.empty(s, t), np.empty(u, v), np.empty(u, v)
        self._view(1, self._all, a, b, c)
        return {"observation": a, "achieved_goal": b, "desired_goal": c}

    def _view(self, n: int, ids: Any, a: Any, b: Any, c: Any) -> None:
        of = ffi.from_buffer
        with self.env._lock:
            status = lib.us_env_view(self.env._alive(), self.kind, n, ids, of(a), of(b), of(c))
            if status:
                check(status)

    def rejudge(self, found: Seen) -> None:
        """The reward is that of the goals which agents see, to the last bit: a model's own is of
        latents before they were rounded to features, a simulator's of measures."""
        if self.kind != lib.US_OBS_state and self.judges:
            rewards = self.judge(found["achieved_goal"], found["desired_goal"], False)
            self.reward[:] = np.where(np.isneginf(self.reward), self.reward, rewards)

    @property
    def judges(self) -> bool:
        """Whether goals that are in no slot can be judged."""
        return self.kind == lib.US_OBS_state or self.env.tokens > 0

    def judge(self, achieved: Any, desired: Any, success: bool) -> NDArray[Any]:
        """The reward of goals achieved when others were desired, or whether they are success."""
        shape, dtype = self.goal.shape, self.goal.dtype
        single = np.ndim(achieved) == len(shape)
        a = array([achieved] if single else achieved, (-1, *shape), dtype, "achieved_goal")
        d = array([desired] if single else desired, (len(a), *shape), dtype, "desired_goal")
        out = np.zeros(len(a), np.uint8 if success else np.float32)
        to = pointer(out, "uint8_t" if success else "float")
        with self.env._lock:
            check(lib.us_env_judge(self.env._alive(), self.kind, len(a), ffi.from_buffer(a),
                                   ffi.from_buffer(d), ffi.NULL if success else to,
                                   to if success else ffi.NULL))
        found = out.view(np.bool_) if success else out
        return found[0] if single else found

    @property
    def fps(self) -> int:
        """Blocks a second of the episode."""
        return max(round(1 / (self.env.dt * self.env.block)), 1)


class Env(gymnasium.Env[Seen, NDArray[np.float32]]):
    """One episode of a task or of a model.

    name: "pointmaze", "mjcf:robot.xml", "model:FOLDER". obs: state, pixels or latent. block: K env
    steps an action, 0: its own. size: pixels of a side, 0: its own. steps: env steps an episode.
    encoder: of a simulator's latents, "default", a folder of an encoder or of a model. gl:
    software, gpu, gpu:N. device: cpu, cuda, cuda:N.

    reset takes options={"goal": ...}: a frame (H, W, 3) uint8, a state (S,), features (G, D), the
    path of a picture, or (FILE.h5, row). Otherwise the goal is drawn from the seed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 4}

    def __init__(self, name: str, *, obs: str | None = None, block: int = 0, size: int = 0,
                 steps: int = 200, encoder: str | os.PathLike[str] | None = None, threads: int = 1,
                 gl: str | None = None, device: str | None = None, fast: bool = False,
                 render_mode: str | None = None) -> None:
        self._stage = s = Stage(name, 1, obs=obs, block=block, size=size, steps=steps,
                                encoder=encoder, threads=threads, gl=gl, device=device, fast=fast,
                                render_mode=render_mode)
        self.render_mode = render_mode
        self.action_space: Any = s.action
        self.observation_space: Any = s.space
        self.metadata = {**self.metadata, "render_fps": s.fps}
        if not displayed():
            self.metadata["render_modes"] = ["rgb_array"]
        self._mask = np.ones(1, np.bool_)
        self._window: Window | None = None

    @property
    def slots(self) -> Slots:
        """The library's env behind it."""
        return self._stage.env

    def reset(self, *, seed: int | None = None,
              options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """Begins an episode, drawn from the seed."""
        super().reset(seed=seed)
        seeds = self.np_random.integers(0, 2**63, 1, dtype=np.uint64)
        self._stage.reset(self._mask, seeds, [(options or {}).get("goal")])
        self._show()
        return self._stage.one(), {}

    def step(self, action: NDArray[np.float32]
             ) -> tuple[Seen, SupportsFloat, bool, bool, dict[str, Any]]:
        """Plays a block of K env steps: action (K * A,) in [-1, 1]."""
        s = self._stage
        s.play(action)
        found = s.one()
        s.rejudge(found)
        self._show()
        info = {"is_success": bool(s.success[0])}
        return found, float(s.reward[0]), bool(s.terminated[0]), bool(s.truncated[0]), info

    @property
    def compute_reward(self) -> Callable[[Any, Any, Any], Any]:
        """compute_reward(achieved_goal, desired_goal, info): the reward of goals, one or n of them,
        as GoalEnv has it; not there where goals cannot be judged."""
        return self._judging(False)

    @property
    def compute_terminated(self) -> Callable[[Any, Any, Any], Any]:
        """compute_terminated(achieved_goal, desired_goal, info): whether they count as success."""
        return self._judging(True)

    def _judging(self, success: bool) -> Callable[[Any, Any, Any], Any]:
        if not self._stage.judges:
            raise AttributeError(f"{self.slots.name}: frames are judged with encoder=...")
        return lambda achieved, desired, info: self._stage.judge(achieved, desired, success)

    def render(self) -> NDArray[np.uint8] | None:
        """The present frame (H, W, 3); a model draws what it imagines. With human, which shows it
        in a window at every step, None."""
        return self._stage.env.render()[0] if self.render_mode == "rgb_array" else None

    def _show(self) -> None:
        if self.render_mode != "human":
            return
        env = self._stage.env
        if self._window is None:
            self._window = Window(env.height, env.width, env.name, self._stage.fps)
        self._window.show(env.render()[0])

    def close(self) -> None:
        """Frees the slots and closes the window."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._stage.env.close()


class VectorEnv(gymnasium.vector.VectorEnv[Seen, NDArray[np.float32], NDArray[Any]]):
    """N episodes that step and render in the library's threads; slot i is what Env is with the seed
    `seed + i`, bit for bit.

    Arguments as of Env; threads 0: one per processor. autoreset_mode as Gymnasium has it:
    NEXT_STEP, SAME_STEP or DISABLED, where reset takes options={"reset_mask": ...}.
    options={"goal": ...} is one for all, or a list of N.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"],
                                "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, name: str, num_envs: int = 1, *, obs: str | None = None, block: int = 0,
                 size: int = 0, steps: int = 200, encoder: str | os.PathLike[str] | None = None,
                 threads: int = 0, gl: str | None = None, device: str | None = None,
                 fast: bool = False, render_mode: str | None = None,
                 autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP) -> None:
        if num_envs < 1:
            raise UsageError(f"num_envs: expected at least 1, found {num_envs}")
        self._stage = s = Stage(name, num_envs, obs=obs, block=block, size=size, steps=steps,
                                encoder=encoder, threads=threads, gl=gl, device=device, fast=fast,
                                render_mode=render_mode)
        self._mode = AutoresetMode(autoreset_mode)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.single_action_space, self.single_observation_space = s.action, s.space
        self.action_space = batch_space(s.action, num_envs)
        self.observation_space = batch_space(s.space, num_envs)
        self.metadata = {**self.metadata, "render_fps": s.fps, "autoreset_mode": self._mode}
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._done = np.ones(num_envs, np.bool_)  # those that have not begun
        self._selected = False

    @property
    def slots(self) -> Slots:
        """The library's env behind it."""
        return self._stage.env

    def _begin(self, mask: NDArray[np.bool_], goals: list[Any] | None = None) -> None:
        seeds = np.zeros(self.num_envs, np.uint64)
        for i in np.flatnonzero(mask):
            rng = self._rngs[i]
            if rng is None:
                rng = self._rngs[i] = seeding.np_random()[0]
            seeds[i] = rng.integers(0, 2**63, 1, dtype=np.uint64)[0]
        self._stage.reset(mask, seeds, goals or [])
        self._done[mask] = False

    def reset(self, *, seed: int | Sequence[int | None] | None = None,
              options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """Begins episodes in all slots, or in those of options["reset_mask"]."""
        n = self.num_envs
        if seed is None or isinstance(seed, (int, np.integer)):
            super().reset(seed=None if seed is None else int(seed))
            seeds: list[int | None] = [None if seed is None else int(seed) + i for i in range(n)]
        else:
            seeds = list(seed)
        if len(seeds) != n:
            raise UsageError(f"seed: expected {n} of them, found {len(seeds)}")
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.ones(n, np.bool_)))
        if mask.dtype != np.bool_ or mask.shape != (n,) or not mask.any():
            raise UsageError(f"reset_mask: expected ({n},) of bool, one of them set, found "
                             f"{mask.dtype} {mask.shape} {mask.tolist()}")
        for i in np.flatnonzero(mask):
            if seeds[i] is not None:
                self._rngs[i] = seeding.np_random(seeds[i])[0]
        goal = options.get("goal")
        goals = goal if isinstance(goal, list) else [goal] * n
        if len(goals) != n:
            raise UsageError(f"goal: expected {n} of them, found {len(goals)}")
        self._begin(mask, goals)
        return self._stage.view(), {}

    def step(self, actions: NDArray[np.float32]
             ) -> tuple[Seen, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Plays a block in every slot: actions (N, K * A) in [-1, 1]."""
        s, mode = self._stage, self._mode
        begun = self._done.copy()
        if mode == AutoresetMode.DISABLED and begun.any():
            raise UsageError("step: expected a reset of the slots "
                             f"{np.flatnonzero(begun).tolist()} first, as their episodes are over")
        # Those whose episode was over begin another; the others play.
        waits = mode == AutoresetMode.NEXT_STEP and bool(begun.any())
        if waits or self._selected:
            self._select(np.flatnonzero(~begun), waits)
        s.play(actions)
        terminated, truncated, success = s.terminated.copy(), s.truncated.copy(), s.success.copy()
        infos: dict[str, Any] = {"is_success": success,
                                 "_is_success": np.ones(self.num_envs, np.bool_)}
        if waits:
            for part in (terminated, truncated, success, infos["_is_success"]):
                part[begun] = False
            self._begin(begun)
        self._done = terminated | truncated
        over = self._done.copy()
        found = s.view()
        s.rejudge(found)
        reward = s.reward.astype(np.float64)
        if waits:
            reward[begun] = 0
        if mode == AutoresetMode.SAME_STEP and over.any():
            self._end(infos, found, over, success)
            self._begin(over)
            found = s.view()
        if not infos["_is_success"].any():  # as where no env says it
            del infos["is_success"], infos["_is_success"]
        return found, reward, terminated, truncated, infos

    def _select(self, live: NDArray[np.intp], waits: bool) -> None:
        """Lets a simulator play the slots that go on alone."""
        env = self._stage.env
        if env.is_sim:
            ids = live.astype(np.intc)
            lib.us_sim_select(env._alive(), len(ids), pointer(ids, "int"))
            self._selected = waits

    def _end(self, infos: dict[str, Any], found: Seen, over: NDArray[np.bool_],
             success: NDArray[np.bool_]) -> None:
        """The last observations of the episodes that are over, as SyncVectorEnv gives them."""
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final[i] = {k: v[i].copy() for k, v in found.items()}
        infos["final_obs"], infos["_final_obs"] = final, over.copy()
        infos["final_info"] = {"is_success": success & over, "_is_success": over.copy()}
        infos["_final_info"] = over.copy()
        infos["is_success"] = success & ~over
        infos["_is_success"] = ~over

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The reward of goals, one or n of them, as GoalEnv has it."""
        if not self._stage.judges:
            raise UnsupportedError(f"{self.slots.name}: frames are judged with encoder=...")
        return self._stage.judge(achieved_goal, desired_goal, False)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The present frames (H, W, 3) of all slots, drawn in the library's threads."""
        return None if self.render_mode is None else tuple(self._stage.env.render())

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the slots."""
        self._stage.env.close()


# ---- by name ----


def make(name: str, **settings: Any) -> Env:
    """An Env: "pointmaze", "mjcf:robot.xml" or "model:FOLDER"; settings as of Env."""
    return Env(name, **settings)


def make_vec(name: str, num_envs: int = 1, **settings: Any) -> VectorEnv:
    """A VectorEnv of so many slots; settings as of VectorEnv."""
    return VectorEnv(name, num_envs, **settings)


def model_env(model: str | os.PathLike[str] | None = None, **settings: Any) -> Env:
    """Understudy/Model-v0: the model in a folder."""
    return Env(_folder(model), **settings)


def model_vector_env(num_envs: int = 1, model: str | os.PathLike[str] | None = None,
                     **settings: Any) -> VectorEnv:
    """Understudy/Model-v0 as a VectorEnv."""
    return VectorEnv(_folder(model), num_envs, **settings)


def _folder(model: str | os.PathLike[str] | None) -> str:
    if model is None:
        raise UsageError("Understudy/Model-v0: expected model=FOLDER")
    return f"model:{os.fspath(model)}"
