"""Published forms of GGUF through the commands: run unedited, looked through whatever they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitsim import from_json
from tests.cli.test_commands import bitsim
from tests.model.files.gguf_bytes import float_tensor, gguf_bytes, metadata, model_tensors
from tests.model.files.test_gguf_split import NAME, write_parts
from tests.model.test_convert_gguf import folder_of

FAMILIES = Path("families")


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("gguf_llama_i2_s", ("--i2s-layout", "x86")),
        ("gguf_qwen3_q1_0", ()),
        ("gguf_llama_tq2_0", ()),
        ("gguf_bitnet_scale", ("--ternarise", "exact")),
    ],
)
def test_samples_run_from_the_command_line(
    capsys: pytest.CaptureFixture[str], golden: Path, name: str, answers: tuple[str, ...]
) -> None:
    folder = golden / FAMILIES / name
    reference = np.load(folder / "reference.npz")
    words = ("--tokens", ",".join(map(str, reference["tokens"])), "--new-tokens", "1", "--toggles", "off", "--json")
    code, out, _ = bitsim(capsys, "run", str(folder / "model.gguf"), *words, *answers)
    assert code == 0
    result = from_json(out)
    which = "logits_w158a8" if "i2_s" in name else "logits_w158a16"
    assert result.records("tokens")[-1]["token"] == reference[which][-1].argmax()


def test_what_a_file_leaves_open_is_asked_for(capsys: pytest.CaptureFixture[str], golden: Path) -> None:
    path = str(golden / FAMILIES / "gguf_llama_i2_s" / "model.gguf")
    code, out, err = bitsim(capsys, "run", path, "--tokens", "1", "--new-tokens", "1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--i2s-layout x86" in err
    assert "--i2s-layout arm" in err


def test_any_gguf_file_is_looked_through(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_parts(tmp_path, model_tensors(), metadata())
    path = tmp_path / "any.gguf"
    path.write_bytes(
        gguf_bytes({"general.architecture": "clip", "x": np.array([1.0, np.inf])}, {"v": float_tensor([1], "F32")})
    )
    for file, reason in ((path, "expected one of bitnet"), (tmp_path / NAME.format(2, 3), "open part 1")):
        code, out, err = bitsim(capsys, "inspect", str(file))
        assert (code, err) == (0, "")
        assert "not a model that runs" in out
        found = json.loads(bitsim(capsys, "inspect", str(file), "--json")[1])
        assert found["format"] == "gguf"
        assert reason in found["no_model"]
        assert found["tensors"]
    found = json.loads(bitsim(capsys, "inspect", str(path), "--json")[1])
    assert found["keys"] == {"general.architecture": "clip", "x": "2 numbers (float32)"}
    assert found["tensors"] == [{"name": "v", "kind": "F32", "shape": [1], "size_bytes": 4}]
    path.write_bytes(b"GGUF")
    code, out, err = bitsim(capsys, "inspect", str(path))
    assert (code, out) == (2, "")
    assert "is truncated" in err


def test_whole_split_files_are_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = write_parts(tmp_path, model_tensors(), metadata())
    found = json.loads(bitsim(capsys, "inspect", str(first), "--json")[1])
    assert found["packing"] == "tq2_0"
    assert len(found["linears"]) == 14


@pytest.mark.parametrize(("act", "said"), [("silu", 0), ("relu2", 1)])
def test_convert_says_what_llama_cpp_will_compute_of_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, act: str, said: int
) -> None:
    folder, target = folder_of(tmp_path), tmp_path / "target.gguf"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": act}))
    code, _, err = bitsim(capsys, "convert", str(folder), str(target), "--format", "gguf", "--arch", "bitnet")
    assert (code, target.is_file()) == (0, True)
    assert err.count("computes SILU in every FFN of architecture bitnet, and this model has relu2") == said
