"""Specs read and checked: all errors at once, each with its key, place and a helpful message."""

import re

import jsonschema
import pytest
import yaml

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.spec.json_schema import schema
from curator_slurm.launcher.spec.model import NOT_YET
from curator_slurm.launcher.spec.restart_section import Mechanism
from curator_slurm.launcher.spec.spec_file import origins, read, read_string

GOOD = "name: demo\npipeline: {command: echo hi}\n"


def problems(text, *overrides):
    return read_string(text, "s.yaml", overrides).problems


def only(text, *overrides):
    """The one problem there must be."""
    found = problems(text, *overrides)
    assert len(found) == 1, found
    return found[0]


def test_a_good_spec_has_no_problem_and_defaults():
    reading = read_string(GOOD + "resources: {time: 8:00:00, nodes: 2}\n", "s.yaml")
    assert not reading.problems
    assert reading.spec.resources.time == "8:00:00"
    found = origins(reading)
    assert found["resources.nodes"] == "s.yaml:3"
    assert found["resources.partition"] == "default"
    assert found["name"] == "s.yaml:1"


def test_all_errors_at_once_in_the_order_of_the_file():
    text = "name: a b\npipeline: {entry: foo}\nnodes: 3\nresources:\n  gpu_per_node: 4\nexecutor: {backend: xena}\n"
    reading = read_string(text, "s.yaml")
    with pytest.raises(SpecError) as caught:
        reading.finish()
    assert [(each.key, each.where) for each in caught.value.problems] == [
        ("name", "s.yaml:1"),
        ("pipeline.entry", "s.yaml:2"),
        ("nodes", "s.yaml:3"),
        ("resources.gpu_per_node", "s.yaml:5"),
        ("executor.backend", "s.yaml:6"),
    ]
    assert str(caught.value).startswith("s.yaml: 5 errors\n  s.yaml:1: `name` must be at most 63 letters")
    assert caught.value.exit_code == 2


def test_few_ports_are_enough_for_a_small_node_and_for_a_run_without_ray():
    few = f"{GOOD}network: {{port_range: [20000, 20022]}}\n"
    assert not problems(few)
    assert not problems(f"{few}resources: {{cpus_per_node: 1}}")
    assert not problems(f"{few}resources: {{cpus_per_node: 2}}\ncluster: {{ray: false}}")


@pytest.mark.parametrize("written", ["off", "false", "{mechanism: off}", "{mechanism: false}"])
def test_restarts_are_switched_off_by_one_word(written):
    """Other readers of YAML make false of `off`, as for a spec that is a mapping in Python."""
    spec = read_string(f"{GOOD}restart: {written}\n", "s.yaml").spec
    assert spec.restart.mechanism is Mechanism.OFF
    assert read_string(GOOD, "s.yaml", [f"restart={written}"]).spec.restart == spec.restart


def test_what_restart_may_be_is_named_where_it_is_another_word():
    words = "`restart.mechanism` must be one of auto, requeue, resubmit, chain, off; found the string 'never'"
    assert only(f"{GOOD}restart: never").message == words


@pytest.mark.parametrize(
    "section",
    [
        {"restart": "off"},
        {"restart": False},
        {"restart": {"mechanism": False}},
        {"restart": {"max_restarts": 3}},
        {"environment": {"container": "curator.sqsh"}},
        {"environment": {"container": {"image": "curator.sqsh"}}},
        {"output": {"merge": True}},
        {"output": {"merge": {"target_size": "1G"}}},
    ],
)
def test_editors_accept_short_forms(section):
    spec = {**section, "name": "demo", "pipeline": {"command": "true"}, "input": {"paths": "a"}, "shards": {"count": 2}}
    assert not problems(yaml.safe_dump(spec))
    jsonschema.validate(spec, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**spec, next(iter(section)): 3}, schema())


