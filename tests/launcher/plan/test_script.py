"""The script: its options, and what it does when bash runs it with values that break careless quoting."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from script_lab import ScriptLab

from curator_slurm import slurm_templates
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.sbatch_lines import sbatch_lines
from curator_slurm.launcher.plan.script import render, render_collect
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

VARIANTS = {
    "plain": {},
    "full": {
        "resources": {
            "nodes": 3,
            "gpus_per_node": "a100:4",
            "cpus_per_node": 8,
            "mem_per_node": "100G",
            "time": "8:00:00",
            "partition": "gpu",
            "account": "it's ours",
            "sbatch": {"exclusive": True, "comment": 'a #b "c" \\d'},
        },
        "cluster": {"min_nodes": 2},
        "environment": {
            "modules": ["cuda/12.6", "a b"],
            "env": {"A": "x y", "B": "a\nb", "C": "$(id) `id`"},
            "setup": ["ulimit -n 1024", 'if true; then\n  X="don\'t"\nfi'],
        },
    },
    "conda": {"environment": {"conda": "my env"}},
    "staged": {
        "environment": {"stage": "node_local", "stage_days": 0, "modules": ["x"]},
        "storage": {"runs": "/shared/runs", "node_local": "/local $x/${SLURM_JOB_ID}"},
    },
    "uv": {"environment": {"uv": "/my $project", "ulimits": {"nofile": 4096, "stack": "unlimited"}}},
    "groups": {
        "resources": {
            "nodes": 6,
            "account": "shared",
            "time": 60,
            "cpus_per_node": 8,
            "sbatch": {"constraint": "x"},
            "groups": [
                {"name": "cpu", "nodes": 4, "partition": "batch", "mem_per_node": "10G"},
                {
                    "name": "gpu",
                    "nodes": 2,
                    "gpus_per_node": 8,
                    "partition": "gpu",
                    "account": "g",
                    "sbatch": {"constraint": "y", "exclusive": True},
                },
            ],
        },
        "cluster": {"min_nodes": 5},
    },
    "sharded": {"input": {"paths": ["/data/*.jsonl"]}, "shards": {"count": 4}},
}


@pytest.fixture
def lab(tmp_path):
    return ScriptLab(tmp_path)


@pytest.fixture(params=list(Cluster))
def cluster(request):
    return request.param


def variant(lab, name, cluster):
    return lab.plan(cluster, None if name == "conda" else "", **VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_clean(lab, name, cluster, tmp_path):
    script = tmp_path / "job.sbatch"
    script.write_text(render(variant(lab, name, cluster)))
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "\n\n\n" not in script.read_text()
    assert not re.search(r"[ \t]$", script.read_text(), re.MULTILINE)
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_frozen_plan_renders_the_same_bytes(lab, name, cluster):
    plan = variant(lab, name, cluster)
    assert render(Plan.from_yaml(plan.to_yaml())) == render(plan)


def test_options_for_slurm(lab):
    assert list(sbatch_lines(variant(lab, "full", Cluster.SLURM))) == [
        ("job-name", "demo"),
        ("nodes", "3"),
        ("ntasks-per-node", "1"),
        ("gpus-per-node", "a100:4"),
        ("cpus-per-task", "8"),
        ("mem", "100G"),
        ("time", "8:00:00"),
        ("partition", "gpu"),
        ("account", "it's ours"),
        ("exclusive", None),
        ("comment", 'a #b "c" \\d'),
        ("output", "slurm-%j.log"),
        ("open-mode", "append"),
        ("export", "NIL"),
        ("requeue", None),
        ("no-kill", None),
        ("signal", "B:USR2@120"),
    ]
    text = render(variant(lab, "full", Cluster.SLURM))
    assert '#SBATCH --comment="a #b \\"c\\" \\\\d"\n' in text
    assert "#SBATCH --exclusive\n" in text
    assert "--cpu-bind=none --no-kill --input=none" in text


def test_each_group_is_a_component_of_a_heterogeneous_job(lab):
    lines = render(variant(lab, "groups", Cluster.SLURM)).partition("\nset -u")[0].splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    at = asked.index("hetjob")
    assert asked[:at] == [
        "--job-name=demo", "--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=8", "--mem=10G", "--time=60",
        "--partition=batch", "--account=shared", "--constraint=x", "--output=slurm-%j.log", "--open-mode=append",
        "--export=NIL", "--requeue", "--no-kill", "--signal=B:USR2@120",
    ]  # fmt: skip
    assert asked[at + 1 :] == [
        "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=8", "--cpus-per-task=8", "--time=60", "--partition=gpu",
        "--account=g", "--constraint=y", "--exclusive",
    ]  # fmt: skip


def test_one_step_goes_over_all_components(lab):
    plan = variant(lab, "groups", Cluster.SLURM)
    done = lab.run(plan, SLURM_HET_SIZE="2", SLURM_JOB_NUM_NODES_HET_GROUP_0="4", SLURM_JOB_NUM_NODES_HET_GROUP_1="2")
    assert done.returncode == 0, done.stderr
    call = " ".join((lab.bin / "srun.argv").read_text().splitlines())
    each = "--ntasks-per-node=1 --export=ALL --kill-on-bad-exit=0 --wait=0 --cpu-bind=none --no-kill --input=none"
    first, second = call.split(" : ")
    assert first == f"--het-group=0 --nodes=4 --ntasks=4 {each}"
    assert second == f"--het-group=1 --nodes=2 --ntasks=2 {each}"


def test_no_kill_only_where_the_run_outlives_nodes(lab):
    assert "no-kill" not in render(variant(lab, "plain", Cluster.SLURM))


def test_the_local_script_has_nothing_of_slurm(lab):
    text = render(variant(lab, "full", Cluster.LOCAL))
    for word in ("#SBATCH", "srun", "scontrol"):
        assert word not in text


def test_every_value_of_the_templates_goes_through_a_filter():
    for path in Path(str(slurm_templates.__file__)).parent.glob("*.j2"):
        for expression in re.findall(r"\{\{(.*?)\}\}", path.read_text(), re.DOTALL):
            assert re.search(r"\| (quote|sbatch|on_node) $", expression), f"{path.name}: {expression}"
        assert not re.search(r"""["']\{\{.*?\| quote \}\}["']""", re.sub(r"^#.*$", "", path.read_text(), flags=re.M))


def test_the_agent_is_started_in_the_run_directory(lab, cluster):
    outcome = lab.run(lab.plan(cluster))
    assert outcome.returncode == 0, outcome.stderr
    [element] = (lab.run_dir / "elements").iterdir()
    assert outcome.argv == [
        "-m",
        "curator_slurm.launcher.agent.node_agent",
        "--run-dir",
        str(lab.run_dir),
        "--element-dir",
        str(element),
    ]
    assert outcome.cwd == str(lab.run_dir)
    assert element.stat().st_mode & 0o777 == 0o700
    log = (element / "slurm.log").readlink()
    assert str(log).startswith("../../slurm-")
    if cluster is Cluster.SLURM:
        assert element.name == "4711.0"
    else:
        assert re.fullmatch(r"local-\d+-\d+\.0", element.name)


def test_the_users_umask_reaches_the_agent_and_the_run_directory_stays_private(lab, cluster):
    before = os.umask(0o027)
    try:
        assert lab.run(lab.plan(cluster)).returncode == 0
    finally:
        os.umask(before)
    assert lab.umask() == "0027"
    [element] = lab.run_dir.glob("elements/*")
    assert stat.S_IMODE(element.stat().st_mode) == 0o700
    assert stat.S_IMODE((element / "node.sh").stat().st_mode) == 0o600


def test_the_launcher_names_a_local_job(lab):
    lab.run(lab.plan(Cluster.LOCAL), CURATOR_SLURM_JOB_ID="local-17-42")
    assert (lab.run_dir / "elements/local-17-42.0/nodes").is_dir()


def test_restarts_have_folders_of_their_own(lab):
    lab.run(lab.plan(Cluster.SLURM), SLURM_RESTART_COUNT="2")
    assert (lab.run_dir / "elements/4711.2").is_dir()


def test_the_exit_code_is_that_of_the_agent(lab, cluster):
    assert lab.run(lab.plan(cluster, environment={"env": {"FAKE_EXIT": "6"}})).returncode == 6


def test_an_agent_that_is_killed_is_cleaned_up_after(lab, cluster):
    lab.python.write_text(
        '#!/bin/bash\nif [[ $3 == --clean-up ]]; then printf "%s\\n" "$@" >"$RECORD.clean"; exit; fi\nkill -KILL $$\n'
    )
    assert lab.run(lab.plan(cluster)).returncode == 137
    assert "--clean-up" in lab.record.with_name("record.clean").read_text()


@pytest.mark.parametrize("has_word", [False, True])
def test_a_step_that_was_killed_as_a_whole_is_cleaned_up_after_by_a_second_one(lab, has_word):
    """With its srun, Slurm kills all of a step; where the head has left its word before, there is nothing to do."""
    word = 'for each in elements/*/; do touch "$each/outcome.json"; done' if has_word else ":"
    once = f'[[ -e "$folder/killed" ]] || {{ touch "$folder/killed"; {word}; kill -KILL $$; }}'
    srun = (lab.bin / "srun").read_text().splitlines()[1:]
    lab.program("srun", srun[0], once, *srun[1:])
    outcome = lab.run(lab.plan(Cluster.SLURM))
    assert outcome.returncode == 137, outcome.stderr
    assert ("--clean-up" in outcome.argv) is not has_word
    assert ("was killed (exit code 137" in outcome.stderr) is not has_word


def test_the_agent_gets_the_signals_and_ends_in_peace(lab):
    lab.python.write_text(
        "#!/bin/bash\ntrap 'sleep 0.3; echo ended >\"$RECORD.end\"; exit 9' TERM\n"
        'kill -TERM "$PPID"\nfor i in {1..100}; do sleep 0.1; done\n'
    )
    assert lab.run(lab.plan(Cluster.LOCAL)).returncode == 9
    assert lab.record.with_name("record.end").exists()


def test_the_batch_shell_hands_the_signal_before_the_limit_on_while_the_step_runs(lab):
    lab.python.write_text(
        "#!/bin/bash\nshell=$$\n"
        "while ((shell > 1)); do\n"
        "    grep -q slurm_script /proc/$shell/cmdline && batch=$shell\n"
        "    read -r _ _ _ shell _ </proc/$shell/stat\n"
        "done\n"
        "kill -USR2 $batch\nkill -CONT $batch\n"
        'for i in {1..200}; do compgen -G "elements/*/drain" && exit 9; sleep 0.1; done\n'
    )
    outcome = lab.run(lab.plan(Cluster.SLURM))
    assert outcome.returncode == 9, outcome.stderr
    assert [path.name for path in lab.run_dir.glob("elements/*/drain")] == ["drain"]


def test_srun_is_called_once_over_all_nodes(lab):
    lab.run(lab.plan(Cluster.SLURM))
    options = (lab.bin / "srun.argv").read_text().splitlines()
    assert options[:3] == ["--nodes=1", "--ntasks=1", "--ntasks-per-node=1"]
    assert {"--export=ALL", "--kill-on-bad-exit=0", "--wait=0", "--cpu-bind=none", "--input=none"} <= set(options)


def test_nothing_of_the_submitter_is_inherited(lab):
    outcome = lab.run(
        lab.plan(Cluster.SLURM),
        PYTHONPATH="/x",
        LD_PRELOAD="",
        RAY_ADDRESS="y",
        CUDA_VISIBLE_DEVICES="0,1",
        TMPDIR="/tmp/x",
        SLURM_CPUS_PER_TASK="4",
        SLURM_EXPORT_ENV="NIL",
        WEIRD="a\nb",
    )
    assert outcome.returncode == 0, outcome.stderr
    for name in ("PYTHONPATH", "RAY_ADDRESS", "WEIRD", "SLURM_CPUS_PER_TASK", "SLURM_EXPORT_ENV"):
        assert name not in outcome.environment
    assert outcome.environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert outcome.environment["TMPDIR"] == "/tmp/x"
    assert outcome.environment["HOME"] != "/nowhere"
    assert outcome.environment["USER"]
    assert outcome.environment["PATH"].startswith(str(lab.bin))


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        *("SLURM_TRES_PER_TASK", "SLURM_CPUS_PER_TASK", "SRUN_CPUS_PER_TASK", "SLURM_GPUS_PER_TASK", "SLURM_GPUS"),
        *("SLURM_CPUS_PER_GPU", "SLURM_NTASKS_PER_GPU", "SLURM_THREADS_PER_CORE", "SLURM_HINT", "SLURM_DISTRIBUTION"),
        *("SLURM_EXACT", "SLURM_EXCLUSIVE", "SLURM_OVERLAP", "SLURM_CORE_SPEC", "SLURM_OPEN_MODE", "SLURM_STDOUTMODE"),
    ],
)
def test_what_srun_would_take_for_an_option_of_the_step_does_not_reach_it(lab, name):
    outcome = lab.run(lab.plan(Cluster.SLURM), **{name: "x"}, SLURM_JOB_CPUS_PER_NODE="4", SLURM_NTASKS="1")
    assert outcome.returncode == 0, outcome.stderr
    assert name not in outcome.environment
    assert outcome.environment["SLURM_JOB_CPUS_PER_NODE"] == "4"
    assert outcome.environment["SLURM_NTASKS"] == "1"


