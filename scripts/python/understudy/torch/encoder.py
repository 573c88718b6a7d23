"""Encoders as modules: vit (worldmodel/vit.h), blur, pca and state, as the library saves them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]
from torch import nn  # type: ignore[import-not-found, unused-ignore]
from torch.nn import functional  # type: ignore[import-not-found, unused-ignore]

from understudy._library import as_path, check, lib
from understudy.errors import UsageError
from understudy.model import Encoder as Opened
from understudy.torch.files import read_json, read_tensors


class Scale(nn.Module):  # type: ignore[misc, unused-ignore]
    """A factor for each number of a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lambda1 = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (.., width) in proportion."""
        return x * self.lambda1


class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
    """A transformer block as in DINOv2, with its names."""

    attention: Any
    mlp: Any

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        parts = nn.ModuleDict({k: nn.Linear(width, width) for k in ("query", "key", "value")})
        dense = nn.ModuleDict({"dense": nn.Linear(width, width)})
        self.attention = nn.ModuleDict({"attention": parts, "output": dense})
        self.layer_scale1, self.layer_scale2 = Scale(width), Scale(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, T, width) of itself."""
        seen, parts = self.norm1(x), self.attention["attention"]
        q, k, v = (parts[name](seen).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for name in ("query", "key", "value"))
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.layer_scale1(self.attention["output"]["dense"](y))
        y = self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))
        out: torch.Tensor = x + self.layer_scale2(y)
        return out


class Embeddings(nn.Module):  # type: ignore[misc, unused-ignore]
    """Frames to tokens: class and registers where there are, then the patches."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, c: dict[str, Any], own: dict[str, Any]) -> None:
        super().__init__()
        width, patch = c["hidden_size"], c["patch_size"]
        patches = (own["height"] // patch) * (own["width"] // patch)
        self.cls, self.registers = int(own["use_cls_token"]), c.get("num_register_tokens", 0)
        if self.cls:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if self.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, self.registers, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, self.cls + patches, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(3, width, patch, patch)})
        for name in ("mean", "std"):
            values = torch.tensor(own[f"image_{name}"], dtype=torch.float32)
            self.register_buffer(name, values, persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Tokens (n, T, width) of frames (n, H, W, 3) of 0 .. 255."""
        dtype = self.position_embeddings.dtype
        x = ((frames.to(dtype) / 255 - self.mean) / self.std).permute(0, 3, 1, 2)
        x = self.patch_embeddings["projection"](x).flatten(2).transpose(1, 2)
        if self.cls:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        x = x + self.position_embeddings
        if self.registers:
            extra = self.register_tokens.expand(len(x), -1, -1)
            x = torch.cat([x[:, : self.cls], extra, x[:, self.cls :]], 1)
        return x


