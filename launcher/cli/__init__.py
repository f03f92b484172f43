"""The command line: one module per verb, loaded when the verb is used.

`main` only assembles: it finds the verb, turns an error into a message and an exit code, and computes nothing. A verb
lives in the module of its name, which exports a click command called `command`. This file imports click and nothing
slower, so that `curator-slurm --help` stays instant. It may import `operations`, `doctor`, `report`, `dataset`,
`status`, `sharding`, `survey`, `tunnel`, `slurm`, `plan`, `site`, `runs`, `spec`, the ground floor and `common`.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.cli._terminal import say
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.visible import visible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
BROKEN_PIPE = 141
"""Exit code when the reader of our output has gone, as shells have it."""

VERBS: dict[str, dict[str, str]] = {
    "Write a spec": {
        "init": "Write a commented starter spec.",
        "validate": "Check a spec and report every error in it.",
        "plan": "Show the input and its shards before anything is submitted.",
        "render": "Print exactly the script that submit would submit.",
        "schema": "Print the JSON schema of specs, site files or --json output.",
    },
    "Run it": {
        "submit": "Submit a spec and print the id of the run.",
        "run": "Submit a spec, follow it to its end, and exit with its exit code.",
        "cancel": "Cancel runs.",
        "retry": "Submit again what is not done.",
        "collect": "Verify and publish the outputs of a sharded run.",
        "remove": "Remove runs that are over: their plans, logs and records.",
    },
    "Look at runs": {
        "list": "List your runs, newest first.",
        "status": "Show what a run has reached, or why it failed.",
        "watch": "Follow the progress of a run until it ends.",
        "logs": "Print the logs of a run.",
        "dashboard": "Show how to reach Ray's own dashboard of a running run.",
        "advise": "Advise what to ask for next time, by what was measured.",
        "report": "Show what happened in a run: one page, with pictures and tables.",
    },
    "The cluster": {
        "doctor": "Check whether runs can work here, on this machine and on nodes.",
        "site": "Show, write and check what site files say about this cluster.",
    },
}
"""Heading -> verb -> its one-line help; a test compares it with the verbs themselves."""

EPILOG = """\b
A first run:
  curator-slurm init spec.yaml
  curator-slurm validate spec.yaml
  curator-slurm submit spec.yaml --watch

\b
Shell completion (put the line into ~/.bashrc; for zsh, after compinit, into ~/.zshrc):
  eval "$(_CURATOR_SLURM_COMPLETE=bash_source curator-slurm)"
  eval "$(_CURATOR_SLURM_COMPLETE=zsh_source curator-slurm)"

\b
Exit codes:
  0 done                      5 Slurm refused or is not reachable
  1 a bug in curator-slurm    6 the run failed
  2 bad usage or bad spec     7 the run is incomplete
  3 no such run               8 the run was cancelled
  4 refused by site policy
"""


class Verbs(click.Group):
    """A group that knows its verbs by name and imports the one that is used."""

    def __call__(self, *args: Any, **extra: Any) -> Any:
        """Run a command; without arguments, as the script `curator-slurm` calls it, it is all that the process does."""
        try:
            return super().__call__(*args, **extra)
        except SystemExit as end:
            if not args and not extra.keys() - {"prog_name"}:
                _leave(end.code)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [verb for verbs in VERBS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb in self.list_commands(ctx) or verb.startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        close = get_close_matches(verb, self.list_commands(ctx), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see 'curator-slurm --help' for the list of commands."
        return ctx.fail(f"there is no command {verb!r}; {hint}")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table of verbs: click would import them all for their help."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(verb, help=text)
            for verbs in VERBS.values()
            for verb, text in verbs.items()
            if verb.startswith(incomplete)
        ]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(verb) for verb in self.list_commands(ctx))
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                formatter.write_dl([(verb.ljust(width), text) for verb, text in verbs.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            with _visible_usage_errors():
                return super().make_context(*args, **extra)
        except OSError as error:  # --help and --version are printed here
            if isinstance(error, BrokenPipeError) or not (code := _report_storage(error)):
                raise
            raise click.exceptions.Exit(code) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _visible_usage_errors(), _rare_collections():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except CuratorSlurmError as error:
            if _debugging():
                _print_traceback()
            say(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            say("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # Python would complain once more when it flushes stdout at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except OSError as error:
            ctx.exit(_report_storage(error) or _report_bug(error))
        except Exception as error:
            ctx.exit(_report_bug(error))


def _leave(code: object) -> None:
    """End at once, where nothing is left to do: Python would first take apart every module and every record.

    It returns where Python shall do it: other threads are still there, somebody is debugging, the reader has gone.
    """
    threads = sys.modules.get("threading")
    if not isinstance(code, int | None) or _debugging() or sys.getprofile() or sys.gettrace():
        return
    if threads is not None and threads.active_count() > 1:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
    os._exit(code or 0)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles rarely: a verb is over soon, and may hold millions of records, none of them in one."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""No verb is given: its message is the help, without an error; click has it since 8.2."""


@contextmanager
def _visible_usage_errors() -> Iterator[None]:
    """click prints its own errors, which quote what it was given."""
    try:
        yield
    except _HELP:
        raise
    except click.UsageError as error:
        raise click.UsageError(visible(error.format_message()), error.ctx) from error


def _debugging() -> bool:
    return os.environ.get("CURATOR_SLURM_DEBUG", "") not in ("", "0")


def _print_traceback() -> None:
    import traceback

    say(traceback.format_exc(), err=True, nl=False)


def _report_storage(error: OSError) -> int:
    """Say what the file system refuses, and what to do: the exit code, or 0 where that is not what went wrong."""
    from curator_slurm.launcher import storage_errors

    step = storage_errors.next_step(error)
    if not step:
        return 0
    if _debugging():
        _print_traceback()
    say(f"Error: {storage_errors.what(error)}; {step}", err=True)
    return StorageError.exit_code


def _report_bug(error: Exception) -> int:
    """Say that this should not have happened, and keep the traceback for the report; the exit code."""
    import traceback

    say(f"Error: this is a bug in curator-slurm {__version__}: {type(error).__name__}: {error}", err=True)
    code = CuratorSlurmError.exit_code
    if _debugging():
        _print_traceback()
        return code
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="curator-slurm-bug-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as stream:
            stream.write(traceback.format_exc())
    except OSError:
        _print_traceback()
        return code
    say(f"Please report it with the traceback in {stream.name}", err=True)
    return code


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="curator-slurm", message="%(prog)s %(version)s")
def main() -> None:
    """Run data-curation pipelines as multi-node Ray clusters inside Slurm allocations, or on this machine."""
