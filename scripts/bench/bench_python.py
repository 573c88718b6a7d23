#!/usr/bin/env python3
"""What Python costs over C, and frames against gymnasium-robotics.

    scripts/bench/bench_python.py [--model DIR] [--seconds 1]

Needs the package (pip install .). Prints: the time of `import understudy` over numpy's;
microseconds of Python in a step of one slot with state observations; with --model the env steps/s
of Understudy/Model-v0 at 64 slots, as a share of what C's own calls give; rgb frames a core-second
of PointMaze at 64 px in 16 slots, and where they are installed the ratios to gymnasium_robotics in
SyncVectorEnv and to EnvPool's env of pixels.
Times are the least of several runs.
"""
import argparse
import ctypes
import multiprocessing
import os
import resource
import subprocess
import sys
import time
import timeit
from concurrent.futures import ProcessPoolExecutor

import gymnasium
import numpy as np
import understudy
from understudy._library import ffi, lib

SLOTS = 16
OPEN = {}


def least(call, number, repeat=15):
    return min(timeit.repeat(call, timer=time.process_time, number=number, repeat=repeat)) / number


def import_seconds():
    code = ("import time, numpy\na = time.perf_counter()\nimport understudy\n"
            "print(time.perf_counter() - a)")
    run = [sys.executable, "-c", code]
    return min(float(subprocess.check_output(run)) for _ in range(5))


def step_microseconds():
    """A step through Gymnasium's interface less the two calls of C in it."""
    env = understudy.make("reacher", block=1, steps=10**6)
    env.reset(seed=1)
    stage, action = env._stage, np.zeros(2, np.float32)
    e = stage.env._alive()
    parts = [ffi.from_buffer(x) for x in stage.one().values()]

    def calls():
        lib.us_env_step(e, stage._to, stage._step)
        lib.us_env_view(e, stage.kind, 1, stage._all, *parts)

    pairs = [(least(lambda: env.step(action), 50, 1), least(calls, 50, 1)) for _ in range(200)]
    return (min(p[0] for p in pairs) - min(p[1] for p in pairs)) * 1e6


def model_share(folder, slots=64):
    envs = understudy.make_vec(f"model:{folder}", slots, steps=10**6, threads=1)
    envs.reset(seed=1)
    stage, e = envs._stage, envs.slots._alive()
    parts = [ffi.from_buffer(x) for x in stage.view().values()]
    actions = np.zeros(envs.action_space.shape, np.float32)

    def calls():
        lib.us_env_step(e, stage._to, stage._step)
        lib.us_env_view(e, stage.kind, slots, stage._all, *parts)

    # In turns and one thread's own time, as others may work on this machine too.
    pairs = [(least(lambda: envs.step(actions), 5, 1), least(calls, 5, 1)) for _ in range(60)]
    ours, theirs = (min(p[k] for p in pairs) for k in (0, 1))
    return slots * envs.slots.block / ours, theirs / ours


def ours():
    envs = gymnasium.make_vec("Understudy/PointMaze-v0", SLOTS, block=1, obs="pixels",
                              steps=10**6, threads=1)
    return envs, lambda: None


def robotics():
    os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is loaded
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    envs = gymnasium.make_vec("PointMaze_UMaze-v3", SLOTS, vectorization_mode="sync", width=64,
                              height=64, render_mode="rgb_array")
    return envs, envs.render


def envpool():
    ctypes.CDLL("libEGL.so.1", mode=ctypes.RTLD_GLOBAL)  # its renderer looks for one that is loaded
    import envpool

    envs = envpool.make("PointMaze_UMaze-v3", env_type="gymnasium", num_envs=SLOTS, num_threads=1,
                        from_pixels=True, render_width=64, render_height=64)
    return envs, lambda: None


SIDES = {"ours": ours, "gymnasium-robotics": robotics, "EnvPool": envpool}


def frames_per_core_second(name, seconds):
    """In a process of its own, which keeps the envs between calls."""
    if name not in OPEN:
        OPEN[name] = SIDES[name]()
        OPEN[name][0].reset()
    envs, draw = OPEN[name]
    actions = np.random.default_rng(1).uniform(-1, 1, (16, SLOTS, 2))
    count, begin, usage = 0, time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    while time.perf_counter() - begin < seconds:
        envs.step(actions[count % len(actions)])
        draw()
        count += 1
    end = resource.getrusage(resource.RUSAGE_SELF)
    return SLOTS * count / (end.ru_utime + end.ru_stime - usage.ru_utime - usage.ru_stime)


def frames(seconds):
    """Frames a core-second of ours and of those that are installed, in turns: the best of each."""
    spawn, best, sides = multiprocessing.get_context("spawn"), {}, dict.fromkeys(SIDES)
    for turn in range(7):
        for name in list(sides):
            sides[name] = sides[name] or ProcessPoolExecutor(1, mp_context=spawn)
            try:
                found = sides[name].submit(frames_per_core_second, name, seconds).result()
            except ImportError:
                print(f"{name} is not installed: not compared")
                del sides[name]
                continue
            if turn > 0:  # the first one warms up
                best[name] = max(best.get(name, 0), found)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=1)
    a = parser.parse_args()
    print(f"import over numpy           {import_seconds() * 1e3:8.1f} ms")
    print(f"Python in a step            {step_microseconds():8.1f} us")
    if a.model:
        speed, share = model_share(a.model)
        print(f"Model-v0, 64 slots          {speed:8.0f} env steps/s, {100 * share:.0f} % of C")
    best = frames(a.seconds)
    print(f"rgb frames, 16 slots, 64 px {best['ours']:8.0f} a core-second")
    for name in list(best)[1:]:
        print(f"{name:<27} {best[name]:8.0f} a core-second: {best['ours'] / best[name]:.1f} times")


if __name__ == "__main__":
    main()
