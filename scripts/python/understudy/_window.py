"""render_mode="human": a window of PyPI's glfw that shows frames at the pace of the episode."""

from __future__ import annotations

import ctypes
import os
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.errors import RenderError

_RGB, _UNSIGNED_BYTE, _COLOR, _UNPACK_ALIGNMENT = 0x1907, 0x1401, 0x4000, 0x0CF5


def displayed() -> bool:
    """Whether there is a display to show a window on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window:
    """Frames (H, W, 3), each shown for 1 / fps s; of the thread that made it."""

    def __init__(self, height: int, width: int, title: str, fps: float) -> None:
        try:
            import glfw
        except ImportError:
            raise RenderError("render_mode human: expected PyPI's glfw: pip install glfw") from None
        self._glfw: Any = glfw
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they become the errors below
            begun = glfw.init()
        if not begun:
            raise RenderError("render_mode human: there is no display for a window")
        self._gl = ctypes.CDLL("libGL.so.1")
        self._size, self._zoom = (height, width), max(512 // max(height, width), 1)
        size = width * self._zoom, height * self._zoom
        self._window: Any = glfw.create_window(*size, title, None, None)
        if not self._window:
            raise RenderError("render_mode human: there is no OpenGL for a window")
        self._pause, self._next = 1 / fps, 0.0

    def show(self, frame: NDArray[np.uint8]) -> None:
        """Shows a frame and waits until it is time for it."""
        glfw, gl = self._glfw, self._gl
        glfw.make_context_current(self._window)
        wide, high = glfw.get_framebuffer_size(self._window)
        gl.glViewport(0, 0, wide, high)
        gl.glClear(_COLOR)
        gl.glPixelStorei(_UNPACK_ALIGNMENT, 1)
        gl.glRasterPos2f(ctypes.c_float(-1), ctypes.c_float(1))
        height, width = self._size
        gl.glPixelZoom(ctypes.c_float(wide / width), ctypes.c_float(-high / height))
        data = np.ascontiguousarray(frame)
        gl.glDrawPixels(width, height, _RGB, _UNSIGNED_BYTE, ctypes.c_void_p(data.ctypes.data))
        glfw.swap_buffers(self._window)
        glfw.poll_events()
        glfw.make_context_current(None)
        time.sleep(max(self._next - time.monotonic(), 0))
        self._next = time.monotonic() + self._pause

    def close(self) -> None:
        """Closes the window."""
        if self._window:
            self._glfw.destroy_window(self._window)
            self._window = None
