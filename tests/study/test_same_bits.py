"""Law: the same inputs give the same bytes on every CPU, BLAS, number of threads and state of the caches.

Runs and evaluations of all shipped models in fresh processes whose numba, numpy and BLAS are told that they are on
another machine. Texts, logits' consequences, events, energies and bits per byte stand in the JSON that is compared.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ("tiny-b158", "tiny-fp16", "tiny-b1", "tiny-a48", "tiny-v2")
COMMANDS = [
    *(f"run {model} --prompt And_it_came_to_pass_that --new-tokens 12 --temperature 0.8 --json" for model in MODELS),
    *(f"eval {model} --bytes 300 --json" for model in MODELS),
]
PROGRAM = """
import sys
from bitsim.cli.main import main
for line in sys.argv[1:]:
    main([word.replace("_", " ") for word in line.split()])
"""
NO_AVX = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
GENERIC = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
MACHINES = {
    "one thread": {"NUMBA_NUM_THREADS": "1"},
    "two threads": {"NUMBA_NUM_THREADS": "2"},
    "BLAS of a Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "BLAS of a Nehalem, numpy without AVX": {"OPENBLAS_CORETYPE": "Nehalem", **NO_AVX},
    "BLAS of a Skylake-X": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "code for AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+popcnt,+f16c"},
    "code for any x86-64, one thread": {**GENERIC, "NUMBA_NUM_THREADS": "1"},
    "all of it at once": {**GENERIC, **NO_AVX, "OPENBLAS_CORETYPE": "Prescott", "NUMBA_NUM_THREADS": "2"},
    "no JIT": {"NUMBA_DISABLE_JIT": "1"},
}


def printed(machine: dict[str, str], *commands: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *commands],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | machine,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def printed_here(*commands: str) -> str:
    return printed({}, *commands)


@pytest.mark.sampled(one_in=len(MACHINES))
@pytest.mark.parametrize("machine", MACHINES)
def test_results_are_the_same_bytes_on(machine: str) -> None:
    assert printed(MACHINES[machine], *COMMANDS) == printed_here(*COMMANDS)


def test_results_are_the_same_bytes_with_a_cold_cache(tmp_path: Path) -> None:
    """Every kernel is compiled anew."""
    command = COMMANDS[0]
    assert printed({"NUMBA_CACHE_DIR": str(tmp_path)}, command) == printed_here(command)
    assert any(tmp_path.iterdir())
