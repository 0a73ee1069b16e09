"""The keys of a GGUF file's metadata that bitsim knows, and what each of them decides.

Keys behind the architecture's name that are in no table here are refused, because they could change the numbers; so are
unknown ones of bitsim's own and rotations of activations (`prism.hadamard.`). All others are ignored and listed.
Source: llama.cpp `conversion/*.py`, `src/llama-model.cpp`, `src/llama-vocab.cpp`; bitnet.cpp's converters.
"""

from collections.abc import Mapping

# Behind `<architecture>.`, executed or checked.
READ: Mapping[str, str] = {
    "embedding_length": "hidden size; needed",
    "feed_forward_length": "width of the FFN; needed",
    "block_count": "layers; needed",
    "context_length": "most positions; needed",
    "attention.head_count": "query heads; needed",
    "attention.layer_norm_rms_epsilon": "eps of all norms; needed",
    "attention.head_count_kv": "KV heads; as many as query heads if absent, as the GGUF specification says",
    "attention.key_length": "head_dim; hidden size / heads if absent",
    "attention.value_length": "must equal head_dim",
    "attention.sliding_window": "positions that a layer attends; all if absent",
    "rope.dimension_count": "must equal head_dim",
    "rope.freq_base": "RoPE's theta; 10000 if absent, as llama.cpp takes it",
    "rope.scaling.type": "none, linear or yarn",
    "rope.scaling.factor": "of linear and yarn",
    "rope.scaling.original_context_length": "of yarn",
    "hidden_activation": "relu2 or silu; by the architecture if absent",
    "vocab_size": "must equal the rows of token_embd.weight",
}
# Behind `<architecture>.`, changing no number.
IGNORED: Mapping[str, str] = {
    "rope.scaling.finetuned": "how the model was trained",
    "tensor_data_layout": "a remark of old converters",
    "pooling_type": "of an embedding model: pooling is not done, a note says so",
}
# bitsim's own.
ACT_KEY = "bitsim.hidden_act"
CLASS_KEY = "bitsim.linear_class"
SCALES_KEY = "bitsim.linear_scales"
TOKENIZER_KEY = "bitsim.tokenizer_class"
I2S_LAYOUT_KEY = "bitsim.i2_s_layout"
OWN: Mapping[str, str] = {
    ACT_KEY: "activation of the FFN",
    CLASS_KEY: "whether a scale multiplies or divides",
    SCALES_KEY: "exact stored scales, in the order of execution",
    TOKENIZER_KEY: "tokenizer of a model that has no vocabulary",
    I2S_LAYOUT_KEY: "layout of I2_S tensors",
}
# Of the file: what it is, how it is laid out and split.
FILE: Mapping[str, str] = {
    "general.architecture": "whose graph it is",
    "general.alignment": "of tensors",
    "split.no": "number of a part",
    "split.count": "parts",
    "split.tensors.count": "tensors of all parts",
}
# Behind `tokenizer.ggml.`, read when text is asked for.
VOCABULARY: Mapping[str, str] = {
    "model": "gpt2, byte-level BPE, or llama, SentencePiece",
    "pre": "of gpt2: the rule that splits text before merges; without it llama.cpp guesses, it is needed here",
    "tokens": "texts by id",
    "merges": "of gpt2: pairs in the order in which they are merged",
    "scores": "of llama: the greatest are joined first",
    "add_space_prefix": "of llama: a space in front of a text; yes if absent",
    "token_type": "2 and 3 are special, 4 is matched whole, 6 is a byte; all normal if absent",
    "add_bos_token": "BOS in front; if absent by `pre`, of llama yes",
    "bos_token_id": "its id",
    "add_eos_token": "EOS behind; none if absent",
    "eos_token_id": "its id",
}
