#!/usr/bin/env python3
"""Compares collecting PointMaze trajectories with frames: `understudy collect` against a Python loop
over gymnasium-robotics, one frame an env step, random actions.

    scripts/bench/compare_collect.py [--program build/release/understudy] [--size 64] [--seconds 10]

Prints frames per second and per core-second of both and their ratios. Understudy's numbers include
the start of the program and writing the file; Python's leave out imports and the first frame. Where
gymnasium_robotics is not installed, the comparison is skipped with a message.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

STEPS = 200  # env steps an episode


def core_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def report(name, frames, wall, core):
    print(f"{name:20s} {frames / wall:9.0f} frames/s {frames / core:9.0f} frames a core-second")
    return frames / wall, frames / core


def python_loop(size, seconds):
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make("PointMaze_UMaze-v3", render_mode="rgb_array", width=size, height=size,
                         max_episode_steps=STEPS)
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (size, size, 3), frame.shape
    frames, wall, core = 0, time.time(), core_seconds(resource.RUSAGE_SELF)
    while time.time() - wall < seconds:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        frame = env.render()
        frames += 1
        if terminated or truncated:
            env.reset()
    result = report("gymnasium-robotics", frames, time.time() - wall,
                    core_seconds(resource.RUSAGE_SELF) - core)
    env.close()
    return result


def collect(program, size, episodes):
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "collect", "--task", "pointmaze", "--episodes", str(episodes), "--seed",
                   "0", "--steps", str(STEPS), "--size", str(size), "--out",
                   os.path.join(folder, "train.h5")]
        wall, core = time.time(), core_seconds(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True)
        wall, core = time.time() - wall, core_seconds(resource.RUSAGE_CHILDREN) - core
        if done.returncode != 0:
            sys.exit(f"compare_collect: {' '.join(command)}: {done.stderr.strip()}")
    return report("understudy collect", episodes * (STEPS + 1), wall, core)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default="build/release/understudy")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10, help="length of the Python loop")
    parser.add_argument("--episodes", type=int, default=200, help="episodes that understudy plays")
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK):
        sys.exit(f"compare_collect: {options.program}: expected the program, found none; "
                 "run scripts/build.sh")
    ours = collect(options.program, options.size, options.episodes)
    try:
        import gymnasium_robotics  # noqa: F401
    except ImportError:
        print("compare_collect: skipped the Python loop: gymnasium_robotics is not installed")
        return
    os.environ.setdefault("MUJOCO_GL", "egl")
    theirs = python_loop(options.size, options.seconds)
    print(f"ratio: {ours[0] / theirs[0]:.1f} a machine, {ours[1] / theirs[1]:.1f} a core")


if __name__ == "__main__":
    main()