DETAILS = """cat <<'END'
JobId=4711 JobName=x
   NumNodes=2 NumCPUs=4 TRES=cpu=4,mem=1300M,node=2
   JOB_GRES=gpu:4
     Nodes=n1 CPU_IDs=0-1 Mem=600 GRES=gpu:2(IDX:0-1)
     Nodes=n[2-3] CPU_IDs=0-1 Mem=700 GRES=gpu:2(IDX:0-1)
   MinCPUsNode=2 MinMemoryNode=0 MinTmpDiskNode=0
END"""


@pytest.mark.parametrize(
    ("variables", "passed_on"),
    [
        ({"SLURM_MEM_PER_CPU": "150"}, {"SLURM_MEM_PER_CPU": "150"}),
        ({"SLURM_MEM_PER_GPU": "150"}, {"SLURM_MEM_PER_GPU": "150"}),
        ({}, {"CURATOR_SLURM_JOB_MEMORY": "n1=600\nn[2-3]=700"}),
        # srun refuses two
        (
            {"SLURM_MEM_PER_CPU": "150", "SLURM_MEM_PER_GPU": "300"},
            {"CURATOR_SLURM_JOB_MEMORY": "n1=600\nn[2-3]=700"},
        ),
    ],
)
def test_the_memory_of_the_job_is_known_and_in_one_way(lab, variables, passed_on):
    lab.program("scontrol", DETAILS)
    outcome = lab.run(lab.plan(Cluster.SLURM), **variables)
    assert outcome.returncode == 0, outcome.stderr
    assert {name: value for name, value in outcome.environment.items() if "MEM" in name} == passed_on


