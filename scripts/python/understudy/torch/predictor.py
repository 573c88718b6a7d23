"""The predictor as a module; equations, names and shapes are those of worldmodel/predictor.h.

    k_l = R(pos) (K_l z + bk_l)         keys and values of every token that is seen
    v_l = V_l z + bv_l
    q  += O_l attend(R(pos') (Q_l norm1_l(q) + bq_l), k_l, v_l) + bo_l
    q  += M2_l gelu(M1_l norm2_l(q) + b1_l) + b2_l
    q  += A2_l gelu(A1_l norm3_l([q, a]) + c1_l) + c2_l
    z'  = last + H norm(q) + h          q starts as query + S last + s
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Self

import torch  # type: ignore[import-not-found, unused-ignore]
from torch import nn  # type: ignore[import-not-found, unused-ignore]
from torch.nn import functional  # type: ignore[import-not-found, unused-ignore]

from understudy.errors import UsageError
from understudy.torch.files import read_json, read_tensors, write_tensors

EPS = 1e-5
SIZES = ("grid_h", "grid_w", "dim", "width", "depth", "heads", "mlp", "context", "block", "action",
         "action_hidden", "residual", "past")


class Block(nn.Module):  # type: ignore[misc, unused-ignore]
    """One of the predictor's blocks."""

    def __init__(self, c: dict[str, int]) -> None:
        super().__init__()
        w, hidden = c["width"], c["mlp"] * c["width"]
        self.heads = c["heads"]
        self.norm1, self.norm2 = nn.LayerNorm(w, EPS), nn.LayerNorm(w, EPS)
        self.query, self.out = nn.Linear(w, w), nn.Linear(w, w)
        self.up, self.down = nn.Linear(w, hidden), nn.Linear(hidden, w)
        self.acts = c["action"] > 0
        if self.acts:
            joint = w + (c["past"] + 1) * c["block"] * c["action"]
            self.norm3 = nn.LayerNorm(joint, EPS)
            self.action_up = nn.Linear(joint, c["action_hidden"])
            self.action_down = nn.Linear(c["action_hidden"], w)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, turn: torch.Tensor,
                actions: torch.Tensor | None) -> torch.Tensor:
        """q (B, G, width) of itself, keys and values (B, heads, T, d), angles (B, G, pairs) and
        actions (B, (past + 1) K A)."""
        query = self.query(self.norm1(q)).unflatten(-1, (self.heads, -1))
        seen = functional.scaled_dot_product_attention(rotate(query, turn).transpose(1, 2), k, v)
        q = q + self.out(seen.transpose(1, 2).flatten(2))
        q = q + self.down(functional.gelu(self.up(self.norm2(q))))
        if self.acts and actions is not None:
            both = torch.cat([q, actions[:, None].expand(-1, q.shape[1], -1)], -1)
            q = q + self.action_down(functional.gelu(self.action_up(self.norm3(both))))
        return q


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """x (B, T, heads, d) with its pairs turned by angles (B, T, pairs), float64."""
    e, f = x.chunk(2, -1)
    cos, sin = turn.cos().to(x.dtype)[:, :, None], turn.sin().to(x.dtype)[:, :, None]
    return torch.cat([e * cos - f * sin, e * sin + f * cos], -1)


class Predictor(nn.Module):  # type: ignore[misc, unused-ignore]
    """The next frame's tokens from those of the last C frames and the actions between.

    sizes: of the object "predictor" in a folder's config.json. Its state_dict has the names of the
    checkpoint. `load` opens the folder of a model or of a pretrained predictor.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, sizes: dict[str, Any]) -> None:
        super().__init__()
        lacking = [name for name in SIZES if not isinstance(sizes.get(name), int)]
        if lacking:
            raise UsageError(f"predictor: expected the sizes {', '.join(lacking)}")
        self.sizes = c = {name: int(sizes[name]) for name in SIZES}
        w, d = c["width"], c["dim"]
        self.query = nn.Parameter(torch.zeros(w))
        self.kv = nn.Linear(d, c["depth"] * 2 * w)
        self.last = nn.LayerNorm(w, EPS)
        self.head = nn.Linear(w, d)
        if c["residual"]:
            self.seed = nn.Linear(d, w)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(1))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """That of a folder."""
        path = Path(folder)
        config = read_json(path / "config.json")
        if not isinstance(config.get("predictor"), dict):
            raise UsageError(f"{path}/config.json: expected a model of the kind predictor")
        whole = config.get("format") == "understudy model"
        made = cls(config["predictor"])
        weights = path / ("predictor.safetensors" if whole else "model.safetensors")
        try:
            made.load_state_dict(read_tensors(weights))
        except RuntimeError as e:
            raise UsageError(f"{weights}: {e}") from None
        return made

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes a checkpoint that the library reads."""
        write_tensors(Path(path), self.state_dict())

    def normalise(self, x: torch.Tensor) -> torch.Tensor:
        """z (.., D) of features x (.., D)."""
        return (x - self.mean) / self.scale

    def denormalise(self, z: torch.Tensor) -> torch.Tensor:
        """Features (.., D) of z (.., D)."""
        return z * self.scale + self.mean

    def angles(self, times: torch.Tensor) -> torch.Tensor:
        """The turns (.., G, pairs) of the tokens of frames at times (..) s, float64."""
        c = self.sizes
        to: dict[str, Any] = {"dtype": torch.float64, "device": times.device}
        pairs = c["width"] // c["heads"] // 2
        space = pairs // 3

        def frequency(n: int) -> torch.Tensor:
            exponent = -2 + 4 * torch.arange(n, **to) / max(n - 1, 1)
            return 2 * math.pi / (10**exponent if n > 1 else torch.ones(n, **to))

        def centres(n: int) -> torch.Tensor:
            return (2 * torch.arange(n, **to) + 1) / n - 1

        y, x = torch.meshgrid(centres(c["grid_h"]), centres(c["grid_w"]), indexing="ij")
        turns = [(times.double()[..., None] * frequency(pairs - 2 * space))[..., None, :]]
        turns += [axis.flatten()[:, None] * frequency(space) for axis in (y, x)]
        shape = (*times.shape, y.numel(), -1)
        return torch.cat([t.expand(shape) for t in turns], -1)

    def forward(self, seen: torch.Tensor, times: torch.Tensor, time: torch.Tensor,
                actions: torch.Tensor | None = None) -> torch.Tensor:
        """z' (B, G, D) at time (B) s from the newest frames seen (B, T, G, D), normalised, oldest
        first, at times (B, T) s; actions (B, past + 1, K, A), the newest last, of a predictor that
        knows them."""
        c, last = self.sizes, seen[:, -1]
        kv = self.kv(seen.flatten(1, 2)).unflatten(-1, (c["depth"], 2, c["heads"], -1))
        turn, here = self.angles(times).flatten(1, 2), self.angles(time)
        if c["action"] and actions is None:
            raise UsageError("actions: expected those that lead to the frame, found none")
        told = None if actions is None else actions.flatten(1)
        q = self.query.expand(*last.shape[:2], -1)
        if c["residual"]:
            q = q + self.seed(last)
        for i, block in enumerate(self.blocks):
            k, v = rotate(kv[:, :, i, 0], turn).transpose(1, 2), kv[:, :, i, 1].transpose(1, 2)
            q = block(q, k, v, here, told)
        out: torch.Tensor = self.head(self.last(q))
        return out + last if c["residual"] else out
