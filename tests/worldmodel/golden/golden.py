"""What the golden scripts share: a safetensors writer and random weights."""
import json
import os
import struct

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def save(name, tensors, metadata):
    """Writes {tensor name: torch tensor} as F32 and {key: text} beside this script."""
    header, blobs, at = {"__metadata__": metadata}, [], 0
    for key, value in tensors.items():
        blob = value.detach().to(torch.float32).contiguous().numpy().tobytes()
        header[key] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [at, at + len(blob)],
        }
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, name + ".safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    print(name, 8 + len(text) + at, "bytes")


def draw(generator, *shape, scale=1.0, shift=0.0):
    """Normal numbers that float32 holds exactly, as double."""
    x = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale + shift
    return x.float().double()
