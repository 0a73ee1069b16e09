"""Tensor cores against outputs of real GPUs and of MMA-Sim, and how many outputs wrong parameters change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitsim
from tests.datapath.tensor_core_cases import BOTH, changed, twin
from tests.outside import outside

# GPU, architecture; mismatches among 500 of F - 1, F + 1, L / 2 and of an exact sum to nearest even (fp32, fp16).
HARDWARE = [
    ("V100", "volta", {"fp32": (242, 125, 79, 182), "fp16": (0, 0, 133, 0)}),
    ("A100", "ampere", {"fp32": (176, 66, 127, 213), "fp16": (0, 0, 123, 0)}),
    ("H100", "hopper", {"fp32": (121, 55, 180, 218), "fp16": (0, 0, 136, 0)}),
]
MMASIM = [
    ("mmasim_volta_m16n8k16_f16f16_f32", "volta", "fp16"),
    ("mmasim_ampere_m16n8k16_f16f16_f32", "ampere", "fp16"),
    ("mmasim_hopper_m16n8k16_f16f16_f32", "hopper", "fp16"),
    ("mmasim_ampere_mma_m16n8k16_f32_bf16_bf16_f32", "ampere", "bf16"),
    ("mmasim_ada_mma_m16n8k32_f32_e4m3_e4m3_f32", "ada", "e4m3"),
]
INTEGERS = {"s8": "int8", "u8": "uint8", "s4": "int4", "u4": "uint4"}


@pytest.fixture(scope="module")
def numerics(golden: Path) -> Path:
    return golden / "numerics"


def hardware(gpu: str, acc: str) -> tuple[Any, Any, Any, Any]:
    """500 dot products of a GPU: A (500, K), B (500, K), C (500,), D (500,)."""
    vectors = np.load(outside("golden/numerics/hardware_fp16_first500.npz"))
    bits = acc.removeprefix("fp")
    names = ("A", "B", f"C_f{bits}", f"D_f{bits}")
    return tuple(vectors[f"{gpu}_fp16_{name}"] for name in names)  # type: ignore[return-value]


def wrong_dots(mma: Any, vectors: tuple[Any, Any, Any, Any], core: Any, acc: str, **options: Any) -> int:
    a, b, c, d = vectors
    rows = range(len(c))
    got = [mma(a[i : i + 1], b[i][:, None], c[i : i + 1, None], core, acc_format=acc, **options)[0, 0] for i in rows]
    return int((np.array(got) != d).sum())


def wrong_outputs(mma: Any, path: Path, core: Any, fmt: str, step: int = 1, reverse: int = 1, **options: Any) -> int:
    z = np.load(path)
    a, b, c, d = (z[name][::step] for name in "ABCD")
    got = [mma(x[:, ::reverse], y[::reverse], z, core, fmt, **options) for x, y, z in zip(a, b, c, strict=True)]
    return int((np.array(got) != d).sum())


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("convention", ["mmasim", "leeds"])
@pytest.mark.parametrize("acc", ["fp32", "fp16"])
@pytest.mark.parametrize(("gpu", "arch", "_mutants"), HARDWARE)
def test_gpus(mma: Any, convention: str, acc: str, gpu: str, arch: str, _mutants: Any) -> None:
    assert wrong_dots(mma, hardware(gpu, acc), arch, acc, convention=convention) == 0


@pytest.mark.parametrize("acc", ["fp32", "fp16"])
@pytest.mark.parametrize(("gpu", "arch", "mutants"), HARDWARE)
def test_wrong_parameters_on_the_gpus_vectors(acc: str, gpu: str, arch: str, mutants: Any) -> None:
    vectors = hardware(gpu, acc)
    bits, block = {"volta": (23, 4), "ampere": (24, 8), "hopper": (25, 16)}[arch]
    cores = [changed(arch, "fp16", alignment_bits=bits - 1), changed(arch, "fp16", alignment_bits=bits + 1)]
    cores.append(changed(arch, "fp16", block_length=block // 2))
    wrong = [wrong_dots(bitsim.mma, vectors, core, acc) for core in cores]
    exact = changed(arch, "fp16", alignment_bits=300, output={"rounding": "nearest_even"})
    wrong.append(wrong_dots(twin, vectors, exact, acc))
    assert tuple(wrong) == mutants[acc]


@pytest.mark.parametrize("convention", ["mmasim", "leeds"])
@pytest.mark.parametrize(("name", "arch", "fmt"), MMASIM)
def test_mmasim(numerics: Path, name: str, arch: str, fmt: str, convention: str) -> None:
    path = numerics / f"{name}.npz"
    assert wrong_outputs(bitsim.mma, path, arch, fmt, convention=convention) == 0
    assert wrong_outputs(twin, path, arch, fmt, step=9, convention=convention) == 0


@pytest.mark.parametrize(
    ("name", "arch", "fmt", "changes", "reverse", "wrong"),
    [
        (*MMASIM[0], {"alignment_bits": 22}, 1, 4996),
        (*MMASIM[0], {"alignment_bits": 24}, 1, 3613),
        (*MMASIM[0], {"block_length": 2}, 1, 1836),
        (*MMASIM[0], {"block_length": 8, "instruction_k": (8,)}, 1, 2171),
        (*MMASIM[0], {}, -1, 4141),
        (*MMASIM[1], {"alignment_bits": 23}, 1, 3350),
        (*MMASIM[1], {"alignment_bits": 25}, 1, 2082),
        (*MMASIM[1], {"block_length": 4}, 1, 2365),
        (*MMASIM[1], {"block_length": 16}, 1, 2099),
        (*MMASIM[1], {}, -1, 2840),
        (*MMASIM[2], {"alignment_bits": 24}, 1, 1987),
        (*MMASIM[2], {"alignment_bits": 26}, 1, 1087),
        (*MMASIM[2], {"block_length": 8}, 1, 1978),
        (*MMASIM[2], {}, -1, 0),  # a single block
        (*MMASIM[3], {"alignment_bits": 23}, 1, 699),
        (*MMASIM[3], {"alignment_bits": 25}, 1, 390),
        (*MMASIM[3], {"block_length": 4}, 1, 503),
        (*MMASIM[4], {"alignment_bits": 12}, 1, 1918),
        (*MMASIM[4], {"alignment_bits": 14}, 1, 1416),
        (*MMASIM[4], {"block_length": 8}, 1, 914),
        (*MMASIM[4], {"output": {"fraction_bits": 23}}, 1, 551),
    ],
)
def test_wrong_parameters_on_mmasims_vectors(
    numerics: Path, name: str, arch: str, fmt: str, changes: Any, reverse: int, wrong: int
) -> None:
    core = changed(arch, fmt, **changes)
    assert wrong_outputs(bitsim.mma, numerics / f"{name}.npz", core, fmt, reverse=reverse) == wrong


@pytest.mark.parametrize("mma", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize(
    "instruction", ["m16n8k64_s4_s4", "m16n8k64_u4_s4", "m16n8k32_u4_u4", "m16n8k32_s8_s8", "m16n8k32_u8_s8"]
)
def test_integers_by_the_ptx_text(numerics: Path, mma: Any, overflow: str, instruction: str) -> None:
    z = np.load(numerics / "int_mma_ptx_semantics.npz")
    a, b, c, d = (z[f"{instruction}_{name}"] for name in ("A", "B", "C", "D_wrap" if overflow == "wrap" else "D_sat"))
    a_format, b_format = (INTEGERS[name] for name in instruction.split("_")[1:])
    options = {"a_format": a_format, "b_format": b_format, "overflow": overflow}
    np.testing.assert_array_equal([mma(x, y, z, **options) for x, y, z in zip(a, b, c, strict=True)], d)
