"""Import and export without the other packages: help, and one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LEROBOT = ("import", "lerobot", "{}", "--task", "arm", "--bound", "1", "--out", "out.h5")
DINOWM = ("import", "dinowm", "{}", "--task", "wall", "--fps", "10", "--bound", "1", "--out",
          "out.h5")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "understudy", *(w.format(folder) for w in words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("words", [("help", "import"), ("import", "--help"), ("help", "export")])
def test_help(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 0 and done.stdout.startswith("Usage: understudy ")
    assert "--overwrite" in done.stdout and "Examples:" in done.stdout


def refused(folder: Path, words: tuple[str, ...], code: int, line: str) -> None:
    before = sorted(folder.iterdir())
    done = run(folder, *words)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1 and line in done.stderr, done.stderr
    assert done.stdout == "" and sorted(folder.iterdir()) == before


def test_wrong_words(tmp_path: Path) -> None:
    refused(tmp_path, ("import", "pandas"), 2, "expected lerobot, minari or dinowm, found 'pandas'")
    refused(tmp_path, ("export",), 2, "expected lerobot or minari, found 'nothing'")
    refused(tmp_path, ("import", "lerobot", "x", "--size", "a"), 2, "invalid int value")
    refused(tmp_path, ("import", "lerobot", "x", "--out", "y"), 2, "expected --task NAME")
    refused(tmp_path, ("import", "lerobot", "x", "--fps", "9"), 2, "--fps: is for minari, dinowm")
    refused(tmp_path, ("export", "lerobot", "x", "--out", "y"), 2, "expected --last HOW")


def test_folders_that_are_none(tmp_path: Path) -> None:
    refused(tmp_path, ("import", "lerobot", "{}/x", *LEROBOT[3:]), 1, "x: expected the folder of")
    refused(tmp_path, LEROBOT, 1, "info.json: expected a file, found none")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v1.6"}))
    refused(tmp_path, LEROBOT, 1, "expected a dataset of version v2.1 or v3.0, found v1.6")
    refused(tmp_path, DINOWM, 1, "expected actions.pth, rel_actions.pth or abs_actions.pth")


def test_packages_that_are_missing(tmp_path: Path) -> None:
    """In the place of each lies one that cannot be imported."""
    for name in ("torch", "minari"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('none')")
    (tmp_path / "actions.pth").touch()
    refused(tmp_path, DINOWM, 1, 'expected the package torch (pip install "torch"), found: none')
    refused(tmp_path, ("import", "minari", *DINOWM[2:]), 1, 'pip install "minari[hdf5]"')
