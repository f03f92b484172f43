"""The table of options against what is installed, and what is said about a key that is in none."""

from __future__ import annotations

import warnings

import attrs
import pytest
from cosmos_xenna.pipelines import v1

from curator_slurm.executors.backend_registry import load_executor, make_executor
from curator_slurm.executors.backends.xenna.options import xenna_version
from curator_slurm.executors.known_options import (
    BACKENDS,
    CLASSES,
    ENGINE_OPTIONS,
    FIRST_XENNA,
    LAST_XENNA,
    LEFT_OUT,
    OPTIONS,
    POLICY_KEYS,
    REFUSED,
    REFUSED_OF_STAGES,
    STAGE_OPTIONS,
    refusal,
)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


def test_the_table_has_what_the_installed_engine_has() -> None:
    here = {field.name for cls in (v1.PipelineConfig, v1.StreamingSpecificSpec) for field in attrs.fields(cls)}
    told = {name for name, since in ENGINE_OPTIONS.items() if numbers(since) <= numbers(xenna_version())}
    assert here - set(REFUSED) == told
    assert {field.name for field in attrs.fields(v1.StageSpec)} == {*STAGE_OPTIONS, *REFUSED_OF_STAGES}


def test_the_versions_are_in_order() -> None:
    assert numbers(FIRST_XENNA) <= numbers(xenna_version()) <= numbers(LAST_XENNA)
    assert set(ENGINE_OPTIONS.values()) >= {FIRST_XENNA}
    assert not set(ENGINE_OPTIONS) & set(REFUSED)


def test_every_back_end_is_there_and_has_options() -> None:
    assert {name: load_executor(name).__name__ for name in BACKENDS} == CLASSES
    assert set(OPTIONS) == set(CLASSES)


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_what_the_table_refuses_is_what_the_executor_refuses(backend: str) -> None:
    """Keys alone: each with the default that it has somewhere."""
    for key in [*POLICY_KEYS, *LEFT_OUT, "runtime_env", *REFUSED, "no_such_option", "task_retry"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if refusal(backend, key) is None:
                continue
            with pytest.raises(ValueError, match=key):
                make_executor(backend, {key: None})


@pytest.mark.filterwarnings("ignore::curator_slurm.executors.ExperimentalWarning")
@pytest.mark.parametrize("backend", list(BACKENDS))
def test_the_head_node_can_be_left_out_by_the_config(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATOR_IGNORE_RAY_HEAD_NODE", raising=False)
    assert refusal(backend, "ignore_head_node") is None
    given = [make_executor(backend, {"ignore_head_node": value}).ignore_head_node for value in (True, False)]
    assert given == [True, False]
    with pytest.raises(ValueError, match="ignore_head_node must be true or false, not 'yes'"):
        make_executor(backend, {"ignore_head_node": "yes"})


@pytest.mark.parametrize(
    ("backend", "key", "words"),
    [
        ("xenna", "autoscale_intervall_s", "cosmos-xenna from 0.2.0 to 0.5.12; did you mean `autoscale_interval_s`?"),
        ("xenna", "execution-mode", "did you mean `execution_mode`?"),
        ("xenna", "reserved_cpu", "did you mean `reserved_cpus`?"),
        ("xenna", "mode_specific", "cannot be set: set the streaming options themselves"),
        ("xenna", "runtime_env", "is not an option of XennaExecutor"),
        ("ray_data", "task_retris", "is not an option of RayDataExecutor; did you mean `task_retries`?"),
        ("ray_data", "zzz", "it has on_task_error, task_retries"),
        ("ray_actor_pool", "runtime_environment", "did you mean `runtime_env`?"),
    ],
)
def test_refusals(backend: str, key: str, words: str) -> None:
    assert words in (refusal(backend, key) or "")


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_options_of_another_executor_or_of_another_version_are_accepted(backend: str) -> None:
    for key in ("execution_mode", "reserved_gpus", "saturation_aware", "slots_per_actor", "task_timeout_s"):
        assert refusal(backend, key) is None
