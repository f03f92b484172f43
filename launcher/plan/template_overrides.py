"""Templates of a site over ours: whether they fit, and where in them something is wrong.

A template of a site extends ours of the same name (`{% extends "curator-slurm/_launch.j2" %}`) and replaces blocks. A
block that it replaces must be what it was when the template was written, of which the site keeps a copy: an upgrade
that changes it is an error until somebody has looked. What only adds (in an empty block, or with `super()`) goes on.
"""

from __future__ import annotations

import re
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    PrefixLoader,
    TemplateError,
    TemplateSyntaxError,
    nodes,
)

from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.plan.model import SiteTemplate
from curator_slurm.launcher.plan.template_blocks import FOLDER, TemplateBlock, our_blocks
from curator_slurm.launcher.site.template_files import KEY

PREFIX = "curator-slurm/"
WHO = "the site's templates"
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_MARK = re.compile("\x01([0-9]+):([0-9]+)\x02")
_BASH_S = 30.0


class BlockFit(StrEnum):
    """Whether a block of a site fits the one that it replaces."""

    ADDS = "adds to it"
    SAME = "fits"
    CHANGED = "has changed since it was written"
    NO_COPY = "has no copy of what it replaces"


@dataclass(frozen=True)
class Replaced:
    """One block that a site replaces."""

    template: SiteTemplate
    line: int
    block: TemplateBlock
    original: str | None
    fit: BlockFit

    @property
    def where(self) -> str:
        return f"{self.template.path}:{self.line}"


def replaced(templates: Sequence[SiteTemplate]) -> list[Replaced]:
    """Every block that they replace.

    Raises:
        SpecError: they are no templates, or there are no such templates and blocks of ours.
    """
    found: list[Replaced] = []
    problems: list[SpecProblem] = []
    for template in templates:
        try:
            tree = Environment().parse(template.text)
        except TemplateSyntaxError as error:
            problems.append(SpecProblem(KEY, f"{error.message}", f"{template.path}:{error.lineno}"))
            continue
        problems += _misplaced(template, tree)
        for block in tree.find_all(nodes.Block):
            ours = our_blocks().get(block.name)
            if ours is not None and ours.template == template.name:
                original = template.originals.get(block.name)
                found.append(Replaced(template, block.lineno, ours, original, _fit(block, ours, original)))
    if problems:
        raise SpecError(problems, WHO)
    return found


def check(templates: Sequence[SiteTemplate]) -> None:
    """Refuse templates that were written for other blocks than ours.

    Raises:
        SpecError: naming each block, and the command that shows what has changed.
    """
    problems = [
        SpecProblem(
            KEY,
            f"block `{each.block.name}` of {each.block.template} {each.fit}: `curator-slurm site diff-template "
            f"{each.block.name}` shows what is different; once it is right, `curator-slurm site override-template "
            f"{each.block.name} --accept`",
            each.where,
        )
        for each in replaced(templates)
        if each.fit in (BlockFit.CHANGED, BlockFit.NO_COPY)
    ]
    if problems:
        raise SpecError(problems, WHO)


def loader(templates: Sequence[SiteTemplate]) -> BaseLoader:
    """Finds the site's templates before ours; ours, in any case, by `PREFIX`."""
    texts = {template.name: template for template in templates}

    def find(name: str) -> tuple[str, str, None] | None:
        found = texts.get(name)
        return (found.text, found.path, None) if found else None

    ours = FileSystemLoader(FOLDER)
    return ChoiceLoader([FunctionLoader(find), PrefixLoader({PREFIX.rstrip("/"): ours}), ours])


def checked(templates: Sequence[SiteTemplate], render: Callable[[Sequence[SiteTemplate]], str]) -> str:
    """The script that `render` makes with these templates.

    Raises:
        SpecError: they do not fit, or what they make is no bash: with the file and the line.
    """
    check(templates)
    try:
        text = render(templates)
        problem, line = _bash_error(text)
        traced = render(_with_marks(templates)) if problem else ""
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SpecError([SpecProblem(KEY, f"{error}", _where_of(error, templates))], WHO) from error
    if problem:
        words = f"the script is no bash with these templates: {problem}"
        raise SpecError([SpecProblem(KEY, words, _origin(templates, traced, line))], WHO)
    return text


