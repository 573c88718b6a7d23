"""DINO-WM's folders: states.pth and actions.pth (E, T, .), seq_lengths, and frames an episode.

Frames are obses/episode_000.pth (or .mp4), or 000000/obses.pth, (T, H, W, 3) or (T, 3, H, W). A
velocities.pth is appended to the states, as the loader there does. .pth files are read with
weights_only, pickles of lengths as lists and arrays alone.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.errors import FileError, FormatError, UsageError
from understudy.exchange.common import (
    Exchanged,
    Fit,
    Numbers,
    PathLike,
    Shape,
    Sink,
    bounds,
    check_new,
    choose,
    need,
    reading,
    step,
)
from understudy.exchange.film import Film
from understudy.hooks import Watcher

_ACTIONS = ("actions", "rel_actions", "abs_actions")


def _load(path: Path) -> NDArray[Any]:
    """A tensor of a .pth file; nothing in it is run."""
    torch = need("torch", "torch")
    if not path.is_file():
        raise FileError(f"{path}: expected a file of PyTorch, found none")
    with reading(path):
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not torch.is_tensor(found):
            found = torch.as_tensor(found)
        return np.asarray(found.numpy())


class _Plain(pickle.Unpickler):
    """A pickle of numbers: lists, and arrays of numpy."""

    _known = {(m, n) for m in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
              for n in ("ndarray", "dtype", "_reconstruct", "scalar")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"expected numbers, found {module}.{name}")
        return super().find_class(module, name)


def _lengths(folder: Path, episodes: int, rows: int) -> NDArray[np.int64]:
    pth, pkl = folder / "seq_lengths.pth", folder / "seq_lengths.pkl"
    if pth.is_file():
        found, path = _load(pth), pth
    elif pkl.is_file():
        path = pkl
        with reading(pkl), open(pkl, "rb") as f:
            found = np.asarray(_Plain(f).load())
    else:
        return np.full(episodes, rows)
    if found.shape != (episodes,) or found.dtype.kind not in "iu" or not np.all(
            (found >= 1) & (found <= rows)):
        raise FormatError(f"{path}: expected {episodes} numbers of 1 to {rows} rows, found others")
    return found.astype(np.int64)


class _Frames:
    """The frames of an episode, wherever the folder has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        where = [(folder / "obses", "episode_{:03d}.pth"), (folder / "obses", "episode_{:03d}.mp4"),
                 (folder, "{:06d}/obses.pth")]
        found = [(a, b) for a, b in where if (a / b.format(0)).is_file()]
        self.place = found[0] if found else None

    def read(self, e: int, rows: int) -> NDArray[np.uint8]:
        assert self.place is not None
        path = self.place[0] / self.place[1].format(e)
        what = f"episode {e}"
        if path.suffix == ".mp4":
            return Film(path).all(rows, what)
        x = _load(path)
        if x.dtype != np.uint8 or x.ndim != 4 or 3 not in (x.shape[1], x.shape[3]):
            raise FormatError(f"{path}: expected bytes (rows, height, width, 3) or (rows, 3, "
                              f"height, width), found {x.dtype} {x.shape}")
        if len(x) < rows:
            raise FormatError(f"{path}: expected {rows} frames as {what} has rows, found {len(x)}")
        x = x[:rows]
        return np.ascontiguousarray(x if x.shape[3] == 3 else np.moveaxis(x, 1, 3))


def _columns(text: str, width: int) -> list[int]:
    """Numbers of a list such as 0-1,5."""
    try:
        ends = [[int(x) for x in part.split("-")] for part in text.split(",")]
        found = [k for e in ends for k in range(e[0], e[-1] + 1)]
    except ValueError:
        found = []
    if not found or not all(0 <= k < width for k in found):
        raise UsageError(f"--proprio: expected numbers of the state of 0 to {width - 1} such as "
                         f"0-1,3, found {text!r}")
    return found


def import_dinowm(folder: PathLike, out: PathLike, *, task: str, dt: float | None = None,
                  fps: float | None = None, bound: float | None = None,
                  low: Numbers | None = None, high: Numbers | None = None,
                  actions: str | None = None, proprio: str | None = None,
                  size: int | None = None, fit: str | None = None, crop: str | None = None,
                  overwrite: bool = False, progress: Watcher = None) -> Exchanged:
    """Writes a folder as DINO-WM's loaders read it as one file of ours.

    task: what the trajectories are of. dt or fps: the time between rows; bound, or low and high:
    the range of actions (PushT's are in pixels): the folder says neither. actions: which of
    actions, rel_actions and abs_actions, where there are several. proprio: numbers of the state
    that the robot measures of itself, "0-1,5".
    """
    check_new(out, overwrite)
    path = Path(folder)
    if not path.is_dir():
        raise FileError(f"{path}: expected a folder of DINO-WM, found none")
    named = choose(path, "actions", actions, [a for a in _ACTIONS if (path / f"{a}.pth").is_file()])
    if named is None:
        raise FileError(f"{path}: expected actions.pth, rel_actions.pth or abs_actions.pth, found "
                        "none")
    seconds = step(path, dt, fps, None)
    played, states = _load(path / f"{named}.pth"), _load(path / "states.pth")
    if played.ndim != 3 or states.ndim < 3 or played.shape[:2] != states.shape[:2]:
        raise FormatError(f"{path}: expected states and actions (episodes, rows, numbers), found "
                          f"{states.shape} and {played.shape}")
    episodes, rows = played.shape[:2]
    states = states.reshape(episodes, rows, -1)
    if (path / "velocities.pth").is_file():
        speed = _load(path / "velocities.pth")
        if speed.shape[:2] != (episodes, rows) or speed.ndim != 3:
            raise FormatError(f"{path / 'velocities.pth'}: expected ({episodes}, {rows}, numbers), "
                              f"found {speed.shape}")
        states = np.concatenate([states, speed], 2)
    scale = bounds(path, played.shape[2], bound, low, high, None)
    lengths = _lengths(path, episodes, rows)
    robot = _columns(proprio, states.shape[2]) if proprio else []
    frames = _Frames(path)
    first = frames.read(0, int(lengths[0])) if frames.place else None
    shape = Shape(task, episodes, int(lengths.max()), seconds, played.shape[2], states.shape[2],
                  len(robot), (first.shape[1], first.shape[2]) if first is not None else None)
    with Sink(os.fspath(out), overwrite, Fit(size, fit, crop), shape, progress) as sink:
        for e in range(episodes):
            n = int(lengths[e])
            more: dict[str, Any] = {}
            if first is not None:
                more["pixels"] = frames.read(e, n) if e else first
                if more["pixels"].shape[1:3] != shape.size:
                    raise FormatError(f"{path}: episode {e}: expected frames of {shape.size}, "
                                      f"found {more['pixels'].shape[1:3]}")
            if robot:
                more["proprio"] = states[e, :n, robot].T
            sink.append(states=states[e, :n],
                        actions=scale.scale(played[e, : n - 1], f"{path}: episode {e}"), **more)
        sink.notes += [f"actions: {named}",
                       f"the actions in the last rows of {episodes} episodes are left out: no "
                       "frame follows them",
                       "not in the file, so made here: reward (0), terminated (0), truncated (1 in "
                       "last rows)"]
        if not frames.place:
            sink.notes.append(f"no frames: expected {path / 'obses'} or {path / '000000'}")
    return sink.done()
