"""Gymnasium's rules, and that a vector is nothing but its single envs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import understudy
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from understudy.registration import IDS


@pytest.mark.parametrize("title", IDS.values())
def test_check_env(title: str) -> None:
    # Warnings are errors here (pyproject.toml).
    for settings in ({}, {"obs": "pixels", "render_mode": "rgb_array"}):
        env = gymnasium.make(f"Understudy/{title}-v0", **settings)
        check_env(env.unwrapped)
        env.close()


def test_ids_are_the_tasks() -> None:
    assert set(IDS) == set(understudy.tasks())


def test_model_and_simulator_have_the_same_spaces(model: Path) -> None:
    env = gymnasium.make("Understudy/Model-v0", model=model, render_mode="rgb_array")
    check_env(env.unwrapped)
    sim = gymnasium.make("Understudy/PointMaze-v0", obs="latent", encoder=model)
    check_env(sim.unwrapped)
    assert env.observation_space == sim.observation_space
    assert env.action_space == sim.action_space
    for e in (env, sim):
        e.action_space.seed(1)
        for seed in range(8):
            e.reset(seed=seed)
            seen, reward, _, _, info = e.step(e.action_space.sample())
            goals = seen["achieved_goal"], seen["desired_goal"]
            assert e.unwrapped.compute_reward(*goals, info) == reward
        goals = seen["achieved_goal"], seen["desired_goal"]
        assert e.unwrapped.compute_reward(*goals, info) == reward
        many = e.unwrapped.compute_reward(*(np.stack([g] * 3) for g in goals), [info] * 3)
        np.testing.assert_array_equal(many, np.float32([reward] * 3))
        same = goals[1], goals[1]
        assert e.unwrapped.compute_reward(*same, info) == 0
        assert e.unwrapped.compute_terminated(*same, info)


def test_frames_are_judged_with_an_encoder() -> None:
    bare = understudy.make("wall", obs="pixels")
    assert not hasattr(bare, "compute_reward")
    env = understudy.make("wall", obs="pixels", encoder="default")
    env.reset(seed=1)
    env.action_space.seed(1)
    seen, reward, _, _, info = env.step(env.action_space.sample())
    assert env.compute_reward(seen["achieved_goal"], seen["desired_goal"], info) == reward < 0


def same(a: Any, b: Any, at: str = "") -> None:
    """The same numbers, types and shapes."""
    if isinstance(a, dict):
        assert set(a) == set(b), at
        for key in a:
            same(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, (tuple, list)) or (isinstance(a, np.ndarray) and a.dtype == object):
        assert len(a) == len(b), at
        for i in range(len(a)):
            same(a[i], b[i], f"{at}[{i}]")
    elif a is None or b is None:
        assert a is b, at
    else:
        assert np.asarray(a).dtype == np.asarray(b).dtype, at
        np.testing.assert_array_equal(a, b, at)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("obs", ["state", "pixels", "model"])
def test_vector_is_its_single_envs(mode: AutoresetMode, obs: str, model: Path) -> None:
    # steps=12 with blocks of 5 ends an episode at its third block.
    name, settings = "Understudy/PointMaze-v0", {"obs": obs, "steps": 12}
    if obs == "model":
        name, settings = "Understudy/Model-v0", {"model": model, "steps": 12}
    ours = gymnasium.make_vec(name, 3, autoreset_mode=mode, **settings)
    one = gymnasium.spec(name)
    theirs = SyncVectorEnv([lambda: one.make(disable_env_checker=True, **settings).unwrapped] * 3,
                           autoreset_mode=mode)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.metadata["autoreset_mode"] == mode
    same(ours.reset(seed=4), theirs.reset(seed=4))
    ours.action_space.seed(1)
    ends = 0
    for step in range(9):
        actions = ours.action_space.sample()
        a, b = ours.step(actions), theirs.step(actions)
        same(a, b, f"step {step}")
        ends += int(np.sum(a[2] | a[3]))
    assert ends >= 6
    ours.close()


def test_wrappers_of_vectors() -> None:
    envs = RecordEpisodeStatistics(understudy.make_vec("pointmaze", 2, steps=10))
    envs.reset(seed=4)
    envs.action_space.seed(4)
    total = np.zeros(2)
    for _ in range(2):  # until the time is up: none gets there
        _, reward, solved, _, info = envs.step(envs.action_space.sample())
        assert not solved.any()
        total += reward
    np.testing.assert_allclose(info["episode"]["r"], total)
    np.testing.assert_array_equal(info["episode"]["l"], [2, 2])


def test_vector_of_one() -> None:
    envs, env = understudy.make_vec("wall", 1), understudy.make("wall")
    envs.reset(seed=1), env.reset(seed=1)
    action = np.full(env.action_space.shape, 0.5, np.float32)
    same({k: v[0] for k, v in envs.step(action[None])[0].items()}, env.step(action)[0])


def test_disabled_autoreset() -> None:
    envs = understudy.make_vec("pointmaze", 3, steps=5, autoreset_mode=AutoresetMode.DISABLED)
    first, _ = envs.reset(seed=1)
    still = np.zeros(envs.action_space.shape, np.float32)
    seen, _, terminated, truncated, _ = envs.step(still)
    assert truncated.all()
    with pytest.raises(understudy.errors.UsageError, match="reset of the slots"):
        envs.step(still)
    mask = np.array([True, False, False])
    with pytest.raises(understudy.errors.UsageError, match="reset_mask"):
        envs.reset(options={"reset_mask": ~mask & mask})
    again, _ = envs.reset(seed=7, options={"reset_mask": mask})
    assert (again["observation"][0] != seen["observation"][0]).any()
    np.testing.assert_array_equal(again["observation"][1:], seen["observation"][1:])


def test_seeds_repeat_whatever_the_threads() -> None:
    found = []
    for threads in (1, 2):
        envs = understudy.make_vec("wall", 5, obs="pixels", threads=threads)
        envs.reset(seed=3)
        envs.action_space.seed(2)
        found.append([envs.step(envs.action_space.sample()) for _ in range(3)])
    same(found[0], found[1])


def test_blocks_of_one_step() -> None:
    env = understudy.make("reacher", block=1, steps=2)
    assert env.action_space.shape == (2,)
    env.reset(seed=1)
    ends = [env.step(np.ones(2, np.float32))[3] for _ in range(2)]
    assert ends == [False, True]


def test_goals(train: Path, tmp_path: Path) -> None:
    env = understudy.make("pointmaze", render_mode="rgb_array")
    data = understudy.Dataset(train)
    row = 30
    by_row, _ = env.reset(seed=1, options={"goal": (train, row)})
    by_state, _ = env.reset(seed=1, options={"goal": data.states[row]})
    drawn, _ = env.reset(seed=1)
    np.testing.assert_array_equal(by_row["desired_goal"], by_state["desired_goal"])
    np.testing.assert_array_equal(by_row["observation"], drawn["observation"])
    np.testing.assert_allclose(by_row["desired_goal"], data.states[row, :2])
    assert (drawn["desired_goal"] != by_row["desired_goal"]).any()
    with pytest.raises(understudy.Error):
        env.reset(options={"goal": np.zeros(3)})
    with pytest.raises(understudy.errors.UnsupportedError):
        env.reset(options={"goal": data.pixels(row)[0]})
    # An episode ends where its goal is reached.
    env.reset(seed=1, options={"goal": data.states[0]})
    env.slots.observe(state=data.states[:1], first=True)
    _, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
    assert terminated and info["is_success"] and reward > -0.5
    envs = understudy.make_vec("pointmaze", 2)
    seen, _ = envs.reset(seed=1, options={"goal": [data.states[row], None]})
    np.testing.assert_array_equal(seen["desired_goal"][0], by_row["desired_goal"])


def test_model_takes_a_picture_as_its_goal(model: Path, held: Path) -> None:
    env = understudy.make(f"model:{model}", render_mode="rgb_array")
    frame = understudy.Dataset(held).pixels(40)[0]
    seen, _ = env.reset(seed=1, options={"goal": frame})
    features = understudy.Encoder().encode(frame[None])[0]
    np.testing.assert_allclose(seen["desired_goal"], features.ravel(), atol=1e-4)
    again, _ = env.reset(seed=1, options={"goal": features.ravel()})
    np.testing.assert_allclose(again["desired_goal"], seen["desired_goal"], atol=1e-4)
    assert env.render().shape == (64, 64, 3)


def test_render() -> None:
    env = understudy.make("pusht", render_mode="rgb_array", size=48)
    env.reset(seed=1)
    frame = env.render()
    assert frame is not None and frame.shape == (48, 48, 3) and frame.std() > 5
    envs = understudy.make_vec("pusht", 2, render_mode="rgb_array", size=48)
    envs.reset(seed=1)
    frames = envs.render()
    assert frames is not None
    np.testing.assert_array_equal(frames[0], frame)
    assert (frames[1] != frame).any()


def test_window() -> None:
    """In a display of its own, as check_env's tests of render modes would want one."""
    code = """
import understudy
env = understudy.make("pointmaze", render_mode="human")
env.reset(seed=1)
env.step(env.action_space.sample())
assert env.render() is None
env.close()
print("shown")
"""
    display = shutil.which("xvfb-run")
    assert display is not None, "xvfb is one of the packages of scripts/install.sh"
    command = [display, "-a", sys.executable, "-c", code]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == "shown\n"
    alone = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(command[2:], text=True, stderr=subprocess.PIPE, env=alone, timeout=60)
    assert "RenderError: render_mode human" in done.stderr


