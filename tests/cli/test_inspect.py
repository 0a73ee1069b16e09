"""`bitsim inspect`: any safetensors file, what a config.json left out or says for nothing, and what is to be known."""

import json
import shutil
from pathlib import Path

import pytest

from bitsim.model.catalogue import model_path
from tests.cli.test_commands import bitsim
from tests.model.tiny_models import read_tensors, safetensors_bytes, tiny_config, write_checkpoint


def test_files_that_are_no_model_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    single = tmp_path / "adapter.safetensors"
    single.write_bytes(safetensors_bytes({"a": ("BF16", [2, 3], bytes(12)), "b": ("I64", [], bytes(8))}))
    code, out, err = bitsim(capsys, "inspect", str(single))
    assert (code, err) == (0, "")
    assert "2 tensors, 20 bytes" in out
    assert "2 x 3" in out
    found = json.loads(bitsim(capsys, "inspect", str(single), "--json")[1])
    assert found["tensors"] == [
        {"name": "a", "kind": "BF16", "shape": [2, 3], "size_bytes": 12},
        {"name": "b", "kind": "I64", "shape": [], "size_bytes": 8},
    ]
    assert json.loads(bitsim(capsys, "inspect", str(tmp_path), "--json")[1])["tensors"] == found["tensors"]
    shutil.copyfile(single, tmp_path / "other.safetensors")
    code, out, err = bitsim(capsys, "inspect", str(tmp_path))
    assert (code, out) == (2, "")
    assert "expected one .safetensors file or model.safetensors.index.json, got 2 files" in err


def test_a_file_of_a_model_is_listed_and_a_damaged_one_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = model_path("tiny-b158") / "model.safetensors"
    found = json.loads(bitsim(capsys, "inspect", str(whole), "--json")[1])
    inside = json.loads(bitsim(capsys, "inspect", "tiny-b158", "--json")[1])
    assert {tensor["name"] for tensor in found["tensors"]} == {tensor["name"] for tensor in inside["tensors"]}
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-1])
    code, out, err = bitsim(capsys, "inspect", str(tmp_path / "cut.safetensors"))
    assert (code, out) == (2, "")
    assert "is truncated" in err


def test_absent_and_ignored_keys_and_notes_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values, tensors = tiny_config() | {"is_bitnet_config": True}, read_tensors()
    del values["hidden_act"], values["quantization_config"]["quantization_mode"]
    up = "model.layers.0.mlp.up_proj.weight"
    kind, shape, data = tensors[up]
    tensors[up] = kind, shape, b"\x55" * len(data)
    folder = str(write_checkpoint(tmp_path / "x", values, tensors))
    code, out, err = bitsim(capsys, "inspect", folder)
    assert (code, err) == (0, "")
    assert "absent keys, and what they are taken for: " in out
    assert "hidden_act = relu2" in out
    assert "ignored, because they change no number: " in out
    assert "is_bitnet_config" in out
    assert f"note: warning: 1 of 16 matrices hold only zeros: {up}" in out
    found = json.loads(bitsim(capsys, "inspect", folder, "--json")[1])
    assert found["absent_keys"]["hidden_act"] == "relu2"
    assert "is_bitnet_config" in found["ignored"]
    code, out, err = bitsim(capsys, "inspect", "tiny-fp16")
    assert "note: no quantised linears: the files' float16 values are executed as floats" in out
    code, out, err = bitsim(capsys, "inspect", "tiny-fp16", "--ternarise", "exact")
    assert (code, out) == (2, "")
    assert "--ternarise exact: layer 0, self_attn.q_proj: expected -s, 0 and +s only" in err


SHAPE = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "use_cache": True,
}  # fmt: skip


def test_a_shape_without_weights_shows_its_sizes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A config.json, its folder and a YAML shape that says the same: sizes by hand."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SHAPE))
    yaml = tmp_path / "own.yaml"
    sizes = "hidden_size: 64, intermediate_size: 128, num_layers: 3, num_heads: 4, num_kv_heads: 2, head_dim: 16, "
    sizes += "vocab_size: 100, max_position_embeddings: 128, rope_theta: 10000.0, rms_norm_eps: 1.0e-5, "
    kinds = "hidden_act: silu, ffn: glu, sub_norms: false, tie_embeddings: false, linear_class: null, "
    kinds += "weight_bits_per_weight: 16, dtype: bfloat16"
    yaml.write_text(f"{{kind: shape, name: own, summary: by hand, {sizes}{kinds}, source: by hand}}")
    linears = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64)
    for source in (folder / "config.json", folder, yaml):
        code, out, err = bitsim(capsys, "inspect", str(source))
        assert (code, err) == (0, "")
        assert f"{linears:,} weights in {2 * linears:,} bytes; embedding and head: 12,800 in 25,600" in out
        found = json.loads(bitsim(capsys, "inspect", str(source), "--json")[1])
        assert found["kv_bytes_per_position"] == 3 * 2 * 32 * 2
        assert found["shape"]["num_kv_heads"] == 2
        assert found["ignored"] == ([] if source == yaml else ["bos_token_id", "use_cache"])
    assert "head_dim = 16, rope_theta = 10000.0" in bitsim(capsys, "inspect", str(folder))[1]


def test_what_of_a_shape_is_only_sized_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SHAPE | {"model_type": "gemma2", "final_logit_softcapping": 30.0, "use_cache": None}))
    found = json.loads(bitsim(capsys, "inspect", str(path), "--json")[1])
    assert {"bos_token_id", "model_type", "use_cache"} <= set(found["ignored"])
    assert "model shape, not modelled: final_logit_softcapping = 30.0" in found["notes"]


def test_errors_of_shapes_name_the_file_and_where(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, yaml = tmp_path / "config.json", tmp_path / "own.yaml"
    path.write_text(json.dumps(SHAPE | {"hidden_size": "64"}))
    yaml.write_text("kind: shape\nlike: llama-3-8b\nhidden_size: many\n")
    for source, where in ((path, f"{path}: hidden_size: "), (yaml, f"{yaml}:3: hidden_size: ")):
        code, out, err = bitsim(capsys, "inspect", str(source))
        assert (code, out) == (2, "")
        assert err.startswith(f"bitsim: error: {where}")
    assert "bitsim inspect shows a config.json" in bitsim(capsys, "show", str(path))[2]
