"""How the linears of a config.json are quantised: `quantization_config` of transformers, or 1bitLLM's own two keys.

Rules and defaults are those of transformers 5.24.0: `integrations/bitnet.py`, `utils/quantization_config.py`,
`quantizers/quantizers_utils.py`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bitsim.errors import CheckpointError
from bitsim.model.config import LinearClass, Rounded, WeightOnly
from bitsim.model.files.hf_keys import Keys

Storage = Literal["2bit", "trits5_offset", "trits5_sign", "1bit", "master", "master_fp32"]
# Our own key beside Hugging Face's, for layouts that transformers does not have.
PACKING_KEY = "bitsim_packing"
_MADE_HERE = {*get_args(WeightOnly), *get_args(Rounded)}  # by bitsim, from float models: no file says so
_LINEAR_CLASSES: Mapping[str, LinearClass] = {n: n for n in get_args(LinearClass) if n not in _MADE_HERE}
_MODES: Mapping[str, Literal["offline", "online"]] = {"offline": "offline", "online": "online"}
_PACKINGS: Mapping[str, Storage] = {name: name for name in get_args(Storage) if not name.startswith("master")}
_NORM_EPS = 1e-6
_PATTERN = re.compile(r"(?:[\w.\-]|\\\.|\\d\+|\.\*|[\^$]){1,200}")
_MOST_REPEATS = 3  # more, and a pattern could take for ever
_MOST_PATTERNS, _MOST_LAYERS = 64, 1024
PROJECTIONS = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """`storage`: how quantised linears lie in the file.

    "2bit": transformers' packing (mode offline). "master": float weights, ternarised at every load (mode online), with
    the scale that a packed file would store, rounded to the type of the weights; "master_fp32": with the scale in
    float32. "trits5_*", "1bit": our own files, five trits or eight signs per byte along K. Without meaning where no
    linear is quantised.
    `norm_eps`: of a norm in front of each linear's quantiser, or None. `ignored`: keys that no rule reads.
    """

    linear_class: LinearClass | None
    storage: Storage = "2bit"
    norm_eps: float | None = None
    ignored: tuple[str, ...] = ()


def read_quantisation(keys: Keys, num_layers: int) -> Quantisation:
    """What `keys`, those of a whole config.json, say. Raises `CheckpointError` naming file and key."""
    if "weight_bits" in keys or "input_bits" in keys:
        keys.fixed("weight_bits", 1, why="1bitLLM's ternary weights; no other width has a published rule")
        keys.fixed("input_bits", 8, why="1bitLLM's int8 activations; no other width has a published rule")
        if not keys.is_null("quantization_config"):
            raise keys.fail("quantization_config", "no such key beside weight_bits and input_bits")
        return Quantisation(linear_class="autobitlinear", storage="master_fp32")
    if keys.is_null("quantization_config"):
        return Quantisation(linear_class=None)
    return _bitnet(keys.nested("quantization_config"), num_layers)


def _bitnet(keys: Keys, num_layers: int) -> Quantisation:
    keys.choice("quant_method", {"bitnet": "bitnet"})
    if keys.values.get("linear_class", "") is None:
        raise keys.fail("linear_class", "bitlinear, which an absent key means, or autobitlinear (null is an error)")
    linear_class = keys.choice("linear_class", _LINEAR_CLASSES, "bitlinear")
    mode = keys.choice("quantization_mode", _MODES, "offline")
    packing = keys.choice(PACKING_KEY, _PACKINGS, "2bit")
    if PACKING_KEY in keys and mode == "online":
        raise keys.fail(PACKING_KEY, "no such key with quantization_mode online (weights that are not packed)")
    eps = keys.number("rms_norm_eps", _NORM_EPS)
    norms = keys.flag("use_rms_norm", False)
    keys.fixed("bits", 2, why="what transformers' packing has")
    if not keys.is_null("modules_to_not_convert"):
        _check_kept(keys, num_layers)
    return Quantisation(
        linear_class=linear_class,
        storage="master" if mode == "online" else packing,
        norm_eps=eps if norms else None,
        ignored=tuple(
            f"{keys.where.rpartition(' ')[2]}{key}"
            for key in (*keys.left(), *(["bits"] if "bits" in keys else []), *([] if norms else _if_there(keys)))
        ),
    )


def _if_there(keys: Keys) -> list[str]:
    """`rms_norm_eps` belongs to the norm that `use_rms_norm` switches on."""
    return ["rms_norm_eps"] if "rms_norm_eps" in keys else []


def _check_kept(keys: Keys, num_layers: int) -> None:
    """Refuse a list of unconverted modules that leaves a projection in floats, or that does not keep the head."""
    kept = keys.take("modules_to_not_convert")
    name = "modules_to_not_convert"
    if not isinstance(kept, list) or len(kept) > _MOST_PATTERNS or not all(isinstance(one, str) for one in kept):
        raise keys.fail(name, f"null or a list of up to {_MOST_PATTERNS} names")
    for pattern in kept:
        if not _PATTERN.fullmatch(pattern) or pattern.count("*") + pattern.count("+") > _MOST_REPEATS:
            raise CheckpointError(
                f"{keys.where}{name}: expected names, or patterns of names, '.*', '\\.', '\\d+', '^' and '$', got "
                f"{pattern[:100]!r}"
            )
    if not is_kept("lm_head", kept):
        raise keys.fail(name, "null or a list that names lm_head (a quantised head is not executed)")
    for module in _modules(num_layers):
        if is_kept(module, kept):
            raise keys.fail(name, f"no projection in it (a float one among ternary ones is not executed: {module})")


def _modules(num_layers: int) -> Iterator[str]:
    for i in range(min(num_layers, _MOST_LAYERS)):
        yield from (f"model.layers.{i}.{name}" for name in PROJECTIONS)


def is_kept(module: str, patterns: list[Any]) -> bool:
    """Whether a module stays in floats: a pattern is its beginning up to a dot, a regex up to one, or its end."""
    boundary = r"(?:(?<=\.)|(?=\.|$))"
    return any(re.match(rf"(?:{one}){boundary}", module) or module.endswith(one) for one in patterns)
