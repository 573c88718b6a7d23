#!/usr/bin/env python3
"""Writes the seed corpora of the fuzz targets: seeds.py FOLDER makes FOLDER/safetensors and
FOLDER/json. Good files and the usual lies, so that the fuzzer starts behind the first checks."""

import json
import struct
import sys
from pathlib import Path

out = Path(sys.argv[1])
(out / "safetensors").mkdir(parents=True, exist_ok=True)
(out / "json").mkdir(parents=True, exist_ok=True)


def tensors(name, header, data=b"", length=None):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    n = len(text) if length is None else length
    (out / "safetensors" / name).write_bytes(struct.pack("<Q", n) + text + data)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


sizes = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "BOOL": 1, "U8": 1, "I64": 8, "F8_E4M3": 1}
for dtype, size in sizes.items():
    tensors("good_" + dtype, {"a": entry(dtype, [2, 3], 0, 6 * size)}, bytes(6 * size))
two = {"__metadata__": {"format": "pt"}, "a": entry("F32", [2], 0, 8), "b": entry("F32", [], 8, 12)}
tensors("two", two, struct.pack("<3f", 1, 2, 3))
tensors("empty", {})
tensors("nan", {"a": entry("F32", [1], 0, 4)}, b"\xff\xff\xff\x7f")
tensors("long", {}, length=1 << 40)
tensors("overlap", {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12))
tensors("product", {"a": entry("F32", [1 << 32, 1 << 32], 0, 0)})
tensors("zero", {"a": entry("F32", [0, 1 << 40], 0, 0)})
tensors("twice", '{"a":%s,"a":%s}' % ((json.dumps(entry("U8", [1], 0, 1)),) * 2), b"\0")
tensors("deep", '{"a":' + "[" * 500 + "]" * 500 + "}")

predictor = dict(grid_h=1, grid_w=1, dim=8, width=12, depth=1, heads=2, mlp=2, context=2, block=5,
                 action=2, action_hidden=8, residual=1, past=1)
encoder = dict(model_type="dinov2", hidden_size=96, num_hidden_layers=2, num_attention_heads=3,
               mlp_ratio=4, patch_size=8, image_size=64, layer_norm_eps=1e-6, hidden_act="gelu",
               qkv_bias=True, use_swiglu_ffn=False,
               understudy=dict(kind="vit", height=64, width=64, use_cls_token=False,
                               image_mean=[0.5] * 3, image_std=[0.5] * 3),
               head=dict(merge=2, merge_dim=32, global_dim=64, norm=False))
for name, value in {"predictor": predictor, "encoder": encoder,
                    "model": dict(format="understudy model", version=1, predictor=predictor),
                    "wide": dict(predictor, width=1 << 30), "zero": dict(predictor, heads=0),
                    "text": dict(predictor, dim="8"), "list": [1, 2], "empty": {}}.items():
    (out / "json" / name).write_text(json.dumps(value))
(out / "json" / "twice").write_text('{"dim": 1, "dim": 2}')
(out / "json" / "deep").write_text('{"a":' * 600 + "1" + "}" * 600)
(out / "json" / "escapes").write_text('{"\\u0000\\ud83d\\ude00": 1e999, "b": -0.0}')
