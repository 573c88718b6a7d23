"""What all formats share: an output that is whole or not there, the scale of actions, one-line
errors."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy._library import as_path, ffi, lib
from understudy.dataset import DatasetWriter, files
from understudy.errors import Error, FileError, FormatError, UnsupportedError, UsageError
from understudy.hooks import Watcher, hooked
from understudy.settings import put

PathLike: TypeAlias = str | os.PathLike[str]
Numbers: TypeAlias = float | Sequence[float]


@dataclass(frozen=True)
class Exchanged:
    """What an import or an export wrote."""

    path: str
    episodes: int
    rows: int
    notes: tuple[str, ...]  # what was made up or left out, a line each


def need(module: str, package: str) -> Any:
    """A module of another package, loaded now that it is used."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise UnsupportedError(
            f"expected the package {package} (pip install \"{package}\"), found: {one_line(e)}"
        ) from None


def one_line(error: BaseException) -> str:
    """An exception of another package as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, KeyError):
        return f"there is no {lines[0]}" if lines else "something is missing"
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def reading(what: PathLike) -> Iterator[None]:
    """Turns what other packages raise at a file that is damaged or missing into one line."""
    try:
        yield
    except (Error, KeyboardInterrupt):
        raise
    except FileNotFoundError as e:
        raise FileError(f"{e.filename or os.fspath(what)}: expected a file, found none") from None
    except MemoryError:
        raise
    except Exception as e:
        raise FormatError(f"{os.fspath(what)}: cannot be read: {one_line(e)}") from e


def inside(folder: Path, name: str) -> Path:
    """A file of a folder by a name that another file says, which must not lead out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FormatError(f"{folder}: expected the names of its own files, found {name!r}")
    return path


# ---- what a file may not say ----


def step(where: PathLike, dt: float | None, fps: float | None, found: float | None) -> float:
    """Seconds between rows: as given, else as the file says."""
    if dt is not None and fps is not None:
        raise UsageError("expected --fps or --dt, found both")
    if fps is not None:
        dt = 1 / fps if fps > 0 else 0
    dt = found if dt is None else dt
    if dt is None:
        raise UsageError(f"{os.fspath(where)}: does not say the time between its rows; expected "
                         "--fps or --dt")
    if not 0 < dt < 1e3:
        raise UsageError(f"--dt: expected seconds between 0 and 1000, found {dt:g}")
    return dt


