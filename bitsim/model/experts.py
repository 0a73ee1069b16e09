"""Mixture of experts: an FFN of which there are several, and every token goes through some of them.

All experts' weights are stored; a step reads those of the experts that its tokens choose. Which these are depends on a
router that no BitNet paper has trained: tokens are taken to spread as evenly as they can, so that M tokens that choose
`active` experts each touch min(experts, M active) of them. That is the most weights that a step can read, and the
least tokens that one expert can get.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import router_bits
from bitsim.model.operators import Operator, Tensor, VectorOp

ASSUMPTIONS = (
    "experts: tokens spread evenly, so that a step touches as many experts as it can",
    "experts: the router is an FP16 linear with a softmax over all experts and a selection by one comparison each",
)
OUTSIDE = ("mlp.normed", "mlp.quantise")  # what all experts of a token read
CHOICE = "mlp.route"  # the weights of the experts that a token chose


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """`total` experts in each layer, of which a token uses `active`; one expert is the FFN of the model's shape."""

    total: int
    active: int

    def __post_init__(self) -> None:
        if not 1 <= self.active <= self.total:
            raise ConfigError(f"experts: expected 1 <= active <= total, got {self.active} of {self.total}")

    def loads(self, tokens: int) -> list[int]:
        """How many tokens each touched expert gets, the most loaded first."""
        pairs = tokens * self.active
        touched = min(self.total, pairs)
        size, more = divmod(pairs, touched)
        return [size + (i < more) for i in range(touched)]

    def total_weights(self, config: ModelConfig) -> int:
        """Weights of all linears, routers apart."""
        return config.linear_weights + (self.total - 1) * _ffn_weights(config)

    def active_weights(self, config: ModelConfig) -> int:
        """Weights that one token is multiplied with, routers apart."""
        return config.linear_weights + (self.active - 1) * _ffn_weights(config)

    def operators(self, config: ModelConfig, operators: Sequence[Operator]) -> Iterator[Operator]:
        """The operators of a step of `config`, with the experts in place of its FFN.

        With one expert they are the same. Work on an expert's inside (activation, its norm and quantiser) is done for
        each pair of token and expert; the norm and quantiser in front of the FFN once per token.
        """
        if self.total == 1:
            yield from operators
            return
        first = "gate_proj" if config.ffn == "glu" else "up_proj"
        if config.quantised:
            first = "quantise" if config.linear_norm_eps is None else f"{first}.norm"
        for op in operators:
            place = op.name.partition(".mlp.")[2]
            if place == first:
                yield from self._router(config, op)
            if not place or place == "quantise":
                yield op
            elif op.is_matmul:
                yield from self._matmuls(op)
            elif place == "residual":
                d = config.hidden_size
                rows = op.vector["add"] // d
                mixed: dict[VectorOp, int] = {
                    "mul": self.active * rows * d,
                    "add": (self.active - 1) * rows * d + op.vector["add"],
                }
                hidden, added = op.reads
                chosen = Tensor(name=CHOICE, values=rows * self.active, alive=rows * self.active)
                yield replace(op, vector=mixed, reads=(hidden, self._of_all(added), chosen))
            else:
                vector = {name: count * self.active for name, count in op.vector.items()}
                yield replace(
                    op,
                    vector=vector,
                    reads=tuple(self._of_all(tensor) for tensor in op.reads),
                    writes=tuple(self._of_all(tensor) for tensor in op.writes),
                )

    def _of_all(self, tensor: Tensor) -> Tensor:
        """What all pairs of token and expert have, or read, of a tensor; those from outside are there once."""
        alive = 1 if tensor.name in OUTSIDE else self.active
        return replace(tensor, values=tensor.values * self.active, alive=tensor.alive * alive)

    def _matmuls(self, op: Operator) -> Iterator[Operator]:
        """One matmul per touched expert, each with its own rows."""
        at, _, name = op.name.rpartition(".")
        (read,), (written,) = op.reads, op.writes
        read, written = self._of_all(read), self._of_all(written)
        for i, tokens in enumerate(self.loads(op.m)):
            yield replace(
                op,
                name=f"{at}.experts.{i}.{name}",
                m=tokens,
                reads=(replace(read, values=tokens * op.k * op.repeat),),
                writes=(replace(written, values=tokens * op.n * op.repeat),),
            )

    def _router(self, config: ModelConfig, before: Operator) -> Iterator[Operator]:
        """Logits of all experts, their softmax, and the choice, for the rows of the step."""
        layer = before.name.partition(".mlp.")[0]
        d = config.hidden_size
        rows = before.reads[0].values // d
        scores, chosen = (
            Tensor(name=name, values=rows * size, alive=rows * size)
            for name, size in (("mlp.router", self.total), (CHOICE, self.active))
        )
        yield Operator(
            name=f"{layer}.mlp.router",
            kind="linear",
            phase=before.phase,
            layer=before.layer,
            m=rows,
            k=d,
            n=self.total,
            weight_format="fp16",
            weight_bits=router_bits(config, self.total),
            reads=before.reads,
            writes=(scores,),
        )
        scored = rows * self.total
        yield Operator(
            name=f"{layer}.mlp.route",
            kind="softmax",
            phase=before.phase,
            layer=before.layer,
            vector={"max": (1 + self.active) * scored, "add": 2 * scored, "exp": scored, "div": rows, "mul": scored},
            reads=(scores,),
            writes=(chosen,),
        )


def _ffn_weights(config: ModelConfig) -> int:
    """Weights of the FFN linears of all layers."""
    return config.num_layers * sum(n * k for name, n, k in config.linear_shapes() if name.startswith("mlp."))