@pytest.mark.parametrize(
    ("line", "key", "part"),
    [
        ("resources: {gpu_per_node: 4}", "resources.gpu_per_node", "did you mean `gpus_per_node`?"),
        ("resources: {gpus-per-node: 4}", "resources.gpus-per-node", "did you mean `gpus_per_node`?"),
        ("nodes: 4", "nodes", "did you mean `resources.nodes`?"),
        ("resources: {backend: xenna}", "resources.backend", "did you mean `executor.backend`?"),
        ("resources: {constraint: h100}", "resources.constraint", "`resources.sbatch.constraint`"),
        ("resources: {cpus_per_task: 4}", "resources.cpus_per_task", "`resources.cpus_per_node`"),
        ("walltime: 5", "walltime", "did you mean `resources.time`?"),
        ("resources: {qwerty: 1}", "resources.qwerty", "`resources` has nodes, gpus, gpu_type"),
        ("cluster: {objekt_store_fraction: 0.2}", "cluster.objekt_store_fraction", "`object_store_fraction`"),
        ("x: 1", "x", "a spec has name, pipeline"),
    ],
)
def test_unknown_keys_get_a_suggestion(line, key, part):
    problem = only(GOOD + line)
    assert problem.key == key
    assert problem.where == "s.yaml:3"
    assert problem.message.startswith(f"`{key}` is not a known setting; ")
    assert part in problem.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("resources: {nodes: four}", "`resources.nodes` must be an integer; found the string 'four'"),
        ("resources: {nodes: 1.5}", "`resources.nodes` must be an integer; found 1.5"),
        ("resources: {nodes: true}", "`resources.nodes` must be a number; found true"),
        ("resources: {nodes: 0}", "`resources.nodes` must be at least 1; found 0"),
        ("resources: {nodes: [1]}", "`resources.nodes` must be an integer; found a list"),
        ("resources: 3", "`resources` must be a section (keys and values); found 3"),
        ("resources: {sbatch: [a]}", "`resources.sbatch` must be a section (keys and values); found a list"),
        ("resources: {partition: ''}", "`resources.partition` must not be empty"),
        ("resources: {partition: true}", "`resources.partition` must be a string; found true"),
        ("cluster: {join_timeout_s: .nan}", "`cluster.join_timeout_s` must be a finite number; found nan"),
        ("cluster: {object_store_fraction: 1}", "`cluster.object_store_fraction` must be less than 1; found 1"),
        (
            "executor: {backend: xena}",
            "`executor.backend` must be one of xenna, ray_data, ray_actor_pool; found the string 'xena'; "
            "did you mean xenna?",
        ),
        ("input: {paths: []}", "`input` requires paths or manifest"),
        ("input: {}", "`input` requires paths or manifest"),
        ("input: {paths: a}\nshards: {}", "requires exactly one of count, files_per_shard and bytes_per_shard"),
        ("input: {paths: a}\nshards: {count: 1, files_per_shard: 2}", "count and files_per_shard are set"),
        ("input: {paths: a}\nshards: {bytes_per_shard: 10X}", "must be a size such as 500M, 10G or 1.5T"),
        ("input: {paths: a}\nshards: {bytes_per_shard: 0}", "must be a size"),
        (
            "input: {paths: a}\nshards: {count: 2, size_per_shard: 1G}",
            "`shards.size_per_shard` is not a known setting; did you mean `files_per_shard`?",
        ),
        ("input: {paths: a}\nshards: {count: 2, order: bytes}", "`shards.order` must be one of size, name"),
        ("input: {paths: a}\nshards: {count: 0}", "`shards.count` must be at least 1; found 0"),
        ("array: 1-4", "did you mean `shards.count`?"),
        ("shards: {count: 2}", "`shards` requires `input`"),
        ("network: {port_range: [1, 2, 3]}", "`network.port_range` must be a list of two numbers; found a list"),
        ("network: {port_range: 3}", "`network.port_range` must be a list of two numbers; found 3"),
        ("network: {port_range: [3, 2]}", "`network.port_range` must be [first, last] with 1024 <= first"),
        ("network: {port_range: [20000, 20001]}", "`network.port_range` has 2 ports, and Ray needs 22 on a node"),
        ("network: {port_range: [20000, 20000]}", "`network.port_range` has 1 port, and Ray needs 21 on a node"),
        (
            "network: {port_range: [20000, 20022]}\nresources: {cpus_per_node: 2}",
            "`network.port_range` has 23 ports, and Ray needs 24 on a node of 2 CPUs",
        ),
        (
            "network: {port_range: [20000, 20059]}\nresources: {groups: [{name: a, nodes: 1, cpus_per_node: 64}]}",
            "`network.port_range` has 60 ports, and Ray needs 149 on a node of 64 CPUs",
        ),
        ("environment: {env: {A: null}}", "`environment.env.A` must be a string; found nothing"),
        ("environment: {env: {A: [1]}}", "`environment.env.A` must be a string; found a list"),
        (
            'environment: {env: {"1x": a}}',
            "`environment.env.1x`: '1x' is not a valid name of an environment variable",
        ),
        (
            "environment: {python: a, venv: b}",
            "`environment` takes one of python, venv, conda and uv; python and venv are set",
        ),
        ("failures: {task_timeout_s: 0}", "`failures.task_timeout_s` must be more than 0; found 0"),
        ("failures: {task_timeout_s: soon}", "`failures.task_timeout_s` must be a number; found the string 'soon'"),
        ("cluster: {min_nodes: 2}", "`cluster.min_nodes` is 2, but `resources.nodes` is 1"),
        ("cluster: {head: dedicated}", "set `resources.nodes` to one more than are to work, or `cluster.head: shared`"),
        (
            "resources: {nodes: 3}\ncluster: {head: dedicated, min_nodes: 1}",
            "`cluster.min_nodes: 1` would start with the head alone",
        ),
        ("resources: {nodes: 3}\ncluster: {head: dedicated, ray: false}", "`cluster.ray: false` starts no Ray"),
        ("cluster: {head: own}", "`cluster.head` must be one of shared, dedicated; found the string 'own'"),
        ("cluster: {ray: maybe}", "`cluster.ray` must be true or false"),
        (
            "input: {paths: [a]}\nshards: {count: 2}\nenvironment: {env: {NEMO_CURATOR_SLURM_ARRAY_TOTAL_SHARDS: 4}}",
            "`environment.env` sets NEMO_CURATOR_SLURM_ARRAY_TOTAL_SHARDS, but `shards` already divides the input",
        ),
        (
            "input: {paths: [a]}\nshards: {count: 2}\nenvironment: {env: {NEMO_CURATOR_SLURM_ARRAY_ENABLED: '1'}}",
            "`environment.env` sets NEMO_CURATOR_SLURM_ARRAY_ENABLED, but `shards` already divides the input",
        ),
        (
            "resources: {mem_per_node: 4G, sbatch: {mem-per-cpu: 2G}}",
            "`resources.sbatch.mem-per-cpu` and `resources.mem_per_node` ask for memory in different ways",
        ),
        (
            "resources: {mem_per_node: 4G, sbatch: {mem_per_gpu: 2G}}",
            "`resources.sbatch.mem_per_gpu` and `resources.mem_per_node` ask for memory in different ways",
        ),
        (
            "resources: {sbatch: {mem-per-gpu: 4G, --mem-per-cpu: 2G}}",
            "`resources.sbatch.mem-per-gpu` and `resources.sbatch.--mem-per-cpu` ask for memory in different ways",
        ),
        ("resources: {mem_per_node: 4G, sbatch: {mem: 4G}}", "`resources.sbatch.mem` cannot be set here: use"),
        ("resources: {sbatch: {output: x}}", "`resources.sbatch.output` cannot be set here: curator-slurm sets it"),
    ],
)
def test_wrong_values_say_what_was_found_and_what_is_wanted(line, message):
    assert message in only(GOOD + line).message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "{config: {autoscale_intervall_s: 60}}",
            "`executor.config.autoscale_intervall_s` is not an option of XennaExecutor with any cosmos-xenna from "
            "0.2.0 to 0.5.12; did you mean `autoscale_interval_s`?",
        ),
        (
            "{backend: ray_data, config: {task_retrys: 1}}",
            "`executor.config.task_retrys` is not an option of RayDataExecutor; did you mean `task_retries`?",
        ),
        (
            "{backend: xenna, config: {return_last_stage_outputs: true}}",
            "`executor.config.return_last_stage_outputs` cannot be set: the executor returns the outputs of the last "
            "stage always",
        ),
    ],
)
def test_options_that_no_executor_has(section, message):
    problem = only(f"{GOOD}executor: {section}\n")
    assert problem.message == message
    assert problem.where == "s.yaml:3"


