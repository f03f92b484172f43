"""What in a spec looks like a secret, and is said with its line, the cure, and never its value."""

import pytest

from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.exposed_secrets import looks_secret, warnings
from curator_slurm.launcher.spec.model import Spec

SECRET_NAMES = """
    HF_TOKEN hf_token WANDB_API_KEY OPENAI_API_KEY OPENAI_APIKEY AWS_SECRET_ACCESS_KEY AZURE_STORAGE_KEY SECRET
    DB_PASSWORD PGPASSWORD MYSQL_PASSWD MY_SECRET_VALUE GITHUB_TOKEN HFTOKEN TOKEN PASSPHRASE AWS_CREDENTIALS
    CREDENTIAL SSH_PRIVATE_KEY AUTH_KEY NGC_API_KEY TOKEN_2 RAY_AUTH_TOKEN
"""
OTHER_NAMES = """
    TOKENIZERS_PARALLELISM HF_TOKEN_PATH KEYBOARD MAX_TOKENS NUM_TOKENS_PER_BATCH PAD_TOKEN EOS_TOKEN KEY MONKEY
    AWS_ACCESS_KEY_ID GOOGLE_CREDENTIALS_FILE SORT_KEY PRIMARY_KEY SECRETARY PASSWORDLESS_DIR PATH TOKENIZER
    AWS_WEB_IDENTITY_TOKEN_FILE MAX_TOKEN_LENGTH HF_HOME PASS COMPASS
"""
SECRET_VALUES = [
    "hf_AbCdEfGhIjKlMnOpQrStUv0123456789",
    "sk-proj-Abc123def456ghi789",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefABCDEF0123456789abcd",
    "glpat-0123456789abcdefABCD",
    "xoxb-1234567890-abcdef",
    "nvapi-Abc123def456ghi789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
    "http://ann:s3cr3t@proxy.example.org:3128",
]
OTHER_VALUES = [
    "hf_transformers",
    "sk-learn",
    "http://proxy.example.org:3128",
    "s3://bucket/a:b@c",
    "ghp_",
    "https://example.org/a@b",
    "task-manager-service",
]


def spec(environment=None, command="true"):
    return Spec.model_validate(
        {"name": "n", "pipeline": {"command": command}, "environment": environment or {}},
    )


def found(environment=None, command="true"):
    return list(warnings(spec(environment, command)))


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_that_look_like_a_secret(name):
    assert looks_secret(name)
    [(path, message)] = found({"env": {name: "x1y2z3canary"}})
    assert path == ("environment", "env", name)
    assert f"`environment.env.{name}`" in message
    assert "`environment.secrets`" in message
    assert "canary" not in message


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_names_that_do_not(name):
    assert not looks_secret(name)
    assert found({"env": {name: "x1y2z3canary"}}) == []


@pytest.mark.parametrize("value", ["", "true", "0", "1", "no", "/run/secrets/token", "~/.token", "2048"])
def test_a_switch_a_number_or_a_path_is_no_secret(value):
    assert found({"env": {"HF_HUB_DISABLE_IMPLICIT_TOKEN": value}}) == []


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_values_that_look_like_a_secret_anywhere(value):
    quoted = f"tool '{value}'"
    for message in (
        *found({"env": {"X": value}}),
        *found({"setup": [quoted]}),
        *found(command=quoted),
        *found(command=["tool", value]),
    ):
        assert value not in message[1]
    places = [found({"env": {"X": value}}), found({"setup": [quoted]}), found(command=quoted), found(command=[value])]
    assert [len(each) for each in places] == [1, 1, 1, 1]


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_values_that_do_not(value):
    assert found({"env": {"X": value}, "setup": [f"tool '{value}'"]}, ["tool", value]) == []


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("export HF_TOKEN=x1y2z3canary", 1),
        ("cd /x; HF_TOKEN='x1y2z3 canary' tool", 1),
        ('export A=1 API_KEY="x1y2z3canary"', 1),
        ("export HF_TOKEN=$(cat ~/.token)", 0),
        ('export HF_TOKEN="$OTHER"', 0),
        ("export HF_TOKEN=/run/token", 0),
        ("test --token=x", 0),
    ],
)
def test_setup_commands_that_set_a_secret(command, count):
    messages = found({"setup": ["true", command]})
    assert len(messages) == count
    for path, message in messages:
        assert path == ("environment", "setup", 1)
        assert "canary" not in message


@pytest.mark.parametrize("command", [["tool", "--token=${env:MINE}"], "tool --token ${env:MINE}"])
def test_a_secret_on_the_command_line_of_a_pipeline(command):
    [(path, message)] = found({"secrets": ["MINE"]}, command)
    assert path[:2] == ("pipeline", "command")
    assert "from its environment" in message
    assert found(command=command) == []
    assert found({"secrets": ["MINE"]}, "tool $${env:MINE}") == []


def test_variables_that_ray_puts_on_a_command_line():
    env = {"env_vars": {"HF_TOKEN": "x1y2z3canary", "HF_HOME": "/x"}}
    stage = {"use": "m:C", "runtime_env": env}
    spec = Spec.model_validate(
        {"name": "n", "pipeline": {"stages": [stage]}, "executor": {"config": {"runtime_env": env}}}
    )
    messages = [message for _, message in warnings(spec)]
    assert len(messages) == 2
    for message, where in zip(messages, ("pipeline.stages.0", "executor.config"), strict=True):
        assert message.startswith(f"`{where}.runtime_env.env_vars.HF_TOKEN` looks like a secret")
        assert "canary" not in message


@pytest.mark.parametrize("env", [[], {"env_vars": None}, {"env_vars": ["HF_TOKEN"]}, {"env_vars": {1: 2}}])
def test_an_odd_runtime_env_is_not_our_business(env):
    config = {"runtime_env": env}
    spec = Spec.model_validate({"name": "n", "pipeline": {"command": "true"}, "executor": {"config": config}})
    assert list(warnings(spec)) == []


def test_a_warning_names_the_line_and_is_no_error():
    text = "name: n\npipeline:\n  command: 'true'\nenvironment:\n  env:\n    A: b\n    HF_TOKEN: x1y2z3\n"
    reading = spec_file.read_string(text, "spec.yaml", ["environment.env.DB_PASSWORD=x1y2z3"])
    assert reading.problems == []
    assert [str(warning).split(": ", 1)[0] for warning in reading.warnings()] == ["spec.yaml:7", "--set"]
