"""Minari's datasets: T actions between T + 1 observations are just the rows of ours."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.dataset import Dataset
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
    new_folder,
    one_line,
    reading,
    step,
)
from understudy.hooks import Watcher


def _open(source: PathLike) -> Any:
    """A dataset in a folder, or by its id among those that Minari has on this machine."""
    minari = need("minari", "minari[hdf5]")
    path = Path(source)
    for folder in (path, path / "data"):
        if (folder / "metadata.json").is_file():
            with reading(source):
                return minari.MinariDataset(folder)
    if path.exists():
        raise FormatError(f"{path}: expected a Minari dataset, a folder with metadata.json in it "
                          "or in its data, found none")
    try:
        return minari.load_dataset(os.fspath(source))
    except Exception as e:
        raise FileError(f"{os.fspath(source)}: expected a folder or an id of a dataset on this "
                        f"machine, found none: {one_line(e)}") from None


def _leaves(space: Any, at: str = "") -> dict[str, Any]:
    """The observation's parts by their names, "a/b" inside of others."""
    spaces = getattr(space, "spaces", None)
    if isinstance(spaces, dict):
        found = {}
        for name, part in spaces.items():
            found.update(_leaves(part, f"{at}/{name}" if at else name))
        return found
    return {at or "observation": space}


def _leaf(observations: Any, name: str) -> Any:
    if not isinstance(observations, dict):
        return observations
    for part in name.split("/"):
        observations = observations[part]
    return observations


def _is_image(space: Any) -> bool:
    return space.dtype == np.uint8 and space.shape is not None and len(space.shape) == 3


def import_minari(source: PathLike, out: PathLike, *, task: str, dt: float | None = None,
                  fps: float | None = None, state: str | None = None, proprio: str | None = None,
                  camera: str | None = None, bound: float | None = None,
                  low: Numbers | None = None, high: Numbers | None = None,
                  size: int | None = None, fit: str | None = None, crop: str | None = None,
                  overwrite: bool = False, progress: Watcher = None) -> Exchanged:
    """Writes a Minari dataset, a folder or an id on this machine, as one file of ours.

    task: what the trajectories are of. dt or fps: the time between rows, which the format does not
    say. state, proprio, camera: which parts of the observation these are, "a/b" for one inside
    another; by default those of these names (frames: pixels), or the only ones. bound, or low and
    high: the range of actions where the action space has none.
    """
    check_new(out, overwrite)
    d = _open(source)
    where = os.fspath(source)
    seconds = step(where, dt, fps, None)
    with reading(where):
        space, leaves = d.action_space, _leaves(d.observation_space)
        box = hasattr(space, "low") and len(space.shape or ()) == 1
    if not box:
        raise FormatError(f"{where}: expected actions of a Box with one axis, found {space}")
    with reading(where):
        lengths = [int(e.rewards.shape[0]) for e in d.iterate_episodes()]
    if not lengths:
        raise FormatError(f"{where}: expected at least one episode, found none")
    images = [k for k, s in leaves.items() if _is_image(s)]
    plain = [k for k, s in leaves.items() if k not in images and hasattr(s, "low")]
    view = choose(where, "camera", camera, images, "pixels")
    of_state = choose(where, "state", state, plain, "state")
    of_robot = choose(where, "proprio", proprio, plain) if proprio else (
        "proprio" if "proprio" in plain else None)
    scale = bounds(where, int(space.shape[0]), bound, low, high, (space.low, space.high))

    def width(name: str | None) -> int:
        return int(np.prod(leaves[name].shape)) if name else 0

    pixels = leaves[view].shape if view else None
    if pixels and pixels[2] != 3:
        raise FormatError(f"{where}: {view}: expected frames (height, width, 3), found {pixels}")
    shape = Shape(task, len(lengths), max(lengths) + 1, seconds, int(space.shape[0]),
                  width(of_state) or 1, width(of_robot), pixels[:2] if pixels else None,
                  policy=str(d.storage.metadata.get("algorithm_name") or "imported"),
                  camera=view or "")
    with Sink(os.fspath(out), overwrite, Fit(size, fit, crop), shape, progress) as sink:
        with reading(where):
            for e in d.iterate_episodes():
                _take(sink, e, f"{where}: episode {e.id}", scale, of_state, of_robot, view)
        left = [k for k in leaves if k not in (view, of_state, of_robot)]
        sink.notes += [f"not taken over: {', '.join(left)}"] if left else []
        sink.notes += [] if of_state else ["not in the file, so made here: state (0)"]
    return sink.done()


