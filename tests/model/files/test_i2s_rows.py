"""I2_S by the machine that a file is for: runs of 128 or 64 weights that end where rows do, and runs that do not."""

from pathlib import Path

import numpy as np
import pytest

from bitsim.errors import CheckpointError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.quant.packing import pack_hf
from tests.model.files.gguf_bytes import LAYERS, D, float_tensor, gguf_bytes, linear, metadata, model_tensors


def written(path: Path, layout: str, ffn: int) -> tuple[Path, dict[str, np.ndarray]]:
    """A model whose FFN is `ffn` wide, and the codes of its linears."""
    rng = np.random.default_rng(ffn)
    tensors, codes = model_tensors(f"I2_S {layout}"), {}
    for i in range(LAYERS):
        for name, shape in {"ffn_gate": (ffn, D), "ffn_up": (ffn, D), "ffn_down": (D, ffn)}.items():
            key = f"blk.{i}.{name}.weight"
            codes[key] = rng.integers(-1, 2, shape).astype(np.int8)
            tensors[key] = linear(codes[key], f"I2_S {layout}", 0.5 + i)
        tensors[f"blk.{i}.ffn_sub_norm.weight"] = float_tensor(np.ones(ffn), "F32")
    content = metadata(**{"bitnet-b1.58__feed_forward_length": ffn, "bitsim.i2_s_layout": layout})
    path.write_bytes(gguf_bytes(content, tensors))
    return path, codes


@pytest.mark.parametrize("layout", ["x86", "arm"])
@pytest.mark.parametrize("ffn", [320, 352, 512])  # 320 is 2.5 runs of 128 and 5 of 64, 352 is neither's multiple
def test_codes_are_found_whether_or_not_runs_end_with_rows(tmp_path: Path, layout: str, ffn: int) -> None:
    path, codes = written(tmp_path / "model.gguf", layout, ffn)
    layers = load_checkpoint(path).weights.layers
    for i, layer in enumerate(layers):
        for field, name in (("gate", "ffn_gate"), ("up", "ffn_up"), ("down", "ffn_down")):
            weight = getattr(layer, field)
            np.testing.assert_array_equal(weight.packed, pack_hf(codes[f"blk.{i}.{name}.weight"]))
            assert weight.scale == np.float32(0.5 + i)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_scales_that_are_none_are_refused(tmp_path: Path, scale: float) -> None:
    tensors = model_tensors("I2_S arm", scale)
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(metadata(**{"bitsim.i2_s_layout": "arm"}), tensors))
    with pytest.raises(CheckpointError, match="I2_S scale: expected a finite number > 0, got"):
        load_checkpoint(path)
