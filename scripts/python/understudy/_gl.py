"""What has to be done before the first frame.

Mesa's software renderer brings LLVM and puts its names where all libraries look first, those of
another LLVM too: triton, which torch imports when it is first needed, would then crash. Where it is
loaded before, each has its own.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path


@functools.cache
def prepare() -> None:
    """Loads triton's library where triton is installed; once a process."""
    spec = importlib.util.find_spec("triton")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place, "_C", "libtriton.so")
        if path.exists():
            ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
