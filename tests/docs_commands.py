"""The commands of README and docs: every line of their shell blocks, and what stands in backticks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    {
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
    }
)
PROGRAMS = ("autoload", "cd", "chmod", "curator-slurm", "eval", "export", "find", "git", "head", "install", "ln",
            "make", "mkdir", "module", "pip", "python", "python3", "rm", "tail", "umask")  # fmt: skip
"""All that the docs call. Another first word in a shell block is a mistake, or belongs here, with a check."""
_SHELLS = ("bash", "sh", "zsh", "console")
_FENCE = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}\S.*\n(?:(?: {4}.*)?\n)*)")
_HEREDOC = re.compile(r"<<'?(\w+)'?\n.*?^\1$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"<[a-z][^<>\n]*>")
_INLINE = re.compile(r"`(curator-slurm\s[^`]+|make [a-z][^`]*)`")


class Kind(Enum):
    """How exact a command is."""

    LINE = "a line of a shell block: as it is typed"
    SYNOPSIS = "what a verb takes, in brackets"
    INLINE = "in a sentence, often a part"


@dataclass(frozen=True)
class Command:
    """One call of one program."""

    page: str
    kind: Kind
    text: str

    @property
    def words(self) -> list[str]:
        """The words; the program by its name alone, without variables before it."""
        words = shlex.split(self.text)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return [words[0].rpartition("/")[2], *words[1:]] if words else []

    @property
    def program(self) -> str:
        return self.words[0] if self.words else ""


def commands(page: Path) -> Iterator[Command]:
    """All commands of a page, in its order but for those in sentences, which come last."""
    name, text = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
    for language, block in [(each[1], each[2]) for each in _FENCE.finditer(text)]:
        if language in _SHELLS:
            yield from _lines(name, block, console=language == "console")
        elif not language and block.startswith("curator-slurm "):
            for synopsis in re.split(r"\n(?=\S)", block):
                yield Command(name, Kind.SYNOPSIS, " ".join(synopsis.split()))
    plain = _FENCE.sub("", text)
    for block in _INDENTED.findall(plain):
        lines = re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
        if _is_program(lines):
            yield from _lines(name, lines, console=False)
    for inline in _INLINE.findall(plain):
        yield Command(name, Kind.INLINE, " ".join(inline.split()))


def _is_program(line: str) -> bool:
    try:
        return Command("", Kind.LINE, line.split("\n")[0].rstrip("\\")).program in PROGRAMS
    except ValueError:
        return False


def _lines(page: str, block: str, *, console: bool) -> Iterator[Command]:
    """The commands of a shell block; what a console shows after a command is not one."""
    block = _PLACE.sub("PLACE", _HEREDOC.sub("<<HERE", block)).replace("\\\n", " ")
    for line in block.splitlines():
        if console and not line.startswith("$ "):
            continue
        text = re.sub(r"(^|\s)#.*", "", line.removeprefix("$ ")).rstrip()
        if not text or text[0].isspace():  # a comment, or the rest of one in a column
            continue
        if text.startswith("make"):
            text = re.split(r"\s{2,}", text)[0]
        for part in re.split(r"\s(?:&&|\|)\s", text):
            yield Command(page, Kind.LINE, part.strip())


def shell_blocks(page: Path) -> list[str]:
    """The fenced shell blocks, whole, as they would be pasted."""
    text = page.read_text(encoding="utf-8")
    return [each[2] for each in _FENCE.finditer(text) if each[1] in ("bash", "sh", "zsh")]
