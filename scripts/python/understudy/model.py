"""Encoders and trained world models by themselves, without an env."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy._library import (
    Handle,
    Owned,
    array,
    as_path,
    check,
    ffi,
    lib,
    pictures,
    pointer,
    text,
    view,
)
from understudy.errors import OutOfMemory, UsageError
from understudy.hooks import hooked
from understudy.slots import open_device


class Encoder(Owned):
    """A frozen encoder: "default", the one inside the library, or a folder.

    Features are (G, D) float32 numbers of a frame, before any normalisation. threads: 0: one per
    processor; they change no bit.
    """

    def __init__(self, folder: str | os.PathLike[str] = "default", *, threads: int = 0,
                 device: str | None = None, fast: bool = False) -> None:
        super().__init__(os.fspath(folder))
        place = self._own(open_device(device, fast), lib.us_device_close)
        out = ffi.new("UsEncoder**")
        check(lib.us_encoder_open(as_path(folder), place, out))
        self._begin(self._own(out[0], lib.us_encoder_destroy), threads)

    def _begin(self, encoder: Any, threads: int) -> None:
        self._pointer = encoder
        self._pool = self._own(lib.us_pool_create(threads), lib.us_pool_destroy)
        i = lib.us_encoder_info(encoder)
        self.kind: str = text(i.kind)
        self.tokens: int = i.tokens  # G
        self.dim: int = i.dim  # D
        self.height: int = i.height  # of frames; 0 where it reads states
        self.width: int = i.width
        self.state: int = i.state  # S where it reads states, else 0
        self.decodes: bool = bool(i.decoder)
        self.hash: str = text(i.hash)

    def encode(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Features (n, G, D) of frames (n, H, W, 3) uint8 or, of an encoder of states, (n, S).
        Ctrl-C ends it."""
        if self.state:
            x = array(frames, (-1, self.state), np.float64, "states")
            pixels, states = ffi.NULL, pointer(x, "double")
        else:
            x = pictures(frames, (-1, self.height, self.width, 3), "frames")
            pixels, states = pointer(x, "uint8_t"), ffi.NULL
        out = np.empty((len(x), self.tokens, self.dim), np.float32)
        with self._lock, hooked() as call:
            call.check(lib.us_encoder_encode(self._alive(), len(x), pixels, states,
                                             pointer(out, "float"), self._pool))
        return out

    def decode(self, features: ArrayLike) -> NDArray[np.uint8]:
        """Pictures (n, H, W, 3) of features (n, G, D), for people, where `decodes`."""
        x = array(features, (-1, self.tokens, self.dim), np.float32, "features")
        if not self.decodes:
            raise UsageError(f"{self._what}: expected an encoder with a decoder")
        out = np.empty((len(x), self.height, self.width, 3), np.uint8)
        with self._lock, hooked() as call:
            call.check(lib.us_encoder_decode(self._alive(), len(x), pointer(x, "float"),
                                             pointer(out, "uint8_t"), self._pool))
        return out


class _ModelEncoder(Encoder):
    """The encoder of a model, which stays the model's."""

    def __init__(self, encoder: Any, owner: Handle | None, threads: int) -> None:
        Owned.__init__(self, "the model's encoder")
        self._own(owner, lambda _: None)
        self._begin(encoder, threads)


