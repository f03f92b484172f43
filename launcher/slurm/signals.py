"""Signals that end programs, in words: what they mean, and what to do. Pure."""

from __future__ import annotations

import signal

_CRASH = (
    "a native library crashed",
    "The last lines of the log name the module that was running; try another version of it, or a smaller input",
)
_ENDED = ("somebody, or the site, ended it", "")
_MEANINGS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: (
        "nothing else can be done against it; mostly the kernel sends it, for want of memory",
        "If the node was short of memory, give the run more with `--set resources.mem_per_node=SIZE`, or fewer workers",
    ),
    signal.SIGSEGV: _CRASH,
    signal.SIGBUS: _CRASH,
    signal.SIGFPE: _CRASH,
    signal.SIGABRT: _CRASH,
    signal.SIGILL: (
        "the processor does not know an instruction",
        "Install packages for these processors, or choose other nodes with resources.sbatch.constraint",
    ),
    signal.SIGTERM: _ENDED,
    signal.SIGINT: _ENDED,
    signal.SIGHUP: _ENDED,
    signal.SIGXCPU: (
        "a limit of processor time",
        "Raise it with `ulimit -t unlimited` in environment.setup",
    ),
    signal.SIGXFSZ: ("a limit of file sizes", "Raise it with `ulimit -f unlimited` in environment.setup"),
    signal.SIGPIPE: ("it wrote to a program that had ended", "Look at what the command pipes its output to"),
    signal.SIGUSR1: ("it does not handle that signal", "Take the option out that asks for it, such as `--signal`"),
    signal.SIGUSR2: ("it does not handle that signal", "Take the option out that asks for it, such as `--signal`"),
}
_FIRST_OF_SHELLS = 128
"""What a shell adds to the signal that has ended its program."""


def of_end(exit_code: int | None, signum: int | None = None) -> int | None:
    """The signal that ended a program; None where it ended by itself."""
    if signum and not exit_code:
        return signum
    code = (exit_code or 0) - _FIRST_OF_SHELLS
    return code if code in set(signal.Signals) else None


def name_of(signum: int) -> str:
    """`SIGKILL`; `signal 77` for one without a name."""
    return signal.Signals(signum).name if signum in set(signal.Signals) else f"signal {signum}"


def explained(signum: int) -> tuple[str, str]:
    """The signal with what it means, and what to do; that is empty where nothing particular is."""
    words, step = _MEANINGS.get(signum, ("", ""))
    return f"{name_of(signum)} ({words})" if words else name_of(signum), step
