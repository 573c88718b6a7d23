"""The notebook runs, cell by cell, and shows pictures."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import understudy

NOTEBOOK = Path(__file__).parents[3] / "scripts/python/loop.ipynb"
SHORTER = {"STEPS = 60, 300": "STEPS = 40, 100",
           "STEPS_OF_AGENT, SLOTS = 6": "STEPS_OF_AGENT, SLOTS = 2"}


def show(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell and gives what its last line shows."""
    tree = ast.parse(source)
    last = tree.body[-1] if isinstance(tree.body[-1], ast.Expr) else None
    if last:
        tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are not kept in the repository"
            source = "".join(cell["source"])
            for long, short in SHORTER.items():
                source = source.replace(long, short)
            shown.append(show(source, names))
    pictures = [x for x in shown if isinstance(x, understudy.Picture)]
    assert len(shown) == 9 and len(pictures) == 3
    assert all(p.png().startswith(b"\x89PNG") and p.pixels.std() > 5 for p in pictures)
    assert shown[7]["model"].count == 16 and "index.html" in shown[8]
