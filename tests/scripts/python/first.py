"""From an installed wheel to the first picture: first.py OUT.png"""

import sys

import gymnasium
import understudy

env = gymnasium.make("Understudy/PointMaze-v0", render_mode="rgb_array")
env.reset(seed=1)
understudy.Picture(env.render()).save(sys.argv[1])