def far_slurm(lab, **sections):
    """A plan with a Slurm in a folder that is on nobody's PATH, and one of another version on it."""
    folder = lab.folder / "opt slurm" / "bin"
    folder.mkdir(parents=True)
    for name in ("srun", "scontrol"):
        (lab.bin / name).rename(folder / name)
        lab.program(name, "echo Insane message length >&2", "exit 1")
    return lab.plan(Cluster.SLURM, **sections).model_copy(update={"slurm_bin": str(folder)}), folder


@pytest.mark.parametrize("path", ["the other Slurm", "", None])
def test_slurm_is_that_of_the_submission(lab, path):
    plan, folder = far_slurm(lab)
    variables = {} if path is None else {"PATH": path and f"{lab.bin}:/usr/bin:/bin"}
    outcome = lab.run(plan, without=() if path is not None else ("PATH",), **variables)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.environment["PATH"].split(":")[0] == str(folder)
    assert (folder / "srun.argv").exists()


def test_what_setup_commands_do_to_path_does_not_hide_the_slurm_of_the_submission(lab):
    plan, folder = far_slurm(lab, environment={"setup": [f"PATH={lab.bin}:/usr/bin:/bin"]})
    outcome = lab.run(plan)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.environment["PATH"] == f"{folder}:{lab.bin}:/usr/bin:/bin"


