"""Yours in: Python objects and callables in the place of the library's parts.

World     what planners imagine in: a model in torch, another simulator
Policy    a callable that acts while trajectories are collected
Plan      what a callable in a planner's place is asked

An exception in any of them ends the call of the library that came to it, and comes out of that.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from understudy._library import Owned, array, as_path, ffi, lib, listed, pictures, text
from understudy.errors import UsageError
from understudy.hooks import Call, failed, keep_error
from understudy.task_list import TaskList

# ---- worlds ----


@dataclass(frozen=True)
class Seen:
    """What n slots are shown; the arrays are yours to keep. None: it was not shown."""

    pixels: NDArray[np.uint8] | None  # (n, H, W, 3)
    state: NDArray[np.float64] | None  # (n, S)
    actions: NDArray[np.float32]  # (n, K, A) that led here from the frame before; 0: not known
    times: NDArray[np.float64]  # (n) s since the start of the episode
    first: NDArray[np.bool_]  # (n) a new episode begins here, else a frame is added to it


class World:
    """A world model or simulator of your own, for Planner and evaluate.

    Give the sizes below and `observe`, `set_goal` and `rollout`, or in the place of `rollout` three
    calls that it can be made of: `step`, `save` and `restore`. Methods are called from the thread
    that plans. A slot's rewards must not depend on the other slots.
    """

    name: str = "world"
    task: str  # whose states, frames and actions it knows: "pointmaze"
    block: int  # K env steps a block
    action: int  # A numbers an env step
    state: int = 0  # S: it is shown states; 0: frames
    height: int = 0  # of the frames that it is shown
    width: int = 0
    version: str = ""  # changes when its answers do: part of what a stopped evaluation goes on from

    def open(self, slots: int) -> None:
        """There will be so many slots, 0 .. slots - 1."""

    def observe(self, slots: NDArray[np.intc], seen: Seen) -> None:
        """The present observation of these slots (n)."""
        raise NotImplementedError

    def set_goal(self, slots: NDArray[np.intc], seen: Seen) -> None:
        """The goal of these slots (n), as it would be seen."""
        raise NotImplementedError

    def rollout(self, slots: NDArray[np.intc], actions: NDArray[np.float32]) -> Any:
        """Rewards (n, samples, H) of candidates actions (n, samples, H, K, A) in [-1, 1] from the
        present state of these slots, which they keep; minus a distance to the goal, for one."""
        rewards = np.empty(actions.shape[:3], np.float32)
        for i, slot in enumerate(slots.tolist()):
            saved = self.save(slot)
            for k, candidate in enumerate(actions[i]):
                self.restore(slot, saved)
                for h, block in enumerate(candidate):
                    rewards[i, k, h] = self.step(slot, block)
            self.restore(slot, saved)
        return rewards

    def step(self, slot: int, actions: NDArray[np.float32]) -> float:
        """Plays a block (K, A) in one slot and gives the reward at its end."""
        raise NotImplementedError

    def save(self, slot: int) -> Any:
        """All that a slot's future depends on."""
        raise NotImplementedError

    def restore(self, slot: int, saved: Any) -> None:
        """Puts a slot back to what `save` gave."""
        raise NotImplementedError


# By the address of the env that C knows.
_worlds: weakref.WeakValueDictionary[int, WorldEnv] = weakref.WeakValueDictionary()
# Those that C closes, which nobody else may hold.
_lent: dict[int, WorldEnv] = {}


def _address(e: Any) -> int:
    return int(ffi.cast("uintptr_t", e))


