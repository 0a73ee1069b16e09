"""The time of one pass through a model on GPUs: a roofline per kernel, vectorised over devices and tokens.

    kernel = overhead + max(bytes / (efficiency x bandwidth), operations / (efficiency x peak rate))

A layer is one kernel for q, k and v, one for o_proj, one for gate and up, one for down_proj, and one for attention;
norms, quantisers, RoPE and activations are taken to be fused into them. The head is an FP16 kernel. Overheads and
bandwidth efficiencies come from `bitsim.serving.kernels`; attention streams its cache as the FP16 kernel its weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitsim.hw.gpu import Gpu, GpuKernel, load_gpu_kernel
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import head_bits, kv_bits, linear_bits
from bitsim.parallel.devices import DeviceSplit
from bitsim.quant.base import Contract
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe
from bitsim.serving.kernels import OUTPUT_BYTES, calibrated

Numbers = npt.NDArray[Any]
Level = Literal["low", "nominal", "high"]
FUSED = "norms, quantisers, RoPE and activations are fused into the kernels of matmuls: they cost no time of their own"
INTEGER4 = (-8, 7)  # a wider range of codes at 4 bits is a 4-bit float's
ATTENTION_KERNELS = 1
GROUPS = (
    ("qkv", ("q_proj", "k_proj", "v_proj")),
    ("o", ("o_proj",)),
    ("ffn in", ("gate_proj", "up_proj")),
    ("ffn out", ("down_proj",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCall:
    """`count` calls of a kernel with an (N, K) matrix, N that of all matrices that share the kernel."""

    name: str
    kernel: str
    n: int
    k: int
    weight_bytes: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of one pass by what they are spent on; arrays over devices and tokens."""

    weights: Numbers
    compute: Numbers
    attention: Numbers
    overhead: Numbers
    communication: Numbers

    def parts(self) -> dict[str, Numbers]:
        return {
            "weight bandwidth": self.weights,
            "compute": self.compute,
            "attention": self.attention,
            "kernel overhead": self.overhead,
            "communication": self.communication,
        }

    @property
    def total(self) -> Numbers:
        return np.asarray(sum(self.parts().values()))

    def limits(self) -> npt.NDArray[np.str_]:
        """The largest part, by name."""
        parts = self.parts()
        return np.asarray(np.array(list(parts))[np.argmax(np.stack(list(parts.values())), axis=0)])


def kernel_for(contract: Contract, config: ModelConfig) -> str:
    """The kernel that executes linears under a contract."""
    if not config.quantised:
        return "fp16"
    if contract.activation_bits > 4:
        return "w2a8"
    low, high = contract.code_range
    return "w2a4" if INTEGER4[0] <= low and high <= INTEGER4[1] else "fp4"


def kernel_calls(config: ModelConfig, recipe: Recipe) -> Iterator[KernelCall]:
    """The matmul kernels of one pass, layers first, then the head."""
    shapes = {name.rpartition(".")[2]: (name, n, k) for name, n, k in config.linear_shapes()}
    for group, members in GROUPS:
        found = [shapes[member] for member in members if member in shapes]
        yield KernelCall(
            name=group,
            kernel=kernel_for(recipe.of(found[0][0]), config),
            n=sum(n for _, n, _ in found),
            k=found[0][2],
            weight_bytes=sum(linear_bits(config, n, k) for _, n, k in found) / 8,
            count=config.num_layers,
        )
    v, d = config.vocab_size, config.hidden_size
    yield KernelCall(name="head", kernel="fp16", n=v, k=d, weight_bytes=head_bits(config) / 8, count=1)


def overhead_s(gpu: Gpu, kernel: str) -> float:
    """Seconds per call: the measured overhead with this GPU's launch in the place of the measured one's."""
    calibration = calibrated(kernel)
    return calibration.overhead_s - calibration.launch_s + gpu.launch_overhead.nominal * 1e-6