def test_a_slurm_in_a_usual_folder_is_not_put_before_what_users_load(lab):
    plan = lab.plan(Cluster.SLURM, environment={"setup": ["PATH=/mine:$PATH"]})
    outcome = lab.run(plan.model_copy(update={"slurm_bin": "/usr/local/bin"}))
    assert outcome.environment["PATH"].startswith("/mine:")


def test_the_collect_job_uses_the_same_slurm(lab):
    plan, folder = far_slurm(lab)
    text = render_collect(plan)
    assert f"\nexport PATH='{folder}':$PATH:/usr/local/bin" in text
    assert f"\n    export PATH='{folder}':$PATH\n" in text


def test_submitted_from_elsewhere(lab, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcome = lab.run(lab.plan(Cluster.SLURM), cwd=elsewhere)
    assert outcome.cwd == str(lab.run_dir)


def test_started_from_elsewhere_without_slurm(lab, tmp_path):
    assert lab.run(lab.plan(Cluster.LOCAL), cwd=tmp_path).cwd == str(lab.run_dir)


def test_a_script_far_from_its_run_directory_says_so(lab, tmp_path):
    script = tmp_path / "stray.sbatch"
    script.write_text(render(lab.plan(Cluster.LOCAL)))
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "no plan.yaml" in done.stderr


@pytest.mark.long
def test_hostile_values_of_the_environment_arrive_unchanged(lab, cluster, weird_value, tmp_path):
    outcome = lab.run(lab.plan(cluster, environment={"env": {"VALUE": weird_value}}))
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.environment["VALUE"] == weird_value
    assert not list(tmp_path.rglob("pwned"))


def test_every_control_character_arrives_unchanged(lab, cluster):
    value = "".join(map(chr, range(1, 128)))
    assert lab.run(lab.plan(cluster, environment={"env": {"VALUE": value}})).environment["VALUE"] == value


def test_a_hostile_run_directory(tmp_path, cluster, weird_path):
    if cluster is Cluster.SLURM and "\n" in str(weird_path):
        (tmp_path / "x").mkdir()
    lab = ScriptLab(tmp_path, weird_path)
    outcome = lab.run(lab.plan(cluster))
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.argv[3] == str(weird_path)
    assert not list(tmp_path.rglob("pwned"))


def test_a_hostile_interpreter(lab, cluster, weird_path):
    python = weird_path / "py thon"
    shutil.copy(lab.python, python)
    outcome = lab.run(lab.plan(cluster, str(python)))
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.argv[0] == "-m"


def test_hostile_options_of_sbatch_stay_on_their_line(lab, weird_values):
    for value in weird_values:
        if not value or any(ord(c) < 32 for c in value):
            continue  # refused in the spec
        lines = render(lab.plan(Cluster.SLURM, resources={"sbatch": {"comment": value}})).splitlines()
        [line] = [line for line in lines if line.startswith("#SBATCH --comment=")]
        text = line.removeprefix("#SBATCH --comment=")
        assert _as_sbatch_reads(text) == value
        assert sum(line.startswith("#SBATCH") for line in lines) == 9


def _as_sbatch_reads(text):
    """One argument as Slurm 22.05 splits it (seen with a real sbatch)."""
    result, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
            result += text[at]
        elif char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif not quote and (char.isspace() or char == "#"):
            break
        else:
            result += char
        at += 1
    return result


def test_setup_commands_share_one_shell_and_see_the_environment(lab, cluster):
    setup = ["X=$VALUE", 'export X="$X two"', "cd /", "if true; then\n  export Y='multi\n  line'\nfi"]
    outcome = lab.run(lab.plan(cluster, environment={"env": {"VALUE": "one"}, "setup": setup}))
    assert (outcome.environment["X"], outcome.environment["Y"]) == ("one two", "multi\n  line")
    assert outcome.cwd == str(lab.run_dir)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"setup": ["true", "test 'a' = \"b\\n\""]}, "this command failed: test 'a' = \"b\\n\""),
        ({"setup": ["exit 0"]}, "a command ended the shell"),
        ({"setup": ["if true; then"]}, "this command failed: if true; then"),
        ({"setup": ["}"]}, "this command failed: }"),
        ({"setup": ["false #\n\n\ttab"]}, "this command failed: false # tab"),
        ({"modules": ["no such $(touch pwned)"]}, "environment.modules"),
    ],
)
def test_software_that_fails_is_told_in_status_json(lab, cluster, environment, message):
    outcome = lab.run(lab.plan(cluster, environment=environment))
    assert outcome.returncode == 78
    assert not outcome.argv
    status = lab.node_status()
    assert message in status["message"]
    assert message in outcome.stderr
    assert status["failure_class"] == "environment"
    assert (status["state"], status["role"], status["node_id"], status["schema"]) == ("failed", "head", 0, 1)
    assert status["next_step"]
    assert abs(status["time"] - lab.run_dir.stat().st_mtime) < 100


