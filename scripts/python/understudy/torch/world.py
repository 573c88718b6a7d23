"""A trained world model in its folder, as a module."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch  # type: ignore[import-not-found, unused-ignore]
from torch import nn  # type: ignore[import-not-found, unused-ignore]

from understudy.errors import UsageError
from understudy.model import Model
from understudy.torch.encoder import Encoder
from understudy.torch.files import read_tensors
from understudy.torch.predictor import Predictor


class WorldModel(nn.Module):  # type: ignore[misc, unused-ignore]
    """encoder, predictor, and contexts (n, C, G, D) with the blocks of actions that led through
    them, pasts (n, past, K, A): what `understudy.Model` has, differentiable.

    block, action: K, A. dt: s an env step. The success head stays the library's.
    """

    contexts: torch.Tensor
    pasts: torch.Tensor

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        with Model(folder, threads=1) as model:  # which checks what it reads
            self.task, self.dt = model.task, model.dt
            self.block, self.action, self.context = model.block, model.action, model.context
        self.folder = Path(folder)
        self.predictor = Predictor.load(self.folder)
        self.encoder = Encoder(self.folder)
        starts = read_tensors(self.folder / "contexts.safetensors")
        self.register_buffer("contexts", starts["contexts"], persistent=False)
        shape = (len(starts["contexts"]), 0, self.block, self.action)
        self.register_buffer("pasts", starts.get("past", torch.zeros(shape)), persistent=False)

    def rollout(self, contexts: torch.Tensor, actions: torch.Tensor,
                pasts: torch.Tensor | None = None) -> torch.Tensor:
        """What it imagines: features (n, samples, H, G, D) behind contexts (n, C, G, D), oldest
        first and a block apart, under actions (n, samples, H, K, A), clipped to [-1, 1]; pasts (n,
        past, K, A) led through the contexts, and are taken as 0 where they are not known."""
        n, samples, horizon = actions.shape[:3]
        past = self.predictor.sizes["past"]
        if pasts is None:
            pasts = actions.new_zeros(n, past, self.block, self.action)
        for name, found, shape in (
            ("contexts", contexts, (n, self.context, *self.contexts.shape[2:])),
            ("actions", actions, (n, samples, horizon, self.block, self.action)),
            ("pasts", pasts, (n, past, self.block, self.action)),
        ):
            if tuple(found.shape) != shape:
                raise UsageError(f"{name}: expected the shape {shape}, found {tuple(found.shape)}")
        # Every candidate with its slot's context, and all blocks that it knows in a row.
        seen = self.predictor.normalise(contexts).repeat_interleave(samples, 0)
        before, after = pasts.repeat_interleave(samples, 0), actions.flatten(0, 1).clamp(-1, 1)
        played = torch.cat([before, after], 1)
        step = self.dt * self.block
        times = torch.arange(1 - self.context, horizon + 1, dtype=torch.float64) * step
        times = times.to(seen.device).expand(len(seen), -1)
        out = []
        for h in range(horizon):
            new = self.predictor(seen, times[:, h : h + self.context], times[:, h + self.context],
                                 played[:, h : h + past + 1])
            out.append(new)
            seen = torch.cat([seen[:, 1:], new[:, None]], 1)
        if not out:
            return contexts.new_zeros(n, samples, 0, *contexts.shape[2:])
        frames = self.predictor.denormalise(torch.stack(out, 1))
        return frames.reshape(n, samples, *frames.shape[1:])

    def forward(self, contexts: torch.Tensor, actions: torch.Tensor,
                pasts: torch.Tensor | None = None) -> torch.Tensor:
        """As rollout."""
        return self.rollout(contexts, actions, pasts)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder that the library opens: this predictor beside the encoder, the contexts
        and the success head of the folder that it came from, which has to be there. An encoder
        whose weights were changed is refused, as all others speak of its features."""
        to, first, now = Path(folder), Encoder(self.folder).state_dict(), self.encoder.state_dict()
        if to.exists() and any(to.iterdir()):
            raise UsageError(f"{to}: expected a new or empty folder")
        changed = [k for k in first if not torch.equal(now[k].cpu(), first[k])]
        if changed:
            raise UsageError(f"{to}: expected the encoder of {self.folder}, found others in "
                             f"{', '.join(changed[:3])}")
        to.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.folder / "encoder", to / "encoder")
        for name in ("contexts.safetensors", "success.safetensors"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, to)
        self.predictor.write(to / "predictor.safetensors")
        shutil.copy(self.folder / "config.json", to)  # last: with it the folder is whole

    def extra_repr(self) -> str:
        """Its task and sizes."""
        return f"{self.task}, block={self.block}, action={self.action}, context={self.context}"


