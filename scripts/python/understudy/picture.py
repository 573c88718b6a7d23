"""Frames as pictures: shown by notebooks, saved as PNG, without a library for it."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy.errors import UsageError


class Picture:
    """One frame (H, W, 3) uint8, or n of them (n, H, W, 3) side by side in rows of `columns`.

    The last line of a notebook's cell shows it; zoom repeats every pixel so often.
    """

    def __init__(self, frames: ArrayLike, columns: int = 8, zoom: int = 2) -> None:
        found = np.asarray(frames)
        if found.ndim == 3:
            found = found[None]
        if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] != 3 or not found.size:
            raise UsageError("frames: expected (n, H, W, 3) uint8, found "
                             f"{found.dtype} {found.shape}")
        if columns < 1 or zoom < 1:
            raise UsageError("picture: expected columns and zoom of at least 1")
        n, height, width, _ = found.shape
        across = min(n, columns)
        down = -(-n // across)
        sheet = np.full((down * across, height, width, 3), 255, np.uint8)
        sheet[:n] = found
        rows = sheet.reshape(down, across, height, width, 3).swapaxes(1, 2)
        flat = rows.reshape(down * height, across * width, 3)
        self.pixels: NDArray[np.uint8] = flat.repeat(zoom, axis=0).repeat(zoom, axis=1)

    def png(self) -> bytes:
        """The bytes of a PNG file."""
        height, width, _ = self.pixels.shape

        def chunk(kind: bytes, data: bytes) -> bytes:
            tail = struct.pack(">I", zlib.crc32(kind + data))
            return struct.pack(">I", len(data)) + kind + data + tail

        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        filters = np.zeros((height, 1), np.uint8)  # none, a byte before every line
        lines = np.concatenate([filters, self.pixels.reshape(height, -1)], axis=1)
        body = zlib.compress(lines.tobytes())
        return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), chunk(b"IDAT", body),
                         chunk(b"IEND", b"")])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a PNG file."""
        with open(path, "wb") as file:
            file.write(self.png())

    def _repr_png_(self) -> bytes:
        return self.png()

    def __array__(self, *arguments: Any, **settings: Any) -> NDArray[Any]:
        return np.asarray(self.pixels, *arguments, **settings)
