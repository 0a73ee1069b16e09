"""The linears of transformers alone, eager and compiled, float32 and bfloat16, on inputs that are hard to round."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from bitsim.model.executor import exact_matmul
from bitsim.quant.contracts import contract, ternarise
from bitsim.quant.packing import round_to_bf16
from tests.peers.models import bitnet, torch
from tests.quant.test_contracts import same_bits
from tests.quant.test_hf_bf16 import boundaries

pytestmark = pytest.mark.peer

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# (M, K, N). Compiled: every function is compiled for the first shape, and for the second once more with free sizes.
COMPILED_SHAPES = [(24, 256, 96), (11, 72, 40)]
SHAPES = [*COMPILED_SHAPES, (1, 2560, 16), (1, 6912, 4), (40, 512, 8)]


@pytest.fixture(params=["eager", "compiled"])
def mode(request: Any) -> Iterator[str]:
    with torch.compiler.set_stance("force_eager") if request.param == "eager" else nullcontext():
        yield request.param


@pytest.fixture(params=DTYPES)
def dtype(request: Any) -> str:
    return str(request.param)


def shapes(mode: str) -> list[tuple[int, int, int]]:
    return SHAPES if mode == "eager" else COMPILED_SHAPES


def rounded(values: Any, dtype: str) -> Any:
    return round_to_bf16(values) if dtype == "bf16" else values


def array(tensor: Any) -> Any:
    return tensor.detach().float().numpy()


def activations(m: int, k: int, dtype: str) -> Any:
    """(M, K): ordinary tokens, and (from M = 11) zeros, constants, ties, sparse, tiny, huge and subnormal ones."""
    rng = np.random.default_rng(k)
    x = rng.normal(0, rng.lognormal(0, 2, (m, 1)), (m, k))
    if m >= 11:
        x[0], x[1], x[2] = 0, -3.7, rng.integers(-254, 255, k) / 2
        x[3] = np.maximum(x[3], 0) ** 2
        x[4] = rng.lognormal(0, 5, k)
        for row, size in enumerate((1e-6, 1e-30, 1e-40, 1e30), start=5):
            x[row] *= size
        x[9, 1:] *= 1e-40
    return torch.from_numpy(x.astype(np.float32)).to(DTYPES[dtype])


def ternary(n: int, k: int) -> Any:
    return np.random.default_rng(n).integers(-1, 2, (n, k)).astype(np.int8)


def test_rounding_to_bfloat16_is_torchs() -> None:
    values = boundaries().view(np.float32)
    number = ~np.isnan(values)
    same_bits(round_to_bf16(values)[number], array(torch.from_numpy(values).bfloat16())[number])


def test_bitlinear(mode: str, dtype: str) -> None:
    recipe = contract("hf_bitlinear_fp32" if dtype == "fp32" else f"hf_bitlinear_bf16_{mode}")
    for m, k, n in shapes(mode):
        codes, x = ternary(n, k), activations(m, k, dtype)
        layer = bitnet.BitLinear(k, n, bias=False, dtype=DTYPES[dtype])
        layer.weight = bitnet.pack_weights(torch.from_numpy(codes.copy()))
        layer.weight_scale = torch.tensor([1 / 0.0371], dtype=DTYPES[dtype])

        q, s = recipe.quantise_activations(array(x))
        their_q, their_s = layer.activation_quant(x)
        np.testing.assert_array_equal(q, their_q.numpy())
        same_bits(s, array(their_s))
        y = recipe.rescale(exact_matmul(q, codes), s, array(layer.weight_scale)[0])
        same_bits(y, array(layer(x)))


def test_bfloat16_compiled_is_another_function_than_eager() -> None:
    x = activations(40, 512, "bf16")
    with torch.compiler.set_stance("force_eager"):
        eager, _ = bitnet.BitLinear.activation_quant(None, x)
    q, _ = contract("hf_bitlinear_bf16_compiled").quantise_activations(array(x))
    assert 0.02 < (eager.numpy() != q).mean() < 0.3


def converted(weight: Any) -> tuple[Any, Any]:
    """What the converter of microsoft/BitNet's GPU code does with a bfloat16 weight, in torch: codes and scale."""
    s = 1.0 / weight.abs().mean().clamp_(min=1e-5)
    return (weight * s).round().clamp(-1, 1), (1.0 / s).to(torch.bfloat16)