def test_a_missing_interpreter(lab, cluster):
    assert lab.run(lab.plan(cluster, '/no/such "python"')).returncode == 78
    assert '/no/such "python" is missing on this node' in lab.node_status()["message"]


def test_an_interpreter_without_the_package(lab, cluster):
    lab.python.write_text("#!/bin/bash\necho no module >&2\nexit 1\n")
    assert lab.run(lab.plan(cluster)).returncode == 78
    assert "cannot import curator_slurm" in lab.node_status()["message"]


def test_modules_and_conda_are_used_where_there_are_any(lab, cluster, tmp_path):
    modules = tmp_path / "modules" / "init"
    modules.mkdir(parents=True)
    (modules / "bash").write_text('module() { export LOADED="$LOADED <$2>"; }\n')
    home = tmp_path / "home"
    conda = home / "miniforge3" / "etc" / "profile.d"
    conda.mkdir(parents=True)
    (conda / "conda.sh").write_text(f'conda() {{ export CONDA_ENV="$2"; ln -s "{lab.python}" "{lab.bin}/python"; }}\n')
    text = render(lab.plan(cluster, None, environment={"modules": ["a b", "c"], "conda": "my env"}))
    assert "module load 'a b' ||" in text
    assert "environment='my env'" in text
    if cluster is Cluster.LOCAL:
        plan = lab.plan(cluster, None, environment={"modules": ["a b", "c"], "conda": "my env"})
        own = {"MODULESHOME": str(tmp_path / "modules"), "USER_IS_ROOT": "so Debian's Lmod, if any, does nothing"}
        outcome = lab.run(plan, HOME=str(home), **own)
        assert outcome.environment["LOADED"] == " <a b> <c>"
        assert outcome.environment["CONDA_ENV"] == "my env"


