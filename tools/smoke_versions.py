"""Install bitsim with the lowest and the newest versions that it declares, on every Python that is there, and use it.

    python tools/smoke_versions.py            all of 3.11 to 3.14 that are found, lowest and newest
    python tools/smoke_versions.py --quick    the lowest versions on the first that is found

An interpreter is `pythonX.Y` on the path or of pyenv. `uv` finds the lowest versions that have wheels for it, and comes
from PyPI if it is not there. What is not found is skipped and said.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
# Executed in the new environment, outside of the checkout: what each dependency is for, once.
SMOKE = """
import json, pathlib, subprocess, sys, warnings
import bitsim
warnings.simplefilter("error")
chip = "ternary-ws-64x64"
result = bitsim.run("tiny-b158", chip, prompt="In the beginning", new_tokens=2)
assert len(result.tokens) == 18 and result.cycles > 0
assert len(result.frame("operators")) > 0
estimated = bitsim.estimate("bitnet-125m", chip, prefill=8, decode=4)
assert json.loads(estimated.to_json()) and json.loads(result.to_json())
assert bitsim.evaluate("tiny-b158", chip, limit=100).bits_per_byte > 0
try:
    pathlib.Path("wrong.yaml").write_text("kind: chip\\nlike: ternary-ws-64x64\\nclock: {value: -1}\\n")
    bitsim.load_chip("wrong.yaml")
except bitsim.errors.BitsimError as error:
    assert "wrong.yaml:3" in str(error), error
for words in ("estimate bitnet-125m --prefill 4 --out out", "show 7nm", "list"):
    command = [sys.executable, "-m", "bitsim.cli.main", *words.split()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
assert {path.suffix for path in pathlib.Path("out").iterdir()} == {".json", ".csv", ".png", ".pdf"}
"""
VERSIONS = """
import sys
from importlib.metadata import version
names = ("numpy", "numba", "pandas", "matplotlib", "pyyaml", "pydantic", "click", "rich")
print(sys.version.split()[0], *(f"{name} {version(name)}" for name in names))
"""


def interpreter(wanted: str) -> str | None:
    """The path of a Python of version `wanted`."""
    found = shutil.which(f"python{wanted}")
    if found and call([found, "--version"], check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return next((str(path / "bin" / "python") for path in sorted(pyenv.glob(f"{wanted}.*"))), None)


def call(words: list[str], *, cwd: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a clean environment; what it says is shown only if it fails, and ends this script."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{' '.join(words[:6])} ...: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def uv_in(folder: Path) -> str:
    """`uv` from the path, or else from PyPI."""
    if found := shutil.which("uv"):
        return found
    venv.create(folder, with_pip=True)
    call([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"])
    return str(folder / "bin" / "uv")


def smoke(uv: str, python: str, resolution: str, folder: Path) -> str:
    """Install and use bitsim with one Python and one resolution; returns the versions."""
    call([uv, "venv", "--quiet", "--python", python, str(folder / "venv")])
    new = str(folder / "venv" / "bin" / "python")
    only = ["--only-binary", ":all:", "--no-binary", "bitsim-hw"]
    call([uv, "pip", "install", "--quiet", "--python", new, "--resolution", resolution, *only, str(ROOT)])
    versions = call([new, "-c", VERSIONS], cwd=folder).stdout.strip()
    done = call([new, "-c", SMOKE], cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{resolution} versions fail: {versions}\n{done.stdout}{done.stderr}")
    return versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the lowest versions on the first Python found")
    quick = parser.parse_args().quick
    found = {wanted: interpreter(wanted) for wanted in PYTHONS}
    for wanted in (wanted for wanted, path in found.items() if path is None):
        print(f"Python {wanted}: not found, skipped", flush=True)
    pairs = [(path, resolution) for path in found.values() if path for resolution in RESOLUTIONS]
    if not pairs:
        sys.exit(f"expected one of Python {', '.join(PYTHONS)}, found none")
    with tempfile.TemporaryDirectory() as name:
        uv = uv_in(Path(name) / "uv")
        for number, (path, resolution) in enumerate(pairs[:1] if quick else pairs):
            folder = Path(name) / str(number)
            folder.mkdir()
            start = time.monotonic()
            versions = smoke(uv, path, resolution, folder)
            print(f"{resolution}, {time.monotonic() - start:.0f} s: Python {versions}", flush=True)


if __name__ == "__main__":
    main()
