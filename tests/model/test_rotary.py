"""Rotary tables against what transformers computes (tests/golden/rotary.npz, tools/record_rotary.py)."""

from pathlib import Path

import numpy as np
import pytest

from bitsim.errors import ConfigError
from bitsim.model.rope_scaling import FrequencyFactors, LinearScaling, Llama3Scaling, YarnScaling, yarn_amplitude
from bitsim.model.rotary import rotary_frequencies, rotary_table, scaled_frequencies

RECORDED = np.load(Path(__file__).parents[1] / "golden" / "rotary.npz")
POSITIONS = RECORDED["positions"]
# Head dimension, theta -> how many frequencies are torch's neighbour: its power is not always the nearest float32.
SHAPES = {(128, 500000): 0, (128, 10000): 0, (64, 500000): 0, (256, 1000042): 2, (96, 10000): 1}


def recorded(what: str, shape: tuple[int, int]) -> np.ndarray:
    return RECORDED[f"{shape[0]}.{shape[1]}.{what}"]


def test_all_shapes_that_were_recorded_are_tested_up_to_the_last_position() -> None:
    assert {tuple(map(int, name.split(".")[:2])) for name in RECORDED if name != "positions"} == set(SHAPES)
    assert POSITIONS.max() == 32767


@pytest.mark.parametrize("shape", SHAPES)
def test_frequencies_are_the_references(shape: tuple[int, int]) -> None:
    head_dim, theta = shape
    ours, theirs = rotary_frequencies(head_dim, float(theta)), recorded("inverse", shape)
    apart = np.abs(ours.view(np.int32).astype(np.int64) - theirs.view(np.int32))
    assert ours.dtype == theirs.dtype == np.float32
    assert (int((apart > 0).sum()), apart.max()) == (SHAPES[shape], min(1, SHAPES[shape]))
    once = (1 / np.float64(theta) ** (np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
    assert (once != theirs).sum() > head_dim // 10  # rounding once is not what the reference does


@pytest.mark.parametrize("shape", SHAPES)
def test_cosines_and_sines_are_the_references_up_to_their_last_bit(shape: tuple[int, int]) -> None:
    head_dim, theta = shape
    tables = rotary_table(head_dim, float(theta), int(POSITIONS.max()) + 1)
    ours, theirs = rotary_frequencies(head_dim, float(theta)), recorded("inverse", shape)
    for table, what in zip(tables, ("cos", "sin"), strict=True):
        assert (table.dtype, table.shape) == (np.float32, (32768, head_dim))
        np.testing.assert_array_equal(table[:, : head_dim // 2], table[:, head_dim // 2 :])
        error = np.abs(table[POSITIONS, : head_dim // 2] - recorded(what, shape))
        assert error[:, ours == theirs].max() <= 6e-8
        angles_apart = POSITIONS[:, None] * np.abs(ours - theirs).astype(np.float64)
        rounding = np.spacing(POSITIONS[:, None].astype(np.float32) * theirs)  # of the angles themselves
        assert (error <= 6e-8 + angles_apart + rounding * (ours != theirs)).all()


# What `_compute_yarn_parameters` of transformers 5.24.0 returns, run on numpy's float32 in torch's place:
# parameters, theta, frequencies of head_dim 16, factor of cos and sin
YARN = [
    (YarnScaling(factor=4.0, original_positions=16), 1e6, [
        1.0, 0.04445698484778404, 0.007905694656074047, 0.0014058533124625683, 0.0002500000118743628,
        4.4456985051510856e-05, 7.905693564680405e-06, 1.405853367941745e-06,
    ], 1.138629436111989),
    (YarnScaling(factor=4.0, original_positions=8192), 1e6, [
        1.0, 0.17782793939113617, 0.03162277862429619, 0.004217559937387705, 0.0005000000237487257,
        4.4456985051510856e-05, 7.905693564680405e-06, 1.405853367941745e-06,
    ], 1.138629436111989),
    (YarnScaling(factor=8.0, original_positions=4096, truncate=False, beta_fast=16, beta_slow=2,
                 attention_factor=yarn_amplitude(8.0, 1.0) / yarn_amplitude(8.0, 0.5)), 1e4, [
        1.0, 0.3162277638912201, 0.10000000149011612, 0.03162277862429619, 0.006221889052540064,
        0.00043557558092288673, 0.0001250000059371814, 3.9528473280370235e-05,
    ], 1.094179988101349),
]  # fmt: skip


@pytest.mark.parametrize(("scaling", "theta", "frequencies", "amplitude"), YARN)
def test_yarn_is_the_references(scaling, theta, frequencies, amplitude) -> None:
    ours = scaled_frequencies(rotary_frequencies(16, theta), scaling, theta)
    np.testing.assert_allclose(ours, np.array(frequencies, np.float32), rtol=3e-7)
    assert scaling.amplitude == pytest.approx(amplitude, rel=1e-15)
    plain, scaled = rotary_table(16, theta, 3), rotary_table(16, theta, 3, scaling)
    np.testing.assert_array_equal(scaled[0][0], np.full(16, np.float32(amplitude)))
    np.testing.assert_array_equal(scaled[0][:, 0], plain[0][:, 0] * np.float32(amplitude))  # the fastest is left


def test_linear_scaling_divides_positions() -> None:
    table, scaled = rotary_table(16, 1e4, 9), rotary_table(16, 1e4, 9, LinearScaling(factor=4.0))
    for plain, slow in zip(table, scaled, strict=True):
        np.testing.assert_allclose(slow[8], plain[2], rtol=0, atol=1e-7)


def test_factors_that_say_what_llama3_says_give_the_same_frequencies() -> None:
    """GGUF files hold llama3's scaling as `rope_freqs`: 1 for short waves, the factor for long ones, a mix between."""
    llama3 = Llama3Scaling(factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_positions=64)
    plain = rotary_frequencies(16, 5e5)
    scaled = scaled_frequencies(plain, llama3, 5e5)
    factors = plain / scaled
    waves = 2 * np.pi / plain.astype(np.float64)
    np.testing.assert_array_equal(factors[waves < 64 / 4], 1)
    np.testing.assert_array_equal(factors[waves > 64], 32)
    between = (waves >= 16) & (waves <= 64)
    assert between.any()
    assert ((factors[between] > 1) & (factors[between] < 32)).all()
    again = scaled_frequencies(plain, FrequencyFactors(factors=tuple(map(float, factors))), 5e5)
    np.testing.assert_allclose(again, scaled, rtol=2e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearScaling(factor=0.0), "factor: must be a finite number > 0"),
        (lambda: YarnScaling(factor=float("inf"), original_positions=1), "factor: must be a finite number > 0"),
        (lambda: YarnScaling(factor=2.0, original_positions=-1), "original_positions: must be a finite number > 0"),
        (lambda: Llama3Scaling(factor=2.0, low_freq_factor=4.0, high_freq_factor=4.0, original_positions=8),
         "high_freq_factor: must be greater than low_freq_factor = 4.0"),
        (lambda: FrequencyFactors(factors=(1.0, 0.0)), r"factors\[1\]: must be a finite number > 0"),
    ],
)  # fmt: skip
def test_parameters_that_have_no_meaning_are_refused(make, message) -> None:
    with pytest.raises(ConfigError, match=f"rope_scaling: {message}"):
        make()