def test_a_storage_that_cannot_be_written(lab):
    (lab.run_dir / "elements").write_text("a file in the way")
    outcome = lab.run(lab.plan(Cluster.LOCAL))
    assert outcome.returncode == 78
    assert "cannot write" in outcome.stderr


def test_an_environment_too_long_for_slurm(lab):
    with pytest.raises(UsageError, match="put long values into a file"):
        render(lab.plan(Cluster.SLURM, environment={"env": {f"A{i}": "x" * 130_000 for i in range(8)}}))


def test_a_long_environment_arrives(lab, cluster):
    """It is on no command line, so that only the limit of one variable counts."""
    variables = {"A": "é" * 65_500, "B": "x" * (131_072 - 3)}
    outcome = lab.run(lab.plan(cluster, environment={"env": variables}))
    assert outcome.returncode == 0, outcome.stderr
    assert {name: outcome.environment[name] for name in variables} == variables


CANARY = "canary-7f3a"
SECRETIVE = {"env": {"TOKEN": CANARY}, "setup": [f"export OTHER={CANARY}", f": {CANARY} # '"]}


def test_nothing_of_the_plan_is_on_a_command_line(lab, cluster):
    """Everybody on a node reads command lines with ps; the file that the nodes run is the user's alone."""
    outcome = lab.run(lab.plan(cluster, environment=SECRETIVE))
    assert outcome.returncode == 0, outcome.stderr
    assert "not found" not in outcome.stderr
    assert outcome.environment["OTHER"] == CANARY
    assert CANARY not in lab.shell()
    [file] = lab.run_dir.glob("elements/*/node.sh")
    assert CANARY in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file == ClusterPaths(file.parent, RunPaths(lab.run_dir)).node_script


