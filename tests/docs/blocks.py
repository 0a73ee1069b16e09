"""What the code blocks of README.md and docs/*.md show: commands as typed, and Python."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SHELLS = ("", "sh", "bash", "shell", "console", "text")
REMARK = re.compile(r"\s{2,}\(.*\)$")  # `bitsim reproduce energy        (an extract)`
PROGRAMS = ("bitsim", "make", "python", "pip", "git", "pytest", "mkdir", "cd", "cp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: file and line of its first line, the language that it names, its lines."""

    page: Path
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        language, first, held = None, 0, list[str]()
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.lstrip().startswith("```"):
                held.append(line)
            elif language is None:
                language, first, held = line.strip().removeprefix("```"), number + 1, []
            else:
                yield Block(page=page, line=first, language=language, lines=tuple(held))
                language = None


def commands(block: Block) -> Iterator[tuple[str, ...]]:
    """The words of each command of a shell block: after `$ `, or a line that starts with a program's name."""
    if block.language not in SHELLS:
        return
    prompted = any(line.startswith("$ ") for line in block.lines)
    for line in "\n".join(block.lines).replace("\\\n", " ").splitlines():
        text = line.removeprefix("$ ")
        if prompted and not line.startswith("$ "):
            continue
        for part in REMARK.sub("", text).split("&&"):
            try:
                words = tuple(shlex.split(part, comments=True))
            except ValueError:  # prose with an apostrophe
                continue
            if words and words[0] in PROGRAMS:
                yield words
