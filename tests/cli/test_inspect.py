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
