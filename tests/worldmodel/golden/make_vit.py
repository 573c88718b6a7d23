"""Golden files of the ViT: python3 make_vit.py

DINOv2's forward pass as its published description has it, in torch and in double: tokens of the
patches after the last layer norm, and the gradient of sum(output * projection) in every weight.
Tensors with the prefix "dinov2." are the checkpoint; "golden." are inputs and answers.
"""
import json

import torch
import torch.nn.functional as F

from golden import draw, save

HIDDEN, LAYERS, HEADS, PATCH, GRID = 16, 2, 2, 4, 5
HEIGHT, WIDTH, FRAMES = 16, 24, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_weights(g, registers, cls, head):
    tokens = int(cls) + GRID * GRID
    w = {"embeddings.mask_token": draw(g, 1, HIDDEN)}
    if cls:
        w["embeddings.cls_token"] = draw(g, 1, 1, HIDDEN)
    if registers:
        w["embeddings.register_tokens"] = draw(g, 1, registers, HIDDEN)
    w["embeddings.position_embeddings"] = draw(g, 1, tokens, HIDDEN)

    def linear(name, shape):
        columns = torch.Size(shape[1:]).numel()
        w[name + ".weight"] = draw(g, *shape, scale=columns**-0.5)
        w[name + ".bias"] = draw(g, shape[0], scale=0.1)

    def norm(name, width=HIDDEN):
        w[name + ".weight"] = draw(g, width, scale=0.1, shift=1.0)
        w[name + ".bias"] = draw(g, width, scale=0.1)

    linear("embeddings.patch_embeddings.projection", (HIDDEN, 3, PATCH, PATCH))
    for n in range(LAYERS):
        p = f"encoder.layer.{n}."
        norm(p + "norm1")
        for part in ("query", "key", "value"):
            linear(p + "attention.attention." + part, (HIDDEN, HIDDEN))
        linear(p + "attention.output.dense", (HIDDEN, HIDDEN))
        w[p + "layer_scale1.lambda1"] = draw(g, HIDDEN, scale=0.3, shift=0.5)
        norm(p + "norm2")
        linear(p + "mlp.fc1", (4 * HIDDEN, HIDDEN))
        linear(p + "mlp.fc2", (HIDDEN, 4 * HIDDEN))
        w[p + "layer_scale2.lambda1"] = draw(g, HIDDEN, scale=0.3, shift=0.5)
    norm("layernorm")
    if head:
        m, cells = head["merge"], HEIGHT * WIDTH // (PATCH * head["merge"]) ** 2
        linear("head.merge", (head["merge_dim"], m * m * HIDDEN))
        linear("head.global", (head["global_dim"], cells * head["merge_dim"]))
        norm("head.norm", head["global_dim"])
    return w


def resize_positions(w, cls, antialias):
    """The checkpoint's square grid on the grid of the frames; the class position stays."""
    positions = w["embeddings.position_embeddings"]
    grid = positions[:, int(cls) :].reshape(1, GRID, GRID, HIDDEN).permute(0, 3, 1, 2)
    grid = F.interpolate(
        grid,
        size=(HEIGHT // PATCH, WIDTH // PATCH),
        mode="bicubic",
        align_corners=False,
        antialias=antialias,
    )
    grid = grid.permute(0, 2, 3, 1).reshape(1, -1, HIDDEN)
    return torch.cat([positions[:, : int(cls)], grid], 1)


def block(w, p, x):
    def linear(name, x):
        return F.linear(x, w[p + name + ".weight"], w[p + name + ".bias"])

    def norm(name, x):
        return F.layer_norm(x, (HIDDEN,), w[p + name + ".weight"], w[p + name + ".bias"], 1e-6)

    n = norm("norm1", x)
    q, k, v = (
        linear("attention.attention." + part, n).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    scores = q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5
    y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + w[p + "layer_scale1.lambda1"] * linear("attention.output.dense", y)
    y = linear("mlp.fc2", F.gelu(linear("mlp.fc1", norm("norm2", x))))
    return x + w[p + "layer_scale2.lambda1"] * y


def forward(w, positions, pixels, registers, cls, head):
    mean = torch.tensor(MEAN, dtype=torch.float32).double()
    std = torch.tensor(STD, dtype=torch.float32).double()
    x = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    name = "embeddings.patch_embeddings.projection"
    x = F.conv2d(x, w[name + ".weight"], w[name + ".bias"], stride=PATCH).flatten(2).transpose(1, 2)
    if cls:
        x = torch.cat([w["embeddings.cls_token"].expand(FRAMES, -1, -1), x], 1)
    x = x + positions
    if registers:
        extra = w["embeddings.register_tokens"].expand(FRAMES, -1, -1)
        x = torch.cat([x[:, : int(cls)], extra, x[:, int(cls) :]], 1)
    for n in range(LAYERS):
        x = block(w, f"encoder.layer.{n}.", x)
    x = F.layer_norm(x, (HIDDEN,), w["layernorm.weight"], w["layernorm.bias"], 1e-6)
    x = x[:, int(cls) + registers :]
    if not head:
        return x
    m, rows, columns = head["merge"], HEIGHT // PATCH, WIDTH // PATCH
    x = x.reshape(FRAMES, rows // m, m, columns // m, m, HIDDEN).permute(0, 1, 3, 2, 4, 5)
    x = x.reshape(FRAMES, -1, m * m * HIDDEN)
    x = F.linear(x, w["head.merge.weight"], w["head.merge.bias"]).flatten(1)
    x = F.linear(x, w["head.global.weight"], w["head.global.bias"])
    x = F.layer_norm(x, x.shape[1:], w["head.norm.weight"], w["head.norm.bias"], 1e-6)
    return x[:, None]


def make(name, seed, registers=0, cls=True, head=None):
    g = torch.Generator().manual_seed(seed)
    w = make_weights(g, registers, cls, head)
    positions = resize_positions(w, cls, antialias=registers > 0).requires_grad_()
    for key, value in w.items():
        value.requires_grad_(key != "embeddings.position_embeddings")
    pixels = torch.randint(0, 256, (FRAMES, HEIGHT, WIDTH, 3), generator=g).double()
    output = forward(w, positions, pixels, registers, cls, head)
    projection = draw(g, *output.shape)
    (output * projection).sum().backward()
    tensors = {"dinov2." + key: value for key, value in w.items()}
    tensors |= {"golden.pixels": pixels, "golden.projection": projection, "golden.output": output}
    tensors["golden.embeddings.position_embeddings"] = positions
    tensors["gradient.embeddings.position_embeddings"] = positions.grad
    tensors |= {"gradient." + k: v.grad for k, v in w.items() if v.grad is not None}
    config = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "mlp_ratio": 4,
        "patch_size": PATCH,
        "image_size": GRID * PATCH,
        "layer_norm_eps": 1e-6,
        "understudy": {"kind": "vit", "height": HEIGHT, "width": WIDTH, "use_cls_token": cls},
    }
    if registers:
        config["num_register_tokens"] = registers
    if head:
        config["head"] = head | {"norm": True}
    save(name, tensors, {"config": json.dumps(config)})


make("vit_plain", 1)
make("vit_registers", 2, registers=3)
make("vit_head", 3, cls=False, head={"merge": 2, "merge_dim": 6, "global_dim": 10})