def _take(sink: Sink, e: Any, where: str, scale: Any, state: str | None, proprio: str | None,
          view: str | None) -> None:
    n = len(e.rewards)

    def rows(name: str) -> NDArray[Any]:
        x = np.asarray(_leaf(e.observations, name))
        if len(x) != n + 1:
            raise FormatError(f"{where}: {name}: expected {n + 1} observations of {n} steps, found "
                              f"{len(x)}")
        return x

    if len(e.actions) != n:
        raise FormatError(f"{where}: expected {n} actions, found {len(e.actions)}")
    if n == 0:
        raise FormatError(f"{where}: expected at least one step, found none")
    more: dict[str, Any] = {}
    if proprio:
        more["proprio"] = rows(proprio).reshape(n + 1, -1)
    if view:
        more["pixels"] = rows(view)
    # What the last step says is said of the row that it leads to as well.
    ended = np.append(e.terminations, e.terminations[-1]).astype(np.uint8)
    cut = np.zeros(n + 1, np.uint8)
    cut[-1] = not ended[-1]
    sink.append(states=rows(state).reshape(n + 1, -1) if state else np.zeros((n + 1, 1)),
                actions=scale.scale(np.asarray(e.actions).reshape(n, -1), where),
                rewards=np.append(e.rewards, 0), terminated=ended, truncated=cut, **more)


# ---- export ----


def export_minari(data: PathLike, out: PathLike, *, id: str | None = None, jpeg: bool = False,
                  overwrite: bool = False) -> Exchanged:
    """Writes a file of ours as a Minari dataset in the folder `out`.

    Its observations are a Dict of state (float64), proprio (float32) and pixels, those that the
    file has; actions are a Box of [-1, 1]. id: "NAME-vN", by default the task's name and v0; Minari
    finds the dataset by it where it lies in MINARI_DATASETS_PATH. jpeg: frames smaller, with loss.
    Times are not in the format: the step stands in the metadata as env_dt.
    """
    check_new(out, overwrite)
    minari = need("minari", "minari[hdf5]")
    gymnasium = need("gymnasium", "gymnasium")
    storage = need("minari.dataset.minari_storage", "minari[hdf5]").MinariStorage
    buffer = need("minari.data_collector", "minari[hdf5]").EpisodeBuffer
    with Dataset(data) as d:
        if d.action == 0:
            raise UsageError(f"{d.path}: expected actions, found film without")
        if d.lengths.min() < 2:
            raise UsageError(f"{d.path}: expected at least one action in every episode, found an "
                             "episode of one row")
        box = gymnasium.spaces.Box
        spaces = {"state": box(-np.inf, np.inf, (d.state,), np.float64)}
        if d.proprio_size:
            spaces["proprio"] = box(-np.inf, np.inf, (d.proprio_size,), np.float32)
        if d.height:
            spaces["pixels"] = box(0, 255, (d.height, d.width, 3), np.uint8)
        options = {"jpeg_encoding": jpeg}
        lossless = "jpeg_encoding" in inspect.signature(storage.new).parameters
        with new_folder(out, overwrite) as part:
            part.mkdir()
            try:
                to = storage.new(part / "data", gymnasium.spaces.Dict(spaces),
                                 box(-1, 1, (d.action,), np.float32),
                                 **(options if lossless else {}))
                for e in range(d.episodes):
                    to.update_episodes([_buffer(buffer, d, e)])
                to.update_metadata({
                    "dataset_id": id or f"{d.task.replace('_', '-').replace(':', '-')}-v0",
                    "minari_version": minari.__version__, "algorithm_name": d.policy,
                    "description": f"{d.task}, written by understudy", "env_dt": d.dt})
            except (OSError, ValueError, TypeError, AssertionError) as e:
                why = one_line(e)
                raise FormatError(f"{os.fspath(out)}: minari could not write it: {why}") from e
        notes = []
        if d.height:
            notes.append("frames " + ("without loss" if lossless and not jpeg else "as JPEG, with "
                                      "loss"))
        if d.variation.shape[1]:
            notes.append("not taken over: variation")
        return Exchanged(os.fspath(out), d.episodes, d.rows - d.episodes, tuple(notes))


def _buffer(buffer: Any, d: Dataset, e: int) -> Any:
    first, rows = int(d.offsets[e]), int(d.lengths[e])
    part, steps = slice(first, first + rows), slice(first, first + rows - 1)
    seen: dict[str, Any] = {"state": np.array(d.states[part])}
    if d.proprio_size:
        seen["proprio"] = np.array(d.proprio[part])
    if d.height:
        seen["pixels"] = d.pixels(first, rows)
    ended = np.array(d.terminated[steps], bool)
    cut = np.zeros(rows - 1, bool)
    ended[-1], cut[-1] = d.terminated[part][-1], d.truncated[part][-1]
    return buffer(observations=seen, actions=np.array(d.actions[steps]),
                  rewards=np.array(d.rewards[steps]), terminations=ended, truncations=cut, infos={})
