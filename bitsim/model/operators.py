"""Operators: the units in which a model's work is executed, counted, scheduled and priced.

A forward pass of `tokens` new positions on a context is a list of operators. `matmul` operators name their GEMM
`Y[M, N] = X[M, K] W[N, K]^T` and how often it is repeated (heads, sequences of a batch); the others name what the
vector unit does, in operations per operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Phase = Literal["prefill", "decode"]
Kind = Literal[
    "linear",
    "qk",
    "pv",
    "head",
    "embedding",
    "norm",
    "softmax",
    "rope",
    "glu",
    "residual",
    "bias",
    "quantise",
    "kv",
    "host",
]
WeightFormat = Literal["ternary", "fp16", "activation"]
VectorOp = Literal["add", "mul", "max", "exp", "rsqrt", "div", "cvt"]
VECTOR_OPS: tuple[VectorOp, ...] = get_args(VectorOp)

MATMUL_KINDS: frozenset[str] = frozenset({"linear", "qk", "pv", "head"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator of one layer in one phase.

    * `m, k, n`: GEMM shape of one repetition (0 for operators that are not matmuls); `repeat`: repetitions.
    * `weight_format`: what the (N, K) operand is: ternary codes, FP16 weights, or activations (attention).
    * `weight_bits`: stored bits of the (N, K) operand over all repetitions, as read from DRAM (from the packing,
      so that fractional bits per weight are exact); 0 for activations.
    * `vector`: operations of the vector unit; `values_read`, `values_written`: numbers that it takes from and puts
      into the activation buffer. `kv_read_bits`, `kv_write_bits`: stored bits of the KV cache that it needs and adds.
    * `pieces`: parts in which a vector operator's tensors are made and used up, as the scores of each KV head are; for
      a matmul these are its repetitions.
    * `dram_read_bits`: other bits that the operator must read from DRAM (rows of the embedding).
    """

    name: str
    kind: Kind
    phase: Phase
    layer: int | None = None
    m: int = 0
    k: int = 0
    n: int = 0
    repeat: int = 1
    weight_format: WeightFormat | None = None
    weight_bits: int = 0
    vector: Mapping[VectorOp, int] = field(default_factory=dict)
    values_read: int = 0
    values_written: int = 0
    kv_read_bits: int = 0
    kv_write_bits: int = 0
    dram_read_bits: int = 0
    pieces: int = 1

    @property
    def is_matmul(self) -> bool:
        return self.kind in MATMUL_KINDS

    @property
    def is_bitlinear(self) -> bool:
        return self.weight_format == "ternary"

    @property
    def shape(self) -> tuple[object, ...]:
        """All that its work follows from."""
        sizes = (self.m, self.k, self.n, self.repeat, self.pieces, self.weight_format, self.weight_bits)
        moved = (self.values_read, self.values_written, self.kv_read_bits, self.kv_write_bits, self.dram_read_bits)
        return (*sizes, *moved, *self.vector.items())

    @property
    def macs(self) -> int:
        return self.m * self.k * self.n * self.repeat
