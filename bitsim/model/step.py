"""What all operators of one step of a model have in common: its sizes, and how single operators are made from them."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bitsim.model.config import ModelConfig
from bitsim.model.footprint import linear_bits
from bitsim.model.operators import VECTOR_OPS, Form, Kind, Operator, Phase, Tensor, VectorOp, WeightFormat
from bitsim.quant.base import Contract, absmax_work
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe

Vector = dict[VectorOp, int]
Logits = Literal["last", "all", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: `tokens` new positions in each of `batch` sequences, `context` positions attended, these included.

    See `forward_operators` for the rest.
    """

    config: ModelConfig
    phase: Phase
    tokens: int
    context: int
    batch: int
    recipe: Recipe
    kv: KVStorage
    merge_heads: bool
    query_block: int
    logits: Logits

    @property
    def rows(self) -> int:
        return self.tokens * self.batch

    @property
    def logit_rows(self) -> int:
        """Positions that the head computes."""
        return {"all": self.rows, "last": self.batch, "none": 0}[self.logits]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and last position (excluded) of the tokens whose attention is worked off together."""
        past = self.context - self.tokens
        for start in range(past, self.context, self.query_block):
            yield start, min(start + self.query_block, self.context)

    def tensor(self, name: str, size: int, form: Form = "values") -> Tensor:
        """A vector of `size` for every row of the step."""
        return Tensor(name=name, values=self.rows * size, alive=self.rows * size, form=form)

    def vector(
        self,
        kind: Kind,
        name: str,
        layer: int | None,
        per_row: Vector,
        reads: tuple[Tensor, ...],
        writes: tuple[Tensor, ...],
        rows: int | None = None,
    ) -> Operator:
        """Does `per_row` on each of `rows`: all tokens by default."""
        rows = self.rows if rows is None else rows
        return Operator(
            name=name,
            kind=kind,
            phase=self.phase,
            layer=layer,
            rows=rows,
            vector={op: n * rows for op, n in per_row.items()},
            reads=reads,
            writes=writes,
        )

    def norm(
        self, name: str, layer: int | None, size: int, read: Tensor, written: Tensor, rows: int | None = None
    ) -> Operator:
        work: Vector = {"mul": 3 * size, "add": size, "rsqrt": 1}
        if self.config.norm == "layer":  # the mean and its subtraction, and no weights
            work = {"mul": 2 * size, "add": 3 * size, "rsqrt": 1}
        return self.vector("norm", name, layer, work, (read,), (written,), rows)

    def quantise(
        self, name: str, layer: int, size: int, contract: Contract, read: Tensor
    ) -> Generator[Operator, None, Tensor]:
        """What the contract's quantiser does; returns what linears then read. Scales are counted with the linear."""
        if not self.config.quantised or self.config.linear_norm_eps is not None:
            return read
        return (yield from self._codes(name, layer, size, contract, read))

    def _codes(
        self, name: str, layer: int, size: int, contract: Contract, read: Tensor
    ) -> Generator[Operator, None, Tensor]:
        work = _listed(contract.quantise_work(size))
        codes = self.tensor(name.rpartition("layers.")[2].partition(".")[2], size, "codes")
        yield self.vector("quantise", name, layer, work, (read,), (codes,))
        return codes

    def wide_codes(
        self,
        name: str,
        layer: int | None,
        size: int,
        read: Tensor,
        codes: Tensor,
        rows: int,
        *,
        scaled: bool = False,
        form: Form = "wide_codes",
    ) -> Operator:
        """Quantises `rows` of `size` to codes of a `form`; `scaled`: after a product with a scale for each of them."""
        work: Vector = {"mul": size} if scaled else {}
        work |= _listed(absmax_work(size))
        return self.vector("quantise", name, layer, work, (read,), (replace(codes, form=form),), rows)

    def linear(self, name: str, layer: int, n: int, k: int, read: Tensor) -> Iterator[Operator]:
        """A linear, after its own norm and quantiser and before its bias where it has them.

        Groups of K with scales of their own are matmuls that follow each other, whose scaled sums are then added up.
        """
        at, written = f"layers.{layer}.{name}", self.tensor(name, n)
        if self.config.linear_norm_eps is not None:
            normed = self.tensor(f"{name}.norm", k)
            yield self.vector("norm", f"{at}.norm", layer, {"mul": 3 * k, "add": k, "rsqrt": 1}, (read,), (normed,))
            read = yield from self._codes(f"{at}.quantise", layer, k, self.recipe.of(name), normed)
        groups = self.config.groups_of(name) if self._weight_format == "ternary" else 1
        if groups == 1:
            yield self._matmul(at, layer, n, k, read, written)
        else:
            parts = self.tensor(f"{name}.groups", groups * n)
            yield replace(self._matmul(at, layer, n, k, read, parts), k=k // groups, repeat=groups)
            yield self.vector("groups", f"{at}.groups", layer, {"add": (groups - 1) * n}, (parts,), (written,))
        if self.config.biased(name):
            yield self.vector("bias", f"{at}.bias", layer, {"add": n}, (written,), (written,))

    @property
    def _weight_format(self) -> WeightFormat:
        """That of linears."""
        if self.config.quantised or self.recipe.ternary_floats:
            return "ternary"
        if self.config.weight_only:
            return "scaled_ternary" if self.config.linear_class == "w158a16" else "scaled_integers"
        return "fp16"

    def _matmul(self, name: str, layer: int, n: int, k: int, read: Tensor, written: Tensor) -> Operator:
        return Operator(
            name=name,
            kind="linear",
            phase=self.phase,
            layer=layer,
            m=self.rows,
            k=k,
            n=n,
            weight_format=self._weight_format,
            weight_bits=linear_bits(self.config, n, k),
            reads=(read,),
            writes=(written,),
        )


def quantise_work(size: int) -> Vector:
    """Of a vector that is stored as codes, the multiplications by its scale included: no linear counts them."""
    work: Vector = {"mul": size}
    return work | _listed(absmax_work(size))


def _listed(work: Mapping[str, int]) -> Vector:
    return {op: n for op in VECTOR_OPS if (n := work.get(op, 0))}
