"""stable-worldmodel's own loader reads our files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import understudy
from stable_worldmodel.data.formats.hdf5 import HDF5Dataset


def test_files_are_read(held: Path) -> None:
    theirs, ours = HDF5Dataset(path=held, num_steps=4, frameskip=5), understudy.Dataset(held)
    np.testing.assert_array_equal(theirs.lengths, ours.lengths)
    windows = len(ours) * (61 - 4 * 5 + 1)
    assert len(theirs) == windows
    for window in (0, windows - 1):
        found = theirs[window]
        first = 0 if window == 0 else ours.rows - 4 * 5
        rows = first + 5 * np.arange(4)
        frames = np.concatenate([ours.pixels(int(row)) for row in rows])
        np.testing.assert_array_equal(found["pixels"], frames.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(found["state"], ours.states[rows])
        blocks = ours.actions[first : first + 20].reshape(4, -1)
        np.testing.assert_array_equal(found["action"].reshape(4, -1), blocks)
