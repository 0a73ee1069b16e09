"""What `bitsim.mma` refuses, and in which words."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError, OperandError, UnknownNameError


def zeros(*shape: int, dtype: Any = np.uint16) -> Any:
    return np.zeros(shape, dtype)


def call(k: int = 16, dtype: Any = np.uint16, c_dtype: Any = np.uint32, **options: Any) -> Any:
    return bitsim.mma(zeros(2, k, dtype=dtype), zeros(k, 3, dtype=dtype), zeros(2, 3, dtype=c_dtype), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "ampere", "a_format": "e4m3"}, "ampere does not multiply e4m3 x e4m3; it has fp16 to fp32 or fp16, "),
        ({"arch": "hopper", "a_format": "int4"}, "hopper does not multiply int4 x int4; .*int8 and uint8 to int32$"),
        ({"arch": "volta", "a_format": "int8"}, "volta does not multiply int8 x int8; it has fp16 to fp32 or fp16$"),
        ({"a_format": "fp16", "b_format": "bf16"}, "ampere does not multiply fp16 x bf16"),
        ({"a_format": "bf16", "acc_format": "fp16"}, "acc_format: expected fp32 for bf16 x bf16 on ampere, got 'fp16'"),
        ({"k": 12}, r"a: expected K a multiple of the instruction's, 8, got K = 12"),
        ({"k": 0}, "got K = 0"),
        ({"k": 8, "instruction_k": 16}, "multiple of the instruction's, 16, got K = 8"),
        ({"instruction_k": 32}, "instruction_k: expected one of 16, 8, got 32"),
        ({"dtype": np.float16}, "a: expected uint16, got float16"),
        ({"c_dtype": np.float32}, "c: expected uint32, got float32"),
        ({"overflow": "saturate"}, "overflow: expected wrap for floats, got 'saturate'"),
        ({"clamp_k": 4}, "clamp_k: expected nothing"),
        ({"convention": "ieee"}, "convention: expected mmasim or leeds for floats, got 'ieee'"),
        ({"arch": "turing", "convention": "leeds"}, "leeds has no model of fp16 to fp32 on turing, expected mmasim"),
        ({"scale_a": zeros(2, 1, dtype=np.uint8)}, "scale_a: expected nothing, fp16 has no block scales here"),
    ],
)
def test_floats(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OperandError, match=message):
        call(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": np.uint8}, "a: expected int8, got uint8"),
        ({"c_dtype": np.uint32}, "c: expected int32, got uint32"),
        ({"acc_format": "fp32"}, "acc_format: expected int32 for integers, got 'fp32'"),
        ({"overflow": "clamp"}, "overflow: expected wrap or saturate for integers"),
        ({"convention": "leeds"}, "convention: expected mmasim for integers"),
        ({"clamp_k": 5}, "clamp_k: expected a divisor of the instruction's K = 32, got 5"),
        ({"clamp_k": 0}, "clamp_k: expected a divisor"),
        ({"scale_b": zeros(2, 2)}, "integers have no scales"),
    ],
)
def test_integers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OperandError, match=message):
        call(**{"k": 32, "dtype": np.int8, "c_dtype": np.int32, "a_format": "int8"} | options)


def test_the_first_number_out_of_range_is_named() -> None:
    a, b, c = zeros(2, 32, dtype=np.int8), zeros(32, 3, dtype=np.int8), zeros(2, 3, dtype=np.int32)
    b[7, 2], b[9, 0] = -9, 8
    with pytest.raises(OperandError, match=r"^b\[7, 2\]: expected -8\.\.7, got -9$"):
        bitsim.mma(a, b, c, "ampere", "int4")
    fp4, scales = zeros(1, 64, dtype=np.uint8), {"scale_a": zeros(1, 2, dtype=np.uint8)}
    fp4[0, 3] = 16
    with pytest.raises(OperandError, match=r"^a\[0, 3\]: expected 0\.\.15, got 16$"):
        bitsim.mma(fp4, fp4.T, zeros(1, 1, dtype=np.uint32), "blackwell", "mxf4", **scales, scale_b=scales["scale_a"].T)


def test_shapes() -> None:
    with pytest.raises(OperandError, match=r"b: expected \(K=16, N\) to match a, got \(8, 3\)"):
        bitsim.mma(zeros(2, 16), zeros(8, 3), zeros(2, 3))
    with pytest.raises(OperandError, match=r"c: expected \(M, N\) = \(2, 3\), got \(3, 2\)"):
        bitsim.mma(zeros(2, 16), zeros(16, 3), zeros(3, 2))
    with pytest.raises(OperandError, match=r"a: expected a matrix, got \(16,\)"):
        bitsim.mma(zeros(16), zeros(16, 3), zeros(2, 3))
    with pytest.raises(OperandError, match=r"scale_b: expected uint8 \(1, 3\), ue8m0 per 32 of k, got nothing"):
        call(32, np.uint8, arch="blackwell", a_format="mxe4m3", scale_a=zeros(2, 1, dtype=np.uint8))
    with pytest.raises(OperandError, match=r"scale_a: expected uint8 \(2, 4\), ue4m3 per 16 of k, got uint8 \(2, 2\)"):
        call(64, np.uint8, arch="blackwell", a_format="nvf4", scale_a=zeros(2, 2, dtype=np.uint8))


def test_no_rows_or_columns() -> None:
    assert bitsim.mma(zeros(0, 16), zeros(16, 3), zeros(0, 3, dtype=np.uint32)).shape == (0, 3)
    assert bitsim.mma(zeros(2, 16), zeros(16, 0), zeros(2, 0, dtype=np.uint32)).shape == (2, 0)


def test_operands_stay_and_may_lie_anyhow() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 0x7C00, (3, 16), np.uint16), rng.integers(0, 0x7C00, (16, 5), np.uint16)
    c = np.ones((3, 5), np.uint32)
    d = bitsim.mma(a, b, c)
    assert (c == 1).all()
    order = np.asfortranarray
    np.testing.assert_array_equal(bitsim.mma(order(a), order(b), order(c)), d)


def test_an_architecture_may_be_a_file(tmp_path: Path) -> None:
    shipped = (files("hw_models") / "tensor_cores" / "ampere.yaml").read_text()
    (tmp_path / "own.yaml").write_text(shipped.replace("alignment_bits: 24", "alignment_bits: 1", 1))
    a, b = np.full((1, 16), 0x3C00, np.uint16), np.full((16, 1), 0x3C00, np.uint16)
    b[0] = 0x3800
    c = zeros(1, 1, dtype=np.uint32)
    assert bitsim.mma(a, b, c)[0, 0] == np.float32(15.5).view(np.uint32)
    # The first block gives 7.5. In the second, 7.5 keeps one bit behind its leading one, and each product 1 none.
    assert bitsim.mma(a, b, c, tmp_path / "own.yaml")[0, 0] == np.float32(6.0).view(np.uint32)


def test_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'fp15'; did you mean fp16"):
        call(a_format="fp15")
    with pytest.raises(UnknownNameError, match="unknown arch 'amper'; did you mean ampere"):
        call(arch="amper")
    with pytest.raises(ConfigError, match="file not found"):
        call(arch=tmp_path / "own.yaml")
