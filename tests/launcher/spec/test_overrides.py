"""`--set KEY=VALUE`."""

import pytest

from curator_slurm.launcher.spec.spec_file import origins, read_string

SPEC = """\
name: demo
pipeline:
  stages:
    - {use: "a:B", with: {x: 1}}
resources: {nodes: 4}
"""


def read(*overrides):
    return read_string(SPEC, "s.yaml", overrides)


@pytest.mark.parametrize(
    ("override", "get", "value"),
    [
        ("resources.nodes=8", lambda s: s.resources.nodes, 8),
        ("resources.gpus-per-node=2", lambda s: s.resources.gpus_per_node, "2"),
        ("resources.time=8:00:00", lambda s: s.resources.time, "8:00:00"),
        ("executor.backend=ray_data", lambda s: s.executor.backend.value, "ray_data"),
        ("executor.config.logging_interval=9", lambda s: s.executor.config, {"logging_interval": 9}),
        ("pipeline.stages.0.with.a.b=[1, {c: 2}]", lambda s: s.pipeline.stages[0].with_["a"], {"b": [1, {"c": 2}]}),
        ("pipeline.stages.0.with.x=2", lambda s: s.pipeline.stages[0].with_, {"x": 2}),
        ("pipeline.stages[0].with.y=true", lambda s: s.pipeline.stages[0].with_, {"x": 1, "y": True}),
        ("pipeline.stages.1={use: 'c:D'}", lambda s: s.pipeline.stages[1].use, "c:D"),
        ("resources.sbatch.mail-type=ALL", lambda s: s.resources.sbatch, {"mail-type": "ALL"}),
        ("resources.sbatch.mail_type=ALL", lambda s: s.resources.sbatch, {"mail_type": "ALL"}),
        ("environment.env.A=x=y", lambda s: s.environment.env, {"A": "x=y"}),
        ("environment.env.A=1.10", lambda s: s.environment.env, {"A": "1.10"}),
        ('environment.env.A="#"', lambda s: s.environment.env, {"A": "#"}),
        ("input.paths.0=*", None, None),
        ("resources=", lambda s: s.resources.nodes, 1),
        ("resources.partition=", lambda s: s.resources.partition, None),
    ],
)
def test_values(override, get, value):
    reading = read(override)
    if get is None:
        assert "needs quotes" in reading.problems[0].message
        return
    assert not reading.problems
    assert get(reading.spec) == value


def test_the_last_one_wins_and_the_origin_is_told():
    reading = read("resources.nodes=5", "resources.nodes=6")
    assert reading.spec.resources.nodes == 6
    assert origins(reading)["resources.nodes"] == "--set"


@pytest.mark.parametrize(
    ("override", "key", "part"),
    [
        ("resources.nodes", "resources.nodes", "has no value; write KEY=VALUE"),
        ("=3", "", "has no key"),
        ("a..b=3", "a..b", "has no key"),
        ("resources.nodes=[1", "resources.nodes", "is not valid YAML"),
        ("resources.nodes.x=1", "resources.nodes.x", "`resources.nodes` is 4, not a section"),
        ("pipeline.stages.x=1", "pipeline.stages.x", "a list of 1"),
        ("pipeline.stages.5=1", "pipeline.stages.5", "an index from 0 to 1"),
        ("resources.nodez=1", "resources.nodez", "did you mean `nodes`?"),
        ("nodes=1", "nodes", "did you mean `resources.nodes`?"),
        ("resources.nodes=many", "resources.nodes", "must be an integer"),
        ("cluster.min_nodes=9", "cluster.min_nodes", "is 9, but `resources.nodes` is 4"),
        ("network.no_proxy=a", "network.no_proxy", "not available yet"),
        ("shards.count=3", "shards", "requires `input`"),
        ("environment.env={a: 1, a: 2}", "environment.env", "a duplicate key"),
    ],
)
def test_errors_are_put_on_the_option(override, key, part):
    [problem] = read(override).problems
    assert (problem.key, problem.where) == (key, "--set")
    assert part in problem.message