class Vit(nn.Module):  # type: ignore[misc, unused-ignore]
    """A vision transformer with the head that stands behind it."""

    encoder: Any
    head: Any

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        own, head = c["understudy"], c.get("head", {})
        width, eps = c["hidden_size"], c["layer_norm_eps"]
        self.rows, self.columns = (own[k] // c["patch_size"] for k in ("height", "width"))
        self.merge = m = head.get("merge", 0)
        self.embeddings = Embeddings(c, own)
        hidden = int(c["mlp_ratio"] * width + 0.5)
        layers = [Layer(width, c["num_attention_heads"], hidden, eps)
                  for _ in range(c["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.layernorm = nn.LayerNorm(width, eps)
        if not m:
            return
        self.head = nn.ModuleDict({"merge": nn.Linear(m * m * width, head["merge_dim"])})
        cells = self.rows * self.columns // (m * m)
        normed = head["merge_dim"]
        if head.get("global_dim"):
            normed = head["global_dim"]
            self.head["global"] = nn.Linear(cells * head["merge_dim"], normed)
        if head.get("norm"):
            self.head["norm"] = nn.LayerNorm(normed, eps)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features (n, G, D) of frames (n, H, W, 3)."""
        x: torch.Tensor = self.embeddings(frames)
        for layer in self.encoder["layer"]:
            x = layer(x)
        x = self.layernorm(x)[:, self.embeddings.cls + self.embeddings.registers :]
        m = self.merge
        if not m:
            return x
        # Neighbours of m x m patches behind each other, cell by cell.
        x = x.reshape(len(x), self.rows // m, m, self.columns // m, m, -1).transpose(2, 3)
        x = self.head["merge"](x.flatten(3).flatten(1, 2))
        if "global" in self.head:
            x = self.head["global"](x.flatten(1))[:, None]
        if "norm" in self.head:
            x = self.head["norm"](x)
        return x


class Tensors(nn.Module):  # type: ignore[misc, unused-ignore]
    """Parameters of these shapes under their names."""

    mean: torch.Tensor
    components: torch.Tensor
    scale: torch.Tensor
    weight: torch.Tensor

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


class Blur(nn.Module):  # type: ignore[misc, unused-ignore]
    """Principal components of the blurred frame, from the means of pool x pool pixels."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        own = c["understudy"]
        self.pool, dim = own["pool"], own["dim"]
        size = (own["height"] // self.pool) * (own["width"] // self.pool) * 3
        # The last one serves pictures of latents.
        self.blur = Tensors(weight=(dim, size), mean=(size,), inverse=(dim, dim))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features (n, 1, D) of frames (n, H, W, 3) of 0 .. 255."""
        t, m = self.blur, self.pool
        x = frames.to(t.weight.dtype).unflatten(2, (-1, m)).unflatten(1, (-1, m)).mean((2, 4)) / 255
        return functional.linear(x.flatten(1) - t.mean, t.weight)[:, None]


class Pca(nn.Module):  # type: ignore[misc, unused-ignore]
    """Principal components of the whole frame."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        own = c["understudy"]
        size = own["height"] * own["width"] * 3
        self.pca = Tensors(mean=(size,), components=(own["dim"], size), scale=(1,))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features (n, 1, D) of frames (n, H, W, 3) of 0 .. 255."""
        t = self.pca
        x = frames.to(t.mean.dtype).flatten(1) / 255 - t.mean
        return (functional.linear(x, t.components) * t.scale)[:, None]


class State(nn.Module):  # type: ignore[misc, unused-ignore]
    """The numbers of a state that vary, in their own deviations."""

    kept: torch.Tensor

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        own = c["understudy"]
        self.state = Tensors(mean=(own["state"],), scale=(own["state"],))
        kept = torch.tensor(sorted(own["dimensions"]))
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Features (n, 1, D) of states (n, S)."""
        t = self.state
        x = (states - t.mean.to(states.dtype)) * t.scale
        return x[:, self.kept].to(t.mean.dtype)[:, None]


KINDS: dict[str, Any] = {"vit": Vit, "blur": Blur, "pca": Pca, "state": State}


class Encoder(nn.Module):  # type: ignore[misc, unused-ignore]
    """The encoder of a folder, of a model's folder, or "default", the one inside the library.

    kind: vit, blur, pca or state. tokens, dim: G, D of a frame's features. net: what computes them, whose
    state_dict has the names of model.safetensors.
    """

    def __init__(self, folder: str | os.PathLike[str] = "default") -> None:
        super().__init__()
        path = Path(folder)
        if (path / "encoder" / "config.json").exists():
            path = path / "encoder"
        # As the library writes it: sizes checked, positions on the grid of its frames.
        with Opened(path, threads=1) as opened, tempfile.TemporaryDirectory() as saved:
            check(lib.us_encoder_save(opened._alive(), as_path(saved)))
            config = read_json(Path(saved, "config.json"))
            weights = read_tensors(Path(saved, "model.safetensors"))
            self.kind, self.hash = opened.kind, opened.hash
            self.tokens, self.dim = opened.tokens, opened.dim
            self.height, self.width, self.states = opened.height, opened.width, opened.state
        self.net = KINDS[self.kind](config)
        self.net.load_state_dict(weights)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Features (n, G, D), before any normalisation, of frames (n, H, W, 3), uint8 or numbers of
        0 .. 255, or of states (n, S) where it reads those."""
        shape = (self.states,) if self.states else (self.height, self.width, 3)
        if tuple(frames.shape[1:]) != shape:
            raise UsageError(f"frames: expected the shape (n, {', '.join(map(str, shape))}), found "
                             f"{tuple(frames.shape)}")
        found: torch.Tensor = self.net(frames)
        return found
