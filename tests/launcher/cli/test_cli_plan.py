"""`curator-slurm plan`: the input and its shards, before anything is submitted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.launcher import cli
from curator_slurm.launcher.runs.manifest import read_manifest
from curator_slurm.launcher.sharding.preview import histogram

SPEC = "name: demo\npipeline: {command: 'cat ${shard.files}'}\ninput: {manifest: files.jsonl}\nshards: {count: 4}\n"


@pytest.fixture
def plan(tmp_path, monkeypatch, fake_slurm):
    """Run `plan` on files of these sizes."""
    monkeypatch.chdir(tmp_path)

    def run(sizes, *arguments, spec=SPEC):
        (tmp_path / "s.yaml").write_text(spec)
        lines = (json.dumps({"path": f"/d/{number:03d}", "bytes": size}) for number, size in enumerate(sizes))
        (tmp_path / "files.jsonl").write_text("\n".join(lines))
        before = sorted(tmp_path.rglob("*"))
        result = CliRunner().invoke(cli.main, ["plan", "s.yaml", *arguments])
        new = [path for path in sorted(tmp_path.rglob("*")) if path not in before and "slurm" not in str(path)]
        assert all(path.name == "m.jsonl" for path in new), new
        return result

    return run


def test_what_it_says(plan):
    result = plan([100] * 15 + [0], "--set", "shards.max_running=3", "--cluster", "slurm")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "Name      demo",
        "Input     16 files, 1.5 KiB",
        "Shards    4",
        "Elements  4 of 1 shard each; at most 3 run at once",
        "Arrays    1 of 4 elements (MaxArraySize 1,001): 1 sbatch call",
        "Sizes     largest 400 B (1.07 times the mean), mean 375 B, smallest 300 B",
        "Files     4 in a shard",
        *result.stdout.splitlines()[7:17],
        "Largest   shard 0: 400 B in 4 files",
        "          shard 1: 400 B in 4 files",
        "          shard 2: 400 B in 4 files",
        "          shard 3: 300 B in 4 files",
        "Restarts  requeue: Slurm queues the same job again (auto, where the site",
        "          requeues jobs), after preempted, requeued, node_failed, time_limit,",
        "          bootstrap_timeout, port_conflict",
        "Note      1 of 16 files has no content (0 bytes), such as /d/015",
    ]
    assert result.stdout.splitlines()[7] == "Histogram     300 B to     310 B        1 #############"
    assert (
        result.stdout.splitlines()[16]
        == "              390 B to     400 B        3 ########################################"
    )


def test_equal_shards_have_a_histogram_of_one_line(plan):
    lines = plan([5_000_000] * 8, "--cluster", "slurm").stdout.splitlines()
    [line] = [line for line in lines if "#" in line]
    assert line.startswith("Histogram   9.5 MiB to   9.5 MiB        4 ####")


def test_for_programs(plan, fake_slurm, tmp_path):
    fake_slurm.configure(max_array_size=3)
    result = plan(
        [7] * 20, "--json", "--cluster", "slurm", "--set", "shards={count: 10, per_element: 2, max_running: 1}"
    )
    value = json.loads(result.stdout)
    assert (value["files"], value["bytes"], value["shards"], value["elements"]) == (20, 140, 10, 5)
    assert value["restarts"].startswith("requeue: ")
    assert value["bytes_per_shard"] == {"largest": 14, "mean": 14.0, "smallest": 14}
    assert value["histogram"] == [{"low": 14, "high": 14, "shards": 10}]
    assert value["max_array_size"] == 3
    assert [array["elements"] for array in value["arrays"]] == [3, 2]
    assert [array["after"] for array in value["arrays"]] == [None, 0]
    assert (
        "1 of them start after others"
        in plan([7] * 20, "--cluster", "slurm", "--set", "shards={count: 10, per_element: 2, max_running: 1}").stdout
    )


def test_the_manifest_is_saved(plan, tmp_path):
    result = plan([7] * 6, "--output", "m.jsonl")
    assert "Saved which files are in which shard to m.jsonl" in result.stderr
    assert [len(shard.files) for shard in read_manifest(tmp_path / "m.jsonl")] == [2, 2, 1, 1]
    failed = plan([7] * 6, "--output", "no/such/folder/m.jsonl")
    assert failed.exit_code == 2
    assert "--output: cannot write no/such/folder/m.jsonl: No such file or directory" in failed.stderr


def test_without_shards(plan):
    result = plan([7] * 6, spec=SPEC.replace("shards: {count: 4}\n", ""))
    assert result.stdout.splitlines()[1:3] == [
        "Input     6 files, 42 B",
        "Shards    none: one job processes all files; with `shards` in the spec, a job array does",
    ]
    value = json.loads(plan([7] * 6, "--json", "--set", "shards=").stdout)
    assert (value["files"], value["bytes"], value["shards"]) == (6, 42, None)
    assert "the spec has no `input`" in plan([], spec="name: a\npipeline: {command: b}\n").stdout


def test_the_code_and_the_output_of_a_run_are_shown(plan, tmp_path):
    """What submit would copy, what it would leave out, and where the outputs would go."""
    (tmp_path / "mine.py").write_text("import helper\n")
    (tmp_path / "helper.py").touch()
    (tmp_path / "unused.py").touch()
    (tmp_path / "yaml.py").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").touch()
    spec = SPEC.replace("{command: 'cat ${shard.files}'}", "{entry: 'mine:build', args: {files: '${shard.files}'}}")
    spec += "output: {path: out, if_exists: new_version}\n"
    lines = plan([7] * 6, "--cluster", "slurm", spec=spec).stdout.splitlines()
    assert any(line.startswith("Code      beside the spec: helper.py, mine.py as of now") for line in lines), lines
    assert f"Output    {tmp_path / 'out-2'}" in lines
    assert any(line.startswith("Note      left out of the job: yaml.py") for line in lines), lines
    value = json.loads(plan([7] * 6, "--json", "--cluster", "slurm", spec=spec).stdout)
    assert value["output"] == str(tmp_path / "out-2")
    assert value["code"] == {
        "source": str(tmp_path), "files": ["helper.py", "mine.py"], "live": [], "left_out": ["yaml.py"],
    }  # fmt: skip


def test_on_this_machine_and_without_slurm(plan, fake_slurm):
    assert "this machine processes one shard after the other" in plan([7] * 6, "--cluster", "local").stdout
    fake_slurm.remove_command("scontrol")
    result = plan([7] * 6, "--cluster", "slurm")
    assert result.exit_code == 0
    assert "MaxArraySize is taken for Slurm's default, 1,001" in " ".join(result.stdout.split())


def test_errors(plan):
    result = plan([7], "--set", "shards.count=0")
    assert result.exit_code == 2
    assert "`shards.count` must be at least 1" in result.stderr
    result = plan([7], "--set", "shards={bytes_per_shard: 1K}", "--set", "input={paths: 'memory://nothing/*'}")
    assert result.exit_code == 2
    assert "input.paths: no files match memory://nothing/*" in result.stderr


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=50), st.integers(1, 12))
def test_a_histogram_counts_every_shard_in_its_part(sizes, bins):
    parts = histogram(sizes, bins)
    assert sum(part.shards for part in parts) == len(sizes)
    assert len(parts) <= bins
    assert (parts[0].low, parts[-1].high) == (min(sizes), max(sizes))
    for part in parts[:-1]:
        assert part.low < part.high