class Model(Owned):
    """A trained world model in its folder.

    For episodes, rewards and planning there is `Slots("model:FOLDER")`; here are its parts:
    `encoder`, `contexts` (n, C, G, D), the starts that its folder knows, and `rollout`.
    """

    def __init__(self, folder: str | os.PathLike[str], *, threads: int = 0,
                 device: str | None = None, fast: bool = False) -> None:
        super().__init__(os.fspath(folder))
        self._device = self._own(open_device(device, fast), lib.us_device_close)
        out = ffi.new("UsModel**")
        check(lib.us_model_open(as_path(folder), self._device, out))
        self._pointer = m = self._own(out[0], lib.us_model_destroy)
        self._world = w = lib.us_model_world(m)
        i = lib.us_model_info(m)
        self.task: str = text(i.task)
        self.hash: str = text(i.hash)
        self.dt: float = i.dt  # s an env step
        self.block: int = i.block  # K
        self.action: int = i.action  # A
        self.context: int = w.context  # C, frames that a prediction sees
        self.past: int = w.past  # blocks of actions between them that it reads
        self.tokens: int = w.grid_h * w.grid_w  # G
        self.dim: int = w.dim  # D
        shape = (i.contexts, self.context, self.tokens, self.dim)
        self.contexts: NDArray[np.float32] = view(
            lib.us_model_contexts(m), shape, np.float32, self._handle)
        past = (i.contexts, self.past, self.block, self.action)
        self.pasts: NDArray[np.float32] = view(lib.us_model_past(m), past, np.float32, self._handle)
        self.encoder: Encoder = _ModelEncoder(lib.us_model_encoder(m), self._handle, threads)

    def rollout(self, contexts: ArrayLike, actions: ArrayLike,
                pasts: ArrayLike | None = None) -> NDArray[np.float32]:
        """What it imagines: features (n, samples, H, G, D) behind contexts (n, C, G, D), oldest
        first and a block apart, under actions (n, samples, H, K, A), clipped to [-1, 1]; pasts (n,
        past, K, A) led through the contexts, and are taken as 0 where they are not known."""
        c = array(contexts, (-1, self.context, self.tokens, self.dim), np.float32, "contexts")
        n = len(c)
        a = array(actions, (n, -1, -1, self.block, self.action), np.float32, "actions")
        samples, horizon = a.shape[1:3]
        shape = (n, self.past, self.block, self.action)
        p = array(np.zeros(shape) if pasts is None else pasts, shape, np.float32, "pasts")
        one, count = self.tokens * self.dim, n * samples
        if count == 0 or horizon == 0:
            return np.zeros((n, samples, horizon, self.tokens, self.dim), np.float32)
        frames = np.empty((horizon, count, one), np.float32)
        with self._lock, hooked() as call:
            self._alive()
            run = _Rollout(self._device, self._world)
            try:
                run.play(c, a, p, samples, self.dt * self.block, frames)
            finally:
                run.free()
            call.check(lib.us_device_check(self._device, as_path(self._what)))
        found = frames.reshape(horizon, n, samples, self.tokens, self.dim)
        return np.ascontiguousarray(np.moveaxis(found, 0, 2))


class _Rollout:
    """Memory of the device for one rollout of a world model."""

    def __init__(self, device: Any, world: Any) -> None:
        self.device, self.world, self.cls = device, world, world.cls
        self.taken: list[Any] = []
        self.work = ffi.NULL

    def _take(self, count: int, data: NDArray[np.float32] | None = None) -> Any:
        x = lib.us_ops_alloc(self.device, max(count, 1))
        if x == ffi.NULL:
            raise OutOfMemory("out of memory for a rollout")
        self.taken.append(x)
        if data is not None and data.size:
            lib.us_ops_put(self.device, x, pointer(data, "float"), data.size)
        return x

    def play(self, c: NDArray[Any], a: NDArray[Any], p: NDArray[Any], samples: int, step: float,
             frames: NDArray[Any]) -> None:
        """Fills frames (H, count, G D), raw features."""
        w, n, horizon = self.world, len(c), a.shape[2]
        rows = c.size // w.dim
        contexts = self._take(c.size, c)
        self.cls.normalise(w, rows, contexts, contexts)
        actions, pasts = self._take(a.size, a), self._take(p.size, p)
        caches, out = self._take(n * w.cache), self._take(frames.size)
        # Tiles of candidates are the kind's own; a wide one takes all slots in one call.
        self.work = self.cls.work_create(w, n * samples, horizon)
        if self.work == ffi.NULL:
            raise OutOfMemory("out of memory for a rollout")
        times = np.tile((np.arange(w.context) + 1.0 - w.context) * step, (n, 1))
        self.cls.observe(w, self.work, n, ffi.NULL, contexts, pointer(times, "double"), caches)
        r = ffi.new("UsRollout*", {
            "slots": n, "samples": samples, "contexts": contexts, "caches": caches,
            "pasts": pasts if w.past else ffi.NULL, "step": step, "horizon": horizon,
            "actions": actions, "frames": out, "clip": 1})
        self.cls.rollout(w, self.work, r)
        self.cls.denormalise(w, frames.size // w.dim, out, out)
        lib.us_ops_get(self.device, out, pointer(frames, "float"), frames.size)

    def free(self) -> None:
        if self.work != ffi.NULL:
            self.cls.work_destroy(self.work)
        for x in self.taken:
            lib.us_ops_free(self.device, x)
