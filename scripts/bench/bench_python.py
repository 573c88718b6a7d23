#!/usr/bin/env python3
"""What Python costs over C, and frames against gymnasium-robotics.

    scripts/bench/bench_python.py [--model DIR] [--seconds 3]

Needs the package (pip install .). Prints: the time of `import understudy` over numpy's;
microseconds of Python in a step of one slot with state observations; with --model the env steps/s
of Understudy/Model-v0 at 64 slots, as a share of what C's own calls give; rgb frames a core-second
of PointMaze at 64 px in 16 slots, and where they are installed the ratios to gymnasium_robotics in
SyncVectorEnv and to EnvPool's env of pixels.
Times are the least of several runs.
"""
import argparse
import os
import resource
import subprocess
import sys
import time
import timeit

import gymnasium
import numpy as np
import understudy
from understudy._library import ffi, lib


def least(call, number, repeat=15):
    return min(timeit.repeat(call, number=number, repeat=repeat)) / number


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
    envs = understudy.make_vec(f"model:{folder}", slots, steps=10**6)
    envs.reset(seed=1)
    stage, e = envs._stage, envs.slots._alive()
    parts = [ffi.from_buffer(x) for x in stage.view().values()]
    actions = np.zeros(envs.action_space.shape, np.float32)

    def calls():
        lib.us_env_step(e, stage._to, stage._step)
        lib.us_env_view(e, stage.kind, slots, stage._all, *parts)

    ours, theirs = least(lambda: envs.step(actions), 10), least(calls, 10)
    return slots * envs.slots.block / ours, theirs / ours


def frames_per_core_second(envs, seconds, frames):
    envs.reset(seed=1)
    envs.action_space.seed(1)
    actions = [envs.action_space.sample() for _ in range(16)]
    for i in range(3):
        envs.step(actions[i])
        frames(envs)
    count, begin, usage = 0, time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    while time.perf_counter() - begin < seconds:
        envs.step(actions[count % 16])
        frames(envs)
        count += 1
    end = resource.getrusage(resource.RUSAGE_SELF)
    core = end.ru_utime + end.ru_stime - usage.ru_utime - usage.ru_stime
    return count * envs.num_envs / core


def robotics(seconds):
    try:
        os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is loaded
        import gymnasium_robotics
    except ImportError:
        return None
    gymnasium.register_envs(gymnasium_robotics)
    envs = gymnasium.make_vec("PointMaze_UMaze-v3", 16, vectorization_mode="sync", width=64,
                              height=64, render_mode="rgb_array")
    return frames_per_core_second(envs, seconds, lambda e: e.render())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=3)
    a = parser.parse_args()
    print(f"import over numpy           {import_seconds() * 1e3:8.1f} ms")
    print(f"Python in a step            {step_microseconds():8.1f} us")
    if a.model:
        speed, share = model_share(a.model)
        print(f"Model-v0, 64 slots          {speed:8.0f} env steps/s, {100 * share:.0f} % of C")
    envs = gymnasium.make_vec("Understudy/PointMaze-v0", 16, block=1, obs="pixels", steps=10**6,
                              threads=1)
    ours = frames_per_core_second(envs, a.seconds, lambda e: None)
    print(f"rgb frames, 16 slots, 64 px {ours:8.0f} a core-second")
    theirs = robotics(a.seconds)
    if theirs is None:
        print("gymnasium_robotics is not installed: not compared")
    else:
        print(f"gymnasium-robotics          {theirs:8.0f} a core-second: {ours / theirs:.1f} times")


if __name__ == "__main__":
    main()
