"""Frames of an mp4 at given times, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.errors import FileError, FormatError
from understudy.exchange.common import need, one_line


class Film:
    """An mp4 that is decoded once from its start, as long as times rise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = need("av", "av")
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._now: tuple[float, Any] | None = None
        self._last = float("inf")  # the time that was asked for last

    def _start(self) -> Iterator[tuple[float, Any]]:
        if not self.path.is_file():
            raise FileError(f"{self.path}: expected a film, found none")
        try:
            with self._av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise FormatError(f"{self.path}: expected a film, found no pictures in it")
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for frame in container.decode(stream):
                    if frame.time is not None:
                        yield float(frame.time), frame
        except (OSError, ValueError) as e:
            if isinstance(e, FormatError):
                raise
            raise FormatError(f"{self.path}: cannot be decoded: {one_line(e)}") from e

    def frames(self, times: NDArray[np.float64], within: float, size: tuple[int, int],
               what: str) -> NDArray[np.uint8]:
        """Frames (T, H, W, 3) at rising times (T), each within `within` s of it."""
        out = np.empty((len(times), *size, 3), np.uint8)
        if len(times) and times[0] <= self._last:
            self._frames = self._start()
            self._now = next(self._frames, None)
        for i, t in enumerate(times):
            # On to the first frame that is not before the time.
            end = 0.0
            while self._now is not None and self._now[0] < t - within:
                end = self._now[0]
                self._now = next(self._frames, None)
            if self._now is None or self._now[0] > t + within:
                found = f"its last at {end:.4f} s" if self._now is None else f"{self._now[0]:.4f} s"
                raise FormatError(f"{self.path}: expected a frame at {t:.4f} s for {what}, "
                                  f"row {i}, found {found}")
            picture = self._now[1].to_ndarray(format="rgb24")
            if picture.shape != out.shape[1:]:
                raise FormatError(f"{self.path}: expected frames of {size[1]} x {size[0]}, found "
                                  f"{picture.shape[1]} x {picture.shape[0]}")
            out[i] = picture
            self._last = float(t)
        return out

    def all(self, count: int, what: str) -> NDArray[np.uint8]:
        """The first `count` frames (count, H, W, 3), whatever their times."""
        pictures = []
        for _, frame in self._start():
            pictures.append(frame.to_ndarray(format="rgb24"))
            if len(pictures) == count:
                return np.stack(pictures)
        raise FormatError(f"{self.path}: expected {count} frames as {what} has rows, found "
                          f"{len(pictures)}")