@pytest.mark.parametrize("spread", [1e-6, 0.02, 0.7, 1.0, 300.0])
def test_the_gpu_converter_ternarises_in_bfloat16(spread: float, measured: Callable[[str], None]) -> None:
    master = rounded(np.random.default_rng(7).normal(0, spread, (512, 2048)).astype(np.float32), "bf16")
    their_codes, their_scale = converted(torch.from_numpy(master).bfloat16())
    codes, scale = contract("bitnet_gpu").quantise_weights(master)
    np.testing.assert_array_equal(codes, array(their_codes))
    assert scale == array(their_scale)
    apart = (codes != ternarise(master)[0]).mean()
    measured(f"{apart:.3%} of the GPU converter's codes are not those of ternarise, for weights of spread {spread:g}")


def autobitlinear(weight: Any, dtype: str, online: bool) -> Any:
    n, k = weight.shape
    layer = bitnet.AutoBitLinear(k, n, bias=False, dtype=DTYPES[dtype], online_quant=online)
    layer.weight.data = torch.from_numpy(weight).to(DTYPES[dtype])
    return layer


def check_product(x: Any, dtype: str, codes: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
    """What both modes share: checks the codes and scales of `x` -> float product, integer sums, scales and an error.

    `weight`: the float weights that the product is formed with, `codes` times one number. Codes and scales are equal
    bit for bit, as their quotient is. In units of that number, the product is within `error` of `acc / s`: each q / s
    and each output is rounded to the dtype, and K sums to float32.
    """
    q, s = contract("hf_autobitlinear").quantise_activations(array(x))
    fake = bitnet.ActQuant.apply(x)
    same_bits(rounded(q / s, dtype) + 0, array(fake) + 0)  # integers have no -0
    mm = torch.nn.functional.linear(fake, weight)
    k, unit = codes.shape[1], float(2.0**-8 if dtype == "bf16" else 2.0**-23)
    error = (np.abs(q.astype(np.float64)).sum(axis=1, keepdims=True) / s) * (2 * unit + k * 2.0**-24)
    return mm, exact_matmul(q, codes), s, error


def test_autobitlinear_offline(mode: str, dtype: str) -> None:
    recipe = contract("hf_autobitlinear")
    for m, k, n in shapes(mode):
        codes, x = ternary(n, k), activations(m, k, dtype)
        layer = autobitlinear(codes, dtype, online=False)
        layer.weight_scale = torch.tensor([0.0371], dtype=DTYPES[dtype])
        scale = array(layer.weight_scale)[0]
        mm, acc, s, error = check_product(x, dtype, codes, layer.weight)
        # With the float product in the place of acc and a scale of one, the last step is the contract's.
        y = rounded(recipe.rescale(array(mm), np.ones_like(s), scale), dtype)
        same_bits(y, array(layer(x)))
        assert (np.abs(acc / s.astype(np.float64) - array(mm)) <= error).all()


def test_autobitlinear_online(mode: str, dtype: str) -> None:
    recipe = contract("hf_autobitlinear")
    for m, k, n in shapes(mode):
        master = rounded(np.random.default_rng(k).normal(0, 0.7, (n, k)).astype(np.float32), dtype)
        layer, x = autobitlinear(master, dtype, online=True), activations(m, k, dtype)
        fake = bitnet.WeightQuant.apply(layer.weight)
        codes, mean = ternarise(master)
        np.testing.assert_array_equal(codes, np.sign(array(fake)))
        # The reference's mean depends on its order of summation, by 2 ulp eagerly and by 6 compiled.
        reciprocal = np.float32(1) / mean
        near = reciprocal + np.arange(-8, 9, dtype=np.float32) * np.spacing(reciprocal)
        (scale,) = {float(v) for v in np.abs(array(fake)).ravel() if v}
        assert scale in rounded(np.float32(1) / near, dtype)

        mm, acc, s, error = check_product(x, dtype, codes, fake)
        same_bits(array(mm), array(layer(x)))
        y = recipe.rescale(acc, s, rounded(np.array([mean]), dtype)[0])
        assert (np.abs(y - array(mm).astype(np.float64)) <= error * scale * 1.5).all()
