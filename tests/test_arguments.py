"""Arguments of the wrong type are refused by their name, in every public function."""

import inspect
import typing
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import bitsim
from bitsim._checks import ArgumentError, checked
from bitsim.errors import BitsimError
from bitsim.study.matmuls import MatmulShape

FUNCTIONS = [name for name in bitsim.__all__ if inspect.isfunction(getattr(bitsim, name))]
X, W = np.zeros((2, 3), np.int8), np.zeros((4, 3), np.int8)
# A call of each function that is right but for one argument.
RIGHT: dict[str, dict[str, Any]] = {
    "accumulator_bounds": {"chip": "ternary-ws-64x64", "k": 9},
    "array_sizes": {"model": "bitnet-125m", "chip": "ternary-ws-64x64", "sizes": [16]},
    "calibrate": {"points": "nowhere.csv", "chip": "ternary-ws-64x64"},
    "compare": {"pairs": [("tiny-b158", "ternary-ws-64x64")]},
    "compare_datapaths": {"model": "tiny-b158", "node": "22nm"},
    "estimate": {"model": "tiny-b158", "chip": "ternary-ws-64x64"},
    "estimate_matmuls": {"shapes": [MatmulShape(name="a", m=1, k=2, n=3)], "chip": "ternary-ws-64x64"},
    "evaluate": {"model": "tiny-b158", "chip": "ternary-ws-64x64", "limit": 2},
    "execute": {"x_q": X, "w": W, "chip": "ternary-ws-64x64"},
    "from_json": {"text": "{}"},
    "load_chip": {"name": "ternary-ws-64x64"},
    "load_model": {"name_or_path": "tiny-b158"},
    "matmul": {"x_q": X, "w_ternary": W, "datapath": "ternary-ws-64x64"},
    "mma": {"a": X, "b": X, "c": X, "arch": "ampere", "a_format": "int8"},
    "read_matmuls": {"path": "nowhere.csv"},
    "read_outcome": {"path": "nowhere.json"},
    "run": {"model": "tiny-b158", "chip": "ternary-ws-64x64", "prompt": "a"},
    "sensitivity": {"model": "tiny-b158", "chip": "ternary-ws-64x64"},
    "serve": {"model": "bitnet-b158-3b", "hardware": "a100-80gb"},
}
PAIRS = (
    r"pairs: expected a sequence of \(text or a Path or a Model, text or a Path or a Chip\) or "
    r"\(text or a Path or a Model, text or a Path or a Chip, text\), got"
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_every_public_function_is_checked(name: str) -> None:
    function: Any = getattr(bitsim, name)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for wrong in (object(), {1: "a"}, 1 + 2j, b"tiny-b158"):
            with pytest.raises(ArgumentError, match=f"^{parameter.name}: expected .*, got "):
                function(**RIGHT[name] | {parameter.name: wrong})
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        function(**RIGHT[name], no_such_setting=1) if name != "compare" else function()


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("estimate", {"prefill": 1.5}, r"prefill: expected an integer, got 1\.5 \(float\)"),
        ("estimate", {"decode": "4"}, r"decode: expected an integer, got '4' \(str\)"),
        ("estimate", {"batch": True}, r"batch: expected an integer, got True \(bool\)"),
        ("run", {"tokens": ["a"]}, r"tokens: expected a sequence of an integer or None, got \['a'\] \(list\)"),
        ("run", {"temperature": "hot"}, r"temperature: expected a number, got 'hot' \(str\)"),
        ("run", {"model": None}, r"model: expected text or a Path or a Model, got None"),
        ("matmul", {"x_q": [[1, 2]]}, r"x_q: expected a ndarray, got \[\[1, 2\]\] \(list\)"),
        ("matmul", {"datapath": 3}, r"datapath: expected text or a Path or a Chip or a Datapath, got 3 \(int\)"),
        ("evaluate", {"acc_bits": [8.0]}, "acc_bits: expected an integer or a sequence of an integer or None, got"),
        (
            "compare",
            {"pairs": ["tiny-b158"]},
            PAIRS,
        ),
        (
            "compare",
            {"pairs": [("tiny-b158",)]},
            PAIRS,
        ),
        ("serve", {"devices": 2.0}, r"devices: expected an integer, got 2\.0 \(float\)"),
    ],
)
def test_the_message_says_what_was_expected_and_what_came(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        getattr(bitsim, name)(**RIGHT[name] | wrong)


def test_integers_and_arrays_of_numpy_are_integers_and_sequences() -> None:
    results = [
        bitsim.run("tiny-b158", "ternary-ws-64x64", tokens=tokens, toggles="off")
        for tokens in ([1, 2], np.array([1, 2]), (np.int64(1), np.int64(2)))
    ]
    assert len({result.to_json() for result in results}) == 1


@pytest.mark.parametrize("field", ["m", "k", "n", "count"])
def test_shapes_are_integers(field: str) -> None:
    with pytest.raises(BitsimError, match=rf"matmul a: {field}: expected an integer >= 1, got 1\.5"):
        MatmulShape(**{"name": "a", "m": 1, "k": 1, "n": 1, field: 1.5})  # type: ignore[arg-type]
    with pytest.raises(BitsimError, match="matmul a: weight_bits: expected a fraction > 0, got 1\\.58"):
        MatmulShape(name="a", m=1, k=1, n=1, weight_bits=1.58)  # type: ignore[arg-type]
    assert MatmulShape(name="a", m=1, k=1, n=1, weight_bits=Fraction(8, 5)).weight_bits == Fraction(8, 5)


def test_a_function_keeps_its_name_signature_and_answer() -> None:
    def add(a: int, *, b: float = 2.0) -> float:
        """Adds."""
        return a + b

    made = checked(add)
    assert (made.__name__, made.__doc__, inspect.signature(made)) == ("add", "Adds.", inspect.signature(add))
    assert made(1, b=2) == 3
    assert typing.get_type_hints(made) == typing.get_type_hints(add)
    with pytest.raises(ArgumentError, match="missing a required argument: 'a'"):
        made()  # type: ignore[call-arg]
