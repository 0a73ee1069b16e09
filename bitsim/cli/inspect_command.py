"""`bitsim inspect`: what a checkpoint holds."""

from typing import Any

import click

from bitsim.cli.options import gguf_options
from bitsim.cli.output import print_table
from bitsim.cli.terminal import echo


@click.command("inspect")
@click.argument("source", metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every tensor, instead of tables.")
@gguf_options
def command(source: str, as_json: bool, hidden_act: Any, i2s_layout: Any) -> None:
    """Shapes, packing, bits per weight, zeros and scales of PATH (or of a shipped model)."""
    from bitsim.cli.emit import emit_description
    from bitsim.model.convert import open_source
    from bitsim.model.files.contents import contents

    found = contents(open_source(source, hidden_act, i2s_layout))
    emit_description(found, lambda: view_contents(found), as_json=as_json)


def view_contents(found: dict[str, Any]) -> None:
    """The model, its linears, and their zeros by layer."""
    echo(
        f"{found['path']}: {found['layers']} layers of {found['hidden_size']}, FFN {found['intermediate_size']} "
        f"({found['hidden_act']}), {found['heads']} heads, {found['kv_heads']} KV heads, "
        f"vocabulary {found['vocab_size']}\n"
        f"linears: {found['packing']}, class {found['linear_class']}, numerics {found['numerics']}, "
        f"{found['linear_weights']:,} weights in {found['linear_bytes']:,} bytes = "
        f"{found['linear_bits_per_weight']:.4f} bits per weight, {found['zero_fraction']:.2%} zeros\n"
        f"all tensors: {found['size_bytes']:,} bytes, sha256 {found['digest']}"
    )
    if found["scale"] is not None:
        echo("scales: " + ", ".join(f"{name} {value:.6g}" for name, value in found["scale"].items()))
    rows = [
        [
            linear["name"],
            f"{linear['n']} x {linear['k']}",
            linear["kind"],
            f"{linear['bits_per_weight']:.4f}",
            f"{linear['zero_fraction']:.2%}",
            "-" if linear["scale"] is None else f"{linear['scale']:.6g}",
        ]
        for linear in found["linears"]
    ]
    print_table("linears", ["tensor", "N x K", "type", "bits per weight", "zeros", "scale"], rows)
    layers = range(found["layers"])
    print_table(
        "zeros per layer", ["layer", "zeros"], [[i, f"{_layer_zeros(found['linears'], i):.2%}"] for i in layers]
    )


def _layer_zeros(linears: list[dict[str, Any]], layer: int) -> float:
    own = [linear for linear in linears if linear["layer"] == layer]
    sizes = [linear["n"] * linear["k"] for linear in own]
    zeros = sum(linear["zero_fraction"] * size for linear, size in zip(own, sizes, strict=True))
    return float(zeros / sum(sizes))