def _bash_error(text: str) -> tuple[str, int]:
    """What `bash -n` says against a script, and in which line; empty where it says nothing."""
    done = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, timeout=_BASH_S, check=False, env={"LC_ALL": "C"}
    )
    if done.returncode == 0:
        return "", 0
    words = next((line for line in done.stderr.splitlines() if "line " in line), done.stderr.strip())
    number = re.search(r"line ([0-9]+): *(.*)", words)
    return (number[2], int(number[1])) if number else (words, 0)


def _with_marks(templates: Sequence[SiteTemplate]) -> list[SiteTemplate]:
    """The same, each line of text with a mark in front that says where it is from."""
    return [
        template.model_copy(update={"text": "".join(_marked(number, template.text))})
        for number, template in enumerate(templates)
    ]


def _where_of(error: Exception, templates: Sequence[SiteTemplate]) -> str:
    """The line of a template in which rendering has failed."""
    known = {template.name: template.path for template in templates}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in known.values():
            return f"{frame.filename}:{frame.lineno}"
    name = getattr(error, "name", None)
    return known.get(str(name), "")


def _fit(block: nodes.Block, ours: TemplateBlock, original: str | None) -> BlockFit:
    calls = (call.node for call in block.find_all(nodes.Call))
    if ours.is_empty or any(isinstance(name, nodes.Name) and name.name == "super" for name in calls):
        return BlockFit.ADDS
    if original is None:
        return BlockFit.NO_COPY
    return BlockFit.SAME if original == ours.text else BlockFit.CHANGED


def _misplaced(template: SiteTemplate, tree: nodes.Template) -> Iterator[SpecProblem]:
    """That it is over none of ours, does not extend it, or has blocks that this one has not."""
    names = sorted(path.name for path in FOLDER.glob("*.j2"))
    if template.name not in names:
        hint = _did_you_mean(template.name, names)
        words = f"there is no template {template.name}{hint}; there are {', '.join(names)}"
        yield SpecProblem(KEY, words, template.path)
        return
    parent = next(tree.find_all(nodes.Extends), None)
    wanted = f"{PREFIX}{template.name}"
    if parent is None or not isinstance(parent.template, nodes.Const) or parent.template.value != wanted:
        line = parent.lineno if parent else 1
        yield SpecProblem(KEY, f'it must begin with {{% extends "{wanted}" %}}', f"{template.path}:{line}")
    known = [block.name for block in our_blocks().values() if block.template == template.name]
    for block in tree.find_all(nodes.Block):
        if block.name not in known:
            there = ", ".join(known) or "none"
            words = f"{template.name} has no block `{block.name}`{_did_you_mean(block.name, known)}; there are {there}"
            yield SpecProblem(KEY, words, f"{template.path}:{block.lineno}")


def _marked(number: int, source: str) -> Iterator[str]:
    """The lines of a source; not those that begin in a tag, or with one that takes the blanks before it away."""
    tags = [tag.span() for tag in _TAG.finditer(source)]
    start = 0
    for line, text in enumerate(source.splitlines(keepends=True), 1):
        inside = any(first < start < end for first, end in tags)
        plain = not inside and not text.lstrip().startswith(("{%", "{#"))
        yield f"\x01{number}:{line}\x02{text}" if plain else text
        start += len(text)


def _origin(templates: Sequence[SiteTemplate], traced: str, line: int) -> str:
    """The line of a template from which a line of the script is, or the nearest before it."""
    origin = ""
    for number, text in enumerate(traced.split("\n"), 1):
        if number > line and origin:
            break
        for mark in _MARK.finditer(text):
            origin = f"{templates[int(mark[1])].path}:{mark[2]}"
    return origin


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