def test_command_lines_of_all_plans_are_equal(lab, cluster):
    """But for paths: what is on them is ours, whatever the spec says."""
    shells = set()
    for environment in ({}, SECRETIVE, {"setup": ["true"] * 9}):
        assert lab.run(lab.plan(cluster, environment=environment), CURATOR_SLURM_JOB_ID="local-1-2").returncode == 0
        shells.add(lab.shell().replace(".0/node.sh", "").replace(".1/node.sh", "").replace(".2/node.sh", ""))
    assert len(shells) == 1


def test_a_file_that_a_node_sees_late(lab):
    lab.program("storage", 'mv -- "$1" "$1.hidden"')
    lab.program("sleep", f"mv -- {lab.run_dir}/elements/*/node.sh.hidden {lab.run_dir}/elements/4711.0/node.sh")
    outcome = lab.run(lab.plan(Cluster.SLURM))
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.argv


@pytest.mark.parametrize(
    "damage", ['rm -- "$1"', ': >"$1"', 'truncate --size=-2 -- "$1"', 'truncate --size=200 -- "$1"']
)
def test_a_node_that_does_not_get_the_whole_file(lab, damage):
    lab.program("storage", damage)
    lab.program("sleep")
    outcome = lab.run(lab.plan(Cluster.SLURM, environment=SECRETIVE))
    assert outcome.returncode == 78
    assert "node.sh: is it on shared storage" in outcome.stderr
    assert not outcome.argv


@pytest.mark.parametrize("swap", ["chmod o+w plan.yaml", "chmod o+w ."])
def test_a_node_looks_for_itself_at_what_it_finds(lab, swap):
    """Between the batch script's look and the node's, the run directory may have become another one."""
    lab.program("storage", f"cd -- {lab.run_dir}", swap)
    outcome = lab.run(lab.plan(Cluster.SLURM))
    assert outcome.returncode == 78
    assert "may be written by others" in outcome.stderr
    assert not outcome.argv


def test_a_file_for_the_nodes_that_cannot_be_written(lab, cluster):
    lab.program("ln", 'mkdir -- "$(dirname -- "${!#}")/node.sh"', 'exec /bin/ln "$@"')
    path = {} if cluster is Cluster.SLURM else {"PATH": f"{lab.bin}:/usr/bin:/bin"}
    outcome = lab.run(lab.plan(cluster), **path)
    assert outcome.returncode == 78
    assert "cannot write" in outcome.stderr
    assert "node.sh: is the storage full" in outcome.stderr
    assert not outcome.argv


