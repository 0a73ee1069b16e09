"""Train the tiny byte-level models that bitsim ships: BitNet, b1.58, a4.8, v2 and the FP16 twin.

    pip install -e '.[train]'
    bible gen1:1-rev22:21 > kjv.txt              # Debian package bible-kjv (public domain text)
    python tools/train_tiny.py --kind b158 --text kjv.txt --out bitsim/models/tiny-b158

The block is BitNet b1.58 2B4T's: RMSNorm, SubLN before o_proj and down_proj, RoPE, grouped-query attention,
squared-ReLU GLU; b1 and v2 differ where their papers do. `tiny_decoder.SCHEMES` says how each kind quantises. a48
continues from the packed weights of bitsim/models/tiny-b158, as the paper's second stage continues from A8; v2 trains
with 8-bit activations first and with 4-bit ones at the end. The last 64 KiB of the text are never trained on. A run is
seeded; the same torch build and thread count repeats it.

Source: arXiv 2310.11453, 2402.17764 section 2, 2411.04965 section 2, 2504.18415 section 2, and the authors' training
tips (FAQ figures 3 and 4).
"""

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from export_tiny import export, load_ternary
from tiny_decoder import SCHEMES, Decoder, Shape
from torch import Tensor, nn

HELD_OUT_BYTES = 65536


@dataclass(frozen=True)
class Recipe:
    """How one kind is trained. `first`: the scheme of the steps before `switch_step`."""

    steps: int
    peak_lr: float
    batch: int = 16
    warmup_steps: int = 100
    final_lr_fraction: float = 0.05
    weight_decay: float = 0.05
    init_std: float = 0.05
    clip_norm: float = 1.0
    seed: int = 1
    start: str | None = None
    first: str | None = None
    switch_step: int = 0


RECIPES = {
    "b1": Recipe(steps=2300, peak_lr=2e-3),
    "b158": Recipe(steps=2300, peak_lr=2e-3),
    "fp16": Recipe(steps=2300, peak_lr=1.5e-3),
    "a48": Recipe(steps=250, peak_lr=1e-3, warmup_steps=50, weight_decay=0.0, start="tiny-b158"),
    "v2": Recipe(steps=2300, peak_lr=2e-3, first="v2_a8", switch_step=1900),
}
SHAPES = {
    "b1": Shape(intermediate_size=1024, num_key_value_heads=4),
    "v2": Shape(intermediate_size=512, num_hidden_layers=7),
}


@torch.no_grad()
def bits_per_byte(model: nn.Module, text: Tensor, window: int) -> float:
    """Mean bits per predicted byte over non-overlapping windows of `text` (uint8)."""
    total, count = 0.0, 0
    windows = text[: (len(text) - 1) // window * window + 1].long()
    inputs, targets = windows[:-1].view(-1, window), windows[1:].view(-1, window)
    for i in range(0, len(inputs), 32):
        logits = model(inputs[i : i + 32])
        total += F.cross_entropy(logits.flatten(0, 1), targets[i : i + 32].flatten(), reduction="sum").item()
        count += targets[i : i + 32].numel()
    return total / count / math.log(2)


def learning_rate(step: int, r: Recipe) -> float:
    if step < r.warmup_steps:
        return r.peak_lr * (step + 1) / r.warmup_steps
    progress = (step - r.warmup_steps) / max(1, r.steps - r.warmup_steps)
    floor = r.final_lr_fraction
    return r.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: Decoder, kind: str, text: Tensor, r: Recipe, window: int, held_out: Tensor) -> None:
    """AdamW with a cosine schedule; weight decay stops at half time (the authors' second stage)."""
    compiled = torch.compile(model)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": r.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=r.peak_lr,
        betas=(0.9, 0.95),
    )
    offsets = torch.arange(window + 1)
    start = time.monotonic()
    for step in range(r.steps):
        if r.first is not None and step == r.switch_step:
            print(f"{r.first}: held out, 64 KiB: {bits_per_byte(model, held_out, window):.4f} bits per byte")
        model.scheme = SCHEMES[kind if r.first is None or step >= r.switch_step else r.first]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, r)
        if step == r.steps // 2:
            optimiser.param_groups[0]["weight_decay"] = 0.0
        at = torch.randint(0, len(text) - window - 1, (r.batch, 1))
        batch = text[at + offsets].long()
        loss = F.cross_entropy(compiled(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), r.clip_norm)
        optimiser.step()
        if step % 100 == 99 or step == 0:
            minutes = (time.monotonic() - start) / 60
            validation = bits_per_byte(model, held_out[: HELD_OUT_BYTES // 2], window) if step % 400 == 399 else None
            shown = "" if validation is None else f"  held out {validation:.4f}"
            print(
                f"step {step + 1:5d}  {minutes:5.1f} min  bits/byte {loss.item() / math.log(2):.4f}{shown}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(RECIPES), required=True)
    parser.add_argument("--text", type=Path, required=True, help="plain text; its last 64 KiB are held out")
    parser.add_argument("--out", type=Path, required=True, help="directory of the checkpoint")
    parser.add_argument("--steps", type=int, help="override the recipe's number of steps")
    parser.add_argument("--masters", type=Path, help="also write the float32 master weights here (torch.save)")
    args = parser.parse_args()

    recipe = RECIPES[args.kind]
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps, switch_step=recipe.switch_step * args.steps // recipe.steps)
    torch.manual_seed(recipe.seed)
    text = torch.frombuffer(bytearray(args.text.read_bytes()), dtype=torch.uint8)
    held_out = text[-HELD_OUT_BYTES:]
    shape = SHAPES.get(args.kind, Shape())
    model = Decoder(shape, SCHEMES[args.kind], recipe.init_std)
    if recipe.start is not None:
        load_ternary(model, Path(__file__).parents[1] / "bitsim" / "models" / recipe.start / "model.safetensors")
    print(f"{args.kind}: {sum(p.numel() for p in model.parameters()):,} parameters, {recipe}", flush=True)
    train(model, args.kind, text[:-HELD_OUT_BYTES], recipe, shape.max_position_embeddings, held_out)
    print(f"held out, 64 KiB: {bits_per_byte(model, held_out, shape.max_position_embeddings):.4f} bits per byte")
    if args.masters is not None:
        torch.save(model.state_dict(), args.masters)
    export(model, shape, args.kind, args.out)


if __name__ == "__main__":
    main()
