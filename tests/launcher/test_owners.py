"""Runs of other users are left alone: they are not found by name, not acted on, and not run in the place of ours.

Root gives things away, so root plays this; a real second user does on Slurm.
"""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import new_run, own_home, renamed, submitted_run
from script_lab import ScriptLab

from curator_slurm.launcher.agent import node_agent
from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import ForeignRunError, StorageError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.operations.submit import _exposed
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs import owners, registry
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import Run, find_run, run_directories

__all__ = ["own_home"]

STRANGER = 65534
NAME = owners.user_name(STRANGER)

pytestmark = [
    pytest.mark.usefixtures("own_home", "fake_slurm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away"),
]


def give_away(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, STRANGER, STRANGER, follow_symlinks=False)


def planted(folder: Path, job_id: str = "4711") -> Run:
    """A run that a stranger has put where we look."""
    run = submitted_run(folder, job_id)
    give_away(run.paths.root.parent)
    return run


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, f"{result.stdout}\n{result.stderr}"
    return result


# What is made


def test_the_folder_of_a_name_is_private(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        run = new_run(tmp_path / "new" / "runs")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (run.paths.root, *run.paths.root.parents[:3])]
    assert modes == [0o700, 0o700, 0o755, 0o755]


def test_others_may_write_no_longer_to_the_folder_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo").chmod(0o2775)
    new_run(tmp_path)
    assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o2755


@pytest.mark.parametrize("link", [False, True])
def test_the_folder_of_a_name_that_a_stranger_has_made(tmp_path: Path, link: bool) -> None:
    theirs = tmp_path / "demo"
    if link:
        (tmp_path / "mine").mkdir()
        theirs.symlink_to("mine")
    else:
        theirs.mkdir(mode=0o777)
    os.chown(theirs, STRANGER, STRANGER, follow_symlinks=False)
    run = new_run(tmp_path)  # as two users do who share a folder of runs
    mine = tmp_path / f"demo.{getpass.getuser()}"
    assert run.paths.root.parent == mine
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
    assert not list((tmp_path / "demo").iterdir())
    assert run.name == "demo"
    assert find_run("demo", [tmp_path]).paths.root == run.paths.root
    assert run_directories([tmp_path], "demo") == [run.paths.root]
    shutil.rmtree(mine)
    mine.mkdir()
    os.chown(mine, STRANGER, STRANGER)
    with pytest.raises(StorageError, match=rf"demo\.{getpass.getuser()} belongs to .*\n.*storage\.runs"):
        new_run(tmp_path)
    assert not list(mine.iterdir())


def test_a_place_where_everybody_can_swap_folders_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "runs"
    folder.mkdir(parents=True)
    for mode, told in ((0o1777, False), (0o2775, False), (0o777, True)):
        folder.parent.chmod(mode)
        notes = _exposed(folder / "not there yet")
        assert [str(folder.parent) in note for note in notes] == [True] * told, oct(mode)


# What is found


@pytest.mark.parametrize("name", ["demo", "4711", "4711_3", "{id}", "{id:.10}", ""])
def test_look_ups_skip_runs_of_strangers(tmp_path: Path, name: str) -> None:
    older = renamed(submitted_run(tmp_path), "20200101-000000-aaaa")
    theirs = submitted_run(tmp_path)
    give_away(theirs.paths.root)
    text = name.replace("{id:.10}", theirs.run_id[:10]).replace("{id}", theirs.run_id)
    if theirs.run_id[:10] in text:
        done = call("status", text, "--runs-dir", tmp_path, expect=3)
        if text == theirs.run_id:
            assert f"{theirs.paths.root} belongs to {NAME}; give its path" in done.stderr
        return
    done = call("status", *([text] if text else []), "--runs-dir", tmp_path, "--json", expect=6)
    assert older in done.stdout
    assert theirs.run_id not in done.output