SHARDED = VARIANTS["sharded"]
ELEMENT = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3"}


def test_the_folder_of_an_array_element(lab):
    (lab.run_dir / "submissions/0002").mkdir(parents=True)
    plan = lab.plan(Cluster.SLURM, **SHARDED)
    assert ("output", "elements/slurm-%A_%a.log") in list(sbatch_lines(plan))
    assert "#SBATCH --array" not in render(plan)
    outcome = lab.run(plan, arguments=["0002"], SLURM_RESTART_COUNT="1", **ELEMENT)
    assert outcome.returncode == 0, outcome.stderr
    element = lab.run_dir / "elements/4711_3.1"
    assert (element / "nodes").is_dir()
    assert (element / "slurm.log").readlink() == Path("../slurm-4711_3.log")
    assert not (lab.run_dir / "attempts").exists()
    expected = ["--run-dir", str(lab.run_dir), "--element-dir", str(element), "--submission", "0002"]
    assert outcome.argv[2:] == expected


def test_an_element_that_slurm_starts_twice_gets_another_folder(lab):
    plan = lab.plan(Cluster.SLURM, **SHARDED)
    for _ in range(2):
        assert lab.run(plan, **ELEMENT).returncode == 0
    first, second = sorted(path.name for path in (lab.run_dir / "elements").iterdir())
    assert first == "4711_3.0"
    assert second == "4711_3.1"


def test_a_sharded_script_by_hand_and_on_the_local_cluster(lab):
    outcome = lab.run(lab.plan(Cluster.SLURM, **SHARDED))
    assert outcome.argv[-1] == str(lab.run_dir / "elements/4711.0")
    outcome = lab.run(lab.plan(Cluster.LOCAL, **SHARDED), CURATOR_SLURM_JOB_ID="local-1-2")
    element = lab.run_dir / "elements/local-1-2.0"
    assert outcome.argv[-1] == str(element)
    assert (element / "slurm.log").readlink() == Path("../../slurm-local-1-2.log")


def test_a_run_without_shards_takes_a_submission_too(lab, cluster):
    (lab.run_dir / "submissions/0001").mkdir(parents=True)
    assert lab.run(lab.plan(cluster), arguments=["0001"]).argv[-2:] == ["--submission", "0001"]


def test_a_submission_that_is_not_there(lab, cluster):

    sleep = lab.bin / "sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    outcome = lab.run(lab.plan(cluster), arguments=["0009"])
    assert outcome.returncode == 78
    assert "there is no submission 0009" in outcome.stderr
    assert not list(lab.run_dir.glob("elements/*"))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_script_of_the_collect_job(lab, tmp_path, name):
    """It is valid bash, asks for little, and shares with the run only where and for whom it is."""
    text = render_collect(variant(lab, name, Cluster.SLURM))
    script = tmp_path / "collect.sbatch"
    script.write_text(text)
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    options = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", text, re.MULTILINE)
    given = dict(options)
    assert (given["nodes"], given["ntasks"], given["cpus-per-task"]) == ("1", "1", "1")
    assert not {"exclusive", "comment", "gpus-per-node", "constraint", "array", "requeue"} & set(given)
    assert given.get("partition") == ("gpu" if name == "full" else None)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, {}),
        ({"mem_per_node": "480G"}, {"mem": "4G"}),
        ({"sbatch": {"mem-per-cpu": "150M"}}, {"mem-per-cpu": "4G"}),
        ({"gpus_per_node": 1, "sbatch": {"mem-per-gpu": "150M"}}, {}),  # it has no GPU
    ],
)
def test_the_collect_job_asks_for_memory_as_the_run_does(lab, resources, expected):
    text = render_collect(lab.plan(Cluster.SLURM, resources=resources))
    assert dict(re.findall(r"^#SBATCH --(mem[\w-]*)=(.*)$", text, re.MULTILINE)) == expected
