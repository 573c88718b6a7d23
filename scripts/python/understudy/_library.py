"""The library itself: loading it, arrays as its pointers, its statuses as exceptions, and the rules
of owners that all classes here share.

Every call of the library lets go of Python's lock while it runs.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from understudy import _mujoco
from understudy.errors import CLASSES, Error, UsageError

# Beside other wheels that load MuJoCo there is one copy of it, as both have the same name.
ctypes.CDLL(str(_mujoco.library()), mode=os.RTLD_NOW | os.RTLD_LOCAL)

from understudy import _core  # noqa: E402

ffi: Any = _core.ffi
lib: Any = _core.lib

lib.us_py_choose_kernels()

_ERRORS = {int(getattr(lib, name)): cls for name, cls in CLASSES.items()}


def text(pointer: Any) -> str:
    """A zero-terminated text of C."""
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def error(status: int) -> Error:
    """The exception for a status, with this thread's message."""
    return _ERRORS.get(status, Error)(text(lib.us_message()))


def check(status: int) -> None:
    """Raises unless the status is US_OK."""
    if status != 0:
        raise error(status)


def as_path(path: str | os.PathLike[str]) -> bytes:
    """A path or another text for C, where a zero ends it."""
    found = os.fsencode(path)
    if b"\0" in found:
        raise UsageError(f"expected a text without zeros, found {path!r}")
    return found


def pointer(array: NDArray[Any], kind: str) -> Any:
    """The numbers of a C-contiguous array as a pointer of C; the array has to outlive its use."""
    return ffi.from_buffer(f"{kind}[]", array)


def array(data: Any, shape: tuple[int, ...] | None, dtype: Any, what: str) -> NDArray[Any]:
    """`data`, numbers of numpy or of anything that speaks DLPack, as a C-contiguous array of this
    shape (-1: any length) and type, without a copy where it is one already; UsageError names what
    differs."""
    try:
        if hasattr(data, "__dlpack__") and not isinstance(data, np.ndarray):
            data = np.from_dlpack(data.detach() if hasattr(data, "detach") else data)
        found = np.ascontiguousarray(data, dtype=dtype)
    except (TypeError, ValueError, OverflowError, BufferError, RuntimeError) as e:
        raise UsageError(f"{what}: expected numbers of {np.dtype(dtype)}, found: {e}") from None
    if shape is not None:
        fits = found.ndim == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits:
            wanted = tuple("any" if n == -1 else n for n in shape)
            raise UsageError(f"{what}: expected the shape {wanted}, found {found.shape}")
    return found


def pictures(data: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """Frames as `array` has them; UsageError unless they are uint8, which nothing is cast to."""
    found = array(data, None, None, what)
    if found.dtype != np.uint8:
        raise UsageError(f"{what}: expected uint8, found {found.dtype}")
    return array(found, shape, np.uint8, what)


def listed(slots: Any, count: int) -> NDArray[np.intc]:
    """Slots (n), all of `count` where None; UsageError where one is not there, or twice."""
    wanted = np.arange(count) if slots is None else slots
    found: NDArray[np.intc] = array(wanted, (-1,), np.intc, "slots")
    ids = found.tolist()
    if len(set(ids)) != len(ids) or any(not 0 <= i < count for i in ids):
        raise UsageError(f"slots: expected some of 0 .. {count - 1}, each once, found {ids}")
    return found


class _Memory:
    """Memory of C as numpy takes it, which holds on to its owner."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: Any, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, True),
            "shape": shape,
            "typestr": np.dtype(dtype).str,
            "version": 3,
        }


def view(data: Any, shape: tuple[int, ...], dtype: Any, owner: Any) -> NDArray[Any]:
    """Memory of C as a read-only array, without a copy; the array keeps its owner alive."""
    if data == ffi.NULL or 0 in shape:
        return np.zeros(shape, dtype)
    return np.asarray(_Memory(int(ffi.cast("uintptr_t", data)), shape, dtype, owner))


# ---- owners ----

_generation = 0


def _forked() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_forked)


class Handle:
    """What C holds for one object: destroyed, the newest first, when nobody refers to it."""

    def __init__(self) -> None:
        self.born = _generation
        self.destroy: list[Callable[[], None]] = []

    def own(self, thing: Any, destroy: Callable[[Any], None]) -> Any:
        """Takes `thing` over."""
        self.destroy.append(lambda: destroy(thing))
        return thing

    def __del__(self) -> None:
        if self.born == _generation:  # its threads are not in a forked process
            while self.destroy:
                self.destroy.pop()()


class Owned:
    """An object of C: closed once, used by one thread at a time, and not at all in a process that
    was forked off, where its threads are missing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.RLock()
        self._handle: Handle | None = Handle()
        self._pointer: Any = None

    def _own(self, thing: Any, destroy: Callable[[Any], None]) -> Any:
        assert self._handle is not None
        return self._handle.own(thing, destroy)

    def _alive(self) -> Any:
        """The object; Error where it is closed or from before a fork."""
        if self._handle is None:
            raise Error(f"{self._what}: is closed")
        if self._handle.born != _generation:
            raise Error(f"{self._what}: was opened before this process was forked; open it here")
        return self._pointer

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._handle is None

    def close(self) -> None:
        """Frees what C holds; again does nothing. Where arrays of its memory are still in use it is
        freed when the last of them goes."""
        with self._lock:
            self._pointer = None
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
