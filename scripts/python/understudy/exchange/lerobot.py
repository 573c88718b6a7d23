"""LeRobot's datasets: reads v2.1 and v3.0, writes the version of the package that is installed.

v2.1 keeps an episode in a parquet file and a film of each camera, v3.0 many episodes in one of
each, where meta/episodes says which part is whose. Both are read here through pyarrow and PyAV,
which LeRobot brings: its own loader reads one of the two versions, and a frame at a time.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    inside,
    need,
    new_folder,
    one_line,
    reading,
    step,
)
from understudy.exchange.film import Film
from understudy.hooks import Watcher

# Columns that say where a row stands, which our files have as well.
_COUNTERS = {"timestamp", "frame_index", "episode_index", "index", "task_index"}
_STATE, _ENVIRONMENT = "observation.state", "observation.environment_state"
_DATA = {"v2.1": "data/chunk-{chunk:03d}/episode_{episode:06d}.parquet",
         "v3.0": "data/chunk-{chunk:03d}/file-{file:03d}.parquet"}
_VIDEO = {"v2.1": "videos/chunk-{chunk:03d}/{key}/episode_{episode:06d}.mp4",
          "v3.0": "videos/{key}/chunk-{chunk:03d}/file-{file:03d}.mp4"}


@dataclass(frozen=True)
class _Part:
    """Where an episode lies."""

    index: int
    rows: int
    data: Path
    films: dict[str, tuple[Path, float]]  # by camera: the file, and s at which it begins there
    tasks: tuple[str, ...]


@dataclass
class _Folder:
    """A dataset's folder: what its info says, and its episodes."""

    path: Path
    version: str = ""
    fps: float = 0
    features: dict[str, Any] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        info = self.path / "meta" / "info.json"
        if not self.path.is_dir():
            raise FileError(f"{self.path}: expected the folder of a LeRobot dataset, found none")
        with reading(info):
            said = json.loads(info.read_text())
            self.version = str(said.get("codebase_version"))
            if self.version not in _DATA:
                raise FormatError(f"{info}: expected a dataset of version v2.1 or v3.0, found "
                                  f"{self.version}")
            self.fps = float(said["fps"])
            self.features = dict(said["features"])
            self.parts = list(self._old(said) if self.version == "v2.1" else self._new())
        if not self.parts:
            raise FormatError(f"{self.path}: expected at least one episode, found none")
        if not self.fps > 0:
            raise FormatError(f"{info}: expected fps above 0, found {self.fps:g}")

    def cameras(self) -> list[str]:
        return [k for k, f in self.features.items() if f["dtype"] in ("video", "image")]

    def films(self) -> list[str]:
        return [k for k, f in self.features.items() if f["dtype"] == "video"]

    def _old(self, said: dict[str, Any]) -> Iterator[_Part]:
        path = self.path / "meta" / "episodes.jsonl"
        with reading(path):
            lines = [json.loads(x) for x in path.read_text().splitlines() if x.strip()]
        for line in lines:
            e = int(line["episode_index"])
            at = {"chunk": e // int(said.get("chunks_size", 1000)), "episode": e}
            films = {k: (inside(self.path, _VIDEO["v2.1"].format(key=k, **at)), 0.0)
                     for k in self.films()}
            yield _Part(e, int(line["length"]), self.path / _DATA["v2.1"].format(**at), films,
                        tuple(line.get("tasks", ())))

    def _new(self) -> Iterator[_Part]:
        parquet = need("pyarrow.parquet", "pyarrow")
        folder = self.path / "meta" / "episodes"
        files = sorted(folder.glob("*/*.parquet"))
        if not files:
            raise FileError(f"{folder}: expected parquet files of its episodes, found none")
        for path in files:
            with reading(path):
                named = [n for n in parquet.read_schema(path).names if not n.startswith("stats/")]
                rows = parquet.read_table(path, columns=named).to_pylist()
            for r in rows:
                where = {"chunk": int(r["data/chunk_index"]), "file": int(r["data/file_index"])}
                films = {}
                for k in self.films():
                    at = {"chunk": int(r[f"videos/{k}/chunk_index"]),
                          "file": int(r[f"videos/{k}/file_index"])}
                    films[k] = (inside(self.path, _VIDEO["v3.0"].format(key=k, **at)),
                                float(r[f"videos/{k}/from_timestamp"]))
                yield _Part(int(r["episode_index"]), int(r["length"]),
                            self.path / _DATA["v3.0"].format(**where), films,
                            tuple(r.get("tasks") or ()))


class _Tables:
    """Columns of one episode after the other; a file is read once as long as they are in order."""

    def __init__(self, folder: _Folder, columns: list[str]) -> None:
        self.folder = folder
        self.columns = columns
        self._path: Path | None = None
        self._table: Any = None
        self._episodes: NDArray[np.int64] = np.empty(0, np.int64)

    def read(self, part: _Part) -> Any:
        if part.data != self._path:
            parquet = need("pyarrow.parquet", "pyarrow")
            if not part.data.is_file():
                raise FileError(f"{part.data}: expected the rows of episode {part.index}, found no "
                                "file")
            with reading(part.data):
                self._table = parquet.read_table(part.data, columns=self.columns)
                self._episodes = self._table["episode_index"].to_numpy()
            self._path = part.data
        rows = np.flatnonzero(self._episodes == part.index)
        if len(rows) != part.rows or (len(rows) and rows[-1] - rows[0] + 1 != len(rows)):
            raise FormatError(f"{part.data}: expected {part.rows} rows of episode {part.index}, as "
                              f"meta says, found {len(rows)}")
        if not len(rows):
            raise FormatError(f"{part.data}: expected rows of episode {part.index}, found none")
        return self._table.slice(int(rows[0]), part.rows)


def _numbers(table: Any, name: str, where: str) -> NDArray[Any]:
    """A column as numbers (T, width)."""
    column = table[name].combine_chunks()
    rows = len(column)
    while hasattr(column, "flatten") and str(column.type).split("<")[0].split("[")[0] in (
            "list", "large_list", "fixed_size_list"):
        column = column.flatten()
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    if values.dtype == object or rows == 0 or values.size % rows:
        raise FormatError(f"{where}: {name}: expected as many numbers in every row")
    return values.reshape(rows, -1)


def _pictures(table: Any, name: str, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """A column of encoded pictures as frames (T, H, W, 3)."""
    image = need("PIL.Image", "pillow")
    out = np.empty((len(table), *size, 3), np.uint8)
    for t, cell in enumerate(table[name].to_pylist()):
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not data:
            raise FormatError(f"{where}, row {t}: {name}: expected a picture, found none")
        with reading(f"{where}, row {t}: {name}"), image.open(io.BytesIO(data)) as picture:
            frame = np.asarray(picture.convert("RGB"))
        if frame.shape != out.shape[1:]:
            raise FormatError(f"{where}, row {t}: {name}: expected {size[1]} x {size[0]} as meta "
                              f"says, found {frame.shape[1]} x {frame.shape[0]}")
        out[t] = frame
    return out


def _size(folder: _Folder, camera: str) -> tuple[int, int]:
    feature = folder.features[camera]
    shape, names = list(feature["shape"]), list(feature.get("names") or ())
    if len(shape) != 3:
        raise FormatError(f"{folder.path}: {camera}: expected (height, width, colours), found "
                          f"{shape}")
    # Of some recorders the colours come first.
    first = names[:1] in (["channels"], ["channel"], ["c"]) or (shape[2] != 3 and shape[0] == 3)
    return (shape[1], shape[2]) if first else (shape[0], shape[1])


def _times(table: Any, fps: float, where: str) -> NDArray[np.float64]:
    """Seconds of an episode's rows: exact steps where the file's single precision hides them."""
    found = np.asarray(_numbers(table, "timestamp", where)[:, 0], np.float64)
    found = np.asarray(found - found[0], np.float64)
    even = np.asarray(np.arange(len(found)) * (1 / fps), np.float64)
    return even if np.all(np.abs(found - even) < 1e-4) else found


def _width(feature: dict[str, Any]) -> int:
    return int(np.prod(feature["shape"])) if feature["shape"] else 1


def _statistics(folder: _Folder) -> tuple[Any, Any]:
    path = folder.path / "meta" / "stats.json"
    if folder.version == "v2.1":
        raise UsageError(f"{folder.path}: --bounds-of-data: v2.1 has no statistics of the whole; "
                         "expected --bound (or --low and --high)")
    with reading(path):
        said = json.loads(path.read_text())["action"]
    low, high = np.asarray(said["min"], np.float64), np.asarray(said["max"], np.float64)
    # What never moves has no range of its own.
    return np.where(low < high, low, low - 1), np.where(low < high, high, low + 1)


def import_lerobot(folder: PathLike, out: PathLike, *, task: str, camera: str | None = None,
                   state: str | None = None, bound: float | None = None,
                   low: Numbers | None = None, high: Numbers | None = None,
                   bounds_of_data: bool = False, size: int | None = None, fit: str | None = None,
                   crop: str | None = None, overwrite: bool = False,
                   progress: Watcher = None) -> Exchanged:
    """Writes a LeRobot dataset of version v2.1 or v3.0 as one file of ours.

    task: what the trajectories are of. camera: the key of the frames, where there are several.
    state: the column of states; by default that of our own exports, or observation.state, which
    becomes the proprioception as well. bound, or low and high (one number or A): the range of
    actions, which the format does not say; bounds_of_data: from the least to the largest that the
    data has. Rows have the file's times, 1 / fps apart.
    """
    check_new(out, overwrite)
    d = _Folder(Path(folder))
    features = d.features
    if "action" not in features:
        raise FormatError(f"{d.path}: expected a feature action, found {', '.join(features)}")
    view = choose(d.path, "camera", camera, d.cameras())
    plain = [k for k in features if k not in _COUNTERS and k.startswith("observation.")
             and k not in d.cameras()]
    own = _ENVIRONMENT if _ENVIRONMENT in plain else _STATE
    of_state = choose(d.path, "state", state, plain, own)
    of_robot = _STATE if _STATE in plain else None
    width = _width(features["action"])
    told = _statistics(d) if bounds_of_data else None
    scale = bounds(d.path, width, bound, low, high, told)
    # The columns that are read, and those that are not.
    optional = [k for k in ("next.reward", "next.terminated") if k in features]
    pictures = [view] if view in d.cameras() and view not in d.films() else []
    columns = ["action", "timestamp", "episode_index", *optional, *pictures,
               *{k for k in (of_state, of_robot) if k}]
    left = [k for k in features if k not in columns and k not in _COUNTERS and k != view
            and k != "next.done"]
    tables = _Tables(d, columns)
    shape = Shape(task, len(d.parts), max(p.rows for p in d.parts),
                  step(d.path, None, None, 1 / d.fps), width,
                  _width(features[of_state]) if of_state else 1,
                  _width(features[of_robot]) if of_robot else 0,
                  _size(d, view) if view else None,
                  camera=view.removeprefix("observation.images.") if view else "")
    films: dict[Path, Film] = {}
    with Sink(os.fspath(out), overwrite, Fit(size, fit, crop), shape, progress) as sink:
        for part in d.parts:
            what = f"episode {part.index}"
            where = f"{part.data}: {what}"
            table = tables.read(part)
            with reading(where):
                actions = scale.scale(_numbers(table, "action", where)[:-1], f"{where}")
                states = (_numbers(table, of_state, where) if of_state
                          else np.zeros((part.rows, 1)))
                times = _times(table, d.fps, where)
                more: dict[str, Any] = {"times": times}
                if of_robot:
                    more["proprio"] = _numbers(table, of_robot, where)
                if "next.reward" in columns:
                    more["rewards"] = _numbers(table, "next.reward", where)[:, 0]
                if "next.terminated" in columns:
                    ended = _numbers(table, "next.terminated", where)[:, 0].astype(np.uint8)
                    last = np.zeros(part.rows, np.uint8)
                    last[-1] = not ended[-1]
                    more.update(terminated=ended, truncated=last)
            if view in part.films:
                path, begin = part.films[view]
                film = films.get(path) or Film(path)
                films = {path: film}  # those before are done with
                more["pixels"] = film.frames(begin + times, 0.25 / d.fps, shape.size or (0, 0),
                                             what)
            elif view:
                more["pixels"] = _pictures(table, view, shape.size or (0, 0), where)
            sink.append(states=states, actions=actions, **more)
        named = sorted({t for p in d.parts for t in p.tasks})
        made = [] if of_state else ["state (0)"]
        made += [] if "next.reward" in columns else ["reward (0)"]
        made += [] if "next.terminated" in columns else ["terminated (0)",
                                                        "truncated (1 in last rows)"]
        sink.notes += [f"the actions in the last rows of {len(d.parts)} episodes are left out: no "
                       "frame follows them"]
        sink.notes += [f"not taken over: {', '.join(left)}"] if left else []
        sink.notes += [f"not in the file, so made here: {', '.join(made)}"] if made else []
        sink.notes += [f"tasks in words: {'; '.join(named)}"] if named else []
    return sink.done()


# ---- export ----

Last = Literal["repeat", "zero", "drop"]


def _version(module: Any) -> str:
    return str(getattr(module, "CODEBASE_VERSION", "unknown"))


def _features(d: Dataset, camera: str, video: bool) -> dict[str, Any]:
    def row(n: int, dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "shape": (n,), "names": None}

    features = {"action": row(d.action, "float32"), _ENVIRONMENT: row(d.state, "float64"),
                "next.reward": row(1, "float32"), "next.done": row(1, "bool"),
                "next.terminated": row(1, "bool")}
    if d.proprio_size:
        features[_STATE] = row(d.proprio_size, "float32")
    if d.height:
        features[camera] = {"dtype": "video" if video else "image",
                            "shape": (d.height, d.width, 3),
                            "names": ["height", "width", "channels"]}
    return features


def export_lerobot(data: PathLike, out: PathLike, *, last: Last, instruction: str | None = None,
                   video: bool = False, fps: int | None = None,
                   overwrite: bool = False) -> Exchanged:
    """Writes a file of ours as a LeRobot dataset of the installed package's version, in the folder
    `out`.

    last: the action of an episode's last row, which LeRobot has and ours has not: that before it
    ("repeat"), zeros ("zero"), or no such row ("drop"). instruction: what is done, in words; by
    default the task's name. video: frames as a film (AV1, with loss) instead of pictures. fps: rows
    a second, where the time step is no whole fraction of a second. The proprioception becomes
    observation.state, the simulator's state observation.environment_state.
    """
    if last not in ("repeat", "zero", "drop"):
        raise UsageError("--last: expected repeat, zero or drop, the action of an episode's last "
                         f"row, which ours have not; found {last!r}")
    check_new(out, overwrite)
    with Dataset(data) as d:
        if d.action == 0:
            raise UsageError(f"{d.path}: expected actions, found film without")
        if fps is None:
            fps = round(1 / d.dt)
            if fps < 1 or abs(fps * d.dt - 1) > 1e-6:
                raise UsageError(f"{d.path}: expected a whole number of rows a second, found rows "
                                 f"{d.dt:g} s apart; --fps says which to write")
        if video and (d.height % 2 or d.width % 2):
            raise UsageError(f"{d.path}: --video: expected even sizes of frames, found {d.width} x "
                             f"{d.height}")
        module = need("lerobot.datasets.lerobot_dataset", "lerobot")
        camera = "observation.images." + (d.camera.replace("/", "_").replace(".", "_") or "camera")
        rows = 0
        with new_folder(out, overwrite) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what lerobot's statistics think of flags
            try:
                to = module.LeRobotDataset.create(
                    repo_id=f"understudy/{Path(out).name}", fps=fps, root=part,
                    features=_features(d, camera, video), use_videos=video)
                for e in range(d.episodes):
                    rows += _write_episode(to, d, e, last, camera, instruction or d.task)
                if hasattr(to, "finalize"):
                    to.finalize()
            except (OSError, ValueError, TypeError, RuntimeError) as e:
                why = one_line(e)
                raise FormatError(f"{os.fspath(out)}: lerobot could not write it: {why}") from e
        notes = [f"version {_version(module)}",
                 f"frames as a film, with loss: {camera}" if video and d.height else
                 f"frames as pictures, without loss: {camera}" if d.height else "no frames"]
        if last != "drop":
            notes.append(f"the last rows of {d.episodes} episodes have an action made here "
                         f"({last})")
        if d.variation.shape[1]:
            notes.append("not taken over: variation")
        return Exchanged(os.fspath(out), d.episodes, rows, tuple(notes))


def _write_episode(to: Any, d: Dataset, e: int, last: Last, camera: str, task: str) -> int:
    first, rows = int(d.offsets[e]), int(d.lengths[e])
    kept = rows - (last == "drop")
    actions = np.array(d.actions[first : first + rows])
    actions[-1] = actions[-2] if last == "repeat" and rows > 1 else 0
    pixels = d.pixels(first, rows) if d.height else None
    for t in range(kept):
        row = first + t
        done = t == kept - 1
        frame: dict[str, Any] = {
            "action": actions[t], _ENVIRONMENT: np.array(d.states[row]),
            "next.reward": np.array([d.rewards[row]], np.float32), "next.done": np.array([done]),
            "next.terminated": np.array([bool(d.terminated[first + rows - 1 if done else row])])}
        if d.proprio_size:
            frame[_STATE] = np.array(d.proprio[row])
        if pixels is not None:
            frame[camera] = pixels[t]
        _add(to, frame, task)
    if kept:
        to.save_episode()
    return kept


def _add(to: Any, frame: dict[str, Any], task: str) -> None:
    """One row; the task is an argument of its own in the package of v2.1."""
    if "task" in inspect.signature(to.add_frame).parameters:
        to.add_frame(frame, task=task)
    else:
        to.add_frame({**frame, "task": task})
