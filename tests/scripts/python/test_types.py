"""Types and docstrings."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

import understudy

PROGRAM = """
import understudy

env = understudy.make("pointmaze", render_mode="rgb_array")
observation, info = env.reset(seed=1)
reveal_type(observation)
done = understudy.collect("wall", "out.h5", episodes=3, vary="light")
reveal_type(done.rows)
reveal_type(understudy.evaluate("model", "out.h5", episodes=3, horizon=4).rate())
"""
CACHE = tempfile.TemporaryDirectory()


def mypy(*arguments: str) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", CACHE.name, *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout


def test_package_is_strictly_typed() -> None:
    found = mypy("-p", "understudy")
    assert found.startswith("Success"), found


def test_users_see_the_types(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(PROGRAM)
    found = mypy(str(tmp_path / "good.py"))
    for wanted in ("dict[str, numpy.ndarray", "int\"", "understudy.jobs.Rate"):
        assert wanted in found.replace("builtins.", ""), found
    assert "error" not in found, found
    (tmp_path / "bad.py").write_text(PROGRAM.replace("episodes=3", 'episodes="3"'))
    found = mypy(str(tmp_path / "bad.py"))
    assert "2 errors" in found, found


def test_all_that_is_public_has_a_docstring() -> None:
    lacking = []
    for name in understudy.__all__:
        thing = getattr(understudy, name)
        things = {name: thing}
        if inspect.isclass(thing) and thing.__module__.startswith("understudy"):
            own = vars(thing).items()
            things |= {f"{name}.{k}": v for k, v in own if not k.startswith("_") and callable(v)}
        lacking += [k for k, v in things.items() if callable(v) and not inspect.getdoc(v)]
    assert not lacking
    for path in Path(str(understudy.__file__)).parent.glob("*.py"):
        if not path.stem.startswith("__"):
            assert importlib.import_module(f"understudy.{path.stem}").__doc__, path
