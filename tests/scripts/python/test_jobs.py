"""The jobs from Python, and Python in the place of their parts."""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import understudy
from understudy.hooks import Progress
from understudy.own import Moment, Plan, Seen


def test_loop(model: Path, held: Path, work: Path) -> None:
    seen: list[Progress] = []
    found = understudy.evaluate(model, held, episodes=8, rows="model,random",
                                json=work / "eval.json", progress=seen.append)
    rate = found.rate()
    assert rate.count == 8 and rate.low <= rate.rate <= rate.high
    assert found.rows["random"].first_hit.shape == (8,)
    assert seen[-1].last and "eval" in {p.label for p in seen}
    told = json.loads((work / "eval.json").read_text())
    assert told["rows"]["model"]["first_hit"]["hits"] == rate.hits


def test_pretrain(train: Path, work: Path) -> None:
    done = understudy.pretrain({train: 2.0}, work / "pre", steps=5, progress=False)
    assert done.steps == 5 and (work / "pre" / "config.json").exists()


def test_settings_are_checked(work: Path) -> None:
    for settings in ({"episodes": 0}, {"episodes": 1.5}, {"episodes": "many"}, {"sead": 1},
                     {"vary": 3}, {"seed": -1}):
        with pytest.raises(understudy.errors.UsageError):
            understudy.collect("pointmaze", work / "none.h5", **settings)  # type: ignore[arg-type]
    with pytest.raises(understudy.errors.UsageError, match="no task"):
        understudy.collect("pointmess", work / "none.h5", episodes=1)
    with pytest.raises(understudy.errors.FileError):
        understudy.finetune(work / "none.h5", work / "none")
    assert not (work / "none.h5").exists()


def noisy(m: Moment) -> Any:
    m.memory[0] += 1
    assert m.state.shape == (4,) and m.proprio.shape == (4,)
    return m.rng.uniform(-1, 1, 2) / m.memory[0]


def test_policy_of_ones_own(work: Path) -> None:
    hashes = []
    for threads in (1, 2):
        path = work / f"own{threads}.h5"
        understudy.collect("pointmaze", path, policy=noisy, episodes=6, steps=20, threads=threads)
        data = understudy.Dataset(path)
        hashes.append(data.hash())
    assert hashes[0] == hashes[1] and data.policy == "noisy"
    assert np.nanmax(np.abs(data[0].actions[10:])) < 0.1 < np.nanmax(np.abs(data[0].actions))


def test_error_in_a_policy_comes_out(work: Path) -> None:
    def fails(m: Moment) -> Any:
        raise ZeroDivisionError("of the policy")

    with pytest.raises(ZeroDivisionError, match="of the policy"):
        understudy.collect("pointmaze", work / "bad.h5", policy=fails, episodes=50, overwrite=True)
    for wrong in (lambda m: np.zeros(3), lambda m: [np.nan, 0]):
        with pytest.raises(understudy.errors.UsageError):
            understudy.collect("pointmaze", work / "bad.h5", policy=wrong, episodes=2,
                               overwrite=True)


def test_error_in_a_callback_comes_out(work: Path) -> None:
    def fails(p: Progress) -> None:
        raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        understudy.collect("pointmaze", work / "bad.h5", episodes=2000, progress=fails,
                           overwrite=True)


def test_ctrl_c_keeps_what_is_done(work: Path) -> None:
    path, begun, asked = work / "stopped.h5", threading.Event(), 100000
    settings: Any = {"steps": 20, "seed": 5, "size": 16}

    def press() -> None:
        begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    def told(p: Progress) -> None:
        if p.done > 5000:  # frames: hundreds of episodes
            begun.set()

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        understudy.collect("pointmaze", path, episodes=asked, progress=told, **settings)
    thread.join()
    with understudy.Dataset(path) as kept:
        assert 0 < kept.episodes < asked / 10
    wanted = kept.episodes + 2
    more = understudy.collect("pointmaze", path, resume=True, episodes=wanted, **settings)
    assert more.before == kept.rows and more.episodes == wanted


