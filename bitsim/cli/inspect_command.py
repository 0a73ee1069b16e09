"""`bitsim inspect`: what a checkpoint holds."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.options import gguf_options, ternarise_option
from bitsim.cli.output import print_table
from bitsim.cli.terminal import echo


@click.command("inspect")
@click.argument("source", metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every tensor, instead of tables.")
@gguf_options
@ternarise_option
def command(source: str, as_json: bool, hidden_act: Any, i2s: Any, ternarise: Any) -> None:
    """Shapes, packing, bits per weight, zeros and scales of PATH (or of a shipped model).

    Of a file that is no whole model, or none that runs, the tensors (and the keys of GGUF); of a config.json, a YAML
    shape or a published one, its sizes.
    """
    from bitsim.cli.emit import emit_description
    from bitsim.errors import CheckpointError
    from bitsim.model.catalogue import SHIPPED
    from bitsim.model.convert import open_source
    from bitsim.model.files.contents import contents
    from bitsim.model.files.listing import gguf_listing, is_listable, listing
    from bitsim.model.shape_contents import is_shape, shape_contents

    if source not in SHIPPED and is_listable(Path(source)):
        tensors = listing(Path(source))
        emit_description(tensors, lambda: view_listing(tensors), as_json=as_json)
        return
    if source not in SHIPPED and is_shape(source):
        shape = shape_contents(source)
        emit_description(shape, lambda: view_shape(shape), as_json=as_json)
        return
    try:
        opened = open_source(source, hidden_act, i2s, ternarise)
    except CheckpointError as error:
        if source in SHIPPED or not source.endswith(".gguf") or not Path(source).is_file():
            raise
        keys = gguf_listing(Path(source), str(error))
        emit_description(keys, lambda: view_listing(keys), as_json=as_json)
        return
    found = contents(opened)
    emit_description(found, lambda: view_contents(found), as_json=as_json)


def view_shape(found: dict[str, Any]) -> None:
    """The fields of a shape, and how many weights and bytes they make."""
    echo(
        f"{found['name']}: a shape without weights, sha256 {found['digest']}\n"
        f"linears: {found['linear_weights']:,} weights in {found['linear_bytes']:,} bytes; embedding and head: "
        f"{found['embedding_weights']:,} in {found['embedding_bytes']:,}; keys and values: "
        f"{found['kv_bytes_per_position']:,} bytes per position in FP16"
    )
    if found["ignored"]:
        echo(f"ignored, because they change no number: {', '.join(found['ignored'])}")
    for text in found["notes"]:
        echo(f"note: {text}")
    print_table("shape", ["field", "value"], [[name, str(value)] for name, value in found["shape"].items()])


def view_listing(found: dict[str, Any]) -> None:
    """Tensors of a file that need not be a model."""
    echo(f"{found['path']}: {len(found['tensors'])} tensors, {found['size_bytes']:,} bytes")
    rows = [
        [tensor["name"], tensor["kind"], " x ".join(map(str, tensor["shape"])) or "-", f"{tensor['size_bytes']:,}"]
        for tensor in found["tensors"]
    ]
    print_table("tensors", ["tensor", "type", "shape", "bytes"], rows)
    if "keys" in found:
        print_table("keys", ["key", "value"], [[key, str(value)[:99]] for key, value in found["keys"].items()])
        echo(f"not a model that runs: {found['no_model']}")


def view_contents(found: dict[str, Any]) -> None:
    """The model, its linears, and their zeros by layer."""
    from bitsim.model.config import SELDOM

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
    for name in SELDOM:
        if name in found:
            echo(f"{name}: {found[name]}")
    if found["absent_keys"]:
        meant = ", ".join(f"{key} = {value}" for key, value in found["absent_keys"].items())
        echo(f"absent keys, and what they are taken for: {meant}")
    if found["ignored"]:
        echo(f"ignored, because they change no number: {', '.join(found['ignored'])}")
    for text in found["notes"]:
        echo(f"note: {text}")
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
