"""Build the wheel, install it into a clean virtual environment and use it from another directory."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        call(sys.executable, "-m", "build", "--wheel", "--outdir", scratch, ROOT, cwd=ROOT)
        (wheel,) = scratch.glob("*.whl")
        shipped = ZipFile(wheel).namelist()
        (entry_points,) = (ZipFile(wheel).read(name).decode() for name in shipped if name.endswith("/entry_points.txt"))
        if "[pytest11]\nbitsim.testing.plugin = bitsim.testing.plugin" not in entry_points:
            sys.exit(f"the wheel {wheel.name} does not announce the pytest plugin:\n{entry_points}")
        for expected in ("bitsim/py.typed", "bitsim/testing/plugin.py", "/licenses/LICENSE"):
            if not any(name.endswith(expected) for name in shipped):
                sys.exit(f"the wheel {wheel.name} does not ship {expected}")
        venv.create(scratch / "venv", with_pip=True)
        binaries = scratch / "venv" / "bin"
        pip = (binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        call(*pip, "-c", ROOT / "constraints.txt", wheel, cwd=scratch)
        listed = call(binaries / "bitsim", "list", cwd=scratch)
        for expected in ("ternary-ws-64x64", "7nm", "tiny-b158", "bitnet-b158-2b4t"):
            if expected not in listed:
                sys.exit(f"bitsim list from the wheel {wheel.name} does not show {expected}:\n{listed}")
        score = call(binaries / "bitsim", "eval", "tiny-b158", "--bytes", "300", "--json", cwd=scratch)
        if "bits_per_byte" not in score:
            sys.exit(f"bitsim eval from the wheel prints no bits_per_byte:\n{score}")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, lists and evaluates from a clean environment")


if __name__ == "__main__":
    main()
