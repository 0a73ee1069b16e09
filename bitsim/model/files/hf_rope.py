"""RoPE as a config.json tells it: `rope_theta` and `rope_scaling`, or both in the newer `rope_parameters`.

Which keys a type has, and what absent ones mean, is that of transformers 5.24.0, `modeling_rope_utils.py`.
"""

from bitsim.errors import CheckpointError
from bitsim.model.files.hf_keys import Keys
from bitsim.model.rope_scaling import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling, yarn_amplitude

_REFUSED = {
    "dynamic": "its frequencies change with the length of the sequence, which is not executed",
    "longrope": "it takes other frequencies beyond the original length, which is not executed",
    "su": "it takes other frequencies beyond the original length, which is not executed",
    "mrope": "positions of several dimensions are not executed",
    "proportional": "partial rotation is not executed",
}


def read_rope(keys: Keys, theta: float, max_positions: int) -> tuple[float, RopeScaling | None]:
    """Theta and scaling; `theta`: what an absent one means, `max_positions`: of the model.

    Raises `CheckpointError` for types whose frequencies are not constant, unknown keys, and places that contradict
    each other.
    """
    keys.fixed("partial_rotary_factor", 1, 1.0)
    at_top = keys.number("rope_theta", theta)
    old, new = keys.is_null("rope_scaling"), keys.is_null("rope_parameters")
    scaling = None if old else _scaling(keys.nested("rope_scaling"), at_top, max_positions)[1]
    if new:
        return at_top, scaling
    inner = keys.nested("rope_parameters")
    found, newer = _scaling(inner, at_top, max_positions)
    if "rope_theta" in keys and at_top != found:
        raise keys.fail("rope_theta", f"the same as rope_parameters.rope_theta = {found}")
    if not old and scaling != newer:
        raise keys.fail("rope_scaling", "the same as rope_parameters")
    return found, newer


def _scaling(keys: Keys, theta: float, max_positions: int) -> tuple[float, RopeScaling | None]:
    """One object: its own theta, if it has one, and the scaling."""
    keys.fixed("partial_rotary_factor", 1.0, 1)
    theta = keys.number("rope_theta", theta)
    key = "rope_type" if "rope_type" in keys or "type" not in keys else "type"
    kind = keys.take(key, "default")
    if "type" in keys and keys.take("type") != kind:
        raise keys.fail("type", f"the same as rope_type = {kind!r}")
    if isinstance(kind, str) and kind in _REFUSED:
        raise CheckpointError(f"{keys.where}{key}: {kind}: {_REFUSED[kind]}")
    readers = {"default": _none, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
    scaling = keys.choice(key, readers, "default")(keys, max_positions)
    keys.none_left()
    return theta, scaling


def _none(keys: Keys, max_positions: int) -> None:
    return None


def _linear(keys: Keys, max_positions: int) -> LinearScaling | None:
    factor = keys.number("factor")
    return None if factor == 1 else LinearScaling(factor=factor)


def _llama3(keys: Keys, max_positions: int) -> Llama3Scaling:
    return Llama3Scaling(
        factor=keys.number("factor"),
        low_freq_factor=keys.number("low_freq_factor"),
        high_freq_factor=keys.number("high_freq_factor"),
        original_positions=keys.integer("original_max_position_embeddings", max_positions),
    )


def _yarn(keys: Keys, max_positions: int) -> YarnScaling:
    original = keys.integer("original_max_position_embeddings", max_positions)
    # A null stands for the ratio, an absent key is an error (as in transformers).
    ratio = "factor" in keys and keys.is_null("factor")
    factor = max_positions / original if ratio else keys.number("factor")
    whole = None if keys.is_null("mscale") else keys.number("mscale")
    part = None if keys.is_null("mscale_all_dim") else keys.number("mscale_all_dim")
    attention = None if keys.is_null("attention_factor") else keys.number("attention_factor")
    if attention is None and whole is not None and part is not None:
        attention = yarn_amplitude(factor, whole) / yarn_amplitude(factor, part)
    return YarnScaling(
        factor=factor,
        original_positions=original,
        beta_fast=32.0 if keys.is_null("beta_fast") else keys.number("beta_fast"),
        beta_slow=1.0 if keys.is_null("beta_slow") else keys.number("beta_slow"),
        attention_factor=attention,
        truncate=keys.flag("truncate", True),
    )
