"""Which commands of bash take an argument as source text, so that a value in it would run. Pure.

`eval` and `trap` parse their arguments, `let` and `read` evaluate subscripts in them, `bash -c` and `ssh` hand them to
another shell, `sed` and `python -c` have languages of their own that can start programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_EVALUATING = re.compile(
    "eval|let|trap|declare|typeset|local|readonly|read|mapfile|readarray|unset|getopts|alias|complete|compgen|bind|enable|"
    "wait|ssh|watch|parallel|make|at|batch|tmux|screen"
)
_LONGEST = 10_000
_VARIABLES = frozenset({"PS4", "PS0", "PROMPT_COMMAND", "BASH_ENV", "ENV"})
"""Variables whose values bash evaluates or runs."""
_KEYWORDS = frozenset({"if", "then", "elif", "else", "while", "until", "do", "time", "!", "{", "coproc"})
_WRAPPERS = re.compile(
    "command|builtin|exec|nohup|env|sudo|doas|nice|ionice|stdbuf|timeout|xargs|find|srun|mpirun|numactl|taskset|setsid|"
    "strace|flock"
)
"""Commands that start another, somewhere behind their options."""
_SHELL = re.compile("(?:ba|da|z|k|mk|a)?sh|fish|busybox")
_TAKES_COMMAND = re.compile("su|runuser|script|flock|sg|expect")
_INTERPRETER = re.compile(r"(?:python|pypy|perl|ruby|node|php|lua|Rscript|julia)[0-9.]*")
_EDITOR = re.compile("g?sed|[gmn]?awk")
_TO_A_SHELL = re.compile(
    r"[^;\n]*?(?<!\|)\|(?!\|)&?\s*(?:\w+=\S*\s+)*(?:(?:sudo|env|exec|command)\s+(?:-\S+\s+)*)?(?:[^\s|]*/)?(?:ba|da|z|k)?sh\b(?!\s+\w)"
)
"""The rest of a pipeline that ends in a shell without a script of its own."""
_OPTION = re.compile(r"-|[0-9]*&?[<>]")
"""Of a keyword (`time -p`), or a redirection."""
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=")


def is_evaluated(before: str, after: str) -> bool:
    """Whether what stands between `before`, the beginning of a simple command, and `after` is taken as source text.

    Of a command that is too long to look at, that is assumed.
    """
    if len(before) > _LONGEST:
        return True
    *words, place = _words(before)
    if (assigned := _ASSIGNMENT.match(place)) and assigned[1] in _VARIABLES:
        return True
    place = place.lstrip("\"'$")
    return any(_evaluates(words, index, place) for index in _commands(words)) or bool(_TO_A_SHELL.match(after))


def _commands(words: Sequence[str]) -> range:
    """Where the command of a simple command may stand: its first word, or any behind one that starts another."""
    first = 0
    while first < len(words) and (skipped := _skipped(words[first])):
        first += skipped
    wrapped = first < len(words) and _WRAPPERS.fullmatch(_name(words[first]))
    return range(first, len(words) if wrapped else min(first + 1, len(words)))


def _skipped(word: str) -> int:
    """How many words stand before a command from this one on: a keyword, an assignment, a redirection."""
    if word == "function" or re.fullmatch(r"[0-9]*(?:[<>]&?|>>|<>|>\||&>|<<<)", word):
        return 2
    stands_before = word in _KEYWORDS or word.endswith("()") or _ASSIGNMENT.match(word) or _OPTION.match(word)
    return 1 if stands_before else 0


def _evaluates(words: Sequence[str], index: int, place: str) -> bool:
    """Whether the command at `index` evaluates the word `place`, which comes after all of `words`."""
    name, arguments = _name(words[index]), words[index + 1 :]
    last = arguments[-1] if arguments else ""
    if _EVALUATING.fullmatch(name) or place.startswith("--wrap="):
        return True
    if name == "printf":
        return arguments[:1] == ["-v"]
    if name in ("test", "[") or words[index].startswith(("$", '"$')):
        return bool({"-v", "-R"}.intersection(arguments))
    if _SHELL.fullmatch(name):
        return bool(re.fullmatch(r"[-+]\w*c", last)) or last == "<<<"
    if _TAKES_COMMAND.fullmatch(name):
        return last in ("-c", "--command") or place.startswith("--command=")
    only_options = all(word.startswith("-") for word in arguments)
    if _INTERPRETER.fullmatch(name):
        return only_options and bool(re.fullmatch(r"-\w*[ceErpn]", last))
    if _EDITOR.fullmatch(name):
        return only_options or last in ("-e", "--expression") or place.startswith("--expression=")
    return False


def _name(word: str) -> str:
    """What a command word names: without quotes, backslashes and folders."""
    return re.sub(r"[\\\"']", "", word).rpartition("/")[2]


def _words(text: str) -> Iterator[str]:
    """The words of the beginning of a simple command, as written; the last is the one that goes on behind it."""
    text = text.replace("\\\n", "").replace("<<<", " <<< ")
    word, quote, depth, at = "", "", 0, 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            word, at = word + text[at : at + 2], at + 2
            continue
        if char in "\"'" and quote in ("", char) and not depth:
            quote = "" if quote else char
        elif quote != "'" and char == "(":
            depth += 1
        elif quote != "'" and char == ")":
            depth = max(depth - 1, 0)
        if char.isspace() and not quote and not depth:
            if word:
                yield word
            word = ""
        else:
            word += char
        at += 1
    yield word
