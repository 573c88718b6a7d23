"""What long calls tell and ask: progress, lines for people, and the wish to stop."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from understudy._library import check, ffi, lib, text


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    label: str  # "collect"
    unit: str  # "episodes"
    total: float  # units in all
    first: float  # units done before this run
    done: float  # units done now
    seconds: float  # since this run began
    note: str  # more about the present state, "" where there is none
    last: bool  # the last call of this piece of work


# A callable is told; True shows a bar, False nothing, None a bar where somebody watches.
Watcher: TypeAlias = Callable[[Progress], None] | bool | None

_log = logging.getLogger("understudy")


class Call:
    """One long call of a thread: what its hooks know, and the error that they kept."""

    def __init__(self, watcher: Callable[[Progress], None] | None) -> None:
        self.watcher = watcher
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Keeps the first error, which the call ends with."""
        if self.error is None:
            self.error = error

    def check(self, status: int) -> None:
        """Raises what the hooks kept, else by the status."""
        if self.error is not None:
            raise self.error
        check(status)


class _Calls(threading.local):
    def __init__(self) -> None:
        self.stack: list[Call] = []


_calls = _Calls()


def present() -> Call | None:
    """The call that is under way in this thread."""
    return _calls.stack[-1] if _calls.stack else None


def failed() -> BaseException | None:
    """The error that the present call will end with."""
    call = present()
    return call.error if call else None


def keep_error(kind: Any, error: BaseException, trace: Any) -> None:
    """Keeps an exception of Python for the call that is under way in this thread."""
    call = present()
    if call:
        call.fail(error)


# Ctrl-C becomes KeyboardInterrupt wherever Python runs in the main thread, which is here.
@ffi.def_extern(error=1, onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_ask(handle: Any) -> int:
    return int(failed() is not None)


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_progress(handle: Any, p: Any) -> None:
    call = _calls.stack[-1]
    if call.watcher is not None and call.error is None:
        seconds = lib.us_seconds() - p.start
        call.watcher(Progress(text(p.label), text(p.unit), p.total, p.first, p.done, seconds,
                              text(p.note), not p.on))


@ffi.def_extern(onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_log(handle: Any, line: Any) -> None:
    _log.info(text(line))


def _watched() -> bool:
    return sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)


def bar(p: Progress) -> None:
    """One line of a terminal or of a notebook's cell, drawn over itself."""
    share = min(p.done / p.total, 1) if p.total > 0 else 0
    drawn = "#" * int(24 * share)
    rate = (p.done - p.first) / p.seconds if p.seconds > 0 else 0
    left = f", {(p.total - p.done) / rate:.0f} s left" if rate > 0 and not p.last else ""
    line = f"{p.label} [{drawn:<24}] {p.done:.0f}/{p.total:.0f} {p.unit}{left} {p.note}"
    sys.stderr.write(f"\r{line[:99]:<99}" + ("\n" if p.last else ""))
    sys.stderr.flush()


@contextlib.contextmanager
def hooked(progress: Watcher = False) -> Iterator[Call]:
    """A long call of this thread with hooks; end it with call.check(status)."""
    if progress is None:
        progress = _watched()
    call = Call(bar if progress is True else None if progress is False else progress)
    hooks = ffi.new("UsPyHooks*", {"ask": lib.us_py_ask, "log": lib.us_py_log})
    if call.watcher is not None:
        hooks.progress = lib.us_py_progress
    _calls.stack.append(call)
    before = lib.us_py_hooks_set(hooks)
    try:
        yield call
    finally:
        lib.us_hooks_set(before)
        _calls.stack.pop()