def test_any_mjcf(robot: Path) -> None:
    env = understudy.make(f"mjcf:{robot}", render_mode="rgb_array")
    check_env(env, skip_render_check=True)  # which needs an id
    assert env.action_space.shape == (5,)
    env.reset(seed=1)
    assert env.render().std() > 1  # type: ignore[union-attr]
    with pytest.raises(understudy.Error, match="no.xml"):
        understudy.make("mjcf:no.xml")


@pytest.mark.parametrize("settings", [{"obs": "smell"}, {"steps": 0}, {"block": -1}, {"size": -1},
                                      {"render_mode": "ascii"}, {"obs": "latent"},
                                      {"render_mode": "rgb_array", "gl": "fast"},
                                      {"encoder": "default", "device": "abacus"}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(understudy.Error):
        understudy.make("pointmaze", **settings)


def test_wrong_actions_are_refused() -> None:
    env = understudy.make("pointmaze")
    env.reset(seed=1)
    for action in (np.zeros(3), np.full(10, np.nan), "left", np.zeros((2, 10))):
        with pytest.raises((understudy.Error, ValueError)):
            env.step(action)  # type: ignore[arg-type]
    env.close()
    with pytest.raises(understudy.Error, match="closed"):
        env.step(np.zeros(10, np.float32))


def test_two_threads_work_at_once() -> None:
    """Another plays while one is inside a long call of C, which Python's lock would forbid."""
    slow = understudy.Slots("sim:rope", block=20)
    slow.reset([1])
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        slow.step(np.zeros((1, slow.block, slow.action)))
        done.set()

    env = understudy.make("pointmaze")
    env.reset(seed=1)
    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(60)
    steps = 0
    while not done.is_set():
        env.step(np.ones(10, np.float32))
        steps += 1
    thread.join()
    assert steps > 100
