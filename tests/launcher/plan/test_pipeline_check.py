"""What `validate` says of a pipeline: every mistake that the driver would find, before the queue."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan import pipeline_check
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.spec import spec_file

OWN = '''
from curator_slurm.executors import BaseExecutor, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.tasks import Task


class Clean(ProcessingStage[Task, Task]):
    """A stage."""

    name = "clean"

    def __init__(self, min_words: int = 3) -> None:
        if min_words < 0:
            raise ValueError("min_words must not be negative")
        self.min_words = min_words

    def process(self, task: Task) -> Task:
        return task

    def setup(self, worker_metadata: object = None) -> None:
        raise SystemExit("setup must not run")


class Needy(Clean):
    """A stage that imports what it needs when it is made."""

    def __init__(self) -> None:
        import not_there  # noqa: F401


class Plain:
    """No stage."""


class Quick(BaseExecutor):
    """An executor that needs no engine."""

    def execute(self, stages, initial_tasks=None):
        raise SystemExit("nothing is run")


def clean(text: str) -> str:
    return text


def nothing() -> None:
    return None


def build(words: int = 1) -> Pipeline:
    return Pipeline("own", stages=[Clean(words)])


def with_function() -> Pipeline:
    return Pipeline("own", stages=[Clean(), clean])


def on_cpus() -> Pipeline:
    return Pipeline("own", stages=[Clean().with_(resources=Resources(cpus=8))])


def on_both() -> Pipeline:
    return Pipeline("own", stages=[Clean().with_(resources=Resources(cpus=8, gpus=1))])


def on_gpus() -> Pipeline:
    return Pipeline("own", stages=[Clean().with_(resources=Resources(gpus=2))])
'''


def examined(folder: Path, spec: dict, modules: dict[str, str] | None = None, cluster=Cluster.LOCAL):
    """Errors and notes of a spec beside which these modules lie."""
    for name, text in {"own": OWN, **(modules or {})}.items():
        (folder / f"{name}.py").write_text(text)
    text = yaml.safe_dump({"name": "demo", **spec}, sort_keys=False)
    reading = spec_file.read_string(text, "spec.yaml")
    try:
        plan_of(reading, folder, cluster, {"HOME": str(folder), "PATH": "/usr/bin:/bin"}, imports=True)
    except SpecError as error:
        return [str(problem) for problem in error.problems], [str(note) for note in reading.notes]
    return [], [str(note) for note in reading.notes]


def stages(*parts: object) -> dict:
    return {"pipeline": {"stages": [part if isinstance(part, dict) else {"use": part} for part in parts]}}


def groups(*parts: dict) -> dict:
    return {"groups": [{"name": name, "nodes": 1, **part} for name, part in zip("ab", parts, strict=True)]}


WRITER = {"use": "curator_slurm.executors.stages:JsonlWriter", "with": {"path": "/dev/null/out"}}
QUICK = {"executor": {"backend": "own:Quick"}}


MODULES = {
    "broken": "x = 1\ndef f(:\n",
    "raises": "x = 1\n\ny = x / 0\n",
    "needs": "import not_here\n",
    "leaves": "import sys\nsys.exit(3)\n",
    "dies": "import os\nos._exit(5)\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
}
STAGES = (
    ("owm:Clean", ["'owm'", "did you mean 'own'?"]),
    ("own:Clan", ["own has no 'Clan'", "did you mean 'Clean'?"]),
    ("curator_slurm.executors.stages:JsonlReadr", ["did you mean 'JsonlReader'?"]),
    ("curator_slurm.executors.stagess:JsonlReader", ["did you mean 'curator_slurm.executors.stages'?"]),
    ("nemo_curators.stages:Filter", ["no module named 'nemo_curators'", sys.executable]),
    ("broken:Stage", ["SyntaxError", "broken.py, line 2"]),
    ("raises:Stage", ["ZeroDivisionError", "raises.py, line 3"]),
    ("needs:Stage", ["importing needs failed: no module named 'not_here'", "install not_here"]),
    ("leaves:Stage", ["sys.exit", "3"]),
    ("curator_slurm.executors.stages:JsonlReader", ["missing", "file_paths"]),
    ("own:Plain", ["stage 11", "own:Plain", "not a ProcessingStage", "class Plain"]),
    ("own:clean", ["own:clean, which is a function", "missing", "'text'"]),
    ("own:nothing", ["stage 13", "None is not a ProcessingStage"]),
    ("curator_slurm.executors.stages:WordCountFilter", ["stage 14", "ScoreFilter"]),
    ("own:OWN", ["own has no 'OWN'"]),
    ("own:Needy", ["own:Needy cannot be made: ModuleNotFoundError", "'not_there'", "install what it needs"]),
    ({"use": "own:Clean", "with": {"min_word": 3}}, ["'min_word'", "did you mean 'min_words'?"]),
    ({"use": "own:Clean", "with": {"min_words": -1}}, ["min_words must not be negative", "own.py, line"]),
    ({"use": "own:Clean", "with": {"min_words": "${env:NOT_SET}"}}, ["NOT_SET is not set in the job"]),
    ({"use": "own:Clean", "with": {"min_words": {"_target_": "own.Clean", "min_words": -1}}}, ["an object in `with`"]),
)


def test_every_stage_and_the_executor_are_looked_at_in_one_go(tmp_path):
    spec = stages(*(stage for stage, _ in STAGES))
    found, notes = examined(tmp_path, {**spec, "executor": {"config": {"execution_mode": "bach"}}}, MODULES)
    assert len(found) == len(STAGES) + 1, (found, notes)
    lines = [int(re.match(r"spec\.yaml:(\d+): ", each)[1]) for each in found]
    assert lines == [*range(4, 20), 21, 24, 26, 30, 35]
    for message, (stage, words) in zip(found, STAGES, strict=False):
        assert all(part in message for part in words), (stage, message)
        assert "curator-slurm-validate-" not in message, "a copy of the user's file is named"
    assert f"({tmp_path / 'broken.py'}, line 2)" in found[5], found[5]
    assert "execution_mode must be one of streaming, batch, not 'bach'" in found[-1]


@pytest.mark.parametrize(
    ("spec", "where", "words"),
    [
        (stages("own:Clean", "dies:Stage"), 5, ["stage 2", "ended Python with exit code 5"]),
        (stages("own:Clean", "crashes:Stage"), 5, ["stage 2", "crashed Python with SIGSEGV", "crashes.py"]),
        ({"pipeline": {"entry": "own:bild"}}, 3, ["own has no 'bild'", "did you mean 'build'?"]),
        ({"pipeline": {"entry": "own:build", "args": {"word": 2}}}, 4, ["'word'", "did you mean 'words'?"]),
        ({"pipeline": {"entry": "own:build", "args": {"words": -1}}}, 3, ["min_words must not be negative"]),
        ({"pipeline": {"entry": "own:nothing"}}, 3, ["NoneType", "not a pipeline"]),
        ({"pipeline": {"entry": "own:with_function"}}, 3, ["stage 2", "a function"]),
        ({"pipeline": {"entry": "own:on_gpus"}, "resources": {"gpus_per_node": 1}}, 5, ["needs 2 GPUs", "has 1"]),
        ({"pipeline": {"entry": "own:on_gpus"}}, 0, ["needs 2 GPUs", "has 0"]),
        ({"pipeline": {"entry": "own:on_cpus"}, "resources": {"cpus_per_node": 4}}, 0, ["needs 8 CPUs", "has 4"]),
        (
            {"pipeline": {"stages": [{"use": "JsonlReader"}]}},
            0,
            ["must be module:name, such as curator_slurm.executors.stages:JsonlReader"],
        ),
        ({"pipeline": {"entry": "own:build"}, "executor": {"backend": "own:Plain"}}, 5, ["not an executor"]),
        ({"pipeline": {"entry": "own:build"}, "output": {"path": "/proc/out"}}, 5, ["belongs to the kernel"]),
        ({"pipeline": {"entry": "own:build"}, "output": {"path": "own.py/out"}}, 5, ["own.py is not a folder"]),
        (stages("own:Clean", WRITER), 2, ["stage 2", "cannot write to /dev/null/out: /dev/null is not a folder"]),
    ],
)
def test_mistakes_are_found_with_their_line(tmp_path, spec, where, words):
    found, notes = examined(tmp_path, {**spec, "executor": spec.get("executor", QUICK["executor"])}, MODULES)
    assert len(found) == 1, (found, notes)
    assert all(part in found[0] for part in words), found[0]
    assert re.match(rf"spec\.yaml:{where}: " if where else r"spec\.yaml", found[0]), found[0]


@pytest.mark.long
@pytest.mark.parametrize("cluster", Cluster)
def test_what_can_be_made_is_valid(tmp_path, cluster):
    parts = [
        {"use": "curator_slurm.executors.stages:JsonlReader", "with": {"file_paths": "${shard.files}"}},
        {"use": "own:Clean", "with": {"min_words": 2}, "num_workers": 2},
        {"use": "curator_slurm.executors.stages:JsonlWriter", "with": {"path": "${output_dir}/out"}},
    ]
    (tmp_path / "a.jsonl").write_text("{}\n")
    spec = {**stages(*parts), "input": {"paths": ["*.jsonl"]}, "environment": {"env": {"WORD": "w"}}}
    assert examined(tmp_path, spec, cluster=cluster) == ([], [])


def test_a_pipeline_that_begins_anew_says_so(tmp_path):
    modules = {"shuffles": "from own import Clean\n\nclass Shuffle(Clean):\n    is_resumable = False\n"}
    shuffle = {"use": "shuffles:Shuffle", "name": "mix"}
    found, notes = examined(tmp_path, stages("own:Clean", shuffle), modules)
    assert found == []
    assert len(notes) == 1
    assert "a restart of this run begins anew: stage 'mix' is not resumable" in notes[0]
    kept = {"pipeline": {**stages("own:Clean")["pipeline"], "checkpoint_path": str(tmp_path / "c")}}
    assert examined(tmp_path, kept) == ([], [])


@pytest.mark.long
def test_a_module_that_hangs_is_left_to_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_check, "LIMIT_S", 6.0)
    modules = {"hangs": "import time\nprint('x' * 10_000_000)\ntime.sleep(600)\n"}
    found, notes = examined(tmp_path, {**stages("own:Clan", "hangs:Stage"), **QUICK}, modules)
    assert len(found) == 1
    assert "own has no 'Clan'" in found[0]
    assert len(notes) == 1
    assert "stage 2, hangs:Stage took more than 6 s" in notes[0]


@pytest.mark.parametrize(
    ("entry", "parts", "words"),
    [
        ("on_gpus", ({"cpus_per_node": 9}, {"gpus_per_node": 2}), ""),
        (
            "on_gpus",
            ({"cpus_per_node": 9}, {"gpus_per_node": 1}),
            "needs 2 GPUs per worker, and a node of group a or b has 1",
        ),
        ("on_both", ({"cpus_per_node": 9}, {"gpus_per_node": 1}), ""),
        (
            "on_both",
            ({"cpus_per_node": 9}, {"gpus_per_node": 1, "cpus_per_node": 4}),
            "needs 8 CPUs per worker, and a node of group b has 4",
        ),
    ],
)
def test_one_group_must_have_what_a_stage_needs(tmp_path, entry, parts, words):
    spec = {"pipeline": {"entry": f"own:{entry}"}, "resources": groups(*parts), **QUICK}
    found, notes = examined(tmp_path, spec, cluster=Cluster.SLURM)
    assert notes == []
    assert [words in each for each in found] == ([True] if words else [])


def test_nothing_is_written_or_removed(outside_memory):
    kept = outside_memory / "out"
    kept.mkdir()
    (kept / "mine").write_text("kept")
    writer = {"use": "curator_slurm.executors.stages:JsonlWriter", "with": {"path": str(kept), "mode": "overwrite"}}
    modules = {"writes": f"import os\nos.makedirs({str(outside_memory / 'made')!r})\n"}
    found, notes = examined(outside_memory, {**stages(writer, "writes:Stage", "own:Clean"), **QUICK}, modules)
    assert found == []
    assert len(notes) == 2
    assert all("would write" in note or "would remove" in note for note in notes)
    assert (kept / "mine").read_text() == "kept"
    assert sorted(path.name for path in outside_memory.iterdir()) == ["out", "own.py", "writes.py"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"python": "/nowhere/on/nodes/python"}, "/nowhere/on/nodes/python is not on this machine"),
        ({"conda": "curate"}, "only the nodes activate the conda environment curate"),
        ({"setup": ["export PYTHONPATH=/opt/site"]}, "environment.setup may bring it"),
        ({"modules": ["python/3.12"]}, "environment.modules or environment.setup may bring it"),
    ],
)
def test_what_only_the_nodes_have_is_said_to_be_not_looked_at(tmp_path, environment, words):
    found, notes = examined(tmp_path, {**stages("only_there:Stage"), **QUICK, "environment": environment})
    assert found == []
    assert len(notes) == 1
    assert "not looked at" in notes[0]
    assert words in notes[0]


@pytest.mark.parametrize(
    "error",
    [
        "x: No module named curator_slurm",
        "x: Error while finding module specification for 'curator_slurm.launcher.driver.dry_build' "
        "(ModuleNotFoundError: No module named 'curator_slurm')",
    ],
)
def test_a_python_without_curator_slurm_is_an_error(tmp_path, error):
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").write_text(f'#!/bin/sh\necho "{error}" >&2\nexit 1\n')
    (venv / "python").chmod(0o755)
    found, _ = examined(tmp_path, {**stages("own:Clean"), "environment": {"venv": str(venv.parent)}})
    assert len(found) == 1
    assert "environment.venv" in found[0]
    assert "install it there" in found[0]


def test_the_shell_of_the_submitter_does_not_reach_a_job_on_slurm(tmp_path):
    plan = Plan.model_validate(
        {
            "version": "0",
            "cluster": "slurm",
            "spec": {"name": "demo", **stages("own:Clean"), "environment": {"env": {"A": "1"}, "secrets": ["S"]}},
            "spec_dir": str(tmp_path),
            "python": sys.executable,
        }
    )
    environ = {"PYTHONPATH": "/shell", "S": "hush", "WORK_SCRATCH": "/scratch", "OTHER": "x"}
    job = pipeline_check._environment(plan, environ, tmp_path)
    assert job.get("PYTHONPATH") is job.get("OTHER") is None
    assert (job["A"], job["S"], job["WORK_SCRATCH"]) == ("1", "hush", "/scratch")
