"""Slots: the library's own env (env/env.h), N episodes side by side, without Gymnasium's rules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy._gl import prepare
from understudy._library import (
    Owned,
    array,
    as_path,
    check,
    ffi,
    lib,
    listed,
    pictures,
    pointer,
    text,
)
from understudy.errors import UsageError
from understudy.hooks import hooked
from understudy.task_list import TaskList


class Slots(Owned):
    """N episodes of `sim:<task>`, `sim:mjcf:FILE.xml` or `model:<folder>`.

    slots: N. block: K env steps a block; 0: the task's or the model's own. height, width: pixels,
    0: its own. limit: env steps after which an episode is truncated; 0: never. threads: 0: one per
    processor. gl: what renders, "software", "gpu" or "gpu:N". device, fast: where a model computes.
    pixels: rendering will be asked for, so that a missing OpenGL is an error here. goals: reset
    draws one too. encoder: of a simulator's latents, "default", a folder, or that of a model.

    Arrays have a row for each slot asked for. One thread at a time is inside; others wait.
    """

    def __init__(self, name: str, slots: int = 1, *, block: int = 0, height: int = 0,
                 width: int = 0, limit: int = 0, threads: int = 1, pixels: bool = False,
                 gl: str | None = None, device: str | None = None, fast: bool = False,
                 goals: bool = False, encoder: str | os.PathLike[str] | None = None) -> None:
        super().__init__(name)
        kind, _, what = name.partition(":")
        if kind == "sim":
            prepare()
        self._tasks = TaskList(what if kind == "sim" else None)
        opened = f"sim:{self._tasks.names[0]}" if kind == "sim" else name
        self._own(self._tasks, lambda _: None)
        pool = lib.us_pool_create(threads)
        if pool == ffi.NULL:
            raise UsageError(f"{name}: expected at least 0 threads that there is memory for, "
                             f"found {threads}")
        self._own(pool, lib.us_pool_destroy)
        keep: list[Any] = []
        c = ffi.new("UsEnvConfig*", {
            "slots": slots, "block": block, "height": height, "width": width, "pixels": int(pixels),
            "limit": limit, "pool": pool, "gl": _text(gl, keep), "goals": int(goals),
            "encoder": _text(encoder, keep)})
        if kind == "model" or encoder is not None:
            c.device = self._own(open_device(device, fast), lib.us_device_close)
        out = ffi.new("UsEnv**")
        check(lib.us_env_open(as_path(opened), self._tasks.pointer, c, out))
        self._pointer = self._own(out[0], lib.us_env_close)
        i = lib.us_env_info(self._pointer)
        self.name: str = name
        self.task: str = text(i.task)
        self.is_sim: bool = bool(lib.us_sim_is(self._pointer))
        self.slots: int = i.slots  # N
        self.block: int = i.block  # K
        self.action: int = i.action  # A
        self.proprio: int = i.proprio  # P
        self.state: int = i.state  # S
        self.observation: int = i.observation  # O
        self.height: int = i.height
        self.width: int = i.width
        self.context: int = i.context  # frames that a next step depends on
        self.dt: float = i.dt  # s an env step
        self.hash: str = text(i.hash)
        self.tokens: int = i.tokens  # G of latents; 0: it has none
        self.dim: int = i.dim  # D
        self.judges: bool = bool(i.judges)  # whether success is told
        self._all = np.arange(self.slots, dtype=np.intc)

    def _listed(self, slots: ArrayLike | None) -> NDArray[np.intc]:
        return self._all if slots is None else listed(slots, self.slots)

    def reset(self, seeds: ArrayLike, mask: ArrayLike | None = None) -> None:
        """Starts an episode in every slot whose mask is set, drawn from its seed: seeds (N) of 0 ..
        2^64 - 1, mask (N). Clears their goals."""
        s = array(seeds, (self.slots,), np.uint64, "seeds")
        m = None if mask is None else array(mask, (self.slots,), np.uint8, "mask")
        with self._lock:
            lib.us_env_reset(self._alive(), ffi.NULL if m is None else pointer(m, "uint8_t"),
                             pointer(s, "uint64_t"))

    def step(self, actions: ArrayLike) -> dict[str, NDArray[Any]]:
        """Plays one block in every slot: actions (N, K, A), clipped to [-1, 1]. Gives observation
        (N, O), reward (N), terminated (N), truncated (N) and success (N, K), what the rule said
        after each env step."""
        a = array(actions, (self.slots, self.block, self.action), np.float32, "actions")
        n = self.slots
        found: dict[str, NDArray[Any]] = {
            "observation": np.empty((n, self.observation), np.float32),
            "reward": np.empty(n, np.float32),
            "terminated": np.empty(n, np.uint8),
            "truncated": np.empty(n, np.uint8),
            "success": np.zeros((n, self.block), np.uint8),
        }
        with self._lock:
            lib.us_env_step(self._alive(), pointer(a, "float"), step_struct(found))
        for key in ("terminated", "truncated", "success"):
            found[key] = found[key].view(np.bool_)
        return found

    def rollout(self, actions: ArrayLike, slots: ArrayLike | None = None) -> NDArray[np.float32]:
        """The rewards (n, samples, H) of candidates from the present state of the listed slots,
        which keep it: actions (n, samples, H, K, A). Ctrl-C ends it."""
        ids = self._listed(slots)
        a = array(actions, (len(ids), -1, -1, self.block, self.action), np.float32, "actions")
        rewards = np.empty(a.shape[:3], np.float32)
        with self._lock, hooked() as call:
            lib.us_env_rollout(self._alive(), len(ids), pointer(ids, "int"), a.shape[1], a.shape[2],
                               pointer(a, "float"), pointer(rewards, "float"))
            call.check(0)
        return rewards

    def observe(self, *, pixels: ArrayLike | None = None, state: ArrayLike | None = None,
                proprio: ArrayLike | None = None, action: ArrayLike | None = None,
                time: ArrayLike = 0.0, first: ArrayLike = True, latent: ArrayLike | None = None,
                slots: ArrayLike | None = None) -> None:
        """Gives the listed slots (n) a present observation: pixels (n, H, W, 3), state (n, S),
        latent (n, G, D), proprio (n, P), action (n, K, A) that led there, time (n) s; first (n)
        starts a new context."""
        ids = self._listed(slots)
        parts = Observations(self, len(ids), pixels, state, proprio, action, time, first, latent)
        with self._lock:
            check(lib.us_env_observe(self._alive(), len(ids), pointer(ids, "int"), parts.pointer))

    def set_goal(self, *, pixels: ArrayLike | None = None, state: ArrayLike | None = None,
                 latent: ArrayLike | None = None, slots: ArrayLike | None = None) -> None:
        """Gives the listed slots (n) a goal: pixels (n, H, W, 3), state (n, S) or latent (n, G, D),
        whichever it takes."""
        ids = self._listed(slots)
        parts = Observations(self, len(ids), pixels, state, latent=latent)
        with self._lock:
            check(lib.us_env_set_goal(self._alive(), len(ids), pointer(ids, "int"), parts.pointer))

    def look(self, parts: Sequence[str] = ("state",),
             slots: ArrayLike | None = None) -> dict[str, NDArray[Any]]:
        """The asked-for parts of the present observation of the listed slots: of pixels, state,
        proprio, latent; and time (n) s."""
        ids = self._listed(slots)
        n = len(ids)
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "pixels": ((n, self.height, self.width, 3), np.uint8),
            "state": ((n, self.state), np.float64),
            "proprio": ((n, self.proprio), np.float32),
            "latent": ((n, self.tokens, self.dim), np.float32),
        }
        unknown = set(parts) - set(shapes)
        if unknown:
            raise UsageError(f"look: expected some of {list(shapes)}, found {sorted(unknown)}")
        found = {name: np.empty(*shapes[name]) for name in parts}
        obs = Observations(self, n, **{k: v for k, v in found.items()}, exact=True)
        with self._lock:
            check(lib.us_env_look(self._alive(), n, pointer(ids, "int"), obs.pointer))
        found["time"] = np.array([obs.pointer[i].time for i in range(n)])
        return found

    def score(self, slots: ArrayLike | None = None
              ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The distance to the goal (n) and whether the success rule holds (n)."""
        ids = self._listed(slots)
        distance, success = np.empty(len(ids), np.float32), np.zeros(len(ids), np.uint8)
        with self._lock:
            lib.us_env_score(self._alive(), len(ids), pointer(ids, "int"),
                             pointer(distance, "float"), pointer(success, "uint8_t"))
        return distance, success.view(np.bool_)

    def render(self, slots: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Frames of the listed slots (n, H, W, 3), drawn in this env's threads."""
        ids = self._listed(slots)
        pixels = np.empty((len(ids), self.height, self.width, 3), np.uint8)
        with self._lock:
            check(lib.us_env_render(self._alive(), len(ids), pointer(ids, "int"),
                                    pointer(pixels, "uint8_t")))
        return pixels

    def save(self, slot: int) -> bytes:
        """All that a slot's future depends on, for restore of an env of the same kind."""
        self._listed([slot])
        with self._lock:
            size = lib.us_env_save_size(self._alive())
            data = ffi.new("char[]", size)
            lib.us_env_save(self._pointer, slot, data)
        return bytes(ffi.buffer(data, size))

    def restore(self, slot: int, data: bytes) -> None:
        """Puts a slot back to what save gave."""
        self._listed([slot])
        with self._lock:
            size = lib.us_env_save_size(self._alive())
            if len(data) != size:
                raise UsageError(f"{self.name}: expected {size} bytes of a slot, found {len(data)}")
            lib.us_env_restore(self._pointer, slot, ffi.from_buffer(data))

    def fork(self, slot: int, targets: ArrayLike) -> None:
        """Copies one slot into others: targets (n)."""
        self._listed([slot])
        ids = self._listed(targets)
        with self._lock:
            lib.us_env_fork(self._alive(), slot, len(ids), pointer(ids, "int"))

    def measure(self, states: ArrayLike) -> NDArray[np.float64]:
        """A simulator's measures (n, M), what goals are compared by, of states (n, S)."""
        s = array(states, (-1, self.state), np.float64, "states")
        with self._lock:
            e = self._alive()
            self._need_sim("measures")
            out = np.empty((len(s), lib.us_sim_task(e).measure), np.float64)
            check(lib.us_sim_measure(e, len(s), pointer(s, "double"), pointer(out, "double")))
        return out

    def distance(self, measures: ArrayLike, goals: ArrayLike) -> NDArray[np.float64]:
        """The task's distance of pairs of measures (n, M)."""
        with self._lock:
            e = self._alive()
            self._need_sim("measures")
            t, m = lib.us_sim_task(e), lib.us_sim_model(e)
            a = array(measures, (-1, t.measure), np.float64, "measures")
            b = array(goals, (len(a), t.measure), np.float64, "goals")
            pa, pb = ffi.cast("double*", a.ctypes.data), ffi.cast("double*", b.ctypes.data)
            of = t.distance
            return np.array([of(m, pa + i * t.measure, pb + i * t.measure) for i in range(len(a))])

    def error(self) -> str | None:
        """The engine's first error since its slot was reset, one line; None: there is none."""
        with self._lock:
            found = lib.us_env_error(self._alive())
            return None if found == ffi.NULL else text(found.text)

    def _need_sim(self, what: str) -> None:
        if not self.is_sim:
            raise UsageError(f"{self.name}: expected a simulator, as a model has no {what}")


def _text(value: str | os.PathLike[str] | None, keep: list[Any]) -> Any:
    """A text for a struct, kept alive in `keep`; NULL for None."""
    if value is None:
        return ffi.NULL
    keep.append(ffi.new("char[]", as_path(value)))
    return keep[-1]


def open_device(name: str | None, fast: bool = False) -> Any:
    """The device of a name, for its opener to close."""
    out = ffi.new("UsDevice**")
    check(lib.us_device_open(ffi.NULL if name is None else as_path(name), int(fast), out))
    return out[0]


def step_struct(parts: dict[str, NDArray[Any]]) -> Any:
    """A UsStep that points into arrays."""
    kinds = {"observation": "float", "reward": "float"}
    return ffi.new("UsStep*", {k: pointer(v, kinds.get(k, "uint8_t")) for k, v in parts.items()})


class Observations:
    """A list of UsObs whose pointers lie in arrays, which it keeps."""

    def __init__(self, env: Any, n: int, pixels: ArrayLike | None = None,
                 state: ArrayLike | None = None, proprio: ArrayLike | None = None,
                 action: ArrayLike | None = None, time: ArrayLike = 0.0, first: ArrayLike = True,
                 latent: ArrayLike | None = None, exact: bool = False) -> None:
        self.pointer = ffi.new("UsObs[]", max(n, 1))
        self.keep: list[Any] = []
        rows: tuple[tuple[str, str, Any, ArrayLike | None, tuple[int, ...]], ...] = (
            ("pixels", "uint8_t", np.uint8, pixels, (env.height, env.width, 3)),
            ("state", "double", np.float64, state, (env.state,)),
            ("proprio", "float", np.float32, proprio, (env.proprio,)),
            ("action", "float", np.float32, action, (env.block, env.action)),
            ("latent", "float", np.float32, latent, (env.tokens, env.dim)),
        )
        for name, kind, dtype, data, shape in rows:
            if data is None:
                continue
            if name == "pixels":
                found = pictures(data, (n, *shape), name)
            else:
                found = array(data, (n, *shape), dtype, name)
            assert not exact or found is data
            self.keep.append(found)
            base = pointer(found, kind)
            size = int(np.prod(shape))
            for i in range(n):
                setattr(self.pointer[i], name, ffi.cast(f"{kind}*", base) + i * size)
        times = np.broadcast_to(np.asarray(time, np.float64), (n,))
        firsts = np.broadcast_to(np.asarray(first, np.bool_), (n,))
        for i in range(n):
            self.pointer[i].time = times[i]
            self.pointer[i].first = int(firsts[i])
