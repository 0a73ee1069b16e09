"""Which of a model's linears uses which contract, and how its keys and values are stored."""

from dataclasses import dataclass

from bitsim.errors import UnknownNameError
from bitsim.quant import a48, b1, b158, v2
from bitsim.quant.base import Contract
from bitsim.quant.kv import KV_FORMATS, KVFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The numerics of a whole model: a contract for each kind of linear, all of one `linear_class`.

    `qkv`: q_proj, k_proj and v_proj; `o`: o_proj; `gate_up`: gate_proj and up_proj; `down`: down_proj. `kv`: None
    leaves keys and values as they are.
    """

    name: str
    qkv: Contract
    o: Contract
    gate_up: Contract
    down: Contract
    kv: KVFormat | None = None
    source: str

    @property
    def linear_class(self) -> str | None:
        """The class of all four contracts."""
        return self.qkv.linear_class


def uniform(contract: Contract) -> Recipe:
    """The recipe of a model whose linears all use `contract`, named after it."""
    return Recipe(name=contract.name, qkv=contract, o=contract, gate_up=contract, down=contract, source=contract.source)


_A48 = "arXiv 2411.04965 section 2"
_V2 = "arXiv 2504.18415 section 2"
RECIPES = {
    r.name: r
    for r in (
        uniform(b1.B1),
        uniform(b158.B158_Q128_ADDED),
        uniform(b158.B158_Q127_CLAMPED),
        Recipe(
            name="a48",
            qkv=a48.A48_INT4,
            o=a48.A48_TOPK_INT8,
            gate_up=a48.A48_INT4,
            down=a48.A48_INT8,
            source=_A48,
        ),
        Recipe(
            name="a48_kv3",
            qkv=a48.A48_INT4,
            o=a48.A48_TOPK_INT8,
            gate_up=a48.A48_INT4,
            down=a48.A48_INT8,
            kv=KV_FORMATS["kv3_bos4"],
            source=f"{_A48}, with the 3-bit KV cache",
        ),
        Recipe(
            name="a48_fp4",
            qkv=a48.A48_E2M1,
            o=a48.A48_E2M1,
            gate_up=a48.A48_E2M1,
            down=a48.A48_INT8,
            source=f"{_A48}, FP4 variant: all inputs but down_proj's; no TopK is mentioned for it",
        ),
        Recipe(
            name="v2_a8",
            qkv=v2.V2_INT8,
            o=v2.V2_HADAMARD_INT8,
            gate_up=v2.V2_INT8,
            down=v2.V2_HADAMARD_INT8,
            source=_V2,
        ),
        Recipe(
            name="v2_a4",
            qkv=v2.V2_INT4,
            o=v2.V2_HADAMARD_INT4,
            gate_up=v2.V2_INT4,
            down=v2.V2_HADAMARD_INT4,
            kv=KV_FORMATS["kv3_bos8"],
            source=f"{_V2}, with the 3-bit KV cache",
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`; raises `UnknownNameError`."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
