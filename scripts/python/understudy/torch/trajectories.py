"""Windows of recorded trajectories, for the loaders of torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray
from torch.utils import data  # type: ignore[import-not-found, unused-ignore]

from understudy._library import as_path, check, ffi, lib, text
from understudy.dataset import Dataset, files
from understudy.errors import UsageError
from understudy.hooks import hooked
from understudy.model import Encoder, Model
from understudy.task_list import tasks

HEADER = 4096  # bytes before the rows of a feature cache (datasets/features.h)
PARTS = ("pixels", "latents", "actions", "states", "proprio", "times")


Window: TypeAlias = dict[str, torch.Tensor]


class Trajectories(data.Dataset[Window]):  # type: ignore[misc, unused-ignore]
    """Windows of T frames, a block of K env steps apart, at every phase of every episode.

    data: a dataset. frames: T. block: K; 0: that of the features' model, else the task's. stride:
    env steps between the starts of windows. features: the folder of a model or an encoder, or
    "default", whose features are computed once into the cache beside the data (or in the folder
    `cache`), where training finds them too, and read from there by memory map. fast: they are kept
    as bfloat16, of half the bytes. threads: that compute them, 0: one per processor. episodes: which; None: all. parts: what a window has, of the
    following; None: all that the file has, but for pixels where there are features.

        pixels   (T, H, W, 3) uint8
        latents  (T, G, D) float32     with features
        actions  (T - 1, K, A) float32 that led from each frame to the next
        states   (T, S) float64
        proprio  (T, P) float32
        times    (T) float64           s since the start of the episode

    Any number of workers may read, forked or spawned: each process opens the file by itself.
    """

    def __init__(self, data: str | os.PathLike[str], frames: int = 4, *, block: int = 0,
                 stride: int = 1, features: str | os.PathLike[str] | None = None,
                 cache: str | os.PathLike[str] | None = None, fast: bool = False,
                 threads: int = 0, episodes: Iterable[int] | None = None,
                 parts: Iterable[str] | None = None) -> None:
        self.path, self.frames, self.stride = os.path.abspath(data), frames, stride
        self._pid = -1
        self._file: Dataset | None = None
        self._rows: NDArray[Any] | None = None
        self._features: tuple[str, tuple[int, ...], bool] | None = None
        with Dataset(self.path) as d:
            if features is not None:
                self._features, known = _features(d, features, cache, threads, fast)
                block = block or known
            if block == 0:
                task = tasks().get(d.task)
                if task is None:
                    raise UsageError(f"{self.path}: expected block=K, as {d.task} is no task here")
                block = task.block
            if min(frames, block, stride) < 1:
                raise UsageError(f"{self.path}: expected frames, block and stride of at least 1, "
                                 f"found {frames}, {block}, {stride}")
            self.block = block
            there = {"pixels": d.height, "latents": self._features, "actions": d.action,
                     "states": d.state, "proprio": d.proprio_size, "times": True}
            if parts is None:
                wanted = [k for k in PARTS if there[k] and not (k == "pixels" and self._features)]
            else:
                wanted = list(parts)
            for k in wanted:
                if not there.get(k):
                    have = ", ".join(name for name in PARTS if there[name])
                    raise UsageError(f"{self.path}: expected parts of {have}, found {k!r}")
            self.parts = tuple(wanted)
            self._place(d, episodes)

    def _place(self, d: Dataset, episodes: Iterable[int] | None) -> None:
        """Where windows start, episode by episode."""
        chosen = np.arange(d.episodes) if episodes is None else np.array(list(episodes), np.int64)
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= d.episodes):
            raise UsageError(f"{self.path}: expected episodes of 0 .. {d.episodes - 1}")
        self.span = (self.frames - 1) * self.block  # env steps from the first frame to the last
        counts = np.maximum((d.lengths[chosen] - 1 - self.span) // self.stride + 1, 0)
        self._first: NDArray[np.int64] = d.offsets[chosen].astype(np.int64)
        self._ends: NDArray[np.int64] = np.cumsum(counts, dtype=np.int64)
        if not len(self):
            longest = int(d.lengths[chosen].max()) if len(chosen) else 0
            raise UsageError(f"{self.path}: expected an episode of {self.span + 1} rows for "
                             f"{self.frames} frames, {self.block} env steps apart, found at most "
                             f"{longest}")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, index: int) -> int:
        """The row of the file that window `index` starts at."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"{self.path}: expected a window below {n}, found {index}")
        index %= n
        e = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[e - 1]) if e else 0
        return int(self._first[e]) + (index - before) * self.stride

    def __getitem__(self, index: int) -> Window:
        d, first = self._opened(), self.row(index)
        rows = slice(first, first + self.span + 1, self.block)
        found: dict[str, Any] = {}
        for name in self.parts:
            if name == "pixels":
                each = [d.pixels(r) for r in range(rows.start, rows.stop, self.block)]
                found[name] = np.concatenate(each)
            elif name == "latents":
                found[name] = self._latents(rows)
            elif name == "actions":
                led = d.actions[first : first + self.span]
                found[name] = led.reshape(self.frames - 1, self.block, -1).copy()
            else:
                found[name] = getattr(d, name)[rows].copy()
        return {name: torch.as_tensor(value) for name, value in found.items()}

    def _latents(self, rows: slice) -> torch.Tensor:
        assert self._features is not None and self._rows is not None
        found = torch.from_numpy(self._rows[rows].copy())
        return found.view(torch.bfloat16).float() if self._features[2] else found

    def _opened(self) -> Dataset:
        """The file and the features, of this process."""
        if self._pid != os.getpid() or self._file is None:
            self._file = Dataset(self.path)
            if self._features is not None:
                path, shape, bfloat = self._features
                kind = np.int16 if bfloat else np.float32
                self._rows = np.memmap(path, kind, "r", HEADER, shape)
            self._pid = os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pid": -1, "_file": None, "_rows": None}


def _features(d: Dataset, folder: str | os.PathLike[str], cache: str | os.PathLike[str] | None,
              threads: int, fast: bool) -> tuple[tuple[str, tuple[int, ...], bool], int]:
    """The finished cache of a dataset: its path, shape (N, G, D), and whether its numbers are
    bfloat16; and the block of the model that the folder holds, or 0."""
    block, path = 0, os.fspath(folder)
    if os.path.exists(os.path.join(path, "encoder", "config.json")):
        with Model(path, threads=1) as model:
            block = model.block
        path = os.path.join(path, "encoder")
    place = ffi.new("UsFeaturesPlace*")
    kept = None if cache is None else ffi.new("char[]", as_path(cache))
    if kept is not None:
        place.folder = kept
    out = ffi.new("UsFeatures**")
    # As who keeps features opens a device, which is more than fast products.
    kept_fast = lib.US_FAST_FEATURES if fast else False
    with Encoder(path, threads=threads, fast=kept_fast) as encoder:
        with files, d._lock, hooked() as call:
            e, pool = encoder._alive(), encoder._pool
            call.check(lib.us_features_open(d._alive(), e, place, pool, out))
        f = out[0]
        shape = (d.rows, lib.us_features_tokens(f), lib.us_features_dim(f))
        found = os.path.abspath(text(lib.us_features_path(f)))
        bfloat = lib.us_features_row(f, 0) == ffi.NULL
        lib.us_features_close(f)
    return (found, shape, bfloat), block