def test_options_of_a_stage_that_no_cosmos_xenna_has():
    text = """name: x
pipeline:
  stages:
    - use: a.b:C
      xenna_stage_spec: {num_workers_per_node: 2}
    - use: a.b:D
      xenna_stage_spec:
        slots_per_actr: 3
        num_workers: 2
"""
    first, second = problems(text)
    assert (first.key, first.where) == ("pipeline.stages.1.xenna_stage_spec.slots_per_actr", "s.yaml:8")
    assert first.message.endswith("is not an option of cosmos-xenna for a stage; did you mean `slots_per_actor`?")
    assert (second.where, "use the num_workers() method" in second.message) == ("s.yaml:9", True)


def test_an_option_given_by_set_is_checked_too():
    reading = read_string(GOOD, "s.yaml", ["executor.config.cpu_allocation_percent=0.5"])
    (problem,) = reading.problems
    assert problem.where == "--set"
    assert problem.message.endswith("did you mean `cpu_allocation_percentage`?")


def test_options_that_some_executor_has_are_left_to_the_driver():
    config = "{execution_mode: batch, reserved_cpus: 1, saturation_aware: {}, slots_per_actor: 3, task_retries: 2}"
    for backend in ("xenna", "ray_data", "ray_actor_pool"):
        assert not problems(f"{GOOD}executor: {{backend: {backend}, config: {config}}}\n")
    assert not problems(GOOD + "executor: {backend: 'my.module:Mine', config: {anything: 1}}\n")


