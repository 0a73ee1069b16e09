"""What architectures differ in: one model under several names gives equal logits once its rows are put in order."""

import numpy as np
import pytest

from bitsim.errors import CheckpointError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.files.gguf_linears import unpermuted
from tests.model.files.gguf_bytes import D, float_tensor, gguf_bytes, linear, metadata, model_codes, model_tensors
from tests.model.files.test_gguf_families import logits_of

HEADS, KV_HEADS, HEAD_DIM = 4, 2, 64
SCALE = 3 / 64  # a float16, and so is three times as much
TOKENS = np.array([3, 1, 4, 1, 5])


def permuted(rows, heads):
    """The rows of q or k as llama's converter writes them (llama.cpp `conversion/llama.py`)."""
    shape = (heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def tensors_of(arch, biases=(), qk_norms=False, kind="TQ2_0"):
    rng, tensors = np.random.default_rng(8), model_tensors(kind, SCALE, sub_norms=False)
    order = permuted if arch == "llama" else lambda rows, heads: rows
    for i in range(2):
        for name, heads in (("attn_q", HEADS), ("attn_k", KV_HEADS)):
            weight = f"blk.{i}.{name}.weight"
            tensors[weight] = linear(order(model_codes()[weight], heads), kind, SCALE)
        for name, size in {"attn_q": D, "attn_k": D // 2, "attn_v": D // 2, "attn_output": D}.items():
            bias = rng.standard_normal(size).astype(np.float32)
            if name in biases:
                heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(name)
                tensors[f"blk.{i}.{name}.bias"] = float_tensor(order(bias, heads) if heads else bias, "F32")
        if qk_norms:
            for name in ("attn_q_norm", "attn_k_norm"):
                tensors[f"blk.{i}.{name}.weight"] = float_tensor(rng.uniform(0.5, 2, HEAD_DIM), "F32")
    return tensors


def opened(tmp_path, arch, tensors):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.gguf"  # mapped files are not written again
    path.write_bytes(gguf_bytes(metadata(arch), tensors))
    return load_checkpoint(path)


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 2), (3, 8), (4, 64)])
def test_rows_come_back_in_order(heads, head_dim):
    rows = np.arange(heads * head_dim)
    np.testing.assert_array_equal(permuted(rows, heads)[unpermuted(heads, head_dim)], rows)


@pytest.mark.parametrize("kind", ["TQ2_0", "I2_S x86", "F32", "PTQ1_0"])
@pytest.mark.parametrize("biases", [(), ("attn_q", "attn_k", "attn_v"), ("attn_q", "attn_k", "attn_v", "attn_output")])
def test_llamas_rows_and_biases_are_put_back(tmp_path, kind, biases):
    def logits(arch):
        path = tmp_path / f"{arch}.gguf"
        keys = {"bitsim.i2_s_layout": "x86"} if "I2_S" in kind else {}
        path.write_bytes(gguf_bytes(metadata(arch, **keys), tensors_of(arch, biases, kind=kind)))
        checkpoint = load_checkpoint(path)
        assert checkpoint.config.attention_bias == {0: "none", 3: "qkv", 4: "qkvo"}[len(biases)]
        return logits_of(checkpoint, TOKENS)

    want = logits("qwen2")
    np.testing.assert_array_equal(logits("llama"), want)
    np.testing.assert_array_equal(logits("bitnet"), want)  # silu without more being said
    relu2 = opened(tmp_path, "bitnet-b1.58", tensors_of("bitnet-b1.58")) if not biases and kind == "TQ2_0" else None
    if relu2 is not None:
        assert relu2.config.hidden_act == "relu2"
        assert np.abs(logits_of(relu2, TOKENS) - want).max() > 1e-2


def test_norms_of_queries_and_keys_change_the_logits(tmp_path):
    plain = opened(tmp_path, "qwen3", tensors_of("qwen3"))
    normed = opened(tmp_path, "qwen3", tensors_of("qwen3", qk_norms=True))
    assert (plain.config.qk_norm, normed.config.qk_norm) == (False, True)
    assert np.abs(logits_of(plain, TOKENS) - logits_of(normed, TOKENS)).max() > 1e-2


def test_a_bias_that_only_some_layers_or_linears_have_is_refused(tmp_path):
    tensors = tensors_of("qwen2", ("attn_q", "attn_k", "attn_v"))
    for name in ("blk.1.attn_q.bias", "blk.0.attn_v.bias"):
        some = {key: value for key, value in tensors.items() if key != name}
        with pytest.raises(CheckpointError, match=rf"{name}: expected a tensor"):
            opened(tmp_path, "qwen2", some)


def test_a_scale_beside_a_linear_multiplies(tmp_path):
    tensors = tensors_of("llama")
    beside = tensors | {"blk.0.attn_v.scale": float_tensor([3.0], "F32")}
    direct = tensors | {"blk.0.attn_v.weight": linear(model_codes()["blk.0.attn_v.weight"], "F32", 3 * SCALE)}
    a, b, none = (opened(tmp_path, "llama", some) for some in (beside, direct, tensors))
    assert a.weights.layers[0].v.scale == 3 * SCALE
    np.testing.assert_array_equal(logits_of(a, TOKENS), logits_of(b, TOKENS))
    assert np.abs(logits_of(a, TOKENS) - logits_of(none, TOKENS)).max() > 1e-2
