"""Law 13 of the operators: what one writes is what others read, and nothing appears or vanishes in between."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.model.build_operators import forward_operators
from bitsim.model.config import ModelConfig
from bitsim.model.experts import Experts
from tests.model.tensors import Written, versions
from tests.model.tiny_models import CONFIGS, in_integers

configs = st.sampled_from(list(CONFIGS.values()))
wide_bits = st.sampled_from([None, 8, 4])
UNREAD = {"logits"}  # the answer


def keeps_law_13(written: Written) -> None:
    """One form and one home for all who write or read a tensor; each reader reads all of it."""
    tensor = written.tensor
    for op, other in (*written.writers, *written.readers):
        assert (other.form, other.alive) == (tensor.form, tensor.alive), (op.name, tensor.name)
    assert written.readers or tensor.name in UNREAD, tensor.name
    for name, values in written.read_by().items():
        assert values == written.values, (name, tensor.name)


def settings_of(config: ModelConfig, wide: int | None) -> dict[str, Any]:
    """Attention and head in integers of so many bits."""
    if wide is None:
        return {}
    recipe = in_integers(config, wide)
    return {"recipe": recipe, "kv": recipe.kv}


@given(configs, st.integers(1, 40), st.integers(0, 30), st.integers(1, 3), st.none() | st.integers(1, 45), wide_bits)
def test_law_13_every_reader_reads_all_that_was_written(
    config: ModelConfig, tokens: int, past: int, batch: int, block: int | None, wide: int | None
) -> None:
    settings = {"phase": "prefill", "tokens": tokens, "context": past + tokens, "batch": batch, "query_block": block}
    operators = forward_operators(config, logits="all", **settings, **settings_of(config, wide))
    codes = {tensor.name for op in operators for tensor in op.writes if tensor.form == "wide_codes"}
    assert codes == ({"self_attn.q_codes", "self_attn.share_codes", "normed_codes"} if wide else set())
    assert all(op.is_wide_integer == bool(wide and op.kind != "linear") for op in operators if op.is_matmul)
    for written in versions(operators):
        keeps_law_13(written)


@given(configs, st.integers(2, 40), st.integers(1, 3))
def test_law_13_but_for_the_positions_whose_logits_nobody_asked_for(
    config: ModelConfig, tokens: int, batch: int
) -> None:
    """Of the last residual's sum the last norm reads one row of each sequence, or none."""
    for logits, rows in (("last", batch), ("none", 0)):
        settings = {"phase": "prefill", "tokens": tokens, "context": tokens, "batch": batch, "logits": logits}
        *all_but_last, last = [w for w in versions(forward_operators(config, **settings)) if w.tensor.name == "hidden"]
        for written in all_but_last:
            keeps_law_13(written)
        assert sum(last.read_by().values()) == rows * config.hidden_size


@given(configs, st.integers(2, 6), st.integers(1, 3), st.integers(1, 20))
def test_law_13_inside_of_experts(config: ModelConfig, total: int, active: int, tokens: int) -> None:
    """All experts of a token read what is in front of them, and what they write is mixed."""
    experts = Experts(total=total, active=min(active, total))
    plain = forward_operators(config, phase="prefill", tokens=tokens, context=tokens, logits="all")
    for written in versions(experts.operators(config, plain)):
        read: dict[str, int] = {}
        for name, values in written.read_by().items():
            which = re.sub(r"experts\.\d+", "experts", name)
            read[which] = read.get(which, 0) + values
        for name, values in read.items():
            once = written.tensor.name not in ("mlp.normed", "mlp.quantise") or name.endswith(("quantise", "router"))
            assert values == written.values * (1 if once else experts.active), (name, written.tensor.name)
        for op, other in (*written.writers, *written.readers):
            assert other.alive == written.tensor.alive, (op.name, other.name)


def test_the_law_notices_what_is_read_and_was_never_written() -> None:
    operators = forward_operators(CONFIGS["ternary"], phase="prefill", tokens=3, context=3)
    without = [op for op in operators if not op.name.endswith("attn_sub_norm")]
    with pytest.raises(AssertionError, match=r"o_quantise reads self_attn\.sub_normed, which nobody wrote"):
        versions(without)
