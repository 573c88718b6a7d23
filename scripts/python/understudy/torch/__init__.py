"""Torch: recorded windows as a data set of torch, and trained models as torch.nn.Module.

    from understudy.torch import Trajectories, WorldModel

    windows = Trajectories("train.h5", frames=4, features="model")
    batches = torch.utils.data.DataLoader(windows, 64, shuffle=True, num_workers=8)
    world = WorldModel("model")
    frames = world.rollout(contexts, actions)  # differentiable
    world.save("changed")  # which the library opens as any other model

Trajectories  windows of a dataset's rows
WorldModel    a model's folder: encoder, predictor, start contexts, rollout
Encoder       frames to features
Predictor     the next frame's tokens from those of the last ones and the actions between

Only this package imports torch.
"""

from __future__ import annotations

from understudy.torch.encoder import Encoder
from understudy.torch.predictor import Predictor
from understudy.torch.trajectories import Trajectories
from understudy.torch.world import WorldModel

__all__ = ["Encoder", "Predictor", "Trajectories", "WorldModel"]