def test_stopped_training_goes_on(model: Path, train: Path, work: Path) -> None:
    settings: Any = {"steps": 60, "success_steps": 200}

    def stops(p: Progress) -> None:
        if p.unit == "steps":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        understudy.finetune(train, work / "stopped", progress=stops, **settings)
    assert (work / "stopped" / "checkpoint.safetensors").exists()
    done = understudy.finetune(train, work / "stopped", resume=True, progress=False, **settings)
    assert done.steps == 60
    assert understudy.Model(work / "stopped").hash == understudy.Model(model).hash


def test_bar(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for watched in (True, None):
        understudy.collect("reacher", work / "bar.h5", episodes=2, steps=10, size=16,
                           progress=watched, overwrite=True)
        shown = capsys.readouterr().err
        assert ("[########################] 22/22 frames" in shown) is (watched is True)


class Particle(understudy.World):
    """PointMaze without its walls, as a world of the user's own: where the ball would roll to."""

    name, task, block, action, state = "particle", "pointmaze", 5, 2, 4

    def open(self, slots: int) -> None:
        self.at, self.goal = np.zeros((slots, 4)), np.zeros((slots, 2))

    def observe(self, slots: Any, seen: Seen) -> None:
        assert seen.state is not None and seen.actions.shape == (len(slots), 5, 2)
        self.at[slots] = seen.state

    def set_goal(self, slots: Any, seen: Seen) -> None:
        assert seen.state is not None
        self.goal[slots] = seen.state[:, :2]

    def rollout(self, slots: Any, actions: Any) -> Any:
        drive = np.cumsum(np.cumsum(actions.mean(axis=3), axis=2), axis=2)
        steps = np.arange(1, actions.shape[2] + 1)[:, None]
        start = self.at[slots][:, None, None]
        place = start[..., :2] + 0.25 * start[..., 2:] * steps + 0.5 * drive
        return -np.linalg.norm(place - self.goal[slots][:, None, None], axis=-1)


def evaluate_own(held: Path, json_path: Path, batch: int, **settings: Any) -> Any:
    found = understudy.evaluate(Particle(), held, episodes=12, batch=batch, rows="state,random",
                                json=json_path, progress=False, **settings)
    told = json.loads(json_path.read_text())
    row = told["rows"]["state"]
    answers = "first_hit", "last_step", "distance", "first_hit_step", "plans"
    return found, {k: row[k] for k in answers}


def test_world_of_ones_own(held: Path, work: Path) -> None:
    one, first = evaluate_own(held, work / "w1.json", 1)
    all_, second = evaluate_own(held, work / "w32.json", 32)
    assert first == second
    np.testing.assert_array_equal(one.rows["state"].actions, all_.rows["state"].actions)
    # It knows where the goal is, so it comes nearer than at random.
    end = {k: np.nanmean(r.distance[:, -1]) for k, r in one.rows.items()}
    assert end["state"] < 0.8 * end["random"]


def test_planner_of_ones_own(held: Path, work: Path) -> None:
    given: set[bytes] = set()

    def shoot(plan: Plan) -> Any:
        tried = np.stack([plan.rng(i).uniform(-1, 1, (32, plan.horizon, plan.block, plan.action))
                          for i in range(len(plan.slots))])
        best = plan.rollout(tried)[:, :, -1].argmax(axis=1)
        blocks = np.float32(tried[np.arange(len(best)), best, : plan.replan])
        given.update(block[0].tobytes() for block in blocks)
        return blocks

    one, first = evaluate_own(held, work / "p1.json", 1, planner=shoot)
    _, second = evaluate_own(held, work / "p5.json", 5, planner=shoot)
    assert first == second and one.rows["state"].rates["first_hit"].count == 12
    # What it gave is what was played: the first blocks of the first plan.
    assert one.rows["state"].actions[0, 0].tobytes() in given
    assert json.loads((work / "p1.json").read_text())["planner"]["name"] == "shoot"

    def fails(plan: Plan) -> Any:
        raise LookupError("of the planner")

    with pytest.raises(LookupError, match="of the planner"):
        evaluate_own(held, work / "p.json", 4, planner=fails)


def test_error_in_a_world_comes_out(held: Path, work: Path) -> None:
    class Broken(Particle):
        def rollout(self, slots: Any, actions: Any) -> Any:
            raise LookupError("of the world")

    with pytest.raises(LookupError, match="of the world"):
        understudy.evaluate(Broken(), held, episodes=4, rows="state", progress=False)

    class Other(Particle):
        block = 3

    with pytest.raises(understudy.errors.UsageError, match="blocks of 5"):
        understudy.evaluate(Other(), held, episodes=4, rows="state", progress=False)


class Stepped(understudy.World):
    """A simulator behind step, save and restore."""

    name, task, block, action, state = "stepped", "line", 1, 1, 1

    def open(self, slots: int) -> None:
        self.x, self.goal = np.zeros(slots), np.zeros(slots)

    def observe(self, slots: Any, seen: Seen) -> None:
        assert seen.state is not None
        self.x[slots] = seen.state[:, 0]

    def set_goal(self, slots: Any, seen: Seen) -> None:
        assert seen.state is not None
        self.goal[slots] = seen.state[:, 0]

    def step(self, slot: int, actions: Any) -> float:
        self.x[slot] += float(actions[0, 0])
        return -abs(float(self.x[slot] - self.goal[slot]))

    def save(self, slot: int) -> Any:
        return self.x[slot]

    def restore(self, slot: int, saved: Any) -> None:
        self.x[slot] = saved


def test_planner_in_a_world_of_ones_own() -> None:
    planner = understudy.Planner("cem", Stepped(), slots=2, seed=1, horizon=3)
    planner.env.observe(state=[[0.0], [0.0]])
    planner.env.set_goal(state=[[1.0], [-1.0]])
    planner.start()
    plan = planner.plan()
    assert plan.shape == (2, 1, 1, 1)
    assert plan[0] > 0.5 and plan[1] < -0.5 and planner.candidate_steps > 0
    alone = understudy.Planner("cem", Stepped(), slots=2, seed=1, horizon=3)
    alone.env.observe(state=[[0.0], [0.0]])
    alone.env.set_goal(state=[[1.0], [-1.0]])
    alone.start()
    np.testing.assert_array_equal(alone.plan([1])[0], plan[1])
    # A planner that is closed lets go of its world.
    world = weakref.ref(alone.env)
    alone.close()
    del alone
    gc.collect()
    assert world() is None


def test_planner_on_the_simulator() -> None:
    env = understudy.Slots("sim:pointmaze", 2, goals=True)
    env.reset([1, 2])
    before, _ = env.score()
    planner = understudy.Planner("cem", env, seed=1)
    planner.start()
    for _ in range(8):
        env.step(planner.plan()[:, 0])
    after, _ = env.score()
    assert (after < 0.5 * before).all()
    with pytest.raises(understudy.errors.UsageError):
        understudy.Planner("cem", env, horizon=0)
    for wrong in ([2], [-1], [1, 1], [0, 1, 0], "x", [2**70]):
        with pytest.raises(understudy.errors.UsageError, match="slots"):
            planner.plan(wrong)
        with pytest.raises(understudy.errors.UsageError, match="slots"):
            env.render(wrong)
    quiet = functools.partial(lambda shape, plan: np.zeros(shape), (2, 1, 5, 2))
    own = understudy.Planner(quiet, env)
    own.start()
    assert not own.plan().any()


def test_encoder_and_rollout(model: Path, held: Path) -> None:
    data = understudy.Dataset(held)
    m = understudy.Model(model)
    frames = data.pixels(0, 12)
    features = m.encoder.encode(frames)
    np.testing.assert_array_equal(features, understudy.Encoder().encode(frames))
    np.testing.assert_array_equal(features[3:4], m.encoder.encode(frames[3:4]))
    assert m.encoder.decode(features).shape == frames.shape
    with pytest.raises(understudy.errors.UsageError, match="uint8"):
        m.encoder.encode(frames / 255)

    # What the env imagines is what rollout gives.
    actions = np.random.default_rng(1).uniform(-1, 1, (1, 1, 3, m.block, m.action))
    actions = actions.astype(np.float32)
    context = features[[0, 5]][None]
    past = np.nan_to_num(data.actions[0:5])[None, None]
    found = m.rollout(context, actions, past)
    env = understudy.Slots(f"model:{model}")
    env.observe(pixels=frames[[0]], time=0.0, first=True)
    env.observe(pixels=frames[[5]], time=5 * m.dt, first=False, action=past[:, 0])
    for h in range(3):
        env.step(actions[:, 0, h])
        latent = env.look(["latent"])["latent"]
        np.testing.assert_allclose(latent, found[0, 0, h][None], atol=1e-3)
    assert np.abs(found[0, 0, 2] - found[0, 0, 0]).max() > 0.01
    assert m.contexts.shape[1:] == (2, 1, 128) and not m.contexts.flags.writeable


class Tensor:
    """As torch's: numbers behind DLPack."""

    def __init__(self, data: Any) -> None:
        self.data = np.asarray(data)

    def __dlpack__(self, **settings: Any) -> Any:
        return self.data.__dlpack__(**settings)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()


def test_tensors_come_in(held: Path) -> None:
    frames = understudy.Dataset(held).pixels(0, 2)
    encoder = understudy.Encoder()
    np.testing.assert_array_equal(encoder.encode(Tensor(frames)), encoder.encode(frames))


def test_dataset_owns_its_arrays(held: Path) -> None:
    data = understudy.Dataset(held)
    states, total = data.states, data.states.sum()
    assert not states.flags.writeable and not states.flags.owndata
    data.close()
    assert states.sum() == total
    with pytest.raises(understudy.Error, match="closed"):
        data.states
    with pytest.raises(understudy.Error, match="closed"):
        data.pixels(0)


def test_dataset_round_trip(work: Path) -> None:
    understudy.collect("pointmaze", work / "varied.h5", episodes=3, steps=10, vary="light")
    data = understudy.Dataset(work / "varied.h5")
    settings: Any = {
        "task": data.task, "episodes": 2, "rows": 100, "action": data.action, "state": data.state,
        "proprio": data.proprio_size, "size": (64, 64), "dt": data.dt,
        "variation": data.variation_names}
    with understudy.DatasetWriter(work / "copy.h5", **settings) as out:
        for e in (data[0], data[1]):
            out.append(states=e.states, actions=e.actions[:-1], pixels=e.pixels, proprio=e.proprio,
                       times=e.times, variation=e.variation)
        for wrong in ({"actions": np.zeros((3, 2))}, {"variation": [1.0]}, {"pixels": None}):
            right: Any = vars(data[2])
            with pytest.raises(understudy.errors.UsageError, match=next(iter(wrong))):
                out.append(**(right | wrong))
    copy = understudy.Dataset(work / "copy.h5")
    assert len(copy) == 2 and copy.finished and copy.dt == data.dt
    assert copy.variation_names == data.variation_names and np.ptp(data.variation) > 0
    for a, b in zip(copy, data):
        for name, numbers in vars(a).items():
            np.testing.assert_array_equal(numbers, vars(b)[name], name)
    for bad in ({"dt": 0.0}, {"task": "x" * 64}, {"task": "a\0b"}, {"variation": ["a,b"]}):
        with pytest.raises(understudy.errors.UsageError):
            understudy.DatasetWriter(work / "bad.h5", **(settings | bad))
    assert not list(work.glob("bad.h5*"))
