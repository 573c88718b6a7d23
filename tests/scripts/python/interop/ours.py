"""A small file of ours, whose numbers are drawn, and what two files must share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import understudy

LENGTHS = (7, 2, 12)
SIDE = (32, 48)  # height and width


def write(path: Path, *, frames: bool = True, dt: float = 0.05, task: str = "drive") -> Path:
    """Episodes of LENGTHS rows: 2 actions, 3 numbers of proprio, 5 of state, smooth frames."""
    rng = np.random.default_rng(3)
    down, right = np.mgrid[0 : SIDE[0], 0 : SIDE[1]]
    size = SIDE if frames else None
    with understudy.DatasetWriter(path, task=task, episodes=3, rows=12, action=2, state=5,
                                  proprio=3, size=size, dt=dt, policy="mix", camera="above") as w:
        for e, n in enumerate(LENGTHS):
            shift = 5 * np.arange(n)[:, None, None, None] + 20 * e
            colours = np.stack([3 * down, 2 * right, down + right], -1)
            ended = np.zeros(n, np.uint8)
            ended[-2:] = e == 1
            last = np.zeros(n, np.uint8)
            last[-1] = e != 1
            w.append(states=rng.normal(size=(n, 5)), proprio=rng.normal(size=(n, 3)),
                     actions=rng.uniform(-1, 1, (n - 1, 2)),
                     rewards=np.append(rng.normal(size=n - 1), 0), terminated=ended, truncated=last,
                     pixels=(colours + shift).astype(np.uint8) if frames else None)
    return path


def same(a: Path, b: Path, *, proprio: bool = True, pixels: bool = True) -> None:
    """All that both files have is the same to the last bit."""
    with understudy.Dataset(a) as x, understudy.Dataset(b) as y:
        names = ["lengths", "actions", "states", "times", "rewards", "terminated", "truncated"]
        for name in names + ["proprio"] * proprio:
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), err_msg=name)
        assert y.dt == x.dt and y.task == x.task and y.finished
        if pixels:
            np.testing.assert_array_equal(x.pixels(0, x.rows), y.pixels(0, y.rows))


def program(*words: object, code: int = 0) -> str:
    """Runs `python -m understudy`; what it printed, of a failure its one line."""
    command = [sys.executable, "-m", "understudy", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr + done.stdout
    if code:
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("understudy "), done.stderr
        return lines[0]
    return done.stdout


def nothing_left(folder: Path, *known: str) -> None:
    """A folder holds what it held before, and no part of what failed."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(known)