def test_only_a_command_can_do_without_ray():
    stages = "name: demo\npipeline: {entry: 'a:b'}\ncluster: {ray: false}\n"
    assert only(stages).message == "`cluster.ray: false` needs `pipeline.command`: stages and entries run on Ray"
    assert not problems(GOOD + "cluster: {ray: false}\nresources: {nodes: 2}\n")
    encrypted = only(GOOD + "cluster: {ray: false, tls: true}\n")
    assert encrypted.message == "`cluster.tls` encrypts Ray's traffic; `cluster.ray: false` starts no Ray"
    assert not problems(GOOD + "cluster: {tls: true}\n")


def test_curator_s_own_arrays_may_be_off_or_without_shards():
    shards = "input: {paths: [a]}\nshards: {count: 2}\n"
    assert not problems(GOOD + shards + "environment: {env: {NEMO_CURATOR_SLURM_ARRAY_ENABLED: 'off'}}\n")
    assert not problems(GOOD + "environment: {env: {NEMO_CURATOR_SLURM_ARRAY_ENABLED: 1}}\n")


def test_no_jargon_of_pydantic():
    text = GOOD + "resources: {nodes: [], time: {}, mem_per_node: lots}\ninput: 3\ncluster: {min_nodes: a}\n"
    for problem in problems(text):
        for word in ("Input should", "pydantic", "type=", "str", "int", "dict", "model", "Value error"):
            assert not re.search(rf"\b{word}\b", problem.message)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("name: x\n", ["`pipeline` is missing: What to run: exactly one of `entry`, `stages`, `file` and `command`"]),
        ("pipeline: {command: x}\n", ["`name` is missing: name of the run, its folder and the Slurm job"]),
        ("name: x\npipeline:\n", ["`pipeline` is missing"]),
        ("name: x\npipeline: {}\n", ["`pipeline` requires exactly one of entry, stages, file and command; none"]),
        ("name: x\npipeline: {command: a, entry: b:c}\n", ["entry and command are set"]),
        ("name: x\npipeline: {command: a, args: {b: 1}}\n", ["`pipeline.args` requires `pipeline.entry`"]),
        ("name: x\npipeline: {command: ''}\n", ["`pipeline.command` must not be empty"]),
        ("name: x\npipeline: {command: {a: 1}}\n", ["`pipeline.command` must be a string, which bash runs, or"]),
        ("name: x\npipeline: {stages: [{with: {}}]}\n", ["`pipeline.stages.0.use` is missing"]),
        ("name: x\npipeline: {stages: [{use: 'a:B', wiht: {}}]}\n", ["did you mean `with`?"]),
        ("", ["the spec is empty", "`name` is missing", "`pipeline` is missing"]),
        ("# only a comment\n", ["the spec is empty", "`name` is missing", "`pipeline` is missing"]),
    ],
)
def test_pipeline_and_required_keys(text, messages):
    found = problems(text)
    assert len(found) == len(messages), found
    for problem, message in zip(found, messages, strict=True):
        assert message in problem.message


@pytest.mark.parametrize("key", NOT_YET)
def test_keys_that_come_later_are_refused_with_the_reason(key):
    nested = "x"
    for part in reversed(key.split(".")):
        nested = f"{{{part}: {nested}}}"
    text = GOOD + nested[1:-1] + "\n"
    problem = only(text)
    assert (problem.key, problem.where) == (key, "s.yaml:3")
    assert NOT_YET[key] in problem.message


def test_a_setting_without_value_is_not_given():
    text = GOOD + "resources:\nenvironment:\n  python:\n  env:\ncluster: {join_timeout_s: null}\n"
    reading = read_string(text, "s.yaml")
    assert not reading.problems
    assert reading.spec.cluster.join_timeout_s == 300


