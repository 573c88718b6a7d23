"""What a policy needs to know of the last frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.errors import UsageError


class History:
    """The newest frames of n slots, and the blocks of actions between them.

    One frame says where things are and not how fast they move. An observation is the `frames`
    newest ones, the newest first, then the blocks that led from each older one to the next, the
    newest first: (frames * O + (frames - 1) * K * A,) float32. At the start of an episode the
    frames before it are the first one and the actions are 0.
    """

    def __init__(self, slots: int, frames: int, observation: int, action: int) -> None:
        if frames < 1:
            raise UsageError(f"frames: expected at least 1, found {frames}")
        self.frames = np.zeros((slots, frames, observation), np.float32)
        self.blocks = np.zeros((slots, frames - 1, action), np.float32)

    def begin(self, slots: NDArray[Any], frame: NDArray[Any]) -> None:
        """An episode begins in the listed slots (m) with these frames (m, O)."""
        self.frames[slots] = frame[:, None]
        self.blocks[slots] = 0

    def add(self, slots: NDArray[Any], frame: NDArray[Any], action: NDArray[Any]) -> None:
        """Blocks of actions (m, K * A) led the listed slots (m) to frames (m, O)."""
        for kept, new in ((self.frames, frame), (self.blocks, action)):
            if kept.shape[1]:
                kept[slots, 1:] = kept[slots, :-1]
                kept[slots, 0] = new

    def view(self, slots: NDArray[Any]) -> NDArray[np.float32]:
        """What the listed slots (m) observe, (m, frames * O + (frames - 1) * K * A)."""
        m = len(slots)
        parts = (self.frames[slots].reshape(m, -1), self.blocks[slots].reshape(m, -1))
        return np.concatenate(parts, axis=1)
