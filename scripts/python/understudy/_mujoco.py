"""Where the wheel mujoco-core has MuJoCo's library, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = "libmujoco.so.4.0.0"


def library() -> Path:
    """Its path; ImportError where it is not installed, or another version is."""
    spec = importlib.util.find_spec("mujoco")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        if Path(place, FILE).exists():
            return Path(place, FILE)
    found = f"found mujoco at {places[0]} without it" if places else "found no mujoco"
    raise ImportError(f"understudy: expected {FILE} of mujoco-core 4.0.0, {found}")
