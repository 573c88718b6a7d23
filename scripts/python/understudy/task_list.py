"""The tasks that there are, and lists of them for C."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from understudy._library import Handle, as_path, check, ffi, lib, text

_mjcf = threading.Lock()


@dataclass(frozen=True)
class Task:
    """What a task says of itself."""

    name: str
    summary: str
    action: int  # A, numbers in [-1, 1] an env step
    proprio: int  # P
    measure: int  # M
    block: int  # K, env steps a block by default
    size: int  # pixels of a side by default
    policies: tuple[str, ...]  # for collecting; the first is the default


def _names(policies: Any) -> tuple[str, ...]:
    found: list[str] = []
    while policies != ffi.NULL and policies[len(found)].name != ffi.NULL:
        found.append(text(policies[len(found)].name))
    return tuple(found)


def describe(t: Any) -> Task:
    """A task's table in Python."""
    return Task(text(t.name), text(t.summary), t.action, t.proprio, t.measure, t.block, t.size,
                _names(t.policies))


def builtin() -> list[Any]:
    """The tables of the built-in tasks."""
    found: list[Any] = []
    while lib.us_tasks[len(found)] != ffi.NULL:
        found.append(lib.us_tasks[len(found)])
    return found


def tasks() -> dict[str, Task]:
    """The built-in tasks by name."""
    return {t.name: t for t in map(describe, builtin())}


class TaskList:
    """The built-in tasks and those of MJCF files, as C takes them; must outlive what uses it."""

    def __init__(self, *names: str | os.PathLike[str] | None) -> None:
        self.handle = Handle()
        self.tables = builtin()
        self.names = [self._resolve(os.fspath(n)) if n is not None else None for n in names]
        self._settle()

    def _settle(self) -> None:
        self.list = ffi.new("UsTask*[]", [*self.tables, ffi.NULL])
        self.pointer = ffi.cast("const UsTask* const*", self.list)

    def _resolve(self, name: str) -> str:
        """The name of a task; that of mjcf:FILE.xml is made from the file, which joins the list."""
        if not name.startswith("mjcf:"):
            return name
        out = ffi.new("const UsTask**")
        with _mjcf:
            check(lib.us_mjcf_open(as_path(name[5:]), out))
        table = self.handle.own(out[0], _close_mjcf)
        self.tables.append(table)
        return text(table.name)

    def find(self, name: str) -> Any:
        """The table of this name, or None."""
        return next((t for t in self.tables if text(t.name) == name), None)

    def replace(self, name: str, table: Any) -> None:
        """Puts another table in a task's place."""
        self.tables = [table if text(t.name) == name else t for t in self.tables]
        self._settle()


def _close_mjcf(table: Any) -> None:
    with _mjcf:
        lib.us_mjcf_close(table)
