#!/usr/bin/env python3
"""An agent that learns in the model alone, scored in the simulator.

    scripts/bench/agent_in_model.py --model DIR --data HELDOUT.h5 [--steps 10000] [--inside simulator]

Trains SAC of Stable-Baselines3, with fixed settings, in Understudy/Model-v0 (or, with --inside
simulator, in the model's task itself, through the same spaces), then plays 256 start / goal pairs, 25
env steps apart on the held-out trajectories, in the simulator with a budget of 50, beside uniform
actions. Prints both rates of pairs solved after some env step and McNemar's exact p.
"""
import argparse
import json

import gymnasium
import numpy as np
import stable_baselines3
import torch
import understudy
from understudy._library import lib

PAIRS, AHEAD, BUDGET = 256, 25, 50


def pairs(path):
    """Rows of starts and goals, more than a tenth of a maze's cell apart in the state."""
    data, rng = understudy.Dataset(path), np.random.default_rng(0)
    found = []
    while len(found) < PAIRS:
        e = int(rng.integers(data.episodes))
        t = int(data.offsets[e] + rng.integers(data.lengths[e] - AHEAD))
        found.append((t, t + AHEAD))
    return data.states[[f[0] for f in found]], data.states[[f[1] for f in found]]


def play(envs, starts, goals, act):
    """Whether each pair was solved after some env step; those that are solved at once do not count."""
    slots = envs.slots
    envs.reset(seed=0)
    slots.observe(state=starts, first=True)
    slots.set_goal(state=goals)
    solved = slots.score()[1]
    hit, counts = np.zeros(PAIRS, bool), ~solved
    for _ in range(BUDGET // slots.block):
        envs._stage.play(act(envs._stage.view()))
        hit |= envs._stage._success.any(axis=1)
    return hit[counts]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--inside", choices=["model", "simulator"], default="model")
    a = parser.parse_args()
    torch.set_num_threads(1)
    with understudy.Model(a.model) as model:
        task = model.task
    if a.inside == "model":
        env = gymnasium.make("Understudy/Model-v0", model=a.model, steps=BUDGET)
    else:
        env = understudy.make(task, obs="latent", encoder=a.model, steps=BUDGET)
    agent = stable_baselines3.SAC(
        "MultiInputPolicy", env, learning_rate=1e-3, batch_size=256, gamma=0.9, tau=0.02,
        learning_starts=500, train_freq=1, seed=1, device="cpu",
        replay_buffer_class=stable_baselines3.HerReplayBuffer)
    agent.learn(a.steps)
    envs = understudy.make_vec(task, PAIRS, obs="latent", encoder=a.model, steps=10 * BUDGET)
    starts, goals = pairs(a.data)
    learnt = play(envs, starts, goals, lambda seen: agent.predict(seen, deterministic=True)[0])
    rng = np.random.default_rng(1)
    floor = play(envs, starts, goals, lambda seen: rng.uniform(-1, 1, envs.action_space.shape))
    p = lib.us_mcnemar(int((learnt & ~floor).sum()), int((floor & ~learnt).sum()))
    print(json.dumps({"inside": a.inside, "steps": a.steps, "pairs": len(learnt), "p": p,
                      "agent": round(float(learnt.mean()), 3), "random": round(float(floor.mean()), 3)}))


if __name__ == "__main__":
    main()