def test_a_link_of_a_stranger_to_a_run_of_ours_is_skipped(tmp_path: Path) -> None:
    run = new_run(tmp_path / "elsewhere")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    link = tmp_path / "runs" / "demo" / run.run_id
    link.symlink_to(run.paths.root)
    assert registry.run_directories([tmp_path / "runs"]) == [link]
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    assert registry.run_directories([tmp_path / "runs"]) == []


def test_a_run_in_the_place_of_another_is_not_that_run(tmp_path: Path) -> None:
    first, second = new_run(tmp_path), new_run(tmp_path)
    first.paths.root.rename(tmp_path / "away")
    second.paths.root.rename(first.paths.root)
    found = registry.load_run(first.paths.root)
    assert found.record is None
    assert f"it is that of run {second.run_id}" in found.problem


def test_runs_of_others_can_be_read_and_say_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = planted(tmp_path)
    for verb in ("status", "logs", "watch"):
        done = CliRunner().invoke(main, [verb, str(run.paths.root)])
        assert f"run {run.run_id} belongs to {NAME}" in done.stderr, verb
    assert f'"owner": "{NAME}"' in call("status", "--json", run.paths.root, expect=6).stdout
    ours = new_run(tmp_path, name="ours")
    listed = call("list", "--runs-dir", tmp_path).stdout.splitlines()
    assert "OWNER" in listed[0]
    assert {line.split()[0]: line.split()[3] for line in listed[1:]} == {"demo": NAME, "ours": "root"}
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path))
    assert ours.run_id in (own := call("list").stdout)
    assert run.run_id not in own
    assert "OWNER" not in own


# What is acted on

ACTS = [["cancel"], ["retry"], ["retry", "--dry-run"], ["collect"], ["collect", "--partial"]]


def give_plan_away(run: RunPaths) -> None:
    os.chown(run.plan, STRANGER, STRANGER)


def give_script_away(run: RunPaths) -> None:
    os.chown(run.script, STRANGER, STRANGER)


def give_record_away(run: RunPaths) -> None:
    os.chown(run.record, STRANGER, STRANGER)


def give_submissions_away(run: RunPaths) -> None:
    os.chown(run.submissions, STRANGER, STRANGER)


def open_folder(run: RunPaths) -> None:
    run.root.chmod(0o770)


def open_plan(run: RunPaths) -> None:
    run.plan.chmod(0o662)


SPOILT: list[tuple[Callable[[RunPaths], None], str]] = [
    (give_plan_away, "plan.yaml belongs to"),
    (give_script_away, "job.sbatch belongs to"),
    (give_record_away, "run.json belongs to"),
    (give_submissions_away, "submissions belongs to"),
    (open_folder, "chmod go-w"),
    (open_plan, "chmod go-w"),
]


@pytest.mark.parametrize("verb", ACTS, ids=" ".join)
def test_no_verb_acts_on_a_run_of_a_stranger(fake_slurm: FakeSlurm, tmp_path: Path, verb: list[str]) -> None:
    run = planted(tmp_path)
    before = sorted(path for path in run.paths.root.rglob("*"))
    done = call(*verb, run.paths.root, expect=2)
    assert f"belongs to {NAME}, and you are root: `{verb[0]}` acts on your own runs alone" in done.stderr
    assert fake_slurm.calls_of("sbatch") == fake_slurm.calls_of("scancel") == []
    assert sorted(path for path in run.paths.root.rglob("*")) == before


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
@pytest.mark.parametrize("verb", ["cancel", "retry", "collect"])
def test_no_verb_acts_on_what_others_may_have_written(
    fake_slurm: FakeSlurm, tmp_path: Path, verb: str, spoil: Callable[[RunPaths], None], words: str
) -> None:
    run = submitted_run(tmp_path)
    spoil(run.paths)
    assert words in call(verb, run.paths.root, expect=2).stderr
    assert fake_slurm.calls_of("sbatch") == fake_slurm.calls_of("scancel") == []


