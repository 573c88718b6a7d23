"""Tensors in files, read and written by the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]

from understudy._library import as_path, check, ffi, lib, pointer, text
from understudy.errors import UsageError


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected an object")
    return found


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file by name, float32."""
    out = ffi.new("UsTensors**")
    check(lib.us_tensors_open(as_path(path), out))
    t, found = out[0], {}
    try:
        for i in range(lib.us_tensors_count(t)):
            rank, shape = lib.us_tensors_rank(t, i), lib.us_tensors_shape(t, i)
            data = np.empty([shape[k] for k in range(rank)], np.float32)
            name = lib.us_tensors_name(t, i)
            check(lib.us_tensors_read(t, name, rank, shape, pointer(data, "float")))
            found[text(name)] = torch.from_numpy(data)
    finally:
        lib.us_tensors_close(t)
    return found


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes them in this order, float32, and replaces what is there at once."""
    keep: list[Any] = []
    out = ffi.new("UsTensorOut[]", len(tensors))
    for i, (name, tensor) in enumerate(tensors.items()):
        data = np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)
        if not np.isfinite(data).all():
            raise UsageError(f"{path}: expected finite numbers in {name!r}")
        keep += [data, ffi.new("char[]", name.encode())]
        out[i].name, out[i].rank = keep[-1], data.ndim
        out[i].shape = [*data.shape, *[0] * (4 - data.ndim)]
        out[i].data = pointer(data, "float")
    check(lib.us_tensors_write(as_path(path), len(tensors), out, 0, ffi.NULL, ffi.NULL))