def stream_s(gpu: Gpu, kernel: str, moved: Numbers) -> Numbers:
    """Seconds to move bytes at the share of the bandwidth that a kernel reaches."""
    return moved / (calibrated(kernel).bandwidth_efficiency * gpu.memory.bandwidth.nominal * 1e9)


def compute_s(gpu: Gpu, kernel: GpuKernel, operations: Numbers, efficiency: Level) -> Numbers:
    """Seconds of `operations` at the share of the peak rate that a kernel reaches."""
    share: float = getattr(kernel.compute_efficiency, efficiency)
    return operations / (share * gpu.rate(kernel.multiply).ops_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """A model on GPUs that share it as `split` says; `efficiency`: which end of the kernels' share of the peak."""

    config: ModelConfig
    recipe: Recipe
    gpu: Gpu
    split: DeviceSplit
    efficiency: Level = "nominal"


def pass_time(
    hosted: Hosted,
    *,
    devices: Numbers,
    tokens: Numbers,
    head_tokens: Numbers,
    kv_moved: Numbers | float,
    attended: Numbers | float,
) -> StepTime:
    """One pass of `tokens` tokens, of which `head_tokens` go through the head; arrays are broadcast.

    `kv_moved`: bytes of the KV cache that are read; `attended`: pairs of a token and a position that it attends.
    """
    config, gpu, split, efficiency = hosted.config, hosted.gpu, hosted.split, hosted.efficiency
    shape = np.broadcast_shapes(devices.shape, tokens.shape)
    weights, compute, overhead = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    share = 1.0 / (devices * split.busy(config, devices, tokens))
    for call in kernel_calls(config, hosted.recipe):
        kernel = load_kernel(call.kernel)
        m = head_tokens if call.name == "head" else tokens
        moved = call.weight_bytes + m * (call.k * kernel.activation_bits / 8 + call.n * OUTPUT_BYTES)
        streaming = stream_s(gpu, call.kernel, moved * share) * call.count
        computing = compute_s(gpu, kernel, 2.0 * m * call.n * call.k * share, efficiency) * call.count
        weights += np.where(streaming >= computing, streaming, 0.0)
        compute += np.where(streaming >= computing, 0.0, computing)
        overhead += overhead_s(gpu, call.kernel) * call.count
    wide = load_kernel("fp16")
    operations = 4.0 * config.q_size * config.num_layers * np.asarray(attended)
    attention = np.maximum(
        stream_s(gpu, "fp16", np.asarray(kv_moved) * share), compute_s(gpu, wide, operations * share, efficiency)
    )
    launches = ATTENTION_KERNELS * config.num_layers * gpu.launch_overhead.nominal * 1e-6
    return StepTime(
        weights=weights,
        compute=compute,
        attention=attention * np.ones(shape),
        overhead=overhead + launches,
        communication=split.communication_s(config, devices, tokens),
    )


def decode_time(
    hosted: Hosted, *, devices: Numbers, batch: Numbers, storage: KVStorage, first: int, last: int
) -> StepTime:
    """One new token for each of `batch` sequences, averaged over contexts from `first` to `last` positions.

    Everything that grows with the context is linear in it, so that the average is that of both ends.
    """
    kv = sum(kv_bits(hosted.config, storage, positions) for positions in (first, last)) / 16
    attended = (first + last) / 2 * batch
    return pass_time(hosted, devices=devices, tokens=batch, head_tokens=batch, kv_moved=kv * batch, attended=attended)


def prompt_time(hosted: Hosted, devices: Numbers, prompt: int) -> StepTime:
    """One prompt of `prompt` tokens; its keys and values are still at hand, so that attention only computes."""
    tokens, attended = np.asarray(float(prompt)), prompt * (prompt + 1) / 2
    return pass_time(
        hosted, devices=devices, tokens=tokens, head_tokens=np.asarray(1.0), kv_moved=0.0, attended=attended
    )


@lru_cache(maxsize=32)
def load_kernel(name: str) -> GpuKernel:
    """A shipped kernel, read once."""
    return load_gpu_kernel(name)