class WorldEnv(Owned):
    """A World as an env of the library; what slots are shown goes through observe and set_goal."""

    def __init__(self, world: World, slots: int) -> None:
        super().__init__(world.name)
        for name in ("block", "action"):
            if not isinstance(getattr(world, name, None), int) or getattr(world, name) < 1:
                raise UsageError(f"{world.name}: expected {name} of at least 1")
        if slots < 1 or (not world.state and min(world.height, world.width) < 1):
            raise UsageError(f"{world.name}: expected slots, and a state or height and width")
        self.world = world
        self.slots, self.block, self.action = slots, world.block, world.action
        self.state, self.height, self.width = world.state, world.height, world.width
        self.proprio = 0
        e = ffi.new("UsEnv*", {"cls": _CLASS, "save_size": 8})
        i = e.info
        i.name, i.task = as_path(world.name)[:255], as_path(world.task)[:63]
        i.hash = _hash(f"{world.name} {world.version}")
        i.slots, i.block, i.action, i.state = slots, world.block, world.action, world.state
        i.observation, i.context, i.dt = 1, 1, 0.0
        i.height, i.width = world.height, world.width
        self.env = e
        self._pointer = e
        _worlds[_address(e)] = self
        world.open(slots)

    def lend(self) -> Any:
        """The env for C, which closes it."""
        _lent[_address(self.env)] = self
        return self.env

    def observe(self, *, pixels: Any = None, state: Any = None, action: Any = None,
                time: Any = 0.0, first: Any = True, slots: Any = None) -> None:
        """Shows the listed slots (n) a present observation, as Slots.observe."""
        ids, seen = self._seen(slots, pixels, state, action, time, first)
        self.world.observe(ids, seen)

    def set_goal(self, *, pixels: Any = None, state: Any = None, slots: Any = None) -> None:
        """Shows the listed slots their goals, as Slots.set_goal."""
        ids, seen = self._seen(slots, pixels, state, None, 0.0, True)
        self.world.set_goal(ids, seen)

    def _seen(self, slots: Any, pixels: Any, state: Any, action: Any, time: Any,
              first: Any) -> tuple[NDArray[np.intc], Seen]:
        ids = listed(slots, self.slots)
        n = len(ids)
        shape = (n, self.block, self.action)
        return ids, Seen(
            None if pixels is None
            else pictures(pixels, (n, self.height, self.width, 3), "pixels").copy(),
            None if state is None else array(state, (n, self.state), np.float64, "state").copy(),
            np.zeros(shape, np.float32) if action is None
            else array(action, shape, np.float32, "action").copy(),
            np.broadcast_to(np.asarray(time, np.float64), (n,)).copy(),
            np.broadcast_to(np.asarray(first, np.bool_), (n,)).copy(),
        )


def _hash(what: str) -> bytes:
    import hashlib

    return hashlib.sha256(what.encode()).hexdigest().encode()


