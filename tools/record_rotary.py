"""Record the frequencies and the cosines and sines that transformers' rotary embedding computes.

    .venv-peers/bin/python tools/record_rotary.py tests/golden/rotary.npz      (after `make test-peers`)

For each head dimension and theta `D.THETA.inverse` float32 (D / 2,) and, at `positions` up to 32,767, `D.THETA.cos`
and `.sin` float32 (positions, D / 2): the first halves, which the second ones repeat. The table of bitsim is held
against them in tests/model/test_rotary.py.
"""

import sys

import numpy as np
import torch
from transformers import BitNetConfig
from transformers.models.bitnet.modeling_bitnet import BitNetRotaryEmbedding

# BitNet b1.58 2B4T, Llama 2, Llama 3, Falcon3, and a width that is no power of two.
SHAPES = ((128, 500000.0), (128, 10000.0), (64, 500000.0), (256, 1000042.0), (96, 10000.0))
POSITIONS = sorted(
    {*range(9), *(2**i + d for i in range(4, 15) for d in (-1, 0)), 1009, 3001, 4095, 20011, 31337, 32767}
)


def record(head_dim: int, theta: float) -> dict[str, np.ndarray]:
    config = BitNetConfig(
        hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=32768,
        rope_parameters={"rope_theta": theta, "rope_type": "default"},
    )  # fmt: skip
    rotary = BitNetRotaryEmbedding(config)
    cos, sin = rotary(torch.zeros(1), torch.tensor([POSITIONS]))
    half, at = head_dim // 2, f"{head_dim}.{theta:.0f}"
    assert torch.equal(cos[0, :, half:], cos[0, :, :half])
    return {
        f"{at}.inverse": rotary.inv_freq.numpy(),
        f"{at}.cos": cos[0, :, :half].numpy(),
        f"{at}.sin": sin[0, :, :half].numpy(),
    }


if __name__ == "__main__":
    arrays = {name: array for shape in SHAPES for name, array in record(*shape).items()}
    np.savez_compressed(sys.argv[1], positions=np.array(POSITIONS), **arrays)
