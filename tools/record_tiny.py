"""Record what torch computes for the shipped b1, a4.8 and v2 models: the reference of tests/golden/test_tiny_family.py.

    pip install -e '.[train]'
    python tools/record_tiny.py tests/golden/tiny_family.npz

For every linear of the first layer: an input `x` (2 tokens, seeded), and `y` as the training code computes it, with
fake quantisation in float32. For every model: bits per byte on the first 4096 bytes of the held-out text.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from export_tiny import load_ternary
from tiny_decoder import SCHEMES, Decoder
from torch import Tensor
from train_tiny import SHAPES, Shape, bits_per_byte

MODELS = Path(__file__).parents[1] / "bitsim" / "models"
TOKENS, TEXT_BYTES = 2, 4096


def linears(model: Decoder) -> dict[str, tuple[Tensor, torch.nn.Linear]]:
    """The linears of the first layer with seeded inputs."""
    layer, generator = model.layers[0], torch.Generator().manual_seed(1)
    found = {
        f"{part}.{name}": linear
        for part in ("self_attn", "mlp")
        for name, linear in getattr(layer, part).named_children()
        if name.endswith("_proj")
    }
    return {
        name: (torch.randn(TOKENS, linear.in_features, generator=generator), linear) for name, linear in found.items()
    }


@torch.no_grad()
def record(kind: str) -> dict[str, np.ndarray]:
    shape, scheme = SHAPES.get(kind, Shape()), SCHEMES[kind]
    model = Decoder(shape, scheme, 0.05)
    load_ternary(model, MODELS / f"tiny-{kind}" / "model.safetensors")
    out: dict[str, np.ndarray] = {}
    for name, (x, linear) in linears(model).items():
        quantise = {"self_attn.o_proj": scheme.o, "mlp.down_proj": scheme.down}.get(name, scheme.inputs)
        out[f"{kind}.{name}.x"] = x.numpy()
        out[f"{kind}.{name}.y"] = F.linear(quantise(x), scheme.weights(linear.weight)).numpy()
    text = torch.frombuffer(bytearray((MODELS / "held_out.txt").read_bytes()[: TEXT_BYTES + 1]), dtype=torch.uint8)
    out[f"{kind}.bits_per_byte"] = np.float64(bits_per_byte(model, text, shape.max_position_embeddings))
    return out


if __name__ == "__main__":
    arrays = {name: array for kind in ("b1", "a48", "v2") for name, array in record(kind).items()}
    np.savez_compressed(sys.argv[1], **arrays)
