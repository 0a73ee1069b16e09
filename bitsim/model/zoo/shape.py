"""A model's shape as data: one YAML file describes one, of the user's, or a family of published ones."""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from bitsim.errors import ConfigError
from bitsim.hw.constants import Evidence, Text
from bitsim.hw.library import FromFile
from bitsim.hw.source import problem
from bitsim.model.config import SELDOM, Biased, Dtype, HiddenAct, LinearClass, ModelConfig, Norm, contradiction
from bitsim.model.rope_scaling import RopeScaling

Size = Annotated[int, Field(gt=0, le=1 << 24)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _fraction(value: Any) -> int | str:
    """Bits per weight as files write them: 2, or 8/5."""
    usable = isinstance(value, int | str) and not isinstance(value, bool)
    try:
        bits = Fraction(value) if usable else Fraction(0)
    except (ValueError, ZeroDivisionError):
        bits = Fraction(0)
    if not 0 < bits <= 32:
        raise problem(f"expected bits per weight up to 32, an integer or a fraction such as 8/5 (got {value!r})")
    return bits.numerator if bits.denominator == 1 else str(bits)


def _scaling(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """What a scaling says of its own values, at the line where it stands."""
    try:
        return read(value)
    except ConfigError as error:
        raise problem(str(error).removeprefix("rope_scaling: ")) from None


Scaling = Annotated[RopeScaling, Field(discriminator="kind"), WrapValidator(_scaling)]


class Shape(FromFile):
    """What a model is without its weights, field by field as `ModelConfig`.

    `assumed`: the fields that no source states, with the reason for the value taken. `not_modelled`: what the model has
    and a shape has no field for, with what is done instead. `source` and `evidence` are of the shape as a whole; one
    that is `like` another does not take them over.
    """

    kind: Literal["shape"]
    hidden_size: Size
    intermediate_size: Size
    num_layers: Size
    num_heads: Size
    num_kv_heads: Size
    head_dim: Size
    vocab_size: Size
    max_position_embeddings: Size
    rope_theta: Positive
    rms_norm_eps: Positive
    hidden_act: HiddenAct
    ffn: Literal["glu", "mlp"]
    norm: Norm = "rms"
    sub_norms: bool
    tie_embeddings: bool
    linear_class: LinearClass | None
    weight_bits_per_weight: Annotated[int | str, BeforeValidator(_fraction)]
    dtype: Dtype
    rope_scaling: Scaling | None = None
    qk_norm: bool = False
    attention_bias: Biased = "none"
    mlp_bias: bool = False
    linear_norm_eps: Positive | None = None
    sliding_window: Size | None = None
    head_bits: Literal[16, 8, 4] = 16
    embedding_bits: Literal[16, 8, 4] = 16
    source: Text | None = None
    evidence: Evidence = "assumed"
    assumed: dict[str, Text] = Field(default_factory=dict)
    not_modelled: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "Shape":
        wrong = contradiction(self)
        if wrong is not None:
            raise problem(wrong[1], key=wrong[0])
        return self

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(**self._fields() | {"weight_bits_per_weight": Fraction(self.weight_bits_per_weight)})

    def _fields(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in ModelConfig.__dataclass_fields__ if name in type(self).model_fields
        }

    def notes(self) -> tuple[str, ...]:
        """Where the shape comes from, and what of it is assumed or left out; a field that a file changes is its own."""
        like = f", like {self.like}" if self.like else ""
        said = self._source.file_of
        return (
            f"model shape, {self.evidence}: {self.source or self.path + like}",
            *(
                f"model shape, assumed: {what}: {why}"
                for what, why in sorted(self.assumed.items())
                if said((what,)) == said(("assumed", what))
            ),
            *(f"model shape, not modelled: {what}: {instead}" for what, instead in sorted(self.not_modelled.items())),
        )

    def _says(self, name: str) -> bool:
        """Whether a field is for people: all but the name, and what most models lack only where one has it."""
        return name != "name" and (name not in SELDOM or getattr(self, name) != SELDOM[name])

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        said = {name: str(value) for name, value in self._fields().items() if self._says(name)}
        return (
            said
            | {"source": f"{self.source or self.path} ({self.evidence})"}
            | {f"{what}, assumed": why for what, why in sorted(self.assumed.items())}
            | {f"{what}, not modelled": instead for what, instead in sorted(self.not_modelled.items())}
        )
