"""`python -m understudy` and `understudy` are the program in C, which takes this process over, but
for the commands import and export (understudy.exchange)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Runs it with this process's arguments; what it prints and its exit code are its own."""
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "help":
        words = [words[1], "--help"]
    if words and words[0] in ("import", "export"):
        from understudy.exchange.command import main as exchange

        sys.exit(exchange(words))
    from understudy._mujoco import library

    program = Path(__file__).parent / "bin" / "understudy"
    # Where MuJoCo lies outside this site-packages the linker is told where.
    folder = library().parent
    if folder.parent != Path(__file__).parent.parent:
        paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(p for p in paths if p)
    os.execv(program, ["understudy", *sys.argv[1:]])


if __name__ == "__main__":
    main()
