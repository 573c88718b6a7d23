"""Settings of jobs: from keywords to the structs that the library's lists describe."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from understudy._library import as_path, check, ffi, lib, text
from understudy.errors import UsageError


def names(table: Any) -> list[str]:
    """The names in a list."""
    found: list[str] = []
    while table[len(found)].name != ffi.NULL:
        found.append(text(table[len(found)].name))
    return found


def put(table: Any, config: Any, name: str, value: Any, keep: list[Any]) -> None:
    """Writes one setting; texts are kept alive in `keep`. None leaves the default."""
    setting = lib.us_setting_find(table, name.encode())
    if setting == ffi.NULL:
        raise UsageError(f"{name}: expected one of the settings {', '.join(names(table))}")
    if value is None:
        return
    if setting.type == lib.US_SETTING_TEXT:
        if not isinstance(value, (str, os.PathLike)):
            raise UsageError(f"{name}: expected a text, found {value!r}")
        keep.append(ffi.new("char[]", as_path(value)))
        setattr(config, name, keep[-1])
        return
    whole = setting.type in (lib.US_SETTING_INT, lib.US_SETTING_SEED, lib.US_SETTING_FLAG)
    try:
        number = float(value)
        if whole and int(value) != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        wanted = "a whole number" if whole else "a number"
        raise UsageError(f"{name}: expected {wanted}, found {value!r}") from None
    if setting.type == lib.US_SETTING_SEED:
        if not 0 <= int(value) < 2**64:
            raise UsageError(f"{name}: expected 0 .. 2^64 - 1, found {value!r}")
        setattr(config, name, int(value))
    elif math.isnan(number):
        raise UsageError(f"{name}: expected a number, found nan")
    else:
        check(lib.us_setting_put(setting, config, number))


def fill(table: Any, config: Any, settings: Mapping[str, Any], keep: list[Any]) -> None:
    """Writes settings into a struct that `table` describes."""
    for name, value in settings.items():
        put(table, config, name, value, keep)


def given(settings: Mapping[str, Any], keep: list[Any]) -> Any:
    """The names that were chosen, as C takes them; for others the task's own values count."""
    chosen = " ".join(k for k, v in settings.items() if v is not None)
    keep.append(ffi.new("char[]", chosen.encode()))
    return keep[-1]
