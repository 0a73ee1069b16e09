"""Follow docs/adding_a_datapath.md in a copy of the checkout: write its files, make its edits, as a reader would.

    python -m tools.follow_guide FOLDER      (FOLDER must not exist)

A block of code below a line that is a path in backticks and a colon is that file. A block of `diff` changes the file
named last: lines with `+` are new between the others, which must stand in the file once, in this order.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "adding_a_datapath.md"
COPIED = ("bitsim", "hw_models", "reports", "tests", "tools", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md")
_STEP = re.compile(r"^`([\w./-]+)`:$|^```(python|yaml|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class GuideError(Exception):
    """A step of the guide can't be followed."""


def steps(text: str) -> list[tuple[str, str, str]]:
    """Path, language and content of every block that belongs to a file, in order."""
    found, path = [], ""
    for match in _STEP.finditer(text):
        path = match.group(1) or path
        if match.group(2) and path:
            found.append((path, match.group(2), match.group(3)))
    return found


def changed(before: str, diff: str, path: str) -> str:
    """`before` with the lines of one block of `diff`."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if not line.startswith("+"))
    if before.count(old) != 1:
        raise GuideError(f"{path}: expected these lines once, found them {before.count(old)} times:\n{old}")
    return before.replace(old, "".join(line[1:] for line in lines))


def follow(folder: Path) -> list[Path]:
    """Copy the checkout to `folder` and take all steps there; the files that were written or changed."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    written = []
    for name, language, content in steps(GUIDE.read_text(encoding="utf-8")):
        path = folder / name
        if language != "diff":
            if path.exists():
                raise GuideError(f"{name}: expected a new file, but it is there")
            path.write_text(content, encoding="utf-8")
        else:
            path.write_text(changed(path.read_text(encoding="utf-8"), content, name), encoding="utf-8")
        written.append(path)
    return list(dict.fromkeys(written))


def main() -> None:
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit(f"{__doc__}")
    for path in follow(Path(sys.argv[1])):
        print(path)


if __name__ == "__main__":
    main()
