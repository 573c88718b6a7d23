"""Datasets: trajectories in one HDF5 file, as datasets/dataset.h describes it.

The small columns are the library's own memory, which arrays read without a copy and keep alive.
HDF5 takes one thread at a time: calls here and the jobs wait for each other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy import version
from understudy._library import Owned, array, as_path, check, ffi, lib, pointer, text, view
from understudy.errors import Error, UsageError
from understudy.hooks import hooked

# Held while a call reads or writes a dataset.
files = threading.RLock()

_COLUMNS = ("lengths", "offsets", "actions", "proprio", "states", "times", "variation", "rewards",
            "terminated", "truncated")


@dataclass(frozen=True)
class Episode:
    """One episode of T rows; row t is the moment before action t, which the last row has not."""

    pixels: NDArray[np.uint8] | None  # (T, H, W, 3)
    actions: NDArray[np.float32]  # (T, A), NaN at the last row
    proprio: NDArray[np.float32]  # (T, P)
    states: NDArray[np.float64]  # (T, S)
    times: NDArray[np.float64]  # (T) s
    variation: NDArray[np.float32]  # (V) numbers of what varies between episodes


class Dataset(Owned):
    """A file of trajectories, opened to be read.

    film: without its column of actions. Opening checks everything but the frames, which are checked
    as they are read. Arrays that it gives are read-only.
    """

    def __init__(self, path: str | os.PathLike[str], *, film: bool = False) -> None:
        super().__init__(os.fspath(path))
        out = ffi.new("UsDataset**")
        with files:
            check((lib.us_dataset_open_film if film else lib.us_dataset_open)(as_path(path), out))
        self._pointer = d = self._own(out[0], _close)
        i = lib.us_dataset_info(d)
        self.path: str = os.fspath(path)
        self.task: str = text(i.task)
        self.policy: str = text(i.policy)
        self.camera: str = text(i.camera)
        self.renderer: str = text(i.renderer)
        self.seed: int = i.seed
        self.rows: int = i.rows  # N
        self.episodes: int = i.episodes  # E
        self.height: int = i.height  # 0: the file has no frames
        self.width: int = i.width
        self.action: int = i.action  # A; 0: film
        self.proprio_size: int = i.proprio  # P
        self.state: int = i.state  # S
        names = text(i.variation_names).split(",")
        self.variation_names: tuple[str, ...] = tuple(filter(None, names))
        self.dt: float = i.dt  # s an env step
        self.finished: bool = bool(i.finished)

        def column(name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
            return view(getattr(lib, f"us_dataset_{name}")(d), shape, dtype, self._handle)

        n = self.rows
        # These let go of the file at close; who keeps one of them keeps the file open.
        self.lengths: NDArray[np.int32] = column("lengths", (self.episodes,), np.int32)
        self.offsets: NDArray[np.int64] = column("offsets", (self.episodes,), np.int64)
        self.actions: NDArray[np.float32] = column("actions", (n, self.action), np.float32)
        self.proprio: NDArray[np.float32] = column("proprio", (n, self.proprio_size), np.float32)
        self.states: NDArray[np.float64] = column("states", (n, self.state), np.float64)
        self.times: NDArray[np.float64] = column("times", (n,), np.float64)
        self.variation: NDArray[np.float32] = column("variation", (n, i.variation), np.float32)
        self.rewards: NDArray[np.float32] = column("rewards", (n,), np.float32)
        self.terminated: NDArray[np.uint8] = column("terminated", (n,), np.uint8)
        self.truncated: NDArray[np.uint8] = column("truncated", (n,), np.uint8)

    def close(self) -> None:
        """Closes the file, or has it closed when the last array of its memory goes."""
        for name in _COLUMNS:
            self.__dict__.pop(name, None)
        super().close()

    def __getattr__(self, name: str) -> Any:
        if name in _COLUMNS:
            raise Error(f"{self._what}: is closed")
        raise AttributeError(name)

    def pixels(self, first: int, rows: int = 1) -> NDArray[np.uint8]:
        """Frames of `rows` rows from `first` on: (rows, H, W, 3)."""
        if first < 0 or rows < 0 or first + rows > self.rows or self.height == 0:
            raise UsageError(f"{self.path}: expected rows of 0 .. {self.rows} with frames, found "
                             f"{first} .. {first + rows} of {self.height} x {self.width}")
        out = np.empty((rows, self.height, self.width, 3), np.uint8)
        with files, self._lock:
            check(lib.us_dataset_pixels(self._alive(), first, rows, pointer(out, "uint8_t")))
        return out

    def hash(self) -> str:
        """SHA-256 over all that training reads; the first call reads the whole file."""
        out = ffi.new("char[65]")
        with files, self._lock, hooked() as call:
            call.check(lib.us_dataset_hash(self._alive(), out))
        return text(out)

    def __len__(self) -> int:
        return self.episodes

    def __getitem__(self, index: int) -> Episode:
        if not -self.episodes <= index < self.episodes:
            raise IndexError(f"{self.path}: expected an episode below {len(self)}, found {index}")
        first, rows = int(self.offsets[index]), int(self.lengths[index])
        part = slice(first, first + rows)
        return Episode(self.pixels(first, rows) if self.height else None, self.actions[part],
                       self.proprio[part], self.states[part], self.times[part],
                       self.variation[first])

    def __iter__(self) -> Iterator[Episode]:
        return (self[i] for i in range(self.episodes))

    def __repr__(self) -> str:
        return f"Dataset({self.path!r}, {self.episodes} episodes of {self.task})"


def _close(d: Any) -> None:
    with files:
        lib.us_dataset_close(d)


class DatasetWriter(Owned):
    """Writes a dataset episode by episode; what was appended outlives a killed process.

    task: what it is of. episodes, rows: room for so many episodes of at most so many rows. action,
    state, proprio: A, S, P. size: (H, W) of frames, or None. dt: s between rows. variation: V names
    of what differs between episodes. imported: another program recorded it, so no simulator
    collects it again by its seed. As a context manager it is finished at the end, also when the
    block fails.
    """

    def __init__(self, path: str | os.PathLike[str], *, task: str, episodes: int, rows: int,
                 action: int, state: int, proprio: int = 0, size: tuple[int, int] | None = None,
                 dt: float, seed: int = 0, policy: str = "", camera: str = "",
                 variation: Sequence[str] = (), imported: bool = False,
                 overwrite: bool = False) -> None:
        super().__init__(os.fspath(path))
        height, width = size or (0, 0)
        if min(episodes, rows) < 1 or min(action, state, proprio, height, width) < 0 or dt <= 0:
            raise UsageError(f"{path}: expected episodes, rows and dt above 0 and no size below it")
        info = ffi.new("UsDatasetInfo*", {
            "seed": seed, "height": height, "width": width, "action": action, "state": state,
            "proprio": proprio, "dt": dt, "variation": len(variation)})
        if isinstance(variation, str) or any(not v or "," in v for v in variation):
            raise UsageError(f"variation: expected names without commas, found {variation!r}")
        texts = {"task": task, "policy": policy, "camera": camera,
                 "version": "import" if imported else version(),
                 "variation_names": ",".join(variation)}
        for name, value in texts.items():
            room = ffi.sizeof(getattr(info, name)) - 1
            if len(as_path(value)) > room:
                raise UsageError(f"{name}: expected at most {room} bytes, found {value!r}")
            setattr(info, name, as_path(value))
        self._info, self._rows = info, rows
        out = ffi.new("UsDatasetWriter**")
        with files:
            check(lib.us_dataset_create(as_path(path), info, episodes, rows, int(overwrite), out))
        self._pointer = self._own(out[0], _abandon)

    def append(self, *, states: ArrayLike, actions: ArrayLike | None = None,
               pixels: ArrayLike | None = None, proprio: ArrayLike | None = None,
               rewards: ArrayLike | None = None, terminated: ArrayLike | None = None,
               truncated: ArrayLike | None = None, times: ArrayLike | None = None,
               variation: ArrayLike | None = None) -> None:
        """Appends an episode of T rows: states (T, S), actions (T, A) in [-1, 1] with NaN in the
        last row, or (T - 1, A) without it; pixels (T, H, W, 3), proprio (T, P), rewards (T, 0),
        terminated (T, 0), truncated (T, 1 in the last row), times (T, dt apart), variation (V)."""
        i = self._info
        s = array(states, (-1, i.state), np.float64, "states")
        n = len(s)
        if not 1 <= n <= self._rows:
            raise UsageError(f"states: expected 1 .. {self._rows} rows, found {n}")
        keep: list[Any] = []

        def part(name: str, data: Any, shape: tuple[int, ...], dtype: Any, kind: str) -> Any:
            if 0 in shape:
                return ffi.NULL
            if data is None:
                raise UsageError(f"{name}: expected the shape {shape}, found none")
            keep.append(array(data, shape, dtype, name))
            return pointer(keep[-1], kind)

        a = None if actions is None else np.asarray(actions, np.float32)
        if a is not None and a.ndim == 2 and len(a) == n - 1:
            a = np.concatenate([a, np.full((1, a.shape[1]), np.nan, np.float32)])
        v = None if variation is None else np.tile(
            array(variation, (i.variation,), np.float32, "variation"), (n, 1))
        last = np.zeros(n, np.uint8)
        last[-1] = 1
        zeros = np.zeros(n, np.float32)
        e = ffi.new("UsEpisode*", {
            "rows": n,
            "pixels": part("pixels", pixels, (n, i.height, i.width, 3), np.uint8, "uint8_t"),
            "actions": part("actions", a, (n, i.action), np.float32, "float"),
            "proprio": part("proprio", proprio, (n, i.proprio), np.float32, "float"),
            "states": part("states", s, (n, i.state), np.float64, "double"),
            "rewards": part("rewards", zeros if rewards is None else rewards, (n,), np.float32,
                            "float"),
            "terminated": part("terminated", zeros if terminated is None else terminated, (n,),
                               np.uint8, "uint8_t"),
            "truncated": part("truncated", last if truncated is None else truncated, (n,), np.uint8,
                              "uint8_t"),
            "times": part("times", np.arange(n) * i.dt if times is None else times, (n,),
                          np.float64, "double"),
            "variation": part("variation", v, (n, i.variation), np.float32, "float")})
        with files, self._lock:
            check(lib.us_dataset_append(self._alive(), e))

    def finish(self) -> None:
        """Writes the statistics and closes the file, packed to what was appended."""
        with files, self._lock:
            w = self._alive()
            assert self._handle is not None
            self._handle.destroy.clear()
            self._pointer = self._handle = None
            check(lib.us_dataset_finish(w))

    def close(self) -> None:
        """As finish; again does nothing."""
        if not self.closed:
            self.finish()


def _abandon(w: Any) -> None:
    with files:
        lib.us_dataset_finish(w)

