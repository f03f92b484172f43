"""One spec on a real Slurm in many shapes: only the site file differs, and a wrong one is told which key to set.

`make shapes` runs all; the suite has all rules of a site at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest
from slurm_cluster import Options, SlurmCluster
from slurm_cluster.api import this_session
from slurm_cluster.layout import default_directory
from slurm_cluster.rules import job_rules
from slurm_cluster.waiting import wait_for

from on_slurm.runs import Done, Runs
from on_slurm.site_shapes import GPU_TYPES, PARTITIONS, PIPELINE, SHAPES, SPEC, Shape

RUN_S = 1200
"""For twelve clusters one after the other."""
ROWS = [{"text": f"document {number}", "number": number} for number in range(60)]
TOGETHER = ("not all memory by zero", "no export", "no node names", "nothing about requeue", "no open mode")
"""Rules that a site can have at once, beside those of the account and the time."""


class _OnShape:
    """The spec, its input, and runs of it."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        data = runs.folder / "data"
        data.mkdir()
        for number in range(20):
            lines = "".join(json.dumps(row) + "\n" for row in ROWS[number::20])
            (data / f"{number:02d}.jsonl").write_text(lines)
        (runs.folder / "spec.yaml").write_text(SPEC)
        (runs.folder / "five_lines.py").write_text(PIPELINE)

    def with_site(self, text: str, verb: str, *options: str) -> Done:
        site = self.runs.folder / "site.yaml"
        site.write_text(f"site: {{contact: hpc@example.org}}\n{text}\n")
        return self.runs.command(verb, "spec.yaml", "--site", "./site.yaml", *options, timeout=RUN_S)

    def refused(self, shape: Shape) -> str:
        done = self.with_site(shape.wrong, "submit", *shape.options)
        assert done.returncode == 5, done.output
        assert not any(self.runs.runs_dir.glob("*/*"))
        return done.output

    def check(self, *shapes: Shape) -> None:
        """All rows are published once, and the script has what the site takes."""
        published = self.runs.latest() / "outputs"
        rows = [json.loads(line) for path in published.rglob("*.jsonl") for line in path.read_text().splitlines()]
        assert sorted(row["number"] for row in rows if "text" in row) == list(range(60))
        lines = [line for line in (self.runs.latest() / "job.sbatch").read_text().splitlines() if "#SBATCH" in line]
        for shape in shapes:
            assert {f"#SBATCH {option}" for option in shape.asked} <= set(lines)
            assert [line for line in lines for option in shape.absent if line.startswith(f"#SBATCH {option}")] == []
        self.runs.assert_nothing_left()


@pytest.fixture(scope="module")
def shaped(request: pytest.FixtureRequest) -> Iterator[Callable[[Options], SlurmCluster]]:
    """Boots clusters of the module's own, one at a time."""
    booted: list[tuple[Options, SlurmCluster]] = []

    def boot(options: Options) -> SlurmCluster:
        if booted and booted[-1][0] == options:
            return booted[-1][1]
        while booted:
            booted.pop()[1].down(purge=not request.session.testsfailed)
        cluster = SlurmCluster(f"{default_directory()}-shapes-{os.getpid()}")
        cluster.up(options, owner=this_session(), fresh=True)
        booted.append((options, cluster))
        return cluster

    yield boot
    for _, cluster in booted:
        cluster.down(purge=not request.session.testsfailed)


@pytest.fixture
def on(shaped: Callable[[Options], SlurmCluster], request: pytest.FixtureRequest) -> Iterator[Callable[..., _OnShape]]:
    used: list[SlurmCluster] = []

    def boot(options: Options) -> _OnShape:
        cluster = shaped(options)
        used.append(cluster)
        folder = cluster.shared / "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        folder.mkdir()
        found = _OnShape(Runs(cluster, folder))
        for path in (folder, *folder.rglob("*")):
            os.chown(path, cluster.uid(), cluster.uid())
        return found

    yield boot
    for cluster in used:
        cluster.heal()


WITH_RULES = Options(
    max_array=11,
    gpu_types=GPU_TYPES,
    partitions=PARTITIONS,
    conf=("KillWait=10", "JobSubmitPlugins=lua", "AccountingStorageEnforce=associations,limits"),
)
BARE = Options(accounting=False, hosts_loopback=True, gateway=False, memory_tmp=900, conf=("KillWait=10",))