def _copy(p: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """The numbers behind a pointer as an array of its own."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if count == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(ffi.buffer(ffi.cast("char*", p), count), dtype=dtype).reshape(shape).copy()


def _write(p: Any, data: NDArray[Any]) -> None:
    found = np.ascontiguousarray(data)
    ffi.memmove(p, ffi.from_buffer(found), found.nbytes)


def _answer(p: Any, given: Any, shape: tuple[int, ...], what: str) -> None:
    """Writes the actions that a callable gave, clipped to [-1, 1]."""
    found = array(given, shape, np.float32, what)
    if not np.isfinite(found).all():
        raise UsageError(f"{what}: expected finite numbers")
    _write(p, np.clip(found, -1, 1))


def _gather(w: WorldEnv, n: int, obs: Any) -> Seen:
    """A list of UsObs as arrays."""

    def rows(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any] | None:
        pointers = [getattr(obs[i], name) for i in range(n)]
        if 0 in shape or any(p == ffi.NULL for p in pointers):
            return None
        return np.stack([_copy(p, shape, dtype) for p in pointers])

    blocks = np.zeros((n, w.block, w.action), np.float32)
    for i in range(n):
        if obs[i].action != ffi.NULL:
            blocks[i] = _copy(obs[i].action, (w.block, w.action), np.float32)
    return Seen(
        rows("pixels", (w.height, w.width, 3), np.uint8),
        rows("state", (w.state,), np.float64),
        blocks,
        np.array([obs[i].time for i in range(n)]),
        np.array([bool(obs[i].first) for i in range(n)]),
    )


# What C is told where Python has an error to raise.
STOP = int(lib.US_INTERRUPTED)


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_close(e: Any) -> None:
    _lent.pop(_address(e), None)


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_reset(e: Any, mask: Any, seeds: Any) -> None:
    """Episodes begin with an observation, so a reset alone says nothing."""


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_step(e: Any, actions: Any, out: Any) -> None:
    raise UsageError(f"{text(e.info.name)}: a world is planned in, not stepped")


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_rollout(e: Any, n: int, slots: Any, samples: int, horizon: int, actions: Any,
                      rewards: Any) -> None:
    w = _worlds[_address(e)]
    shape = (n, samples, horizon)
    # What is not answered is as bad as can be.
    _write(rewards, np.full(shape, -np.inf, np.float32))
    if failed():
        return
    a = _copy(actions, (*shape, w.block, w.action), np.float32)
    found = w.world.rollout(_copy(slots, (n,), np.intc), np.clip(a, -1, 1))
    _write(rewards, array(found, shape, np.float32, f"rewards of {w.world.name}"))


@ffi.def_extern(error=STOP, onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_observe(e: Any, n: int, slots: Any, obs: Any) -> int:
    w = _worlds[_address(e)]
    w.world.observe(_copy(slots, (n,), np.intc), _gather(w, n, obs))
    return 0


@ffi.def_extern(error=STOP, onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_set_goal(e: Any, n: int, slots: Any, obs: Any) -> int:
    w = _worlds[_address(e)]
    w.world.set_goal(_copy(slots, (n,), np.intc), _gather(w, n, obs))
    return 0


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_score(e: Any, n: int, slots: Any, distance: Any, success: Any) -> None:
    if distance != ffi.NULL:
        _write(distance, np.zeros(n, np.float32))
    if success != ffi.NULL:
        _write(success, np.zeros(n, np.uint8))


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_save(e: Any, slot: int, data: Any) -> None:
    raise UsageError(f"{text(e.info.name)}: a world's slots are not saved from outside")


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_restore(e: Any, slot: int, data: Any) -> None:
    raise UsageError(f"{text(e.info.name)}: a world's slots are not restored from outside")


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_env_fork(e: Any, slot: int, n: int, targets: Any) -> None:
    raise UsageError(f"{text(e.info.name)}: a world's slots are not copied from outside")


_KIND = ffi.new("char[]", b"python")
_CLASS = ffi.new("UsEnvClass*", {"kind": _KIND} | {
    name: getattr(lib, f"us_py_env_{name}") for name in
    ("close", "reset", "step", "rollout", "observe", "set_goal", "score", "save", "restore",
     "fork")})


def _name(function: Any) -> bytes:
    """What files call a callable: letters, digits and _ of its own name."""
    found = re.sub(r"[^A-Za-z0-9_]", "", getattr(function, "__name__", ""))
    return (found or "python")[:63].encode()


# ---- planners ----


@dataclass
class Plan:
    """What a planner of yours is asked: the blocks that n slots should play next."""

    slots: NDArray[np.intc]  # (n)
    episodes: NDArray[np.uint64]  # (n) the numbers that name the episodes' random streams
    plans: NDArray[np.int64]  # (n) plans of the episode before this one
    horizon: int  # H, blocks that may be imagined
    replan: int  # blocks to give
    block: int  # K
    action: int  # A
    seed: int
    _planner: Any

    def rollout(self, actions: Any) -> NDArray[np.float32]:
        """Rewards (n, samples, H) of candidates actions (n, samples, H, K, A), any H, from the
        slots' present state, imagined in the env."""
        n = len(self.slots)
        a = array(actions, (n, -1, -1, self.block, self.action), np.float32, "actions")
        out = np.empty(a.shape[:3], np.float32)
        p = self._planner
        lib.us_env_rollout(p.env, n, ffi.from_buffer("int[]", self.slots), a.shape[1], a.shape[2],
                           ffi.from_buffer("float[]", a), ffi.from_buffer("float[]", out))
        p.candidate_steps += n * a.shape[1] * a.shape[2]
        error = failed()
        if error is not None:
            raise error
        return out

    def rng(self, i: int) -> np.random.Generator:
        """The random numbers of the i-th slot's plan: the same for any other slots beside it."""
        return np.random.default_rng([self.seed, int(self.episodes[i]), int(self.plans[i])])


PlannerFunction: TypeAlias = Callable[[Plan], Any]


class _Making(threading.local):
    """The callable whose planner this thread is making: C's create has no room for it."""

    function: PlannerFunction | None = None


_making = _Making()
_planners: dict[int, tuple[Any, PlannerFunction, dict[int, list[int]]]] = {}


@ffi.def_extern(error=STOP, onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_planner_create(env: Any, config: Any, out: Any) -> int:
    assert _making.function is not None
    p = ffi.new("UsPlanner*")
    _planners[_address(p)] = (p, _making.function, {})
    out[0] = p
    return 0


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_planner_destroy(p: Any) -> None:
    _planners.pop(_address(p), None)


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_planner_start(p: Any, n: int, slots: Any, episodes: Any) -> None:
    known = _planners[_address(p)][2]
    for i in range(n):
        known[slots[i]] = [episodes[i], 0]


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_planner_plan(p: Any, n: int, slots: Any, actions: Any) -> None:
    _, function, known = _planners[_address(p)]
    info, c = p.env.info, p.config
    shape = (n, c.replan, info.block, info.action)
    _write(actions, np.zeros(shape, np.float32))
    if failed():
        return
    ids = _copy(slots, (n,), np.intc)
    now = [known[slot] for slot in ids.tolist()]
    plan = Plan(ids, np.array([k[0] for k in now], np.uint64),
                np.array([k[1] for k in now], np.int64), c.horizon, c.replan, info.block,
                info.action, c.seed, p)
    _answer(actions, function(plan), shape, "actions of the planner")
    for k in now:
        k[1] += 1


class PlannerClass:
    """A callable as a planner of C."""

    def __init__(self, function: PlannerFunction) -> None:
        self.function = function
        self.name = ffi.new("char[]", _name(function))
        self.pointer = ffi.new("UsPlannerClass*", {"name": self.name} | {
            k: getattr(lib, f"us_py_planner_{k}") for k in
            ("create", "destroy", "start", "plan")})

    @contextmanager
    def making(self) -> Iterator[Any]:
        """Planners that C makes in this thread meanwhile are of this callable."""
        before, _making.function = _making.function, self.function
        try:
            yield self.pointer
        finally:
            _making.function = before


# ---- policies ----


class Moment:
    """What a policy of yours sees: one slot before an env step. `memory` (128 float64) is the
    episode's own, zeros at its start, and may be written; the other arrays are yours to keep."""

    def __init__(self, task: Any, m: Any, d: Any, rng: Any, memory: Any) -> None:
        self._task, self._m, self._d, self._rng = task, m, d, rng
        self.time: float = d.time  # s
        self.memory: NDArray[np.float64] = np.frombuffer(
            ffi.buffer(memory, 8 * lib.US_POLICY_MEMORY), np.float64
        )

    @property
    def state(self) -> NDArray[np.float64]:
        """(S) qpos, qvel, act."""
        m, d = self._m, self._d
        parts = ((d.qpos, m.nq), (d.qvel, m.nv), (d.act, m.na))
        return np.concatenate([_copy(p, (n,), np.float64) for p, n in parts])

    @property
    def proprio(self) -> NDArray[np.float32]:
        """(P) what the robot measures of itself."""
        out = np.zeros(self._task.proprio, np.float32)
        if out.size:
            self._task.read_proprio(self._m, self._d, ffi.from_buffer("float[]", out))
        return out

    @property
    def rng(self) -> np.random.Generator:
        """The random numbers of this episode and step, whichever threads play."""
        return np.random.default_rng([lib.us_rng_bits(self._rng) for _ in range(4)])


Policy: TypeAlias = Callable[[Moment], Any]


class PolicyTask:
    """A task whose only policy is a callable; called from the threads that collect."""

    def __init__(self, tasks: TaskList, task: str, policy: Policy) -> None:
        table = tasks.find(task)
        if table is None:
            raise UsageError(f"task: expected one of {[text(t.name) for t in tasks.tables]}, "
                             f"found {task!r}")
        self.call: Call | None = None
        self.copy = ffi.new("UsTask*")
        self.copy[0] = table[0]
        width = table.action

        def act(m: Any, d: Any, rng: Any, memory: Any, action: Any) -> None:
            _write(action, np.zeros(width, np.float32))
            if self.call is None or self.call.error is not None:
                return
            _answer(action, policy(Moment(table, m, d, rng, memory)), (width,),
                    "action of the policy")

        def fail(kind: Any, error: BaseException, trace: Any) -> None:
            if self.call is not None:
                self.call.fail(error)

        # A policy has no room for an argument in C, so it gets a function of its own.
        kind = dict(ffi.typeof("UsPolicy").fields)["act"].type
        self.act = ffi.callback(kind, act, onerror=fail)
        self.name = ffi.new("char[]", _name(policy))
        self.summary = ffi.new("char[]", b"a callable of Python")
        self.policies = ffi.new("UsPolicy[2]")
        self.policies[0].name, self.policies[0].summary = self.name, self.summary
        self.policies[0].act = self.act
        self.copy.policies = self.policies
        tasks.replace(task, self.copy)
