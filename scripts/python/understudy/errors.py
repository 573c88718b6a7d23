"""Errors: one class for every status of the library, each with the library's one-line message."""

from __future__ import annotations


class Error(Exception):
    """Of everything that the library refuses. The text is the library's own line."""


class UsageError(Error, ValueError):
    """A wrong argument, name or number."""


class FileError(Error, OSError):
    """A file cannot be read or written."""


class FormatError(Error, ValueError):
    """A file does not hold what it should."""


class OutOfMemory(Error, MemoryError):
    """There is no memory for what was asked."""


class RenderError(Error, RuntimeError):
    """There is no OpenGL to render with."""


class MujocoError(Error, RuntimeError):
    """MuJoCo refused a model or a call."""


class Interrupted(Error):
    """A job was asked to stop; what it wrote stays. Ctrl-C is KeyboardInterrupt instead."""


class UnsupportedError(Error, NotImplementedError):
    """This kind of object cannot do that."""


class DivergedError(Error, ArithmeticError):
    """Training reached numbers that are not finite."""


class DeviceError(Error, RuntimeError):
    """The device that computes failed, or is not there."""


# By UsStatus.
CLASSES: dict[str, type[Error]] = {
    "US_USAGE": UsageError,
    "US_IO": FileError,
    "US_FORMAT": FormatError,
    "US_MEMORY": OutOfMemory,
    "US_GL": RenderError,
    "US_MUJOCO": MujocoError,
    "US_INTERRUPTED": Interrupted,
    "US_UNSUPPORTED": UnsupportedError,
    "US_DIVERGED": DivergedError,
    "US_DEVICE": DeviceError,
}
