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


OPENS = int(os.environ.get("UNDERSTUDY_OPENS", 500))  # interop: 10000


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=120)
    return done.stdout.strip()


def test_nothing_heavy_is_imported() -> None:
    loaded = run("import sys, understudy; print(*sys.modules)").split()
    assert "understudy" in loaded
    assert not {"numpy", "cffi", "gymnasium", "mujoco", "understudy._core"} & set(loaded)


@pytest.mark.parametrize("first", ["understudy, gymnasium", "gymnasium, understudy"])
def test_ids_are_registered_in_either_order(first: str) -> None:
    assert run(f"import {first}; print('Understudy/Wall-v0' in gymnasium.registry)") == "True"
    assert run("import gymnasium; print(gymnasium.make('understudy:Understudy/Wall-v0').spec.id)")


def test_import_takes_no_time() -> None:
    code = """
        import time
        import numpy
        begin = time.perf_counter()
        import understudy
        print(time.perf_counter() - begin)
    """
    assert min(float(run(code)) for _ in range(5)) < 0.05


def test_program() -> None:
    expected = f"understudy {understudy.version()}"
    script = str(Path(sys.executable).parent / "understudy")
    for command in ([sys.executable, "-m", "understudy"], [script]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith(expected)
        wrong = subprocess.run([*command, "collect", "--task", "x"], capture_output=True, text=True)
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
    def many(count: int) -> int:
        for i in range(count):
            understudy.make("reacher").close()
            if i % 20 == 0:
                understudy.Encoder(threads=1).close()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB

    before = many(OPENS // 10)
    assert many(OPENS) - before < 4 * 1024


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
