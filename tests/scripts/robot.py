#!/usr/bin/env python3
"""A robot of the protocol exec: (env/exec.h) in one file: a disc on a table that is moved by its
velocity. What a robot of your own needs is in the loop at the end."""
import json
import random
import sys

SIDE, DT = 64, 0.05
pipe_in, pipe_out = sys.stdin.buffer, sys.stdout.buffer


class Disc:
    def reset(self, seed, state=None):
        draw = random.Random(seed)
        self.at = list(state) if state else [draw.uniform(-0.9, 0.9), draw.uniform(-0.9, 0.9)]

    def act(self, velocity):
        for i in range(2):
            self.at[i] = min(max(self.at[i] + DT * velocity[i], -1.0), 1.0)

    def frame(self):  # a red disc of 9 pixels on grey, as rows of RGB bytes
        x, y = (int(round((self.at[i] + 1) / 2 * (SIDE - 10))) + 5 for i in range(2))
        rows = [GREY] * SIDE
        for v in range(y - 4, y + 5):
            rows[v] = GREY[:3 * (x - 4)] + RED + GREY[3 * (x + 5):]
        return b"".join(rows)


GREY, RED = b"\xb0\xb0\xb0" * SIDE, b"\xd0\x20\x20" * 9


def say(answer, frame=b""):
    pipe_out.write(json.dumps(answer).encode() + b"\n" + frame)
    pipe_out.flush()


robot = Disc()
robot.reset(0)
say({"understudy": 1, "name": "disc", "low": [-2, -2], "high": [2, 2], "safe": [0, 0], "state": 2,
     "dt": DT, "height": SIDE, "width": SIDE, "camera": "above", "tolerance": [0.1, 0.1],
     "copies": 1 if "--alone" in sys.argv else 64, "restore": "--restore" in sys.argv})
for line in pipe_in:
    ask = json.loads(line)
    if ask["do"] == "bye":
        break
    if ask["do"] == "reset":
        robot.reset(ask["seed"], ask.get("state"))
    if ask["do"] == "act":
        robot.act(ask["action"])
    if ask["do"] == "stop":
        robot.act([0, 0])
    picture = robot.frame() if ask.get("frame") else b""
    say({"state": robot.at, **({"frame": len(picture)} if picture else {})}, picture)
robot.act([0, 0])  # bye, or the end of the input: the safe action
