"""understudy.torch: its modules compute what the library does, its windows are the file's.

Run by `scripts/test.sh interop`, where a missing package is a failure.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import understudy
from torch.utils.data import DataLoader
from understudy.torch import Encoder, Predictor, Trajectories, WorldModel
from understudy.torch.encoder import Vit
from understudy.torch.files import write_tensors

torch.set_num_threads(1)
GOLDEN = Path(__file__).parents[3] / "worldmodel" / "golden"


def close(found: torch.Tensor, wanted: Any, scale: float = 1) -> None:
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5, atol=1e-5 * scale)


# ---- modules ----


@pytest.fixture(scope="module", params=["default", "state", "pca", "tokens"])
def folder(request: Any, work: Path, train: Path) -> Path:
    """A model on every kind of encoder, one of them with many tokens and a longer context."""
    out, encoder, more = work / f"m-{request.param}", request.param, {}
    if encoder == "tokens":
        encoder, more = work / "tokens", {"context": 3, "width": 64}
        cut(work / "tokens")
    understudy.finetune(train, out, encoder=encoder, mode="scratch", steps=20, batch=8,
                        success_steps=50, progress=False, **more)
    return out


def cut(to: Path) -> None:
    """A ViT of first weights without a vector: 16 merged tokens of a frame."""
    to.mkdir()
    own = {"kind": "vit", "height": 64, "width": 64, "use_cls_token": False,
           "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    config = {"model_type": "dinov2", "hidden_size": 96, "num_hidden_layers": 2,
              "num_attention_heads": 3, "mlp_ratio": 4, "patch_size": 8, "image_size": 64,
              "layer_norm_eps": 1e-6, "understudy": own,
              "head": {"merge": 2, "merge_dim": 32, "global_dim": 0, "norm": False}}
    (to / "config.json").write_text(json.dumps(config))
    torch.manual_seed(5)
    write_tensors(to / "model.safetensors", dict(Vit(config).state_dict()))


def inputs(model: understudy.Model) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1.3, 1.3, (3, 2, 5, model.block, model.action)).astype(np.float32)
    return model.contexts[:3], actions, model.pasts[:3]


def test_the_numbers_are_the_library_s(folder: Path) -> None:
    world, rng = WorldModel(folder), np.random.default_rng(2)
    with understudy.Model(folder) as model:
        e = model.encoder
        if e.state:
            seen: Any = rng.normal(size=(7, e.state))
        else:
            seen = rng.integers(0, 256, (7, e.height, e.width, 3), dtype=np.uint8)
        close(world.encoder(torch.from_numpy(seen)), e.encode(seen))
        given = inputs(model)
        wanted = model.rollout(*given)
        moved = np.abs(wanted - given[0][:, None, None, -1]).max()
        assert moved > 1e-3 * np.abs(wanted).max()
        tensors = [torch.tensor(x) for x in given]
        close(world.rollout(*tensors), wanted, float(np.abs(wanted).max()))
        close(world(tensors[0], tensors[1]), model.rollout(*given[:2]), float(np.abs(wanted).max()))


def test_saved_folders_open(folder: Path, tmp_path: Path) -> None:
    world = WorldModel(folder)
    with torch.no_grad():
        for p in world.predictor.parameters():
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(3))
    world.save(tmp_path / "changed")
    with understudy.Model(tmp_path / "changed") as model, understudy.Model(folder) as before:
        given = inputs(model)
        wanted = model.rollout(*given)
        assert np.abs(wanted - before.rollout(*given)).max() > 1e-3
        close(world.rollout(*map(torch.tensor, given)), wanted, float(np.abs(wanted).max()))
        assert model.hash != before.hash
    env = understudy.make(f"model:{tmp_path / 'changed'}")
    assert env.slots.judges  # its success head came along
    with pytest.raises(understudy.Error, match="new or empty"):
        world.save(tmp_path / "changed")
    with torch.no_grad():
        next(world.encoder.parameters()).add_(1)
    with pytest.raises(understudy.Error, match="expected the encoder"):
        world.save(tmp_path / "other")


def test_gradients(model: Path) -> None:
    world = WorldModel(model).double()
    with torch.no_grad():  # the last block's weights are zeros at first
        for p in world.predictor.parameters():
            p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4))
    context = world.contexts[:1]
    actions = torch.full((1, 1, 2, world.block, world.action), 0.3, dtype=torch.float64)
    actions.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: world.rollout(context, a).sum(), actions)
    world.rollout(context, actions).square().sum().backward()
    for name, p in world.predictor.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        assert p.grad.abs().sum() > 0 or name.endswith("kv.bias"), name


@pytest.mark.parametrize("name", ["vit_plain", "vit_registers", "vit_head"])
def test_encoders_of_others(name: str, tmp_path: Path) -> None:
    """Class token, registers, another grid of positions: files as DINOv2 has them."""
    raw = (GOLDEN / f"{name}.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    (tmp_path / "config.json").write_text(header.pop("__metadata__")["config"])
    tensors = {}
    for key, at in header.items():
        begin, end = (8 + size + x for x in at["data_offsets"])
        tensors[key] = torch.tensor(np.frombuffer(raw[begin:end], np.float32).reshape(at["shape"]))
    own = {k.removeprefix("dinov2."): v for k, v in tensors.items() if k.startswith("dinov2.")}
    write_tensors(tmp_path / "model.safetensors", own)
    encoder, pixels = Encoder(tmp_path), tensors["golden.pixels"]
    close(encoder(pixels), tensors["golden.output"])
    close(encoder(pixels), understudy.Encoder(tmp_path).encode(pixels.numpy().astype(np.uint8)))


def test_pretrained_predictors(train: Path, tmp_path: Path) -> None:
    understudy.pretrain([train], tmp_path / "p", steps=5, batch=8, progress=False)
    found = Predictor.load(tmp_path / "p")
    seen = torch.randn(2, 2, 1, 128)
    times = torch.tensor([[0.0, 0.25]] * 2)
    assert found(seen, times, torch.tensor([0.5, 0.5])).shape == (2, 1, 128)
    with pytest.raises(understudy.Error, match="sizes"):
        Predictor({"dim": 3})


# ---- windows ----


def test_windows_are_the_file_s(held: Path) -> None:
    windows = Trajectories(held, 3, block=4, stride=2,
                           parts=("pixels", "actions", "states", "proprio", "times"))
    with understudy.Dataset(held) as d:
        starts = [(e, t) for e in range(d.episodes) for t in range(0, int(d.lengths[e]) - 8, 2)]
        assert len(windows) == len(starts)
        for i in (0, 1, len(starts) // 2, len(starts) - 1, -1):
            e, t = starts[i]
            first, found = int(d.offsets[e]) + t, windows[i]
            assert windows.row(i) == first
            rows = [first, first + 4, first + 8]
            np.testing.assert_array_equal(found["states"], d.states[rows])
            np.testing.assert_array_equal(found["proprio"], d.proprio[rows])
            np.testing.assert_array_equal(found["times"], d.times[rows])
            np.testing.assert_array_equal(found["pixels"], [d.pixels(r)[0] for r in rows])
            led = d.actions[first : first + 8].reshape(2, 4, 2)
            np.testing.assert_array_equal(found["actions"], led)
            assert torch.isfinite(found["actions"]).all()
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_windows_of_features(held: Path, model: Path, tmp_path: Path) -> None:
    windows = Trajectories(held, 4, features=model, cache=tmp_path, episodes=[5, 2])
    assert windows.block == 5 and "pixels" not in windows.parts
    found = windows[len(windows) - 1]["latents"]
    with understudy.Dataset(held) as d, understudy.Model(model) as m:
        first = int(d.offsets[2] + d.lengths[2] - 16)
        frames = np.concatenate([d.pixels(first + 5 * k) for k in range(4)])
        np.testing.assert_array_equal(found, m.encoder.encode(frames))
        assert len(windows) == int(d.lengths[5] + d.lengths[2]) - 2 * 15
    caches = list(tmp_path.iterdir())
    Trajectories(held, 2, features=model, cache=tmp_path)
    assert list(tmp_path.iterdir()) == caches
    half = Trajectories(held, 4, features=model, cache=tmp_path, episodes=[5, 2], fast=True)
    rounded = half[len(half) - 1]["latents"]
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, found)
    assert torch.equal(rounded, found.bfloat16().float())


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers(held: Path, model: Path, start: str) -> None:
    windows = Trajectories(held, 2, features=model, stride=11,
                           parts=("pixels", "latents", "actions"))
    alone = [windows[i] for i in range(len(windows))]  # the file is open here as well
    loader = DataLoader(windows, 16, num_workers=3, multiprocessing_context=start)
    for _ in range(2):
        at = 0
        for batch in loader:
            for i in range(len(batch["actions"])):
                for name, value in alone[at].items():
                    assert torch.equal(batch[name][i], value), (at, name)
                at += 1
        assert at == len(windows)
    assert torch.equal(windows[3]["pixels"], alone[3]["pixels"])


def test_what_windows_refuse(held: Path) -> None:
    for settings, told in (({"frames": 80}, "expected an episode of"),
                           ({"frames": 0}, "at least 1"),
                           ({"parts": ["latents"]}, "expected parts"),
                           ({"episodes": [99]}, "expected episodes")):
        with pytest.raises(understudy.Error, match=told):
            Trajectories(held, **settings)  # type: ignore[arg-type]
