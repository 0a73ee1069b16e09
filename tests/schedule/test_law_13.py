"""Law 13 on chips: bits, place and width of what an operator writes are those of what its consumers read."""

from dataclasses import replace

import pytest

from bitsim.hw import chip_names, load_chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.operators import Operator, Phase, Tensor
from bitsim.schedule import Placement
from bitsim.schedule.homes import VALUE_BITS
from tests.chips import executed_on, takes
from tests.model.tensors import versions

STEPS: list[tuple[Phase, int, int, int]] = [("prefill", 512, 512, 1), ("prefill", 40, 2000, 3), ("decode", 1, 700, 2)]


def moves(placement: Placement, op: Operator, tensor: Tensor, direction: str) -> None:
    """Of one tensor of one operator: the bits that its events say were moved where it lives."""
    placed, unit, bits = placement.place(op), placement.homes.unit(tensor), placement.homes.bits(tensor)
    taken = {"codes": placement.bitlinear.act_bits, "wide_codes": placement.wide.act_bits, "values": VALUE_BITS}
    assert bits == taken[tensor.form]
    mine = op.reads if direction == "read" else op.writes
    here = sum(other.values * placement.homes.bits(other) for other in mine if placement.homes.unit(other) == unit)
    moved = placed.events[f"{unit}.{direction}_bits"]
    if not op.is_matmul or (direction == "write" and unit == "dram.acts"):
        assert moved == here, (op.name, tensor.name, unit)
    elif direction == "write" or placement.datapath(op).streams(op.m, op.k, op.n).act_reads:
        # tiles read activations more than once, and sums may pass through the same buffer
        assert moved >= here, (op.name, tensor.name, unit)
    if unit != "dram.acts" and op.is_matmul:
        assert f"dram.acts.{direction}_bits" not in placed.events, (op.name, tensor.name)


def keeps_law_13(model: str, placement: Placement, block: int | None) -> int:
    """Follows all tensors of a layer through all steps; returns how many of them lived in DRAM."""
    whole, recipe = executed_on(placement.chip, model)
    config, in_dram = replace(whole, num_layers=1), 0
    for phase, tokens, context, batch in STEPS:
        operators = forward_operators(
            config, phase=phase, tokens=tokens, context=context, batch=batch, recipe=recipe, kv=recipe.kv or 16,
            query_block=block,
        )  # fmt: skip
        for written in versions(operators):
            homes = {placement.homes.unit(tensor) for _, tensor in (*written.writers, *written.readers)}
            assert len(homes) == 1, written.tensor.name
            in_dram += homes == {"dram.acts"}
            for op, tensor in written.writers:
                moves(placement, op, tensor, "write")
            for op, tensor in written.readers:
                moves(placement, op, tensor, "read")
    return in_dram


@pytest.mark.sampled(one_in=4)
@pytest.mark.parametrize("chip", [name for name in chip_names() if takes(name, "bitnet-b158-2b4t")])
def test_law_13_on_every_chip(chip: str) -> None:
    placement, model = Placement(load_chip(chip)), "bitnet-b158-2b4t"
    assert keeps_law_13(model, placement, None) + keeps_law_13(model, placement, 64) > 0


@pytest.mark.parametrize("model", ["fp16-125m", "bitnet-1.3b", "llama-700m", "bitnet-a48-700m"])
def test_law_13_for_every_kind_of_model(model: str) -> None:
    placement = Placement(load_chip("ternary-ws-64x64"))
    assert keeps_law_13(model, placement, None) > 0


@pytest.mark.parametrize("model", ["bitnet-1.3b", "bitnet-a48-700m"])
def test_law_13_where_attention_and_head_are_integers(model: str) -> None:
    assert keeps_law_13(model, Placement(load_chip("ternary-ws-64x64-int8")), 64) > 0
