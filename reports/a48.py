"""Table 2 of a4.8 (arXiv 2411.04965): what its columns add up to, and tiny-a48 executed beside them; and its claims."""

from functools import cache

from bitsim.model.config import ModelConfig
from bitsim.model.footprint import embedding_bits
from bitsim.model.zoo import zoo_config
from bitsim.results.rows import SPARSITY_COLUMNS
from bitsim.study.evaluate import Evaluation, evaluate
from reports.a48_figure import draw, draw_claims
from reports.comparison import Row, published
from reports.report import Progress, Report, comparison_report

PAPER = "2411.04965"
TINY, CHIP = {"a4.8": "tiny-a48", "b1.58": "tiny-b158"}, "ternary-ws-64x64"
BESIDE = "7B"  # the size of the paper that tiny models stand beside
TEXT_BYTES = 2048
COLUMN_OF = {
    "self_attn.q_proj": "qkv",
    "self_attn.k_proj": "qkv",
    "self_attn.v_proj": "qkv",
    "self_attn.o_proj": "out",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
}


def overall(config: ModelConfig, columns: dict[str, float]) -> float:
    """Percent of all products, from the columns in percent, weighted by parameters."""
    weights = [(n * k, columns[COLUMN_OF[name]]) for name, n, k in config.linear_shapes()]
    return sum(size * percent for size, percent in weights) / sum(size for size, _ in weights)


@cache
def executed(kind: str) -> Evaluation:
    """The shipped model of a kind on text that its training never saw."""
    return evaluate(TINY[kind], CHIP, limit=TEXT_BYTES)


def table_rows() -> list[Row]:
    """Overall sparsity and activated parameters of all sizes, from the table's own columns."""
    data, rows = published(PAPER), []
    table = data["table_2"]
    for size, kinds in table["rows"].items():
        config = zoo_config(f"bitnet-a48-{size.lower()}")
        for kind, values in kinds.items():
            printed = dict(zip(table["columns"], values, strict=True))
            ours = overall(config, printed)
            active = config.linear_weights * (1 - ours / 100) / 1e9
            shared = {"paper": data["paper"], "location": table["location"], "label": "derived"}
            what = "the printed columns weighted by parameters"
            rows.append(
                Row(**shared, item=f"{size} {kind} overall", unit="%", published=printed["overall"], ours=ours,
                    uncertainty=0.05, note=what)
            )  # fmt: skip
            rows.append(
                Row(**shared, item=f"{size} {kind} activated", unit="1e9", published=printed["activated"], ours=active,
                    uncertainty=0.0005 if printed["activated"] < 0.7 else 0.05,
                    note=f"linear parameters less the zeros of {what}"
                    + ("; 3.4 contradicts the paper's own 44.5 %" if (size, kind) == ("7B", "a4.8") else ""))
            )  # fmt: skip
    return rows


def executed_rows() -> list[Row]:
    """The columns of Table 2: the paper's 7B model can't be run, a small one of the same kind is executed beside it."""
    data, rows = published(PAPER), []
    table = data["table_2"]
    for kind, model in TINY.items():
        score = executed(kind).score
        printed = dict(zip(table["columns"], table["rows"][BESIDE][kind], strict=True))
        for column in SPARSITY_COLUMNS:
            rows.append(
                Row(
                    paper=data["paper"],
                    location=table["location"],
                    item=f"{model} {column}, beside {BESIDE} {kind}",
                    unit="%",
                    published=printed[column],
                    ours=100 * score.sparsity[column],
                    label="not reproducible",
                    note=f"the trained {BESIDE} model is not public; ours is {model}, executed on {TEXT_BYTES} bytes",
                )
            )
        active = score.linear_weights * (1 - score.sparsity["overall"]) / 1e6
        rows.append(
            Row(
                paper=data["paper"],
                location=table["location"],
                item=f"{model} activated",
                unit="1e6",
                published=None,
                ours=active,
                label="measured",
                note=f"of {score.linear_weights / 1e6:.2f} million in its linears",
            )
        )
    return rows


def claim_rows() -> list[Row]:
    """10x less memory, 4x and 2x the speed: what of it follows from bits."""
    data = published(PAPER)
    claims = data["claims"]
    shared = {"paper": data["paper"], "location": claims["location"], "unit": claims["unit"]}
    llama, small = zoo_config("llama-7b"), zoo_config("bitnet-a48-7b")
    five_trits = 8 / 5
    head = embedding_bits(llama)
    with_head = (16 * llama.linear_weights + head) / (five_trits * small.linear_weights + head)
    speed = "needs measured INT4 kernels; of an A100's peak rates alone INT4 is {}x {}"
    return [
        Row(**shared, item="memory of linears, LLaMA / a4.8", published=claims["memory_vs_llama"],
            ours=16 / five_trits, label="derived", uncertainty=0.5, note="16 bits over five trits in a byte"),
        Row(**shared, item="memory of all weights, LLaMA / a4.8, 7B", published=None, ours=with_head, label="derived",
            note="with embedding and head in FP16"),
        Row(**shared, item="speed, a4.8 / LLaMA", published=claims["speed_vs_llama"], ours=None,
            label="not reproducible", note=speed.format(4, "FP16")),
        Row(**shared, item="speed, a4.8 / b1.58", published=claims["speed_vs_b158"], ours=None,
            label="not reproducible", note=speed.format(2, "INT8")),
    ]  # fmt: skip


def sparsity_report(on_step: Progress) -> Report:
    """`bitsim reproduce sparsity`."""
    rows = table_rows() + executed_rows()
    on_step(1, 1)
    inputs = {model: dict(executed(kind).inputs) for kind, model in TINY.items()}
    return comparison_report("sparsity: 2411.04965 Table 2, and small models executed", rows, inputs, draw(rows))


def a48_report(on_step: Progress) -> Report:
    """`bitsim reproduce a4.8`."""
    rows = claim_rows()
    on_step(1, 1)
    return comparison_report("a4.8: the claims made for it", rows, {}, draw_claims(rows))
