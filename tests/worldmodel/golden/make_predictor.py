"""Golden files of the predictor: python3 make_predictor.py

The equations at the top of worldmodel/predictor.h, in torch and in double: predictions, losses,
gradients, and the losses of ten AdamW steps on one batch. Tensors "weights." are the checkpoint,
"gradient." its gradient, the others inputs and answers.
"""
import json
import math

import torch
import torch.nn.functional as F

from golden import draw, save

STEPS, RATE, BETAS, EPS, DECAY = 10, 3e-3, (0.9, 0.95), 1e-8, 2.0


def make_weights(g, c):
    w, width, dim = {}, c["width"], c["dim"]

    def linear(name, rows, columns):
        w[name + ".weight"] = draw(g, rows, columns, scale=columns**-0.5)
        w[name + ".bias"] = draw(g, rows, scale=0.1)

    def norm(name, n):
        w[name + ".weight"] = draw(g, n, scale=0.1, shift=1.0)
        w[name + ".bias"] = draw(g, n, scale=0.1)

    w["query"] = draw(g, width)
    linear("kv", c["depth"] * 2 * width, dim)
    norm("last", width)
    linear("head", dim, width)
    if c["residual"]:
        linear("seed", width, dim)
    for n in range(c["depth"]):
        p = f"blocks.{n}."
        norm(p + "norm1", width)
        linear(p + "query", width, width)
        linear(p + "out", width, width)
        norm(p + "norm2", width)
        linear(p + "up", c["mlp"] * width, width)
        linear(p + "down", width, c["mlp"] * width)
        if c["action"]:
            joint = width + (c["past"] + 1) * c["block"] * c["action"]
            norm(p + "norm3", joint)
            linear(p + "action_up", c["action_hidden"], joint)
            linear(p + "action_down", width, c["action_hidden"])
    return w


