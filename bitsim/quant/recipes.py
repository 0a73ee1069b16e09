"""Which of a model's linears uses which contract, and how its keys and values are stored.

A model is executed under a recipe, by name (`--numerics`): one of `RECIPES`, or any contract, which is then that of all
linears.
"""

from dataclasses import dataclass, replace

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.quant import a48, b1, v2
from bitsim.quant.base import Contract
from bitsim.quant.contracts import CONTRACTS
from bitsim.quant.kv import KV_FORMATS, KV_OF_BITS, KVFormat
from bitsim.quant.wide import WideContract


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The numerics of a whole model: a contract for each kind of linear, all of one `linear_class`.

    * `qkv`: q_proj, k_proj and v_proj; `o`: o_proj; `gate_up`: gate_proj and up_proj; `down`: down_proj.
    * `kv`: how keys and values are stored; None leaves them as they are.
    * `wide`: how attention and head become integers; None: they are floats.
    * `head`: how hidden states become codes of a head on the BitLinear datapath; None: the wide one computes it.
    * `ternary_floats`: activations are not quantised, and the BitLinear datapath adds and subtracts them (W1.58A16 on a
      chip that has one for it); otherwise such linears run on the wide one.
    * `gate_first`: the gate is computed before up_proj, which is needed only where the gate is not zero.
    """

    name: str
    qkv: Contract
    o: Contract
    gate_up: Contract
    down: Contract
    kv: KVFormat | None = None
    wide: WideContract | None = None
    head: WideContract | None = None
    ternary_floats: bool = False
    gate_first: bool = False
    source: str

    @property
    def linear_class(self) -> str | None:
        """The class of all four contracts."""
        return self.qkv.linear_class

    @property
    def evidence(self) -> str:
        """That of its contracts, each once."""
        return "; ".join(dict.fromkeys(contract.evidence for contract in self.contracts))

    def of(self, linear: str) -> Contract:
        """The contract of a linear by its name in the model, such as "self_attn.q_proj"."""
        others = {"o_proj": self.o, "gate_proj": self.gate_up, "up_proj": self.gate_up, "down_proj": self.down}
        return others.get(linear.rpartition(".")[2], self.qkv)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return self.qkv, self.o, self.gate_up, self.down


def uniform(contract: Contract) -> Recipe:
    """The recipe of a model whose linears all use `contract`, named after it."""
    return Recipe(name=contract.name, qkv=contract, o=contract, gate_up=contract, down=contract, source=contract.source)


_A48 = "arXiv 2411.04965 section 2"
_V2 = "arXiv 2504.18415 section 2"
_NONNEGATIVE = (
    "arXiv 2310.11453 section 2.1, the non-negative form for the linear whose output enters the non-linearity"
)

A48 = Recipe(
    name="a48",
    qkv=a48.A48_INT4,
    o=a48.A48_TOPK_INT8,
    gate_up=a48.A48_INT4,
    down=a48.A48_INT8,
    gate_first=True,
    source=_A48,
)
V2_A8 = Recipe(
    name="v2_a8",
    qkv=v2.V2_INT8,
    o=v2.V2_HADAMARD_INT8,
    gate_up=v2.V2_INT8,
    down=v2.V2_HADAMARD_INT8,
    source=_V2,
)
V2_A4 = Recipe(
    name="v2_a4",
    qkv=v2.V2_INT4,
    o=v2.V2_HADAMARD_INT4,
    gate_up=v2.V2_INT4,
    down=v2.V2_HADAMARD_INT4,
    source=_V2,
)
RECIPES = {
    r.name: r
    for r in (
        replace(uniform(b1.B1), gate_up=b1.B1_NONNEGATIVE, name="b1_nonnegative_ffn", source=_NONNEGATIVE),
        A48,
        replace(A48, name="a48_kv3", kv=KV_FORMATS["kv3_bos4"], source=f"{_A48}, with the 3-bit KV cache"),
        replace(A48, name="a48_full_int4", down=a48.A48_INT4_DOWN, source=f"{_A48}, the full-INT4 ablation"),
        Recipe(
            name="a48_fp4",
            qkv=a48.A48_E2M1,
            o=a48.A48_E2M1,
            gate_up=a48.A48_E2M1,
            down=a48.A48_INT8,
            gate_first=True,
            source=f"{_A48}, FP4 variant: all inputs but down_proj's; no TopK is mentioned for it",
        ),
        V2_A8,
        V2_A4,
        replace(V2_A4, name="v2_a4_kv3", kv=KV_FORMATS["kv3_bos8"], source=f"{_V2}, with the 3-bit KV cache"),
    )
}

NUMERICS = RECIPES | {name: uniform(contract) for name, contract in CONTRACTS.items()}


def recipe_named(name: str) -> Recipe:
    """The recipe or contract called `name`; raises `UnknownNameError`."""
    if name not in NUMERICS:
        raise UnknownNameError("numerics", name, NUMERICS)
    return NUMERICS[name]


def with_kv(recipe: Recipe, bits: int | None) -> Recipe:
    """`recipe` with keys and values of so many bits: 16, 8, 4 or 3; None: as it says. Raises `ConfigError`."""
    if bits is None:
        return recipe
    if bits != 16 and bits not in KV_OF_BITS:
        raise ConfigError(f"kv_bits: expected one of {', '.join(map(str, (16, *KV_OF_BITS)))}, got {bits!r}")
    return replace(recipe, kv=KV_OF_BITS.get(bits))
