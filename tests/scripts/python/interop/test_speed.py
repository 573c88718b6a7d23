"""Frames of ours against those of others on this machine, a core-second, in the same run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[4] / "scripts/bench/bench_python.py"


def test_frames_are_drawn_faster() -> None:
    done = subprocess.run([sys.executable, str(BENCH)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found = re.findall(r"^(\S+) .*: ([0-9.]+) times", done.stdout, re.M)
    times = {name: float(x) for name, x in found}
    # 20 is the goal; other work on the machine may take a tenth of it.
    assert times["gymnasium-robotics"] > 18 and times["EnvPool"] > 15, done.stdout