def angles(c, times):
    """The turns (.., G, pairs) of the tokens of frames at `times` (..)."""
    pairs = c["width"] // c["heads"] // 2
    space = pairs // 3

    def frequency(n):
        if n == 1:
            return torch.full((1,), 2 * math.pi, dtype=torch.float64)
        exponent = -2 + 4 * torch.arange(n, dtype=torch.float64) / max(n - 1, 1)
        return 2 * math.pi / 10**exponent

    def centres(n):
        return (2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1

    y, x = torch.meshgrid(centres(c["grid_h"]), centres(c["grid_w"]), indexing="ij")
    time = times[..., None, None] * frequency(pairs - 2 * space)
    time = time.expand(*times.shape, y.numel(), -1)
    places = [axis.flatten()[:, None] * frequency(space) for axis in (y, x)]
    return torch.cat([time] + [p.expand(*times.shape, -1, -1) for p in places], -1)


def rotate(x, turn):
    """x (.., tokens, heads, d) by turn (.., tokens, pairs)."""
    e, f = x.chunk(2, -1)
    cos, sin = turn.cos()[..., None, :], turn.sin()[..., None, :]
    return torch.cat([e * cos - f * sin, e * sin + f * cos], -1)


def predict(w, c, seen, seen_times, target_time, actions):
    """One target frame (B, G, D) from the frames seen (B, n, G, D)."""
    width, heads, last = c["width"], c["heads"], seen[:, -1]
    keys, turn = seen.flatten(1, 2), angles(c, seen_times).flatten(1, 2)
    here = angles(c, target_time)

    def linear(name, x):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-5)

    kv = linear("kv", keys).unflatten(-1, (c["depth"], 2, heads, width // heads))
    q = w["query"].expand(*last.shape[:2], width)
    if c["residual"]:
        q = q + linear("seed", last)
    for n in range(c["depth"]):
        p = f"blocks.{n}."
        k, v = rotate(kv[:, :, n, 0], turn), kv[:, :, n, 1]
        query = rotate(linear(p + "query", norm(p + "norm1", q)).unflatten(-1, (heads, -1)), here)
        scores = torch.einsum("bihd,bjhd->bhij", query, k) / (width // heads) ** 0.5
        y = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).flatten(2)
        q = q + linear(p + "out", y)
        q = q + linear(p + "down", F.gelu(linear(p + "up", norm(p + "norm2", q))))
        if c["action"]:
            joint = torch.cat([q, actions[:, None].expand(-1, q.shape[1], -1)], -1)
            y = F.gelu(linear(p + "action_up", norm(p + "norm3", joint)))
            q = q + linear(p + "action_down", y)
    out = linear("head", norm("last", q))
    return out + last if c["residual"] else out


def losses(w, c, l, batch):
    """teacher and rollout loss, and the predictions (B, T - first, G, D), (k, B, G, D)."""
    z = (batch["latents"] - batch["mean"]) / batch["scale"]
    times, actions = batch["times"] - batch["times"][:, :1], batch["actions"].flatten(2)
    context, frames = c["context"], l["frames"]

    def step(tokens, t):
        low = max(0, t - context)
        nothing = torch.zeros_like(actions[:, 0])
        played = [actions[:, i] if i >= 0 else nothing for i in range(t - 1 - c["past"], t)]
        return predict(w, c, tokens[:, low:t], times[:, low:t], times[:, t], torch.cat(played, -1))

    def distance(a, b):
        return F.smooth_l1_loss(a, b, beta=l["beta"])

    teacher = torch.stack([step(z, t) for t in range(l["first"], frames)], 1)
    rolled = z[:, :context]
    for t in range(context, context + l["rollout"]):
        rolled = torch.cat([rolled, step(rolled, t)[:, None]], 1)
    fed = slice(context + 1, context + l["rollout"])
    rollout = distance(rolled[:, fed], z[:, fed]) if l["rollout"] > 1 else torch.zeros(())
    return distance(teacher, z[:, l["first"] :]), rollout, teacher, rolled[:, context:].transpose(0, 1)


def make(name, seed, c, l):
    g = torch.Generator().manual_seed(seed)
    w = {k: v.requires_grad_() for k, v in make_weights(g, c).items()}
    weights = {"weights." + k: v.detach().clone() for k, v in w.items()}
    b, t, tokens = l["batch"], l["frames"], c["grid_h"] * c["grid_w"]
    gaps = torch.rand(b, t, generator=g) * 0.3 + 0.1
    batch = {
        "latents": draw(g, b, t, tokens, c["dim"], scale=3.0),
        "times": (gaps.cumsum(1) + 5.0).double(),
        "actions": draw(g, b, t - 1, c["block"], max(c["action"], 1)),
        "mean": draw(g, c["dim"]),
        "scale": draw(g, 1, scale=0.0, shift=2.5),
    }
    decayed = [v for v in w.values() if v.dim() > 1]
    others = [v for v in w.values() if v.dim() == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS)
    curve = []
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        teacher, rollout, predicted, rolled = losses(w, c, l, batch)
        (teacher + l["weight"] * rollout).backward()
        curve.append(torch.stack([teacher, rollout]).detach())
        if step == 0:
            answers = {"teacher": predicted, "rollout": rolled}
            answers |= {"gradient." + k: v.grad.clone() for k, v in w.items()}
        optimizer.step()
    config = {"predictor": c, "loss": l, "rate": RATE, "beta1": BETAS[0], "beta2": BETAS[1]}
    config |= {"eps": EPS, "decay": DECAY}
    save(name, weights | batch | answers | {"losses": torch.stack(curve)}, {"config": json.dumps(config)})


def config(**changed):
    c = dict(grid_h=1, grid_w=1, dim=10, width=24, depth=2, heads=2, mlp=2, context=2, block=3)
    return c | dict(action=2, action_hidden=16, residual=1, past=1) | changed


def loss(**changed):
    return dict(batch=4, frames=4, first=2, rollout=1, weight=1.0, beta=1.0) | changed


make("predictor_vector", 1, config(), loss(rollout=2, weight=0.5, beta=0.3))
make("predictor_video", 2, config(grid_h=2, grid_w=3, action=0, past=0, residual=0, context=3, width=28),
     loss(frames=5, first=1, batch=2))
make("predictor_grid", 3, config(grid_h=2, grid_w=2, heads=1, context=3, past=2), loss(frames=6, rollout=3, first=1, beta=0.5))
