"""Build a model's weights from the tensors of a GGUF file, checking each of them.

Linears become 2-bit codes whenever they are used, whatever their type (ternary float tensors when the file is opened);
float embeddings and heads stay memory-mapped, Q8_0 becomes float32 (exactly: 11 + 7 significant bits). One linear has
one scale: block scales must agree, and a block with scale 0 holds zeros. A float tensor counts as ternary if its values
are -s, 0 and +s; anything else is no quantised linear.
"""

from collections.abc import Callable

import numpy as np

from bitsim.errors import CheckpointError, OperandError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.gguf_config import SCALES_KEY
from bitsim.model.files.gguf_file import I2S_TAIL_BYTES, GgufFile
from bitsim.model.on_demand import TernaryOnDemand
from bitsim.model.weights import FloatWeight, LayerWeights, ModelWeights, Stored, first_not_finite, to_float32
from bitsim.quant.i2s import I2S_RUN, unpack_i2s
from bitsim.quant.packing import Float32, Int8, TernaryWeight, UInt8
from bitsim.quant.repack import pack_hf_rows
from bitsim.quant.tq import BLOCK, TQ1_0_BYTES, TQ2_0_BYTES, unpack_tq1_0, unpack_tq2_0

Rows = Callable[[int, int], Int8]
Packed = UInt8 | Callable[[], UInt8]

_FLOATS: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_BLOCK_ROWS = 1024
_LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def linear_tensors(config: ModelConfig) -> list[tuple[str, int, int]]:
    """GGUF name, N and K of every linear, in the order of execution (and of `bitsim.linear_scales`)."""
    shapes = [(_LINEARS[name], n, k) for name, n, k in config.linear_shapes()]
    return [(f"blk.{i}.{name}.weight", n, k) for i in range(config.num_layers) for name, n, k in shapes]


def norm_tensors(config: ModelConfig) -> list[tuple[str, int]]:
    """GGUF name and size of every norm."""
    names = [("attn_norm", config.hidden_size), ("ffn_norm", config.hidden_size)]
    if config.sub_norms:
        names += [("attn_sub_norm", config.q_size), ("ffn_sub_norm", config.intermediate_size)]
    blocks = [(f"blk.{i}.{name}.weight", size) for i in range(config.num_layers) for name, size in names]
    return [*blocks, ("output_norm.weight", config.hidden_size)]


def check_tensors(config: ModelConfig, file: GgufFile) -> None:
    """Raise `CheckpointError` at the first missing or surplus tensor, or wrong shape."""
    expected: dict[str, tuple[int, ...]] = {name: (n, k) for name, n, k in linear_tensors(config)}
    expected |= {name: (size,) for name, size in norm_tensors(config)}
    heads = ("token_embd.weight",) if config.tie_embeddings else ("token_embd.weight", "output.weight")
    expected |= dict.fromkeys(heads, (config.vocab_size, config.hidden_size))
    missing, surplus = expected.keys() - file.tensors.keys(), file.tensors.keys() - expected.keys()
    if missing:
        name = min(missing)
        raise CheckpointError(f"{file.path}: {name}: expected a tensor {expected[name]}, got none")
    if surplus:
        raise CheckpointError(f"{file.path}: {min(surplus)[:200]}: a tensor that this model does not have")
    for name, shape in expected.items():
        if file.tensors[name].shape != shape:
            raise CheckpointError(f"{file.path}: {name}: shape: expected {shape}, got {file.tensors[name].shape}")


