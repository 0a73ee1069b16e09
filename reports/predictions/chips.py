"""Chips of which less is known: CUTIE, BitMoD's baseline, Slim-Llama, TENET and TOM."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from bitsim.cost import CONVENTIONS, OperatorCost, PriceList, price_operator
from bitsim.cost.energy import Energy, total_energy
from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.hw.gpu import load_gpu
from bitsim.model.checkpoint import load_model
from bitsim.model.footprint import linears_bits
from bitsim.serving.cpu import token_bytes
from bitsim.study import MatmulShape, estimate_matmuls
from bitsim.study.execute import execute
from reports.predictions.common import BITNET, Prediction, bitnet, chip_of, seconds, waits

TWO = Fraction(2)
OPS_PER_MAC = 2


def cutie() -> Iterator[Prediction]:
    """Operations of the array on random ternary operands, a third of them 0."""
    chip, (m, k, n), rng = chip_of("cutie"), (1024, 864, 96), np.random.default_rng(0)
    x, w = (rng.integers(-1, 2, shape).astype(np.int8) for shape in ((m, k), (n, k)))
    femtojoules = per_mac(execute(x, w, chip).events, chip, m * k * n, 1e3 / OPS_PER_MAC)
    yield Prediction(
        key="cutie.op",
        chip=chip.name,
        quantity="energy of an operation at 0.5 V",
        unit="fJ",
        value=femtojoules[1],
        spread=(femtojoules[0], femtojoules[2]),
        assumed="trees of 32 lanes and accumulators in place of trees of 864; random operands; interpolated prices",
        energy="array only: no SRAM",
    )


def per_mac(events: Events, chip: Chip, macs: int, scale: float) -> tuple[float, float, float]:
    """Energy of a MAC in pJ times `scale` under the convention `datapath`: low, nominal, high."""
    cost = OperatorCost(name="matmul", kind="linear", events=events, time_ns=0.0)
    total: Energy = total_energy(price_operator(cost, PriceList(chip), CONVENTIONS["datapath"]).values())
    return total.low / macs * scale, total.nominal / macs * scale, total.high / macs * scale


def bitmod() -> Iterator[Prediction]:
    """One multiply-accumulate of an FP16 PE with its registers, after layout."""
    chip, (m, k, n) = chip_of("bitmod-fp16"), (256, 1024, 1024)
    result = estimate_matmuls([MatmulShape(name="all", m=m, k=k, n=n)], chip)
    total, macs = result.energy_range("datapath"), m * k * n
    yield Prediction(
        key="bitmod.fp16",
        chip=chip.name,
        quantity="energy of an FP16 multiply-accumulate",
        unit="pJ",
        value=total.nominal / macs,
        spread=(total.low / macs, total.high / macs),
        assumed="dataflow; an accumulator in FP16; prices between 45 nm and 7 nm, at the supply between theirs",
        energy="PE, registers and clock, with the layout factor 1.5, which is BitMoD's own",
    )


def slim_llama() -> Iterator[Prediction]:
    """Its peak, and the time in which the linears of BitNet 3B come in from outside."""
    chip = chip_of("slim-llama")
    yield Prediction(
        key="slim_llama.peak",
        chip=chip.name,
        quantity="peak, lookups",
        unit="TOPS",
        value=float(OPS_PER_MAC * chip.bitlinear.macs_per_cycle) * chip.clock.nominal * 1e-3,
        bounds="array 100 %",
        assumed="each S-LUT sums 3 weights per cycle",
    )
    two, one = (bitnet(bits, chip.name, 0) for bits in (TWO, Fraction(1)))
    yield Prediction(
        key="slim_llama.token",
        chip=chip.name,
        quantity="a token of BitNet 3B, linears",
        unit="ms",
        value=1e3 * seconds(two),
        spread=(1e3 * seconds(one), 1e3 * seconds(two)),
        bounds=waits(two),
        assumed="the model is BitNet 3B, ternary, 2 bits per weight (low: 1 bit); all of the external bandwidth",
        fitted="2 bits per weight",
    )


def tenet() -> Iterator[Prediction]:
    """Both sides bound by their memories: ternary weights in TENET's, FP16 weights in an A100's."""
    chip, model = chip_of("tenet-asic"), load_model(BITNET)
    ours = {bits: 1 / seconds(bitnet(bits, chip.name, 0)) for bits in (Fraction(8, 5), TWO)}
    half = load_model("llama-3b")
    theirs = {
        name: load_gpu(name).memory.bandwidth.nominal * 1e9 / token_bytes(half.config)
        for name in ("a100-40gb", "a100-80gb")
    }
    yield Prediction(
        key="tenet.a100",
        chip=chip.name,
        quantity=f"decode of {model.config.name} over FP16 on an A100",
        unit="x",
        value=ours[Fraction(8, 5)] / theirs["a100-80gb"],
        spread=(ours[TWO] / theirs["a100-80gb"], ours[Fraction(8, 5)] / theirs["a100-40gb"]),
        bounds="dram 100 %",
        assumed="the model and batch 1; both memories at their peak; 1.6 bits per weight (low: 2), 80 GB (high: 40 GB)",
    )


def tom() -> Iterator[Prediction]:
    """The ROM that BitNet 2B4T's linears need, and what their additions take."""
    chip, config, rng = chip_of("tom"), load_model("bitnet-b158-2b4t").config, np.random.default_rng(0)
    yield Prediction(
        key="tom.rom",
        chip=chip.name,
        quantity="ROM of BitNet 2B4T's linears",
        unit="MiB",
        value=float(linears_bits(config)) / 8 / 2**20,
        bounds="capacity",
        assumed="2 bits per weight; the published MB are 2^20 bytes",
    )
    m, k, n = 4, config.hidden_size, 512
    x, w = rng.standard_normal((m, k)).astype(np.float16), rng.integers(-1, 2, (n, k)).astype(np.int8)
    millijoules = per_mac(execute(x, w, chip).events, chip, m * k * n, config.linear_weights * 1e-9)
    yield Prediction(
        key="tom.token",
        chip=chip.name,
        quantity="on-chip energy of a token, linears",
        unit="mJ",
        value=millijoules[1],
        spread=(millijoules[0], millijoules[2]),
        assumed="sums of FP16 in place of FP8; random operands, a third of the weights 0",
        energy="adders, registers and clock: no ROM, no SRAM",
    )