def test_a_file_is_checked_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("ours")
    assert owners.read_own(path) == "ours"
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(ForeignRunError, match=f"belongs to {NAME}"):
        owners.read_own(path)
    os.mkfifo(fifo := tmp_path / "fifo")
    os.chown(fifo, STRANGER, STRANGER)
    with pytest.raises(OSError, match="FIFO"):
        owners.read_own(fifo)


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process of ours that is no run."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_cancel_signals_no_process_that_a_record_only_names(tmp_path: Path, bystander: psutil.Process) -> None:
    place = {"pid": bystander.pid, "pid_started": bystander.create_time(), "host": os.uname().nodename}
    run = submitted_run(tmp_path, "local-1-2", cluster="local", **place)
    done = call("cancel", run.paths.root, expect=1)
    assert f"process {bystander.pid}, which" in done.stderr
    assert "was not started for job local-1-2" in done.stderr
    assert bystander.is_running()
    assert registry.load_run(run.paths.root).record.cancelled is None


# What a job reads


def spoilt_lab(tmp_path: Path, run_id: str = "20260101-000000-aaaa") -> ScriptLab:
    lab = ScriptLab(tmp_path)
    write_json(lab.run_dir / "run.json", {"schema": 2, "run_id": run_id, "name": "demo"})
    (lab.run_dir / "submissions" / "0000").mkdir(parents=True)
    return lab


@pytest.mark.parametrize("where", list(Cluster))
def test_the_script_runs_in_the_directory_of_its_run(tmp_path: Path, where: Cluster) -> None:
    lab = spoilt_lab(tmp_path)
    done = lab.run(lab.plan(where), arguments=["0000", "20260101-000000-aaaa"])
    assert done.returncode == 0, done.stderr
    assert done.argv[done.argv.index("--run-id") + 1] == "20260101-000000-aaaa"


@pytest.mark.parametrize("where", list(Cluster))
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: os.chown(run, STRANGER, STRANGER), f"belongs to {NAME}, not to root"),
        (lambda run: run.chmod(0o770), "may be written by others (drwxrwx---)"),
        (lambda run: run.chmod(0o702), "may be written by others (drwx----w-)"),
        (lambda run: os.chown(run / "run.json", STRANGER, STRANGER), f"belongs to {NAME}"),
        (lambda run: write_json(run / "run.json", {"run_id": "20260101-000000-bbbb"}), "is not the directory of run"),
    ],
)
def test_the_script_reads_nothing_that_may_be_a_strangers(
    tmp_path: Path, where: Cluster, spoil: Callable[[Path], None], words: str
) -> None:
    lab = spoilt_lab(tmp_path)
    spoil(lab.run_dir)
    done = lab.run(lab.plan(where), arguments=["0000", "20260101-000000-aaaa"])
    assert done.returncode == 78
    assert words in done.stderr
    assert done.argv == []
    assert not (lab.run_dir / "elements").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: give_away(run.root), f"belongs to {NAME}"),
        (lambda run: os.chown(run.plan, STRANGER, STRANGER), f"plan.yaml belongs to {NAME}"),
        (lambda run: run.root.chmod(0o777), "chmod go-w"),
        (lambda run: write_json(run.record, {**read_json(run.record), "run_id": "x"}), "not the directory of run"),
    ],
)
@pytest.mark.parametrize("clean_up", [False, True])
def test_the_agent_reads_nothing_that_may_be_a_strangers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[RunPaths], None],
    words: str,
    clean_up: bool,
) -> None:
    run = new_run(tmp_path)
    spoil(run.paths)
    arguments = ["--run-dir", str(run.paths.root), "--element-dir", str(run.paths.elements / "1.0")]
    more = ["--clean-up"] if clean_up else []
    assert node_agent.main([*arguments, "--run-id", run.run_id, *more]) == 78
    assert words in capsys.readouterr().err
    assert not list(run.paths.elements.iterdir())