@pytest.mark.shapes
@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.rule])
def test_a_site_with_a_rule(on: Callable[[Options], _OnShape], name: str) -> None:
    shape, here = SHAPES[name], on(WITH_RULES)
    with job_rules(here.runs.cluster.layout, shape.rule):
        assert shape.names in here.refused(shape)
        done = here.with_site(shape.right, "run", *shape.options)
        assert done.returncode == 0, done.output
        here.check(shape)


@pytest.mark.shapes
def test_arrays_of_eleven(on: Callable[[Options], _OnShape]) -> None:
    """Nothing is to be set: Slurm says it."""
    here = on(WITH_RULES)
    done = here.with_site("", "run", *SHAPES["arrays of eleven"].options)
    assert done.returncode == 0, done.output
    assert len(list((here.runs.latest() / "submissions").iterdir())) == 2
    here.check()


@pytest.mark.shapes
def test_five_jobs_in_the_queue(on: Callable[[Options], _OnShape]) -> None:
    shape, here = SHAPES["five jobs in the queue"], on(WITH_RULES)
    with _SubmitLimit(here.runs.cluster, 5):
        done = here.with_site(shape.wrong, "submit", *shape.options)
        assert shape.names in done.output
        here.runs.command("cancel", here.runs.latest().name, "--yes")
        here.runs.job_is_over()
        done = here.with_site(shape.right, "submit", "--feed", *shape.options)
        assert done.returncode == 0, done.output
        done = here.runs.watch(here.runs.latest().name)
        assert done.returncode == 0, done.output
        here.check()


@pytest.mark.shapes
def test_no_accounting_no_gateway_names_that_are_loopback_and_tmp_in_memory(on: Callable[[Options], _OnShape]) -> None:
    here = on(BARE)
    done = here.with_site("", "run")
    assert done.returncode == 0, done.output
    warned = here.runs.read("elements/*/nodes/*/agent.log")
    assert "storage.node_local: {path: /tmp, is_memory: true}" in warned
    here.check()

    done = here.with_site("storage: {node_local: {path: /tmp, is_memory: true, size: 300M}}", "run")
    assert done.returncode == 0, done.output
    assert "is memory on this node" not in here.runs.read("elements/*/nodes/*/agent.log")
    here.check()


def test_all_rules_of_a_site_at_once(slurm_cluster: SlurmCluster, runs: Runs) -> None:
    """The spec that runs everywhere runs here, too, with one site file; without it, all keys are named at once."""
    here = _OnShape(runs)
    for path in runs.folder.rglob("*"):
        os.chown(path, slurm_cluster.uid(), slurm_cluster.uid())
    shapes = [SHAPES[name] for name in TOGETHER]
    rules = "\n".join(shape.rule for shape in (*shapes, SHAPES["account and time"]))
    with job_rules(slurm_cluster.layout, rules):
        wrong = "slurm: {mem: whole_node}\nresources: {account: lab, sbatch: {exclude: n3}}"
        said = here.refused(Shape("", wrong, "", ""))
        for shape in (*shapes, SHAPES["account and time"]):
            assert shape.names in said
        right = (
            "slurm: {mem: whole_node, whole_node_mem: 5G, export: never, nodelist: never, requeue: never, "
            "no_requeue: never, open_mode: never, account_required: true, time_required: true}\n"
            "resources: {account: lab, time: 10}"
        )
        done = here.with_site(right, "run")
        assert done.returncode == 0, done.output
        here.check(*shapes)


class _SubmitLimit:
    """Alice may have so many jobs in the queue."""

    def __init__(self, cluster: SlurmCluster, most: int) -> None:
        self.cluster, self.most = cluster, most

    def __enter__(self) -> None:
        self._set(str(self.most))

    def __exit__(self, *_: object) -> None:
        self._set("-1")

    def _set(self, most: str) -> None:
        self.cluster.run(
            ["sacctmgr", "-Qi", "modify", "user", self.cluster.user, "set", f"MaxSubmitJobs={most}"],
            user=None,
            check=True,
        )
        shown = "MaxSubmitJobs=" + ("" if most == "-1" else most)
        wait_for("the limit to reach the controller", lambda: shown in self._known(), 60)

    def _known(self) -> str:
        asked = ["scontrol", "show", "assoc_mgr", f"users={self.cluster.user}", "flags=assoc"]
        return self.cluster.run(asked, user=None).stdout
