"""Every row of the tables of published forms is backed: by a sample that runs, or by a test that is named here."""

import re

import pytest

from tests.docs.blocks import ROOT
from tests.model.files.test_families import FAMILIES
from tests.model.files.test_gguf_families import SAMPLES

# Page -> a word of a row's first cell -> the test that stands for a row without a sample.
TESTS = {
    "checkpoints.md": {
        "tiiuae/Falcon-E-*, branch": "model/test_ternarise.py:test_master_weights_are_ternarised_on_request_only",
        "Bonsai*-unpacked": "model/test_ternarise.py:test_values_that_are_nearly_ternary_are_noticed",
        "bitnet-embedding-0.6b": "model/files/test_families.py:test_an_embedding_model_is_the_decoder_with_norms_of_"
        "linears_under_other_names",
        "bitnet-embedding-270m": "model/files/test_hf_config.py:test_other_ternary_models_are_refused_in_words",
        "deepgrove/Bonsai": "model/files/test_families.py:test_scales_of_rows_in_tensors_of_their_own_are_refused_in_"
        "words",
        "OLMo-Bitnet": "model/files/test_hf_config.py:test_other_ternary_models_are_refused_in_words",
    },
    "gguf.md": {
        "BitNet 2B4T of bitnet.cpp": "model/test_convert.py:test_there_and_back_is_lossless",
        "under llama.cpp's name": "model/files/test_gguf.py:test_an_activation_that_the_file_leaves_open_is_llama_cpps_"
        "and_said",
        "Qwen2's graph": "model/files/test_gguf_architectures.py:test_llamas_rows_and_biases_are_put_back",
        "ik_llama.cpp": "model/files/test_gguf_types.py:test_types_are_told_apart_and_give_the_same_codes",
        "Ternary-Bonsai 27B": "model/files/test_gguf.py:test_keys_are_checked",
        "bitnet-embedding 0.6b": "model/files/test_gguf.py:test_embedding_models_say_what_is_not_done",
        "float and 4-bit models": "model/files/test_gguf.py:test_damaged_tensors_are_named",
        "TL1, TL2": "model/files/test_gguf_types.py:test_linears_of_unknown_types_are_refused_with_the_id",
    },
}
KEPT = {"hf/A", "blocks_stq1_0", *FAMILIES, *SAMPLES}


def rows(page: str) -> list[tuple[str, str]]:
    """First and last cell of each row of the first table."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = re.search(r"(?m)^\| published .*\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    assert table is not None
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    return [(row[0], row[-1]) for row in cells]


@pytest.mark.parametrize("page", TESTS)
def test_every_row_has_a_sample_or_a_test(page: str) -> None:
    named = set()
    for first, last in rows(page):
        samples = [name for name in re.findall(r"`([^`]+)`", last) if "_" in name or name in KEPT]
        standing = [test for word, test in TESTS[page].items() if word in first]
        assert set(samples) <= KEPT, first
        assert samples or len(standing) == 1, first
        named |= {word for word in TESTS[page] if word in first}
    assert named == set(TESTS[page])


@pytest.mark.parametrize("name", sorted({test for page in TESTS.values() for test in page.values()}))
def test_the_tests_exist(name: str) -> None:
    path, _, function = name.partition(":")
    assert f"def {function}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")


def test_every_sample_stands_in_a_table() -> None:
    shown = " ".join(last for page in TESTS for _, last in rows(page))
    assert {name for name in KEPT if f"`{name}`" not in shown} == set()