@dataclass(frozen=True)
class Bounds:
    """The range of actions in the other program, (A) each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def scale(self, actions: ArrayLike, where: str) -> NDArray[np.float32]:
        """Actions (T, A) of the other program as numbers in [-1, 1]."""
        a = np.asarray(actions, np.float64)
        x = (a - (self.low + self.high) / 2) / ((self.high - self.low) / 2)
        if not np.all(np.abs(x) <= 1 + 1e-6):
            row, i = (int(k) for k in np.argwhere(~(np.abs(x) <= 1 + 1e-6))[0])
            raise FormatError(f"{where}, row {row}: expected actions in [{self.low[i]:g}, "
                              f"{self.high[i]:g}], found {a[row, i]:g}; --bound (or --low and "
                              "--high) says how large they are")
        return np.clip(x, -1, 1).astype(np.float32)


def bounds(where: PathLike, width: int, bound: float | None, low: Numbers | None,
           high: Numbers | None, found: tuple[ArrayLike, ArrayLike] | None) -> Bounds:
    """The range of actions: as given, else as the file says."""
    if (low is None) != (high is None) or (bound is not None and low is not None):
        raise UsageError("expected --bound, or --low and --high")
    if bound is not None:
        low, high = -bound, bound
    if low is None or high is None:
        if found is None:
            raise UsageError(f"{os.fspath(where)}: does not say how large actions are; expected "
                             "--bound (or --low and --high)")
        ends = [np.asarray(x, np.float64).reshape(-1) for x in found]
        if not all(np.all(np.isfinite(x)) for x in ends):
            raise UsageError(f"{os.fspath(where)}: its bounds of actions are infinite; expected "
                             "--bound (or --low and --high)")
    else:
        ends = [np.asarray(x, np.float64).reshape(-1) for x in (low, high)]
    for name, x in zip(("--low", "--high"), ends):
        if x.size not in (1, width):
            raise UsageError(f"{name}: expected 1 or {width} numbers, found {x.size}")
    a, b = (np.broadcast_to(x, (width,)) for x in ends)
    if not np.all(a < b):
        raise UsageError(f"{os.fspath(where)}: expected bounds of actions with low below high, "
                         f"found {a.tolist()} and {b.tolist()}")
    return Bounds(a, b)


def choose(where: PathLike, flag: str, asked: str | None, found: Sequence[str],
           own: str | None = None) -> str | None:
    """Which of the columns that may be meant: the one asked for, that of our name, the only one."""
    if asked is not None:
        if asked not in found:
            raise UsageError(f"{os.fspath(where)}: --{flag}: expected one of {', '.join(found)}, "
                             f"found {asked!r}" if found else
                             f"{os.fspath(where)}: --{flag}: there is none, found {asked!r}")
        return asked
    if own in found:
        return own
    if len(found) > 1:
        raise UsageError(f"{os.fspath(where)}: expected --{flag}, one of {', '.join(found)}")
    return found[0] if found else None


# ---- outputs ----


def check_new(path: PathLike, overwrite: bool) -> None:
    if os.path.lexists(path) and not overwrite:
        raise FileError(f"{os.fspath(path)}: is there already; expected a new name or --overwrite")


@dataclass
class Shape:
    """What a dataset is to be: names and sizes as for DatasetWriter."""

    task: str
    episodes: int
    longest: int  # rows of an episode
    dt: float
    action: int
    state: int
    proprio: int = 0
    size: tuple[int, int] | None = None
    policy: str = "imported"
    camera: str = ""


@dataclass
class Fit:
    """How frames become others, as in `understudy dataset import`; all None: as they are."""

    size: int | None = None
    fit: str | None = None
    crop: str | None = None

    def __bool__(self) -> bool:
        return any(x is not None for x in (self.size, self.fit, self.crop))


@dataclass
class Sink:
    """Writes a dataset under a name of its own and gives it its name when it is whole."""

    out: str
    overwrite: bool
    fit: Fit
    shape: Shape
    progress: Watcher = None
    rows: int = 0
    episodes: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.part = self.out + ".part"
        if self.fit and self.shape.size is None:
            raise UsageError("--size, --fit and --crop: expected frames, found none")
        s = self.shape
        self.writer = DatasetWriter(
            self.part, task=s.task, episodes=s.episodes, rows=s.longest, action=s.action,
            state=s.state, proprio=s.proprio, size=s.size, dt=s.dt, policy=s.policy[:63],
            camera=s.camera[:63], imported=True, overwrite=True)

    def append(self, **columns: Any) -> None:
        self.writer.append(**columns)
        self.episodes += 1
        self.rows += len(columns["states"])

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            self.writer.close()
            if kind is None:
                self._place()
        finally:
            for path in (self.part, self.part + ".tmp"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _place(self) -> None:
        if not self.fit:
            os.replace(self.part, self.out)
            return
        # The library's own import makes other frames of them.
        keep: list[Any] = []
        config = ffi.new("UsImport*")
        lib.us_settings_default(lib.us_import_settings, config)
        wanted = {"task": self.shape.task, "size": self.fit.size, "fit": self.fit.fit,
                  "crop": self.fit.crop, "overwrite": self.overwrite}
        for name, value in wanted.items():
            if value is not None:
                put(lib.us_import_settings, config, name, value, keep)
        verdict, notes = ffi.new("UsVerdict*"), ffi.new("UsImportNotes*")
        with files, hooked(self.progress) as call:
            call.check(lib.us_dataset_import(as_path(self.part), as_path(self.out), config, verdict,
                                             notes))

    def done(self) -> Exchanged:
        return Exchanged(self.out, self.episodes, self.rows, tuple(self.notes))


@contextlib.contextmanager
def new_folder(out: PathLike, overwrite: bool) -> Iterator[Path]:
    """A folder that does not exist yet, to be made by whoever writes; it takes the name `out` when
    the block ends well, and else nothing is left of it."""
    check_new(out, overwrite)
    path, part = Path(out), Path(f"{os.fspath(out)}.part")
    if not path.parent.is_dir():
        raise FileError(f"{path.parent}: expected a folder, found none")
    if path.exists() and not path.is_dir():
        raise FileError(f"{path}: expected a folder's name, found a file")
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