def test_numbers_stay_as_written_where_text_is_wanted():
    text = (
        "name: 2026\npipeline: {command: [python, 1.10, 007]}\nresources: {account: 0123, time: 90, gpus_per_node: 4,"
        " sbatch: {nice: 010, exclusive: true}}\nenvironment: {env: {A: 1.10, B: True, C: 1e3, D: 0x10},"
        " conda: 3.10, modules: [1.20]}\n"
    )
    spec = read_string(text, "s.yaml").spec
    assert spec.name == "2026"
    assert spec.pipeline.command == ["python", "1.10", "007"]
    assert (spec.resources.account, spec.resources.time, spec.resources.gpus_per_node) == ("0123", "90", "4")
    assert spec.resources.sbatch == {"nice": "010", "exclusive": True}
    assert spec.environment.env == {"A": "1.10", "B": "True", "C": "1e3", "D": "0x10"}
    assert (spec.environment.conda, spec.environment.modules) == ("3.10", ["1.20"])


def test_numbers_stay_numbers_in_arguments():
    spec = read_string("name: x\npipeline: {entry: 'a:b', args: {n: 1.10, m: 3, t: true, z: null}}", "s.yaml").spec
    assert spec.pipeline.args == {"n": 1.1, "m": 3, "t": True, "z": None}


@pytest.mark.parametrize(
    ("pipeline", "key", "part"),
    [
        ("{entry: 'a:b', args: {x: '${output_dri}'}}", "pipeline.args.x", "did you mean `${output_dir}`?"),
        ("{entry: 'a:b', args: {x: ['${input.files}']}}", "pipeline.args.x.0", "requires `input.paths`"),
        ("{stages: [{use: 'a:B', with: {x: '${HOME}'}}]}", "pipeline.stages.0.with.x", "`${env:HOME}`"),
        ("{command: 'cat ${shard.files}'}", "pipeline.command", "requires `input.paths`"),
        ("{command: [cat, '${HOME}']}", "pipeline.command.1", "`${env:HOME}`"),
        ("{entry: 'a:b', args: {x: '${open'}}", "pipeline.args.x", "is not closed"),
    ],
)
def test_placeholders_are_checked(pipeline, key, part):
    problem = only(f"name: x\npipeline: {pipeline}\n")
    assert (problem.key, problem.where) == (key, "s.yaml:2")
    assert part in problem.message


def test_placeholders_that_are_fine():
    text = "name: x\ninput: {paths: a}\npipeline: {command: 'cat ${input.files} ${HOME:-x} > \"${output_dir}\"'}"
    assert not problems(text)
    assert not problems("name: x\npipeline: {entry: 'a:b', args: {x: '$${y} ${env:A} ${run_dir}/b'}}")


def test_duplicate_keys_come_with_the_others():
    found = problems(GOOD + "resources: {nodes: 1}\nname: y\nresources: {nodez: 2}\n")
    assert [each.where for each in found] == ["s.yaml:4", "s.yaml:5"]


@pytest.mark.parametrize("text", ["- a\n", "just text", "3"])
def test_not_a_mapping(text):
    with pytest.raises(SpecError, match="a spec must be a mapping"):
        read_string(text, "s.yaml")


def test_syntax_errors_name_file_and_line():
    with pytest.raises(SpecError) as caught:
        read_string("name: x\npipeline: [1\nb: 2", "s.yaml")
    assert caught.value.problems[0].where.startswith("s.yaml:")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match="no such file"):
        read(tmp_path / "missing.yaml")
    with pytest.raises(SpecError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(SpecError, match="not a valid file name"):
        read(tmp_path / "a\0b")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: x\n# caf\xe9\n".encode("latin-1"))
    with pytest.raises(SpecError, match=r"latin\.yaml:2: is not UTF-8 text: byte 0xe9"):
        read(latin)


def test_a_byte_order_mark_is_accepted(tmp_path):
    spec = tmp_path / "bom.yaml"
    spec.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert not read(spec).problems


@pytest.mark.parametrize("args", ["{x: '${input.files}'}", "{x: '${input.files}', y: '$${shard.files}'}"])
def test_shards_that_would_all_process_everything(args):
    text = f"name: demo\ninput: {{paths: a}}\nshards: {{count: 2}}\npipeline: {{entry: 'a:b', args: {args}}}\n"
    problem = only(text)
    assert problem.key == "pipeline.args.x"
    assert "every shard would process all of them; use `${shard.files}`" in problem.message
    assert not problems(text.replace("args: {", "args: {z: '${shard.index}', "))
    assert not problems(text.replace("shards: {count: 2}\n", ""))
