"""The frame of the command line: verbs, help, errors and exit codes."""

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from curator_slurm.launcher import cli, errors
from curator_slurm.launcher._version import __version__

VERBS = {verb: text for verbs in cli.VERBS.values() for verb, text in verbs.items()}


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(cli.main, list(arguments))


@pytest.fixture
def broken_verb(monkeypatch):
    """Make `validate` raise what the test gives."""

    def install(error):
        @click.command()
        def command():
            raise error

        real = importlib.import_module

        def import_module(name):
            return type("Module", (), {"command": command}) if name.endswith(".validate") else real(name)

        monkeypatch.setattr(cli.importlib, "import_module", import_module)

    return install


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_says_what_the_verbs_say(verb, run):
    command = importlib.import_module(f"curator_slurm.launcher.cli.{verb}").command
    assert isinstance(command, click.Command)
    assert command.help.strip().split("\n\n")[0].replace("\n", " ") == VERBS[verb]
    for flag in ("-h", "--help"):
        result = run(verb, flag)
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"Usage: main {verb} ")
        assert VERBS[verb] in " ".join(result.output.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb):
    command = importlib.import_module(f"curator_slurm.launcher.cli.{verb}").command
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(run, flag):
    result = run(flag)
    assert result.exit_code == 0
    for verb, text in VERBS.items():
        assert verb in result.output
        assert text in result.output
    for part in ("Shell completion", "Exit codes", "_CURATOR_SLURM_COMPLETE=bash_source"):
        assert part in result.output


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(run, flag):
    assert run(flag).output == f"curator-slurm {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["validte"], "there is no command 'validte'; did you mean 'validate'?"),
        (["xyz"], "there is no command 'xyz'; see 'curator-slurm --help'"),
        (["validate"], "Missing argument 'SPEC'"),
        (["--nope"], "No such option"),
    ],
)
def test_bad_usage_exits_with_2(run, arguments, part):
    result = run(*arguments)
    assert result.exit_code == 2
    assert part in result.stderr


@pytest.mark.parametrize(
    "error",
    [
        error
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.CuratorSlurmError)
        and error not in (errors.SpecError, errors.BootstrapError)
    ],
)
def test_our_errors_are_a_message_and_their_exit_code(run, broken_verb, error):
    broken_verb(error("what happened; what to do"))
    result = run("validate")
    assert result.exit_code == error.exit_code
    assert result.stderr == "Error: what happened; what to do\n"
    assert result.stdout == ""


def test_anything_else_is_a_bug_of_ours_with_its_traceback_in_a_file(run, broken_verb, monkeypatch, tmp_path):
    monkeypatch.delenv("CURATOR_SLURM_DEBUG", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken_verb(ZeroDivisionError("oops"))
    result = run("validate")
    assert result.exit_code == 1
    assert "this is a bug in curator-slurm" in result.stderr
    assert "Traceback" not in result.stderr
    [log] = tmp_path.glob("curator-slurm-bug-*.log")
    assert str(log) in result.stderr
    assert "ZeroDivisionError: oops" in log.read_text()


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), errors.UsageError("oops")])
def test_debugging_shows_the_traceback(run, broken_verb, monkeypatch, error):
    monkeypatch.setenv("CURATOR_SLURM_DEBUG", "1")
    broken_verb(error)
    assert "Traceback" in run("validate").stderr


def test_interrupted(run, broken_verb):
    broken_verb(KeyboardInterrupt())
    result = run("validate")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr


def test_a_reader_that_has_gone_is_no_error():
    script = f"set -o pipefail; {sys.executable} -c 'from curator_slurm.launcher.cli import main; main()' schema | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_shell_completion():
    for shell in ("bash", "zsh"):
        done = subprocess.run(
            [sys.executable, "-c", "from curator_slurm.launcher.cli import main; main(prog_name='curator-slurm')"],
            env={"_CURATOR_SLURM_COMPLETE": f"{shell}_source", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "_curator_slurm_completion" in done.stdout, done.stderr


@pytest.mark.parametrize("group", [(), ("site",)])
def test_without_a_verb_the_help_is_printed_and_no_error(run, group):
    """It was printed behind `Error:`, the first that a new user saw."""
    result = run(*group)
    assert result.exit_code in (0, 2)  # with click before 8.2, and since
    assert result.output.startswith("Usage: ")
    assert "Error" not in result.output
    assert result.output.count("Usage:") == 1