class _Reader:
    def __init__(self, config: ModelConfig, file: GgufFile) -> None:
        self.config, self.file = config, file
        names = [name for name, _, _ in linear_tensors(config)]
        self._exact = dict(zip(names, _exact_scales(file, len(names)), strict=True))

    def fail(self, name: str, problem: object) -> CheckpointError:
        return CheckpointError(f"{self.file.path}: {name}: {problem}")

    def _checked(self, name: str) -> Dtype:
        """The type of a float tensor; raises at its first NaN or infinity."""
        tensor = self.file.tensors[name]
        if tensor.kind not in _FLOATS:
            raise self.fail(name, f"type: expected {', '.join(_FLOATS)}, got {tensor.kind}")
        dtype = _FLOATS[tensor.kind]
        pieces = self.file.pieces(name, 4)
        if any(first_not_finite(_bits(piece, dtype)[None], dtype) for piece in pieces):
            bad = first_not_finite(self._mapped(name, dtype), dtype)
            raise self.fail(f"{name}{bad}", "expected a finite number, got NaN or infinity")
        return dtype

    def _mapped(self, name: str, dtype: Dtype) -> Stored:
        return _bits(self.file.data(name), dtype).reshape(self.file.tensors[name].shape)

    def vector(self, name: str) -> Float32:
        dtype = self._checked(f"{name}.weight")
        return to_float32(_bits(self.file.read(f"{name}.weight"), dtype), dtype)

    def matrix(self, name: str) -> FloatWeight:
        name = f"{name}.weight"
        if self.file.tensors[name].kind == "Q8_0":
            return FloatWeight(stored=self._dequantised(name), dtype="float32")
        dtype = self._checked(name)
        return FloatWeight(stored=self._mapped(name, dtype), dtype=dtype)

    def _dequantised(self, name: str) -> Float32:
        """Q8_0: blocks of a float16 scale and 32 int8 codes, as float32."""
        n, k = self.file.tensors[name].shape
        blocks, values = self.file.data(name).reshape(n, k // 32, 34), np.empty((n, k), dtype=np.float32)
        for low in range(0, n, _BLOCK_ROWS):
            part = np.ascontiguousarray(blocks[low : low + _BLOCK_ROWS])
            scale = np.ascontiguousarray(part[..., :2]).view("<f2").astype(np.float32)
            if not np.isfinite(scale).all():
                raise self.fail(name, f"Q8_0 scale in rows {low}..: expected a finite number, got NaN or infinity")
            values[low : low + _BLOCK_ROWS] = (scale * part[..., 2:].view(np.int8)).reshape(len(part), k)
        return values

    def linear(self, name: str, n: int, k: int) -> TernaryWeight:
        kind = self.file.tensors[name].kind
        try:
            if kind in ("TQ1_0", "TQ2_0"):
                packed, multiplier = self._tq(name, n, k)
            elif kind == "I2_S":
                packed, multiplier = self._i2s(name, n, k)
            else:
                rows, multiplier = self._ternary_floats(name)
                packed = pack_hf_rows(rows, n, k)
        except OperandError as error:
            raise self.fail(name, error) from None
        return TernaryOnDemand(packed=packed, n=n, k=k, scale=self._scale(name, multiplier))

    def _tq(self, name: str, n: int, k: int) -> tuple[Packed, np.float32 | None]:
        kind = self.file.tensors[name].kind
        unpack, block_bytes = (unpack_tq1_0, TQ1_0_BYTES) if kind == "TQ1_0" else (unpack_tq2_0, TQ2_0_BYTES)
        found, zeros = set(), False
        for piece in self.file.pieces(name, block_bytes):
            blocks = piece.reshape(-1, block_bytes)
            scales = np.ascontiguousarray(blocks[:, -2:]).view("<f2")
            found |= set(np.unique(scales[scales != 0]).tolist())
            zeros |= bool((scales == 0).any())
            if kind == "TQ2_0" and holds_code_3(blocks[:, :-2]):
                unpack(self.file.data(name).reshape(n, -1), k)  # raises, with row and block
        if len(found) > 1 or not all(0 < scale < np.inf for scale in found):
            raise self.fail(name, f"block scales: expected one number > 0 in all blocks, got {sorted(found)[:4]}")

        def packed() -> UInt8:
            data = self.file.read(name).reshape(n, -1)

            def rows(low: int, high: int) -> Int8:
                codes, blocks = unpack(data[low:high], k)
                return codes * np.repeat(blocks != 0, BLOCK, axis=1)[:, :k] if zeros else codes

            return pack_hf_rows(rows, n, k)

        return packed, np.float32(found.pop()) if found else None

    def _i2s(self, name: str, n: int, k: int) -> tuple[Packed, np.float32]:
        layout, tensor = self.file.i2s or "x86", self.file.tensors[name]
        end = tensor.end - I2S_TAIL_BYTES
        scale = np.float32(self.file.file.read(end, end + 4).view("<f4")[0])
        if not 0 < scale < np.inf:
            raise self.fail(name, f"I2_S scale: expected a finite number > 0, got {scale}")
        if any(holds_code_3(piece) for piece in self.file.file.pieces(tensor.begin, end)):
            unpack_i2s(self.file.data(name)[:-I2S_TAIL_BYTES], n, k, layout)  # raises, with the byte

        def packed() -> UInt8:
            data = self.file.file.read(tensor.begin, end)
            if k % I2S_RUN[layout]:
                codes = unpack_i2s(data, n, k, layout)
                return pack_hf_rows(lambda low, high: codes[low:high], n, k)
            return pack_hf_rows(
                lambda low, high: unpack_i2s(data[low * k // 4 : high * k // 4], high - low, k, layout), n, k
            )

        return packed, scale

    def _ternary_floats(self, name: str) -> tuple[Rows, np.float32 | None]:
        dtype = self._checked(name)
        stored = self._mapped(name, dtype)
        starts = range(0, len(stored), _BLOCK_ROWS)
        largest = max(np.abs(to_float32(stored[i : i + _BLOCK_ROWS], dtype)).max() for i in starts)

        def rows(low: int, high: int) -> Int8:
            values = to_float32(stored[low:high], dtype)
            other = (values != 0) & (np.abs(values) != largest)
            if other.any():
                row, k = (int(i) for i in np.argwhere(other)[0])
                raise OperandError(
                    f"[{low + row}, {k}]: expected a ternary matrix of -s, 0 and +s with s = {largest}, got "
                    f"{values[row, k]}; master weights are read from Hugging Face directories (mode online)"
                )
            return np.sign(values).astype(np.int8)

        return rows, np.float32(largest) if largest > 0 else None

    def _scale(self, name: str, multiplier: np.float32 | None) -> np.float32:
        """The stored scale: the file's multiplier, or the exact one of bitsim's own key, which must agree with it.

        A matrix of zeros without a scale gets 1, which multiplies zeros.
        """
        exact = self._exact[name]
        if exact is None:
            return np.float32(1) if multiplier is None else multiplier
        half = self.file.tensors[name].kind in ("TQ1_0", "TQ2_0")
        expected = stored_multiplier(self.config, exact, half=half)
        if multiplier is not None and multiplier != expected:
            raise self.fail(name, f"scale: expected {expected}, as {SCALES_KEY} says, got {multiplier}")
        return exact

    def layer(self, i: int) -> LayerWeights:
        at, subs = f"blk.{i}.", self.config.sub_norms
        shapes = self.config.linear_shapes()
        linears = {name: self.linear(f"{at}{_LINEARS[name]}.weight", n, k) for name, n, k in shapes}
        return LayerWeights(
            input_norm=self.vector(f"{at}attn_norm"),
            q=linears["self_attn.q_proj"],
            k=linears["self_attn.k_proj"],
            v=linears["self_attn.v_proj"],
            attn_sub_norm=self.vector(f"{at}attn_sub_norm") if subs else None,
            o=linears["self_attn.o_proj"],
            post_attention_norm=self.vector(f"{at}ffn_norm"),
            gate=linears["mlp.gate_proj"],
            up=linears["mlp.up_proj"],
            ffn_sub_norm=self.vector(f"{at}ffn_sub_norm") if subs else None,
            down=linears["mlp.down_proj"],
        )


def holds_code_3(packed: UInt8) -> bool:
    """Whether any 2-bit field is 3, which is no ternary code."""
    return bool((packed & (packed >> np.uint8(1)) & np.uint8(0x55)).any())


def _bits(data: UInt8, dtype: Dtype) -> Stored:
    return data.view("<f4" if dtype == "float32" else "<u2")


def stored_multiplier(config: ModelConfig, scale: np.float32, *, half: bool) -> np.float32:
    """What a GGUF tensor stores for a linear's `scale`: f32(1 / scale) where it divides; as float16 if `half`."""
    multiplier = np.float32(1) / scale if config.linear_class == "bitlinear" else scale
    with np.errstate(over="ignore"):
        return np.float32(np.float16(multiplier)) if half else np.float32(multiplier)


def _exact_scales(file: GgufFile, count: int) -> list[np.float32 | None]:
    scales = file.metadata.get(SCALES_KEY)
    if scales is None:
        return [None] * count
    if not isinstance(scales, np.ndarray) or scales.dtype != np.float32 or scales.shape != (count,):
        raise CheckpointError(f"{file.path}: {SCALES_KEY}: expected {count} float32 numbers, got {str(scales)[:200]}")
    if not ((scales > 0) & (scales < np.inf)).all():
        raise CheckpointError(f"{file.path}: {SCALES_KEY}: expected finite numbers > 0, got {str(scales.min())[:200]}")
    return [np.float32(scale) for scale in scales]


def read_weights(config: ModelConfig, file: GgufFile) -> ModelWeights:
    """All weights of `config` in `file`, every value checked once.

    Raises `CheckpointError` naming the tensor: missing or surplus, shape, type, NaN or infinity, codes that are not
    ternary, scales that differ within a tensor or are not positive.
    """
    check_tensors(config, file)
    reader = _Reader(config, file)
    embedding = reader.matrix("token_embd")
    return ModelWeights(
        embedding=embedding,
        layers=tuple(reader.layer(i) for i in range(config.num_layers)),
        norm=reader.vector("output_norm"),
        head=embedding if config.tie_embeddings else reader.matrix("output"),
    )
