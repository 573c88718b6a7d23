"""The package itself: what it imports, its program, its owners, and what must not end Python."""

from __future__ import annotations

import gc
import importlib.util
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import understudy


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=120)  # fmt: skip
    return done.stdout.strip()


def test_nothing_heavy_is_imported() -> None:
    found = run("""
        import sys
        import understudy
        print([m for m in ("numpy", "cffi", "gymnasium", "mujoco", "understudy._core") if m in sys.modules])
    """)
    assert found == "[]"


@pytest.mark.parametrize("first", ["understudy, gymnasium", "gymnasium, understudy"])
def test_ids_are_registered_in_either_order(first: str) -> None:
    assert run(f"import {first}; print(gymnasium.make('Understudy/Wall-v0').reset(seed=1)[1])") == "{}"
    assert run("import gymnasium; print(gymnasium.make('understudy:Understudy/Wall-v0').spec.id)")


def test_import_takes_no_time() -> None:
    code = """
        import time
        a = time.perf_counter(); import numpy
        b = time.perf_counter(); import understudy
        print(time.perf_counter() - b)
    """
    assert min(float(run(code)) for _ in range(3)) < 0.05


def test_program() -> None:
    expected = f"understudy {understudy.version()}"
    for command in ([sys.executable, "-m", "understudy"], [str(Path(sys.executable).parent / "understudy")]):
        done = subprocess.run([*command, "--version"], check=True, text=True, stdout=subprocess.PIPE)
        assert done.stdout.startswith(expected)
        wrong = subprocess.run([*command, "collect", "--task", "x"], text=True, stderr=subprocess.PIPE)
        assert wrong.returncode == 2 and wrong.stderr.startswith("understudy collect:")


def test_module_has_the_stable_abi() -> None:
    spec = importlib.util.find_spec("understudy._core")
    assert spec is not None and str(spec.origin).endswith("_core.abi3.so")


def test_every_status_has_its_class() -> None:
    from understudy._library import lib
    from understudy.errors import CLASSES

    count = 0
    while lib.us_status_text(count) != lib.us_status_text(999):
        count += 1
    assert len(CLASSES) == count - 1  # all but US_OK
    assert all(issubclass(c, understudy.Error) for c in CLASSES.values())


def test_open_and_close_keep_memory_flat() -> None:
    def many(count: int) -> None:
        for _ in range(count):
            understudy.Encoder(threads=1).close()
            understudy.Slots("sim:reacher").close()

    many(100)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    many(400)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


def test_collected_while_it_is_open() -> None:
    env = understudy.make("pointmaze")
    env.reset(seed=1)
    loop = [env]
    loop.append(loop)  # type: ignore[arg-type]
    del env, loop
    gc.collect()


def test_fork() -> None:
    env = understudy.make_vec("pointmaze", 2, threads=2)
    env.reset(seed=1)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for threads which are not there ends so
        code = 1
        try:
            env.step(np.zeros(env.action_space.shape, np.float32))
        except understudy.Error as e:
            code = 0 if "forked" in str(e) else 2
        other = understudy.make("pointmaze")
        other.reset(seed=1)
        other.step(np.zeros(10, np.float32))
        del env, other
        gc.collect()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    env.step(np.zeros(env.action_space.shape, np.float32))


def test_exit_with_everything_open() -> None:
    assert run("""
        import understudy
        env = understudy.make("pointmaze", render_mode="rgb_array")
        env.reset(seed=1)
        encoder = understudy.Encoder()
        print(env.render().shape)
    """) == "(64, 64, 3)"
